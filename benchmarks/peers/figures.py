"""What the comparison with rivals makes of judged and timed contenders, and what it asks of mlopt: pure.

A row is a dict, as it is stored: its ``contenders`` are the baseline, mlopt and the rivals. Each has ``quality`` and
``missed`` (limits), ``p50_ms`` with ``p50_ci95``, ``speedup`` and what it took, or ``failed``. A model that misses a
limit is no answer to what was asked; mlopt's counts as the baseline then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from precision_contenders import FP32, MLOPT
from precision_figures import Blocks, geometric_mean, ratio
from runtimes_figures import interval, missing, valid

from mlopt.measure import statistics

AIM = 1.15
"""Of the geometric mean over all rows of mlopt beside the best rival."""
Row = dict[str, Any]


def timed(rows: Mapping[str, Row], blocks: Mapping[str, Blocks], lost: Mapping[str, str]) -> None:
    """Put times beside each contender that was judged, or why it has none."""
    for name, row in rows.items():
        if name in lost:
            row["failed"] = lost[name]
        elif name in blocks and "failed" not in row:
            found = statistics.latency(blocks[name])
            row["p50_ms"], row["p50_ci95"] = found.p50, list(found.ci95["p50"])
            row["speedup"] = ratio(blocks[FP32], blocks[name]) if name != FP32 else None


def beside_rivals(contenders: Mapping[str, Row], blocks: Mapping[str, Blocks], floor: float) -> dict[str, Any]:
    """Hold mlopt, or the baseline where it misses a limit, against the fastest rival that keeps the limits.

    The fastest is the one with the shortest median; the source in ONNX Runtime is one of them. The ratio is that of the
    interleaved run, above 1 where mlopt is faster. ``wins`` is "yes" with all of the interval above 1, "no" with all of
    it below, "even" otherwise.
    """
    rivals = valid({name: row for name, row in contenders.items() if name != MLOPT}, blocks)
    best = min(rivals, key=lambda name: contenders[name]["p50_ms"])
    own = valid({MLOPT: contenders[MLOPT]}, blocks).get(MLOPT, blocks[FP32])
    found = ratio(rivals[best], own)
    low, high = found["ci95"]
    wins = "yes" if low > 1 else "no" if high < 1 else "even"
    return {"best": best, "times_as_fast": found["median"], "ci95": [low, high], "wins": wins, "noise_floor": floor}


def mean(rows: Iterable[Mapping[str, Any]]) -> float:
    """Return the geometric mean of mlopt beside the best rival of each row."""
    return geometric_mean(row["against_best"]["times_as_fast"] for row in rows)


def unmet(name: str, row: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a row does not keep of what is asked of mlopt."""
    ours = row["contenders"][MLOPT]
    if "failed" in ours:
        yield f"{name}: mlopt failed: {ours['failed']}"
    elif ours["missed"]:
        yield f"{name}: mlopt misses {missing(ours, row['bars'])}"
    if (found := row["against_best"])["wins"] == "no":
        yield f"{name}: slower than {found['best']}: {interval(found)} as fast (noise floor {found['noise_floor']:.1%})"


def below_aim(rows: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield that the mean is below the aim."""
    if rows and (found := mean(rows.values())) < AIM:
        yield f"geometric mean over {len(rows)} rows: {found:.3f}x the best rival is below {AIM}x"


def reason(row: Mapping[str, Any]) -> str | None:
    """Return why mlopt does not win a row, as far as the figures tell; None where it does."""
    found, ours = row["against_best"], row["contenders"][MLOPT]
    if found["wins"] == "yes":
        return None
    if "failed" in ours:
        return f"mlopt failed: {ours['failed']}"
    if ours["missed"]:
        return f"mlopt's model misses {missing(ours, row['bars'])}, so the baseline counts"
    away = abs(1 - found["times_as_fast"])
    said = [f"it ships {row['mlopt']['shipped']}"]
    if alike(row["mlopt"]["shipped"], found["best"], unquantized=not row["mlopt"].get("quantized", True)):
        said.append(f"which is the same form as {found['best']}")
    if away <= found["noise_floor"]:
        said.append(f"and {away:.1%} is within the {found['noise_floor']:.1%} by which two copies of one model differ")
    elif found["wins"] == "even":
        said.append("and this run cannot tell who is faster")
    else:
        said.append(f"and that is slower than {found['best']}: no form that mlopt chose from came out faster")
    return ", ".join(said)


def alike(shipped: str, rival: str, *, unquantized: bool) -> bool:
    """Say whether mlopt shipped the source's own weights in the runtime and precision that a rival has."""
    if not unquantized:
        return False
    precise = "precision exact" in shipped
    return {
        "OpenVINO default": "openvino" in shipped and not precise,
        "OpenVINO ACCURACY": "openvino" in shipped and precise,
        FP32: "onnxruntime" in shipped,
    }.get(rival, False)
