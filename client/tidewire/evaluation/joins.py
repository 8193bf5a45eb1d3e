"""Lays out operations on two vectors: how their series are paired, and what each pair gives; pure.

Series are paired by names and labels alone. Whether two of them stand against one is seen where both have a value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from tidewire.errors import InvalidFormula
from tidewire.evaluation.frame import Bools, Frame
from tidewire.evaluation.operations import BINARY
from tidewire.evaluation.reading_table import Places
from tidewire.evaluation.vectors import Columns, Key, Labels, Vector, bare, numbered, shared
from tidewire.model.formulas.matchers import METRIC
from tidewire.model.formulas.tree import COMPARISONS, Binary

__all__ = ["UnitOf", "paired", "set_operation"]

_MAX_PAIRS: Final = 20_000  # far more are only paired where most series are never there at the same time
UnitOf = Callable[[Binary, str | None, str | None], str]


def paired(node: Binary, left: Vector, right: Vector, unit_of: UnitOf) -> Vector:
    """Lay out an operation on two vectors: pairs of series with equal labels."""
    swapped = node.group == "group_right"
    many, ones = (right, left) if swapped else (left, right)
    many_keys = [_compared(node, each) for each in many.labels]
    one_keys = [_compared(node, each) for each in ones.labels]
    by_key: dict[Key, list[int]] = {}
    for at, key in enumerate(one_keys):
        by_key.setdefault(key, []).append(at)
    if sum(len(by_key.get(key, ())) for key in many_keys) > _MAX_PAIRS:
        raise _several(node)
    pairs = [(at, one, key) for at, key in enumerate(many_keys) for one in by_key.get(key, ())]
    many_at = np.array([pair[0] for pair in pairs], dtype=np.int64)
    one_at = np.array([pair[1] for pair in pairs], dtype=np.int64)
    left_at, right_at = (one_at, many_at) if swapped else (many_at, one_at)
    filters = node.operator in COMPARISONS and not node.as_bool
    labels, units = [], []
    for at, one, _ in pairs:
        if node.group:
            taken = {label: ones.labels[one].get(label, "") for label in node.include}
            found = {label: text for label, text in {**many.labels[at], **taken}.items() if text}
        else:
            found = {
                label: text
                for label, text in many.labels[at].items()
                if (label in node.labels) is (node.matching == "on")
            }
        first, second = (one, at) if swapped else (at, one)
        labels.append(found if filters else bare(found))
        units.append(left.units[first] if filters else unit_of(node, left.units[first], right.units[second]))
    function = BINARY[node.operator]
    one_groups = shared(one_keys)
    pair_groups = None if node.group else shared([pair[2] for pair in pairs])

    def run(frame: Frame) -> Columns:
        a, b = left.run(frame), right.run(frame)
        one_here = (a if swapped else b).here
        if one_groups is not None and (one_groups.reduced(np.add, one_here.astype(np.int64)) > 1).any():
            raise _several(node)
        here = a.here[left_at] & b.here[right_at]
        if pair_groups is not None and (pair_groups.reduced(np.add, here.astype(np.int64)) > 1).any():
            raise InvalidFormula(
                "match", node.position, node.end, "several series of the left match one of the right",
                "group_left says that this is meant",
            )  # fmt: skip
        value = function(a.value[left_at], b.value[right_at])
        if filters:
            time_s = None if a.time_s is None else a.time_s[left_at]
            return Columns(a.value[left_at], here & value, time_s)
        return Columns(value.astype(np.float64, copy=False), here)

    return Vector(labels, units, run)


def set_operation(node: Binary, left: Vector, right: Vector) -> Vector:
    """Lay out and, or and unless: which series stay where there is a partner."""
    of, count = numbered([_compared(node, each) for each in (*left.labels, *right.labels)])
    left_of = np.array(of[: len(left.labels)], dtype=np.int64)
    right_of = np.array(of[len(left.labels) :], dtype=np.int64)

    def present(of_side: Places, here: Bools) -> Bools:
        found = np.zeros((count, here.shape[1]), dtype=np.bool_)
        np.logical_or.at(found, of_side, here)
        return found

    if node.operator == "or":

        def run_or(frame: Frame) -> Columns:
            a, b = left.run(frame), right.run(frame)
            other = b.here & ~present(left_of, a.here)[right_of]
            return Columns(np.concatenate((a.value, b.value)), np.concatenate((a.here, other)))

        return Vector([*left.labels, *right.labels], [*left.units, *right.units], run_or)
    keeps = node.operator == "and"

    def run(frame: Frame) -> Columns:
        a, b = left.run(frame), right.run(frame)
        there = present(right_of, b.here)[left_of]
        return Columns(a.value, a.here & (there if keeps else ~there), a.time_s)

    return Vector(left.labels, left.units, run)


def _several(node: Binary) -> InvalidFormula:
    return InvalidFormula(
        "match", node.position, node.end, "several series of one side have the labels that are compared",
        "compare more labels with on (…), aggregate that side, or group_left where it is the left one",
    )  # fmt: skip


def _compared(node: Binary, labels: Labels) -> Key:
    """Return the labels by which a series is paired."""
    if node.matching == "on":
        return frozenset((label, text) for label, text in labels.items() if label in node.labels)
    return frozenset((label, text) for label, text in labels.items() if label not in node.labels and label != METRIC)
