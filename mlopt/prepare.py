"""What a run needs before its first pass: the source model and the data sets, built or read once and then cached."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mlopt.cache import Key, Store
from mlopt.data.dataset import Dataset, Samples, open_dataset
from mlopt.data.dataset import store as store_samples
from mlopt.data.feeds import unfeedable
from mlopt.data.sources import DataSource, read
from mlopt.errors import DataError, ModelError, Problem
from mlopt.model import Kind, Model, TensorSpec, digest_file, digest_files
from mlopt.onnx_file import open_onnx
from mlopt.packages import versions
from mlopt.recipe.load import Loaded
from mlopt.recipe.schema import Recipe
from mlopt.torch_source import materialize, onnx_digest, open_program, open_torch
from mlopt.torch_weights import is_pickle, refused_pickle
from mlopt.usercode import CodeReference, distributions, parse_reference
from mlopt.worker import WorkerDiedError, WorkerRaisedError, run_in_worker

_SYNTHETIC_SAMPLES = 16
_SYNTHETIC_SIZE = 16


SYNTHETIC = "synthetic"
"""The source of samples that were made up."""
REAL = "the inputs were made up, in sizes that this model may not take: give real ones, with --data FILE.npz"


def consent(loaded: Loaded, *, code: bool, pickles: bool) -> list[Problem]:
    """Return what the recipe names and the user did not agree to: Python that would run, weights in a pickle."""
    problems = [] if code else [_runs_python(key, str(reference)) for key, reference in loaded.code.items()]
    weights = loaded.recipe.model.weights
    if not pickles and weights is not None and is_pickle(Path(weights)):
        problems.append(refused_pickle("model.weights", Path(weights)))
    return problems


def _runs_python(key: str, code: str) -> Problem:
    return Problem("this runs Python, which takes your consent", key, code, fix="read that code, then add --allow-code")


def advice(recipe: Recipe) -> list[str]:
    """Return what the evidence will lack for want of data."""
    if recipe.data.evaluation is not None:
        return []
    of_size = f"a free size, such as a picture's or a text's, is {_SYNTHETIC_SIZE} in them"
    wanted = "INT8 is tried with real samples only: `--data FILE.npz` for a model, `data` in a recipe"
    return [f"No data was given, so random samples were used: they say little of accuracy, and {of_size}. {wanted}."]


def code_digests(loaded: Loaded) -> dict[str, str]:
    """Return the SHA-256 of the recipe's Python: ``code of KEY``, imports included, and ``file NAME`` of each file."""
    whole = {f"code of {key}": code.digest for key, code in loaded.code.items()}
    return whole | {f"file {name}": digest for code in loaded.code.values() for name, digest in code.digests.items()}


def digests(loaded: Loaded, source: Model, data: Mapping[str, Dataset | None]) -> dict[str, str]:
    """Return the SHA-256 of everything that a run read, by the key that names it."""
    found = {"model": source.digest}
    found |= {f"data.{role}": dataset.digest for role, dataset in data.items() if dataset is not None}
    return found | code_digests(loaded)


def check_unchanged(before: Mapping[str, str], loaded: Loaded, source: Model) -> None:
    """Raise ``ModelError`` if the recipe's Python, or the source model, is no longer what the run began with."""
    after = code_digests(loaded)
    changed = [f"code of {key}" for key in loaded.code if before.get(f"code of {key}") != after[f"code of {key}"]]
    if source.kind is Kind.ONNX:
        now = open_onnx(source.path).digest
    else:
        now = digest_file(source.path) if source.path.is_file() else source.digest  # else made by the Python above
    if changed or now != source.digest:
        raise ModelError(
            "it changed while the run used it", where=changed[0] if changed else str(source.path),
            expected="what the run began with", fix="run it again",
        )  # fmt: skip


def source_key(recipe: Recipe, base: Path, inputs: tuple[TensorSpec, ...]) -> Key | None:
    """Return what a source built by Python depends on; None for a source that is a file."""
    code = parse_reference(recipe.model.source, base)
    if code is None:
        return None
    weights = _weights(recipe, base)
    parts: dict[str, Any] = {
        "path": str(code.path),
        "code": code.digests,
        "function": code.function,
        "inputs": [str(spec) for spec in inputs],
        "outputs": list(recipe.model.outputs),
        "packages": versions(("torch", "safetensors", *distributions(code.path))),
    }
    if isinstance(weights, CodeReference):
        parts["weights"] = {"code": weights.digests, "function": weights.function}
    elif weights is not None:
        parts["weights"] = digest_file(weights)
    return Key("sources", f"{recipe.name}: source", parts)


def source(recipe: Recipe, base: Path, inputs: tuple[TensorSpec, ...], store: Store, log: Path) -> tuple[Model, bool]:
    """Return the source model, and whether it came from the cache (or is a file, which needs no work)."""
    key, code = source_key(recipe, base, inputs), parse_reference(recipe.model.source, base)
    if key is None or code is None:
        return _from_file((base / recipe.model.source).resolve(), inputs, recipe.model.outputs, log), True
    weights = _weights(recipe, base)

    def make(out: Path) -> Mapping[str, Any]:
        try:
            model = run_in_worker(log, materialize, code, weights, inputs, recipe.model.outputs, out)
        except (WorkerDiedError, WorkerRaisedError) as error:
            raise ModelError("the recipe's Python failed", where=str(code), got=str(error)) from error
        return {
            "kind": model.kind.value,
            "path": model.path.relative_to(out).as_posix(),
            "digest": model.digest,
        }

    entry, hit = store.fetch(key, make)
    if hit and entry.result["kind"] == Kind.ONNX and run_in_worker(log, onnx_digest, code) != entry.result["digest"]:
        store.forget(entry)
        entry, hit = store.fetch(key, make)
    opened = (
        open_torch(entry.out) if entry.result["kind"] == Kind.TORCH else open_onnx(entry.out / entry.result["path"])
    )
    return opened, hit


def dataset_key(recipe: Recipe, role: str, base: Path, specs: tuple[TensorSpec, ...]) -> Key:
    """Return what a data set depends on: its description, its files or code, and the inputs that it must fit."""
    described: DataSource | None = getattr(recipe.data, role)
    specified = [str(spec) for spec in specs]
    if described is None:
        return Key("data", f"{recipe.name}: {role}", {"synthetic": 3, "inputs": specified})
    parts: dict[str, Any] = {"source": described.model_dump(mode="json"), "inputs": specified}
    code = parse_reference(described.source, base)
    if code is not None:
        parts |= {"path": str(code.path), "code": code.digests, "packages": versions(distributions(code.path))}
    else:
        parts["files"] = _digest_of((base / described.source).resolve())
        named = (described.labels, described.text.tokenizer if described.text else None)
        beside = [base / name for name in named if name is not None and (base / name).is_file()]
        parts |= {f"file {file.name}": digest_file(file) for file in beside}
    return Key("data", f"{recipe.name}: {role}", parts)


def dataset(recipe: Recipe, role: str, base: Path, specs: tuple[TensorSpec, ...], store: Store, log: Path) -> Dataset:
    """Return the data set of ``role``; without one in the recipe, random samples that fit the inputs."""
    described: DataSource | None = getattr(recipe.data, role)
    name = described.source if described is not None else SYNTHETIC

    def make(out: Path) -> Mapping[str, Any]:
        if described is None:
            store_samples(synthetic(specs), out, name)
            return {}
        try:
            run_in_worker(log, _read, described, base, specs, out)
        except (WorkerDiedError, WorkerRaisedError) as error:
            raise DataError(f"the {role} data could not be read", where=name, got=str(error)) from error
        return {}

    entry, _ = store.fetch(dataset_key(recipe, role, base, specs), make)
    return open_dataset(entry.out)


def synthetic(specs: tuple[TensorSpec, ...]) -> Samples:
    """Return random samples of the right dtypes and shapes: enough to time a model, never to judge its accuracy.

    Where the first axes cannot all be the batch (state of a fixed size, a scalar), each sample is a whole input.
    Dynamic axes other than the first get 16 entries; integers are 0 or 1, which every vocabulary and mask allows.
    """
    if problems := [p for spec in specs if (p := unfeedable(spec, f"{SYNTHETIC}: input '{spec.name}'"))]:
        raise DataError.of(problems)
    random = np.random.default_rng(0)
    firsts = {spec.shape[0] if spec.shape and isinstance(spec.shape[0], int) else None for spec in specs}
    whole = len(firsts) > 1 or any(not spec.shape for spec in specs)
    inputs = {}
    for spec in specs:
        first = [size if isinstance(size, int) else 1 for size in spec.shape[:1]]
        others = [size if isinstance(size, int) else _SYNTHETIC_SIZE for size in spec.shape[1:]]
        shape = (_SYNTHETIC_SAMPLES, *(first if whole else []), *others)
        if np.issubdtype(np.dtype(spec.dtype), np.floating):
            inputs[spec.name] = random.standard_normal(shape).astype(spec.dtype)
        else:
            inputs[spec.name] = random.integers(0, 2, shape).astype(spec.dtype)
    return Samples(inputs, None)


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
    if path.suffix == ".onnx":
        return open_onnx(path)
    if not path.is_file():
        raise ModelError("the model file does not exist", where=str(path), fix="correct model.source")
    try:
        return run_in_worker(log, open_program, path, inputs, outputs)
    except (WorkerDiedError, WorkerRaisedError) as error:
        raise ModelError("the program cannot be opened", where=str(path), got=str(error)) from error


def _read(described: DataSource, base: Path, specs: tuple[TensorSpec, ...], out: Path) -> None:
    store_samples(read(described, base, specs), out, described.source)


def _digest_of(path: Path) -> str | None:
    """Return the digest of a file or of all files in a folder; None if there is nothing (reading will say so)."""
    if path.is_file():
        return digest_file(path)
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else []
    return digest_files(files, path) if files else None
