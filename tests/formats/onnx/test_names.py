"""Names while a tool works on a graph: nothing that it makes can be equal to them, and all come back."""

from __future__ import annotations

from random import Random

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_models import SUFFIXES, random_model

from mlopt.formats.onnx.graph import nodes
from mlopt.formats.onnx.names import fresh, isolate, restore, value_names

MODELS = st.builds(lambda seed: random_model(Random(seed)), st.integers(0, 2**32))

SCOPES = """
<ir_version: 8, opset_import: ["": 17]>
g (float[n] x, bool c) => (float[n] y)
<float[1] w = {2}>
{
   [x] h = Mul (x, w)
   [h] y = If (c) <
      then_branch = t () => (float[n] y) <float[1] w = {3}> { [x] y = Mul (h, w) },
      else_branch = e () => (float[n] b) { [h] b = Identity (h) }
   >
}
"""
"""A body's constant is called as one outside it, its output as the whole graph's, and nodes as values."""


@given(model=MODELS)
def test_a_model_comes_back_as_it_was(model: onnx.ModelProto) -> None:
    before = model.SerializeToString(deterministic=True)
    names = isolate(model)
    assert model.SerializeToString(deterministic=True) != before
    restore(model, names)
    assert model.SerializeToString(deterministic=True) == before


@given(model=MODELS, data=st.data())
def test_what_a_tool_adds_is_no_name_of_the_model(model: onnx.ModelProto, data: st.DataObject) -> None:
    """Whatever it puts before or behind a name: not while it works, and not afterwards."""
    own = value_names(model.graph)
    names = isolate(model)
    tokens = value_names(model.graph) - {""}
    invented = {
        f"{data.draw(st.sampled_from(['', 'graph_', '0']))}{token}{data.draw(st.sampled_from(SUFFIXES))}"
        for token in sorted(tokens)[:4]
    } | {"graph_output_cast_0"}
    assert invented.isdisjoint(tokens)
    read = model.graph.input[0].name
    model.graph.node.extend(onnx.helper.make_node("Identity", [read], [name]) for name in sorted(invented))
    restore(model, names)
    after = value_names(model.graph)
    assert own < after
    assert len(after - own) == len(invented)


@given(model=MODELS)
def test_no_token_begins_or_ends_as_another(model: onnx.ModelProto) -> None:
    names = isolate(model)
    tokens = [*names.values.values(), *names.nodes.values()]
    assert len(set(tokens)) == len(tokens)
    assert not any(
        one != other and (one.startswith(other) or one.endswith(other)) for one in tokens for other in tokens
    )


def test_scopes_are_kept() -> None:
    model = onnx.parser.parse_model(SCOPES)
    names = isolate(model)
    outer, branch = model.graph, model.graph.node[1]
    then = branch.attribute[0].g
    assert then.initializer[0].name == outer.initializer[0].name == names.values["w"]
    assert then.node[0].input[0] == outer.node[0].output[0]
    assert then.output[0].name == outer.output[0].name
    assert outer.node[0].name != outer.input[0].name  # a node is not a value
    onnx.checker.check_model(model)
    restore(model, names)
    assert [node.name for node in nodes(model.graph)] == ["x", "h", "x", "h"]


def test_names_that_come_to_one_are_told_apart() -> None:
    model = onnx.parser.parse_model(SCOPES)
    names = isolate(model)
    made = [f"{names.value('h')}_1", f"{names.value('h')}_1_1", "h_1_1", "y"]
    model.graph.node.extend(onnx.helper.make_node("Identity", [names.value("x")], [name]) for name in made)
    restore(model, names)
    assert [node.output[0] for node in model.graph.node[-4:]] == ["h_1", "h_1_1", "h_1_1_1", "y_1"]


@pytest.mark.parametrize(
    ("taken", "expected"), [((), "a"), (("a",), "a_1"), (("a", "a_1", "a_2"), "a_3"), (("a_1",), "a")]
)
def test_a_fresh_name_is_the_name_where_it_is_free(taken: tuple[str, ...], expected: str) -> None:
    assert fresh("a", taken) == expected
