from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from deployables import in_runtime
from torch_sources import FEEDS, make, write

from mlopt.core.errors import ModelError
from mlopt.core.usercode import CodeReference
from mlopt.formats.model import ONNX, Model
from mlopt.formats.torch.model import load_module, open_torch
from mlopt.runtimes.table import open_session

torch = pytest.importorskip("torch", reason="needs the extra mlopt[torch]")


def result(model: Model) -> np.ndarray:
    with open_session(in_runtime(model)) as session:
        return session.run(FEEDS)["output"]


LINEAR = "def build():\n    return torch.nn.Linear(3, 2)"
TRAINED = f"""{LINEAR}

def train(model):
    model.weight.data.fill_(1)
    model.bias.data.zero_()
    with Path(__file__).with_suffix(".log").open("a") as log:
        log.write("trained\\n")
"""
TIED = """
def build():
    a, b = torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)
    b.weight = a.weight
    return torch.nn.Sequential(a, b)
"""


def test_building_twice_gives_the_same_model(tmp_path: Path) -> None:
    first, second = (make(tmp_path, write(tmp_path, LINEAR)) for _ in range(2))
    assert first.digest == second.digest
    assert [file.name for file in first.files] == ["source.json", "weights.safetensors"]
    np.testing.assert_array_equal(result(first), result(second))
    assert open_torch(first.path) == first


def test_training_happens_in_place_once_and_is_kept(tmp_path: Path) -> None:
    code = write(tmp_path, TRAINED)
    model = make(tmp_path, code, CodeReference(code.path, "train"))
    np.testing.assert_array_equal(result(model), [[3, 3], [12, 12]])
    assert (tmp_path / "net.log").read_text() == "trained\n"


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_weights_are_read_from_a_file(tmp_path: Path, suffix: str) -> None:
    from safetensors.torch import save_file

    state = {"weight": torch.ones(2, 3), "bias": torch.zeros(2)}
    file = tmp_path / f"state{suffix}"
    save_file(state, file) if suffix == ".safetensors" else torch.save(state, file)
    np.testing.assert_array_equal(result(make(tmp_path, write(tmp_path, LINEAR), file)), [[3, 3], [12, 12]])


def test_shared_weights_stay_shared(tmp_path: Path) -> None:
    module = load_module(make(tmp_path, write(tmp_path, TIED)))
    assert module.model[0].weight is module.model[1].weight


def test_the_digest_follows_code_and_weights(tmp_path: Path) -> None:
    plain = make(tmp_path, write(tmp_path, LINEAR))
    commented = make(tmp_path, write(tmp_path, f"{LINEAR}  # a comment"))
    torch.save({"weight": torch.ones(2, 3), "bias": torch.zeros(2)}, tmp_path / "state.pt")
    other = make(tmp_path, write(tmp_path, LINEAR), tmp_path / "state.pt")
    assert len({plain.digest, commented.digest, other.digest}) == 3


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("def build():\n    return 3", "does not return a model"),
        ("def build():\n    raise KeyError('nothing here')", r"build\(\) failed"),
        ("import no_such_module_anywhere", "cannot be imported"),
        ("def other():\n    return 3", "there is no function 'build'"),
    ],
)
def test_what_is_wrong_with_build_is_one_error(tmp_path: Path, text: str, what: str) -> None:
    with pytest.raises(ModelError, match=what):
        make(tmp_path, write(tmp_path, text))


def test_an_error_in_build_names_its_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        make(tmp_path, write(tmp_path, "def build():\n    return torch.ones(2).reshape(3)"))
    assert caught.value.problems[0].where == f"{tmp_path / 'net.py'}:4"


def test_inputs_must_be_declared(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"model\.inputs: \{image"):
        make(tmp_path, write(tmp_path, LINEAR), inputs=())


def test_build_may_name_an_onnx_file(tmp_path: Path) -> None:
    light = Path(onnx.__file__).parent / "backend/test/data/light/light_squeezenet.onnx"
    model = make(tmp_path, write(tmp_path, f"def build():\n    return Path({str(light)!r})"), inputs=())
    assert (model.kind, model.path.name) == (ONNX, "light_squeezenet.onnx")
    assert model.path.read_bytes() == light.read_bytes()
