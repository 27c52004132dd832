"""A run of ``mlopt deploy``: every artifact is verified first, then the folder appears as a whole, or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlopt import report as reports
from mlopt.artifact.files import sync, writing
from mlopt.artifact.layout import Role
from mlopt.artifact.signing.base import Trust
from mlopt.artifact.verify import Verified, verify
from mlopt.core.errors import OutputError, UserError
from mlopt.deploy import pages
from mlopt.deploy.contents import ServedContent, served
from mlopt.deploy.derived import Goal
from mlopt.deploy.engine import ServedTogether, ServingEngine
from mlopt.deploy.ensemble import link
from mlopt.deploy.pod import pod_of


@dataclass(frozen=True)
class DeployRequest:
    """What is asked for; ``artifacts`` are folders, each as ``NAME=FOLDER`` where its name in URLs is to be another."""

    artifacts: tuple[str, ...]
    engine: ServingEngine
    output: Path
    trust: Trust | None = None
    goal: Goal = field(default_factory=Goal)


def deploy(request: DeployRequest) -> dict[str, Any]:
    """Write the folder; return what is in it, and how it is started.

    Raises ``IntegrityError`` for an artifact that is not what was signed, before anything is written; ``UserError``
    for one that no engine here can serve; ``OutputError`` where the folder cannot be written, or holds something.
    """
    check_place(request.output)
    with tempfile.TemporaryDirectory(prefix="mlopt-deploy-") as private:
        contents = tuple(
            _content(given, request, Path(private) / str(place)) for place, given in enumerate(request.artifacts)
        )
        _check_names(contents)
        joined, why = link(contents) if request.engine.links else (None, "the engine cannot link models by itself")
        deployment = ServedTogether(
            name=_label(contents), contents=contents, link=joined,
            pod=pod_of([each.settings for each in contents], request.engine.base_mib, in_turn=joined is not None),
        )  # fmt: skip
        with _appearing(request.output) as new:
            files = pages.write(new, request.engine, deployment)
    return _told(request, deployment, why, files)


def check_place(out: Path) -> None:
    """Raise ``OutputError`` unless a new folder can be written at ``out``."""
    if out.is_symlink() or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
        raise OutputError(
            "this is there already, and is not overwritten", where=str(out), expected="an empty or absent directory",
            fix="choose another with -o DIR, or move what is there away",
        )  # fmt: skip


def _content(given: str, request: DeployRequest, copy: Path) -> ServedContent:
    """Verify an artifact, and read of the private copy what it is served by."""
    name, folder = named(given)
    verified = verify(folder, request.trust, copy_to=copy)
    report = reports.read(verified.directory / verified.manifest.file_of(Role.REPORT))
    return served(verified, report, request.goal, name)


def named(given: str) -> tuple[str | None, Path]:
    """Part ``NAME=FOLDER``; a folder that has such a name itself is that folder."""
    name, equals, folder = given.partition("=")
    if not equals or Path(given).exists() or "/" in name:
        return None, Path(given)
    return name, Path(folder)


def _check_names(contents: Sequence[ServedContent]) -> None:
    names = [each.name for each in contents]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(
            "two models would have one name", got=", ".join(twice), fix="give one of them another: NAME=ARTIFACT"
        )


def _label(contents: Sequence[ServedContent]) -> str:
    """Return a name as Kubernetes takes it: of the first model, at most 40 characters so that others can follow."""
    letters = "".join(each if each.isalnum() else "-" for each in contents[0].name.lower())
    label = letters[:40].strip("-")
    return label if label[:1].isalpha() else f"m-{label}".rstrip("-")


@contextmanager
def _appearing(out: Path) -> Iterator[Path]:
    """Give a hidden folder that becomes ``out`` at the end; nothing is there if anything goes wrong."""
    target = out.resolve()
    with writing(out):
        target.parent.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        new.chmod(0o755)
    try:
        yield new
        with writing(out):
            sync([*new.rglob("*"), new])
            if target.is_dir():
                target.rmdir()  # it is empty, or this is refused
            os.rename(new, target)  # noqa: PTH104 - never into a folder that appeared meanwhile
            sync([target.parent])
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _told(request: DeployRequest, deployment: ServedTogether, why: str, files: Sequence[str]) -> dict[str, Any]:
    return {
        "output": str(request.output), "engine": request.engine.name, "start": request.engine.local,
        "models": [_model(each) for each in deployment.contents],
        "ensemble": None if deployment.link is None else deployment.link.name,
        **({"ensemble_why": why} if len(deployment.contents) > 1 else {}),
        "pod": _figures(vars(deployment.pod)), "files": list(files),
    }  # fmt: skip


def _model(content: ServedContent) -> dict[str, Any]:
    verified: Verified = content.verified
    return {
        "name": content.name, "version": content.version, "digest": content.digest, "signer": verified.signer,
        "verdict": content.manifest.verdict, "settings": _figures(vars(content.settings)),
    }  # fmt: skip


def _figures(derived: Mapping[str, Any]) -> dict[str, Any]:
    return {name: {"value": each.value, "why": each.why} for name, each in derived.items()}
