"""docs/formulas.md says what is so: its examples are computed, and what it names can be written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from formula_series import T0, series_of

from tidewire.evaluation.evaluate import MAX_READINGS, MAX_TIMES, MAX_VALUES, ResultSeries, evaluate
from tidewire.evaluation.plan import MAX_ROWS, MAX_SERIES
from tidewire.evaluation.reading_table import SeriesReadings
from tidewire.model.formulas.lexer import RESERVED
from tidewire.model.formulas.parser import MAX_BYTES, MAX_DEPTH, MAX_NODES, PRECEDENCE, parse_formula
from tidewire.model.formulas.tree import Selector

PAGE = (Path(__file__).parents[2] / "docs/formulas.md").read_text(encoding="utf-8")
SECONDS = [i * 15.0 for i in range(41)]


def series() -> list[SeriesReadings]:
    """Return the series of the page's first table."""
    found = []
    for written, unit, first, slope in re.findall(
        r"^\| `([^`]+)` \| (?:`([^`]+)`)? ?\| `(\d+(?= \+|`))?(?: \+ )?(?:([\d.]+) \* t)?` \|$", PAGE, re.MULTILINE
    ):
        selector = parse_formula(written)
        assert isinstance(selector, Selector)
        assert selector.name is not None
        values = [float(first or 0) + float(slope or 0) * t for t in SECONDS]
        labels = {matcher.label: matcher.text for matcher in selector.matchers}
        found.append(series_of(selector.name, SECONDS, values, unit, **labels))
    return found


def examples() -> list[tuple[str, str]]:
    table = PAGE.partition("<!-- examples -->")[2].partition("<!-- end -->")[0]
    return [tuple(row) for row in re.findall(r"^\| `([^`]+)` \| (`.+`) \|$", table, re.MULTILINE)]


def written(one: ResultSeries) -> str:
    labels = ", ".join(f'{label}="{text}"' for label, text in sorted(one.labels.items()) if label != "__name__")
    return f"`{one.labels.get('__name__', '')}{{{labels}}} {one.value[0]:.9g} {one.unit}".rstrip() + "`"


def test_the_page_has_series_and_examples() -> None:
    assert len(series()) == 7
    assert len(examples()) >= 16


@pytest.mark.parametrize(("formula", "result"), examples())
def test_an_example_of_the_page(formula: str, result: str) -> None:
    found = evaluate(formula, series(), [T0 + SECONDS[-1] * 1e3])
    assert ", ".join(map(written, found.series)) == result


def test_the_bounds_of_the_page_are_those_of_the_code() -> None:
    table = PAGE.partition("## Bounds")[2].partition("##")[0]
    for bound in (MAX_BYTES, MAX_NODES, MAX_DEPTH, MAX_SERIES, MAX_ROWS, MAX_TIMES, MAX_VALUES, MAX_READINGS):
        assert f"{bound:,}" in table, bound


def test_the_words_and_operators_of_the_page_are_those_of_the_code() -> None:
    reserved = re.search(r"Reserved as bare names are `([^`]+)`", PAGE)
    assert reserved is not None
    assert set(reserved[1].split()) == RESERVED | {"inf", "nan"}
    for operator in PRECEDENCE:
        assert f"`{operator}`" in PAGE, operator


def test_the_names_of_the_page_can_be_written() -> None:
    table = PAGE.partition("## Names")[2].partition("Durations")[0]
    for row in re.findall(r"^\| (`.+?`) \|", table, re.MULTILINE):
        for formula in re.findall(r"`([^`]+)`", row):
            assert isinstance(parse_formula(formula), Selector), formula
