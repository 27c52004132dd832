"""One way to run a model, whatever runs it underneath: what a runtime is, and a model with how it is run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from mlopt.core.packages import install_command, version
from mlopt.core.target import MAX_THREADS, Objective
from mlopt.formats.model import Kind, Model, TensorSpec
from mlopt.results.timing import Layer, NodeTime

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]
else:
    Array = Any  # options of runtimes are read by what needs no NumPy
Feeds = Mapping[str, Array]


class RuntimeOptions(BaseModel):
    """How a model is opened: what was measured, and therefore what a deployment must use. Stored in the artifact.

    This is what all runtimes have in common; each has a type of its own that adds to it, with a default for each key.
    Artifacts of strangers are read too, so such a type is closed: each key is one that mlopt writes, each value one of
    a few. Nothing in it names a file or a library, or is passed on to a library as it stands: libraries have settings
    that write files and load code.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    threads: int = Field(ge=1, le=MAX_THREADS)
    device: Literal["cpu", "cuda"] = "cpu"

    @property
    def beyond_defaults(self) -> str:
        """What is not as the runtime does by itself, threads and device apart: ``bf16 static``."""
        said = self.model_dump(mode="json", exclude_defaults=True, exclude={"threads", "device"})
        return " ".join(value if isinstance(value, str) else f"{name}={value}" for name, value in said.items())


O = TypeVar("O", bound=RuntimeOptions)  # noqa: E741 - as C is a pass's configuration


Identity = tuple[str, str, RuntimeOptions]


@dataclass(frozen=True)
class Deployable:
    """What is measured, scored, compared, shipped and loaded: one file can answer differently in another runtime."""

    model: Model
    runtime: str
    options: RuntimeOptions

    @property
    def identity(self) -> Identity:
        """What two of them have in common if they are the same, wherever their files lie."""
        return self.model.digest, self.runtime, self.options

    @property
    def where(self) -> str:
        """What it runs in, and how, where that is not the default: ``openvino bf16 static``."""
        return f"{self.runtime} {self.options.beyond_defaults}".rstrip()

    def on_threads(self, threads: int) -> Deployable:
        """Return the same with so many threads."""
        return replace(self, options=self.options.model_copy(update={"threads": threads}))


class Session(Protocol):
    """An open model. ``run`` takes and returns arrays by name, and may be called again and again."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def run(self, feeds: Feeds) -> dict[str, np.ndarray[Any, Any]]:
        """Run one inference."""
        ...


Profile = Callable[[Model, O, Iterator[Feeds], float], list[NodeTime]]
"""Time the nodes for about so many seconds, after warming up; returns them in the order in which they first ran."""


def as_given(options: O, _one_size: bool) -> tuple[O, ...]:
    """Leave no choice."""
    return (options,)


@dataclass(frozen=True)
class Runtime(Generic[O]):
    """A library that runs models of some kinds."""

    name: str
    kinds: frozenset[Kind]
    options: type[O]
    open: Callable[[Model, O], AbstractContextManager[Session]]
    """Load a model; raises ``ModelError`` when the library refuses it, ``MissingPackage`` when it is absent."""
    devices: frozenset[str] = frozenset({"cpu"})
    packages: tuple[str, ...] = ()
    """The distributions that it takes, whose versions can change outputs and times."""
    extra: str | None = None
    """The extra of mlopt that brings them; None if they are installed under their own names."""
    profile: Profile[O] | None = None
    """Time a model operator by operator; None if the library cannot tell."""
    layers: Callable[[Model, O], list[Layer]] | None = None
    """Load a model and tell what the library made of it, and in which precision; None if the library cannot tell."""
    errors: Callable[[], tuple[type[Exception], ...]] = tuple
    """What the library raises about a model or its inputs: it is told as ``ModelError``, in the library's words."""
    remark: Callable[[Model, O], str | None] = lambda _model, _options: None
    """What is to be known of this model on this CPU, if anything."""
    safe_isa: Callable[[Model], tuple[str, ...]] | None = None
    """The instruction sets of which a CPU needs one to compute the model right; empty if any does, None: not known."""
    choices: Callable[[O, bool], tuple[O, ...]] = as_given
    """``choices(options, one_size)``: the ways to open a model among which a recipe looks for the fastest, those that
    keep full precision first; ``one_size``: all that it is fed with has the same sizes."""
    has: Callable[[Model, O], bool] = lambda _model, _options: True
    """Whether a model has what options ask for, of those with files for several ways to run it."""
    exactly: Callable[[O], O] = lambda options: options
    """The same options, computing in the model's own precision: what says whether a step changed the model."""
    checks_sizes: bool = True
    """Whether it refuses sizes that do not go together, so that a feed which it answers is one that the model takes."""
    about: Callable[[], Mapping[str, str]] = dict
    """What the library says of this machine once it is imported (devices, precisions, telemetry), by what it is."""
    tunings: Callable[[Model, O, Objective], Mapping[str, O]] | None = None
    """Options worth a try for this model instead of those given, the most promising first, each by what it changes:
    ways to compute the same, of which only measuring tells the fastest. None if the library has nothing to choose."""
    library: Callable[[], object] | None = None
    """Import it, with what it must be told first (no telemetry); None: under the names of its packages, as they are."""

    def __post_init__(self) -> None:
        """Refuse options that would take from a stranger's artifact what nobody looks at."""
        config = self.options.model_config
        if config.get("extra") != "forbid" or not config.get("frozen"):
            raise TypeError(f"{self.options.__name__} must be frozen and forbid extra keys, as RuntimeOptions does")

    @property
    def missing(self) -> tuple[str, ...]:
        """Those of its packages that are not installed."""
        return tuple(name for name in self.packages if version(name) is None)

    @property
    def install(self) -> str:
        """The command that brings what is missing, or what there is."""
        return install_command(self.extra) if self.extra else f"pip install {' '.join(self.missing or self.packages)}"
