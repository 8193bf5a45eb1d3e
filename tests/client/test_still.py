"""Stills of formulas and kinds: names, ticks and what stands in the place of a plot."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tidewire.errors import InvalidInput
from tidewire.livestore.live_view import LiveView
from tidewire.livestore.messages import FormulaFault, FormulaSeries, FormulaState
from tidewire.livestore.store import Store
from tidewire.livestore.view_frame import ViewFrame, unpack_frame
from tidewire.model.batch import Batch
from tidewire.model.threshold import Threshold
from tidewire.notebook.drawn import KINDS, Source, checked_drawn
from tidewire.notebook.formula_frames import Result
from tidewire.notebook.snapshot import snapshot_line, snapshot_png
from tidewire.notebook.snapshot_canvas import LEVEL_COLOURS, LINE_COLOURS, Canvas
from tidewire.notebook.still_axes import offset_ticks, time_labels, value_ticks
from tidewire.notebook.still_charts import StillChart, charts_of, legend_label, telling_labels
from tidewire.notebook.still_kinds import drawing_of, histogram
from tidewire.notebook.still_limits import Limit, bar_range, gauge_range, limit_text, zones_of
from tidewire.notebook.still_plots import draw_plot

NOW_MS = 1_790_000_000_000.0
RANGES = json.loads((Path(__file__).parents[1] / "chart" / "vectors" / "ranges.json").read_text())
VECTORS = json.loads((Path(__file__).parents[1] / "chart" / "vectors" / "ticks.json").read_text())


def filled(metric: str, count: int, unit: str = "Cel") -> Store:
    store = Store()
    store.covered_from_ms = 0.0
    times = np.arange(NOW_MS - 290e3, NOW_MS, 1e3)
    for number in range(count):
        values = (np.sin(times / 9e3 + number) * 20 + 800 + 10 * number).tolist()
        labels = {"line": "ABCDEFG"[number]} if count > 1 else {}
        store.append(
            Batch(metric=metric, time=times.tolist(), value=values, unit=unit, labels=labels), int(NOW_MS) << 32
        )
    return store


def frame_of(store: Store) -> ViewFrame:
    view = LiveView(store, None, 300_000, 810)
    view.tick(1, NOW_MS)
    return unpack_frame(view.frame(0, None))


class Written(Canvas):
    """Records what is written on it."""

    words: list[str]

    def text(self, x: float, y: float, words: str, colour: str, size: int, *, right: bool = False) -> float:
        self.words = [*getattr(self, "words", []), words]
        return super().text(x, y, words, colour, size, right=right)


def written(chart: StillChart) -> list[str]:
    canvas = Written(220)
    drawing = drawing_of(chart)
    assert drawing is not None
    drawing(canvas, 0, 220, chart)
    return canvas.words


def shown(chart: StillChart, colour: str) -> bool:
    """Tell whether a colour is in the picture of a chart."""
    wanted = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)])
    image = Image.open(io.BytesIO(snapshot_png("", [chart]))).convert("RGB")
    return any(np.abs(np.array(seen) - wanted).max() < 24 for _, seen in image.getcolors(1 << 24) or [])


@pytest.mark.parametrize("case", VECTORS["values"], ids=str)
def test_values_have_the_ticks_of_the_live_chart(case: dict[str, Any]) -> None:
    make = offset_ticks if case["offset"] else value_ticks
    more = {} if case["offset"] else {"fits": lambda text: len(text) <= case["fits"], "whole": case["whole"]}
    found = make(case["lo"], case["hi"], case["divisor"], case["unit"], **more)
    assert [text for _, text in found.ticks] == case["texts"]
    assert [at for at, _ in found.ticks] == pytest.approx(case["at"])
    assert (found.unit, found.base) == (case["over"], case["base"])


@pytest.mark.parametrize("case", VECTORS["times"], ids=str)
def test_times_have_the_ticks_of_the_live_chart(case: dict[str, Any]) -> None:
    assert [[at, text] for at, text in time_labels(case["start"], case["end"], case["px"])] == case["labels"]


@pytest.mark.parametrize(
    ("high", "kind", "unit", "offset"),
    [
        (1_000.9, None, "Hz", True),
        (1_001.1, None, "Hz", False),
        (1_000.9, "bars", "Hz", False),
        (1_000.9, None, "%", False),
    ],
)
def test_an_axis_is_read_by_differences_if_its_readings_hardly_differ(
    high: float, kind: str | None, unit: str, offset: bool
) -> None:
    """Its range is wider than they are, by its padding; one from zero is read by values."""
    store = Store()
    store.covered_from_ms = 0.0
    times = np.arange(NOW_MS - 290e3, NOW_MS, 1e3)
    values = np.linspace(1_000.0, high, times.size).tolist()
    store.append(Batch(metric="m", time=times.tolist(), value=values, unit=unit), int(NOW_MS) << 32)
    [chart] = charts_of(frame_of(store), store.series, checked_drawn(["m"], kind))
    canvas = Written(220)
    draw_plot(canvas, 0, 220, chart, ())
    assert ("±0" in canvas.words) is offset


def test_series_have_the_names_of_the_live_legend() -> None:
    every = [{"site": "A", "core": "0", "az": "eu"}, {"site": "B", "core": "0", "az": "eu"}]
    assert [legend_label(telling_labels(one, every)) for one in every] == ["site A", "site B"]
    assert legend_label(every[0]) == "eu core0 site A"


@pytest.mark.parametrize("kind", ["stat", "gauge"])
def test_what_shows_one_series_prints_its_newest_value(kind: str) -> None:
    store = filled("furnace/temperature", 1)
    [chart] = charts_of(frame_of(store), store.series, checked_drawn(["furnace/*"], kind))
    words = written(chart)
    assert words[0] == "furnace/temperature"
    assert {chart.text(0, 1.0), "°C"} <= set(words)
    several = filled("furnace/temperature", 2)
    [chart] = charts_of(frame_of(several), several.series, checked_drawn(["furnace/*"], kind))
    assert drawing_of(chart) is None, "a plot, as in the live chart"


@pytest.mark.parametrize("case", RANGES["gauges"], ids=str)
def test_a_dial_has_the_range_and_the_zones_of_the_live_one(case: dict[str, Any]) -> None:
    limits = [Limit(**limit) for limit in case["limits"]]
    found = gauge_range(limits, case["lo"], case["hi"], case["unit"])
    assert found == pytest.approx(case["range"])
    assert [list(zone) for zone in zones_of(limits, *found)] == case["zones"]


@pytest.mark.parametrize("case", RANGES["bars"], ids=str)
def test_bars_have_the_range_of_the_live_ones(case: dict[str, Any]) -> None:
    values = [math.nan if value is None else value for value in case["values"]]
    assert bar_range(values, case["limits"]) == pytest.approx(case["range"])


@pytest.mark.parametrize("case", RANGES["texts"], ids=str)
def test_limits_are_written_as_in_the_live_chart(case: dict[str, Any]) -> None:
    assert limit_text(case["value"], case["divisor"]) == case["text"]


def test_a_dial_shows_the_thresholds_of_its_series_and_the_range_that_they_give() -> None:
    store = filled("furnace/temperature", 1)
    drawn, thresholds = (
        checked_drawn(["furnace/*"], "gauge"),
        [
            Threshold(metric="furnace/*", warn_above=850, critical_above=900),
            Threshold(metric="furnace/temperature", labels={"line": "B"}, warn_below=-500),
            Threshold(metric="other", warn_above=7_000),
        ],
    )
    [bare] = charts_of(frame_of(store), store.series, drawn)
    [chart] = charts_of(frame_of(store), store.series, drawn, thresholds=thresholds)
    words = written(chart)
    assert {"0", "990", "warn above 850 · critical above 900"} <= set(words)
    assert not {"990", "warn above 850 · critical above 900"} & set(written(bare))
    for level in ("warn", "critical"):
        assert shown(chart, LEVEL_COLOURS[level])
        assert not shown(bare, LEVEL_COLOURS[level])
    [bars] = charts_of(frame_of(store), store.series, checked_drawn(["furnace/*"], "bar"), thresholds=thresholds)
    assert shown(bars, LEVEL_COLOURS["critical"])


def test_a_table_and_bars_have_a_row_for_each_series() -> None:
    store = filled("furnace/temperature", 3)
    for kind in ("table", "bar"):
        [chart] = charts_of(frame_of(store), store.series, checked_drawn(["furnace/*"], kind))
        assert {"line A", "line B", "line C"} <= set(written(chart))


@pytest.mark.parametrize(
    ("every", "mean"),
    [
        ((0.0, 1.0), "0.5"),
        ((0.0, 1.0, 1.0, 1.0), "0.75"),
        ((10.0, 11.0, 12.0, 13.0), "11.5"),
        ((20.0, 20.0), "20"),
        ((20.0, 20.5, 21.0), "20.50"),
    ],
    ids=str,
)
def test_a_table_prints_means_as_the_live_one(every: tuple[float, ...], mean: str) -> None:
    store = Store()
    store.covered_from_ms = 0.0
    times = np.arange(NOW_MS - 252e3, NOW_MS, 1e3)
    values = [*every] * (times.size // len(every))
    store.append(Batch(metric="m", time=times.tolist(), value=values), int(NOW_MS) << 32)
    [chart] = charts_of(frame_of(store), store.series, checked_drawn(["m"], "table"))
    words = written(chart)
    assert words[words.index("m", 1) + 2] == mean, words


def test_a_histogram_counts_each_reading_once() -> None:
    store = filled("furnace/temperature", 2)
    [chart] = charts_of(frame_of(store), store.series, checked_drawn(["furnace/*"], "histogram"))
    assert any(words.startswith("°C   580 readings") for words in written(chart))
    start, width, bins = histogram(np.array([1.0, 1.0, 2.0, 4.0]), np.ones(4), whole=True)
    assert (start, width, bins.tolist()) == (0.5, 1.0, [2.0, 1.0, 0.0, 1.0])


def result(*series: FormulaSeries, frame: bytes | None, **more: Any) -> Result:
    state = FormulaState(formula="f", series=list(series), loading=False, reads=1, warnings=[], **more)
    return Result(state, frame)


def test_a_formula_is_a_panel_with_its_text_its_labels_and_its_colours() -> None:
    store = filled("m", 2)
    frame = LiveView(store, None, 300_000, 810)
    frame.tick(1, NOW_MS)
    named = [FormulaSeries(i=i, name="", labels={"site": "AB"[i]}, unit="/s", colour=4 + i) for i in range(2)]
    drawn = checked_drawn(["=sum by (site) (rate(m))"], None)
    results = {Source(drawn.formulas[0]): result(*named, frame=frame.frame(2, None))}
    nothing = Store()
    charts = charts_of(frame_of(nothing), nothing.series, drawn, results)
    assert [chart.title for chart in charts] == ["sum by (site) (rate(m))"]
    assert [one.legend for one in charts[0].series] == ["site A", "site B"]
    assert all(shown(charts[0], LINE_COLOURS[number]) for number in (4, 5))
    line = snapshot_line(drawn.words, frame_of(nothing), charts)
    assert line.startswith("sum by (site) (rate(m)) · 2 series")


def test_a_formula_that_failed_says_why_in_its_place() -> None:
    fault = FormulaFault(position=0, end=1, message="two series have equal labels", remedy="aggregate")
    drawn = checked_drawn(["=m", "=n"], None)
    results = {Source("m"): result(frame=None, error=fault)}
    nothing = Store()
    charts = charts_of(frame_of(nothing), nothing.series, drawn, results)
    assert [chart.note for chart in charts] == ["two series have equal labels; aggregate", "not computed yet"]
    assert len(snapshot_png("", charts)) > 100


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_still_of_every_store(kind: str) -> None:
    for store in (Store(), filled("m", 1), filled("m", 7)):
        if store.series:
            silent = Batch(metric="word", time=[NOW_MS - 9e3], value=[None], text=["IDLE"])
            store.append(silent, int(NOW_MS) << 32)
        frame = frame_of(store)
        charts = charts_of(frame, store.series, checked_drawn(["**"], kind))
        assert snapshot_png(snapshot_line("**", frame, charts), charts).startswith(b"\x89PNG")


def test_kinds_are_known_by_the_words_of_a_deck_and_by_those_of_people() -> None:
    for word, kind in (("histogram", "hist"), ("Heat map", "heat"), ("state timeline", "states"), ("top 10", "top")):
        assert checked_drawn(["m"], word).kind == kind
    for wrong in ("", 5, "gaugegauge"):
        with pytest.raises(InvalidInput, match="expected one of"):
            checked_drawn(["m"], wrong)  # type: ignore[arg-type]
