"""What the benchmark of runtimes makes of judged and timed contenders, and what it asks of it: pure.

A case is a dict, as it is stored. Its ``contenders`` are the baseline, mlopt's result and the rivals, its
``deployables`` all that mlopt's search looked at; a row of either has ``quality`` and ``missed`` (bars), ``p50_ms`` and
``speedup``, or ``failed``. What misses a bar counts as the baseline.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from precision_contenders import FP32, MLOPT
from precision_figures import Blocks, against_best, geometric_mean, int8_kind, ratio

from mlopt.core.hardware import Hardware
from mlopt.measure import statistics

TOLD_OF = frozenset({"bf16", "vnni", "avx2"})
"""The kinds of CPU of which mlopt ships what another runtime was worth."""
AIM = 2.0
"""Of the geometric mean over all cases, on a CPU that computes in bfloat16."""
WITHIN, SHARE = 0.95, 1 / 3
"""How fast the shipped one is at least beside the best of all, and how long the search may take beside all of them."""
SPECIALIZED = 1.5
OTHER = "openvino"
_TOLD, _REASON = 3, 160

Row = dict[str, Any]
Rows = Mapping[str, Row]


def kind(hardware: Hardware) -> str:
    """Return what decides which runtime and precision a CPU computes well: bf16, vnni, avx2 or arm."""
    return hardware.cpu_kind or int8_kind(hardware)


def timed(rows: Rows, blocks: Mapping[str, Blocks], lost: Mapping[str, str]) -> None:
    """Put times beside each contender that was judged, or why it has none."""
    for name, row in rows.items():
        if name in lost:
            row["failed"] = lost[name]
        elif name in blocks and "failed" not in row:
            row["p50_ms"] = statistics.latency(blocks[name]).p50
            row["speedup"] = ratio(blocks[FP32], blocks[name]) if name != FP32 else None


def valid(rows: Rows, blocks: Mapping[str, Blocks]) -> dict[str, Blocks]:
    """Return the blocks of those that ran and miss no bar."""
    return {name: blocks[name] for name, row in rows.items() if name in blocks and not row.get("missed")}


def compared(case: Mapping[str, Any], blocks: Mapping[str, Blocks]) -> dict[str, Any]:
    """Return how mlopt's result, or the baseline if it is not valid, stands beside the rivals and beside its own."""
    rivals = {name: row for name, row in case["contenders"].items() if name != MLOPT}
    own = valid(case["deployables"], blocks)
    counts = valid({MLOPT: case["contenders"][MLOPT]}, blocks).get(MLOPT, blocks[FP32])
    floor = case["noise_floor"]
    alone = {name: each for name, each in own.items() if case["deployables"][name]["runtime"] == "onnxruntime"}
    return {
        "counted_speedup": ratio(blocks[FP32], counts)["median"],
        "against_rivals": against_best(counts, valid(rivals, blocks), floor=floor),
        "against_all": against_best(counts, own, WITHIN, floor),
        "over_onnxruntime": against_best(counts, {FP32: blocks[FP32], **alone}, floor=floor),
    }


def cost(search: Mapping[str, float], exhaustive_s: float, tried: int) -> dict[str, Any]:
    """Return what the search took beside judging and racing all; ``search`` is the report's ``spent``, in seconds."""
    told = tried > 0 and bool(search) and exhaustive_s > 0
    search_s = sum(search.values())
    return {
        "tried": tried,
        "spent": dict(search),
        "search_s": round(search_s, 1) if told else None,
        "exhaustive_s": round(exhaustive_s, 1),
        "share": search_s / exhaustive_s if told else None,
    }


def in_the_way(case: Mapping[str, Any]) -> str | None:
    """Return why a case is below the aim: what is faster, and valid or not; what does not run; where time goes."""
    if case["counted_speedup"] >= AIM:
        return None
    if failed := case["contenders"][MLOPT].get("failed"):
        return f"mlopt failed: {failed}"
    ran = {name: row for name, row in _others(case).items() if row.get("speedup")}
    faster = {name: row for name, row in ran.items() if row["speedup"]["median"] > case["counted_speedup"]}
    invalid = sorted((n for n in faster if ran[n]["missed"]), key=lambda n: -ran[n]["speedup"]["median"])
    beaten = (case["against_rivals"], case["against_all"])
    said = [f"{each['best']} is faster and keeps the bars" for each in beaten if each and each["verdict"] == "no"]
    said = list(dict.fromkeys(said)) or ["nothing that keeps the bars is measurably faster"]
    said += [f"{name} is {ran[name]['speedup']['median']:.2f}x, but misses {missing(ran[name], case['bars'])}"
             for name in invalid[:_TOLD]]  # fmt: skip
    said += [f"{runtime} runs none of its forms ({why})" for runtime, why in _shut_out(case["deployables"])]
    if shares := operators(case):
        said.append("of its time " + ", ".join(f"{share:.0%} {name}" for name, share in shares))
    return "; ".join(said)


def _others(case: Mapping[str, Any]) -> dict[str, Row]:
    """Return all contenders but mlopt's result, under either of its names."""
    every = {**case["contenders"], **case["deployables"]}
    return {name: row for name, row in every.items() if name not in {MLOPT, case["mlopt"].get("shipped")}}


def _shut_out(deployables: Rows) -> Iterator[tuple[str, str]]:
    """Yield each runtime in which nothing ran, with the reason that the first one has."""
    for runtime in dict.fromkeys(row["runtime"] for row in deployables.values()):
        rows = [row for row in deployables.values() if row["runtime"] == runtime]
        if all("failed" in row for row in rows):
            yield runtime, rows[0]["failed"][:_REASON]


def operators(case: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Return the types of operators that take most of the shipped model's time, with their shares."""
    times = case["mlopt"].get("operators", [])
    whole = sum(each["ms"] for each in times)
    return [(each["op_type"], each["ms"] / whole) for each in times[:_TOLD]] if whole > 0 else []


def missing(row: Row, bars: Mapping[str, float]) -> str:
    """Name the bars that a row misses, with both figures."""
    return ", ".join(f"{bar} ({row['quality'][bar]:.4f}, bar {bars[bar]:.4g})" for bar in row["missed"])


def means(cases: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Return the geometric means over the cases."""
    every = list(cases)
    return {
        "over_fp32": geometric_mean(case["counted_speedup"] for case in every),
        "over_best_rival": geometric_mean(case["against_rivals"]["times_as_fast"] for case in every),
        "over_onnxruntime": geometric_mean(case["over_onnxruntime"]["times_as_fast"] for case in every),
    }


def unmet(name: str, case: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a case does not keep of what is asked of mlopt."""
    row = case["contenders"][MLOPT]
    if "failed" in row:
        yield f"{name}: mlopt failed: {row['failed']}"
        return
    if row["missed"]:
        yield f"{name}: misses {missing(row, case['bars'])}"
    if (beside := case["against_rivals"])["verdict"] == "no":
        yield f"{name}: slower than {beside['best']}: {interval(beside)} as fast"
    if (best := case["against_all"]) is None:
        yield f"{name}: none of its own deployables keeps the bars"
    elif best["verdict"] == "no":
        yield f"{name}: {best['best']} is faster by more than {1 - WITHIN:.0%}: {interval(best)} as fast as it"
    took = case["cost"]
    if "failed" in took:
        yield f"{name}: not all that was tried could be looked at: {took['failed']}"
    elif took["share"] is None:
        yield f"{name}: the report does not say what was tried, or how long that took"
    elif took["share"] > SHARE:
        whole = f"{took['exhaustive_s']:.0f} s that judging and racing all take"
        yield f"{name}: the search took {took['search_s']:.0f} s, {took['share']:.0%} of the {whole}"


def below_aim(document: Mapping[str, Any], kind_: str) -> Iterator[str]:
    """Yield, on a CPU with bfloat16, that the mean is below the aim, and which cases pull it there."""
    mean = document["geometric_means"]["over_fp32"]
    if kind_ != "bf16" or mean >= AIM:
        return
    yield f"geometric mean {mean:.2f}x is below {AIM}x"
    for name, case in document["cases"].items():
        if case["counted_speedup"] < AIM:
            yield f"{name}: {case['counted_speedup']:.2f}x is below {AIM}x: {case['in_the_way']}"


def unmet_specialized(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the specialized model does not keep."""
    if "failed" in found:
        yield f"specialize: {found['failed']}"
        return
    if found["missed"]:
        yield f"specialize: misses {missing(dict(found), found['bars'])}"
    if found["speedup"]["median"] < SPECIALIZED:
        yield f"specialize: {found['speedup']['median']:.2f}x is less than {SPECIALIZED}x"


def measured(known: Mapping[str, Any], kind_: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what mlopt ships of such figures, with this document's: what the other runtime was worth on such a CPU."""
    worth = {
        "geometric_mean": round(document["geometric_means"]["over_onnxruntime"], 2),
        "cases": len(document["cases"]),
    }
    return {**known, kind_: {**known.get(kind_, {}), OTHER: worth}}


def interval(found: Mapping[str, Any]) -> str:
    """Return a comparison with its interval."""
    low, high = found["ci95"]
    return f"{found['times_as_fast']:.2f}x ({low:.2f} to {high:.2f})"
