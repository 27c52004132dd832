"""A TorchScript file is told, and what it takes is read, from its bytes alone."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlopt.core.errors import ModelError
from mlopt.formats.torch.scripted import Parameter, Signature, is_scripted, scripted_of, signature

torch = pytest.importorskip("torch", reason="making TorchScript needs the extra mlopt[torch]")

import scripted_modules as modules  # noqa: E402

pytestmark = pytest.mark.heavy

X = Parameter("x", "Tensor", required=True)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("module", "traced", "found"),
    [
        (modules.Loop(), False, (X,)),
        (modules.Loop(), True, (X,)),
        (lambda x: x + 1, True, (X,)),
        (modules.Number(), False, (X, Parameter("times", "int", required=True))),
        (
            modules.Masked(),
            False,
            (X, Parameter("mask", "Optional[Tensor]", required=False), Parameter("times", "int", required=False)),
        ),
    ],
)
def test_what_forward_takes(module: object, found: tuple[Parameter, ...], *, traced: bool) -> None:
    file = modules.save(module, Path("m.pt"), (torch.ones(2, 4),) if traced else None)
    assert signature(file).parameters == found


def test_two_modules_of_one_name_are_kept_apart() -> None:
    """TorchScript mangles the names of classes, and puts each into a file of its own."""
    inner = torch.nn.Sequential(modules.Dropping(), torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Linear(3, 2)))
    file = modules.save(torch.nn.Sequential(inner, torch.nn.Identity()), Path("m.pt"))
    assert [each.name for each in signature(file).parameters] == ["input"]


@pytest.mark.parametrize("double", [True, False])
def test_the_type_of_the_weights_is_seen(*, double: bool) -> None:
    module = torch.nn.Linear(3, 2).double() if double else torch.nn.Linear(3, 2)
    assert signature(modules.save(module, Path("m.pt"))).double == double


def test_what_is_loaded_runs_and_what_is_read_does_not() -> None:
    file = modules.save(modules.WritesWhenLoaded(), Path("m.pt"))
    assert is_scripted(file)
    assert signature(file) == Signature((X,), double=False)
    assert not Path("ran").exists()
    import warnings

    with warnings.catch_warnings(action="ignore"):
        torch.jit.load(str(file))
    assert Path("ran").exists()


def test_other_files_of_the_same_name_are_none() -> None:
    torch.save(torch.nn.Linear(2, 2).state_dict(), "w.pt")
    torch.save(torch.nn.Linear(2, 2).state_dict(), "old.pt", _use_new_zipfile_serialization=False)
    Path("text.pt").write_text("x")
    Path("folder.pt").mkdir()
    for name in ("w.pt", "old.pt", "text.pt", "folder.pt", "none.pt"):
        assert not is_scripted(Path(name))
        assert scripted_of(name, Path()) is None
    modules.save(modules.Loop(), Path("m.zip"))
    assert not is_scripted(Path("m.zip"))  # a name that says nothing
    assert scripted_of("./m.pt", Path()) is None
    Path("m.zip").rename("m.pt")
    assert scripted_of("./m.pt", Path()) == Path("m.pt").resolve()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=120), st.binary(max_size=120))
def test_no_bytes_escape(pickled: bytes, code: bytes) -> None:
    with zipfile.ZipFile("m.pt", "w") as archive:
        archive.writestr("m/data.pkl", b"\x80\x02c__torch__\nA\n" + pickled)
        archive.writestr("m/code/__torch__.py", b"class A(Module):\n  def forward(self, " + code + b") -> Tensor:\n")
        archive.writestr("m/constants.pkl", b"")
    assert is_scripted(Path("m.pt"))
    try:
        assert isinstance(signature(Path("m.pt")), Signature)
    except ModelError as error:
        assert error.problems[0].fix  # noqa: PT017 - either is right
