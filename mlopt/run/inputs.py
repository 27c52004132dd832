"""What a run needs before its first pass: the source model and the data sets, built or read once and then cached."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mlopt.core import file_digest
from mlopt.core.cache import Store
from mlopt.core.cache_entry import Key
from mlopt.core.errors import DataError, ModelError
from mlopt.core.packages import versions
from mlopt.core.usercode import CodeReference, distributions, parse_reference
from mlopt.core.worker import WorkerDiedError, WorkerRaisedError, run_in_worker
from mlopt.data.dataset import Array, Dataset, open_dataset
from mlopt.data.dataset import store as store_samples
from mlopt.data.feeds import batches
from mlopt.data.fitting import make_up
from mlopt.data.folders import digest_of
from mlopt.data.made_up import samples_of
from mlopt.data.padding import files_beside
from mlopt.data.reading import read
from mlopt.data.sizes import attempts
from mlopt.data.source import DataSource
from mlopt.formats.model import ONNX, Kind, Model, TensorSpec, count_of, digest_file, is_numeric
from mlopt.formats.table import digest_now, format_for, format_of, opened
from mlopt.formats.torch import portable
from mlopt.formats.torch.pretrained import folder_of
from mlopt.formats.torch.pretrained_source import make_pretrained
from mlopt.formats.torch.scripted import scripted_of
from mlopt.formats.torch.source import Made, check_rebuilt, onnx_digest
from mlopt.formats.torch.source import make as make_torch
from mlopt.recipe.load import Loaded
from mlopt.recipe.schema import Recipe
from mlopt.run.pretrained import pretrained_key
from mlopt.run.scripted import how_exported, scripted_key
from mlopt.run.without_maps import without_maps
from mlopt.runtimes.base import Deployable

_WITNESSES = 64
_CHECKED = 3
"""To be raised when more is checked of what the recipe's Python makes: what an older mlopt kept is then made again."""

_READER = 4
"""Part of what the cache keys data by: bumped when the same files can give other samples."""


def advice(recipe: Recipe) -> list[str]:
    """Return what the evidence will lack for want of data."""
    if recipe.data.evaluation is not None:
        return []
    wanted = "INT8 is tried with real samples only: `--data FILE.npz` for a model, `data` in a recipe"
    return [f"No data was given, so random samples were used: they say little of accuracy. {wanted}."]


def interface_notice(source: Model) -> list[str]:
    """Return what is to be said of the source's inputs that have a default, in one line."""
    if not source.defaults:
        return []
    names = f"the defaults that the model has for inputs ({count_of(source.defaults)})"
    return [f"optimized and measured with {names}; a step that makes constants of them says so"]


def code_digests(loaded: Loaded) -> dict[str, str]:
    """Return the SHA-256 of the recipe's code: ``code of KEY``, imports included, and ``file NAME`` of each file."""
    whole = {f"code of {key}": code.digest for key, code in loaded.code.items()}
    whole |= {f"file {name}": digest for code in loaded.code.values() for name, digest in code.digests.items()}
    scripted = scripted_of(loaded.recipe.model.source, loaded.base)
    return whole if scripted is None else whole | {f"file {scripted.name}": digest_file(scripted)}


def digests(loaded: Loaded, source: Model, data: Mapping[str, Dataset | None]) -> dict[str, str]:
    """Return the SHA-256 of everything that a run read, by the key that names it."""
    found = {"model": source.digest}
    found |= {f"data.{role}": dataset.digest for role, dataset in data.items() if dataset is not None}
    return found | code_digests(loaded)


def check_unchanged(before: Mapping[str, str], loaded: Loaded, source: Model) -> None:
    """Raise ``ModelError`` if the recipe's Python, or the source model, is no longer what the run began with."""
    file_digest.forget()
    after = code_digests(loaded)
    changed = [key for key, digest in after.items() if before.get(key) != digest]
    if changed or digest_now(source) != source.digest:
        raise ModelError(
            "it changed while the run used it", where=changed[0] if changed else str(source.path),
            expected="what the run began with", fix="run it again",
        )  # fmt: skip


def source_key(recipe: Recipe, base: Path, inputs: tuple[TensorSpec, ...]) -> Key | None:
    """Return what a source that is built depends on; None for a source that is a file."""
    if (folder := folder_of(recipe.model.source, base)) is not None:
        return pretrained_key(recipe, folder, inputs)
    if (scripted := scripted_of(recipe.model.source, base)) is not None:
        samples = dataset_key(recipe, "evaluation", base, inputs).parts if recipe.data.evaluation else None
        return scripted_key(recipe, scripted, inputs, samples)
    code = parse_reference(recipe.model.source, base)
    if code is None:
        return None
    weights, read = _weights(recipe, base), portable.read_by(code)
    parts: dict[str, Any] = {
        "checked": _CHECKED,
        "path": str(code.path),
        "code": code.digests,
        "function": code.function,
        "inputs": [str(spec) for spec in inputs],
        "outputs": list(recipe.model.outputs),
        "packages": versions(("torch", "safetensors", *distributions(code.path))),
    }
    if read:
        parts["read"] = {file.name: digest_file(file) for file in read}
    if isinstance(weights, CodeReference):
        parts["weights"] = {"code": weights.digests, "function": weights.function}
    elif weights is not None:
        parts["weights"] = digest_file(weights)
    if (train := recipe.model.train) is not None:
        codes = {key: parse_reference(text, base) for key, text in train.named.items()}
        parts["train"] = {
            "settings": train.model_dump(mode="json"),
            "data": dataset_key(recipe, "train", base, inputs).parts,
            "named": {key: None if each is None else each.digests for key, each in codes.items()},
        }
    return Key("sources", f"{recipe.name}: source", parts)


Maker = Callable[..., tuple[Made, Mapping[str, Any]]]
"""Does what ``make_torch`` does in another way, and returns notes, too; a training goes on from ``unfinished``."""


class Source(NamedTuple):
    """The source model."""

    model: Model
    cached: bool
    """Whether it came from the cache, or is a file, which needs no work."""
    notes: Mapping[str, Any]
    """JSON-able facts for the report: how it was trained, or exported."""
    said: tuple[str, ...] = ()
    """What was changed before it was used as the source, in sentences."""


def source(
    recipe: Recipe, base: Path, inputs: tuple[TensorSpec, ...], store: Store, log: Path,
    samples: Dataset | None = None, *, maker: Maker | None = None,
) -> Source:  # fmt: skip
    """Return the source model, which ``maker`` makes if mlopt is to train it, or it is a TorchScript file.

    One that Python makes is made again in another process, and must answer some of ``samples`` as it did at first.
    """
    key = source_key(recipe, base, inputs)
    scripted = scripted_of(recipe.model.source, base)
    by = folder_of(recipe.model.source, base) or scripted or parse_reference(recipe.model.source, base)
    if key is None or by is None:
        given = _from_file((base / recipe.model.source).resolve(), inputs, recipe.model.outputs, log)
        model, cached, said = without_maps(given, recipe.name, store)
        return Source(model, cached, {}, said)
    weights, feeds = _weights(recipe, base), _some(samples, inputs)

    def make(out: Path) -> Mapping[str, Any]:
        try:
            notes: Mapping[str, Any] = {}
            if maker is not None:
                kept = {} if by == scripted else {"unfinished": store.unfinished(key)}
                made, notes = run_in_worker(log, maker, by, inputs, recipe.model.outputs, out=out, feeds=feeds, **kept)
            elif isinstance(by, Path):
                made = run_in_worker(log, make_pretrained, by, inputs, recipe.model.outputs, out=out, feeds=feeds)
            else:
                made = run_in_worker(log, make_torch, by, weights, inputs, recipe.model.outputs, out=out, feeds=feeds)
            run_in_worker(log, check_rebuilt, made, feeds)
        except (WorkerDiedError, WorkerRaisedError) as error:
            what = "the file's code failed" if by == scripted else "the recipe's Python failed"
            raise ModelError(what, where=str(by), got=str(error)) from error
        model, path = made.model, made.model.path.relative_to(out).as_posix()
        return {"kind": model.kind, "path": path, "digest": model.digest, "notes": notes}

    entry, hit = store.fetch(key, make)
    if not isinstance(by, Path) and hit and entry.result["kind"] == ONNX and _moved(entry.result["digest"], by, log):
        store.forget(entry)
        entry, hit = store.fetch(key, make)
    made = opened(Kind(entry.result["kind"]), entry.out / entry.result["path"], log)
    model, _, said = without_maps(made, recipe.name, store)
    return Source(model, hit, entry.result.get("notes", {}), said if scripted is None else (how_exported(), *said))


def _moved(digest: str, code: CodeReference, log: Path) -> bool:
    """Whether the function names another ``.onnx`` file than it did, or a changed one."""
    return run_in_worker(log, onnx_digest, code) != digest


def _some(samples: Dataset | None, specs: tuple[TensorSpec, ...]) -> list[dict[str, Array]]:
    """Return a few samples from all over the data, each as a feed; made-up ones, if there are no data."""
    if not specs or not all(is_numeric(spec.dtype) for spec in specs):
        return []
    given = samples or samples_of(next(attempts(specs)), specs)
    count = len(given.inputs[specs[0].name])
    rows = np.unique(np.linspace(0, count - 1, _WITNESSES).astype(int)).tolist()
    return [{name: np.array(array) for name, array in feed.items()} for feed, _ in batches(given, specs, 1, rows)]


def dataset_key(recipe: Recipe, role: str, base: Path, specs: tuple[TensorSpec, ...]) -> Key:
    """Return what a data set depends on: its description, its files or code, and the inputs that it must fit."""
    described: DataSource = getattr(recipe.data, role)
    parts: dict[str, Any] = {
        "reader": _READER,
        "source": described.model_dump(mode="json"),
        "inputs": [str(spec) for spec in specs],
    }
    code = parse_reference(described.source, base)
    if code is not None:
        parts |= {"path": str(code.path), "code": code.digests, "packages": versions(distributions(code.path))}
    else:
        parts["files"] = digest_of((base / described.source).resolve())
        parts |= {f"file {file.name}": digest_file(file) for file in _beside(described, base)}
    return Key("data", f"{recipe.name}: {role}", parts)


def _beside(described: DataSource, base: Path) -> list[Path]:
    """Return the files apart from the data itself that its reader looks into."""
    tokenizer = base / described.text.tokenizer if described.text else None
    named = (base / described.labels if described.labels else None, tokenizer)
    files = [file for file in named if file is not None and file.is_file()]
    return files + (files_beside(tokenizer) if tokenizer else [])


def dataset(
    recipe: Recipe, role: str, base: Path, specs: tuple[TensorSpec, ...], *, store: Store, log: Path,
    defaults: tuple[str, ...] = (),
) -> Dataset:  # fmt: skip
    """Return the data set of ``role``, which the recipe describes; ``defaults`` is ``Model.defaults``."""
    described: DataSource = getattr(recipe.data, role)

    def make(out: Path) -> Mapping[str, Any]:
        try:
            run_in_worker(log, _read, described, base, specs, out=out, defaults=defaults)
        except (WorkerDiedError, WorkerRaisedError) as error:
            raise DataError(f"the {role} data could not be read", where=described.source, got=str(error)) from error
        return {}

    entry, _ = store.fetch(dataset_key(recipe, role, base, specs), make)
    return open_dataset(entry.out)


def made_up_key(name: str, digest: str, batch_size: int, fixed: Sequence[TensorSpec] = ()) -> Key:
    """Return what samples that are made up depend on: the model, which must run on them, and ``fixed``.

    That is what steps leave of its inputs, if they fix something.
    """
    parts: dict[str, Any] = {"reader": _READER, "made up for": digest, "batch": batch_size}
    if fixed:
        parts["fixed"] = [str(spec) for spec in fixed]
    return Key("data", f"{name}: evaluation", parts)


def made_up(
    name: str, deployable: Deployable, batch_size: int, store: Store, log: Path, fixed: Sequence[TensorSpec] = ()
) -> Dataset:
    """Return samples for a recipe without data; ``fixed`` as of ``made_up_key``."""
    fitting = replace(deployable, model=replace(deployable.model, inputs=tuple(fixed) or deployable.model.inputs))

    def make(out: Path) -> Mapping[str, Any]:
        make_up(fitting, batch_size, out, log)
        return {}

    entry, _ = store.fetch(made_up_key(name, deployable.model.digest, batch_size, fixed), make)
    return open_dataset(entry.out)


def _weights(recipe: Recipe, base: Path) -> CodeReference | Path | None:
    if recipe.model.weights is None:
        return None
    code = parse_reference(recipe.model.weights, base)
    path = (base / recipe.model.weights).resolve()
    if code is None and not path.is_file():
        raise ModelError(
            "the weights do not exist", where=str(path), fix="correct model.weights; it is relative to the recipe"
        )
    return code or path


def _from_file(path: Path, inputs: tuple[TensorSpec, ...], outputs: tuple[str, ...], log: Path) -> Model:
    if not path.is_file():
        raise ModelError("the model file does not exist", where=str(path), fix="correct model.source")
    return opened((format_for(path) or format_of(ONNX)).name, path, log, inputs, outputs)


def _read(
    described: DataSource, base: Path, specs: tuple[TensorSpec, ...], out: Path, defaults: tuple[str, ...]
) -> None:
    store_samples(read(described, base, specs, defaults), out, described.source)
