"""Which token fills texts up to one length: the tokenizer's own, or none.

A library's default is token 0, which in many vocabularies is a word. So where nothing names a token for padding, and
some text has to be padded, that is an error.
"""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopt.core.errors import DataError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_BESIDE = ("tokenizer_config.json", "special_tokens_map.json")
"""What transformers stores next to tokenizer.json, in this order of precedence."""
_USUAL = ("[PAD]", "<pad>")
_NAME = re.compile(r"[\W_]+(finetune_right_)?pad(ding)?(_?(token|id))*[\W_]+", re.IGNORECASE)
_FIX = "name it in the recipe: `text: {pad_token: TOKEN}`, or its number: `pad_id: N`"
_SHOWN = 8


@dataclass(frozen=True)
class Padding:
    """What texts are filled with, and at which end."""

    token: str
    id: int
    type_id: int
    direction: str
    guessed: bool
    """Whether nothing but its name says that this token is for padding."""


def files_beside(tokenizer: Path) -> list[Path]:
    """Return the files that say more of a tokenizer than its own does."""
    return [file for file in (tokenizer.parent / name for name in _BESIDE) if file.is_file()]


def padding_of(tokenizer: Tokenizer, file: Path, *, token: str | None, number: int | None, side: str | None) -> Padding:
    """Return how to pad: as the recipe says (the last three), the tokenizer's file, or else the files beside it.

    Raises ``DataError`` if none of them names a token, or one that is another token's number.
    """
    section: dict[str, Any] = tokenizer.padding or {}
    beside = {each.name: _read(each) for each in files_beside(file)}
    told = next((str(d["padding_side"]) for d in beside.values() if d.get("padding_side") in {"left", "right"}), None)
    direction = side or section.get("direction") or told or "right"
    name, found, guessed = _token(tokenizer, file, section, beside, token, number)
    return Padding(name, found, int(section.get("pad_type_id", 0)), direction, guessed)


def _token(
    tokenizer: Tokenizer, file: Path, section: dict[str, Any], beside: dict[str, dict[str, Any]],
    token: str | None, number: int | None,
) -> tuple[str, int, bool]:  # fmt: skip
    """Return the token, its number, and whether that was guessed."""
    if number is not None:
        return tokenizer.id_to_token(number) or "", number, False
    if token is not None:
        return token, _number(tokenizer, token, "text.pad_token"), False
    if section:
        name, found = str(section["pad_token"]), int(section["pad_id"])
        other = tokenizer.id_to_token(found)
        if other not in {None, name}:
            raise DataError(
                "the tokenizer pads with the number of another token", where=str(file),
                got=f"pad_id {found}, which is {other!r}", expected=f"the number of its pad_token, {name!r}", fix=_FIX,
            )  # fmt: skip
        return name, found, False
    for where, content in beside.items():
        named = content.get("pad_token")
        named = named.get("content") if isinstance(named, dict) else named
        if isinstance(named, str):
            return named, _number(tokenizer, named, str(file.parent / where)), False
    for name in (*_USUAL, *_named_so(tokenizer)):
        if (known := tokenizer.token_to_id(name)) is not None:
            return name, known, name not in _USUAL
    raise _none(tokenizer, file)


def _named_so(tokenizer: Tokenizer) -> tuple[str, ...]:
    """Return the one token that is called pad in some spelling; nothing if there are several, or none."""
    special = {token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special}
    bracketed = {name for name in tokenizer.get_vocab() if name.startswith(("[", "<"))}
    for tokens in (special, bracketed):
        if named := [name for name in tokens if _NAME.fullmatch(name)]:
            return tuple(named) if len(named) == 1 else ()
    return ()


def _none(tokenizer: Tokenizer, file: Path) -> DataError:
    special = [token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special][:_SHOWN]
    return DataError(
        "the texts differ in length, and the tokenizer names no token to pad them with", where=str(file),
        got=f"special tokens: {', '.join(special) or 'none'}",
        expected=f"a `padding` section, or a token such as [PAD], in it; or a pad_token in {' or '.join(_BESIDE)}",
        fix=f"{_FIX}; use the one that the model was trained with",
    )  # fmt: skip


def _number(tokenizer: Tokenizer, token: str, where: str) -> int:
    found = tokenizer.token_to_id(token)
    if found is None:
        close = difflib.get_close_matches(token, tokenizer.get_vocab(), 1)
        fix = f"did you mean {close[0]!r}?" if close else _FIX
        raise DataError("the tokenizer has no such token", where=where, got=token, fix=fix)
    return int(found)


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DataError("the file beside the tokenizer is not JSON", where=str(file), got=str(error),
                        fix="repair it, or move it away") from error  # fmt: skip
    return content if isinstance(content, dict) else {}
