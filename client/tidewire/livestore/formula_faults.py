"""What is wrong with a formula, at its place as a browser counts: in UTF-16 units."""

from __future__ import annotations

from msgspec import UNSET

from tidewire.errors import InvalidFormula
from tidewire.livestore.messages import FormulaFault, FormulaState, OpenView, RangeRequest

__all__ = ["fault_of", "fault_state", "units_of"]


def fault_of(text: str, error: InvalidFormula) -> FormulaFault:
    """Return an error at its place in a text."""
    position, end = (units_of(text[:at]) for at in (error.position, error.end))
    return FormulaFault(position=position, end=end, message=error.message, remedy=error.remedy)


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
