"""Write what benchmarks/precision.py stored as Markdown: docs/precision.md, and a page for each kind of CPU beside it.

python benchmarks/precision_page.py
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from precision_contenders import FP32, MLOPT
from precision_figures import DOCS, RESULTS

from mlopt.report import markdown, search
from mlopt.report.facts import ms, size

HEAD = """\
# Precision: what `quantize: {mode: auto}` comes to

Measured by `make precision`, which takes half an hour to an hour (`benchmarks/precision.py --update --cases NAME`
measures one case again: each has its time), on two kinds of CPU; these pages are `python benchmarks/precision_page.py`.
Every case is a real model with real inputs. Its FP32 graph after `simplify`, in ONNX Runtime with all optimizations, is
the baseline. mlopt gets the recipe `simplify, quantize: {mode: auto, optional: true}` with the bars below as gates. The
other tools get their defaults, the same calibration samples, and environments of their own
(`benchmarks/precision_requirements/`); OpenVINO also gets fixed shapes, with which it is faster. All contenders of a
case are timed in one interleaved run: a process for each, batch 1. Ratios have 95 % intervals.

The bars: cosine to FP32's outputs at least 0.99 (the mean over samples, of the worst output); for classifiers, the same
class on 95 % of the samples, and labelled accuracy within 0.5 points; for the recognizer, 99 % of the characters that
FP32 reads; for the voice detector, the same verdict on 95 % of the frames. The overlap of the text detector's maps is
shown and has no bar.

Read with care: calibration and evaluation share no sample, but both are few, and the bars are held against the figures,
not against their intervals. Text and speech are made by a program. The gates of mlopt's recipe are judged on the same
evaluation samples as the figures here. On a CPU with AVX512_BF16, OpenVINO computes FP32 models in bfloat16 by
itself (MiniLM at 64: 2.2 ms, and 3.9 ms when asked for FP32); onnxruntime has no such kernels for x86.
"""
TITLES = {
    "vnni": "x86 with VNNI",
    "avx2": "x86 without VNNI (AVX2)",
    "arm": "Arm",
}
OF_PEERS = {"yes": "yes", "open": "this run cannot tell", "no": "no"}


def main() -> None:
    """Read the stored results and write the pages."""
    lines = [HEAD, *further()]
    for path in sorted(RESULTS.glob("precision_*.json"), reverse=True):
        kind = path.stem.removeprefix("precision_")
        document = json.loads(path.read_text(encoding="utf-8"))
        title, details = TITLES[kind], f"precision-{kind}.md"
        lines += [f"## {title}", "", *overview(document), "", *machine(document), "", f"[Every case]({details})", ""]
        cases = (line for name, case in document["cases"].items() for line in ("", *section(name, case)))
        head = "How this was measured, and what the bars are, stands in [precision.md](precision.md)."
        page = [f"# Precision: {title}, case by case", "", head, "", *machine(document), *cases]
        (DOCS / details).write_text("\n".join(page) + "\n", encoding="utf-8")
    (DOCS / "precision.md").write_text("\n".join(lines), encoding="utf-8")


def further() -> Iterator[str]:
    """Yield where the same models are measured in every runtime, if they were."""
    if any(RESULTS.glob("runtimes_*.json")):
        yield "In every runtime, with `target: {runtime: auto}`: [runtimes-measured.md](runtimes-measured.md)."
        yield ""


def overview(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield a row for each case: what mlopt came to, and how that stands beside the others."""
    yield "| case | FP32 p50 | mlopt | counts as | noise floor | at least as fast as every tool that meets the bars |"
    yield "|---|---|---|---|---|---|"
    for name, case in document["cases"].items():
        row = case["contenders"][MLOPT]
        cells = (
            name,
            ms(case["contenders"][FP32]["p50_ms"]),
            speedup(row),
            f"**{case['counted_speedup']:.2f}x**",
            f"{case['noise_floor']:.1%}",
            beside(case["against_peers"]),
        )
        yield "| " + " | ".join(cells) + " |"
    yield ""
    yield from not_won(document["cases"])
    mean = document["geometric_mean"]
    yield f"Geometric mean of what counts: **{mean:.2f}x**. A dropped step, or a model that misses a bar, counts as 1."


def not_won(cases: Mapping[str, Any]) -> Iterator[str]:
    """Yield the cases in which another tool is faster and meets the bars."""
    beaten = {name: case["against_peers"] for name, case in cases.items() if case["against_peers"]}
    lost = [f"{name} ({found['best_peer']})" for name, found in beaten.items() if found["verdict"] == "no"]
    if lost:
        yield f"Another tool is faster and meets the bars: {', '.join(lost)}."
        yield ""


def beside(found: Mapping[str, Any] | None) -> str:
    """Return whether mlopt's model is at least as fast as the best of the others, and by how much."""
    if found is None:
        return "-"
    low, high = found["ci95"]
    by = f"{found['times_as_fast']:.2f}x ({low:.2f} to {high:.2f}) as fast as {found['best_peer']}"
    return f"{OF_PEERS[found['verdict']]}: {by}"


def machine(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield where and with what the figures were measured; how often they were timed, if it was so for all."""
    where, settings = document["environment"], document.get("settings")
    packages = ", ".join(f"{name} {version}" for name, version in {**where["packages"], **document["versions"]}.items())
    cpu = f"{where['cpu']['model']}, {where['cpu']['cores']} cores ({', '.join(where['cpu']['isa'])})"
    timed = ""
    if settings is not None:
        each = f"{settings['seconds']:g} s for each contender in " if "seconds" in settings else ""
        timed = f", {settings['threads']} threads, {each}{settings['rounds']} rounds"
    yield f"{cpu}{timed}; Python {where['python']}, {packages}."


def section(name: str, case: Mapping[str, Any]) -> Iterator[str]:
    """Yield the table of one case, and what mlopt has to say of its choice."""
    figures = list(case["contenders"][FP32]["quality"])
    yield f"## {name}"
    yield ""
    samples, bars = case["samples"], ", ".join(f"{figure} {bar:.4g}" for figure, bar in case["bars"].items())
    counts = f"{samples['calibration']} samples calibrate, {samples['evaluation']} judge"
    yield f"{'; '.join(case['model']['inputs'])}. {counts}. Bars: {bars}. Measured {case['created']}."
    yield ""
    yield f"| | p50 | speedup | {' | '.join(figures)} | meets the bars | size | made in |"
    yield "|---|---|---|" + "---|" * len(figures) + "---|---|---|"
    for title, row in case["contenders"].items():
        yield "| " + " | ".join(cells(title, row, figures)) + " |"
    yield from told(case["contenders"][MLOPT])


def cells(title: str, row: Mapping[str, Any], figures: list[str]) -> list[str]:
    """Return one contender's cells; what failed has its reason where its times would be."""
    quality = [f"{row['quality'][figure]:.4f}" if "quality" in row else "" for figure in figures]
    if "failed" in row:
        return [title, "failed", plain(row["failed"]), *quality, "", "", ""]
    met = "" if title == FP32 else "no: " + ", ".join(row["missed"]) if row["missed"] else "yes"
    seconds = f"{row['made_in_s']:.0f} s" if row.get("made_in_s") else ""
    return [title, ms(row["p50_ms"]), speedup(row), *quality, met, size(row["size_bytes"]), seconds]


def speedup(row: Mapping[str, Any]) -> str:
    """Return a speedup with its interval."""
    if "failed" in row:
        return f"failed: {plain(row['failed'])}"
    if not row["speedup"]:
        return ""
    low, high = row["speedup"]["ci95"]
    return f"{row['speedup']['median']:.2f}x ({low:.2f} to {high:.2f})"


def told(row: Mapping[str, Any]) -> Iterator[str]:
    """Yield what became of mlopt's step, what its search tried and where that spent its time."""
    if "step" not in row:
        return
    step = row["step"]
    dropped = f": {plain(step['reason'])}" if step["status"] in {"dropped", "refused", "failed"} else ""
    yield ""
    yield f"mlopt's step was {step['status']}{dropped}."
    notes = step["notes"] or {}
    if found := search.read(notes):
        yield ""
        yield from markdown.tried(found, "Agreement")
    if left := notes.get("left_alone"):
        yield ""
        yield "Stay in FP32: " + "; ".join(f"`{name}` ({reason})" for name, reason in left.items()) + "."


def plain(text: str) -> str:
    """Return text that does not break a table."""
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    main()
