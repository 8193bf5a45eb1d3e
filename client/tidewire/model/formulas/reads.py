"""What a formula reads: which series, and how far before the first time that it is evaluated at; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from tidewire.model.formulas.functions import FUNCTIONS
from tidewire.model.formulas.matchers import METRIC
from tidewire.model.formulas.star_labels import star_labels
from tidewire.model.formulas.tree import Call, Node, Number, Selector, walk

__all__ = ["EMA_HALF_LIVES", "LOOK_BACK_MS", "Read", "labels_of", "reads"]

EMA_HALF_LIVES: Final = 10.0
"""The window of ``ema`` without a range, in half-lives."""
LOOK_BACK_MS: Final = 2 * 3_600_000.0
"""A reading is the value for at most an hour, by its pace over at most another hour."""
_FROM_THE_START: Final = frozenset(("rate", "increase", "delta"))  # these take the reading before the window too


class Read(NamedTuple):
    """One selector of a formula.

    Attributes:
        selector: which series: `labels_of` tells of each.
        before_ms: so far before the first time its readings count, by their own time. With fewer readings the value
            is the same, unless the pace of the first ones is slower than a reading in 3 s.
        window_ms: of that, what the windows themselves reach back, without look-back: what a chart needs at least.
    """

    selector: Selector
    before_ms: float
    window_ms: float


def reads(node: Node) -> tuple[Read, ...]:
    """Return what a formula reads, each selector once, in the order of the formula."""
    found: dict[Selector, Read] = {}
    inside: dict[int, Call] = {}
    for each in walk(node):
        if isinstance(each, Call):
            inside.update((id(argument), each) for argument in each.arguments)
        elif isinstance(each, Selector):
            read = _read(each, inside.get(id(each)))
            known = found.get(each, read)
            before_ms = max(read.before_ms, known.before_ms)
            found[each] = Read(known.selector, before_ms, max(read.window_ms, known.window_ms))
    return tuple(found.values())


def labels_of(selector: Selector, metric: str, labels: Mapping[str, str]) -> dict[str, str] | None:
    """Return the labels that a series has in a formula, None if the selector does not select it.

    Args:
        selector: the selector.
        metric: the metric of the series.
        labels: its labels; those with an empty value are as good as absent.

    Returns:
        Its labels, ``__name__`` and what the stars of a pattern stood for, ``*1`` and so on; none is empty.
    """
    stars = {} if selector.name is None else star_labels(selector.name, metric)
    if stars is None:
        return None
    found = {METRIC: metric, **{label: text for label, text in labels.items() if text}, **stars}
    return found if all(matcher.holds(found.get(matcher.label, "")) for matcher in selector.matchers) else None


def _read(selector: Selector, call: Call | None) -> Read:
    of_readings = call is not None and any(each.kind == "range" for each in FUNCTIONS[call.name].parameters)
    window_ms = (selector.offset_s + (selector.range_s or 0.0)) * 1e3
    if call is not None and of_readings:
        numbers = [each.value for each in call.arguments if isinstance(each, Number)]
        if call.name == "ema" and selector.range_s is None:
            return Read(selector, (selector.offset_s + EMA_HALF_LIVES * numbers[0]) * 1e3, window_ms)
        if call.name == "baseline":
            period_s, count = (*numbers, *(86_400.0, 7.0)[len(numbers) :])
            window_ms += period_s * count * 1e3
        if selector.range_s is not None and call.name not in _FROM_THE_START:
            return Read(selector, window_ms, window_ms)
    return Read(selector, window_ms + LOOK_BACK_MS, window_ms)
