"""What a module is beside its state dict, written down as text, and what it answers: to tell whether it was rebuilt.

Every later process makes the module anew: ``build()``, then the saved weights. What else a ``train()`` changed is lost
there: a plain attribute, a buffer that is not persistent, a replaced layer, a hook, a global. The first such process
holds the new module against what is written here, and where the answers differ it can name what was lost. Outputs
decide; a list of losses that training leaves behind does no harm.
"""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlopt.core.usercode import CodeReference, local_files, own_line, seeded
from mlopt.formats.torch.described import described, type_name
from mlopt.formats.torch.probes import probes

if TYPE_CHECKING:
    import torch

    from mlopt.formats.model import TensorSpec
    from mlopt.formats.torch.module import Flat

Array = np.ndarray[Any, Any]
Feed = Mapping[str, Array]
_HOOKS = ("_forward_hooks", "_forward_pre_hooks")


@dataclass(frozen=True)
class Witness:
    """What a module is and what it gives."""

    parts: Mapping[str, str]
    """What it is made of, as ``kind: name`` and a text that is the same in every process."""
    outputs: tuple[tuple[Array, ...], ...]
    """Of each feed, then of the probes; fewer where the module fails."""
    feeds: int
    failure: str | None = None
    steady: bool = True
    """Whether the first feed gave the same once more."""


def observe(module: Flat, specs: Sequence[TensorSpec], feeds: Sequence[Feed], code: CodeReference) -> Witness:
    """Describe the module, and run it on the feeds, each with the same random numbers.

    A limit that only few samples reach may be missing from all feeds, so smaller, larger, longer and other ones probe
    for it; of those, the module need not take each.
    """
    names = [spec.name for spec in specs]
    parts = dict(_parts(module.model, code))
    outputs: list[tuple[Array, ...]] = []
    try:
        outputs += (_run(module, [feed[name] for name in names]) for feed in feeds)
        again = [_run(module, [feed[name] for name in names]) for feed in feeds[:1]]
    except Exception as error:  # noqa: BLE001 - the module is the user's, and may raise anything
        place = own_line(error)
        failure = f"{type(error).__name__}: {' '.join(str(error).split())}"[:300] + (f" ({place})" if place else "")
        return Witness(parts, tuple(outputs), len(feeds), failure)
    outputs += (_tried(module, [feed[name] for name in names]) for feed in probes(feeds, specs))
    return Witness(
        parts, tuple(outputs), len(feeds), None, all(_equal(*pair) for pair in zip(again, outputs, strict=False))
    )


def answers_differ(trained: Witness, rebuilt: Witness) -> str | None:
    """Say how the answers differ, if they do; of a module that does not repeat its own, nothing can be said."""
    if (trained.failure is None) != (rebuilt.failure is None):
        when = "it fails at first" if trained.failure else "it fails when it is made again"
        return f"{when}: {trained.failure or rebuilt.failure}"
    if not (trained.steady and rebuilt.steady):
        return None
    for number, pair in enumerate(zip(trained.outputs, rebuilt.outputs, strict=False)):
        if not _equal(*pair):
            on = f"sample {number}" if number < trained.feeds else "samples that were made larger, smaller or longer"
            return f"on {on}, {_apart(*pair)}"
    return None  # if both fail, the run of the model says that better


@dataclass(frozen=True)
class Lost:
    """One thing that a module was and is no longer."""

    kind: str
    """A key of ``KINDS``."""
    name: str
    values: str


KINDS = (
    "module",
    "forward",
    "hooks",
    "buffer",
    "tied",
    "dtype",
    "number",
    "layers",
    "setting",
    "extra state",
    "class",
    "global",
)
"""A plain attribute is a ``number`` (a tensor, too), a list of ``layers``, or any other ``setting``, as is each of
PyTorch's own layers."""


def lost(trained: Witness, rebuilt: Witness) -> list[Lost]:
    """Return what differs beside the weights, the most telling first."""
    found, replaced = [], []
    for key in sorted({*trained.parts, *rebuilt.parts}):
        was, now = trained.parts.get(key, "absent"), rebuilt.parts.get(key, "absent")
        kind, _, name = key.partition(": ")
        if was != now:
            found.append(Lost(_nature(kind, was, now), name, ", made again ".join(_short(was, now))))
            replaced += [name] if kind == "module" else []
    inside = tuple(f"{name}." for name in replaced)
    return sorted((each for each in found if not each.name.startswith(inside)), key=lambda each: KINDS.index(each.kind))


def _nature(kind: str, *values: str) -> str:
    if kind != "attribute":
        return kind
    told = [value for value in values if value != "absent"]
    if any("module " in value for value in told):
        return "layers"
    return "number" if all(re.match(r"tensor |array |-?[\d.]+", value) for value in told) else "setting"


def _tried(module: Flat, arrays: Sequence[Array]) -> tuple[Array, ...]:
    """Return what it gives, or nothing where it does not take this."""
    try:
        return _run(module, arrays)
    except Exception:  # noqa: BLE001 - the module is the user's, and may raise anything
        return ()


def _run(module: Flat, arrays: Sequence[Array]) -> tuple[Array, ...]:
    import torch

    seeded()
    with torch.no_grad():
        values = module(*(torch.from_numpy(np.array(array)) for array in arrays))
    return tuple(np.array(value.detach().cpu().numpy()) for value in values)


def _equal(some: Sequence[Array], others: Sequence[Array]) -> bool:
    return len(some) == len(others) and all(_close(one, other) for one, other in zip(some, others, strict=True))


def _close(one: Array, other: Array) -> bool:
    """Whether two outputs agree within rounding: kernels may depend on where memory happens to lie."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if one.dtype.kind != "f":
        return bool(np.array_equal(one, other))
    finite = np.isfinite(one) & np.isfinite(other)
    size = float(np.abs(one[finite]).max(initial=0.0))
    small = 1e-2 if one.dtype.itemsize == 2 else 1e-5
    return bool(
        np.array_equal(one[~finite], other[~finite], equal_nan=True)
        and np.allclose(one[finite], other[finite], rtol=small, atol=small * size)
    )


def _apart(some: Sequence[Array], others: Sequence[Array]) -> str:
    for index, (one, other) in enumerate(zip(some, others, strict=False)):
        if not _close(one, other):
            where = f"output {index}"
            if one.shape != other.shape:
                return f"{where} is {list(one.shape)}, and {list(other.shape)} when it is made again"
            if one.dtype != other.dtype:
                return f"{where} is {one.dtype}, and {other.dtype} when it is made again"
            place = np.unravel_index(int(np.argmax(_distance(one, other))), one.shape)
            return f"{where} has {one[place]:.6g}, and {other[place]:.6g} when it is made again"
    return f"there are {len(some)} outputs, and {len(others)} when it is made again"


def _distance(one: Array, other: Array) -> Array:
    """Return how far each value is from its other; a NaN or an infinity beside anything else is the farthest."""
    with np.errstate(all="ignore"):
        apart = np.abs(one.astype(np.float64) - other.astype(np.float64))
    alike = (one == other) | (np.isnan(one) & np.isnan(other))
    return np.where(alike, 0.0, np.nan_to_num(apart, nan=np.inf, posinf=np.inf))


def _short(was: str, now: str) -> tuple[str, str]:
    """Leave out the digests, if the values that are shown differ too, and what long texts begin with alike."""
    plain = [re.sub(r" #[0-9a-f]{12}", "", text) for text in (was, now)]
    one, other = plain if plain[0] != plain[1] else (was, now)
    alike = next((index for index, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), 0)
    start = alike - 20 if alike > 40 else 0
    return _cut(one, start), _cut(other, start)


def _cut(text: str, start: int) -> str:
    end = start + 60
    return ("..." if start else "") + text[start:end] + ("..." if len(text) > end else "")


def _parts(model: torch.nn.Module, code: CodeReference) -> Iterator[tuple[str, str]]:
    import torch

    plain = set(vars(torch.nn.Module())) | {"training"}
    tensors: dict[int, list[str]] = {}
    classes: dict[str, type] = {}
    for path, module in model.named_modules(remove_duplicate=False):
        dot = f"{path}." if path else ""
        yield f"module: {path or 'the model itself'}", type_name(module)
        classes |= {type_name(module): type(module)}
        for name, value in vars(module).items():
            if name == "forward":
                yield f"forward: {path or 'the model itself'}", described(value)
            elif name in _HOOKS and value:
                yield f"hooks: {path or 'the model itself'}", ", ".join(map(described, value.values()))
            elif name not in plain:
                kind = "setting" if type(module).__module__.startswith("torch.") else "attribute"
                yield f"{kind}: {dot}{name}", described(value)
        for name in getattr(module, "_non_persistent_buffers_set", ()):
            yield f"buffer: {dot}{name}", described(module._buffers.get(name))
        for name, value in (*module._parameters.items(), *module._buffers.items()):
            if value is not None:
                yield f"dtype: {dot}{name}", str(value.dtype).removeprefix("torch.")
                tensors.setdefault(id(value), []).append(f"{dot}{name}")
        if type(module).get_extra_state is not torch.nn.Module.get_extra_state:
            yield f"extra state: {path or 'the model itself'}", described(module.get_extra_state())
    yield from ((f"tied: {names[0]}", ", ".join(names)) for names in tensors.values() if len(names) > 1)
    yield from _around(classes, code)


def _around(classes: Mapping[str, type], code: CodeReference) -> Iterator[tuple[str, str]]:
    """Describe what the user's own files hold: attributes of classes, and globals."""
    import torch

    files = {str(file) for file in local_files(code.path)}
    modules = [module for module in list(sys.modules.values()) if getattr(module, "__file__", None) in files]
    own = {f"{each.__module__}.{each.__qualname__}": each for found in classes.values() for each in found.__mro__}
    for kind in own.values():
        if getattr(sys.modules.get(kind.__module__), "__file__", None) in files:
            yield from ((f"class: {kind.__name__}.{n}", described(v)) for n, v in vars(kind).items() if _stays(n, v))
    for module in modules:
        file = Path(str(module.__file__)).name
        for name, value in vars(module).items():
            if _stays(name, value) and not isinstance(value, types.ModuleType | type):
                yield f"global: {name} of {file}", described(value)
    yield "global: torch.get_default_dtype()", str(torch.get_default_dtype())
    for name in _HOOKS:
        hooks = getattr(torch.nn.modules.module, name.replace("_forward", "_global_forward"), {})
        yield f"hooks: every module ({name[1:]})", ", ".join(map(described, hooks.values()))


def _stays(name: str, value: object) -> bool:
    return not name.startswith("__") and not isinstance(value, property | staticmethod | classmethod)
