"""What of OpenVINO's options is worth a try for a model: each changes how it is computed, and not what.

Not among them are bfloat16, which is lossy, and threads bound to cores: those gain on a machine of one's own, and where
others compute they lose much more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlopt.core.target import Objective
from mlopt.formats.model import Model
from mlopt.runtimes.fewer_threads import fewer_threads
from mlopt.runtimes.openvino_options import OpenVinoOptions


def tunings(_model: Model, options: OpenVinoOptions, objective: Objective) -> Mapping[str, OpenVinoOptions]:
    """Return the changes: streams are for several inferences at a time, of which only throughput has any."""
    found: dict[str, dict[str, Any]] = {}
    for each in fewer_threads(options.threads):
        found[f"threads: {each}"] = {"threads": each}
    if objective is Objective.THROUGHPUT:
        streams = sorted({2, options.threads // 2, options.threads} - {0, 1})
        for each in (each for each in streams if each <= options.threads):
            found[f"hint: throughput, streams: {each}"] = {"hint": "throughput", "streams": each}
        found["hint: throughput"] = {"hint": "throughput"}
    changed = {name: options.model_copy(update=changes) for name, changes in found.items()}
    return {name: each for name, each in changed.items() if each != options}
