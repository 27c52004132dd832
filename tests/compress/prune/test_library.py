"""What the library does not see by itself: heads, the parts of grouped convolutions, the layer after an attention."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from prunable_models import made

from mlopt.compress.prune.library import import_torch_pruning, taken
from mlopt.compress.prune.settings import Structure
from mlopt.compress.prune.structured import Pruner
from mlopt.core.errors import MissingPackage
from mlopt.core.packages import install_command
from mlopt.formats.torch.model import load_module

pytestmark = pytest.mark.heavy

pytest.importorskip("torch_pruning", reason="needs the extra mlopt[prune]")


def pruner(folder: Path, name: str, **how: object) -> Pruner:
    fed = torch.randint(0, 50, (2, 12)) if name == "transformer" else torch.rand(2, 3, 16, 16)
    return Pruner(load_module(made(folder, name)), (fed,), Structure(**how))  # type: ignore[arg-type]


def test_heads_go_whole_and_the_module_knows_how_many_are_left(tmp_path: Path) -> None:
    one = pruner(tmp_path, "transformer")
    one.by(0.5)
    attention = one.model.model.blocks[0].attention
    assert (attention.num_heads, attention.head_dim) == (2, 8)
    width = one.model.model.words.weight.shape[1]
    assert attention.query.weight.shape == attention.value.weight.shape == (16, width)
    assert attention.out.weight.shape == (width, 16)


def test_heads_go_by_the_share_of_their_own_layer(tmp_path: Path) -> None:
    one = pruner(tmp_path, "transformer", ratios={"blocks.1.attention.key": 0.75})
    one.by(0.25)
    assert [block.attention.num_heads for block in one.model.model.blocks] == [3, 1]


def test_the_layer_after_an_attention_is_pruned_too(tmp_path: Path) -> None:
    one = pruner(tmp_path, "transformer")
    one.by(0.25)
    assert {block.attention.out.weight.shape[0] for block in one.model.model.blocks} == {24}
    assert one.model.model.words.weight.shape[1] == 24


def test_widths_are_multiples(tmp_path: Path) -> None:
    one = pruner(tmp_path, "mobile", round_to=8)
    one.by(0.4)
    widths = {layer.out_channels for layer in one.model.modules() if isinstance(layer, torch.nn.Conv2d)}
    assert all(width % 8 == 0 for width in widths), widths


def test_a_grouped_convolution_loses_its_share_and_no_more(tmp_path: Path) -> None:
    one = pruner(tmp_path, "mobile")
    one.by(0.25)
    assert (one.model.model.grouped.weight.shape[0], one.model.model.grouped.groups) == (24, 4)


@given(st.integers(1, 64), st.integers(1, 16), st.integers(1, 8), st.floats(0, 1))
def test_what_is_left_of_a_width_is_a_multiple_or_all(part: int, round_to: int, repeats: int, ratio: float) -> None:
    wanted = int(part * ratio)
    left = part - taken(wanted, part * repeats, round_to, repeats)
    assert 0 < left <= part
    assert left == part or left * repeats % round_to == 0
    assert left <= max(part - wanted, round_to) or left == part


def test_that_it_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    with pytest.raises(MissingPackage, match="Torch-Pruning is not installed") as caught:
        import_torch_pruning()
    assert install_command("prune") in caught.value.problems[0].fix
