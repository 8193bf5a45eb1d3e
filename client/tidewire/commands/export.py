"""The command `export`: the readings of a span in a file, however many there are."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import Progress

from tidewire.commands.options import label_option, parse_labels, url_option
from tidewire.errors import MissingExtra
from tidewire.model.table_writers import TABLE_FORMATS, common_schema, conformed
from tidewire.subscribing.history_pages import HistoryPages, HistoryReader

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["command"]


def _spool(pages: Iterator[pa.Table], file: IO[bytes]) -> tuple[pa.Schema, int]:
    """Write pages to a file as they come.

    Returns:
        The schema of all, which only the last page settles, and how many rows there are.
    """
    import pyarrow as pa  # noqa: PLC0415 - heavy, and an extra

    options = pa.ipc.IpcWriteOptions(compression="lz4")
    schemas, rows = [], 0
    for page in pages:
        with pa.ipc.new_stream(file, page.schema, options=options) as writer:
            writer.write(page)
        if page.schema not in schemas:
            schemas.append(page.schema)
        rows += page.num_rows
    return common_schema(schemas), rows


def _spooled(file: IO[bytes]) -> Iterator[pa.Table]:
    """Yield the pages of a file that `_spool` wrote, one in memory at a time."""
    import pyarrow as pa  # noqa: PLC0415 - heavy, and an extra

    end = file.tell()
    file.seek(0)
    while file.tell() < end:
        yield pa.ipc.open_stream(file).read_all()


def _is_file(out: str) -> bool:
    """Tell whether output becomes a file of its own, unlike standard output, a pipe or a device."""
    return out != "-" and (Path(out).is_file() or not Path(out).exists())


@contextlib.contextmanager
def _target(out: str) -> Iterator[IO[bytes]]:
    """Yield where to write; a file appears under its name only when it is whole, and keeps its mode and its links."""
    if out == "-":
        yield sys.stdout.buffer
    elif not _is_file(out):
        with Path(out).open("wb") as file:
            yield file
    else:
        path = Path(out).resolve()
        beside = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            with beside.open("wb") as file:
                yield file
            if path.exists():
                shutil.copymode(path, beside)
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
@click.option("--start", default="-1h", show_default=True, help="Start: -15m, RFC 3339 with an offset, or Unix ms.")
@click.option("--end", default=None, help="End, in the form of --start; open if absent.")
@click.option("--points", type=int, default=None, help="Export at most so many buckets per series, not the readings.")
@click.option(
    "--format",
    "name",
    type=click.Choice(list(TABLE_FORMATS)),
    default=None,
    help="Default: by the file's suffix; csv for none.",
)
@click.option("--out", "-o", default="-", help="File to write; - for standard output.  [default: -]")
@label_option
@url_option
def command(
    patterns: tuple[str, ...],
    start: str,
    end: str | None,
    points: int | None,
    name: str | None,
    out: str,
    labels: tuple[str, ...],
    url: str | None,
) -> None:
    """Write readings to a file: tidewire export 'furnace/**' --start -24h -o furnace.parquet"""  # noqa: D415
    form = TABLE_FORMATS[name or _format_of(out)]
    if not form.text and out == "-" and sys.stdout.isatty():
        raise click.UsageError("This format is not text; name a file with --out.")
    folder = Path(out).resolve().parent if _is_file(out) else None
    if folder is not None and not folder.is_dir():
        raise click.UsageError(f"--out {out}: there is no folder {folder}; make it first")
    if Path(out).is_dir():
        raise click.UsageError(f"--out {out}: is a folder; name a file in it")
    try:
        with tempfile.TemporaryFile(dir=folder) as spool:
            with HistoryReader(url) as reader, _progress() as told:
                load = HistoryPages(reader, patterns, parse_labels(labels), start, end, points)
                schema, rows = _spool(load.pages(told), spool)
            with _target(out) as file, contextlib.closing(form.open(file, schema)) as writer:
                for page in _spooled(spool):
                    writer.write(conformed(page, schema))
    except MissingExtra as error:
        raise click.ClickException(str(error)) from error
    except BrokenPipeError:
        os._exit(0)  # whoever read it has seen enough
    what = "buckets" if points is not None else "readings"
    click.echo(f"{rows:,} {what}" + ("" if out == "-" else f" in {out}"), err=True)


def _format_of(out: str) -> str:
    """Return the format that a file's suffix names, csv for what has none.

    Raises:
        click.BadParameter: a suffix of no format.
    """
    suffix = Path(out).suffix.removeprefix(".").lower() if _is_file(out) else ""
    by_suffix = {each: name for name, form in TABLE_FORMATS.items() for each in form.suffixes}
    if suffix and suffix not in by_suffix:
        known = ", ".join(f".{each}" for each in by_suffix)
        raise click.BadParameter(f"{out}: .{suffix} is none of {known}; add --format", param_hint="--out")
    return by_suffix.get(suffix, "csv")
