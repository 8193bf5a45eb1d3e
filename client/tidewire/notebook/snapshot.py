"""Draws the snapshot of a live chart that a saved notebook keeps: a PNG and a one-line caption; pure.

It is drawn from the same frames as the chart in the browser, in the colours of the light theme, one panel for each
chart: `still_plots` draws plots, `still_kinds` what stands in their place, `still_runs` runs.
"""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from tidewire.livestore.store import EventMark
from tidewire.livestore.view_frame import FLAG_ENDED, ViewFrame
from tidewire.livestore.window import BEYOND
from tidewire.model.ages import span_text, way_text
from tidewire.model.units import shown_unit
from tidewire.notebook.snapshot_canvas import MUTED, SHARP, WIDTH, Canvas
from tidewire.notebook.still_charts import StillChart, StillSeries
from tidewire.notebook.still_frame import LEFT, RIGHT
from tidewire.notebook.still_kinds import drawing_of
from tidewire.notebook.still_plots import draw_plot
from tidewire.notebook.still_runs import StillRuns, draw_runs

__all__ = ["SNAPSHOT_COLUMNS", "snapshot_bundle", "snapshot_line", "snapshot_png", "time_text"]

_PANEL: Final = {1: 220, 2: 170}
_LOW_PANEL: Final = 130
_MAX_PANELS: Final = 6
_HIGH_PANEL: Final = 220  # of what stands in the place of a plot
SNAPSHOT_COLUMNS: Final = WIDTH - LEFT - RIGHT
"""Buckets to ask for: one for each px of a plot."""
_SAID_ROLES: Final = ("", "top", "p50", "count")  # of rows in the place of series: their newest value is in the caption
_OLD_MS: Final = 10_000.0  # an age from which on a caption says it


def snapshot_line(words: str, frame: ViewFrame, charts: Sequence[StillChart]) -> str:
    """Return the caption of a snapshot: what is drawn, window, the time it was taken, and the newest reading.

    Args:
        words: the patterns and formulas.
        frame: its window is told.
        charts: of the snapshot.
    """
    at = time_text(frame.now_ms)
    known = [
        (float(chart.frame.records["last_time_ms"][row]), chart, place)
        for chart in charts
        if chart.frame is not None
        for place, row in enumerate(chart.rows)
        if chart.series[place].role in _SAID_ROLES and chart.frame.records["last_time_ms"][row] > 0
    ]
    if not known:
        return f"{words} · no reading until {at}"
    _, chart, place = max(known, key=lambda one: one[0])
    one = chart.series[place]
    count = f"{sum(chart.count for chart in charts)} series"
    minutes = (frame.body.shape[1] - BEYOND) * frame.step_ms / 60e3
    unit = shown_unit(one.unit, float(np.abs(chart.ends(place)).max()))
    shown = f"{chart.text(place, unit.divisor)} {unit.text}".strip()
    if math.isnan(chart.newest(place)):
        states = {} if chart.frame is None else chart.frame.states
        runs = states.get(one.index, ())
        shown = runs[-1].text if runs else "no number"
    window = f"{minutes:.0f} min" if minutes < 119.5 else f"{minutes / 60:.0f} h"
    said = "" if one.role == "count" else f"{one.role if one.role == 'p50' else ''} {_named(one)} {shown}".strip()
    parts = [words, count, f"{max(window, '1 min')} to {at}", said, _freshness(chart, place)]
    return " · ".join(filter(None, parts))


def _freshness(chart: StillChart, place: int) -> str:
    """Return what is to be said of the age of the newest reading of a series: old, late, ahead or the last one."""
    if chart.frame is None:
        return ""
    record = chart.frame.records[chart.rows[place]]
    time_ms, age_ms = float(record["last_time_ms"]), chart.frame.now_ms - float(record["last_time_ms"])
    if record["flags"] & FLAG_ENDED:
        return f"finished {span_text(age_ms)} ago"
    old = f"{span_text(age_ms)} ago" if age_ms > _OLD_MS else ""
    return ", ".join(filter(None, [old, way_text(time_ms, float(record["last_id_ms"]))]))


def snapshot_png(title: str, charts: Sequence[StillChart | StillRuns], events: Sequence[EventMark] = ()) -> bytes:
    """Return the picture: one panel each for at most six charts; the last line says how many more there are.

    Args:
        title: the last line, such as that of `snapshot_line`.
        charts: what is drawn.
        events: those of the window are marks below the plots of their series.
    """
    from PIL import Image  # noqa: PLC0415 - heavy

    shown = charts[:_MAX_PANELS]
    drawings = [None if isinstance(chart, StillRuns) else drawing_of(chart) for chart in shown]
    height = _PANEL.get(len(shown), _LOW_PANEL)
    heights = [_HIGH_PANEL if drawing is not None else height for drawing in drawings]
    canvas = Canvas(sum(heights) + 26)
    top = 0
    for chart, drawing, high in zip(shown, drawings, heights, strict=True):
        if isinstance(chart, StillRuns):
            draw_runs(canvas, top, high, chart)
        elif drawing is None:
            draw_plot(canvas, top, high, chart, events)
        else:
            drawing(canvas, top, high, chart)
        top += high
    more = f" · {len(charts) - len(shown)} more charts" if len(charts) > len(shown) else ""
    canvas.text(12, top + 6, title + more, MUTED, 11)
    image = canvas.image.resize((WIDTH * SHARP, canvas.height * SHARP), Image.Resampling.BOX)
    out = io.BytesIO()
    image.quantize(128).save(out, "PNG", optimize=True)
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


def time_text(ms: float) -> str:
    """Return when a snapshot was taken, in UTC."""
    return f"{datetime.fromtimestamp(ms / 1e3, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _named(one: StillSeries) -> str:
    labels = ",".join(f"{name}={value}" for name, value in one.labels.items())
    return f"{one.metric}{{{labels}}}" if labels else one.metric
