"""Every pass that mlopt knows: its own, in this table, and those that other packages bring.

Another package adds passes through the entry-point group ``mlopt.passes``; each entry point names a ``Pass``. Two
passes of one name are an error, whoever brings them.
"""

from __future__ import annotations

import pickle
from typing import Any

from mlopt.core import plugins
from mlopt.core.errors import PluginError
from mlopt.passes import (
    bf16,
    distill,
    export,
    fp16,
    fuse,
    neural_compressor,
    prune,
    qat,
    quantize,
    simplify,
    specialize,
    tensorrt,
    tune_session,
)
from mlopt.passes.base import Pass

BUILTIN: tuple[Pass[Any], ...] = (
    prune.PASS,
    distill.PASS,
    qat.PASS,
    export.PASS,
    neural_compressor.PASS,
    specialize.PASS,
    simplify.PASS,
    quantize.PASS,
    fp16.PASS,
    bf16.PASS,
    fuse.PASS,
    tune_session.PASS,
    tensorrt.PASS,
)


def table() -> dict[str, Pass[Any]]:
    """Return all passes by name; raises ``PluginError`` for two of one name or a plug-in that cannot be used."""
    found = plugins.extended("mlopt.passes", BUILTIN, Pass, "pass")
    for pass_ in found.values():
        try:
            pickle.dumps(pass_)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise PluginError(
                f"the pass '{pass_.name}' cannot be handed to its worker", where=pass_.run.__module__, got=str(error),
                expected="functions and a config that stand at the top of a module, no lambda among them",
                fix="repair or uninstall the package that brings it",
            ) from error  # fmt: skip
    return found
