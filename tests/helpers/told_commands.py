"""Commands that some text tells a user to give: each is parsed as the program does, and none is run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

from mlopt.cli.program import program

_COMMAND = re.compile(r"\bmlopt [a-z][^`;]*")


def commands(text: str) -> Iterator[list[str]]:
    """Yield the words of every command of mlopt in a text, which ends at a backtick, a semicolon or ``&&``."""
    for found in _COMMAND.findall(text):
        yield shlex.split(found.split("&&")[0].rstrip(" ,."))


def verb_of(words: list[str]) -> tuple[Any, list[str]]:
    """Return the verb that a command's words name, and the words that are left; fails if there is none."""
    verb, left = program(), words[1:]
    while hasattr(verb, "commands"):
        verb, left = verb.commands[left[0]], left[1:]
    return verb, left


def check_commands(text: str) -> int:
    """Fail unless each command can be given as it stands; return how many there are."""
    every = list(commands(text))
    for words in every:
        verb, left = verb_of(words)
        verb.make_context(verb.name, left)
    return len(every)


def check_options(text: str) -> int:
    """Fail unless each verb that is named has the options that are named with it; return how many verbs there are."""
    every = list(commands(text))
    for words in every:
        verb, left = verb_of(words)
        known = {option for each in verb.params for option in each.opts}
        assert {word for word in left if word.startswith("-")} <= known, words
    return len(every)
