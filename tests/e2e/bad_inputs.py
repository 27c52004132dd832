"""What users get wrong: each case leaves its files in the working directory and returns the command line.

``test_bad_inputs`` runs them and holds what a user reads against golden files.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Case = Callable[[], list[str]]

RECIPE = """\
apiVersion: mlopt/v1
name: tiny
model:
  source: ./tiny.onnx
passes: [simplify]
measure: {seconds: 0.1, rounds: 7}
"""
TORCH = RECIPE.replace("./tiny.onnx", "./net.py:build\n  inputs: {x: {dtype: float32, shape: [batch, 4]}}").replace(
    "[simplify]", "[export]"
)
NET = """\
def build():
    import torch

    return torch.nn.Linear(4, 2)
"""


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


def metric(body: str) -> list[str]:
    """Write a recipe whose metric is a function with this body."""
    np.savez("x.npz", x=samples())
    Path("metric.py").write_text(f"def score(outputs, labels, reference):\n    {body}\n")
    text = RECIPE + "data: {evaluation: {source: ./x.npz}}\nmetric: {name: './metric.py:score'}\n"
    return [*recipe(text), "--allow-code"]


def samples(count: int = 8) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).standard_normal((count, 4)).astype(np.float32)


# Most cases are a recipe, or the Python that it names.

RECIPES = {
    "unknown_key": RECIPE.replace("passes:", "pases:"),
    "wrong_type": RECIPE + "target: {threads: two}\n",
    "empty_recipe": "",
    "duplicate_key": RECIPE + "name: again\n",
    "yaml_tag": RECIPE.replace("name: tiny", "name: !!python/name:os.system tiny"),
    "yaml_alias": RECIPE.replace("name: tiny", "name: *tiny"),
    "unknown_pass": RECIPE.replace("simplify", "quantise"),
    "unknown_gate_metric": RECIPE + "gates: [{metric: latency.p95, max: 12}]\n",
    "gate_on_what_is_not_measured": RECIPE + "gates: [{metric: speedup.median, min: 1, vs: torch_eager}]\n",
    "export_of_an_onnx_model": RECIPE.replace("[simplify]", "[export, simplify]"),
    "prune_of_an_onnx_model": RECIPE.replace("[simplify]", "[{prune: {macs: 0.5}}, simplify]"),
    "distill_of_an_onnx_model": RECIPE.replace("[simplify]", "[simplify, distill, export]"),
    "no_gpu": RECIPE + "target: {device: cuda}\n",
    "missing_model_of_a_recipe": RECIPE.replace("./tiny.onnx", "./nowhere.onnx"),
}

CODE = {
    "build_raises": "def build():\n    sizes = {}\n    return sizes['hidden']\n",
    "build_does_not_parse": "def build(:\n    return None\n",
    "build_imports_what_is_not_there": "import torchvison\n\n\ndef build():\n    return None\n",
    "build_returns_something_else": "def build():\n    return {'weights': 1}\n",
    "build_returns_onnx_but_it_is_exported": "def build():\n    return 'tiny.onnx'\n",
    "build_ends_the_process": "import os\n\n\ndef build():\n    os._exit(7)\n",
    "build_exits": "import sys\n\n\ndef build():\n    sys.exit('no weights here')\n",
}

RECIPES_OF_CODE = {
    "simplify_without_export": TORCH.replace("[export]", "[simplify, export]"),
    "no_such_function": TORCH.replace(":build", ":make"),
    "build_returns_torch_but_nothing_exports": TORCH.replace("[export]", "[simplify]"),
    "forward_raises": TORCH.replace("[batch, 4]", "[batch, 5]"),
    "bfloat16_input": TORCH.replace("float32", "bfloat16"),
    "text_input_of_pytorch": TORCH.replace("float32", "string"),
    "inputs_are_not_declared": TORCH.replace("\n  inputs: {x: {dtype: float32, shape: [batch, 4]}}", ""),
    "too_many_outputs_declared": TORCH.replace("  inputs:", "  outputs: [a, b]\n  inputs:"),
}

METRICS = {
    "metric_returns_a_wrong_shape": "return [1.0, 0.5]",
    "metric_raises": "return outputs['z'] == labels",
    "metric_returns_nothing": "outputs['y'].mean()",
    "metric_does_not_parse": "return (",
}


# The others need more than one file, or an option.


def missing_recipe() -> list[str]:
    return ["optimize", "nowhere.yaml"]


def several_problems() -> list[str]:
    text = RECIPE.replace("name: tiny", "name: a b").replace("simplify", "simplifie").replace("rounds: 7", "rounds: 1")
    return recipe(text + "objective: speed\n")


def recipe_of_another_kind() -> list[str]:
    Path("model.pt").write_bytes(b"PK")
    return ["optimize", "model.pt"]


def recipe_is_a_directory() -> list[str]:
    Path("recipe.yaml").mkdir()
    return ["optimize", "recipe.yaml"]


def bad_override() -> list[str]:
    return [*recipe(), "--set", "measure.secnds=1"]


def override_without_value() -> list[str]:
    return [*recipe(), "--set", "measure.seconds"]


def torch_model_is_never_exported() -> list[str]:
    Path("net.pt2").write_bytes(b"PK")
    written = RECIPE.replace("./tiny.onnx", "./net.pt2").replace("[simplify]", "[]")
    return recipe(written + "target: {runtime: onnxruntime}\n")


def python_without_consent() -> list[str]:
    return code(NET)[:-1]


def data_beside_a_recipe() -> list[str]:
    np.savez("x.npz", x=samples())
    return [*recipe(), "--data", "x.npz"]


def missing_model() -> list[str]:
    return ["optimize", "nowhere.onnx"]


def empty_model() -> list[str]:
    Path("empty.onnx").touch()
    return ["optimize", "empty.onnx"]


def truncated_model() -> list[str]:
    whole = tiny().read_bytes()
    Path("cut.onnx").write_bytes(whole[: len(whole) // 2])
    return ["optimize", "cut.onnx"]


def text_as_model() -> list[str]:
    Path("text.onnx").write_text("These are the weights that you asked for.\n" * 20)
    return ["optimize", "text.onnx"]


def lfs_pointer_as_model() -> list[str]:
    Path("pointer.onnx").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")
    return ["optimize", "pointer.onnx"]


def external_data_elsewhere() -> list[str]:
    return external("../secret.bin")


def external_data_missing() -> list[str]:
    return external("tiny.onnx.data")


def external_data_is_a_link() -> list[str]:
    Path("real.bin").write_bytes(bytes(32))
    Path("tiny.onnx.data").symlink_to("real.bin")
    return external("tiny.onnx.data")


def external_data_cut_short() -> list[str]:
    Path("tiny.onnx.data").write_bytes(bytes(8))
    return external("tiny.onnx.data")


def unknown_operator() -> list[str]:
    model = onnx.load(tiny())
    model.graph.node[0].op_type = "MatMull"
    onnx.save(model, "typo.onnx")
    return ["optimize", "typo.onnx"]


def no_program() -> list[str]:
    Path("net.pt2").write_bytes(b"no zip file")
    return recipe(RECIPE.replace("./tiny.onnx", "./net.pt2").replace("[simplify]", "[export]"))


def nan_in_the_data() -> list[str]:
    bad = samples()
    bad[3, 1] = np.nan
    return data(x=bad)


def infinity_in_the_data() -> list[str]:
    bad = samples()
    bad[5, 0] = np.inf
    return data(x=bad)


def wrong_input_name() -> list[str]:
    return data(X=samples())


def wrong_shape() -> list[str]:
    return data(x=samples()[:, :3])


def wrong_dtype() -> list[str]:
    return data(x=np.ones((8, 4), dtype=np.int64))


def pickled_data() -> list[str]:
    return data(x=np.array([{"a": 1}, {"b": 2}], dtype=object))


def truncated_data() -> list[str]:
    command = data(x=samples())
    Path("x.npz").write_bytes(Path("x.npz").read_bytes()[:100])
    return command


def pickle_as_data() -> list[str]:
    Path("x.npz").write_bytes(pickle.dumps([1, 2, 3]))
    return ["optimize", str(tiny()), "--data", "x.npz"]


def missing_data() -> list[str]:
    return ["optimize", str(tiny()), "--data", "nowhere.npz"]


def data_without_samples() -> list[str]:
    return data(x=samples(0))


def calibration_is_evaluation() -> list[str]:
    np.savez("x.npz", x=samples())
    return recipe(RECIPE + "data:\n  calibration: {source: ./x.npz}\n  evaluation: {source: ./x.npz}\n")


def accuracy_without_labels() -> list[str]:
    np.savez("x.npz", x=samples())
    return recipe(RECIPE + "data: {evaluation: {source: ./x.npz}}\nmetric: {name: accuracy}\n")


def data_function_raises() -> list[str]:
    text = NET + "\n\ndef images():\n    return {'x': 1 / 0}\n"
    return code(text, TORCH + "data: {evaluation: {source: './net.py:images'}}\n")


def data_function_returns_something_else() -> list[str]:
    text = NET + "\n\ndef images():\n    return [1, 2, 3]\n"
    return code(text, TORCH + "data: {evaluation: {source: './net.py:images'}}\n")


def metric_cannot_be_imported() -> list[str]:
    command = metric("return 1.0")
    Path("metric.py").write_text("import torchmetrix\n" + Path("metric.py").read_text())
    return command


def output_below_a_file() -> list[str]:
    Path("taken").write_text("a file\n")
    return [*recipe(), "-o", "taken/tiny"]


def output_is_a_file() -> list[str]:
    Path("taken").write_text("a file\n")
    return [*recipe(), "-o", "taken"]


def output_is_not_ours() -> list[str]:
    Path("notes").mkdir()
    Path("notes/todo.txt").write_text("keep me\n")
    return [*recipe(), "-o", "notes"]


def key_is_a_directory() -> list[str]:
    Path("keys").mkdir()
    return [*recipe(), "--key", "keys"]


def missing_signing_key() -> list[str]:
    return [*recipe(), "--key", "nowhere.key"]


def key_that_others_can_read() -> list[str]:
    from mlopt.artifact.signing.keys import create_key

    create_key(Path("team.key"))
    Path("team.key").chmod(0o644)
    return [*recipe(), "--key", "team.key"]


def garbage_as_key() -> list[str]:
    descriptor = os.open("garbage.key", os.O_WRONLY | os.O_CREAT, 0o600)
    os.write(descriptor, b"no key at all\n")
    os.close(descriptor)
    return [*recipe(), "--key", "garbage.key"]


_OTHERS = (
    missing_recipe, several_problems, recipe_of_another_kind, recipe_is_a_directory, bad_override,
    override_without_value, torch_model_is_never_exported, python_without_consent, data_beside_a_recipe,
    missing_model, empty_model, truncated_model, text_as_model, lfs_pointer_as_model, external_data_elsewhere,
    external_data_missing, external_data_is_a_link, external_data_cut_short, unknown_operator, no_program,
    nan_in_the_data, infinity_in_the_data, wrong_input_name, wrong_shape, wrong_dtype, pickled_data, truncated_data,
    pickle_as_data, missing_data, data_without_samples, calibration_is_evaluation, accuracy_without_labels,
    data_function_raises, data_function_returns_something_else, metric_cannot_be_imported, output_below_a_file,
    output_is_a_file, output_is_not_ours, key_is_a_directory, missing_signing_key, key_that_others_can_read,
    garbage_as_key,
)  # fmt: skip

CASES: dict[str, Case] = {
    **{name: partial(recipe, text) for name, text in RECIPES.items()},
    **{name: partial(code, text) for name, text in CODE.items()},
    **{name: partial(code, NET, text) for name, text in RECIPES_OF_CODE.items()},
    **{name: partial(metric, body) for name, body in METRICS.items()},
    **{function.__name__: function for function in _OTHERS},
}
"""Every case by the name of its golden file."""
