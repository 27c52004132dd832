from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from deployables import in_runtime
from pass_runs import applied, fresh, outputs_of, run_pass

from mlopt.core.errors import PassError, Problem
from mlopt.core.usercode import CodeReference
from mlopt.formats.model import Model, TensorSpec
from mlopt.formats.torch.source import materialize
from mlopt.passes.export import PASS
from mlopt.runtimes.table import open_session

pytestmark = pytest.mark.heavy

pytestmark = pytest.mark.heavy

pytest.importorskip("torch", reason="exporting needs the extra mlopt[torch]")

TEXTS = (TensorSpec("x", "float32", ("batch", "time", 6)), TensorSpec("lengths", "int64", ("batch",)))
FULL = {"x": np.random.default_rng(0).random((16, 5, 6), np.float32), "lengths": np.full(16, 5)}
NET = """
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.{layer}
    def forward(self, x, lengths):
        packed = pack_padded_sequence(x, {lengths}, batch_first=True, enforce_sorted=False)
        output, state = self.layer(packed)
        return {returned}
def build():
    torch.manual_seed(0)
    return {build}
"""


def net(
    tmp_path: Path,
    returned: str,
    layer: str = "GRU(6, 4, batch_first=True)",
    lengths: str = "lengths",
    build: str = "Net()",
) -> Model:
    file = fresh(tmp_path, "source") / "net.py"
    file.write_text(NET.format(returned=returned, layer=layer, lengths=lengths, build=build))
    return materialize(CodeReference(file, "build"), None, TEXTS, (), fresh(tmp_path, "model"))


def problems(model: Model, tmp_path: Path, **config: Any) -> tuple[Problem, ...]:
    with pytest.raises(PassError) as raised:
        run_pass(PASS, model, config, tmp_path, samples=FULL)
    return raised.value.problems


@pytest.mark.parametrize(
    ("layer", "returned"),
    [
        ("GRU(6, 4, batch_first=True)", "pad_packed_sequence(output, batch_first=True)[0]"),
        ("GRU(6, 4, batch_first=True)", "pad_packed_sequence(output)[0]"),
        ("RNN(6, 4, batch_first=True)", "pad_packed_sequence(output, batch_first=True)[0].mean(1)"),
        ("GRU(6, 4, batch_first=True)", "pad_packed_sequence(output, batch_first=True, total_length=x.shape[1])"),
        ("LSTM(6, 4, 2, batch_first=True, bidirectional=True)", "pad_packed_sequence(output, batch_first=True), state"),
        ("LSTM(6, 4, batch_first=True)", "state[1][-1]"),
        ("GRU(6, 4, batch_first=True, bidirectional=True)", "state"),
    ],
)
def test_packed_sequences_are_cut_to_the_longest_one_even_if_all_samples_are_at_full_length(
    tmp_path: Path, layer: str, returned: str
) -> None:
    model = net(tmp_path, returned, layer)
    path = applied(run_pass(PASS, model, {}, tmp_path, samples=FULL)).path
    for lengths in ([5, 5], [2, 3, 1], [1]):
        feeds = {"x": FULL["x"][: len(lengths)], "lengths": np.array(lengths)}
        with open_session(in_runtime(model)) as session:
            expected = session.run(feeds)
        got = outputs_of(path, feeds)
        for name, array in expected.items():
            assert got[name].dtype == array.dtype
            np.testing.assert_allclose(got[name], array, rtol=1e-4, atol=1e-5)


def test_what_is_not_cut_is_found_with_lengths_that_no_sample_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlopt.passes.exporting.packed_sequences.PackedSequences", nullcontext)
    model = net(tmp_path, "pad_packed_sequence(output, batch_first=True)[0].mean(1)")
    (found,) = problems(model, tmp_path, exporter="torchscript")
    assert found.what == "the exported graph does not hold for other values of the inputs"
    assert "total_length=x.shape[1]" in str(found.fix)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_scripted_module_with_packed_sequences_is_told_to_be_left_unscripted(tmp_path: Path) -> None:
    (found,) = problems(net(tmp_path, "state", build="torch.jit.script(Net())"), tmp_path)
    assert "prim::" in str(found.got)
    assert found.fix == "return the module itself from build(), not a scripted one"


def test_lengths_as_a_python_list_are_told_to_stay_a_tensor(tmp_path: Path) -> None:
    (found,) = problems(net(tmp_path, "state", lengths="lengths.tolist()"), tmp_path)
    assert found.what == "the model branches on tensor values, so it cannot be traced"
    assert "pack_padded_sequence() the tensor of lengths" in str(found.fix)
