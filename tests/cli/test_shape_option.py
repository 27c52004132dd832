from __future__ import annotations

import pytest
import typer

from mlopt.cli.shape_option import for_random, shapes_in


def test_shapes_are_read_by_input() -> None:
    assert shapes_in(["image=1,3,224,224", "a=b=2", "scalar="]) == {
        "image": (1, 3, 224, 224),
        "a=b": (2,),
        "scalar": (),
    }
    assert shapes_in(None) == {}


@pytest.mark.parametrize("text", ["image", "=1,2", "image=0,3", "image=1,,2", "image=1,x"])
def test_what_is_no_shape_is_told(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is no shape"):
        shapes_in([text])


def test_samples_have_shapes_of_their_own() -> None:
    assert for_random(["x=1,2"], None) == {"x": (1, 2)}
    assert for_random(None, "x.npz") == {}
    with pytest.raises(typer.BadParameter, match="--data or --shape"):
        for_random(["x=1,2"], "x.npz")
