"""Samples of a Python function: what it may return, and how it is told what it should have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mlopt.core.errors import DataError, ModelError
from mlopt.core.usercode import CodeReference
from mlopt.data.functions import call, in_a_line
from mlopt.data.reading import read
from mlopt.data.source import DataSource
from mlopt.formats.model import TensorSpec

X = (TensorSpec("x", "float32", ("batch", 2)),)
CODE = """
import numpy as np

def plain():
    return {"x": np.zeros((4, 2), np.float32)}

def labelled():
    return {"x": [[0.0, 1.0]] * 4}, [3, 2, 1, 0]

def wrong():
    return [1, 2]

def ragged():
    return {"x": [[1.0], [1.0, 2.0]]}

def broken():
    return {"x": np.zeros(3).reshape(2, 2)}
"""


def test_python_functions_give_samples(tmp_path: Path) -> None:
    (tmp_path / "source_code.py").write_text(CODE)
    assert read(DataSource(source="./source_code.py:plain"), tmp_path, X).labels is None
    samples = read(DataSource(source="source_code.py:labelled", split=(0.5, 1.0)), tmp_path, X)
    assert samples.labels is not None
    assert len(samples.labels) == 2
    assert samples.inputs["x"].dtype == np.float32


@pytest.mark.parametrize(
    ("function", "message", "line"),
    [
        ("wrong", "the function returns something else than samples", None),
        ("ragged", "the samples differ in size", "ragged: input 'x'"),
        ("broken", "the function failed", 17),
    ],
)
def test_a_function_that_fails_is_one_clear_error(
    function: str, message: str, line: int | None, tmp_path: Path
) -> None:
    (tmp_path / "failing_code.py").write_text(CODE)
    with pytest.raises(DataError) as caught:
        call(CodeReference(tmp_path / "failing_code.py", function))
    (problem,) = caught.value.problems
    assert problem.what == message
    assert problem.where == f"{tmp_path}/failing_code.py:{line or function}"


def test_a_missing_function_says_what_there_is(tmp_path: Path) -> None:
    (tmp_path / "other_code.py").write_text(CODE)
    with pytest.raises(ModelError, match="there is no function 'nothing'"):
        call(CodeReference(tmp_path / "other_code.py", "nothing"))


@pytest.mark.parametrize(
    ("returned", "fix"),
    [
        ("[{'x': 1.0}] * 3", "{'x': numpy.stack([s['x'] for s in samples])}; each array holds all samples"),
        ("np.zeros((3, 2))", "return {'x': ...}, each an array of all samples"),
        ("{0: np.zeros((3, 2))}", "its keys are the names of the model's inputs"),
        ("({'x': 1}, 2, 3)", "return {'x': numpy.stack([s['x'] for s in samples])}"),
    ],
)
def test_the_way_from_what_was_returned_to_samples_is_told(tmp_path: Path, returned: str, fix: str) -> None:
    (tmp_path / "odd_code.py").write_text(f"import numpy as np\ndef odd():\n    return {returned}\n")
    with pytest.raises(DataError, match="something else than samples") as caught:
        call(CodeReference(tmp_path / "odd_code.py", "odd"), X)
    assert fix in (caught.value.problems[0].fix or "")


def test_an_error_of_mlopt_inside_the_function_stays_what_it_is(tmp_path: Path) -> None:
    text = "from mlopt.core.errors import ModelError\ndef own():\n    raise ModelError('no such model')\n"
    (tmp_path / "own_code.py").write_text(text)
    with pytest.raises(ModelError, match="no such model"):
        call(CodeReference(tmp_path / "own_code.py", "own"))


@pytest.mark.parametrize(
    ("error", "line"), [(ValueError("a\n  b"), "ValueError: a b"), (KeyError(), "KeyError"), (OSError(" "), "OSError")]
)
def test_an_error_is_one_line(error: Exception, line: str) -> None:
    assert in_a_line(error) == line
    assert len(in_a_line(ValueError("x" * 1000))) == 300
