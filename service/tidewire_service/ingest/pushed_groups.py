"""Remembers in Redis what each group of a Pushgateway holds, so that what leaves a group is ended.

A group is remembered only after what changed in it was appended, and only if nobody else changed it since it was read:
else the push is appended again, after the other one. So the last push that is remembered is the last one in the log,
also with several service processes. A failure between the two leaves the record of before: the next push ends what
this one would have ended.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import secrets
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
import redis

from tidewire.errors import LimitExceeded
from tidewire.model.batch import FINISHED, Batch, EncodedBatch, encode_batch, labels_of_series_key, series_key
from tidewire.redislog.partitioned_log import PartitionedLog
from tidewire_service.errors import RateExceeded
from tidewire_service.ingest.prometheus_text import Sample

__all__ = ["Change", "PushedGroups", "Record", "Stored", "changed"]

_INLINE_BYTES: Final = 8 * 1024  # a record of about 100 series is changed on the event loop in 1 ms; 1 MiB takes 60 ms
_MARK_CHARS: Final = 16  # before a record; each change has another, so a record that came back is not taken for the old
_ENDED_MS: Final = 60_000  # how long the mark of an empty group is kept: longer than any push takes
_TRIES: Final = 32  # of two processes that push without a pause, one loses half of them
_PAUSE_S: Final = 0.02  # at most, after each: else both go on in step
_WAIT_S: Final = 10.0  # for the pushes to the same group that came to this process before

T = TypeVar("T")
Record = dict[str, dict[str, float | None]]
"""A group as it is remembered: metric → series key → value."""


class Change(NamedTuple):
    """What a push changes: the batches to append, and the group afterwards."""

    batches: list[EncodedBatch]
    record: Record


class Stored(NamedTuple):
    """What became of a push: readings that were stored, and series that were refused, each with the limit."""

    accepted: int
    refused: list[tuple[EncodedBatch, str]]


def changed(
    before: Record, samples: list[Sample], now_ms: float, *, replace: bool, may_publish: Callable[[str], bool]
) -> Change:
    """Return what samples change in a group.

    Args:
        before: the group.
        samples: what is pushed.
        now_ms: the time of their readings.
        replace: all that does not come again has ended; else only what has the name of a metric that comes.
        may_publish: of which metrics series may be ended; the others stay in the group as they are.
    """
    pushed: Record = {}
    left: Record = {}  # of what is pushed: of what is no number the one before, which the end will repeat
    for metric, labels, value in samples:
        key = series_key(labels)
        pushed.setdefault(metric, {})[key] = value
        left.setdefault(metric, {})[key] = before.get(metric, {}).get(key) if value is None else value
    touched = {metric for metric in before if (replace or metric in pushed) and may_publish(metric)}
    gone = {
        metric: {key: value for key, value in before[metric].items() if key not in pushed.get(metric, {})}
        for metric in touched
    }
    kept = {metric: series for metric, series in before.items() if metric not in touched}
    return Change([*_encoded(pushed, now_ms, None), *_encoded(gone, now_ms, FINISHED)], kept | left)


def _encoded(record: Record, now_ms: float, text: str | None) -> Iterator[EncodedBatch]:
    """Yield a reading of each series; an end repeats the last number, and needs one."""
    for metric, series in record.items():
        for key, value in series.items():
            if text is None or value is not None:
                labels = labels_of_series_key(key)
                texts: list[str | None] | None = None if text is None else [text]
                yield encode_batch(Batch(metric=metric, labels=labels, time=[now_ms], value=[value], text=texts))


async def _run(in_thread: bool, work: Callable[..., T], *arguments: Any) -> T:
    return await asyncio.to_thread(work, *arguments) if in_thread else work(*arguments)


class PushedGroups:
    """The groups of a service.

    Args:
        log: is written, and keeps the groups beside it.
        most: series of a group.
        most_bytes: of its series keys: the labels of the path are in each of them.
        silent_s: how long a group is remembered after its last push.
    """

    def __init__(self, log: PartitionedLog, most: int, most_bytes: int, silent_s: float) -> None:
        self._log = log
        self._home = log.home
        self._most = most
        self._most_bytes = most_bytes
        self._silent_ms = int(silent_s * 1e3)
        # pushes to one group that come to one process go one after another, and are not appended twice
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    async def change(
        self, group: Mapping[str, str], change: Callable[[Record], Change], *, in_thread: bool = False
    ) -> Stored:
        """Append what changes in a group, then remember the group; series that a limit refused are not in it.

        Args:
            group: its labels.
            change: called with the group; returns what `changed` does. Called again if the group was changed meanwhile.
            in_thread: do all but small work in a thread; also done if the record is large.

        Raises:
            LimitExceeded: the group would have too many series, or series with too long labels; nothing is stored.
            RateExceeded: others pushed to it all the time; what is pushed may be stored, and its group not remembered.
            LogUnavailable: as of the log.
        """
        key = self._home.keys.group(hashlib.sha256(series_key(group).encode()).hexdigest())
        lock = self._locks.setdefault(key, asyncio.Lock())
        try:
            async with asyncio.timeout(_WAIT_S):
                await lock.acquire()
        except TimeoutError:
            raise _contended() from None
        try:
            accepted = 0
            for _ in range(_TRIES):
                with self._home.beside():
                    found: Any = await self._home.redis.get(key)
                elsewhere = in_thread or len(found or b"") > _INLINE_BYTES
                planned = await _run(elsewhere, self._planned, found, change)
                if planned is None:
                    return Stored(accepted, [])
                batches, record = planned
                refused = await self._append(batches)
                accepted += len(batches) - len(refused)
                body = await _run(elsewhere, _remembered, record, refused)
                if await self._replaced(key, found, body):
                    return Stored(accepted, refused)
                await asyncio.sleep(random.uniform(0, _PAUSE_S))  # noqa: S311
        finally:
            lock.release()
        raise _contended()

    def _planned(self, found: bytes | None, change: Callable[[Record], Change]) -> Change | None:
        """Return what changes in a group, None for nothing."""
        before = _record(found)
        batches, record = change(before)
        if not batches and record == before:
            return None
        count = sum(map(len, record.values()))
        if count > self._most:
            raise LimitExceeded("max_rows", self._most, count, "push to more groups")
        size = sum(len(key) for series in record.values() for key in series)
        if size > self._most_bytes:
            remedy = "push to more groups, or with fewer labels"
            raise LimitExceeded("max_decompressed_bytes", self._most_bytes, size, remedy)
        return Change(batches, record)

    async def _append(self, batches: list[EncodedBatch]) -> list[tuple[EncodedBatch, str]]:
        if not batches:
            return []
        results = (await self._log.append(batches)).results
        return [(batch, r) for batch, r in zip(batches, results, strict=True) if isinstance(r, str)]

    async def _replaced(self, key: str, found: bytes | None, body: bytes) -> bool:
        """Remember a group in place of what was found of it; False if it was changed meanwhile."""
        pipe: Any  # redis-py's types have no transactions
        with self._home.beside():
            async with self._home.redis.pipeline(transaction=True) as pipe:
                await pipe.watch(key)
                if await pipe.get(key) != found:
                    return False
                pipe.multi()
                pipe.set(key, body, px=self._silent_ms if len(body) > _MARK_CHARS else _ENDED_MS)
                try:
                    await pipe.execute()
                except redis.exceptions.WatchError:
                    return False
        return True


def _contended() -> RateExceeded:
    return RateExceeded("others push to this group at the same time; try again", limit="", retry_after_s=1.0)


def _record(found: bytes | None) -> Record:
    try:
        return msgspec.json.decode((found or b"")[_MARK_CHARS:] or b"{}", type=Record)
    except msgspec.MsgspecError:
        return {}  # another program wrote it; the next push replaces it


def _remembered(record: Record, refused: list[tuple[EncodedBatch, str]]) -> bytes:
    """Return what is remembered of a group, without series that were refused: of them there is nothing to end."""
    if refused:
        gone = {(batch.metric, batch.series) for batch, _ in refused}
        record = {
            metric: left
            for metric, series in record.items()
            if (left := {key: value for key, value in series.items() if (metric, key) not in gone})
        }
    return secrets.token_hex(_MARK_CHARS // 2).encode() + (msgspec.json.encode(record) if record else b"")
