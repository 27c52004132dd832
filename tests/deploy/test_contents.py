"""Which artifacts can be served, and what is said of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from deployed import IMAGE, LOGITS, content

from mlopt.artifact.fixed_to import FixedTo
from mlopt.core.errors import IntegrityError, UserError
from mlopt.deploy.contents import checked_name, joinable, options_of, served, why_apart
from mlopt.deploy.derived import Goal
from mlopt.formats.model import TensorSpec
from mlopt.runtimes.onnxruntime_options import OnnxRuntimeOptions
from mlopt.runtimes.openvino_options import OpenVinoOptions


def test_the_description_has_every_option_and_every_file_of_the_model() -> None:
    described = content().described()
    assert described["files"] == {"model.onnx": "f" * 64}
    assert set(described["options"]) == set(OnnxRuntimeOptions.model_fields)
    assert (described["digest"], described["version"], described["batches"]) == ("d" * 64, "3", True)
    assert described["inputs"] == [{"name": "image", "dtype": "float32", "shape": ["batch", 1, 28, 28]}]


def test_requests_are_joined_along_an_axis_that_all_have() -> None:
    options = OnnxRuntimeOptions(threads=1)
    manifest = content().manifest
    assert joinable(manifest, options)
    assert not joinable(manifest, OpenVinoOptions(threads=1, shapes="static"))
    assert joinable(manifest, OpenVinoOptions(threads=1))
    for outputs in ((TensorSpec("y", "float32", (10,)),), (TensorSpec("y", "float32", ("found", 2)),), (
        TensorSpec("y", "float32", ()),
    )):  # fmt: skip
        assert not joinable(content(outputs=(LOGITS, *outputs)).manifest, options)
    assert not joinable(content(inputs=(replace(IMAGE, shape=(1, 1, 28, 28)),)).manifest, options)


def test_why_requests_are_not_joined_is_told() -> None:
    manifest, options = content().manifest, OnnxRuntimeOptions(threads=1)
    assert why_apart(manifest, options) is None
    fixed = manifest.model.model_copy(update={"fixed": FixedTo(dims={}, inputs={"image": 0})})
    for reason, told in (
        (
            "no first axis of any size in common",
            why_apart(content(outputs=(TensorSpec("y", "float32", (10,)),)).manifest, options),
        ),
        ("made for one value of an input", why_apart(manifest.model_copy(update={"model": fixed}), options)),
        ("compiled for each size of a batch", why_apart(manifest, OpenVinoOptions(threads=1, shapes="static"))),
    ):
        assert reason in str(told)


def test_what_is_served_has_its_settings_from_the_report() -> None:
    given = content()
    found = served(given.verified, given.report, Goal(100.0, 4000.0), "other")
    assert (found.name, found.settings, found.options) == ("other", given.settings, given.options)
    assert found.measured_with["onnxruntime"] == "1.32.0"
    with pytest.raises(UserError, match="this name cannot stand in a URL"):
        served(given.verified, given.report, Goal(), "a/b")


def test_a_name_that_no_url_can_carry_is_refused() -> None:
    assert checked_name("a.b_c-1") == "a.b_c-1"
    for name in ("a/b", "", "..", ".hidden", "a b", "a\n", "x" * 64, "a..b", "ä"):
        with pytest.raises(UserError, match="this name cannot stand in a URL"):
            checked_name(name)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"runtime": "torch"}, "no engine here is written for this runtime"),
        (
            {"options": {"threads": 1, "device": "cuda", "graph_optimization": "all"}},
            "deployments are written for the CPU",
        ),
    ],
)
def test_what_cannot_be_opened_is_refused(changes: dict[str, object], what: str) -> None:
    verified = content().verified
    manifest = verified.manifest.model_copy(update=changes)
    with pytest.raises(UserError, match=what):
        options_of(replace(verified, manifest=manifest))


def test_options_that_make_no_sense_are_a_fault_of_integrity() -> None:
    verified = content().verified
    manifest = verified.manifest.model_copy(update={"options": {"threads": 0}})
    with pytest.raises(IntegrityError, match="cannot be opened as the manifest says"):
        options_of(replace(verified, manifest=manifest))


def test_types_that_the_protocol_lacks_are_refused() -> None:
    verified = content(outputs=(TensorSpec("y", "complex64", ("batch",)),)).verified
    with pytest.raises(UserError, match="has no such type"):
        options_of(verified)
