"""Rules that Python and the deck both follow: each has one implementation a language, and both read these vectors."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tidewire.livestore.buckets import COUNT, MAX, MIN, SUM, bucket_readings
from tidewire.livestore.gaps import gap_limit_ms, gaps_before
from tidewire.model.bucket_steps import VIEW_STEPS_MS, view_step_for
from tidewire.model.pattern import Pattern
from tidewire.model.units import SCALES, WORDS, shown_unit
from tidewire_service.history.buckets import Buckets

VECTORS = Path(__file__).with_name("vectors")


def vectors(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((VECTORS / f"{name}.json").read_text())
    return found


def number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def test_the_ladder_of_a_view_is_the_decks() -> None:
    assert list(VIEW_STEPS_MS) == vectors("bucket_steps")["view_steps_ms"]


@pytest.mark.parametrize("case", vectors("bucket_steps")["cases"], ids=str)
def test_a_view_gets_the_width_that_the_deck_meant(case: dict[str, int]) -> None:
    assert view_step_for(case["window_ms"], case["buckets"]) == case["step_ms"]


@pytest.mark.parametrize("case", vectors("gaps")["limits"], ids=str)
def test_the_longest_silence_that_is_no_gap(case: dict[str, Any]) -> None:
    found = gap_limit_ms(number(case["expected_ms"]), case["step_ms"])
    assert found == pytest.approx(number(case["limit_ms"]), nan_ok=True)


@pytest.mark.parametrize("case", vectors("gaps")["cases"], ids=lambda case: case["what"])
def test_where_a_gap_lies(case: dict[str, Any]) -> None:
    held = np.array(case["held"], dtype=np.int64)
    found = held[gaps_before(held, case["step_ms"], number(case["expected_ms"]))]
    assert found.tolist() == case["gaps_before"]


@pytest.mark.parametrize("case", vectors("units")["cases"], ids=str)
def test_a_unit_as_people_write_it(case: dict[str, Any]) -> None:
    assert shown_unit(case["unit"], case["magnitude"]) == (case["text"], case["divisor"])


def test_every_unit_of_the_tables_has_a_vector() -> None:
    assert {*WORDS, *SCALES} <= {case["unit"] for case in vectors("units")["cases"]}


@pytest.mark.parametrize(("pattern", "metric", "selected"), vectors("patterns")["cases"])
def test_what_a_pattern_selects(pattern: str, metric: str, selected: bool) -> None:
    assert Pattern(pattern).matches(metric) is selected


@pytest.mark.parametrize("case", vectors("counts")["cases"], ids=str)
def test_what_counts_in_a_bucket(case: dict[str, Any]) -> None:
    given: list[float | None] = case["values"]
    times = np.arange(len(given), dtype=np.float64)
    values = np.array([number(value) for value in given])
    low, high, mean = (number(case[name]) for name in ("min", "max", "mean"))

    history = Buckets(1_000)
    history.add(times, values)
    columns = history.columns()
    assert columns.counts.tolist() == [case["count"]]
    assert [columns.min[0], columns.max[0], columns.mean[0]] == pytest.approx([low, high, mean], nan_ok=True)

    memory = bucket_readings(times, values, 1_000)
    if not case["numbers"]:
        assert memory.shape[1] == 0, "what the deck draws has no place for a bucket without a number"
        return
    assert memory[COUNT].tolist() == [case["numbers"]]
    assert [memory[MIN, 0], memory[MAX, 0], memory[SUM, 0] / memory[COUNT, 0]] == pytest.approx([low, high, mean])
