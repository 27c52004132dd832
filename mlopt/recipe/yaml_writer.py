"""Writing YAML that ``yaml_reader`` reads back as the same data, and that other YAML readers do not mistake."""

from __future__ import annotations

import re
from typing import Any

import yaml

from mlopt.recipe.yaml_reader import BOOL, FLOAT, INT, NOT_FINITE, NULL


class _Dumper(yaml.SafeDumper):
    """Quotes text that either YAML 1.1 (PyYAML's own rules) or the 1.2 core schema takes for something else."""

    def serialize(self, node: yaml.Node) -> None:
        if isinstance(node, yaml.CollectionNode):
            node.flow_style = False  # the outermost data is never on one line
        super().serialize(node)

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


def _text(dumper: _Dumper, text: str) -> yaml.Node:
    """Escape what is not printable; PyYAML's other styles lose some line breaks."""
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"')


_Dumper.add_representer(str, _text)
for _tag, _pattern in (("null", NULL), ("bool", BOOL), ("int", INT), ("float", FLOAT), ("float", NOT_FINITE)):
    _whole = re.compile(rf"(?:{_pattern.pattern})\Z")
    _Dumper.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", _whole, None)


def dump(value: Any) -> str:
    """Write plain data: keys in their order, the innermost lists and mappings on one line."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110)
