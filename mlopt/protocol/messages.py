"""A request and an answer: tensors by name, in JSON, or in JSON followed by the tensors' bytes.

Where a message holds bytes, the header ``Inference-Header-Content-Length`` says where its JSON ends.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlopt.protocol.tensors import (
    MAX_RANK,
    Array,
    ProtocolError,
    datatype_of,
    dtype_of,
    of_bytes,
    of_plain,
    to_bytes,
    to_plain,
)

HEADER_LENGTH = "Inference-Header-Content-Length"
JSON_TYPE, BINARY_TYPE = "application/json", "application/octet-stream"


@dataclass(frozen=True)
class Message:
    """The body of a request or an answer, with the HTTP headers that tell how to read it."""

    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True)
class InferRequest:
    """What is asked."""

    inputs: dict[str, Array]
    id: str | None = None
    outputs: tuple[str, ...] | None = None
    """The outputs that are wanted; None: all."""
    binary: frozenset[str] | None = None
    """The outputs that are wanted in bytes; None: all of them."""
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class InferAnswer:
    """What is answered."""

    outputs: dict[str, Array]
    model_name: str
    model_version: str | None = None
    id: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)


def write_request(inputs: Mapping[str, Array], *, id_: str | None = None, binary: bool = True) -> Message:
    """Write a request for all outputs, in bytes with ``binary``."""
    head: dict[str, Any] = {} if id_ is None else {"id": id_}
    if binary:
        head["parameters"] = {"binary_data_output": True}
    return _written(head, "inputs", inputs, frozenset(inputs) if binary else frozenset())


def read_request(body: bytes, header_length: str | None = None) -> InferRequest:
    """Read a request; ``header_length`` is the header of that name. Raises ``ProtocolError``."""
    head, tensors = _read(body, header_length, "inputs")
    parameters = _mapping(head.get("parameters", {}), "parameters")
    asked, default = head.get("outputs"), bool(parameters.get("binary_data_output", False))
    if asked is None:
        wanted, binary = None, None if default else frozenset[str]()
    else:
        each = [_mapping(one, "an output") for one in _list(asked, "outputs")]
        wanted = tuple(_name(one) for one in each)
        told = (_mapping(one.get("parameters", {}), "parameters").get("binary_data", default) for one in each)
        binary = frozenset(name for name, yes in zip(wanted, told, strict=True) if yes)
    return InferRequest(tensors, _id(head), wanted, binary, parameters)


def write_answer(answer: InferAnswer, binary: frozenset[str] | None = frozenset()) -> Message:
    """Write an answer, the outputs in ``binary`` (None: all) in bytes.

    Raises ``ProtocolError`` for NaN or an infinity in another output.
    """
    told = {"model_version": answer.model_version, "id": answer.id, "parameters": dict(answer.parameters) or None}
    head = {"model_name": answer.model_name, **{key: value for key, value in told.items() if value is not None}}
    return _written(head, "outputs", answer.outputs, frozenset(answer.outputs) if binary is None else binary)


def read_answer(body: bytes, header_length: str | None = None) -> InferAnswer:
    """Read an answer; ``header_length`` is the header of that name. Raises ``ProtocolError``."""
    head, tensors = _read(body, header_length, "outputs")
    version = head.get("model_version")
    parameters = _mapping(head.get("parameters", {}), "parameters")
    return InferAnswer(tensors, str(head.get("model_name", "")), None if version is None else str(version), _id(head),
                       parameters)  # fmt: skip


def _written(head: dict[str, Any], key: str, tensors: Mapping[str, Array], binary: frozenset[str]) -> Message:
    described, tail = [], []
    for name, array in tensors.items():
        one: dict[str, Any] = {"name": name, "shape": list(array.shape), "datatype": datatype_of(_dtype(array))}
        if name in binary:
            tail.append(to_bytes(array))
            one["parameters"] = {"binary_data_size": len(tail[-1])}
        else:
            one["data"] = to_plain(array)
        described.append(one)
    text = json.dumps(head | {key: described}, separators=(",", ":"), ensure_ascii=False).encode()
    if not tail:
        return Message(text, {"Content-Type": JSON_TYPE})
    headers = {"Content-Type": BINARY_TYPE, HEADER_LENGTH: str(len(text))}
    return Message(b"".join([text, *tail]), headers)


def _dtype(array: Array) -> str:
    return "object" if array.dtype.kind in "OSU" else array.dtype.name


def _read(body: bytes, header_length: str | None, key: str) -> tuple[dict[str, Any], dict[str, Array]]:
    length = _length(header_length, len(body))
    try:
        parsed = json.loads(body[:length], parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("the message is not JSON", got=str(error)[:200]) from error
    head, at, tensors = _mapping(parsed, "the message"), length, dict[str, Array]()
    for one in _list(head.get(key), key):
        described = _mapping(one, f"one of {key}")
        name = _name(described)
        if name in tensors:
            raise ProtocolError(f"two {key} have one name", got=repr(name[:60]))
        size = _mapping(described.get("parameters", {}), "parameters").get("binary_data_size")
        if size is None:
            dtype, shape = _kind(described)
            tensors[name] = of_plain(described.get("data"), dtype, shape)
        else:
            end = at + _count(size, "binary_data_size")
            if end > len(body):
                raise ProtocolError("the message ends before its data", got=f"{len(body)} bytes", expected=f"{end}")
            tensors[name] = of_bytes(body[at:end], *_kind(described))
            at = end
    if at != len(body):
        raise ProtocolError("the message is longer than its data", got=f"{len(body) - at} bytes more")
    return head, tensors


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _length(header: str | None, whole: int) -> int:
    if header is None:
        return whole
    if not header.isascii() or not header.isdigit() or int(header[:18]) > whole:
        raise ProtocolError(f"{HEADER_LENGTH} is wrong", got=header[:40], expected=f"a number up to {whole}")
    return int(header)


def _kind(described: Mapping[str, Any]) -> tuple[str, tuple[int, ...]]:
    shape = tuple(_count(size, "a dimension") for size in _list(described.get("shape"), "shape"))
    if len(shape) > MAX_RANK:
        raise ProtocolError("there are too many dimensions", got=str(len(shape)), expected=f"at most {MAX_RANK}")
    return dtype_of(described.get("datatype")), shape


def _name(described: Mapping[str, Any]) -> str:
    name = described.get("name")
    if not isinstance(name, str) or not name:
        raise ProtocolError("a tensor has no name")
    return name


def _id(head: Mapping[str, Any]) -> str | None:
    found = head.get("id")
    if found is not None and not isinstance(found, str):
        raise ProtocolError("id must be a string", got=type(found).__name__)
    return found


def _count(value: object, what: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ProtocolError(f"{what} must be a whole number from 0 on", got=str(value)[:40])
    return value


def _mapping(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ProtocolError(f"{what} must be an object", got=type(value).__name__)
    return value


def _list(value: object, what: str) -> Sequence[Any]:
    if not isinstance(value, list):
        raise ProtocolError(f"{what} must be a list", got=type(value).__name__)
    return value
