"""What the framework checks after every pass, so that no pass has to be believed.

The output must be of the declared kind and load in its runtime; inputs and outputs must keep names, dtypes, ranks,
sizes and the names of dynamic axes; what was dynamic must still be, which a second shape proves; and on real samples
the output must agree with the pass's input: within rounding for a lossless pass, measured for a lossy one. A model
whose samples influence each other is judged in a batch, too: what a lossy pass learnt from single samples may not hold
there. Runs in the pass's worker process.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mlopt.core.errors import ModelError, PassError
from mlopt.data.choice import some
from mlopt.data.dataset import Dataset
from mlopt.data.feeds import batch_of, batches
from mlopt.data.ragged import of_one_call, ragged
from mlopt.formats.model import ONNX, TORCH, TensorSpec
from mlopt.measure import coupling
from mlopt.measure.coupling import Pair
from mlopt.measure.lossless import change
from mlopt.measure.parity import compare
from mlopt.measure.tolerance import scales, within_tolerance
from mlopt.passes.base import Interface, Pass, PassConfig
from mlopt.results.figures import Parity
from mlopt.runtimes.base import Array, Deployable, Feeds
from mlopt.runtimes.table import elsewhere, open_session, other_runtime

CHANGED = "a lossless pass changed the model's results"
_SAMPLES = 8


@dataclass(frozen=True)
class Conformity:
    """The outcome of checks that were passed: how far the output is from the input on real samples."""

    parity: Parity


def check_output(
    pass_: Pass[PassConfig], before: Deployable, after: Deployable, samples: Dataset, config: PassConfig | None = None
) -> Conformity:
    """Check one pass's output; raises ``PassError`` with every declaration that does not hold.

    What ``config`` says is fixed must be, and nothing else may be.
    """
    where, old, new = f"pass '{pass_.name}'", before.model, after.model
    if new.kind != pass_.produces:
        raise PassError(
            "the output is of another kind than declared", where=where, got=new.kind, expected=pass_.produces
        )
    wanted = (config or PassConfig()).narrowed(Interface.of(old))
    broken = [*_interface(wanted.inputs, new.inputs, "input"), *_interface(wanted.outputs, new.outputs, "output")]
    if broken:
        raise PassError(
            "the pass changed the model's interface", where=where, got="; ".join(broken),
            expected="the same names, dtypes, ranks, sizes and names of dynamic axes", fix=_report_it(pass_),
        )  # fmt: skip
    try:
        pairs = _expected(before, wanted.inputs, samples)  # and that model is closed: memory holds one at a time
    except ModelError:
        _run_once(after, wanted.inputs, samples)
        pairs, after = _expected_elsewhere(before, after, wanted.inputs, samples)
    _check_sizes(old.outputs, wanted.outputs, pairs, where)
    found = list(_compare(pairs, after))
    reasons = [reason for _, reason in found if reason is not None]
    if reasons and not pass_.lossy:
        raise PassError(
            CHANGED, where=where, got=reasons[0], expected="equal outputs within rounding", fix=remedy(pass_),
        )  # fmt: skip
    if pass_.lossy and (apart := coupling.apart(pairs, [parity for parity, _ in found])) is not None:
        raise PassError(
            "the result is right for single samples only: in this model the samples of a batch influence each other",
            where=where, got=apart, expected="about the same error for one sample as for several together",
            fix=coupling.remedy(old),
        )  # fmt: skip
    return Conformity(_worst([parity for parity, _ in found]))


def _interface(before: Sequence[TensorSpec], after: Sequence[TensorSpec], what: str) -> Iterator[str]:
    """Yield what no longer stands; a PyTorch model without declared outputs leaves them open."""
    if not before:
        return
    found = {spec.name: spec for spec in after}
    wanted, given = ([spec.name for spec in specs] for specs in (before, after))
    if wanted != given:
        yield f"{what}s are {', '.join(given)} instead of {', '.join(wanted)}"
        return
    for old in before:
        new = found[old.name]
        if not old.dtype:  # PyTorch knows only the names of its outputs
            continue
        if old.dtype != new.dtype:
            yield f"{what} '{old.name}' became {new.dtype} (was {old.dtype})"
        if len(old.shape) != len(new.shape):
            yield f"{what} '{old.name}' became rank {len(new.shape)} (was {len(old.shape)})"
        else:
            yield from _resized(f"{what} '{old.name}'", old.shape, new.shape)
        if old.value != new.value:
            yield f"{what} '{old.name}' is {_fixed_at(new)} (was {_fixed_at(old)})"


def _fixed_at(spec: TensorSpec) -> str:
    return "free" if spec.value is None else f"fixed at {spec.value!r}"


def _resized(where: str, before: Sequence[int | str], after: Sequence[int | str]) -> Iterator[str]:
    """Yield what is declared in another way; callers know a dynamic axis by its name."""
    for axis, (old, new) in enumerate(zip(before, after, strict=True)):
        if isinstance(old, str) and not isinstance(new, str):
            yield f"axis {axis} of {where} is no longer dynamic: {old!a} became {new}"
        elif old != new:
            yield f"axis {axis} of {where} became {new!a} (was {old!a})"


def _check_sizes(before: Sequence[TensorSpec], after: Sequence[TensorSpec], pairs: Sequence[Pair], where: str) -> None:
    """Raise ``PassError`` if a size that was fixed in outputs, too, is another one there."""
    for old, new in zip(before, after, strict=True):
        fixed = [(n, size) for n, size in enumerate(new.shape) if size != old.shape[n]]
        for _, outputs, _ in pairs if fixed else ():
            got = outputs[old.name].shape
            wrong = next((n for n, size in fixed if got[n] != size), None)
            if wrong is not None:
                raise PassError(
                    "an output has another size than its name says", where=where, expected=str(new),
                    got=f"'{old.shape[wrong]}' of output '{old.name}' is {got[wrong]}",
                    fix="export the model with another name for that size",
                )  # fmt: skip


def _compare(pairs: Sequence[Pair], after: Deployable) -> Iterator[tuple[Parity, str | None]]:
    """Yield, for each feed, how far the outputs are apart, and why that is more than rounding, if it is."""
    _give_back_memory()
    of_each = [scales({name: ragged([array]) for name, array in expected.items()}) for _, expected, _ in pairs]
    largest = {name: max(known[name] for known in of_each) for name in of_each[0]}
    with open_session(after) as session:
        for feeds, expected, row in pairs:
            wanted, got = of_one_call(expected, session.run(feeds))
            if wanted is expected:
                reason = within_tolerance(wanted, got, largest)
            else:
                found = change(wanted, got)
                reason = None if found is None else f"output '{found.output}', sample 0: {found.first}"
            yield compare(wanted, got), None if reason is None else _placed(reason, row, feeds)


def _placed(reason: str, row: int | None, feeds: Feeds) -> str:
    """Say which evaluation sample was fed, or what it was made into."""
    if row is not None:
        return reason.replace(", sample 0", f", sample {row}", 1)
    return f"with inputs of other sizes ({', '.join(f'{n}: {list(a.shape)}' for n, a in feeds.items())}): {reason}"


def _expected(before: Deployable, specs: Sequence[TensorSpec], samples: Dataset) -> list[Pair]:
    """Return feeds of the shapes that ``specs`` leave, each with what the model makes of it, and the sample it is."""
    pairs: list[Pair] = []
    with open_session(before) as session:
        for feeds, row in _shapes(specs, samples):
            try:
                pairs.append((feeds, {name: np.array(output) for name, output in session.run(feeds).items()}, row))
            except ModelError:
                if row is not None:
                    raise
                continue  # a size that the model itself does not take, such as one that is no multiple of 32
    return pairs


def _expected_elsewhere(
    before: Deployable, after: Deployable, specs: Sequence[TensorSpec], samples: Dataset
) -> tuple[list[Pair], Deployable]:
    """Return the same in a runtime that takes what the model's own refuses, and what is to be compared there.

    Only what a step does to its model is asked for, not what runtimes make of one model. Raises ``ModelError`` if there
    is no such runtime.
    """
    for name in elsewhere(before):
        with contextlib.suppress(ModelError):
            return _expected(other_runtime(before, name), specs, samples), other_runtime(after, name)
    return _expected(before, specs, samples), after


def _run_once(deployable: Deployable, specs: Sequence[TensorSpec], samples: Dataset) -> None:
    """Raise ``ModelError`` if a model does not run as it is deployed."""
    with open_session(deployable) as session:
        session.run(next(batches(samples, specs, 1, [0]))[0])


def _give_back_memory() -> None:
    """Let the system have what is free: glibc keeps it, in pieces that the weights of the next model may not fit in."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other C libraries have none
    if trim is not None:
        trim(0)


def _shapes(specs: Sequence[TensorSpec], samples: Dataset) -> Iterator[tuple[dict[str, Array], int | None]]:
    """Yield feeds: first samples with their numbers, then, without one, other sizes of every dynamic axis."""
    chosen = some(samples, _SAMPLES).tolist()
    for row in chosen:
        yield from ((feeds, row) for feeds, _ in batches(samples, specs, 1, [row]))
    batched = {spec.name: samples.inputs[spec.name].ndim == len(spec.shape) for spec in specs}
    if batch_of(samples, specs, 2) == 2:
        rows = (chosen * coupling.TOGETHER)[: coupling.TOGETHER]
        yield from ((feeds, None) for feeds, _ in batches(samples, specs, coupling.TOGETHER, rows))
    own = next(batches(samples, specs, 1, [0]))[0]
    for resize in (_halved, _doubled):
        other = {s.name: resize(own[s.name], [a for a in s.dynamic_axes if a or not batched[s.name]]) for s in specs}
        if any(other[name].shape != own[name].shape for name in other):
            yield other, None


def _halved(array: Array, axes: Sequence[int]) -> Array:
    """Keep the first half of each of ``axes``; one name is one size, so all inputs agree."""
    cut = tuple(slice(0, max(1, size // 2)) if axis in axes else slice(None) for axis, size in enumerate(array.shape))
    return np.array(array[cut], order="C")  # a scalar stays one


def _doubled(array: Array, axes: Sequence[int]) -> Array:
    """Repeat the samples' values once along each of ``axes``."""
    return np.tile(array, [2 if axis in axes else 1 for axis in range(array.ndim)])


def _worst(found: Sequence[Parity]) -> Parity:
    noise = [parity.sqnr_db for parity in found if parity.sqnr_db is not None]
    return Parity(
        max_abs=max(parity.max_abs for parity in found),
        sqnr_db=min(noise) if noise else None,
        cosine=min(parity.cosine for parity in found),
    )


def _report_it(pass_: Pass[PassConfig]) -> str:
    return (
        f"leave the pass '{pass_.name}' out, or mark it `optional: true`; its input and log are kept for a bug report"
    )


def remedy(pass_: Pass[PassConfig]) -> str:
    """Say what a user can do about a lossless pass that changes results."""
    sample = "if the model need not take such a sample (a mask that hides everything), leave it out of data.evaluation"
    if pass_.accepts == {TORCH} and pass_.produces == ONNX:
        return f"{sample}; else write what it computes there another way, or try the other `exporter`"
    return f"{sample}; else leave '{pass_.name}' out, or mark it `optional: true`"
