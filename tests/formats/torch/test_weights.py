"""Weights out of a file: tensors alone, exactly those of the module, and from a pickle only what cannot run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlopt.core.errors import ModelError
from mlopt.formats.torch.weights import is_pickle, load_weights, refused_pickle

torch = pytest.importorskip("torch", reason="needs the extra mlopt[torch]")


def linear() -> Any:
    return torch.nn.Linear(3, 2)


@pytest.mark.parametrize(
    ("state", "got"),
    [
        ({"weight": torch.ones(2, 3)}, "missing: bias; unexpected: none"),
        (
            {"weight": torch.ones(2, 3), "bias": torch.ones(2), "scale": torch.ones(1)},
            "missing: none; unexpected: scale",
        ),
        ({"weight": torch.ones(2, 4), "bias": torch.ones(2)}, "size mismatch: weight is [2, 4] and not [2, 3]"),
    ],
)
def test_weights_that_do_not_fit_are_named(tmp_path: Path, state: dict[str, object], got: str) -> None:
    torch.save(state, tmp_path / "state.pt")
    with pytest.raises(ModelError, match="the weights do not fit the model") as caught:
        load_weights(linear(), tmp_path / "state.pt")
    assert got in str(caught.value)


def test_a_pickle_that_could_run_code_is_refused(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(3, 2), tmp_path / "whole.pt")
    with pytest.raises(ModelError, match="more than tensors"):
        load_weights(linear(), tmp_path / "whole.pt")


@pytest.mark.parametrize("content", [b"", b"not a state dict"])
@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_damaged_weights_are_one_error(tmp_path: Path, content: bytes, suffix: str) -> None:
    (tmp_path / f"state{suffix}").write_bytes(content)
    with pytest.raises(ModelError, match="the weights"):
        load_weights(linear(), tmp_path / f"state{suffix}")


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".bin"])
def test_the_values_of_the_file_are_those_of_the_module(tmp_path: Path, suffix: str) -> None:
    from safetensors.torch import save_file

    state, file = {"weight": torch.ones(2, 3), "bias": torch.zeros(2)}, tmp_path / f"state{suffix}"
    save_file(state, file) if suffix == ".safetensors" else torch.save(state, file)
    module = linear()
    load_weights(module, file)
    assert module(torch.ones(1, 3)).tolist() == [[3.0, 3.0]]


@pytest.mark.parametrize(
    ("content", "got"),
    [
        ({"epoch": 3, "model": {"weight": torch.ones(2, 3)}}, "dict with a state dict under 'model'"),
        ([torch.ones(2, 3)], "list"), ({"weight": 3}, "dict"), ({0: torch.ones(2)}, "dict"), (torch.ones(2), "Tensor"),
    ],
)  # fmt: skip
def test_what_is_no_state_dict_is_told_with_one_that_is_inside(tmp_path: Path, content: object, got: str) -> None:
    torch.save(content, tmp_path / "state.pt")
    with pytest.raises(ModelError, match="the weights file holds no state dict") as caught:
        load_weights(linear(), tmp_path / "state.pt")
    problem = caught.value.problems[0]
    assert problem.got == got
    assert ("take it out: python -c" in (problem.fix or "")) is ("under" in got)


def test_a_file_under_the_name_of_the_other_kind_is_told(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"weight": torch.ones(2, 3)}, tmp_path / "state.pt")
    with pytest.raises(ModelError, match="no PyTorch file") as caught:
        load_weights(linear(), tmp_path / "state.pt")
    assert caught.value.problems[0].fix == "rename it to state.safetensors"


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="the weights file does not exist"):
        load_weights(linear(), tmp_path / "state.pt")


def test_a_pickle_is_known_by_its_name_and_refused_with_the_way_to_convert_it() -> None:
    assert [is_pickle(Path(f"w{suffix}")) for suffix in (".pt", ".pth", ".bin", ".ckpt")] == [True] * 4
    assert not is_pickle(Path("w.safetensors"))
    told = str(refused_pickle("r.yaml:3", Path("my weights.pt")))
    assert "'my weights.pt' 'my weights.safetensors'" in told
    assert "weights_only=True" in told
    assert "--allow-pickle" in told
