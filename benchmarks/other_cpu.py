"""INT8 on another CPU: which operators overflow without VNNI, and whether mlopt opens models so that none does.

python benchmarks/other_cpu.py        # half a minute; needs qemu-x86_64 (Debian: qemu-user), exits 1 if a row is wrong

QEMU gives one process a Haswell: AVX2 and no VNNI, with the saturating additions that such CPUs have. Every graph is
run there three times: plainly, in ONNX Runtime's exact mode, and as mlopt opens it; what is right is what this CPU
computes, which must have VNNI. ``mlopt.formats.onnx.int8`` rests on this table; it goes to
benchmarks/results/other_cpu.json.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from other_cpu_cases import Array, Case, cases

RESULT = Path(__file__).parent / "results/other_cpu.json"
HASWELL = "flags : lm sse4_1 sse4_2 avx f16c fma avx2\nmodel name : emulated Haswell\n"
WRONG = 0.02
"""Relative error from which on a result is wrong: half a step of an INT8 output is far below."""


def main() -> None:
    """Run all cases here and on the emulated CPU, and hold what came out against each other."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--output", type=Path, default=RESULT, help="where the table goes, as JSON")
    arguments.add_argument("--emulated", type=Path, help="(the emulated process) the folder with the graphs")
    asked = arguments.parse_args()
    if asked.emulated is not None:
        _emulated(asked.emulated)
        return
    emulator = shutil.which("qemu-x86_64")
    if emulator is None:
        sys.exit("qemu-x86_64 is missing: apt-get install qemu-user")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wanted = {case.name: _written(case, number, folder) for number, case in enumerate(cases())}
        command = [emulator, "-cpu", "Haswell", sys.executable, __file__, "--emulated", name]
        path = os.pathsep.join(filter(None, (str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH"))))
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
        )
        if done.returncode:
            sys.exit(f"the emulated process failed: {done.stderr[-2000:]}")
        rows = [_row(name, number, expected, folder) for number, (name, expected) in enumerate(wanted.items())]
    for row in rows:
        print("  ".join(f"{row[key]!s:24.24}" for key in row))
    asked.output.write_text(json.dumps({"emulated": "Haswell (QEMU)", "rows": rows}, indent=1) + "\n", encoding="utf-8")
    sys.exit(0 if all(row["good"] for row in rows) else 1)


def _written(case: Case, number: int, folder: Path) -> Array:
    """Write a case for the other process, and return what is right: what this CPU computes, if it adds in 32 bits."""
    from mlopt.core.hardware import detect_cpu

    if detect_cpu().adds_in_16_bits:
        sys.exit("this CPU has no VNNI itself, so it cannot say what is right")
    onnx.save(case.model, folder / f"{number}.onnx")
    np.savez(folder / f"{number}.npz", **case.feeds)
    return _run(folder / f"{number}.onnx", case.feeds, {})


def _emulated(folder: Path) -> None:
    """Run every case, on the CPU that QEMU makes."""
    from mlopt.core.errors import ModelError
    from mlopt.core.hardware import parse
    from mlopt.formats.onnx.file import open_onnx
    from mlopt.formats.onnx.int8 import EXACT
    from mlopt.runtimes import exact, onnxruntime
    from mlopt.runtimes.base import RuntimeOptions
    from mlopt.runtimes.table import open_default

    haswell = parse(HASWELL, cores=2, memory_bytes=1 << 30)
    exact.detect_cpu = lambda: haswell  # type: ignore[assignment]  # /proc/cpuinfo is still the real CPU's
    for path in sorted(folder.glob("*.onnx")):
        feeds = dict(np.load(path.with_suffix(".npz")))
        found = {"plain": _run(path, feeds, {})}
        with contextlib.suppress(*onnxruntime.runtime_errors()):  # it cannot load every graph
            found["exact"] = _run(path, feeds, EXACT)
        try:
            with open_default(open_onnx(path), RuntimeOptions(threads=1)) as session:
                found["mlopt"] = next(iter(session.run(feeds).values()))
        except ModelError as error:
            path.with_suffix(".txt").write_text(error.problems[0].what, encoding="utf-8")
        np.savez(path.with_suffix(".out.npz"), **found)


def _run(path: Path, feeds: Mapping[str, Array], entries: Mapping[str, str]) -> Array:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    for key, value in entries.items():
        options.add_session_config_entry(key, value)
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, dict(feeds))[0])


def _row(name: str, number: int, expected: Array, folder: Path) -> dict[str, Any]:
    from mlopt.formats.onnx.int8 import overflow

    found = np.load(folder / f"{number}.out.npz")
    errors = {key: round(_error(expected, found[key]), 4) for key in found.files}
    refused = folder / f"{number}.txt"
    layers = overflow(folder / f"{number}.onnx").layers
    foreseen = bool(layers) or errors["plain"] < WRONG
    right = refused.exists() or errors["mlopt"] < WRONG
    return {
        "case": name, "plain": errors["plain"], "exact": errors.get("exact", "does not load"),
        "mlopt": errors.get("mlopt", "refused"),
        "said to overflow": bool(layers), "good": foreseen and right,
    }  # fmt: skip


def _error(expected: Array, got: Array) -> float:
    wanted = expected.astype(np.float64)
    return float(np.linalg.norm(got - wanted) / np.linalg.norm(wanted))


if __name__ == "__main__":
    main()
