"""Draws what stands in the place of plots in a still: the newest value, a dial, bars, a histogram, a table, a ranking.

Each has its rule in `client/chart/src/chart/kinds`; a kind that does not fit what there is draws a plot, as there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np

from tidewire.livestore.column_ring import Floats
from tidewire.livestore.window import BEYOND
from tidewire.model.numbers import decimals_for, grouped, reading_text, without_zeros
from tidewire.model.units import ShownUnit, shown_unit, unit_key
from tidewire.notebook.snapshot_canvas import HAIRLINE, LEVEL_COLOURS, LINE_COLOURS, MUTED, TEXT, WIDTH, Canvas, blend
from tidewire.notebook.still_axes import nice_step, step_decimals, ticks_in, value_ticks
from tidewire.notebook.still_charts import StillChart
from tidewire.notebook.still_frame import BOTTOM, LEFT, RIGHT, draw_head
from tidewire.notebook.still_limits import bar_range, gauge_range, limit_text, limits_of, zones_of

__all__ = ["drawing_of", "histogram"]

Drawing = Callable[[Canvas, int, int, StillChart], None]
_TRACK: Final = "#EEF1F4"
_FROM, _TO = 0.83 * math.pi, 2.17 * math.pi  # angles of a dial's ends, from the x axis, clockwise
_MOST_BINS: Final = 40
_ZONE_PX: Final = 11  # from the middle of a dial's track to that of its thresholds
_POINTS: Final = 4  # at which the readings between two values of a column are counted
_ROW_PX, _PITCH = 22, 22


def drawing_of(chart: StillChart) -> Drawing | None:
    """Return what draws a chart in the place of its plot, None if it is a plot."""
    if (
        chart.frame is None
        or not chart.series
        or not any(np.isfinite(chart.newest(i)) for i in range(len(chart.series)))
    ):
        return None
    if chart.summary == "top":
        return _top
    units = {unit_key(one.unit) for one in chart.series}
    single = len(chart.series) == 1
    fits = {
        "stat": single,
        "gauge": single,
        "bar": len(units) == 1,
        "hist": len(units) == 1,
        "table": True,
    }
    drawings: dict[str, Drawing] = {"stat": _stat, "gauge": _gauge, "bar": _bar, "hist": _hist, "table": _table}
    return drawings[chart.kind] if fits.get(chart.kind) else None


def _unit(chart: StillChart, place: int | None = None) -> ShownUnit:
    places = range(len(chart.series)) if place is None else (place,)
    most = max((float(np.abs(chart.ends(each)).max()) for each in places), default=0.0)
    return shown_unit(chart.series[0 if place is None else place].unit, 0.0 if math.isnan(most) else most)


def _colour(chart: StillChart, place: int) -> str:
    return LINE_COLOURS[chart.series[place].colour % len(LINE_COLOURS)]


def _spark(canvas: Canvas, chart: StillChart, place: int, box: tuple[float, float, float, float], colour: str) -> None:
    """Draw the window of a series in a box: left, top, right, bottom."""
    line = chart.line(place)
    if chart.frame is None or not line.column.size:
        return
    left, top, right, bottom = box
    low, high = float(line.values.min()), float(line.values.max())
    spare = max(0.0, (max(abs(low), abs(high)) * 0.004 or 1e-9) - (high - low)) / 2
    low, high = low - spare, high + spare
    width = (right - left) / (chart.frame.body.shape[1] - BEYOND)
    for corners in line.corners():
        points = [
            (left + (column + 0.5) * width, bottom - (value - low) / (high - low) * (bottom - top))
            for column, value in corners
        ]
        if len(points) > 1:
            canvas.line(points, colour, 1.25)
        else:
            canvas.dot(*points[0], colour, 1)


def _stat(canvas: Canvas, top: int, height: int, chart: StillChart) -> None:
    unit = _unit(chart, 0)
    draw_head(canvas, top, chart.title, chart.series[0].legend)
    canvas.text(14, top + 30, chart.text(0, unit.divisor), TEXT, 44)
    canvas.text(14, top + 84, unit.text, MUTED, 12)
    _spark(canvas, chart, 0, (14, top + 108, WIDTH - 14, top + height - 14), _colour(chart, 0))


def _gauge(canvas: Canvas, top: int, height: int, chart: StillChart) -> None:
    unit = _unit(chart, 0)
    draw_head(canvas, top, chart.title, chart.series[0].legend)
    ends, value = chart.ends(0), chart.newest(0)
    limits = limits_of(chart.thresholds, chart.series)
    low, high = gauge_range(limits, float(ends.min()), float(ends.max()), chart.series[0].unit)
    radius = min(84.0, (height - 70) / (1 + math.sin(_TO)))
    x, y = WIDTH / 2, top + 34 + radius

    def angle(at: float) -> float:
        return _FROM + (_TO - _FROM) * min(1.0, max(0.0, (at - low) / (high - low)))

    canvas.arc(x, y, radius, _FROM, _TO, blend("#DDE3EA", 0.9), 12)
    zero, end = angle(min(high, max(low, 0.0))), angle(value)
    canvas.arc(x, y, radius, min(zero, end), max(zero, end), _colour(chart, 0), 12)
    for start, stop, level in zones_of(limits, low, high):
        canvas.arc(x, y, radius + _ZONE_PX, angle(start), angle(stop), LEVEL_COLOURS[level], 3)
    near, far = radius - 8, radius + 8
    canvas.line([(x + r * math.cos(end), y + r * math.sin(end)) for r in (near, far)], TEXT, 2)
    text = chart.text(0, unit.divisor)
    canvas.text(x - canvas.wide(text, 32) / 2, y - 24, text, TEXT, 32)
    canvas.text(x - canvas.wide(unit.text, 12) / 2, y + 16, unit.text, MUTED, 12)
    for at, side in ((low, _FROM), (high, _TO)):
        words = limit_text(at, unit.divisor)
        left, foot = x + radius * math.cos(side) - canvas.wide(words, 11) / 2, y + radius * math.sin(side) + 8
        canvas.text(left, foot, words, MUTED, 11)
    said = " · ".join(f"{level} {side} {limit_text(limit, unit.divisor)}" for level, side, limit in limits)
    if limits:
        canvas.text(x - canvas.wide(said, 11) / 2, y + radius * math.sin(_TO) + 24, said, MUTED, 11)


def _names(chart: StillChart) -> list[str]:
    several = len({one.metric for one in chart.series}) > 1
    return [f"{one.metric} {one.legend}".strip() if several else one.legend or one.metric for one in chart.series]


def _bar(canvas: Canvas, top: int, height: int, chart: StillChart) -> None:
    unit = _unit(chart)
    draw_head(canvas, top, chart.title, unit.text)
    names, values = _names(chart), [chart.newest(place) for place in range(len(chart.series))]
    order = sorted(range(len(values)), key=lambda place: -math.inf if math.isnan(values[place]) else values[place])[
        ::-1
    ]
    fit = max(1, (height - 34) // _PITCH)
    shown = order if len(order) <= fit else order[: fit - 1]
    left = 14 + max(min(canvas.wide(names[place], 12), WIDTH * 0.4) for place in shown) + 10
    texts = {place: chart.text(place, unit.divisor) for place in shown}
    right = WIDTH - 14 - max(canvas.wide(text, 12) for text in texts.values()) - 10
    limits = limits_of(chart.thresholds, chart.series)
    low, high = bar_range(values, [limit.value for limit in limits])
    zero = left + (0.0 - low) / (high - low) * (right - left)
    for number, place in enumerate(shown):
        y = top + 32 + number * _PITCH
        canvas.text(left - 10, y, names[place], MUTED, 12, right=True)
        canvas.box(left, y, right, y + 14, _TRACK)
        if not math.isnan(values[place]):
            end = left + (values[place] - low) / (high - low) * (right - left)
            canvas.box(min(zero, end), y, max(zero, end) + 0.5, y + 14, _colour(chart, 0))
        canvas.text(WIDTH - 14, y, texts[place], TEXT, 12, right=True)
    for level, _, limit in limits:
        if low < limit < high:
            at = left + (limit - low) / (high - low) * (right - left)
            canvas.line([(at, top + 28), (at, top + 26 + len(shown) * _PITCH)], LEVEL_COLOURS[level], 1.5, (4, 3))
    if len(shown) < len(order):
        canvas.text(left, top + 32 + len(shown) * _PITCH, f"+{len(order) - len(shown)} more", MUTED, 11)


def _hist(canvas: Canvas, top: int, height: int, chart: StillChart) -> None:
    unit = _unit(chart)
    values, counts = _readings(chart)
    values = values / unit.divisor
    whole = unit.divisor == 1 and bool(np.all(values % 1 == 0))
    start, width, bins = histogram(values, counts, whole=whole)
    total = counts.sum()
    wide = f"{grouped(width, step_decimals(width))} {unit.text}".strip()
    note = f"{grouped(float(total), 0)} readings · bins of {wide}"
    draw_head(canvas, top, chart.title, f"{unit.text}   {note}".strip())
    if not bins.size:
        return
    y0, y1, x0, x1 = top + 34, top + height - BOTTOM, LEFT, WIDTH - RIGHT
    most = float(bins.max()) * 1.2
    spare = width if bins.size < 3 else 0.0
    low, high = start - spare, start + width * bins.size + spare
    rise = max(1.0, nice_step(0.0, most))
    for count in ticks_in(0.0, most, 2.0 if rise == 2.5 else rise):
        y = y1 - count / most * (y1 - y0)
        canvas.line([(x0, y), (x1, y)], HAIRLINE, 1)
        canvas.text(x0 - 6, y - 6, grouped(count, 0), MUTED, 11, right=True)
    for number, count in enumerate(bins.tolist()):
        left, right = (x0 + (start + width * (number + end) - low) / (high - low) * (x1 - x0) for end in (0, 1))
        if count > 0:
            canvas.box(left, y1 - count / most * (y1 - y0), right - 1, y1, blend(_colour(chart, 0), 0.75))
    for value, words in value_ticks(low, high, 1.0, "", lambda text: len(text) < 12).ticks:
        x = x0 + (value - low) / (high - low) * (x1 - x0)
        if x + canvas.wide(words, 11) / 2 < WIDTH - 4:
            canvas.text(x - canvas.wide(words, 11) / 2, y1 + 5, words, MUTED, 11)
    order = np.argsort(values, kind="stable")
    share = np.cumsum(counts[order])
    digits = max(decimals_for(float(values.min()), float(values.max()), whole=whole), step_decimals(width))
    for number, (name, part) in enumerate((("p50", 0.5), ("p95", 0.95))):
        value = float(values[order][int(np.searchsorted(share, part * total - 1e-9))])
        x = x0 + (value - low) / (high - low) * (x1 - x0)
        canvas.line([(x, y0), (x, y1)], TEXT, 1, (4, 3))
        words = f"{name} {without_zeros(reading_text(value, digits))}"
        fits = x - 6 - canvas.wide(words, 11) > x0
        canvas.text(x + (-6 if fits else 6), y0 + 15 * number, words, TEXT, 11, right=fits)


def _readings(chart: StillChart) -> tuple[Floats, Floats]:
    """Return values and how often each was read: a column's others are spread between its least and its greatest."""
    values, counts = [], []
    for place in range(len(chart.series)):
        mean, count = chart.means(place)
        body = chart.values(place)
        held = np.isfinite(body[:, 1]) & (count > 0)
        low, high, mean, count = body[held, 1], body[held, 2], mean[held], count[held]
        one = (count == 1) | (low == high)
        values += [low[one], low[~one], high[~one]]
        counts += [count[one], np.ones((~one).sum()), np.ones((~one).sum())]
        rest = count[~one] - 2
        more = rest > 0
        least, most, left = low[~one][more], high[~one][more], rest[more]
        middle = np.clip((mean[~one][more] * count[~one][more] - least - most) / left, least, most)
        below = (most - middle) / (most - least)
        for point in range(_POINTS):
            at = (point + 0.5) / _POINTS
            values += [least + (middle - least) * at, middle + (most - middle) * at]
            counts += [below * left / _POINTS, (1 - below) * left / _POINTS]
    return np.concatenate(values), np.concatenate(counts)


def histogram(values: Floats, counts: Floats, *, whole: bool) -> tuple[float, float, Floats]:
    """Return where the first bin begins, how wide each is, and what each holds, float64[bins]."""
    if not values.size:
        return 0.0, 1.0, np.zeros(0)
    width = _bin_width(float(values.min()), float(values.max()), whole=whole)
    shift = 0.5 if whole else 0.0
    places = np.floor(values / width + shift / width + 1e-9).astype(np.int64)
    first = int(places.min())
    bins = np.bincount(places - first, weights=counts).astype(np.float64)
    return first * width - shift, width, bins


def _bin_width(low: float, high: float, *, whole: bool) -> float:
    size = max(abs(low), abs(high))
    if high - low <= size * 1e-12:
        return 1.0 if whole else 10.0 ** math.floor(math.log10(size or 1.0) - 2)
    power = 10.0 ** math.floor(math.log10((high - low) / _MOST_BINS))
    widths = [one * power for one in (1.0, 2.0, 2.5, 5.0, 10.0)]
    widths = [one for one in widths if not whole or one == int(one)] + [20 * power, 50 * power]
    for width in widths:
        bins = math.floor(high / width + 1e-9) - math.floor(low / width + 1e-9) + 1
        if width >= (1.0 if whole else 0.0) and bins <= _MOST_BINS:
            return float(f"{width:.12g}")
    return max(1.0, 100 * power)


def _table(canvas: Canvas, top: int, height: int, chart: StillChart) -> None:
    draw_head(canvas, top, chart.title)
    columns = (WIDTH - 14, WIDTH - 110, WIDTH - 206, WIDTH - 320)
    heads = ("Max", "Mean", "Last", "")
    for x, words in zip(columns, heads, strict=True):
        canvas.text(x, top + 30, words, MUTED, 11, right=True)
    canvas.text(14, top + 30, "Series", MUTED, 11)
    fit = max(1, (height - 52) // _ROW_PX)
    names = _names(chart)
    shown = range(len(names)) if len(names) <= fit else range(fit - 1)
    for number, place in enumerate(shown):
        y = top + 50 + number * _ROW_PX
        unit = _unit(chart, place)
        canvas.text(14, y, names[place], TEXT, 12)
        last = f"{chart.text(place, unit.divisor)} {unit.text}".strip()
        for x, words in zip(columns, (*chart.most_and_mean(place, unit.divisor), last), strict=False):
            canvas.text(x, y, words, TEXT, 12, right=True)
        _spark(canvas, chart, place, (WIDTH - 420, y, WIDTH - 364, y + 14), _colour(chart, place))
        canvas.line([(14, y + 19), (WIDTH - 14, y + 19)], HAIRLINE, 1)
    if len(shown) < len(names):
        canvas.text(14, top + 50 + len(shown) * _ROW_PX, f"and {len(names) - len(shown)} more", MUTED, 11)


def _top(canvas: Canvas, top: int, height: int, chart: StillChart) -> None:
    rows = [place for place, one in enumerate(chart.series) if one.role == "top"]
    rows = [place for place in rows if not math.isnan(chart.newest(place))]
    rows.sort(key=lambda place: -chart.newest(place))
    draw_head(canvas, top, chart.title, f"top {len(rows)} by last of {grouped(float(chart.count), 0)}")
    pitch = min(_ROW_PX, (height - 34) / max(1, len(rows)))
    for number, place in enumerate(rows):
        y = top + 32 + number * pitch
        unit = _unit(chart, place)
        canvas.text(28, y, str(number + 1), MUTED, 11, right=True)
        canvas.box(38, y + 5, 46, y + 7, LINE_COLOURS[0])
        canvas.text(56, y, chart.series[place].legend or chart.series[place].metric, TEXT, 12)
        _spark(canvas, chart, place, (WIDTH - 190, y, WIDTH - 134, y + pitch - 4), LINE_COLOURS[0])
        canvas.text(WIDTH - 14, y, f"{chart.text(place, unit.divisor)} {unit.text}".strip(), TEXT, 12, right=True)
