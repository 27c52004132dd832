"""What a user reads whose PyTorch model takes, returns or holds what cannot be, and what works although it is odd."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch_models import X, said, samples, taken, text, weights_file

from mlopt.formats.model import TensorSpec

pytestmark = pytest.mark.heavy

pytestmark = pytest.mark.heavy

torch = pytest.importorskip("torch", reason="needs the extra mlopt[torch]")

Golden = Callable[[str, str], None]
TWO = (*X, TensorSpec("mask", "float32", ("batch", 6)))
INTEGERS = (TensorSpec("x", "int64", ("batch", 6)),)
CACHE = "class DynamicCache:\n    pass"
EMBEDDING = "self.e = nn.Embedding(5, 4)"

WRONG: dict[str, tuple[str, dict[str, Any]]] = {
    "float16_weights": (text(build="return Net().half()"), {}),
    "bfloat16_weights": (text(build="return Net().bfloat16()"), {}),
    "float64_weights": (text(build="return Net().double()"), {}),
    "float64_input": (text(), {"inputs": (TensorSpec("x", "float64", ("batch", 6)),)}),
    "float64_constant": (text("return x @ self.k", "self.k = torch.ones(6, 4, dtype=torch.float64)"), {}),
    "indices_are_floats": (text("return self.e(x)", EMBEDDING), {}),
    "index_out_of_range": (text("return self.e(x + 9)", EMBEDDING), {"inputs": INTEGERS}),
    "complex_output": (text("return x, torch.fft.fft(x)"), {"outputs": ("x", "spectrum")}),
    "bfloat16_output": (text("return x.bfloat16()"), {}),
    "sparse_output": (text("return x.to_sparse()"), {}),
    "cache_output": (text("return {'logits': x, 'past_key_values': DynamicCache()}", before=CACHE), {}),
    "number_output": (text("return x, 3.0"), {}),
    "text_output": (text("return {'y': x, 'name': 'cat'}"), {}),
    "distribution_output": (text("return torch.distributions.Normal(x, 1.0)"), {}),
    "array_output": (text("return {'y': [x.numpy()]}"), {}),
    "no_output": (text("self.f(x)"), {}),
    "input_that_forward_lacks": (text("return self.f(x)"), {"inputs": TWO}),
    "input_that_forward_needs": (text(arguments="x, mask"), {}),
    "inputs_in_another_order": (text(arguments="mask, tokens"), {"inputs": TWO}),
    "keyword_that_is_not_declared": (text(arguments="x, *, factor"), {"inputs": TWO}),
    "lazy_layer": (text(init="self.g = nn.LazyLinear(4)"), {}),
    "layer_made_late": (text("self.g = self.g or nn.Linear(4, 4)\nreturn self.g(self.f(x))", "self.g = None"), {}),
    "meta_device": (text(build="with torch.device('meta'):\n    return Net()"), {}),
    "quantized_model": (text(build="return torch.ao.quantization.quantize_dynamic(Net())"), {}),
    "sparse_buffer": (text(init="self.register_buffer('k', torch.eye(6).to_sparse())"), {}),
    "complex128_buffer": (text(init="self.register_buffer('k', torch.ones(6, dtype=torch.complex128))"), {}),
    "exception": (text("return {}['missing']"), {}),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_message(name: str, tmp_path: Path, golden: Golden) -> None:
    code, how = WRONG[name]
    golden(f"torch/{name}.txt", said(tmp_path, code, **how))


ODD: dict[str, tuple[str, dict[str, Any]]] = {
    "keywords alone": (text(arguments="*, x"), {}),
    "any keywords": (text("return self.f(kw['x'])", arguments="**kw"), {}),
    "any arguments": (text("return self.f(given[0])", arguments="*given, **more"), {}),
    "positions alone": (text(arguments="x, /"), {}),
    "another name": (text("return self.f(image)", arguments="image"), {}),
    "a defaulted argument between": (text(arguments="x, scale=None, mask=None"), {"inputs": TWO}),
    "a scripted module": (text(build="return torch.jit.script(nn.Sequential(nn.Linear(6, 4)))"), {"inputs": (
        TensorSpec("input", "float32", ("batch", 6)),
    )}),
    "a wrapped module": (text(build="return nn.DataParallel(Net())"), {}),
    "a lazy layer that has seen an input": (
        text("return self.g(x)", "self.g = nn.LazyLinear(4)\nself.g(torch.zeros(1, 6))"), {},
    ),
    "a lock": (text(init="import threading\nself.lock = threading.Lock()"), {}),
    "extra state": (
        text(init="self.get_extra_state = lambda: {'k': 1}\nself.set_extra_state = lambda state: None"), {},
    ),
    "float64 throughout": (
        text(build="return Net().double()"), {"inputs": (TensorSpec("x", "float64", ("batch", 6)),)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_what_is_odd_but_sound_runs(name: str, tmp_path: Path) -> None:
    code, how = ODD[name]
    assert {got["output"].shape for got in taken(tmp_path, code, **how)} == {(1, 4)}


VIEWS = {
    "part of something longer": "torch.hann_window(6)",
    "one number seen many times": "torch.ones(1).expand(6)",
    "every other number": "torch.arange(12.0)[::2]",
    "turned": "torch.arange(36.0).reshape(6, 6).t()[1]",
    "overlapping itself": "torch.arange(6.0).as_strided((6,), (0,), 3)",
    "complex": "(torch.ones(6, dtype=torch.complex64) * 2).real",
}


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("how", ["self.register_buffer('k', {})", "self.k = nn.Parameter({})"])
def test_buffers_that_are_views_are_kept(name: str, how: str, tmp_path: Path) -> None:
    code = text("return x * self.k", how.format(VIEWS[name]), train="model.k = type(model.k)(model.k.data)")
    values = eval(VIEWS[name], {"torch": torch}).numpy()
    for feed, got in zip(samples(X), taken(tmp_path, code), strict=True):
        np.testing.assert_array_equal(got["output"], feed["x"] * values)


def test_views_of_one_another_are_kept(tmp_path: Path) -> None:
    init = "a = torch.arange(12.0)\nself.register_buffer('p', a[:6])\nself.register_buffer('q', a[3:9])"
    for feed, got in zip(samples(X), taken(tmp_path, text("return x * self.p + self.q", init)), strict=True):
        np.testing.assert_allclose(got["output"], feed["x"] * np.arange(6) + np.arange(3, 9), rtol=1e-6)


@pytest.mark.parametrize("forward", ["x.sub_(1)\nreturn x * 2", "x[:, 0] = 7\nreturn x", "x.data.mul_(2)\nreturn x"])
def test_a_forward_that_writes_to_its_input_gets_a_copy(forward: str, tmp_path: Path) -> None:
    feeds = samples(X)
    first = taken(tmp_path, text(forward))
    expected = {"x.sub": lambda x: (x - 1) * 2, "x[:, ": lambda x: np.c_[[7.0], x[:, 1:]], "x.dat": lambda x: x * 2}
    for feed, got in zip(feeds, first, strict=True):
        np.testing.assert_allclose(got["output"], expected[forward[:5]](feed["x"]), rtol=1e-6)


def test_an_output_is_not_the_memory_of_the_model(tmp_path: Path) -> None:
    code = text("self.total += x.sum()\nreturn self.total", "self.register_buffer('total', torch.zeros(1))")
    got = [float(each["output"][0]) for each in taken(tmp_path, code)]
    np.testing.assert_allclose(got, np.cumsum([feed["x"].sum() for feed in samples(X)]), rtol=1e-5)


def command_in(told: str, folder: Path) -> list[str]:
    """Return the words of the command in a message, which begins with python."""
    command = told[told.index("python -c") :].partition("; then name")[0].partition("\n")[0]
    return shlex.split(command.replace("<tmp>", str(folder)))


RENAMED = {
    "module.": lambda name: f"module.{name}",
    "model.": lambda name: f"model.{name}",
    "_orig_mod": lambda name: name.replace("f.", "f._orig_mod."),
    "both": lambda name: f"module._orig_mod.{name}",
    "less": lambda name: name.removeprefix("f."),
    "surplus": lambda name: name,
}


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("name", RENAMED)
def test_the_command_in_the_message_renames_the_weights(
    name: str, suffix: str, tmp_path: Path, golden: Golden, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = {RENAMED[name](key): value for key, value in WEIGHTS.items()}
    state |= {"total_ops": torch.zeros(1)} if name == "surplus" else {}
    (tmp_path / "first").mkdir()
    file = weights_file(tmp_path / f"w{suffix}", state)
    told = said(tmp_path / "first", text(), weights=file).replace(str(tmp_path), "<tmp>")
    if suffix == ".pt":
        golden(f"torch/weights_{name.strip('._')}.txt", told)
    words = command_in(told, tmp_path)
    monkeypatch.setattr(sys, "argv", words[2:])
    exec(words[2], {})
    (tmp_path / "again").mkdir()
    assert taken(tmp_path / "again", text(), weights=Path(words[-1]))


WEIGHTS: Mapping[str, Any] = {"f.weight": torch.ones(4, 6), "f.bias": torch.zeros(4)}


def test_a_checkpoint_names_the_state_dict_inside_it(
    tmp_path: Path, golden: Golden, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = weights_file(tmp_path / "w.pt", {"epoch": 3, "state_dict": dict(WEIGHTS)})
    told = said(tmp_path, text(), weights=file)
    golden("torch/weights_in_a_checkpoint.txt", told)
    words = command_in(told, tmp_path)
    monkeypatch.setattr(sys, "argv", words[2:])
    exec(words[2], {})
    (tmp_path / "again").mkdir()
    assert taken(tmp_path / "again", text(), weights=tmp_path / "w.safetensors")


def test_a_name_that_may_be_another_is_told(tmp_path: Path, golden: Golden) -> None:
    file = weights_file(tmp_path / "w.pt", {"head.weight": torch.ones(4, 6), "f.bias": torch.zeros(4)})
    golden("torch/weights_of_another_name.txt", said(tmp_path, text(), weights=file))


def test_weights_bring_a_module_from_the_meta_device(tmp_path: Path) -> None:
    file = weights_file(tmp_path / "w.pt", WEIGHTS)
    code = text(build="with torch.device('meta'):\n    return Net()")
    for feed, got in zip(samples(X), taken(tmp_path, code, weights=file), strict=True):
        np.testing.assert_allclose(got["output"][0], feed["x"].sum().repeat(4), rtol=1e-5)


def test_what_torch_export_made_runs(tmp_path: Path) -> None:
    """Such a module has one mode only, and takes by position what it was given by position."""
    sizes = "({0: torch.export.Dim('b')},)"
    code = text(build=f"return torch.export.export(Net().eval(), (torch.ones(3, 6),), dynamic_shapes={sizes}).module()")
    assert taken(tmp_path, code)[0]["output"].shape == (1, 4)


def test_a_parameter_as_an_output_is_a_number_like_others(tmp_path: Path) -> None:
    (_, bias) = taken(tmp_path, text("return self.f(x), self.f.bias"))[0].values()
    assert bias.shape == (4,)
