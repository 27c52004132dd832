"""Everything in mlopt that parses bytes from strangers, as one table: what hypothesis and atheris both feed.

A target may succeed or raise ``MloptError``. Anything else that comes out is a bug, and so is an input that costs more
CPU time or memory than ``fuzz_base`` allows.
"""

from __future__ import annotations

from fuzz_artifacts import ARTIFACTS
from fuzz_base import Target, feed
from fuzz_inputs import INPUTS

__all__ = ["TARGETS", "Target", "feed"]

TARGETS = (*ARTIFACTS, *INPUTS)
