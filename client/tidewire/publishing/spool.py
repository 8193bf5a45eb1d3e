"""Keeps calls that could not be sent on disk until they are; bounded, the oldest dropped and counted.

A folder holds one SQLite file per publisher that runs. Who starts takes a file that nobody holds, with all that is in
it, and what is in the others of that kind: what one process left is sent by the next. A row is a call as it will be
sent, under a publisher and a sequence that stay its own from the moment it is written: however often it is sent or
copied, and by whatever process, it is appended once. No thread of its own; any thread may call it.

In a log of several partitions each gets its part of a row, in the order of the rows, under the row's sequence: the log
remembers a publisher's highest one in each partition. `due` says which partitions have not had theirs.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import msgspec

from tidewire.errors import InvalidInput, TidewireError
from tidewire.model.batch import EncodedBatch
from tidewire.model.layout import SINGLE, Layout
from tidewire.settings import with_home

__all__ = ["Spool", "SpoolFailed", "Spooled", "folder_of"]

_FILES: Final = 1_000  # publishers of one folder
_AGAIN_S: Final = 30.0  # after a disk has failed
_ROWS: Final = 16  # calls of at most 1 MiB that are in memory at once
_GAP: Final = 1 << 10  # between the sequences of calls: a call of 500 batches may be halved nine times
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS own (publisher TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS calls (
    id INTEGER PRIMARY KEY,
    publisher TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    gap INTEGER NOT NULL,
    readings INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    batches BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS due (
    partition INTEGER NOT NULL,
    id INTEGER NOT NULL,
    readings INTEGER NOT NULL,
    PRIMARY KEY (partition, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS divided (layout TEXT NOT NULL);
"""

logger = logging.getLogger("tidewire")
_inherited: list[Any] = []  # connections of the parent of a fork: closing one here would cut the parent's


class SpoolFailed(TidewireError):
    """A read or write of the disk failed; `str` says why."""


class Spooled(NamedTuple):
    """One call of the spool.

    Attributes:
        id: its place; they rise in the order of publishing.
        publisher: under which it is sent.
        sequence: the same.
        gap: free sequences up to this one, itself included.
        bytes: on disk.
        batches: what it holds, for the partition that it was asked for.
    """

    id: int
    publisher: str
    sequence: int
    gap: int
    bytes: int
    batches: list[EncodedBatch]


def folder_of(given: str | os.PathLike[str]) -> Path:
    """Return a folder whatever becomes the working directory, such as that of a process which turns into a daemon.

    Raises:
        InvalidInput: no path, or one from a home or working directory that is not there.
    """
    if not isinstance(given, (str, os.PathLike)):
        raise InvalidInput("spool", given, "expected the path of a folder")
    try:
        return Path(with_home("spool", os.fsdecode(given))).absolute()
    except OSError as error:
        raise InvalidInput("spool", str(given), f"is not a writable folder: {error}") from error


class Spool:
    """One publisher's file in a folder of spools; opened when it is first needed.

    Args:
        folder: made if it is not there.
        max_bytes: of batches, at least 1 MiB; beyond it the oldest calls are given up.

    Attributes:
        dropped: readings given up.
        sending: ids of the calls that are being sent, and must not be given up.

    Raises:
        InvalidInput: a folder that cannot be written.
    """

    MIN_BYTES: Final = 1 << 20

    def __init__(self, folder: str | os.PathLike[str], max_bytes: int) -> None:
        self.folder = folder_of(folder)
        self._max_bytes = max_bytes
        self._lock = threading.RLock()
        self._database: sqlite3.Connection | None = None
        self._path = self.folder
        self._publisher = ""
        self._failed_s = float("-inf")
        self._readings = self._bytes = 0
        self._layout = SINGLE
        self._newest = 0  # id
        self._oldest = [0]  # in each partition; none waits if it is above the newest
        # id up to which calls to each partition are done with and could not be deleted, 0 if they could
        self._settled = [0]
        self._divided = True  # `due` is of the layout
        self._inode: tuple[int, int] | None = None  # of the open file
        self.dropped = 0
        self.sending: set[int] = set()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not os.access(self.folder, os.W_OK):
                raise PermissionError("not writable")
        except OSError as error:
            raise InvalidInput("spool", str(folder), f"is not a writable folder: {error}") from error

    def __str__(self) -> str:
        return str(self.folder)

    def leave(self) -> None:
        """Forget the connection without closing it: in the child of a fork it is the parent's."""
        _inherited.append(self._database)
        self._database = None

    @property
    def left(self) -> bool:
        """Whether the folder may hold calls of an earlier process; only opening tells."""
        return any(self.folder.glob("spool-*.db"))

    @property
    def readings(self) -> int:
        """Number of readings on disk."""
        return self._readings

    @property
    def newest(self) -> int:
        """The id of the newest call."""
        return self._newest

    def waits(self, up_to: int | None = None) -> bool:
        """Tell whether a call waits, or one up to this id."""
        return self._readings > 0 and (up_to is None or min(self._oldest) <= up_to)

    def waits_in(self, partition: int) -> bool:
        """Tell whether a call to a partition waits; before it is known which call goes where, any."""
        if not (self._layout.id and self._divided):
            return self._readings > 0
        return self._readings > 0 and self._oldest[partition] <= self._newest

    # -- what is done with it

    def open(self) -> None:
        """Lock a free file, and adopt what other processes left.

        Raises:
            SpoolFailed: no file could be opened; for half a minute nothing is tried again.
        """
        with self._lock:
            if self._database is not None:
                return
            if time.monotonic() - self._failed_s < _AGAIN_S:
                raise SpoolFailed("the spool failed a moment ago")
            with self._failing():
                self.folder.mkdir(parents=True, exist_ok=True)
                for number in range(_FILES):
                    path = self.folder / f"spool-{number}.db"
                    database = _held(path)
                    if database is not None:
                        self._database, self._path = database, path
                        break
                else:
                    raise sqlite3.OperationalError(f"{_FILES} publishers hold {self.folder}")
                self._inode = _inode_of(self._path)
                newest = self._count()
                self._publisher = self._own_publisher(self._opened, empty=newest == 0)
                self._divided = False
                self._divide()
                self._adopt()

    def divide(self, layout: Layout) -> None:
        """Let the calls be sent to the partitions of a layout.

        Raises:
            SpoolFailed: it is not noted which call goes where; the next `head` tries again.
        """
        with self._lock, self._failing():
            self._layout, self._divided = layout, False
            self._oldest, self._settled = [0] * layout.partitions, [0] * layout.partitions
            if self._database is not None:
                self._divide()

    def restore(self) -> None:
        """Make the folder and a file again if somebody removed the open one, with the calls that it still holds.

        Raises:
            SpoolFailed: they cannot be made; what waits is lost if the process ends before it is sent.
        """
        with self._lock:
            removed, path, inode = self._database, self._path, self._inode
            if removed is None or self.sending or _inode_of(path) == inode:
                return  # what is being sent keeps its place until it is answered
            self._database = None
            try:
                self.open()
                with self._failing():
                    rows = removed.execute(_CALLS, (min(self._settled),))
                    while some := rows.fetchmany(_ROWS):
                        self._write(
                            [(call.publisher, call.sequence, call.gap, call.batches) for call in map(_call, some)]
                        )
            except SpoolFailed as error:
                new, self._database, self._path, self._inode = self._database, removed, path, inode
                if new is not None:
                    new.close()
                self._count()
                raise SpoolFailed(f"{error}; it was removed, and what waits in it is lost with this process") from error
            removed.close()
            logger.warning("the spool %s was removed; %s has the %d readings of it", path, self._path, self._readings)

    def append(self, calls: Iterable[tuple[str, int, Sequence[EncodedBatch]]]) -> None:
        """Write calls, oldest first: the publisher and sequence they were tried under, "" and 0 if not; all or none.

        Raises:
            SpoolFailed: nothing was written.
        """
        with self._lock, self._failing():
            self._write([(publisher, sequence, 1, batches) for publisher, sequence, batches in calls])

    def head(self, partition: int = 0) -> Spooled | None:
        """Return the oldest call to a partition, None if there is none.

        Raises:
            SpoolFailed: it cannot be read.
        """
        with self._lock, self._failing():
            if not self._divided:
                self._divide()
            if not self.waits_in(partition):
                return None
            settled = self._settled[partition]
            if self._layout.id:
                rows = self._opened.execute(_DUE, (partition, settled)).fetchall()
            else:
                rows = self._opened.execute(f"{_CALLS} LIMIT 1", (settled,)).fetchall()
            if not rows:
                raise sqlite3.DatabaseError("rows are missing")
            call = _call(rows[0])
            return call._replace(batches=self._of(partition, call.batches)) if self._layout.id else call

    def split(self, call: Spooled) -> None:
        """Make two calls of the oldest one, which is too large for its receiver, a service, and so was not taken.

        Raises:
            SpoolFailed: nothing was changed.
        """
        middle = len(call.batches) // 2
        publisher, sequence, gap = call.publisher, call.sequence, call.gap
        if gap < 2:  # it was tried before it came here, among others: a publisher of its own
            publisher, sequence, gap = secrets.token_hex(8), _GAP, _GAP
        halves = (
            (call.id - 1, sequence - gap // 2, call.batches[:middle]),  # below the oldest id all are free
            (call.id, sequence, call.batches[middle:]),
        )
        with self._lock, self._failing():
            with self._opened as database:
                database.execute(_DELETE, (call.id,))
                for id_, number, half in halves:
                    database.execute(_INSERT, (id_, publisher, number, gap // 2, *_packed(half)))
            self._settled = [0]
            self._find_oldest()

    def settle(self, call: Spooled, partition: int = 0) -> None:
        """Remove the oldest call to a partition, which has its final answer there.

        Raises:
            SpoolFailed: it stays on disk until that works again; if the process ends before, it is sent again under the
                same sequence.
        """
        with self._lock, self._failing():
            if not self.waits(call.id):
                return  # the file was put aside while the call was on its way
            self._settled[partition] = call.id
            self._readings -= sum(batch.readings for batch in call.batches)
            if self._layout.id:
                self._find_oldest(partition)
                with self._opened as database:
                    freed = self._delete_settled(database)
                self._bytes -= freed
            else:
                self._bytes -= call.bytes
                self._find_oldest()
                with self._opened as database:
                    self._delete_settled(database)
            self._settled[partition] = 0

    def close(self) -> None:
        """Release the file; delete it if it is empty."""
        with self._lock:
            database, self._database = self._database, None
            if database is None:
                return
            with contextlib.suppress(sqlite3.Error, OSError):
                empty = not self._readings
                there = _inode_of(self._path) == self._inode
                database.close()
                if not there:
                    logger.warning("the spool %s was removed, and %d readings with it", self._path, self._readings)
                    self.dropped, self._readings = self.dropped + self._readings, 0
                elif empty:
                    self._path.unlink(missing_ok=True)

    # -- inside

    @property
    def _opened(self) -> sqlite3.Connection:
        if self._database is None:
            self.open()
        return cast("sqlite3.Connection", self._database)

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        """Turn errors of the disk into `SpoolFailed`; a corrupt file is renamed and kept for inspection."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            torn = isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)
            if not torn:
                self._failed_s = time.monotonic()
                raise SpoolFailed(f"the spool {self._path}: {error}") from error
            aside = self._put_aside()
            raise SpoolFailed(f"the spool {self._path} was torn ({error}); it is kept as {aside}") from error
        except msgspec.MsgspecError as error:
            aside = self._put_aside()
            raise SpoolFailed(f"the spool {self._path} was torn ({error}); it is kept as {aside}") from error

    def _put_aside(self) -> Path:
        database, self._database = self._database, None
        if database is not None:
            with contextlib.suppress(sqlite3.Error):
                database.close()
        self._readings = self._bytes = 0
        self._settled = [0] * self._layout.partitions
        return _aside(self._path)

    def _write(self, calls: list[tuple[str, int, int, Sequence[EncodedBatch]]]) -> None:
        database = self._opened
        id_, readings, size, dropped = max(self._newest, *self._oldest), self._readings, self._bytes, 0
        with database:
            size -= self._delete_settled(database)
            for publisher, sequence, gap, batches in calls:
                id_ += _GAP
                packed = _packed(batches)
                readings, size = readings + packed[0], size + packed[1]
                number = (publisher, sequence, gap) if publisher else (self._publisher, id_, _GAP)
                database.execute(_INSERT, (id_, *number, *packed))
                if self._layout.id:
                    self._note_due(database, id_, batches)
            while size > self._max_bytes:
                given_up = database.execute(
                    _DELETE_OLDEST.format(", ".join("?" * len(self.sending))), tuple(self.sending)
                ).fetchone()
                if given_up is None:
                    break  # calls that are being sent, alone
                lost = self._forget_due(database, given_up[2]) if self._layout.id else given_up[0]
                readings, size, dropped = readings - lost, size - given_up[1], dropped + lost
        self._readings, self._bytes, self._newest = readings, size, id_
        self._settled = [0] * self._layout.partitions
        self.dropped += dropped
        self._find_oldest()

    def _adopt(self) -> None:
        """Move the calls of files without an owner into this one."""
        for path in sorted(self.folder.glob("spool-*.db")):
            other = None if path == self._path else _held(path)
            if other is None:
                continue
            rows = other.execute(_CALLS, (0,)).fetchall()
            self._write([(call.publisher, call.sequence, call.gap, call.batches) for call in map(_call, rows)])
            with other:
                other.execute("DELETE FROM calls")
            other.close()
            path.unlink(missing_ok=True)

    @staticmethod
    def _own_publisher(database: sqlite3.Connection, empty: bool) -> str:
        """Return under which publisher calls are written here; another one once it is empty: ids then begin anew."""
        with database:
            if empty:
                database.execute("DELETE FROM due")
                database.execute("DELETE FROM own")
                database.execute("INSERT INTO own VALUES (?)", (secrets.token_hex(8),))
            return str(database.execute("SELECT publisher FROM own").fetchone()[0])

    def _count(self) -> int:
        """Count what is on disk; return the newest id there."""
        row = self._opened.execute("SELECT SUM(readings), SUM(bytes), MAX(id) FROM calls").fetchone()
        self._readings, self._bytes, newest = (value or 0 for value in row)
        if self._layout.id and self._divided:
            self._readings = self._opened.execute("SELECT SUM(readings) FROM due").fetchone()[0] or 0
        self._newest = max(self._newest, newest)
        self._find_oldest()
        return int(newest)

    def _find_oldest(self, partition: int | None = None) -> None:
        """Look up the oldest call to a partition, or to each."""
        some = range(self._layout.partitions) if partition is None else (partition,)
        for number in some:
            settled = self._settled[number]
            if self._layout.id:
                row = self._opened.execute("SELECT MIN(id) FROM due WHERE partition = ? AND id > ?", (number, settled))
            else:
                row = self._opened.execute("SELECT MIN(id) FROM calls WHERE id > ?", (settled,))
            (oldest,) = row.fetchone()
            self._oldest[number] = self._newest + 1 if oldest is None else oldest

    # -- the partitions

    def _of(self, partition: int, batches: Sequence[EncodedBatch]) -> list[EncodedBatch]:
        return [batch for batch in batches if self._layout.partition_of(batch.metric) == partition]

    def _note_due(self, database: sqlite3.Connection, id_: int, batches: Sequence[EncodedBatch]) -> None:
        places = self._layout.split(batch.metric for batch in batches)
        database.executemany(
            "INSERT INTO due VALUES (?, ?, ?)",
            [(number, id_, sum(batches[place].readings for place in own)) for number, own in places.items()],
        )

    def _forget_due(self, database: sqlite3.Connection, id_: int) -> int:
        """Return how many readings of a call were not sent, which is given up."""
        lost = database.execute(_FORGET_DUE, (id_,)).fetchall()
        return sum(readings for (readings,) in lost)

    def _divide(self) -> None:
        """Note for each call to which partitions it has still to be sent.

        What was noted for another layout counts no more: each partition then gets its part of every call again, under
        the sequence of the call, and knows what it has had. Other versions write calls and note nothing.
        """
        database, layout = self._opened, self._layout
        if layout.id:
            written = layout.encode().decode()
            with database:
                if database.execute("SELECT layout FROM divided").fetchall() != [(written,)]:
                    database.execute("DELETE FROM due")
                    database.execute("DELETE FROM divided")
                    database.execute("INSERT INTO divided VALUES (?)", (written,))
                database.execute("DELETE FROM due WHERE id NOT IN (SELECT id FROM calls)")
                new = database.execute("SELECT id FROM calls WHERE id NOT IN (SELECT id FROM due)").fetchall()
                for (id_,) in new:
                    (data,) = database.execute("SELECT batches FROM calls WHERE id = ?", (id_,)).fetchone()
                    self._note_due(database, id_, _decoder.decode(data))
        self._divided = True
        self._count()

    def _delete_settled(self, database: sqlite3.Connection) -> int:
        """Delete the calls that are done with, in a transaction; return how many bytes that freed."""
        if not self._layout.id:
            database.execute(_DELETE, (self._settled[0],))
            return 0  # counted when they were settled
        freed = 0
        for partition, settled in enumerate(self._settled):
            if not settled:
                continue
            done = database.execute(
                "DELETE FROM due WHERE partition = ? AND id <= ? RETURNING id", (partition, settled)
            ).fetchall()
            for (id_,) in done:
                row = database.execute(_DELETE_DONE, (id_, id_)).fetchone()
                freed += row[0] if row else 0
        return freed


_CALLS: Final = "SELECT id, publisher, sequence, gap, bytes, batches FROM calls WHERE id > ? ORDER BY id"
_DELETE: Final = "DELETE FROM calls WHERE id <= ?"
_INSERT: Final = "INSERT INTO calls VALUES (?, ?, ?, ?, ?, ?, ?)"
_DELETE_OLDEST: Final = (
    "DELETE FROM calls WHERE id = (SELECT MIN(id) FROM calls WHERE id NOT IN ({})) RETURNING readings, bytes, id"
)
_DUE: Final = (
    "SELECT calls.id, publisher, sequence, gap, bytes, batches FROM due JOIN calls ON calls.id = due.id"
    " WHERE due.partition = ? AND due.id > ? ORDER BY due.id LIMIT 1"
)
# Of every partition that there may be: so the key of `due` is used.
_FORGET_DUE: Final = "DELETE FROM due WHERE partition IN (0, 1, 2, 3, 4, 5, 6, 7) AND id = ? RETURNING readings"
_DELETE_DONE: Final = (
    "DELETE FROM calls WHERE id = ? AND NOT EXISTS"
    " (SELECT 1 FROM due WHERE partition IN (0, 1, 2, 3, 4, 5, 6, 7) AND id = ?) RETURNING bytes"
)
_decoder = msgspec.msgpack.Decoder(list[EncodedBatch])


def _packed(batches: Sequence[EncodedBatch]) -> tuple[int, int, bytes]:
    data = msgspec.msgpack.encode(batches)
    return sum(batch.readings for batch in batches), len(data), data


def _call(row: tuple[int, str, int, int, int, bytes]) -> Spooled:
    return Spooled(*row[:5], _decoder.decode(row[5]))


def _inode_of(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from another one under its name; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _held(path: Path) -> sqlite3.Connection | None:
    """Return a connection that alone holds a file, None if another has it; what is no database is put aside."""
    for _ in range(2):
        database = sqlite3.connect(path, timeout=0, isolation_level="IMMEDIATE", check_same_thread=False)
        try:
            database.execute("PRAGMA locking_mode = EXCLUSIVE")
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")  # a kill loses nothing; a power cut the last moments
            database.execute("BEGIN EXCLUSIVE")
            database.commit()
            database.executescript(_SCHEMA)
            if database.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                raise sqlite3.DatabaseError("its check found damage")
        except sqlite3.OperationalError as error:
            database.close()
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
                return None
            raise
        except sqlite3.DatabaseError as error:
            database.close()
            logger.warning("the spool %s is torn (%s); it is kept as %s", path, error, _aside(path))
        else:
            return database
    raise sqlite3.OperationalError(f"{path} cannot be created again")


def _aside(path: Path) -> Path:
    """Rename a file that is torn, and what SQLite keeps beside it."""
    aside = path.with_name(f"{path.name}.torn-{time.time_ns()}")
    for tail in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + tail).rename(aside.with_name(aside.name + tail))
    return aside
