"""The model of a Hugging Face folder, as mlopt keeps it, answers as transformers has it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pretrained_folders import SETTINGS, WORDS, save_folder

from mlopt.core.errors import ModelError
from mlopt.formats.model import TensorSpec
from mlopt.formats.torch import portable
from mlopt.formats.torch.model import code_of, load_module, open_torch, save_changed
from mlopt.formats.torch.pretrained_source import interface, make_pretrained, size_of
from mlopt.formats.torch.source import check_rebuilt

pytest.importorskip("transformers")


def feed(specs: tuple[TensorSpec, ...]) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    sizes = {"batch": 2, "sequence": 7}
    made = {}
    for spec in specs:
        shape = [sizes.get(str(size), size) for size in spec.shape]
        made[spec.name] = (
            random.standard_normal(shape).astype(np.float32) if spec.dtype == "float32"
            else random.integers(4, len(WORDS), shape) if spec.name == "input_ids"
            else np.tile([1] * 5 + [0] * 2, (2, 1)) if spec.name == "attention_mask"
            else np.zeros(shape, np.int64)
        )  # fmt: skip
    return made


@pytest.mark.heavy
@pytest.mark.parametrize("architecture", SETTINGS)
def test_every_architecture_answers_as_transformers_has_it(tmp_path: Path, architecture: str) -> None:
    import torch
    import transformers

    folder = save_folder(tmp_path / "model", architecture)
    found, specs = interface(folder)
    out = tmp_path / "out"
    out.mkdir()
    made = make_pretrained(folder, (), (), out, [feed(specs)])
    assert made.model.inputs == specs
    assert sorted(path.name for path in out.iterdir()) == ["pretrained.py", "source.json", "weights.safetensors"]
    moved = out.rename(tmp_path / "elsewhere")  # as the cache does
    model = open_torch(moved)
    assert model.digest == made.model.digest
    given = {name: torch.from_numpy(array) for name, array in feed(specs).items()}
    original = getattr(transformers, architecture).from_pretrained(folder, attn_implementation="eager").eval()
    with torch.no_grad():
        theirs = getattr(original(**given), found.output)
        (ours,) = load_module(model)(*given.values())
    assert torch.equal(ours, theirs)


@pytest.mark.heavy
def test_what_a_pass_or_an_artifact_makes_of_it_needs_no_folder(tmp_path: Path) -> None:
    folder, out = save_folder(tmp_path / "model", "BertModel"), tmp_path / "out"
    out.mkdir()
    made = make_pretrained(folder, (), (), out)
    check_rebuilt(made, [])
    changed = save_changed(made.model, load_module(made.model).model, tmp_path / "changed")
    assert code_of(changed).path == out / "pretrained.py"
    portable.write(open_torch(changed), tmp_path / "plain")
    assert (tmp_path / "plain" / "pretrained.py").read_text() == (out / "pretrained.py").read_text()
    assert str(folder) not in (tmp_path / "plain" / "pretrained.py").read_text()


@pytest.mark.heavy
@pytest.mark.parametrize(("pooling", "normalized"), [("mean", True), ("cls", False)])
def test_the_vector_of_a_text_leaves_padding_out(tmp_path: Path, pooling: str, *, normalized: bool) -> None:
    import torch

    folder, out = save_folder(tmp_path / "model", "BertModel"), tmp_path / "out"
    out.mkdir()
    (folder / "1_Pooling").mkdir()
    mode = {"mean": "pooling_mode_mean_tokens", "cls": "pooling_mode_cls_token"}[pooling]
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({mode: True}))
    kinds = ["Transformer", "Pooling", *(["Normalize"] if normalized else [])]
    (folder / "modules.json").write_text(json.dumps([{"type": f"x.{kind}"} for kind in kinds]))
    made = make_pretrained(folder, (), (), out)
    whole = {name: torch.from_numpy(array) for name, array in feed(made.model.inputs).items()}
    module = load_module(made.model)
    with torch.no_grad():
        (padded,) = module(*whole.values())
        (short,) = module(*(array[:, :5] for array in whole.values()))
    assert padded.shape == (2, 16)
    assert torch.allclose(padded, short, atol=1e-5)
    assert torch.allclose(padded.norm(dim=1), torch.ones(2), atol=1e-5) == normalized


@pytest.mark.heavy
def test_weights_that_are_not_there_are_not_made_up(tmp_path: Path) -> None:
    folder = save_folder(tmp_path / "model", "BertModel")
    config = json.loads((folder / "config.json").read_text()) | {"architectures": ["BertForSequenceClassification"]}
    (folder / "config.json").write_text(json.dumps(config))
    (tmp_path / "out").mkdir()
    with pytest.raises(ModelError, match="do not hold all weights") as caught:
        make_pretrained(folder, (), (), tmp_path / "out")
    assert "classifier" in str(caught.value.problems[0].got)


@pytest.mark.heavy
def test_an_input_is_one_of_the_models(tmp_path: Path) -> None:
    folder = save_folder(tmp_path / "model", "BertModel")
    (tmp_path / "out").mkdir()
    odd = TensorSpec("x): __import__('os').abort() #", "int64", ("batch", "sequence"))
    with pytest.raises(ModelError, match="the model has no such input"):
        make_pretrained(folder, (odd,), (), tmp_path / "out")


@pytest.mark.heavy
def test_an_architecture_that_transformers_lacks(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert", "architectures": ["NoSuchModel"]}))
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(ModelError, match="has no such architecture"):
        interface(tmp_path)


@pytest.mark.parametrize(
    ("told", "size"),
    [
        ({"size": {"height": 16, "width": 24}}, (16, 24)),
        ({"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}}, (224, 224)),
        ({"size": 256, "crop_size": 224, "do_center_crop": False}, (256, 256)),
        ({"size": 224}, (224, 224)),
        ({"size": {"longest_edge": 800}}, None),
        ({}, None),
    ],
)
def test_the_size_that_a_preprocessor_makes(told: dict[str, object], size: tuple[int, int] | None) -> None:
    assert size_of(told) == size
