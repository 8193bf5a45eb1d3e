"""What is wrong with a formula, at its place as a browser counts: in UTF-16 units."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Final

from msgspec import UNSET

from tidewire.errors import InvalidFormula
from tidewire.livestore.messages import FormulaFault, FormulaState, OpenView, RangeRequest
from tidewire.livestore.store import Store
from tidewire.model.formulas.reads import reads
from tidewire.model.formulas.tree import Node

__all__ = ["fault_of", "fault_state", "hint_of", "units_of"]

_MOST_COMPARED: Final = 3_000  # metrics, of which each takes some 10 µs
_ALIKE: Final = 0.7  # of the characters of two names are the same, in order


def fault_of(text: str, error: InvalidFormula) -> FormulaFault:
    """Return an error at its place in a text."""
    position, end = (units_of(text[:at]) for at in (error.position, error.end))
    return FormulaFault(
        position=position, end=end, message=error.message, remedy=error.remedy, instead=error.instead or UNSET
    )


def hint_of(text: str, node: Node, store: Store, may_see: Callable[[str], bool]) -> FormulaFault | None:
    """Return the first metric of a formula that nobody publishes, and which one may be meant; None if there is none.

    It is no error: a formula may be written before its metrics are published.

    Args:
        text: the formula.
        node: its tree.
        store: has the metrics.
        may_see: tells which of them whoever asks may see.
    """
    for read in reads(node):
        name = read.selector.name
        if name is None or "*" in name or (store.knows(name) and may_see(name)):
            continue
        position = text.find(name, read.selector.position)
        if position < 0 or position > read.selector.position + 2:  # a quote and a bracket, or escapes
            position = read.selector.position
        with store.lock:
            metrics = sorted({one.metric for one in store.series if may_see(one.metric)})
        near = [one for one in metrics if abs(len(one) - len(name)) <= 0.4 * len(name)][:_MOST_COMPARED]
        found = difflib.get_close_matches(name, near, n=1, cutoff=_ALIKE)
        begin, end = units_of(text[:position]), units_of(text[: position + len(name)])
        meant = found[0] if found and text[position : position + len(name)] == name else ""
        return FormulaFault(
            position=begin, end=end, message=f"No metric is called {name}",
            remedy=f"did you mean {found[0]}?" if found else "", instead=meant or UNSET,
        )  # fmt: skip
    return None


def fault_state(request: OpenView | RangeRequest, error: InvalidFormula) -> FormulaState:
    """Return that the formula of a request has no result, and why."""
    text = request.formula or ""
    return FormulaState(
        formula=text, series=[], loading=False, reads=0, warnings=[], error=fault_of(text, error),
        summary=request.summary or UNSET,
    )  # fmt: skip


def units_of(text: str) -> int:
    """Return how long a text is in UTF-16 units."""
    return len(text.encode("utf-16-le")) // 2
