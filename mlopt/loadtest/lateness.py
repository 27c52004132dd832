"""Whether the generator kept its own times: figures of a load that was not put on are no figures of the server."""

from __future__ import annotations

import numpy as np

from mlopt.loadtest.arrivals import Floats
from mlopt.loadtest.volley import UNSENT, Volley

SHARE = 0.1
"""Of the strictest limit on latency, or else of the latency itself: so late a request may be sent."""
LEAST_MS = 2.0
"""So late it may always be: timers of an operating system are no better."""
_QUANTILE = 0.99
REMEDY = (
    "run the generator on a machine of its own, or with less load on this one; lower --rate, or share it among several"
)
MORE_IN_FLIGHT = "allow more at a time: --max-in-flight"


def lateness_ms(volley: Volley) -> Floats:
    """Return how long after its moment each request was sent [those sent], at least a nanosecond."""
    sent = volley.sent[~np.isnan(volley.sent)]
    return np.maximum(1000 * (sent - volley.moments[~np.isnan(volley.sent)]), 1e-6)


def doubt(volley: Volley, rate: float, most: int, limit_ms: float | None) -> tuple[str, str] | None:
    """Return why a stage is not the load that was asked for and what to do about it; None if it is.

    ``limit_ms`` is the strictest limit on latency. Requests that found ``most`` under way say that the server is too
    slow where ``most`` is more than twice what ``rate`` and the limit have under way; where it is not, or there is no
    limit to tell, they say nothing of the server.
    """
    unsent = volley.failed.count(UNSENT)
    if unsent and (limit_ms is None or most < 2 * rate * limit_ms / 1000):
        told = f"{unsent:,} of {len(volley.moments):,} requests were not sent, since {most:,} were under way"
        return told, MORE_IN_FLIGHT
    late = lateness_ms(volley)
    if not len(late):
        return None
    found, allowed = float(np.quantile(late, _QUANTILE)), allowed_ms(volley, limit_ms)
    if found <= allowed:
        return None
    told = f"the generator was late: 1 % of the requests were sent {found:.3g} ms or more after their moment"
    return f"{told}, and {allowed:.3g} ms are allowed", REMEDY


def allowed_ms(volley: Volley, limit_ms: float | None) -> float:
    """Return how late 1 % of the requests may be sent: a tenth of the limit, or else of what 1 % took."""
    if limit_ms is None:
        took = 1000 * (volley.done - volley.sent)
        took = took[~np.isnan(took)]
        limit_ms = float(np.quantile(took, _QUANTILE)) if len(took) else 0.0
    return max(SHARE * limit_ms, LEAST_MS)
