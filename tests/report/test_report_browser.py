"""The page in a real browser: it loads nothing, logs nothing, and all of it can be read on a phone and on a desk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from random import Random
from types import MappingProxyType

import pytest
from browser import (
    DARK,
    MOST_PAGES,
    TALLEST,
    browse,
    chromium_needed,
    layout,
    layout_height,
    pages,
    traffic,
    unfolded,
)  # fmt: skip
from report_example import EXAMPLE_RECIPE, example_report, example_samples
from tried_example import BF16, Look, tried, tried_report

from mlopt.report import html
from mlopt.results.figures import OperatorTime
from mlopt.results.report import Report

PICTURES = 5
pytestmark = [
    chromium_needed,
    pytest.mark.process,
]


def rendered(report: Report, names: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return the page; ``names`` are those that models of the example have in ``report``."""
    samples = {
        names.get(name, name): [value for block in blocks for value in block]
        for name, blocks in example_samples().items()
    }
    return html.render(report, samples, EXAMPLE_RECIPE)


@pytest.fixture(scope="module")
def page() -> str:
    return rendered(example_report())


@pytest.mark.parametrize("width", [400, 760, 1000, 1280])
def test_every_picture_is_drawn_and_nothing_is_cut_off(tmp_path: Path, page: str, width: int) -> None:
    expected = {"width": width, "wide": [], "pictures": PICTURES, "small": [], "cut": [], "crossed": []}
    assert layout(tmp_path, unfolded(page), width) == expected


@pytest.mark.slow
@pytest.mark.parametrize("width", TALLEST)
@pytest.mark.parametrize("report", [example_report(), tried_report()], ids=["example", "tried"])
def test_a_page_with_its_details_folded_is_not_too_tall(tmp_path: Path, report: Report, width: int) -> None:
    folded, open_ = (layout_height(tmp_path, page, width) for page in (rendered(report), unfolded(rendered(report))))
    assert folded < TALLEST[width]
    assert folded < open_, "there is something to unfold"


@pytest.mark.slow
@pytest.mark.parametrize("report", [example_report(), tried_report()], ids=["example", "tried"])
def test_it_prints_on_four_pages(tmp_path: Path, report: Report) -> None:
    assert 1 <= pages(tmp_path, rendered(report)) <= MOST_PAGES


@pytest.mark.parametrize("width", [400, 1280])
def test_a_report_with_long_names_and_a_large_sweep_fits_too(tmp_path: Path, width: int) -> None:
    report = example_report()
    names = {
        "final": "artifacts/a-model-with-a-long-name/model.onnx",
        "onnx_fp32": "models/before/another-long-one.onnx",
    }
    final = report.final.model_copy(update={"name": names["final"]})
    base = report.baseline.model_copy(update={"name": names["onnx_fp32"]})
    doubted = report.speedup.model_copy(update={"vs": base.name, "control": (1.012, 1.09)})
    sweep = [
        point.model_copy(update={"name": names[point.name], "threads": threads, "concurrency": clients,
                                 "throughput_per_s": point.throughput_per_s * 31})
        for threads in (1, 16) for clients in (1, 128) for point in report.sweep
    ]  # fmt: skip
    kinds = tuple(
        OperatorTime(op_type=f"SimplifiedWideOperation{number}", nodes=1, ms=100.0 / number) for number in range(1, 99)
    )
    long = example_report(
        final=final, baseline=base, references={base.name: base}, speedup=doubted, speedups={base.name: doubted},
        sweep=tuple(sweep), operators=dict.fromkeys(names.values(), kinds),
    )  # fmt: skip
    found = layout(tmp_path, unfolded(rendered(long, names)), width)
    assert found == {"width": width, "wide": [], "pictures": PICTURES + 3, "small": [], "cut": [], "crossed": []}


@pytest.mark.parametrize("width", [400, 760, 1000, 1280])
def test_a_list_of_what_was_tried_fits_too(tmp_path: Path, width: int) -> None:
    expected = {"width": width, "wide": [], "pictures": PICTURES - 2, "small": [], "cut": [], "crossed": []}
    assert layout(tmp_path, unfolded(rendered(tried_report())), width) == expected


@pytest.mark.parametrize("width", [400, 1280])
def test_forty_deployables_in_many_runtimes_fit_too(tmp_path: Path, width: int) -> None:
    random = Random(width)
    looks = tuple(
        Look(f"after a_pass_with_a_long_name ({number})", f"runtime_of_others_{number % 7}", BF16 | {"long": number},
             ms=2 + 8 * random.random(), cosine=1 - 10 ** -random.uniform(0, 8), why_not="of no use " * 20,
             valid=random.random() < 0.5)
        for number in range(60)
    )  # fmt: skip
    report = tried_report(tried=(*tried(), *tried(looks)))
    expected = {"width": width, "wide": [], "pictures": PICTURES - 2, "small": [], "cut": [], "crossed": []}
    assert layout(tmp_path, unfolded(rendered(report)), width) == expected


def test_what_does_not_fit_is_found(tmp_path: Path) -> None:
    text = '<text x="{}" y="50" font-size="20">wide text here</text>'
    drawing = (
        f'<svg class="picture" viewBox="0 0 300 100" width="300">{text.format(5)}{text.format(50)}{text.format(250)}'
    )
    found = layout(tmp_path, f'<body><div style="width:900px">x</div>{drawing}</svg></body>', 400)
    assert found["width"] == 908
    assert len(found["cut"]) == 1
    assert len(found["crossed"]) == 1


@pytest.mark.parametrize("width", [400, 1280])
def test_the_page_asks_for_nothing_and_logs_nothing(tmp_path: Path, page: str, width: int) -> None:
    logged, asked = traffic(tmp_path, page, width)
    assert logged == []
    assert asked == []


def test_a_page_that_loads_and_logs_is_found(tmp_path: Path) -> None:
    bad = '<script>console.error("seen")</script><img src="http://127.0.0.1:9/x.png">'
    logged, asked = traffic(tmp_path, bad, 400)
    assert any("seen" in line for line in logged)
    assert asked == ["http://127.0.0.1:9/x.png"]


@pytest.mark.parametrize("width", [400, 1280])
def test_it_follows_light_and_dark(tmp_path: Path, page: str, width: int) -> None:
    image = pytest.importorskip("PIL.Image", reason="Pillow reads the screenshot")
    corners, inks = [], []
    for name, options in (("light", ()), ("dark", (DARK,))):
        shot = tmp_path / f"{name}.png"
        browse(tmp_path, page, *options, f"--window-size={width},1400", f"--screenshot={shot}")
        with image.open(shot) as picture:
            grey = picture.convert("L")
            corners.append(grey.getpixel((2, 2)))
            inks.append(len(grey.getcolors(256) or ()))
    assert corners[0] > 240
    assert corners[1] < 40
    assert min(inks) > 40, "the page is drawn, not blank"
