"""What ``mlopt compare`` found, in words, as JSON and as a page of its own, which needs no network and no script."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from mlopt.core.foreign_text import as_shown, plain
from mlopt.formats.model import Model
from mlopt.report import facts
from mlopt.report.svg import PALETTE, Drawing, Margins, Scale, colour, draw
from mlopt.tensors import TensorComparison, TensorDifference, first_divergence, is_abrupt, quality
from mlopt.tensors.outputs import OutputComparison, OutputDifference

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FIGURES = ("SQNR dB", "channel dB", "cosine", "max abs", "max rel")
COLUMNS = ("node", "operator", "tensor", *_FIGURES)
OUTPUT_COLUMNS = ("output", *_FIGURES)
_CEILING_DB = 80.0
"""What is better than this is drawn here: equal tensors have no ratio at all."""
_HEIGHT = 150.0


@dataclass(frozen=True)
class PageContent:
    """Two models, and how the second differs from the first."""

    a: Model
    b: Model
    data: str
    """Where the samples come from."""
    threshold_db: float
    comparison: TensorComparison
    outputs: OutputComparison | None = None
    """Of the outputs, where one of the two is run in another runtime than the tensors are."""

    @property
    def first(self) -> TensorDifference | None:
        """Where they part."""
        return first_divergence(self.comparison.differences, self.threshold_db)


def headline(evidence: PageContent) -> str:
    """Return the result in one sentence."""
    found, differences = evidence.first, evidence.comparison.differences
    limit = f"{evidence.threshold_db:g} dB"
    if found is None:
        worst = min(differences, key=quality)
        if quality(worst) == math.inf:
            return f"all compared tensors are equal{', in onnxruntime' if evidence.outputs else ''}"
        return f"no tensor is below {limit}: the worst is {_place(worst)}, at {_level(worst)}"
    if found.broken:
        return f"first divergence: {_place(found)}: {found.broken:,} values are NaN or infinite in only one of the two"
    if is_abrupt(found, differences, evidence.threshold_db):
        return f"first divergence: {_place(found)}: {_level(found)}, and {_before(found, differences)}"
    return (
        "no node is at fault by itself: the error builds up, and the first tensor below "
        f"{limit} is {_place(found)}, at {_level(found)}"
    )


def document(evidence: PageContent) -> dict[str, Any]:
    """Return everything for machines; what is infinite becomes null."""
    comparison, first = evidence.comparison, evidence.first
    models = {
        key: {"path": str(model.path), "digest": model.digest} for key, model in (("a", evidence.a), ("b", evidence.b))
    }
    return models | {
        "data": evidence.data,
        "samples": comparison.samples,
        "threshold_db": evidence.threshold_db,
        "compared": len(comparison.differences),
        "tensors": comparison.tensors,
        "summary": headline(evidence),
        "first_divergence": None if first is None else first.tensor,
        "notes": list(comparison.notes),
        "differences": [_finite(asdict(difference)) for difference in comparison.differences],
        "outputs": None if evidence.outputs is None else _of_outputs(evidence.outputs),
    }


def _of_outputs(found: OutputComparison) -> dict[str, Any]:
    return asdict(found) | {"differences": [_finite(asdict(each)) for each in found.differences]}


def cells(difference: TensorDifference) -> tuple[str, ...]:
    """Return a row of the table: a text for each of ``COLUMNS``."""
    mark = " (output)" if difference.is_output else ""
    name = plain(difference.tensor) + mark
    return plain(difference.node), plain(difference.op_type), name, *_figures(difference)


def output_cells(difference: OutputDifference) -> tuple[str, ...]:
    """Return a row of the table of outputs: a text for each of ``OUTPUT_COLUMNS``."""
    return plain(difference.output), *_figures(difference)


def _figures(difference: TensorDifference | OutputDifference) -> tuple[str, ...]:
    return (
        _decibels(difference.sqnr_db), _decibels(difference.channel_db), f"{difference.cosine:.5f}",
        "NaN or inf" if difference.broken else f"{difference.max_abs:.4g}", f"{difference.max_rel:.3g}",
    )  # fmt: skip


def outputs_headline(found: OutputComparison) -> str:
    """Say in what the outputs of both were computed."""
    if found.a == found.b:
        return f"outputs, both in {plain(found.a)}:"
    return f"outputs, the reference in {plain(found.a)} and the other in {plain(found.b)}:"


def coverage(evidence: PageContent) -> str:
    """Return how much was compared, and on what."""
    found = evidence.comparison
    return (
        f"compared {len(found.differences)} of {found.tensors} tensors on {found.samples} "
        f"sample{'' if found.samples == 1 else 's'} ({plain(evidence.data)})"
    )


def render(evidence: PageContent) -> str:
    """Return the page."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("mlopt.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, finalize=as_shown,
    )  # fmt: skip
    environment.filters["plain"] = plain
    drawn = picture(evidence)
    return environment.get_template("compare.html.j2").render(
        evidence=evidence,
        facts=facts,
        headline=headline(evidence),
        coverage=coverage(evidence),
        columns=COLUMNS,
        rows=[(cells(one), quality(one) < evidence.threshold_db) for one in evidence.comparison.differences],
        outputs_headline=None if evidence.outputs is None else outputs_headline(evidence.outputs),
        output_columns=OUTPUT_COLUMNS,
        output_rows=[] if evidence.outputs is None else list(map(output_cells, evidence.outputs.differences)),
        picture=drawn,
        svg=Markup(drawn.svg),  # noqa: S704 - our SVG
        palette=PALETTE,
    )


def picture(evidence: PageContent) -> Drawing:
    """Draw every tensor's ratio from the model's input to its outputs."""
    levels = [min(quality(one), _CEILING_DB) for one in evidence.comparison.differences]
    lowest = min([evidence.threshold_db, *(level for level in levels if level > -math.inf)])
    scale = Scale.over(max(lowest, -40.0), _CEILING_DB, pad=0.05)
    shown = [max(level, scale.low) for level in levels]
    title = "Signal to noise along the graph"

    def paint(axes: Axes) -> None:
        scale.show(axes, "y")
        axes.set_xlim(-1, len(shown))
        axes.axhline(evidence.threshold_db, color=colour("bad"), linewidth=1.0)
        axes.plot(range(len(shown)), shown, color=colour("reference"), linewidth=1.0, zorder=2)
        for role, wanted in (("final", False), ("bad", True)):
            places = [place for place, level in enumerate(levels) if (level < evidence.threshold_db) is wanted]
            axes.plot(places, [shown[place] for place in places], "o", color=colour(role), markersize=3.5, zorder=3)

    caption = (
        f"dB of each compared tensor, the lower of the whole and its median channel, in the order in which they are "
        f"computed; {_CEILING_DB:g} stands for all that is better. The line is the threshold."
    )
    svg = draw("compare", title, _HEIGHT, Margins(left=30, right=6, top=8, bottom=8), paint)
    return Drawing(title, caption, svg)


def _place(difference: TensorDifference) -> str:
    node, tensor = plain(difference.node), plain(difference.tensor)
    return f"node '{node}' ({plain(difference.op_type)}), tensor '{tensor}'"


def _level(difference: TensorDifference) -> str:
    whole, channel = difference.sqnr_db, difference.channel_db
    if whole is not None and channel is not None and channel < whole - 3:
        return f"{channel:.1f} dB in its median channel ({whole:.1f} dB over all)"
    return f"{quality(difference):.1f} dB"


def _before(found: TensorDifference, differences: Sequence[TensorDifference]) -> str:
    """Return how good what the tensor is computed from still is."""
    known = {one.tensor: quality(one) for one in differences}
    worst = min((known[name] for name in found.reads), default=math.inf)
    return "what it is computed from is exact" if worst == math.inf else f"what it is computed from has {worst:.1f} dB"


def _decibels(value: float | None) -> str:
    return "equal" if value is None else f"{value:.1f}"


def _finite(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in fields.items()
    }
