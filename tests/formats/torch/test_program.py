"""Programs of ``torch.export``: they run as they did, and nothing else that a file wants run does."""

from __future__ import annotations

import contextlib
import io
import json
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlopt.core.errors import MloptError, ModelError
from mlopt.formats.torch.model import load_module, open_program
from mlopt.formats.torch.program import plain_copy

pytestmark = pytest.mark.heavy

pytestmark = pytest.mark.heavy

torch = pytest.importorskip("torch", reason="needs the extra mlopt[torch]")

Parts = dict[str, bytes]
RUN = "__import__('pathlib').Path('ran').touch()"
EVIL_SYMBOL = {"as_expr": {"expr_str": RUN, "hint": None}}


class _Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4))
        self.register_buffer("shift", torch.ones(4))
        self.register_buffer("scale", torch.ones(1), persistent=False)

    def forward(self, image: torch.Tensor, *, mask: torch.Tensor) -> dict[str, torch.Tensor]:
        y = self.layers(image).relu().mean((2, 3)) + self.shift * self.scale + torch.tensor([1.0, 2, 3, 4])
        y = torch.nn.functional.gelu(y, approximate="tanh")
        y = torch.einsum("bi,bj->bij", y, y).reshape(image.shape[0], -1)
        y = torch.cond(image.shape[0] > 3, lambda a: a + 1, lambda a: a * 2, (y,))
        return {"scores": y, "masked": y + mask}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program with parameters, buffers, constants, a branch, free dimensions and inputs by keyword."""
    path = tmp_path_factory.mktemp("program") / "net.pt2"
    torch.manual_seed(1)  # of random weights, some begin as a pickle does
    free = torch.export.Dim.DYNAMIC
    shapes = {"image": {0: free, 2: free}, "mask": {0: free}}
    example = (torch.ones(2, 1, 8, 8),), {"mask": torch.ones(2, 16)}
    with warnings.catch_warnings(action="ignore"):  # PyTorch's own, about gradients in the branch
        torch.export.save(torch.export.export(_Net().eval(), *example, dynamic_shapes=shapes), path)
    return path


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The working directory, in which nothing that a file wanted has run."""
    monkeypatch.chdir(tmp_path)
    yield
    assert not Path("ran").exists()


def parts_of(path: Path) -> Parts:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(parts: Parts, name: str = "bad.pt2", compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(name, "w", compression) as archive:
        for part, content in parts.items():
            archive.writestr(part, content)
    return Path(name)


def test_a_program_gives_what_it_gave(whole: Path) -> None:
    image, mask = torch.randn(5, 1, 9, 8), torch.ones(5, 16)
    expected = torch.export.load(whole).module()(image, mask=mask)
    got = load_module(open_program(whole))(image, mask)
    assert all(torch.equal(one, other) for one, other in zip(expected.values(), got, strict=True))


def test_what_pytorch_gets_is_data(whole: Path) -> None:
    with plain_copy(whole) as copy:
        made = parts_of(copy)
        graph = json.loads(made["program/models/model.json"])
        assert made["program/data/sample_inputs/model.pt"] == b""
        assert graph["guards_code"] == []
        assert all(node["metadata"] == {} for node in graph["graph_module"]["graph"]["nodes"])
        assert not any(content.startswith((b"PK", b"\x80")) for content in made.values())
    assert not copy.exists()


Edit = Callable[[dict[str, Any]], object]


def nodes(model: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = model["graph_module"]["graph"]["nodes"]
    return found


def specs(model: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = model["graph_module"]["module_call_graph"][0]["signature"]
    return found


def first_value(model: dict[str, Any]) -> dict[str, Any]:
    return next(iter(model["graph_module"]["graph"]["tensor_values"].values()))  # type: ignore[no-any-return]


def tree(kind: str, context: str) -> str:
    leaf = {"type": None, "context": None, "children_spec": []}
    return json.dumps([1, {"type": kind, "context": context, "children_spec": [leaf]}])


NO_OPERATOR = "the program calls what is no operator of PyTorch's own: loading or running it could run any code"
NO_SHAPE = "the program has a shape expression that is more than arithmetic"
NO_NAME = "the program uses a name that is none"
NO_TREE = "the program takes or returns more than tuples, lists and dicts of tensors"
GRAPHS: dict[str, tuple[Edit, str]] = {
    "system": (lambda m: nodes(m)[0].update(target="torch.os.system"), NO_OPERATOR),
    "method": (lambda m: nodes(m)[0].update(target="_operator.methodcaller"), NO_OPERATOR),
    "load": (lambda m: nodes(m)[0].update(target="torch.load"), NO_OPERATOR),
    "library": (lambda m: nodes(m)[0].update(target="torch.ops.load_library"), NO_OPERATOR),
    "writes_files": (lambda m: nodes(m)[0].update(target="torch.ops.aten.save.default"), NO_OPERATOR),
    "maps_files": (lambda m: nodes(m)[0].update(target="torch.ops.aten.from_file.default"), NO_OPERATOR),
    "other_library": (lambda m: nodes(m)[0].update(target="torch.ops.image.write_file.default"), NO_OPERATOR),
    "inner": (lambda m: nodes(m)[0].update(target="torch.ops.aten.add.Tensor.__globals__"), NO_OPERATOR),
    "extension": (lambda m: nodes(m)[0].update(target="#evil:run"), NO_OPERATOR),
    "newline": (lambda m: nodes(m)[0].update(target="torch.ops.aten.relu.default\n"), NO_OPERATOR),
    "argument": (lambda m: nodes(m)[0]["inputs"].append({"arg": {"as_operator": "torch.os.system"}}), NO_OPERATOR),
    "shape": (lambda m: first_value(m)["sizes"].append(EVIL_SYMBOL), NO_SHAPE),
    "shape_attribute": (
        lambda m: first_value(m)["sizes"].append({"as_expr": {"expr_str": "Integer(1).__class__"}}), NO_SHAPE,
    ),
    "shape_function": (lambda m: first_value(m)["sizes"].append({"as_expr": {"expr_str": "preview(s0)"}}), NO_SHAPE),
    "shape_text": (lambda m: first_value(m)["sizes"].append({"as_expr": {"expr_str": "Integer('s()')"}}), NO_SHAPE),
    "shape_power": (lambda m: first_value(m)["sizes"].append({"as_expr": {"expr_str": "9**9**9"}}), NO_SHAPE),
    "shape_lambda": (lambda m: first_value(m)["sizes"].append({"as_expr": {"expr_str": "lambda: 1"}}), NO_SHAPE),
    "shape_long": (lambda m: first_value(m)["sizes"].append({"as_expr": {"expr_str": "1+" * 9999 + "1"}}), NO_SHAPE),
    "range": (lambda m: m["range_constraints"].update({RUN: {"min_val": 1, "max_val": 2}}), NO_SHAPE),
    "node_name": (lambda m: nodes(m)[0].update(name=f"a={RUN};b"), NO_NAME),
    "value_name": (lambda m: m["graph_module"]["graph"]["tensor_values"].update({f"x;{RUN}": {}}), NO_NAME),
    "argument_name": (lambda m: specs(m).update(forward_arg_names=[f"a={RUN}"]), NO_NAME),
    "parameter": (
        lambda m: m["graph_module"]["signature"]["input_specs"][0]["parameter"].update(parameter_name="a.__class__.b"),
        NO_NAME,
    ),
    "import": (lambda m: specs(m).update(out_spec=tree("torch._inductor.x", "null")), NO_TREE),
    "enum": (
        lambda m: specs(m).update(
            out_spec=tree("builtins.dict", json.dumps([{"__enum__": 1, "fqn": "antigravity:x", "name": "y"}]))
        ), "the program has an input whose name is none",
    ),
    "keyword": (
        lambda m: specs(m).update(in_spec=tree("builtins.dict", json.dumps([f"a={RUN}"]))),
        "the program has an input whose name is none",
    ),
    "no_tree": (lambda m: specs(m).update(in_spec="[1, 2]"), NO_TREE),
    "no_json": (lambda m: specs(m).update(in_spec="x"), "this is not a program of torch.export"),
    "no_ranges": (lambda m: m.update(range_constraints=3), "this is not a program of torch.export"),
}  # fmt: skip


@pytest.mark.parametrize("name", ["shape", "sample_inputs"])
def test_pytorch_itself_would_run_it(name: str, whole: Path) -> None:
    """If this fails, PyTorch has become safer."""
    parts = parts_of(whole)
    model = json.loads(parts["net/models/model.json"])
    if name == "shape":
        model["graph_module"]["graph"]["tensor_values"]["image"]["sizes"][0] = EVIL_SYMBOL
    else:
        parts["net/data/sample_inputs/model.pt"] = _bomb()
    path = write({**parts, "net/models/model.json": json.dumps(model).encode()})
    with contextlib.suppress(Exception):
        torch.export.load(path)
    assert Path("ran").exists()
    Path("ran").unlink()
    with contextlib.suppress(ModelError):
        open_program(path)


class _Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("ran"),)


def _bomb() -> bytes:
    buffer = io.BytesIO()
    torch.save((_Bomb(),), buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_that_would_run_something(name: str, whole: Path) -> None:
    edit, message = GRAPHS[name]
    parts = parts_of(whole)
    model = json.loads(parts["net/models/model.json"])
    edit(model)
    path = write({**parts, "net/models/model.json": json.dumps(model).encode()})
    with pytest.raises(ModelError) as caught:
        open_program(path)
    assert message in str(caught.value)
    assert caught.value.exit_code == 2


def test_guards_do_not_run(whole: Path) -> None:
    """PyTorch makes Python of them."""
    parts = parts_of(whole)
    model = json.loads(parts["net/models/model.json"])
    model["guards_code"] = [RUN]
    path = write({**parts, "net/models/model.json": json.dumps(model).encode()})
    load_module(open_program(path))(torch.ones(5, 1, 8, 8), torch.ones(5, 16))


WEIGHTS, CONSTANTS = "net/data/weights/model_weights_config.json", "net/data/constants/model_constants_config.json"
PICKLED = "the program holds a pickled object, and loading it could run code"
ODD = "this is not a program of torch.export, or one of another version"


def config(**entry: Any) -> bytes:
    return json.dumps({"config": {"w": {"path_name": "weight_0", "use_pickle": False, **entry}}}).encode()


ARCHIVES: dict[str, tuple[Callable[[Parts], object], str]] = {
    "pickled_weight": (lambda parts: parts.update({WEIGHTS: config(use_pickle=True)}), PICKLED),
    "silent_about_pickles": (lambda parts: parts.update({WEIGHTS: config(use_pickle=None)}), PICKLED),
    "custom_object": (lambda parts: parts.update({CONSTANTS: config(path_name="custom_obj_0")}), PICKLED),
    "opaque_object": (lambda parts: parts.update({CONSTANTS: config(path_name="opaque_obj_0")}), PICKLED),
    "path": (lambda parts: parts.update({WEIGHTS: config(path_name="../weight_0")}), PICKLED),
    "old_weights": (
        lambda parts: parts.update({"net/data/weights/model.pt": b"\x80"}),
        "the program is of an old format that pickles its tensors",
    ),
    "old_constants": (
        lambda parts: parts.update({"net/data/constants/model.pt": b"\x80"}),
        "the program is of an old format that pickles its tensors",
    ),
    "library": (
        lambda parts: parts.update({"net/data/aotinductor/model/x.so": b"\x7fELF"}),
        "the program holds compiled native code, which mlopt never loads",
    ),
    "no_graph": (lambda parts: parts.pop("net/models/model.json"), ODD),
    "no_weights": (lambda parts: parts.pop("net/data/weights/weight_0"), ODD),
    "two_folders": (lambda parts: parts.update({"other/models/model.json": b"{}"}), ODD),
    "graph_is_a_list": (lambda parts: parts.update({"net/models/model.json": b"[]"}), ODD),
    "graph_is_deep": (lambda parts: parts.update({"net/models/model.json": b"[" * 100_000}), ODD),
    "graph_is_no_text": (lambda parts: parts.update({"net/models/model.json": b"\xff\xfe\xfd"}), ODD),
    "graph_is_empty": (lambda parts: parts.update({"net/models/model.json": b"{}"}), ODD),
    "config_is_a_list": (lambda parts: parts.update({WEIGHTS: b'{"config": []}'}), ODD),
}  # fmt: skip


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_with_more_than_data(name: str, whole: Path) -> None:
    edit, message = ARCHIVES[name]
    parts = parts_of(whole)
    edit(parts)
    with pytest.raises(ModelError) as caught:
        open_program(write(parts))
    assert message in str(caught.value)


def test_compressed_parts_are_refused(whole: Path) -> None:
    with pytest.raises(ModelError, match="is compressed"):
        open_program(write(parts_of(whole), compression=zipfile.ZIP_DEFLATED))


def test_two_parts_of_one_name_are_refused(whole: Path) -> None:
    """Readers differ on which of them they take."""
    buffer = io.BytesIO(whole.read_bytes())
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("net/models/model.json", b"{}")
    Path("two.pt2").write_bytes(buffer.getvalue())
    with pytest.raises(ModelError, match="two have the same name"):
        open_program(Path("two.pt2"))


def test_a_program_that_changes_is_noticed(whole: Path) -> None:
    path = write(parts_of(whole), "net.pt2")
    model = open_program(path)
    write({**parts_of(whole), "net/extra": b""}, "net.pt2")
    with pytest.raises(ModelError, match="the program changed while it was used"):
        load_module(model)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=3)), min_size=1, max_size=4))
def test_mutated_programs_raise_only_our_errors(edits: list[tuple[float, bytes]], whole: Path) -> None:
    data = whole.read_bytes()
    for place, new in edits:
        at = int(place * len(data))
        data = data[:at] + new + data[at + len(new) :]
    Path("bad.pt2").write_bytes(data)
    try:
        with plain_copy(Path("bad.pt2")):
            pass
    except MloptError as error:
        assert error.problems  # noqa: PT017 - it may also be harmless
