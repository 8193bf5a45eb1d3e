"""Evaluates a formula over series at some times: the pure function behind charts, recorded metrics and queries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, NoReturn

import numpy as np

from tidewire.errors import InvalidFormula
from tidewire.evaluation.frame import Bools, Edge, Frame, Work
from tidewire.evaluation.plan import Plan, plan_formula
from tidewire.evaluation.reading_table import Floats, ReadingTable, SeriesReadings
from tidewire.evaluation.vectors import Labels
from tidewire.model.formulas.parser import parse_formula
from tidewire.model.formulas.tree import Node
from tidewire.model.formulas.types import check_purpose

__all__ = ["MAX_READINGS", "MAX_TIMES", "MAX_VALUES", "MAX_WORK", "Result", "ResultSeries", "evaluate", "over_budget"]

MAX_TIMES: Final = 11_000
MAX_VALUES: Final = 2_000_000
"""Most values of a result: series that have any, by times."""
MAX_READINGS: Final = 5_000_000
MAX_WORK: Final = 5e9
"""About nanoseconds of one core."""
_CHUNK: Final = 262_144  # values of one part that are computed at once: 2 MiB
_NARROWER: Final = "a wider step, a shorter range, fewer series, or record a part as a metric"


class ResultSeries(NamedTuple):
    """One series of a result.

    Attributes:
        labels: with ``__name__`` where the name is kept.
        unit: ``""`` if it is not known, ``1`` for a ratio.
        value: float64[times]; anything where there is none.
        here: bool[times], where there is a value; it may be NaN or infinite.
    """

    labels: Labels
    unit: str
    value: Floats
    here: Bools


class Result(NamedTuple):
    """What a formula is.

    Attributes:
        kind: ``vector``, or ``scalar``: then one series without labels that has a value at each time.
        series: those with a value at any time, in the order of their labels.
        warnings: what is doubtful, with the place.
    """

    kind: str
    series: list[ResultSeries]
    warnings: tuple[str, ...]


def evaluate(
    formula: str | Node,
    series: Iterable[SeriesReadings],
    time_ms: Sequence[float] | Floats,
    *,
    step_ms: float = 0.0,
    edge: Edge = "at",
    max_work: float = MAX_WORK,
) -> Result:
    """Return what a formula is at some times.

    Args:
        formula: a text, or its tree.
        series: those that there are; the formula selects among them.
        time_ms: Unix epoch in milliseconds, ascending, at most 11,000.
        step_ms: width of the buckets of a chart or interval of a rule, 0 for neither; the default window is no shorter.
        edge: ``at``, readings up to and with each time; ``before``, those before it, for buckets that end there.
        max_work: about nanoseconds that it may take.

    Raises:
        InvalidFormula: it cannot be read, or not be evaluated over these series within the bounds.
    """
    node = parse_formula(formula) if isinstance(formula, str) else formula
    check_purpose(node, "chart")
    times = np.asarray(time_ms, dtype=np.float64)
    if times.size > MAX_TIMES:
        raise InvalidFormula(
            "points",
            node.position,
            node.end,
            f"{times.size} times, at most {MAX_TIMES}",
            "a wider step or shorter span",
        )
    table = ReadingTable(series)
    if table.size > MAX_READINGS:
        over_budget(node)
    plan = plan_formula(node, table)
    work = Work(max_work, lambda: over_budget(node))
    chunk = max(1, _CHUNK // plan.rows)
    parts = []
    for start in range(0, times.size, chunk):
        frame = Frame(table, times[start : start + chunk], step_ms, edge, work)
        work.add(plan.rows * frame.time_ms.size * plan.parts * 2.0)
        parts.append(plan.run(frame))
    return _result(plan, node, times.size, [part.value for part in parts], [part.here for part in parts])


def over_budget(node: Node) -> NoReturn:
    """Refuse a formula that takes too long."""
    raise InvalidFormula("cost", node.position, node.end, "this formula would take too long", _NARROWER)


def _result(plan: Plan, node: Node, times: int, values: Sequence[Floats], theres: Sequence[Bools]) -> Result:
    shape = (len(plan.labels), 0)
    value = np.concatenate([np.zeros(shape), *values], axis=1)
    here = np.concatenate([np.zeros(shape, dtype=np.bool_), *theres], axis=1)
    found = [
        ResultSeries(labels, unit, value[at], here[at])
        for at, (labels, unit) in enumerate(zip(plan.labels, plan.units, strict=True))
        if here[at].any()
    ]
    if len(found) * times > MAX_VALUES:
        raise InvalidFormula("points", node.position, node.end, f"more than {MAX_VALUES} values", _NARROWER)
    return Result(plan.kind, found, plan.warnings)
