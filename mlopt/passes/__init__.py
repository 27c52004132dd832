"""Every pass that mlopt knows: its own, in this table, and those that other packages bring.

Another package adds passes through the entry-point group ``mlopt.passes``; each entry point names a ``Pass``. Two
passes of one name are an error, whoever brings them.
"""

from __future__ import annotations

from typing import Any

from mlopt import plugins
from mlopt.passes import bf16, export, fp16, fuse, neural_compressor, quantize, simplify
from mlopt.passes.base import Pass

BUILTIN: tuple[Pass[Any], ...] = (
    export.PASS,
    neural_compressor.PASS,
    simplify.PASS,
    quantize.PASS,
    fp16.PASS,
    bf16.PASS,
    fuse.PASS,
)


def table() -> dict[str, Pass[Any]]:
    """Return all passes by name; raises ``PluginError`` for two of one name or a plug-in that does not load."""
    return plugins.extended("mlopt.passes", BUILTIN, Pass, "pass")
