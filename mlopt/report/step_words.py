"""What a step did and has to say, in sentences and small tables; its status, which means one thing wherever it stands.

Notes are a pass's own: those that are known here become sentences, any other is told as its name and its value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mlopt.report import facts, search, sensitivity, training, waterfall
from mlopt.report.words import entries, label, words
from mlopt.results.report import Report, StepRecord

STATUS = {
    "applied": "kept", "cached": "kept, from cache", "dropped": "dropped", "refused": "refused", "failed": "failed",
}  # fmt: skip
"""What the page calls each status."""
ROLE = {"applied": "good", "cached": "good", "dropped": "warn", "refused": "quiet", "failed": "bad"}
_MEANING = {
    "dropped": "Dropped: it ran, and did not pay or broke a gate.",
    "refused": "Refused: it does not apply to this model or machine.",
    "failed": "Failed: it ended in an error.",
}
_MOST_ROWS, _SHORT = 40, 90


@dataclass(frozen=True)
class NoteTable:
    """A note that has a value for each of several names."""

    title: str
    rows: tuple[tuple[str, str], ...]


def told(step: StepRecord) -> tuple[str, ...]:
    """Return what a step did and found, a sentence each."""
    notes = search.others(step.notes)
    said = [*([step.reason] if step.reason else []), *_known(notes), *_unknown(notes)]
    said += [f"trained ({one.name}): {training.told(one)}" for one in training.read(step.notes)]
    borne = sensitivity.read(step.notes)
    if borne is not None:
        said.append(f"what each layer bears: {sensitivity.told(borne)}")
    return tuple(_sentence(one) for one in said if one)


def tables(step: StepRecord) -> tuple[NoteTable, ...]:
    """Return the notes that are tables: what changed, which layers were left alone, and why."""
    notes = search.others(step.notes)
    return tuple(
        NoteTable(_TITLES.get(key, label(key)), _rows(one))
        for key, one in notes.items()
        if _is_table(one) and (key,) not in _SENTENCES
    )


def measured(step: StepRecord) -> str:
    """Return what the model was like after the step, and what the step took, on one line."""
    found = [
        facts.percentile(step.latency_ms, "p50") if step.latency_ms else "",
        facts.size(step.size_bytes) if step.size_bytes is not None else "",
        f"{facts.macs(step.macs)} MACs" if step.macs is not None else "",
        f"cosine to its input {step.parity.cosine:.5f}" if step.parity else "",
        f"took {facts.number(step.seconds)} s" if step.seconds else "",
        f"version {step.version}",
    ]
    return ", ".join(filter(None, found))


def shortly(reason: str) -> str:
    """Return why a step was not kept, as short as it stands beside its bar."""
    return facts.shorten(reason, _SHORT)


def key(report: Report) -> str:
    """Return how to read the waterfall of this report, and no more."""
    said = ["Green is what a step won, red what it lost, grey what lies within the intervals."]
    if any(not stage.kept for stage in facts.stages(report)):
        said.append("Dashed did not go on.")
    if waterfall.is_torn(report):
        said.append("A torn bar is longer than drawn.")
    if any(stage.accuracy for stage in facts.stages(report)):
        said.append(f"Dots are {facts.metric_name(report)} with 95 % intervals; their axis does not start at zero.")
    happened = {step.status for step in report.steps}
    return " ".join([*said, *(text for status, text in _MEANING.items() if status in happened)])


def settings(step: StepRecord) -> tuple[tuple[str, str], ...]:
    """Return the step's configuration as ``(label, text)``."""
    return entries(step.config)


def _is_table(note: Any) -> bool:
    return isinstance(note, Mapping) and bool(note)


def _rows(note: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    shown = tuple((label(key) if "_" not in str(key) else str(key), _cell(one)) for key, one in note.items())
    more = len(shown) - _MOST_ROWS
    return (*shown[:_MOST_ROWS], ("and", f"{more:,} more in report.json")) if more > 0 else shown


def _cell(value: Any) -> str:
    pair = _pair(value)
    return f"{pair[0]} to {pair[1]}" if pair else words(value)


def _pair(value: Any) -> tuple[str, str] | None:
    """Return what is two counts, before and after."""
    if not (isinstance(value, (list, tuple)) and len(value) == 2 and all(type(one) is int for one in value)):
        return None
    return facts.counted(value[0]), facts.counted(value[1])


def _known(notes: Mapping[str, Any]) -> Iterator[str]:
    for keys, say in _SENTENCES.items():
        if keys[0] in notes:
            yield say(*(notes.get(key) for key in keys))


def _unknown(notes: Mapping[str, Any]) -> Iterator[str]:
    known = {key for keys in _SENTENCES for key in keys if keys[0] in notes}
    for key, value in notes.items():
        if key not in known and not _is_table(value) and value not in ([], {}, (), None):
            yield f"{label(key)}: {words(value)}"


def _sentence(text: str) -> str:
    return facts.upper_first(text if text.endswith((".", "!", "?")) else f"{text}.")


def _before_after(what: str) -> Callable[[Any], str]:
    def say(value: Any) -> str:
        pair = _pair(value)
        return f"{what}: {pair[0]} before, {pair[1]} after" if pair else f"{what}: {words(value)}"

    return say


def _either(true: str, false: str = "") -> Callable[[Any], str]:
    return lambda value: true if value else false


def _exported(exporter: Any, opset: Any) -> str:
    return f"exported by the {words(exporter)} exporter" + ("" if opset is None else f" to opset {words(opset)}")


def _quantized(done: Any, possible: Any) -> str:
    return f"{words(done)} nodes quantized" + ("" if possible is None else f" of {words(possible)} that can be")


def _scheme(scheme: Any, why: Any) -> str:
    return f"scheme {words(scheme)}" + ("" if why is None else f": {words(why)}")


def _calibrated(method: Any, samples: Any) -> str:
    return f"calibrated by {words(method)}" + ("" if samples is None else f" on {words(samples)} samples")


def _sizes(value: Any) -> str:
    return "" if not isinstance(value, Mapping) else f"contract checked at {words(value)}"


_SENTENCES: Mapping[tuple[str, ...], Callable[..., str]] = {
    ("exporter", "opset"): _exported,
    ("sizes_checked",): _sizes,
    ("nodes",): _before_after("nodes"),
    ("weights_no_longer_inputs",): lambda count: f"{words(count)} weights are inputs no longer" if count else "",
    ("quantized", "quantizable"): _quantized,
    ("nodes quantized", "nodes quantizable"): _quantized,
    ("mode",): lambda mode: f"mode {words(mode)}",
    ("scheme", "why"): _scheme,
    ("calibration", "calibration_samples"): _calibrated,
    ("biases_corrected",): _either("biases were corrected"),
    ("per_channel",): _either("weights have a scale per channel", "weights have one scale per tensor"),
    ("reduce_range",): _either("weights use seven of eight bits"),
    ("fusions",): lambda fired: f"fusions that fired: {words(fired)}" if fired else "",
    ("device_bound",): _either("the model is bound to this machine"),
    ("macs",): _before_after("MACs"),
    ("params",): _before_after("parameters"),
    ("remarks",): lambda remarks: ". ".join(map(words, remarks)) if isinstance(remarks, list) else words(remarks),
}
"""What is said of notes whose name is known; nothing where that is empty."""
_TITLES = {"changed": "Operators that changed in number", "left_alone": "Left as they were"}
