"""8-bit weights that no pair of products overflows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from quantization_models import random

from mlopt.compress.quantization.weights import channel_axis, give_biases, is_depthwise, pair_safe, plain, plain_gemms


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 3), st.integers(0, 2**16))
def test_no_pair_of_codes_is_too_large(outputs: int, inputs: int, size: int, seed: int) -> None:
    weight = np.random.default_rng(seed).standard_cauchy((outputs, inputs, size, size)).astype(np.float32)
    scale = pair_safe(weight, 0) / 127
    codes = np.rint(weight / scale[:, None, None, None])
    assert np.abs(codes).max() <= 127
    for rows in (codes.reshape(outputs, -1), codes.transpose(0, 2, 3, 1).reshape(outputs, -1)):
        pairs = np.pad(rows, ((0, 0), (0, rows.shape[1] % 2))).reshape(outputs, -1, 2)
        assert np.maximum(pairs, 0).sum(axis=2).max() <= 128
        assert np.minimum(pairs, 0).sum(axis=2).min() >= -128


def test_a_channel_without_a_heavy_pair_keeps_all_bits() -> None:
    weight = np.array([[1.0, 0.0, -1.0, 0.005], [1.0, 1.0, 0.0, 0.0]], dtype=np.float32)
    np.testing.assert_allclose(pair_safe(weight, 0), [1.0, 2.0], rtol=1e-6)
    np.testing.assert_allclose(pair_safe(weight.T, 1), pair_safe(weight, 0))
    np.testing.assert_allclose(plain(weight, 0), [1.0, 1.0])


def test_which_axis_and_which_kernel() -> None:
    conv = helper.make_node("Conv", ["x", "w"], ["y"], group=4)
    assert is_depthwise(conv, np.ones((4, 1, 3, 3)))
    assert not is_depthwise(conv, np.ones((8, 1, 3, 3)))  # two kernels for each channel: another code path
    assert not is_depthwise(helper.make_node("Conv", ["x", "w"], ["y"]), np.ones((1, 1, 3, 3)))
    axes = [channel_axis(helper.make_node("Gemm", ["x", "w"], ["y"], transB=flag)) for flag in (0, 1)]
    assert (channel_axis(conv), *axes, channel_axis(helper.make_node("MatMul", ["x", "w"], ["y"]))) == (0, 1, 0, 1)


def test_every_convolution_gets_a_bias_of_its_own() -> None:
    nodes = [helper.make_node("Conv", ["x", "w", *bias], [name], name=name) for name, bias in
             (("none", []), ("shared", ["b"]), ("shares", ["b"]), ("own", ["c"]), ("spared", []))]  # fmt: skip
    values = {"w": random(2, 3, 1, 1), "b": random(2, seed=1), "c": random(2, seed=2)}
    graph = helper.make_graph(nodes, "g", [], [], [numpy_helper.from_array(v, k) for k, v in values.items()])
    give_biases(graph, ["none", "shared", "shares", "own"])
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    biases = {node.name: stored[node.input[2]] for node in graph.node if len(node.input) > 2}
    assert set(biases) == {"none", "shared", "shares", "own"}
    assert not biases["none"].any()
    np.testing.assert_array_equal(biases["shared"], values["b"])
    assert len({node.input[2] for node in graph.node if len(node.input) > 2}) == 4


@pytest.mark.parametrize("beta", [1.0, 0.25, 0.0])
@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (5,), (1, 5), (3, 1), (3, 5)])
def test_a_gemms_bias_is_one_value_for_each_output_without_a_factor(shape: tuple[int, ...], beta: float) -> None:
    bias = random(*shape, seed=1).reshape(shape)
    gemm = helper.make_node("Gemm", ["x", "w", "c"], ["y"], name="g", transB=1, beta=beta, alpha=2.0)
    values = {"w": random(5, 4), "c": bias}
    graph = helper.make_graph([gemm], "g", [], [], [numpy_helper.from_array(v, k) for k, v in values.items()])
    plain_gemms(graph, Path())
    node = graph.node[0]
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    kept = next((attribute.f for attribute in node.attribute if attribute.name == "beta"), 1.0)
    assert kept == 1.0
    assert {attribute.name for attribute in node.attribute} >= {"alpha", "transB"}
    found = stored[node.input[2]]
    np.testing.assert_allclose(np.broadcast_to(found, (3, 5)), np.broadcast_to(bias * np.float32(beta), (3, 5)))
    assert found.shape == ((5,) if shape not in {(3, 1), (3, 5)} else shape)
    assert ("c" in stored) == (node.input[2] == "c")  # what nothing reads is gone


def test_a_bias_that_others_read_stays_for_them() -> None:
    nodes = [helper.make_node("Gemm", ["x", "w", "c"], ["h"], name="g", beta=0.5),
             helper.make_node("Add", ["h", "c"], ["y"])]  # fmt: skip
    values = {"w": random(4, 5), "c": random(5, seed=1)}
    graph = helper.make_graph(nodes, "g", [], [], [numpy_helper.from_array(v, k) for k, v in values.items()])
    plain_gemms(graph, Path())
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    np.testing.assert_array_equal(stored["c"], values["c"])
    np.testing.assert_allclose(stored[graph.node[0].input[2]], 0.5 * values["c"])
