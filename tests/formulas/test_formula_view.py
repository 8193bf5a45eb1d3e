"""What a viewer draws of a formula: the frames of its window, put together, are its values."""

from __future__ import annotations

import numpy as np
import pytest

from tidewire.livestore.formula_readings import FormulaReadings
from tidewire.livestore.formula_view import FormulaView
from tidewire.livestore.store import Store
from tidewire.livestore.view_frame import DELTA, SNAPSHOT, exponents_of, unpack_frame
from tidewire.model.batch import Batch
from tidewire.model.formulas.parser import parse_formula

T0 = 1_790_000_000_000.0  # a whole second, Unix ms


class Drawn:
    """A viewer that puts together what it is sent."""

    def __init__(self, view: FormulaView) -> None:
        self.view = view
        self.since: int | None = None
        self.values: dict[tuple[int, int], float] = {}
        self.kinds: list[int] = []

    def take(self, seq: int) -> None:
        frame = unpack_frame(self.view.frame(3, self.since))
        self.since = seq
        self.kinds.append(frame.kind)
        if frame.kind == SNAPSHOT:
            self.values.clear()
        exponents = exponents_of(frame.records["flags"])
        for row, buckets in enumerate(frame.body):
            for at, bucket in enumerate(buckets):
                assert (bucket["count"] == 0) == bool(np.isnan(bucket["min"]))
                value = np.ldexp(float(bucket["max"]), exponents[row]) + frame.records[row]["base"]
                self.values[row, int(frame.first) + at] = value
        self.records = frame.records


@pytest.mark.parametrize("scale", [1.0, 1e-40, 1e200])
def test_the_frames_of_a_formula_are_its_values(scale: float) -> None:
    store, id_ = Store(), 0
    readings = FormulaReadings(store, 60_000.0)

    def publish(metric: str, time_ms: float, value: float) -> None:
        nonlocal id_
        id_ += 1
        batch = Batch(metric=metric, labels={}, unit="kW", time=[time_ms], value=[value])
        store.append(batch, (int(time_ms) << 32) + id_)

    publish("plant/A/power", T0, 1e9 * scale)
    view = FormulaView(readings, parse_formula("avg_over_time(plant/*/power[2s])"), 10_000.0, 50)
    drawn, seldom = Drawn(view), Drawn(view)
    for tick in range(150):
        now = T0 + tick * 200.0
        publish("plant/A/power", now + 1, (1e9 + tick) * scale)
        if tick >= 60:
            publish("plant/B/power", now + 2, tick * scale)
        readings.refresh(now + 100)
        view.tick(tick, now + 100)
        assert view.error is None
        drawn.take(tick)
        if tick % 7 == 0:
            seldom.take(tick)
        live = view.live
        for who in (drawn, seldom) if tick % 7 == 0 else (drawn,):
            for row, values in enumerate(live.value):
                found = [who.values[row, live.first + at] for at in range(values.size)]
                np.testing.assert_allclose(found, values, rtol=1e-6)
    assert drawn.kinds.count(DELTA) > 100
    assert drawn.kinds.count(SNAPSHOT) < 40
    assert DELTA in seldom.kinds
    assert [labels["*1"] for labels in view.plan.labels] == ["A", "B"]
    assert view.version == 1
    assert drawn.records["last_value"] == pytest.approx([(1e9 + 144.5) * scale, 144.5 * scale], rel=1e-6)
    assert drawn.records["last_time_ms"].max() <= T0 + 149 * 200 + 100


def test_a_formula_that_stops_working_keeps_what_was_drawn_and_says_why() -> None:
    store = Store()
    readings = FormulaReadings(store, 60_000.0)
    store.append(Batch(metric="a", labels={"k": "0"}, unit="", time=[T0], value=[1.0]), (int(T0) << 32) + 1)
    store.append(Batch(metric="b", labels={}, unit="", time=[T0], value=[2.0]), (int(T0) << 32) + 2)
    view = FormulaView(readings, parse_formula("a / on () b"), 10_000.0, 50)
    readings.refresh(T0)
    view.tick(1, T0)
    assert view.error is None
    store.append(Batch(metric="a", labels={"k": "1"}, unit="", time=[T0 + 50], value=[1.0]), (int(T0) << 32) + 3)
    readings.refresh(T0 + 100)
    view.tick(2, T0 + 100)
    assert view.error is not None
    assert view.error.kind == "match"
    assert unpack_frame(view.frame(0, None)).records.size == len(view.plan.labels)
    view.close()
    assert readings.table.size == 0
