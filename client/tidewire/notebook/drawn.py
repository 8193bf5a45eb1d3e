"""What a notebook chart draws, as `watch` was told: checked here, before anything is drawn."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

from tidewire.errors import InvalidFormula, InvalidInput
from tidewire.livestore.formula_history import need_ms
from tidewire.livestore.messages import SummaryName
from tidewire.model.formulas.parser import parse_formula
from tidewire.model.formulas.reads import reads
from tidewire.model.formulas.tree import Node
from tidewire.model.formulas.types import check_purpose
from tidewire.model.pattern import Pattern, compile_patterns

__all__ = ["AXES", "KINDS", "Axis", "Drawn", "Source", "checked_drawn"]

Axis: TypeAlias = Literal["clock", "step", "rel"]

_PLOTS: Final = ("auto", "line", "steps", "bars", "points", "stacked")
_OTHERS: Final = ("stat", "gauge", "bar", "hist", "table")
_VIEWS: Final = ("lines", "band", "heat", "top")
KINDS: Final = (*_PLOTS[1:], *_OTHERS, *_VIEWS, "states")
"""The kinds by their names in the address of a deck, and ``states``, which words are drawn as anyway."""
_ALIASES: Final = {
    "histogram": "hist",
    "heatmap": "heat",
    "heat map": "heat",
    "top 10": "top",
    "top10": "top",
    "state timeline": "states",
    "timeline": "states",
}
AXES: Final[dict[str, Axis]] = {"clock": "clock", "time": "clock", "step": "step", "rel": "rel", "relative": "rel"}
"""What ``x`` may be, and what it means."""
_SUMMARIES: Final[dict[str, SummaryName]] = {"band": "band", "heat": "heat", "top": "top"}


class Source(NamedTuple):
    """A formula, or what summarizes its series."""

    formula: str
    summary: SummaryName | None = None


class Drawn(NamedTuple):
    """What a chart draws.

    Attributes:
        patterns: the metrics that have a chart each.
        formulas: those that have a chart each, as they are written, without the ``=``.
        kind: how, by a name of `KINDS`; empty for what fits the readings.
        axis: of x; on all but the clock runs begin together at 0.
    """

    patterns: tuple[Pattern, ...]
    formulas: tuple[str, ...]
    kind: str
    axis: Axis = "clock"

    def shows(self, metric: str) -> bool:
        """Tell whether a metric has a chart."""
        return any(pattern.matches(metric) for pattern in self.patterns)

    @property
    def words(self) -> str:
        """Return the patterns and formulas as a person reads them."""
        return ", ".join((*(pattern.text for pattern in self.patterns), *self.formulas))

    @property
    def by_run(self) -> bool:
        """Tell whether each label set is a line over its steps, or over the time since it began."""
        return self.axis != "clock"

    @property
    def summary(self) -> SummaryName | None:
        """Return what stands in the place of series, if that was asked for."""
        return _SUMMARIES.get(self.kind)

    @property
    def other(self) -> bool:
        """Tell whether something stands in the place of plots."""
        return self.kind in _OTHERS

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Return the trees of the formulas."""
        return tuple(map(parse_formula, self.formulas))

    @property
    def read(self) -> tuple[str, ...]:
        """Return the patterns of all metrics that are drawn or read by a formula, each once."""
        of_formulas = [each.selector.name or "**" for node in self.nodes for each in reads(node)]
        return tuple(dict.fromkeys((*(pattern.text for pattern in self.patterns), *of_formulas)))

    @property
    def need_ms(self) -> float:
        """Return how far before its window the formulas read."""
        return max(map(need_ms, self.nodes), default=0.0)


def checked_drawn(given: Sequence[str], kind: str | None, x: str | None = None) -> Drawn:
    """Return what a chart draws.

    Args:
        given: patterns, and formulas that begin with ``=``.
        kind: a name of `KINDS`, or a word for it.
        x: a name of `AXES`; None for the clock.

    Raises:
        InvalidInput: one of them can never be drawn; of a formula an `InvalidFormula` with its place marked.
    """
    formulas = [text[1:].strip() for text in given if isinstance(text, str) and text.lstrip().startswith("=")]
    patterns = [text for text in given if not (isinstance(text, str) and text.lstrip().startswith("="))]
    for formula in formulas:
        _check_formula(formula)
    for pattern in patterns:
        _check_pattern(pattern)
    if not given:
        raise InvalidInput("patterns", tuple(given), "name at least one metric or pattern, such as 'furnace/**'")
    chosen = _chosen("kind", kind, {name: name for name in KINDS} | _ALIASES)
    axis = AXES[_chosen("x", x, AXES) or "clock"]
    if axis != "clock" and formulas:
        raise InvalidInput("x", x, "a formula has no runs; expected metrics alone, or no x")
    if axis != "clock" and chosen not in ("", "line"):
        raise InvalidInput("kind", kind, f"runs are lines over x={x!r}; leave kind out")
    return Drawn(compile_patterns(patterns), tuple(dict.fromkeys(formulas)), chosen, axis)


def _check_formula(text: str) -> None:
    if not text:
        raise InvalidInput("formula", "=", "expected a formula behind '=', such as '=rate(http/requests_total)'")
    try:
        check_purpose(parse_formula(text), "chart")
    except InvalidFormula as error:
        raise error.marked(text) from None


def _check_pattern(text: str) -> None:
    """Check a pattern; of a name that is most likely a formula, warn."""
    compile_patterns((text,))
    if "(" not in text:
        return
    try:
        parse_formula(text)
    except InvalidFormula:
        return
    told = f"{text!r} is drawn as a metric of this name; a formula begins with '=': watch({'=' + text!r})"
    warnings.warn(told, stacklevel=4)


def _chosen(field: str, given: str | None, known: Mapping[str, str]) -> str:
    """Return what a word means, empty for none.

    Raises:
        InvalidInput: it means nothing.
    """
    if given is None:
        return ""
    word = given.strip().lower() if isinstance(given, str) else ""
    if word in known:
        return known[word]
    near = difflib.get_close_matches(word[:40], known, n=1, cutoff=0.6)
    meant = f"; did you mean {near[0]!r}?" if near else ""
    raise InvalidInput(field, given, f"expected one of {', '.join(dict.fromkeys(known.values()))}{meant}")
