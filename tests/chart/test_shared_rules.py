"""Rules that Python and the deck both follow: each has one implementation a language, and both read these vectors."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tidewire.livestore.buckets import MAX, MIN, NUMBER, NUMERIC, SUM, bucket_readings
from tidewire.livestore.gaps import expected_interval_ms, gap_limit_ms, gaps_before
from tidewire.livestore.series import Series
from tidewire.livestore.store import EventMark
from tidewire.model.batch import Batch, encode_batch
from tidewire.model.bucket_steps import column_step_for
from tidewire.model.numbers import decimals_for, mean_text, reading_text
from tidewire.model.pattern import Pattern
from tidewire.model.units import ALIASES, SCALES, WORDS, shown_unit, unit_key
from tidewire.notebook.snapshot_events import lies_on
from tidewire_dashboard.analysis import statistics
from tidewire_service.history.buckets import Buckets
from tidewire_service.hub.conflation import Conflator
from tidewire_service.hub.event_ring import RingEntry

T0 = 1_790_000_000_000  # a whole second, Unix ms
VECTORS = Path(__file__).with_name("vectors")


def vectors(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((VECTORS / f"{name}.json").read_text())
    return found


def number(value: float | None) -> float:
    return math.nan if value is None else float(value)


@pytest.mark.parametrize("case", vectors("events")["cases"], ids=lambda case: case["what"])
def test_on_which_charts_an_event_lies(case: dict[str, Any]) -> None:
    event = EventMark(time_ms=T0, text="", **case["event"])
    assert lies_on(event, [Series(i, **one) for i, one in enumerate(case["series"])]) is case["lies"]


@pytest.mark.parametrize("case", vectors("columns")["cases"], ids=str)
def test_a_view_gets_the_width_that_the_deck_meant(case: dict[str, int]) -> None:
    assert column_step_for(case["window_ms"], case["columns"]) == case["step_ms"]


@pytest.mark.parametrize("case", vectors("pace")["cases"], ids=lambda case: case["what"])
def test_how_often_readings_are_expected(case: dict[str, Any]) -> None:
    found = expected_interval_ms(np.array(case["intervals_ms"], dtype=np.float64))
    assert found == pytest.approx(number(case["expected_ms"]), nan_ok=True, rel=1e-6)


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


@pytest.mark.parametrize("case", vectors("numbers")["cases"], ids=lambda case: case["what"])
def test_smallest_largest_and_mean_are_told_apart(case: dict[str, Any]) -> None:
    low, high = number(case["lo"]), number(case["hi"])
    unit = shown_unit(case.get("unit", ""), max(abs(low), abs(high)))
    low, high, mean, error = (each / unit.divisor for each in (low, high, number(case["mean"]), case.get("error", 0.0)))
    whole = case.get("whole", False) and unit.divisor == 1
    decimals = decimals_for(low, high, whole=whole)
    texts = [reading_text(end, decimals) for end in (low, high)]
    texts.append(mean_text(mean, low, high, decimals, whole=whole, error=error))
    assert [f"{text} {unit.text}".strip() for text in texts] == case["texts"]


def test_a_mean_that_may_as_well_be_nothing_has_no_digits_of_its_own() -> None:
    decimals = decimals_for(-1.0, 1.0)
    for mean, error in ((1e-16, 0.0), (-1e-13, 0.0), (7e-6, 1.6e-5), (-7e-6, 1.6e-5)):
        assert mean_text(mean, -1.0, 1.0, decimals, error=error) == reading_text(0.0, decimals)
    assert mean_text(1e-9, -1.0, 1.0, decimals) == "1.00e\N{MINUS SIGN}9"
    assert mean_text(-2e-6, -1.0, 1.0, 0, whole=True, error=1.6e-5) == "0"


def test_units_that_mean_the_same_and_those_that_do_not() -> None:
    same = vectors("units")["same"]
    keys = [{unit_key(unit) for unit in units} for units in same]
    assert [len(each) for each in keys] == [1] * len(same)
    assert len(set.union(*keys)) == len(same)
    assert set(ALIASES) <= {unit.lower() for units in same for unit in units}


def test_every_unit_of_the_tables_has_a_vector() -> None:
    assert {*WORDS, *SCALES} <= {case["unit"] for case in vectors("units")["cases"]}


@pytest.mark.parametrize(("pattern", "metric", "selected"), vectors("patterns")["cases"])
def test_what_a_pattern_selects(pattern: str, metric: str, selected: bool) -> None:
    assert Pattern(pattern).matches(metric) is selected


def frame_of(times: list[float], values: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"series": 0, "time": pd.to_datetime(times, unit="ms", utc=True), "value": values})


@pytest.mark.parametrize("case", vectors("gaps")["readings"], ids=lambda case: case["what"])
def test_a_gap_is_where_no_number_came_though_readings_did(case: dict[str, Any]) -> None:
    given = [number(value) for value in case["values"]]
    times = [T0 + 1_000.0 * n for n in range(len(given))]
    held = bucket_readings(np.array(times), np.array(given), 1_000)[NUMBER].astype(np.int64)
    drawn = held[gaps_before(held, 1_000, 1_000)] - T0 // 1_000
    assert drawn.tolist() == case["gaps_before"]
    [row] = statistics(frame_of(times, given), times[0], times[-1])
    assert row.gaps == len(case["gaps_before"]), "the drawer counts what the chart hatches"


@pytest.mark.parametrize("case", vectors("counts")["cases"], ids=str)
def test_what_counts_in_a_bucket(case: dict[str, Any]) -> None:
    times = [T0 + float(n) for n in range(len(case["values"]))]
    values = [number(value) for value in case["values"]]
    expected = pytest.approx([number(case[name]) for name in ("min", "max", "mean")], nan_ok=True)

    history = Buckets(1_000)
    history.add(np.array(times), np.array(values))
    columns = history.columns()
    assert columns.counts.tolist() == [case["count"]]
    assert [columns.min[0], columns.max[0], columns.mean[0]] == expected

    conflator = Conflator(1_000)
    encoded = encode_batch(Batch(metric="m", time=times, value=case["values"]))
    conflator.add(RingEntry(T0 << 32, encoded.metric, encoded.body, "epoch"))
    [event] = conflator.pop_closed()
    [batch] = json.loads(event.data)["batches"]
    assert batch["count"] == [case["count"]]
    assert [number(batch[name][0]) for name in ("min", "max", "mean")] == expected

    [row] = statistics(frame_of(times, values), times[0], times[-1])
    assert row.count == case["count"]
    assert [number(value) for value in (row.min, row.max, row.mean)] == expected

    drawn = bucket_readings(np.array(times), np.array(values), 1_000)
    assert drawn[NUMERIC].tolist() == ([case["numbers"]] if case["numbers"] else [])
    if case["numbers"]:
        assert [drawn[MIN, 0], drawn[MAX, 0], drawn[SUM, 0] / drawn[NUMERIC, 0]] == expected
