"""What a model's inputs and outputs look like, in a few kilobytes that can be merged: sketches of their values.

``optimize`` makes them of the evaluation data and of what the shipped model answers to it; a server makes them of what
it is asked. ``plan.py`` says what is sketched of each tensor, ``columns.py`` how arrays become that, ``sketcher.py``
fills a document, ``observer.py`` does that beside a server, ``document.py`` reads and writes it, ``merge.py`` joins
several. ``library.py`` is all that knows the package ``datasketches``; ``kll.py`` and ``distinct.py`` check its bytes,
since a document may come from anybody.
"""

from __future__ import annotations

from mlopt.sketches.document import MAX_BYTES, SKETCHES, PartSketch, Sketches, TensorSketch, read, write
from mlopt.sketches.library import check_installed, installed
from mlopt.sketches.merge import merge
from mlopt.sketches.observer import SketchObserver, plan_in
from mlopt.sketches.plan import SketchPlan, plan_like, plan_of
from mlopt.sketches.sketcher import Sketcher
from mlopt.sketches.thrift import Thrift

__all__ = [
    "MAX_BYTES",
    "SKETCHES",
    "PartSketch",
    "SketchObserver",
    "SketchPlan",
    "Sketcher",
    "Sketches",
    "TensorSketch",
    "Thrift",
    "check_installed",
    "installed",
    "merge",
    "plan_in",
    "plan_like",
    "plan_of",
    "read",
    "write",
]  # fmt: skip
