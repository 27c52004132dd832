"""What ``torch.compile`` needs, what it leaves behind, and that it answers as the model does."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from deployables import in_runtime

from mlopt.core.errors import MissingPackage, ModelError
from mlopt.core.own_files import GENERATED
from mlopt.core.usercode import CodeReference
from mlopt.formats.model import Model, TensorSpec
from mlopt.formats.torch.source import materialize
from mlopt.runtimes import torch_compile
from mlopt.runtimes.table import open_session
from mlopt.runtimes.torch import under_compile
from mlopt.runtimes.torch_compile import graphs, missing_compiler, own_folder

torch = pytest.importorskip("torch", reason="needs the extra mlopt[torch]")
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # PyTorch's own, when it is imported

NET = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(8, 4)

    {forward}

def build():
    return Net()
"""
X = np.random.default_rng(0).standard_normal((5, 3, 8)).astype(np.float32)


def net(folder: Path, forward: str) -> Model:
    code = folder / "net.py"
    code.write_text(NET.format(forward=forward))
    (folder / "model").mkdir()
    spec = TensorSpec("x", "float32", ("batch", "length", 8))
    return materialize(CodeReference(code, "build"), None, (spec,), (), folder / "model")


@pytest.fixture
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Path]]:
    """A home and a folder for temporary files in which nothing lies yet."""
    places = [tmp_path / "home", tmp_path / "temporary"]
    for place, variable in zip(places, ("HOME", "TMPDIR"), strict=True):
        place.mkdir()
        monkeypatch.setenv(variable, str(place))
    monkeypatch.delenv(GENERATED, raising=False)
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield places
    tempfile.tempdir = None


def test_a_compiler_is_looked_for_as_pytorch_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", sys.executable)
    assert missing_compiler() is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert missing_compiler() is None
    monkeypatch.delenv("CXX")
    lacking = missing_compiler()
    assert lacking is not None
    assert (lacking.got, lacking.fix and lacking.fix.split(" (")[0]) == ("no g++", "apt install g++")


def test_what_is_generated_lies_in_the_workers_folder_or_is_gone(
    own_places: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with own_folder():
        folder = Path(os.environ[GENERATED])
        assert (folder.is_dir(), folder.parent) == (True, own_places[1])
    assert (folder.exists(), GENERATED in os.environ) == (False, False)
    monkeypatch.setenv(GENERATED, "/a/worker's")
    with own_folder():
        assert os.environ[GENERATED] == "/a/worker's"
    assert os.environ[GENERATED] == "/a/worker's"


def test_without_a_compiler_it_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = net(tmp_path, "def forward(self, x): return self.layer(x)")
    monkeypatch.setenv("CXX", "no-such-compiler")
    with (
        pytest.raises(MissingPackage, match="no-such-compiler"),
        open_session(under_compile(in_runtime(model))),
    ):
        pytest.fail("a session was opened")


@pytest.mark.heavy
@pytest.mark.parametrize(
    "forward",
    [
        "@torch.compiler.disable\n    def forward(self, x): return self.layer(x)",
        "def forward(self, x):\n        if torch.compiler.is_compiling(): raise ValueError\n        return 2 * x",
    ],
)
def test_a_model_that_pytorch_leaves_eager_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forward: str
) -> None:
    model = net(tmp_path, forward)
    monkeypatch.setattr("mlopt.runtimes.torch.missing_compiler", lambda: None)
    with open_session(in_runtime(model)) as eager:
        assert len(eager.run({"x": X})["output"]) == 5
    with (
        open_session(under_compile(in_runtime(model))) as session,
        pytest.raises(ModelError, match="compiled no part of the model"),
    ):
        session.run({"x": X})


@pytest.mark.process
@pytest.mark.heavy
def test_a_compiler_that_fails_is_told_at_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = pytest.importorskip("torch._inductor.config")
    model = net(tmp_path, "def forward(self, x): return self.layer(x).exp()")
    monkeypatch.setenv("CXX", "/bin/false")
    with (
        config.patch({"cpp.cxx": (None, "/bin/false")}),
        open_session(under_compile(in_runtime(model))) as session,
        pytest.raises(ModelError, match=r"fails under torch\.compile") as caught,
    ):
        session.run({"x": X})
    (problem,) = caught.value.problems
    assert problem.where == f"{tmp_path / 'net.py'}:build"
    assert "Error" in (problem.got or "")


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.skipif(missing_compiler() is not None, reason="there is no C++ compiler")
def test_it_answers_as_the_model_does_whatever_the_size_and_leaves_nothing_behind(
    tmp_path: Path, own_places: list[Path]
) -> None:
    model = net(tmp_path, "def forward(self, x): return torch.relu(self.layer(x)).sum(1), x.mean((1, 2))")
    feeds = [{"x": X[:2]}, {"x": X[:, :2]}, {"x": X[:4]}]
    with open_session(in_runtime(model)) as session:
        expected = [session.run(feed) for feed in feeds]
    seen = set()
    with open_session(under_compile(in_runtime(model))) as session:
        before = graphs()
        for _ in range(2):
            for feed, eager in zip(feeds, expected, strict=True):
                found = session.run(feed)
                assert list(found) == list(eager)
                for name, value in eager.items():
                    np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-6)
            seen.add(graphs())
        assert any(path.suffix == ".so" for path in Path(os.environ[GENERATED]).rglob("*"))
    assert (len(seen), min(seen) > before) == (1, True), "each size that was met once is ready"
    assert [list(place.iterdir()) for place in own_places] == [[], []]


def test_counting_graphs_follows_pytorch() -> None:
    import torch._dynamo.utils as dynamo

    before = graphs()
    dynamo.counters["stats"]["unique_graphs"] += 1
    try:
        torch_compile.check_compiled(before, "net.py")
        with pytest.raises(ModelError, match="compiled no part"):
            torch_compile.check_compiled(before + 1, "net.py")
    finally:
        dynamo.counters["stats"]["unique_graphs"] -= 1
