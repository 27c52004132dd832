"""``model.train``: a source that mlopt's loop trains, that goes on where it was killed, and what cannot be trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bench_models import dense
from pass_runs import PLAIN_X86
from torch_sources import INPUTS, write

from mlopt.compress.train.settings import Training
from mlopt.core.errors import MloptError, ModelError
from mlopt.core.target import Objective, Target
from mlopt.core.usercode import CodeReference
from mlopt.data.dataset import Samples, store
from mlopt.formats.torch.model import load_module, origin, read_source
from mlopt.formats.torch.source import Made, check_rebuilt
from mlopt.passes.base import Context
from mlopt.passes.training import task
from mlopt.run.source_training import make_trained

NET = """
def build():
    layers = torch.nn.Linear(3, 16), torch.nn.ReLU(), torch.nn.Dropout(0.1), torch.nn.Linear(16, 2)
    return torch.nn.Sequential(*layers)
"""


def context(folder: Path, labels: Any = None, **more: Any) -> Context:
    random = np.random.default_rng(0)
    known = random.integers(0, 2, 64)
    points = (random.normal(size=(64, 3)) + 2 * known[:, None]).astype(np.float32)
    data = store(Samples({"input": points}, known if labels is None else labels), folder / "train", "made")
    return Context(
        out=folder, target=Target(threads=1), objective=Objective.LATENCY, hardware=PLAIN_X86, train=data,
        inputs=INPUTS, base=folder, **more,
    )  # fmt: skip


def trained(folder: Path, code: CodeReference, given: Context, **settings: Any) -> tuple[Made, Any]:
    out = folder / f"out{sum(1 for _ in folder.glob('out*'))}"
    out.mkdir()
    feeds = [{"input": np.ones((1, 3), np.float32)}]
    wanted = Training(**{"epochs": 3, "batch_size": 8, "learning_rate": 0.02, "threads": 1, **settings})
    unfinished = given.unfinished or folder / f"{out.name}-unfinished"
    return make_trained(code, INPUTS, (), out, feeds, settings=wanted, context=given, unfinished=unfinished)


def test_what_build_makes_is_trained_and_made_again(tmp_path: Path) -> None:
    code = write(tmp_path, NET)
    found, notes = trained(tmp_path, code, context(tmp_path))
    (training,) = notes["trainings"]
    assert training["name"] == "model.train"
    assert training["epochs"][-1]["loss"] < training["epochs"][0]["loss"]
    assert origin(found.model) == str(code)
    assert read_source(found.model.path)["weights"] == "model.train"
    check_rebuilt(found, [{"input": np.ones((1, 3), np.float32)}])


class Killed(BaseException):
    pass


@pytest.mark.parametrize("at", [1, 10, 16])
def test_a_killed_one_goes_on_with_the_same_numbers(tmp_path: Path, at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    code, given = write(tmp_path, NET), context(tmp_path, unfinished=tmp_path / "unfinished")
    whole, _ = trained(tmp_path, code, replace(given, unfinished=None))
    steps, real = [], task.train

    def train(*args: Any, **more: Any) -> Any:
        def after() -> None:
            steps.append(1)
            if len(steps) == at:
                raise Killed

        return real(*args, **{**more, "hooks": replace(more["hooks"], after=after)})

    monkeypatch.setattr("mlopt.compress.train.loop._SAVE_EVERY", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(task, "train", train)
        with pytest.raises(Killed):
            trained(tmp_path, code, given)
    again, notes = trained(tmp_path, code, given)
    assert notes["trainings"][0]["resumed_at"] == (None if at == 1 else at - 1)
    assert again.model.digest == whole.model.digest
    pairs = zip(load_module(again.model).state_dict().values(), load_module(whole.model).state_dict().values(),
                strict=True)  # fmt: skip
    assert all(torch.equal(a, b) for a, b in pairs)


def test_what_is_no_module_is_not_trained(tmp_path: Path) -> None:
    dense(tmp_path / "net.onnx")
    code = write(tmp_path, "def build():\n    return Path(__file__).parent / 'net.onnx'")
    with pytest.raises(ModelError, match="mlopt trains PyTorch modules") as caught:
        trained(tmp_path, code, context(tmp_path))
    assert caught.value.problems[0].where == "model.train"


def test_problems_name_the_key_as_the_recipe_does(tmp_path: Path) -> None:
    with pytest.raises(MloptError) as caught:
        trained(tmp_path, write(tmp_path, NET), context(tmp_path), device="cuda")
    assert torch.cuda.is_available() or caught.value.problems[0].where == "model.train.device"
    with pytest.raises(MloptError, match="no class of the model"):
        trained(tmp_path, write(tmp_path, NET), context(tmp_path / "b", np.full(64, 7)))
