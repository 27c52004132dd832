"""PyTorch as it is written: eager, without gradients. The reference that an exported model is held against."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from mlopt.core.errors import MissingPackage, ModelError
from mlopt.formats.model import TORCH, Model
from mlopt.formats.torch.model import foreign_code, import_torch, load_module, origin, output_names
from mlopt.runtimes.base import Array, Feeds, Runtime, RuntimeOptions, Session

if TYPE_CHECKING:
    import torch


class TorchOptions(RuntimeOptions):
    """Threads and device; eager PyTorch has nothing else to choose."""

    graph_optimization: Literal["all"] = Field(default="all", description="nothing here; reports always had it")


@contextmanager
def open_(model: Model, options: TorchOptions) -> Iterator[Session]:
    """Build the module; the number of threads, which PyTorch keeps per process, is put back afterwards."""
    torch = import_torch()
    if options.device == "cuda" and not torch.cuda.is_available():
        raise MissingPackage(
            "PyTorch cannot use a CUDA GPU here", where="target.device: cuda", got=f"torch {torch.__version__}",
            expected="a GPU, its driver, and a CUDA build of torch", fix="`mlopt doctor` shows what is there",
        )  # fmt: skip
    threads = torch.get_num_threads()
    torch.set_num_threads(options.threads)
    try:
        yield _Session(model, options.device)
    finally:
        torch.set_num_threads(threads)


class _Session:
    def __init__(self, model: Model, device: str) -> None:
        self.inputs = model.inputs
        self.outputs = model.outputs
        self._torch = import_torch()
        self._module = load_module(model).to(device)
        self._device = device
        self._where = origin(model)

    def run(self, feeds: Feeds) -> dict[str, np.ndarray[Any, Any]]:
        missing = [spec.name for spec in self.inputs if spec.name not in feeds]
        if missing:
            raise ModelError(
                f"the feed lacks input '{missing[0]}'", where=self._where, got=", ".join(feeds) or "no inputs",
                expected=", ".join(spec.name for spec in self.inputs),
            )  # fmt: skip
        tensors = {spec.name: self._tensor(feeds[spec.name]) for spec in self.inputs}
        advice = partial(self._advice, tensors=tensors)
        with self._torch.inference_mode(), foreign_code("the model's forward() failed", self._where, advice):
            values = self._module(*tensors.values())
        names = output_names([spec.name for spec in self.outputs], len(values), self._where)
        return {name: np.array(value.detach().cpu().numpy()) for name, value in zip(names, values, strict=True)}

    def _advice(self, error: Exception, tensors: Mapping[str, torch.Tensor]) -> str | None:
        from mlopt.formats.torch.module import dtype_advice

        return dtype_advice(error, self._module, tensors)

    def _tensor(self, array: Array) -> torch.Tensor:
        """Share the array's memory where PyTorch may: it takes no read-only arrays (memory maps)."""
        return self._torch.from_numpy(array if array.flags.writeable else array.copy()).to(self._device)


RUNTIME = Runtime(
    name="torch",
    kinds=frozenset({TORCH}),
    options=TorchOptions,
    open=open_,
    devices=frozenset({"cpu", "cuda"}),
    packages=("torch",),
    extra="torch",
)
