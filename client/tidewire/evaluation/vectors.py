"""What a part of a formula is when it is laid out: its series, and how their values are computed; pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np

from tidewire.errors import InvalidFormula
from tidewire.evaluation.frame import Bools, Frame
from tidewire.evaluation.operations import Groups
from tidewire.evaluation.reading_table import Floats
from tidewire.model.formulas.matchers import METRIC
from tidewire.model.formulas.tree import Node

__all__ = [
    "Columns",
    "Key",
    "Labels",
    "Run",
    "Scalar",
    "Vector",
    "bare",
    "distinct",
    "key_of",
    "numbered",
    "only_unit",
    "shared",
    "sorting",
]

Labels: TypeAlias = dict[str, str]
Key: TypeAlias = frozenset[tuple[str, str]]


class Columns(NamedTuple):
    """The values of a vector.

    Attributes:
        value: float64[series, times]; anything where there is none.
        here: bool[series, times], where there is one; it may be NaN.
        time_s: float64[series, times], of the readings behind a selector; else None.
    """

    value: Floats
    here: Bools
    time_s: Floats | None = None


class Scalar(Protocol):
    """Computes a number at each time."""

    def __call__(self, frame: Frame) -> Floats:
        """Return the number at each time, float64[n]."""


class Run(Protocol):
    """Computes the values of some series at each time."""

    def __call__(self, frame: Frame) -> Columns:
        """Return the values at each time."""


class Vector(NamedTuple):
    """A part of a formula that is a vector: its series, and what computes them."""

    labels: list[Labels]
    units: list[str]
    run: Run


def sorting(labels: Labels) -> list[tuple[str, str]]:
    """Return what series are ordered by."""
    return sorted(labels.items())


def bare(labels: Labels) -> Labels:
    """Return labels without the name of the metric."""
    return {label: text for label, text in labels.items() if label != METRIC}


def key_of(labels: Labels) -> Key:
    """Return what is equal for equal labels."""
    return frozenset(labels.items())


def numbered(keys: Sequence[Key]) -> tuple[list[int], int]:
    """Return the number of each key in the order of first sight, and how many there are."""
    seen: dict[Key, int] = {}
    return [seen.setdefault(key, len(seen)) for key in keys], len(seen)


def shared(keys: Sequence[Key]) -> Groups | None:
    """Return groups of what has the same key; None if nothing has."""
    of, count = numbered(keys)
    return None if count == len(keys) else Groups(of, count)


def only_unit(units: Sequence[str]) -> str:
    """Return the unit of all, ``""`` if they differ."""
    return units[0] if len(set(units)) == 1 else ""


def distinct(vector: Vector, node: Node) -> Vector:
    """Join series with equal labels; at one time only one of them may have a value."""
    of, count = numbered([key_of(each) for each in vector.labels])
    if count == len(of):
        return vector
    groups = Groups(of, count)
    labels = [vector.labels[int(at)] for at in groups.order[groups.starts].tolist()]
    units = [only_unit([vector.units[at] for at in members.tolist()]) for members in groups.members()]

    def run(frame: Frame) -> Columns:
        found = vector.run(frame)
        if (groups.reduced(np.add, found.here.astype(np.int64)) > 1).any():
            raise InvalidFormula(
                "duplicate", node.position, node.end, "two series of the result have the same labels",
                "write a pattern, whose stars become labels, or aggregate",
            )  # fmt: skip
        value = groups.reduced(np.add, np.where(found.here, found.value, 0.0))
        time_s = None
        if found.time_s is not None:
            time_s = groups.reduced(np.add, np.where(found.here, found.time_s, 0.0))
        return Columns(value, groups.reduced(np.logical_or, found.here), time_s)

    return Vector(labels, units, run)
