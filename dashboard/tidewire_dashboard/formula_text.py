"""Formulas as a browser writes them: what is wrong with one, and what may stand at its cursor."""

from __future__ import annotations

from msgspec import UNSET

from tidewire.errors import InvalidFormula
from tidewire.livestore.formula_faults import fault_of, hint_of, units_of
from tidewire.livestore.messages import FormulaCompletion, FormulaHelp, FormulaHelpRequest
from tidewire.livestore.store import Store
from tidewire.model.batch import ANNOTATIONS
from tidewire.model.formulas.completion import complete
from tidewire.model.formulas.parser import parse_formula
from tidewire.model.formulas.types import check_purpose
from tidewire_dashboard.login import Login

__all__ = ["help_with"]


def help_with(request: FormulaHelpRequest, store: Store, login: Login) -> FormulaHelp:
    """Return what is wrong with a formula, and what may stand at its cursor of what a login may see."""
    text, error, hint = request.formula, None, None
    try:
        if text.strip():
            node = parse_formula(text)
            check_purpose(node, "chart")
            hint = hint_of(text, node, store, login.may_see)
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
            back=units_of(one.text[len(one.text) - one.back :]),
        )
        for one in found.items
    ]
    return FormulaHelp(id=request.id, error=error, hint=hint or UNSET, start=units_of(text[: found.start]), items=items)
