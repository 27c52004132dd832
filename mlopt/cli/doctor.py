"""``mlopt doctor``: what this machine can do, and the command that mends what it cannot.

With ``--deployment`` it is asked of bringing an artifact into service, or of the machine that is to do that.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlopt.cli import signing_options as options
from mlopt.cli.doctor_table import show, show_groups
from mlopt.cli.rollout_options import LEDGER
from mlopt.cli.table_format import Format, Json, TableFormat, chosen
from mlopt.core.check import Check, CheckGroup, passed
from mlopt.core.errors import ExitCode, UserError

if TYPE_CHECKING:
    from mlopt.cli.doctor_runtimes import Examined
    from mlopt.cli.settings import ProjectSettings
    from mlopt.core.hardware import Hardware

_DEPLOYMENT = "Look at bringing an artifact into service; without one, at what this machine has for that."
_ARTIFACT = "With --deployment: the artifact, which is verified first."
_SLO = "What the service is to keep, as of mlopt deploy."
_RATE = "Samples per second that all replicas together are to serve."
_LOADTEST = "Where mlopt loadtest -o has written."
_LEDGER = "The ledger of rollouts."
_ALONE = "--slo, --rate, --key, --root, --identity and --issuer are about an artifact"


def doctor(
    *,
    artifact: Annotated[Path | None, typer.Argument(metavar="ARTIFACT", help=_ARTIFACT, show_default=False)] = None,
    deployment: Annotated[bool, typer.Option("--deployment", help=_DEPLOYMENT)] = False,
    slo: Annotated[str | None, typer.Option("--slo", metavar="p99=TIME", help=_SLO)] = None,
    rate: Annotated[float | None, typer.Option("--rate", metavar="N", min=0, help=_RATE)] = None,
    loadtest: Annotated[Path, typer.Option("--loadtest", metavar="DIR", help=_LOADTEST)] = Path("loadtest"),
    ledger: Annotated[Path, typer.Option("--ledger", metavar="FILE", help=_LEDGER)] = LEDGER,
    key: options.PublicKey = None,
    roots: options.Roots = None,
    identity: options.Identity = None,
    issuer: options.Issuer = None,
    format_: Format = TableFormat.TEXT,
    as_json: Json = False,
) -> None:
    """Check this machine, or an artifact before it is deployed.

    Says of packages, runtimes, CPU, GPU and folders what is there; with --deployment, what is known of a service, and
    what is missing. Exits with 2 if mlopt cannot optimize here, or the artifact cannot be deployed; with 4 if it is not
    what was signed.
    """
    wanted = chosen(format_, as_json)
    signers = (key, roots, identity, issuer)
    _check_about(artifact, deployment, any(each is not None for each in (slo, rate, *signers)))
    if not deployment:
        raise typer.Exit(_machine(wanted))
    if artifact is None:
        raise typer.Exit(_told(wanted, _service(), None))
    from mlopt.cli import doctor_deployment as examining
    from mlopt.deploy.assessment.subject import AssessmentRequest
    from mlopt.deploy.derived import goal_of

    request = AssessmentRequest(
        artifact, options.trust(*signers), examining.signed_as(key, roots, identity), options.trusted_words(*signers),
        goal_of(slo, rate),
    )  # fmt: skip
    found, groups = examining.examine(request, examining.ServiceFiles(loadtest, ledger))
    raise typer.Exit(_told(wanted, groups, examining.as_json(found)))


def _check_about(artifact: Path | None, deployment: bool, of_one: bool) -> None:
    """Raise ``UserError`` for options that would say nothing."""
    if artifact is None and of_one:
        raise UserError(_ALONE, fix="name it: mlopt doctor --deployment ARTIFACT --key PUB")
    if artifact is not None and not deployment:
        fix = f"mlopt doctor --deployment {shlex.quote(str(artifact))}"
        raise UserError("an artifact is only looked at with --deployment", got=str(artifact), fix=fix)


def _service() -> tuple[CheckGroup, ...]:
    import os

    from mlopt.cli import doctor_service, settings

    return doctor_service.machine(settings.load(), os.environ)


def _told(wanted: TableFormat, groups: tuple[CheckGroup, ...], artifact: dict[str, Any] | None) -> ExitCode:
    show_groups(wanted, groups, artifact)
    return _code(passed(groups))


def _code(healthy: bool) -> ExitCode:
    return ExitCode.OK if healthy else ExitCode.USAGE


def _machine(wanted: TableFormat) -> ExitCode:
    """Look at what optimizing takes, print it, and return what it comes to."""
    from mlopt.cli import console
    from mlopt.cli.doctor_runtimes import examine_runtimes
    from mlopt.cli.progress import Progress

    with Progress(console.err) as progress:

        def notify(name: str) -> None:
            progress.update("looking at what is installed", name)

        examined = examine_runtimes(notify)
        checks = tuple(examine(examined, notify))
    healthy = passed((CheckGroup("machine", checks),))
    if wanted is TableFormat.JSON:
        found = {"runtimes": [one.as_json() for one in examined], "checks": [asdict(check) for check in checks]}
        console.emit_json({"ok": healthy, **found})
    else:
        show(wanted, checks)
    return _code(healthy)


def examine(examined: list[Examined], notify: Callable[[str], None]) -> Iterator[Check]:
    """Yield every check; ``examined`` are the runtimes, ``notify`` gets the name of what is looked at next."""
    import platform

    from mlopt import __version__
    from mlopt.artifact.signing.keys import user_key_path
    from mlopt.cli import doctor_extras, doctor_runtimes, settings
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
    yield from doctor_extras.packages(doctor_extras.installed())
    yield from doctor_runtimes.runtime_checks(examined, hardware)
    yield from doctor_runtimes.cuda_checks(examined, hardware)
    yield from doctor_runtimes.nncf_checks(notify)
    yield from doctor_runtimes.range_checks(tuple(doctor_extras.EXTRAS), requirements())
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


def _gpu(hardware: Hardware) -> Check:
    gpu = hardware.gpu
    if gpu is None:
        return Check("gpu", "note", "no CUDA GPU or no driver; `device: cpu` is what works here")
    memory = f"{gpu.memory_bytes / 2**30:.1f} GiB"
    return Check("gpu", "ok", f"{gpu.name}, compute {gpu.compute_capability}, {memory}, CUDA {gpu.driver}")
