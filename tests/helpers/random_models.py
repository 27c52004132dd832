"""Small random float models with what trips rewriting tools: odd names, outputs in the middle, values that bodies read.

``random_model`` takes any ``random.Random``: hypothesis's own (``strategies.randoms()``), which can shrink, or a seeded
one. Weights are plain random, so what a pass does to a model is seen in the relative error of its outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mlopt.data.dataset import Array
from mlopt.formats.onnx.graph import subgraphs

SUFFIXES = (
    "_quantized", "_scale", "_zero_point", "_quantized_scale", "_quantized_zero_point", "_QuantizeLinear",
    "_QuantizeLinear_Input", "_QuantizeLinear_Output", "_DequantizeLinear", "_DequantizeLinear_Output",
    "_QuantizeLinear_Output_1", "_quant", "_quant_scales_mul", "_quant_scales_mul:0", "_output_quantized",
    "_output_quantized_cast_output", "_output_quantized_cast", "_quant_output_scale_mul", "_MatMul", "_MatMul_quant",
    "_Add", "_Q4", "_Q8", "_MatMul_Q4", "_MatMul_Q8", "_scales", "_zero_points", "_zp", "_transposed", "_Transposed",
    "0", "1", "_1", "_mlopt_bias", "_mlopt_bias_quantized", "_bias", "_input", "_input_scale", "_input_zero_point",
    "_input_DequantizeLinear", "/rounded", "/exact", "/sum", "/half", "/dequantized", "_cast_to_fp16",
    "_cast_to_fp16_node", "_cast_to_fp32", "_cast_to_fp32_node", "_input_cast_0", "_output_cast_0", "_token_0",
    "_quant_bias_add", "_nchwc", "_dup", "_copy",
)  # fmt: skip
FIXED = (
    "graph_input_cast_0", "graph_input_cast0", "graph_output_cast_0", "graph_output_cast0", "fixed_zero", "fixed_one",
    "0", "1", "2", "7", "x y", "/a/b:0", "ünïcode ✓", "n" * 300, "mlopt0v", "mlopt1v", "mlopt0n", "token", "Conv_0",
    "MatMul_0", "Gemm_1", "Relu_2", "unk__0", "ortshared_1_0_1_0_token_0", "fused Conv", "_", ".", "None",
)  # fmt: skip
"""Names that tools make whatever a model's are, and others that are merely odd."""

Shape = tuple[int, ...]


@dataclass
class _Value:
    name: str
    shape: Shape
    """Without the batch."""


@dataclass
class _Build:
    rng: Random
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: dict[str, Array] = field(default_factory=dict)
    values: list[_Value] = field(default_factory=list)
    pool: list[str] = field(default_factory=list)
    """Large weights that other layers may read, too."""
    shared: bool = False

    def name(self, stem: str) -> str:
        return f"{stem}{len(self.nodes)}_{len(self.weights)}"

    def constant(self, values: Array, stem: str = "c") -> str:
        name = self.name(stem)
        self.weights[name] = values
        return name

    def weight(self, *shape: int, fan: int, stem: str = "w") -> str:
        """Make a weight, or now and then take one of this shape that is there already."""
        known = [name for name in self.pool if self.weights[name].shape == shape]
        if known and self.shared and self.rng.random() < 0.5:
            return self.rng.choice(known)
        name = self.constant(self.normal(*shape) / np.float32(fan**0.5), stem)
        self.pool.append(name)
        return name

    def normal(self, *shape: int) -> Array:
        made: Array = np.random.default_rng(self.rng.randrange(1 << 30)).normal(size=shape).astype(np.float32)
        return made

    def add(self, op_type: str, reads: Sequence[str], shape: Shape, **attributes: Any) -> _Value:
        value = _Value(self.name(op_type.lower()), shape)
        self.nodes.append(
            helper.make_node(op_type, reads, [value.name], name=f"{op_type}_{len(self.nodes)}", **attributes)
        )
        self.values.append(value)
        return value


def random_model(
    rng: Random,
    *,
    size: int = 6,
    hostile: bool = True,
    shared: bool = False,
    bodies: bool = True,
) -> onnx.ModelProto:
    """Return a valid model with the one input [n, ...] that ``feeds`` gives, and one output or several.

    ``size`` nodes or so. ``shared``: layers read each other's weights. ``bodies``: an If may read what is outside it.
    """
    build = _Build(rng, shared=shared)
    shape, dtype = rng.choice([((6,), 1), ((4, 6), 1), ((3, 6, 6), 1), ((4,), 7)])
    value = _Value("x", shape)
    if dtype == TensorProto.INT64:
        value = build.add("Gather", [build.constant(build.normal(20, 6), "table"), "x"], (4, 6))
    else:
        build.values.append(value)
    for _ in range(rng.randint(2, size)):
        value = _step(build, value, bodies=bodies)
    given = [value, *(v for v in build.values[:-1] if v.name != "x" and rng.random() < 0.2)]
    outputs = [helper.make_tensor_value_info(v.name, 1, ["n", *v.shape]) for v in given]
    constants = [name for name in build.pool if rng.random() < 0.05]
    outputs += [helper.make_tensor_value_info(name, 1, build.weights[name].shape) for name in constants]
    port = helper.make_tensor_value_info("x", dtype, ["n", *shape])
    outputs += [port] if rng.random() < 0.05 else []
    rng.shuffle(outputs)
    graph = helper.make_graph(
        build.nodes, "g", [port], outputs,
        [numpy_helper.from_array(array, name) for name, array in build.weights.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", rng.choice([13, 17, 20]))], ir_version=8)
    if hostile:
        rename(model.graph, hostile_names(rng, model.graph))
    onnx.checker.check_model(model)
    return model


def feeds(model: onnx.ModelProto, rows: int, seed: int) -> dict[str, Array]:
    """Return inputs for a random model, [rows, ...]: other ones for other seeds, none far beyond the others' range."""
    value, rng = model.graph.input[0], np.random.default_rng(seed)
    shape = [rows, *(dim.dim_value for dim in value.type.tensor_type.shape.dim[1:])]
    integers = value.type.tensor_type.elem_type == TensorProto.INT64
    return {value.name: rng.integers(0, 20, shape) if integers else rng.uniform(-2, 2, shape).astype(np.float32)}


def relative_error(expected: Array, got: Array) -> float:
    """Return the norm of the error over that of what was expected; it sees a wrong scale, as a cosine does not."""
    if expected.shape != got.shape or not np.isfinite(got).all():
        return float("inf")
    return float(np.linalg.norm(expected - got) / max(float(np.linalg.norm(expected)), 1e-6))


def run(path: Path, inputs: Mapping[str, Array], *, optimized: bool = False) -> dict[str, Array]:
    """Run a file in onnxruntime alone, on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimized else levels.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(inputs)), strict=True))


def hostile_names(rng: Random, graph: onnx.GraphProto) -> tuple[dict[str, str], dict[str, str]]:
    """Return new names for values and for nodes: those that tools make of other names in the graph, and odd ones."""
    values = list(dict.fromkeys(_value_names(graph)))
    nodes = [node.name for node in graph.node]
    new_values, new_nodes = dict[str, str](), dict[str, str]()
    for known, new in ((values, new_values), (nodes, new_nodes)):
        for name in known:
            stems = [*new_values.values(), *new_nodes.values()] or [name]
            odd = rng.choice([name, rng.choice(FIXED), *(rng.choice(stems) + rng.choice(SUFFIXES) for _ in range(4))])
            unique = odd not in {*new.values(), *known}
            new[name] = odd[-400:] if unique else name
    if rng.random() < 0.3:
        new_nodes |= {name: "" for name in nodes if rng.random() < 0.5}
    return new_values, new_nodes


def rename(graph: onnx.GraphProto, new: tuple[Mapping[str, str], Mapping[str, str]]) -> None:
    """Rename values and nodes, in bodies too."""
    values, nodes = new
    for named in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        named.name = values.get(named.name, named.name)
    for node in graph.node:
        node.name = nodes.get(node.name, node.name)
        node.input[:] = [values.get(name, name) for name in node.input]
        node.output[:] = [values.get(name, name) for name in node.output]
        for body in subgraphs(node):
            rename(body, new)


def _value_names(graph: onnx.GraphProto) -> list[str]:
    names = [named.name for named in (*graph.input, *graph.initializer)]
    for node in graph.node:
        names += node.output
        for body in subgraphs(node):
            names += _value_names(body)
    return names


def _step(build: _Build, value: _Value, *, bodies: bool) -> _Value:
    """Add a node or a few behind ``value``."""
    kinds: list[Callable[[_Build, _Value], _Value]] = [_layer, _layer, _layer, _activation, _activation, _arithmetic]
    kinds += [_branch] if bodies else []
    kinds += {1: [_normalize], 2: [_recurrent, _flat], 3: [_pool, _flat]}[len(value.shape)]
    return build.rng.choice(kinds)(build, value)


def _layer(build: _Build, value: _Value) -> _Value:
    rng, width = build.rng, build.rng.choice([4, 6])
    if len(value.shape) == 3:
        channels = value.shape[0]
        group, out = rng.choice([(1, width), (channels, channels)])
        weight = build.weight(out, channels // group, 3, 3, fan=9 * channels // group)
        bias = [build.constant(build.normal(out), "b")] if rng.random() < 0.7 else []
        return build.add("Conv", [value.name, weight, *bias], (out, *value.shape[1:]), pads=[1, 1, 1, 1], group=group)
    inputs = value.shape[-1]
    if len(value.shape) == 1 and rng.random() < 0.6:
        transposed = rng.random() < 0.5
        shape = (width, inputs) if transposed else (inputs, width)
        weight = build.weight(*shape, fan=inputs)
        bias = [build.constant(build.normal(width), "b")] if rng.random() < 0.7 else []
        more = rng.choice([{}, {}, {"alpha": 0.5}, {"beta": 2.0}])
        return build.add("Gemm", [value.name, weight, *bias], (width,), transB=int(transposed), **more)
    product = build.add("MatMul", [value.name, build.weight(inputs, width, fan=inputs)], (*value.shape[:-1], width))
    if rng.random() < 0.5:
        return product
    return build.add("Add", [product.name, build.constant(build.normal(width), "b")], product.shape)


def _activation(build: _Build, value: _Value) -> _Value:
    kind = build.rng.choice(["Relu", "Relu", "Clip", "LeakyRelu", "Sigmoid", "Tanh"])
    if kind != "Clip":
        return build.add(kind, [value.name], value.shape)
    low, high = build.rng.choice([(0, 6), (-0.5, 0.5), (0.3, 2), (-2, -0.3), (0, None)])
    bounds = [build.constant(np.array(low, np.float32), "low")]
    bounds += [build.constant(np.array(high, np.float32), "high")] if high is not None else []
    return build.add("Clip", [value.name, *bounds], value.shape)


def _arithmetic(build: _Build, value: _Value) -> _Value:
    others = [v.name for v in build.values if v.shape == value.shape and v.name != value.name]
    factor = build.constant(np.abs(build.normal(*value.shape[:1], *[1] * (len(value.shape) - 1))) + np.float32(0.5))
    other = build.rng.choice([*others, factor])
    return build.add(build.rng.choice(["Add", "Mul"]), [value.name, other], value.shape)


def _normalize(build: _Build, value: _Value) -> _Value:
    return build.add("Softmax", [value.name], value.shape, axis=-1)


def _flat(build: _Build, value: _Value) -> _Value:
    return build.add("Flatten", [value.name], (int(np.prod(value.shape)),))


def _pool(build: _Build, value: _Value) -> _Value:
    return build.add("MaxPool", [value.name], value.shape, kernel_shape=[3, 3], pads=[1, 1, 1, 1])


def _recurrent(build: _Build, value: _Value) -> _Value:
    """An LSTM over the first axis, [n, steps, width] to [n, steps, 4], whose weights lie in one direction."""
    steps, width = value.shape
    turned = build.add("Transpose", [value.name], (steps, width), perm=[1, 0, 2])
    build.values.pop()  # its batch is not in front
    weights = [build.weight(1, 16, width, fan=width), build.weight(1, 16, 4, fan=4)]
    hidden = build.add("LSTM", [turned.name, *weights], (steps, 4), hidden_size=4)
    build.values.pop()
    axis = build.constant(np.array([1], np.int64), "axis")
    squeezed = build.add("Squeeze", [hidden.name, axis], (steps, 4))
    build.values.pop()
    return build.add("Transpose", [squeezed.name], (steps, 4), perm=[1, 0, 2])


def _branch(build: _Build, value: _Value) -> _Value:
    """An If whose bodies read values from outside, and now and then a weight."""
    rng = build.rng
    other = rng.choice([v.name for v in build.values if v.shape == value.shape])
    total = build.name("sum")
    build.nodes.append(helper.make_node("ReduceSum", [value.name], [total], name=total, keepdims=0))
    zero, condition = build.constant(np.array(rng.choice([-1e9, 1e9]), np.float32), "zero"), build.name("condition")
    build.nodes.append(helper.make_node("Greater", [total, zero], [condition], name=condition))
    made = build.name("branch")
    square = [n for n in build.pool if build.weights[n].ndim == 2 and build.weights[n].shape == (value.shape[-1],) * 2]

    def body(name: str, op_type: str, reads: Sequence[str]) -> onnx.GraphProto:
        info = helper.make_tensor_value_info(f"{made}_{name}", 1, None)
        node = helper.make_node(op_type, reads, [f"{made}_{name}"], name=f"inner_{name}")
        return helper.make_graph([node], name, [], [info])

    product = square and len(value.shape) < 3
    then = body("then", "MatMul", [value.name, rng.choice(square)]) if product else body("then", "Neg", [value.name])
    return build.add(
        "If", [condition], value.shape, then_branch=then, else_branch=body("else", "Add", [value.name, other])
    )
