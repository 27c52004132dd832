"""Rules that join several keys of a recipe, or a key and the files beside it. Checked once, when it is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mlopt.core.errors import Problem
from mlopt.core.usercode import CodeReference, parse_reference
from mlopt.formats.filetype import told
from mlopt.formats.model import TORCH
from mlopt.formats.table import format_for
from mlopt.formats.torch.files import SCRIPTED
from mlopt.formats.torch.pretrained import PREFIX
from mlopt.formats.torch.scripted import scripted_of
from mlopt.gate.limits import BASELINE as STORED
from mlopt.gate.limits import is_stored
from mlopt.measure.torch_metrics import is_torch_metric
from mlopt.recipe.document import KeyPath, closest
from mlopt.recipe.problems import Located
from mlopt.recipe.schema import Recipe, is_code
from mlopt.results.roles import BASELINE, FASTEST, ON_REQUEST, REFERENCES, SOURCE


def check(recipe: Recipe, base: Path) -> Iterator[Located]:
    """Yield what is wrong with a recipe whose keys are all valid by themselves; ``base`` is its folder."""
    yield from _files(recipe, base)
    yield from _model(recipe, base)
    yield from _metric(recipe)
    yield from _references(recipe)
    yield from _gates(recipe, base)


def code_references(recipe: Recipe, base: Path) -> dict[str, CodeReference]:
    """Return the Python that running the recipe would run, by key; raises ``ModelError`` if a file is missing."""
    named = {".".join(map(str, path)): parse_reference(text, base) for path, text in _named(recipe)}
    return {key: code for key, code in named.items() if code is not None}


def _named(recipe: Recipe) -> Iterator[tuple[KeyPath, str]]:
    """Yield every file or function that the recipe names."""
    yield ("model", "source"), recipe.model.source
    if recipe.model.weights is not None:
        yield ("model", "weights"), recipe.model.weights
    for key, text in recipe.model.train.named.items() if recipe.model.train else ():
        yield ("model", *key.split(".")), text
    for role in ("train", "calibration", "evaluation"):
        source = getattr(recipe.data, role)
        if source is not None:
            yield ("data", role, "source"), source.source
    if is_code(recipe.metric.name):
        yield ("metric", "name"), recipe.metric.name
    for number, step in enumerate(recipe.passes):
        for key, text in step.config.named.items():
            yield ("passes", number, step.name, *key.split(".")), text


def _files(recipe: Recipe, base: Path) -> Iterator[Located]:
    for path, text in _named(recipe):
        file = text.rpartition(":")[0] if is_code(text) else text.removeprefix(PREFIX)
        if not _exists(base / file):
            what = "folder" if text.startswith(PREFIX) else "file"
            hub = "; no hub is asked: download it first" if what == "folder" else ""
            yield path, Problem(f"the {what} does not exist", got=file, fix=f"paths are relative to the recipe{hub}")


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long, or a folder that may not be entered
        return False


def _training(recipe: Recipe) -> Iterator[Located]:
    """Yield what speaks against ``model.train``."""
    path, model = ("model", "train"), recipe.model
    if model.train is None:
        return
    if not is_code(model.source):
        fix = "remove train, or name the Python function that builds the model as the source"
        yield path, Problem("mlopt trains what Python builds, and this is a model file", got=model.source, fix=fix)
    elif not model.inputs:
        fix = "declare it: model.inputs: {image: {dtype: float32, shape: [batch, 3, 224, 224]}}"
        yield path, Problem("what mlopt trains does not say what it takes", expected="model.inputs", fix=fix)
    elif model.weights is not None:
        fix = "keep one of the two: weights that a function trains or a file holds, or train for mlopt to train"
        yield path, Problem("model.weights and model.train both say where the weights come from", fix=fix)
    if recipe.data.train is None:
        fix = "add data.train: {source: ...}"
        yield path, Problem("model.train needs data to train on", expected="data.train", fix=fix)


def _model(recipe: Recipe, base: Path) -> Iterator[Located]:
    yield from _training(recipe)
    if is_code(recipe.model.source):
        return
    if recipe.model.weights is not None:
        fix = "remove weights, or name a Python function as the source"
        yield ("model", "weights"), Problem("a model file has its own weights", fix=fix)
    yield from _scripted(recipe, base)
    found = None if _is_folder(recipe) else format_for(Path(recipe.model.source))
    if found is not None and found.open_declared is None:
        for key in ("inputs", "outputs"):
            if getattr(recipe.model, key):
                yield ("model", key), Problem(f"{found.label} file declares its own {key}", fix=f"remove {key}")


def _scripted(recipe: Recipe, base: Path) -> Iterator[Located]:
    """Yield what is wrong with a source that has the name of a TorchScript file."""
    source = recipe.model.source
    if not source.endswith(SCRIPTED) or not _exists(base / source):
        return
    kind = told(base / source)
    if scripted_of(source, base) is None:
        fix = "save it with torch.export.save, or name the Python that builds it, and its weights as .safetensors"
        what, got = "a model in a pickle is never loaded: that can run any code", kind.name if kind else None
        yield ("model", "source"), Problem(what, got=got, expected="a TorchScript file, or another source", fix=fix)
    elif not recipe.model.inputs:
        fix = "declare it: model.inputs: {image: {dtype: float32, shape: [batch, 3, 224, 224]}}"
        yield ("model", "source"), Problem("a TorchScript file does not say what sizes it takes", got=source, fix=fix)


def _is_folder(recipe: Recipe) -> bool:
    return recipe.model.source.startswith(PREFIX)


def _metric(recipe: Recipe) -> Iterator[Located]:
    name = recipe.metric.name
    if recipe.data.evaluation is None and (name == "accuracy" or is_torch_metric(name) or is_code(name)):
        what = f"the metric {name!r} needs data to be evaluated on"
        yield ("metric", "name"), Problem(what, expected="data.evaluation", fix="add data.evaluation: {source: ...}")


def _references(recipe: Recipe) -> Iterator[Located]:
    file = _no_pytorch(recipe)
    for number, name in enumerate(recipe.references):
        path = ("references", number)
        if file is not None:
            what = f"{file} model is never run by PyTorch, so there is no {name}"
            yield path, Problem(what, got=name, fix="remove it from `references`")
        elif name in recipe.references[:number]:
            yield path, Problem("the reference is named twice", got=name, fix="remove one of the two")


def _no_pytorch(recipe: Recipe) -> str | None:
    """Return what the source is, with its article, if it is certainly no PyTorch model."""
    built = is_code(recipe.model.source) or _is_folder(recipe)
    if recipe.model.source.endswith(SCRIPTED):
        return "a TorchScript"
    found = None if built else format_for(Path(recipe.model.source))
    return found.label if found is not None and found.name != TORCH else None


def _gates(recipe: Recipe, base: Path) -> Iterator[Located]:
    for number, gate in enumerate(recipe.gates):
        path, vs = ("gates", number, "vs"), gate.vs
        if vs is None or vs in {BASELINE, FASTEST, *recipe.references}:
            continue
        if vs in {SOURCE, *ON_REQUEST}:
            file = _no_pytorch(recipe)
            if file is not None:
                what = f"{file} model is never run by PyTorch, so there is no {vs} to compare with"
                yield path, Problem(what, got=vs, fix=f"vs: {BASELINE}")
            elif vs != SOURCE:
                what, fix = f"{vs} is measured only where the recipe asks for it", f"add `references: [{vs}]`"
                yield path, Problem(what, got=vs, fix=fix)
        elif vs == STORED:
            what = "`baseline` is the report that `mlopt gate --baseline` is given; a recipe names the file"
            yield path, Problem(what, got=vs, fix="vs: ./baselines/main.json")
        elif not is_stored(vs):
            known = f"{' or '.join(REFERENCES)}, or the path of a stored report"
            yield path, Problem("there is no such reference", got=vs, expected=known, fix=closest(vs, REFERENCES))
        elif not _exists(base / vs):
            yield path, Problem("the stored report does not exist", got=vs, fix="paths are relative to the recipe")
