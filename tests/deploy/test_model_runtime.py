"""The code that goes along: it opens what was signed as it was measured, joins requests, and refuses all else."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import deployed
import numpy as np
import openvino_models
import predicted
import pytest

from mlopt.artifact.opened import opened
from mlopt.runtimes.onnxruntime import import_onnxruntime, session_options
from mlopt.runtimes.onnxruntime_options import OnnxRuntimeOptions
from mlopt.runtimes.openvino import _properties
from mlopt.runtimes.openvino_options import OpenVinoOptions

FIELDS = (
    "intra_op_num_threads", "inter_op_num_threads", "execution_mode", "graph_optimization_level", "enable_mem_pattern",
    "enable_cpu_mem_arena", "log_severity_level",
)  # fmt: skip
ENTRIES = (
    "session.intra_op.allow_spinning", "session.inter_op.allow_spinning", "session.disable_prepacking",
    "session.dynamic_block_base",
)  # fmt: skip


@pytest.fixture
def out(tmp_path: Path) -> Path:
    deployed.written(tmp_path / "out", "fastapi", deployed.artifact(tmp_path / "words"))
    return tmp_path / "out"


@pytest.fixture
def runtime(out: Path) -> Iterator[ModuleType]:
    with deployed.modules(out, "model_runtime") as (module,):
        yield module


def folder(out: Path) -> Path:
    return out / "models" / "words" / "1"


@pytest.mark.parametrize(
    "options",
    [
        OnnxRuntimeOptions(threads=3),
        OnnxRuntimeOptions(threads=4, inter_op_threads=2, graph_optimization="extended", spinning=False),
        OnnxRuntimeOptions(threads=1, graph_optimization="none", memory_pattern=False, memory_arena=False),
        OnnxRuntimeOptions(threads=2, graph_optimization="basic", prepacking=False, dynamic_block_base=4),
    ],
)
def test_sessions_are_told_what_mlopt_tells_them(runtime: ModuleType, options: OnnxRuntimeOptions) -> None:
    described = {name: getattr(options, name) for name in type(options).model_fields}
    made = runtime.onnxruntime_options(import_onnxruntime(), described, options.threads)
    own = session_options(options)
    assert [getattr(made, field) for field in FIELDS] == [getattr(own, field) for field in FIELDS]
    assert [entry(made, key) for key in ENTRIES] == [entry(own, key) for key in ENTRIES]


def entry(native: Any, key: str) -> str | None:
    try:
        return str(native.get_session_config_entry(key))
    except RuntimeError:
        return None


@pytest.mark.parametrize(
    "options",
    [
        OpenVinoOptions(threads=2),
        OpenVinoOptions(threads=3, precision="bf16", hint="throughput", streams=4, pinning=True),
    ],
)
def test_openvino_is_told_the_same(runtime: ModuleType, options: OpenVinoOptions) -> None:
    own = _properties(options, counting=False)
    made = runtime.openvino_properties(options.model_dump(), options.threads)
    assert made == {name: value for name, value in own.items() if name != "PERF_COUNT"}


def test_it_answers_as_the_artifact_does(runtime: ModuleType, out: Path, tmp_path: Path) -> None:
    feeds = predicted.rows(5)
    with opened(tmp_path / "words", None) as own:
        expected = own.session.run(feeds)
    found = runtime.ServedModel(folder(out)).run(feeds)
    assert all(np.array_equal(found[name], expected[name], equal_nan=True) for name in expected)


@openvino_models.needed
@pytest.mark.parametrize("shapes", ["dynamic", "static"])
def test_in_openvino_it_answers_as_the_artifact_does(shapes: Any, tmp_path: Path) -> None:
    options = OpenVinoOptions(threads=1, shapes=shapes)
    artifact = deployed.artifact(tmp_path / "second", deployed.shifted, openvino=options)
    told = deployed.written(tmp_path / "out", "fastapi", artifact)
    assert told["models"][0]["settings"]["largest_batch"]["value"] == (4 if shapes == "dynamic" else 1)
    place = tmp_path / "out" / "models" / "second" / "1"
    with deployed.modules(tmp_path / "out", "model_runtime") as (module,), opened(artifact, None) as own:
        model = module.ServedModel(place, 4)
        for rows in (*range(1, 12), 3):
            feeds = {"h": np.arange(4 * rows, dtype=np.float32).reshape(rows, 4) / 7}
            assert np.array_equal(model.run(feeds)["y"], own.session.run(feeds)["y"])
        answers = model.run_together([feeds, feeds])
    assert all(np.array_equal(each["y"], feeds["h"] ** 2) for each in answers)


def test_requests_are_joined_and_parted_again(runtime: ModuleType, out: Path) -> None:
    model, ran = runtime.ServedModel(folder(out), 6), list[int]()
    requests = [predicted.rows(count) for count in (1, 3, 2, 7, 1)]
    answers = model.run_together(requests, ran.append)
    assert ran == [6, 7, 1]
    for feeds, answer in zip(requests, answers, strict=True):
        assert np.array_equal(answer["embedding"], predicted.TABLE[feeds["ids"]])


def test_one_that_fails_spoils_no_other(runtime: ModuleType, out: Path) -> None:
    model, ran = runtime.ServedModel(folder(out), 8), list[int]()
    wrong = {"ids": np.zeros((1, 2), np.int64), "x": np.zeros(1, np.float32)}
    requests = [predicted.rows(2), predicted.rows(1, poisoned=(0,)), wrong, predicted.rows(3)]
    answers = model.run_together(requests, ran.append)
    assert isinstance(answers[2], runtime.BadInput)
    assert isinstance(answers[1], Exception)
    assert not isinstance(answers[1], runtime.BadInput)
    assert [len(answers[place]["embedding"]) for place in (0, 3)] == [2, 3]
    assert ran == [6, 2, 1, 3]


@pytest.mark.parametrize(
    ("feeds", "why"),
    [
        ({"ids": np.zeros((1, 3), np.int64)}, "inputs ids, expected ids, x"),
        ({"ids": np.zeros((1, 3), np.int32), "x": np.zeros(1, np.float32)}, "int32"),
        ({"ids": np.zeros((1, 4), np.int64), "x": np.zeros(1, np.float32)}, "3 is 4 here"),
        ({"ids": np.zeros(3, np.int64), "x": np.zeros(1, np.float32)}, "expected int64"),
        ({"ids": np.zeros((2, 3), np.int64), "x": np.zeros(1, np.float32)}, "batch is 1 here"),
    ],
)
def test_what_does_not_fit_the_model_is_told(runtime: ModuleType, out: Path, feeds: dict[str, Any], why: str) -> None:
    with pytest.raises(runtime.BadInput, match=why):
        runtime.ServedModel(folder(out)).run(feeds)


def test_a_model_without_a_batch_axis_is_run_request_by_request(runtime: ModuleType, tmp_path: Path) -> None:
    deployed.written(tmp_path / "places", "fastapi", deployed.artifact(tmp_path / "things", predicted.things))
    model, ran = runtime.ServedModel(tmp_path / "places" / "models" / "things" / "1", 8), list[int]()
    x = np.array([[0, 1, 0, 2]], np.float32)
    answers = model.run_together([{"x": x}, {"x": x}], ran.append)
    assert ran == [1, 1]
    assert [each["places"].tolist() for each in answers] == [[[0, 0], [1, 3]]] * 2


def test_a_value_that_the_model_was_made_for_is_held(runtime: ModuleType) -> None:
    check = runtime._FeedCheck({"inputs": [{"name": "n", "dtype": "int64", "shape": [2]}], "fixed": {"n": [3, 4]}})
    check({"n": np.array([3, 4])})
    with pytest.raises(runtime.BadInput, match="only one value"):
        check({"n": np.array([3, 5])})


def test_a_cpu_that_would_compute_wrong_is_refused(
    runtime: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runtime.platform, "machine", lambda: "x86_64")
    about = {"name": "m", "safe_isa": ["no_such_set"], "packages": {"numpy": "0.0.1", "no-such-package": "1"}}
    with pytest.raises(runtime.Refused, match="none of no_such_set") as refused:
        runtime._check_machine(about)
    assert refused.value.exit_code == 2
    runtime._check_machine({**about, "safe_isa": []})
    assert "it was measured with numpy 0.0.1, and runs on " in capsys.readouterr().err


@pytest.mark.parametrize("spoil", ["truncated", "removed", "description", "another"])
def test_what_is_not_as_signed_is_never_opened(runtime: ModuleType, out: Path, spoil: str) -> None:
    place = folder(out)
    if spoil == "truncated":
        deployed.truncate(place / "model.onnx")
    elif spoil == "removed":
        (place / "model.onnx").unlink()
    elif spoil == "description":
        (place / "deployment.json").write_text("{")
    else:
        described = json.loads((place / "deployment.json").read_text())
        (place / "deployment.json").write_text(json.dumps({**described, "schema": "mlopt.deployment/v2"}))
    with pytest.raises(runtime.Refused) as refused:
        runtime.ServedModel(place)
    assert refused.value.exit_code == 4


@pytest.mark.process
def test_as_a_program_it_only_checks(out: Path) -> None:
    command = [sys.executable, str(out / "model_runtime.py")]
    good = subprocess.run(command, capture_output=True, text=True, check=False, env=deployed.environment())
    assert (good.returncode, good.stderr.count("it is what was signed")) == (0, 1)
    deployed.truncate(folder(out) / "model.onnx")
    bad = subprocess.run(command, capture_output=True, text=True, check=False, env=deployed.environment())
    assert bad.returncode == 4
    assert "it is not what was signed" in bad.stderr
    empty = subprocess.run([*command, out / "k8s"], capture_output=True, text=True, check=False)
    assert empty.returncode == 4
