"""The rivals: what each starts from, how it makes its model, and what it takes to have and to use.

What a rival made is kept under .bench/peers with what it took, how good it is, or why it failed, and is made anew only
if something that it comes from has changed: its versions, its script, the model, the samples.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
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
    made_by,
    said,
)
from precision_judge import Judge
from precision_quality import missed

from mlopt.core.packages import version

FROM, TO = "# written by a user: from here", "# to here"
OPENED_LINES = 2
"""A session of ONNX Runtime and its thread count: what a user writes to run a file."""
OWN_PACKAGES = ("onnxruntime", "onnxsim", "torch", "neural_compressor_pt", "torchao", "openvino")


@dataclass(frozen=True)
class Rival:
    """One way to a faster model that is not mlopt's.

    ``peer`` makes it; without, it is the source itself, opened by ``server`` in ``mode`` in the environment.
    """

    name: str
    tool: str
    """Whose start is told of it, one of ``starts.STARTS``."""
    peer: Peer | None = None
    environment: str | None = None
    server: str = ""
    mode: str = ""
    module: bool = False
    """Whether it starts from a recipe's PyTorch module."""

    @property
    def script(self) -> str:
        """What makes it, or else runs it."""
        return self.peer.script if self.peer else self.server


def _by(tool: str, peer: Peer, *, module: bool = False) -> Rival:
    return Rival(peer.name, tool, peer, module=module)


_TOOLS = {"ONNX Runtime": "ONNX Runtime", "Olive": "Olive", "NNCF": "NNCF"}
RIVALS = (
    *(_by(next(tool for start, tool in _TOOLS.items() if peer.name.startswith(start)), peer) for peer in PEERS),
    _by("Olive", Peer("Olive graph", "olive_onnx.py", "graph", "olive")),
    _by("onnxsim", Peer("onnxsim + ONNX Runtime", "onnx_simplifiers.py", "onnxsim")),
    _by("onnxslim", Peer("onnxslim + ONNX Runtime", "onnx_simplifiers.py", "onnxslim", "slim")),
    Rival("OpenVINO default", "OpenVINO", None, "nncf", "openvino_server.py", "default"),
    Rival("OpenVINO ACCURACY", "OpenVINO", None, "nncf", "openvino_server.py", "accuracy"),
    Rival("torch.compile", "PyTorch", None, None, "torch_server.py", "default", module=True),
    Rival("torch.compile, frozen", "PyTorch", None, None, "torch_server.py", "frozen", module=True),
    _by("neural-compressor", Peer("neural-compressor", "neural_compressor_onnx.py", "static"), module=True),
    Rival("pruna torch_dynamic", "pruna", None, "pruna", "pruna_server.py", "torch_dynamic", module=True),
    Rival("pruna torch_compile", "pruna", None, "pruna", "pruna_server.py", "torch_compile", module=True),
)


@dataclass
class Field:
    """The rivals of one row that run, and a row for each that was tried."""

    contenders: dict[str, Contender] = field(default_factory=dict)
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)


def entered(judge: Judge, *, retry: bool) -> Field:
    """Make, or take from what is kept, every rival that can start from a row's source.

    With ``retry``, what failed before is tried once more.
    """
    found = Field()
    for rival in rivals_of(judge):
        contender, row = kept(rival, judge, retry=retry)
        found.rows[rival.name] = {**row, "config_lines": config_lines(rival)}
        if contender is not None:
            found.contenders[rival.name] = contender
    return found


def rivals_of(judge: Judge) -> Iterator[Rival]:
    """Yield those that apply: what starts from a module needs one."""
    for rival in RIVALS:
        if not rival.module or module_of(judge).exists():
            yield rival


def module_of(judge: Judge) -> Path:
    """Return where a row's PyTorch module lies, if it has one."""
    return judge.case.folder / "module"


def kept(rival: Rival, judge: Judge, *, retry: bool) -> tuple[Contender | None, dict[str, Any]]:
    """Return a rival's contender and its row; None and why not, if it failed."""
    slug = "".join(letter if letter.isalnum() else "_" for letter in rival.name)
    stamp, of = judge.case.folder / f"{slug}.kept.json", origin(rival, judge)
    known = json.loads(stamp.read_text(encoding="utf-8")) if stamp.exists() else {}
    out = judge.case.folder / (slug + (rival.peer.suffix if rival.peer else ""))
    if known.get("of") == of and not (retry and "failed" in known["row"]):
        return (None if "failed" in known["row"] else opened(rival, judge, out)), judged_again(known["row"], judge)
    try:
        took = make(rival, judge, out) if rival.peer else {}
        contender = opened(rival, judge, out)
        row = judge.row(contender) | {"made": took}
    except FailedError as error:
        contender, row = None, {"failed": str(error)}
    stamp.write_text(json.dumps({"of": of, "row": row}), encoding="utf-8")
    return contender, row


def judged_again(row: dict[str, Any], judge: Judge) -> dict[str, Any]:
    """Hold the kept figures against the bars of today."""
    return row if "failed" in row else row | {"missed": missed(row["quality"], judge.bars)}


def make(rival: Rival, judge: Judge, out: Path) -> dict[str, Any]:
    """Let a tool make its model; return what it took. Raises ``FailedError``."""
    peer, case = rival.peer, judge.case
    assert peer is not None
    out.unlink(missing_ok=True)
    usage = out.with_name(f"{out.stem}.usage.json")
    source = module_of(judge) if rival.module else case.model.path
    arguments = [peer.python, SCRIPTS / peer.script, how(peer, transformer=case.transformer), source, judge.calibration]
    said([*arguments, out], case.folder, out.with_name(f"{out.stem}.log"), usage=usage)
    if not out.exists():
        raise FailedError(f"{peer.script} ended without an error and wrote nothing")
    took: dict[str, Any] = json.loads(usage.read_text(encoding="utf-8"))
    return took


def how(peer: Peer, *, transformer: bool) -> str:
    """Return what a tool is told to do; two of them are told that a model is a transformer."""
    return "transformer" if transformer and peer.how in {"cnn", "graph"} else peer.how


def opened(rival: Rival, judge: Judge, out: Path) -> Contender:
    """Return what runs a rival's model; raises ``FailedError``."""
    if rival.peer is not None:
        return made_by(rival.peer, out)
    source = module_of(judge) if rival.module else judge.case.model.path
    python = Peer(rival.name, "", "", rival.environment).python
    if not python.exists():
        raise FailedError(f"{python} is not there: `make .bench/{rival.environment}/.installed`")
    return Contender(rival.name, Elsewhere(python, source, rival.mode, rival.server))


def origin(rival: Rival, judge: Judge) -> dict[str, Any]:
    """Return what a rival's model, and how good it is, depend on."""
    environment = rival.peer.environment if rival.peer else rival.environment
    pinned = REQUIREMENTS / f"{environment}.txt"
    own = {name: str(version(name)) for name in OWN_PACKAGES}
    module = module_of(judge) / "module.json"
    return {
        "model": judge.case.model.digest,
        "module": module.read_text(encoding="utf-8") if rival.module else None,
        "samples": [judge.case.calibration.digest, judge.case.evaluation.digest],
        "how": [rival.peer.how if rival.peer else rival.mode, (SCRIPTS / rival.script).read_text(encoding="utf-8")],
        "versions": pinned.read_text(encoding="utf-8") if environment else own,
    }


def config_lines(rival: Rival) -> int:
    """Return the lines that a user writes to get and open this model, data and judging apart."""
    written = counted_lines((SCRIPTS / rival.script).read_text(encoding="utf-8"), rival.peer.how if rival.peer else "")
    onnx = rival.peer is not None and rival.peer.suffix == ".onnx"
    return written + (OPENED_LINES if onnx else 0)


def counted_lines(script: str, how_: str = "") -> int:
    """Return the lines between the marks of a script that are code; ``how_`` picks parts marked as of one way only."""
    count, inside = 0, False
    for line in map(str.strip, script.splitlines()):
        if line.startswith(FROM):
            inside = line in {FROM, f"{FROM}, {how_}"}
        elif line == TO:
            inside = False
        elif inside and line and not line.startswith(("#", '"""')):
            count += 1
    return count
