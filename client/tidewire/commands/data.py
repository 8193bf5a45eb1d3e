"""The commands `publish`, `tail` and `catalog`."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from types import FrameType
from typing import Any, Final

import click
import msgspec
from rich.console import Console
from rich.live import Live as LiveDisplay
from rich.table import Table
from rich.text import Text

from tidewire.model.states import Connected, Gap, Lost, Reset, Skipped, StreamBatch
from tidewire.model.states import Live as CaughtUp
from tidewire.publishing.publisher import Publisher, publish_url
from tidewire.subscribing.frames import SeriesInfo, series_infos
from tidewire.subscribing.subscriber import stream

__all__ = ["catalog_command", "labels_of", "publish_command", "tail_command"]

_ROWS: Final = 200  # of the live table; more series would not fit any terminal


def labels_of(given: tuple[str, ...]) -> dict[str, str]:
    """Return labels of ``name=value`` options.

    Raises:
        click.BadParameter: one without ``=``.
    """
    labels = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals:
            raise click.BadParameter(f"{each!r}: expected name=value", param_hint="--label")
        labels[name] = value
    return labels


_label_option = click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="A label; may be repeated.")
_url_option = click.option("--url", default=None, help="The service  [TIDEWIRE_URL; default http://127.0.0.1:8000]")


@click.command("publish")
@click.argument("metric")
@click.argument("value", type=float)
@click.option("--unit", default="", help="UCUM, such as Cel, % or By/s.")
@click.option("--text", default=None, help="Makes the reading an event.")
@_label_option
@click.option(
    "--to", "target", default=None, help="redis:// or http:// to publish to  [TIDEWIRE_REDIS or TIDEWIRE_URL]"
)
def publish_command(
    metric: str, value: float, unit: str, text: str | None, labels: tuple[str, ...], target: str | None
) -> None:
    """Publish one reading: tidewire publish furnace/temperature 921.4 --unit Cel"""  # noqa: D415
    publisher = Publisher(target)
    publisher.publish(metric, value, unit=unit, text=text, labels=labels_of(labels))
    sent = publisher.flush(5.0)
    stats = publisher.stats
    publisher.close(0.0)
    if not sent or stats.rejected:
        raise click.ClickException(f"not published to {publish_url(target).rpartition('@')[2]}: {stats.last_error}")
    click.echo(f"{metric} {value:g}{' ' + unit if unit else ''} published")


def _line(batch: StreamBatch) -> str:
    stamp = datetime.fromtimestamp(batch.time[-1] / 1e3, UTC).astimezone().strftime("%H:%M:%S.%f")[:-3]
    labels = "".join(f" {name}={value}" for name, value in batch.labels.items())
    shown = "\N{EN DASH}" if batch.value[-1] is None else f"{batch.value[-1]:g}"
    shown += f" {batch.unit}" if batch.unit else ""
    more = f"  ({len(batch)} readings)" if len(batch) > 1 else ""
    text = f"  {batch.text[-1]}" if batch.text and batch.text[-1] else ""
    return f"{stamp}  {batch.metric}{labels}  {shown}{text}{more}"


def _said(state: object) -> str | None:
    match state:
        case Connected():
            narrowed = f", of {' '.join(state.narrowed_to)}: the token sees no more" if state.narrowed_to else ""
            return f"connected, {state.matched} metrics match{narrowed}" + (", resumed" if state.resumed else "")
        case CaughtUp():
            return "live"
        case Gap():
            return f"gap ({state.kind}): {state.metric or 'some readings'} cannot be replayed"
        case Reset():
            return f"reset: {state.reason}"
        case Skipped():
            return f"skipped {state.count} batches of {state.metric or 'some metrics'}: this reader is slow"
        case Lost():
            return f"connection lost ({state.reason}); next attempt in {state.retry_s:.1f} s"
        case _:
            return None


@click.command("tail")
@click.argument("patterns", nargs=-1, required=True)
@click.option("--replay", default="last", help="last, none, or a span such as 5m.")
@click.option("--every", default=None, help="One batch per series and interval, such as 1s.")
@click.option("--json", "as_json", is_flag=True, help="One JSON batch per line.")
@click.option("--lines", is_flag=True, help="One line per batch, also in a terminal.")
@_label_option
@_url_option
def tail_command(
    patterns: tuple[str, ...],
    replay: str,
    every: str | None,
    as_json: bool,
    lines: bool,
    labels: tuple[str, ...],
    url: str | None,
) -> None:
    """Show readings live: tidewire tail 'furnace/**'"""  # noqa: D415
    items = stream(*patterns, url=url, replay=replay, every=every, labels=labels_of(labels), states=True)
    try:
        if as_json or lines or not sys.stdout.isatty():
            signal.signal(signal.SIGINT, _end_at_once)
            for item in items:
                if isinstance(item, StreamBatch):
                    click.echo(msgspec.json.encode(item).decode() if as_json else _line(item))
                elif (said := _said(item)) is not None:
                    click.echo(f"# {said}", err=True)
        else:
            _show_table(items)
    except (KeyboardInterrupt, BrokenPipeError):
        return
    finally:
        items.close()


def _end_at_once(number: int, frame: FrameType | None) -> None:
    """End the command; every line is flushed as it is printed.

    A KeyboardInterrupt can be lost where Python ignores exceptions (a finalizer, a callback): the command went on then.
    """
    os._exit(0)


def _show_table(items: Any) -> None:
    """Keep one row per series, its last reading and its age."""
    rows: dict[tuple[str, str], tuple[StreamBatch, float]] = {}
    status, drawn_s = "connecting", 0.0
    with LiveDisplay(console=Console(), refresh_per_second=8, screen=False) as display:
        for item in items:
            if isinstance(item, StreamBatch):
                rows[item.metric, str(item.labels)] = item, time.time()
            elif (said := _said(item)) is not None:
                status = said
            if time.monotonic() - drawn_s > 0.1 or not isinstance(item, StreamBatch):
                drawn_s = time.monotonic()
                display.update(_table(rows, status))


def _table(rows: Mapping[tuple[str, str], tuple[StreamBatch, float]], status: str) -> Table:
    table = Table(caption=status, caption_justify="left", box=None, pad_edge=False)
    for name, justify in (
        ("metric", "left"),
        ("labels", "left"),
        ("value", "right"),
        ("unit", "left"),
        ("age", "right"),
    ):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for key in sorted(rows)[:_ROWS]:
        batch, seen_s = rows[key]
        value = "\N{EN DASH}" if batch.value[-1] is None else f"{batch.value[-1]:.6g}"
        labels = " ".join(f"{name}={label}" for name, label in batch.labels.items())
        age_s = max(0.0, time.time() - seen_s)
        age = Text(f"{age_s:.1f} s", style="dim" if age_s < 5 else "yellow")
        table.add_row(Text(batch.metric), Text(labels, style="dim"), Text(value, style="bold"), Text(batch.unit), age)
    return table


@click.command("catalog")
@click.argument("patterns", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@_label_option
@_url_option
def catalog_command(patterns: tuple[str, ...], as_json: bool, labels: tuple[str, ...], url: str | None) -> None:
    """List every series with its last reading: tidewire catalog 'host/**'"""  # noqa: D415
    found = series_infos(*patterns, labels=labels_of(labels), url=url)
    if as_json:
        for info in found:
            click.echo(msgspec.json.encode(info).decode())
        return
    table = Table(box=None, pad_edge=False)
    for name, justify in (("metric", "left"), ("labels", "left"), ("value", "right"), ("unit", "left")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    table.add_column("last reading", justify="right")
    table.add_column("readings", justify="right")
    for info in found:
        table.add_row(*_cells(info))
    Console().print(table if found else Text("no series match"))


def _cells(info: SeriesInfo) -> tuple[Text, ...]:
    labels = " ".join(f"{name}={label}" for name, label in info.labels.items())
    value = "\N{EN DASH}" if info.value is None else f"{info.value:.6g}"
    stamp = datetime.fromtimestamp(info.time / 1e3, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    cells = (info.metric, labels, value, info.unit, stamp, f"{info.count:,}")
    return tuple(Text(cell) for cell in cells)
