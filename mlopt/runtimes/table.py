"""The runtimes that mlopt knows: one line each, and those that other packages bring.

Another package adds runtimes through the entry-point group ``mlopt.runtimes``; each entry point names a ``Runtime``.
For a runtime of mlopt's own no other package is loaded, so a broken one stops nobody who does not use it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

from mlopt.core import plugins
from mlopt.core.errors import MissingPackage, ModelError
from mlopt.formats.model import Kind, Model
from mlopt.runtimes import onnxruntime, openvino, tensorrt, torch
from mlopt.runtimes.base import Array, Deployable, Feeds, Runtime, RuntimeOptions, Session
from mlopt.runtimes.fixed import held

BUILTIN: tuple[Runtime[Any], ...] = (
    onnxruntime.RUNTIME,
    torch.RUNTIME,
    openvino.RUNTIME,
    tensorrt.RUNTIME,
)
_GROUP = "mlopt.runtimes"


def table() -> dict[str, Runtime[Any]]:
    """Return all runtimes by name; raises ``PluginError``."""
    return plugins.extended(_GROUP, BUILTIN, Runtime, "runtime")


def runtime_named(name: str, made_with: str | None = None) -> Runtime[Any]:
    """Return a runtime; raises ``MissingPackage`` for one that nobody here knows.

    ``made_with`` says which packages there were where it was chosen.
    """
    own = next((each for each in BUILTIN if each.name == name), None)
    if own is not None:
        return own
    every = table()
    if name not in every:
        raise MissingPackage(
            f"no installed package brings the runtime '{name}'", expected=f"one of {', '.join(every)}",
            got=made_with and f"chosen where there was {made_with}",
            fix=f"install the package that brings it (an entry point in the group {_GROUP})",
        )  # fmt: skip
    return every[name]


def runtimes_of(kind: Kind, wanted: Sequence[str] = ()) -> list[Runtime[Any]]:
    """Return the runtimes that take models of a kind: those of ``wanted``, in its order, then the others."""
    own = [each for each in BUILTIN if kind in each.kinds]
    enough = any(not each.missing for each in own) and {each.name for each in BUILTIN}.issuperset(wanted)
    every = own if enough else [each for each in table().values() if kind in each.kinds]
    return sorted(every, key=lambda each: wanted.index(each.name) if each.name in wanted else len(wanted))


def deploy(model: Model, common: RuntimeOptions, wanted: Sequence[str] = ()) -> Deployable:
    """Return how a model is run unless a pass says otherwise: in the first of ``wanted`` that takes it, else any.

    One that is installed goes before one that is not. Raises ``ModelError`` if no runtime takes models of this kind.
    """
    every = runtimes_of(model.kind, wanted)
    if not every:
        known = ", ".join(sorted({kind for each in table().values() for kind in each.kinds}))
        raise ModelError("no runtime runs models of this kind", got=model.kind, expected=known)
    fit = [each for each in every if common.device in each.devices] or every
    chosen = next((each for each in fit if not each.missing), fit[0])
    return Deployable(model, chosen.name, _defaults(chosen, common))


def deployed_after(
    before: Deployable, model: Model, common: RuntimeOptions, wanted: Sequence[str] = (),
    runtime: str | None = None, options: RuntimeOptions | None = None,
) -> Deployable:  # fmt: skip
    """Return how what a step wrote is run: as the step says, else as an earlier one said, else as ``deploy`` does.

    What an earlier step said holds for as long as its runtime takes what is written. Raises ``ModelError`` for options
    or a kind that the runtime does not take.
    """
    said = before != deploy(before.model, common, wanted)
    if runtime is not None:
        chosen = _taking(runtime, model)
        kept = before.options if runtime == before.runtime else _defaults(chosen, common)
    elif said and model.kind in runtime_named(before.runtime).kinds:
        chosen, kept = runtime_named(before.runtime), before.options
    else:
        default = deploy(model, common, wanted)
        chosen, kept = runtime_named(default.runtime), default.options
    if options is not None and not isinstance(options, chosen.options):
        raise ModelError(
            f"these are no options of the runtime '{chosen.name}'", where=str(model.path),
            got=type(options).__name__, expected=chosen.options.__name__,
        )  # fmt: skip
    return Deployable(model, chosen.name, options or kept)


def other_runtime(deployable: Deployable, name: str) -> Deployable:
    """Return the same model in another runtime, on as many threads; in its own it stays as it is.

    Raises ``ModelError`` where that runtime takes no such model or device, ``MissingPackage`` where it is not there.
    """
    if name == deployable.runtime:
        return deployable
    chosen, device = _taking(name, deployable.model), deployable.options.device
    if device not in chosen.devices:
        raise ModelError(
            f"the runtime '{name}' does not run on this device", where=str(deployable.model.path), got=device,
            expected=" or ".join(sorted(chosen.devices)),
        )  # fmt: skip
    if chosen.missing:
        raise MissingPackage(f"{' and '.join(chosen.missing)} is not installed", got=name, fix=chosen.install)
    return Deployable(deployable.model, name, _defaults(chosen, deployable.options))


def exactly(deployable: Deployable) -> Deployable:
    """Return the same, computing in the model's own precision."""
    options = runtime_named(deployable.runtime).exactly(deployable.options)
    return Deployable(deployable.model, deployable.runtime, options)


def choices(deployable: Deployable, *, one_size: bool) -> tuple[Deployable, ...]:
    """Return the ways to open a model in its runtime among which the fastest is looked for, the exact ones first.

    ``one_size``: all that it is fed with has the same sizes.
    """
    runtime, model = runtime_named(deployable.runtime), deployable.model
    found = runtime.choices(deployable.options, one_size)
    return tuple(Deployable(model, runtime.name, options) for options in found if runtime.has(model, options))


def that_checks_sizes(deployable: Deployable) -> Deployable:
    """Return the model as it runs where a feed that does not fit is an error, if a runtime here does that."""
    every = [runtime_named(deployable.runtime), *runtimes_of(deployable.model.kind)]
    fit = (
        each for each in every if each.checks_sizes and not each.missing and deployable.options.device in each.devices
    )
    return other_runtime(deployable, next(fit, every[0]).name)


def elsewhere(deployable: Deployable) -> Iterator[str]:
    """Yield the other installed runtimes that take such models and run on the device: one may take what it refuses."""
    kind, device = deployable.model.kind, deployable.options.device
    for each in runtimes_of(kind):
        if each.name != deployable.runtime and not each.missing and device in each.devices:
            yield each.name


def _taking(name: str, model: Model) -> Runtime[Any]:
    found = runtime_named(name)
    if model.kind not in found.kinds:
        raise ModelError(
            f"the runtime '{name}' does not run this kind of model", where=str(model.path), got=model.kind,
            expected=", ".join(sorted(found.kinds)),
        )  # fmt: skip
    return found


def _defaults(runtime: Runtime[Any], common: RuntimeOptions) -> RuntimeOptions:
    options: RuntimeOptions = runtime.options(threads=common.threads, device=common.device)
    return options


@contextmanager
def open_session(deployable: Deployable) -> Iterator[Session]:
    """Open a model as it is deployed; raises ``ModelError`` or ``MissingPackage``.

    A model that is fixed to sizes or values refuses others, whatever its runtime would do.
    """
    model, runtime = deployable.model, runtime_named(deployable.runtime)
    errors = runtime.errors()
    with ExitStack() as stack:
        try:
            session = stack.enter_context(runtime.open(model, deployable.options))
        except errors as error:
            raise _told(error, model, f"{runtime.name} refuses the model") from error
        yield held(_Explained(session, model, runtime.name, errors) if errors else session, model)


def open_default(model: Model, common: RuntimeOptions) -> AbstractContextManager[Session]:
    """Open a model in the first runtime that takes it; raises ``ModelError`` or ``MissingPackage``."""
    return open_session(deploy(model, common))


class _Explained:
    """A session whose library's exceptions are told as ``ModelError``."""

    def __init__(self, session: Session, model: Model, name: str, errors: tuple[type[Exception], ...]) -> None:
        self.inputs, self.outputs = session.inputs, session.outputs
        self._session, self._model, self._name, self._errors = session, model, name, errors

    def run(self, feeds: Feeds) -> dict[str, Array]:
        try:
            return self._session.run(feeds)
        except self._errors as error:
            raise _told(error, self._model, f"{self._name} could not run the model") from error


def _told(error: Exception, model: Model, what: str) -> Exception:
    if isinstance(error, ModelError | MissingPackage):
        return error
    return ModelError(what, where=str(model.path), got=f"{type(error).__name__}: {' '.join(str(error).split())}"[:400])
