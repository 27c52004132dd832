"""Whether a model answers rows together as it does alone, which shapes do not tell: it is asked, with made-up inputs.

A first axis may be time, or a norm may be over the whole batch; then joined requests would get other answers than each
alone. A model in dynamic INT8 scales by the batch, so its answers depend on the company. Nobody measured how good they
are in it, so its requests are joined only where the user says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from mlopt.core.errors import MloptError
from mlopt.data.feeds import batches
from mlopt.data.made_up import fit
from mlopt.results.figures import Fidelity
from mlopt.runtimes.base import Session
from mlopt.serve.agreement import relative_error, same
from mlopt.serve.joining import Joining, parted

Arrays = Mapping[str, NDArray[Any]]
_TIMES = 2.0
"""Both answers may be off by what the fidelity says, in different directions."""


def reason_not_to_join(
    session: Session, joining: Joining, fidelity: Fidelity | None, *, stated: bool = False
) -> str | None:
    """Return why requests are not to be joined, in words; None if rows are answered as alone.

    With ``stated`` answers may differ by twice what the artifact says of its fidelity, else by rounding alone. Runs the
    model a few times, which also warms it up.
    """
    try:
        alone = list(_requests(session))
        apart = [session.run(feeds) for feeds in alone]
        answers = list(parted(session.run(joining.joined(alone)), [joining.rows(feeds) for feeds in alone]))
    except MloptError as error:
        return f"it could not be tried with inputs that were made up: {error.brief[:200]}"
    allowed = _TIMES * fidelity.relative_error if fidelity else 0.0
    pairs = [each for each in zip(apart, answers, strict=True) if not same(*each, {})]
    if any(relative_error(*pair) > allowed for pair in pairs):
        return "it answers rows together otherwise than alone"
    if pairs and not stated:
        return "its answers depend on the batch, within its fidelity; --max-batch N joins requests all the same"
    return None


def warm_up(session: Session) -> str | None:
    """Run the model once; return why that was not possible."""
    try:
        fit(session.inputs, session.run, 1, {})
    except MloptError as error:
        return f"it could not be tried with inputs that were made up: {error.brief[:200]}"
    return None


def _requests(session: Session) -> Sequence[Arrays]:
    """Return two requests, of the first sample and the last."""
    samples = fit(session.inputs, session.run, 1, {})
    count = len(next(iter(samples.inputs.values())))
    return [next(batches(samples, session.inputs, 1, [row]))[0] for row in (0, count - 1)]
