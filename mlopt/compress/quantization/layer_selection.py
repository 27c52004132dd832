"""Which layers to quantize: what they save, against the error that they make, and the price of changing back and forth.

In a convolutional network the conversions between INT8 and FP32 cost as much as several layers save, so a set of good
layers is no good set if it is full of holes. Over the layers in the order in which they run, the best set for one price
of error is a shortest path through two states; the price that just keeps the budget is found by trying (a Lagrangian
relaxation of the knapsack: the budget itself is only known by running the model).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def best_set(
    layers: Sequence[str],
    savings: Mapping[str, float],
    errors: Mapping[str, float],
    boundaries: Mapping[str, float],
    price: float,
) -> tuple[str, ...]:
    """Return the set with the greatest value: savings, less ``price`` times the errors, less the boundaries crossed.

    ``boundaries[layer]`` is what it costs that the values which ``layer`` reads change their type: it is INT8 and the
    layer before it is not, or the other way round. The values at the start, and at the end, are FP32.
    """
    value = {False: 0.0, True: float("-inf")}
    ways: list[dict[bool, bool]] = []
    for layer in layers:
        crossing = boundaries.get(layer, 0.0)
        worth = savings[layer] - price * errors.get(layer, 0.0)
        way, next_value = {}, {}
        for state in (False, True):
            way[state] = max((False, True), key=lambda before: value[before] - crossing * (before != state))
            next_value[state] = value[way[state]] - crossing * (way[state] != state) + worth * state
        ways.append(way)
        value = next_value
    state = value[True] - boundaries.get("", 0.0) > value[False]
    chosen = []
    for layer, way in zip(reversed(layers), reversed(ways), strict=True):
        if state:
            chosen.append(layer)
        state = way[state]
    return tuple(reversed(chosen))
