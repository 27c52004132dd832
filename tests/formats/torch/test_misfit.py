"""Weights that a module does not take: what exactly does not fit, and which rename would mend it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlopt.formats.torch.misfit import fit, names_of, renaming, unfitting
from mlopt.formats.torch.rebuild import unwrapped

torch = pytest.importorskip("torch", reason="needs the extra mlopt[torch]")

WORDS = st.lists(st.sampled_from(["a", "b", "module", "model", "f", "_orig_mod"]), min_size=1, max_size=3).map(".".join)


@settings(max_examples=200, deadline=None)
@given(st.sets(WORDS, min_size=1, max_size=5), st.sampled_from(["module.", "model.", "x.y.", "_orig_mod."]))
def test_a_prefix_is_found_from_either_side(names: set[str], prefix: str) -> None:
    longer = {prefix + name for name in names}
    for own, given_ in ((names, longer), (longer, names)):
        python, why = renaming(own, given_)
        renamed = {eval(python, {"k": name}) for name in given_} if python else given_
        assert not python or (why and len(renamed & own) > len(given_ & own))
        assert python or names & longer


def test_names_that_differ_in_more_than_a_prefix_are_not_renamed() -> None:
    assert renaming({"a.weight", "b.weight"}, {"x.weight", "y.weight"}) == ("", "")
    assert renaming({"a"}, {"module.a", "a"}) == ("", "")


def net() -> Any:
    return torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))


def test_what_fits_is_loaded_and_nothing_is_said() -> None:
    module, state = net(), {name: torch.ones_like(value) for name, value in net().state_dict().items()}
    assert fit(module, state) is None
    assert all(bool((value == 1).all()) for value in module.state_dict().values())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: state.pop("0.bias"), "missing: 0.bias; unexpected: none"),
        (lambda state: state.update(more=torch.ones(1)), "missing: none; unexpected: more"),
        (
            lambda state: state.update({"0.weight": torch.ones(2, 4)}),
            "size mismatch: 0.weight is [2, 4] and not [2, 3]",
        ),
        (
            lambda state: state.update(head=state.pop("0.weight")),
            "missing: 0.weight; unexpected: head; 0.weight may be what is called head there, also [2, 3]",
        ),
        (
            lambda state: state.update({f"m.{name}": state.pop(name) for name in list(state)}),
            "; the given names start with 'm.', and the others do not",
        ),
        (lambda state: state.update({f"k{n}": torch.ones(1) for n in range(7)}), "k0, k1, k2, k3, k4 and 2 more"),
    ],
)
def test_what_does_not_fit_is_told(change: Any, said: str) -> None:
    state = net().state_dict()
    change(state)
    assert said in (fit(net(), state) or "")


def test_an_error_of_the_modules_own_hook_is_told_in_a_line() -> None:
    def hook(*_: object) -> None:
        raise KeyError("a\nb")

    module = net()
    module.register_load_state_dict_pre_hook(hook)
    assert fit(module, module.state_dict()) == r"KeyError: 'a\nb'"


def test_the_module_inside_a_wrapper_is_the_one_that_counts() -> None:
    inner = net()
    assert unwrapped(torch.nn.DataParallel(inner)) is inner
    assert unwrapped(torch.optim.swa_utils.AveragedModel(torch.nn.DataParallel(inner))) is not inner  # it copies
    assert type(unwrapped(torch.optim.swa_utils.AveragedModel(torch.nn.DataParallel(inner)))) is type(inner)

    class DataParallel(torch.nn.Module):  # somebody's own, which may answer otherwise
        module = None

    own = DataParallel()
    assert unwrapped(own) is own


def test_only_tensors_of_the_state_dict_have_names() -> None:
    module = net()
    module.get_extra_state = lambda: {"epoch": 3}
    assert set(names_of(module)) == set(net().state_dict())


@pytest.mark.parametrize(
    ("misfit", "fix"),
    [
        ("missing: parametrizations.weight.original0", "remove_parametrizations"),
        ("missing: f.weight_mask", "prune.remove"),
        ("unexpected: f.lora_A.weight", "merge_and_unload"),
        ("missing: f.weight", "make the same layers and buffers"),
    ],
)
def test_what_was_put_on_a_module_is_told_with_how_to_take_it_off(misfit: str, fix: str) -> None:
    problem = unfitting(misfit, "net.py:build").problems[0]
    assert (problem.where, problem.got) == ("net.py:build", misfit)
    assert fix in (problem.fix or "")
