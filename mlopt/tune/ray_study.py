"""What a study needs on other machines: its request as it travels, files that must be there, the cores of a call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, cast

from mlopt.core.errors import UserError
from mlopt.core.hardware import usable_cores
from mlopt.core.shared_cache import configured
from mlopt.run.request import Request
from mlopt.tune.executor import Laboratory
from mlopt.tune.laboratory import RecipeLaboratory
from mlopt.tune.on_ray import RayExecutor


class _Opens(Protocol):
    """A frozen dataclass that makes the laboratory of a request."""

    @property
    def request(self) -> Request: ...

    def __call__(self) -> Laboratory: ...


def on_cluster(address: str) -> Callable[[_Opens, RecipeLaboratory], RayExecutor]:
    """Return what makes the executor of a study that is done on the cluster at ``address``.

    It raises ``UserError`` for a target that the cluster cannot measure.
    """

    def make(opening: _Opens, laboratory: RecipeLaboratory) -> RayExecutor:
        loaded = laboratory.prepared.planned.loaded
        target = loaded.recipe.target
        if target.device != "cpu":
            fix = "leave --ray out: the study is then done on this machine"
            raise UserError("a cluster measures on CPUs only", where="--ray", got=f"device: {target.device}", fix=fix)
        request = travelling(opening.request)
        named = list(files_named(loaded.recipe.model_dump(mode="json"), loaded.base))
        own = [each for each in (request.source, request.data) if each is not None]
        return RayExecutor(
            address, replace(cast(Any, opening), request=request), files=sorted({*own, *named}),
            shared=laboratory.started.store.root if request.use_cache and configured() is None else None,
            threads=target.threads or usable_cores(),
        )  # fmt: skip

    return make


def travelling(request: Request) -> Request:
    """Return a request that means the same in another working folder, and that has nothing to sign with."""
    source, data = request.source.absolute(), request.data.absolute() if request.data else None
    return replace(request, source=source, data=data, key=None, signer=None, sign=False)


def files_named(value: Any, base: Path) -> Iterator[Path]:
    """Yield each file that stands anywhere in a recipe, as ``./x.npz`` or ``./x.py:function``."""
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from files_named(each, base)
    elif isinstance(value, str) and 0 < len(value) < 1024 and "\0" not in value:
        path = base / value.partition(":")[0]
        if path.is_file():
            yield path.resolve()
