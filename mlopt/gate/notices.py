"""What can be foreseen of gates before anything is measured."""

from __future__ import annotations

from collections.abc import Sequence

from mlopt.gate.limits import Gate
from mlopt.measure.accuracy import OF_CLASSES, Metric
from mlopt.measure.statistics import samples_needed

_USUAL_DISAGREEMENT = (0.005, 0.02)  # of a model and its quantized self


def sample_notice(gates: Sequence[Gate], n: int, metric: str | Metric) -> tuple[str, ...]:
    """Say of which limits on a drop it can be foreseen that ``n`` samples will not decide them.

    How many samples it takes hangs on the share on which the two models differ, so two usual shares are named. Of
    metrics other than accuracy and agreement, what a differing sample weighs is not known beforehand.
    """
    if metric not in OF_CLASSES:
        return ()
    notices = []
    for gate in gates:
        if gate.metric != "accuracy.drop_pt" or gate.max is None or gate.max <= 0:
            continue
        few, many = (samples_needed(gate.max, share, (1 - gate.confidence) / 2) for share in _USUAL_DISAGREEMENT)
        if n < many:
            notices.append(
                f"a drop of at most {gate.max:g} pt takes about {few:,} evaluation samples if the models differ on "
                f"{_USUAL_DISAGREEMENT[0]:.1%} of them, {many:,} on {_USUAL_DISAGREEMENT[1]:.0%}; there are {n:,}"
            )
    return tuple(notices)
