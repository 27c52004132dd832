from __future__ import annotations

from pathlib import Path

from mlopt.run.request import Request
from mlopt.tune.asked import Asked


def test_a_study_lies_beside_its_artifact_unless_it_is_told_where() -> None:
    bare = Asked(Request(source=Path("net.yaml")))
    assert bare.at("net") == Path("artifacts/net.study")
    assert Asked(Request(source=Path("net.yaml"), output=Path("out/x"))).at("net") == Path("out/x.study")
    assert Asked(Request(source=Path("net.yaml")), folder=Path("there")).at("net") == Path("there")
