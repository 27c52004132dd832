"""What a model is fed: dtypes, shapes, batches, and outputs back in order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlopt.core.errors import DataError
from mlopt.data.dataset import Samples
from mlopt.data.feeds import batch_of, batches, check_inputs, predict
from mlopt.formats.model import TensorSpec

IMAGE = TensorSpec("image", "float32", ("batch", 1, 4, 4))


def image(count: int, dtype: str = "float32") -> Samples:
    return Samples({"image": np.arange(count * 16).reshape(count, 1, 4, 4).astype(dtype)})


def only(error: DataError) -> tuple[str, str | None, str | None, str | None]:
    assert len(error.problems) == 1
    problem = error.problems[0]
    return problem.what, problem.got, problem.expected, problem.fix


def test_matching_samples_pass_unchanged() -> None:
    samples = image(2)
    checked = check_inputs(samples, (IMAGE,))
    assert checked.inputs["image"] is samples.inputs["image"]
    assert checked.notes == ()


@pytest.mark.parametrize(
    ("have", "want"),
    [("float64", "float32"), ("float32", "float16"), ("int64", "int32"), ("int32", "int64"), ("uint8", "int64")],
)
def test_a_width_is_converted_and_noted(have: str, want: str) -> None:
    checked = check_inputs(image(2, have), (TensorSpec("image", want, IMAGE.shape),))
    assert checked.inputs["image"].dtype == want
    np.testing.assert_array_equal(checked.inputs["image"], image(2).inputs["image"])
    assert checked.notes == (f"input 'image' was converted from {have} to {want}",)


@pytest.mark.parametrize(
    ("value", "want"),
    [(2.0**40, "float16"), (1e300, "float32"), (2**40, "int32"), (-1, "uint8"), (np.inf, "float32")],
)
def test_a_value_that_does_not_fit_is_named(value: float, want: str) -> None:
    array = np.array([[0], [value]])
    with pytest.raises(DataError) as caught:
        check_inputs(Samples({"x": array}), (TensorSpec("x", want, ("batch", 1)),))
    what, got, _, _ = only(caught.value)
    assert what == f"a value does not fit into {want}"
    assert got is not None
    assert got.endswith("in sample 1")


@pytest.mark.parametrize(
    ("have", "want"),
    [("uint8", "float32"), ("float32", "int64"), ("bool", "int64"), ("float32", "string")],
)
def test_a_meaning_is_never_converted(have: str, want: str) -> None:
    with pytest.raises(DataError) as caught:
        check_inputs(image(1, have), (TensorSpec("image", want, IMAGE.shape),), "x.npz")
    assert only(caught.value)[:3] == ("the dtype does not fit the model", have, want)


def test_an_input_that_no_array_can_feed_is_told_so() -> None:
    with pytest.raises(DataError) as caught:
        check_inputs(image(1, "float32"), (TensorSpec("image", "bfloat16", IMAGE.shape),), "x.npz")
    what, got, expected = only(caught.value)[:3]
    assert (what, got, expected) == (
        "NumPy has no such dtype, so the model cannot be fed", "bfloat16", "a NumPy dtype",
    )  # fmt: skip


@pytest.mark.parametrize(
    "array", [np.array(["a", "bc"]), np.array([b"a", b"bc"]), np.array(["a", "bc"], object)], ids=["U", "S", "O"]
)
def test_text_of_every_kind_is_taken(array: np.ndarray) -> None:
    checked = check_inputs(Samples({"city": array}), (TensorSpec("city", "string", ("batch",)),))
    assert checked.inputs["city"].dtype.kind == "U"
    assert checked.inputs["city"].tolist() == ["a", "bc"]


@pytest.mark.parametrize("array", [np.array([b"\xff"]), np.array([None, "a"], object), np.array([1])])
def test_what_is_no_text_is_refused(array: np.ndarray) -> None:
    with pytest.raises(DataError) as caught:
        check_inputs(Samples({"city": array}), (TensorSpec("city", "string", ("batch",)),))
    assert only(caught.value)[3] == "give text: numpy.array([...], dtype=str)"


def test_whole_samples_may_be_of_any_batch_axis() -> None:
    specs = (TensorSpec("x", "float32", ("batch", "time", 4)), TensorSpec("h0", "float32", (2, "batch", 6)))
    for shape in ((3, 5, 4), (3, 1, 5, 4)):
        given = Samples({"x": np.zeros(shape, np.float32), "h0": np.zeros((3, 2, 1, 6), np.float32)})
        feeds, real = next(batches(check_inputs(given, specs), specs, 8))
        assert ({name: array.shape for name, array in feeds.items()}, real) == ({"x": (1, 5, 4), "h0": (2, 1, 6)}, 1)


def test_pixels_for_a_float_model_get_a_hint_at_scaling() -> None:
    with pytest.raises(DataError, match="scale the values as the model was trained"):
        check_inputs(image(1, "uint8"), (IMAGE,))


def test_a_misspelt_input_is_one_problem_with_its_name() -> None:
    with pytest.raises(DataError) as caught:
        check_inputs(Samples({"imgae": image(1).inputs["image"]}), (IMAGE,))
    what, got, expected, fix = only(caught.value)
    assert (what, got, expected) == ("the model has no input 'imgae'", "imgae", "image")
    assert fix == "did you mean 'image'?"


def test_one_unknown_name_is_taken_for_the_one_that_is_missing() -> None:
    with pytest.raises(DataError) as caught:
        check_inputs(Samples({"x": image(1).inputs["image"]}), (IMAGE,))
    assert only(caught.value)[3] == "did you mean 'image'?"


def test_all_problems_are_told_at_once() -> None:
    specs = (*(TensorSpec(name, "int64", ("batch", 4)) for name in ("ids", "mask", "kinds")), IMAGE)
    samples = Samples({"ids": np.zeros((2, 5), int), "image": np.zeros((2, 1, 4, 4), bool), "zzz": np.zeros(2)})
    with pytest.raises(DataError) as caught:
        check_inputs(samples, specs)
    assert [problem.what for problem in caught.value.problems] == [
        "the model has no input 'zzz'",
        "the data has no array for input 'mask'",
        "the data has no array for input 'kinds'",
        "the shape does not fit the model",
        "the dtype does not fit the model",
    ]
    assert caught.value.problems[1].fix == "add an array named 'mask' of int64, with the shape [samples, 4]"


@pytest.mark.parametrize("shape", [(2,), (2, 1, 4), (2, 1, 4, 5), (2, 3, 1, 4, 5), (2, 1, 1, 1, 4, 4)])
def test_shapes_that_fit_neither_way_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError) as caught:
        check_inputs(Samples({"image": np.zeros(shape, np.float32)}), (IMAGE,))
    assert only(caught.value)[:3] == (
        "the shape does not fit the model", f"[{', '.join(map(str, shape))}]", "[samples, 1, 4, 4]",
    )  # fmt: skip


@given(count=st.integers(1, 20), size=st.integers(1, 9), fixed=st.booleans())
def test_batches_are_full_and_cover_every_sample_once(count: int, size: int, fixed: bool) -> None:
    spec = TensorSpec("image", "float32", (size if fixed else "batch", 1, 4, 4))
    data = image(count)
    seen = []
    for feeds, real in batches(data, (spec,), 3 if fixed else size):
        assert feeds["image"].shape == (size, 1, 4, 4)
        assert (feeds["image"][real:] == feeds["image"][real - 1]).all()
        seen.append(feeds["image"][:real])
    np.testing.assert_array_equal(np.concatenate(seen), data.inputs["image"])


def test_batches_of_chosen_samples_keep_their_order() -> None:
    feeds, real = next(batches(image(5), (IMAGE,), 4, indices=[4, 0, 2]))
    assert real == 3
    assert feeds["image"][:, 0, 0, 0].tolist() == [64, 0, 32, 32]


def test_a_model_without_a_batch_axis_gets_whole_samples() -> None:
    specs = (TensorSpec("audio", "float32", ("batch", 6)), TensorSpec("rate", "int64", ()))
    data = check_inputs(Samples({"audio": np.zeros((3, 6), np.float32), "rate": np.array([8, 16, 24])}), specs)
    assert batch_of(data, specs, 8) == 1
    fed = list(batches(data, specs, 8))
    assert [feeds["audio"].shape for feeds, _ in fed] == [(1, 6)] * 3
    assert [(feeds["rate"].shape, int(feeds["rate"])) for feeds, _ in fed] == [((), 8), ((), 16), ((), 24)]


def test_inputs_that_disagree_about_the_batch_are_refused() -> None:
    specs = (TensorSpec("a", "float32", (2, 3)), TensorSpec("b", "float32", (4, 3)))
    data = Samples({name: np.zeros((4, 3), np.float32) for name in "ab"})
    with pytest.raises(DataError, match="the model's inputs take different numbers of samples"):
        next(batches(data, specs, 1))


@given(count=st.integers(1, 12), size=st.integers(1, 5))
def test_predict_gives_one_output_per_sample_in_order(count: int, size: int) -> None:
    outputs = predict(lambda feeds: {"sum": feeds["image"].sum((1, 2, 3))}, image(count), (IMAGE,), size)
    np.testing.assert_array_equal(outputs["sum"], image(count).inputs["image"].sum((1, 2, 3)))


def test_predict_stacks_outputs_without_a_batch_axis() -> None:
    spec = TensorSpec("x", "float32", (3,))
    data = Samples({"x": np.arange(12, dtype=np.float32).reshape(4, 3)})
    outputs = predict(lambda feeds: {"y": feeds["x"] * 2, "s": feeds["x"].sum()[()].reshape(())}, data, (spec,), 8)
    np.testing.assert_array_equal(outputs["y"], data.inputs["x"] * 2)
    assert outputs["s"].shape == (4,)


def test_samples_are_run_alone_where_the_parts_of_a_batch_cannot_be_told_apart() -> None:
    outputs = predict(lambda feeds: {"mean": feeds["image"].mean(keepdims=True)}, image(4), (IMAGE,), 2)
    np.testing.assert_allclose(outputs["mean"].ravel(), image(4).inputs["image"].mean((1, 2, 3)), rtol=1e-6)


def test_in_a_batch_of_fixed_size_a_sample_stands_beside_its_copies() -> None:
    spec = TensorSpec("x", "float32", (3, 2))
    data = Samples({"x": np.array([[1, 2], [3, 4], [5, 6], [7, 8]], np.float32)})
    fed: list[Any] = []

    def run(feeds: dict[str, Any]) -> dict[str, Any]:
        fed.append(feeds["x"])
        return {"total": feeds["x"].sum(axis=(0, 1), keepdims=True)}

    outputs = predict(run, data, (spec,), 1)
    np.testing.assert_array_equal(outputs["total"].ravel(), 3 * data.inputs["x"].sum(axis=1))
    assert all((rows == rows[0]).all() for rows in fed[1:])


@settings(deadline=None)
@given(rows=st.lists(st.integers(0, 4), min_size=2, max_size=8), size=st.integers(1, 3))
def test_what_differs_in_size_is_kept_sample_by_sample(rows: list[int], size: int) -> None:
    """A detector: sample ``n`` gives ``rows[n]`` rows that hold ``n``; a batch gives those of its samples together."""
    spec = TensorSpec("x", "float32", ("batch", 1))
    data = Samples({"x": np.arange(len(rows), dtype=np.float32)[:, None]})

    def run(feeds: dict[str, Any]) -> dict[str, Any]:
        found = [np.full((rows[int(x)], 4), x, np.float32) for x in feeds["x"][:, 0]]
        return {"boxes": np.concatenate(found), "x": feeds["x"]}

    outputs = predict(run, data, (spec,), size)
    np.testing.assert_array_equal(outputs["x"], data.inputs["x"])
    batches_ = [rows[start : start + size] for start in range(0, len(rows), size)]
    if size > 1 and all(sum(part) + (size - len(part)) * part[-1] == size for part in batches_):
        return  # by chance each batch looks as if it held one row of each sample
    for number, boxes in enumerate(outputs["boxes"]):
        assert (boxes == number).all()
        assert boxes.reshape(-1, 4).shape == (rows[number], 4)


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [
        ((5, 9, 8, 3), (3, 9, 8)), ((5, 9, 8, 3), (3, "h", "w")), ((3, 9, 8), (3, 9, 8)), ((3, 9, 8), (3, "h", "w")),
        ((5, 216), (3, 9, 8)), ((5, 9, 8), (1, 9, 8)), ((5, 9, 8), (1, "h", "w")), ((5, 9, 8), (9, 8, 1)), ((4,), (4,)),
        ((5, 3, 9, 8), (9, 8, 3)),
    ],
)  # fmt: skip
def test_what_makes_an_array_fit_does(shape: tuple[int, ...], wanted: tuple[int | str, ...]) -> None:
    specs = (TensorSpec("x", "float32", ("n", *wanted)),)
    with pytest.raises(DataError) as caught:
        check_inputs(Samples({"x": np.zeros(shape, np.float32)}), specs)
    python = str(caught.value.problems[0].fix).rpartition("give ")[2]
    array = eval(python, {"numpy": np, "x": np.zeros(shape, np.float32)})
    fitted = check_inputs(Samples({"x": array}), specs).inputs["x"]
    assert fitted.size == np.prod(shape)
    if shape[-1] == 3 and wanted[0] == 3:
        assert fitted.shape[1:] == (3, 9, 8)


def test_nothing_is_told_that_does_not_help() -> None:
    specs = (TensorSpec("x", "float32", ("n", 3, 8, 8)),)
    with pytest.raises(DataError) as caught:
        check_inputs(Samples({"x": np.zeros((5, 3, 4, 4), np.float32)}), specs)
    assert "the others must be the model's" in str(caught.value.problems[0].fix)
