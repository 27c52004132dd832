"""Small inputs that ask for much: each is refused with its cause, at once and in little memory, by every verb."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from gate_evidence import STEP, report
from packed_artifact import PASSED
from small_files import constant, doubling, endless, make, recursive, saved

from mlopt import report as reports
from mlopt.core.errors import ExitCode, ModelError, RecipeError, UserError
from mlopt.formats.onnx.file import open_onnx
from mlopt.recipe.yaml_reader import MAX_VALUES, read_text

SECONDS, BYTES = 5.0, 1 << 30


def one(op: str, inputs: list[str], *held: onnx.TensorProto, **attributes: object) -> Callable[[Path], Path]:
    return lambda path: saved(
        path, [make(op, inputs, ["t"], **attributes), make("Cast", ["t"], ["f"], to=1), make("Add", ["x", "f"], ["y"])],
        [1], held,
    )  # fmt: skip


SMALL: dict[str, Callable[[Path], Path]] = {
    "doubling functions": doubling,
    "recursive functions": recursive,
    "a loop without end": endless,
    "a loop without a count": lambda path: endless(path, None),
    "an input of 2^62": lambda path: saved(path, [make("Relu", ["x"], ["y"])], [1, 2**62]),
    "an input of 2^93": lambda path: saved(path, [make("Relu", ["x"], ["y"])], [2**31] * 3),
    "an input of 2^31": lambda path: saved(path, [make("Relu", ["x"], ["y"])], [1, 2**31]),
    "ConstantOfShape": one("ConstantOfShape", ["s"], constant("s", [2**33])),
    "Expand": one("Expand", ["x", "s"], constant("s", [2**40])),
    "Tile": one("Tile", ["w", "s"], constant("w", [1.0], np.float32), constant("s", [2**34])),
    "Range": one("Range", ["a", "b", "c"], constant("a", 0), constant("b", 2**36), constant("c", 1)),
    "Pad": one("Pad", ["x", "s"], constant("s", [0, 2**35])),
    "OneHot": one("OneHot", ["i", "s", "v"], constant("i", [1]), constant("s", 2**35), constant("v", [0, 1], float)),
    "RandomNormal": one("RandomNormal", [], shape=[2**20, 2**20]),
    "markup in an operator": lambda path: saved(path, [make("[/b]Relu", ["x"], ["y"], domain="f")], [1]),
}  # fmt: skip
VERBS = {
    "inspect": ["inspect", "m.onnx"], "optimize": ["optimize", "m.onnx", "--no-sign"],
    "compare": ["compare", "m.onnx", "m.onnx"], "bench": ["bench", "m.onnx", "--time", "0.1"],
    "plan": ["plan", "m.onnx"], "init": ["recipe", "init", "m.onnx"],
}  # fmt: skip


def ran(folder: Path, *arguments: str) -> tuple[int, str, float]:
    """Run a command that gets no more than ``BYTES`` of memory; return its code, what it said, and its CPU seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    limited = f'ulimit -d {BYTES >> 10}; exec "$0" -m mlopt "$@"'
    done = subprocess.run(
        ["bash", "-c", limited, sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=120,
        check=False, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done.returncode, done.stderr, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


@pytest.mark.parametrize(("name", "verb"), [(name, [*VERBS][at % len(VERBS)]) for at, name in enumerate(SMALL)])
def test_a_small_model_is_refused_at_once(tmp_path: Path, name: str, verb: str) -> None:
    path = SMALL[name](tmp_path / "m.onnx")
    assert path.stat().st_size < 5_000
    code, said, seconds = ran(tmp_path, *VERBS[verb])
    assert code in {ExitCode.OK, ExitCode.USAGE}, said
    assert "Traceback" not in said
    assert seconds < SECONDS


@pytest.mark.parametrize("name", [name for name in SMALL if name not in {"an input of 2^31", "markup in an operator"}])
def test_it_is_refused_where_every_verb_opens_it(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError) as caught:
        open_onnx(SMALL[name](tmp_path / "m.onnx"))
    assert caught.value.problems[0].fix


@pytest.mark.parametrize(
    "text",
    [
        "passes: [" + "q, " * 340_000 + "]", "".join(f"k{n}: 1\n" for n in range(80_000)), "k: 1\n" * 150_000,
        "gates: [" + "{}, " * 240_000 + "]", "a: " + "[" * 100_000, "- " * 300_000,
    ],
    ids=["passes", "keys", "the same key", "gates", "depth", "lists in lists"],
)  # fmt: skip
def test_a_recipe_of_a_megabyte_of_mistakes(text: str) -> None:
    started = time.process_time()
    with pytest.raises(RecipeError) as caught:
        read_text(text, "r.yaml")
    assert time.process_time() - started < SECONDS
    assert len(caught.value.problems) <= MAX_VALUES + 1


@pytest.mark.process
def test_of_many_mistakes_some_are_shown_and_all_counted(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("apiVersion: mlopt/v1\nname: x\npasses: [" + "q, " * 9_000 + "]")
    code, said, seconds = ran(tmp_path, "recipe", "check", "r.yaml")
    assert code == ExitCode.USAGE
    assert "more, which are not shown" in said
    assert said.count("error:") <= 52
    assert seconds < SECONDS


@pytest.mark.parametrize("key", ["notes", "gates", "steps"])
def test_a_report_holds_no_more_than_a_run_can_give(tmp_path: Path, key: str) -> None:
    many = {"notes": ("n",), "gates": (PASSED,), "steps": (STEP,)}[key] * 5
    text = json.loads(reports.to_json(report(**{key: many})))
    text[key] = text[key] * 1_000
    (tmp_path / "r.json").write_text(json.dumps(text))
    with pytest.raises(UserError, match="not a report of mlopt"):
        reports.read(tmp_path / "r.json")


def test_a_report_is_not_read_beyond_its_limit(tmp_path: Path) -> None:
    with (tmp_path / "r.json").open("wb") as file:
        file.truncate(reports.REPORT_LIMIT + 1)
    with pytest.raises(UserError, match="too large"):
        reports.read(tmp_path / "r.json")
