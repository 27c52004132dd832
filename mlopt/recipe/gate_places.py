"""Where gates stand, so that a verdict can be shown beside the line that asks for it.

Only files below the working directory are told: of others a report says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mlopt.gate.limits import Gate
from mlopt.recipe.document import Document
from mlopt.recipe.load import Loaded
from mlopt.results.report import GatePlace, GateVerdict

Places = Mapping[tuple[str, str], GatePlace]
"""By a gate's metric and limit, which its verdict has, too; of two that are the same in both, the first."""


def of_recipe(loaded: Loaded) -> Places:
    """Return the places of a recipe's own gates; none if it was made for a bare model, and stands in no file."""
    return of_document(loaded.path, loaded.document, loaded.recipe.gates) if _stands(loaded) else {}


def of_document(path: Path, document: Document, gates: Sequence[Gate]) -> Places:
    """Return the places of the gates that a file has under ``gates``; an override has none."""
    file = _below(path)
    return {} if file is None else dict(reversed([*_places(file, document, gates)]))


def placed(verdicts: Sequence[GateVerdict], places: Places) -> tuple[GateVerdict, ...]:
    """Return the verdicts, each with the place of its gate, where that is known."""
    return tuple(each.model_copy(update={"place": places.get((each.metric, each.limit))}) for each in verdicts)


def _places(file: str, document: Document, gates: Sequence[Gate]) -> Iterator[tuple[tuple[str, str], GatePlace]]:
    for index, gate in enumerate(gates):
        line = document.value_place(("gates", index)).line
        if line:
            yield (gate.metric, gate.limit), GatePlace(file=file, line=line)


def _stands(loaded: Loaded) -> bool:
    try:
        return loaded.path.read_bytes() == loaded.text.encode()
    except OSError:
        return False


def _below(path: Path) -> str | None:
    """Return a path relative to the working directory, with slashes; None if it leads elsewhere."""
    whole, here = path.resolve(), Path.cwd().resolve()
    return whole.relative_to(here).as_posix() if whole.is_relative_to(here) else None
