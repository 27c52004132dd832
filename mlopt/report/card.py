"""The share card: a report as one picture of 1200 by 630 for a README or a chat, with no font, script or link in it.

It stands alone, so its colours are its own; a viewer that prefers the dark is followed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from mlopt.core.foreign_text import plain
from mlopt.report import facts, top, trust, waterfall
from mlopt.report.facts import Figure, StoryRow
from mlopt.report.svg import PALETTE
from mlopt.report.waterfall import Bar
from mlopt.results.report import Report

WIDTH, HEIGHT = 1200, 630
_EDGE, _COLUMN = 60, 375
_BARS, _ROW, _THICK = 335, 36, 18
_MOST_ROWS = 7
_DIGEST, _NAME, _LINE, _STAGE, _CPU = 12, 34, 38, 22, 40
_VALUE, _WIDE = 66, 0.7
"""The size of the three numbers, and how wide one of their letters is at most, as a share of that."""
_AXES = ((290, 310), (780, 190))
"""Where the bars of latency and of size begin, and how long they are."""
_ROLES = ("paper", "ink", "muted", "line", "reference", "step", "final", "good", "good-soft", "bad", "bad-soft",
          "warn", "warn-soft")  # fmt: skip


def render(report: Report) -> str:
    """Return the SVG."""
    said = ", ".join(f"{one.label} {one.value} ({one.detail})" for one in top.numbers(report))
    title = escape(f"{plain(report.name)}: {report.verdict}. {plain(said)}.")
    body = "\n".join([*_head(report), *_numbers(report), *_bars(report), *_foot(report)])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img">\n<title>{title}</title>\n<style>{_style()}</style>\n'
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="18" class="paper"/>\n{body}\n</svg>\n'
    )


def _style() -> str:
    light, dark = (
        "".join(f".{role}{{fill:{PALETTE[role][shade]}}}" for role in _ROLES)
        + f".dashed{{fill:none;stroke:{PALETTE['muted'][shade]};stroke-dasharray:4 3}}"
        for shade in (0, 1)
    )
    font = 'text{font-family:system-ui,-apple-system,"Segoe UI","Noto Sans",Arial,sans-serif}'
    return f"{font}.bold{{font-weight:680}}{light}@media(prefers-color-scheme:dark){{{dark}}}"


def _text(text: str, x: float, y: float, size: float, role: str = "ink", anchor: str = "start") -> str:
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" class="{role}" text-anchor="{anchor}">'
        f"{escape(plain(text))}</text>"
    )


def _rect(x: float, y: float, wide: float, high: float, role: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(1.0, wide):.1f}" height="{high:g}" rx="3" class="{role}"/>'


def _head(report: Report) -> Iterator[str]:
    word, role = report.verdict.upper(), trust.VERDICT_ROLE[report.verdict]
    wide = 30 + 15 * len(word)
    yield f'<rect x="{_EDGE}" y="46" width="{wide}" height="36" rx="18" class="{role}-soft"/>'
    yield _text(word, _EDGE + wide / 2, 71, 20, f"{role} bold", "middle")
    yield _text(facts.shorten(report.name, _NAME), _EDGE + wide + 18, 73, 28, "ink bold")
    aim = f"optimized for {report.objective}" if report.steps else "measured side by side"
    yield _text(aim, WIDTH - _EDGE, 72, 20, "muted", "end")


def _numbers(report: Report) -> Iterator[str]:
    for place, figure in enumerate(top.numbers(report)):
        role = top.role(report) if place == 0 else "ink"
        yield from _number(figure, _EDGE + place * _COLUMN, role)


def _number(figure: Figure, x: int, role: str) -> Iterator[str]:
    size = min(_VALUE, (_COLUMN - 30) / (_WIDE * max(1, len(figure.value))))
    yield _text(facts.shorten(figure.label, _LINE), x, 128, 20, "muted")
    yield _text(figure.value, x, 200, size, f"{role} bold")
    for line, text in enumerate(figure.detail.split(", ", 1)):
        yield _text(facts.shorten(text, _LINE), x, 232 + 24 * line, 18, "muted")


def _bars(report: Report) -> Iterator[str]:
    every = [(stage, bars) for stage, bars in waterfall.stages(report) if stage.kept]
    yield f'<rect x="{_EDGE}" y="276" width="{WIDTH - 2 * _EDGE}" height="1" class="line"/>'
    for (x, _), column in zip(_AXES, waterfall.columns(report), strict=False):
        yield _text(column.title, x, 312, 18, "muted")
    for row, (stage, bars) in enumerate(_shown(every)):
        yield from _stage(stage, bars, _BARS + row * _ROW)


def _shown(rows: Sequence[tuple[StoryRow, tuple[Bar, ...]]]) -> Sequence[tuple[StoryRow, tuple[Bar, ...]]]:
    """Return as many as there is room for: of too many, the last ones before the result are kept."""
    return rows if len(rows) <= _MOST_ROWS else [*rows[:2], *rows[2 - _MOST_ROWS :]]


def _stage(stage: StoryRow, bars: Sequence[Bar], y: float) -> Iterator[str]:
    weight = " bold" if stage.part == "final" else ""
    yield _text(facts.short_name(stage.label, _STAGE), _EDGE, y + 15, 19, f"ink{weight}")
    for (x, length), bar in zip(_AXES, bars, strict=False):
        yield from _parts(bar, stage.part, x, length, y)
        yield _text(f"{bar.text} {bar.change}".strip(), x + length * bar.end + 10, y + 15, 18, f"ink{weight}")


def _parts(bar: Bar, part: str, x: float, length: float, y: float) -> Iterator[str]:
    for span, role in ((bar.rest, part), (bar.moved, bar.role)):
        if span is not None:
            yield _rect(x + length * span[0], y, length * (span[1] - span[0]), _THICK, role)
    if bar.torn:
        at = x + 0.88 * length
        yield f'<path d="M{at:g} {y + 22:g}l9-26h7l-9 26zm14 0l9-26h7l-9 26z" class="paper"/>'


def _foot(report: Report) -> Iterator[str]:
    environment = report.environment
    machine = f"{facts.shorten(environment.cpu.model, _CPU)}, {environment.cpu.cores} cores"
    yield _text(f"{machine}; {report.created[:10]}; 95 % intervals", _EDGE, HEIGHT - 28, 17, "muted")
    right = f"{report.final.digest.removeprefix('sha256:')[:_DIGEST]}, mlopt {environment.mlopt}"
    yield _text(facts.shorten(right, _LINE), WIDTH - _EDGE, HEIGHT - 28, 17, "muted", "end")
