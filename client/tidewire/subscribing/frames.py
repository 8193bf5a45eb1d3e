"""Reads the history, the catalog and the last readings of a service into data frames."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
from rich.console import Console
from rich.progress import Progress

from tidewire.errors import MissingExtra
from tidewire.model.answers import CatalogJson, SeriesInfo
from tidewire.model.table_writers import label_of_column
from tidewire.model.units import unit_key
from tidewire.subscribing.history_pages import HistoryPages, HistoryReader, Moment
from tidewire.subscribing.service_request import selection

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["catalog", "history", "last", "series_infos"]

_BAR_AFTER_S: Final = 2.0
_QUOTED: Final = frozenset('",={}')  # a label's value with one of these is quoted in the name of a column


def _pandas() -> Any:
    try:
        import pandas  # noqa: PLC0415 - heavy, and an extra
    except ImportError as error:
        raise MissingExtra("history(), catalog() and last()", "notebook") from error
    return pandas


def history(
    patterns: str | Sequence[str] = "**",
    start: Moment = "-15m",
    end: Moment | None = None,
    *,
    points: int | None = None,
    labels: Mapping[str, str] | None = None,
    wide: bool = False,
    progress: bool | None = None,
    url: str | None = None,
    token: str | None = None,
) -> pd.DataFrame:
    """Return readings of the past, such as ``history("furnace/*", "-15m")``.

    Args:
        patterns: a metric or pattern, or several.
        start: from when on: ``-15m``, RFC 3339, an aware datetime, or milliseconds since the Unix epoch.
        end: until when; now if None.
        points: buckets to ask the service for instead of raw readings.
        labels: all must hold.
        wide: one column per series, indexed by time; else tidy, one row per reading.
        progress: show a bar; if None, where somebody may be looking and it takes longer than two seconds.
        url: of the service.
        token: bearer token.

    Returns:
        Tidy: columns metric, time (UTC), value, unit, with `points` also min, max, mean, count, and ``label.<name>``
        for each label. Wide: float64 columns named ``metric`` or ``metric{name=value}``; a series whose unit changes
        has one for each, named ``metric (unit)``.

    Raises:
        ServiceUnavailable: no answer, or the service asks for a pause.
        ServiceRefused: a pattern or time that the service refuses, or more `points` than it answers at once.
        MissingExtra: pandas or pyarrow is not installed.
    """
    pandas = _pandas()
    chosen = tuple(patterns) if isinstance(patterns, Iterable) and not isinstance(patterns, str) else (patterns,)
    with HistoryReader(url, token) as reader, _bar(progress) as told:
        tables = list(HistoryPages(reader, chosen, labels, start, end, points).pages(told))
    frame: pd.DataFrame = _joined(tables).to_pandas()
    if not wide:
        return frame
    keys = ["metric", *(column for column in frame.columns if label_of_column(column) is not None)]
    numbers = frame.groupby(keys, dropna=False, observed=True, sort=False).ngroup()
    units = _changing_units(frame["unit"], numbers)
    numbers = frame.groupby([numbers, units], sort=False).ngroup()
    firsts = ~numbers.duplicated()
    labels_ = [str(label_of_column(column)) for column in keys[1:]]
    names = [_column_name(labels_, *row) for row in frame.loc[firsts, keys].itertuples(index=False, name=None)]
    names = [f"{name} ({unit})" if unit else name for name, unit in zip(names, units[firsts], strict=True)]
    table = pandas.DataFrame({"time": frame["time"], "series": numbers, "value": frame["value"]})
    table = table.drop_duplicates(["time", "series"], keep="last")  # of readings at one time the newest counts
    pivoted: pd.DataFrame = table.pivot(index="time", columns="series", values="value")
    pivoted.columns = pandas.Index(
        [names[int(number)] for number in pivoted.columns.tolist()], name="series", dtype=object
    )
    return pivoted.sort_index(axis=1)


def _changing_units(units: pd.Series[Any], series: pd.Series[int]) -> pd.Series[Any]:
    """Return the unit of each row, empty for a series that keeps its unit; a row without one goes on in the last."""
    shown = units.astype(object).map(unit_key)
    known = shown.where(shown != "").groupby(series).ffill().groupby(series).bfill().fillna("")
    return known.where(known.groupby(series).transform("nunique") > 1, "")


def _joined(tables: list[Any]) -> Any:
    """Return one table, series after series by time: a label or text that only some pages have is null in the others.

    Pages hold whole runs of a series, so the runs are put in order and no row is moved, but in a series that was not
    logged in the order of its times.
    """
    import numpy as np  # noqa: PLC0415 - as pyarrow
    import pyarrow as pa  # noqa: PLC0415 - heavy, and an extra

    table = pa.concat_tables(tables, promote_options="permissive").unify_dictionaries().combine_chunks()
    if len(tables) == 1 or not table.num_rows:
        return table
    labels = [name for name in table.column_names if label_of_column(name) is not None]
    codes = [table[name].combine_chunks().indices.fill_null(-1).to_numpy() for name in ("metric", *labels)]
    starts = np.flatnonzero(np.logical_or.reduce([np.r_[True, column[1:] != column[:-1]] for column in codes]))
    runs: dict[tuple[int, ...], list[Any]] = {}
    for start, length in zip(starts.tolist(), np.diff(np.r_[starts, table.num_rows]).tolist(), strict=True):
        runs.setdefault(tuple(int(column[start]) for column in codes), []).append(table.slice(start, length))
    return pa.concat_tables([_by_time(pa.concat_tables(run)) for run in runs.values()])


def _by_time(series: Any) -> Any:
    """Return the rows of a series by time, of equal times the earlier logged first."""
    import numpy as np  # noqa: PLC0415 - as pyarrow

    times = series["time"].to_numpy()
    return series if (times[1:] >= times[:-1]).all() else series.take(np.argsort(times, kind="stable"))


@contextlib.contextmanager
def _bar(wanted: bool | None) -> Iterator[Callable[[float], None]]:
    """Show a progress bar once a load has taken a while; yield what is told the share that is done."""
    console = Console(stderr=True)
    if wanted is False or (wanted is None and not (console.is_terminal or console.is_jupyter)):
        yield lambda share: None
        return
    with Progress(console=console, transient=True, auto_refresh=False) as progress:
        task = progress.add_task("history", total=1.0, visible=False)
        began_s = time.monotonic()

        def told(share: float) -> None:
            shown = bool(wanted) or time.monotonic() - began_s > _BAR_AFTER_S
            progress.update(task, completed=share, visible=shown, refresh=shown)

        yield told


def _column_name(names: Sequence[str], metric: str, *values: object) -> str:
    there = ((name, value) for name, value in zip(names, values, strict=True) if isinstance(value, str))
    shown = ",".join(f"{name}={_quoted(value)}" for name, value in there)
    return f"{metric}{{{shown}}}" if shown else metric


def _quoted(value: str) -> str:
    return msgspec.json.encode(value).decode() if _QUOTED.intersection(value) else value


def series_infos(
    *patterns: str, labels: Mapping[str, str] | None = None, url: str | None = None, token: str | None = None
) -> list[SeriesInfo]:
    """Return the catalog as structs; needs no pandas.

    Raises:
        ServiceUnavailable: no answer, or the service asks for a pause.
        ServiceRefused: the service refuses the request.
    """
    with HistoryReader(url, token) as reader:
        answer = reader.get("/v1/catalog", selection(patterns, labels))
    return answer.decoded(CatalogJson).series


def catalog(
    *patterns: str, labels: Mapping[str, str] | None = None, url: str | None = None, token: str | None = None
) -> pd.DataFrame:
    """Return every series: metric, labels, unit, time and value of its last reading, count, rate.

    Raises:
        ServiceUnavailable: no answer, or the service asks for a pause.
        ServiceRefused: the service refuses the request.
        MissingExtra: pandas is not installed.
    """
    pandas = _pandas()
    rows = [msgspec.structs.asdict(info) for info in series_infos(*patterns, labels=labels, url=url, token=token)]
    columns = ["metric", "labels", "unit", "time", "value", "text", "count", "rate"]
    frame: pd.DataFrame = pandas.DataFrame(rows, columns=columns)
    frame["time"] = pandas.to_datetime(frame["time"], unit="ms", utc=True)
    return frame


def last(
    *patterns: str, labels: Mapping[str, str] | None = None, url: str | None = None, token: str | None = None
) -> pd.DataFrame:
    """Return the last reading of each series (by its own time), newest first: metric, labels, unit, time, value.

    Raises:
        ServiceUnavailable: no answer, or the service asks for a pause.
        ServiceRefused: the service refuses the request.
        MissingExtra: pandas is not installed.
    """
    frame = catalog(*patterns, labels=labels, url=url, token=token)
    return frame[["metric", "labels", "unit", "time", "value"]].sort_values("time", ascending=False, ignore_index=True)
