"""The contenders of the benchmark of runtimes: what mlopt ships, all that it looked at, and what other tools make."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from precision_contenders import (
    PEERS,
    REQUIREMENTS,
    SCRIPTS,
    Contender,
    Elsewhere,
    FailedError,
    Peer,
    by_peer,
    made_by,
    optimized,
    output_of,
    recipe,
    written,
)
from precision_judge import Judge
from precision_models import BENCH, Case

from mlopt.artifact.deployed import shipped
from mlopt.artifact.signing import keys
from mlopt.artifact.signing.trust import KeyTrust
from mlopt.artifact.verify import verify
from mlopt.core.errors import IntegrityError, MloptError
from mlopt.core.packages import version
from mlopt.formats.model import Model
from mlopt.formats.onnx.file import open_onnx
from mlopt.runtimes.base import Deployable
from mlopt.runtimes.table import runtime_named

AUTO, ONNXRUNTIME = "auto", "onnxruntime"
DEFAULT, ACCURACY = "OpenVINO default", "OpenVINO ACCURACY"
RIVALS = (*(peer.name for peer in PEERS), DEFAULT, ACCURACY)
SHIPPED = "as shipped"
STUDY = "study"
"""The folder in which `mlopt tune` would go on, beside the artifact."""


@dataclass(frozen=True)
class ArtifactRun:
    """A run of ``mlopt optimize`` and what it left."""

    deployable: Deployable
    """What it shipped, from a copy of the artifact that was verified."""
    report: Mapping[str, Any]
    source: Model
    cache: Path
    """Which it had to itself, and found empty: it holds the files of all forms of the model that it made."""
    seconds: float
    """What all of it took."""


def by_mlopt(
    judge: Judge, chain: list[Any], runtime: str, seconds: float, command: Sequence[str] = ("optimize",)
) -> ArtifactRun:
    """Optimize the case under the bars that all are held to, sign it, and open it as ``mlopt.load`` does.

    ``command`` is the verb and its options. Raises ``FailedError``.
    """
    case, key = judge.case, signing_key()
    cache, out, study = (case.folder / name for name in ("cache", "artifact", STUDY))
    for old in (cache, out, study):
        shutil.rmtree(old, ignore_errors=True)
    path = written(recipe(case, judge.of_fp32, chain, runtime, seconds), case)
    verb, *options = command
    started = time.monotonic()
    report = optimized(
        path, out, *options, "--key", key, "--allow-ungated", cache=cache, verb=verb, usage=case.folder / "usage.json"
    )
    took = time.monotonic() - started
    return ArtifactRun(verified_in(case), report, case.model, cache, took)


def verified_in(case: Case) -> Deployable:
    """Return what the artifact of a case ships, from a copy that was verified; raises ``FailedError``."""
    out, copy = case.folder / "artifact", case.folder / "verified"
    shutil.rmtree(copy, ignore_errors=True)
    try:
        verified = verify(out, KeyTrust.of(keys.public_path(signing_key())), copy_to=copy)
        deployable = shipped(verified.directory, verified.manifest, out)
        if deployable.model.digest != verified.manifest.model.digest:
            raise IntegrityError("the model is not the one that the manifest describes", where=str(out))
    except MloptError as error:
        raise FailedError(" ".join(str(error).split())[:300]) from error
    return deployable


def passes(runtime: str) -> list[Any]:
    """Return the chain; what `fuse` writes only ONNX Runtime reads, so a target that is another one goes without."""
    fuse = [{"fuse": {"optional": True}}] if runtime in {AUTO, ONNXRUNTIME} else []
    return ["simplify", {"quantize": {"mode": "auto", "optional": True}}, *fuse]


def everything(run: ArtifactRun) -> dict[str, Deployable]:
    """Return every deployable that the search could have shipped, by what it is called, and what it did ship.

    The report lists them (``tried``), and the run's cache holds their files; raises ``FailedError`` if it does not.
    """
    files = {model.digest: model for model in (*_models_in(run.cache), run.source, run.deployable.model)}
    found: dict[str, Deployable] = {}
    for tried in run.report.get("tried", ()):
        if tried["digest"] not in files:
            raise FailedError(f"the file of '{tried['model']}' in {tried['runtime']} was not kept: {tried['digest']}")
        options = runtime_named(tried["runtime"]).options.model_validate(tried["options"])
        each = Deployable(files[tried["digest"]], tried["runtime"], options)
        if each.identity not in {other.identity for other in found.values()}:
            name = f"{tried['model']}, {words(each)}"
            found[name if name not in found else f"{name} {each.model.digest[:8]}"] = each
    if run.deployable.identity not in {each.identity for each in found.values()}:
        found[f"{SHIPPED}, {words(run.deployable)}"] = run.deployable
    return found


def words(deployable: Deployable) -> str:
    """Return how something is run: the runtime, the precision where there is a choice, and what is not as by default.

    Threads are those of all contenders.
    """
    options = deployable.options
    usual = type(options)(threads=options.threads)
    told = [
        f"{key} {value}"
        for key, value in options.model_dump().items()
        if key == "precision" or value != getattr(usual, key)
    ]
    return f"{deployable.runtime} ({', '.join(told)})" if told else deployable.runtime


def rivals(judge: Judge) -> dict[str, Callable[[], tuple[Contender, float]]]:
    """Return how each rival is made; each gives also the seconds that it took, 0 where nothing is made."""
    found: dict[str, Callable[[], tuple[Contender, float]]] = {}
    for peer in PEERS:
        found[peer.name] = partial(_kept, peer, judge)
    python, path = PEERS[-1].python, judge.case.model.path
    for name, mode in ((DEFAULT, "default"), (ACCURACY, "accuracy")):
        found[name] = partial(_unchanged, Contender(name, Elsewhere(python, path, mode)))
    return found


def signing_key() -> Path:
    """Return the private key that signs the artifacts of this benchmark; it is made once."""
    path = BENCH / "runtimes/benchmark.key"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        keys.create_key(path)
    return path


def _unchanged(contender: Contender) -> tuple[Contender, float]:
    return contender, 0.0


def _kept(peer: Peer, judge: Judge) -> tuple[Contender, float]:
    """Return what another tool made, anew only if something that it comes from has changed; raises ``FailedError``."""
    out = output_of(peer, judge.case)
    stamp, of = out.with_name(f"{out.stem}.made.json"), _origin(peer, judge)
    if stamp.exists() and out.exists():
        known = json.loads(stamp.read_text(encoding="utf-8"))
        if known["of"] == of:
            return made_by(peer, out), known["seconds"]
    started = time.monotonic()
    contender = by_peer(peer, judge.case, judge.calibration)
    seconds = round(time.monotonic() - started, 1)
    stamp.write_text(json.dumps({"of": of, "seconds": seconds}), encoding="utf-8")
    return contender, seconds


def _origin(peer: Peer, judge: Judge) -> dict[str, str]:
    """Return what another tool's model depends on."""
    pinned = REQUIREMENTS / f"{peer.environment}.txt"
    return {
        "model": judge.case.model.digest,
        "calibration": judge.case.calibration.digest,
        "script": (SCRIPTS / peer.script).read_text(encoding="utf-8"),
        "versions": pinned.read_text(encoding="utf-8") if peer.environment else str(version("onnxruntime")),
    }


def _models_in(cache: Path) -> Iterator[Model]:
    """Yield the ONNX models that a run left in its cache; a file that is none by itself is passed over."""
    for path in sorted(cache.rglob("*.onnx")):
        with contextlib.suppress(MloptError):
            yield open_onnx(path)
