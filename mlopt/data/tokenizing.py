"""A Hugging Face ``tokenizer.json``, and what is said where it cannot be read or cannot read a text."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopt.core.errors import DataError, MissingPackage
from mlopt.core.packages import install_command

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

Text = str | tuple[str, str]
NAME = "tokenizer.json"
_UNKNOWN = ("[UNK]", "<unk>", "<UNK>", "[unk]", "UNK", "unk", "<|unk|>")
_CONVERT = (
    "in Python, transformers.AutoTokenizer.from_pretrained(FOLDER).save_pretrained('tokenizer') writes one, "
    f"tokenizer/{NAME}, of the other files of a tokenizer"
)


def open_tokenizer(path: Path) -> Tokenizer:
    """Open a file of the library's own format; raises ``DataError`` or ``MissingPackage``."""
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise MissingPackage(
            "text needs the tokenizers library", where=str(path), fix=install_command("data")
        ) from error
    if path.is_dir():
        inside = (path / NAME).is_file()
        raise DataError(
            "this is a folder, and no tokenizer file", where=str(path), expected=f"a {NAME}",
            fix=f"name the file in it: {path / NAME}" if inside else _CONVERT,
        )  # fmt: skip
    if not path.is_file():
        raise DataError("the tokenizer file does not exist", where=str(path), fix="check text.tokenizer")
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing more specific
        raise DataError(
            "this is no tokenizer.json", where=str(path), got=str(error), fix=_instead(path, str(error))
        ) from error


def encode(
    tokenizer: Tokenizer, texts: Sequence[Text], places: Sequence[str], file: Path, length: int, *, pairs: bool
) -> list[Encoding]:
    """Encode every text, cut where the tokenizer's file says if it is too long; ``places`` is where they stand.

    Raises ``DataError`` for the first text that the tokenizer, which is ``file``, cannot read.
    """
    cut = dict(tokenizer.truncation or {})
    if not pairs:  # of one text, the library refuses to cut the second
        cut.pop("strategy", None)
    tokenizer.enable_truncation(length, **{key: cut[key] for key in ("strategy", "direction") if key in cut})
    section = tokenizer.padding
    tokenizer.no_padding()
    try:
        encodings: list[Encoding] = tokenizer.encode_batch(texts)
    except Exception as error:  # nothing more specific; such as that its vocabulary lacks its own unknown token
        raise _unreadable(tokenizer, texts, places, file, str(error)) from error
    finally:
        if section:
            tokenizer.enable_padding(**section)
    return encodings


def _instead(path: Path, said: str) -> str:
    """Return what to give instead of a file that is none."""
    beside = path.with_name(NAME)
    if beside != path and beside.is_file():
        return f"name the {NAME} beside it in text.tokenizer"
    if "did not match any variant" in said:
        return f"it may be newer than the library: pip install --upgrade tokenizers; or else: {_CONVERT}"
    return _CONVERT


def _unreadable(tokenizer: Tokenizer, texts: Sequence[Text], places: Sequence[str], file: Path, said: str) -> DataError:
    """Name the first text that is not read, a word in it, and what would help."""
    rows = (row for row, text in enumerate(texts) if not _reads(tokenizer, text))
    row = next(rows, None)
    if row is None:
        return DataError("the tokenizer cannot read these texts", where=str(file), got=said)
    text = texts[row]
    parts = " ".join((text,) if isinstance(text, str) else text).split()
    word = next((part for part in parts if not _reads(tokenizer, part)), None)
    if "runcation" in said:
        fix = "raise text.max_length: the text is cut as the tokenizer's file says, which leaves nothing of it"
    else:
        fix = _known_unknown(tokenizer, file)
    got = said if word is None else f"{word[:80]!r}: {said}"
    return DataError("the tokenizer cannot read this text", where=places[row], got=got, fix=fix)


def _reads(tokenizer: Tokenizer, text: Text) -> bool:
    try:
        tokenizer.encode_batch([text])
    except Exception:  # noqa: BLE001 - as above
        return False
    return True


def _known_unknown(tokenizer: Tokenizer, file: Path) -> str:
    """Return how to give the tokenizer a token for what it does not know, if its vocabulary has one; or what else."""
    model: dict[str, Any] = json.loads(tokenizer.to_str())["model"]
    listed = isinstance(model["vocab"], list)  # Unigram: [token, score], and the unknown one by its place
    tokens = [entry[0] for entry in model["vocab"]] if listed else list(model["vocab"])
    token = next((name for name in _UNKNOWN if name in tokens), None)
    if token is None:
        own = model.get("unk_token")
        lacks = f"its vocabulary lacks {own}" if own else "it has no token for what it does not know"
        return f"leave this text out, or take the {NAME} that the model was trained with: {lacks}"
    key, value = ("unk_id", tokens.index(token)) if listed else ("unk_token", token)
    script = (
        f'import json; f = {json.dumps(str(file))}; t = json.load(open(f, encoding="utf-8")); '
        f't["model"]["{key}"] = {json.dumps(value)}; json.dump(t, open(f, "w", encoding="utf-8"))'
    )
    return f"let it take {token} for what it does not know: python -c {shlex.quote(script)}"
