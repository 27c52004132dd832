"""Models side by side without a recipe: what ``mlopt bench`` measures."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlopt.data.dataset import open_dataset, store
from mlopt.data.sources import DataSource, read
from mlopt.errors import MeasureError
from mlopt.evidence import environment, now
from mlopt.hardware import detect
from mlopt.measure import latency, statistics
from mlopt.measure.candidate import Candidate
from mlopt.measure.latency import Measured
from mlopt.onnx_file import open_onnx
from mlopt.prepare import synthetic
from mlopt.report.schema import Environment, Latency, Speedup
from mlopt.runtimes.base import RuntimeOptions

SCHEMA = "mlopt.bench/v1"
_ROUNDS = 20
_CONTROL = " (again)"


@dataclass(frozen=True)
class Comparison:
    """Latencies by candidate, and each candidate's speedup against the first."""

    created: str
    environment: Environment
    batch_size: int
    latency_ms: Mapping[str, Latency]
    size_bytes: Mapping[str, int]
    peak_rss_bytes: Mapping[str, int]
    speedups: Mapping[str, Speedup]
    blocks: Mapping[str, Sequence[Sequence[float]]]

    def as_json(self) -> dict[str, Any]:
        """Return plain data, with the raw samples in milliseconds."""
        return {
            "schema": SCHEMA,
            "created": self.created,
            "environment": self.environment.model_dump(mode="json"),
            "batch_size": self.batch_size,
            "candidates": {
                name: {
                    "latency_ms": figures.model_dump(mode="json"),
                    "throughput_per_s": 1e3 * self.batch_size / figures.mean,
                    "size_bytes": self.size_bytes[name],
                    "peak_rss_bytes": self.peak_rss_bytes[name],
                    "speedup": self.speedups[name].model_dump(mode="json") if name in self.speedups else None,
                    "blocks_ms": [list(block) for block in self.blocks[name]],
                }
                for name, figures in self.latency_ms.items()
            },
        }


def compare(
    paths: Sequence[Path], data: Path | None, *, threads: int | None, batch_size: int, seconds: float,
    notify: Callable[[str, str], None],
) -> Comparison:  # fmt: skip
    """Measure the models at ``paths`` (ONNX files, or artifacts) on the same samples, ``seconds`` each.

    The first is measured twice, as the A/A control. All must take the first one's inputs. Raises ``MloptError``.
    """
    hardware = detect()
    options = RuntimeOptions(threads=threads or hardware.cores)
    candidates = _candidates(paths, options, keep_threads=threads is None)
    first = candidates[0]
    for candidate in candidates[1:]:
        if [spec.name for spec in candidate.model.inputs] != [spec.name for spec in first.model.inputs]:
            raise MeasureError(
                "only models with the same inputs can be compared", where=candidate.name,
                got="; ".join(map(str, candidate.model.inputs)), expected="; ".join(map(str, first.model.inputs)),
                fix="measure it in a run of its own",
            )  # fmt: skip
    control = Candidate(first.name + _CONTROL, first.model, first.options)
    specs = first.model.inputs
    with tempfile.TemporaryDirectory(prefix="mlopt-bench-") as folder:
        samples = read(DataSource(source=str(data.resolve())), Path(), specs) if data else synthetic(specs)
        store(samples, Path(folder), str(data) if data else "synthetic")
        measured = latency.measure(
            [*candidates, control], open_dataset(Path(folder)), batch_size=batch_size, seconds=seconds, rounds=_ROUNDS,
            seed=0, notify=lambda detail, _share: notify("bench", detail),
        )  # fmt: skip
    shown = {candidate.name: measured[candidate.name] for candidate in candidates}
    floor = statistics.noise_floor(measured[first.name].blocks, measured[control.name].blocks)
    return Comparison(
        created=now(),
        environment=environment(hardware),
        batch_size=batch_size,
        latency_ms={name: statistics.latency(each.blocks) for name, each in shown.items()},
        size_bytes={name: each.candidate.model.size_bytes for name, each in shown.items()},
        peak_rss_bytes={name: each.peak_rss_bytes for name, each in shown.items()},
        speedups={name: _speedup(measured[first.name], each, floor) for name, each in list(shown.items())[1:]},
        blocks={name: each.blocks for name, each in shown.items()},
    )


def _speedup(base: Measured, new: Measured, floor: float) -> Speedup:
    middle, low, high = statistics.speedup(base.blocks, new.blocks)
    return Speedup(median=middle, ci95=(low, high), vs=base.candidate.name, noise_floor=floor)


def _candidates(paths: Sequence[Path], options: RuntimeOptions, *, keep_threads: bool) -> list[Candidate]:
    """Open each path; an artifact is measured with the options that it was shipped with, unless threads are given."""
    from mlopt.artifact.layout import read_manifest

    found: list[Candidate] = []
    for path in paths:
        if path.is_dir():
            manifest = read_manifest(path)
            model = open_onnx(path / manifest.model.file)
            chosen = RuntimeOptions.model_validate(manifest.options) if keep_threads else options
        else:
            model, chosen = open_onnx(path), options
        name = str(path)
        while any(candidate.name == name for candidate in found):
            name += "'"
        found.append(Candidate(name, model, chosen))
    return found
