"""What formulas do with the values of series: arithmetic, comparison, functions of one value, aggregation; pure.

A vector's values are a matrix, series by times, with a second one of where there is a value: a NaN can be one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from tidewire.evaluation.frame import Bools
from tidewire.evaluation.reading_table import Floats, Places

__all__ = ["BINARY", "VALUE_FUNCTIONS", "Groups", "aggregated", "chosen"]

BINARY: Final[dict[str, Callable[[Floats, Floats], Any]]] = {
    "+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide, "%": np.fmod, "^": np.power, "==": np.equal,
    "!=": np.not_equal, "<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal,
}  # fmt: skip
VALUE_FUNCTIONS: Final[dict[str, Callable[..., Floats]]] = {
    "abs": np.abs,
    "ceil": np.ceil,
    "floor": np.floor,
    "exp": np.exp,
    "ln": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "sqrt": np.sqrt,
    "sgn": np.sign,
    "clamp": lambda value, low, high: np.maximum(low, np.minimum(high, value)),
    "clamp_min": np.maximum,
    "clamp_max": np.minimum,
    "round": lambda value, to=1.0: np.floor(value / to + 0.5) * to,
}


class Groups:
    """Series that belong together.

    Args:
        of: int64[s], the group of each, 0 to `count` - 1; every group has a member.
        count: how many groups.

    Attributes:
        order: int64[s], the series group by group, in their own order.
        starts: int64[count], where each group begins in that order.
        single: each group is one series.
    """

    def __init__(self, of: Sequence[int] | Places, count: int) -> None:
        self.of: Places = np.asarray(of, dtype=np.int64)
        self.count = count
        self.order: Places = np.argsort(self.of, kind="stable")
        self.starts: Places = np.searchsorted(self.of[self.order], np.arange(count))
        self.single = self.of.size == count

    def reduced(self, ufunc: np.ufunc, matrix: Any) -> Any:
        """Return a reduction over the series of each group, [count, n]."""
        if not self.count:
            return matrix
        return ufunc.reduceat(matrix[self.order], self.starts, axis=0)

    def members(self) -> list[Places]:
        """Return the series of each group."""
        return np.split(self.order, self.starts[1:]) if self.count else []


def aggregated(name: str, value: Floats, here: Bools, groups: Groups, parameter: Floats | None) -> tuple[Floats, Bools]:
    """Return an aggregation over the series of each group.

    Args:
        name: of the aggregator, but topk and bottomk.
        value: float64[s, n]; anything where there is none.
        here: bool[s, n], where there is one.
        groups: of the series.
        parameter: float64[n], of quantile.

    Returns:
        [groups, n]: the result, and where any series has a value.
    """
    any_here: Bools = groups.reduced(np.logical_or, here)
    if name == "group":
        return np.ones(any_here.shape), any_here
    if name in ("min", "max"):
        ufunc = np.fmin if name == "min" else np.fmax
        return groups.reduced(ufunc, np.where(here, value, np.nan)), any_here
    if name == "quantile" and parameter is not None:
        found = np.empty(any_here.shape)
        for at, members in enumerate(groups.members()):
            found[at] = _quantile(value[members], here[members], parameter)
        return found, any_here
    count: Floats = groups.reduced(np.add, here.astype(np.float64))
    if name == "count":
        return count, any_here
    total = groups.reduced(np.add, np.where(here, value, 0.0))
    if name == "sum":
        return total, any_here
    mean = total / count
    if name == "avg":
        return mean, any_here
    variance = groups.reduced(np.add, np.where(here, (value - mean[groups.of]) ** 2, 0.0)) / count
    return (np.sqrt(variance) if name == "stddev" else variance), any_here


def _quantile(value: Floats, here: Bools, q: Floats) -> Floats:
    """Return a quantile over series at each time; NaN counts as smallest."""
    count = here.sum(axis=0)
    ordered = np.sort(np.where(here, np.where(np.isnan(value), -np.inf, value), np.inf), axis=0)
    rank = np.where((q >= 0) & (q <= 1), q, 0.0) * np.maximum(count - 1, 0)
    lower = rank.astype(np.int64)
    upper = np.minimum(lower + 1, np.maximum(count - 1, 0))
    part, at = rank - lower, np.arange(q.size)
    found = np.where(part > 0, ordered[lower, at] * (1 - part) + ordered[upper, at] * part, ordered[lower, at])
    unknown = np.isnan(q) | ((np.isnan(value) & here).sum(axis=0) > lower)
    inside = np.where(unknown, np.nan, found)
    return np.where(q < 0, -np.inf, np.where(q > 1, np.inf, inside))


def chosen(value: Floats, here: Bools, groups: Groups, count: Floats, *, largest: bool) -> Bools:
    """Return which series are among the largest or smallest of their group at each time.

    Args:
        value: float64[s, n]; the series are in the order in which equal ones are taken.
        here: bool[s, n], where there is a value.
        groups: of the series.
        count: float64[n], how many of a group; rounded down.
        largest: the largest, else the smallest; NaN is last in both.
    """
    wanted = np.floor(np.nan_to_num(count, nan=0.0))
    if groups.single:
        found: Bools = here & (wanted >= 1)
        return found
    key = np.where(here, np.where(np.isnan(value), np.inf, -value if largest else value), np.inf)
    last = np.where(here, np.isnan(value).astype(np.int8), np.int8(2))
    kept = np.zeros(here.shape, dtype=np.bool_)
    for members in groups.members():
        order = np.lexsort((key[members], last[members]), axis=0)  # stable: equal ones stay in their order
        rank = np.empty_like(order)
        np.put_along_axis(rank, order, np.arange(members.size)[:, None], axis=0)
        kept[members] = rank < wanted
    return kept & here
