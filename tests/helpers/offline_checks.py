"""Files held against their engines' own schemas, in the environment that has those: JSON, null for what is right.

Run by tests in another environment, never imported: ``python offline_checks.py k8s|kserve|pbtxt FILE...``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

NO_SCHEMA = "no schema"


def k8s(path: Path) -> str | None:
    """Strictly: without that, unknown keys pass."""
    import kubernetes_validate
    import yaml

    try:
        kubernetes_validate.validate(
            yaml.safe_load(path.read_text()), kubernetes_validate.latest_version(), strict=True
        )
    except kubernetes_validate.SchemaNotFoundError:
        return NO_SCHEMA
    except kubernetes_validate.ValidationError as error:
        return str(error.message)[:300]
    return None


def kserve(path: Path) -> str | None:
    """By the classes of the wheel: keys, types and what is required, of what is KServe's own."""
    import yaml
    from kserve import V1beta1InferenceService

    try:
        _whole(yaml.safe_load(path.read_text()), V1beta1InferenceService, path.name)
    except (ValueError, TypeError) as error:
        return str(error)[:300]
    return None


def _whole(value: Any, kind: Any, where: str) -> None:
    """Hold a value against a generated class, and its parts against the classes that are named there."""
    import kserve
    import kubernetes.client

    known = {key: name for name, key in kind.attribute_map.items()}
    if not isinstance(value, dict):
        raise TypeError(f"{where}: {type(value).__name__}, expected {kind.__name__}")
    unknown = set(value) - set(known)
    if unknown:
        raise ValueError(f"{where}: unknown {', '.join(sorted(unknown))}")
    kind(**{known[key]: its for key, its in value.items()})
    for key, its in value.items():
        named = kind.openapi_types[known[key]]
        inner = named.removeprefix("list[").removesuffix("]")
        deeper = getattr(kserve, inner, None) or getattr(kubernetes.client, inner, None)
        if hasattr(deeper, "openapi_types"):
            for number, each in enumerate(its if named.startswith("list[") else [its]):
                _whole(each, deeper, f"{where}: {key}[{number}]")


def pbtxt(path: Path) -> str | None:
    """By Triton's own message: unknown fields, types and names of enumerations."""
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2

    try:
        text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())
    except text_format.ParseError as error:
        return str(error)[:300]
    return None


if __name__ == "__main__":
    check = {"k8s": k8s, "kserve": kserve, "pbtxt": pbtxt}[sys.argv[1]]
    sys.stdout.write(json.dumps({name: check(Path(name)) for name in sys.argv[2:]}) + "\n")
