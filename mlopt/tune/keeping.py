"""The best models of a study so far, on disk: whatever ends it, they are there, with how they are opened."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

from mlopt.core.errors import MloptError
from mlopt.formats import table as formats
from mlopt.runtimes.base import Deployable
from mlopt.runtimes.table import runtime_named

BEST, OWN = "best", "own"
"""Folders of a study: its best valid model so far, and what the recipe came to by itself."""
_HOW = "how.json"


def keep(one: Deployable, folder: Path) -> None:
    """Put a model into ``folder``, in one step, instead of what is there."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        copy = formats.copied(one.model, new, lambda name: name != _HOW)
        how = {
            "kind": one.model.kind, "file": copy.path.relative_to(new).as_posix(), "digest": one.model.digest,
            "runtime": one.runtime, "options": one.options.model_dump(mode="json"),
        }  # fmt: skip
        (new / _HOW).write_text(json.dumps(how, indent=2) + "\n", encoding="utf-8")
        if folder.exists():
            old = new.with_name(f"{new.name}.old")
            folder.rename(old)
            new.rename(folder)
            shutil.rmtree(old)
        else:
            new.rename(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def kept(folder: Path, like: Deployable) -> Deployable | None:
    """Return what ``keep`` put there; None if it is not there, or not as it was.

    ``like`` is a model with the same inputs and outputs.
    """
    try:
        how = json.loads((folder / _HOW).read_text(encoding="utf-8"))
        names = tuple(spec.name for spec in like.model.outputs)
        model = formats.opened(how["kind"], folder / how["file"], None, like.model.inputs, names)
        options = runtime_named(how["runtime"]).options.model_validate(how["options"])
    except (OSError, ValueError, KeyError, MloptError):
        return None
    return Deployable(model, how["runtime"], options) if model.digest == how["digest"] else None
