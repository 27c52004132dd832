"""How a model is run, in a few words: its runtime, and what that is told beyond its defaults.

Options of a report may be anybody's, and of a runtime that is not known here: then each of them is named.
"""

from __future__ import annotations

import json
from typing import Any

from mlopt.report import facts
from mlopt.results.report import CandidateRecord, Report, Tried
from mlopt.runtimes.base import RuntimeOptions
from mlopt.runtimes.table import BUILTIN

_SPEAKS_FOR_ITSELF = frozenset({"precision", "hint", "device"})
"""Keys whose value says enough."""
_MOST, _LENGTH = 6, 40


def in_words(one: CandidateRecord | Tried, report: Report) -> str:
    """Return runtime and options, such as ``openvino bf16, 1 thread``."""
    return f"{facts.shorten(one.runtime, _LENGTH)} {', '.join(beyond_defaults(one, report))}".rstrip()


def beyond_defaults(one: CandidateRecord | Tried, report: Report) -> tuple[str, ...]:
    """Return each option that is not its runtime's default; of threads, where the baseline has another number."""
    usual = _defaults(one.runtime) | {"threads": report.baseline.options.get("threads")}
    last = sorted(one.options.items(), key=lambda option: option[0] == "threads")
    told = [_word(key, value) for key, value in last if value is not None and value != usual.get(key)]
    return *told[:_MOST], *([f"{len(told) - _MOST} more"] if len(told) > _MOST else [])


def _defaults(runtime: str) -> dict[str, Any]:
    own = next((each.options for each in BUILTIN if each.name == runtime), RuntimeOptions)
    return {key: field.default for key, field in own.model_fields.items() if not field.is_required()}


def _word(key: str, value: Any) -> str:
    name = key.replace("_", " ")
    if isinstance(value, bool):
        text = name if value else f"no {name}"
    elif isinstance(value, int):
        text = f"{value} {name.removesuffix('s') if value == 1 else name}"
    elif isinstance(value, str):
        text = value if key in _SPEAKS_FOR_ITSELF else f"{value} {name}"
    else:
        text = f"{name} {json.dumps(value, ensure_ascii=False)}"
    return facts.shorten(text, _LENGTH)
