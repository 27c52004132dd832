"""``--slo p99=100ms,error_rate=0.1%``: the limits of a service, as gates."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from mlopt.core.errors import GateError, Problem
from mlopt.gate.limits import Gate
from mlopt.gate.vocabulary import METRICS, SERVING, did_you_mean
from mlopt.measure.statistics import PERCENTILES as QUANTILES

PERCENTILES = {"serving.p50_ms": "p50", "serving.p95_ms": "p95", "serving.p99_ms": "p99"}
"""The percentile that each gate on latency limits."""
ERROR_RATE, RPS, UTILIZATION = "serving.error_rate", "serving.rps_at_slo", "serving.utilization"
_LATENCY = {name: metric for metric, name in PERCENTILES.items()}
_ERRORS = "error_rate"
_NUMBER = r"(\d+(?:\.\d*)?|\.\d+)"
_TIME = re.compile(rf"{_NUMBER}\s*(us|ms|s)")
_SHARE = re.compile(rf"{_NUMBER}\s*(%?)")
_MS = {"us": 1e-3, "ms": 1.0, "s": 1e3}
_EXAMPLE = "p99=100ms,error_rate=0.1%"


def parse_slo(text: str) -> tuple[Gate, ...]:
    """Return the limits; raises ``GateError`` with everything that is wrong with them."""
    found: list[Gate] = []
    problems: list[Problem] = []
    for part in text.split(","):
        try:
            found.append(_limit(part))
        except GateError as error:
            problems += error.problems
    twice = sorted({gate.metric for gate in found if sum(other.metric == gate.metric for other in found) > 1})
    problems += [Problem("one figure has two limits", where=f"--slo {text}", got=name) for name in twice]
    if problems:
        raise GateError.of(problems)
    return tuple(found)


def _limit(part: str) -> Gate:
    name, equals, value = (each.strip() for each in part.partition("="))
    if name in _LATENCY:
        time = _TIME.fullmatch(value)
        if time is None or float(time[1]) <= 0:
            raise _refusal(part, "this is no time", value, "a number with its unit, such as 100ms or 0.5s")
        return Gate(metric=_LATENCY[name], max=float(time[1]) * _MS[time[2]])
    if name == _ERRORS:
        share = _SHARE.fullmatch(value)
        limit = float(share[1]) / (100 if share[2] else 1) if share is not None else 2.0
        if not 0 <= limit <= 1:
            raise _refusal(part, "this is no share", value, "a share such as 0.1% or 0.001")
        return Gate(metric=ERROR_RATE, max=limit)
    if not equals:
        raise _refusal(part, "this is no limit", part.strip() or "nothing", _EXAMPLE)
    known = (*_LATENCY, _ERRORS)
    raise _refusal(part, "there is no such limit", name, ", ".join(known), did_you_mean(name, known))


def _refusal(part: str, what: str, got: str, expected: str, fix: str | None = None) -> GateError:
    return GateError(what, where=f"--slo {part.strip()}", got=got, expected=expected, fix=fix)


def check_gates(gates: Iterable[Gate], *, ramp: bool) -> None:
    """Raise ``GateError``, before any load, for every gate that this run could not answer."""
    problems = [*_unanswerable(gates, ramp=ramp)]
    if problems:
        raise GateError.of(problems)


def _unanswerable(gates: Iterable[Gate], *, ramp: bool) -> Iterator[Problem]:
    for gate in gates:
        where = f"gate {gate.metric} {gate.limit}"
        if not gate.metric.startswith(SERVING):
            known = ", ".join(name for name in METRICS if name.startswith(SERVING))
            yield Problem("a load test measures a server, and not this", where, expected=known,
                          fix="mlopt bench, or a recipe, measures a model")  # fmt: skip
        elif gate.metric in (RPS, UTILIZATION) and not ramp:
            yield Problem("which rate is the highest that keeps the limits takes a search", where, fix="add --ramp")


def of_service(gates: Sequence[Gate]) -> tuple[Gate, ...]:
    """Return those that say whether a rate is kept: on latency and on errors."""
    return tuple(gate for gate in gates if gate.metric not in (RPS, UTILIZATION))


def latency_limits(gates: Sequence[Gate]) -> tuple[tuple[float, float], ...]:
    """Return the quantiles of the latency that are limited, each with its milliseconds."""
    named = ((PERCENTILES[gate.metric], gate.max) for gate in gates if gate.metric in PERCENTILES)
    return tuple((QUANTILES[name], limit) for name, limit in named if limit is not None)


def loosest_ms(gates: Sequence[Gate]) -> float:
    """Return the largest limit on a latency, in milliseconds; 0 if there is none."""
    return max((gate.bound for gate in gates if gate.metric in PERCENTILES), default=0.0)
