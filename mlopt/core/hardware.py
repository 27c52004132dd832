"""What this machine is: the CPU and its instruction sets, the GPU, and what a report must say to be comparable."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

_CPUINFO = Path("/proc/cpuinfo")
# The sets that decide which INT8 and FP16 kernels a runtime picks; names as Linux prints them in /proc/cpuinfo.
_INTERESTING = (
    "sse4_1", "sse4_2", "avx", "f16c", "fma", "avx2", "avx_vnni", "avx512f", "avx512bw", "avx512vl", "avx512_vnni",
    "avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16",
    "asimd", "asimddp", "asimdhp", "i8mm", "bf16", "sve", "sve2",
)  # fmt: skip
INT8_DOT = frozenset({"avx_vnni", "avx512_vnni", "amx_int8", "asimddp", "i8mm"})
"""Any one of these multiplies and adds INT8 in 32 bits."""
CpuKind = Literal["avx2", "vnni", "bf16"]
"""What decides which kernels runtimes have for an x86 CPU: floats by AVX2, INT8 by VNNI, or bfloat16 as well."""
INSTRUCTIONS_OF: Mapping[CpuKind, str] = {
    "bf16": "AVX512_BF16", "vnni": "VNNI, without AVX512_BF16", "avx2": "AVX2, without VNNI",
}  # fmt: skip
_ON_MACOS = {
    "AdvSIMD": "asimd", "neon": "asimd", "arm.FEAT_DotProd": "asimddp", "arm.FEAT_FP16": "asimdhp",
    "arm.FEAT_I8MM": "i8mm", "arm.FEAT_BF16": "bf16",
}  # fmt: skip
"""What ``sysctl hw.optional`` calls the same sets."""


class Gpu(BaseModel):
    """One CUDA device."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    compute_capability: str
    memory_bytes: int
    driver: str


class Hardware(BaseModel):
    """The machine, as far as speed and numerics depend on it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cpu: str
    architecture: str
    isa: tuple[str, ...]
    cores: int
    memory_bytes: int
    gpu: Gpu | None = None

    @property
    def is_x86(self) -> bool:
        """Whether it runs the kernels for x86."""
        return self.architecture in {"x86_64", "AMD64", "i686"}

    @property
    def has_int8_dot(self) -> bool:
        """Whether one instruction multiplies and accumulates INT8 into 32 bits (VNNI, AMX, Arm dot product).

        Without it, x86 kernels go through a saturating 16-bit accumulator.
        """
        return bool(INT8_DOT & set(self.isa))

    @property
    def cpu_kind(self) -> CpuKind | None:
        """Which of the kinds it is; None for Arm, and for what is older."""
        return kind_of(self.isa)

    @property
    def adds_in_16_bits(self) -> bool:
        """Whether sums of INT8 products can overflow on this CPU (see ``mlopt.formats.onnx.int8``)."""
        return self.is_x86 and not self.has_int8_dot


def kind_of(isa: Collection[str]) -> CpuKind | None:
    """Return which kind a CPU of these instruction sets is; None for Arm, and for what is older."""
    if "avx2" not in isa:  # no Arm CPU has it
        return None
    return "bf16" if {"avx512_bf16", "amx_bf16"} & set(isa) else "vnni" if INT8_DOT & set(isa) else "avx2"


def detect(cpuinfo: Path = _CPUINFO) -> Hardware:
    """Describe this machine. Costs no heavy import; the GPU is asked through the driver's own library only if there."""
    return detect_cpu(cpuinfo).model_copy(update={"gpu": _gpu()})


def detect_cpu(cpuinfo: Path = _CPUINFO) -> Hardware:
    """Describe this machine without its GPU, which takes no driver."""
    text = cpuinfo.read_text(encoding="utf-8", errors="replace") if cpuinfo.exists() else ""
    return parse(text, cores=usable_cores(), memory_bytes=_memory())


def parse(text: str, *, cores: int, memory_bytes: int, gpu: Gpu | None = None) -> Hardware:
    """Read the text of ``/proc/cpuinfo`` (x86 ``flags``, Arm ``Features``), or what macOS's ``sysctl`` prints."""
    flags = set((_field(text, "flags") or _field(text, "Features") or "").split())
    flags |= {name for key, name in _ON_MACOS.items() if _field(text, f"hw.optional.{key}") == "1"}
    return Hardware(
        cpu=_name(text),
        architecture=_architecture(text, flags),
        isa=tuple(flag for flag in _INTERESTING if flag in flags),
        cores=cores,
        memory_bytes=memory_bytes,
        gpu=gpu,
    )


def usable_cores() -> int:
    """Return how many cores this process may use, affinity masks (containers, taskset) respected."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _field(text: str, name: str) -> str | None:
    found = re.search(rf"^{re.escape(name)}\s*:\s*(.+)$", text, re.MULTILINE)
    return found.group(1).strip() if found else None


def _name(text: str) -> str:
    """Return the CPU's name; Arm under Linux gives only the numbers of its designer and of the core."""
    part = _field(text, "CPU part")
    core = f"Arm core {part} of implementer {_field(text, 'CPU implementer')}" if part else None
    return (
        _field(text, "model name")
        or _field(text, "machdep.cpu.brand_string")
        or core
        or platform.processor()
        or "unknown"
    )


def _architecture(text: str, flags: set[str]) -> str:
    """Return what ``platform.machine`` says on the machine that the text is from; of a text that says nothing, here."""
    if "lm" in flags:  # long mode
        return "x86_64"
    if _field(text, "hw.optional.arm64") == "1":
        return "arm64"
    return "aarch64" if "asimd" in flags else platform.machine()


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _gpu() -> Gpu | None:
    """Ask the CUDA driver for its first device; None without a driver or device."""
    import ctypes

    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    count = ctypes.c_int()
    if cuda.cuInit(0) != 0 or cuda.cuDeviceGetCount(ctypes.byref(count)) != 0 or count.value == 0:
        return None
    device, name = ctypes.c_int(), ctypes.create_string_buffer(256)
    memory, major, minor, driver = ctypes.c_size_t(), ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    cuda.cuDeviceGet(ctypes.byref(device), 0)
    cuda.cuDeviceGetName(name, len(name), device)
    cuda.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
    cuda.cuDeviceGetAttribute(ctypes.byref(major), 75, device)  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
    cuda.cuDeviceGetAttribute(ctypes.byref(minor), 76, device)  # ..._MINOR
    cuda.cuDriverGetVersion(ctypes.byref(driver))
    return Gpu(
        name=name.value.decode(),
        compute_capability=f"{major.value}.{minor.value}",
        memory_bytes=memory.value,
        driver=f"{driver.value // 1000}.{driver.value % 1000 // 10}",
    )
