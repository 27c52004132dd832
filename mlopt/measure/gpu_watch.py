"""What NVML says of the GPU while something is measured on it: memory in use, and how busy it was."""

from __future__ import annotations

import threading
from typing import Any, Self

_EVERY_S = 0.2


class GpuWatch:
    """Looks at the first GPU, five times a second, in a thread; sees nothing without nvidia-ml-py or a driver."""

    def __init__(self) -> None:
        self._seen: list[tuple[int, int]] = []
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        try:
            import pynvml
        except ImportError:
            return self
        try:
            pynvml.nvmlInit()
            gpu = pynvml.nvmlDeviceGetHandleByIndex(0)
        except pynvml.NVMLError:
            return self
        self._nvml = pynvml
        self._thread = threading.Thread(target=self._look, args=(gpu,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread is not None:
            self._over.set()
            self._thread.join()
            self._nvml.nvmlShutdown()

    @property
    def told(self) -> tuple[str, ...]:
        """The most memory that was in use on the GPU, by all processes, and its mean utilization; or nothing."""
        if not self._seen:
            return ()
        memory, busy = zip(*self._seen, strict=True)
        most, mean = max(memory) / 2**20, sum(busy) / len(busy)
        return (f"the GPU meanwhile, by NVML: up to {most:,.0f} MiB in use, busy {mean:.0f} % of the time",)

    def _look(self, gpu: Any) -> None:
        while not self._over.wait(_EVERY_S):
            memory = self._nvml.nvmlDeviceGetMemoryInfo(gpu).used
            self._seen.append((memory, self._nvml.nvmlDeviceGetUtilizationRates(gpu).gpu))
