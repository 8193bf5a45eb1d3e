"""The command `export`: readings of a span into a CSV, Parquet or NDJSON file, however many there are."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Protocol, cast

import click
import msgspec
from rich.console import Console
from rich.progress import Progress

from tidewire.commands.options import label_option, parse_labels, url_option
from tidewire.errors import MissingExtra
from tidewire.model.csv_escape import inert
from tidewire.subscribing.history_pages import Load, Reader

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["command"]

_FIXED: Final = ("metric", "time", "value", "unit", "text", "step")
_BUCKETS: Final = ("metric", "time", "value", "min", "max", "mean", "count", "unit")


class _Writer(Protocol):
    def write(self, table: pa.Table) -> None: ...

    def close(self) -> None: ...


class _Csv:
    def __init__(self, out: IO[bytes], names: Sequence[str]) -> None:
        self._text = io.TextIOWrapper(cast("Any", out), encoding="utf-8", newline="")
        self._writer = csv.writer(self._text, lineterminator="\n")
        self._writer.writerow([inert(name) for name in names])

    def write(self, table: pa.Table) -> None:
        columns = []
        for name in table.column_names:
            column = _numbers_of_time(table[name]).to_pylist()
            if table.schema.field(name).type == "string":
                column = [None if cell is None else inert(cell) for cell in column]
            columns.append(column)
        self._writer.writerows(zip(*columns, strict=True))

    def close(self) -> None:
        self._text.flush()
        self._text.detach()


class _Ndjson:
    def __init__(self, out: IO[bytes], names: Sequence[str]) -> None:
        self._out, self._names = out, names
        self._encode = msgspec.json.Encoder().encode

    def write(self, table: pa.Table) -> None:
        columns = [_numbers_of_time(table[name]).to_pylist() for name in self._names]
        self._out.writelines(
            self._encode({name: cell for name, cell in zip(self._names, row, strict=True) if cell is not None}) + b"\n"
            for row in zip(*columns, strict=True)
        )

    def close(self) -> None:
        self._out.flush()


class _Parquet:
    def __init__(self, out: IO[bytes], schema: pa.Schema) -> None:
        import pyarrow.parquet as pq  # noqa: PLC0415 - heavy, and an extra

        self._writer = pq.ParquetWriter(out, schema, compression="zstd")

    def write(self, table: pa.Table) -> None:
        self._writer.write_table(table)

    def close(self) -> None:
        self._writer.close()


def _numbers_of_time(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return times as milliseconds since the Unix epoch, as they are in batches; other columns as they are."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    if not pa.types.is_timestamp(column.type):
        return column
    return pc.divide(column.cast(pa.int64()).cast(pa.float64()), 1e3)


def _schema(labels: Sequence[str], buckets: bool) -> pa.Schema:
    import pyarrow as pa  # noqa: PLC0415 - heavy, and an extra

    kinds = {name: pa.string() for name in ("metric", "unit", "text")}
    kinds |= {"time": pa.timestamp("us", "UTC"), "count": pa.int64()}
    fixed = _BUCKETS if buckets else _FIXED
    fields = [(name, kinds.get(name, pa.float64())) for name in fixed]
    return pa.schema([*fields, *((f"label.{name}" if name in fixed else name, pa.string()) for name in labels)])


def _fitted(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return a page with the columns of the file: what a page has not is null."""
    import pyarrow as pa  # noqa: PLC0415 - heavy, and an extra

    columns = []
    for field in schema:
        name = field.name
        if name not in table.column_names and name.startswith("label."):
            name = name.removeprefix("label.")  # a label whose name is no column of this page
        found = table[name] if name in table.column_names else pa.nulls(table.num_rows)
        columns.append(found.cast(field.type))
    return pa.table(columns, schema=schema)


@contextlib.contextmanager
def _target(out: str) -> Iterator[IO[bytes]]:
    """Yield where to write; a file appears under its name only when it is whole."""
    if out == "-":
        yield sys.stdout.buffer
        return
    path = Path(out)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            yield file
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[float], None]]:
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("export", total=1.0)
        yield lambda share: progress.update(task, completed=share)


@click.command("export")
@click.argument("patterns", nargs=-1, required=True)
@click.option("--start", default="-1h", show_default=True, help="-15m, RFC 3339 with an offset, or Unix milliseconds.")
@click.option("--end", default=None, help="As --start; everything newer if left out.")
@click.option("--points", type=int, default=None, help="Buckets in place of the readings themselves.")
@click.option(
    "--format", "form", type=click.Choice(["csv", "parquet", "ndjson"]), default=None, help="Else by the file's ending."
)
@click.option("--out", "-o", default="-", help="A file, or - for standard output.  [default: -]")
@label_option
@url_option
def command(
    patterns: tuple[str, ...],
    start: str,
    end: str | None,
    points: int | None,
    form: str | None,
    out: str,
    labels: tuple[str, ...],
    url: str | None,
) -> None:
    """Write readings to a file: tidewire export 'furnace/**' --start -24h -o furnace.parquet"""  # noqa: D415
    form = form or {".parquet": "parquet", ".ndjson": "ndjson", ".jsonl": "ndjson"}.get(Path(out).suffix, "csv")
    if form == "parquet" and out == "-" and sys.stdout.isatty():
        raise click.UsageError("Parquet is no text; name a file with --out.")
    readings = 0
    try:
        with Reader(url) as reader, _progress() as told:
            load = Load(reader, patterns, parse_labels(labels), start, end, points)
            schema = _schema(load.label_names(), points is not None)
            with _target(out) as file, contextlib.closing(_writer(form, file, schema)) as writer:
                for page in load.pages(told):
                    writer.write(_fitted(page, schema))
                    readings += page.num_rows
    except MissingExtra as error:
        raise click.ClickException(str(error)) from error
    except BrokenPipeError:
        os._exit(0)  # whoever read it has seen enough
    what = "buckets" if points is not None else "readings"
    click.echo(f"{readings:,} {what}" + ("" if out == "-" else f" in {out}"), err=True)


def _writer(form: str, file: IO[bytes], schema: pa.Schema) -> _Writer:
    if form == "parquet":
        return _Parquet(file, schema)
    return (_Csv if form == "csv" else _Ndjson)(file, schema.names)
