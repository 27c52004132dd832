"""Fix what a deployment never changes: sizes of inputs, and inputs that always hold one value.

Cases: sizes by the name of their dimension, wherever inputs and outputs have it; inputs by their name, at one number,
text or bool, which fills the input, or at a list of its shape. What follows is folded: shapes, conditions, and the
branch of an If that is taken. Names, dtypes and ranks stay: a fixed input is still fed, and other values or sizes are
an error in every session that mlopt opens, since the file itself says what it is fixed to.

Limits: sizes that only outputs have are not fixed, as inputs decide them. A default stays the default. Loop and Scan
stay loops. Weights are not computed with: put ``simplify`` after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import AfterValidator, Field, JsonValue, model_validator

from mlopt.core.errors import PassError, Problem
from mlopt.data.dataset import Dataset
from mlopt.data.sizes import fixed_size
from mlopt.formats.fixed import as_array, difference, frozen, thawed
from mlopt.formats.model import ONNX, Model, TensorSpec
from mlopt.formats.onnx.file import read_graph
from mlopt.formats.onnx.fixed import write_fixed
from mlopt.formats.onnx.folding import fold
from mlopt.formats.onnx.graph import (
    EXTERNAL_DATA_ABOVE,
    changed_operators,
    keep_interface,
    operators,
    strip_initializer_inputs,
)
from mlopt.formats.onnx.order import sort_nodes
from mlopt.formats.onnx.save import load_small_tensors, loaded, save_model
from mlopt.passes.base import Context, Interface, Pass, PassConfig, PassResult, Refusal, Requires
from mlopt.passes.specializing import dimensions, size_problems, unlike, value_problems

if TYPE_CHECKING:
    import onnx

_FIRST_WITHOUT_INPUTS = 4
"""The IR version from which on a constant need not be an input."""


def _value(value: JsonValue) -> JsonValue:
    frozen(value)
    return value


class SpecializeConfig(PassConfig):
    """What the deployment fixes."""

    dims: dict[str, Annotated[int, Field(ge=1, lt=2**31)]] = Field(
        default={}, description="sizes, by the name of the dimension as `mlopt inspect` shows it"
    )
    inputs: dict[str, Annotated[JsonValue, AfterValidator(_value)]] = Field(
        default={},
        description="inputs that always hold one value: a number, text or a bool, which fills the input, or a list of "
        "its shape",
    )

    @model_validator(mode="after")
    def _fixes_something(self) -> Self:
        if not self.dims and not self.inputs:
            raise ValueError("it fixes nothing: give `dims`, such as {batch: 1}, or `inputs`")
        return self

    def narrowed(self, interface: Interface) -> Interface:
        """Return the interface with these sizes and values."""
        values = {name: frozen(value) for name, value in self.inputs.items()}
        inputs = tuple(
            replace(spec, shape=self._sized(spec), value=values.get(spec.name, spec.value)) for spec in interface.inputs
        )
        outputs = tuple(replace(spec, shape=self._sized(spec)) for spec in interface.outputs)
        known, there = dict(interface.sizes), dimensions(interface.inputs)
        sizes = known | {name: size for name, size in self.dims.items() if name in there}
        return replace(interface, inputs=inputs, outputs=outputs, sizes=tuple(sizes.items()))

    def misfits(self, interface: Interface) -> Iterator[Problem]:
        """Yield the names that the model does not have, and what cannot be fixed at what is asked for."""
        yield from size_problems(self.dims, interface)
        yield from value_problems(interface, self.narrowed(interface), self.inputs)

    def unlike(self, interface: Interface, data: Dataset, role: str, batch_size: int) -> Iterator[Problem]:
        """Yield where samples have another size or value: the result would be judged on what it is not made for."""
        yield from unlike(interface, self.narrowed(interface), data, role, batch_size)

    def _sized(self, spec: TensorSpec) -> tuple[int | str, ...]:
        return tuple(fixed_size(size, self.dims) for size in spec.shape)


def run(model: Model, config: SpecializeConfig, context: Context) -> PassResult | Refusal:
    """Declare the sizes, put constants in the place of inputs, and fold what follows."""
    before = Interface.of(model)
    source = read_graph(model.path)
    problems = [*config.misfits(before), *_other_defaults(source, model, config)]
    if problems:
        raise PassError.of(replace(problem, where=f"specialize: {problem.where}") for problem in problems)
    after = config.narrowed(before)
    dropped = [name for name in config.inputs if name in model.defaults]
    if after == before and not dropped:
        return Refusal("the model is fixed to all of this already")
    _declare(source, after, dropped)
    proto = read_graph(model.path)
    _declare(proto, after, dropped)
    load_small_tensors(proto, model.path.parent)
    sort_nodes(proto.graph)
    fixed = {spec.name: spec.fixed_array() for spec in after.inputs}
    constants = {name: array for name, array in fixed.items() if array is not None}
    try:
        folded, remark = fold(proto, constants, model.path.parent)
    except ValueError as error:
        raise PassError(
            "onnx_ir cannot read the graph", where=str(model.path), got=str(error),
            fix="put the pass 'simplify' before it, or leave 'specialize' out",
        ) from error  # fmt: skip
    keep_interface(folded, source)
    path, large = context.out / "model.onnx", model.size_bytes > EXTERNAL_DATA_ABOVE
    save_model(folded, path, external=large, source=model.path.parent)
    return PassResult(path, _notes(before, after, source, folded, remark))


def _declare(proto: onnx.ModelProto, after: Interface, dropped: list[str]) -> None:
    """Write sizes where inputs and outputs are declared, and into the properties what the file is fixed to.

    Up to IR version 3, every constant is an input. Those that are only that are none any more.
    """
    if proto.ir_version < _FIRST_WITHOUT_INPUTS:
        strip_initializer_inputs(proto)
    graph = proto.graph
    kept = [value for value in graph.input if value.name not in dropped]
    del graph.input[:]
    graph.input.extend(kept)
    sizes = dict(after.sizes)
    for values, specs in ((graph.input, after.inputs), (graph.output, after.outputs)):
        shapes = {spec.name: spec.shape for spec in specs}
        for value in values:
            _resize(value, shapes.get(value.name, ()))
    for value in graph.value_info:
        _resize(value, [fixed_size(dim.dim_param, sizes) for dim in value.type.tensor_type.shape.dim])
    write_fixed(proto, sizes, {spec.name: spec.value for spec in after.inputs if spec.value is not None})


def _resize(value: onnx.ValueInfoProto, shape: Sequence[int | str]) -> None:
    for dim, size in zip(value.type.tensor_type.shape.dim, shape, strict=False):
        if isinstance(size, int):
            dim.dim_value = size


def _other_defaults(source: onnx.ModelProto, model: Model, config: SpecializeConfig) -> Iterator[Problem]:
    """Yield the inputs with a default that are to be fixed at another value: all is measured with the default."""
    from onnx import numpy_helper

    tensors = {tensor.name: tensor for tensor in source.graph.initializer if tensor.name in model.defaults}
    for name in config.inputs.keys() & tensors.keys():
        default = numpy_helper.to_array(loaded(tensors[name], model.path.parent))
        text = default.dtype == object
        default = default.astype(str) if text else default
        dtype = "string" if text else default.dtype.name
        try:
            other = difference(as_array(frozen(config.inputs[name]), dtype, default.shape), default)
        except (ValueError, TypeError) as error:
            other = str(error)
        if other is not None:
            yield Problem(
                f"input '{name}' has a default in the model, and mlopt measures the model with that", f"inputs.{name}",
                other, "the default", "fix it at its default, or export the model without that default",
            )  # fmt: skip


def _notes(
    before: Interface, after: Interface, source: onnx.ModelProto, folded: onnx.ModelProto, remark: str | None
) -> Mapping[str, object]:
    old, new = operators(source.graph), operators(folded.graph)
    free = dimensions(after.inputs)
    return {
        "fixed": {
            **{name: size for name, size in after.sizes if (name, size) not in before.sizes},
            **{spec.name: thawed(spec.value) for spec in after.inputs if spec.value is not None},
        },
        **({"still free": free} if free else {}),
        "nodes": [sum(old.values()), sum(new.values())],
        "changed": changed_operators(old, new),
        **({"remark": remark} if remark else {}),
    }


PASS = Pass(
    name="specialize",
    version=1,
    summary="fix sizes and inputs that a deployment never changes, and fold what follows",
    accepts=frozenset({ONNX}),
    produces=ONNX,
    config=SpecializeConfig,
    run=run,
    requires=Requires(extra="cpu", packages=("onnx", "onnx-ir", "onnxscript")),
)
