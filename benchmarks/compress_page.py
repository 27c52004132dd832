"""Write what benchmarks/compress.py stored as Markdown, docs/compress.md, with the front of importances as a picture.

python benchmarks/compress_page.py
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

import compress_bars as bars
from precision_figures import DOCS, RESULTS
from precision_page import machine

from mlopt.report.facts import ms, size

PICTURE = DOCS / "images" / "importances.svg"
HEAD = """\
# Pruning, distillation and quantization-aware training, measured

Measured by `make compress` (`benchmarks/compress.py --update --cases NAME` measures one case again: each has its time);
this page is `python benchmarks/compress_page.py`. Every figure is of the report of an `mlopt optimize` run: original
and result are exported, and timed in one interleaved run in a process each. Speedups are against the trained
original in ONNX Runtime with all optimizations, and have 95 % intervals; so have drops of accuracy, which are paired:
the same samples through both. Where there is one seed, another seed gives other figures. An interval that is far wider
than its neighbours is of a run beside which something else computed for a while.
"""
Case = Mapping[str, Any]


def main() -> None:
    """Read the stored results and write the page."""
    document = json.loads((RESULTS / "compress.json").read_text(encoding="utf-8"))
    lines = [HEAD, *machine(document), ""]
    for name, case in document["cases"].items():
        title, tell = SECTIONS[name]
        wrong = list(bars.unmet(name, case))
        lines += [f"## {title}", "", *tell(case), "", f"Measured {case['created']}.", ""]
        if wrong:
            lines += [f"Not as it should be: {'; '.join(wrong)}.", ""]
    (DOCS / "compress.md").write_text("\n".join(lines), encoding="utf-8")


def speed(case: Case) -> str:
    """Return a speedup with its interval."""
    low, high = case["speedup"]["ci95"]
    return f"{case['speedup']['median']:.2f}x ({low:.2f} to {high:.2f})"


def points(figure: Mapping[str, Any]) -> str:
    """Return points with their interval."""
    return f"{figure['value']:.2f} pt ({figure['ci95'][0]:.2f} to {figure['ci95'][1]:.2f}, n = {figure['n']:,})"


def table(rows: Sequence[tuple[str, Case]]) -> Iterator[str]:
    """Yield runs as rows."""
    yield "| | p50 before, after | speedup | accuracy before, after | drop | size before, after |"
    yield "|---|---|---|---|---|---|"
    for title, case in rows:
        times, sizes = (" → ".join(map(tell, case[key])) for tell, key in ((ms, "p50_ms"), (size, "size_bytes")))
        scores = " → ".join("-" if each is None else f"{each:.2%}" for each in case["score"])
        drop = "-" if case["drop_pt"] is None else points(case["drop_pt"])
        yield f"| {title} | {times} | {speed(case)} | {scores} | {drop} | {sizes} |"


def macs(case: Case) -> str:
    """Return how many there were and are, for one sample."""
    before, after = case["macs"]
    return f"{before / 1e6:.1f} M → {after / 1e6:.1f} M MACs ({before / after:.2f} times fewer)"


def _fashion(case: Case) -> Iterator[str]:
    runs = case["runs"]
    yield (
        f"`recipes/fashion_resnet_pruned.yaml`: {macs(runs[0])}, batch {runs[0]['batch_size']}. From nothing it takes "
        f"{max(run['took_s'] for run in runs) / 60:.0f} minutes, in which the original is trained, too. Where INT8 is "
        "no faster on that many threads, `quantize` says so, and what was pruned is shipped in FP32."
    )
    yield ""
    yield from table([(f"{run['title']}{refused(run)}, threads: {run['threads']}", run) for run in runs])


def refused(run: Case) -> str:
    """Say that there is no INT8 where the recipe asks for it."""
    return " (refused)" if "quantize" in run["title"] and not run["quantized"] else ""


def _front(case: Case) -> Iterator[str]:
    picture(case)
    seeds = sorted({each["seed"] for each in case["points"]})
    yield (
        f"`prune` of the same original to shares of its MACs, by three importances: before training, where only the "
        f"statistics of batch norms are estimated anew, and after {case['epochs']} epoch. In `scope: layer` all "
        f"have the same widths. {len(seeds)} seeds where there are several accuracies; the line is their mean."
    )
    yield ""
    yield f"![Accuracy and latency by importance](images/{PICTURE.name})"
    yield ""
    yield "| importance | MACs asked for | left | speedup | accuracy before training | after it |"
    yield "|---|---|---|---|---|---|"
    for importance, left in dict.fromkeys((each["importance"], each["left"]) for each in case["points"]):
        rows = {
            trained: [each for each in case["points"] if _key(each) == (importance, left, trained)]
            for trained in (False, True)
        }
        first = rows[True][0]
        scores = " | ".join(", ".join(f"{each['score'][1]:.2%}" for each in rows[trained]) for trained in rows)
        yield (f"| {importance} | {left:.0%} | {first['macs'][1] / first['macs'][0]:.1%} | {speed(first)} | {scores} |")


def _key(point: Case) -> tuple[str, float, bool]:
    return point["importance"], point["left"], point["trained"]


def picture(case: Case) -> None:
    """Draw accuracy against latency, as a share of the original's in the same run: a dot per run, a line of means."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"svg.hashsalt": "importances", "svg.fonttype": "none"}):
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        for axes, trained in zip(figure.subplots(1, 2, sharex=True), (False, True), strict=True):
            for number, importance in enumerate(dict.fromkeys(each["importance"] for each in case["points"])):
                line = []
                for left in dict.fromkeys(each["left"] for each in case["points"]):
                    found = [each for each in case["points"] if _key(each) == (importance, left, trained)]
                    dots = [(100 / each["speedup"]["median"], 100 * each["score"][1]) for each in found]
                    axes.plot(*zip(*dots, strict=True), "o", color=f"C{number}", alpha=0.6)
                    line.append([fmean(values) for values in zip(*dots, strict=True)])
                axes.plot(*zip(*line, strict=True), color=f"C{number}", label=importance)
            axes.set(
                title="after training" if trained else "before training",
                xlabel="time of a batch of 8, % of the original's",
            )
            axes.grid(visible=True, alpha=0.3)
        figure.axes[0].set_ylabel("accuracy, %")
        figure.axes[1].legend(frameon=False, loc="lower right")
        figure.savefig(PICTURE, metadata={"Date": None})


def _target(case: Case) -> Iterator[str]:
    left = case["left"]
    yield (
        f"`prune: {{latency: {case['asked']:g}}}` on the same original left **{left['median']:.1%}** of its time "
        f"({left['ci95'][0]:.1%} to {left['ci95'][1]:.1%}), measured afterwards: {macs(case)}; "
        f"{len(case['raced'])} candidates were raced."
    )


def _tiny(case: Case) -> Iterator[str]:
    yield (
        "`recipes/mnist_cnn_tiny.yaml`: 1,000 digits have labels, 2,500 have none. The same student, trained as "
        "long in the same order, with a teacher (`alpha: 0.9`) and without (`alpha: 0`)."
    )
    yield ""
    yield "| seed | with a teacher | without | gain | speedup |"
    yield "|---|---|---|---|---|"
    for each in case["seeds"]:
        taught, alone = (each[key]["score"][1] for key in ("taught", "alone"))
        gain = points(each["gain_pt"])
        yield f"| {each['seed']} | {taught:.2%} | {alone:.2%} | {gain} | {speed(each['taught'])} |"


def _minilm(case: Case) -> Iterator[str]:
    before, after = (f"{each / 1e6:.0f} MB" for each in case["size_bytes"])
    yield (
        f"`recipes/minilm_small.yaml`, sequence 64: **{speed(case)}**, {before} → {after}. On {case['n']:,} paragraphs "
        f"of packages that it did not read: {case['overlap']:.1%} of the ten nearest neighbours are the teacher's, and "
        f"the similarities of all pairs rank like the teacher's (Spearman {case['spearman']:.3f})."
    )


def _two_of_four(case: Case) -> Iterator[str]:
    told = (f"{place} in {sum(each.values())} of {len(each)}" for place, each in case["weights"].items())
    yield f"Weights whose every four neighbours have two zeros: {'; '.join(told)}. The stem has one input."
    yield ""
    yield from table((("prune 2:4, quantize", case),))


def _qat(case: Case) -> Iterator[str]:
    yield "| seed | FP32 | quantized | trained so | won back | ONNX Runtime fuses |"
    yield "|---|---|---|---|---|---|"
    for each in case["seeds"]:
        scores = " | ".join(f"{each['accuracy'][key]:.2f} %" for key in ("fp32", "ptq", "qat"))
        fused = ", ".join(f"{count} {name}" for name, count in each["fused"]["qat"].items())
        yield f"| {each['seed']} | {scores} | {bars.recovered(each):.0%} | {fused} |"


def _mixed(case: Case) -> Iterator[str]:
    yield (
        "Depthwise and grouped convolutions, squeeze-excite, a concatenation and attention "
        f"(`benchmarks/compress_mixed.py`), `prune: {{macs: 0.6}}` with six epochs: {macs(case['seeds'][0])}."
    )
    yield ""
    yield from table([(f"prune, seed {each['seed']}", each) for each in case["seeds"]])


SECTIONS = {
    "fashion_resnet": ("ResNet-20 on Fashion-MNIST", _fashion),
    "front": ("Importances", _front),
    "latency_target": ("A target in time", _target),
    "mnist_cnn_tiny": ("What a teacher is worth", _tiny),
    "minilm_small": ("MiniLM with three layers", _minilm),
    "two_of_four": ("Two of four", _two_of_four),
    "qat": ("Quantization-aware training", _qat),
    "mixed": ("A network that nobody prepared", _mixed),
}

if __name__ == "__main__":
    main()
