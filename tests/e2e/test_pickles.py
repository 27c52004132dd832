"""A pickle that would create a file when it is loaded never does, wherever it lies, and the user is told so."""

from __future__ import annotations

import ast
import io
import os
import pickle
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_graphs import AT_ANY_SPEED, BRIEFLY, CLASSIFIER_RECIPE, write_classifier

import mlopt
from mlopt.cli.app import run
from mlopt.formats.torch.model import open_program
from mlopt.formats.torch.weights import load_weights

torch = pytest.importorskip("torch", reason="needs the extra mlopt[torch]")

Told = Callable[[list[str], int], str]
QUICK = [word for override in (*BRIEFLY, AT_ANY_SPEED) for word in ("--set", override)]
NET = """
import numpy as np
import torch

def build():
    return torch.nn.Linear(3, 2)
"""
RECIPE = """
apiVersion: mlopt/v1
name: net
model: {{source: '{source}', weights: '{weights}', inputs: {{x: {{dtype: float32, shape: [batch, 3]}}}}}}
passes: [export]
gates: [{{metric: fidelity.cosine, min: 0.9}}]
"""


class Bomb:
    """Creates the file ``ran`` in the working directory when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("ran").absolute(),)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with the Python that builds a model."""
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(NET)
    return tmp_path


@pytest.fixture
def told(capfd: pytest.CaptureFixture[str]) -> Told:
    """``told(command, code)``: run it, and return what it said; no bomb has gone off."""

    def check(command: list[str], code: int) -> str:
        assert run(command) == code
        assert not Path("ran").exists(), "the pickle was loaded"
        printed = capfd.readouterr()
        assert "Traceback" not in printed.err
        return " ".join((printed.out + printed.err).split())

    return check


def with_weights(weights: str, *more: str) -> list[str]:
    Path("net.yaml").write_text(RECIPE.format(source="./net.py:build", weights=weights))
    return ["optimize", "net.yaml", "--allow-code", "--no-sign", *QUICK, *more]


def from_source(source: str) -> list[str]:
    text = RECIPE.format(source=source, weights="").replace(" weights: '',", "")
    Path("net.yaml").write_text(text)
    return ["optimize", "net.yaml", "--no-sign", *QUICK]


def save(path: str) -> str:
    """Write the bomb as ``torch.save`` does."""
    torch.save({"weight": torch.ones(2, 3), "bias": Bomb()}, path)
    return path


def save_plain(path: str) -> str:
    Path(path).write_bytes(pickle.dumps({"bias": Bomb()}, 2))
    return path


def save_old(path: str) -> str:
    """In PyTorch's format before the archives: a pickle that begins with a number."""
    torch.save({"bias": Bomb()}, path, _use_new_zipfile_serialization=False)
    return path


def test_the_bomb_goes_off_where_it_is_loaded() -> None:
    pickle.loads(pickle.dumps(Bomb()))
    assert Path("ran").exists()
    Path("ran").unlink()
    torch.load(save("w.pt"), weights_only=False)
    assert Path("ran").exists()


@pytest.mark.parametrize("suffix", ["pt", "pth", "bin", "ckpt"])
def test_weights_without_consent(suffix: str, told: Told) -> None:
    said = told(with_weights(save(f"w.{suffix}")), 2)
    assert f"these weights are a pickle, and loading a pickle can run any code got w.{suffix}" in said
    assert "safetensors.torch as s" in said
    assert said.endswith(f"w.{suffix} w.safetensors; or add --allow-pickle, which reads tensors only")


@pytest.mark.parametrize(("suffix", "write"), [("pt", save), ("pth", save_plain), ("bin", save_old), ("ckpt", save)])
def test_weights_with_consent(suffix: str, write: Callable[[str], str], told: Told) -> None:
    said = told(with_weights(write(f"w.{suffix}"), "--allow-pickle"), 2)
    assert "the weights file holds more than tensors, and loading it could run code" in said
    assert "got pathlib.Path.touch" in said or "got pathlib._local.Path.touch" in said or "got getattr" in said
    assert "save its tensors alone: safetensors.torch.save_model(model, 'weights.safetensors')" in said


def test_the_command_that_is_named_converts(told: Told) -> None:
    import shlex
    import subprocess
    import sys

    from safetensors.torch import load_file

    torch.save({"weight": torch.ones(2, 3), "bias": torch.ones(2)}, "w 'x'.pt")
    (said,) = re.findall("convert it where that is safe: (.*); or add", told(with_weights("w ''x''.pt"), 2))
    subprocess.run([sys.executable, *shlex.split(said)[1:]], check=True)
    assert set(load_file("w 'x'.safetensors")) == {"weight", "bias"}


@pytest.mark.parametrize("name", ["w.pt", "w.pth", "w.bin", "w.ckpt"])
def test_tensors_in_a_pickle_are_read(name: str) -> None:
    module = torch.nn.Linear(3, 2)
    torch.save({"weight": torch.ones(2, 3), "bias": torch.ones(2)}, name)
    load_weights(module, Path(name))
    assert module(torch.ones(1, 3)).tolist() == [[4.0, 4.0]]


@pytest.mark.parametrize("write", [save, save_plain, save_old])
def test_weights_renamed(write: Callable[[str], str], told: Told) -> None:
    said = told(with_weights(write("w.safetensors")), 2)
    assert "w.safetensors: the weights file is no safetensors file" in said


@pytest.mark.parametrize("name", ["whole.pt", "script.pt", "model.pth"])
def test_a_pickle_as_the_source(name: str, told: Told) -> None:
    said = told(from_source(save(name)), 2)
    assert "a model in a pickle is never loaded: that can run any code" in said
    said = told(["optimize", save(name), "--no-sign"], 2)
    assert "this is a pickle of Python objects" in said
    assert "where you trust it" in said


@pytest.mark.parametrize(("write", "kind"), [(save, "a pickle of"), (save_plain, "a pickle of")])
def test_a_source_renamed(write: Callable[[str], str], kind: str, told: Told) -> None:
    said = told(["optimize", write("m.onnx"), "--no-sign"], 2)
    assert f"m.onnx: this is {kind}" in said
    assert "where a model belongs" in said
    assert "this is not a program of torch.export" in told(from_source(write("m.pt2")), 2)


def test_other_files_under_the_name_of_a_pickle_are_named(told: Told) -> None:
    from safetensors.torch import save_file

    save_file({"weight": torch.ones(2, 3), "bias": torch.ones(2)}, "w.pt")
    said = told(with_weights("w.pt", "--allow-pickle"), 2)
    assert "got weights alone (safetensors)" in said
    assert "rename it to w.safetensors" in said
    torch.export.save(torch.export.export(torch.nn.Linear(3, 2), (torch.ones(1, 3),)), "p.pt2")
    Path("p.pt2").rename("p.pt")
    assert "got a program of torch.export (.pt2)" in told(with_weights("p.pt", "--allow-pickle"), 2)


def archive(**parts: bytes) -> bytes:
    """A program of ``torch.export`` with these parts, by the last part of their names, in place of its own."""
    free = ({0: torch.export.Dim.DYNAMIC},)
    program = torch.export.export(torch.nn.Linear(3, 2), (torch.ones(2, 3),), dynamic_shapes=free)
    torch.export.save(program, "whole.pt2")
    out = io.BytesIO()
    with zipfile.ZipFile("whole.pt2") as old, zipfile.ZipFile(out, "w") as new:
        for entry in old.infolist():
            key = entry.filename.rpartition("/")[2].partition(".")[0]
            new.writestr(entry.filename, parts.pop(key if key != "model" else entry.filename, old.read(entry)))
        for name, content in parts.items():
            new.writestr(name, content)
    return out.getvalue()


def pickled() -> bytes:
    buffer = io.BytesIO()
    torch.save({"bias": Bomb()}, buffer)
    return buffer.getvalue()


def test_sample_inputs_of_a_program_are_not_loaded() -> None:
    Path("m.pt2").write_bytes(archive(**{"whole/data/sample_inputs/model.pt": pickled()}))
    assert open_program(Path("m.pt2")).inputs
    assert not Path("ran").exists(), "the pickle was loaded"


def test_weights_of_a_program(told: Told) -> None:
    config = b'{"config": {"weight": {"path_name": "weight_0", "is_param": true, "use_pickle": true}}}'
    Path("m.pt2").write_bytes(archive(model_weights_config=config, weight_0=pickled()))
    said = told(from_source("m.pt2"), 2)
    assert "m.pt2: the program holds a pickled object, and loading it could run code got 'weight'" in said
    Path("m.pt2").write_bytes(archive(**{"whole/data/weights/model.pt": pickled()}))
    assert "the program is of an old format that pickles its tensors" in told(from_source("m.pt2"), 2)


@pytest.mark.parametrize("content", [pickle.dumps([Bomb()]), b"\x93NUMPY" + pickle.dumps([Bomb()])])
@pytest.mark.parametrize("name", ["d.npz", "d.jsonl"])
def test_data_renamed(name: str, content: bytes, folder: Path, told: Told) -> None:
    write_classifier(folder)
    Path(name).write_bytes(content)
    said = told(["optimize", "classifier.onnx", "--data", name, "--no-sign"], 2)
    array = content.startswith(b"\x93NUMPY")
    of_npz = "this is one array, a .npy file" if array else "this is not a whole .npz file"
    assert {"d.npz": of_npz, "d.jsonl": "text needs a tokenizer"}[name] in said


def test_data_with_objects(folder: Path, told: Told) -> None:
    write_classifier(folder)
    np.savez("d.npz", x=np.array([Bomb()], dtype=object))
    said = told(["optimize", "classifier.onnx", "--data", "d.npz", "--no-sign"], 2)
    assert "d.npz: array 'x': the array holds pickled Python objects, which mlopt never loads" in said


def object_array() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([Bomb()], dtype=object), allow_pickle=True)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that is over: its model and recipe, its cache, its key and its artifact."""
    place = tmp_path_factory.mktemp("filled")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("MLOPT_CACHE", str(place / "cache"))
        patch.setenv("MLOPT_CONFIG", str(place / "config"))
        write_classifier(place)
        Path("classifier.yaml").write_text(CLASSIFIER_RECIPE)
        mlopt.optimize("classifier.yaml")
    return place


@pytest.fixture
def again(filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command that runs the same once more, in the same place, with a copy of the cache: nothing is to be made."""
    shutil.copytree(filled / "cache", tmp_path / "cache")
    monkeypatch.chdir(filled)
    monkeypatch.setenv("MLOPT_CACHE", str(tmp_path / "cache"))
    return ["optimize", "classifier.yaml", "--no-sign", "-o", str(tmp_path / "out")]


@pytest.mark.parametrize(
    ("pattern", "content"),
    [("*.json", "pickle"), ("*.npy", "numpy"), ("*.onnx", "torch")],
)
def test_the_cache(content: str, pattern: str, again: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    """Whatever lies there, mlopt makes the entry again or says what is damaged."""
    made = {"pickle": lambda: pickle.dumps(Bomb()), "torch": pickled, "numpy": object_array}[content]()
    files = [file for file in Path(os.environ["MLOPT_CACHE"]).rglob(pattern) if file.is_file()]
    assert files, pattern
    for file in files:
        file.write_bytes(made)
    assert run(again) in {0, 2}
    assert not Path("ran").exists(), "the pickle was loaded"
    assert "Traceback" not in capfd.readouterr().err


def test_the_cache_holds_no_pickles(filled: Path) -> None:
    kinds = {file.suffix for file in (filled / "cache").rglob("*") if file.is_file() and file.parent.name != "locks"}
    assert kinds <= {".json", ".npy", ".onnx", ".safetensors", ".lock", ".txt", ".data", ".jsonl"}


@pytest.mark.parametrize("name", ["weights.pt", "model.pkl", "data.pkl", "claims.jsonl"])
def test_the_artifact(name: str, filled: Path, folder: Path, told: Told) -> None:
    """A file more is a file that was not signed; in the place of one that may be there, it is no statement."""
    shutil.copytree(filled, folder, dirs_exist_ok=True)
    os.environ["MLOPT_CONFIG"] = str(folder / "config")  # put back by own_home
    (folder / "artifacts/classifier" / name).write_bytes(pickle.dumps(Bomb()))
    said = told(["verify", "artifacts/classifier"], 4)
    assert name in said
    with pytest.raises(mlopt.core.errors.IntegrityError):
        mlopt.load("artifacts/classifier")
    assert not Path("ran").exists()


@pytest.mark.parametrize("name", ["model.onnx", "mlopt.json", "report.json", "model.sig", "samples.json"])
def test_the_files_of_the_artifact(name: str, filled: Path, folder: Path, told: Told) -> None:
    shutil.copytree(filled, folder, dirs_exist_ok=True)
    os.environ["MLOPT_CONFIG"] = str(folder / "config")
    (folder / "artifacts/classifier" / name).write_bytes(pickle.dumps(Bomb()))
    assert name in told(["verify", "artifacts/classifier"], 4)


def calls() -> list[tuple[str, str, dict[str, str]]]:
    """Every call in mlopt's source of something called ``load`` or ``loads``: file, what, keywords."""
    return [
        (path.name, ast.unparse(node.func), {str(word.arg): ast.unparse(word.value) for word in node.keywords})
        for path in Path(mlopt.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in {"load", "loads"}
    ]


def test_no_source_unpickles() -> None:
    found = calls()
    assert not {what for _, what, _ in found} & {"pickle.load", "pickle.loads", "joblib.load"}
    assert [file for file, what, _ in found if what == "torch.jit.load"] == ["scripted_source.py"]
    assert {words["weights_only"] for _, what, words in found if what == "torch.load"} == {"True"}
    assert {words.get("allow_pickle", "False") for *_, words in found} == {"False"}
    assert [file for file, what, _ in found if what == "torch.export.load"] == ["model.py"]
