"""Where and when figures were found: the machine, and the versions that decide them."""

from __future__ import annotations

import platform
from datetime import UTC, datetime

from mlopt import __version__
from mlopt.core.hardware import Hardware
from mlopt.core.packages import versions
from mlopt.results.report import Cpu, Environment

_REPORTED = ("numpy", "onnx", "onnxruntime", "openvino", "onnxsim", "onnxscript", "torch")


def environment(hardware: Hardware) -> Environment:
    """Describe this machine and the versions that decide the figures."""
    return Environment(
        cpu=Cpu(model=hardware.cpu, isa=hardware.isa, cores=hardware.cores),
        gpu=hardware.gpu.name if hardware.gpu else None,
        os=platform.platform(),
        python=platform.python_version(),
        packages=versions(_REPORTED),
        mlopt=__version__,
    )


def now() -> str:
    """Return the time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
