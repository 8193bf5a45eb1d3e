"""What viewers know of an open formula: the rows of its live windows and of zooms into its past."""

from __future__ import annotations

import itertools

from tidewire.livestore.open_formula import FormulaKey, OpenFormula
from tidewire.livestore.store import Store
from tidewire.livestore.summary import Row
from tidewire.model.formulas.parser import parse_formula
from tidewire_dashboard.login import EVERYBODY


def cells(*, first: int, count: int = 40) -> list[Row]:
    edges = range(first, first + count)
    return [Row("cell", {"from": f"{edge}", "to": f"{edge + 1}"}, "%") for edge in edges]


def test_zooms_take_no_row_of_a_live_window_away_and_are_bounded() -> None:
    formula = OpenFormula(FormulaKey("x", (), "heat"), parse_formula("x"), EVERYBODY, Store(), itertools.count(100))
    window, other = object(), object()
    live = formula.rows_of(cells(first=0), window)
    for zoom in range(1, 50):
        formula.rows_of(cells(first=1_000 * zoom))
    assert formula.rows_of(cells(first=0), window) == live, "its frames go by these indices"
    assert len(formula.rows) <= 512 + 40
    zoomed = formula.rows_of(cells(first=49_000))
    assert formula.rows_of(cells(first=49_000)) == zoomed, "a zoom again has the same"
    # A row that two windows have stays until neither has it.
    formula.rows_of(cells(first=0), other)
    formula.forget(window)
    for zoom in range(50, 100):
        formula.rows_of(cells(first=1_000 * zoom))
    assert formula.rows_of(cells(first=0), other) == live
    formula.forget(other)
    for zoom in range(100, 150):
        formula.rows_of(cells(first=1_000 * zoom))
    assert len(formula.rows) == 512
    assert formula.rows_of(cells(first=0)) != live


def test_viewers_are_told_the_rows_of_the_window_and_no_others() -> None:
    formula = OpenFormula(FormulaKey("x", (), "top"), parse_formula("x"), EVERYBODY, Store(), itertools.count(100))
    window = object()
    for rank in range(200):
        rows = formula.rows_of([Row("top", {"node": f"{rank + n}"}, "%") for n in range(10)], window)
        state = formula.state(rows, formula="x", loading=False, reads=300, warnings=[])
        assert [one.labels["node"] for one in state.series] == [f"{rank + n}" for n in range(10)]
