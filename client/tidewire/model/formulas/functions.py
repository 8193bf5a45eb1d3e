"""The functions and aggregators of formulas: what they take, what they give, and in which unit; a table, no code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

__all__ = [
    "AGGREGATORS",
    "FUNCTIONS",
    "MAX_PERIODS",
    "REFUSED",
    "Aggregator",
    "Function",
    "Parameter",
    "ParameterKind",
    "UnitRule",
]

ParameterKind = Literal["vector", "range", "scalar", "number", "text"]
"""What an argument must be: a ``range`` is a selector, a ``number`` a plain number, a ``text`` in quotes."""
UnitRule = Literal["same", "per second", "ratio", "seconds", "none"]
"""The unit of a result: that of its operand, that per second, ``1``, ``s``, or none."""
MAX_PERIODS: Final = 62
"""Most periods that ``baseline`` looks back."""


@dataclass(frozen=True)
class Parameter:
    """An argument of a function.

    Attributes:
        name: for people.
        kind: what it must be.
        default: what is taken if it is left out, as written; None if it must be there.
        repeated: it may stand any number of times, at least once.
    """

    name: str
    kind: ParameterKind
    default: str | None = None
    repeated: bool = False


@dataclass(frozen=True)
class Function:
    """A function.

    Attributes:
        name: as written; in the given case only.
        parameters: in order.
        unit: of the result.
        meaning: one line for people, for the list of completions and the documentation.
        scalar: it gives a number per time, not a vector.
        needs_range: its selector must have a range.
    """

    name: str
    parameters: tuple[Parameter, ...]
    unit: UnitRule
    meaning: str
    scalar: bool = False
    needs_range: bool = False

    @property
    def signature(self) -> str:
        """Return how it is written, such as ``ema(x[r], half_life)``."""
        words = [
            (f"{each.name} = {each.default}" if each.default else each.name) + (", …" if each.repeated else "")
            for each in self.parameters
        ]
        return f"{self.name}({', '.join(words)})"

    @property
    def least(self) -> int:
        """Return how many arguments it needs."""
        return sum(each.default is None for each in self.parameters)

    @property
    def repeats(self) -> bool:
        """Return whether its last argument may be repeated."""
        return bool(self.parameters) and self.parameters[-1].repeated

    def parameter(self, at: int) -> Parameter:
        """Return what the argument at this place is; beyond the last it is that one again."""
        return self.parameters[min(at, len(self.parameters) - 1)]


@dataclass(frozen=True)
class Aggregator:
    """An aggregation over series.

    Attributes:
        name: in lower case; any case is taken.
        unit: of the result, if the unit of all series is the same.
        meaning: one line for people.
        parameter: what its number before the vector is called, ``""`` if it takes none.
    """

    name: str
    unit: UnitRule
    meaning: str
    parameter: str = ""

    @property
    def signature(self) -> str:
        """Return how it is written, such as ``topk(k, v)``."""
        return f"{self.name}({self.parameter}, v)" if self.parameter else f"{self.name}(v)"


_READINGS: Final = Parameter("x[r]", "range")
_VECTOR: Final = Parameter("v", "vector")


def _scalar(name: str) -> Parameter:
    return Parameter(name, "scalar")


def _text(name: str, *, repeated: bool = False) -> Parameter:
    return Parameter(name, "text", repeated=repeated)


def _table() -> tuple[Function, ...]:
    reading, value = (_READINGS,), (_VECTOR,)
    ranged = Parameter("x[r]", "range")
    return (
        Function("rate", reading, "per second", "growth of a counter per second; falls are resets"),
        Function("increase", reading, "same", "growth of a counter in the window, exact; falls are resets"),
        Function("delta", reading, "same", "last reading less the first one"),
        Function("irate", reading, "per second", "growth per second between the last two readings"),
        Function("idelta", reading, "same", "difference of the last two readings"),
        Function("deriv", reading, "per second", "slope per second by least squares"),
        Function(
            "predict_linear", (ranged, _scalar("seconds")), "same", "value so many seconds on, by least squares",
            needs_range=True,
        ),
        Function("avg_over_time", reading, "same", "mean of the readings in the window"),
        Function("min_over_time", reading, "same", "smallest reading in the window"),
        Function("max_over_time", reading, "same", "largest reading in the window"),
        Function("sum_over_time", reading, "same", "sum of the readings in the window"),
        Function("count_over_time", reading, "ratio", "how many readings the window has"),
        Function("last_over_time", reading, "same", "newest reading in the window; keeps the name"),
        Function("stddev_over_time", reading, "same", "standard deviation of the readings in the window"),
        Function("stdvar_over_time", reading, "none", "variance of the readings in the window"),
        Function("present_over_time", reading, "ratio", "1 where the window has a reading"),
        Function(
            "quantile_over_time", (_scalar("q"), _READINGS), "same", "quantile q, 0 to 1, of the readings in the window"
        ),
        Function("changes", reading, "ratio", "how often the value changed in the window"),
        Function("resets", reading, "ratio", "how often the value fell in the window"),
        Function(
            "ema", (_READINGS, Parameter("half_life", "number")), "same",
            "mean in which a reading counts half after each half-life; without a range over 10 of them",
        ),
        Function(
            "zscore", (ranged,), "ratio", "deviations of the last reading from the window's mean", needs_range=True
        ),
        Function(
            "baseline", (_READINGS, Parameter("period", "number", "1d"), Parameter("count", "number", "7")), "same",
            f"median of the means of the same window up to {MAX_PERIODS} periods ago",
        ),
        Function("abs", value, "same", "size without sign"),
        Function("ceil", value, "same", "next whole number up"),
        Function("floor", value, "same", "next whole number down"),
        Function("round", (_VECTOR, Parameter("to", "number", "1")), "same", "nearest multiple; halves go up"),
        Function("clamp", (_VECTOR, _scalar("low"), _scalar("high")), "same", "no less than low, no more than high"),
        Function("clamp_min", (_VECTOR, _scalar("low")), "same", "no less than low"),
        Function("clamp_max", (_VECTOR, _scalar("high")), "same", "no more than high"),
        Function("exp", value, "none", "e to the power of the value"),
        Function("ln", value, "none", "natural logarithm"),
        Function("log2", value, "none", "logarithm to base 2"),
        Function("log10", value, "none", "logarithm to base 10"),
        Function("sqrt", value, "none", "square root"),
        Function("sgn", value, "ratio", "sign: -1, 0 or 1"),
        Function("time", (), "seconds", "seconds since 1970 at each time", scalar=True),
        Function("timestamp", value, "seconds", "time of the reading that is the value"),
        Function("vector", (_scalar("s"),), "none", "a number as a series without labels"),
        Function("scalar", value, "none", "the value of the only series, else NaN", scalar=True),
        Function("absent", value, "ratio", "1 where no series has a value"),
        Function("absent_over_time", reading, "ratio", "1 where no series has a reading in the window"),
        Function(
            "label_replace",
            (_VECTOR, _text('"to"'), _text('"$1"'), _text('"from"'), _text('"expression"')), "same",
            "sets a label by what an expression finds in another one",
        ),
        Function(
            "label_join", (_VECTOR, _text('"to"'), _text('"separator"'), _text('"from"', repeated=True)), "same",
            "sets a label to others, joined",
        ),
    )  # fmt: skip


FUNCTIONS: Final = {function.name: function for function in _table()}
AGGREGATORS: Final = {
    each.name: each
    for each in (
        Aggregator("sum", "same", "sum of the series"),
        Aggregator("avg", "same", "mean of the series"),
        Aggregator("min", "same", "smallest of the series"),
        Aggregator("max", "same", "largest of the series"),
        Aggregator("count", "ratio", "how many series have a value"),
        Aggregator("group", "ratio", "1 where a series has a value"),
        Aggregator("stddev", "same", "standard deviation over the series"),
        Aggregator("stdvar", "none", "variance over the series"),
        Aggregator("quantile", "same", "quantile q, 0 to 1, over the series", "q"),
        Aggregator("topk", "same", "the k largest series at each time", "k"),
        Aggregator("bottomk", "same", "the k smallest series at each time", "k"),
    )
}
REFUSED: Final = {
    "histogram_quantile": "publish the quantiles as metrics, or use quantile_over_time",
    "holt_winters": "use ema",
    "double_exponential_smoothing": "use ema",
    "count_values": "use count with a comparison",
    "sort": "sort the table",
    "sort_desc": "sort the table",
    "atan2": "",
}
"""Functions of PromQL that are left out on purpose, with what to use."""
