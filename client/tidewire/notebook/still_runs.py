"""Draws the runs of a still: a panel per metric, a line per run, over their steps or the time since each began.

The deck has the same rules in `client/chart/src/model/runs.ts` and `chart/run-chart.ts`.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from tidewire.livestore.messages import RunEntry, RunPoints, RunsAnswer
from tidewire.livestore.series import Series
from tidewire.model.ages import long_span_text
from tidewire.model.numbers import decimals_for, grouped, reading_text
from tidewire.model.units import shown_unit, unit_key
from tidewire.notebook.drawn import Axis
from tidewire.notebook.run_frames import MOST_RUNS, is_setting
from tidewire.notebook.snapshot_canvas import HAIRLINE, LINE_COLOURS, MUTED, TEXT, WIDTH, Canvas, dashes_of
from tidewire.notebook.still_axes import starts_at_zero, step_decimals, ticks_in, time_step, value_ticks, y_range
from tidewire.notebook.still_charts import legend_label
from tidewire.notebook.still_frame import BOTTOM, LEFT, RIGHT, TOP, draw_head

__all__ = ["StillRuns", "draw_runs", "run_ticks", "runs_line", "runs_of"]

_MOST_NAMED: Final = 6
_PITCH: Final = 72  # px from tick to tick
_AFTER: Final = 0.015  # room behind the longest line, as a share of the axis
_NOTES: Final = {"step": "no run has a step of this", "rel": "no run has a number of this"}


class _Line(NamedTuple):
    name: str
    style: int
    dash: Sequence[float]
    unit: str
    x: Sequence[float]
    points: RunPoints


@dataclass(frozen=True)
class StillRuns:
    """The panel of one metric.

    Attributes:
        metric: its name.
        axis: of x.
        span: what all panels show of x.
        lines: of its runs, in one unit.
    """

    metric: str
    axis: Axis
    span: tuple[float, float]
    lines: tuple[_Line, ...]


def runs_line(words: str, answer: RunsAnswer | None, at: str) -> str:
    """Return the caption: what is drawn, how many runs, and how far they are.

    Args:
        words: the patterns.
        answer: the runs, None while there is nothing that could be one.
        at: when it is taken.
    """
    runs = [] if answer is None else answer.runs
    if answer is not None and answer.loading and not runs:
        return f"{words} · runs not read yet · {at}"
    if not runs:
        return f"{words} · no run until {at}"
    steps = [run.step for run in runs if run.step is not None]
    step = f"step {_step_text(max(steps))}" if steps else ""
    return " · ".join(filter(None, (words, f"{len(runs)} run{'s' if len(runs) > 1 else ''}", step, at)))


def runs_of(answer: RunsAnswer | None, series: Sequence[Series], axis: Axis) -> list[StillRuns]:
    """Return the panels, by the names of their metrics.

    Args:
        answer: the runs with all points of their lines; None for none.
        series: those that it refers to by index.
        axis: of x.
    """
    if answer is None:
        return []
    names = _names([run.labels for run in answer.runs])
    points = {line.i: line for line in answer.lines if line.x}
    found: dict[str, list[_Line]] = {}
    drawn = 0
    for run, name in zip(answer.runs, names, strict=True):
        has_place = axis != "step" or run.step is not None
        drawn += has_place
        for own in run.metrics:
            one = series[own.i]
            if is_setting(one.metric):
                continue
            lines = found.setdefault(one.metric, [])
            if has_place and drawn <= MOST_RUNS and (line := points.get(own.i)):
                style = series[run.metrics[0].i].colour
                lines.append(_Line(name, style, (), one.unit, _placed(line, run, axis), line))
    # A run has one dash in all panels: that among all runs that are drawn.
    styles = list(dict.fromkeys((line.name, line.style) for lines in found.values() for line in lines))
    dashes = dict(zip(styles, dashes_of([style for _, style in styles]), strict=True))
    found = {
        metric: [line._replace(dash=dashes[line.name, line.style]) for line in lines] for metric, lines in found.items()
    }
    every = [line for lines in found.values() for line in lines]
    start = min(0.0, *(line.x[0] for line in every)) if every else 0.0
    end = max((line.x[-1] for line in every), default=0.0)
    span = start, end + ((end - start) * _AFTER or 1.0)
    return [StillRuns(metric, axis, span, _of_one_unit(found[metric])) for metric in sorted(found)]


def draw_runs(canvas: Canvas, top: int, height: int, chart: StillRuns) -> None:
    """Draw one panel: its name, its runs with their newest values, ticks, and their lines."""
    if not chart.lines:
        draw_head(canvas, top, chart.metric)
        canvas.text(LEFT, top + height / 2, _NOTES.get(chart.axis, ""), MUTED, 12)
        return
    every = [line.points for line in chart.lines]
    low = min(value for points in every for value in points.min or points.mean)
    high = max(value for points in every for value in points.max or points.mean)
    whole = all(value % 1 == 0 for points in every for value in (*points.mean, *points.min, *points.max, *points.last))
    code = chart.lines[0].unit
    unit = shown_unit(code, max(abs(low), abs(high)))
    decimals = decimals_for(low / unit.divisor, high / unit.divisor, whole=whole and unit.divisor == 1)
    low, high = y_range(low, high, from_zero=starts_at_zero(code))
    y0, y1, x0, x1 = top + TOP, top + height - BOTTOM, LEFT, WIDTH - RIGHT
    start, end = chart.span

    def place(x: float, value: float) -> tuple[float, float]:
        return x0 + (x - start) / (end - start) * (x1 - x0), y1 - (value - low) / (high - low) * (y1 - y0)

    x = draw_head(canvas, top, chart.metric, unit.text)
    fits = value_ticks(low, high, unit.divisor, unit.text, lambda text: canvas.wide(text, 11) <= LEFT - 8)
    for value, words in fits.ticks:
        y = place(start, value)[1]
        canvas.line([(x0, y), (x1, y)], HAIRLINE, 1)
        canvas.text(x0 - 6, y - 6, words, MUTED, 11, right=True)
    for at, words in run_ticks(chart.axis, start, end, x1 - x0):
        px, half = place(at, low)[0], canvas.wide(words, 11) / 2
        canvas.line([(px, y1), (px, y1 + 4)], HAIRLINE, 1)
        if px + half < WIDTH - 4:
            canvas.text(px - half, y1 + 5, words, MUTED, 11)
    for number, line in enumerate(chart.lines):
        colour = LINE_COLOURS[line.style % len(LINE_COLOURS)]
        corners = [place(*corner) for corner in _corners(line)]
        if len(corners) > 1:
            canvas.line(corners, colour, 1.5, line.dash)
        else:
            canvas.dot(*corners[0], colour, 2)
        if number < _MOST_NAMED:
            newest = (line.points.last or line.points.mean)[-1]
            words = f"{line.name} {reading_text(newest / unit.divisor, decimals)}"
            if x + 14 + canvas.wide(words, 12) > x1:
                continue
            canvas.line([(x, top + 16), (x + 10, top + 16)], colour, 2, [px / 2 for px in line.dash])
            x = canvas.text(x + 14, top + 9, words, TEXT, 12) + 14


def run_ticks(axis: Axis, start: float, end: float, px: float) -> list[tuple[float, str]]:
    """Return the ticks of x and their texts: of steps whole ones where they are, of times spans.

    Args:
        axis: of x.
        start: where it begins, steps or ms …
        end: … and ends.
        px: how wide it is.
    """
    if axis != "step":
        ticks = ticks_in(start, end, time_step(end - start, px * 0.8))
        return [(tick, f"{tick:.0f} ms" if 0 < tick < 1_000 else long_span_text(tick)) for tick in ticks]
    span = end - start
    least = max(span * _PITCH / px, 1.0 if span > 2 else 0.0) or 1.0
    power = 10.0 ** math.floor(math.log10(least) + 1e-9)
    step = power * next((times for times in (1, 2, 5) if times * power >= least * (1 - 1e-9)), 10)
    return [(tick, _step_text(tick, step_decimals(step))) for tick in ticks_in(start, end, step)]


def _step_text(step: float, decimals: int | None = None) -> str:
    if abs(step) < 1e9:
        return grouped(step, (0 if step % 1 == 0 else 3) if decimals is None else decimals)
    return re.sub(r"\.?0*e\+?0*", "e", f"{step:.2e}")


def _placed(line: RunPoints, run: RunEntry, axis: Axis) -> Sequence[float]:
    return [at - run.start_ms for at in line.x] if axis == "rel" else line.x


def _of_one_unit(lines: Sequence[_Line]) -> tuple[_Line, ...]:
    """Return the lines in the unit of the first: two have no axis in common."""
    return tuple(line for line in lines if unit_key(line.unit) == unit_key(lines[0].unit))


def _corners(line: _Line) -> list[tuple[float, float]]:
    points = line.points
    if not points.min:
        return list(zip(line.x, points.mean, strict=True))
    columns = zip(line.x, points.first, points.min, points.max, points.last, strict=True)
    return [(x, value) for x, *values in columns for value, _ in itertools.groupby(values)]


def _names(every: Sequence[Mapping[str, str]]) -> list[str]:
    """Return what runs are called by: the label `run`, or all labels; where two have one name, also by the others."""
    names = [labels.get("run") or legend_label(labels) or "without labels" for labels in every]
    count = Counter(names)
    return [
        f"{name} {legend_label({key: value for key, value in labels.items() if key != 'run'})}".strip()
        if count[name] > 1 and "run" in labels
        else name
        for name, labels in zip(names, every, strict=True)
    ]
