"""Keeps calls that could not be sent on disk until they are; bounded, the oldest dropped and counted.

A folder holds one SQLite file per publisher that runs. Who starts takes a file that nobody holds, with all that is in
it, and what is in the others of that kind: what one process left is sent by the next. A row is a call as it will be
sent, under a publisher and a sequence that stay its own from the moment it is written: however often it is sent or
copied, and by whatever process, it is appended once. No thread of its own; any thread may call it.
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
        batches: what it holds.
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
        sending: id of the oldest call while it is being sent, and must not be given up; else 0.

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
        self._oldest = self._newest = 0  # ids; none waits if the oldest is above the newest
        self._settled = 0  # id up to which calls are done with and could not be deleted, 0 if they could
        self._inode: tuple[int, int] | None = None  # of the open file
        self.dropped = self.sending = 0
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
        return self._readings > 0 and (up_to is None or self._oldest <= up_to)

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
                self._adopt()

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
                    rows = removed.execute(_CALLS, (self._settled,))
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

    def head(self) -> Spooled | None:
        """Return the oldest call, None if there is none.

        Raises:
            SpoolFailed: it cannot be read.
        """
        with self._lock, self._failing():
            if not self.waits():
                return None
            rows = self._opened.execute(f"{_CALLS} LIMIT 1", (self._settled,)).fetchall()
            if not rows:
                raise sqlite3.DatabaseError("rows are missing")
            return _call(rows[0])

    def split(self, call: Spooled) -> None:
        """Make two calls of the oldest one, which is too large for its receiver and so was not taken.

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
            self._settled = 0
            self._find_oldest()

    def settle(self, call: Spooled) -> None:
        """Remove the oldest call, which has its final answer.

        Raises:
            SpoolFailed: it stays on disk until that works again; if the process ends before, it is sent again under the
                same sequence.
        """
        with self._lock, self._failing():
            if not self.waits(call.id):
                return  # the file was put aside while the call was on its way
            self._settled = call.id
            self._readings -= sum(batch.readings for batch in call.batches)
            self._bytes -= call.bytes
            self._find_oldest()
            with self._opened as database:
                database.execute(_DELETE, (call.id,))
            self._settled = 0

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
        self._readings = self._bytes = self._settled = 0
        return _aside(self._path)

    def _write(self, calls: list[tuple[str, int, int, Sequence[EncodedBatch]]]) -> None:
        database = self._opened
        id_, readings, size, dropped = max(self._newest, self._oldest), self._readings, self._bytes, 0
        with database:
            database.execute(_DELETE, (self._settled,))
            for publisher, sequence, gap, batches in calls:
                id_ += _GAP
                packed = _packed(batches)
                readings, size = readings + packed[0], size + packed[1]
                number = (publisher, sequence, gap) if publisher else (self._publisher, id_, _GAP)
                database.execute(_INSERT, (id_, *number, *packed))
            while size > self._max_bytes:
                given_up = database.execute(_DELETE_OLDEST, (self.sending,)).fetchone()
                if given_up is None:
                    break  # a call that is being sent, alone
                readings, size, dropped = readings - given_up[0], size - given_up[1], dropped + given_up[0]
        self._readings, self._bytes, self._newest, self._settled = readings, size, id_, 0
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
                database.execute("DELETE FROM own")
                database.execute("INSERT INTO own VALUES (?)", (secrets.token_hex(8),))
            return str(database.execute("SELECT publisher FROM own").fetchone()[0])

    def _count(self) -> int:
        """Count what is on disk; return the newest id there."""
        row = self._opened.execute("SELECT SUM(readings), SUM(bytes), MAX(id) FROM calls").fetchone()
        self._readings, self._bytes, newest = (value or 0 for value in row)
        self._newest = max(self._newest, newest)
        self._find_oldest()
        return int(newest)

    def _find_oldest(self) -> None:
        (oldest,) = self._opened.execute("SELECT MIN(id) FROM calls WHERE id > ?", (self._settled,)).fetchone()
        self._oldest = self._newest + 1 if oldest is None else oldest


_CALLS: Final = "SELECT id, publisher, sequence, gap, bytes, batches FROM calls WHERE id > ? ORDER BY id"
_DELETE: Final = "DELETE FROM calls WHERE id <= ?"
_INSERT: Final = "INSERT INTO calls VALUES (?, ?, ?, ?, ?, ?, ?)"
_DELETE_OLDEST: Final = (
    "DELETE FROM calls WHERE id = (SELECT MIN(id) FROM calls WHERE id > ?) RETURNING readings, bytes"
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
