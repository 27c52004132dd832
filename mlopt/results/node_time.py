"""What a profile says of one node of a graph, whichever runtime keeps the profile."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NodeTime:
    """The median time of one node in one inference; a node with a body (If, Loop, Scan) counts without it."""

    name: str
    op_type: str
    ms: float
