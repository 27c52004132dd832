"""What is written for each engine, held as text."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from deployed import MODULES, content, deployment, pair, rendered

from mlopt import __version__
from mlopt.core.errors import UserError
from mlopt.deploy import pages
from mlopt.deploy.engine import ServingEngine
from mlopt.deploy.table import ENGINES, engine_named

NOT_HELD = tuple(f"{name}.py" for name in MODULES)
"""Code that is the same for every model: it is run by tests of its own."""


def together(texts: dict[str, str]) -> str:
    held = {path: text for path, text in texts.items() if not path.endswith(NOT_HELD)}
    return "".join(f"==> {path}\n{text}\n" for path, text in sorted(held.items())).replace(__version__, "VERSION")


@pytest.mark.parametrize("engine", ENGINES, ids=lambda each: each.name)
def test_what_is_written(engine: ServingEngine, golden: Callable[[str, str], None]) -> None:
    golden(f"deploy/{engine.name}.txt", together(rendered(engine, deployment(engine))))


@pytest.mark.parametrize("name", ["triton", "bentoml"])
def test_an_ensemble_of_two(name: str, golden: Callable[[str, str], None]) -> None:
    engine = engine_named(name)
    golden(f"deploy/{name}_ensemble.txt", together(rendered(engine, deployment(engine, *pair()))))


@pytest.mark.parametrize("engine", ENGINES, ids=lambda each: each.name)
def test_code_and_manifests_can_be_read(engine: ServingEngine) -> None:
    apart = rendered(engine, deployment(engine, content("a"), content("b")))
    for path, text in (*apart.items(), *rendered(engine, deployment(engine, *pair())).items()):
        assert text.endswith("\n"), path
        assert not [line for line in text.splitlines() if line != line.rstrip()], path
        if path.endswith(".py"):
            ast.parse(text)
            assert "import mlopt" not in text
            assert "from mlopt" not in text
        elif path.endswith(".yaml"):
            assert isinstance(yaml.safe_load(text), dict), path


@pytest.mark.parametrize(
    "engine", [each for each in ENGINES if "deployment" in each.deployment_kinds], ids=lambda each: each.name
)
def test_manifests_agree_with_each_other(engine: ServingEngine) -> None:
    """What no schema sees: selectors, ports, names, and times that go together."""
    found = {
        Path(path).stem: yaml.safe_load(text)
        for path, text in rendered(engine, deployment(engine)).items() if path.startswith("k8s/")
    }  # fmt: skip
    pods = found["deployment"]["spec"]["template"]
    labels, spec = pods["metadata"]["labels"], pods["spec"]
    (container,) = spec["containers"]
    for selector in (
        found["deployment"]["spec"]["selector"]["matchLabels"], found["service"]["spec"]["selector"],
        found["pdb"]["spec"]["selector"]["matchLabels"], found["networkpolicy"]["spec"]["podSelector"]["matchLabels"],
    ):  # fmt: skip
        assert selector.items() <= labels.items()
    name = found["deployment"]["metadata"]["name"]
    assert found["hpa"]["spec"]["scaleTargetRef"]["name"] == found["keda"]["spec"]["scaleTargetRef"]["name"] == name
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    assert found["service"]["spec"]["ports"][0]["targetPort"] in ports
    assert {each["port"] for each in found["networkpolicy"]["spec"]["ingress"][0]["ports"]} == set(ports.values())
    mounted, there = ({each["name"] for each in some} for some in (container["volumeMounts"], spec["volumes"]))
    assert mounted == there
    drained = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    pod = deployment(engine).pod
    assert spec["terminationGracePeriodSeconds"] > drained + pod.end_s.value > drained + pod.longest_ms.value / 1000


def test_the_dockerfile_serves_as_nobody_what_nobody_can_change() -> None:
    """Parsed, not built: instructions, their order, and none that is unknown."""
    known = {
        "FROM", "COPY", "RUN", "USER", "WORKDIR", "ENV", "LABEL", "EXPOSE", "HEALTHCHECK", "STOPSIGNAL", "CMD",
    }  # fmt: skip
    for engine in ENGINES:
        lines = rendered(engine, deployment(engine))["Dockerfile"].splitlines()
        words = [line.split()[0] for line in lines if line and not line.startswith("#")]
        assert set(words) <= known, engine.name
        assert words[0] == "FROM"
        assert words.index("USER") < words.index("CMD")
        assert "COPY --chmod=0555 . /srv/deployment" in lines
        assert words.count("HEALTHCHECK") == words.count("CMD") == 1
        assert ast.literal_eval(lines[-1].removeprefix("CMD ")) == list(engine.start)


def test_requirements_come_from_the_evidence_and_the_engine() -> None:
    engine = engine_named("fastapi")
    found = dict(pages.pins(engine, deployment(engine)))
    assert found["onnxruntime==1.32.0"] == "mnist_cnn was measured with it"
    assert found["numpy"] == "the evidence has none"
    assert found["uvicorn==0.54.0"] == "FastAPI, as it was tried"


def test_models_of_different_versions_of_a_runtime_do_not_go_together() -> None:
    engine, other = engine_named("fastapi"), content("other", runtime_packages={"onnxruntime": "1.31.0"})
    with pytest.raises(UserError, match="measured with different versions of onnxruntime"):
        pages.pins(engine, deployment(engine, content(), other))


def test_a_file_that_changes_while_it_is_copied_is_noticed(tmp_path: Path) -> None:
    from mlopt.core.errors import IntegrityError

    one = content()
    (tmp_path / "model.onnx").write_bytes(b"other")
    held = replace(one, verified=replace(one.verified, directory=tmp_path))
    engine = engine_named("fastapi")
    (tmp_path / "out").mkdir()
    with pytest.raises(IntegrityError, match="changed while it was copied"):
        pages.write(tmp_path / "out", engine, deployment(engine, held))
