"""A state dict in a file and back: copies of all values, ties kept, and nothing written that cannot be read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlopt.core.errors import ModelError
from mlopt.formats.torch.rebuild import load_state, read_state
from mlopt.formats.torch.state import check_present, check_sized, save_state

torch = pytest.importorskip("torch", reason="needs the extra mlopt[torch]")


def net(**buffers: Any) -> Any:
    module = torch.nn.Module()
    for name, value in buffers.items():
        module.register_buffer(name, value)
    return module


def kept(module: Any, folder: Path) -> dict[str, Any]:
    save_state(module, folder / "w.safetensors", "net.py")
    return read_state(folder / "w.safetensors")


VALUES: dict[str, Callable[[], Any]] = {
    "a part of something longer": lambda: torch.arange(9.0)[2:5],
    "one number many times": lambda: torch.ones(1).expand(4),
    "turned": lambda: torch.arange(6.0).reshape(2, 3).t(), "empty": lambda: torch.zeros(0, 3),
    "a number": lambda: torch.tensor(3), "complex": lambda: torch.ones(2, dtype=torch.complex64),
    "truth": lambda: torch.tensor([True, False]), "half": lambda: torch.ones(3, dtype=torch.bfloat16),
}  # fmt: skip


@pytest.mark.parametrize("name", VALUES)
def test_values_come_back_whatever_memory_they_were_in(tmp_path: Path, name: str) -> None:
    value = VALUES[name]()
    found = kept(net(k=value), tmp_path)["k"]
    assert found.dtype is value.dtype
    assert torch.equal(found, value)
    other = net(k=torch.zeros_like(VALUES[name]()))
    assert load_state(other, {"k": found}) == ([], [])
    assert torch.equal(other.k, value)


def test_values_are_written_even_where_all_elements_share_their_memory() -> None:
    module = net(k=torch.zeros(1).expand(4))
    assert load_state(module, {"k": torch.arange(4.0)}) == ([], [])
    assert module.k.tolist() == [0.0, 1.0, 2.0, 3.0]


def tied() -> Any:
    module = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    module[1].weight = module[0].weight
    return module


def test_what_is_one_tensor_is_written_once_and_read_under_each_name(tmp_path: Path) -> None:
    from safetensors import safe_open

    module = tied()
    state = kept(module, tmp_path)
    assert set(state) == set(module.state_dict())
    assert torch.equal(state["0.weight"], state["1.weight"])
    with safe_open(tmp_path / "w.safetensors", "pt") as file:
        assert set(file.keys()) == {"0.weight", "0.bias", "1.bias"}


def test_a_tensor_may_come_under_any_of_its_names(tmp_path: Path) -> None:
    state = kept(tied(), tmp_path)
    del state["0.weight"]
    assert load_state(tied(), state) == ([], [])
    del state["1.weight"]
    missing, unexpected = load_state(tied(), state | {"more": torch.ones(1)})
    assert (set(missing), unexpected) == ({"0.weight", "1.weight"}, ["more"])


def test_two_views_of_one_memory_are_not_one_tensor(tmp_path: Path) -> None:
    whole = torch.arange(6.0)
    state = kept(net(a=whole[:3], b=whole[:2], c=whole[:3].reshape(3, 1)), tmp_path)
    assert [list(state[name].shape) for name in "abc"] == [[3], [2], [3, 1]]


def test_extra_state_is_left_out_and_not_missed(tmp_path: Path) -> None:
    class Counting(torch.nn.Linear):  # type: ignore[misc, name-defined]
        def get_extra_state(self) -> Any:
            return {"epoch": 3}

        def set_extra_state(self, state: Any) -> None:
            raise AssertionError("nothing was kept")

    state = kept(Counting(2, 2), tmp_path)
    assert set(state) == {"weight", "bias"}
    assert load_state(Counting(2, 2), state) == ([], [])


def test_other_shapes_are_an_error_of_pytorchs() -> None:
    with pytest.raises(RuntimeError, match="size mismatch"):
        load_state(torch.nn.Linear(3, 2), torch.nn.Linear(4, 2).state_dict())


def test_values_bring_a_module_from_the_meta_device() -> None:
    with torch.device("meta"):
        module = torch.nn.Linear(3, 2)
    with pytest.raises(ModelError, match="a tensor without values"):
        check_present(module, "net.py")
    assert load_state(module, torch.nn.Linear(3, 2).state_dict()) == ([], [])
    check_present(module, "net.py")


def quantized() -> Any:
    return torch.quantize_per_tensor(torch.ones(2), 1.0, 0, torch.qint8)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: torch.eye(3).to_sparse(), "sparse"), (lambda: torch.ones(2, dtype=torch.complex128), "complex128"),
        (quantized, "quantized"), (lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]), "nested"),
    ],
    ids=["sparse", "complex128", "quantized", "nested"],
)  # fmt: skip
def test_what_no_file_of_tensors_holds_is_told_and_nothing_is_written(
    tmp_path: Path, make: Callable[[], Any], kind: str
) -> None:
    with pytest.raises(ModelError, match=f"a tensor of the state dict is {kind}") as caught:
        save_state(net(k=make()), tmp_path / "w.safetensors", "net.py")
    assert caught.value.problems[0].got == "k"
    assert not (tmp_path / "w.safetensors").exists()


def test_a_state_dict_that_fails_or_holds_something_else_is_told(tmp_path: Path) -> None:
    module = net()
    module.state_dict = lambda: {"packed": (1, 2)}
    with pytest.raises(ModelError, match="something that is no tensor") as caught:
        save_state(module, tmp_path / "w.safetensors", "net.py")
    assert caught.value.problems[0].got == "packed: tuple"
    module.state_dict = lambda: {}["gone"]
    with pytest.raises(ModelError, match="the model has no state dict"):
        save_state(module, tmp_path / "w.safetensors", "net.py")


def test_a_lazy_layer_has_no_size_before_it_has_seen_an_input() -> None:
    module = torch.nn.Sequential(torch.nn.LazyLinear(4))
    with pytest.raises(ModelError, match="lazy layer") as caught:
        check_sized(module, "net.py")
    assert caught.value.problems[0].got == "LazyLinear '0'"
    module(torch.ones(1, 3))
    check_sized(module, "net.py")
