"""The command `replay`: a recorded file published as if it were live."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tidewire.commands.options import target_option
from tidewire.commands.terminal import echo, plain
from tidewire.errors import InvalidInput, LimitExceeded, MissingExtra
from tidewire.model.batch import checked_time_ms, checked_value
from tidewire.model.csv_rows import csv_text, field_of_column, parse_number, read_csv_rows
from tidewire.model.table_writers import label_of_column
from tidewire.publishing.publisher import Publisher, publish_url
from tidewire.settings import without_password

__all__ = ["Row", "command", "read_rows"]

_FAR_MS: Final = 4e12  # a recording may lie ahead of this machine's clock: it is shifted to now
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


def _empty(cell: object) -> bool:
    return cell is None or cell == "" or (isinstance(cell, float) and math.isnan(cell))


def _text(field: str, cell: object) -> str:
    if isinstance(cell, bytes):  # a column of Parquet whose writer did not say that it is text
        try:
            return cell.decode()
        except UnicodeDecodeError:
            raise InvalidInput(field, cell, "is not UTF-8") from None
    if not isinstance(cell, str):
        raise InvalidInput(field, cell, f"expected a text, got {type(cell).__name__}")
    return cell


def _number(field: str, cell: object) -> float | None:
    return parse_number(field, cell) if isinstance(cell, str) else checked_value(cell, field=field)


def _checked_row(fields: Mapping[str, Any], where: str) -> Row:
    """Check one row.

    Raises:
        InvalidInput: names the row and the field.
    """
    missing = next((name for name in ("metric", "time", "value") if name not in fields), None)
    if missing is not None:
        raise InvalidInput(where, ", ".join(fields), f"lacks {missing!r}; every row needs metric, time and value")
    text, unit = fields.get("text"), fields.get("unit")
    try:
        return Row(
            time_ms=checked_time_ms(fields["time"], now_ms=_FAR_MS),
            metric=_text("metric", fields["metric"]),
            value=_number("value", fields["value"]),
            unit="" if _empty(unit) else _text("unit", unit),
            labels=fields.get("labels", {}),
            text=None if _empty(text) else _text("text", text),
            step=_number("step", fields.get("step")),
        )
    except InvalidInput as error:
        raise error.at(where) from None


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a file in order of time: CSV, TSV, NDJSON or Parquet, by its suffix.

    Columns metric, time (milliseconds or RFC 3339 with an offset), value, and optionally unit, text, step; every other
    column is a label, also one of these with ``label.`` before it. A line of NDJSON may have ``labels`` as well.

    Raises:
        InvalidInput: a file of another kind, a missing column, or a cell that cannot be read; names the line.
        MissingExtra: a Parquet file without pyarrow.
    """
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise InvalidInput("file", path.name, f"expected one of {', '.join(_READERS)}")
    rows = []
    try:
        for place, fields in read(path):
            if isinstance(fields, InvalidInput):
                raise fields.at(place)
            rows.append(_checked_row(fields, place))
    except OSError as error:
        raise InvalidInput("file", str(path), error.strerror or str(error)) from error
    rows.sort(key=lambda row: row.time_ms)
    return rows


def _csv_rows(path: Path, delimiter: str = ",") -> Iterator[_Placed]:
    for line, row in read_csv_rows(csv_text(path.read_bytes()), delimiter=delimiter):
        yield f"line {line}", row


def _ndjson_rows(path: Path) -> Iterator[_Placed]:
    for number, ended in enumerate(csv_text(path.read_bytes()), 1):
        line = ended.strip("\ufeff \t\r\n")  # a mark begins each of several files that were joined
        if not line:
            continue
        try:
            cells = msgspec.json.decode(line, type=dict[str, Any])
        except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError) as error:
            raise InvalidInput(f"line {number}", line, f"{error}; expected JSON") from None
        columns = {name: cell for name, cell in cells.items() if isinstance(cell, list)}  # as exports write a series
        if {"min", "max", "mean", "count"} <= columns.keys():
            raise InvalidInput(f"line {number}", ", ".join(columns), "are buckets, which are no readings")
        if len({len(cell) for cell in columns.values()}) > 1:
            raise InvalidInput(f"line {number}", ", ".join(columns), "differ in length")
        for row in zip(*columns.values(), strict=True) if columns else [()]:
            yield f"line {number}", _fields_of(cells | dict(zip(columns, row, strict=True)))


def _parquet_rows(path: Path) -> Iterator[_Placed]:
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtra("replay of a Parquet file", "notebook") from error
    try:
        table = pq.read_table(path)
    except pa.ArrowException as error:
        raise InvalidInput("file", path.name, f"is no Parquet file: {error}") from None
    for number, cells in enumerate(table.to_pylist(), 1):
        yield f"row {number}", _fields_of(cells)


def _fields_of(cells: Mapping[str, Any]) -> Mapping[str, Any] | InvalidInput:
    labels: dict[str, str] = {}
    fields: dict[str, Any] = {"labels": labels}
    try:
        for column, cell in cells.items():
            name, is_label = field_of_column(column)
            if not is_label:
                fields[name] = cell
            elif column == "labels":
                labels |= {label: _label(label, value) for label, value in _pairs(cell) if value is not None}
            elif not _empty(cell) or (cell == "" and label_of_column(column) is not None):
                labels[name] = _label(name, cell)
    except InvalidInput as error:
        return error
    return fields


def _pairs(cell: object) -> list[tuple[str, object]]:
    """Return the names and values of a cell of labels: an object, a struct, or a map of Parquet."""
    pairs = list(cell.items()) if isinstance(cell, dict) else [] if _empty(cell) else cell
    if not isinstance(pairs, list) or not all(isinstance(pair, tuple) and len(pair) == 2 for pair in pairs):
        raise InvalidInput("labels", cell, "expected an object of texts, such as {'site': 'A'}")
    return pairs


def _label(name: str, cell: object) -> str:
    if isinstance(cell, (dict, list)):
        raise InvalidInput(f"labels[{name!r}]", cell, "expected one text")
    return _text(name, cell) if isinstance(cell, bytes) else str(cell)


_Placed: TypeAlias = tuple[str, Mapping[str, Any] | InvalidInput]
_READERS: Final[Mapping[str, Callable[[Path], Iterator[_Placed]]]] = {
    ".csv": _csv_rows,
    ".txt": _csv_rows,
    ".tsv": partial(_csv_rows, delimiter="\t"),
    ".ndjson": _ndjson_rows,
    ".jsonl": _ndjson_rows,
    ".parquet": _parquet_rows,
}


def _checked_speed(_context: click.Context, _option: click.Parameter, speed: float) -> float:
    if math.isnan(speed):  # lies in any range
        raise click.BadParameter("expected a number")
    return speed


@click.command("replay")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--speed",
    default=1.0,
    type=click.FloatRange(min=0.01),
    callback=_checked_speed,
    help="Speed relative to the recording; 2 is twice as fast.",
)
@target_option
@click.option("--loop", is_flag=True, help="Repeat until Ctrl-C.")
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
    columns = (
        TextColumn(plain(file.name), markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("readings"),
        TimeRemainingColumn(),
    )
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
    where = without_password(publish_url(target))
    echo(f"{stats.sent} readings published to {where}, {refused} refused", err=True)
    if not sent or stats.rejected:
        raise click.ClickException(stats.last_error or "not everything could be sent")
    if refused:
        raise click.ClickException(f"{refused} of the rows can never be published as they are")


def _play(rows: list[Row], speed: float, publisher: Publisher, advance: Any) -> int:
    """Publish the rows at their times, shifted to now and scaled by `speed`; return how many were refused."""
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
        except (InvalidInput, LimitExceeded) as error:
            refused += 1
            if refused <= _SHOWN_ERRORS:
                echo(f"row {number}: {error}", err=True)
    advance(len(rows) - done)
    return refused
