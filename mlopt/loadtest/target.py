"""Which server and which model an address means, and what its metadata say of the model's inputs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from mlopt.core.errors import UserError
from mlopt.formats.model import TensorSpec
from mlopt.protocol.tensors import ProtocolError, dtype_of

_PATH = re.compile(
    r"(?P<prefix>.*?)(?:/v2(?:/models/(?P<model>[^/]+)(?:/versions/(?P<version>[^/]+))?(?:/infer)?)?)?/?"
)
_EXPECTED = "http://HOST:PORT, or http://HOST:PORT/v2/models/NAME"
_LONGEST = 300


@dataclass(frozen=True)
class InferTarget:
    """A model of a server that speaks the Open Inference Protocol, version 2."""

    base: str
    """The address up to ``/v2``, without a slash at the end."""
    model: str
    version: str | None = None

    @property
    def model_url(self) -> str:
        """Where the model's metadata are."""
        version = f"/versions/{quote(self.version, safe='')}" if self.version is not None else ""
        return f"{self.base}/v2/models/{quote(self.model, safe='')}{version}"

    @property
    def infer_url(self) -> str:
        """Where requests go."""
        return f"{self.model_url}/infer"

    @property
    def ready_url(self) -> str:
        """Where the server says whether the model can be asked."""
        return f"{self.model_url}/ready"


def is_url(text: str) -> bool:
    """Whether a target is an address, and no artifact."""
    return text.startswith(("http://", "https://"))


def parsed(text: str, model: str | None) -> InferTarget:
    """Return what an address means; ``model`` is asked for where it names none. Raises ``UserError``."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise UserError("this is no address", where=text[:_LONGEST], got=str(error), expected=_EXPECTED) from error
    found = _PATH.fullmatch(parts.path)
    if not is_url(text) or not host or parts.username is not None or parts.query or parts.fragment or found is None:
        raise UserError("this is no address of a server", where=text[:_LONGEST], expected=_EXPECTED)
    named = unquote(found["model"]) if found["model"] else model
    if named is None:
        raise UserError(
            "the address does not say which model is asked", where=text[:_LONGEST], expected=_EXPECTED,
            fix="--model NAME, or --artifact DIR, whose name it is then",
        )  # fmt: skip
    version = unquote(found["version"]) if found["version"] else None
    return InferTarget(f"{parts.scheme}://{parts.netloc}{found['prefix'].rstrip('/')}", named, version)


def inputs_of(metadata: object, where: str) -> tuple[TensorSpec, ...]:
    """Return the inputs that a model's metadata describe; raises ``UserError`` where they are none of the protocol."""
    listed = metadata.get("inputs") if isinstance(metadata, Mapping) else None
    try:
        found = tuple(_spec(one) for one in listed) if isinstance(listed, list) else ()
        why = "no inputs"
    except (TypeError, KeyError, ValueError, ProtocolError) as error:
        found, why = (), f"{type(error).__name__}: {error}"
    if not found:
        raise UserError(
            "the server's metadata do not say what the model takes", where=where, got=why[:_LONGEST],
            expected="inputs with name, datatype and shape", fix="--artifact DIR says it",
        )  # fmt: skip
    return found


def _spec(described: Mapping[str, Any]) -> TensorSpec:
    """Read one input; a dimension of -1 is free, and the first such of all inputs is the batch."""
    name, dtype = str(described["name"]), dtype_of(described["datatype"])
    shape = tuple(_size(int(size), axis) for axis, size in enumerate(described["shape"]))
    return TensorSpec(name, "string" if dtype == "object" else dtype, shape)


def _size(size: int, axis: int) -> int | str:
    if size >= 0:
        return size
    return "batch" if axis == 0 else f"size_{axis}"
