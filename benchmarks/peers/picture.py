"""mlopt and its rivals as a picture: a line of marks for each row, from slow to fast."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from precision_contenders import FP32, MLOPT

LIGHT = {"ground": "#ffffff", "ink": "#1f2328", "line": "#d0d7de", "rival": "#57606a", "mlopt": "#0969da"}
DARK = {"ground": "#0d1117", "ink": "#e6edf3", "line": "#30363d", "rival": "#9da7b1", "mlopt": "#58a6ff"}
LEAST, MOST = 0.25, 8.0
"""The speedups that are drawn; what is slower stands at the left edge."""


def drawn(document: Mapping[str, Any], title: str, path: Path, *, dark: bool) -> None:
    """Write the picture of a document, in the format of the file's suffix; as SVG it is the same every time."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    ink, rows = DARK if dark else LIGHT, document["cases"]
    with mpl.rc_context({"svg.hashsalt": "peers", "font.size": 10, "text.color": ink["ink"]}):
        figure, axes = plt.subplots(figsize=(9, 1.4 + 0.5 * len(rows)), facecolor=ink["ground"])
        axes.set_facecolor(ink["ground"])
        for place, row in enumerate(rows.values()):
            _row(axes, place, row["contenders"], row["against_best"]["best"], ink)
        _framed(axes, list(rows), f"{title}: times as fast as ONNX Runtime FP32", ink)
        path.parent.mkdir(exist_ok=True)
        figure.tight_layout()
        undated = {"Date": None} if path.suffix == ".svg" else {}
        figure.savefig(path, facecolor=ink["ground"], metadata=undated)
        plt.close(figure)


def _row(axes: Any, place: int, contenders: Mapping[str, Any], best: str, ink: Mapping[str, str]) -> None:
    """Draw one row: the rivals, filled if they keep the limits, the best of them named, and mlopt over them."""
    for name, each in contenders.items():
        if name == MLOPT or "failed" in each or not (each.get("speedup") or name == FP32):
            continue
        at = _inside(each["speedup"]["median"] if name != FP32 else 1.0)
        face = "none" if each["missed"] else ink["rival"]
        axes.scatter(at, place, s=34, facecolors=face, edgecolors=ink["rival"], linewidths=1, zorder=3)
        if name == best:
            axes.annotate(
                "ONNX Runtime FP32" if name == FP32 else name, (at, place), (0, 7), textcoords="offset points",
                ha="center", fontsize=7, color=ink["rival"],
            )  # fmt: skip
    ours = contenders[MLOPT]
    if ours.get("speedup"):
        low, high = map(_inside, ours["speedup"]["ci95"])
        axes.plot([low, high], [place, place], color=ink["mlopt"], linewidth=2, zorder=4)
        face = "none" if ours["missed"] else ink["mlopt"]
        at = _inside(ours["speedup"]["median"])
        axes.scatter(at, place, s=70, marker="D", facecolors=face, edgecolors=ink["mlopt"], zorder=5)
        text = f"{ours['speedup']['median']:.2f}x"
        placed: dict[str, Any] = {"xytext": (0, -14), "textcoords": "offset points", "ha": "center", "fontsize": 8}
        axes.annotate(text, (at, place), color=ink["mlopt"], **placed)


def _inside(speedup: float) -> float:
    return min(max(speedup, LEAST), MOST)


def _framed(axes: Any, names: list[str], title: str, ink: Mapping[str, str]) -> None:
    """Draw what is around the marks."""
    axes.set_xscale("log", base=2)
    axes.set_xlim(LEAST * 0.93, MOST)
    ticks = [0.25, 0.5, 1, 2, 4, 8]
    axes.set_xticks(ticks, [f"{tick:g}x" for tick in ticks])
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.axvline(1, color=ink["rival"], linewidth=1, zorder=1)
    axes.grid(axis="x", color=ink["line"], linewidth=0.7, zorder=0)
    axes.tick_params(colors=ink["ink"], length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.set_title(title, loc="left", fontsize=11, color=ink["ink"])
    marks = [
        axes.scatter([], [], s=70, marker="D", color=ink["mlopt"], label="mlopt, with its interval"),
        axes.scatter([], [], s=34, color=ink["rival"], label="rival that keeps the limits"),
        axes.scatter([], [], s=34, facecolors="none", edgecolors=ink["rival"], label="misses a limit"),
    ]
    legend = axes.legend(handles=marks, loc="upper center", bbox_to_anchor=(0.45, -0.06), ncols=3, frameon=False)
    for text in legend.get_texts():
        text.set_color(ink["ink"])
