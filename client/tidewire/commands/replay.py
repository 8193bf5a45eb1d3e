"""The command `replay`: a recorded file published as if it were live."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tidewire.commands.options import target_option
from tidewire.errors import InvalidInput, MissingExtra
from tidewire.model.batch import checked_time_ms
from tidewire.model.csv_escape import original
from tidewire.publishing.publisher import Publisher, publish_url

__all__ = ["Row", "command", "read_rows"]

_FIXED: Final = ("metric", "time", "value", "unit", "text", "step")
_AHEAD_S: Final = 0.02  # rows due within it are published together
_SHOWN_ERRORS: Final = 3


class Row(NamedTuple):
    """One recorded reading; `time_ms` as recorded."""

    time_ms: float
    metric: str
    value: float | None
    unit: str
    labels: dict[str, str]
    text: str | None
    step: float | None


def _number(text: object, field: str) -> float | None:
    if text is None or text == "":
        return None
    try:
        number = float(str(text))
    except ValueError:
        raise InvalidInput(field, text, "expected a number or nothing") from None
    return None if math.isnan(number) else number


def _empty(cell: object) -> bool:
    return cell is None or cell == "" or (isinstance(cell, float) and math.isnan(cell))


def _time_ms(given: Any) -> float:
    try:
        return checked_time_ms(float(given), now_ms=4e12)
    except (TypeError, ValueError):
        return checked_time_ms(given, now_ms=4e12)


def _row(cells: Mapping[str, Any], line: int) -> Row:
    missing = [name for name in ("metric", "time", "value") if name not in cells]
    if missing:
        raise InvalidInput(f"line {line}", ", ".join(cells), f"lacks the column {missing[0]!r}: metric, time, value")
    labels = {name: str(cell) for name, cell in cells.items() if name not in _FIXED and not _empty(cell)}
    text = cells.get("text")
    return Row(
        time_ms=_time_ms(cells["time"]),
        metric=str(cells["metric"]),
        value=_number(cells["value"], f"line {line}: value"),
        unit=str(cells.get("unit") or ""),
        labels=labels,
        text=str(text) if text not in (None, "") else None,
        step=_number(cells.get("step"), f"line {line}: step"),
    )


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a CSV or Parquet file in order of time.

    Columns metric, time (milliseconds or RFC 3339 with an offset), value, and optionally unit, text, step; every other
    column is a label.

    Raises:
        InvalidInput: a missing column, or a cell that cannot be read; names the line.
        MissingExtra: a Parquet file without pyarrow.
    """
    rows = [_row(cells, line) for line, cells in enumerate(_cells(path), 2)]
    rows.sort(key=lambda row: row.time_ms)
    return rows


def _cells(path: Path) -> Iterator[Mapping[str, Any]]:
    if path.suffix == ".parquet":
        try:
            import pyarrow.parquet as pq  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise MissingExtra("replay of a Parquet file", "notebook") from error
        yield from pq.read_table(path).to_pylist()
    elif path.suffix in {".csv", ".txt"}:
        with path.open(newline="", encoding="utf-8-sig") as file:
            for cells in csv.DictReader(file):
                yield dict(_unmarked(part) for part in cells.items())
    else:
        raise InvalidInput("file", path.name, "expected .csv or .parquet")


def _unmarked(part: tuple[Any, Any]) -> tuple[Any, Any]:
    name, cell = part
    return original(name or ""), original(cell) if isinstance(cell, str) else cell


@click.command("replay")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--speed", default=1.0, type=click.FloatRange(min=0.01), help="2 is twice as fast as recorded.")
@target_option
@click.option("--loop", is_flag=True, help="Start again at the end, until Ctrl-C.")
def command(file: Path, speed: float, target: str | None, loop: bool) -> None:
    """Publish a recorded file as if it were live: tidewire replay shift.csv --speed 10.

    Its times are shifted so that the first reading is now.
    """
    rows = read_rows(file)
    if not rows:
        raise click.ClickException(f"{file.name} holds no rows")
    publisher = Publisher(target)
    refused = 0
    console = Console(stderr=True)
    columns = (TextColumn(file.name), BarColumn(), MofNCompleteColumn(), TextColumn("readings"), TimeRemainingColumn())
    try:
        with Progress(*columns, console=console) as progress:
            task = progress.add_task("replay", total=None if loop else len(rows))
            while True:
                refused += _play(rows, speed, publisher, lambda n: progress.advance(task, n))
                if not loop:
                    break
        sent = publisher.flush(30.0)
    except KeyboardInterrupt:
        sent = publisher.flush(2.0)
    stats = publisher.stats
    publisher.close(0.0)
    click.echo(
        f"{stats.sent} readings published to {publish_url(target).rpartition('@')[2]}, {refused} refused", err=True
    )
    if not sent or stats.rejected:
        raise click.ClickException(stats.last_error or "not everything could be sent")


def _play(rows: list[Row], speed: float, publisher: Publisher, advance: Any) -> int:
    """Publish the rows at their times, shifted to now and sped up; return how many were refused."""
    first_ms, started_s = rows[0].time_ms, time.time()
    refused = done = 0
    for number, row in enumerate(rows, 1):
        due_s = started_s + (row.time_ms - first_ms) / 1e3 / speed
        if due_s - time.time() > _AHEAD_S:
            advance(number - 1 - done)
            done = number - 1
            time.sleep(max(0.0, due_s - time.time()))
        try:
            publisher.publish(
                row.metric, row.value, unit=row.unit, labels=row.labels, time=due_s * 1e3, text=row.text, step=row.step
            )
        except InvalidInput as error:
            refused += 1
            if refused <= _SHOWN_ERRORS:
                click.echo(f"row {number}: {error}", err=True)
    advance(len(rows) - done)
    return refused
