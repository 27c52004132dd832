"""Does `mlopt predict` compute each row once, in order, though it is killed twice, and how fast?

python benchmarks/predict.py [--rows 100000] [--only mnist|minilm] [--folder .bench/predict] [--nodes 2]  # minutes

Makes two artifacts of recipes here (`mlopt optimize --quick`, once; they are kept in the folder, with a key of their
own): recipes/minilm.yaml, which gets texts of 8 tokens, one of them not in the vocabulary, and recipes/mnist_cnn.yaml.
`mlopt predict` runs over so many rows of each, is ended by SIGKILL when a quarter and when a half of the shards are
there, and goes on. Then all that it wrote is read back: every row once and in order but for the poisoned one, every
digest as it was written, no shard that was whole before a kill written again, and of each shard one batch, whose
outputs must be those of the same batch fed to the model directly. With ``--nodes``, all that is done once more on a
cluster of Ray of so many nodes with one core each, on this machine and out of anybody's reach (Ray must be importable:
PYTHONPATH=.bench/ray/site-packages). The result goes to benchmarks/results/predict.json; the exit code is 1 if
anything is not so.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import mlopt
import mlopt.predict as predictions
from mlopt.core.hardware import detect_cpu
from mlopt.results.environment import environment

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results/predict.json"
TOLERANCE = 1e-4
UNKNOWN_WORD = 10_000_000


@dataclass(frozen=True)
class Case:
    """An artifact, and what it is fed with."""

    name: str
    recipe: str
    batch_size: int
    options: tuple[str, ...] = ()
    poisoned: bool = False

    def arrays(self, rows: int) -> dict[str, Any]:
        """Return the rows; where they are poisoned, that in the middle holds a word that no vocabulary has."""
        rng = np.random.default_rng(0)
        if self.name == "mnist":
            return {"image": rng.random((rows, 1, 28, 28), dtype=np.float32)}
        ids = rng.integers(1000, 30_000, (rows, 8))
        ids[:, 0], ids[:, -1] = 101, 102
        mask = np.ones_like(ids)
        ids[rows // 2, 3] = UNKNOWN_WORD
        return {"input_ids": ids, "attention_mask": mask}


CASES = (
    Case("mnist", "mnist_cnn", 8, ("--allow-code",)),
    Case("minilm", "minilm", 32, ("--allow-code",), poisoned=True),
)


def main() -> None:
    """Run each case, store the figures, and tell what is not as it should be."""
    options = arguments()
    options.folder.mkdir(parents=True, exist_ok=True)
    os.environ["MLOPT_CONFIG"] = str(options.folder / "config")
    cases = [case for case in CASES if options.only in (None, case.name)]
    found = {case.name: measured(case, options) for case in cases}
    on_nodes = on_cluster(options) if options.nodes else {}
    document = {
        "environment": environment(detect_cpu()).model_dump(mode="json"),
        "rows": options.rows,
        "cases": found,
        **({"nodes": options.nodes, "cases_on_nodes": on_nodes} if options.nodes else {}),
    }
    options.output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(json.dumps([found, on_nodes], indent=1))
    sys.exit(0 if not any(each["wrong"] for each in (*found.values(), *on_nodes.values())) else 1)


def on_cluster(options: argparse.Namespace) -> dict[str, Any]:
    """Run all that was asked for inside the namespaces of a cluster; return what was found there."""
    sys.path.insert(0, str(ROOT / "tests/helpers"))
    from ray_cluster import cluster, why_not

    if (reason := why_not()) is not None:
        sys.exit(reason)
    only = ("--only", options.only) if options.only else ()
    with tempfile.TemporaryDirectory() as folder, cluster(0, *[1] * options.nodes) as nodes:
        output = Path(folder) / "found.json"
        words = ("--rows", options.rows, "--folder", options.folder, "--ray", nodes.address, "--output", output, *only)
        code = nodes.start([sys.executable, *map(str, (__file__, *words))], stdout=subprocess.DEVNULL).wait()
        if not output.exists():
            sys.exit(f"on the cluster it ended with {code}")
        return dict(json.loads(output.read_text())["cases"])


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--only", choices=[case.name for case in CASES])
    parser.add_argument("--folder", type=Path, default=ROOT / ".bench/predict")
    parser.add_argument("--output", type=Path, default=RESULT)
    parser.add_argument("--ray", metavar="ADDRESS", help="a cluster to join: passed on to mlopt predict")
    parser.add_argument("--nodes", type=int, default=0, help="do it on a cluster of so many nodes, too")
    return parser.parse_args()


def measured(case: Case, options: argparse.Namespace) -> dict[str, Any]:
    """Predict with two kills, and return the figures and what is wrong."""
    artifact = made(case, options.folder)
    data, output = options.folder / f"{case.name}_rows", options.folder / f"{case.name}_out"
    for folder in (data, output):
        shutil.rmtree(folder, ignore_errors=True)
    data.mkdir()
    arrays = case.arrays(options.rows)
    for name, array in arrays.items():
        np.save(data / f"{name}.npy", array)
    words = ("predict", artifact, "--data", data, "-o", output, "--batch-size", case.batch_size, "--json")
    command = mlopt_command(*words, *(("--ray", options.ray) if options.ray else ()))
    kills = [killed(command, output, share) for share in (0.25, 0.5)]
    began = time.monotonic()
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    last = time.monotonic() - began
    if ended.returncode not in (0, 1):
        sys.exit(f"mlopt predict ended with {ended.returncode}")
    summary = json.loads(ended.stdout)
    wall = last + sum(kill["seconds"] for kill in kills)
    wrong = [*checked(case, summary, output, options.rows, ended.returncode), *rewritten(kills, output)]
    direct, differing = against_direct(case, artifact, arrays, output)
    return {
        "artifact": summary["artifact"]["name"], "batch_size": case.batch_size, "workers": summary["workers"],
        "rows": options.rows, "predicted": summary["predicted"], "failed": summary["failed"],
        "killed_after_shards": [len(kill["shards"]) for kill in kills], "shards": len(summary["shards"]),
        "shards_kept_at_last": summary["shards_kept"], "rows_per_s_at_last": summary["rows_per_s"],
        "wall_seconds_of_all_three": round(wall, 2), "rows_per_s_of_all_three": round(options.rows / wall, 1),
        "cpu_hours": summary["cpu_hours"], "direct_rows_per_s": round(direct, 1),
        "largest_difference_to_direct": differing,
        "wrong": [*wrong, *([f"differs from direct inference by {differing}"] if differing > TOLERANCE else [])],
    }  # fmt: skip


def mlopt_command(*words: object) -> list[str]:
    """Return how this Python runs mlopt."""
    return [sys.executable, "-m", "mlopt", *map(str, words)]


def made(case: Case, folder: Path) -> Path:
    """Return the case's artifact, made if it is not there."""
    artifact = folder / f"{case.name}_artifact"
    if not (artifact / "model.sig").exists():
        recipe = ROOT / f"recipes/{case.recipe}.yaml"
        words = ("optimize", recipe, "--quick", "--allow-ungated", "-o", artifact, *case.options)
        subprocess.run(mlopt_command(*words), check=False)
        if not (artifact / "model.sig").exists():
            sys.exit(f"no artifact came of {recipe}")
    return artifact


def killed(command: list[str], output: Path, share: float) -> dict[str, Any]:
    """Run until so large a share of the shards is there, then kill it; return what was there, and how long it took."""
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        shards = whole(output)
        if shards and len(shards) >= share * wanted(output):
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    code = process.wait()
    if code != -signal.SIGKILL:
        sys.exit(f"it ended with {code} before it was killed: give more rows")
    return {"seconds": time.monotonic() - began, "shards": whole(output)}


def wanted(output: Path) -> int:
    """Return how many shards there will be."""
    setup = json.loads((output / "setup.json").read_text())
    return -(-setup["rows"] // setup["shard_rows"])


def whole(output: Path) -> dict[str, int]:
    """Return when each shard that is done was written, by its name; not one of which the record is being written."""
    found = {}
    for record in (output / "shards").glob("[0-9]*.json"):
        found[record.stem] = record.stat().st_mtime_ns
    return found


def rewritten(kills: list[dict[str, Any]], output: Path) -> list[str]:
    """Name the shards that were whole before a kill and were written again."""
    last = whole(output)
    again = [name for kill in kills for name, time_ns in kill["shards"].items() if last.get(name) != time_ns]
    return [f"shard {name} was whole and was done again" for name in again]


def checked(case: Case, summary: dict[str, Any], output: Path, rows: int, code: int) -> list[str]:
    """Read all back, digests included; return what is wrong."""
    bad = [rows // 2] if case.poisoned else []
    expected = np.setdiff1d(np.arange(rows), bad)
    read = np.concatenate([part.rows for part in predictions.read(output)])
    faults = {
        "rows are missing, twice or out of order": not np.array_equal(read, expected),
        "the errors are not those that were planted": list(predictions.errors(output)) != bad,
        "the exit code is not that of its errors": code != (1 if bad else 0),
        "it is not complete": summary["state"] != "complete",
        "the counts are wrong": (summary["predicted"], summary["failed"]) != (rows - len(bad), len(bad)),
    }
    return [what for what, is_so in faults.items() if is_so]


def against_direct(case: Case, artifact: Path, arrays: dict[str, Any], output: Path) -> tuple[float, float]:
    """Feed a batch of each shard directly; return rows/s of that and the largest difference of any output."""
    picked = np.random.default_rng(1)
    largest, spent, fed = 0.0, 0.0, 0
    with mlopt.load(artifact) as session:
        for part in predictions.read(output):
            count = len(part.rows) // case.batch_size
            if not count or part.rows[-1] - part.rows[0] + 1 != len(part.rows):
                continue  # of the shard with the poisoned row, batches were parted
            start = int(picked.integers(0, count)) * case.batch_size
            places = slice(start, start + case.batch_size)
            feeds = {name: array[part.rows[places]] for name, array in arrays.items()}
            began = time.perf_counter()
            outputs = session.run(feeds)
            spent, fed = spent + time.perf_counter() - began, fed + case.batch_size
            for name, values in outputs.items():
                largest = max(largest, float(np.abs(values - part.outputs[name][places]).max()))
    return fed / spent, largest


if __name__ == "__main__":
    main()
