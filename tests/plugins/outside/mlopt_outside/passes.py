"""A pass from PyTorch to PyTorch, and one that writes toy models and says how they are to be run."""

import json
import shutil

import onnx
from onnx import numpy_helper
from pydantic import Field

from mlopt.core.errors import PassError
from mlopt.formats.model import ONNX, TORCH, Model
from mlopt.formats.torch.model import SOURCE, WEIGHTS
from mlopt.passes.base import Context, Pass, PassConfig, PassResult, Refusal, Requires
from mlopt_outside.toy_format import TOY
from mlopt_outside.toy_runtime import ToyOptions


class PruneConfig(PassConfig):
    """What counts as small."""

    below: float = Field(default=1e-3, ge=0, description="weights of a smaller magnitude become zero")


def prune(model: Model, config: PruneConfig, context: Context) -> PassResult | Refusal:
    """Set small weights to zero."""
    from safetensors.torch import load_file, save_file

    if not model.path.is_dir():
        return Refusal("only modules that a recipe builds have weights in a file of their own")
    weights = load_file(model.path / WEIGHTS)
    small = {name: value.abs() < config.below for name, value in weights.items()}
    if all(bool(each.all()) for each in small.values()):
        raise PassError("no weight would be left", got=f"below: {config.below:g}", fix="make `below` smaller")
    save_file({name: value.masked_fill(small[name], 0.0) for name, value in weights.items()}, context.out / WEIGHTS)
    shutil.copyfile(model.path / SOURCE, context.out / SOURCE)
    return PassResult(context.out, notes={"zeros": sum(int(each.sum()) for each in small.values())})


class ToyConfig(PassConfig):
    """How the result is run."""

    order: str = Field(default="columns", description="rows or columns")


def to_toy(model: Model, config: ToyConfig, context: Context) -> PassResult | Refusal:
    """Write the one Gemm of a graph as a toy model."""
    graph = onnx.load(model.path).graph
    if [node.op_type for node in graph.node] != ["Gemm"]:
        return Refusal("the graph is not one Gemm")
    node, weights = graph.node[0], {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    weight, turned = weights[node.input[1]], any(each.name == "transB" and each.i for each in node.attribute)
    said = {
        "input": node.input[0],
        "output": node.output[0],
        "weight": (weight.T if turned else weight).tolist(),
        "bias": weights[node.input[2]].tolist(),
    }
    path = context.out / "model.toy"
    path.write_text(json.dumps(said))
    options = ToyOptions(threads=context.target.threads or 1, order=config.order)
    return PassResult(path, runtime="toyrt", options=options)


PRUNE = Pass(
    name="prune_small", version=1, summary="set small weights to zero", accepts=frozenset({TORCH}), produces=TORCH,
    config=PruneConfig, run=prune, lossy=True, requires=Requires(extra="torch", packages=("torch", "safetensors")),
)  # fmt: skip
TO_TOY = Pass(
    name="to_toy", version=1, summary="write a linear model as JSON", accepts=frozenset({ONNX}), produces=TOY,
    config=ToyConfig, run=to_toy, requires=Requires(packages=("onnx",)),
)  # fmt: skip
