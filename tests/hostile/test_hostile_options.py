"""An artifact of a stranger says how its model is opened; nothing it can say makes a runtime write, load or connect."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest
from bench_models import dense
from packed_artifact import pack

import mlopt
from mlopt.artifact.deployed import stated_options
from mlopt.artifact.layout import read_manifest
from mlopt.artifact.sign import sign
from mlopt.artifact.signing import keys
from mlopt.artifact.signing.signers import KeySigner
from mlopt.cli.app import run
from mlopt.core.errors import ExitCode, IntegrityError
from mlopt.core.hardware import usable_cores

KEY = re.compile(rb"(?<![\w.])(?:session|ep|optimization|memory|mlas|run|model)\.[A-Za-z_0-9.]{3,80}(?![\w.])")
REFUSED = "the model cannot be opened as the manifest says"


def entries_of_onnxruntime() -> list[str]:
    """Every name in ONNX Runtime's library that has the form of a setting, so that new ones are tried as well."""
    folder = Path(onnxruntime.__file__).parent / "capi"
    found = {key for library in folder.glob("*.so*") for key in KEY.findall(library.read_bytes())}
    return sorted(key.decode() for key in found)


def test_the_settings_were_found() -> None:
    found = entries_of_onnxruntime()
    assert "session.collect_node_memory_stats_to_file" in found
    assert len(found) > 60


def stated(tmp_path: Path, **options: Any) -> Path:
    """Write an artifact that nobody signed and whose manifest has these options besides its own."""
    folder = pack(tmp_path, None).path
    manifest = json.loads((folder / "mlopt.json").read_text())
    manifest["options"] |= options
    (folder / "mlopt.json").write_text(json.dumps(manifest))
    return folder


def opened(folder: Path) -> Any:
    return stated_options(folder, read_manifest(folder))


def test_every_setting_of_onnxruntime_is_refused(tmp_path: Path) -> None:
    folder = pack(tmp_path, None).path
    manifest = read_manifest(folder)
    for key in entries_of_onnxruntime():
        for extra in ({key: "1"}, {"config_entries": {key: str(tmp_path / "written")}}):
            with pytest.raises(IntegrityError, match=REFUSED):
                stated_options(folder, manifest.model_copy(update={"options": {**manifest.options, **extra}}))


@pytest.mark.parametrize(
    "options",
    [
        {"threads": 0}, {"threads": -1}, {"threads": 1025}, {"threads": 10**30}, {"threads": 1.5}, {"threads": "2"},
        {"threads": True}, {"threads": None}, {"threads": [1]},
        {"device": "cuda:0;trt_engine_cache_path=/x"}, {"device": "tpu"}, {"device": ["cpu"]}, {"device": ""},
        {"graph_optimization": "99"}, {"graph_optimization": "ALL"}, {"graph_optimization": None},
        {"spinning": 1}, {"spinning": "0"}, {"memory_pattern": None}, {"memory_arena": "off"}, {"prepacking": 0},
        {"inter_op_threads": 0}, {"inter_op_threads": 1025}, {"inter_op_threads": True},
        {"dynamic_block_base": -1}, {"dynamic_block_base": 10**30}, {"dynamic_block_base": "4;log=/x"},
        {"denormals_as_zero": True},
        {"config_entries": ["session.x"]}, {"config_entries": None}, {"config_entries": {"": ""}},
        {"providers": ["TensorrtExecutionProvider"]}, {"provider_options": {}}, {"custom_op_library": "./x.so"},
        {"optimized_model_filepath": "/x"}, {"profile_file_prefix": "/x"}, {"enable_profiling": True}, {"": 1},
    ],
    ids=json.dumps,
)  # fmt: skip
def test_what_mlopt_does_not_write_is_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError, match=REFUSED):
        opened(stated(tmp_path, **options))


def test_threads_are_at_most_the_cores(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert opened(stated(tmp_path, threads=1024)).threads == usable_cores()
    assert f"opened with the {usable_cores()} that this machine has cores for" in caplog.text


def test_what_earlier_versions_wrote_still_opens(tmp_path: Path) -> None:
    assert opened(stated(tmp_path, config_entries={})).threads >= 1


def commands(artifact: Path, model: Path) -> list[list[str]]:
    return [
        ["bench", str(artifact), "--time", "0.1"],
        ["bench", str(model), "--against", str(artifact), "--time", "0.1"],
        ["compare", str(artifact), str(model)],
        ["compare", str(model), str(artifact)],
    ]


@pytest.mark.parametrize("number", range(4))
def test_no_verb_passes_a_setting_on(tmp_path: Path, number: int, capfd: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "bashrc"
    folder = stated(tmp_path, config_entries={"session.collect_node_memory_stats_to_file": str(target)})
    assert run(commands(folder, dense(tmp_path / "m.onnx"))[number]) == ExitCode.INTEGRITY
    assert REFUSED in capfd.readouterr().err
    assert not target.exists()


def test_load_does_not_either(tmp_path: Path) -> None:
    folder = stated(tmp_path, config_entries={"session.collect_node_memory_stats_to_file": str(tmp_path / "bashrc")})
    public = keys.create_key(tmp_path / "key")
    sign(folder, KeySigner(keys.load_private(tmp_path / "key")))
    with pytest.raises(IntegrityError, match=REFUSED):
        mlopt.load(folder, key=public)
    assert not (tmp_path / "bashrc").exists()


def _with_metadata(path: Path, entries: dict[str, str]) -> Path:
    proto = onnx.load(dense(path))
    onnx.helper.set_model_props(proto, entries)
    onnx.save(proto, path)
    return path


@pytest.mark.parametrize("verb", [lambda m: ["bench", m, "--time", "0.1"], lambda m: ["compare", m, m]])
def test_what_a_model_says_of_its_session_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: Callable[[str], list[str]]
) -> None:
    """ONNX Runtime reads settings from a model's metadata if the environment says so: profiling writes files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORT_LOAD_CONFIG_FROM_MODEL", "1")
    config = json.dumps({"session_options": {"enable_profiling": 1, "intra_op_num_threads": 77}})
    model = _with_metadata(tmp_path / "m.onnx", {"ort_config": config})
    before = set(tmp_path.iterdir())
    assert run(verb(str(model))) in {ExitCode.OK, ExitCode.INCONCLUSIVE}
    assert set(tmp_path.iterdir()) == before
