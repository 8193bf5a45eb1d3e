"""Orders tests for parallel workers: the long ones first, so that none of them begins when all others are done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby, islice
from typing import TypeVar

__all__ = ["long_first"]

T = TypeVar("T")


def long_first(tests: Sequence[T], workers: int, is_long: Callable[[T], bool], group: Callable[[T], str]) -> list[T]:
    """Return the tests in the order in which each worker's part begins with its share of the long ones.

    Args:
        tests: in the order of their files.
        workers: how many take a consecutive part of the list each, all of the same size; the last ones take one more.
        is_long: tells the long tests.
        group: neighbours of one group share fixtures: they stay with one worker.

    Returns:
        All tests once. The long ones are dealt to the workers in turn; what is left keeps its order.
    """
    dealt: list[list[T]] = [[] for _ in range(workers)]
    for turn, (_, together) in enumerate(groupby(filter(is_long, tests), key=group)):
        dealt[turn % workers] += together
    short = [test for test in tests if not is_long(test)]
    rest = iter(short)
    ordered: list[T] = []
    for worker, long in enumerate(dealt):
        size = (len(tests) - len(ordered)) // (workers - worker)
        if len(long) > size:  # few tests were asked for: whoever is idle takes them
            return [test for part in dealt for test in part] + short
        ordered += long
        ordered += islice(rest, size - len(long))
    return ordered
