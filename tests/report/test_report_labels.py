"""Labels lie beside their points, inside the drawing, and on nothing else."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from mlopt.report.labels import Box, Label, Spot, placed

INSIDE = (0.0, 0.0, 280.0, 230.0)
SPOTS = st.lists(
    st.builds(
        Spot, x=st.floats(0, 280), y=st.floats(0, 230), text=st.sampled_from(["1", "12", "3 shipped"]),
        radius=st.sampled_from([4.5, 10.0]), bold=st.booleans(),
    ),
    max_size=25,
)  # fmt: skip


def box(label: Label) -> Box:
    wide, high = len(label.spot.text) * (8.2 if label.spot.bold else 7.0) / 2, 6.0
    return label.x - wide, label.y - high, label.x + wide, label.y + high


def apart(one: Box, other: Box) -> bool:
    return one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


@given(SPOTS)
def test_no_label_lies_on_another_or_on_a_point_or_outside(spots: list[Spot]) -> None:
    labels = placed(spots, INSIDE)
    assert all(apart(box(one), box(other)) for one, other in combinations(labels, 2))
    markers = [(s.x - s.radius, s.y - s.radius, s.x + s.radius, s.y + s.radius) for s in spots]
    assert all(apart(box(label), marker) for label in labels for marker in markers)
    for left, top, right, bottom in map(box, labels):
        assert INSIDE[0] <= left
        assert INSIDE[1] <= top
        assert right <= INSIDE[2]
        assert bottom <= INSIDE[3]


@given(SPOTS)
def test_each_label_is_of_its_point_and_near_it(spots: list[Spot]) -> None:
    labels = placed(spots, INSIDE)
    waiting = iter(spots)
    assert all(label.spot in waiting for label in labels), "in the order of the points, and none twice"
    for label in labels:
        left, top, right, bottom = box(label)
        x, y = label.edge
        assert left - 1e-6 <= x <= right + 1e-6
        assert top - 1e-6 <= y <= bottom + 1e-6
        assert abs(label.x - label.spot.x) < 80
        assert abs(label.y - label.spot.y) < 50


def test_a_dozen_points_that_are_not_all_in_one_place_have_a_label_each() -> None:
    spots = [Spot(20.0 + 20 * number, 40.0 + 9 * (number % 4), str(number), 4.5) for number in range(1, 13)]
    assert len(placed(spots, INSIDE)) == 12


def test_a_label_keeps_off_what_is_to_be_avoided() -> None:
    spot, wall = Spot(100.0, 100.0, "1", 4.5), (104.0, 0.0, 280.0, 230.0)
    (free,), (beside,) = placed([spot], INSIDE), placed([spot], INSIDE, [wall])
    assert free.x > spot.x
    assert apart(box(beside), wall)
    assert placed([spot], INSIDE, [INSIDE]) == ()
