"""What ``mlopt doctor`` finds of mlopt's extras: which packages of each are installed, and the command that adds it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mlopt.core.check import Check

EXTRAS: Mapping[str, Sequence[str]] = {
    "cpu": ("onnxruntime",),
    "gpu": ("onnxruntime-gpu",),
    "openvino": ("openvino",),
    "torch": ("torch", "onnxscript", "safetensors"),
    "data": ("pillow", "tokenizers"),
    "metrics": ("torchmetrics",),
    "keyless": ("sigstore",),
    "quant": ("neural-compressor-pt", "torchao"),
    "smooth": ("nncf",),
    "prune": ("torch-pruning",),
    "qat": ("torchao",),
    "tensorrt": ("cuda-bindings",),
    "tensorrt-rtx": ("tensorrt-rtx-cu12",),
    "serve": ("starlette", "uvicorn", "prometheus-client"),
    "loadtest": ("aiohttp",),
    "monitor": ("datasketches",),
}
IN_SERVICE = ("serve", "loadtest", "monitor", "keyless")
"""Those that bring an artifact into service."""
_RUNTIMES = frozenset({"cpu", "gpu", "openvino", "tensorrt", "tensorrt-rtx"})


def packages(installed: Mapping[str, str | None], extras: Sequence[str] = tuple(EXTRAS)) -> Iterator[Check]:
    """Check what each extra brings; whether one is lacking that is a runtime, the runtime itself says."""
    from mlopt.core.packages import install_command

    for extra in extras:
        names = EXTRAS[extra]
        missing = [name for name in names if not installed.get(name)]
        found = ", ".join(f"{name} {installed[name]}" for name in names if installed.get(name))
        if not missing:
            yield Check(f"extra {extra}", "ok", found)
        elif extra not in _RUNTIMES:
            yield Check(f"extra {extra}", "note", f"lacks {', '.join(missing)}", install_command(extra))


def installed() -> dict[str, str | None]:
    """Ask each distribution by its own name: here the two builds of ONNX Runtime are not one."""
    from importlib import metadata

    found: dict[str, str | None] = {}
    for name in (name for names in EXTRAS.values() for name in names):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found
