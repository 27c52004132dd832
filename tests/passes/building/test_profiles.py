"""Profiles: what a recipe may say, and what samples ask for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mlopt.data.dataset import Samples, store
from mlopt.formats.model import TensorSpec
from mlopt.formats.tensorrt import Range
from mlopt.passes.building.profiles import made_from, profile_problems

IMAGE = TensorSpec("image", "float32", ("batch", 3, "height", 8))
FIXED = TensorSpec("scale", "float32", (1, 3))
GOOD = {"image": Range(min=(1, 3, 4, 8), opt=(2, 3, 8, 8), max=(4, 3, 8, 8))}


def told(profile: dict[str, Range]) -> list[str]:
    found = list(profile_problems([profile], (IMAGE, FIXED)))
    assert all(each.fix for each in found)
    return [f"{each.where}: {each.what}" for each in found]


def test_one_that_fits_is_taken() -> None:
    assert told(GOOD) == []


@pytest.mark.parametrize(("profile", "where", "what"), [
    ({**GOOD, "imagee": GOOD["image"]}, "profiles.0", "no input 'imagee'"),
    ({**GOOD, "scale": Range(min=(1, 3), opt=(1, 3), max=(2, 3))}, "profiles.0.scale", "fixed sizes"),
    ({"image": Range(min=(3, 3, 4, 8), opt=(2, 3, 8, 8), max=(4, 3, 8, 8))}, "profiles.0.image", "go up"),
    ({"image": Range(min=(1, 3, 4), opt=(2, 3, 8), max=(4, 3, 8))}, "profiles.0.image.min", "as many sizes"),
    ({"image": Range(min=(1, 3, 4, 8), opt=(2, 3, 8, 8), max=(4, 4, 8, 8))}, "profiles.0.image.max", "axis 1"),
    ({}, "profiles.0", "each input whose sizes vary"),
])  # fmt: skip
def test_one_that_does_not_fit_is_told_with_its_place(profile: dict[str, Range], where: str, what: str) -> None:
    (found,) = told(profile)
    assert found.startswith(f"{where}: ")
    assert what in found


def test_samples_give_the_sizes_and_the_target_the_batch(tmp_path: Path) -> None:
    data = store(
        Samples({"image": np.zeros((5, 3, 6, 8), np.float32), "scale": np.zeros((5, 3), np.float32)}), tmp_path, ""
    )
    (profile,) = made_from((IMAGE, FIXED), data, 2)
    assert profile == {"image": Range(min=(1, 3, 6, 8), opt=(2, 3, 6, 8), max=(8, 3, 6, 8))}


def test_a_model_of_fixed_sizes_has_none(tmp_path: Path) -> None:
    data = store(Samples({"scale": np.zeros((5, 3), np.float32)}), tmp_path, "")
    assert made_from((FIXED,), data, 2) == ()


def test_a_model_that_takes_one_sample_whole_has_the_sizes_of_the_samples(tmp_path: Path) -> None:
    sound = TensorSpec("sound", "float32", ("length",))
    data = store(Samples({"sound": np.zeros((5, 16), np.float32)}), tmp_path, "")
    assert made_from((sound,), data, 1) == ({"sound": Range(min=(16,), opt=(16,), max=(16,))},)
