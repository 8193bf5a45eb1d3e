"""The live notebook chart: `watch("furnace/**")` draws in the cell with the dashboard's own chart module.

It only pushes: while a cell runs, the kernel receives nothing from the browser. One thread per chart, and running the
cell again replaces the chart. The cell also holds a snapshot, which a saved notebook shows and the live chart hides.
"""

from __future__ import annotations

import asyncio
import atexit
import itertools
import math
import time
import uuid
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tidewire.errors import InvalidInput, MissingExtra
from tidewire.livestore.alarms import Alarms
from tidewire.model.batch import ANNOTATIONS, checked_labels
from tidewire.model.table_writers import label_column, label_of_column
from tidewire.notebook.jupyter_kernel import current_cell, running_kernel
from tidewire.settings import ClientSettings, load_settings
from tidewire.subscribing.service_address import checked_token, dashboard_url, service_url
from tidewire.subscribing.service_client import AsyncServiceClient
from tidewire.subscribing.threshold_poller import ThresholdPoller

try:
    import anywidget
    import numpy as np
    import traitlets
except ImportError as error:  # the SDK alone does not need them
    raise MissingExtra("watch()", "notebook") from error

from tidewire.livestore.feed import Feed
from tidewire.livestore.live_view import LiveView
from tidewire.livestore.messages import Hello, OpenView, PythonMessage, RangeRequest, Retry, RunsAnswer
from tidewire.livestore.store import Store
from tidewire.livestore.view_frame import unpack_frame
from tidewire.model.durations import parse_duration_ms
from tidewire.notebook.drawn import Drawn, Source, checked_drawn
from tidewire.notebook.formula_frames import Result
from tidewire.notebook.frame_pusher import LONGEST_MS, SHORTEST_MS, Shown, ViewRequest, push_frames, read_message
from tidewire.notebook.snapshot import SNAPSHOT_COLUMNS, snapshot_bundle, snapshot_line, snapshot_png, time_text
from tidewire.notebook.still_charts import charts_of
from tidewire.notebook.still_runs import runs_line, runs_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Chart", "watch"]

_SHOWN: Final = 1.05  # of the window: whole columns, and the two beyond it of a chart with 100
_REPLAY_S: Final = (60, 6 * 3_600)  # of the stream; older windows come from the history
_STORE_BYTES: Final = 64 << 20
_SNAPSHOT_WAIT_S: Final = 0.8  # how long a cell waits for what its first snapshot shows
_SNAPSHOT_SOON_S, _SNAPSHOT_EVERY_S = 3.0, 60.0
_STATIC: Final = Path(__file__).parents[1] / "static"


class Chart(anywidget.AnyWidget):
    """A live chart in a notebook; made by `watch`.

    Args:
        drawn: what it draws.
        window_ms: length of the window.
        url: the service.
        token: bearer token, empty for none.
        labels: labels that must hold.
    """

    _esm = (_STATIC / "notebook.js").read_text(encoding="utf-8")
    pattern = traitlets.Unicode("").tag(sync=True)
    formulas: traitlets.List[str] = traitlets.List(traitlets.Unicode()).tag(sync=True)
    kind = traitlets.Unicode("").tag(sync=True)
    x = traitlets.Unicode("clock").tag(sync=True)
    # a part of the module each: the host sends a trait that changed, and all of them to a page that is opened later
    part_kinds = traitlets.Unicode("").tag(sync=True)
    part_many = traitlets.Unicode("").tag(sync=True)
    part_runs = traitlets.Unicode("").tag(sync=True)
    window_ms = traitlets.Float(300_000.0).tag(sync=True)
    theme = traitlets.Unicode("auto").tag(sync=True)
    dashboard_url = traitlets.Unicode("").tag(sync=True)
    snapshot_key = traitlets.Unicode("").tag(sync=True)
    _feed: Feed | None = None  # ipywidgets also closes widgets whose constructor failed

    def __init__(
        self,
        drawn: Drawn,
        window_ms: float,
        *,
        url: str,
        token: str = "",
        labels: Mapping[str, str] | None = None,
    ) -> None:
        formulas = list(drawn.formulas)
        super().__init__(pattern=drawn.words, formulas=formulas, kind=drawn.kind, x=drawn.axis, window_ms=window_ms)
        self._drawn_of = drawn
        self._store = Store(store_bytes=_STORE_BYTES)
        self._view_request = view_request = ViewRequest(window_ms)
        self._results: dict[Source, Result] = {}
        self._runs: RunsAnswer | None = None
        self.need(Shown(self._store, drawn).parts)
        alarms = self._alarms = Alarms(self._store)
        self._drawn: object = None  # what the last snapshot was drawn from
        this = weakref.ref(self)
        shortest, longest = _REPLAY_S
        replay_s = math.ceil(min(max((_SHOWN * window_ms + drawn.need_ms) / 1e3, shortest), longest))
        feed = self._feed = Feed(
            self._store,
            drawn.read if drawn.shows(ANNOTATIONS) else (*drawn.read, ANNOTATIONS),
            url=url,
            token=token,
            labels=labels,
            replay_s=None if drawn.by_run else replay_s,  # runs of long ago are in the catalogue
            beside=(
                lambda: push_frames(lambda: _shown(this), feed, view_request, alarms, drawn),
                lambda: _poll_thresholds(feed.url, token, alarms),
                lambda: _refresh_snapshots(this),
            ),
            name=f"tidewire-watch {self.pattern}",
        )
        self.observe(self._resized, "window_ms")
        self.on_msg(Chart._on_message)
        feed.start()
        atexit.register(feed.stop)

    def pause(self) -> None:
        """Freeze the chart; readings are still received. `resume` goes on."""
        self._view_request.paused = True

    def resume(self) -> None:
        """Draw live again, after `pause`."""
        self._view_request.send_all = True
        self._view_request.paused = False

    def close(self) -> None:
        """End the chart: its thread and its connection. Its last snapshot stays in its place."""
        if self._feed is not None:
            atexit.unregister(self._feed.stop)
            self._feed.stop()
            self.refresh_snapshot()
        super().close()

    def __repr__(self) -> str:
        return f"Chart({self.pattern!r}, {'live' if self.running else 'ended'})"

    def _ipython_display_(self) -> None:
        """Show the chart after a snapshot of it; wait for that at most 0.8 s.

        Raises:
            NotImplementedError: no notebook; IPython then prints what the chart is.
        """
        if running_kernel() is None:
            raise NotImplementedError
        from IPython.display import display  # noqa: PLC0415 - only in notebooks

        show: Any = display  # it has no types
        first, self.snapshot_key = not self.snapshot_key, self.snapshot_key or uuid.uuid4().hex
        if first:
            show(self._snapshot(), raw=True, display_id=self.snapshot_key)
        bundle = self._repr_mimebundle_()
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        show(data, metadata=metadata, raw=True)
        until_s = time.monotonic() + _SNAPSHOT_WAIT_S
        while not self._settled and time.monotonic() < until_s:
            time.sleep(0.01)
        self.refresh_snapshot()

    def refresh_snapshot(self) -> None:
        """Update the snapshot in the notebook, if readings came since the last."""
        if not self.snapshot_key or self._drawn == self._readings():
            return
        from IPython.display import display  # noqa: PLC0415 - only in notebooks

        show: Any = display  # it has no types
        show(self._snapshot(), raw=True, display_id=self.snapshot_key, update=True)

    @property
    def _settled(self) -> bool:
        """Tell whether there is all that the first snapshot shows."""
        live = self._feed is None or self._feed.status.state == "live"
        if self._drawn_of.by_run:
            return live and self._runs is not None and not (self._runs.loading or self._runs.more)
        return live and all(source in self._results for source in Shown(self._store, self._drawn_of).sources)

    def _readings(self) -> object:
        """Return what changes with the readings that a snapshot would show."""
        runs = self._runs
        of_runs = runs and (runs.loading, runs.problem, len(runs.runs), [(line.i, line.version) for line in runs.lines])
        results = {
            source: (result.state.loading, result.state.error, len(result.state.series), result.frame is not None)
            for source, result in self._results.items()
        }
        return int(self._store.state["total"].sum()), of_runs, results, self._alarms.thresholds_version

    def _snapshot(self) -> dict[str, object]:
        self._drawn = self._readings()
        if self._drawn_of.by_run:
            line = runs_line(self.pattern, self._runs, time_text(time.time() * 1e3))
            panels = runs_of(self._runs, self._store.series, self._drawn_of.axis)
            return snapshot_bundle(snapshot_png(line, panels), line, self.snapshot_key)
        shown = Shown(self._store, self._drawn_of)
        view = LiveView(self._store, shown.lines, self._view_request.window_ms, SNAPSHOT_COLUMNS)
        view.tick(1, time.time() * 1e3 if self._feed is None else self._feed.now_ms())
        frame = unpack_frame(view.frame(0, None))
        charts = charts_of(frame, self._store.series, self._drawn_of, self._results, self._alarms.thresholds)
        line = snapshot_line(self.pattern, frame, charts)
        with self._store.lock:
            events = [*self._store.events, *self._alarms.excursions]
        return snapshot_bundle(snapshot_png(line, charts, events), line, self.snapshot_key)

    def to_pandas(self) -> pd.DataFrame:
        """Return the readings of the window that are in memory (raw ones: the last 16 minutes at most).

        Returns:
            Columns `time` (UTC), `metric`, ``label.<name>`` for each label, `value` (NaN: no number); ordered by
            metric, labels, time. Of a series whose unit changed, the readings since.
        """
        import pandas as pd  # noqa: PLC0415  # only here

        now_ms = time.time() * 1e3 if self._feed is None else self._feed.now_ms()
        since_ms = now_ms - self.window_ms
        parts = []
        with self._store.lock:
            for series in filter(lambda series: self._drawn_of.shows(series.metric), self._store.series):
                rows = series.raw.rows()
                rows = rows[:, np.searchsorted(rows[0], max(since_ms, series.unit_since_ms)) :].copy()
                labels = {label_column(name): value for name, value in series.labels.items()}
                times = pd.to_datetime(rows[0], unit="ms", utc=True)
                parts.append(pd.DataFrame({"time": times, "metric": series.metric, **labels, "value": rows[1]}))
        if not parts:
            return pd.DataFrame({"time": pd.to_datetime([], utc=True), "metric": [], "value": []})
        table = pd.concat(parts, ignore_index=True)
        names = [name for name in table.columns if label_of_column(name) is not None]
        table = table[["time", "metric", *names, "value"]]
        return table.sort_values(["metric", *names, "time"], kind="stable", ignore_index=True)

    @property
    def running(self) -> bool:
        """Tell whether the chart still receives readings."""
        return self._feed is not None and self._feed.running

    def _on_message(self, content: object, _buffers: object) -> None:
        """Handle a message of the deck; it comes only while no cell runs."""
        match read_message(content):
            case Hello():
                self._view_request.send_all = True
            case Retry() if self._feed is not None:
                self._feed.retry_now()
            case RangeRequest() as request:
                self._view_request.add_range(request)
            case OpenView(window_ms=window_ms) as view if window_ms >= SHORTEST_MS:
                self._view_request.open_view(view)
                self.window_ms = window_ms

    def _resized(self, _change: object) -> None:
        self._view_request.window_ms = min(LONGEST_MS, max(SHORTEST_MS, self.window_ms))

    def push(self, message: PythonMessage, frames: Sequence[bytes] = ()) -> None:
        """Send the deck a text message, or view frames."""
        self.send(msgspec.to_builtins(message), buffers=list(frames) or None)

    def keep(self, results: dict[Source, Result]) -> None:
        """Note what there is of formulas and summaries, for a snapshot."""
        self._results = results

    def keep_runs(self, runs: RunsAnswer) -> None:
        """Note what there is of runs, for a snapshot."""
        self._runs = runs

    def need(self, parts: Iterable[str]) -> None:
        """Give the page these parts of the chart's module, unless it has them."""
        for name in parts:
            if not getattr(self, f"part_{name}"):
                setattr(self, f"part_{name}", (_STATIC / f"notebook-{name}.js").read_text(encoding="utf-8"))


def _shown(this: weakref.ref[Chart]) -> Chart | None:
    """Return a chart for as long as its host shows it; marimo ends the connection of what a cell made before."""
    chart = this()
    if chart is not None and getattr(chart.comm, "_closed", False):
        chart.close()
        return None
    return chart


async def _poll_thresholds(url: str, token: str, alarms: Alarms) -> None:
    async with AsyncServiceClient(url, token) as client:
        await ThresholdPoller(client, alarms.set).run()


async def _refresh_snapshots(chart_now: Callable[[], Chart | None]) -> None:
    """Update the snapshot soon, since formulas take a moment, then every minute until the chart is gone."""
    for pause_s in itertools.chain((_SNAPSHOT_SOON_S,), itertools.repeat(_SNAPSHOT_EVERY_S)):
        await asyncio.sleep(pause_s)
        chart = chart_now()
        if chart is None:
            return
        await asyncio.to_thread(chart.refresh_snapshot)
        del chart


_charts: dict[str, list[tuple[str, Chart]]] = {}  # by cell: the execution that made it, and the chart


def watch(
    *patterns: str,
    window: str = "5m",
    kind: str | None = None,
    x: str | None = None,
    url: str | None = None,
    labels: Mapping[str, str] | None = None,
    dashboard: str | None = None,
    token: str | None = None,
) -> Chart:
    """Return a live chart of metrics and formulas, to be the last expression of a notebook cell.

    Running the cell again replaces its charts: one thread and one connection each, however often.

    Args:
        patterns: metrics, such as ``"furnace/**"``, of which each has a chart; and formulas, which begin with ``=`` as
            in the address of a deck: ``"=sum by (site) (rate(http/requests_total))"``.
        window: how much time it shows, such as ``"90s"``, ``"5m"`` or ``"1h"``; at most 24 h.
        kind: what the charts are, by the names of a deck: ``line``, ``steps``, ``bars``, ``points``, ``stacked``;
            ``stat``, ``gauge``, ``bar`` (the newest values), ``hist`` or ``histogram``, ``table``; of very many series
            ``lines``, ``band``, ``heat`` or ``heat map``, ``top``. If None, what fits the readings: words are states,
            switches are steps, and from 25 series on a band.
        x: ``"step"``: runs begin together at step 0; ``"rel"``: at the time of their first reading. Each label set is a
            line then, over its whole past, and `window` has no meaning. If None, the clock.
        url: the service; ``TIDEWIRE_URL`` if None.
        labels: labels that must hold.
        dashboard: what the chart's "open" button opens; if None, ``TIDEWIRE_DASHBOARD``, but nothing with a `url` of
            its own, since that dashboard may show another service.
        token: bearer token; ``TIDEWIRE_TOKEN`` if None.

    Raises:
        InvalidInput: a pattern, the window, a kind, an axis, a label, a URL or the token can never work; of a formula
            an `InvalidFormula`, which marks the place.
        MissingExtra: the extra `notebook` is not installed.
    """
    window_ms = parse_duration_ms("window", window)
    if not SHORTEST_MS <= window_ms <= LONGEST_MS:
        raise InvalidInput("window", window, "expected from 1s to 24h, such as 5m")
    drawn = checked_drawn(patterns, kind, x)
    labels = checked_labels(labels)
    settings = load_settings(ClientSettings, {"token": token})
    if dashboard is None:
        dashboard = settings.dashboard if url is None else ""
    link = dashboard_url(dashboard)
    address, token = service_url(url), checked_token(settings.token)
    cell, execution = current_cell(drawn.words)
    for made_by, chart in [each for each in _charts.pop(cell, []) if each[1].running]:
        if made_by == execution:
            _charts.setdefault(cell, []).append((made_by, chart))
        else:
            chart.snapshot_key = ""  # its output is gone
            chart.close()
    chart = Chart(drawn, window_ms, url=address, token=token, labels=labels)
    chart.dashboard_url = link
    _charts.setdefault(cell, []).append((execution, chart))
    return chart
