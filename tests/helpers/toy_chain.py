"""A world of toys for the loop over steps: models are lines of text that say what wrote them, and no process starts.

A model of kind PyTorch is ``torch: net prune``, and ``export`` makes ``onnx: net prune export`` of it. Inside
``third_kind`` there are models of a kind of the toys' own, with a format and a runtime: ``toy: net export lower``.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, cast

import pytest
from deployables import in_runtime

from mlopt.core.cache import Store
from mlopt.core.cache_entry import Entry, Key
from mlopt.core.errors import PassError
from mlopt.core.hardware import Hardware
from mlopt.core.target import Objective, Target
from mlopt.core.worker import WorkerDiedError
from mlopt.formats import table as formats
from mlopt.formats.base import Format
from mlopt.formats.model import ONNX, TORCH, Kind, Model, TensorSpec
from mlopt.passes.base import Context, Pass, PassConfig, PassResult, Refusal, Requires
from mlopt.recipe.schema import Step
from mlopt.results.budget import Budget
from mlopt.run import loop, step
from mlopt.run.outcomes import Outcome, Trial, TrialVerdict
from mlopt.run.step import Job
from mlopt.runtimes import table as runtimes
from mlopt.runtimes.base import Deployable, Runtime, RuntimeOptions

TOY = Kind("toy")
BOTH = Target(runtime=("onnxruntime", "toys"))
"""The target of results of two kinds."""
SPEC = TensorSpec("x", "float32", ("batch", 4))
Does = Literal["work", "nothing", "change", "refuse", "fail", "crash"]


class Toy(PassConfig):
    """What a step is to do: work, write what it got, change a result, say no, raise, or take its process down."""

    does: Does = "work"
    only_after: str = ""
    """A pass without which it fails."""
    reader: str = ""
    """The runtime that alone reads what it writes."""
    follows: bool = False
    """Whether what it writes depends on the runtime."""

    @property
    def follows_runtime(self) -> bool:
        return self.follows

    @property
    def only_in(self) -> tuple[str, str] | None:
        return (self.reader, "") if self.reader else None


def act(model: Model, config: Toy, context: Context) -> PassResult | Refusal:
    """Write the model with the name of the pass, which the folder has, at its end."""
    text, name = model.path.read_text(), context.out.name
    if config.does == "fail" or config.only_after not in text:
        raise PassError("it cannot be done", got="a toy")
    if config.does == "crash":
        raise WorkerDiedError("it was ended by SIGSEGV")
    if config.does == "refuse":
        return Refusal("there is nothing to do")
    written = text if config.does == "nothing" else f"{text} {name}{'!' if config.does == 'change' else ''}"
    path = context.out / "model.txt"
    path.write_text(written)
    return PassResult(path)


def toy(name: str, accepts: set[Kind], produces: Kind, *, lossy: bool = False, trains: bool = False) -> Pass[Any]:
    return Pass(
        name=name, version=1, summary="", accepts=frozenset(accepts), produces=produces, config=Toy, run=act,
        lossy=lossy, requires=Requires(training=trains),
    )  # fmt: skip


PASSES = {
    each.name: each
    for each in (
        toy("prune", {TORCH}, TORCH, lossy=True),
        toy("distill", {TORCH}, TORCH, lossy=True, trains=True),
        toy("rewrite", {TORCH}, TORCH),
        toy("export", {TORCH}, ONNX),
        toy("compress", {TORCH}, ONNX, lossy=True),
        toy("either", {TORCH, ONNX}, ONNX),
        toy("simplify", {ONNX}, ONNX),
        toy("quantize", {ONNX}, ONNX, lossy=True),
        toy("lower", {ONNX}, TOY),
        toy("press", {TORCH}, TOY, lossy=True),
        toy("compile", {TORCH, ONNX}, TOY),
        toy("lift", {TOY}, ONNX),
        toy("round", {TOY}, TOY, lossy=True),
        toy("any", {ONNX, TOY}, TOY),
    )
}


@contextmanager
def third_kind() -> Iterator[None]:
    """Put a format and a runtime of toys into the tables of mlopt."""

    def nothing(*_: Any) -> Any:
        raise AssertionError("nobody opens a toy")

    form = Format(TOY, "a toy", (".toy",), "model.toy", nothing)
    runtime = Runtime("toys", frozenset({TOY}), RuntimeOptions, nothing)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(formats, "BUILTIN", (*formats.BUILTIN, form))
        patch.setattr(runtimes, "BUILTIN", (*runtimes.BUILTIN, runtime))
        yield


def steps(text: str, **configs: Mapping[str, Any]) -> list[Step]:
    """Read ``prune? export``: names of passes, with a question mark at optional ones."""
    names = [(each.rstrip("?"), each.endswith("?")) for each in text.split()]
    return [Step(name=name, config=Toy(**configs.get(name, {})), optional=optional) for name, optional in names]


class Memory:
    """A cache that forgets when the test ends."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.folder = Path(tempfile.mkdtemp(prefix="toys-"))
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    def get(self, key: Key) -> Entry | None:
        return self.entries.get(key.fingerprint)

    def why_missing(self, _key: Key) -> str:
        return "not done before"

    def unfinished(self, key: Key) -> Path:
        return self.folder / "unfinished" / key.fingerprint

    def fetch(self, key: Key, make: Callable[[Path], Mapping[str, Any]]) -> tuple[Entry, bool]:
        if (found := self.get(key)) is not None:
            return found, True
        path = self.folder / key.fingerprint
        (path / "out").mkdir(parents=True, exist_ok=True)
        entry = self.entries[key.fingerprint] = Entry(path, key.label, key.parts, make(path / "out"), {})
        return entry, False


@dataclass
class World:
    """Runs chains, and remembers what passes and the guard were asked."""

    refusals: Callable[[str, str], str | None] = lambda _best, _candidate: None
    """What the guard says of a candidate, by the texts of both."""
    target: Target = field(default_factory=partial(Target, runtime="onnxruntime"))
    store: Memory = field(default_factory=Memory)
    worked: list[str] = field(default_factory=list)
    """What each pass that ran was given, and its name."""
    compared: list[tuple[str, str, bool]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def source(self, kind: Kind = TORCH) -> Deployable:
        path = self.store.folder / f"{kind}.txt"
        path.write_text("net")
        return in_runtime(handle(kind, path))

    def job(self, **more: Any) -> Job:
        hardware = Hardware(cpu="test", architecture="x86_64", isa=("avx2",), cores=2, memory_bytes=1)
        return Job(
            name="toy", passes=PASSES, target=self.target, objective=Objective.LATENCY, hardware=hardware,
            inputs=(SPEC,), outputs=(), samples_digest="digest", budget=Budget(), store=cast(Store, self.store),
            options=RuntimeOptions(threads=1), samples=cast(Any, None), logs=self.store.folder, repro=self.store.folder,
            changed=self.changed, **more,
        )  # fmt: skip

    def changed(self, _before: Deployable, after: Deployable) -> str | None:
        return "sample 7 differs" if after.model.path.read_text().endswith("!") else None

    def trial(self, best: Deployable, candidate: Deployable, lossy: bool) -> TrialVerdict:
        pair = (self.text(best), self.text(candidate))
        self.compared.append((*pair, lossy))
        return TrialVerdict(self.refusals(*pair))

    def run(self, chain: str | Sequence[Step], kind: Kind = TORCH, *, judged: bool = True) -> list[Outcome]:
        wanted = steps(chain) if isinstance(chain, str) else chain
        trial: Trial | None = self.trial if judged else None
        with self.here():
            return list(loop.run(self.source(kind), wanted, self.job(), trial, self.said.append))

    def baseline(self, outcomes: Sequence[Outcome], kind: Kind = TORCH) -> str:
        with self.here():
            return self.text(step.exported(self.source(kind), outcomes, self.job()))

    def final(self, outcomes: Sequence[Outcome], kind: Kind = TORCH) -> str:
        return self.text(loop.final(self.source(kind), outcomes, self.target))

    @staticmethod
    def text(one: Deployable) -> str:
        return f"{one.model.kind}: {one.model.path.read_text()}"

    @contextmanager
    def here(self) -> Iterator[None]:
        """Do in this process, on toys, what workers do."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(step, "run_in_worker", self._work)
            patch.setattr(step, "opened", lambda kind, path, *_: handle(kind, path))
            patch.setattr(step, "_keep", lambda *_: "see repro")
            yield

    def _work(
        self, _log: Path, _execute: Any, pass_: Pass[Any], before: Deployable, config: Any,
        context: Context, options: RuntimeOptions,
    ) -> Mapping[str, Any]:  # fmt: skip
        assert before.model.kind in pass_.accepts, f"{pass_.name} was given {self.text(before)}"
        self.worked.append(f"{self.text(before)} > {pass_.name}")
        named = context.out / pass_.name
        named.mkdir(exist_ok=True)
        result = pass_.run(before.model, config, Context(named, context.target, context.objective, context.hardware))
        if isinstance(result, Refusal):
            return {"refused": result.reason, "notes": {}}
        written = handle(pass_.produces, result.path)
        after = runtimes.deployed_after(before, written, options, context.target.runtimes)
        return {
            "path": result.path.relative_to(context.out).as_posix(), "digest": written.digest,
            "deployed": step.how_run(after, options, context.target), "seconds": 1.0, "peak_rss_bytes": 1,
            "parity": {"max_abs": 0.0, "sqnr_db": None, "cosine": 1.0}, "notes": {},
        }  # fmt: skip


def handle(kind: Kind, path: Path) -> Model:
    digest = sha256(f"{kind}: {path.read_text()}".encode()).hexdigest()
    return Model(kind, path, digest, (SPEC,), (SPEC,), (path,))


def told(outcomes: Sequence[Outcome]) -> list[str]:
    """Return name and status of each step, with the reason where it was not kept."""
    return [
        f"{each.step.name} {each.status}" + ("" if each.kept is not None else f": {each.reason}") for each in outcomes
    ]
