"""Lays out a formula over some series: which series each part has, and how those of two parts are paired; pure.

All of this depends on names and labels only. It is done once for a set of series, so that evaluating the formula at
some times is nothing but operations on matrices. One method lays out one kind of part: longer than usual, for that.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np

from tidewire.errors import InvalidFormula
from tidewire.evaluation.aggregates import aggregate
from tidewire.evaluation.frame import Bools, Frame
from tidewire.evaluation.joins import paired, set_operation
from tidewire.evaluation.operations import BINARY, VALUE_FUNCTIONS
from tidewire.evaluation.reading_table import Floats, Places, ReadingTable
from tidewire.evaluation.relabelling import relabelled
from tidewire.evaluation.selector_windows import SelectorWindows
from tidewire.evaluation.vectors import (
    Columns,
    Labels,
    Run,
    Scalar,
    Vector,
    bare,
    distinct,
    sorting,
)
from tidewire.model.formulas.functions import FUNCTIONS, UnitRule
from tidewire.model.formulas.reads import EMA_HALF_LIVES, labels_of
from tidewire.model.formulas.result_units import unit_by_rule, unit_of_operation
from tidewire.model.formulas.tree import (
    COMPARISONS,
    Aggregate,
    Binary,
    Call,
    Negation,
    Node,
    Number,
    Selector,
)

__all__ = ["MAX_ROWS", "MAX_SERIES", "Plan", "plan_formula"]

MAX_SERIES: Final = 2_000
"""Most series that one selector may select."""
MAX_ROWS: Final = 5 * MAX_SERIES
"""Most series that a part of a formula may have, such as those of several selectors joined by ``or``."""


class Plan(NamedTuple):
    """A formula over some series.

    Attributes:
        kind: ``vector``, or ``scalar``: then it is as one series without labels.
        labels: of each series of the result, ``__name__`` too where the name is kept; in the order of labels.
        units: of each.
        run: computes it at the times of a frame over the table that it was planned for.
        warnings: what is doubtful, such as the sum of two units.
        rows: the most series of one part, which bounds the memory of a time.
        parts: how many parts there are.
        used: int64[k], the rows of the table that it reads.
    """

    kind: str
    labels: list[Labels]
    units: list[str]
    run: Callable[[Frame], Columns]
    warnings: tuple[str, ...]
    rows: int
    parts: int
    used: Places


def plan_formula(node: Node, table: ReadingTable) -> Plan:
    """Return a formula laid out over the series of a table.

    Args:
        node: a checked tree, a vector or a scalar.
        table: its series; later ones need another plan.

    Raises:
        InvalidFormula: a selector selects more than `MAX_SERIES`.
    """
    planner = _Planner(table)
    part = planner.part(node)
    used = np.unique(np.concatenate(planner.used)) if planner.used else np.zeros(0, dtype=np.int64)
    rows = max(planner.most, 1)
    if not isinstance(part, Vector):
        scalar = part

        def run(frame: Frame) -> Columns:
            with np.errstate(all="ignore"):
                value = scalar(frame)[None, :]
            return Columns(value, np.ones(value.shape, dtype=np.bool_))

        return Plan("scalar", [{}], [""], run, tuple(planner.warnings), rows, planner.parts, used)
    order = sorted(range(len(part.labels)), key=lambda at: sorting(part.labels[at]))
    rank = np.array(order, dtype=np.int64)
    vector = part

    def run_vector(frame: Frame) -> Columns:
        with np.errstate(all="ignore"):
            found = vector.run(frame)
        return Columns(found.value[rank], found.here[rank])

    return Plan(
        "vector", [part.labels[at] for at in order], [part.units[at] for at in order], run_vector,
        tuple(dict.fromkeys(planner.warnings)), rows, planner.parts, used,
    )  # fmt: skip


class _Planner:
    def __init__(self, table: ReadingTable) -> None:
        self.table = table
        self.warnings: list[str] = []
        self.used: list[Places] = []
        self.most = 0
        self.parts = 0
        self._selected: dict[tuple[str | None, tuple[Any, ...]], tuple[Places, list[Labels]]] = {}

    def part(self, node: Node) -> Vector | Scalar:
        """Lay out a part, and count its series."""
        self.parts += 1
        part = self.laid_out(node)
        if isinstance(part, Vector):
            self.most = max(self.most, len(part.labels))
            if self.most > MAX_ROWS:
                raise InvalidFormula(
                    "series", node.position, node.end, f"more than {MAX_ROWS} series", "aggregate before the operator"
                )
        return part

    def laid_out(self, node: Node) -> Vector | Scalar:
        if isinstance(node, Number):
            value = node.value
            return lambda frame: np.full(frame.time_ms.size, value)
        if isinstance(node, Selector):
            return self.selector(node)
        if isinstance(node, Negation):
            return self.negation(node)
        if isinstance(node, Aggregate):
            parameter = self.scalar(node.arguments[0]) if len(node.arguments) > 1 else None
            return aggregate(node, self.vector(node.arguments[-1]), parameter)
        if isinstance(node, Binary):
            return self.binary(node)
        if isinstance(node, Call):
            return self.call(node)
        raise TypeError("a text is only an argument")  # the types were checked

    def vector(self, node: Node) -> Vector:
        part = self.part(node)
        if not isinstance(part, Vector):
            raise TypeError("expected a vector")  # the types were checked
        return part

    def scalar(self, node: Node) -> Scalar:
        part = self.part(node)
        if isinstance(part, Vector):
            raise TypeError("expected a scalar")  # the types were checked
        return part

    # -- selectors and windows -----------------------------------------------------------------------------------

    def selected(self, node: Selector) -> tuple[Places, list[Labels]]:
        """Return the rows that a selector selects, ascending, and their labels."""
        key = (node.name, node.matchers)
        if (known := self._selected.get(key)) is not None:
            return known
        table = self.table
        rows, found = [], []
        for row, metric in enumerate(table.metrics):
            labels = labels_of(node, metric, table.labels[row])
            if labels is not None:
                rows.append(row)
                found.append(labels)
                if len(rows) > MAX_SERIES:
                    raise InvalidFormula(
                        "series", node.position, node.end, f"more than {MAX_SERIES} series match",
                        "a narrower pattern, or labels",
                    )  # fmt: skip
        self.most = max(self.most, len(rows))
        places = np.array(rows, dtype=np.int64)
        self.used.append(places)
        self._selected[key] = places, found
        return places, found

    def units_of(self, rows: Places, rule: UnitRule) -> list[str]:
        return [unit_by_rule(rule, self.table.units[row]) for row in rows.tolist()]

    def selector(self, node: Selector) -> Vector:
        rows, labels = self.selected(node)
        offset_ms = node.offset_s * 1e3

        def find(frame: Frame) -> Columns:
            place, here = frame.values(rows, offset_ms)
            every = frame.table.all
            return Columns(every.value[place], here, every.time[place] / 1e3)

        return Vector(labels, self.units_of(rows, "same"), lambda frame: frame.once(node, lambda: find(frame)))

    def windowed(self, node: Call) -> Vector:
        """Lay out a function of readings."""
        at = next(at for at, each in enumerate(FUNCTIONS[node.name].parameters) if each.kind == "range")
        selector = node.arguments[at]
        if not isinstance(selector, Selector):
            raise TypeError("expected a selector")  # the types were checked
        extra = [self.scalar(each) for each in (*node.arguments[:at], *node.arguments[at + 1 :])]
        rows, labels = self.selected(selector)
        unit = self.units_of(rows, FUNCTIONS[node.name].unit)
        if node.name != "last_over_time":
            labels = [bare(each) for each in labels]
        range_s = selector.range_s
        if node.name == "ema" and range_s is None and isinstance(half_life := node.arguments[1], Number):
            range_s = EMA_HALF_LIVES * half_life.value
        window = SelectorWindows(selector, rows, range_s)

        def find(frame: Frame) -> Columns:
            return window.run(node.name, frame, [each(frame) for each in extra])

        return distinct(Vector(labels, unit, lambda frame: frame.once(node, lambda: find(frame))), node)

    def baseline(self, node: Call) -> Vector:
        """Lay out the median of the means of the same window so many periods ago."""
        selector, *numbers = node.arguments
        if not isinstance(selector, Selector):
            raise TypeError("expected a selector")  # the types were checked
        period_s, count = (
            *(each.value for each in numbers if isinstance(each, Number)), *(86_400.0, 7.0)[len(numbers) :],
        )  # fmt: skip
        rows, labels = self.selected(selector)
        window = SelectorWindows(selector, rows, selector.range_s)

        def run(frame: Frame) -> Columns:
            return window.usual(frame, period_s * 1e3, int(count))

        return distinct(Vector([bare(each) for each in labels], self.units_of(rows, "same"), run), node)

    # -- functions -----------------------------------------------------------------------------------------------

    def negation(self, node: Negation) -> Vector | Scalar:
        part = self.part(node.operand)
        if not isinstance(part, Vector):
            scalar = part
            return lambda frame: -scalar(frame)
        run = part.run

        def negated(frame: Frame) -> Columns:
            found = run(frame)
            return Columns(-found.value, found.here)

        return distinct(Vector([bare(each) for each in part.labels], part.units, negated), node)

    def call(self, node: Call) -> Vector | Scalar:
        name = node.name
        if name == "baseline":
            return self.baseline(node)
        if name in ("absent", "absent_over_time"):
            return self.absent(node)
        if FUNCTIONS[name].parameters and any(each.kind == "range" for each in FUNCTIONS[name].parameters):
            return self.windowed(node)
        if name in VALUE_FUNCTIONS:
            return self.value_function(node)
        if name in ("label_replace", "label_join"):
            return distinct(relabelled(node, self.vector(node.arguments[0])), node)
        if name == "time":
            return lambda frame: frame.time_ms / 1e3
        if name == "vector":
            number = self.scalar(node.arguments[0])
            return Vector([{}], [""], lambda frame: _series(number(frame)))
        vector = self.vector(node.arguments[0])
        return self.only_value(vector) if name == "scalar" else self.timestamp(node, vector)

    def value_function(self, node: Call) -> Vector:
        vector = self.vector(node.arguments[0])
        extra = [self.scalar(each) for each in node.arguments[1:]]
        function, run, clamps = VALUE_FUNCTIONS[node.name], vector.run, node.name == "clamp"
        rule = FUNCTIONS[node.name].unit

        def computed(frame: Frame) -> Columns:
            found = run(frame)
            numbers = [each(frame) for each in extra]
            here = found.here & (numbers[0] <= numbers[1]) if clamps else found.here
            return Columns(function(found.value, *numbers), here)

        labels = [bare(each) for each in vector.labels]
        return distinct(Vector(labels, [unit_by_rule(rule, unit) for unit in vector.units], computed), node)

    def only_value(self, vector: Vector) -> Scalar:
        def run(frame: Frame) -> Floats:
            found = vector.run(frame)
            total = np.where(found.here, found.value, 0.0).sum(axis=0)
            return np.where(found.here.sum(axis=0) == 1, total, np.nan)

        return run

    def timestamp(self, node: Call, vector: Vector) -> Vector:
        of_readings = isinstance(node.arguments[0], Selector)

        def run(frame: Frame) -> Columns:
            found = vector.run(frame)
            time_s = np.broadcast_to(frame.time_ms / 1e3, found.value.shape)
            return Columns(found.time_s if of_readings and found.time_s is not None else time_s, found.here)

        return distinct(Vector([bare(each) for each in vector.labels], ["s"] * len(vector.labels), run), node)

    def absent(self, node: Call) -> Vector:
        argument = node.arguments[0]
        labels: Labels = {}
        if isinstance(argument, Selector):
            names = [matcher.label for matcher in argument.matchers]
            labels = {
                each.label: each.text
                for each in argument.matchers
                if each.operator == "=" and names.count(each.label) == 1 and each.text
            }
        if node.name == "absent_over_time" and isinstance(argument, Selector):
            window = SelectorWindows(argument, self.selected(argument)[0], argument.range_s)
            present: Run = partial(window.run, "count_over_time")
        else:
            present = self.vector(argument).run

        def run(frame: Frame) -> Columns:
            here: Bools = ~np.asarray(present(frame).here.any(axis=0, keepdims=True))
            return Columns(np.ones(here.shape), here)

        return Vector([labels], ["1"], run)

    # -- operators -----------------------------------------------------------------------------------------------

    def binary(self, node: Binary) -> Vector | Scalar:
        left, right = self.part(node.left), self.part(node.right)
        function = BINARY.get(node.operator)
        if isinstance(left, Vector):
            if not isinstance(right, Vector):
                return distinct(self.with_scalar(node, left, right, on_the_left=True), node)
            vector = set_operation(node, left, right) if function is None else paired(node, left, right, self.unit_of)
            return distinct(vector, node)
        if isinstance(right, Vector):
            return distinct(self.with_scalar(node, right, left, on_the_left=False), node)
        if function is None:
            raise TypeError("expected two vectors")  # the types were checked
        one, other = left, right
        return lambda frame: function(one(frame), other(frame)).astype(np.float64)

    def with_scalar(self, node: Binary, vector: Vector, scalar: Scalar, *, on_the_left: bool) -> Vector:
        function = BINARY[node.operator]
        filters = node.operator in COMPARISONS and not node.as_bool
        run_vector = vector.run

        def run(frame: Frame) -> Columns:
            found, number = run_vector(frame), scalar(frame)
            value = function(found.value, number) if on_the_left else function(number, found.value)
            if filters:
                return Columns(found.value, found.here & value, found.time_s)
            return Columns(value.astype(np.float64, copy=False), found.here)

        if filters:
            return Vector(vector.labels, vector.units, run)
        units = [
            self.unit_of(node, unit, None) if on_the_left else self.unit_of(node, None, unit) for unit in vector.units
        ]
        return Vector([bare(each) for each in vector.labels], units, run)

    def unit_of(self, node: Binary, left: str | None, right: str | None) -> str:
        if node.as_bool:
            return "1"
        if node.operator in ("+", "-") and left and right and left != right:
            self.warnings.append(f"character {node.position + 1}: {left} {node.operator} {right} are two units")
        return unit_of_operation(node.operator, left, right)


def _series(number: Floats) -> Columns:
    return Columns(number[None, :], np.ones((1, number.size), dtype=np.bool_))
