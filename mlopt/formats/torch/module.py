"""The form in which every PyTorch model runs and is exported: tensors in by position, a tuple of tensors out.

Eager reference and exporter then see one and the same function, whatever the model takes and returns. What a model
keeps between two calls (a cache of anchors by shape) belongs to whoever called: each user takes a ``fresh`` one. This
module imports torch: import it inside functions only.
"""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch

from mlopt.core.errors import ModelError

_WRAP = "wrap the model in build(), so that forward() returns its tensors alone, such as `self.model(x).logits`"
_CACHE = "switch the cache off in build(): `model.config.use_cache = False`; or return the tensors alone"


class Flat(torch.nn.Module):  # type: ignore[misc]  # torch is not followed by mypy here
    """Calls ``model`` with the first ``positional`` tensors by position and the others by ``keywords``, in order.

    ``rebuild`` makes the same module anew, which is what ``fresh`` does where it cannot be copied; ``restore`` puts
    back what its code keeps outside the module.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        positional: int,
        keywords: Sequence[str],
        outputs: Sequence[str] = (),
        rebuild: Callable[[], Flat] | None = None,
        restore: Callable[[], None] | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.positional = positional
        self.keywords = tuple(keywords)
        self.outputs = tuple(outputs)
        self.rebuild, self.restore = rebuild, restore
        self.training = False

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Take the tensors in the order of the declared inputs; return all outputs in order.

        The model gets copies, because forward() may write to its arguments (``x.sub_(mean)``).
        """
        own = [tensor.clone() for tensor in tensors]
        keyed = dict(zip(self.keywords, own[self.positional :], strict=True))
        found = [(path, _as_written(value)) for path, value in flatten(self.model(*own[: self.positional], **keyed))]
        if not found:
            raise ModelError("forward() returns no tensor", expected="at least one", fix="return the result")
        for index, (path, value) in enumerate(found):
            check_kind(value, f"output '{self.outputs[index]}'" if index < len(self.outputs) else f"output{path}")
        return tuple(value for _, value in found)

    def fresh(self) -> Flat:
        """Return a copy, with the same parameters, of what the model keeps beside them. Call it before the first run.

        What forward() stores while it is traced (symbols, placeholders) then reaches nobody else.
        """
        if self.restore is not None:
            self.restore()
        if isinstance(self.model, torch.fx.GraphModule):  # a traced program keeps nothing beside its buffers
            return self
        shared: dict[int, Any] = {id(parameter): parameter for parameter in self.model.parameters()}
        for module in self.model.modules():
            for value in vars(module).values():
                if isinstance(value, torch.Tensor) and value.grad_fn is not None:  # PyTorch refuses to copy these
                    shared[id(value)] = value.detach().clone()
        try:
            return copy.deepcopy(self, shared)
        except Exception:  # a lock, a file, a module of Python: whatever somebody keeps in a module
            if self.rebuild is None:
                raise
            return self.rebuild()


def _as_written(value: torch.Tensor) -> torch.Tensor:
    """Return an output in the type that the model has by itself, where autocast lowers what it computes in."""
    lowered = torch.is_autocast_enabled(value.device.type) and value.dtype in (torch.bfloat16, torch.float16)
    return value.float() if lowered else value


def flatten(value: Any, path: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the tensors of a tensor, tuple, list, mapping or dataclass, in order, each with the way to it.

    None yields nothing.
    """
    if isinstance(value, torch.Tensor):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from flatten(item, f"{path}[{key!r}]")
    elif isinstance(value, tuple | list):
        names = getattr(value, "_fields", None)
        for index, item in enumerate(value):
            yield from flatten(item, f"{path}.{names[index]}" if names else f"{path}[{index}]")
    elif dataclasses.is_dataclass(value) and not isinstance(value, type) and not _is_cache(value):
        for field in dataclasses.fields(value):
            yield from flatten(getattr(value, field.name), f"{path}.{field.name}")
    elif value is not None:
        raise ModelError(
            "forward() returns something that is not a tensor", got=f"{_name(value)}, as output{path}",
            expected="a tensor, or a tuple, list, mapping or dataclass of tensors", fix=_remedy(value),
        )  # fmt: skip


def check_kind(value: torch.Tensor, what: str) -> None:
    """Raise ``ModelError`` for a tensor that neither NumPy nor ONNX can hold."""
    dtype = str(value.dtype).removeprefix("torch.")
    if value.is_complex():
        raise ModelError(
            f"{what} is complex, which ONNX models cannot return", got=dtype, expected="real numbers",
            fix="return torch.view_as_real(y), whose last axis holds real and imaginary part, or y.abs()",
        )  # fmt: skip
    if value.is_quantized or value.is_nested or value.layout is not torch.strided:
        how = "dequantize()" if value.is_quantized else "to_padded_tensor(0.0)" if value.is_nested else "to_dense()"
        kind = "quantized" if value.is_quantized else "nested" if value.is_nested else "sparse"
        raise ModelError(f"{what} is a {kind} tensor", got=dtype, expected="a plain tensor", fix=f"return y.{how}")
    if value.is_floating_point() and value.dtype not in (torch.float16, torch.float32, torch.float64):
        raise ModelError(
            f"{what} is {dtype}, which NumPy does not have", got=dtype, expected="float32",
            fix="build the model in float32 (`return model.float()`): the passes fp16 and bf16 make it smaller; "
            "or return y.float()",
        )  # fmt: skip


def dtype_advice(error: Exception, module: torch.nn.Module, tensors: Mapping[str, torch.Tensor]) -> str | None:
    """Return how to mend an error of forward() that comes from dtypes that do not go together; None for others."""
    text = str(error)
    if not re.search(r"dtype|scalar type|should be the same|for '(Half|BFloat16)'", text):
        return None
    if "indices" in text or "Long, Int" in text:
        floats = [name for name, tensor in tensors.items() if tensor.is_floating_point()]
        return f"declare the input that is looked up as int64: {', '.join(floats)}" if floats else None
    weights = {p.dtype for p in (*module.parameters(), *module.buffers()) if p.is_floating_point()}
    kinds = " and ".join(sorted(str(dtype).removeprefix("torch.") for dtype in weights))
    if weights - {torch.float32}:
        return (
            f"the model's weights are {kinds}: `return model.float()` from build(), and declare its inputs as float32 "
            "(the passes fp16 and bf16 make them smaller again)"
        )
    wrong = [name for name, tensor in tensors.items() if tensor.dtype is not torch.float32]
    if weights and wrong:
        return (
            f"the model's weights are {kinds}: declare `dtype: float32` for {', '.join(wrong)}, or convert in forward()"
        )
    return f"the model's weights are {kinds or 'none'}: make its other tensors float32, too" if weights else None


def _is_cache(value: object) -> bool:
    return type(value).__name__.endswith("Cache")


def _name(value: object) -> str:
    shown = f" {value!r}" if isinstance(value, int | float | str) else ""
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.") + shown[:60]


def _remedy(value: object) -> str:
    if _is_cache(value):
        return _CACHE
    if isinstance(value, torch.distributions.Distribution):
        return "return what the distribution is made of, such as its mean and stddev"
    if isinstance(value, bool | int | float | str | bytes | torch.Size | torch.dtype):
        return "leave it out of what forward() returns"
    return _WRAP
