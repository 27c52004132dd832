"""The folder that is written: models, what opens them, the engine's own pages, and how it is run elsewhere."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlopt.artifact.files import hash_files, writing
from mlopt.core.errors import IntegrityError, UserError
from mlopt.core.foreign_text import as_json
from mlopt.deploy.contents import ServedContent
from mlopt.deploy.derived import PLANNED_SHARE, Derived
from mlopt.deploy.engine import Page, ServedTogether, ServingEngine
from mlopt.deploy.rendering import render
from mlopt.deploy.vendored import VENDORED, open_inference

DESCRIPTION = "deployment.json"


def write(folder: Path, engine: ServingEngine, deployment: ServedTogether) -> tuple[str, ...]:
    """Fill an empty folder; return the names of all files in it, sorted. Raises ``OutputError``, ``IntegrityError``."""
    for content in deployment.contents:
        _put_model(folder / engine.folder(content), content)
    told: dict[str, Any] = {"engine": engine, "deployment": deployment, "pod": deployment.pod}
    for page in (*common(engine, deployment), *engine.pages(deployment)):
        text = open_inference() if page.template == VENDORED else render(page.template, {**told, **page.told})
        _put(folder / page.path, text, executable=page.executable)
    return tuple(sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()))


def common(engine: ServingEngine, deployment: ServedTogether) -> Iterator[Page]:
    """Yield the pages that every engine has."""
    ready = list(engine.ready(deployment))
    yield Page("README.md", "common/README.md.j2", {
        "ready": ready, "local": engine.local, "settings": _settings, "figures": list(vars(deployment.pod).items()),
    })  # fmt: skip
    yield Page("requirements.txt", "common/requirements.txt.j2", {"pins": pins(engine, deployment)})
    yield Page("Dockerfile", "common/Dockerfile.j2")
    yield Page(".dockerignore", "common/dockerignore.j2")
    yield Page("healthcheck.py", "common/healthcheck.py.j2", {"paths": ready})
    query = engine.query.replace("NAME", deployment.name)
    for kind in engine.deployment_kinds:
        told = {"ready": ready, "query": query, "planned": round(100 * PLANNED_SHARE)}
        yield Page(f"k8s/{kind}.yaml", f"common/k8s/{kind}.yaml.j2", told)


def _settings(content: ServedContent) -> list[tuple[str, Derived]]:
    return list(vars(content.settings).items())


def pins(engine: ServingEngine, deployment: ServedTogether) -> list[tuple[str, str]]:
    """Return the requirements, each with where its version comes from: the evidence, or the engine.

    What an engine pins goes before what was measured: it takes no other.

    Raises ``UserError`` where two models were measured with different versions: one process has one.
    """
    found: dict[str, tuple[str, str]] = {}
    own = {pin.partition("==")[0] for pin in engine.pins}
    for content in deployment.contents:
        measured = content.measured_with
        for name in (each for each in (content.manifest.runtime, "numpy") if each not in own):
            version = measured.get(name, "").split(" ")[0]
            before = found.get(name, ("", ""))[0]
            if before and version and before != version:
                raise UserError(
                    f"the models were measured with different versions of {name}", where=content.name, got=version,
                    expected=before, fix="deploy them apart, or make one of them again",
                )  # fmt: skip
            if not before:
                found[name] = version, f"{content.name} was measured with it" if version else "the evidence has none"
    measured_ones = [(f"{name}=={version}" if version else name, why) for name, (version, why) in found.items()]
    return [*measured_ones, *((pin, f"{engine.title}, as it was tried") for pin in engine.pins)]


def _put_model(folder: Path, content: ServedContent) -> None:
    """Copy the files that make up the model from the private copy, and hold what was written against their digests."""
    for name in content.files:
        with writing(folder / name):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(content.verified.directory / name, folder / name)
    found = hash_files(folder, sorted(content.files))
    for name, digest in found.items():
        if digest != content.files[name]:
            raise IntegrityError("the file was changed while it was copied", where=name, fix="deploy it again")
    _put(folder / DESCRIPTION, as_json(content.described()) + "\n")


def _put(path: Path, text: str, *, executable: bool = False) -> None:
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        if executable:
            path.chmod(0o755)
