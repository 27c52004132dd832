"""PyTorch as it is written: eager, without gradients. The reference that an exported model is held against.

With ``compile`` it is the same model under ``torch.compile``: a reference that a recipe asks for, never a candidate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from mlopt.core.errors import MissingPackage, ModelError
from mlopt.formats.model import TORCH, Model
from mlopt.formats.torch.model import foreign_code, import_torch, load_module, origin, output_names
from mlopt.runtimes.base import Array, Deployable, Feeds, Runtime, RuntimeOptions, Session
from mlopt.runtimes.torch_compile import check_compiled, compiled, graphs, missing_compiler, own_folder

if TYPE_CHECKING:
    import numpy as np
    import torch


class TorchOptions(RuntimeOptions):
    """Threads and device, and whether the model is compiled."""

    graph_optimization: Literal["all"] = Field(default="all", description="nothing here; reports always had it")
    compile: bool = Field(default=False, description="run it under torch.compile, which builds C++")


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
        if not options.compile:
            yield _Session(model, options.device)
            return
        with own_folder():
            yield _Compiled(model, options.device)
    finally:
        torch.set_num_threads(threads)


def about() -> dict[str, str]:
    """Return the devices that it can use, the instructions it computes with on a CPU, and the CUDA it is built for."""
    torch = import_torch()
    cuda = torch.cuda.is_available()
    built = {} if torch.version.cuda is None else {"cuda": torch.version.cuda}
    return {"devices": "cpu, cuda" if cuda else "cpu", "kernels": torch.backends.cpu.get_cpu_capability(), **built}


def under_compile(source: Deployable) -> Deployable:
    """Return a PyTorch model as it runs compiled, on as many threads."""
    options = TorchOptions(threads=source.options.threads, device=source.options.device, compile=True)
    return Deployable(source.model, RUNTIME.name, options)


class _Session:
    """An open model; what fails in it is told in the words of ``failed``."""

    failed = "the model's forward() failed"

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
        with self._without_gradients(), foreign_code(self.failed, self._where, advice):
            values = self._called(*tensors.values())
        names = output_names([spec.name for spec in self.outputs], len(values), self._where)
        return {name: value.detach().cpu().numpy().copy() for name, value in zip(names, values, strict=True)}

    def _without_gradients(self) -> AbstractContextManager[object]:
        mode: AbstractContextManager[object] = self._torch.inference_mode()
        return mode

    def _called(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        values: tuple[torch.Tensor, ...] = self._module(*tensors)
        return values

    def _advice(self, error: Exception, tensors: Mapping[str, torch.Tensor]) -> str | None:
        from mlopt.formats.torch.module import dtype_advice

        return dtype_advice(error, self._module, tensors)

    def _tensor(self, array: Array) -> torch.Tensor:
        """Share the array's memory where PyTorch may: it takes no read-only arrays (memory maps)."""
        return self._torch.from_numpy(array if array.flags.writeable else array.copy()).to(self._device)


class _Compiled(_Session):
    """Compiled by the first call, which may take a minute; a call with other sizes may compile once more."""

    failed = "the model fails under torch.compile"

    def __init__(self, model: Model, device: str) -> None:
        lacking = missing_compiler()
        if lacking is not None:
            raise MissingPackage(replace(lacking, where=origin(model)))
        super().__init__(model, device)
        self._graphs: int | None = graphs()
        compiled(self._module.model)

    def _without_gradients(self) -> AbstractContextManager[object]:
        mode: AbstractContextManager[object] = self._torch.no_grad()
        return mode

    def _called(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        values = super()._called(*tensors)
        if self._graphs is not None:
            check_compiled(self._graphs, self._where)
            self._graphs = None
        return values


RUNTIME = Runtime(
    name="torch",
    kinds=frozenset({TORCH}),
    options=TorchOptions,
    open=open_,
    devices=frozenset({"cpu", "cuda"}),
    packages=("torch",),
    extra="torch",
    about=about,
    library=import_torch,
)
