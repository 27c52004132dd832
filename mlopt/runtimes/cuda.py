"""Memory, streams and graphs of CUDA, by its vendor's own bindings: no more than running an engine takes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from mlopt.core.errors import MissingPackage, ModelError
from mlopt.core.packages import install_command
from mlopt.runtimes.base import Array

if TYPE_CHECKING:
    import numpy as np


def import_cuda() -> Any:
    """Return the bindings of CUDA's runtime, which import without a driver; raises ``MissingPackage``."""
    try:
        from cuda.bindings import runtime
    except ImportError as error:
        raise MissingPackage("CUDA's Python bindings are not installed", got=str(error),
                             fix=install_command("tensorrt")) from error  # fmt: skip
    return runtime


def checked(returned: tuple[Any, ...]) -> Any:
    """Return what a call gave; raises ``ModelError`` with CUDA's own name for what failed."""
    status, *values = returned
    if int(status) != 0:
        raise ModelError("CUDA failed", got=getattr(status, "name", str(status)),
                         fix="`mlopt doctor` shows the GPU and its driver")  # fmt: skip
    return values[0] if len(values) == 1 else tuple(values)


class Stream:
    """A stream, on which copies and launches come one after the other."""

    def __enter__(self) -> Self:
        self._cuda = import_cuda()
        self.handle = int(checked(self._cuda.cudaStreamCreate()))
        return self

    def __exit__(self, *_: object) -> None:
        self._cuda.cudaStreamDestroy(self.handle)

    def wait(self) -> None:
        """Wait until all is done."""
        checked(self._cuda.cudaStreamSynchronize(self.handle))

    @contextmanager
    def recorded(self) -> Iterator[Graph]:
        """Record what is launched in the body, instead of running it."""
        graph = Graph()
        mode = self._cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        checked(self._cuda.cudaStreamBeginCapture(self.handle, mode))
        yield graph
        graph.made_of(checked(self._cuda.cudaStreamEndCapture(self.handle)))


class Graph:
    """Recorded launches; a context manager, which forgets them."""

    def __init__(self) -> None:
        self._cuda = import_cuda()
        self._native: Any = None

    def made_of(self, captured: Any) -> None:
        """Make it of what was captured."""
        self._native = checked(self._cuda.cudaGraphInstantiate(captured, 0))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._cuda.cudaGraphExecDestroy(self._native)

    def launch(self, stream: Stream) -> None:
        """Run it."""
        checked(self._cuda.cudaGraphLaunch(self._native, stream.handle))


class Buffer:
    """Memory of the GPU for one array."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._cuda, self._shape, self._dtype = import_cuda(), shape, dtype
        self._bytes = max(1, math.prod(shape) * dtype.itemsize)
        self.address = int(checked(self._cuda.cudaMalloc(self._bytes)))

    def put(self, array: Array, stream: Stream) -> None:
        """Copy an array, contiguous and of this shape, to the GPU."""
        to_gpu = self._cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        checked(self._cuda.cudaMemcpyAsync(self.address, array.ctypes.data, array.nbytes, to_gpu, stream.handle))

    def get(self, stream: Stream) -> Array:
        """Return what will be the array once the stream is done."""
        import numpy as np

        array = np.empty(self._shape, self._dtype)
        from_gpu = self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        checked(self._cuda.cudaMemcpyAsync(array.ctypes.data, self.address, array.nbytes, from_gpu, stream.handle))
        return array

    def free(self) -> None:
        """Give the memory back; a second time does nothing."""
        if self.address:
            self._cuda.cudaFree(self.address)
            self.address = 0
