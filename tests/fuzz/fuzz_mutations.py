"""How inputs are bent: small changes of a valid input reach further into a parser than random bytes do.

Every function takes bytes and a source of chance, and returns bytes. Hypothesis and libFuzzer both bring their own
source of chance, so that the first can shrink what it finds, and the second can repeat it.
"""

from __future__ import annotations

import base64
import binascii
import copy
import io
import json
import re
import warnings
import zipfile
import zlib
from collections.abc import Callable
from random import Random
from typing import Any

Mutation = Callable[[bytes, Random], bytes]

MAX_BYTES = 1 << 16
"""No mutation grows an input beyond this."""

_DEEP = 3_000
_PEM = re.compile(rb"-----BEGIN [A-Z ]+-----\n([A-Za-z0-9+/=\n]*)-----END")
WORDS = (
    b"", b"\0", b"\xff", b"\r\n", b"\n", b" ", b"-", b"--- \n", b"%YAML 1.1\n", b"&a ", b"*a", b"<<: ", b"!!str ",
    b"null", b"true", b"NaN", b"-Infinity", b"1e999", b"9" * 5_000, b"0x" + b"f" * 40, b"-1", b"{}", b"[]", b'""',
    b'"\\ud800"', b"\\U00110000", b"\xed\xa0\x80", b"\xe2\x80\xa8", b"\x1b[2J", b"[" * _DEEP, b'{"a":' * _DEEP,
    b"- " * _DEEP, b"(" * 300, b"{" * 150, b"../", b"/", b"a/./b", b"\\", b".git/x", b"'descr': '|O'",
    b"(1000000000000,)", b"-----BEGIN CERTIFICATE-----\n", b"PK\x05\x06",
)  # fmt: skip
"""Pieces of the formats, and what their parsers have stumbled over."""
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**53 + 1, 2**63, 2**64, -(2**64), 10**400, 0.5, -0.0, 5e-324, 1e-310, 1.7e308,
    -1.7e308, float("nan"), float("inf"), "", "0", "1e999", "\0", "\n", "\x1b[2J", "\ud800", "\u202e", "x" * 3_000,
    "../x", "/x", "a/./b", "a\\b", ".git/x", "mlopt.json", "model.sig", [], {}, [[]], [None], {"": None}, ["x"] * 200,
    {"a": {"a": {"a": []}}},
)  # fmt: skip


def mutate_bytes(data: bytes, random: Random) -> bytes:
    """Flip, cut, repeat and insert bytes."""
    for _ in range(random.randint(1, 4)):
        start = random.randint(0, len(data))
        end = min(len(data), start + random.choice((1, 1, 2, 4, 16, 256, len(data))))
        match random.randrange(5):
            case 0:
                data = data[:start] + bytes([random.randrange(256)]) + data[start + 1 :]
            case 1:
                data = data[:start] + data[end:]
            case 2:
                data = data[:end] + data[start:]
            case 3:
                data = data[:start] + random.choice(WORDS) + data[start:]
            case _:
                data = data[:start] + random.choice(WORDS) + data[end:]
    return data[:MAX_BYTES]


def mutate_json(data: bytes, random: Random) -> bytes:
    """Change the values of a JSON document, and now and then its text."""
    try:
        tree = [json.loads(data)]
        _bend(tree, random)
        text = json.dumps(tree[0] if tree else None).encode()
    except (ValueError, RecursionError):
        return mutate_bytes(data, random)
    return mutate_bytes(text, random) if random.randrange(8) == 0 else text[:MAX_BYTES]


def mutate_json_lines(data: bytes, random: Random) -> bytes:
    """Change one line of JSON Lines, or the order and number of lines."""
    lines = data.splitlines(keepends=True)
    if not lines:
        return mutate_bytes(data, random)
    at = random.randrange(len(lines))
    match random.randrange(6):
        case 0:
            lines[at:at] = [lines[random.randrange(len(lines))]] * random.choice((1, 1_100))
        case 1:
            del lines[at]
        case _:
            lines[at] = mutate_json(lines[at], random) + random.choice((b"\n", b"", b"\r\n"))
    return b"".join(lines)[:MAX_BYTES]


def mutate_yaml(data: bytes, random: Random) -> bytes:
    """Change the values of a YAML document (JSON is YAML too), or its text."""
    import yaml

    try:
        tree = [yaml.load(data, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))]
        if random.randrange(2):
            return mutate_bytes(data, random)
        _bend(tree, random)
        return json.dumps(tree[0] if tree else None).encode()[:MAX_BYTES]
    except (yaml.YAMLError, ValueError, TypeError, RecursionError):
        return mutate_bytes(data, random)


def mutate_zip(data: bytes, random: Random) -> bytes:
    """Change one member of a ZIP archive or its name, so that the checksums hold; or the bytes of the archive."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(info, archive.read(info)) for info in archive.infolist()]
    except (
        LookupError,
        ValueError,
        EOFError,
        OSError,
        RuntimeError,
        NotImplementedError,
        zipfile.BadZipFile,
        zlib.error,
    ):
        return mutate_bytes(data, random)
    if not members or random.randrange(4) == 0:
        return mutate_bytes(data, random)
    at = random.randrange(len(members))
    info, content = members[at]
    match random.randrange(5):
        case 0:
            info.filename = random.choice(("../x.npy", "/x.npy", "x", "", "a\\b", "mlopt.json", f"{info.filename}.npy"))
        case 1:
            members.append((info, content))
        case 2:
            info.external_attr = random.choice((0o120777 << 16, 0o010644 << 16, 0o040755 << 16, 0x10))
        case _:
            members[at] = info, mutate_bytes(content, random)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for info, content in members:
            with warnings.catch_warnings(action="ignore"):  # a name that occurs twice is meant here
                archive.writestr(info, content)
    return out.getvalue()[:MAX_BYTES]


def mutate_pem(data: bytes, random: Random) -> bytes:
    """Change the DER inside a PEM block, or the text around it."""
    blocks = list(_PEM.finditer(data))
    if not blocks or random.randrange(4) == 0:
        return mutate_bytes(data, random)
    start, end = random.choice(blocks).span(1)
    try:
        der = base64.b64decode(data[start:end])
    except binascii.Error:
        return mutate_bytes(data, random)
    return (data[:start] + base64.encodebytes(mutate_bytes(der, random)) + data[end:])[:MAX_BYTES]


def mutate_protobuf(kind: Callable[[], Any]) -> Mutation:
    """Return a mutation of the fields of a protobuf message, whose type is looked up when it is first needed."""

    def mutate(data: bytes, random: Random) -> bytes:
        from google.protobuf.message import DecodeError, EncodeError

        message = kind()()
        try:
            message.ParseFromString(data)
            for _ in range(random.randint(1, 4)):
                _bend_message(random.choice(_messages(message)), random)
            out: bytes = message.SerializeToString()
        except (DecodeError, EncodeError, ValueError, TypeError, RecursionError):
            return mutate_bytes(data, random)
        return mutate_bytes(out, random) if random.randrange(8) == 0 else out[:MAX_BYTES]

    return mutate


def _bend(tree: list[Any], random: Random) -> None:
    """Make one to four changes somewhere below ``tree``, which holds the document as its only item."""
    for _ in range(random.randint(1, 4)):
        places = _places(tree)
        if not places:
            return
        holder, key = random.choice(places)
        match random.randrange(7):
            case 0:
                del holder[key]
            case 1:
                other, at = random.choice(places)
                holder[key] = copy.deepcopy(other[at])
            case 2:
                if isinstance(holder, dict):
                    holder[random.choice(("", "a", "schema", "\ud800", f"{key}x"))] = copy.deepcopy(holder[key])
                else:
                    holder.insert(key, copy.deepcopy(holder[key]))
            case 3 | 4:
                holder[key] = _near(holder[key], random)
            case _:
                holder[key] = copy.deepcopy(random.choice(VALUES))


def _places(tree: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    waiting = [tree]
    while waiting:
        holder = waiting.pop()
        entries = list(holder.items() if isinstance(holder, dict) else enumerate(holder))
        found += [(holder, key) for key, _ in entries]
        waiting += [value for _, value in entries if isinstance(value, dict | list)]
    return found


def _near(value: Any, random: Random) -> Any:
    """Return a value of the same type, or what another JSON writer might have put there."""
    if isinstance(value, bool) or value is None:
        return random.choice((True, False, None, 0, 1, "true"))
    if isinstance(value, int):
        return random.choice((value + 1, value - 1, -value, value * 10**15, float(value % 10**300), str(value)[:4000]))
    if isinstance(value, float):
        return random.choice((value * 1e300, -value, value * 1e-300, 0.0, str(value), value / 3))
    if isinstance(value, str):
        inner = _inside(value)
        if inner is not None and random.randrange(4):
            return base64.b64encode(mutate_json(inner, random)).decode()
        return mutate_bytes(value.encode("utf-8", "surrogatepass"), random).decode("utf-8", "replace")
    return random.choice((list(value), {str(number): item for number, item in enumerate(value)}, None, len(value)))


def _inside(text: str) -> bytes | None:
    """The JSON that a text holds in base64, as envelopes do."""
    try:
        found = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return found if found.startswith(b"{") else None


def _messages(message: Any) -> list[Any]:
    found = [message]
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for one in value if field.is_repeated else (value,):
                found += _messages(one)
    return found


def _bend_message(message: Any, random: Random) -> None:
    """Change one field of a message: clear it, fill it, repeat it."""
    present = [field for field, _ in message.ListFields()]
    field = random.choice(present if present and random.randrange(4) else list(message.DESCRIPTOR.fields))
    if random.randrange(5) == 0:
        message.ClearField(field.name)
    elif field.is_repeated:
        items = getattr(message, field.name)
        if field.type == field.TYPE_MESSAGE:
            new = items.add()
            if len(items) > 1 and random.randrange(2):
                new.CopyFrom(random.choice(items))
        else:
            items.extend([_scalar(field, random)] * random.choice((1, 1, 50)))
        if len(items) > 1 and random.randrange(3) == 0:
            del items[random.randrange(len(items))]
    elif field.type == field.TYPE_MESSAGE:
        getattr(message, field.name).SetInParent()
    else:
        setattr(message, field.name, _scalar(field, random))


def _scalar(field: Any, random: Random) -> Any:
    kind = field.type
    if kind in {field.TYPE_STRING, field.TYPE_BYTES}:
        text = random.choice(
            ("", "x", "w.bin", "../x", "/etc/passwd", "a\0b", "x" * 300, "location", "offset", "1" * 5000, "-1", "Conv")
        )
        return text if kind == field.TYPE_STRING else text.encode()
    if kind in {field.TYPE_FLOAT, field.TYPE_DOUBLE}:
        return random.choice((0.0, -1.5, 1e30, float("nan"), float("inf")))
    if kind == field.TYPE_ENUM:
        return random.choice((0, 1, 2, 7, 16, 99, 2**31 - 1, -1))
    return (
        random.choice((0, 1, -1, 7, 99, 2**31 - 1, -(2**31)))
        if kind != field.TYPE_INT64
        else random.choice((0, 1, -1, 3, 2**31, 2**62, 2**63 - 1, -(2**63)))
    )
