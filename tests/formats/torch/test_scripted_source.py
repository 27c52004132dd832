"""A TorchScript file loaded: what goes by name, what by position, and what fits neither way."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlopt.core.errors import ModelError
from mlopt.formats.model import TensorSpec

torch = pytest.importorskip("torch", reason="making TorchScript needs the extra mlopt[torch]")

import scripted_modules as modules  # noqa: E402

from mlopt.formats.torch.scripted_source import load_scripted  # noqa: E402

pytestmark = pytest.mark.heavy


def specs(*names: str) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(name, "float32", ("batch", 4)) for name in names)


@pytest.mark.parametrize("names", [("x", "mask"), ("mask", "x"), ("x",), ("image",), ("image", "weights")])
def test_inputs_go_by_name_or_by_position(tmp_path: Path, names: tuple[str, ...]) -> None:
    file = modules.save(modules.Masked(), tmp_path / "m.pt")
    values = {name: torch.full((2, 4), float(2 + place)) for place, name in enumerate(names)}
    (got,) = load_scripted(file, specs(*names), ())(*values.values())
    assert torch.equal(got, torch.full((2, 4), 18.0 if len(names) == 2 else 6.0))
    assert not load_scripted(file, specs(*names), ()).model.training


@pytest.mark.parametrize(
    ("names", "what"),
    [
        (("x", "weights"), "the inputs are not the parameters of forward()"),  # half of them agree
        (("mask",), "the inputs are not the parameters of forward()"),  # and x is not there
        (("a", "b", "c"), "the inputs are not the parameters of forward()"),
    ],
)
def test_names_that_half_agree_are_an_error(tmp_path: Path, names: tuple[str, ...], what: str) -> None:
    file = modules.save(modules.Masked(), tmp_path / "m.pt")
    with pytest.raises(ModelError) as caught:
        load_scripted(file, specs(*names), ())
    (found,) = caught.value.problems
    assert (found.what, found.got) == (what, ", ".join(names))
    assert "forward(x: Tensor, mask: Optional[Tensor] (may be left out)" in str(found.expected)


def test_what_takes_more_than_tensors_is_told(tmp_path: Path) -> None:
    file = modules.save(modules.Number(), tmp_path / "m.pt")
    with pytest.raises(ModelError, match="forward\\(\\) takes more than tensors"):
        load_scripted(file, specs("x"), ())


def test_a_file_that_pytorch_cannot_load_is_told(tmp_path: Path) -> None:
    (tmp_path / "m.pt").write_bytes(b"PK\x03\x04")
    with pytest.raises(ModelError, match="PyTorch cannot load this TorchScript file"):
        load_scripted(tmp_path / "m.pt", specs("x"), ())
