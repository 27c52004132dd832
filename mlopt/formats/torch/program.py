"""A ``.pt2`` file without trusting it: only what is data gets to ``torch.export.load``.

That function runs what a file wants run: it unpickles sample inputs, some weights and custom objects without limits,
loads compiled libraries, evaluates shape expressions and guards as Python text, imports modules that a tree of outputs
names, calls any function that can be reached from ``torch``, and makes Python source of the graph's names. So PyTorch
never sees the file, but a copy, into which goes what was checked: the graph, and tensors as raw bytes.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlopt.core.errors import ModelError

_MAX_JSON_BYTES = 256 << 20
_MODEL, _SAMPLES = "models/model.json", "data/sample_inputs/model.pt"
_CONFIGS = {
    "data/weights/model_weights_config.json": re.compile(r"weight_\d+"),
    "data/constants/model_constants_config.json": re.compile(r"tensor_\d+"),
}
_HEAD = {"archive_format": b"pt2", "archive_version": b"0", "byteorder": b"little", ".data/version": b"6\n"}
_FIX = "save it again with torch.export.save"

_NAME = re.compile(r"[A-Za-z0-9_]*")
_DOTTED = re.compile(r"(?!__|.*\.__)[A-Za-z0-9_.@+-]*")
_DOTTED_KEYS = frozenset({"parameter_name", "buffer_name", "tensor_constant_name", "fqn", "torch_version"})
_OPERATOR = re.compile(
    r"torch\.ops\.(aten|prims|quantized_decomposed)\.(?!(save|from_file)\.)\w+\.\w+"
    r"|torch\.ops\.higher_order\.(cond|while_loop|map_impl|scan|associative_scan|wrap_with_\w+|invoke_subgraph)"
    r"|torch\.sym_[a-z]+|math\.[a-z]\w*"
    r"|_operator\.(add|sub|mul|truediv|floordiv|mod|pow|neg|pos|eq|ne|lt|le|gt|ge|and_|or_|not_|lshift|rshift|getitem)"
)
_FUNCTIONS = frozenset({
    "Symbol", "Integer", "Float", "Rational", "Add", "Mul", "Pow", "Max", "Min", "Mod", "Abs", "floor", "ceiling",
    "And", "Or", "Not", "Equality", "Unequality", "StrictGreaterThan", "StrictLessThan", "GreaterThan", "LessThan",
    "Eq", "Ne", "Gt", "Lt", "Ge", "Le", "Piecewise", "ExprCondPair", "Tuple", "FloorDiv", "ModularIndexing", "Where",
    "PythonMod", "CleanDiv", "CeilToInt", "FloorToInt", "CeilDiv", "LShift", "RShift", "PowByNatural", "FloatPow",
    "FloatTrueDiv", "IntTrueDiv", "IsNonOverlappingAndDenseIndicator", "TruncToFloat", "TruncToInt", "RoundToInt",
    "RoundDecimal", "ToFloat", "Identity",
})  # fmt: skip
_SYMBOL = re.compile(r"[a-z]+\d+|true|false|True|False|oo|int_oo")
_CALM = (
    ast.Expression, ast.Call, ast.Name, ast.Load, ast.Constant, ast.keyword, ast.BinOp, ast.UnaryOp, ast.Compare,
    ast.operator, ast.unaryop, ast.cmpop,
)  # fmt: skip
_TREES = frozenset({None, "builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict"})
_BROKEN = (
    zipfile.BadZipFile, NotImplementedError, EOFError, zlib.error, OSError, ValueError, RuntimeError, LookupError,
)  # fmt: skip
"""What zipfile raises for bytes that are no archive, or one that it cannot read."""


@contextmanager
def plain_copy(path: Path) -> Iterator[Path]:
    """Give a copy of the program at ``path`` in which nothing is pickled and nothing but operators is called.

    Raises ``ModelError`` if the file is no program, or the program needs more than that.
    """
    with tempfile.TemporaryDirectory(prefix="mlopt-program-") as folder:
        copy = Path(folder) / "program.pt2"
        try:
            with zipfile.ZipFile(path) as archive, zipfile.ZipFile(copy, "w", zipfile.ZIP_STORED) as out:
                _copy(_Parts(archive, path), out)
        except _BROKEN as error:
            raise not_a_program(path, error) from error
        yield copy


def not_a_program(path: Path, error: Exception) -> ModelError:
    """Return the error for a file that PyTorch, or zipfile, cannot make sense of."""
    return ModelError(
        "this is not a program of torch.export, or one of another version", where=str(path),
        got=" ".join(str(error).split())[:200] or type(error).__name__, fix=_FIX,
    )  # fmt: skip


class _Parts:
    """The parts of the archive by their names below its one folder."""

    def __init__(self, archive: zipfile.ZipFile, path: Path) -> None:
        self.path = path
        self._archive = archive
        self._entries = {entry.filename.partition("/")[2]: entry for entry in archive.infolist()}
        roots = {entry.filename.partition("/")[0] for entry in archive.infolist()}
        if len(roots) != 1 or len(self._entries) != len(archive.infolist()):
            raise zipfile.BadZipFile("its parts are not in one folder, or two have the same name")
        pickled = [name for name in self._entries if self._is_legacy_pickle(name)]
        if pickled or "serialized_exported_program.json" in archive.namelist():
            raise ModelError("the program is of an old format that pickles its tensors", where=str(path), fix=_FIX)
        if any(name.startswith("data/aotinductor/") for name in self._entries):
            raise ModelError(
                "the program holds compiled native code, which mlopt never loads", where=str(path),
                expected="a program of torch.export", fix=_FIX,
            )  # fmt: skip

    @staticmethod
    def _is_legacy_pickle(name: str) -> bool:
        return name in {"data/weights/model.pt", "data/constants/model.pt"}

    def json(self, name: str) -> dict[str, Any]:
        """Parse a part; more than 256 MiB are refused."""
        entry = self._entry(name)
        if entry.file_size > _MAX_JSON_BYTES:
            raise zipfile.BadZipFile(f"{name} has {entry.file_size} bytes")
        try:
            value = json.loads(self._archive.read(entry))
        except RecursionError as error:
            raise zipfile.BadZipFile(f"{name} is nested too deeply") from error
        if not isinstance(value, dict):
            raise zipfile.BadZipFile(f"{name} is no JSON object")
        return value

    def copy(self, name: str, out: zipfile.ZipFile) -> None:
        """Copy a part as it is."""
        with self._archive.open(self._entry(name)) as source, out.open(name_in(name), "w", force_zip64=True) as target:
            shutil.copyfileobj(source, target, 1 << 20)

    def _entry(self, name: str) -> zipfile.ZipInfo:
        entry = self._entries.get(name)
        if entry is None:
            raise zipfile.BadZipFile(f"it has no part {name}")
        if entry.compress_type != zipfile.ZIP_STORED:
            raise zipfile.BadZipFile(f"its part {name} is compressed")
        return entry


def name_in(part: str) -> str:
    """Return the name of a part in the copy, whose one folder is called ``program``."""
    return f"program/{part}"


def _copy(parts: _Parts, out: zipfile.ZipFile) -> None:
    for name, content in {**_HEAD, _SAMPLES: b""}.items():
        out.writestr(name_in(name), content)
    for name, tensors in _CONFIGS.items():
        config = parts.json(name)
        for file in _tensor_files(config, tensors, parts.path):
            parts.copy(f"{name.rpartition('/')[0]}/{file}", out)
        out.writestr(name_in(name), json.dumps(config))
    out.writestr(name_in(_MODEL), json.dumps(_Graph(parts.path).checked(parts.json(_MODEL))))


def _tensor_files(config: Mapping[str, Any], expected: re.Pattern[str], path: Path) -> dict[str, None]:
    """Return the files that hold the tensors, each once; all of them must be raw bytes."""
    found: dict[str, None] = {}
    entries = config.get("config")
    if not isinstance(entries, dict):
        raise zipfile.BadZipFile("it does not say which tensors it has")
    for name, entry in entries.items():
        file = entry.get("path_name") if isinstance(entry, dict) else None
        if not isinstance(file, str) or entry.get("use_pickle") is not False or not expected.fullmatch(file):
            raise ModelError(
                "the program holds a pickled object, and loading it could run code", where=str(path), got=ascii(name),
                expected="plain tensors", fix="keep tensor subclasses and custom objects out of the exported module",
            )  # fmt: skip
        found[file] = None
    _Graph(path).walk(config, dotted=True)
    return found


class _Graph:
    """The check of ``model.json``: names are names, expressions are arithmetic, targets are operators."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def checked(self, model: dict[str, Any]) -> dict[str, Any]:
        """Return the graph without guards and without the notes on where its nodes come from."""
        model["guards_code"] = []
        model["range_constraints"] = self._ranges(model.get("range_constraints"))
        return {key: self.walk(value, key) for key, value in model.items()}

    def walk(self, value: Any, key: str = "", *, dotted: bool = False) -> Any:
        """Check every text in ``value``, which stands at ``key``, and return it without ``metadata``."""
        if isinstance(value, dict):
            for name in value:
                self._name(name, dotted=dotted)
            return {
                name: {} if name == "metadata" else self.walk(part, name, dotted=dotted) for name, part in value.items()
            }
        if isinstance(value, list):
            return [self.walk(part, key, dotted=dotted) for part in value]
        if isinstance(value, str):
            self._text(value, key, dotted=dotted)
        return value

    def _text(self, text: str, key: str, *, dotted: bool) -> None:
        if key in {"target", "as_operator"}:
            if not _OPERATOR.fullmatch(text):
                raise self._unsafe("the program calls what is no operator of PyTorch's own", text)
        elif key == "expr_str":
            self._expression(text)
        elif key in {"in_spec", "out_spec"}:
            self._tree(json.loads(text), text, names=key == "in_spec")
        elif key not in {"as_string", "as_strings"}:  # an operator's arguments are only ever values
            self._name(text, dotted=dotted or key in _DOTTED_KEYS)

    def _name(self, text: str, *, dotted: bool) -> None:
        if not (_DOTTED if dotted else _NAME).fullmatch(text):
            raise self._unsafe("the program uses a name that is none", text)

    def _ranges(self, ranges: Any) -> dict[str, Any]:
        if not isinstance(ranges, dict):
            raise zipfile.BadZipFile("it does not say how its dimensions vary")
        for expression in ranges:
            self._expression(expression)
        return {expression: limits for expression, limits in ranges.items() if _SYMBOL.fullmatch(expression)}

    def _expression(self, text: str) -> None:
        """Check that a shape expression, which becomes Python text, only counts."""
        try:
            nodes = list(ast.walk(ast.parse(text, mode="eval"))) if len(text) <= 10_000 else []
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            nodes = []
        if not nodes or not all(_is_calm(node) for node in nodes):
            raise self._unsafe("the program has a shape expression that is more than arithmetic", text)

    def _tree(self, tree: Any, text: str, *, names: bool) -> None:
        """Check how inputs or outputs are nested: ``[protocol, {type, context, children_spec}]``."""
        waiting = tree[1:] if isinstance(tree, list) else [None]
        while waiting:
            spec = waiting.pop()
            if not isinstance(spec, dict) or spec.get("type") not in _TREES:
                raise self._unsafe("the program takes or returns more than tuples, lists and dicts of tensors", text)
            context = json.loads(spec.get("context") or "null")
            keys = context if isinstance(context, list) else [] if context is None else [None]
            if not all(isinstance(key, str) and (key.isidentifier() or not names) for key in keys):
                raise self._unsafe("the program has an input whose name is none", text)
            waiting += spec.get("children_spec", [])

    def _unsafe(self, what: str, got: str) -> ModelError:
        return ModelError(
            f"{what}: loading or running it could run any code", where=str(self._path), got=ascii(got)[:200],
            fix="load the program in Python of your own: model.source: ./file.py:build, with --allow-code",
        )  # fmt: skip


def _is_calm(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS
    if isinstance(node, ast.Name):
        return node.id in _FUNCTIONS or _SYMBOL.fullmatch(node.id) is not None
    if isinstance(node, ast.Constant) and isinstance(node.value, str):  # Symbol('s0'), Float('0.5')
        return re.fullmatch(r"[a-z]+\d+|[0-9.e+-]{1,40}", node.value) is not None
    if isinstance(node, ast.Constant):
        return isinstance(node.value, bool | float) or (isinstance(node.value, int) and abs(node.value) < 2**64)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        return isinstance(node.right, ast.Constant) and node.right.value in {-1, 1, 2, 3, 4}
    return isinstance(node, _CALM)
