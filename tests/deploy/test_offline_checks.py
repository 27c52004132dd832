"""Every manifest passes the strictest check there is without a cluster; a table says what each check cannot see."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import deployed
import engine_homes
import pytest
from deployed import content, deployment, pair, rendered

from mlopt.deploy.table import ENGINES, engine_named

pytestmark = pytest.mark.slow
CHECKS = Path(deployed.__file__).parent / "offline_checks.py"
DOCS = deployed.ROOT / "docs" / "deploy.md"
NO_SCHEMA = "no schema"


@dataclass(frozen=True)
class Planted:
    """A misspelling in a file, and whether its check sees it."""

    engine: str
    path: str
    right: str
    wrong: str
    caught: bool

    @property
    def row(self) -> str:
        """The line of the table in the documentation."""
        told = "caught" if self.caught else "not caught"
        right, wrong = (each.split("\n")[0].rstrip(":") for each in (self.right, self.wrong))
        return f"| `{self.path}` | `{right}` as `{wrong}` | {told} |"


PLANTED = (
    Planted("fastapi", "k8s/deployment.yaml", "readinessProbe", "readynessProbe", True),
    Planted("fastapi", "k8s/deployment.yaml", "REGISTRY/mnist-cnn", "REGISTRI/mnist-cnn", False),
    Planted("fastapi", "k8s/service.yaml", "targetPort", "targetport", True),
    Planted("fastapi", "k8s/service.yaml", "targetPort: http", "targetPort: htpp", False),
    Planted("fastapi", "k8s/pdb.yaml", "maxUnavailable", "maxUnavailabel", True),
    Planted(
        "fastapi", "k8s/networkpolicy.yaml", "podSelector:\n    matchLabels", "podSelektor:\n    matchLabels", True
    ),
    Planted("fastapi", "k8s/networkpolicy.yaml", "app.kubernetes.io/name", "app.kubernetes.io/nmae", False),
    Planted("fastapi", "k8s/hpa.yaml", "averageUtilization", "averageUtilisation", True),
    Planted("fastapi", "k8s/keda.yaml", "triggers", "trigers", False),
    Planted("kserve", "k8s/inferenceservice.yaml", "minReplicas", "minReplica", True),
    Planted("kserve", "k8s/inferenceservice.yaml", "readinessProbe", "readynessProbe", True),
    Planted("kserve", "k8s/inferenceservice.yaml", "deploymentMode", "deploymentMod", False),
    Planted("kserve", "k8s/inferenceservice-canary.yaml", "trafficPercent", "traficPercent", True),
    Planted("triton", "model_repository/mnist_cnn/config.pbtxt", "max_queue_size", "max_queue_sise", True),
    Planted("triton", "model_repository/mnist_cnn/config.pbtxt", 'backend: "python"', 'backend: "pithon"', False),
    Planted("triton", "native_onnxruntime/mnist_cnn/config.pbtxt", "KIND_CPU", "KIND_CPUS", True),
    Planted("triton", "native_onnxruntime/mnist_cnn/config.pbtxt", "intra_op_thread_count", "intra_op_threads", False),
)


def check_of(path: str) -> tuple[str, str]:
    """Return the environment and the check for a file."""
    if path.endswith(".pbtxt"):
        return "triton", "pbtxt"
    return ("kserve", "kserve") if "inferenceservice" in path else ("k8s", "k8s")


def checked(paths: list[Path], home: str, check: str) -> dict[str, str | None]:
    command = [engine_homes.python(home), CHECKS, check, *paths]
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, env=deployed.environment(), timeout=120
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


def put(folder: Path, path: str, text: str) -> Path:
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


@pytest.mark.parametrize("home", ["k8s", "kserve", "triton"])
def test_all_that_is_written_passes(home: str, tmp_path: Path) -> None:
    files = []
    for engine in ENGINES:
        for number, contents in enumerate([(content(),), (content("a"), content("b")), pair()]):
            for path, text in rendered(engine, deployment(engine, *contents)).items():
                if path.endswith((".yaml", ".pbtxt")) and path.startswith(("k8s", "model_", "native")):
                    files += [put(tmp_path / f"{engine.name}{number}", path, text)] if check_of(path)[0] == home else []
    assert files
    found = checked(files, home, check_of(str(files[0]))[1])
    wrong = {name: said for name, said in found.items() if said is not None}
    assert {Path(name).name: said for name, said in wrong.items()} == (
        {"keda.yaml": NO_SCHEMA} if home == "k8s" else {}
    )


@pytest.mark.parametrize("home", ["k8s", "kserve", "triton"])
def test_a_misspelling_is_caught_or_listed_as_not_caught(home: str, tmp_path: Path) -> None:
    mine = [each for each in PLANTED if check_of(each.path)[0] == home]
    files = []
    for number, each in enumerate(mine):
        engine = engine_named(each.engine)
        text = rendered(engine, deployment(engine))[each.path]
        assert each.right in text, each
        files.append(put(tmp_path / str(number), each.path, text.replace(each.right, each.wrong, 1)))
    found = checked(files, home, check_of(mine[0].path)[1])
    seen = {each: found[str(file)] not in (None, NO_SCHEMA) for each, file in zip(mine, files, strict=True)}
    assert seen == {each: each.caught for each in mine}
    text = DOCS.read_text()
    assert [each.row for each in mine if each.row not in text] == []
