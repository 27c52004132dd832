"""How much memory and time calibrating takes: EfficientNet-Lite0, 512 images, percentile.

python benchmarks/calibration_memory.py

The limit is 1.5 GB of resident memory (VmHWM of a process that does nothing else). The images are views of photographs
that packages ship. The result goes to benchmarks/results/calibration_memory.json; the exit code is 1 above the limit.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from mlopt.compress.quantization.graph import prepare
from mlopt.compress.quantization.observe import observe
from mlopt.compress.quantization.settings import Calibration
from mlopt.compress.quantization.writer import BETWEEN, LAYERS
from mlopt.core.hardware import detect
from mlopt.core.worker import peak_rss_bytes, run_in_worker
from mlopt.data.dataset import Samples, open_dataset, store
from mlopt.formats.onnx.file import open_onnx
from mlopt.results.environment import environment, now
from mlopt.run.optimize import planned_for, ready, transform
from mlopt.run.request import Request

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results/calibration_memory.json"
IMAGES, LIMIT_BYTES = 512, 1_500_000_000


def main() -> None:
    """Measure each method, store the figures, and hold percentile against the limit."""
    import calibration_memory as importable  # a worker takes functions by their module's name

    with tempfile.TemporaryDirectory() as folder:
        model = exported()
        images = np.concatenate([views(seed) for seed in range(3)])[:IMAGES]
        store(Samples({"image": images}), Path(folder) / "images", f"{IMAGES} views")
        found = {
            method.value: run_in_worker(
                Path(folder) / f"{method}.log", importable.observed, model, Path(folder), method
            )
            for method in (Calibration.MINMAX, Calibration.PERCENTILE)
        }
    document = {
        "environment": environment(detect()).model_dump(mode="json"),
        "created": now(),
        "images": IMAGES,
        "limit_bytes": LIMIT_BYTES,
        "methods": found,
    }
    RESULT.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found))
    sys.exit(int(found["percentile"]["peak_rss_bytes"] > LIMIT_BYTES))


def exported() -> Path:
    """Return EfficientNet-Lite0 as its recipe exports and simplifies it."""
    recipe = ROOT / "recipes/efficientnet_lite0.yaml"
    request = Request(recipe, overrides=("passes=[export, simplify]",), allow_code=True, sign=False)
    with planned_for(request) as planned:
        model = transform(ready(planned))[0].outcomes[-1].model
    if model is None:
        raise SystemExit("the model could not be exported")
    return model.path


def views(seed: int) -> Any:
    """Return views of the recipe's photographs, [views, 3, 224, 224]."""
    sys.path.insert(0, str(ROOT / "recipes"))
    import efficientnet_lite0 as recipe

    return recipe._crops(recipe.SCENES, 60, seed=seed)


def observed(model: Path, folder: Path, method: Calibration) -> dict[str, Any]:
    """Calibrate in this process, which did nothing before."""
    handle, work = open_onnx(model), folder / method.value
    work.mkdir()
    started = time.monotonic()
    ranges = observe(
        prepare(handle, work, minimum_opset=13), open_dataset(folder / "images"), handle.inputs,
        method=method, op_types=(*LAYERS, *BETWEEN),
    )  # fmt: skip
    return {
        "seconds": round(time.monotonic() - started, 1),
        "peak_rss_bytes": peak_rss_bytes(),
        "tensors": len(ranges.data),
    }


if __name__ == "__main__":
    main()
