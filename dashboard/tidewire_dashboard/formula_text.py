"""Formulas as a browser writes them: what is wrong with one and where, and what may stand at its cursor."""

from __future__ import annotations

from msgspec import UNSET

from tidewire.errors import InvalidFormula
from tidewire.livestore.messages import (
    FormulaCompletion,
    FormulaFault,
    FormulaHelp,
    FormulaHelpRequest,
    FormulaState,
    OpenView,
    RangeRequest,
)
from tidewire.livestore.store import Store
from tidewire.model.batch import ANNOTATIONS
from tidewire.model.formulas.completion import complete
from tidewire.model.formulas.parser import parse_formula
from tidewire.model.formulas.types import check_purpose
from tidewire_dashboard.login import Login

__all__ = ["fault_of", "fault_state", "help_with"]


def fault_of(text: str, error: InvalidFormula) -> FormulaFault:
    """Return an error at its place in a text, in UTF-16 units as a browser counts."""
    position, end = (_units(text[:at]) for at in (error.position, error.end))
    return FormulaFault(position=position, end=end, message=error.message, remedy=error.remedy)


def fault_state(request: OpenView | RangeRequest, error: InvalidFormula) -> FormulaState:
    """Return that the formula of a request has no result, and why."""
    text = request.formula or ""
    return FormulaState(
        formula=text, series=[], loading=False, reads=0, warnings=[], error=fault_of(text, error),
        summary=request.summary or UNSET,
    )  # fmt: skip


def help_with(request: FormulaHelpRequest, store: Store, login: Login) -> FormulaHelp:
    """Return what is wrong with a formula, and what may stand at its cursor of what a login may see."""
    text, error = request.formula, None
    try:
        if text.strip():
            check_purpose(parse_formula(text), "chart")
    except InvalidFormula as invalid:
        error = fault_of(text, invalid)
    before = text.encode("utf-16-le")[: 2 * request.position].decode("utf-16-le", "ignore")
    with store.lock:
        series = [
            (one.metric, one.labels) for one in store.series if one.metric != ANNOTATIONS and login.may_see(one.metric)
        ]
    found = complete(text, len(before), series)
    items = [
        FormulaCompletion(
            kind=one.kind,
            text=one.text,
            shown=one.shown,
            meaning=one.meaning,
            back=_units(one.text[len(one.text) - one.back :]),
        )
        for one in found.items
    ]
    return FormulaHelp(id=request.id, error=error, start=_units(text[: found.start]), items=items)


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
