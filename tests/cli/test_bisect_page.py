"""What ``mlopt bisect`` gives to others: tables with every step, every limit, and the nodes to blame."""

from __future__ import annotations

import csv as readers
import io
from dataclasses import replace

from mlopt.bisect.edit import Edited
from mlopt.bisect.finding import Chosen, Finding, StepFigures
from mlopt.bisect.limits import LimitFigure
from mlopt.bisect.suspects import Suspect
from mlopt.cli.bisect_page import csv, markdown

GOOD, BAD = (LimitFigure("fidelity.cosine", ">= 0.99", value, value > 0.9) for value in (0.99961234, 0.48))
EXACT = LimitFigure("fidelity.sqnr_db", ">= 20", None, True)
CHAIN = (
    StepFigures("source", "given", (GOOD, EXACT)),
    StepFigures("simplify", "refused", (), "nothing to do"),
    StepFigures("quantize", "applied", (BAD, EXACT)),
)
NODES = (Suspect("conv2", "Conv", "c2", 31.86, 0.0), Suspect("/a|b", "Conv", None, None, None))
CHOSEN = Chosen(NODES, "calibration", 32, (BAD,), (GOOD,), (GOOD,), Edited("", "", whole=True))
FOUND = Finding(CHAIN, 48, broken_by=2, chosen=CHOSEN, trials=3)


def test_markdown_has_the_steps_and_then_the_nodes() -> None:
    steps, nodes = (part.splitlines() for part in markdown(FOUND).split("\n\n"))
    assert steps[2:] == [
        "| source | given | 0.99961 | exact |", "| 1 simplify | refused |  |  |",
        "| 2 quantize | applied | 0.48 broken | exact |",
    ]  # fmt: skip
    assert nodes[2] == "| conv2 | Conv | c2 | 31.9 | 0.0 |"
    assert len(nodes) == 4
    assert markdown(replace(FOUND, chosen=None)).splitlines() == steps


def test_csv_has_a_row_for_each_step_and_limit_with_figures_in_full() -> None:
    rows = list(readers.DictReader(io.StringIO(csv(FOUND))))
    assert [(row["step"], row["value"], row["holds"]) for row in rows] == [
        ("source", "0.99961234", "yes"), ("source", "", "yes"), ("1 simplify", "", ""),
        ("2 quantize", "0.48", "no"), ("2 quantize", "", "yes"),
    ]  # fmt: skip
    assert rows[0]["limit"] == ">= 0.99"
