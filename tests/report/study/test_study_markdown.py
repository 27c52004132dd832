"""study.md: the whole study as Markdown, and no text in it that could be taken for markup."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from study_example import example_study, raced

from mlopt.report.study import markdown


def test_the_example(golden: Callable[[str, str], None]) -> None:
    golden("report/study.md", markdown.render(example_study()))


def test_a_study_that_came_to_nothing_has_no_empty_sections() -> None:
    text = markdown.render(example_study(trials=(), recipe=""))
    assert "There is no front" in text or "there is no front" in text
    assert "What each pass is worth" not in text
    assert "The best recipe" not in text
    assert "\n\n\n" not in text


@given(st.text(alphabet="`~ab\n\x1b", max_size=40))
def test_a_recipe_cannot_leave_its_fence(recipe: str) -> None:
    text = markdown.render(example_study(trials=(), recipe=recipe))
    if recipe:
        fence = text.rstrip().splitlines()[-1]
        assert set(fence) == {"`"}
        body = text.partition(f"\n{fence}yaml\n")[2].rpartition(fence)[0]
        assert fence not in body


@settings(max_examples=40, deadline=None)
@given(name=st.text(max_size=30), cause=st.text(max_size=60))
def test_every_table_keeps_its_columns(name: str, cause: str) -> None:
    trials = (
        raced(0, latency_ms=1.0, runtime=name, params={name: name}, accuracy=0.5),
        raced(1, status="failed", valid=None, cause=cause),
    )
    text = markdown.render(example_study(trials=trials, name=name))
    rows = [line for line in text.split("\n") if line.startswith("|")]
    bars = [row.replace("\\\\", "").replace("\\|", "").count("|") for row in rows]
    assert bars[: len(bars)] == [4] * bars.count(4) + [9] * bars.count(9)
    assert bars.count(9) == 3
