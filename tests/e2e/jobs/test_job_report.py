"""Job 8: the report of a real run, looked at on a desk, on a phone, in the dark and on paper."""

from __future__ import annotations

import re

import pytest
from browser import DARK, MOST_PAGES, TALLEST, browse, chromium_needed, layout_height, pages, traffic
from small_graphs import write_classifier
from user_jobs import Job

pytestmark = chromium_needed


def test_the_report_of_a_run_is_read_anywhere(job: Job) -> None:
    model, data = write_classifier(job.folder)
    told = job.mlopt("optimize", model, "--data", data, "-o", "out", "--quick", code=None)
    assert told.returncode in {0, 1, 3}, told.stderr
    page = (job.folder / "out" / "report.html").read_text(encoding="utf-8")
    for width, most in TALLEST.items():
        assert layout_height(job.folder, page, width) < most
        assert traffic(job.folder, page, width) == ([], [])
    assert 1 <= pages(job.folder, page) <= MOST_PAGES
    text = re.sub(r"<[^>]+>", " ", re.sub(r"<(style|pre)\b.*?</\1>", "", page, flags=re.DOTALL))
    assert not re.search(r'[{\[]\s*"|\bNone\b|\bTrue\b', text), "JSON or Python is shown"
    image = pytest.importorskip("PIL.Image", reason="Pillow reads the screenshot")
    for name, options, light in (("light", (), True), ("dark", (DARK,), False)):
        shot = job.folder / f"{name}.png"
        browse(job.folder, page, *options, "--window-size=1280,1400", f"--screenshot={shot}")
        with image.open(shot) as picture:
            assert (picture.convert("L").getpixel((2, 2)) > 128) == light
    card = job.mlopt("report", "out", "--format", "svg").stdout
    assert card.startswith("<svg")
    assert "classifier" in card
