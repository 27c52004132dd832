"""Whether the generator kept its own times: figures of a load that was not put on are no figures of the server."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlopt.loadtest.arrivals import Floats
from mlopt.loadtest.volley import UNSENT, Volley

SHARE = 0.1
"""Of a limit on a percentile, or else of p99 itself: so late may be the same percentile of what is sent."""
LEAST_MS = 2.0
"""So late it may always be: timers of an operating system are no better."""
_QUANTILE = 0.99
Limits = Sequence[tuple[float, float]]
REMEDY = (
    "run the generator on a machine of its own, or with less load on this one; lower --rate, or share it among several"
)
MORE_IN_FLIGHT = "allow more at a time: --max-in-flight"


def lateness_ms(volley: Volley) -> Floats:
    """Return how long after its moment each request was sent [those sent], at least a microsecond."""
    sent = volley.sent[~np.isnan(volley.sent)]
    return np.maximum(1000 * (sent - volley.moments[~np.isnan(volley.sent)]), 1e-3)


def doubt(volley: Volley, rate: float, most: int, limits: Limits) -> tuple[str, str] | None:
    """Return why a stage is not the load that was asked for and what to do about it; None if it is.

    ``limits`` are those on latency: quantiles, each with its milliseconds. Requests that found ``most`` under way say
    that the server is too slow where ``most`` is more than twice what ``rate`` and the strictest limit have under way;
    where it is not, or there is no limit to tell, they say nothing of the server.
    """
    unsent, strictest = volley.failed.count(UNSENT), min((ms for _, ms in limits), default=None)
    if unsent and (strictest is None or most < 2 * rate * strictest / 1000):
        told = f"{unsent:,} of {len(volley.moments):,} requests were not sent, since {most:,} were under way"
        return told, MORE_IN_FLIGHT
    late = lateness_ms(volley)
    for quantile, allowed in allowed_ms(volley, limits) if len(late) else ():
        found = float(np.quantile(late, quantile))
        if found > allowed:
            told = (
                f"the generator was late: {100 * (1 - quantile):.3g} % of the requests were sent {found:.3g} ms or more"
            )
            return f"{told} after their moment, and {allowed:.3g} ms are allowed", REMEDY
    return None


def allowed_ms(volley: Volley, limits: Limits) -> Limits:
    """Return how late requests may be sent: of each limit's quantile a tenth of the limit, or else a tenth of p99."""
    if not limits:
        took = 1000 * (volley.done - volley.sent)
        took = took[~np.isnan(took)]
        limits = ((_QUANTILE, float(np.quantile(took, _QUANTILE)) if len(took) else 0.0),)
    return tuple((quantile, max(SHARE * limit, LEAST_MS)) for quantile, limit in limits)
