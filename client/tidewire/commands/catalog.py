"""The command `catalog`: every series with its last reading."""

from __future__ import annotations

from datetime import UTC, datetime

import click
import msgspec
from rich.table import Table
from rich.text import Text

from tidewire.commands.options import label_option, parse_labels, url_option
from tidewire.commands.terminal import echo, plain, print_table
from tidewire.model.ages import way_text
from tidewire.model.answers import SeriesInfo
from tidewire.model.batch import FINISHED
from tidewire.model.cursor import id_ms, parse_id
from tidewire.model.numbers import as_given
from tidewire.subscribing.frames import series_infos

__all__ = ["command"]


@click.command("catalog")
@click.argument("patterns", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@label_option
@url_option
def command(patterns: tuple[str, ...], as_json: bool, labels: tuple[str, ...], url: str | None) -> None:
    """List every series with its last reading: tidewire catalog 'host/**'"""  # noqa: D415
    found = series_infos(*patterns, labels=parse_labels(labels), url=url)
    if as_json:
        for info in found:
            echo(msgspec.json.encode(info).decode())
        return
    table = Table(box=None, pad_edge=False)
    for name, justify in (("metric", "left"), ("labels", "left"), ("value", "right"), ("unit", "left")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    table.add_column("last reading", justify="right")
    table.add_column("readings", justify="right")
    for info in found:
        table.add_row(*_cells(info))
    if found:
        print_table(table)
    else:
        click.echo("no series match")


def _cells(info: SeriesInfo) -> tuple[Text, ...]:
    labels = " ".join(f"{name}={label}" for name, label in info.labels.items())
    value = (info.text or "\N{EN DASH}") if info.value is None else as_given(info.value)
    stamp = datetime.fromtimestamp(info.time / 1e3, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    came_ms = id_ms(parse_id(info.reading_id or info.id))
    ended = info.text == FINISHED and info.value is not None
    words = FINISHED if ended else way_text(info.time, came_ms)
    stamp = f"{stamp}, {words}" if words else stamp
    cells = (info.metric, labels, value, info.unit, stamp, f"{info.count:,}")
    return tuple(Text(plain(cell)) for cell in cells)
