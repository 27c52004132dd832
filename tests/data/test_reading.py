"""Reading .npz files, and what every source has in common."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlopt.core.errors import DataError, Problem
from mlopt.data.dataset import Samples
from mlopt.data.reading import read, read_npz, window
from mlopt.data.source import DataSource
from mlopt.formats.model import TensorSpec

X = (TensorSpec("x", "float32", ("batch", 2)),)


def problem_of(source: DataSource, base: Path, inputs: tuple[TensorSpec, ...] = X) -> Problem:
    with pytest.raises(DataError) as caught:
        read(source, base, inputs)
    assert len(caught.value.problems) == 1
    return caught.value.problems[0]


def npz_bytes(**arrays: object) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def ten(path: Path) -> None:
    rows = np.arange(20, dtype=np.float64).reshape(10, 2)
    path.write_bytes(npz_bytes(x=rows, labels=np.arange(10)))


def test_npz_with_labels_fits_the_model(tmp_path: Path) -> None:
    ten(tmp_path / "d.npz")
    samples = read(DataSource(source="d.npz"), tmp_path, X)
    assert samples.inputs["x"].dtype == np.float32
    assert samples.notes == ("input 'x' was converted from float64 to float32",)
    assert samples.labels is not None
    assert samples.labels.tolist() == list(range(10))


def test_an_input_called_labels_is_an_input(tmp_path: Path) -> None:
    (tmp_path / "d.npz").write_bytes(npz_bytes(labels=np.zeros((3, 2), np.float32), y=np.arange(3)))
    spec = (TensorSpec("labels", "float32", ("batch", 2)),)
    samples = read(DataSource(source="d.npz", labels="y"), tmp_path, spec)
    assert list(samples.inputs) == ["labels"]
    assert samples.labels is not None
    assert samples.labels.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("split", "limit", "expected"),
    [
        (None, None, 10),
        ((0.0, 0.5), None, 5),
        ((0.5, 1.0), None, 5),
        ((0.5, 1.0), 2, 2),
        (None, 99, 10),
    ],
)
def test_split_comes_before_limit(
    split: tuple[float, float] | None, limit: int | None, expected: int, tmp_path: Path
) -> None:
    ten(tmp_path / "d.npz")
    labels = read(DataSource(source="d.npz", split=split, limit=limit), tmp_path, X).labels
    assert labels is not None
    assert len(set(labels.tolist())) == expected
    if split is not None:
        other = read(DataSource(source="d.npz", split=(0.5 - split[0], 1.5 - split[1])), tmp_path, X).labels
        assert other is not None
        assert not set(labels.tolist()) & set(other.tolist())


@given(count=st.integers(0, 1000), edge=st.floats(0.01, 0.99))
def test_adjacent_splits_cover_everything_once(count: int, edge: float) -> None:
    first = window(DataSource(source="x", split=(0.0, edge)), count)
    second = window(DataSource(source="x", split=(edge, 1.0)), count)
    assert sorted([*first, *second]) == list(range(count))


def test_a_split_that_leaves_nothing_is_refused(tmp_path: Path) -> None:
    ten(tmp_path / "d.npz")
    problem = problem_of(DataSource(source="d.npz", split=(0.0, 0.01)), tmp_path)
    assert problem.what == "no samples are left"


def test_lengths_are_compared_before_anything_is_cut(tmp_path: Path) -> None:
    (tmp_path / "d.npz").write_bytes(npz_bytes(x=np.zeros((4, 2)), labels=np.zeros(9, int)))
    problem = problem_of(DataSource(source="d.npz", limit=2), tmp_path)
    assert (problem.what, problem.got) == ("the arrays hold different numbers of samples", "input 'x': 4, labels: 9")
    (tmp_path / "d.npz").write_bytes(npz_bytes(x=np.zeros(())))
    assert problem_of(DataSource(source="d.npz"), tmp_path).what == "input 'x' is a single number"


def test_bad_files_are_one_clear_error_each(tmp_path: Path) -> None:
    whole = npz_bytes(x=np.random.default_rng(0).random((50, 2)))
    damaged = bytearray(whole)
    damaged[60:90] = bytes(30)
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((3, 2)))
    npy = buffer.getvalue()
    contents = {
        "empty.npz": b"",
        "cut.npz": whole[: len(whole) // 2],
        "damaged.npz": bytes(damaged),
        "pickle.npz": pickle.dumps({"x": 1}),
        "objects.npz": npz_bytes(x=np.array([{}, []], dtype=object)),
        "table.csv": b"1,2\n",
        "array.npy": npy,
        "renamed.npz": npy,
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    whats = {name: problem_of(DataSource(source=name), tmp_path).what for name in [*contents, "absent.npz"]}
    assert whats == {
        "empty.npz": "the file is empty",
        "cut.npz": "this is not a whole .npz file: it is cut short, or of another format",
        "damaged.npz": "the .npz file is damaged",
        "pickle.npz": "this is not a whole .npz file: it is cut short, or of another format",
        "objects.npz": "the array holds pickled Python objects, which mlopt never loads",
        "table.csv": "mlopt cannot read this kind of data",
        "array.npy": "mlopt cannot read this kind of data",
        "renamed.npz": "this is one array, a .npy file, under the name of a .npz file",
        "absent.npz": "the data does not exist",
    }
    assert problem_of(DataSource(source="objects.npz"), tmp_path).where == f"{tmp_path}/objects.npz: array 'x'"
    for name in ("array.npy", "renamed.npz"):
        fix = f"numpy.savez('{Path(name).stem}.npz', **{{'x': numpy.load('{name}')}}) writes a .npz file"
        assert problem_of(DataSource(source=name), tmp_path).fix == fix
    assert "a .npz file, a folder of images" in str(problem_of(DataSource(source="table.csv"), tmp_path).expected)


def test_a_labels_array_that_is_not_there_is_named(tmp_path: Path) -> None:
    ten(tmp_path / "d.npz")
    problem = problem_of(DataSource(source="d.npz", labels="y"), tmp_path)
    assert (problem.what, problem.got) == ("there is no array 'y'", "x, labels")


VALID = npz_bytes(x=np.arange(12, dtype=np.float32).reshape(6, 2))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_bytes_escape_as_anything_but_a_data_error(data: st.DataObject, tmp_path: Path) -> None:
    content = bytearray(VALID)
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file = tmp_path / "d.npz"
    file.write_bytes(bytes(content[: data.draw(st.integers(0, len(content)))]) if data.draw(st.booleans()) else content)
    try:
        samples = read_npz(file, None, X)
    except DataError:
        return
    assert isinstance(samples, Samples)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(header=st.binary(max_size=200))
def test_no_array_header_escapes_either(header: bytes, tmp_path: Path) -> None:
    import zipfile

    file = tmp_path / "d.npz"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(DataError):
        read_npz(file, None, X)


def test_an_array_larger_than_memory_is_refused(tmp_path: Path) -> None:
    import zipfile

    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000000,)}"
    with zipfile.ZipFile(tmp_path / "d.npz", "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    assert problem_of(DataSource(source="d.npz"), tmp_path).what == "the .npz file is damaged"
