"""For which engines the artifact can be deployed: by the checks of `mlopt deploy`, and with what each would get."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mlopt.artifact.layout import Role
from mlopt.core.check import Check
from mlopt.core.errors import Problem
from mlopt.deploy.assessment.subject import AssessedArtifact
from mlopt.deploy.contents import ServedContent
from mlopt.deploy.engine import ServedTogether, ServingEngine
from mlopt.deploy.pages import pins
from mlopt.deploy.pod import pod_of
from mlopt.report import facts


def targets(found: AssessedArtifact, engines: Sequence[ServingEngine]) -> Iterator[Check]:
    """Say of each engine whether `mlopt deploy` writes for it, with which packages and how much memory."""
    yield _files(found)
    for engine in engines:
        if found.content is None:
            yield _refused(engine, found.refusal)
        else:
            yield _written(engine, found.content)


def _refused(engine: ServingEngine, problem: Problem | None) -> Check:
    if problem is None:
        raise ValueError("what is not deployed is refused with a reason")
    said = ": ".join(filter(None, (problem.what, problem.got)))
    return Check(engine.name, "problem", said, problem.fix)


def _written(engine: ServingEngine, content: ServedContent) -> Check:
    pod = pod_of([content.settings], engine.base_mib)
    needs = pins(engine, ServedTogether(content.name, (content,), pod, None))
    said = [", ".join(pin for pin, _ in needs), f"a pod takes {pod.memory_mib} MiB, at most {pod.memory_limit_mib}"]
    unpinned = [pin for pin, _ in needs if "==" not in pin]
    if unpinned:
        said.append(f"the evidence does not say with which {' and '.join(unpinned)} it was measured")
    said += _other_versions(engine, content)
    return Check(engine.name, "note" if unpinned else "ok", "; ".join(said))


def _other_versions(engine: ServingEngine, content: ServedContent) -> Iterator[str]:
    """Say which packages an engine takes in another version than what was measured."""
    for pin in engine.pins:
        name, _, version = pin.partition("==")
        measured = content.measured_with.get(name, version).split(" ")[0]
        if measured != version:
            yield f"it takes no {name} but {version}, and {measured} was measured"


def _files(found: AssessedArtifact) -> Check:
    """Say which files go along: those of the model, and nothing else of the artifact."""
    roles = found.manifest.files
    data = sorted(name for name, role in roles.items() if role is Role.MODEL_DATA)
    size = facts.size(found.report.final.size_bytes)
    said = f"{', '.join([found.manifest.model.file, *data])} ({size}) goes along, each file held against its SHA-256"
    if Role.TORCH in roles.values():
        said += "; the PyTorch model, its Python with it, does not"
    if data and found.manifest.runtime == "onnxruntime":
        said += (
            "; small tensors beside the graph are read by mlopt, and not by what is written: start it once before you "
            "build on it"
        )
        return Check("model files", "note", said)
    return Check("model files", "ok", said)
