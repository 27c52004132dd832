"""The pass: what it leaves, that it goes on after it was killed, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from onnx import numpy_helper
from pass_runs import applied, run_pass
from prunable_models import EVERY, IMAGE, made, samples
from pydantic import ValidationError

from mlopt.compress.prune.compressed import compressed_bytes
from mlopt.core.errors import DataError, PassError
from mlopt.data.dataset import Samples, store
from mlopt.formats.model import Model
from mlopt.formats.onnx.file import open_onnx
from mlopt.formats.torch.model import load_module, open_torch
from mlopt.passes import export, simplify
from mlopt.passes.base import PassResult, Refusal
from mlopt.passes.prune import PASS, PruneConfig
from mlopt.passes.training import task
from mlopt.report import sensitivity

pytestmark = pytest.mark.heavy

pytest.importorskip("torch_pruning", reason="needs the extra mlopt[prune]")

TRAIN = {"epochs": 2, "batch_size": 8, "learning_rate": 0.01, "threads": 1}


def run(tmp_path: Path, model: Model, config: dict[str, Any], **more: Any) -> PassResult:
    given = {"train": samples(tmp_path / "train", model.inputs), **more}
    context = {"samples": samples(tmp_path / "few", model.inputs, 8, seed=1), **given}
    arrays = dict(context.pop("samples").inputs)
    return applied(run_pass(PASS, model, config, tmp_path, samples=arrays, inputs=model.inputs, **context))


@pytest.mark.parametrize("name", EVERY)
def test_a_model_that_nobody_prepared_is_pruned_trained_and_exported(tmp_path: Path, name: str) -> None:
    model = made(tmp_path, name)
    found = run(tmp_path, model, {"macs": 0.6, "round_to": 4, "train": TRAIN})
    before, after = found.notes["macs"]
    assert after <= 0.6 * before
    (trained,) = found.notes["trainings"]
    assert len(trained["epochs"]) == 2
    pruned = open_torch(found.path)
    exported = applied(run_pass(
        export.PASS, pruned, {}, tmp_path, inputs=model.inputs,
        samples=dict(samples(tmp_path / "few", model.inputs, 8, seed=1).inputs),
    ))  # fmt: skip
    onnx.checker.check_model(str(exported.path))


def test_training_wins_back_what_pruning_lost(tmp_path: Path) -> None:
    model = made(tmp_path, "cnn")
    config = {"params": 0.4, "importance": "magnitude"}
    trained = run(tmp_path, model, {**config, "train": {**TRAIN, "epochs": 8}}).notes["trainings"][0]
    assert trained["epochs"][-1]["loss"] < 0.7 * trained["epochs"][0]["loss"]


def test_the_gradients_of_all_batches_tell_by_their_squares_too(tmp_path: Path) -> None:
    before, after = run(tmp_path, made(tmp_path, "cnn"), {"macs": 0.6, "importance": "hessian"}).notes["macs"]
    assert after <= 0.6 * before


def test_in_several_steps_each_goes_its_part_of_the_way(tmp_path: Path) -> None:
    found = run(tmp_path, made(tmp_path, "cnn"), {"macs": 0.4, "steps": 2, "round_to": 1, "train": TRAIN})
    before, after = found.notes["macs"]
    assert len(found.notes["steps"]) == 2
    assert after <= 0.4 * before


class Killed(BaseException):
    pass


@pytest.mark.parametrize("at", [1, 4, 7])
def test_a_killed_one_goes_on_with_the_same_numbers(tmp_path: Path, at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = made(tmp_path, "cnn")
    config = {"macs": 0.4, "steps": 2, "round_to": 1, "train": TRAIN}
    uninterrupted = run(tmp_path, model, config)
    whole = load_module(open_torch(uninterrupted.path)).state_dict()
    steps, unfinished, real = [], tmp_path / "unfinished", task.train

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
            run(tmp_path, model, config, unfinished=unfinished)
    resumed = run(tmp_path, model, config, unfinished=unfinished)
    again = load_module(open_torch(resumed.path)).state_dict()
    assert all(torch.equal(value, whole[name]) for name, value in again.items())
    assert resumed.notes["steps"] == uninterrupted.notes["steps"]


def test_two_of_four_stay_zero_through_training_and_export(tmp_path: Path) -> None:
    model = made(tmp_path, "cnn")
    found = run(tmp_path, model, {"pattern": "2:4", "keep": ["first"], "train": TRAIN})
    assert found.notes["layers"] == 3
    few = dict(samples(tmp_path / "few", model.inputs, 8, seed=1).inputs)
    pruned = open_torch(found.path)
    exported = applied(run_pass(export.PASS, pruned, {}, tmp_path, inputs=model.inputs, samples=few))
    kernels = [numpy_helper.to_array(each) for each in onnx.load(exported.path).graph.initializer]
    wide = [each for each in kernels if each.ndim > 1 and each.shape[1] % 4 == 0]
    assert len(wide) == 3
    for each in wide:
        fours = torch.from_numpy(each.copy()).movedim(1, -1).reshape(-1, 4)
        assert ((fours == 0).sum(1) == 2).all()


def test_what_each_layer_bears_is_noted_before_anything_goes(tmp_path: Path) -> None:
    model = made(tmp_path, "cnn")
    config = {"macs": 0.6, "importance": "magnitude"}
    plain = run(tmp_path, model, config)
    found = run(tmp_path, model, {**config, "sensitivity": [0.5, 0.25]})
    note = found.notes["sensitivity"]
    assert (note["measure"], note["samples"]) == ("accuracy", 5)
    assert [(each["layer"], each["ratio"]) for each in note["points"]] == [
        ("second", 0.25), ("second", 0.5), ("third", 0.25), ("third", 0.5)
    ]  # fmt: skip
    assert note["points"][2]["along"] == ["first"]
    assert sensitivity.read(found.notes) is not None
    before, after = (load_module(open_torch(each.path)).state_dict() for each in (plain, found))
    assert all(torch.equal(value, after[name]) for name, value in before.items()), "it changes nothing else"


def test_without_labels_it_is_how_close_the_output_stays(tmp_path: Path) -> None:
    model = made(tmp_path, "cnn")
    data = samples(tmp_path / "train", IMAGE)
    unlabelled = store(Samples(dict(data.inputs)), tmp_path / "unlabelled", "made")
    config = {"macs": 0.6, "importance": "magnitude", "sensitivity": True}
    note = run(tmp_path, model, config, train=unlabelled).notes["sensitivity"]
    assert note["measure"] == "closeness"
    assert {each["ratio"] for each in note["points"]} == {0.25, 0.5, 0.75}


def test_single_weights_go_without_any_training(tmp_path: Path) -> None:
    found = run(tmp_path, made(tmp_path, "cnn"), {"sparsity": 0.8}, train=None)
    assert found.notes["zeros"] == pytest.approx(0.8, abs=0.01)


def test_the_file_that_is_shipped_compresses_as_the_step_says(tmp_path: Path) -> None:
    model = made(tmp_path, "cnn")
    found = run(tmp_path, model, {"sparsity": 0.8, "train": TRAIN})
    noted = found.notes["compressed"]
    assert noted["codec"] == "DEFLATE (zlib), level 6"
    before, after = noted["compressed_bytes"]
    assert noted["bytes"][0] == pytest.approx(noted["bytes"][1], rel=0.01), "the file itself is as large as it was"
    assert after < 0.4 * before
    few = dict(samples(tmp_path / "few", model.inputs, 8, seed=1).inputs)

    def shipped(source: Model) -> int:
        exported = applied(run_pass(export.PASS, source, {}, tmp_path, inputs=model.inputs, samples=few))
        simplified = applied(run_pass(simplify.PASS, open_onnx(exported.path), {}, tmp_path, samples=few))
        return compressed_bytes(simplified.path)

    assert shipped(open_torch(found.path)) == pytest.approx(shipped(model) * after / before, rel=0.15)


def test_of_channels_that_went_the_file_itself_tells(tmp_path: Path) -> None:
    found = run(tmp_path, made(tmp_path, "cnn"), {"params": 0.5, "importance": "magnitude"}, train=None)
    assert "compressed" not in found.notes


@pytest.mark.slow
@pytest.mark.process
def test_a_latency_is_measured_where_the_result_will_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlopt.passes.training.latency._RACE_SECONDS", 0.1)
    monkeypatch.setattr("mlopt.passes.training.latency._HALVINGS", 2)
    config = {"latency": 0.9, "round_to": 4, "importance": "magnitude"}
    found = run(tmp_path, made(tmp_path, "cnn"), config, train=None)
    raced = found.notes["steps"][0]["raced"]
    assert raced[0]["ratio"] == 0.9
    assert all(0 < each["time"] < 2 for each in raced)


def test_labels_that_are_no_classes_are_told_before_anything_is_pruned(tmp_path: Path) -> None:
    model = made(tmp_path, "cnn")
    data = samples(tmp_path / "train", IMAGE)
    wrong = type(data)(data.path, data.digest, data.count, data.source)
    vars(wrong)["labels"] = data.labels + 3
    with pytest.raises(DataError, match="a label is no class of the model"):
        run(tmp_path, model, {"macs": 0.5}, train=wrong)


def test_without_data_there_is_nothing_to_train_on(tmp_path: Path) -> None:
    with pytest.raises(PassError, match="nothing to train on"):
        run(tmp_path, made(tmp_path, "cnn"), {"macs": 0.5}, train=None)


def test_a_program_is_refused_with_what_would_help(tmp_path: Path) -> None:
    program = tmp_path / "model.pt2"
    program.write_bytes(b"")
    model = Model("torch", program, "0" * 64, IMAGE, (), (program,))
    found = run_pass(PASS, model, {"macs": 0.5}, tmp_path)
    assert isinstance(found, Refusal)
    assert "name the Python that builds the model" in found.reason


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "by one of macs, params, latency, sparsity, pattern"),
        ({"macs": 0.5, "params": 0.5}, "not by 2 of them"),
        ({"sparsity": 0.5, "steps": 2, "train": {}}, "leave it out"),
        ({"macs": 0.5, "steps": 2}, "add train, or leave out steps"),
        ({"macs": 0.5, "layers": {"head": 1.0}}, "share to take away"),
        ({"macs": 1.5}, "less than 1"),
        ({"macs": 0.5, "sensitivity": [0.5, 0.95]}, "sensitivity has shares to take away"),
        ({"pattern": "2:4", "sensitivity": True}, "sensitivity is about channels"),
    ],
)
def test_keys_that_do_not_go_together_are_told(config: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        PruneConfig(**config)


@pytest.mark.parametrize(
    ("config", "trains"),
    [
        ({"macs": 0.5}, True), ({"macs": 0.5, "importance": "magnitude"}, False), ({"sparsity": 0.5}, False),
        ({"sparsity": 0.5, "train": {}}, True), ({"macs": 0.5, "importance": "random", "sensitivity": [0.5]}, True),
    ],
)  # fmt: skip
def test_data_is_asked_for_only_where_a_loss_is_computed(config: dict[str, Any], trains: bool) -> None:
    assert PASS.trains(PruneConfig(**config)) is trains
