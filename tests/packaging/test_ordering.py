"""Long tests come first in each worker's part, and those of one module stay together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from ordering import long_first


def ordered(tests: list[str], workers: int) -> list[str]:
    """Order tests such as ``a1``, of module ``a``; the long ones are written in capitals."""
    return long_first(tests, workers, str.isupper, lambda test: test[0])


def test_each_part_begins_with_its_share_of_the_long_ones() -> None:
    assert ordered(["a1", "a2", "B1", "b2", "B3", "C1", "d1", "D2", "d3", "d4"], 3) == [
        *("B1", "B3", "a1"),
        *("C1", "a2", "b2"),
        *("D2", "d1", "d3", "d4"),
    ]


def test_more_long_ones_than_a_part_has_places_come_first() -> None:
    assert ordered(["A1", "A2", "b1", "A3"], 2) == ["A1", "A2", "A3", "b1"]


_TESTS = st.lists(st.sampled_from("aAbBcC")).map(lambda kinds: [f"{kind}{n}" for n, kind in enumerate(sorted(kinds))])


@given(_TESTS, st.integers(1, 7))
def test_every_test_is_there_once_and_neighbours_keep_their_order(tests: list[str], workers: int) -> None:
    found = ordered(tests, workers)
    assert sorted(found) == sorted(tests)
    for is_of in (str.islower, lambda test: test[0] == "A", lambda test: test[0] == "B", lambda test: test[0] == "C"):
        assert list(filter(is_of, found)) == list(filter(is_of, tests))
