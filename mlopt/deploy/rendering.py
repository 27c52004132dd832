"""The templates, filled. Text from outside enters them quoted, in the way of the file that it enters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from mlopt import __version__
from mlopt.core.foreign_text import plain

if TYPE_CHECKING:
    from jinja2 import Environment

_PBTXT_TYPES: Mapping[str, str] = {
    "bool": "TYPE_BOOL", "uint8": "TYPE_UINT8", "uint16": "TYPE_UINT16", "uint32": "TYPE_UINT32",
    "uint64": "TYPE_UINT64", "int8": "TYPE_INT8", "int16": "TYPE_INT16", "int32": "TYPE_INT32", "int64": "TYPE_INT64",
    "float16": "TYPE_FP16", "float32": "TYPE_FP32", "float64": "TYPE_FP64", "string": "TYPE_STRING",
}  # fmt: skip


def render(template: str, told: Mapping[str, Any]) -> str:
    """Fill a template, named as below ``templates/``; a name that nobody told it is an error."""
    return _environment().get_template(template).render(told)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(  # noqa: S701 - no HTML: each file has its own way to quote
        loader=PackageLoader("mlopt.deploy"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters |= {"quoted": quoted, "pbtxt": pbtxt, "remark": plain}
    environment.globals["version"] = __version__
    return environment


def quoted(value: object) -> str:
    """Return a value as JSON has it: YAML and Python read the same strings, numbers and lists."""
    return json.dumps(value)


def pbtxt(text: str) -> str:
    """Return a string as protobuf's text format has it."""
    safe = (chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\{byte:03o}" for byte in text.encode())
    return '"' + "".join(safe) + '"'


def triton_type(dtype: str) -> str:
    """Return Triton's name of a type; `contents` has refused those that it has no name for."""
    return _PBTXT_TYPES[dtype]


def dims(shape: tuple[int | str, ...]) -> str:
    """Return the sizes of a tensor as Triton has them, -1 for those that vary."""
    return "[ " + ", ".join("-1" if isinstance(size, str) else str(size) for size in shape) + " ]"
