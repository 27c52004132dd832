"""What users get wrong: each case leaves its files in the working directory and returns the command line.

``test_bad_inputs`` runs them and holds what a user reads against golden files.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Case = Callable[[], list[str]]
CASES: dict[str, Case] = {}

RECIPE = """\
apiVersion: mlopt/v1
name: tiny
model:
  source: ./tiny.onnx
passes: [simplify]
measure: {seconds: 0.1, rounds: 6}
"""
TORCH = RECIPE.replace("./tiny.onnx", "./net.py:build\n  inputs: {x: {dtype: float32, shape: [batch, 4]}}").replace(
    "[simplify]", "[export]"
)
NET = """\
import torch


def build():
    return torch.nn.Linear(4, 2)
"""


def case(function: Case) -> Case:
    """Put the case on the table under its name."""
    CASES[function.__name__] = function
    return function


def tiny(path: Path = Path("tiny.onnx"), initializers: list[Any] | None = None) -> Path:
    """Write a model of one product: x [batch, 4] float32 to y [batch, 2]."""
    weights = numpy_helper.from_array(np.arange(8, dtype=np.float32).reshape(4, 2), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 2])],
        [weights] if initializers is None else initializers,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)
    return path


def recipe(text: str = RECIPE) -> list[str]:
    """Write a recipe beside a model, and return the command that runs it."""
    tiny()
    Path("tiny.yaml").write_text(text)
    return ["optimize", "tiny.yaml"]


def code(text: str, written: str = TORCH) -> list[str]:
    """Write a recipe of a PyTorch model and its Python, and return the command that runs both."""
    Path("net.py").write_text(text)
    return [*recipe(written), "--allow-code"]


def data(**arrays: Any) -> list[str]:
    """Write the samples, and return the command that optimizes a bare model with them."""
    np.savez("x.npz", **arrays)
    return ["optimize", str(tiny()), "--data", "x.npz"]


def external(location: str) -> list[str]:
    """Write a model whose weights are said to lie at ``location``."""
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4, 2], data_location=TensorProto.EXTERNAL)
    weights.external_data.add(key="location", value=location)
    weights.external_data.add(key="length", value="32")
    return ["optimize", str(tiny(initializers=[weights]))]


def samples(count: int = 8) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).standard_normal((count, 4)).astype(np.float32)


# The recipe.


@case
def unknown_key() -> list[str]:
    return recipe(RECIPE.replace("passes:", "pases:"))


@case
def wrong_type() -> list[str]:
    return recipe(RECIPE + "target: {threads: two}\n")


@case
def missing_recipe() -> list[str]:
    return ["optimize", "nowhere.yaml"]


@case
def empty_recipe() -> list[str]:
    return recipe("")


@case
def duplicate_key() -> list[str]:
    return recipe(RECIPE + "name: again\n")


@case
def yaml_tag() -> list[str]:
    return recipe(RECIPE.replace("name: tiny", "name: !!python/name:os.system tiny"))


@case
def yaml_alias() -> list[str]:
    return recipe(RECIPE.replace("name: tiny", "name: *tiny"))


@case
def several_problems() -> list[str]:
    text = RECIPE.replace("name: tiny", "name: a b").replace("simplify", "simplifie").replace("rounds: 6", "rounds: 1")
    return recipe(text + "objective: speed\n")


@case
def recipe_of_another_kind() -> list[str]:
    Path("model.pt").write_bytes(b"PK")
    return ["optimize", "model.pt"]


@case
def recipe_is_a_directory() -> list[str]:
    Path("recipe.yaml").mkdir()
    return ["optimize", "recipe.yaml"]


@case
def unknown_pass() -> list[str]:
    return recipe(RECIPE.replace("simplify", "quantise"))


@case
def bad_override() -> list[str]:
    return [*recipe(), "--set", "measure.secnds=1"]


@case
def override_without_value() -> list[str]:
    return [*recipe(), "--set", "measure.seconds"]


@case
def unknown_gate_metric() -> list[str]:
    return recipe(RECIPE + "gates: [{metric: latency.p95, max: 12}]\n")


@case
def gate_on_what_is_not_measured() -> list[str]:
    return recipe(RECIPE + "gates: [{metric: speedup.median, min: 1, vs: torch_eager}]\n")


@case
def simplify_without_export() -> list[str]:
    return code(NET, TORCH.replace("[export]", "[simplify, export]"))


@case
def export_of_an_onnx_model() -> list[str]:
    return recipe(RECIPE.replace("[simplify]", "[export, simplify]"))


@case
def torch_model_is_never_exported() -> list[str]:
    Path("net.pt2").write_bytes(b"PK")
    return recipe(RECIPE.replace("./tiny.onnx", "./net.pt2").replace("[simplify]", "[]"))


@case
def python_without_consent() -> list[str]:
    return code(NET)[:-1]


@case
def no_gpu() -> list[str]:
    return recipe(RECIPE + "target: {device: cuda}\n")


@case
def data_beside_a_recipe() -> list[str]:
    np.savez("x.npz", x=samples())
    return [*recipe(), "--data", "x.npz"]


# The model file.


@case
def missing_model() -> list[str]:
    return ["optimize", "nowhere.onnx"]


@case
def missing_model_of_a_recipe() -> list[str]:
    return recipe(RECIPE.replace("./tiny.onnx", "./nowhere.onnx"))


@case
def empty_model() -> list[str]:
    Path("empty.onnx").touch()
    return ["optimize", "empty.onnx"]


@case
def truncated_model() -> list[str]:
    whole = tiny().read_bytes()
    Path("cut.onnx").write_bytes(whole[: len(whole) // 2])
    return ["optimize", "cut.onnx"]


@case
def text_as_model() -> list[str]:
    Path("text.onnx").write_text("These are the weights that you asked for.\n" * 20)
    return ["optimize", "text.onnx"]


@case
def lfs_pointer_as_model() -> list[str]:
    Path("pointer.onnx").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")
    return ["optimize", "pointer.onnx"]


@case
def external_data_elsewhere() -> list[str]:
    return external("../secret.bin")


@case
def external_data_missing() -> list[str]:
    return external("tiny.onnx.data")


@case
def external_data_is_a_link() -> list[str]:
    Path("real.bin").write_bytes(bytes(32))
    Path("tiny.onnx.data").symlink_to("real.bin")
    return external("tiny.onnx.data")


@case
def external_data_cut_short() -> list[str]:
    Path("tiny.onnx.data").write_bytes(bytes(8))
    return external("tiny.onnx.data")


@case
def unknown_operator() -> list[str]:
    model = onnx.load(tiny())
    model.graph.node[0].op_type = "MatMull"
    onnx.save(model, "typo.onnx")
    return ["optimize", "typo.onnx"]


@case
def no_program() -> list[str]:
    Path("net.pt2").write_bytes(b"no zip file")
    return recipe(RECIPE.replace("./tiny.onnx", "./net.pt2").replace("[simplify]", "[export]"))


# The data.


@case
def nan_in_the_data() -> list[str]:
    bad = samples()
    bad[3, 1] = np.nan
    return data(x=bad)


@case
def infinity_in_the_data() -> list[str]:
    bad = samples()
    bad[5, 0] = np.inf
    return data(x=bad)


@case
def wrong_input_name() -> list[str]:
    return data(X=samples())


@case
def wrong_shape() -> list[str]:
    return data(x=samples()[:, :3])


@case
def wrong_dtype() -> list[str]:
    return data(x=np.ones((8, 4), dtype=np.int64))


@case
def pickled_data() -> list[str]:
    return data(x=np.array([{"a": 1}, {"b": 2}], dtype=object))


@case
def truncated_data() -> list[str]:
    command = data(x=samples())
    Path("x.npz").write_bytes(Path("x.npz").read_bytes()[:100])
    return command


@case
def pickle_as_data() -> list[str]:
    Path("x.npz").write_bytes(pickle.dumps([1, 2, 3]))
    return ["optimize", str(tiny()), "--data", "x.npz"]


@case
def missing_data() -> list[str]:
    return ["optimize", str(tiny()), "--data", "nowhere.npz"]


@case
def data_without_samples() -> list[str]:
    return data(x=samples(0))


@case
def calibration_is_evaluation() -> list[str]:
    np.savez("x.npz", x=samples())
    return recipe(RECIPE + "data:\n  calibration: {source: ./x.npz}\n  evaluation: {source: ./x.npz}\n")


@case
def accuracy_without_labels() -> list[str]:
    np.savez("x.npz", x=samples())
    return recipe(RECIPE + "data: {evaluation: {source: ./x.npz}}\nmetric: {name: accuracy}\n")


# The Python that a recipe names.


@case
def build_raises() -> list[str]:
    return code("def build():\n    sizes = {}\n    return sizes['hidden']\n")


@case
def build_does_not_parse() -> list[str]:
    return code("def build(:\n    return None\n")


@case
def build_imports_what_is_not_there() -> list[str]:
    return code("import torchvison\n\n\ndef build():\n    return None\n")


@case
def build_returns_something_else() -> list[str]:
    return code("def build():\n    return {'weights': 1}\n")


@case
def no_such_function() -> list[str]:
    return code(NET, TORCH.replace(":build", ":make"))


@case
def build_returns_torch_but_nothing_exports() -> list[str]:
    return code(NET, TORCH.replace("[export]", "[simplify]"))


@case
def build_returns_onnx_but_it_is_exported() -> list[str]:
    return code("def build():\n    return 'tiny.onnx'\n")


@case
def build_ends_the_process() -> list[str]:
    return code("import os\n\n\ndef build():\n    os._exit(7)\n")


@case
def build_exits() -> list[str]:
    return code("import sys\n\n\ndef build():\n    sys.exit('no weights here')\n")


@case
def forward_raises() -> list[str]:
    return code(NET, TORCH.replace("[batch, 4]", "[batch, 5]"))


@case
def inputs_are_not_declared() -> list[str]:
    return code(NET, TORCH.replace("\n  inputs: {x: {dtype: float32, shape: [batch, 4]}}", ""))


@case
def too_many_outputs_declared() -> list[str]:
    return code(NET, TORCH.replace("  inputs:", "  outputs: [a, b]\n  inputs:"))


@case
def data_function_raises() -> list[str]:
    text = NET + "\n\ndef images():\n    return {'x': 1 / 0}\n"
    return code(text, TORCH + "data: {evaluation: {source: './net.py:images'}}\n")


@case
def data_function_returns_something_else() -> list[str]:
    text = NET + "\n\ndef images():\n    return [1, 2, 3]\n"
    return code(text, TORCH + "data: {evaluation: {source: './net.py:images'}}\n")


def metric(body: str) -> list[str]:
    np.savez("x.npz", x=samples())
    Path("metric.py").write_text(f"def score(outputs, labels, reference):\n    {body}\n")
    text = RECIPE + "data: {evaluation: {source: ./x.npz}}\nmetric: {name: './metric.py:score'}\n"
    return [*recipe(text), "--allow-code"]


@case
def metric_returns_a_wrong_shape() -> list[str]:
    return metric("return [1.0, 0.5]")


@case
def metric_raises() -> list[str]:
    return metric("return outputs['z'] == labels")


@case
def metric_returns_nothing() -> list[str]:
    return metric("outputs['y'].mean()")


@case
def metric_does_not_parse() -> list[str]:
    return metric("return (")


@case
def metric_cannot_be_imported() -> list[str]:
    command = metric("return 1.0")
    Path("metric.py").write_text("import torchmetrix\n" + Path("metric.py").read_text())
    return command


# The output and the key.


@case
def output_below_a_file() -> list[str]:
    Path("taken").write_text("a file\n")
    return [*recipe(), "-o", "taken/tiny"]


@case
def output_is_a_file() -> list[str]:
    Path("taken").write_text("a file\n")
    return [*recipe(), "-o", "taken"]


@case
def output_is_not_ours() -> list[str]:
    Path("notes").mkdir()
    Path("notes/todo.txt").write_text("keep me\n")
    return [*recipe(), "-o", "notes"]


@case
def key_is_a_directory() -> list[str]:
    Path("keys").mkdir()
    return [*recipe(), "--key", "keys"]


@case
def missing_signing_key() -> list[str]:
    return [*recipe(), "--key", "nowhere.key"]


@case
def key_that_others_can_read() -> list[str]:
    from mlopt.artifact.keys import create_key

    create_key(Path("team.key"))
    Path("team.key").chmod(0o644)
    return [*recipe(), "--key", "team.key"]


@case
def garbage_as_key() -> list[str]:
    descriptor = os.open("garbage.key", os.O_WRONLY | os.O_CREAT, 0o600)
    os.write(descriptor, b"no key at all\n")
    os.close(descriptor)
    return [*recipe(), "--key", "garbage.key"]
