"""The unit belongs to the reading: what is read back keeps each one's, and nothing mixes two of them."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any

import pyarrow.parquet as pq
import pytest

import tidewire
from tidewire.model.batch import encode_batch, make_batch
from tidewire.model.units import unit_key
from tidewire_service.hub.conflation import Conflator
from tidewire_service.hub.event_ring import RingEntry

CASES: dict[str, tuple[list[tuple[float, str]], list[str] | None]] = {
    "a change": ([(20, "Cel"), (68, "[degF]")], ["Cel", "[degF]"]),
    "and back": ([(20, "Cel"), (68, "[degF]"), (21, "Cel")], ["Cel", "[degF]", "Cel"]),
    "the same": ([(20, "Cel"), (21, "Cel")], None),
    "written in two ways": ([(20, "Cel"), (21, "°C"), (22, "degC"), (23, "\N{DEGREE CELSIUS}")], None),
    "written in two ways and changed": ([(20, "Cel"), (21, "°C"), (68, "°F")], ["Cel", "°C", "°F"]),
    "one without": ([(20, "Cel"), (21, ""), (22, "Cel")], None),
    "none before": ([(20, ""), (21, "Cel")], None),
    "one without, then another": ([(20, ""), (21, "Cel"), (22, ""), (68, "[degF]")], ["", "Cel", "", "[degF]"]),
    "a scale": ([(1, "s"), (1_000, "ms")], ["s", "ms"]),
    "none at all": ([(1, ""), (2, "")], None),
}


async def _publish(service: Any, now_ms: float, readings: list[tuple[float, str]]) -> None:
    for n, (value, unit) in enumerate(readings):
        row = {"metric": "m", "time": now_ms - 10_000 + n, "value": value, "unit": unit}
        assert (await service.post(row)).status_code == 200


@pytest.mark.parametrize("name", CASES)
async def test_each_reading_is_read_back_in_its_own_unit(service: Any, now_ms: float, name: str) -> None:
    readings, units = CASES[name]
    values = [value for value, _ in readings]
    newest = next((unit for _, unit in reversed(readings) if unit), "")
    await _publish(service, now_ms, readings)
    (series,) = (await service.history("m"))["series"]
    assert (series["value"], series["unit"], series.get("units")) == (values, newest, units)
    frame = await asyncio.to_thread(tidewire.history, "m", url=service.url)
    assert frame["unit"].tolist() == (units or [newest] * len(values))
    assert frame["value"].tolist() == values
    parquet = await service.http.get("/v1/history", params={"metric": "m", "format": "parquet"})
    assert pq.read_table(io.BytesIO(parquet.content))["unit"].to_pylist() == (units or [newest] * len(values))
    lines = (await service.http.get("/v1/history", params={"metric": "m", "format": "ndjson"})).text.splitlines()
    exported = [(value, line["unit"]) for line in map(json.loads, lines) for value in line["value"]]
    assert exported == list(zip(values, units or [newest] * len(values), strict=True))
    assert (await service.http.get("/v1/catalog")).json()["series"][0]["unit"] == readings[-1][1]


@pytest.mark.parametrize("name", CASES)
async def test_no_bucket_and_no_column_mixes_two_units(service: Any, now_ms: float, name: str) -> None:
    readings, units = CASES[name]
    await _publish(service, now_ms, readings)
    (series,) = (await service.history("m", points=1))["series"]
    by_unit: dict[str, list[float]] = {}
    current = ""
    for value, unit in readings:
        if not current and unit:
            by_unit[unit_key(unit)] = by_unit.pop("", [])
        current = unit or current
        by_unit.setdefault(unit_key(current), []).append(value)
    found = {
        unit_key(unit): (low, high, count)
        for unit, low, high, count in zip(
            series.get("units", [series["unit"]]), series["min"], series["max"], series["count"], strict=True
        )
    }
    assert found == {unit: (min(values), max(values), len(values)) for unit, values in by_unit.items()}
    assert ("units" in series) == (units is not None)
    wide = await asyncio.to_thread(tidewire.history, "m", wide=True, url=service.url)
    counts = [len(readings)] if units is None else [len(by_unit[unit]) for unit in by_unit]
    assert wide.notna().sum().tolist() == counts
    assert ("m" in wide.columns) == (units is None)


@pytest.mark.parametrize("name", CASES)
def test_no_interval_of_a_conflated_stream_mixes_two_units(name: str) -> None:
    readings, units = CASES[name]
    conflator = Conflator(60_000)
    for n, (value, unit) in enumerate(readings, 1):
        body = encode_batch(make_batch("m", value, unit=unit, time=1.7e12 + n)).body
        conflator.add(RingEntry(n, "m", body, "epoch"))
    (event,) = conflator.pop_closed()
    found = {batch.get("unit", ""): batch["count"][0] for batch in json.loads(event.data)["batches"]}
    assert sum(found.values()) == len(readings)
    known = {unit_key(unit) for _, unit in readings if unit}
    assert {unit_key(unit) for unit in found} == (known or {""})
    assert (len(found) > 1) == (units is not None)


@pytest.mark.parametrize(
    ("one", "other"),
    [("Cel", "°C"), ("Cel", "degC"), ("[degF]", "°F"), ("m3", "m³"), ("1", ""), ("us", "µs"), ("us", "μs"),
     ("Ohm", "Ω"), ("Ohm", "\N{OHM SIGN}"), ("1/s", "/s"), ("{rpm}", "rpm"), ("By", "B"), ("{parts}", "parts")],
)  # fmt: skip
def test_units_that_mean_the_same(one: str, other: str) -> None:
    assert unit_key(one) == unit_key(other)


@pytest.mark.parametrize(("one", "other"), [("Cel", "K"), ("Cel", "[degF]"), ("s", "ms"), ("By", "KiBy"), ("C", "Cel")])
def test_units_that_do_not(one: str, other: str) -> None:
    assert unit_key(one) != unit_key(other)
