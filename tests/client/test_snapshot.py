"""Stills of live charts: the picture and the line that a saved notebook keeps."""

from __future__ import annotations

import io
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tidewire.livestore.live_view import LiveView
from tidewire.livestore.series import Series
from tidewire.livestore.store import EventMark, Store
from tidewire.livestore.view_frame import ViewFrame, unpack_frame
from tidewire.model.batch import FINISHED, Batch
from tidewire.notebook.snapshot import snapshot_bundle, snapshot_line, snapshot_png
from tidewire.notebook.snapshot_canvas import FLAG, LEVEL_COLOURS, LINE_COLOURS, Canvas
from tidewire.notebook.snapshot_events import draw_events
from tidewire.notebook.still_charts import charts_of

NOW_MS = 1_790_000_000_000.0


def frame_of(store: Store, window_ms: float = 300_000.0) -> ViewFrame:
    view = LiveView(store, None, window_ms, 800)
    view.tick(1, NOW_MS)
    return unpack_frame(view.frame(0, None))


def line_of(words: str, frame: ViewFrame, store: Store) -> str:
    return snapshot_line(words, frame, charts_of(frame, store.series))


def still_of(title: str, frame: ViewFrame, store: Store, events: Sequence[EventMark] = ()) -> bytes:
    return snapshot_png(title, charts_of(frame, store.series), events)


def filled(store: Store, metric: str, times: np.ndarray, **more: object) -> None:
    values = (np.sin(times / 9e3) * 20 + 800).tolist()
    store.append(Batch(metric=metric, time=times.tolist(), value=values, **more), int(times[-1]) << 32)


def colours(png: bytes) -> tuple[Image.Image, set[tuple[int, ...]]]:
    image = Image.open(io.BytesIO(png)).convert("RGB")
    found = image.getcolors(1 << 24)
    assert found is not None
    return image, {colour for _, colour in found}


def is_ink(pixels: np.ndarray, series: Series) -> np.ndarray:
    """Return which pixels, [..., 3], have the colour of a series; smooth edges have less of it."""
    colour = np.array([int(LINE_COLOURS[series.colour][at : at + 2], 16) for at in (1, 3, 5)])
    return np.asarray(np.abs(pixels.astype(int) - colour).max(axis=-1) < 24)


def test_the_line_says_what_the_window_ends_with() -> None:
    store = Store()
    filled(store, "furnace/temperature", np.arange(NOW_MS - 200e3, NOW_MS, 1e3), unit="Cel", labels={"line": "A"})
    line = line_of("furnace/**", frame_of(store), store)
    assert line.startswith("furnace/** · 1 series · 5 min to 2026-09-21 ")
    assert "furnace/temperature{line=A} 780.2 °C" in line


@pytest.mark.parametrize(
    ("values", "unit", "said"),
    [
        ([1_000_000.01, 999_999.99], "Hz", "999,999.990 Hz"),
        ([0.0, 1.0], "", "1"),
        ([1.0, 1e-9], "", "1.00e\N{MINUS SIGN}9"),
        ([1_200_000.0, 3_400_000.0], "By", "3.400 MB"),
    ],
)
def test_the_newest_reading_is_printed_as_on_the_chart(values: list[float], unit: str, said: str) -> None:
    store = Store()
    times = [NOW_MS - 2_000, NOW_MS - 1_000]
    store.append(Batch(metric="m", time=times, value=values, unit=unit), int(times[-1]) << 32)
    assert line_of("m", frame_of(store), store).endswith(f"m {said}")


def test_nothing_is_said_to_be_nothing() -> None:
    store = Store()
    frame = frame_of(store)
    assert "no reading until" in line_of("furnace/**", frame, store)
    image, _ = colours(still_of("nothing", frame, store))
    assert image.height < 100


@pytest.mark.parametrize("metrics", [1, 2, 9])
def test_a_picture_has_a_panel_for_each_metric_and_six_at_most(metrics: int) -> None:
    store = Store()
    for number in range(metrics):
        filled(store, f"m/{number}", np.arange(NOW_MS - 200e3, NOW_MS, 1e3))
    png = still_of("line", frame_of(store), store)
    image, seen = colours(png)
    assert image.width == 1_760
    assert image.height == 2 * ({1: 220, 2: 170}.get(metrics, 130) * min(metrics, 6) + 26)
    for one in store.series[:6]:
        assert any(is_ink(np.array(colour), one) for colour in seen), "a line in the colour of its series"
    assert len(png) < 100_000


def test_a_silence_is_no_line() -> None:
    for silent in (False, True):
        store = Store()
        times = np.arange(NOW_MS - 290e3, NOW_MS, 1e3)
        if silent:
            times = times[(times < NOW_MS - 200e3) | (times > NOW_MS - 60e3)]
        filled(store, "m", times)
        image, _ = colours(still_of("line", frame_of(store), store))
        assert bool(is_ink(np.asarray(image.crop((700, 70, 1_300, 380))), store.series[0]).any()) is not silent


def test_a_pace_that_was_slower_has_no_gaps_as_on_the_live_chart() -> None:
    store = Store()
    times = np.concatenate((np.arange(NOW_MS - 290e3, NOW_MS - 60e3, 10e3), np.arange(NOW_MS - 60e3, NOW_MS, 1e3)))
    filled(store, "m", times)
    image, _ = colours(still_of("line", frame_of(store), store))
    line = is_ink(np.asarray(image.crop((700, 70, 1_300, 380))), store.series[0])
    assert line.any(axis=0).mean() > 0.95, "a line in nearly every column, and not a dot each ten seconds"


@pytest.mark.long
def test_events_of_the_window_are_marks_below_the_panels_of_their_series() -> None:
    store = Store()
    for metric in ("a", "b"):
        filled(store, metric, np.arange(NOW_MS - 290e3, NOW_MS, 1e3), labels={"line": metric})
    frame = frame_of(store)

    def still(*events: EventMark) -> np.ndarray:
        image = Image.open(io.BytesIO(still_of("", frame, store, events))).convert("RGB")
        return np.asarray(image).astype(int)

    without = still()

    def rows_with_ink(*events: EventMark) -> list[int]:
        """Return the px rows of the first panel that differ from those of a still without events."""
        changed = np.abs(still(*events) - without).max(axis=(1, 2))[: 2 * 170] > 40
        return np.flatnonzero(changed).tolist()

    def event(seconds_ago: float, metric: str = "annotations", **labels: str) -> EventMark:
        return EventMark(time_ms=NOW_MS - seconds_ago * 1e3, text="deploy", metric=metric, labels=labels)

    assert rows_with_ink() == rows_with_ink(event(400)) == rows_with_ink(event(9, line="b"), event(9, "b")) == []
    for own in (
        [event(100)],
        [event(100, line="a")],
        [event(100, "a", line="a")],
        [event(n / 100) for n in range(20_000)],
    ):
        assert max(rows_with_ink(*own)) > 2 * (170 - 22 - 16), "the strip is below the plot"


def test_marks_of_events_are_counted_where_they_would_touch() -> None:
    drawn: list[tuple[str, float]] = []

    class Words(Canvas):
        def text(self, x: float, y: float, words: str, colour: str, size: int, *, right: bool = False) -> float:
            drawn.append((words, round(x)))
            return super().text(x, y, words, colour, size, right=right)

    def told(*seconds: float, text: str = "") -> list[str]:
        drawn.clear()
        marks = [EventMark(time_ms=s * 1e3, text=text or f"at {s:g}", metric="annotations", labels={}) for s in seconds]
        draw_events(Words(100), marks, (58, 868), 50, 0.0, 810e3)
        return [words for words, _ in drawn]

    assert told() == []
    assert told(100) == ["at 100"]
    assert told(100, 102, 400) == ["2", "at 400"]
    assert told(0, 20) == ["at 20"], "no room between the two"
    assert told(34, 38) == ["2"], "though they are of two slots"
    assert told(34, 50) == ["at 50"], "two ticks"
    assert told(35, 37, 71, 73) == ["2", "2"]
    cut, whole = told(0, 100, text="critical for 3 s: 970 °C, above 950")
    assert whole == "critical for 3 s: 970 °C, above 950"
    assert whole.startswith(cut[:-1])
    assert 5 < len(cut) < len(whole)
    assert told(400, text="recipe 14 → 15") == ["recipe 14 to 15"]
    assert told(805) == ["at 805"], "left of the mark"
    counts = told(*np.linspace(0, 809, 20_000))
    assert len(counts) == 23
    assert sum(map(int, counts)) == 20_000


def test_marks_that_were_joined_have_the_worst_level_and_touch_no_other() -> None:
    pills: list[tuple[float, float, str]] = []

    class Pills(Canvas):
        def pill(self, x: float, y: float, width: float, height: float, colour: str) -> None:
            pills.append((x - width / 2, x + width / 2, colour))
            super().pill(x, y, width, height, colour)

    def mark(second: float, **more: Any) -> EventMark:
        return EventMark(time_ms=second * 1e3, text="", metric="annotations", labels={}, **more)

    for before in ([34], [20, 30, 35]):
        pills.clear()
        draw_events(Pills(100), [*map(mark, before), mark(38, level="warn")], (58, 868), 50, 0.0, 810e3)
        assert [colour for _, _, colour in pills] == [LEVEL_COLOURS["warn"], FLAG]
    rng = np.random.default_rng(7)
    for count in (20, 60, 200, 2_000):
        pills.clear()
        draw_events(Pills(100), [mark(s) for s in np.sort(rng.uniform(0, 810, count))], (58, 868), 50, 0.0, 810e3)
        assert pills
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(pills)), "no count lies on another"
        assert pills[0][0] >= 58, "nor on the ticks of the axis"
        assert pills[-1][1] <= 880, "and all are in the picture"


def test_a_unit_is_written_as_on_the_live_chart() -> None:
    store = Store()
    store.append(Batch(metric="disk/used", time=[NOW_MS - 1e3], value=[2.5e9], unit="By"), int(NOW_MS - 1e3) << 32)
    assert line_of("disk/**", frame_of(store), store).endswith("disk/used 2.5 GB")


@pytest.mark.parametrize(
    ("age_ms", "came_after_ms", "text", "words"),
    [
        (500, 20, None, ""),
        (20 * 60e3, 20, None, " · 20 min ago"),
        (45_500, 45_000, None, " · 45 s ago, 45 s late"),
        (-3_000, -3_200, None, " · 3 s ahead"),
        (185e3, 60e3, FINISHED, " · finished 3 min ago"),
    ],
)
def test_the_line_says_how_old_its_newest_reading_is(
    age_ms: float, came_after_ms: float, text: str | None, words: str
) -> None:
    store = Store()
    time_ms = NOW_MS - age_ms
    texts = None if text is None else [text]
    store.append(Batch(metric="m", time=[time_ms], value=[2.5], text=texts), int(time_ms + came_after_ms) << 32)
    assert line_of("m", frame_of(store), store).endswith(f" UTC · m 2.5{words}")


def test_what_a_still_writes_has_glyphs() -> None:
    """The font draws the same box for all that it lacks; a minus was one."""
    canvas = Canvas(40)

    def drawn(words: str) -> int:
        canvas.image.paste("white", (0, 0, *canvas.image.size))
        canvas.text(0, 0, words, "#000000", 20)
        return hash(canvas.image.tobytes())

    box = drawn("\ue000")
    for sign in "\N{MINUS SIGN}\N{EN DASH}\N{EM DASH}≈±°µμΩ∞²³·…→":
        assert drawn(sign) != box, sign
    assert drawn("\N{MINUS SIGN}5") == drawn("-5")
    assert canvas.wide("\N{MINUS SIGN}5", 20) == canvas.wide("-5", 20)


def test_markup_in_a_name_is_text() -> None:
    bundle = snapshot_bundle(b"png", '<img src=x onerror="x">', "a1")
    assert "<img src=x" not in bundle["text/html"]
    assert 'data-tidewire-snapshot="a1"' in bundle["text/html"]


def test_whole_numbers_are_steps_up_to_now() -> None:
    """Dark pixels of a door that opened once lie in rows at 0 and 1 and in two columns, nowhere on a slope."""
    store = Store()
    times = NOW_MS - np.array([280e3, 200e3, 120e3, 40e3])
    store.append(Batch(metric="door", time=times.tolist(), value=[0.0, 1.0, 0.0, 0.0]), int(NOW_MS) << 32)
    image, _ = colours(still_of("line", frame_of(store), store))
    pixels = np.asarray(image.crop((2 * 58, 2 * 30, 2 * 868, 2 * 198))).astype(int)
    ink = is_ink(pixels, store.series[0])
    rows, columns = ink.sum(axis=1), ink.sum(axis=0)
    assert np.flatnonzero(rows > 20).size <= 8, "two heights of three pixels, drawn smoothly"
    assert np.flatnonzero(columns > 20).size <= 8, "up and down again"
    assert columns[-6] > 0, "held up to the present"
    assert columns[2] == 0, "not before its first reading"


def test_words_are_bands_with_their_words() -> None:
    store = Store()
    ends_s = (100, 150)
    for line, at_s in zip("AB", ends_s, strict=True):
        times = np.arange(NOW_MS - 250e3, NOW_MS, 5e3)
        texts = ["IDLE" if time < NOW_MS - at_s * 1e3 else "HEATING" for time in times]
        batch = Batch(
            metric="mode", labels={"line": line}, time=times.tolist(), value=[None] * times.size, text=list(texts)
        )
        store.append(batch, int(times[-1]) << 32)
    frame = frame_of(store)
    assert line_of("mode", frame, store).endswith("} HEATING")
    image, _ = colours(still_of("line", frame, store))
    for number, at_s in enumerate(ends_s):
        row = np.asarray(image)[2 * (30 + 43 * number + 6)].astype(int)
        idle = np.flatnonzero(np.abs(row - (0xE1, 0xE4, 0xE8)).sum(axis=1) < 12)
        heating = np.flatnonzero(np.abs(row - (0xE5, 0xC8, 0xB7)).sum(axis=1) < 12)
        edge = 2 * (58 + 810 * (300 - at_s) / 300)
        assert abs(idle.max() - edge) < 8
        assert abs(heating.min() - edge) < 8
        assert heating.max() > 2 * 860, "up to now"
