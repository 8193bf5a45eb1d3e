"""Draws the plots of a still: lines, steps, states, and the bands and cells that stand in the place of many series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from tidewire.livestore.store import EventMark
from tidewire.livestore.window import BEYOND
from tidewire.model.units import ShownUnit, shown_unit
from tidewire.notebook.snapshot_canvas import (
    HAIRLINE,
    LINE_COLOURS,
    MUTED,
    TEXT,
    WIDTH,
    Canvas,
    blend,
    dashes_of,
    heat_colour,
)
from tidewire.notebook.snapshot_events import STRIP, draw_events, events_of
from tidewire.notebook.still_axes import (
    SWITCH_RANGE,
    Ticks,
    is_offset,
    offset_ticks,
    starts_at_zero,
    value_ticks,
    y_range,
)
from tidewire.notebook.still_charts import StillChart
from tidewire.notebook.still_frame import BOTTOM, LEFT, RIGHT, TOP, draw_head, draw_times, span_of
from tidewire.notebook.still_lines import StillLine
from tidewire.notebook.still_states import draw_states

__all__ = ["draw_plot"]

_MAX_NAMED: Final = 4  # series in a panel's legend
_COUNTS: Final = ("count", "cell")  # roles of rows that have no value of a series
_OUTER, _INNER = 0.16, 0.26  # of the colour of a band of quantiles
_NAMED_ROLES: Final = {"lowest": "lowest", "changed": "most changed", "highest": "highest"}


class _Box(NamedTuple):
    left: float
    top: float
    right: float
    bottom: float


def draw_plot(canvas: Canvas, top: int, height: int, chart: StillChart, events: Sequence[EventMark]) -> None:
    """Draw one chart: its name, its legend, ticks of values and of times, its lines, and its events below."""
    frame = chart.frame
    if frame is None:
        draw_head(canvas, top, chart.title)
        canvas.text(LEFT, top + height / 2, chart.note, MUTED, 12)
        return
    start_ms, end_ms = span_of(frame)
    marks = [] if chart.summary else events_of(events, chart.series, start_ms, end_ms)
    lines = [chart.line(place) for place in range(len(chart.series))]
    read = [place for place, line in enumerate(lines) if line.column.size]
    whole = bool(read) and all(lines[place].steps and chart.whole(place) for place in read)
    if chart.kind == "stacked":
        lines = _stacked(lines)
    drawn = [line for line, one in zip(lines, chart.series, strict=True) if one.role not in _COUNTS]
    numbers = np.concatenate([line.values.ravel() for line in drawn]) if drawn else np.zeros(0)
    if not numbers.size and any(frame.states.get(one.index) for one in chart.series):
        draw_states(canvas, top, height, chart, marks)
        return
    if not numbers.size:  # a chart that is silent for longer than its window keeps the axis of its last values
        numbers = np.array([chart.newest(at) for at, one in enumerate(chart.series) if one.role not in _COUNTS])
        numbers = numbers[np.isfinite(numbers)]
    cells = [one for one in chart.series if one.role == "cell"]
    edges = [float(one.labels[name]) for one in cells for name in ("from", "to")]
    ends = (min(edges), max(edges)) if edges else (numbers.min(), numbers.max()) if numbers.size else (0.0, 1.0)
    low, high = float(ends[0]), float(ends[1])
    code = next((one.unit for one in chart.series if one.role != "count"), "")
    unit = shown_unit(code, max(abs(low), abs(high)))
    box = _Box(LEFT, top + TOP, WIDTH - RIGHT, top + height - BOTTOM - (STRIP if marks else 0))
    whole = whole and unit.divisor == 1
    offset = is_offset(low, high)
    low, high = _range(low, high, code, cells=bool(cells), switch=whole and low >= 0 and high <= 1, kind=chart.kind)
    x = draw_head(canvas, top, chart.title, unit.text)
    ticks = _ticks(canvas, low, high, unit, whole=whole, offset=offset and low * high > 0)
    _grid(canvas, box, ticks, low, high)
    draw_times(canvas, frame, top + height - BOTTOM)
    draw_events(canvas, marks, (box.left, box.right), box.bottom + STRIP / 2 + 2, start_ms, end_ms)
    if chart.summary == "heat":
        _heat(canvas, box, chart, low, high)
    elif chart.summary == "band":
        _band(canvas, box, chart, unit, low, high, x)
    else:
        _lines(canvas, box, chart, lines, unit, (low, high), x)


def _range(low: float, high: float, code: str, *, cells: bool, switch: bool, kind: str) -> tuple[float, float]:
    if cells:
        return low, high
    amounts = kind in ("bars", "stacked")
    if switch and not amounts:
        return SWITCH_RANGE
    if amounts:
        low, high = min(0.0, low), max(0.0, high)
    return y_range(low, high, from_zero=amounts or starts_at_zero(code))


def _ticks(canvas: Canvas, low: float, high: float, unit: ShownUnit, *, whole: bool, offset: bool) -> Ticks:
    if offset:
        return offset_ticks(low, high, unit.divisor, unit.text)
    return value_ticks(low, high, unit.divisor, unit.text, lambda text: canvas.wide(text, 11) <= LEFT - 8, whole=whole)


def _grid(canvas: Canvas, box: _Box, ticks: Ticks, low: float, high: float) -> None:
    for value, words in ticks.ticks:
        y = box.bottom - (value - low) / (high - low) * (box.bottom - box.top)
        canvas.line([(box.left, y), (box.right, y)], HAIRLINE, 1)
        canvas.text(box.left - 6, y - 6, words, MUTED, 11, right=True)
    if ticks.base:
        canvas.text(box.left + 4, box.top - 6, f"{ticks.base}, ticks in {ticks.unit}", MUTED, 11)


def _lines(
    canvas: Canvas,
    box: _Box,
    chart: StillChart,
    lines: Sequence[StillLine],
    unit: ShownUnit,
    ends: tuple[float, float],
    x: float,
) -> None:
    frame, (low, high) = chart.frame, ends
    if frame is None:
        return
    dashes = dashes_of([one.colour for one in chart.series])
    width = (box.right - box.left) / (frame.body.shape[1] - BEYOND)

    def point(column: float, value: float) -> tuple[float, float]:
        y = box.bottom - (value - low) / (high - low) * (box.bottom - box.top)
        return box.left + (column + 0.5) * width, y

    for place, (line, one, dash) in enumerate(zip(lines, chart.series, dashes, strict=True)):
        colour = LINE_COLOURS[one.colour % len(LINE_COLOURS)]
        if place < _MAX_NAMED:
            canvas.line([(x, box.top - 14), (x + 10, box.top - 14)], colour, 2, [px / 2 for px in dash])
            name = one.legend if len(chart.series) > 1 or one.labels else ""
            shown = chart.text(place, unit.divisor)
            x = canvas.text(x + 14, box.top - 21, f"{name} {shown}".strip(), TEXT, 12) + 14
        held = np.flatnonzero(line.column >= 0).tolist()
        if chart.kind == "bars":
            foot = point(0, min(max(0.0, low), high))[1]
            extremes = line.extremes()
            for column in held:
                at, y = point(line.column[column], extremes[column])
                canvas.box(at - max(0.5, width * 0.35), min(y, foot), at + max(0.5, width * 0.35), max(y, foot), colour)
            continue
        if chart.kind == "points":
            for column in held:
                for value in dict.fromkeys(line.values[column].tolist()):
                    canvas.dot(*point(line.column[column], value), colour, 1.75)
            continue
        for corners in line.corners():
            points = [point(column, value) for column, value in corners]
            if len(points) > 1:
                canvas.line(points, colour, 1.5, dash)
            else:
                canvas.dot(*points[0], colour, 1.5)


def _stacked(lines: Sequence[StillLine]) -> list[StillLine]:
    """Return lines of which each begins where those before it end: of a column with several readings by their mean."""
    found = []
    for number, line in enumerate(lines):
        top = line.mean + sum(below.heights(line.column) for below in lines[:number])
        found.append(line._replace(values=np.repeat(top[:, None], 4, axis=1), mean=top))
    return found


def _band(canvas: Canvas, box: _Box, chart: StillChart, unit: ShownUnit, low: float, high: float, x: float) -> None:
    """Draw five quantiles as two bands and their middle, and the series that stand out, by name."""
    by_role = {one.role: place for place, one in enumerate(chart.series)}
    line = {role: chart.values(place)[:, 3] for role, place in by_role.items()}

    def at(column: int, value: float, count: int) -> tuple[float, float]:
        y = box.bottom - (value - low) / (high - low) * (box.bottom - box.top)
        return box.left + (column + 0.5) / count * (box.right - box.left), y

    for lower, upper, alpha in (("p5", "p95", _OUTER), ("p25", "p75", _OUTER + _INNER)):
        if lower not in line or upper not in line:
            continue
        count = len(line[lower])
        held = np.flatnonzero(np.isfinite(line[lower]) & np.isfinite(line[upper]))
        for run in _split(held):
            around = [at(column, line[upper][column], count) for column in run]
            around += [at(column, line[lower][column], count) for column in reversed(run)]
            if len(run) > 1:
                canvas.shape(around, blend(LINE_COLOURS[0], alpha))
    for role in ("lowest", "changed", "highest", "p50"):
        if role not in line:
            continue
        one = chart.series[by_role[role]]
        colour = LINE_COLOURS[0 if role == "p50" else one.colour % len(LINE_COLOURS)]
        for run in _split(np.flatnonzero(np.isfinite(line[role]))):
            points = [at(column, line[role][column], len(line[role])) for column in run]
            if len(points) > 1:
                canvas.line(points, colour, 2 if role == "p50" else 1.25)
        words = role if role == "p50" else f"{_NAMED_ROLES[role]} · {one.legend or one.metric}"
        canvas.line([(x, box.top - 14), (x + 10, box.top - 14)], colour, 2)
        said = f"{words} {chart.text(by_role[role], unit.divisor)}"
        if x + 14 + canvas.wide(said, 12) < WIDTH - 12:
            x = canvas.text(x + 14, box.top - 21, said, TEXT, 12) + 14


def _heat(canvas: Canvas, box: _Box, chart: StillChart, low: float, high: float) -> None:
    """Draw how many series have a value in each range, column by column, and a ramp that says what a colour means."""
    cells = [(place, one) for place, one in enumerate(chart.series) if one.role == "cell"]
    counts = [chart.values(place)[:, 3] for place, _ in cells]
    fullest = max((float(np.nanmax(each)) for each in counts if np.isfinite(each).any()), default=0.0)
    for (_, one), own in zip(cells, counts, strict=True):
        bottom, top = (
            box.bottom - (float(one.labels[name]) - low) / (high - low) * (box.bottom - box.top)
            for name in ("from", "to")
        )
        wide = (box.right - box.left) / len(own)
        for column in np.flatnonzero(own > 0).tolist():
            left = box.left + column * wide
            canvas.box(left, top, left + wide, bottom, heat_colour(float(own[column]) / fullest))
    x = WIDTH - RIGHT - 260
    canvas.text(x - 12, box.top - 21, "0", MUTED, 11)
    for shade in range(60):
        canvas.box(x + 2 * shade, box.top - 18, x + 2 * shade + 2, box.top - 10, heat_colour(shade / 59))
    canvas.text(x + 126, box.top - 21, f"{fullest:.0f} series per cell", MUTED, 11)


def _split(held: npt.NDArray[np.intp]) -> list[list[int]]:
    """Return columns in runs of neighbours."""
    if not held.size:
        return []
    return [run.tolist() for run in np.split(held, np.flatnonzero(np.diff(held) > 1) + 1)]
