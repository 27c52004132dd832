"""Answers that are kept: by what was asked, and within bounds."""

from __future__ import annotations

import numpy as np

from mlopt.serve.response_cache import ResponseCache, key_of

ONE = {"y": np.zeros(1000, np.uint8)}


def test_the_least_recently_asked_for_goes_first() -> None:
    cache = ResponseCache(3 * 1600)
    for key in "abc":
        cache.put(key, ONE)
    assert cache.get("a") is not None
    cache.put("d", ONE)
    assert [cache.get(key) is not None for key in "abcd"] == [True, False, True, True]
    assert cache.bytes <= 3 * 1600


def test_what_is_larger_than_the_cache_is_not_kept_and_pushes_nothing_out() -> None:
    cache = ResponseCache(2000)
    cache.put("a", ONE)
    cache.put("b", {"y": np.zeros(5000, np.uint8)})
    assert (cache.get("a") is None, cache.get("b") is None) == (False, True)


def test_an_answer_is_a_copy_and_the_same_key_takes_no_more_room() -> None:
    cache, outputs = ResponseCache(10_000), {"y": np.zeros(10)}
    cache.put("a", outputs)
    outputs["y"][:] = 1
    found = cache.get("a")
    assert found is not None
    assert not found["y"].any()
    before = cache.bytes
    cache.put("a", outputs)
    assert cache.bytes == before


def test_the_key_is_of_all_that_makes_a_difference() -> None:
    x = np.arange(6, dtype=np.float32)
    keys = {
        key_of("d", {"x": x}), key_of("e", {"x": x}), key_of("d", {"z": x}), key_of("d", {"x": x.reshape(2, 3)}),
        key_of("d", {"x": x.view(np.int32)}), key_of("d", {"x": x + 1}), key_of("d", {"x": x, "y": x}),
    }  # fmt: skip
    assert len(keys) == 7
    assert key_of("d", {"x": x, "y": x}) == key_of("d", {"y": x.copy(), "x": x.copy()})
    text = [np.array(["ab", "c"], object), np.array(["a", "bc"], object)]
    assert key_of("d", {"x": text[0]}) != key_of("d", {"x": text[1]})
