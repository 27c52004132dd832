"""What a study takes along to other machines: no key, no path that means something else there, and every file named."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from mlopt.run.request import Request
from mlopt.tune.ray_study import files_named, travelling
from mlopt.tune.study import Opening


def test_a_request_travels_without_what_signs_and_with_whole_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = Request(Path("r.yaml"), data=Path("x.npz"), key=Path("release.key"), overrides=("a=1",), allow_code=True)
    sent = pickle.loads(pickle.dumps(Opening(travelling(asked), ("fuse",))))
    assert (sent.request.source, sent.request.data) == (tmp_path / "r.yaml", tmp_path / "x.npz")
    assert (sent.request.key, sent.request.signer, sent.request.sign) == (None, None, False)
    assert (sent.request.overrides, sent.request.allow_code, sent.only) == (("a=1",), True, ("fuse",))


def test_files_are_found_wherever_a_recipe_names_them(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for name in ("m.py", "x.npz", "folder/metric.py"):
        (tmp_path / name).touch()
    recipe = {
        "name": "x", "model": {"source": "./m.py:build"}, "target": {"threads": 2},
        "data": {"evaluation": {"source": "x.npz"}, "train": {"source": "./gone.npz"}},
        "passes": [{"quantize": {"mode": "auto"}}, "fuse"], "metric": {"name": "./folder/metric.py:f"}, "empty": "",
    }  # fmt: skip
    found = sorted(each.relative_to(tmp_path.resolve()).as_posix() for each in files_named(recipe, tmp_path))
    assert found == ["folder/metric.py", "m.py", "x.npz"]
