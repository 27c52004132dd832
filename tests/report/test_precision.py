"""The precision that ran, in words."""

from __future__ import annotations

from report_example import example_report
from tried_example import tried_report

from mlopt.report import html, markdown, precision
from mlopt.results.figures import LayerPrecision


def ran(*parts: tuple[str, int, float | None]) -> tuple[LayerPrecision, ...]:
    return tuple(LayerPrecision(precision=name, layers=layers, share=share) for name, layers, share in parts)


def test_layers_and_their_share_of_the_time() -> None:
    assert precision.lines(tried_report()) == (
        "Precision that ran in final: 41 layers bf16 (87.3 % of the time), 12 f32 (11.8 %), 3 i64 (0.9 %).",
    )
    known = {"final": ran(("u8", 1, None), ("f32", 2, None))}
    assert precision.lines(tried_report(layers=known)) == ("Precision that ran in final: 1 layer u8, 2 f32.",)


def test_a_report_that_does_not_tell_has_no_line() -> None:
    assert precision.lines(example_report()) == precision.lines(tried_report(layers={"final": ()})) == ()


def test_what_a_stranger_made_long_is_short() -> None:
    many = ran(*((f"p{number}", 1, None) for number in range(500)))
    (line, *_) = found = precision.lines(tried_report(layers={f"m{number}": many for number in range(100)}))
    assert len(found) == 4
    assert line.endswith("494 in 494 other precisions.")


def test_it_stands_on_both_pages_with_and_without_operators() -> None:
    for report in (tried_report(), tried_report(operators=example_report().operators)):
        line = precision.lines(report)[0]
        assert line in html.render(report, {}, "").replace("\u00a0", " ")
        head, _, rest = markdown.render(report).partition("## Where the time goes\n\n")
        assert head
        assert rest.startswith(line)
