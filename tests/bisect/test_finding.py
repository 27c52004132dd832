"""Whether what was found meets the limits: as it is, with the exclusion, or not at all."""

from __future__ import annotations

from dataclasses import asdict, replace
from json import dumps

import pytest

from mlopt.bisect.edit import Edited
from mlopt.bisect.finding import Chosen, Finding, StepFigures
from mlopt.bisect.limits import LimitFigure
from mlopt.bisect.suspects import Suspect

GOOD = LimitFigure("fidelity.cosine", ">= 0.99", 0.9996, holds=True)
BAD = replace(GOOD, value=0.48, holds=False)
CHOSEN = Chosen(
    (Suspect("conv2", "Conv", "c2", 31.86, None),), "calibration", 32, (BAD,), (GOOD,), (GOOD,),
    Edited("name: new\n", "  - quantize", whole=True),
)  # fmt: skip
CHAIN = (StepFigures("source", "given", (GOOD,)), StepFigures("quantize", "applied", (BAD,)))


@pytest.mark.parametrize(
    ("broken_by", "chosen", "met"),
    [
        (None, None, True),
        (0, None, False),  # the source itself: its place is not "nowhere"
        (1, None, False),
        (1, CHOSEN, True),
        (1, replace(CHOSEN, result=(GOOD, BAD)), False),  # enough for the pass, and broken again at the chain's end
    ],
)
def test_limits_are_met_where_none_is_broken_or_the_end_of_the_chain_meets_them(
    broken_by: int | None, chosen: Chosen | None, met: bool
) -> None:
    assert Finding(CHAIN, 48, broken_by, chosen).met is met


def test_a_finding_is_plain_data() -> None:
    assert '"sqnr_db": 31.86' in dumps(asdict(Finding(CHAIN, 48, 1, CHOSEN)))
