"""The texts that an ONNX model knows, for inputs of strings that have to be made up: others may be an error to it."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import onnx

_LISTS = frozenset({"keys_strings", "cats_strings", "pool_strings", "string_vocabulary"})
"""The attributes of ai.onnx.ml's and other operators that hold what an input is looked up in."""
_TABLE = "keys_tensor"


def known_words(proto: onnx.ModelProto, inputs: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """Return, for each of these inputs, the keys of the nodes that look it up, if there are any."""
    found = {name: tuple(dict.fromkeys(_below(proto.graph, name))) for name in inputs}
    return {name: words for name, words in found.items() if words}


def _below(graph: onnx.GraphProto, tensor: str) -> Iterator[str]:
    """Yield the keys of the first nodes with keys on every way down from a tensor."""
    waiting, seen = deque([tensor]), {tensor}
    while waiting:
        name = waiting.popleft()
        for node in graph.node:
            if name not in node.input:
                continue
            words = list(_keys(node))
            yield from words
            new = [] if words else [output for output in node.output if output not in seen]
            seen.update(new)
            waiting.extend(new)


def _keys(node: onnx.NodeProto) -> Iterator[str]:
    for attribute in node.attribute:
        stored = attribute.strings if attribute.name in _LISTS else ()
        if attribute.name == _TABLE:
            stored = attribute.t.string_data
        yield from (text.decode("utf-8", errors="replace") for text in stored)
