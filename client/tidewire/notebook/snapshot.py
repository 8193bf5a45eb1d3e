"""Draws the snapshot of a live chart that a saved notebook keeps: a PNG and a one-line caption; pure.

It is drawn from the same frame as the chart in the browser, in the colours of the light theme, one panel per metric.
"""

from __future__ import annotations

import base64
import html
import io
import itertools
import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from tidewire.livestore.column_ring import Floats
from tidewire.livestore.gaps import gap_limit_ms, gaps_before
from tidewire.livestore.series import Series
from tidewire.livestore.store import EventMark
from tidewire.livestore.view_frame import FLAG_ENDED, FLAG_STEPS, ViewFrame, arrival_ms, exponents_of
from tidewire.livestore.window import BEYOND
from tidewire.model.ages import span_text, way_text
from tidewire.model.batch import ANNOTATIONS
from tidewire.model.numbers import decimals_for, reading_text
from tidewire.model.units import shown_unit
from tidewire.notebook.snapshot_canvas import HAIRLINE, LINE_COLOURS, MUTED, SHARP, TEXT, WIDTH, Canvas, dashes_of
from tidewire.notebook.snapshot_events import STRIP, draw_events, events_of

__all__ = ["SNAPSHOT_COLUMNS", "snapshot_bundle", "snapshot_line", "snapshot_png"]

_PANEL: Final = {1: 220, 2: 170}
_LOW_PANEL: Final = 130
_MAX_PANELS: Final = 6
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 12, 30, 22  # of a panel's plot
SNAPSHOT_COLUMNS: Final = WIDTH - _LEFT - _RIGHT
"""Buckets to ask for: one for each px of a plot."""
_FRACTIONS: Final = 65_535.0
_FLOAT32, _FLOAT64 = 2.0**-23, 2.0**-51  # relative errors of a rounded value
_FILLS: Final = ("#BECBE3", "#E5C8B7", "#B9DFDF", "#D7D4F6", "#E2DDC0", "#DEBACE")  # of bands: the first six at 30 %
_REST_FILL: Final = "#E1E4E8"
_AT_REST: Final = frozenset({"idle", "off", "standby", "none"})
_BAND_PITCH: Final = 43.0  # px from row to row
_WORD_PITCH: Final = 18.0  # from which words fit
_MOST_TICK_CHARS: Final = 9  # beside a plot
_MAX_NAMED: Final = 4  # series in a panel's legend
_OLD_MS: Final = 10_000.0  # an age from which on a caption says it


def snapshot_line(patterns: str, frame: ViewFrame, series: Sequence[Series]) -> str:
    """Return the caption of a snapshot: metrics, window, the time it was taken, and the newest reading."""
    at = f"{_utc(frame.now_ms):%Y-%m-%d %H:%M:%S} UTC"
    measured = np.array([series[int(index)].metric != ANNOTATIONS for index in frame.records["index"]], dtype=bool)
    known = measured & (frame.records["last_time_ms"] > 0)
    if not known.any():
        return f"{patterns} · no reading until {at}"
    newest = int(np.argmax(np.where(known, frame.records["last_time_ms"], -np.inf)))
    one = series[int(frame.records["index"][newest])]
    count = f"{measured.sum()} series"
    minutes = (frame.body.shape[1] - BEYOND) * frame.step_ms / 60e3
    unit = shown_unit(one.unit, float(np.abs(_ends(frame, newest)).max()))
    shown = f"{_last_value(frame, newest, unit.divisor)} {unit.text}".strip()
    if math.isnan(float(frame.records["last_value"][newest])):
        words = frame.states.get(one.index, ())
        shown = words[-1].text if words else "no number"
    window = f"{minutes:.0f} min" if minutes < 119.5 else f"{minutes / 60:.0f} h"
    parts = [patterns, count, f"{max(window, '1 min')} to {at}", f"{_named(one)} {shown}", _freshness(frame, newest)]
    return " · ".join(filter(None, parts))


def _freshness(frame: ViewFrame, row: int) -> str:
    """Return what is to be said of the age of the newest reading of a series: old, late, ahead or the last one."""
    record = frame.records[row]
    time_ms, age_ms = float(record["last_time_ms"]), frame.now_ms - float(record["last_time_ms"])
    if record["flags"] & FLAG_ENDED:
        return f"finished {span_text(age_ms)} ago"
    old = f"{span_text(age_ms)} ago" if age_ms > _OLD_MS else ""
    return ", ".join(filter(None, [old, way_text(time_ms, float(record["last_id_ms"]))]))


def snapshot_png(title: str, frame: ViewFrame, series: Sequence[Series], events: Sequence[EventMark] = ()) -> bytes:
    """Return the picture: one panel each for at most six metrics; the last line says how many more there are.

    Args:
        title: the last line, such as that of `snapshot_line`.
        frame: a full frame, not a difference to another.
        series: the series that the records of the frame refer to by index.
        events: those of the window are marks below the panels of their series.
    """
    from PIL import Image  # noqa: PLC0415 - heavy

    metrics: dict[str, list[int]] = {}
    for row, record in enumerate(frame.records):
        one = series[int(record["index"])]
        if one.metric != ANNOTATIONS:
            metrics.setdefault(one.metric, []).append(row)
    shown = sorted(metrics.items())[:_MAX_PANELS]
    height = _PANEL.get(len(shown), _LOW_PANEL)
    canvas = Canvas(height * len(shown) + 26)
    for number, (metric, rows) in enumerate(shown):
        _panel(canvas, number * height, height, metric, frame, rows, series, events)
    more = f" · {len(metrics) - len(shown)} more metrics" if len(metrics) > len(shown) else ""
    canvas.text(12, height * len(shown) + 6, title + more, MUTED, 11)
    image = canvas.image.resize((WIDTH * SHARP, canvas.height * SHARP), Image.Resampling.BOX)
    out = io.BytesIO()
    image.quantize(64).save(out, "PNG", optimize=True)
    return out.getvalue()


def snapshot_bundle(png: bytes, line: str, key: str) -> dict[str, Any]:
    """Return a snapshot as a display bundle of a notebook.

    The live chart is the next output of the cell; it finds the snapshot by its key and hides it. In a notebook without
    a kernel there is no live chart, and the notebook's message about that is hidden.

    Args:
        png: the picture.
        line: its caption.
        key: letters and digits.
    """
    text, data = html.escape(line), base64.b64encode(png).decode("ascii")
    shape = f'width="{WIDTH}" style="max-width:100%;border-radius:8px"'
    picture = f'<img alt="{text}" {shape} src="data:image/png;base64,{data}">'
    snapshot = f'.jp-OutputArea-child:has([data-tidewire-snapshot="{key}"])'
    style = f"<style>{snapshot}+.jp-OutputArea-child:not(:has(.tw-deck)){{display:none}}</style>"
    figure = f'{style}<figure data-tidewire-snapshot="{key}" style="margin:0">{picture}</figure>'
    return {"text/html": figure, "image/png": data, "text/plain": line}


def _panel(
    canvas: Canvas,
    top: int,
    height: int,
    metric: str,
    frame: ViewFrame,
    rows: list[int],
    series: Sequence[Series],
    events: Sequence[EventMark],
) -> None:
    """Draw one metric: its name, its legend, a grid of three values and of times, its lines, and its events below."""
    drawn = [series[int(index)] for index in frame.records["index"][rows]]
    start_ms, count = (frame.first + BEYOND) * frame.step_ms, frame.body.shape[1] - BEYOND
    end_ms = start_ms + count * frame.step_ms
    marks = events_of(events, drawn, start_ms, end_ms)
    bodies = [_first_min_max_last(frame, row) for row in rows]
    values = np.concatenate([body.ravel() for body in bodies])
    values = values[np.isfinite(values)]
    if not values.size and any(frame.states.get(int(frame.records["index"][row])) for row in rows):
        canvas.text(12, top + 8, metric, TEXT, 13)
        _times(canvas, frame, top + height - _BOTTOM)
        notes = [event for event in marks if event.metric == ANNOTATIONS]  # the words of the states are in their bands
        foot = height - _BOTTOM - (STRIP if notes else 0)
        _bands(canvas, top + _TOP, foot - _TOP, frame, rows, series)
        draw_events(canvas, notes, (_LEFT, WIDTH - _RIGHT), top + foot + STRIP / 2 + 2, start_ms, end_ms)
        return
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    unit = shown_unit(series[int(frame.records["index"][rows[0]])].unit, max(abs(low), abs(high)))
    ticks = (low, (low + high) / 2, high)
    texts = _tick_texts([value / unit.divisor for value in ticks])
    margin = (high - low) * 0.08 or abs(high) * 0.01 or 1.0
    low, high = low - margin, high + margin
    y0, y1, x0, x1 = top + _TOP, top + height - _BOTTOM - (STRIP if marks else 0), _LEFT, WIDTH - _RIGHT
    x = canvas.text(12, top + 8, metric, TEXT, 13) + 6
    x = canvas.text(x, top + 10, unit.text, MUTED, 11) + 14
    grid = list(zip(ticks, texts, strict=True))
    if ticks[1] % 1 and (frame.records["flags"][rows] & FLAG_STEPS).all():
        del grid[1]  # no value lies there
    for value, words in grid:
        y = y1 - (value - low) / (high - low) * (y1 - y0)
        canvas.line([(x0, y), (x1, y)], HAIRLINE, 1)
        canvas.text(x0 - 6, y - 6, words, MUTED, 11, right=True)
    _times(canvas, frame, top + height - _BOTTOM)
    draw_events(canvas, marks, (x0, x1), y1 + STRIP / 2 + 2, start_ms, end_ms)
    dashes = dashes_of([one.colour for one in drawn])
    for place, (row, body, last, dash) in enumerate(zip(rows, bodies, drawn, dashes, strict=True)):
        colour = LINE_COLOURS[last.colour % len(LINE_COLOURS)]
        if place < _MAX_NAMED:
            canvas.line([(x, top + 16), (x + 10, top + 16)], colour, 2, [px / 2 for px in dash])
            label = ",".join(last.labels.values())
            shown = _last_value(frame, row, unit.divisor)
            x = canvas.text(x + 14, top + 9, f"{label} {shown}".strip(), TEXT, 12) + 14
        for corners in _corners(body, frame, row):
            points = [
                (x0 + (column + 0.5) / count * (x1 - x0), y1 - (value - low) / (high - low) * (y1 - y0))
                for column, value in corners
            ]
            if len(points) > 1:
                canvas.line(points, colour, 1.5, dash)
            else:
                canvas.dot(*points[0], colour, 1.5)


def _times(canvas: Canvas, frame: ViewFrame, foot: float) -> None:
    """Write four times below a plot."""
    start_ms, count = (frame.first + BEYOND) * frame.step_ms, frame.body.shape[1] - BEYOND
    pattern = "%H:%M:%S" if count * frame.step_ms < 3_600e3 else "%H:%M"
    for share in (0.0, 0.25, 0.5, 0.75):
        at = _utc(start_ms + share * count * frame.step_ms)
        canvas.text(_LEFT + share * (WIDTH - _RIGHT - _LEFT), foot + 5, f"{at:{pattern}}", MUTED, 11)


def _bands(
    canvas: Canvas, top: float, height: float, frame: ViewFrame, rows: list[int], series: Sequence[Series]
) -> None:
    """Draw a row of bands for each series of words, the present one up to now if the series is alive."""
    start_ms, span_ms = (frame.first + BEYOND) * frame.step_ms, (frame.body.shape[1] - BEYOND) * frame.step_ms
    indices = [int(frame.records["index"][row]) for row in rows]
    fills = _fills_of({run.text for index in indices for run in frame.states.get(index, ())})
    pitch = min(_BAND_PITCH, height / len(rows))
    for at, (row, index) in enumerate(zip(rows, indices, strict=True)):
        record, y = frame.records[row], top + at * pitch
        if len(rows) > 1:
            canvas.text(_LEFT - 6, y + pitch / 2 - 8, ",".join(series[index].labels.values()), MUTED, 11, right=True)
        alive = not frame.now_ms - float(record["last_id_ms"]) > gap_limit_ms(
            arrival_ms(float(record["expected_ms"]), int(record["flags"]))
        )
        for run in frame.states.get(index, ()):
            present = alive and run.to_ms >= float(record["last_time_ms"])
            edges = (run.from_ms, frame.now_ms if present else run.to_ms)
            left, right = (
                _LEFT + min(1.0, max(0.0, (edge - start_ms) / span_ms)) * (WIDTH - _RIGHT - _LEFT) for edge in edges
            )
            if edges[1] < start_ms:
                continue
            canvas.box(left, y + 2, max(right - 1, left + 0.5), y + pitch - 4, fills[run.text])
            if pitch > _WORD_PITCH and canvas.wide(run.text, 11) + 14 < right - left:
                canvas.text(left + 7, y + pitch / 2 - 8, run.text, TEXT, 11)


def _fills_of(words: set[str]) -> dict[str, str]:
    """Return the fill of each word; the deck has the same rule in `model/states.ts`."""
    found: dict[str, str] = {}
    taken: set[int] = set()
    for word in sorted(words):
        if word.lower() in _AT_REST:
            found[word] = _REST_FILL
            continue
        at = _fnv1a(word) % len(_FILLS)
        while at in taken and len(taken) < len(_FILLS):
            at = (at + 1) % len(_FILLS)
        taken.add(at)
        found[word] = _FILLS[at]
    return found


def _fnv1a(text: str) -> int:
    found = 0x811C9DC5
    for byte in text.encode():
        found = (found ^ byte) * 0x01000193 & 0xFFFFFFFF
    return found


def _first_min_max_last(frame: ViewFrame, row: int) -> Floats:
    """Return the columns of one series, float64[columns, 4]; NaN where there is no number."""
    cells = frame.body[row, BEYOND:]
    exponent, base = int(exponents_of(frame.records["flags"])[row]), frame.records["base"][row]
    low, high = (np.ldexp(cells[name].astype(np.float64), exponent) + base for name in ("min", "max"))
    first, last = (low + (high - low) * (cells[name] / _FRACTIONS) for name in ("first", "last"))
    return np.stack((first, low, high, last), axis=1)


def _corners(body: Floats, frame: ViewFrame, row: int) -> list[list[tuple[int, float]]]:
    """Return the corners of a line, (column, value), in runs between gaps; of steps, a value goes on to the next."""
    record = frame.records[row]
    expected_ms, steps = float(record["expected_ms"]), bool(record["flags"] & FLAG_STEPS)
    lines: list[list[tuple[int, float]]] = []
    for run in _runs(body[:, 0], expected_ms, frame.step_ms):
        corners: list[tuple[int, float]] = []
        for column in run:
            if steps and corners:
                corners.append((column, corners[-1][1]))
            corners += [(column, value) for value, _ in itertools.groupby(body[column].tolist())]
        lines.append(corners)
    silent_ms = frame.now_ms - float(record["last_id_ms"])
    if steps and lines and not silent_ms > gap_limit_ms(arrival_ms(expected_ms, int(record["flags"]))):
        lines[-1].append((len(body) - 1, lines[-1][-1][1]))
    return lines


def _runs(line: Floats, expected_ms: float, step_ms: int) -> list[list[int]]:
    """Return the buckets of a line in runs, split at the gaps that the live chart shows."""
    held = np.flatnonzero(np.isfinite(line))
    if not held.size:
        return []
    return [run.tolist() for run in np.split(held, np.flatnonzero(gaps_before(held, step_ms, expected_ms)))]


def _utc(ms: float) -> datetime:
    return datetime.fromtimestamp(ms / 1e3, UTC)


def _named(one: Series) -> str:
    labels = ",".join(f"{name}={value}" for name, value in one.labels.items())
    return f"{one.metric}{{{labels}}}" if labels else one.metric


def _tick_texts(values: Sequence[float]) -> list[str]:
    """Return the texts of an axis, lowest first; relative to that one where they would not fit beside the plot."""
    low, high = values[0], values[-1]
    texts = [reading_text(value, decimals_for(low, high)) for value in values]
    while all(re.search(r"\.\d*0$", text) for text in texts):
        texts = [re.sub(r"\.?0$", "", text) for text in texts]
    if max(map(len, texts)) <= _MOST_TICK_CHARS:
        return texts
    above = [f"+{reading_text(value - low, decimals_for(0.0, high - low))}" for value in values[1:]]
    return [f"\N{ALMOST EQUAL TO}{reading_text(low, decimals_for(low, low))}", *above]


def _ends(frame: ViewFrame, row: int) -> Floats:
    """Return smallest and largest value of each bucket of a series, float64[n]; its newest one if there is none."""
    ends = _first_min_max_last(frame, row)[:, 1:3].ravel()
    ends = ends[np.isfinite(ends)]
    return ends if ends.size else frame.records["last_value"][row : row + 1]


def _last_value(frame: ViewFrame, row: int, divisor: float) -> str:
    """Return the newest value of a series as the live chart prints it, in a scale of its unit."""
    ends, base = _ends(frame, row), float(frame.records["base"][row])
    unsure = _FLOAT32 * np.abs(ends - base) + _FLOAT64 * abs(base)
    whole = divisor == 1 and bool(np.all(np.abs(ends - np.rint(ends)) <= unsure))
    decimals = decimals_for(float(ends.min()) / divisor, float(ends.max()) / divisor, whole=whole)
    return reading_text(float(frame.records["last_value"][row]) / divisor, decimals)
