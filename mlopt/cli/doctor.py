"""``mlopt doctor``: what this machine can do, and the command that mends what it cannot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mlopt.cli.doctor_runtimes import Check, Status
from mlopt.cli.table_format import Format, Json, TableFormat, chosen, emit

if TYPE_CHECKING:
    from mlopt.cli.doctor_runtimes import Examined
    from mlopt.cli.settings import ProjectSettings
    from mlopt.core.hardware import Hardware

_HEADS = ("check", "status", "found", "fix")
_COLOURS: dict[Status, str] = {"ok": "green", "note": "yellow", "problem": "red"}


def doctor(format_: Format = TableFormat.TEXT, as_json: Json = False) -> None:
    """Check this machine: packages, runtimes, CPU, GPU, folders.

    Exits with 2 if mlopt cannot optimize here.
    """
    from mlopt.cli import console
    from mlopt.cli.doctor_runtimes import examine_runtimes
    from mlopt.cli.progress import Progress
    from mlopt.core.errors import ExitCode

    wanted = chosen(format_, as_json)
    with Progress(console.err) as progress:

        def notify(name: str) -> None:
            progress.update("looking at what is installed", name)

        examined = examine_runtimes(notify)
        checks = list(examine(examined, notify))
    healthy = all(check.status != "problem" for check in checks)
    if wanted is TableFormat.JSON:
        found = {"runtimes": [one.as_json() for one in examined], "checks": [asdict(check) for check in checks]}
        console.emit_json({"ok": healthy, **found})
    elif wanted is TableFormat.TEXT:
        _show(checks)
    else:
        emit(wanted, _HEADS, ((each.name, each.status, each.found, each.fix or "") for each in checks))
    raise typer.Exit(ExitCode.OK if healthy else ExitCode.USAGE)


def examine(examined: list[Examined], notify: Callable[[str], None]) -> Iterator[Check]:
    """Yield every check; ``examined`` are the runtimes, ``notify`` gets the name of what is looked at next."""
    import platform

    from mlopt import __version__
    from mlopt.artifact.signing.keys import user_key_path
    from mlopt.cli import doctor_runtimes, settings
    from mlopt.core import installation
    from mlopt.core.cache import default_root
    from mlopt.core.distribution import namesake, requirements
    from mlopt.core.hardware import detect

    hardware = detect()
    yield Check("mlopt", "ok", __version__)
    yield from doctor_runtimes.namesake_check(namesake())
    yield Check("python", "ok", f"{platform.python_version()} on {platform.platform()}")
    yield from processor(hardware)
    yield _gpu(hardware)
    runtimes = [one.runtime for one in examined]
    yield from doctor_runtimes.clash_checks(runtimes, hardware, installation.modules())
    yield from packages(_installed())
    yield from doctor_runtimes.runtime_checks(examined, hardware)
    yield from doctor_runtimes.cuda_checks(examined, hardware)
    yield from doctor_runtimes.nncf_checks(notify)
    yield from doctor_runtimes.range_checks(tuple(EXTRAS), requirements())
    yield doctor_runtimes.compiler_check()
    yield from doctor_runtimes.engine_checks(hardware)
    yield settings_check(settings.load())
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
    """Check what each extra brings; whether one is lacking that is a runtime, the runtime itself says."""
    from mlopt.core.packages import install_command

    for extra, names in EXTRAS.items():
        missing = [name for name in names if not installed.get(name)]
        found = ", ".join(f"{name} {installed[name]}" for name in names if installed.get(name))
        if not missing:
            yield Check(f"extra {extra}", "ok", found)
        elif extra not in {"cpu", "gpu", "openvino", "tensorrt", "tensorrt-rtx"}:
            yield Check(f"extra {extra}", "note", f"lacks {', '.join(missing)}", install_command(extra))


def settings_check(found: ProjectSettings) -> Check:
    """Say which defaults hold in this folder, and where they stand."""
    if found.file is None:
        return Check("settings", "ok", "none: no .mlopt.toml, nor [tool.mlopt] in a pyproject.toml, here or above")
    said = ", ".join(f"{key} {value}" for key, value in vars(found).items() if value is not None and key != "file")
    return Check("settings", "ok", f"{found.file}: {said or 'nothing'}")


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
    "prune": ("torch-pruning",),
    "qat": ("torchao",),
    "tensorrt": ("cuda-bindings",),
    "tensorrt-rtx": ("tensorrt-rtx-cu12",),
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
