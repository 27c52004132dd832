"""What the benchmark of pruning and distillation asks of its cases: pure. A case is a dict, as it is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from statistics import fmean
from typing import Any

MINUTES = 40
FEWER_MACS, FASTER, FASTER_INT8, FASTER_MINILM = 2.0, 1.5, 2.0, 1.7
DROP_PT = 0.5
NEAR_HALF = (0.45, 0.55)
RECOVERED = 0.5
QUARTER, NEAR_MACS = 0.25, 0.02

Case = Mapping[str, Any]


def unmet(name: str, case: Case) -> Iterator[str]:
    """Yield what of a case is not as it must be."""
    yield from _BARS[name](case)


def _fashion_resnet(case: Case) -> Iterator[str]:
    for run in case["runs"]:
        before, after = run["macs"]
        if before < FEWER_MACS * after:
            yield f"{before / after:.2f} times fewer MACs"
        if run["speedup"]["median"] < FASTER or len(set(run["runtime"])) > 1:
            yield f"{run['speedup']['median']:.2f}x in {' and '.join(run['runtime'])}"
        if run["drop_pt"]["value"] > DROP_PT:
            yield f"{run['title']} drops {run['drop_pt']['value']:.2f} pt"
        if run["took_s"] > 60 * MINUTES:
            yield f"the whole recipe takes {run['took_s'] / 60:.0f} minutes"
    if max((run["speedup"]["median"] for run in case["runs"] if run["quantized"]), default=0.0) < FASTER_INT8:
        yield f"INT8 is nowhere {FASTER_INT8:g}x"


def _mean_scores(case: Case, left: float, trained: bool) -> dict[str, float]:
    """Return the accuracy that each importance leaves at a share of the MACs, the mean of its seeds."""
    found = [each for each in case["points"] if (each["left"], each["trained"]) == (left, trained)]
    return {
        importance: fmean(each["score"][1] for each in found if each["importance"] == importance)
        for importance in dict.fromkeys(each["importance"] for each in found)
    }


def _front(case: Case) -> Iterator[str]:
    for trained in (False, True):
        means = _mean_scores(case, QUARTER, trained)
        if min(means, key=lambda each: means[each]) != "random":
            told = ", ".join(f"{name} {value:.2%}" for name, value in means.items())
            yield f"random is not the worst {'after' if trained else 'before'} training: {told}"
    for each in case["points"]:
        before, after = each["macs"]
        if not each["left"] - NEAR_MACS <= after / before <= each["left"]:
            yield f"{each['importance']} leaves {after / before:.1%} of the MACs, and not {each['left']:.0%}"


def _latency_target(case: Case) -> Iterator[str]:
    low, high = NEAR_HALF
    if not low <= case["left"]["median"] <= high:
        yield f"{case['left']['median']:.1%} of the time is left"


def _tiny(case: Case) -> Iterator[str]:
    for each in case["seeds"]:
        gain = each["gain_pt"]
        if gain["ci95"][0] <= 0:
            yield f"seed {each['seed']}: a gain of {gain['value']:.2f} pt, at least {gain['ci95'][0]:.2f}"


def _minilm(case: Case) -> Iterator[str]:
    if case["speedup"]["median"] < FASTER_MINILM or len(set(case["runtime"])) > 1:
        yield f"{case['speedup']['median']:.2f}x in {' and '.join(case['runtime'])}"


def _two_of_four(case: Case) -> Iterator[str]:
    for place, each in case["weights"].items():
        if lost := [name for name, holds in each.items() if not holds]:
            yield f"{place}: not in {', '.join(lost)}"


def recovered(seed: Case) -> float:
    """Return the share of what quantization lost that training won back; 0 where nothing was lost: no harsh setting."""
    return seed["recovered"] or 0.0


def _qat(case: Case) -> Iterator[str]:
    for each in case["seeds"]:
        if recovered(each) < RECOVERED:
            yield f"seed {each['seed']}: {recovered(each):.0%} of the {each['lost_pt']} pt that were lost"
        if "QLinearConv" not in each["fused"]["qat"]:
            yield f"seed {each['seed']}: not fused, {each['fused']['qat']}"


def _mixed(case: Case) -> Iterator[str]:
    for each in case["seeds"]:
        before, after = each["macs"]
        if after > 0.6 * before:
            yield f"seed {each['seed']}: {after / before:.0%} of the MACs are left"
        if each["speedup"]["ci95"][0] <= 1:
            yield f"seed {each['seed']}: {each['speedup']['median']:.2f}x"


_BARS: Mapping[str, Callable[[Case], Iterator[str]]] = {
    "fashion_resnet": _fashion_resnet, "front": _front, "latency_target": _latency_target, "mnist_cnn_tiny": _tiny,
    "minilm_small": _minilm, "two_of_four": _two_of_four, "qat": _qat, "mixed": _mixed,
}  # fmt: skip
