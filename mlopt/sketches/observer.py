"""Sketches of what a server is asked, by the artifact that answered: called from one thread, read from any.

What would take more than a share of the time is left out (``thrift.py``), and counted as offered.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopt.sketches.document import MAX_BYTES, SKETCHES, read
from mlopt.sketches.plan import SketchPlan, plan_like, plan_of
from mlopt.sketches.sketcher import Sketcher
from mlopt.sketches.thrift import Thrift

if TYPE_CHECKING:
    from mlopt.formats.model import TensorSpec
    from mlopt.runtimes.base import Array


def plan_in(folder: Path, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> SketchPlan:
    """Return the plan for a verified artifact's folder: like its own sketches, or of its model if it has none."""
    file = folder / SKETCHES
    if not file.exists():
        return plan_of(inputs, outputs)
    with file.open("rb") as stream:
        return plan_like(read(stream.read(MAX_BYTES + 1), str(file)))


class SketchObserver:
    """Looks at requests and answers. ``plan_for`` gives the plan of the artifact of a digest, asked once for each.

    That is ``plan_in`` its folder; None: not sketched.
    """

    def __init__(self, plan_for: Callable[[str], SketchPlan | None], thrift: Thrift | None = None) -> None:
        self._plan_for, self._thrift = plan_for, thrift or Thrift()
        self._sketchers: dict[tuple[str, str], Sketcher | None] = {}
        self._lock = threading.Lock()

    def seen(self, model: str, digest: str, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> None:
        """Look at one request and its answer, each [rows, ...]."""
        key = (model, digest)
        with self._lock:
            if key not in self._sketchers:
                plan = self._plan_for(digest)
                self._sketchers[key] = None if plan is None else Sketcher(plan)
            sketcher = self._sketchers[key]
            if sketcher is None:
                return
            if self._thrift.may_begin():
                sketcher.add(inputs, outputs)
                self._thrift.end()
            else:
                sketcher.skip(len(next(iter(inputs.values()), ())))

    def document(self, model: str) -> dict[str, Any]:
        """Return what was seen so far, by digest, as JSON has it."""
        with self._lock:
            return {
                digest: sketcher.document(digest).model_dump(mode="json", by_alias=True)
                for (name, digest), sketcher in self._sketchers.items()
                if name == model and sketcher is not None
            }
