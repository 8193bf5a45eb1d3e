"""The charts of a still: what each is of, and the names that the live chart gives its series; pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from msgspec import UNSET

from tidewire.livestore.column_ring import Floats
from tidewire.livestore.messages import SummaryName
from tidewire.livestore.series import Series
from tidewire.livestore.view_frame import ViewFrame, unpack_frame
from tidewire.livestore.window import BEYOND
from tidewire.model.batch import ANNOTATIONS
from tidewire.model.formulas.matchers import METRIC
from tidewire.model.numbers import decimals_for, mean_text, reading_text
from tidewire.model.threshold import Threshold
from tidewire.notebook.drawn import Drawn, Source
from tidewire.notebook.formula_frames import Result
from tidewire.notebook.frame_pusher import selector_of
from tidewire.notebook.still_lines import FRACTIONS, NO_LINE, StillLine, cells_of, line_of

__all__ = ["StillChart", "StillSeries", "charts_of", "legend_label", "telling_labels"]

_FLOAT32, _FLOAT64 = 2.0**-23, 2.0**-51  # relative errors of a rounded value


@dataclass(frozen=True)
class StillSeries:
    """One series, or a row in the place of many.

    Attributes:
        index: in the frame.
        metric: its own, or the formula.
        labels: its own.
        unit: as it is published.
        colour: number of its style.
        legend: what tells it from the others of its chart.
        role: what a row says, see `FormulaSeries`.
    """

    index: int
    metric: str
    labels: Mapping[str, str]
    unit: str
    colour: int
    legend: str
    role: str = ""


@dataclass(frozen=True)
class StillChart:
    """One chart.

    Attributes:
        title: the metric, or the formula.
        frame: a whole view frame; None if there is none yet.
        rows: of the frame.
        series: of these rows.
        kind: how it is drawn, by a name of `KINDS`, or empty.
        summary: what stands in the place of its series.
        count: how many series it is of.
        note: what is said in the place of a drawing.
        thresholds: in force, also those for other series.
    """

    title: str
    frame: ViewFrame | None
    rows: tuple[int, ...] = ()
    series: tuple[StillSeries, ...] = ()
    kind: str = ""
    summary: SummaryName | None = None
    count: int = 0
    note: str = ""
    thresholds: tuple[Threshold, ...] = ()

    def values(self, place: int) -> Floats:
        """Return the columns of one series, float64[columns, 4]: first, min, max, last; NaN without a number."""
        return np.zeros((0, 4)) if self.frame is None else cells_of(self.frame, self.rows[place]).values[BEYOND:]

    def means(self, place: int) -> tuple[Floats, Floats]:
        """Return mean and count of the columns of one series, float64[columns] each."""
        if self.frame is None:
            return np.zeros(0), np.zeros(0)
        _, mean, count = cells_of(self.frame, self.rows[place])
        return mean[BEYOND:], count[BEYOND:]

    def line(self, place: int) -> StillLine:
        """Return the line of one series, as the chart's kind draws it."""
        return NO_LINE if self.frame is None else line_of(self.frame, self.rows[place], self.kind)

    def newest(self, place: int) -> float:
        """Return the newest value of a series, NaN without one."""
        return float("nan") if self.frame is None else float(self.frame.records["last_value"][self.rows[place]])

    def ends(self, place: int) -> Floats:
        """Return smallest and largest value of each column of a series, float64[n]; its newest one if there is none."""
        ends = self.line(place).values[:, 1:3]
        return ends.ravel() if ends.size else np.array([self.newest(place)])

    def whole(self, place: int, divisor: float = 1.0) -> bool:
        """Tell whether the values of a series are whole numbers, also as they are written in a scale of its unit."""
        ends = self.ends(place)
        base = 0.0 if self.frame is None else float(self.frame.records["base"][self.rows[place]])
        unsure = _FLOAT32 * np.abs(ends - base) + _FLOAT64 * abs(base)
        return divisor == 1 and bool(np.all(np.abs(ends - np.rint(ends)) <= unsure))

    def decimals(self, place: int, divisor: float) -> int:
        """Return the decimals with which the values of a series are written, in a scale of its unit."""
        ends = self.ends(place)
        low, high = float(ends.min()) / divisor, float(ends.max()) / divisor
        return decimals_for(low, high, whole=self.whole(place, divisor))

    def text(self, place: int, divisor: float, value: float | None = None) -> str:
        """Return a value of a series as the live chart prints it, the newest if none is given."""
        shown = self.newest(place) if value is None else value
        return reading_text(shown / divisor, self.decimals(place, divisor))

    def most_and_mean(self, place: int, divisor: float) -> tuple[str, str]:
        """Return the greatest value of a series in the window and its mean, as the live chart prints them."""
        mean, count = self.means(place)
        held = np.flatnonzero(count)
        if not held.size:
            return self.text(place, divisor, math.nan), self.text(place, divisor, math.nan)
        body = self.values(place)[held]
        low, high = float(body[:, 1].min()), float(body[:, 2].max())
        average = float(np.average(mean[held], weights=count[held]))
        spread = float(np.average(body[:, 2] - body[:, 1], weights=count[held]))
        words = mean_text(
            average / divisor,
            low / divisor,
            high / divisor,
            self.decimals(place, divisor),
            whole=self.whole(place, divisor),
            error=spread / (2 * FRACTIONS) / divisor,
        )
        return self.text(place, divisor, high), words


def charts_of(
    frame: ViewFrame,
    series: Sequence[Series],
    drawn: Drawn | None = None,
    results: Mapping[Source, Result] | None = None,
    thresholds: Sequence[Threshold] = (),
) -> list[StillChart]:
    """Return the charts in the order of the live ones: of metrics by their names, then of formulas.

    Args:
        frame: of the series, a full one.
        series: those that its records refer to by index.
        drawn: what is drawn; None for all metrics as what fits them.
        results: what there is of formulas and summaries.
        thresholds: in force.
    """
    kind = "" if drawn is None else drawn.kind
    rows: dict[str, list[int]] = {}
    for row, index in enumerate(frame.records["index"].tolist()):
        if series[index].metric != ANNOTATIONS:
            rows.setdefault(series[index].metric, []).append(row)
    every: dict[str, list[Mapping[str, str]]] = {}
    for one in series:
        every.setdefault(one.metric, []).append(one.labels)
    found = {metric: _of_metric(metric, frame, own, series, every[metric], kind) for metric, own in rows.items()}
    metrics = {selector_of(metric): metric for metric in every}
    of_formulas: dict[str, StillChart] = {}
    for source, result in (results or {}).items():
        metric = metrics.get(source.formula)
        chart = _of_result(metric or source.formula, source, result, kind)
        if metric is not None and source.summary is not None:
            found[metric] = chart
        else:
            of_formulas[source.formula] = chart
    formulas = [] if drawn is None else [of_formulas.get(text, _waiting(text)) for text in drawn.formulas]
    charts = [*(found[metric] for metric in sorted(found)), *formulas]
    return [replace(chart, thresholds=tuple(thresholds)) for chart in charts]


def _waiting(formula: str) -> StillChart:
    return StillChart(formula, None, note="not computed yet")


def _of_metric(
    metric: str,
    frame: ViewFrame,
    rows: Sequence[int],
    series: Sequence[Series],
    every: Sequence[Mapping[str, str]],
    kind: str,
) -> StillChart:
    own = []
    for row in rows:
        one = series[int(frame.records["index"][row])]
        legend = legend_label(telling_labels(one.labels, every))
        own.append(StillSeries(one.index, metric, one.labels, one.unit, one.colour, legend))
    return StillChart(metric, frame, tuple(rows), tuple(own), kind, count=len(own))


def _of_result(title: str, source: Source, result: Result, kind: str) -> StillChart:
    state = result.state
    count = len(state.series) if state.of is UNSET else int(state.of or 0)
    if state.error is not None:
        note = "; ".join(filter(None, (state.error.message, state.error.remedy)))
        return StillChart(title, None, kind=kind, summary=source.summary, note=note)
    if result.frame is None:
        return StillChart(title, None, kind=kind, summary=source.summary, note="not computed yet")
    frame = unpack_frame(result.frame)
    known = {one.i: one for one in state.series}
    rows = [row for row, index in enumerate(frame.records["index"].tolist()) if index in known]
    all_labels = [{**({METRIC: one.name} if one.name else {}), **one.labels} for one in state.series]
    if len({one.name for one in state.series if one.labels}) <= 1:  # a name that all have tells nothing
        all_labels = [one.labels for one in state.series]
    labels_of = dict(zip(known, all_labels, strict=True))
    own = []
    for row in rows:
        one = known[int(frame.records["index"][row])]
        labels = labels_of[one.i]
        every = [labels for labels in all_labels if labels]
        legend = legend_label(telling_labels(labels, every) if len(every) > 1 else labels)
        role = "" if one.role is UNSET else str(one.role)
        own.append(StillSeries(one.i, one.name or title, one.labels, one.unit, one.colour, legend, role))
    note = "" if rows else "no result now"
    return StillChart(title, frame, tuple(rows), tuple(own), kind, source.summary, count, note)


def telling_labels(labels: Mapping[str, str], every: Iterable[Mapping[str, str]]) -> Mapping[str, str]:
    """Return the labels that tell a series from others: those whose values differ; all where none does."""
    every = list(every)
    telling = {name: value for name, value in labels.items() if any(one.get(name) != value for one in every)}
    return telling or labels


def legend_label(labels: Mapping[str, str]) -> str:
    """Return labels as a legend has them: ``site A``, ``core0``, ``rx``."""
    found = []
    for name in sorted(labels):
        value = labels[name]
        digit = value[:1].isascii() and value[:1].isdigit()
        found.append(f"{name}{value}" if digit else f"{name} {value}" if len(value) == 1 else value)
    return " ".join(found)
