"""What things are called outside this machine: packages by their URL, and paths without the folders of their owner."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

_FOLDERS = re.compile(
    r"""(?: (?<![\w.~/:-]) | (?<=:)(?!//) | (?<=file:) )  # where a path begins, but not inside a URL
        (?: ~[\w.-]*/ (?: [^\s'",]*/ )? | /[^\s'",]*/ )  # an absolute one, down to its last folder
        (?= [^/\s'",] )""",
    re.VERBOSE,
)


def package_url(distribution: str, version: str) -> str:
    """Return the package URL of a distribution in the index of Python, such as ``pkg:pypi/numpy@2.4.6``."""
    return f"pkg:pypi/{distribution.lower().replace('_', '-')}@{quote(version, safe='')}"


def portable(value: Any) -> Any:
    """Return JSON data in which every absolute path is cut down to its last part: ``/home/ann/net.py:f``, ``net.py:f``.

    Whose machine it was is nobody's business, and says nothing: the digests say what was read.
    """
    if isinstance(value, str):
        return _FOLDERS.sub("", value)
    if isinstance(value, dict):
        return {key: portable(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [portable(entry) for entry in value]
    return value
