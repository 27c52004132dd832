"""Write what is stored of mlopt beside its rivals as Markdown, docs/results.md, and as pictures beside it.

python -m peers.page        (with benchmarks/ on the path)
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from precision_contenders import FP32, MLOPT
from precision_figures import DOCS, RESULTS
from precision_page import machine, plain, speedup
from runtimes_figures import interval
from runtimes_page import TITLES

from mlopt.report.facts import ms, size
from peers import figures
from peers.picture import drawn

PAGE = "results.md"
HEAD = f"""\
# Results: mlopt beside other tools

Measured by `make peers`; this page is `python -m peers.page`, and nobody edits it. What the recipes come to by
themselves stands in [recipes-measured.md](recipes-measured.md), every form that mlopt chooses from in
[runtimes-measured.md](runtimes-measured.md), INT8 alone in [precision.md](precision.md).

Every row is a real model as its author ships it, or mlopt's plain FP32 export of the PyTorch module, with real inputs.
The baseline is that file in ONNX Runtime with its defaults, which are all optimizations. mlopt gets a recipe with the
limits as gates; what is timed of it is its artifact, verified, opened as its manifest says. The other tools get their
defaults and the same samples to calibrate with, each in an environment of its own; OpenVINO also gets fixed shapes,
with which it is faster. Tools for PyTorch start from the module, and are in the rows that have one. All contenders are
judged in their own runtime on the same samples, and timed in one interleaved run: a process for each, the same threads,
batch 1, a second copy of the baseline among them. Ratios have 95 % intervals.

- *Limits*: cosine to FP32's outputs at least 0.99; the same class, or verdict of speech, on 95 % of the samples;
  labelled accuracy within 0.5 points; 99 % of the characters that FP32 reads. The figures are held against them, not
  their intervals.
- *Best rival*: the one with the shortest median of those that keep the limits; the baseline is one of them. mlopt
  *wins* where all of the interval of the direct ratio lies above 1. What misses a limit is no answer; mlopt's counts as
  the baseline then.
- *Noise floor*: how far the two copies of the baseline differed.
- *Made in*, *memory*: wall time, and the largest process, of making the model; mlopt's holds its search with all its
  measuring, the gates and the signed report. A dash where the source itself is opened.
- *Lines*: what a user writes to get and open the model, without reading data and without judging. mlopt's recipe also
  says where data is, and the limits.
- The geometric mean asked for is {figures.AIM:g}x the best rival.
"""
WON = {"yes": "**wins**", "even": "even", "no": "**does not win**"}


def main() -> None:
    """Read the stored results and write the page and its pictures."""
    (DOCS / PAGE).write_text(page(documents(), first_hour()), encoding="utf-8")
    for kind, document in documents().items():
        for theme in ("light", "dark"):
            drawn(document, TITLES[kind], DOCS / "images" / picture(kind, theme), dark=theme == "dark")


def documents() -> dict[str, dict[str, Any]]:
    """Return what is stored, by the kind of CPU."""
    files = sorted(RESULTS.glob("peers_*.json"))
    return {path.stem.removeprefix("peers_"): read(path) for path in files}


def first_hour() -> dict[str, Any]:
    """Return what a newcomer's waiting was measured to be."""
    return read(RESULTS / "first_hour.json")


def read(path: Path) -> dict[str, Any]:
    """Read a document."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def picture(kind: str, theme: str) -> str:
    """Return the name of a picture."""
    return f"peers-{kind}-{theme}.svg"


def page(found: Mapping[str, Mapping[str, Any]], newcomer: Mapping[str, Any]) -> str:
    """Return the whole page."""
    lines = [HEAD]
    for kind, document in found.items():
        lines += [f"## {TITLES[kind]}", "", *shown(kind), "", *summary(document), *starts(document)]
        lines += [line for name, row in document["cases"].items() for line in section(name, row)]
        lines += [*machine(document), ""]
    if not found:
        lines += ["No comparison is stored.", ""]
    return "\n".join([*lines, *waited(newcomer)]) + "\n"


def shown(kind: str) -> Iterator[str]:
    """Yield the picture, in the colours of whoever reads."""
    words = "Speedup over ONNX Runtime FP32 of mlopt and every rival, row by row"
    yield "<picture>"
    yield f'  <source media="(prefers-color-scheme: dark)" srcset="images/{picture(kind, "dark")}">'
    yield f'  <img alt="{words}" src="images/{picture(kind, "light")}">'
    yield "</picture>"


def summary(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each row, the mean, and why mlopt does not win where it does not."""
    rows = document["cases"]
    yield "| row | baseline | mlopt | best rival that keeps the limits | mlopt beside it | |"
    yield "|---|---|---|---|---|---|"
    for name, row in rows.items():
        best, each = row["against_best"], row["contenders"]
        rival = f"{plain(best['best'])} {speedup(each[best['best']])}".strip()
        cells = (name, latency(each[FP32]), kept_speedup(each[MLOPT]), rival, interval(best), WON[best["wins"]])
        yield "| " + " | ".join(cells) + " |"
    yield ""
    if rows:
        won = sum(row["against_best"]["wins"] == "yes" for row in rows.values())
        mean = figures.mean(rows.values())
        yield f"Geometric mean beside the best rival of each row: **{mean:.2f}x**. It wins {won} of {len(rows)}."
        yield ""
    for name, row in rows.items():
        if why := figures.reason(row):
            yield f"- {name}: {plain(why)}."
    yield from (f"- {name} has no row: {plain(why)}." for name, why in document["missing"].items())
    yield ""


def starts(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield what each tool takes to start."""
    yield "| tool | started by | CPU time |"
    yield "|---|---|---|"
    for tool, each in document["starts"].items():
        took = f"{each['cpu_s']:.2f} s" if "cpu_s" in each else f"failed: {plain(each['failed'])}"
        yield f"| {tool} | `{each['what']}` | {took} |"
    yield ""


def section(name: str, row: Mapping[str, Any]) -> Iterator[str]:
    """Yield the table of one row."""
    scores = list(row["contenders"][FP32]["quality"])
    samples, bars = row["samples"], ", ".join(f"{score} {bar:.4g}" for score, bar in row["bars"].items())
    counts = f"{samples['calibration']} samples calibrate, {samples['evaluation']} judge"
    timed = f"{row['seconds']:g} s for each contender in each of {row['processes']} processes"
    yield f"### {name}"
    yield ""
    yield f"{'; '.join(row['model']['inputs'])}. {counts}. Limits: {bars}."
    yield f"Noise floor {row['noise_floor']:.1%}, {timed}. Measured {row['created']}."
    yield ""
    yield f"| | p50 | speedup | {' | '.join(scores)} | keeps the limits | size | made in | memory | lines |"
    yield "|---|---|---|" + "---|" * (len(scores) + 5)
    for title, each in ordered(row["contenders"]):
        yield "| " + " | ".join(cells(title, each, scores)) + " |"
    yield ""
    if row["mlopt"]["shipped"]:
        command = " ".join(["mlopt", *row["mlopt"]["command"]])
        yield f"`{command}` ships: {plain(row['mlopt']['shipped'])}."
        yield ""


def ordered(contenders: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the baseline, then mlopt and the rivals from fast to slow, then what failed."""
    return sorted(contenders.items(), key=lambda item: (item[0] != FP32, item[1].get("p50_ms", float("inf"))))


def cells(title: str, each: Mapping[str, Any], scores: list[str]) -> tuple[str, ...]:
    """Return one contender's cells; what failed has its reason where its speedup would be."""
    quality = [f"{each['quality'][score]:.4f}" if "quality" in each else "" for score in scores]
    made = each.get("made", {})
    name = {FP32: "ONNX Runtime FP32", MLOPT: "**mlopt**"}.get(title, plain(title))
    return (
        name,
        latency(each),
        speedup(each),
        *quality,
        kept(each),
        size(each["size_bytes"]) if "size_bytes" in each else "",
        f"{made['seconds']:.0f} s" if made else "-",
        size(made["peak_rss_bytes"]) if made else "-",
        str(each.get("config_lines", "")),
    )


def kept(each: Mapping[str, Any]) -> str:
    """Return whether a contender keeps the limits, and which it misses."""
    if "missed" not in each:
        return ""
    return f"no: {', '.join(each['missed'])}" if each["missed"] else "yes"


def kept_speedup(each: Mapping[str, Any]) -> str:
    """Return a speedup, and what is missed."""
    return speedup(each) + (f", misses {', '.join(each['missed'])}" if each.get("missed") else "")


def latency(each: Mapping[str, Any]) -> str:
    """Return a median with its interval."""
    if "p50_ms" not in each or "failed" in each:
        return "-"
    low, high = each["p50_ci95"]
    return f"{ms(each['p50_ms'])} ({ms(low)} to {ms(high)})"


def waited(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a newcomer waits for."""
    took, where = found["took"], found["environment"]["cpu"]
    model, clone = took["model"], took["clone"]
    low, high = min(model["each"]), max(model["each"])
    phases, parts = model["phases"], clone["parts"]
    yield "## The first hour"
    yield ""
    yield (
        f"`benchmarks/first_hour.py`, on {where['cores']} cores of {where['model']}, {found['created'][:10]}: "
        f"`mlopt --help` takes {took['help']['seconds']:.2f} s of CPU; `mlopt optimize model.onnx --data x.npz` on a "
        f"network of {size(model['bytes'])} with 400 samples and an empty cache {model['seconds']:.1f} s ({low:.1f} to "
        f"{high:.1f}, {len(model['each'])} runs), of which {phases['is it worth it?']:.1f} are trials of optional "
        f"steps and {phases['measure']:.1f} the measuring; from `git clone` to that model optimized, "
        f"{clone['seconds']:.0f} s, of which {parts['install']:.0f} install the packages from an index nearby."
    )


if __name__ == "__main__":
    main()
