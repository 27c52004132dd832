"""What a pass is: its configuration, what it declares, what it gets and what it gives back.

The framework (``mlopt.run.step``) checks every declaration after each run; a pass only does its own work. A pass runs
in a worker process of its own: a crash in a native library is a failed step, never a lost run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, JsonValue

from mlopt.core.cache import Store
from mlopt.core.errors import Problem
from mlopt.core.hardware import Gpu, Hardware
from mlopt.core.target import Objective, Target
from mlopt.data.dataset import Dataset
from mlopt.formats.model import Kind, Model, TensorSpec
from mlopt.results.budget import Budget
from mlopt.results.timing import Measuring, Rival
from mlopt.runtimes.base import Deployable, RuntimeOptions


@dataclass(frozen=True)
class Interface:
    """What a model is to those who feed it, as far as a pass may fix it (see ``mlopt.formats.model.Model``)."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...] = ()
    defaults: tuple[str, ...] = ()
    sizes: tuple[tuple[str, int], ...] = ()

    @classmethod
    def of(cls, model: Model) -> Self:
        """Return a model's."""
        return cls(model.inputs, model.outputs, model.defaults, model.sizes)


class Searched:
    """Marks a key of a configuration that a search may set: ``Annotated[int, Searched(1, 2, mode="static")]``."""

    def __init__(self, *values: JsonValue, **when: JsonValue) -> None:
        self.values = values
        """What to try, besides the key's default and what a recipe says."""
        self.when = when
        """Other keys of the configuration, with the one value of each at which this key means something."""


class PassConfig(BaseModel):
    """The base of every pass's configuration: frozen, unknown keys forbidden, each field with a description."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def space(cls) -> dict[str, Searched]:
        """Return the keys that a search may set."""
        marks = ((key, mark) for key, field in cls.model_fields.items() for mark in field.metadata)
        return {key: mark for key, mark in marks if isinstance(mark, Searched)}

    @property
    def searches(self) -> bool:
        """Whether the pass, so configured, measures this machine and stops where the recipe's gates would.

        The result then depends on both.
        """
        return False

    @property
    def follows_runtime(self) -> bool:
        """Whether what the pass, so configured, writes depends on the runtime that it is to run in."""
        return self.searches

    @property
    def trains(self) -> bool:
        """Whether the pass trains if it is so configured; see ``Pass.trains``."""
        return False

    @property
    def takes_exact(self) -> bool:
        """Whether the pass, so configured, works on the model before the first lossy step as well.

        It then gets that (``Context.exact``) and calibration data, where there are any.
        """
        return False

    @property
    def named(self) -> Mapping[str, str]:
        """The files, and functions such as ``./file.py:function``, that the configuration names, by key.

        They are relative to the recipe. Their contents belong to what the result depends on.
        """
        return {}

    def without_python(self, source: str) -> str | None:
        """Return how to do with the file ``source``, where the pass takes PyTorch models alone; None: not at all.

        It is the first part of a sentence that says what would help.
        """
        del source
        return None

    def lacking(self, gpu: Gpu | None) -> Iterable[Problem]:
        """Return what the pass, so configured, needs beyond what it declares, and this machine lacks.

        ``where`` is the key, such as ``backend``, if it is about one.
        """
        del gpu
        return ()

    def within(self, seconds: float) -> Self:
        """Return the configuration whose search takes no longer: where a key ``seconds`` limits it, that is lowered."""
        limit = getattr(self, "seconds", None)
        return self if limit is None or limit <= seconds else self.model_copy(update={"seconds": seconds})

    @property
    def foreign(self) -> bool:
        """Whether the pass, so configured, writes for a runtime that is not measured here: speed then says nothing."""
        return self.writes_form not in (None, "onnxruntime")

    @property
    def writes_form(self) -> str | None:
        """The runtime in whose form of INT8 or of operators the pass, so configured, writes; None: all read it."""
        return None

    @property
    def reads_form(self) -> str | None:
        """The only such form that the pass, so configured, reads; None: any."""
        return None

    @property
    def only_in(self) -> tuple[str, str] | None:
        """The runtime that alone is sure to read what the pass, so configured, writes, and how to write it for all."""
        return None

    def narrowed(self, interface: Interface) -> Interface:
        """Return what the pass, so configured, makes of such an interface.

        Nothing but sizes and values may be fixed in it; the framework holds the result to that, and to no more.
        """
        return interface

    def misfits(self, interface: Interface) -> Iterable[Problem]:
        """Return what in the configuration fits no model like this; ``where`` is the key, such as ``dims.batch``."""
        del interface
        return ()

    def unlike(self, interface: Interface, data: Dataset, role: str, batch_size: int) -> Iterable[Problem]:
        """Return where samples are not what the pass, so configured, makes the model for; ``where`` as of ``misfits``.

        ``role`` is what the recipe calls the data, and ``batch_size`` the samples in one inference.
        """
        del interface, data, role, batch_size
        return ()


C = TypeVar("C", bound=PassConfig)


@dataclass(frozen=True)
class Requires:
    """What a pass needs beyond the core of mlopt; checked before any work starts."""

    extra: str | None = None
    """The extra of mlopt that brings the packages."""
    packages: tuple[str, ...] = ()
    """Distribution names whose versions change the result, so they belong to the fingerprint."""
    uses: tuple[str, ...] = ()
    """Distribution names that change the result where they are installed, and that it can do without."""
    gpu: bool = False
    calibration: bool = False
    """Whether calibration data must be there. A pass that can do without decides in ``refuse``."""
    training: bool = False
    """Whether the pass trains, however it is configured; see ``Pass.trains``."""
    device_bound: bool = False
    """Whether the result depends on the CPU's instruction set or on the GPU and driver."""


@dataclass(frozen=True)
class Context:
    """What a pass may use besides its model and configuration."""

    out: Path
    """An empty directory; everything that the pass writes goes here."""
    target: Target
    objective: Objective
    hardware: Hardware
    calibration: Dataset | None = None
    """Samples to calibrate on; never shared with the evaluation."""
    samples: Dataset | None = None
    """A few real samples, for a pass that checks itself; the framework checks parity on them afterwards."""
    inputs: tuple[TensorSpec, ...] = ()
    """The declared inputs (from the recipe), for a source that does not know its own, such as PyTorch."""
    outputs: tuple[str, ...] = ()
    """The declared output names, or none."""
    budget: Budget = field(default_factory=Budget)
    """What the recipe lets a lossy pass lose."""
    deployable: Deployable | None = None
    """The pass's model with the runtime and the options that it would be deployed with as it is."""
    measuring: Callable[[Deployable, Dataset, int, Path], Measuring] | None = None
    """Makes what times versions of a model, for a pass that searches: of the model as it is deployed, samples, a batch
    size and a folder for logs. Without it nothing can be measured."""
    rival: Rival | None = None
    """What may be shipped, in another runtime, instead of the pass's model: of use is only what is faster than this.
    Told to a pass that measures."""
    store: Store | None = None
    """The cache, for what a pass learns that outlives a change of its configuration, such as the ranges of tensors."""
    train: Dataset | None = None
    """Samples to train on, for a pass that says so; mapped from disk, and never shared with the evaluation."""
    base: Path = Path()
    """The recipe's folder: what ``PassConfig.named`` gives lies there."""
    source: Model | None = None
    """The recipe's model, as it was before any step."""
    exact: Model | None = None
    """The ONNX model before the first lossy step, for a pass that takes it; None if there was no such step."""
    unfinished: Path | None = None
    """A folder that outlives the run if it is killed, for a pass that can go on; it need not be there yet."""


@dataclass(frozen=True)
class PassResult:
    """What a pass wrote, and what its report should say."""

    path: Path
    """The model inside ``Context.out``: a file such as the ``.onnx`` one, or what else the kind's format opens."""
    notes: Mapping[str, Any] = field(default_factory=dict)
    """JSON-able facts for the report: fusions that fired, nodes left alone and why, a fallback taken."""
    runtime: str | None = None
    """What the model is to be run in; None: what ran the pass's input, if it takes the kind, else the target's."""
    options: RuntimeOptions | None = None
    """How the model is to be opened there, until a later pass says otherwise; None: as the pass's input was."""


@dataclass(frozen=True)
class Refusal:
    """ "Not applicable" as a value: the pass did nothing, and says why in one sentence."""

    reason: str
    notes: Mapping[str, Any] = field(default_factory=dict)
    """As of ``PassResult``: what it found out before it gave up."""


def never(_model: Model, _config: PassConfig, _context: Context) -> None:
    """Refuse nothing; a function with a name, since a pass travels to its worker."""


@dataclass(frozen=True)
class Pass(Generic[C]):
    """One plug-in. ``version`` is bumped whenever its output can change.

    It is handed to its worker, so its functions stand at the top of a module.
    """

    name: str
    version: int
    summary: str
    accepts: frozenset[Kind]
    produces: Kind
    config: type[C]
    run: Callable[[Model, C, Context], PassResult | Refusal]
    requires: Requires = Requires()
    lossy: bool = False
    """Lossless passes must keep parity with their input; lossy ones answer to the gates."""
    refuse: Callable[[Model, C, Context], str | None] = never
    """A reason why the pass does not apply, from what is known without running it; None if it does."""
    proposed: bool = False
    """Whether a search may add it, with its defaults, to a chain that lacks it: it needs nothing that not all have."""

    def trains(self, config: C) -> bool:
        """Whether a step gets ``data.train``, which must be there then, and depends on it."""
        return self.requires.training or config.trains
