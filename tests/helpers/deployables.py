"""Models as tests run them: in the first runtime of their kind, with one thread unless told otherwise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mlopt.formats.model import Model
from mlopt.runtimes.base import Deployable, RuntimeOptions
from mlopt.runtimes.table import deploy


def in_runtime(model: Model, threads: int = 1, **options: Any) -> Deployable:
    default = deploy(model, RuntimeOptions(threads=threads))
    return replace(default, options=type(default.options)(threads=threads, **options))
