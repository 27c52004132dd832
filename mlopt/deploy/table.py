"""The engines that `mlopt deploy` writes for; another one is one more file and one more line."""

from __future__ import annotations

from mlopt.core.errors import UserError
from mlopt.deploy.engine import ServingEngine
from mlopt.deploy.engines import bentoml, fastapi, kserve, ray_serve, triton

ENGINES: tuple[ServingEngine, ...] = (
    triton.ENGINE,
    bentoml.ENGINE,
    kserve.ENGINE,
    ray_serve.ENGINE,
    fastapi.ENGINE,
)


def engine_named(name: str) -> ServingEngine:
    """Return an engine; raises ``UserError`` for one that is not here."""
    found = next((each for each in ENGINES if each.name == name), None)
    if found is None:
        known = ", ".join(each.name for each in ENGINES)
        raise UserError("no such engine", got=repr(name[:40]), expected=known, fix="--to triton, for one")
    return found
