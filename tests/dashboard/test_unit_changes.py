"""A series whose unit changes: whatever comes first, the stream, the catalogue or the history, one unit is drawn."""

from __future__ import annotations

import math
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from tidewire.livestore.past_reader import _past
from tidewire.livestore.store import Store
from tidewire.model.answers import HistoryColumns, SeriesInfo
from tidewire.model.batch import Batch
from tidewire.model.cursor import id_text
from tidewire.model.units import unit_key

GIVEN = ("Cel", "°C", "[degF]", "K")
T0 = 1_790_000_000_000.0


class Entry(NamedTuple):
    """One batch of the log: its id, own time, and unit."""

    id: int
    time: float
    unit: str

    def batch(self) -> Batch:
        return Batch(metric="m", labels={}, unit=self.unit, time=[self.time], value=[self.time - T0])


@st.composite
def logs(draw: st.DrawFn, others: tuple[str, ...] = ("",)) -> list[Entry]:
    """The first batch has a unit; if all have one, some may be late."""
    units = [draw(st.sampled_from(GIVEN)), *draw(st.lists(st.sampled_from([*GIVEN, *others]), max_size=5))]
    late = [draw(st.sampled_from([0, 0, 15, 27])) if all(units) else 0 for _ in units]
    return [Entry(int(T0) + n << 32, T0 + 100 + 10 * n - late[n], unit) for n, unit in enumerate(units)]


def units_of(log: list[Entry]) -> dict[float, str]:
    """Return the unit of the reading of each time: a batch without one goes on in the last."""
    units, last = {}, ""
    for entry in log:
        last = entry.unit or last
        units[entry.time] = last
    return dict(sorted(units.items()))


def drawn(log: list[Entry]) -> tuple[str, list[float]]:
    """Return the unit of the newest reading that has one, and the times after the last reading in another."""
    units = units_of(log)
    unit = next((unit_key(one) for one in reversed(units.values()) if one), "")
    foreign = [n for n, one in enumerate(units.values()) if one and unit_key(one) != unit]
    return unit, list(units)[foreign[-1] + 1 if foreign else 0 :]


def shown(store: Store) -> tuple[str, list[float]]:
    (series,) = store.series
    times = series.raw.rows()[0]
    return unit_key(series.unit), times[times >= max(series.unit_since_ms, series.known_from_ms)].tolist()


def assert_drawn(store: Store, log: list[Entry], from_ms: float = T0) -> None:
    """No reading of another unit is drawn, and the newest is; late ones from before a change may be left out."""
    (unit, times), (expected, piece) = shown(store), drawn(log)
    piece = [time for time in piece if time >= from_ms]
    assert all(math.isfinite(mark.time_ms) for mark in store.events)
    said = [(entry.time - T0, entry.unit) for entry in log]
    assert unit == expected, said
    assert times[-1] == piece[-1], said
    assert set(times) <= set(piece), said
    in_order = [one.time for n, one in enumerate(log) if all(one.time > earlier.time for earlier in log[:n])]
    assert set(times) >= set(piece) & set(in_order), said


def catalogued(log: list[Entry]) -> SeriesInfo:
    newest = max(log, key=lambda entry: entry.time)
    id_ = id_text(log[-1].id)
    return SeriesInfo(
        metric="m",
        labels={},
        unit=newest.unit,
        id=id_,
        time=newest.time,
        value=newest.time - T0,
        text=None,
        count=9,
        rate=1.0,
    )


def history(log: list[Entry], from_ms: float) -> list[HistoryColumns]:
    units = {time: unit for time, unit in units_of(log).items() if time >= from_ms}
    changing = len({unit_key(unit) for unit in units.values()} - {""}) > 1
    times = list(units)
    unit = next(filter(None, reversed(units.values())), "")
    values = [time - T0 for time in times]
    return [
        HistoryColumns(metric="m", unit=unit, units=list(units.values()) if changing else [], time=times, value=values)
    ]


@given(log=logs(), data=st.data())
def test_a_catalogue_that_comes_within_a_replay_changes_nothing(log: list[Entry], data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(log)))
    known = data.draw(st.integers(max(1, position), len(log)))
    store = Store()
    row = catalogued(log[:known])
    for entry in log[:position]:
        store.append(entry.batch(), entry.id)
    snapshot = Batch(metric="m", labels={}, unit=row.unit, time=[row.time], value=[row.value])
    store.append(snapshot, log[known - 1].id, snapshot=True)
    for entry in log[position:]:
        store.append(entry.batch(), entry.id)
    assert_drawn(store, log)


@given(log=logs(others=()), data=st.data())
def test_a_past_that_is_ahead_of_the_stream_changes_nothing(log: list[Entry], data: st.DataObject) -> None:
    begun = data.draw(st.integers(1, len(log)))
    taken = data.draw(st.integers(begun, len(log)))
    answered = data.draw(st.integers(begun, len(log)))
    start = data.draw(st.integers(1, begun))
    store = Store()
    store.restart([catalogued(log[:start])], {0: log[start - 1].id}, T0 + 10)
    for entry in log[start:begun]:
        store.append(entry.batch(), entry.id)
    generation = store.begin_past(store.series)
    for entry in log[begun:taken]:
        store.append(entry.batch(), entry.id)
    from_ms = data.draw(st.sampled_from([T0, *sorted(entry.time for entry in log[:answered])]))
    past = _past(history(log[:answered], from_ms), from_ms, {0: log[answered - 1].id}, T0 + 10)
    assert store.take_past(store.series[0], past, generation)
    for entry in log[taken:]:
        store.append(entry.batch(), entry.id)
    assert_drawn(store, log, from_ms)


def test_the_newest_reading_has_no_unit_and_is_known_first() -> None:
    units = ("Cel", "°C", "[degF]", "")
    log = [Entry(int(T0) + n << 32, T0 + n, unit) for n, unit in enumerate(units)]
    store = Store()
    store.append(log[3].batch(), log[3].id, snapshot=True)
    for entry in log:
        store.append(entry.batch(), entry.id)
    assert shown(store) == (unit_key("[degF]"), [T0 + 2, T0 + 3])
    assert [mark.text for mark in store.events] == ["unit: °C → °F"]


def test_a_past_that_begins_after_the_change_marks_it_at_its_first_reading() -> None:
    log = [Entry(int(T0) + n << 32, T0 + n, unit) for n, unit in enumerate(("Cel", "[degF]", "[degF]"))]
    store = Store()
    store.restart([catalogued(log[:1])], {0: log[0].id}, T0 + 10)
    generation = store.begin_past(store.series)
    past = _past(history(log, T0 + 1), T0 + 1, {0: log[2].id}, T0 + 10)
    assert store.take_past(store.series[0], past, generation)
    assert shown(store) == (unit_key("[degF]"), [T0 + 1, T0 + 2])
    assert [(mark.time_ms, mark.text) for mark in store.events] == [(T0 + 1, "unit: °C → °F")]


def test_a_past_without_readings_tells_no_unit() -> None:
    past = _past([HistoryColumns(metric="m", unit="K", time=[], value=[])], T0, 1, T0)
    assert (past.unit, past.unit_since_ms) == ("", -math.inf)
