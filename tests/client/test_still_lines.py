"""Lines of stills: what they hold from before their window, where they break, how far they go, as on the live chart."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from tidewire.livestore.live_view import LiveView
from tidewire.livestore.store import Store
from tidewire.livestore.view_frame import ViewFrame, unpack_frame
from tidewire.model.batch import FINISHED, Batch
from tidewire.notebook.drawn import checked_drawn
from tidewire.notebook.snapshot_canvas import WIDTH, Canvas
from tidewire.notebook.still_charts import StillChart, charts_of
from tidewire.notebook.still_frame import LEFT, RIGHT, span_of
from tidewire.notebook.still_kinds import drawing_of
from tidewire.notebook.still_plots import draw_plot

NOW_MS = 1_790_000_000_000.0
COLUMNS = WIDTH - LEFT - RIGHT
Point = tuple[float, float]


class Drawn(Canvas):
    """Records lines, bars and the texts of the ticks of values, which tell what a height means."""

    def __init__(self, height: int) -> None:
        super().__init__(height)
        self.ticks: list[Point] = []
        self.lines: dict[float, list[list[Point]]] = {}
        self.bars: list[tuple[float, float]] = []

    def text(self, x: float, y: float, words: str, colour: str, size: int, *, right: bool = False) -> float:
        if right and size == 11 and x == LEFT - 6:
            self.ticks.append((float(words.replace("\N{MINUS SIGN}", "-")), y + 6))
        return super().text(x, y, words, colour, size, right=right)

    def line(
        self, points: Sequence[tuple[float, float]], colour: str, width: float, dash: Sequence[float] = ()
    ) -> None:
        self.lines.setdefault(width, []).append(list(points))
        super().line(points, colour, width, dash)

    def box(self, left: float, top: float, right: float, bottom: float, colour: str) -> None:
        self.bars.append((top, bottom))
        super().box(left, top, right, bottom, colour)

    def value(self, y: float) -> float:
        """Return what a height of a plot means."""
        (low, foot), (high, head) = self.ticks[0], self.ticks[-1]
        return low + (y - foot) / (head - foot) * (high - low)


def kept(store: Store, metric: str, readings: Mapping[float, float | None], unit: str = "", **more: object) -> None:
    """Append readings of a series: values by the seconds from now."""
    times = [NOW_MS + 1e3 * second for second in readings]
    batch = Batch(metric=metric, time=times, value=list(readings.values()), unit=unit, **more)  # type: ignore[arg-type]
    store.append(batch, int(max(times)) << 32)


def held(*series: Mapping[float, float], unit: str = "") -> Store:
    store = Store()
    store.covered_from_ms = 0.0
    for number, readings in enumerate(series):
        kept(store, f"m{number}" if len(series) > 1 else "m", readings, unit)
    return store


def frame_of(store: Store, columns: int = COLUMNS, window_s: float = 300.0) -> ViewFrame:
    view = LiveView(store, None, window_s * 1e3, columns)
    view.tick(1, NOW_MS)
    return unpack_frame(view.frame(0, None))


def chart_of(store: Store, kind: str | None = None, columns: int = COLUMNS, window_s: float = 300.0) -> StillChart:
    [chart] = charts_of(frame_of(store, columns, window_s), store.series, checked_drawn(["**"], kind))
    return chart


def plotted(chart: StillChart) -> Drawn:
    canvas = Drawn(220)
    draw_plot(canvas, 0, 220, chart, ())
    return canvas


def lines_of(chart: StillChart) -> list[list[Point]]:
    """Return the lines of a plot: seconds from now, to a tenth, and values."""
    canvas = plotted(chart)
    assert chart.frame is not None
    start_ms, end_ms = span_of(chart.frame)

    def meant(x: float, y: float) -> Point:
        at_ms = start_ms + (x - LEFT) / COLUMNS * (end_ms - start_ms)
        return (at_ms - NOW_MS) / 1e3, round(canvas.value(y), 3)

    return [[meant(*point) for point in line] for line in canvas.lines.get(1.5, [])]


@pytest.mark.parametrize("kind", [None, "steps", "stacked"])
def test_what_steps_hold_from_before_the_window_enters_it(kind: str | None) -> None:
    [line] = lines_of(chart_of(held({-600.0: 1.0}), kind))
    assert {value for _, value in line} == {1.0}
    assert line[0][0] == pytest.approx(-300, abs=1), "from the left edge on"
    assert line[-1][0] == pytest.approx(0, abs=1), "up to the present"


def test_a_change_in_the_window_begins_at_the_value_from_before_it() -> None:
    [line] = lines_of(chart_of(held({-600.0: 1.0, -100.0: 0.0})))
    assert [value for _, value in line] == [1.0, 1.0, 0.0, 0.0]
    assert [second for second, _ in line] == pytest.approx([-300, -100, -100, 0], abs=1)
    values = {value for value, _ in plotted(chart_of(held({-600.0: 1.0, -100.0: 0.0}))).ticks}
    assert values == {0.0, 1.0}, "the axis holds both"


@pytest.mark.parametrize("kind", ["line", "bars", "points"])
def test_what_is_not_drawn_as_steps_holds_nothing(kind: str) -> None:
    canvas = plotted(chart_of(held({-600.0: 1.0}), kind))
    assert 1.5 not in canvas.lines
    assert canvas.bars == []


def test_a_value_from_before_a_gap_does_not_enter_the_window() -> None:
    readings = dict.fromkeys(np.arange(-620.0, -400.0, 1.0).tolist(), 1.0)
    [line] = lines_of(chart_of(held({**readings, **dict.fromkeys(np.arange(-100.0, 0.0).tolist(), 2.0)})))
    assert {value for _, value in line} == {2.0}
    assert line[0][0] == pytest.approx(-100, abs=1)
    assert lines_of(chart_of(held(readings))) == [], "nor is it held up to the present"


def spark_of(chart: StillChart, width: float) -> list[list[Point]]:
    """Return the lines of a sparkline as shares of its height, 0 … 1, with the px of x."""
    canvas = Drawn(220)
    drawing = drawing_of(chart)
    assert drawing is not None
    drawing(canvas, 0, 220, chart)
    lines = canvas.lines.get(width, [])
    heights = [y for line in lines for _, y in line]
    foot, head = max(heights, default=0.0), min(heights, default=0.0)
    return [[(x, round((foot - y) / (foot - head or 1), 3)) for x, y in line] for line in lines]


SPARKS = ["stat", "table"]


@pytest.mark.parametrize("kind", SPARKS)
def test_sparklines_of_steps_have_no_slopes(kind: str) -> None:
    [line] = spark_of(chart_of(held({-250.0: 0.0, -150.0: 1.0, -50.0: 0.0}), kind), 1.25)
    assert all(x0 == x1 or y0 == y1 for (x0, y0), (x1, y1) in itertools.pairwise(line))
    assert [height for _, height in line] == [0, 0, 1, 1, 0, 0]


@pytest.mark.parametrize("kind", SPARKS)
def test_sparklines_are_broken_at_gaps(kind: str) -> None:
    readings = {float(second): 20.5 + second % 7 for second in range(-290, 0) if not -200 < second < -100}
    assert len(spark_of(chart_of(held(readings, unit="Cel"), kind), 1.25)) == 2


@pytest.mark.parametrize("kind", SPARKS)
def test_a_column_of_a_sparkline_ends_at_its_last_value(kind: str) -> None:
    readings = {-200.0: 0.0, -150.02: 0.0, -150.01: 50.5, -150.0: 0.0, -100.0: 0.0, -50.0: 0.0}
    [line] = spark_of(chart_of(held(readings, unit="Cel"), kind), 1.25)
    assert [height for _, height in line] == [0, 0, 1, 0, 0, 0]


def test_a_stack_stands_on_what_lies_between_the_readings_of_the_lines_below() -> None:
    """Two series of a reading each second, half a second apart, in columns of half a second."""
    seconds = np.arange(-400.0, 0.0)
    store = Store()
    store.covered_from_ms = 0.0
    for line, later, value in (("a", 0.0, 10.5), ("b", 0.5, 5.5)):
        kept(store, "m", dict.fromkeys((seconds + later).tolist(), value), unit="kW", labels={"line": line})
    below, above = lines_of(chart_of(store, "stacked", columns=600))
    assert {value for _, value in below} == {10.5}
    assert {value for _, value in above} == {16.0}


def test_what_is_stacked_of_a_column_is_its_mean() -> None:
    readings = {second + part: 10.0 * (part > 0) + 0.5 for second in range(-300, 0) for part in (0.0, 0.1)}
    [line] = lines_of(chart_of(held(readings, unit="Cel"), "stacked", columns=300))
    assert {value for _, value in line} == {5.5}


def test_a_stack_falls_where_a_line_below_has_a_gap_and_holds_where_it_has_steps() -> None:
    seconds = np.arange(-400.0, 0.0).tolist()
    store = Store()
    store.covered_from_ms = 0.0
    broken = {second: 8.5 for second in seconds if not -200 < second < -100}
    for line, readings in (("a", broken), ("b", dict.fromkeys(seconds, 2.5))):
        kept(store, "m", readings, unit="kW", labels={"line": line})
    *below, above = lines_of(chart_of(store, "stacked"))
    assert len(below) == 2
    assert {value for second, value in above if -198 < second < -102} == {2.5}
    assert {value for second, value in above if second < -202 or second > -98} == {11.0}
    store = Store()
    store.covered_from_ms = 0.0
    for line, readings in (
        ("a", {-600.0: 1.0, -90.0: 3.0}),
        ("b", dict.fromkeys(np.arange(-400.0, 0.0, 10.0).tolist(), 2.0)),
    ):
        kept(store, "m", readings, labels={"line": line})
    _, above = lines_of(chart_of(store, "stacked"))
    assert {value for second, value in above if second < -91} == {3.0}
    assert {value for second, value in above if second > -89} == {5.0}, "up to the present"


@pytest.mark.parametrize("spike", [500.0, -500.0])
def test_a_bar_ends_at_the_extreme_of_its_column(spike: float) -> None:
    readings = {second + part: 10.5 for second in np.arange(-300.0, 0.0).tolist() for part in (0.0, 0.1, 0.2)}
    readings[-149.9] = spike
    canvas = plotted(chart_of(held(readings, unit="Cel"), "bars", columns=300))
    ends = [canvas.value(end) for bar in canvas.bars for end in bar]
    assert (max(ends) if spike > 0 else min(ends)) == pytest.approx(spike)


@pytest.mark.parametrize("kind", [None, "stat"])
def test_a_series_that_ended_holds_its_last_value_until_then(kind: str | None) -> None:
    store = held({-250.0: 1.0, -200.0: 0.0})
    kept(store, "m", {-100.0: 1.0}, text=[FINISHED])
    if kind is None:
        [line] = lines_of(chart_of(store))
        assert line[-1][0] == pytest.approx(-100, abs=1)
    else:
        [line] = spark_of(chart_of(store, kind), 1.25)
        assert line[-1][0] == pytest.approx(WIDTH - 14 - (WIDTH - 28) / 3, abs=3)
    assert line[-1][1] == 1.0


def test_a_series_that_ended_before_the_window_does_not_enter_it() -> None:
    store = held({-700.0: 0.0})
    kept(store, "m", {-600.0: 1.0}, text=[FINISHED])
    assert lines_of(chart_of(store)) == []


def test_a_value_that_is_no_number_any_more_holds_until_that_was_read() -> None:
    store = held({-250.0: 1.0, -200.0: 0.0})
    kept(store, "m", {-100.0: None})
    [line] = lines_of(chart_of(store))
    assert line[-1][0] == pytest.approx(-100, abs=1)
    assert line[-1][1] == 0.0


def test_a_value_that_may_have_changed_unseen_is_not_held() -> None:
    """Its partition of the log does not answer: what its pace says is no silence is one."""
    store = held({-150.0: 0.0, -100.0: 1.0, -50.0: 0.0})
    [line] = lines_of(chart_of(store))
    assert line[-1][0] == pytest.approx(0, abs=1)
    store.late = {0: frozenset({"m"})}
    [line] = lines_of(chart_of(store))
    assert line[-1][0] == pytest.approx(-50, abs=2)


def test_the_axis_of_a_chart_that_is_silent_is_that_of_its_last_values() -> None:
    readings = dict.fromkeys(np.arange(-620.0, -400.0).tolist(), 20.5)
    canvas = plotted(chart_of(held(readings, unit="Cel")))
    assert 1.5 not in canvas.lines
    assert all(18 < value < 23 for value, _ in canvas.ticks)


def test_whole_steps_have_no_ticks_between_them_also_stacked_or_by_hand() -> None:
    fast = {-250.0: 0.0, **{-200.0 + part / 100: float(value) for part, value in enumerate((1, 0, 2, 1))}, -9.0: 1.0}
    doors = [{second: second // period % 2 for second in np.arange(-400, 0, 0.1).tolist()} for period in (7, 4)]
    for kind, unit, series in (("stacked", "", doors), ("steps", "Cel", [fast])):
        store = Store()
        store.covered_from_ms = 0.0
        for number, readings in enumerate(series):
            kept(store, "m", readings, unit=unit, labels={"n": str(number)})
        values = [value for value, _ in plotted(chart_of(store, kind)).ticks]
        assert len(values) > 1
        assert all(value % 1 == 0 for value in values), (kind, values)
