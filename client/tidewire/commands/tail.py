"""The command `tail`: readings live in the terminal."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from types import FrameType
from typing import Any, Final, NamedTuple

import click
import msgspec
from rich.console import Console
from rich.live import Live as LiveDisplay
from rich.table import Table
from rich.text import Text

from tidewire.commands.options import label_option, parse_labels, url_option
from tidewire.commands.terminal import echo, plain
from tidewire.model.ages import span_text, way_text
from tidewire.model.batch import FINISHED, newest_of
from tidewire.model.cursor import id_ms
from tidewire.model.numbers import as_given
from tidewire.model.positions import own_component
from tidewire.model.states import Connected, Gap, Lost, Reset, Skipped, Stalled, StreamBatch
from tidewire.model.states import Live as CaughtUp
from tidewire.subscribing.subscriber import stream

__all__ = ["command"]

_ROWS: Final = 200  # of the live table; more series would not fit any terminal
_NAMED: Final = 3  # metrics of a partition in a line about it
_OLD_MS: Final = 5_000.0  # an age from which on it is not dim
_TENTHS_MS: Final = 10_000.0  # and below which it has tenths of a second


def _clock(time_ms: float) -> str:
    return datetime.fromtimestamp(time_ms / 1e3, UTC).astimezone().strftime("%H:%M:%S.%f")[:-3]


def _metrics(state: Stalled | Reset) -> str:
    """Return some metrics of a partition, and how many more there are."""
    named = state.metrics[:_NAMED]
    more = len(state.metrics) - len(named) + state.more
    return f"{', '.join(named)}{f' and {more} more' if more else ''}"


def _line(batch: StreamBatch) -> str:
    stamp = _clock(batch.time[-1])
    labels = "".join(f" {name}={value}" for name, value in batch.labels.items())
    shown = "\N{EN DASH}" if batch.value[-1] is None else as_given(batch.value[-1])
    shown += f" {batch.unit}" if batch.unit else ""
    more = f"  ({len(batch)} readings)" if len(batch) > 1 else ""
    text = f"  {batch.text[-1]}" if batch.text and batch.text[-1] else ""
    way = _way(batch, len(batch) - 1)
    return f"{stamp}  {batch.metric}{labels}  {shown}{text}{more}{f'  ({way})' if way else ''}"


def _way(batch: StreamBatch, place: int) -> str:
    """Return how late a reading came; empty if that is not known: in a snapshot, of an interval, or of the last one."""
    if not batch.cursor or batch.every_ms or _is_last(batch, place):
        return ""
    return way_text(batch.time[place], float(id_ms(own_component(batch.cursor).cursor.id)))


def _describe_state(state: object) -> str | None:
    match state:
        case Connected():
            narrowed = f", of {' '.join(state.narrowed_to)}: the token sees no more" if state.narrowed_to else ""
            return f"connected, {state.matched} metrics match{narrowed}" + (", resumed" if state.resumed else "")
        case CaughtUp():
            return "live"
        case Stalled():
            since = _clock(state.since_ms).removesuffix(".000")
            return f"partition {state.partition} of the log does not answer since {since}; late: {_metrics(state)}"
        case Gap():
            return f"gap ({state.kind}): {state.metric or 'some readings'} cannot be replayed"
        case Reset(partition=None):
            return f"reset: {state.reason}"
        case Reset():
            return f"reset of partition {state.partition} ({state.reason}): {_metrics(state)}"
        case Skipped():
            return f"skipped {state.count} batches of {state.metric or 'some metrics'}: this reader is slow"
        case Lost():
            return f"connection lost ({state.reason}); next attempt in {state.retry_s:.1f} s"
        case _:
            return None


@click.command("tail")
@click.argument("patterns", nargs=-1, required=True)
@click.option("--replay", default="last", help="Readings to begin with: last, none, or a span such as 5m.")
@click.option("--every", default=None, help="Receive one batch per series and interval, such as 1s.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON batch per line.")
@click.option("--lines", is_flag=True, help="Print one line per batch, also in a terminal.")
@label_option
@url_option
def command(
    patterns: tuple[str, ...],
    replay: str,
    every: str | None,
    as_json: bool,
    lines: bool,
    labels: tuple[str, ...],
    url: str | None,
) -> None:
    """Show readings live: tidewire tail 'furnace/**'"""  # noqa: D415
    items = stream(*patterns, url=url, replay=replay, every=every, labels=parse_labels(labels), states=True)
    try:
        if as_json or lines or not sys.stdout.isatty():
            signal.signal(signal.SIGINT, _exit_immediately)
            for item in items:
                if isinstance(item, StreamBatch):
                    echo(msgspec.json.encode(item).decode() if as_json else _line(item))
                elif (description := _describe_state(item)) is not None:
                    echo(f"# {description}", err=True)
        else:
            _show_table(items)
    except (KeyboardInterrupt, BrokenPipeError):
        return
    finally:
        items.close()


def _exit_immediately(number: int, frame: FrameType | None) -> None:
    """Exit without unwinding: every line is flushed as it is printed.

    A KeyboardInterrupt can be lost where Python ignores exceptions (a finalizer, a callback): the command went on then.
    """
    os._exit(0)


def _is_last(batch: StreamBatch, place: int) -> bool:
    return batch.text is not None and batch.text[place] == FINISHED and batch.value[place] is not None


class _Row(NamedTuple):
    """The newest reading of a series by its own time: its batch and its place there."""

    batch: StreamBatch
    place: int

    def age(self, now_ms: float) -> Text:
        """Return how old it is, or how far its clock is ahead; and how late it came, or that it was the last one."""
        batch, place = self
        way, age_ms = _way(batch, place), now_ms - batch.time[place]
        if _is_last(batch, place):
            return Text(f"finished {span_text(age_ms)} ago", style="dim")
        if age_ms < 0 and way:
            return Text(way, style="yellow")
        age = f"{max(0.0, age_ms) / 1e3:.1f} s" if age_ms < _TENTHS_MS else span_text(age_ms)
        return Text(f"{age}, {way}" if way else age, style="yellow" if way or age_ms >= _OLD_MS else "dim")


def _row_after(row: _Row | None, batch: StreamBatch) -> _Row:
    """Return the row of a series after one more batch."""
    place = newest_of(batch.time)
    if row is not None and batch.time[place] < row.batch.time[row.place]:
        return row
    return _Row(batch, place)


def _show_table(items: Any) -> None:
    """Draw a table with one row per series: its last reading and the age of it."""
    rows: dict[tuple[str, str], _Row] = {}
    status, drawn_s = "connecting", 0.0
    with LiveDisplay(console=Console(), refresh_per_second=8, screen=False) as display:
        for item in items:
            if isinstance(item, StreamBatch):
                key = (item.metric, str(item.labels))
                rows[key] = _row_after(rows.get(key), item)
            elif (description := _describe_state(item)) is not None:
                status = description
            if time.monotonic() - drawn_s > 0.1 or not isinstance(item, StreamBatch):
                drawn_s = time.monotonic()
                display.update(_table(rows, status))


def _table(rows: Mapping[tuple[str, str], _Row], status: str) -> Table:
    table = Table(caption=Text(plain(status)), caption_justify="left", box=None, pad_edge=False)
    for name, justify in (
        ("metric", "left"),
        ("labels", "left"),
        ("value", "right"),
        ("unit", "left"),
        ("age", "right"),
    ):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for key in sorted(rows)[:_ROWS]:
        batch, place = rows[key]
        number = batch.value[place]
        word = batch.text[place] if batch.text else None
        value = (word or "\N{EN DASH}") if number is None else as_given(number)
        labels = " ".join(f"{name}={label}" for name, label in batch.labels.items())
        names = Text(plain(batch.metric)), Text(plain(labels), style="dim")
        table.add_row(
            *names, Text(plain(value), style="bold"), Text(plain(batch.unit)), rows[key].age(time.time() * 1e3)
        )
    return table
