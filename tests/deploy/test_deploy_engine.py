"""What an engine is told of a deployment."""

from __future__ import annotations

from deployed import content, deployment

from mlopt.deploy.engine import Page, beside, each_ready
from mlopt.deploy.table import engine_named


def test_a_deployment_names_its_models() -> None:
    engine = engine_named("fastapi")
    found = deployment(engine, content(), content("other"))
    assert found.digests == f"mnist_cnn={'d' * 64},other={'d' * 64}"
    assert list(each_ready(found)) == ["/v2/models/mnist_cnn/ready", "/v2/models/other/ready"]
    assert beside(content()) == "models/mnist_cnn/3"
    assert not Page("a", "b").executable
