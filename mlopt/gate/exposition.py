"""Prometheus's text format, read: the samples of a scrape, which may come from anybody.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format. Comments, types and times of
samples are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mlopt.core.errors import DataError
from mlopt.core.foreign_text import plain

MAX_BYTES = 16 << 20
_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?\s*")
_LABEL = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)')
_ESCAPED = re.compile(r"\\(.)")


@dataclass(frozen=True)
class MetricSample:
    """One figure."""

    name: str
    labels: dict[str, str]
    value: float


def samples(text: str, where: str) -> Iterator[MetricSample]:
    """Yield the samples of a scrape; raises ``DataError`` with the first line that is none."""
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        if stripped and not stripped.startswith("#"):
            yield _sample(stripped, f"{where}:{number}")


def _sample(line: str, where: str) -> MetricSample:
    found = _SAMPLE.fullmatch(line)
    if found is None:
        raise _refused(line, where)
    labels, at, inside = dict[str, str](), 0, found[2] or ""
    while at < len(inside):
        label = _LABEL.match(inside, at)
        if label is None:
            raise _refused(line, where)
        labels[label[1]] = _ESCAPED.sub(lambda each: {"n": "\n"}.get(each[1], each[1]), label[2])
        at = label.end()
    try:
        return MetricSample(found[1], labels, float(found[3]))
    except ValueError as error:
        raise _refused(line, where) from error


def _refused(line: str, where: str) -> DataError:
    return DataError("this is no sample of Prometheus's text format", where=where, got=plain(line[:100]),
                     expected='NAME{LABEL="VALUE"} NUMBER',
                     fix="give a report.json, an artifact, or what a server says at /metrics")  # fmt: skip
