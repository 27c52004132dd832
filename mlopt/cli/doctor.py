"""``mlopt doctor``: what this machine can do, and the command that mends what it cannot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from mlopt.core.hardware import Hardware

Status = Literal["ok", "note", "problem"]
_COLOURS: dict[Status, str] = {"ok": "green", "note": "yellow", "problem": "red"}


@dataclass(frozen=True)
class Check:
    """One finding. A ``problem`` makes ``mlopt optimize`` impossible; a ``note`` is worth knowing."""

    name: str
    status: Status
    found: str
    fix: str | None = None


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Check this machine: packages, processor, GPU, folders. Exits with 2 if mlopt cannot optimize here."""
    from mlopt.cli import console
    from mlopt.core.errors import ExitCode

    checks = list(examine())
    healthy = all(check.status != "problem" for check in checks)
    if as_json:
        console.emit_json({"ok": healthy, "checks": [asdict(check) for check in checks]})
    else:
        _show(checks)
    raise typer.Exit(ExitCode.OK if healthy else ExitCode.USAGE)


def examine() -> Iterator[Check]:
    """Yield every check."""
    import platform

    from mlopt import __version__
    from mlopt.artifact.signing.keys import user_key_path
    from mlopt.core.cache import default_root
    from mlopt.core.hardware import detect

    hardware = detect()
    yield Check("mlopt", "ok", __version__)
    yield Check("python", "ok", f"{platform.python_version()} on {platform.platform()}")
    yield from processor(hardware)
    yield _gpu(hardware)
    installed = _installed()
    yield from packages(installed)
    if installed.get("onnxruntime") or installed.get("onnxruntime-gpu"):
        yield _providers(hardware)
    yield folder("cache", default_root(), "MLOPT_CACHE")
    yield folder("keys", user_key_path().parent, "MLOPT_CONFIG")


def processor(hardware: Hardware) -> Iterator[Check]:
    """Say what the processor means for INT8."""
    yield Check("cpu", "ok", f"{hardware.cpu}; {hardware.cores} cores; {hardware.memory_bytes / 2**30:.1f} GiB")
    sets = ", ".join(hardware.isa) or "no set that matters here"
    if hardware.has_int8_dot:
        yield Check("instructions", "ok", f"{sets}: INT8 products add up in 32 bits, so INT8 can be much faster")
    else:
        meaning = "no INT8 dot product: INT8 may be slower than FP32, and 16-bit sums can saturate"
        yield Check(
            "instructions", "note", f"{sets}: {meaning}", "mark quantize `optional: true`, so that it must help"
        )


def packages(installed: dict[str, str | None]) -> Iterator[Check]:
    """Check ONNX Runtime, which everything needs once and only once, and what each extra brings."""
    from mlopt.core.packages import install_command

    cpu, gpu = installed.get("onnxruntime"), installed.get("onnxruntime-gpu")
    if cpu and gpu:
        yield Check(
            "onnxruntime", "problem", f"onnxruntime {cpu} and onnxruntime-gpu {gpu} overwrite each other's files",
            "pip uninstall onnxruntime onnxruntime-gpu, then install one of the two again",
        )  # fmt: skip
    elif not (cpu or gpu):
        fix = f"{install_command('cpu')}, or {install_command('gpu')} with a CUDA GPU"
        yield Check("onnxruntime", "problem", "not installed: no model can be run", fix)
    for extra, names in EXTRAS.items():
        missing = [name for name in names if not installed.get(name)]
        found = ", ".join(f"{name} {installed[name]}" for name in names if installed.get(name))
        if not missing:
            yield Check(f"extra {extra}", "ok", found)
        elif extra not in {"cpu", "gpu"}:
            yield Check(f"extra {extra}", "note", f"lacks {', '.join(missing)}", install_command(extra))


def folder(name: str, path: Path, variable: str) -> Check:
    """Check that a folder can be written, or made, without making it."""
    import os

    nearest = next(parent for parent in (path, *path.parents) if parent.exists())
    if nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK):
        return Check(name, "ok", str(path))
    return Check(name, "problem", f"{path} cannot be written", f"make {nearest} writable, or set {variable}")


EXTRAS = {
    "cpu": ("onnxruntime",),
    "gpu": ("onnxruntime-gpu",),
    "openvino": ("openvino",),
    "torch": ("torch", "onnxscript", "safetensors"),
    "data": ("pillow", "tokenizers"),
    "metrics": ("torchmetrics",),
    "keyless": ("sigstore",),
    "quant": ("neural-compressor-pt", "torchao"),
    "smooth": ("nncf",),
}


def _installed() -> dict[str, str | None]:
    """Ask each distribution by its own name: here the two builds of ONNX Runtime are not one."""
    from importlib import metadata

    found: dict[str, str | None] = {}
    for name in (name for names in EXTRAS.values() for name in names):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def _gpu(hardware: Hardware) -> Check:
    gpu = hardware.gpu
    if gpu is None:
        return Check("gpu", "note", "no CUDA GPU or no driver; `device: cpu` is what works here")
    memory = f"{gpu.memory_bytes / 2**30:.1f} GiB"
    return Check("gpu", "ok", f"{gpu.name}, compute {gpu.compute_capability}, {memory}, CUDA {gpu.driver}")


def _providers(hardware: Hardware) -> Check:
    from mlopt.core.errors import MissingPackage
    from mlopt.core.packages import install_command
    from mlopt.runtimes.onnxruntime import import_onnxruntime

    try:
        names = import_onnxruntime().get_available_providers()
    except MissingPackage as error:
        return Check("providers", "problem", str(error.problems[0].got), error.problems[0].fix)
    if hardware.gpu is not None and "CUDAExecutionProvider" not in names:
        fix = f"pip uninstall onnxruntime, then {install_command('gpu')}"
        return Check("providers", "note", f"{', '.join(names)}: the GPU cannot be used", fix)
    return Check("providers", "ok", ", ".join(names))


def _show(checks: list[Check]) -> None:
    from rich.table import Table
    from rich.text import Text

    from mlopt.cli import console

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for check in checks:
        found = Text(check.found)
        if check.fix:
            found.append(f"\n{check.fix}", style="bold")
        table.add_row(check.name, Text(check.status, style=_COLOURS[check.status]), found)
    console.out.print(table)
