"""Which tensors of two graphs are the same, and where each can be looked at."""

from __future__ import annotations

import onnx

from mlopt.tensors.graph import View, counterparts, exposed, followers, nearest, sources, tensors, views


def test_integers_are_read_back_under_a_name_that_is_free() -> None:
    text = """
    <ir_version: 8, opset_import: ["": 13]>
    g (float[n] x) => (float[n] y) <float s = {0.1}, uint8 z = {0}> {
       q = QuantizeLinear (x, s, z)
       "q/dequantized" = DequantizeLinear (q, s, z)
       p = QuantizeLinear ("q/dequantized", s, z)
       "p/dequantized" = Neg ("q/dequantized")
       y = Identity ("p/dequantized")
    }
    """
    found = views(onnx.parser.parse_model(text).graph)
    assert found["q/dequantized"].output == "p/dequantized_1"
    assert found["p/dequantized"].output == "p/dequantized"


def parsed(body: str, outputs: str = "float[n] y") -> onnx.ModelProto:
    head = '<ir_version: 8, opset_import: ["": 17]>\ng (float[n] x) => (%s) <float s = {0.1}, uint8 z = {0}>'
    return onnx.parser.parse_model(f"{head % outputs} {{ {body} }}")


def test_a_quantized_tensor_is_looked_at_where_it_is_read_back() -> None:
    a = parsed("t = Neg (x) y = Abs (t)")
    b = parsed("t = Neg (x) q = QuantizeLinear (t, s, z) d = DequantizeLinear (q, s, z) y = Abs (d)")
    assert counterparts(a.graph, b.graph) == {"t": (View("t"), View("d")), "y": (View("y"), View("y"))}


def test_outputs_with_other_names_are_matched_by_their_place_and_others_are_not() -> None:
    a, b = parsed("y = Neg (x)"), parsed("z2 = Neg (x)", "float[n] z2")
    assert counterparts(a.graph, b.graph) == {"y": (View("y"), View("z2"))}
    assert counterparts(a.graph, parsed("p = Neg (x) q = Neg (x)", "float[n] p, float[n] q").graph) == {}


def test_tensors_that_are_known_to_be_no_floats_are_left_out_unless_they_are_outputs() -> None:
    graph = parsed("i = Cast <to = 7> (x) k = Cast <to = 7> (x) y = Cast <to = 1> (k)", "float[n] y, int64[n] i").graph
    found = tensors(graph, {"i": onnx.TensorProto.INT64, "k": onnx.TensorProto.INT64})
    assert [one.name for one in found] == ["i", "y"]
    assert "k" in {one.name for one in tensors(graph, {})}, "what is not known may be a float"


def test_what_follows_alone_may_be_folded_and_what_is_read_twice_is_not() -> None:
    a = parsed("c = Abs (x) n = Mul (c, s) r = Relu (n) y = Abs (r)").graph
    assert followers(a, parsed("c = Abs (x) y = Abs (c)").graph, {"c", "y"}) == {"c": ("n", "r")}
    assert followers(a, parsed("c = Abs (x) m = Mul (c, s) y = Abs (m)").graph, {"c", "y"}) == {}
    twice = parsed("c = Abs (x) n = Mul (c, s) m = Neg (c) y = Add (n, m)").graph
    assert followers(twice, parsed("c = Abs (x) y = Neg (c)").graph, {"c", "y"}) == {}


def test_exposing_leaves_the_graph_as_it_was() -> None:
    proto = parsed("t = Neg (x) q = QuantizeLinear (t, s, z) d = DequantizeLinear (q, s, z) y = Abs (d)")
    before = proto.SerializeToString()
    wanted = [View("t"), View("y"), View("q", ("s", "z"), "free"), View("t")]
    shown = onnx.load_from_string(exposed(proto, wanted))
    assert [value.name for value in shown.graph.output] == ["y", "t", "free"]
    assert shown.graph.node[-1].op_type == "DequantizeLinear"
    assert proto.SerializeToString() == before


def test_the_nearest_known_tensors_end_the_way_back_even_in_a_circle() -> None:
    reads = {"y": ("b", "c"), "b": ("a",), "c": ("y", "x"), "a": ("x",)}
    assert nearest(reads, "y", {"a", "x"}) == ("a", "x")
    assert nearest(reads, "y", set()) == ()
    assert sources(parsed("t = Neg (x) y = Add (t, x)").graph) == {"t": ("x",), "y": ("t", "x")}
