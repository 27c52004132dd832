"""How often does `mlopt monitor` raise a false alarm, what does it find, and what does sketching cost?

python benchmarks/drift.py [--weeks 200] [--references 10] [--runs 400] [--output FILE]      # some minutes

Data are simulated: 20 features (normal, log-normal, whole numbers, mostly zero, two of them correlated) and the scores
of ten classes, which depend on them. Each of several references, of 5,000 rows, is held against so many weeks of 5,000
rows that are drawn alike: every alarm is a false one. Then one of the 20 features moves by a quarter of its deviation,
another one each run, and after each twenty against a new reference: it is found if the verdict is `fail` and a finding
names the feature. Last, what sketching takes: nanoseconds a value, microseconds a request, and what the embedded server
loses to it, where this copy has one (drift_server.py). Figures go to benchmarks/results/drift.json; the exit code is 1
if more than 1 of 200 weeks of any reference raised a false alarm, if less than 95 % was found, or if the server lost
2 % or more.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import drift_server
import numpy as np

from mlopt.core.hardware import detect_cpu
from mlopt.formats.model import TensorSpec
from mlopt.monitor.judge import Monitored, judge
from mlopt.results.environment import environment
from mlopt.sketches import Sketcher, Sketches, SketchObserver, SketchPlan, Thrift, plan_like, plan_of, write
from mlopt.sketches.thrift import SHARE

RESULT = Path(__file__).parent / "results/drift.json"
FEATURES, CLASSES = 20, 10
INPUTS = (TensorSpec("x", "float32", ("batch", FEATURES)),)
OUTPUTS = (TensorSpec("y", "float32", ("batch", CLASSES)),)
MOVED = 0.25
"""Of the feature's own deviation."""
_WEIGHTS = np.random.default_rng(5).standard_normal((FEATURES, CLASSES)).astype(np.float32)

Arrays = dict[str, Any]


def main() -> None:
    """Simulate, time, store the figures, and tell what is not as it should be."""
    options = arguments()
    document: dict[str, Any] = {
        "environment": environment(detect_cpu()).model_dump(mode="json"),
        "unchanged": unchanged(options.references, options.weeks, 5000, 5000),
        "shifted": [shifted(options.runs, reference, live) for reference, live in
                    ((5000, 5000), (5000, 2000), (5000, 1000), (1000, 5000))],
        "cost": cost(),
    }  # fmt: skip
    document["wrong"] = wrong(document)
    options.output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(document, indent=1))
    sys.exit(1 if document["wrong"] else 0)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weeks", type=int, default=200)
    parser.add_argument("--references", type=int, default=10)
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--output", type=Path, default=RESULT)
    return parser.parse_args()


def wrong(document: dict[str, Any]) -> list[str]:
    """Return what is not as it should be."""
    alarms, cases, served = document["unchanged"]["alarms"], document["shifted"], document["cost"]["server"]
    lost = served["throughput_lost"] if served else 0.0
    return [
        *([f"{max(alarms)} false alarms in {document['unchanged']['weeks']} weeks"] if max(alarms) > 1 else []),
        *([f"only {cases[0]['found']:.1%} of shifts found"] if cases[0]["found"] < 0.95 else []),
        *([f"{lost:.1%} of the throughput lost"] if lost >= 0.02 else []),
    ]


def drawn(rng: np.random.Generator, rows: int, moved: int | None = None) -> tuple[Arrays, Arrays]:
    """Return rows of the simulated data; the feature ``moved``, if any, by a quarter of its deviation."""
    x = rng.standard_normal((rows, FEATURES))
    x[:, 1] = 0.8 * x[:, 0] + 0.6 * x[:, 1]
    x[:, 12:15] = np.exp(x[:, 12:15])
    x[:, 15:17] = np.round(3 * x[:, 15:17])
    x[:, 17:19] = np.where(x[:, 17:19] > 1, x[:, 17:19], 0)
    if moved is not None:
        x[:, moved] += MOVED * DEVIATIONS[moved]
    x = x.astype(np.float32)
    return {"x": x}, {"y": x @ _WEIGHTS}


def sketches(given: tuple[Arrays, Arrays], plan: SketchPlan) -> Sketches:
    """Return the sketches of rows."""
    sketcher = Sketcher(plan)
    sketcher.add(*given)
    return sketcher.document()


def looks(rng: np.random.Generator, reference: Sketches, rows: int, moved: int | None = None) -> Monitored:
    """Return what is found in rows that are drawn now."""
    return judge(reference, sketches(drawn(rng, rows, moved), plan_like(reference)))


def unchanged(references: int, weeks: int, reference_rows: int, live_rows: int) -> dict[str, Any]:
    """Count false alarms of each reference over so many weeks."""
    alarms = []
    for seed in range(references):
        rng = np.random.default_rng(1000 + seed)
        reference = sketches(drawn(rng, reference_rows), plan_of(INPUTS, OUTPUTS))
        verdicts = [looks(rng, reference, live_rows).verdict for _ in range(weeks)]
        alarms.append(verdicts.count("fail"))
    return {
        "references": references, "weeks": weeks, "reference_rows": reference_rows, "live_rows": live_rows,
        "alarms": alarms, "alarms_in_all": sum(alarms), "weeks_in_all": references * weeks,
    }  # fmt: skip


def shifted(runs: int, reference_rows: int, live_rows: int) -> dict[str, Any]:
    """Return how often one of 20 features that moved was found, and how often any other was said to have."""
    found, others = 0, 0
    for run in range(runs):
        moved = run % FEATURES
        if moved == 0:
            rng = np.random.default_rng(50_000 + run)
            reference = sketches(drawn(rng, reference_rows), plan_of(INPUTS, OUTPUTS))
        seen = looks(rng, reference, live_rows, moved)
        named = {one.part for one in seen.findings if one.verdict == "fail" and one.tensor == "x"}
        found += str(moved) in named
        others += bool(named - {str(moved)})
    return {
        "runs": runs, "reference_rows": reference_rows, "live_rows": live_rows, "moved_by_deviations": MOVED,
        "found": found / runs, "another_feature_named": others / runs,
    }  # fmt: skip


def cost() -> dict[str, Any]:
    """Return what sketching takes."""
    rng = np.random.default_rng(0)
    inputs, outputs = drawn(rng, 4096)
    image = rng.random((256, 3, 224, 224), dtype=np.float32)
    of_features = best(lambda sketcher: sketcher.add(inputs, outputs), plan_of(INPUTS, OUTPUTS))
    of_images = best(
        lambda sketcher: sketcher.add({"image": image}, {}),
        plan_of([TensorSpec("image", "float32", ("batch", 3, 224, 224))], []),
    )
    document = write(sketches((inputs, outputs), plan_of(INPUTS, OUTPUTS)))
    return {
        "ns_per_value_of_20_features": round(1e9 * of_features / (4096 * (FEATURES + CLASSES)), 1),
        "us_per_row_of_20_features_and_10_scores": round(1e6 * of_features / 4096, 2),
        "ns_per_value_of_an_image": round(1e9 * of_images / image.size, 2),
        "us_per_image_of_3x224x224": round(1e6 * of_images / len(image), 1),
        "document_bytes_of_20_features_and_10_scores": len(document),
        **calls(), "share_of_the_time_at_most": SHARE, "server": server(),
    }  # fmt: skip


def best(work: Callable[[Sketcher], object], plan: SketchPlan) -> float:
    """Return the seconds of one call with its document, the best of some."""
    taken = []
    for _ in range(5):
        sketcher = Sketcher(plan)
        began = time.perf_counter()
        work(sketcher)
        sketcher.document()
        taken.append(time.perf_counter() - began)
    return min(taken)


def calls() -> dict[str, Any]:
    """Return what an observer takes of a request of one row, in CPU time: sketched, and left out for want of time."""
    inputs, outputs = drawn(np.random.default_rng(1), 1)
    found = {}
    for name, share in (("sketched", 1e9), ("left_out", -1e9)):
        observer, taken = SketchObserver(lambda _: plan_of(INPUTS, OUTPUTS), Thrift(share)), []
        for _ in range(20):
            began = time.thread_time()
            for _ in range(2000):
                observer.seen("m", "d" * 64, inputs, outputs)
            taken.append((time.thread_time() - began) / 2000)
        found[f"us_per_request_of_one_row_{name}"] = round(1e6 * statistics.median(taken), 2)
    return found


def server() -> dict[str, Any] | None:
    """Return what the embedded server loses; None where this copy has none."""
    if importlib.util.find_spec("mlopt.serve") is None:
        return None
    return drift_server.measured(500, 60)


DEVIATIONS = np.ones(FEATURES)
DEVIATIONS = drawn(np.random.default_rng(2), 200_000)[0]["x"].std(axis=0)

if __name__ == "__main__":
    main()
