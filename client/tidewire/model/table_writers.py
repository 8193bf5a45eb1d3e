"""The formats of exported tables, one entry of `TABLE_FORMATS` each; written page by page over Arrow, pure.

A table is long: a row for each reading or bucket, the columns of `READING_COLUMNS` or `BUCKET_COLUMNS`, and for each
label a column ``label.<name>``, so that a label may have any name. Columns ``text`` and ``step`` and those of labels
are left out where no row has one. `POST /v1/readings` and `tidewire replay` read CSV of readings back. In CSV and
NDJSON a time is milliseconds since the Unix epoch, as in a batch.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple, Protocol, cast

import msgspec

from tidewire.model.csv_escape import inert

if TYPE_CHECKING:
    import pyarrow as pa

# pyarrow is heavy, and an extra: each function that needs it imports it.

__all__ = [
    "BUCKET_COLUMNS",
    "READING_COLUMNS",
    "TABLE_FORMATS",
    "TableFormat",
    "TableWriter",
    "common_schema",
    "compacted",
    "conformed",
    "encode_table",
    "fixed_columns",
    "label_column",
    "label_of_column",
]

READING_COLUMNS: Final = ("metric", "time", "value", "unit", "text", "step")
BUCKET_COLUMNS: Final = ("metric", "time", "value", "min", "max", "mean", "count", "unit")
_RARE: Final = ("text", "step")
_PREFIX: Final = "label."
_ROWS: Final = 10_000  # turned into Python objects at a time


class TableWriter(Protocol):
    """Writes tables of one schema to a file, one after another; `close` ends the format, and leaves the file open."""

    def write(self, table: pa.Table) -> None:
        """Write the rows of a table."""

    def close(self) -> None:
        """Write what the format needs at its end."""


class TableFormat(NamedTuple):
    """One format.

    Attributes:
        media_type: for ``Content-Type``.
        suffixes: of file names; the first is that of files which Tidewire names.
        text: whether a terminal can show it.
        open: makes a writer of a file and the schema of all tables.
    """

    media_type: str
    suffixes: tuple[str, ...]
    text: bool
    open: Callable[[IO[bytes], pa.Schema], TableWriter]


def label_column(label: str) -> str:
    """Return the name of the column of a label."""
    return f"{_PREFIX}{label}"


def label_of_column(name: str) -> str | None:
    """Return the label that a column of a table holds, None if it holds none."""
    return name.removeprefix(_PREFIX) if name.startswith(_PREFIX) else None


def fixed_columns(names: Sequence[str]) -> tuple[str, ...]:
    """Return which fixed columns a table with these columns may have."""
    buckets = tuple(names[: len(BUCKET_COLUMNS)]) == BUCKET_COLUMNS
    return (*BUCKET_COLUMNS, "text") if buckets else READING_COLUMNS


def _labels(names: Sequence[str]) -> dict[str, str]:
    """Return the label of each column that holds one, by name of the label."""
    found = ((name, label_of_column(name)) for name in sorted(names))  # in the order of the labels: all have one prefix
    return {name: label for name, label in found if label is not None}


def common_schema(schemas: Iterable[pa.Schema]) -> pa.Schema:
    """Return the schema that holds all columns of some tables, with the metadata of the first."""
    import pyarrow as pa  # noqa: PLC0415

    first, *others = schemas
    fields = {field.name: field for schema in (first, *others) for field in schema}
    fixed = [name for name in fixed_columns(first.names) if name in fields]
    return pa.schema([fields[name] for name in (*fixed, *_labels([*fixed, *fields]))], first.metadata)


def conformed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return a table with the columns of a schema: null where it has none."""
    import pyarrow as pa  # noqa: PLC0415

    columns = [
        table[field.name].cast(field.type) if field.name in table.column_names else pa.nulls(len(table), field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def compacted(table: pa.Table) -> pa.Table:
    """Return a table in its one form: no rare column that is empty, each dictionary in the order of its first use."""
    import pyarrow as pa  # noqa: PLC0415

    rare = {*_RARE, *_labels(table.column_names)}
    names = [name for name in table.column_names if name not in rare or table[name].null_count < len(table)]
    schema = common_schema([table.select(names).schema])
    columns = []
    for field in schema:
        column = table[field.name]
        if pa.types.is_dictionary(field.type):
            column = column.cast(field.type.value_type).combine_chunks().dictionary_encode()
        columns.append(column)
    return pa.table(columns, schema=schema).combine_chunks()


def encode_table(form: TableFormat, table: pa.Table) -> bytes:
    """Return a table as the bytes of a file."""
    out = io.BytesIO()
    writer = form.open(out, table.schema)
    writer.write(table)
    writer.close()
    return out.getvalue()


def _cells(column: pa.Array | pa.ChunkedArray) -> list[Any]:
    """Return a column as Python objects; times as milliseconds since the Unix epoch."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    if pa.types.is_timestamp(column.type):
        column = pc.divide(column.cast(pa.int64()).cast(pa.float64()), 1e3)
    return cast("list[Any]", column.to_pylist())


class _Lines:
    """Takes rows that end in CR LF and writes them with LF."""

    def __init__(self, out: IO[str]) -> None:
        self._out = out

    def write(self, row: str) -> None:
        self._out.write(row.removesuffix("\r\n") + "\n")


class _Csv:
    def __init__(self, out: IO[bytes], schema: pa.Schema) -> None:
        self._text = io.TextIOWrapper(cast("Any", out), encoding="utf-8", newline="")
        # of a cell's line ends csv quotes those in its own, before Python 3.13
        self._writer = csv.writer(_Lines(self._text), lineterminator="\r\n")
        self._writer.writerow([inert(name) for name in schema.names])

    def write(self, table: pa.Table) -> None:
        for batch in table.to_batches(max_chunksize=_ROWS):
            self._writer.writerows(zip(*map(self._marked, batch.columns), strict=True))

    @staticmethod
    def _marked(column: pa.Array) -> list[Any]:
        import pyarrow as pa  # noqa: PLC0415

        if pa.types.is_dictionary(column.type):
            marked = [inert(text) for text in column.dictionary.to_pylist()]
            return [None if place is None else marked[place] for place in column.indices.to_pylist()]
        if pa.types.is_string(column.type):
            return [None if text is None else inert(text) for text in column.to_pylist()]
        return _cells(column)

    def close(self) -> None:
        self._text.flush()
        self._text.detach()


class _Ndjson:
    """A line for each run of rows of one series, as columns: the series of the JSON answer."""

    def __init__(self, out: IO[bytes], schema: pa.Schema) -> None:
        self._out = out
        self._labels = _labels(schema.names)
        self._columns = [
            name for name in fixed_columns(schema.names) if name in schema.names and name not in ("metric", "unit")
        ]
        self._encode = msgspec.json.Encoder().encode

    def write(self, table: pa.Table) -> None:
        for first, count in _runs(table, ["metric", "unit", *self._labels]):
            rows = table.slice(first, count)
            labels = ((label, rows[column][0].as_py()) for column, label in self._labels.items())
            line: dict[str, Any] = {
                "metric": rows["metric"][0].as_py(),
                "labels": {label: value for label, value in labels if value is not None},
                "unit": rows["unit"][0].as_py(),
            }
            for name in self._columns:
                if name not in _RARE or rows[name].null_count < count:
                    line[name] = _cells(rows[name])
            self._out.write(self._encode(line) + b"\n")

    def close(self) -> None:
        self._out.flush()


def _runs(table: pa.Table, names: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield where each run of rows with the same texts in some columns begins, and how long it is."""
    first = 0
    keys = zip(*(table[name].to_pylist() for name in names), strict=True)
    for _, rows in groupby(keys):
        count = sum(1 for _ in rows)
        yield first, count
        first += count


def _parquet(out: IO[bytes], schema: pa.Schema) -> TableWriter:
    import pyarrow.parquet as pq  # noqa: PLC0415

    return cast("TableWriter", pq.ParquetWriter(out, schema, compression="zstd"))


def _arrow(out: IO[bytes], schema: pa.Schema) -> TableWriter:
    import pyarrow as pa  # noqa: PLC0415

    return cast("TableWriter", pa.ipc.new_stream(out, schema))


TABLE_FORMATS: Final = {
    "csv": TableFormat("text/csv; charset=utf-8", ("csv",), True, _Csv),
    "ndjson": TableFormat("application/x-ndjson", ("ndjson", "jsonl"), True, _Ndjson),
    "parquet": TableFormat("application/vnd.apache.parquet", ("parquet",), False, _parquet),
    "arrow": TableFormat("application/vnd.apache.arrow.stream", ("arrow",), False, _arrow),
}
