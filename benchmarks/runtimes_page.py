"""Write what benchmarks/runtimes.py stored as Markdown: docs/runtimes-measured.md, and a page for each kind of CPU.

python benchmarks/runtimes_page.py
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from precision_contenders import FP32, MLOPT
from precision_figures import DOCS, RESULTS
from precision_page import OF_PEERS, machine, plain, speedup
from runtimes_figures import AIM, SHARE, SPECIALIZED, WITHIN, interval

from mlopt.report.facts import ms, size

PAGE = "runtimes-measured.md"
HEAD = f"""\
# Runtimes, measured: what `target: {{runtime: auto}}` ships

Measured by `make runtimes` (`benchmarks/runtimes.py --update --cases NAME` measures one case again: each has its time);
these pages are `python benchmarks/runtimes_page.py`. The models, their samples, the bars and the other tools are those
of [precision.md](precision.md). The baseline is the FP32 graph after `simplify` in ONNX Runtime with all optimizations.
mlopt gets the recipe `simplify, quantize: {{mode: auto, optional: true}}, fuse: {{optional: true}}` with the bars as
gates, and OpenVINO beside ONNX Runtime. What is timed is the model of its artifact, verified, in the runtime and with
the options that the manifest states. All contenders of a case are judged in their own runtime on the same samples, and
timed in one interleaved run: a process for each, batch 1. Ratios have 95 % intervals.

- *Best rival*: the one of the baseline, ONNX Runtime's and Olive's quantizers, OpenVINO with its own choice of
  precision, OpenVINO in its mode ACCURACY, and NNCF with OpenVINO that does best against mlopt, of those that keep the
  bars. *yes* is at least as fast, *no* measurably slower: the whole interval lies below 1, by more than two copies of
  the baseline differ in the same run (the noise floor of each case).
- *Best of all*: every deployable that mlopt's search looked at was judged and timed in the same run. The shipped one
  should be at least {WITHIN:g} times as fast as the best of them that keeps the bars; it is not if the interval lies
  below that, by more than the noise floor. The search may take {SHARE:.0%} of what judging and timing all of them took.
- What misses a bar counts as the baseline.
"""
TITLES = {
    "bf16": "x86 with bfloat16 (AVX512_BF16 or AMX)",
    "vnni": "x86 with VNNI",
    "avx2": "x86 without VNNI (AVX2)",
    "arm": "Arm",
}


def main() -> None:
    """Read the stored results and write the pages."""
    lines = [HEAD]
    for path in sorted(RESULTS.glob("runtimes_*.json")):
        kind = path.stem.removeprefix("runtimes_")
        document = json.loads(path.read_text(encoding="utf-8"))
        details = f"runtimes-measured-{kind}.md"
        lines += [f"## {TITLES[kind]}", "", *overview(document), *machine(document), "", f"[Every case]({details})", ""]
        cases = (line for name, case in document["cases"].items() for line in ("", *section(name, case)))
        head = f"How this was measured, and what the bars are, stands in [{PAGE}]({PAGE})."
        page = [f"# Runtimes: {TITLES[kind]}, case by case", "", head, "", *machine(document), *cases]
        (DOCS / details).write_text("\n".join(page) + "\n", encoding="utf-8")
    if len(lines) > 1:
        (DOCS / PAGE).write_text("\n".join(lines), encoding="utf-8")


def overview(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield a row for each case, the means, what does not win, and what stands in the way of more."""
    cases = document["cases"]
    yield "| case | baseline | mlopt ships | speedup | cosine | as fast as the best rival | best of all | search |"
    yield "|---|---|---|---|---|---|---|---|"
    for name, case in cases.items():
        yield "| " + " | ".join(row(name, case)) + " |"
    means = document["geometric_means"]
    yield ""
    yield (
        f"Geometric means: **{means['over_fp32']:.2f}x** the baseline, {means['over_best_rival']:.2f}x the best rival, "
        f"{means['over_onnxruntime']:.2f}x the best that mlopt has in ONNX Runtime alone."
    )
    yield ""
    yield from not_won(cases)
    yield from below(cases)
    if found := document.get("specialize"):
        yield from (specialized(found), "")


def row(name: str, case: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a case's cells."""
    ours, best, took = case["contenders"][MLOPT], case["against_all"], case["cost"]
    quality = ours.get("quality", {}).get("cosine")
    return (
        name,
        ms(case["contenders"][FP32]["p50_ms"]),
        plain(case["mlopt"]["shipped"] or "nothing"),
        speedup(ours),
        f"{quality:.4f}" if quality is not None else "",
        beside(case["against_rivals"]),
        "-" if best is None else f"{OF_PEERS[best['verdict']]}: {interval(best)} as fast as {plain(best['best'])}",
        f"{took['search_s']:.0f} s of {took['exhaustive_s']:.0f} s" if took.get("share") is not None else "-",
    )


def beside(found: Mapping[str, Any]) -> str:
    """Return how mlopt's result stands beside the best rival."""
    verdict = OF_PEERS[found["verdict"]]
    return f"{f'**{verdict}**' if found['verdict'] == 'no' else verdict}: {interval(found)} as fast as {found['best']}"


def not_won(cases: Mapping[str, Any]) -> Iterator[str]:
    """Yield the cases in which a rival is the better choice, or may be."""
    for verdict, said in (("no", "mlopt does not win"), ("open", "This run cannot tell who wins")):
        found = {name: case["against_rivals"] for name, case in cases.items()}
        told = [f"{name} ({each['best']})" for name, each in found.items() if each["verdict"] == verdict]
        if told:
            yield f"{said}: {', '.join(told)}."
            yield ""


def below(cases: Mapping[str, Any]) -> Iterator[str]:
    """Yield what stands in the way of the cases below the aim."""
    if not any(case["in_the_way"] for case in cases.values()):
        return
    yield f"What stands in the way below {AIM:g}x:"
    yield ""
    for name, case in cases.items():
        if case["in_the_way"]:
            yield f"- {name}, {case['counted_speedup']:.2f}x: {case['in_the_way']}."
    yield ""


def specialized(found: Mapping[str, Any]) -> str:
    """Return what fixing the rate made of the voice detector."""
    start = f"`specialize: {{inputs: {{sr: 16000}}}}` on silero_vad, measured {found['created']}: "
    if found.get("failed"):
        return start + f"failed: {plain(found['failed'])}."
    quality = ", ".join(f"{figure} {value:.4f}" for figure, value in found["quality"].items())
    kept = f"misses {', '.join(found['missed'])}" if found["missed"] else "keeps the bars"
    asked = f"at least {SPECIALIZED:g}x is asked"
    return f"{start}{plain(found['mlopt']['shipped'])}, {speedup(found)}, {quality}; it {kept}; {asked}."


def section(name: str, case: Mapping[str, Any]) -> Iterator[str]:
    """Yield the tables of one case: the contenders, and all that mlopt's search looked at."""
    figures = list(case["contenders"][FP32]["quality"])
    samples, bars = case["samples"], ", ".join(f"{figure} {bar:.4g}" for figure, bar in case["bars"].items())
    yield f"## {name}"
    yield ""
    counts = f"{samples['calibration']} samples calibrate, {samples['evaluation']} judge"
    many = f" in each of {count} processes" if (count := case.get("processes", 1)) > 1 else ""
    noise = f"Noise floor {case['noise_floor']:.1%}, {case['seconds']:g} s for each contender{many}"
    yield f"{'; '.join(case['model']['inputs'])}. {counts}. Bars: {bars}. {noise}. Measured {case['created']}."
    yield ""
    yield from table(case["contenders"], figures)
    yield ""
    yield f"mlopt ships `{case['mlopt']['shipped'] or 'nothing'}`. Its search looked at:"
    yield ""
    yield from table(case["deployables"], figures)


def table(rows: Mapping[str, Any], figures: list[str]) -> Iterator[str]:
    """Yield a table of judged and timed contenders."""
    yield f"| | p50 | speedup | {' | '.join(figures)} | keeps the bars | size |"
    yield "|---|---|---|" + "---|" * (len(figures) + 2)
    for title, each in rows.items():
        quality = [f"{each['quality'][figure]:.4f}" if "quality" in each else "" for figure in figures]
        kept = "" if title == FP32 or "quality" not in each else "no: " + ", ".join(each["missed"])
        kept = "yes" if kept == "no: " else kept
        time = ms(each["p50_ms"]) if "failed" not in each else "failed"
        weight = size(each["size_bytes"]) if "size_bytes" in each else ""
        yield "| " + " | ".join((plain(title), time, speedup(each), *quality, kept, weight)) + " |"


if __name__ == "__main__":
    main()
