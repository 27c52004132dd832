"""A model with fewer channels and heads, which any runtime runs faster; or with weights that are zero.

Cases: ``macs``, ``params`` and ``latency`` name the share that is to be left, and channels go, by Torch-Pruning, in one
step or several with training between them. ``latency`` measures candidates in the runtime of the recipe, in several
roundings of their widths, instead of trusting MACs. ``sparsity`` and ``pattern: "2:4"`` set single weights to zero,
which stay zero while the rest is trained: the file compresses, and only kernels for sparse weights run faster.

Limits: Python that builds the model is needed, since a file's sizes are written down. Layers whose width ``forward()``
counts on, or that make an output, stay whole, with the reason in the report; so do those that ``keep`` names. Without
``train`` nothing wins the accuracy back, and most of it is gone: `distill` may follow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from mlopt.compress.prune.settings import Importance, Scope, Structure
from mlopt.compress.train.settings import Training
from mlopt.core.errors import PassError
from mlopt.formats.model import TORCH, Model
from mlopt.passes.base import Context, Pass, PassConfig, PassResult, Requires, Searched

if TYPE_CHECKING:
    from torch import Tensor

    from mlopt.compress.prune.structured import Amount, Cost, Pruner
    from mlopt.formats.torch.module import Flat
    from mlopt.passes.training.task import TrainingTask

_TARGETS = ("macs", "params", "latency", "sparsity", "pattern")
_OPSET = 20
_RATIOS = (0.25, 0.5, 0.75)
_JUDGED_ON = 512
"""Samples of data.train that tell what a layer bears; more would tell little more, and take their time."""
_COUNTED_ON = 2
"""Samples of the batch that MACs are counted on; more than one, for what a batch alone would hide."""


class PruneConfig(PassConfig):
    """What is to go, and how the rest learns to do without."""

    macs: Annotated[float | None, Searched(0.3, 0.5, 0.7)] = Field(
        default=None, gt=0, lt=1, description="the share of multiplications that is left"
    )
    params: float | None = Field(default=None, gt=0, lt=1, description="the share of parameters that is left")
    latency: float | None = Field(
        default=None, gt=0, lt=1, description="the share of the time that is left, measured in the recipe's runtime"
    )
    sparsity: float | None = Field(default=None, gt=0, lt=1, description="the share of single weights that go to 0")
    pattern: Literal["2:4"] | None = Field(default=None, description="2:4 sets two of every four weights to 0")
    importance: Annotated[Importance, Searched("magnitude", "taylor")] = Field(
        default="taylor", description="of a channel: magnitude, taylor or hessian (of the loss; need data.train), "
        "bn_scale, or random",
    )  # fmt: skip
    scope: Scope = Field(
        default="layer", description="where the least important are looked for: layer, isomorphic (layers that are "
        "alike), or global",
    )  # fmt: skip
    round_to: int = Field(default=8, ge=1, le=256, description="widths that are left are multiples of it")
    steps: int = Field(default=1, ge=1, le=100, description="prune so often, with training after each time")
    layers: dict[str, float] = Field(
        default_factory=dict, description="shares to take from layers by name or pattern, instead of the same from all"
    )
    keep: tuple[str, ...] = Field(default=(), description="layers to leave whole: names or patterns such as head.*")
    batches: int = Field(default=8, ge=1, le=10_000, description="of data.train, for taylor and hessian")
    sensitivity: bool | tuple[float, ...] = Field(
        default=False, description="first prune each layer alone, by these shares (true: 0.25, 0.5, 0.75), and report "
        "the accuracy that is left on samples of data.train; it changes nothing else",
    )  # fmt: skip
    train: Training | None = Field(default=None, description="how to train afterwards; absent: not at all")

    @model_validator(mode="after")
    def _keys_fit(self) -> Self:
        named = [name for name in _TARGETS if getattr(self, name) is not None]
        if len(named) != 1:
            raise ValueError(f"say what is to be left by one of {', '.join(_TARGETS)}, not by {len(named)} of them")
        single = named[0] in {"sparsity", "pattern"}
        stray = [name for name in ("layers", "scope", "steps", "sensitivity") if getattr(self, name) != _default(name)]
        if single and stray:
            raise ValueError(f"{stray[0]} is about channels, and {named[0]} sets single weights to 0: leave it out")
        if self.steps > 1 and self.train is None:
            raise ValueError("several steps are for training between them: add train, or leave out steps")
        wrong = next((name for name, share in self.layers.items() if not 0 <= share < 1), None)
        if wrong is not None:
            raise ValueError(f"layers.{wrong} is a share to take away, at least 0 and less than 1")
        if not all(0 < ratio <= self.structure.most for ratio in self.ratios):
            raise ValueError(f"sensitivity has shares to take away, more than 0 and at most {self.structure.most}")
        return self

    @property
    def searches(self) -> bool:
        """Whether candidates are measured."""
        return self.latency is not None

    @property
    def trains(self) -> bool:
        """Whether a loss is computed."""
        return self.train is not None or self._by_loss or bool(self.ratios)

    @property
    def ratios(self) -> tuple[float, ...]:
        """The shares by which each layer is pruned alone; none if nobody asks what layers bear."""
        return (_RATIOS if self.sensitivity else ()) if isinstance(self.sensitivity, bool) else self.sensitivity

    @property
    def single(self) -> bool:
        """Whether single weights go, and not channels."""
        return self.sparsity is not None or self.pattern is not None

    @property
    def _by_loss(self) -> bool:
        return not self.single and self.importance in {"taylor", "hessian"}

    @property
    def named(self) -> Mapping[str, str]:
        """The recipe's own training step, and what changes its samples."""
        return {} if self.train is None else self.train.named

    @property
    def structure(self) -> Structure:
        """How channels are chosen."""
        return Structure(
            importance=self.importance, scope=self.scope, round_to=self.round_to, ratios=self.layers, keep=self.keep,
            seed=self.train.seed if self.train else 0,
        )  # fmt: skip


def _default(name: str) -> Any:
    field = PruneConfig.model_fields[name]
    return field.get_default(call_default_factory=True)


def refuse(model: Model, _config: PruneConfig, _context: Context) -> str | None:
    """Return why the pass does not apply."""
    if not model.path.is_dir():
        return "the sizes of a program of torch.export are written down: name the Python that builds the model"
    return None


def run(model: Model, config: PruneConfig, context: Context) -> PassResult:
    """Prune, and train."""
    from mlopt.compress.prune.structured import cost
    from mlopt.formats.torch.model import load_module
    from mlopt.passes.training.task import TrainingTask, examples, written

    module = load_module(model)
    task = TrainingTask.of(model, context, config.train or Training()) if config.trains else None
    fed = examples(model, context, _COUNTED_ON)
    before = cost(module, fed)
    if config.single:
        module, notes = _sparse(module, config, task)
    else:
        module, notes = _structured(module, fed, (model, before), config, context, task)
    after = cost(module, fed)
    notes |= {
        "macs": [before.macs // _COUNTED_ON, after.macs // _COUNTED_ON], "params": [before.params, after.params],
    }  # fmt: skip
    path = written(model, module, context.out)
    if config.single:
        notes["compressed"] = _compressed(model.path, path)
    return PassResult(path, notes)


def _compressed(before: Path, after: Path) -> dict[str, Any]:
    """Return how large the files of weights are on disk, and after compression, in bytes: input, then result."""
    from mlopt.compress.prune.compressed import CODEC, compressed_bytes
    from mlopt.formats.torch.model import WEIGHTS

    files = before / WEIGHTS, after / WEIGHTS
    return {
        "codec": CODEC, "bytes": [file.stat().st_size for file in files],
        "compressed_bytes": [compressed_bytes(file) for file in files],
    }  # fmt: skip


def _sparse(module: Flat, config: PruneConfig, task: TrainingTask | None) -> tuple[Flat, dict[str, Any]]:
    """Set weights to 0, and keep them there."""
    from mlopt.compress.prune import sparsity

    if config.pattern is not None:
        masks = sparsity.two_of_four(module.model, config.keep)
    else:
        masks = sparsity.sparsify(module.model, config.sparsity or 0.0, config.keep)
    notes: dict[str, Any] = {"layers": len(masks), "zeros": round(sparsity.zeros(module.model), 4)}
    if not masks:
        raise PassError("no layer has the sizes for this pattern", where="pass 'prune'", got=str(config.pattern),
                        expected="input channels in multiples of four", fix="leave fewer layers in `keep`, or "
                        "use `sparsity`, which takes any sizes")  # fmt: skip
    if task is not None and config.train is not None:
        found = task.trained(
            module, task.objective(module), "prune", lambda: sparsity.apply(module.model, masks)
        )  # fmt: skip
        notes["trainings"] = [{"name": "prune", **found.notes()}]
    return module, notes


def _structured(
    module: Flat, fed: tuple[Tensor, ...], before: tuple[Model, Cost], config: PruneConfig, context: Context,
    task: TrainingTask | None,
) -> tuple[Flat, dict[str, Any]]:  # fmt: skip
    """Take channels out, in one step or several."""
    from mlopt.compress.prune.structured import Pruner

    gradients = None if task is None else task.gradients(task.objective, config.batches)
    notes: dict[str, Any] = {} if task is None or not config.ratios else {
        "sensitivity": _sensitivity(Pruner(module, fed, config.structure, gradients), config.ratios, task)
    }  # fmt: skip
    notes |= {"steps": [], "trainings": []}
    for number in range(1, config.steps + 1):

        def pruned(module: Flat = module, number: int = number) -> tuple[Flat, dict[str, Any]]:
            pruner, told = Pruner(module, fed, config.structure, gradients), dict[str, Any]()
            amount = _amount(pruner, before, number / config.steps, config, context, told)
            found = pruner.by(amount.ratio, amount.less)
            told.update(
                ratio=round(amount.ratio, 4), less={name: round(ratio, 4) for name, ratio in amount.less.items()},
                round_to=pruner.how.round_to, whole=dict(found.left),
            )  # fmt: skip
            return module, told

        name = f"step {number} of {config.steps}"
        module, last = pruned() if task is None else task.kept(f"pruned-{number}", pruned)
        if task is not None and config.train is not None:
            notes["trainings"].append({"name": name, **task.trained(module, task.objective(module), name).notes()})
        notes["steps"].append(last)
    return module, notes


def _sensitivity(pruner: Pruner, ratios: Sequence[float], task: TrainingTask) -> dict[str, Any]:
    """Return what each layer bears, as a note."""
    from mlopt.compress.prune.sensitivity import Judge, points
    from mlopt.core.voice import tell

    judge = Judge.of(pruner.model, task.judging(_JUDGED_ON))
    found = points(pruner, ratios, judge, lambda layer, share: tell(f"how sensitive is {layer}", share))
    return {
        "measure": judge.measure, "samples": judge.samples, "before": round(judge.score(pruner.model), 6),
        "points": [
            {"layer": each.layer, "along": list(each.along), "ratio": each.ratio, "score": round(each.score, 6),
             "macs": round(each.macs, 6)} for each in found
        ],
    }  # fmt: skip


def _amount(
    pruner: Pruner, before: tuple[Model, Cost], share: float, config: PruneConfig, context: Context,
    notes: dict[str, Any],
) -> Amount:  # fmt: skip
    """Return how much has to go now, when ``share`` of all that is to go shall be gone."""
    if config.latency is not None:
        from mlopt.compress.prune.structured import Amount
        from mlopt.formats.torch.model import load_module
        from mlopt.passes.training.latency import LatencySearch

        export = partial(_exported, before[0], context, pruner.examples)
        search = LatencySearch(load_module(before[0]), pruner, 1 - share * (1 - config.latency), context, export)
        ratio, pruner.how = search.found(notes)
        return Amount(ratio)
    size = before[1]
    left = 1 - share * (1 - (config.macs or config.params or 0.0))
    used: Callable[[Cost], float] = (
        (lambda now: now.macs / (left * size.macs)) if config.macs is not None
        else (lambda now: now.params / (left * size.params))
    )  # fmt: skip
    return pruner.least(used, f"{left:.0%} of the {'MACs' if config.macs is not None else 'parameters'}")


def _exported(model: Model, context: Context, fed: Sequence[Tensor], module: Flat, path: Path) -> Path:
    """Write a candidate, to be timed."""
    from mlopt.formats.torch.model import output_names
    from mlopt.passes.exporting.tracing import Task, dynamo, write

    names = output_names(context.outputs, len(module.fresh()(*fed)), "pass 'prune'")
    task = Task(module, context.inputs or model.inputs, tuple(fed), names)
    return write(dynamo(task, _OPSET), task, path)


PASS = Pass(
    name="prune",
    version=3,
    summary="fewer channels and heads, or weights that are zero, with training after it",
    accepts=frozenset({TORCH}),
    produces=TORCH,
    config=PruneConfig,
    run=run,
    refuse=refuse,
    requires=Requires(extra="prune", packages=("torch", "torch-pruning")),
    lossy=True,
)
