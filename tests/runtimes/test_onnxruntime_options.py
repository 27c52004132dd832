"""How ONNX Runtime is told to open a model: what an artifact of a stranger may say."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from mlopt.core.errors import MissingPackage
from mlopt.runtimes import onnxruntime
from mlopt.runtimes.onnxruntime import session_options
from mlopt.runtimes.onnxruntime_options import OnnxRuntimeOptions

DEFAULTS = OnnxRuntimeOptions(threads=4)
OTHERWISE: dict[str, Any] = {
    "threads": 3, "graph_optimization": "basic", "inter_op_threads": 2, "spinning": False, "memory_pattern": False,
    "memory_arena": False, "prepacking": False, "dynamic_block_base": 4,
}  # fmt: skip
ENTRIES = (
    "session.intra_op.allow_spinning", "session.inter_op.allow_spinning", "session.disable_prepacking",
    "session.dynamic_block_base",
)  # fmt: skip


def native(options: OnnxRuntimeOptions) -> dict[str, Any]:
    """What ONNX Runtime is told, as far as it can be read back."""
    told = session_options(options)
    settings = (
        "intra_op_num_threads", "inter_op_num_threads", "execution_mode", "graph_optimization_level",
        "enable_mem_pattern", "enable_cpu_mem_arena", "enable_mem_reuse",
    )  # fmt: skip
    found: dict[str, Any] = {name: getattr(told, name) for name in settings}
    for key in ENTRIES:
        try:
            found[key] = told.get_session_config_entry(key)
        except RuntimeError:  # it was not set
            found[key] = None
    return found


def test_by_default_onnxruntime_is_told_what_it_always_was() -> None:
    import onnxruntime as ort

    own, told = ort.SessionOptions(), native(DEFAULTS)
    assert (told["intra_op_num_threads"], told["inter_op_num_threads"]) == (4, 1)
    assert told["execution_mode"] == ort.ExecutionMode.ORT_SEQUENTIAL
    assert told["graph_optimization_level"] == ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    assert (told["enable_mem_pattern"], told["enable_cpu_mem_arena"]) == (
        own.enable_mem_pattern, own.enable_cpu_mem_arena,
    )  # fmt: skip
    assert [told[key] for key in ENTRIES] == [None] * len(ENTRIES)


def test_every_option_is_looked_at_here() -> None:
    assert set(OTHERWISE) == set(OnnxRuntimeOptions.model_fields) - {"device", "provider"}


def test_the_device_and_its_provider_are_what_the_session_is_made_with() -> None:
    ort = SimpleNamespace(get_available_providers=lambda: ["TensorrtExecutionProvider", "CUDAExecutionProvider"])
    cpu = ["CPUExecutionProvider"]
    assert onnxruntime._providers(ort, "cpu", "default") == cpu
    assert onnxruntime._providers(ort, "cuda", "default") == ["CUDAExecutionProvider", *cpu]
    assert onnxruntime._providers(ort, "cuda", "tensorrt") == [*ort.get_available_providers(), *cpu]


@pytest.mark.parametrize(("provider", "lacks"), [("default", "CUDA"), ("tensorrt", "Tensorrt")])
def test_a_provider_that_is_not_there_is_named(provider: str, lacks: str) -> None:
    ort = SimpleNamespace(get_available_providers=lambda: ["CPUExecutionProvider"])
    with pytest.raises(MissingPackage) as caught:
        onnxruntime._providers(ort, "cuda", provider)
    assert f"no {lacks}ExecutionProvider" in str(caught.value.problems[0].got)


@pytest.mark.parametrize("key", OTHERWISE)
def test_every_option_changes_what_onnxruntime_is_told(key: str) -> None:
    changed = DEFAULTS.model_copy(update={key: OTHERWISE[key]})
    assert native(changed) != native(DEFAULTS)
    assert {name for name, value in changed if value != getattr(DEFAULTS, name)} == {key}


@pytest.mark.parametrize("threads", range(1, 6))
@pytest.mark.parametrize("at_a_time", [1, 2, 3, 1024])
def test_no_more_threads_compute_than_were_asked_for(threads: int, at_a_time: int) -> None:
    told = native(OnnxRuntimeOptions(threads=threads, inter_op_threads=at_a_time))
    intra, inter = told["intra_op_num_threads"], told["inter_op_num_threads"]
    assert min(intra, inter) >= 1
    assert (intra - 1) + (inter - 1) + 1 == threads  # the thread that calls is one of either pool
    assert (told["execution_mode"].name == "ORT_PARALLEL") is (inter > 1)


def test_what_is_as_always_is_written_as_always() -> None:
    once = {"threads": 4, "device": "cpu", "graph_optimization": "all"}
    assert DEFAULTS.model_dump(mode="json") == DEFAULTS.model_dump() == once
    assert OnnxRuntimeOptions.model_validate(once, strict=True) == DEFAULTS
    assert DEFAULTS.model_dump(mode="json", exclude={"threads"}) == {k: once[k] for k in once if k != "threads"}


@pytest.mark.parametrize(
    "said",
    [
        {"config_entries": {"session.load_model_format": "ORT"}},
        {"optimized_model_path": "/etc/passwd"},
        {"graph_optimization": "most"},
        {"device": "cuda:0"},
        {"threads": 0},
        {"threads": 100_000},
        {"inter_op_threads": 0},
        {"inter_op_threads": 100_000},
        {"spinning": "session.profile"},
        {"memory_pattern": 2},
        {"memory_arena": None},
        {"prepacking": "/etc/passwd"},
        {"dynamic_block_base": -1},
        {"dynamic_block_base": 65},
        {"dynamic_block_base": "4"},
        {"denormals_as_zero": True},
    ],
)
def test_what_mlopt_does_not_write_is_refused(said: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        OnnxRuntimeOptions.model_validate({"threads": 1, "device": "cpu", **said}, strict=True)


def test_what_earlier_versions_wrote_is_read() -> None:
    """They had session entries, and never used them: only none at all is what they wrote."""
    written = {"threads": 2, "device": "cpu", "graph_optimization": "all", "config_entries": {}}
    assert OnnxRuntimeOptions.model_validate(written) == OnnxRuntimeOptions(threads=2)
    assert "config_entries" in written  # what was given is left as it was


def test_options_are_read_as_they_are_written_and_do_not_change() -> None:
    options = OnnxRuntimeOptions(threads=3, device="cuda", graph_optimization="extended")
    assert OnnxRuntimeOptions.model_validate(options.model_dump(mode="json")) == options
    with pytest.raises(ValidationError, match="frozen"):
        options.threads = 1  # type: ignore[misc]
