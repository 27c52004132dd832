"""The rule of the three verdicts, and what it would take to reach one of the other two."""

from __future__ import annotations

import math

from mlopt.gate.evidence import Evidence
from mlopt.gate.limits import Gate
from mlopt.report.control import outside
from mlopt.results.section import Verdict


def rule(gate: Gate, evidence: Evidence) -> Verdict:
    """Return pass if the whole interval is within the limit, fail if it is all beyond, else inconclusive.

    The interval of a doubted ratio is widened, either way, by as much as the A/A control was off.
    """
    if evidence.value is None or within_noise(gate, evidence):
        return "inconclusive"
    low, *_, high = sorted([evidence.value, *(evidence.interval or (evidence.value,))])
    low, high = low / evidence.reach, high * evidence.reach
    least = -math.inf if gate.min is None else gate.min
    most = math.inf if gate.max is None else gate.max
    if least <= low and high <= most:
        found: Verdict = "pass"
    else:
        found = "fail" if high < least or low > most else "inconclusive"
    return "inconclusive" if overclaims(gate, evidence, found) else found


def overclaims(gate: Gate, evidence: Evidence, verdict: Verdict) -> bool:
    """Whether a verdict means that one model is faster or slower, and the ratio is no further from 1 than the noise.

    That a speedup of 1.03 is at least 0.97 claims no difference; that it is at least 1.01, or that one of 0.98 is not
    at least 1, does.
    """
    if evidence.noise_floor <= 0 or evidence.value is None or verdict == "inconclusive":
        return False
    passed, bound = verdict == "pass", gate.bound
    faster = (passed and gate.min is not None and bound > 1) or (not passed and gate.max is not None and bound >= 1)
    slower = (passed and gate.max is not None and bound < 1) or (not passed and gate.min is not None and bound <= 1)
    side = outside(evidence.value, evidence.noise_floor)
    return (faster and side <= 0) or (slower and side >= 0)


def within_noise(gate: Gate, evidence: Evidence) -> bool:
    """Whether a ratio is no further from its limit than the A/A control came out from 1.

    Asked of reports without the control's interval; where there is one, ``Evidence.doubt`` says what it means.
    """
    if evidence.noise is None or not evidence.value or evidence.value < 0 or gate.bound <= 0:
        return False
    return max(evidence.value / gate.bound, gate.bound / evidence.value) <= 1 + evidence.noise


def times_as_many(gate: Gate, evidence: Evidence) -> float:
    """Return how many times as many samples would decide, were the figure what it seems; infinite if none would.

    An interval shrinks with the square root of its samples, but for the part of it that another run brought along.
    """
    if evidence.value is None or evidence.interval is None:
        return math.inf
    distance, fixed = abs(gate.bound - evidence.value), evidence.fixed
    end = max(evidence.interval) if gate.bound > evidence.value else min(evidence.interval)
    half = abs(end - evidence.value)
    if distance <= fixed:
        return math.inf
    return max((half - fixed) / (distance - fixed) * (half + fixed) / (distance + fixed), 1.0)


def is_fixed(gate: Gate, evidence: Evidence) -> bool:
    """Whether the stored run's own share of the interval reaches the limit, so that no longer run of this one helps."""
    return evidence.value is not None and 0 < abs(gate.bound - evidence.value) <= evidence.fixed
