"""What is asked: requests ready to be sent, from real samples or made-up ones, and what an artifact answers to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from mlopt import report as reports
from mlopt.artifact.layout import Role
from mlopt.artifact.opened import OpenArtifact, opened
from mlopt.artifact.signing.base import Trust
from mlopt.artifact.verify import Verified
from mlopt.core.errors import DataError
from mlopt.data.dataset import Array, Samples
from mlopt.data.feeds import batches, check_inputs
from mlopt.data.made_up import fit, samples_of
from mlopt.data.ragged import is_ragged
from mlopt.data.reading import read
from mlopt.data.sizes import attempts
from mlopt.data.source import DataSource
from mlopt.data.vocabulary import known_words
from mlopt.formats.model import TensorSpec
from mlopt.formats.table import graph_of, has_graph
from mlopt.loadtest.answers import allowed_errors
from mlopt.protocol.messages import Message, write_request
from mlopt.recipe.given_data import described, unlabelled

MADE_UP = "made up"
_TOLD = "the samples were made up: the server may answer others in other times; --recipe or --data gives real ones"
_LABELS = "labels"
_NOT_CHECKED = "answers were not held against anything: --artifact DIR names what should be served"
_TOTAL_BYTES = 1 << 29


class SampleGiver(Protocol):
    """Something else than files that has samples, such as a recipe; its text says which."""

    def give(
        self, specs: tuple[TensorSpec, ...], defaults: tuple[str, ...], most: int, verified: Verified | None
    ) -> tuple[Samples, str]:
        """Return at most so many samples as inputs of ``specs``, and in words what they are; raises ``UserError``.

        ``verified`` is the artifact that should be served, where one is known.
        """
        ...


@dataclass(frozen=True)
class PayloadWanted:
    """Where requests come from: ``data`` as ``mlopt predict`` reads it, ``batch`` rows in each, so many at most.

    Without it they are samples of a ``recipe``; else made up.
    """

    data: Path | None
    batch: int
    most: int
    recipe: SampleGiver | None = None


@dataclass(frozen=True)
class Payload:
    """Requests, and what is known of their answers."""

    messages: tuple[Message, ...]
    source: str
    expected: tuple[Mapping[str, Array], ...] | None = None
    """The artifact's own answers, one for each of the requests."""
    allowed: Mapping[str, float] | None = None
    """The error of each output that its report allows; see ``answers``."""
    checked: str = _NOT_CHECKED
    name: str | None = None
    digest: str | None = None
    notes: tuple[str, ...] = ()


class _Asked(NamedTuple):
    samples: Samples
    source: str


def of_artifact(directory: Path, trust: Trust | None, wanted: PayloadWanted) -> Payload:
    """Verify an artifact, make requests for its model, and answer them here; raises ``MloptError``."""
    with opened(directory, trust) as found:
        model = found.deployable.model
        asked = _real(wanted, model.inputs, model.defaults, found.verified) or _made_up(_fitting(found, wanted))
        feeds = _feeds(asked.samples, model.inputs, wanted)
        expected = tuple({name: np.array(array) for name, array in found.session.run(each).items()} for each in feeds)
        return replace(
            _payload(feeds, asked), expected=expected, name=found.verified.manifest.name,
            digest=found.verified.root, **_tolerance(found.verified),
        )  # fmt: skip


def of_server(inputs: Sequence[TensorSpec], wanted: PayloadWanted) -> Payload:
    """Make requests for a model of which only the server's metadata are known; raises ``DataError``."""
    specs = tuple(inputs)
    asked = _real(wanted, specs, ()) or _made_up(samples_of(next(attempts(specs)), specs))
    return _payload(_feeds(asked.samples, specs, wanted), asked)


def _real(
    wanted: PayloadWanted, specs: tuple[TensorSpec, ...], defaults: tuple[str, ...], verified: Verified | None = None
) -> _Asked | None:
    """Return the samples that were named, with their source; None if they are to be made up."""
    if wanted.recipe is not None:
        rows = max([wanted.batch, *(spec.shape[0] for spec in specs if spec.shape and isinstance(spec.shape[0], int))])
        return _Asked(*wanted.recipe.give(specs, defaults, wanted.most * rows, verified))
    return None if wanted.data is None else _Asked(given(wanted, wanted.data, specs, defaults), str(wanted.data))


def given(wanted: PayloadWanted, path: Path, inputs: Sequence[TensorSpec], defaults: tuple[str, ...]) -> Samples:
    """Read what ``--data`` names: .npz, .npy or a folder of such, one of images, or .jsonl; raises ``DataError``."""
    specs = tuple(inputs)
    if path.suffix == ".npy" or (path.is_dir() and any(path.glob("*.npy"))):
        first = {name: array[: wanted.most * wanted.batch] for name, array in _npy(path, specs).items()}
        return check_inputs(Samples(first), specs, str(path), defaults)
    if path.suffix == ".npz" or not path.exists():
        return read(DataSource(source=str(path.resolve())), Path("/"), specs, defaults)
    found = unlabelled(described(path, specs, path.parent, fixed=False))
    keys: dict[str, Any] = dict(found.keys)
    if found.tokenizer is not None:
        keys["text"] = {**keys["text"], "tokenizer": str(found.tokenizer.resolve())}
    return read(DataSource(source=str(path.resolve()), **keys), Path("/"), specs, defaults)


def _npy(path: Path, inputs: Sequence[TensorSpec]) -> dict[str, Array]:
    """Map arrays: of a folder each by its file's name, and a single file as the only input."""
    names = {spec.name for spec in inputs}
    files = {file.stem: file for file in sorted(path.glob("*.npy")) if file.stem != _LABELS or _LABELS in names}
    if not path.is_dir():
        files = {inputs[0].name if len(names) == 1 else path.stem: path}
    try:
        return {name: np.load(file, mmap_mode="r", allow_pickle=False) for name, file in files.items()}
    except (OSError, ValueError, EOFError) as error:
        raise DataError("this is no array as numpy.save writes it", where=str(path), got=str(error)[:200]) from error


def _made_up(samples: Samples) -> _Asked:
    return _Asked(replace(samples, notes=(_TOLD, *samples.notes)), MADE_UP)


def _fitting(found: OpenArtifact, wanted: PayloadWanted) -> Samples:
    model = found.deployable.model
    texts = [spec.name for spec in model.inputs if spec.dtype == "string"]
    words = known_words(graph_of(model), texts) if texts and has_graph(model.kind) else {}
    return fit(model.inputs, found.session.run, wanted.batch, words)


def _feeds(samples: Samples, specs: Sequence[TensorSpec], wanted: PayloadWanted) -> list[dict[str, Array]]:
    """Return what is sent, from the first samples."""
    loose = [name for name, array in samples.inputs.items() if is_ragged(array) and array[:1].dtype == object]
    loose = [name for name in loose if not all(isinstance(one, str) for one in samples.inputs[name].flat)]
    if loose:
        raise DataError(
            "samples of several sizes make no requests of one size", where=f"input '{loose[0]}'",
            fix="give samples of one size, each size in a load test of its own",
        )  # fmt: skip
    return [feeds for feeds, _ in islice(batches(samples, specs, wanted.batch), wanted.most)]


def _payload(feeds: Iterable[Mapping[str, Array]], asked: _Asked) -> Payload:
    messages, total = [], 0
    for each in feeds:
        messages.append(write_request(each))
        total += len(messages[-1].body)
        if total > _TOTAL_BYTES:
            break
    return Payload(tuple(messages), asked.source, notes=asked.samples.notes)


def _tolerance(verified: Verified) -> dict[str, Any]:
    report = reports.read(verified.directory / verified.manifest.file_of(Role.REPORT))
    allowed = allowed_errors(report.final.fidelity)
    loosest = max(allowed.values(), default=0.0)
    told = "each answer was compared with the artifact's own, up to rounding"
    told += f" or, by its report's fidelity, an error of {100 * loosest:.2g} % of an output" if loosest else ""
    return {"allowed": allowed, "checked": f"{told}; and the digest that it names, with the artifact's"}
