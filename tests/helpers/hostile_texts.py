"""Texts that a reader of what mlopt prints or writes might take for its own, and how to tell that none does."""

from __future__ import annotations

import re
import unicodedata

CORPUS = (
    "::error file=x::owned", "  ::set-output name=x::y", "##[error]owned", "x ##vso[task.setvariable variable=a]b",
    "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "\x9b31m", "\x90q\x9c",
    "a\rb", "a\nb\n::warning::x", "a\x00b\x08\x08\x08c", "\u202egnp.exe", "\u2066x\u2069", "\u200e\u061c",
    "\u2028::error::x", "\x85::error::x", "[/b]", "[bold]x[/bold]", "[link=http://evil]x[/link]", ":skull:",
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "&lt;", "\"'>", "]]>", "<!--", "{{7*7}}",
    "@everyone", "#123", "http://evil.example/x", "www.evil.example", "[x](http://evil)", "![x](http://evil)",
    "`x`", "|x|", "$(id)", "\ufeff", "\U000e0041", "=1+1", "\ud800",
)  # fmt: skip
"""What a terminal, a CI system's log, Markdown, HTML, XML, a template or a table might take for its own."""
WELL_FORMED = tuple(text for text in CORPUS if "\ud800" not in text)
JOINED = " ".join(WELL_FORMED)
COMMAND = re.compile(r"^\s*::|##\[|##vso\[", re.MULTILINE)


def is_inert(text: str) -> bool:
    hidden = {c for c in text if unicodedata.category(c)[0] == "C" and c not in "\n\t"} | (
        {*text} & {"\u2028", "\u2029"}
    )
    return not hidden and COMMAND.search(text) is None
