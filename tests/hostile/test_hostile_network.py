"""Nothing that mlopt runs reaches the network, and no metric loads what it was told the name of."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from bench_models import dense
from packed_artifact import pack

from mlopt.core.errors import ExitCode, RecipeError
from mlopt.measure.torch_metrics import _classes, _is_from_arrays, _made

TRAP = """
import sys
def trap(event, arguments):
    if event in ("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.sendto", "socket.sendmsg"):
        if event == "socket.getaddrinfo" or not isinstance(arguments[1], (str, bytes)):
            open(FILE, "a").write(f"{event} {arguments[1:]}\\n")
sys.addaudithook(trap)
"""


VERBS = [
    ["bench", "source.onnx", "--time", "0.1"],
    ["compare", "source.onnx", "digits"],
    ["gate", "digits"],
    ["report", "digits", "--format", "html", "-o", "out.html"],
    ["diff", "digits", "digits"],
    ["inspect", "digits"],
    ["digest", "digits"],
    ["verify", "digits", "--key", "digits.pub"],
    ["doctor"],
    ["doctor", "--deployment"],
    ["doctor", "--deployment", "digits", "--key", "digits.pub"],
    ["passes"],
    ["runtimes"],
    ["plan", "source.onnx"],
    ["recipe", "init", "source.onnx"],
    ["keygen", "-o", "new.key"],
    ["sign", "digits"],
    ["attest", "digits"],
    ["cache", "ls"],
    ["bisect", "source.onnx", "source.onnx"],
]


def test_no_verb_goes_out(tmp_path: Path) -> None:
    """A trap in every process of Python that the verbs start, before any other code."""
    dense(tmp_path / "source.onnx")
    pack(tmp_path, None)
    (tmp_path / "trap").mkdir()
    told = tmp_path / "told"
    (tmp_path / "trap" / "sitecustomize.py").write_text(TRAP.replace("FILE", repr(str(told))))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path / "trap"), *sys.path])}
    every = f"from mlopt.cli.app import run\nfor command in {VERBS!r}:\n    print(command[0], run(command))\n"
    done = subprocess.run(
        [sys.executable, "-c", every], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True,
        timeout=250,
    )  # fmt: skip
    assert not told.exists(), told.read_text()
    assert all(f"{command[0]} " in done.stdout for command in VERBS)
    assert " 70" not in done.stdout


def test_the_trap_catches(tmp_path: Path) -> None:
    told = tmp_path / "told"
    trap = TRAP.replace("FILE", repr(str(told)))
    tried = "import socket\ntry: socket.create_connection(('127.0.0.1', 9), 0.1)\nexcept OSError: pass\n"
    subprocess.run([sys.executable, "-c", trap + tried], check=True)
    assert "socket.getaddrinfo" in told.read_text()


def _outside() -> list[str]:
    import torchmetrics

    return sorted(name for name, found in _classes(torchmetrics).items() if not _is_from_arrays(found))


def test_what_loads_something_is_not_among_those_that_may_be_named() -> None:
    """By what their sources say: whatever names a model, a download or an unpickler is outside, with its kin."""
    import inspect

    import torchmetrics

    words = ("from_pretrained", "torch.load", "hub.load", "_download", "model_name_or_path", "pretrained=", "urlopen")
    outside = _outside()
    assert {"torchmetrics.text.InfoLM", "torchmetrics.text.BERTScore"} <= set(outside)
    for name, found in _classes(torchmetrics).items():
        source = inspect.getsource(sys.modules[found.__module__])
        if any(word in source for word in words):
            assert name in outside, name


@pytest.mark.parametrize("name", _outside())
def test_those_are_refused_before_they_are_made(tmp_path: Path, name: str) -> None:
    with pytest.raises(RecipeError, match="computes from the arrays") as caught:
        _made(name, {"model_name_or_path": str(tmp_path), "backbone": str(tmp_path)})
    assert "./file.py:function" in str(caught.value)


@pytest.mark.parametrize(
    "args",
    [
        {"task": "multiclass", "num_classes": 60_000}, {"task": "multiclass", "num_classes": 10**40},
        {"task": "multiclass", "num_classes": 5_000, "thresholds": 10**6}, {"task": "multilabel", "num_labels": 10**9},
    ],
    ids=str,
)  # fmt: skip
def test_a_metric_keeps_no_more_than_it_may(args: dict[str, object]) -> None:
    with pytest.raises(RecipeError, match="the metric would keep too many values"):
        _made("torchmetrics.Accuracy", args)


def test_a_recipe_with_such_a_metric_is_refused_by_check(tmp_path: Path) -> None:
    from mlopt.cli.app import run

    dense(tmp_path / "source.onnx")
    recipe = {
        "apiVersion": "mlopt/v1", "name": "x", "model": {"source": "./source.onnx"},
        "metric": {"name": "torchmetrics.text.InfoLM", "args": {"model_name_or_path": "./evil"}},
        "data": {"evaluation": {"source": "./x.npz"}}, "passes": ["simplify"],
    }  # fmt: skip
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(recipe))
    assert run(["optimize", str(tmp_path / "r.yaml")]) == ExitCode.USAGE
