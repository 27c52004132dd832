"""study.html: everything is in it, nothing of it does anything, and it fits a phone and a desk."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random
from typing import Any

import pytest
from browser import DARK, MOST_PAGES, TALLEST, browse, chromium_needed, layout, layout_height, pages, traffic, unfolded
from study_example import SPACE, example_study, example_trials, raced

from mlopt.report.study import page, rows
from mlopt.results.study import SearchParameter, StudyRecord

PICTURES = 2


def text_of(html: str) -> str:
    body = html.partition("<body>")[2]
    return re.sub(r"<[^>]+>", " ", re.sub(r"<svg.*?</svg>|<pre.*?</pre>", "", body, flags=re.DOTALL))


def long_study() -> StudyRecord:
    """A study of three hundred trials whose names and values are long."""
    random = Random(3)
    long = "a_pass_with_a_rather_long_name"
    space = (
        *SPACE,
        *(SearchParameter(name=f"passes.{long}.setting_{number}", values=tuple(range(40)), default=0)
          for number in range(20)),
    )  # fmt: skip
    trials = tuple(
        raced(
            number, latency_ms=random.uniform(1, 90), accuracy=random.random(),
            runtime=f"runtime_of_others_{number % 9}",
            params={one.name: random.choice(one.values) for one in space}, size_bytes=random.randrange(1, 10**11),
            speedup=random.uniform(0.1, 2000.0), ci95=(0.1, 1234.5), peak_rss_bytes=10**9 * number,
            valid=number % 3 > 0, why_not=None if number % 3 else "of no use " * 30, node=f"machine-{number % 5}",
        )
        for number in range(300)
    )  # fmt: skip
    failed = tuple(
        raced(300 + number, status="failed", valid=None, cause=f"cause {number} " * 20) for number in range(150)
    )
    return example_study(space=space, trials=(*trials, *failed))


def test_every_part_of_the_page_is_there() -> None:
    html = page.render(example_study())
    heads = re.findall(r"<h2>(.*?)</h2>", html)
    assert heads == [
        "The front", "How it was found", "What there is to choose from", "What each pass is worth",
        "Which settings matter", "What the search took", "The best recipe, ready to copy", "Valid, but beaten",
        "Measured, but not to be shipped", "Given up at a cheaper look", "Failed", "The space", "Environment",
    ]  # fmt: skip
    for row in rows.rows(example_study()):
        assert row.point in html.replace("\u00a0", " ")


def test_no_reader_sees_the_braces_of_a_language() -> None:
    trials = (
        raced(0, params={"session": {"a": [1, {"b": None}]}}, latency_ms=1.0, accuracy=0.5),
        *example_trials()[1:],
    )
    assert not set("{}[]") & set(text_of(page.render(example_study(trials=trials))))
    assert "None" not in text_of(page.render(example_study(trials=trials)))


def test_it_has_no_script_and_loads_nothing() -> None:
    html = page.render(example_study())
    assert "default-src 'none'" in html
    assert re.search(r"<(script|link|img|iframe|object)|\bsrc=|\bon\w+=|url\((?!#)", html) is None


def test_the_recipe_stands_with_the_front_to_compare_even_if_it_is_beaten() -> None:
    study = example_study()
    beaten = study.model_copy(update={"front": tuple(one for one in study.front if one)})
    groups = page.groups(rows.rows(beaten))
    assert any(row.is_recipe for row in groups["front"].rows)
    assert any(row.is_recipe for row in groups["valid"].rows)


def test_long_lists_are_cut_and_counted() -> None:
    groups = page.groups(rows.rows(long_study()))
    assert (len(groups["failed"].rows), groups["failed"].more) == (page.MOST, 50)
    assert groups["failed"].hint == "150 trials"
    assert "and 50 more in study.json" in page.render(long_study())


@pytest.mark.parametrize("changes", [{"trials": ()}, {"best": None}, {"front": (), "importance": {}, "worth": ()}])
def test_a_study_that_came_to_little_has_a_page_too(changes: dict[str, Any]) -> None:
    assert "<h1>" in page.render(example_study(**changes))


@chromium_needed
@pytest.mark.process
@pytest.mark.parametrize("width", [400, 760, 1000, 1280])
def test_nothing_is_cut_off(tmp_path: Path, width: int) -> None:
    expected = {"width": width, "wide": [], "pictures": PICTURES, "small": [], "cut": [], "crossed": []}
    assert layout(tmp_path, unfolded(page.render(example_study())), width) == expected


@chromium_needed
@pytest.mark.process
@pytest.mark.parametrize("width", [400, 1280])
def test_long_names_and_many_trials_fit_too(tmp_path: Path, width: int) -> None:
    expected = {"width": width, "wide": [], "pictures": PICTURES, "small": [], "cut": [], "crossed": []}
    assert layout(tmp_path, unfolded(page.render(long_study())), width) == expected


@chromium_needed
@pytest.mark.process
@pytest.mark.parametrize("width", [400, 1280])
def test_it_asks_for_nothing_and_logs_nothing(tmp_path: Path, width: int) -> None:
    assert traffic(tmp_path, page.render(example_study()), width) == ([], [])


@chromium_needed
@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize("width", TALLEST)
def test_with_its_details_folded_it_is_not_too_tall(tmp_path: Path, width: int) -> None:
    assert layout_height(tmp_path, page.render(example_study()), width) < TALLEST[width]


@chromium_needed
@pytest.mark.process
@pytest.mark.slow
def test_it_prints_on_few_pages(tmp_path: Path) -> None:
    assert 1 <= pages(tmp_path, page.render(example_study())) <= MOST_PAGES


@chromium_needed
@pytest.mark.process
def test_it_follows_light_and_dark(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image", reason="Pillow reads the screenshot")
    corners = []
    for name, options in (("light", ()), ("dark", (DARK,))):
        shot = tmp_path / f"{name}.png"
        browse(tmp_path, page.render(example_study()), *options, "--window-size=1280,1400", f"--screenshot={shot}")
        with image.open(shot) as picture:
            corners.append(picture.convert("L").getpixel((2, 2)))
    assert corners[0] > 240
    assert corners[1] < 40
