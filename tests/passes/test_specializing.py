"""What an interface has against sizes and values: in order, each with its key and what would do instead."""

from __future__ import annotations

from mlopt.formats.model import TensorSpec
from mlopt.passes.base import Interface
from mlopt.passes.specialize import SpecializeConfig
from mlopt.passes.specializing import dimensions, size_problems

INPUTS = (
    TensorSpec("ids", "int64", ("batch", "past + length")),
    TensorSpec("image", "float32", (1, 3, "image_2", "image_3")),
)  # fmt: skip
INTERFACE = Interface(INPUTS, (TensorSpec("y", "float32", ("batch", "found")),), (), (("heads", 4),))


def test_the_sizes_that_can_be_fixed_are_those_of_inputs_and_their_parts() -> None:
    assert dimensions(INPUTS) == ["batch", "past + length", "image_2", "image_3", "past", "length"]


def test_each_problem_has_its_key_and_its_remedy() -> None:
    wanted = {"heads": 2, "found": 1, "image_1": 3, "image_0": 2, "bath": 1, "ids_0": 1, "colours": 3, "batch": 1}
    found = {problem.where: problem for problem in size_problems(wanted, INTERFACE)}
    assert list(found) == ["dims.heads", "dims.found", "dims.image_0", "dims.bath", "dims.ids_0", "dims.colours"]
    assert (found["dims.heads"].got, found["dims.heads"].expected) == ("2", "4")
    assert found["dims.bath"].fix == "did you mean 'batch'?"
    assert found["dims.ids_0"].fix == "it is called 'batch'"
    assert found["dims.colours"].fix == "`mlopt inspect` shows what there is"


def test_what_is_narrowed_is_what_was_asked_for_and_no_more() -> None:
    config = SpecializeConfig(dims={"past": 3, "length": 1, "image_2": 8}, inputs={"ids": 7})
    after = config.narrowed(INTERFACE)
    assert after.inputs == (
        TensorSpec("ids", "int64", ("batch", 4), 7), TensorSpec("image", "float32", (1, 3, 8, "image_3")),
    )  # fmt: skip
    assert after.outputs == INTERFACE.outputs
    assert after.sizes == (("heads", 4), ("past", 3), ("length", 1), ("image_2", 8))
    assert config.narrowed(after).inputs == after.inputs
