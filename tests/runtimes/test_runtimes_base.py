"""What a runtime is: options that take nothing unseen, what is missing, and when two deployed models are the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from campaign_parts import model
from deployables import in_runtime
from pydantic import ConfigDict

from mlopt.core.packages import install_command
from mlopt.formats.model import ONNX
from mlopt.runtimes.base import Runtime, RuntimeOptions


class Open(RuntimeOptions):
    """Takes whatever a stranger writes."""

    model_config = ConfigDict(extra="allow", frozen=True)


class Loose(RuntimeOptions):
    """Can be changed after it was checked."""

    model_config = ConfigDict(extra="forbid", frozen=False)


def runtime(options: type[RuntimeOptions] = RuntimeOptions, **more: object) -> Runtime[RuntimeOptions]:
    return Runtime("test", frozenset({ONNX}), options, pytest.fail, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [Open, Loose])
def test_a_runtime_with_options_that_are_not_closed_is_refused(options: type[RuntimeOptions]) -> None:
    with pytest.raises(TypeError, match=f"{options.__name__} must be frozen and forbid extra keys"):
        runtime(options)


def test_what_is_missing_is_named_with_the_command_that_brings_it() -> None:
    none = runtime(packages=("numpy",))
    assert none.missing == ()
    own = runtime(packages=("numpy", "no-such-package"))
    assert (own.missing, own.install) == (("no-such-package",), "pip install no-such-package")
    assert install_command("gpu") in runtime(packages=("no-such-package",), extra="gpu").install


def test_two_are_the_same_by_content_runtime_and_options_wherever_they_lie(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    one, other = in_runtime(model(tmp_path, "net")), in_runtime(model(tmp_path / "elsewhere", "net"))
    assert one != other
    assert one.identity == other.identity
    assert one.identity != one.on_threads(3).identity
    assert one.identity != replace(one, runtime="another").identity
    assert one.identity != in_runtime(model(tmp_path, "new")).identity


def test_other_threads_leave_all_else_as_it_was(tmp_path: Path) -> None:
    one = in_runtime(model(tmp_path, "net"), 1, graph_optimization="basic")
    more = one.on_threads(4)
    assert (more.options.threads, one.options.threads) == (4, 1)
    assert more.options == one.options.model_copy(update={"threads": 4})
    assert (more.model, more.runtime) == (one.model, one.runtime)
