"""Extras: each is known by the packages that it brings."""

from __future__ import annotations

import pytest

from mlopt.cli.doctor_extras import EXTRAS, IN_SERVICE, installed, packages
from mlopt.core.distribution import brought_by, requirements
from mlopt.core.packages import install_command

ALL = {name: "1.0" for extra, names in EXTRAS.items() if extra not in {"cpu", "gpu"} for name in names}


def test_a_missing_extra_is_a_note() -> None:
    found = {check.name: check for check in packages({})}
    assert not {"extra cpu", "extra gpu", "extra openvino"} & set(found), "the runtimes themselves say so"
    assert found["extra torch"].status == "note"
    assert found["extra torch"].fix == install_command("torch")
    assert found["extra data"].found == "lacks pillow, tokenizers"


@pytest.mark.parametrize("build", ["onnxruntime", "onnxruntime-gpu"])
def test_one_build_of_onnxruntime_is_right(build: str) -> None:
    assert {check.status for check in packages({**ALL, build: "1.32.0"})} == {"ok"}


def test_some_can_be_asked_for_alone() -> None:
    assert [check.name for check in packages(ALL, IN_SERVICE)] == [f"extra {name}" for name in IN_SERVICE]


@pytest.mark.parametrize("extra", IN_SERVICE)
def test_what_brings_an_artifact_into_service_is_what_the_extra_brings(extra: str) -> None:
    brought = {line.split(">")[0].split("<")[0].split("=")[0] for line in brought_by(extra, requirements())}
    if not requirements():
        pytest.skip("mlopt is not installed here")
    assert brought == set(EXTRAS[extra])


def test_what_is_installed_is_asked_by_its_own_name() -> None:
    found = installed()
    assert set(found) == {name for names in EXTRAS.values() for name in names}
    assert found["starlette"]
