"""The same charts as most Panel dashboards draw them: 20 Bokeh figures of 4 lines, `ColumnDataSource.stream` each tick.

`bokeh_figures.py PORT`; 80 series at 10 readings/s, every session streams what is new 5 times a second into 80 sources,
each with the last 5 minutes. The readings are made here: what it costs to receive them is not counted against it.
"""

from __future__ import annotations

import math
import sys
import time

import numpy as np
import panel as pn
from bokeh.layouts import gridplot
from bokeh.models import ColumnDataSource
from bokeh.plotting import figure

CHARTS, SERIES_EACH, RATE, KEPT_S = 20, 4, 10, 300


def readings(n: int, times_s: np.ndarray) -> np.ndarray:
    return 100 + n + 5 * np.sin(times_s / (7 + n % 5)) + np.sin(times_s * (13 + n))


def page() -> pn.pane.Bokeh:
    until = math.floor(time.time() * RATE)
    past = np.arange(until - KEPT_S * RATE, until) / RATE
    sources, figures = [], []
    for chart in range(CHARTS):
        drawn = figure(width=400, height=260, x_axis_type="datetime", output_backend="canvas")
        for line in range(SERIES_EACH):
            n = chart * SERIES_EACH + line
            source = ColumnDataSource({"x": past * 1e3, "y": readings(n, past)})
            drawn.line("x", "y", source=source)
            sources.append(source)
        figures.append(drawn)

    def stream() -> None:
        nonlocal until
        now = math.floor(time.time() * RATE)
        if now > until:
            times = np.arange(until, now) / RATE
            until = now
            for n, source in enumerate(sources):
                source.stream({"x": times * 1e3, "y": readings(n, times)}, rollover=KEPT_S * RATE)

    pn.state.add_periodic_callback(stream, period=200)
    return pn.pane.Bokeh(gridplot(figures, ncols=4))


pn.serve({"plant": page}, port=int(sys.argv[1]), address="127.0.0.1", show=False, websocket_origin="*")
