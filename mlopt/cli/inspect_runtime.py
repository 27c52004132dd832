"""What ``mlopt inspect --runtime`` adds: what runtimes make of a model before any run, and what ``quantize`` leaves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlopt.compress.quantization.left_alone import LeftAlone
    from mlopt.measure.runtime_layers import RuntimeLayers

_NAMES = 8  # JSON has them all


@dataclass(frozen=True)
class InRuntimes:
    """One model, in the runtimes that were asked for."""

    nodes: int
    """Of the model, those in bodies of others too, without constants; 0 if it has no graph view."""
    runtimes: tuple[RuntimeLayers, ...]
    quantized: bool
    left_alone: tuple[LeftAlone, ...]

    def plain(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "nodes": self.nodes,
            "runtimes": [asdict(each) for each in self.runtimes],
            "left_by_quantize": [asdict(each) for each in self.left_alone],
        }


def of(path: Path, names: Sequence[str]) -> InRuntimes:
    """Load a model file, or an artifact with its options, in each runtime; raises where one is missing or silent."""
    from mlopt.artifact.deployed import given
    from mlopt.compress.quantization.graph import survey
    from mlopt.compress.quantization.left_alone import left_alone
    from mlopt.formats import table as formats
    from mlopt.measure.runtime_layers import runtime_layers
    from mlopt.runtimes.table import other_runtime

    deployable = given(path)
    chosen = [other_runtime(deployable, name) for name in names]
    if not formats.has_graph(deployable.model.kind):
        return InRuntimes(0, tuple(runtime_layers(each, {}) for each in chosen), False, ())
    proto = formats.graph_of(deployable.model)
    operators = _operators(proto)
    found = tuple(runtime_layers(each, operators) for each in chosen)
    return InRuntimes(len(operators), found, bool(survey(proto).quantized), left_alone(proto, names))


def _operators(proto: Any) -> dict[str, str]:
    """Return the type of each node that computes, by its name, or by what it writes where it has none."""
    from mlopt.formats.onnx.graph import nodes

    every = [node for node in nodes(proto.graph) if node.op_type != "Constant"]
    return {node.name or next(filter(None, node.output), ""): node.op_type for node in every}


def table(found: InRuntimes) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return heads and rows: how many layers of an operator in a precision each runtime has."""
    counts = [{(one.operator, one.precision): one.layers for one in each.counts} for each in found.runtimes]
    kinds = dict.fromkeys(kind for each in counts for kind in each)
    heads = ("operator", "precision", *(each.runtime for each in found.runtimes))
    return heads, [(*kind, *(str(each.get(kind, "")) for each in counts)) for kind in kinds]


def show(found: InRuntimes) -> None:
    """Print it: layers and their precisions, and at most eight names of each sort of layers."""
    from mlopt.cli.console import columns, out

    for each in found.runtimes:
        out.print(f"in {each.runtime}: {each.layers} layers{f' of {found.nodes} nodes' if found.nodes else ''}")
    out.print()
    heads, rows = table(found)
    for number, line in enumerate(columns([heads, *rows], 2)):
        out.print(line, style=None if number else "bold")
    for said in _told(found):
        out.print()
        for line in said:
            out.print(line)


def _told(found: InRuntimes) -> Iterator[list[str]]:
    for each in found.runtimes:
        if found.quantized:
            head = f"in floating point in {each.runtime}: {len(each.floats)} of {_so_many(each.computing, 'computing')}"
            yield _listed(head, each.floats)
        yield _listed(f"fused into nothing in {each.runtime}: {_so_many(len(each.alone), 'elementwise')}", each.alone)
    if found.left_alone:
        head = f"quantize would leave {_so_many(len(found.left_alone), 'computing')} alone"
        yield _listed(head, [f"{each.node} ({each.operator}): {each.reason}" for each in found.left_alone])


def _so_many(number: int, sort: str) -> str:
    return f"{number} {sort} layer{'s' * (number != 1)}"


def _listed(head: str, names: Sequence[str]) -> list[str]:
    more = [f"  and {len(names) - _NAMES} more: --json has all"] if len(names) > _NAMES else []
    return [f"{head}{':' * bool(names)}", *(f"  {name}" for name in names[:_NAMES]), *more]
