from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlopt.core.errors import GateError
from mlopt.gate.limits import Gate, HardwareClass
from mlopt.gate.vocabulary import METRICS
from mlopt.recipe.gates_file import load_gates

LIST = """\
- {metric: latency.p95_ms, max: 12}
- {metric: speedup.median, min: 1.2, vs: onnx_fp32, on_inconclusive: pass}
"""
GATES = (
    Gate(metric="latency.p95_ms", max=12),
    Gate(metric="speedup.median", min=1.2, vs="onnx_fp32", on_inconclusive="pass"),
)


def load(folder: Path, text: str) -> tuple[Gate, ...]:
    file = folder / "gates.yaml"
    file.write_text(text, encoding="utf-8")
    return load_gates(file)


def test_a_list_and_a_mapping_mean_the_same(tmp_path: Path):
    assert load(tmp_path, LIST) == GATES
    assert load(tmp_path, "gates:\n" + LIST) == GATES


def test_the_files_hardware_is_for_gates_without_their_own(tmp_path: Path):
    text = """\
hardware: {cpu: "AMD EPYC*", cores: 2, isa: [avx2], gpu: null}
gates:
  - {metric: latency.p95_ms, max: 12, confidence: 0.99}
  - {metric: latency.p95_ms, max: 5, hardware: {gpu: "NVIDIA L4*"}}
"""
    first, second = load(tmp_path, text)
    assert first.hardware == HardwareClass(cpu="AMD EPYC*", cores=2, isa=("avx2",))
    assert first.confidence == 0.99
    assert second.hardware == HardwareClass(gpu="NVIDIA L4*")


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("- {metric: latency.p95, max: 12}\n", "gates.yaml:1:", "did you mean 'latency.p95_ms'?"),
        (LIST + "- {metric: size_mb, maxx: 12}\n", "gates.yaml:3:", "did you mean 'max'?"),
        (LIST + "- {metric: size_mb}\n", "gates.yaml:3:", "exactly one of `max` and `min`"),
        ("- {metric: size_mb, max: twelve}\n", "gates.yaml:1:", "a number"),
        ("- {metric: size_mb, max: .inf}\n", "gates.yaml:1:", "finite"),
        ("gates:\n" + LIST + "name: x\n", "gates.yaml:4:", "unknown key 'name'"),
        ("- {metric: size_mb, max: 1, max: 2}\n", "gates.yaml:1:", "max"),
        ("- {metric: size_mb, max: 1, hardware: {cpus: 2}}\n", "gates.yaml:1:", "did you mean 'cpu'?"),
        ("gates:\n" + LIST + "hardware: {cores: two}\n", "gates.yaml:4:", "a whole number"),
        ("- {metric: size_mb, max: 1, confidence: 95}\n", "gates.yaml:1:", "at most 0.9999"),
        ("- {metric: size_mb, max: 1, on_inconclusive: warning}\n", "gates.yaml:1:", "did you mean 'warn'?"),
        ("12\n", "gates.yaml", "these are no gates"),
        ("- 12\n", "gates.yaml:1:", "a mapping"),
        ("", "gates.yaml", "the file is empty"),
        ("- [\n", "gates.yaml:2:", "not YAML"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, text: str, line: str, message: str):
    with pytest.raises(GateError) as error:
        load(tmp_path, text)
    assert line in str(error.value.problems[0].where)
    assert message in str(error.value)


def test_all_problems_come_at_once(tmp_path: Path):
    with pytest.raises(GateError) as error:
        load(tmp_path, "- {metric: size_mb}\n- {metric: nonsense, max: 1}\n")
    assert [problem.where.rsplit(":", 2)[1] for problem in error.value.problems] == ["1", "2"]


def test_a_missing_file_is_said(tmp_path: Path):
    with pytest.raises(GateError, match="does not exist"):
        load_gates(tmp_path / "none.yaml")


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
@settings(deadline=None)
def test_any_bytes_are_gates_or_an_error(tmp_path_factory: pytest.TempPathFactory, data: bytes):
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_bytes(data)
    try:
        gates = load_gates(file)
    except GateError:
        return
    assert all(isinstance(gate, Gate) for gate in gates)


scalars = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-5, 5) | st.sampled_from([*METRICS, "pass", "x"])
keys = st.sampled_from(["metric", "max", "min", "vs", "on_inconclusive", "confidence", "hardware", "gates"])


@pytest.mark.heavy
@given(st.lists(st.dictionaries(keys, scalars | st.lists(scalars, max_size=2), max_size=4), max_size=3))
@settings(deadline=None)
def test_any_structure_is_gates_or_an_error(tmp_path_factory: pytest.TempPathFactory, entries: list):
    import yaml

    file = tmp_path_factory.getbasetemp() / "structure.yaml"
    file.write_text(yaml.safe_dump(entries), encoding="utf-8")
    try:
        found = [gate.metric for gate in load_gates(file)]
    except GateError as error:
        found = error
    if isinstance(found, GateError):
        assert all(str(file) in str(problem.where) for problem in found.problems)
    else:
        assert found == [entry["metric"] for entry in entries]
