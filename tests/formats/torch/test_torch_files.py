"""PyTorch's files, other pickles, and what is none: each is named, nothing is unpickled, and the fix works."""

from __future__ import annotations

import json
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlopt.cli.app import run
from mlopt.formats.filetype import told
from mlopt.formats.torch.files import told_pickle, told_zip

pytestmark = pytest.mark.heavy

pytestmark = pytest.mark.heavy

torch = pytest.importorskip("torch", reason="torch is not installed (the extra mlopt[torch])")


def net() -> Any:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3)).eval()


def safetensors(path: Path) -> None:
    from safetensors.torch import save_file

    save_file(net().state_dict(), path)


def program(path: Path) -> None:
    torch.export.save(torch.export.export(net(), (torch.zeros(2, 4),)), path.with_suffix(".pt2"))
    path.with_suffix(".pt2").rename(path)


def cut(path: Path) -> None:
    torch.save(net().state_dict(), path)
    path.write_bytes(path.read_bytes()[:500])


def saved(make: Callable[[], Any], **how: Any) -> Callable[[Path], None]:
    return lambda path: torch.save(make(), path, **how)


def lightning() -> dict[str, Any]:
    return {"epoch": 3, "pytorch-lightning_version": "2.1.0", "state_dict": net().state_dict(), "callbacks": {}}


def checkpoint(key: str) -> Callable[[Path], None]:
    return saved(lambda: {"epoch": 3, "args": {"lr": 0.1}, "optimizer": {"state": {}}, key: net().state_dict()})


WEIGHTS, MODULE = "weights of PyTorch's (a state dict)", "weights are no model"
FILES: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "state.pt": (saved(lambda: net().state_dict()), WEIGHTS, MODULE),
    "plain.pth": (saved(lambda: dict(net().state_dict())), WEIGHTS, MODULE),
    "model.bin": (saved(lambda: net().state_dict(), pickle_protocol=4), WEIGHTS, MODULE),
    "old.pt": (saved(lambda: net().state_dict(), _use_new_zipfile_serialization=False), WEIGHTS, MODULE),
    "w.safetensors": (safetensors, "weights alone (safetensors)", MODULE),
    "a.pt": (checkpoint("model"), "a checkpoint of PyTorch's, with weights under 'model'", MODULE),
    "b.pt": (checkpoint("state_dict"), "a checkpoint of PyTorch's, with weights under 'state_dict'", MODULE),
    "c.pt": (checkpoint("model_state_dict"), "a checkpoint of PyTorch's, with weights under 'model_state", MODULE),
    "l.ckpt": (saved(lightning), "a checkpoint of Lightning, with weights under 'state_dict'", MODULE),
    "whole.pt": (saved(net), "a pickle of Python objects ('torch.nn.modules.container.Sequential')", "where you trust"),
    "script.pt": (lambda path: torch.jit.script(net()).save(path), "a TorchScript archive", "torch.jit.load("),
    "trace.pt": (lambda path: torch.jit.trace(net(), torch.zeros(1, 4)).save(path), "a TorchScript", "(EXAMPLE,)"),
    "s.onnx": (lambda path: torch.jit.script(net()).save(path), "a TorchScript archive", "rename it to s.pt, and"),
    "p.pt2": (program, "a program of torch.export", "write the line {apiVersion"),
    "my, {odd} name.pt": (program, "a program of torch.export", "rename it to my, {odd} name.pt2, and"),
    "tensor.pt": (saved(lambda: torch.zeros(3)), "a pickle, and no model", "name a recipe"),
    "list.pt": (saved(lambda: [1, 2]), "a pickle, and no model", "name a recipe"),
    "cut.pt": (cut, "a ZIP archive, as PyTorch's files and .npz are, cut short or damaged", "again"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.process
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("name", FILES)
def test_what_it_is_and_what_to_do_are_told(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    make, kind, fix = FILES[name]
    make(Path(name))
    verbs = {"p.pt2": ("optimize",), "script.pt": ("bench", "inspect"), "trace.pt": ("bench", "inspect")}
    for verb in verbs.get(name, ("optimize", "bench", "inspect")):  # the others take it
        assert run([verb, name]) == 2
        said = capsys.readouterr().err
        assert f"{name}: this is {kind}" in said
        assert fix in said
        assert "Traceback" not in said


@pytest.mark.process
def test_the_recipe_that_is_told_for_a_program_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    name = "my, {odd} name.pt"
    program(Path(name))
    kind = told(Path(name))
    assert kind is not None
    line = re.search(r"write the line (.*) into recipe.yaml", kind.fix)
    assert line is not None
    Path(name).rename(f"{name}2")
    Path("recipe.yaml").write_text(line[1])
    assert run(["recipe", "check", "recipe.yaml"]) == 0, capsys.readouterr().err
    assert run(["plan", "recipe.yaml"]) == 0, capsys.readouterr().err


def test_what_runs_code_is_never_called_weights() -> None:
    torch.save({"weight": torch.ones(2), "bias": Run()}, "w.pt")
    kind = told(Path("w.pt"))
    assert kind is not None
    assert kind.name == "a pickle of Python objects ('__builtin__.exec')"


class Run:
    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise AssertionError",)


def test_other_models_in_pickles_are_named() -> None:
    head = pickle.dumps([])[:-2] + b"csklearn.linear_model Nothing\nLogisticRegression\n."
    assert told_pickle(b"\x80\x02csklearn.linear_model\nLogisticRegression\n)\x81.", Path("m.pkl")) == (
        "a pickled model of scikit-learn", "convert it to ONNX: skl2onnx, or onnxmltools for boosted trees",
    )  # fmt: skip
    assert told_pickle(head, Path("m.pkl"))[0].startswith("a pickled model of scikit-learn")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200), st.sampled_from(["data.pkl", "a/data.pkl", "a/code/x", "models/model.json"]))
def test_no_bytes_escape(content: bytes, member: str) -> None:
    assert told_pickle(b"\x80\x02" + content, Path("x"))
    with zipfile.ZipFile("x.zip", "w") as archive:
        archive.writestr(member, content)
    told_zip(Path("x.zip"))
    Path("x.zip").write_bytes(b"PK\x03\x04" + content)
    assert told_zip(Path("x.zip"))


def test_json_of_safetensors_alone_is_json(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"a": 1}))
    kind = told(tmp_path / "a.json")
    assert kind is not None
    assert kind.name == "JSON of another kind"
