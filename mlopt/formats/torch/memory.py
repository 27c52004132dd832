"""What a PyTorch module draws and remembers when it runs: asked of a module that did not repeat itself.

Random operators are seen as PyTorch dispatches them, with the line of the model that called them. What is remembered is
seen by comparing, before and after: parameters and buffers, attributes of modules and of their classes, and the global
variables of the files that hold their ``forward``.
"""

from __future__ import annotations

import hashlib
import random
import sys
import traceback
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from mlopt.core.usercode import own_frame
from mlopt.formats.model import Model
from mlopt.formats.torch.model import foreign_code, import_torch, load_module, origin

if TYPE_CHECKING:
    import torch

_DEEP, _LONG = 4, 10_000
_GENERATOR = ", a random generator"


def generators() -> dict[str, object]:
    """Return the state of each global random generator, by what people call it."""
    legacy: Any = np.random.get_state()
    torch = sys.modules.get("torch")  # what was never imported was not drawn from
    return {
        "Python's `random`": random.getstate(),
        "NumPy's `numpy.random`": (legacy[1].tobytes(), *legacy[2:]),
        "PyTorch's generator": torch.get_rng_state().numpy().tobytes() if torch is not None else None,
    }


def traced(model: Model, feeds: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[str]]:
    """Run the feeds through the module as it is built; return what it drew from, and what it changed, in words.

    Raises ``ModelError`` if the model does not run.
    """
    torch = import_torch()
    module, drawn = load_module(model), dict[str, None]()
    before, states, changed = dict(_state(module)), generators(), dict[str, None]()
    for feed in feeds:
        tensors = [torch.from_numpy(np.array(feed[spec.name])) for spec in model.inputs]
        with torch.no_grad(), foreign_code("the model's forward() failed", origin(model)), _watch(drawn):
            module(*tensors)
        changed |= {name: None for name, digest in _state(module) if digest != before.get(name)}
    if not drawn:
        drawn = {f"drawn from {name}": None for name, state in generators().items() if state != states[name]}
    own = [name for name in changed if name.endswith(_GENERATOR)]
    return [*drawn, *own], [name for name in changed if name not in own]


def _watch(drawn: dict[str, None]) -> Any:
    """Return a context in which every random operator is noted, with the line that called it."""
    torch = import_torch()
    from torch.utils._python_dispatch import TorchDispatchMode

    class Watch(TorchDispatchMode):  # type: ignore[misc]  # torch is not followed by mypy here
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if torch.Tag.nondeterministic_seeded in func.tags:
                line = own_frame(traceback.extract_stack())
                drawn[f"{func.overloadpacket.__name__}{f' at {line}' if line else ''}"] = None
            return func(*args, **(kwargs or {}))

    return Watch()


def _state(module: torch.nn.Module) -> Iterator[tuple[str, str]]:
    """Yield the name and a digest of everything that a module may remember."""
    own = set(vars(import_torch().nn.Module()))
    for path, part in module.named_modules():
        inside = path.removeprefix("model").removeprefix(".")
        of = f" of '{inside}'" if inside else ""
        for name, tensor in (*part.named_parameters(recurse=False), *part.named_buffers(recurse=False)):
            yield f"buffer '{'.'.join(filter(None, (inside, name)))}'", _digest(tensor)
        for name, value in vars(part).items():
            if name not in own:
                yield f"attribute '{name}'{of}{_GENERATOR if _is_generator(value) else ''}", _digest(value)
        yield from _around(type(part))


def _around(kind: type[Any]) -> Iterator[tuple[str, str]]:
    """Yield what the classes and the file of a module hold, if they are the user's."""
    for base in kind.__mro__:
        around = getattr(vars(base).get("forward"), "__globals__", None)
        if base.__module__.split(".")[0] in {"torch", "mlopt"} or around is None:
            continue
        for name, value in vars(base).items():
            if not name.startswith("__") and not callable(value):
                yield f"class attribute '{base.__name__}.{name}'", _digest(value)
        for name, value in around.items():
            if not name.startswith("__") and not callable(value) and not isinstance(value, ModuleType):
                yield f"global variable '{name}'{_GENERATOR if _is_generator(value) else ''}", _digest(value)


def _is_generator(value: Any) -> bool:
    return isinstance(value, import_torch().Generator | np.random.Generator | np.random.RandomState | random.Random)


def _digest(value: Any, deep: int = _DEEP) -> str:
    digest = hashlib.sha256()
    for part in _parts(value, deep):
        digest.update(part)
    return digest.hexdigest()


def _parts(value: Any, deep: int) -> Iterator[bytes]:
    leaf = _leaf(value)
    if leaf is not None:
        yield leaf
    elif deep and isinstance(value, Mapping):
        for key, item in list(value.items())[:_LONG]:
            yield repr(key).encode()
            yield from _parts(item, deep - 1)
    elif deep and isinstance(value, list | tuple | set | frozenset | deque):
        for item in list(value)[:_LONG]:
            yield from _parts(item, deep - 1)
    elif deep and hasattr(value, "__dict__") and not isinstance(value, import_torch().nn.Module | type):
        yield from _parts(vars(value), deep - 1)
    else:
        yield type(value).__name__.encode()


def _leaf(value: Any) -> bytes | None:
    """Return what tells a value from another of its kind; None if it is made of others."""
    torch = import_torch()
    if isinstance(value, torch.Tensor):
        plain = value.detach().cpu().contiguous()
        values = plain.reshape(-1).view(torch.uint8).numpy().tobytes() if plain.numel() else b""
        return f"{plain.dtype}{tuple(plain.shape)}".encode() + values
    if isinstance(value, np.ndarray) and value.dtype != object:
        return f"{value.dtype}{value.shape}".encode() + value.tobytes()
    if _is_generator(value):
        return repr(_state_of(value)).encode()
    return repr(value).encode() if value is None or isinstance(value, str | bytes | int | float | complex) else None


def _state_of(generator: Any) -> Any:
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    if isinstance(generator, random.Random):
        return generator.getstate()
    state = generator.get_state()
    return state.numpy().tobytes() if isinstance(generator, import_torch().Generator) else state
