"""The nine classic graphs that ship with onnx, through `mlopt optimize FILE --data ...`, each checked from outside.

python benchmarks/light_graphs.py [NAME...]        # about five minutes on 2 cores; prints a table, exits 1 if one fails

A graph must end in a verified artifact whose outputs are the source's on samples that mlopt never saw, or in a refusal
without a traceback. The result goes to benchmarks/results/light_graphs.json.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

from mlopt.core.hardware import detect
from mlopt.formats.onnx.file import open_onnx
from mlopt.results.environment import environment

GRAPHS = Path(onnx.__file__).parent / "backend/test/data/light"
RESULT = Path(__file__).parent / "results/light_graphs.json"


def main() -> None:
    """Run all graphs, or those named."""
    names = sys.argv[1:] or sorted(path.stem.removeprefix("light_") for path in GRAPHS.glob("light_*.onnx"))
    rows = []
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(run(name, Path(folder)))
        print(json.dumps(rows[-1]), flush=True)
    if not sys.argv[1:]:
        text = {"environment": environment(detect()).model_dump(mode="json"), "graphs": rows}
        RESULT.write_text(json.dumps(text, indent=1) + "\n", encoding="utf-8")
    sys.exit(0 if all(row["good"] for row in rows) else 1)


def run(name: str, folder: Path) -> dict[str, object]:
    """Optimize one graph in ``folder`` and hold its artifact against the source."""
    source = GRAPHS / f"light_{name}.onnx"
    spec = open_onnx(source).inputs[0]
    random = np.random.default_rng(1)
    samples = random.random((16, *spec.shape[1:]), dtype=np.float32)
    np.savez(folder / "x.npz", **{spec.name: samples})
    command = [sys.executable, "-m", "mlopt", "optimize", str(source), "--data", "x.npz", "--json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    clean = "Traceback" not in done.stderr
    if done.returncode == 2:
        return {"graph": name, "exit": 2, "refusal": done.stderr.splitlines()[-3:], "good": clean}
    artifact = folder / f"artifacts/light_{name}"
    report = json.loads(done.stdout)
    verified = subprocess.run(
        [sys.executable, "-m", "mlopt", "verify", str(artifact)], check=False, capture_output=True
    )
    fresh = {spec.name: random.random((1, *spec.shape[1:]), dtype=np.float32)}
    expected, got = outputs(source, fresh), outputs(artifact / "model.onnx", fresh)
    cosine = min(similarity(old, new) for old, new in zip(expected, got, strict=True))
    return {
        "graph": name,
        "exit": done.returncode,
        "verdict": report["verdict"],
        "verified": verified.returncode == 0,
        "cosine_on_unseen": round(cosine, 6),
        "speedup": [round(report["speedup"]["median"], 2), *(round(x, 2) for x in report["speedup"]["ci95"])],
        "noise_floor": round(report["speedup"]["noise_floor"], 3),
        "steps": {step["pass"]: step["status"] for step in report["steps"]},
        "good": clean and done.returncode == 0 and verified.returncode == 0 and cosine > 0.99,
    }


def outputs(path: Path, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Run a model as ONNX Runtime does by default."""
    return list(ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, feeds))


def similarity(one: np.ndarray, other: np.ndarray) -> float:
    """Return the cosine of two outputs."""
    a, b = one.ravel().astype(np.float64), other.ravel().astype(np.float64)
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


if __name__ == "__main__":
    main()
