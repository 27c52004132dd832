"""A gate on one line, as ``--gate`` takes it: ``speedup.median >= 0.97``, or ``speedup.median >= 1.2 vs a.onnx``.

The keys that a line has no room for (``confidence``, ``on_inconclusive``, ``hardware``) are for a file of gates.
"""

from __future__ import annotations

import re

from pydantic import ValidationError

from mlopt.core.errors import GateError
from mlopt.gate.limits import Gate

_EXPECTED = "METRIC >= NUMBER or METRIC <= NUMBER, and `vs NAME` after a ratio, such as 'speedup.median >= 0.97'"
_LINE = re.compile(
    r"\s*(?P<metric>[^\s<>=!]+)\s*(?P<sign>[<>=!]+)\s*(?P<number>[^\s<>=!]\S*)(?P<rest>\s.*)?", re.DOTALL
)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?")
_SIDES = {">=": "min", "<=": "max"}


def parse_gate(text: str) -> Gate:
    """Return the gate that ``text`` describes; raises ``GateError`` with the one thing that is wrong with it."""
    found = _LINE.fullmatch(text)
    if found is None:
        raise _refusal("this is no gate", text, expected=_EXPECTED)
    metric, sign, number, rest = found["metric"], found["sign"], found["number"], (found["rest"] or "").strip()
    if sign not in _SIDES:
        raise _refusal("a gate has a limit that may be reached", text, got=sign, expected=">= or <=")
    if _NUMBER.fullmatch(number) is None:
        raise _refusal("the limit is no number", text, got=number, expected="a number without a unit, such as 0.97")
    word, _, vs = rest.partition(" ")
    if rest and (word != "vs" or not vs.strip()):
        raise _refusal("only `vs NAME` may follow the limit", text, got=rest, expected=_EXPECTED)
    try:
        return Gate.model_validate({"metric": metric, _SIDES[sign]: float(number), "vs": vs.strip() or None})
    except ValidationError as error:
        first = error.errors()[0]
        raise _refusal(str(first.get("ctx", {}).get("error", first["msg"])), text) from error


def _refusal(what: str, text: str, *, got: str | None = None, expected: str | None = None) -> GateError:
    return GateError(what, where=f"--gate '{text}'", got=got, expected=expected)
