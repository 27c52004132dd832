"""What ``mlopt inspect --layers`` adds: the layers of a model, and what they bore when each was pruned alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

    from mlopt.artifact.layers import LayerCost, Shape
    from mlopt.report.sensitivity import SensitivityRecord


@dataclass(frozen=True)
class Listing:
    """The layers of one model."""

    layers: tuple[LayerCost, ...]
    sensitivity: Mapping[str, SensitivityRecord]
    """By the step of the artifact's report that looked."""

    def plain(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "layers": [asdict(layer) for layer in self.layers],
            "sensitivity": {step: found.model_dump(mode="json") for step, found in self.sensitivity.items()},
        }


def of(path: Path, shapes: Mapping[str, Shape]) -> Listing:
    """Read the layers of a model file or an artifact; raises as ``inspect_model`` does, and for a damaged report."""
    from mlopt.artifact.layers import layers_of

    return Listing(layers_of(path, shapes), dict(_borne(path)))


def _borne(path: Path) -> list[tuple[str, SensitivityRecord]]:
    from mlopt.report import REPORT_FILE, read, sensitivity

    if not path.is_dir() or not (path / REPORT_FILE).exists():
        return []
    steps = enumerate(read(path).steps, 1)
    found = ((f"{step.name} ({number})", sensitivity.read(step.notes)) for number, step in steps)
    return [(name, each) for name, each in found if each is not None]


def show(listing: Listing) -> None:
    """Print both as tables; what is wide and seldom asked for (domains, shapes of outputs) is in the JSON."""
    from rich.text import Text

    from mlopt.cli import console
    from mlopt.report import sensitivity

    if listing.layers:
        console.out.print(_table(listing.layers))
    for step, found in listing.sensitivity.items():
        console.out.print(Text(f"What each layer bears, by {step}: {sensitivity.basis(found)}"))
        console.out.print(_bears(found))


def table(listing: Listing) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return heads and rows of the layers, in full; what each bears is in the JSON."""
    heads = ("layer", "operator", "weight", "parameters", "parameters_share", "macs", "macs_share")
    return heads, [
        (each.name, each.operator, _shape(each.weight), str(each.parameters), f"{each.parameters_share:.4g}",
         "" if each.macs is None else str(each.macs), "" if each.macs_share is None else f"{each.macs_share:.4g}")
        for each in listing.layers
    ]  # fmt: skip


def _table(layers: tuple[LayerCost, ...]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("layer", overflow="fold")
    table.add_column("operator", overflow="fold")
    table.add_column("weight", no_wrap=True)
    for head in ("parameters", "share", "MACs", "share"):
        table.add_column(head, justify="right", no_wrap=True)
    for each in layers:
        texts = each.name, each.operator.rpartition("::")[2], _shape(each.weight)
        table.add_row(
            *map(Text, texts), f"{each.parameters:,}",
            _share(each.parameters_share), "?" if each.macs is None else f"{each.macs:,}", _share(each.macs_share),
        )  # fmt: skip
    return table


def _bears(found: SensitivityRecord) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("layer", overflow="fold")
    for ratio in found.ratios:
        table.add_column(f"-{100 * ratio:.3g} %", justify="right", no_wrap=True)
    table.add_column("MACs", justify="right", no_wrap=True)
    for layer, at in found.layers.items():
        cells = [_share(at[ratio].score) if ratio in at else "" for ratio in found.ratios]
        saved = _share(at[max(at)].macs - 1)
        table.add_row(Text(layer), *cells, saved)
    return table


def _shape(shape: Shape | None) -> str:
    return "" if shape is None else "x".join(map(str, shape)) or "1"


def _share(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"
