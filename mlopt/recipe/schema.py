"""The recipe as frozen data: every key with its type, default and meaning.

Rules about one value stand here; rules that join several keys are in ``mlopt.recipe.rules``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    SerializeAsAny,
    ValidationInfo,
    WithJsonSchema,
    create_model,
    model_validator,
)
from pydantic_core import PydanticCustomError

from mlopt.compress.train.settings import Training
from mlopt.core.errors import RecipeError
from mlopt.core.target import Objective, Target
from mlopt.data.source import DataSource
from mlopt.formats.model import TensorSpec
from mlopt.formats.table import suffixes
from mlopt.formats.torch.files import SCRIPTED
from mlopt.formats.torch.pretrained import PREFIX
from mlopt.formats.torch.weights import PICKLES
from mlopt.gate.allowance import budget_of
from mlopt.gate.limits import Gate
from mlopt.measure.torch_metrics import is_torch_metric
from mlopt.passes.base import Pass, PassConfig
from mlopt.recipe.document import closest
from mlopt.results.budget import Budget
from mlopt.results.roles import COMPILED, ON_REQUEST, REFERENCES

API_VERSION = "mlopt/v1"
METRICS = ("accuracy", "agreement", "sequence_agreement", "fidelity")

_CODE = re.compile(r".+\.py:[A-Za-z_]\w*")
_DIMENSION = r"[A-Za-z_][A-Za-z0-9_]*"

Dtype = Literal[
    "float16", "float32", "float64", "bfloat16", "int8", "int16", "int32", "int64",
    "uint8", "uint16", "uint32", "uint64", "bool", "string",
]  # fmt: skip


def is_code(text: str) -> bool:
    """Whether ``text`` names Python, such as ``./file.py:function``."""
    return _CODE.fullmatch(text) is not None


def _refusal(what: str, *, expected: str, fix: str | None = None) -> PydanticCustomError:
    return PydanticCustomError("mlopt", "{what}", {"what": what, "expected": expected, "fix": fix})


def _source(text: str) -> str:
    endings = suffixes()
    *others, last = ("./file.py:function", "hf:./folder", "TorchScript (.pt)", *(f"a {each} file" for each in endings))
    expected = f"{', '.join(others)} or {last}"
    if (text.startswith(PREFIX) and len(text) > len(PREFIX)) or text.endswith(SCRIPTED):  # told apart in ``rules``
        return text
    if text.endswith(PICKLES):
        fix = "save it with torch.export.save, or name the Python that builds it, and its weights as .safetensors"
        raise _refusal("a model in a pickle is never loaded: that can run any code", expected=expected, fix=fix)
    if not is_code(text) and not text.endswith(endings):
        raise _refusal("mlopt cannot tell what kind of model this is", expected=expected)
    return text


def _weights(text: str) -> str:
    if not is_code(text) and not text.endswith((".safetensors", *PICKLES)):
        expected = "a .safetensors file (or, with --allow-pickle, a .pt file), or ./file.py:function that trains"
        raise _refusal("these are no weights", expected=expected)
    return text


def _metric(text: str) -> str:
    if text not in METRICS and not is_code(text) and not is_torch_metric(text):
        expected = f"{', '.join(METRICS)}, torchmetrics.NAME or ./file.py:function"
        raise _refusal("there is no such metric", expected=expected, fix=closest(text, METRICS))
    return text


def _reference(text: str) -> str:
    if text not in ON_REQUEST:
        fix = closest(text, ON_REQUEST)
        if text in REFERENCES:
            fix = "leave it out: it is measured wherever there is one"
        raise _refusal("there is no such reference to ask for", expected=", ".join(ON_REQUEST), fix=fix)
    return text


def _dimension(value: Any) -> Any:
    whole = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    named = isinstance(value, str) and re.fullmatch(_DIMENSION, value)
    if not whole and not named:
        raise _refusal("this is no dimension", expected="a whole number from 1, or a name such as batch if it varies")
    return value


Dimension = Annotated[
    int | str,
    BeforeValidator(_dimension),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": f"^{_DIMENSION}$"}]}),
]


Reference = Annotated[str, AfterValidator(_reference), WithJsonSchema({"type": "string", "enum": list(ON_REQUEST)})]


class Part(BaseModel):
    """The base of every part of the recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _of_pytorch(dtype: Dtype) -> Dtype:
    if dtype == "bfloat16":
        raise _refusal(
            "an input cannot be bfloat16: samples are NumPy arrays, which have no such type", expected="float32",
            fix="declare float32, and build the model in it (`return model.float()`): the pass bf16 makes it smaller",
        )  # fmt: skip
    if dtype == "string":
        raise _refusal("a PyTorch model takes no text", expected="numbers, such as int64 for the ids of a tokenizer")
    return dtype


class DeclaredInput(Part):
    """One declared input."""

    dtype: Annotated[Dtype, AfterValidator(_of_pytorch)] = Field(description="NumPy's name of the element type")
    shape: tuple[Dimension, ...] = Field(description="sizes; a name stands for a size that varies")


class ModelSource(Part):
    """Where the model comes from."""

    source: Annotated[str, AfterValidator(_source)] = Field(
        description="./file.py:function that builds it (a PyTorch module, or the path of a .onnx file), "
        "hf:./folder of a Hugging Face model, or a model's file, such as .onnx or .pt2; relative to the recipe"
    )
    weights: Annotated[str, AfterValidator(_weights)] | None = Field(
        default=None,
        description="a .safetensors file (or, with --allow-pickle, a .pt, .pth, .bin or .ckpt file) to load into the "
        "built module, or ./file.py:function that is called with the module and trains it",
    )
    train: Training | None = Field(default=None, description="how mlopt itself trains the built module on data.train")
    inputs: dict[str, DeclaredInput] = Field(
        default_factory=dict, description="the inputs of a PyTorch model by name, in the order of its arguments"
    )
    outputs: tuple[str, ...] = Field(default=(), description="names for the outputs of a PyTorch model, in order")
    keep_torch: bool = Field(
        default=True, description="keep what passes make of a PyTorch model, and its Python, for `mlopt export-torch`"
    )

    @property
    def specs(self) -> tuple[TensorSpec, ...]:
        """The declared inputs as the rest of mlopt knows them."""
        return tuple(TensorSpec(name, tensor.dtype, tensor.shape) for name, tensor in self.inputs.items())


class Data(Part):
    """The data sets. Evaluation must not share a sample with calibration or training."""

    train: DataSource | None = Field(default=None, description="for passes that train, and model.train")
    calibration: DataSource | None = Field(default=None, description="for passes that look at typical values")
    evaluation: DataSource | None = Field(default=None, description="what the metric is computed on")


def _labelled_alike(data: Data) -> Data:
    """Let what one role says of where a source's labels are hold for its other parts, which are chosen by them."""
    roles = {role: one for role in Data.model_fields if (one := getattr(data, role)) is not None}
    known = {one.source: one for one in roles.values() if one.names_labels}
    return data.model_copy(update={role: one.labelled_like(known.get(one.source, one)) for role, one in roles.items()})


class Metric(Part):
    """How good a model is."""

    name: Annotated[str, AfterValidator(_metric)] = Field(
        default="fidelity",
        description="accuracy (against labels), agreement (with the source model's class), "
        "sequence_agreement (with what it reads, as text or speech), fidelity (cosine to the "
        "source model's outputs), a class of torchmetrics such as torchmetrics.F1Score, or ./file.py:function",
    )
    args: dict[str, JsonValue] = Field(
        default_factory=dict, description="what the class of torchmetrics is made with, such as task and num_classes"
    )
    output: str | tuple[str, ...] | None = Field(
        default=None,
        description="the output that accuracy, agreement or torchmetrics looks at; the first if absent. Of several, "
        "which agreement alone takes, the one that agrees least counts",
    )

    @model_validator(mode="after")
    def _keys_fit(self) -> Self:
        if self.args and not is_torch_metric(self.name):
            raise _refusal(f"the metric {self.name} takes no args", expected="args only with torchmetrics")
        if self.output is not None and (self.name == "fidelity" or is_code(self.name)):
            expected = "output only with accuracy, agreement or torchmetrics"
            raise _refusal(f"the metric {self.name} sees every output", expected=expected)
        if isinstance(self.output, tuple) and (not self.output or "agreement" not in self.name):
            raise _refusal(f"the metric {self.name} looks at one output", expected="the name of one")
        return self


class Measure(Part):
    """How long to measure, and what besides latency at the target's batch size."""

    seconds: float = Field(default=3.0, gt=0, le=3600, description="measuring time for each candidate, at first")
    rounds: int = Field(
        default=10, ge=7, le=1000, description="interleaved rounds that this time is divided into; two blocks in each"
    )
    max_time: float = Field(
        default=120.0, gt=0, le=86400, description="the most seconds of measuring in all, while a gate is undecided"
    )
    batch_sizes: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(), description="batch sizes at which the baseline and the result are measured as well"
    )
    operators: bool = Field(default=True, description="profile the baseline and the result operator by operator")


class Step(Part):
    """One pass of the recipe, with its configuration."""

    name: str
    config: SerializeAsAny[PassConfig]
    optional: bool = False


@cache
def step_model(pass_: Pass[Any]) -> type[PassConfig]:
    """Return what a step of this pass may hold in YAML: the pass's own configuration and ``optional``."""
    if "optional" in pass_.config.model_fields:
        raise RecipeError(
            f"the pass {pass_.name!r} has a key of its own named 'optional'", fix="rename it: steps use it"
        )
    optional = Field(default=False, description="drop the step, with its reason in the report, if it does not help")
    return create_model(f"{pass_.config.__name__}Step", __base__=pass_.config, optional=(bool, optional))


def _step(value: Any, info: ValidationInfo) -> Step:
    if isinstance(value, Step):
        return value
    passes: Mapping[str, Pass[Any]] = (info.context or {})["passes"]
    name, body = _name_and_body(value)
    if name not in passes:
        raise PydanticCustomError("unknown_pass", "unknown pass", {"name": name, "known": tuple(passes)})
    given = step_model(passes[name]).model_validate_json(json.dumps(body), strict=True)
    rest = {key: entry for key, entry in body.items() if key != "optional"}
    config = passes[name].config.model_validate_json(json.dumps(rest), strict=True)
    return Step(name=name, config=config, optional=given.model_dump()["optional"])


def _name_and_body(value: Any) -> tuple[str, dict[str, Any]]:
    if isinstance(value, str):
        return value, {}
    if isinstance(value, dict) and len(value) == 1:
        name, body = next(iter(value.items()))
        if body is None or isinstance(body, dict):
            return name, body or {}
    raise _refusal("this is no step", expected="`name`, or `name: {key: value, ...}`")


class Recipe(Part):
    """What ``mlopt optimize`` is asked to do."""

    api_version: Literal["mlopt/v1"] = Field(alias="apiVersion", description="the version of this format")
    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="names the artifact; letters, digits, dot, - and _"
    )
    model: ModelSource
    data: Annotated[Data, AfterValidator(_labelled_alike)] = Data()
    metric: Metric = Metric()
    target: Target = Target()
    objective: Objective = Field(default=Objective.LATENCY, description="what a faster or smaller model is for")
    passes: tuple[Annotated[Step, BeforeValidator(_step)], ...] = Field(
        description="the steps, in order: `name`, or `name: {key: value, optional: true}`"
    )
    gates: tuple[Gate, ...] = Field(default=(), description="what the result must be worth")
    references: tuple[Reference, ...] = Field(
        default=(),
        description=f"what else is measured beside the result: {COMPILED}, a PyTorch source under torch.compile",
    )
    measure: Measure = Measure()
    seed: int = Field(default=0, ge=0, lt=2**32, description="for the random order in which candidates are measured")

    def budget(self, base: Path) -> Budget:
        """Return what the gates let a lossy pass lose; ``base`` is the recipe's directory."""
        metric = self.metric
        return budget_of(self.gates, metric.name, base, args=metric.args, output=metric.output)
