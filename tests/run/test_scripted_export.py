"""A TorchScript file becomes an ONNX model that answers as it does, at any size and on any branch, or an error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pass_runs import dataset, outputs_of

torch = pytest.importorskip("torch", reason="exporting needs the extra mlopt[torch]")

import scripted_modules as modules  # noqa: E402

from mlopt.core.errors import MissingPackage, ModelError, Problem  # noqa: E402
from mlopt.data.dataset import Dataset  # noqa: E402
from mlopt.formats.model import Model, TensorSpec  # noqa: E402
from mlopt.formats.torch.module import flatten  # noqa: E402
from mlopt.run import scripted_export  # noqa: E402
from mlopt.run.scripted_export import make_scripted  # noqa: E402

pytestmark = pytest.mark.heavy

X = (TensorSpec("x", "float32", ("batch", 4)),)
EXAMPLE = (torch.ones(2, 4),)
RIGHT: dict[str, tuple[Callable[[], Any], bool]] = {
    "if on a size": (modules.BranchOnSize, False),
    "if on a value": (modules.BranchOnValue, False),
    "for": (modules.Loop, False),
    "while": (modules.LoopOnValue, False),
    "several outputs": (modules.Several, False),
    "an input that may be left out": (modules.Masked, False),
    "recurrent": (modules.Recurrent, False),
    "saved in training mode": (modules.Dropping, False),
    "traced, several outputs": (modules.Several, True),
    "traced, recurrent": (modules.Recurrent, True),
    "a function": (lambda: lambda x: x + 1, True),
}
REFUSED = {
    "one batch": (modules.OneBatch, "the module takes one size alone of a dimension that is free"),
    "random": (modules.Unsteady, "the model does not give the same twice"),
    "keeps what it counts": (modules.Counting, "the exported graph does not give what the module gives"),
}


def made(file: Path, inputs: tuple[TensorSpec, ...] = X, *, samples: Dataset | None = None, **more: Any) -> Model:
    out = file.with_suffix(".out")
    out.mkdir()
    return make_scripted(file, inputs, more.pop("outputs", ()), out, samples=samples, **more)[0].model


def problem(file: Path, *given: Any, **more: Any) -> Problem:
    with pytest.raises(ModelError) as caught:
        made(file, *given, **more)
    (found,) = caught.value.problems
    assert found.fix
    assert "build()" not in found.fix  # there is none at hand
    return found


def assert_answers_alike(file: Path, model: Model, *inputs: np.ndarray[Any, Any]) -> None:
    expected = [value.detach().numpy() for _, value in flatten(modules.answers(file, *inputs))]
    got = outputs_of(model.path, {spec.name: array for spec, array in zip(model.inputs, inputs, strict=True)})
    for spec, array in zip(model.outputs, expected, strict=True):
        np.testing.assert_allclose(got[spec.name], array, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_exported_answers_as_the_file_does(tmp_path: Path, name: str) -> None:
    module, traced = RIGHT[name]
    file = modules.save(module(), tmp_path / "m.pt", EXAMPLE if traced else None)
    model = made(file)
    random = np.random.default_rng(0)
    for batch in (1, 2, 3, 4, 5, 8, 17):
        for sign in (1, -1):
            assert_answers_alike(file, model, (sign * random.random((batch, 4))).astype(np.float32))


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_answer_alike_is_refused(tmp_path: Path, name: str) -> None:
    module, what = REFUSED[name]
    assert problem(modules.save(module(), tmp_path / "m.pt")).what == what


def test_a_size_that_a_file_was_made_for_may_be_declared(tmp_path: Path) -> None:
    file = modules.save(modules.OneBatch(), tmp_path / "m.pt")
    model = made(file, (TensorSpec("x", "float32", (2, 4)),))
    assert_answers_alike(file, model, np.ones((2, 4), np.float32))


def test_a_network_is_exported_on_real_samples_under_the_declared_names(tmp_path: Path) -> None:
    file = modules.save(modules.Convolutional().eval(), tmp_path / "m.pt", (torch.ones(1, 1, 6, 6),))
    pictures = np.random.default_rng(0).random((12, 1, 6, 6), np.float32)
    samples, feeds = dataset({"picture": pictures}, tmp_path), [{"picture": pictures[:1]}]
    inputs = (TensorSpec("picture", "float32", ("batch", 1, 6, 6)),)
    model = made(file, inputs, samples=samples, feeds=feeds, outputs=("scores",))
    assert (model.inputs, [spec.name for spec in model.outputs]) == (inputs, ["scores"])
    assert_answers_alike(file, model, pictures)


def test_a_sample_on_which_it_differs_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the exporter did."""
    other = made(modules.save(modules.BranchOnValue(), tmp_path / "other.pt"))
    monkeypatch.setattr(scripted_export, "open_onnx", lambda _path: other)
    ones = np.ones((6, 4), np.float32)
    samples = dataset({"x": ones}, tmp_path)
    found = problem(modules.save(modules.BranchOnSize(), tmp_path / "m.pt"), samples=samples, feeds=[{"x": ones[:1]}])
    assert found.what == "the exported graph does not give what the module gives"
    assert "1 where 0 was expected" in str(found.got)


def test_a_sample_that_it_does_not_take_is_told(tmp_path: Path) -> None:
    file = modules.save(modules.Convolutional().eval(), tmp_path / "m.pt")
    found = problem(file, (TensorSpec("image", "float32", ("batch", 3, 6, 6)),))
    assert found.what == "forward() fails on the declared inputs"


def test_what_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = modules.save(modules.Loop(), tmp_path / "m.pt")
    monkeypatch.setattr(scripted_export, "version", lambda name: None if name == "onnxscript" else "1")
    with pytest.raises(MissingPackage) as caught:
        made(file)
    assert caught.value.problems[0].got == "no onnxscript"
    assert "torch" in str(caught.value.problems[0].fix)
