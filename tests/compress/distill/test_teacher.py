"""Who teaches: a module, which learns nothing itself, or an ONNX file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from deployables import in_runtime
from quantization_models import cnn
from tiny_training import net, weights

from mlopt.compress.distill.teacher import Module, exported
from mlopt.compress.train.batch import Batch
from mlopt.core.errors import ModelError
from mlopt.formats.onnx.file import open_onnx
from mlopt.runtimes.table import open_session

BATCH = Batch({"x": torch.rand(8, 6)}, None)


def test_a_module_answers_in_evaluation_and_learns_nothing() -> None:
    model = net()
    model.model.train()
    before = weights(model)
    lesson = Module(model, "net.py").lesson(BATCH, ["0"])
    assert not lesson.outputs[0].requires_grad
    assert lesson.features["0"].shape == (8, 16)
    assert weights(model) == before
    assert torch.equal(lesson.outputs[0], model(*BATCH.tensors)[0].detach())


def test_an_onnx_file_answers_as_it_is_run(tmp_path: Path) -> None:
    one = in_runtime(open_onnx(cnn(tmp_path / "m.onnx")))
    image = torch.rand(2, 3, 8, 8)
    with exported(one) as teacher, open_session(one) as session:
        found = teacher.lesson(Batch({"image": image}, None), [])
        (expected,) = session.run({"image": image.numpy()}).values()
        np.testing.assert_array_equal(found.outputs[0].numpy(), expected)
        with pytest.raises(ModelError, match="only the outputs are known"):
            teacher.lesson(Batch({"image": image}, None), ["0"])
