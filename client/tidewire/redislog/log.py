"""The Redis log: append, read after an id, and the clock; the one write path and the one read path of Tidewire.

`RedisLog` is for asyncio, `BlockingRedisLog` for a publisher's thread. Neither retries by itself: a publisher retries
an append under its sequence, and a reader its read. Every call has a deadline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from time import monotonic
from typing import Any, Final
from urllib.parse import urlsplit

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from tidewire.errors import InvalidInput, LogFull, LogUnavailable, TidewireError
from tidewire.model.batch import DEFAULT_LIMITS, EncodedBatch, IngestLimits
from tidewire.model.cursor import id_text, parse_id
from tidewire.redislog.calls import (
    DEFAULT_RETENTION,
    AppendCall,
    Appended,
    Entry,
    LastReading,
    LogFunctions,
    Once,
    Retention,
    ServerInfo,
    parse_append,
    parse_clock,
    parse_entries,
    parse_info,
    parse_last_readings,
    split_calls,
)
from tidewire.redislog.keys import Keys
from tidewire.redislog.lineage import Clock, Evidence, Watermark
from tidewire.settings import DEFAULT_PREFIX, REDIS_TIMEOUT_S, without_password

__all__ = ["BlockingRedisLog", "RedisLog"]

_POOL: Final = 16  # connections of one process to one Redis
_EPOCH_CHANGES: Final = 3  # in the course of one append; more means that Redis is coming and going
_READ_PAGE: Final = 200  # commands of one pipeline
_SERIES_A_SWEEP: Final = 2_000  # of one call: about 2 ms of Redis


@contextmanager
def _translated(url: str) -> Iterator[None]:
    """Translate the errors of redis-py; the message never contains a password."""
    try:
        yield
    except TidewireError:
        raise
    except redis.OutOfMemoryError as error:
        raise LogFull(
            f"Redis at {url} is full and refuses appends ({error}); free memory or raise maxmemory"
        ) from error
    except (redis.RedisError, OSError, TimeoutError, ValueError) as error:
        raise LogUnavailable(f"Redis at {url}: {error or type(error).__name__}") from error
    except RuntimeError as error:
        if "the handler is closed" not in str(error):
            raise
        # uvloop's message for a transport that closed between redis-py's check and its write
        raise LogUnavailable(f"Redis at {url}: the connection was closed") from error


def _check_url(url: str) -> None:
    """Refuse what redis-py refuses late, or silently reads as database 0."""
    parts = urlsplit(url)
    try:
        database = parts.path.strip("/")
        good = parts.port != 0 and (parts.scheme == "unix" or not database or database.isdecimal())
    except ValueError as error:
        raise InvalidInput("url", without_password(url), str(error)) from None
    if not good:
        raise InvalidInput("url", without_password(url), "expected redis://host:port, or …/3 for the database 3")


@contextmanager
def _cancellable(url: str) -> Iterator[None]:
    """Translate errors, and lose no cancellation: redis-py sends with `wait_for`, which swallows it in Python 3.11.

    An error of the same call must not hide it either: a caller that retries after errors would never end.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0
    try:
        with _translated(url):
            yield
    finally:
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError


class _Base:
    """What both logs share: the keys, the functions, the epoch last seen and the evidence for it."""

    def __init__(
        self,
        url: str,
        *,
        prefix: str = DEFAULT_PREFIX,
        retention: Retention = DEFAULT_RETENTION,
        limits: IngestLimits = DEFAULT_LIMITS,
        timeout_s: float = REDIS_TIMEOUT_S,
    ) -> None:
        """Prepare a log; nothing is connected until the first call.

        Args:
            url: ``redis://``, ``rediss://`` or ``unix://``.
            prefix: first part of every key.
            retention: how long batches are kept by appends of this log.
            limits: what appends of this log accept.
            timeout_s: deadline of one command, seconds.

        Raises:
            InvalidInput: the port or the database is not a number.
        """
        _check_url(url)
        self.url = without_password(url)
        self.keys = Keys(prefix)
        self.functions = LogFunctions(self.keys, retention, limits)
        self.skipped_entries = self.forgotten_series = 0
        self.timeout_s = timeout_s
        self._evidence = Evidence()
        self._known: Watermark | None = None  # what appends are called under; None: ask the clock first

    def _adopt(self, clock: Clock) -> Watermark:
        self._known = latest = self._evidence.record(Watermark(clock.id, clock.chain), current=True)
        return latest

    def _note(self, appended: Appended, known: Watermark) -> Appended:
        """Record an acknowledgement under the lineage of its call: another call may have learnt of a newer one."""
        if not appended.duplicate:
            self._evidence.record(Watermark(appended.id, known.chain), current=False)
            if self._evidence.unreported is not None:
                self._known = None
        return appended


def _is_missing_function(error: redis.ResponseError) -> bool:
    return "Function not found" in str(error)


def _merged(parts: list[Appended]) -> Appended:
    last = parts[-1]
    results = tuple(result for part in parts for result in part.results)
    return Appended(last.epoch, last.id, results, duplicate=all(part.duplicate for part in parts))


class RedisLog(_Base):
    """The log for asyncio; one bounded pool of connections.

    Attributes:
        keys: the names of its keys.
        url: where it is, without a password.
        skipped_entries: entries and fields in the log's keys that no append of ours wrote, skipped so far.
        forgotten_series: series that sweeps have forgotten so far.

    Raises (every method): LogUnavailable: no answer in time, or a refusal that may pass.
    """

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(url, **options)
        with _translated(self.url):
            pool = redis.asyncio.BlockingConnectionPool.from_url(
                url,
                max_connections=_POOL,
                timeout=self.timeout_s,
                socket_timeout=self.timeout_s,
                socket_connect_timeout=min(self.timeout_s, 2.0),
                retry=AsyncRetry(NoBackoff(), 0),
                protocol=2,
                client_name="tidewire",
            )
        self.redis = redis.asyncio.Redis.from_pool(pool)

    async def _function(self, command: tuple[Any, ...]) -> Any:
        with _cancellable(self.url):
            try:
                return await self.redis.execute_command(*command)
            except redis.ResponseError as error:
                if not _is_missing_function(error):
                    raise
                try:
                    await self.redis.execute_command("FUNCTION", "LOAD", self.functions.source)
                except redis.ResponseError as raced:
                    if "already exists" not in str(raced):
                        raise
                return await self.redis.execute_command(*command)

    async def clock(self, watermark: Watermark | None = None) -> Clock:
        """Return one atomic reply of the clock; a watermark hands in evidence of lost writes."""
        return parse_clock(await self._function(self.functions.clock(watermark)))

    async def append(
        self,
        batches: Sequence[EncodedBatch],
        *,
        publisher: str = "",
        sequence: int = 0,
        once: Once | None = None,
        lease: str = "",
        inbox_ids: Sequence[str] = (),
    ) -> Appended:
        """Append batches in order, atomically for each 500 batches and 1 MiB; see `Appended` for what was refused.

        Args:
            batches: checked and encoded by the ingest path or a publisher.
            publisher: who sends, if it numbers its calls.
            sequence: the number of this call, rising from 1; a retry repeats it.
            once: an idempotency key instead.
            lease: append only while this token holds the inbox lease.
            inbox_ids: entries of the durable inbox to acknowledge and delete in the same step; then one call's worth.

        Raises:
            LogFull: Redis is at its memory limit; nothing of the failing call was stored.
            PublishConflict: the idempotency key came with another body.
        """
        parts = []
        for chunk, part in enumerate(split_calls(batches) if batches else [()]):
            call = AppendCall(part, publisher, sequence, chunk, once, lease, inbox_ids)
            parts.append(await self._append(call))
        return _merged(parts)

    async def _append(self, call: AppendCall) -> Appended:
        for _ in range(_EPOCH_CHANGES):
            known = self._known or self._adopt(await self.clock(self._evidence.to_hand_in))
            answer = parse_append(await self._function(self.functions.append(call, known.epoch)), call)
            if isinstance(answer, Appended):
                return self._note(answer, known)
            self._known = None  # clock first, with the evidence: rule 2
        raise LogUnavailable(f"Redis at {self.url} changed its lineage {_EPOCH_CHANGES} times during one append")

    async def acquire_lease(self, token: str, ttl_ms: int) -> int:
        """Acquire or renew the inbox lease: 0 another's, 1 renewed, 2 acquired as of the marker on its channel."""
        return int(await self._function(self.functions.lease(token, ttl_ms)))

    async def sweep(self, metrics: Sequence[str]) -> int:
        """Trim idle metrics by age, forget those silent for long and silent series; return how many metrics were.

        `forgotten_series` counts the series.
        """
        sizes = await self._pipelined([("HLEN", self.keys.last(metric)) for metric in metrics])
        forgotten, first, looked_at = 0, 0, 0
        for end, size in enumerate(sizes, 1):
            looked_at += size if isinstance(size, int) else 0
            if looked_at >= _SERIES_A_SWEEP or end == len(metrics):
                swept, series = await self._function(self.functions.sweep(metrics[first:end]))
                forgotten += swept
                self.forgotten_series += series
                first, looked_at = end, 0
        return forgotten

    async def tails(self) -> dict[str, int]:
        """Return the directory: each metric with its last id. Includes everything up to any clock read before."""
        found: dict[str, int] = {}
        with _cancellable(self.url):
            async for metric, last in self.redis.hscan_iter(self.keys.tail, count=2_000):
                try:
                    found[metric.decode()] = parse_id(last)
                except (ValueError, UnicodeDecodeError):
                    self.skipped_entries += 1
        return found

    async def _pipelined(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        replies: list[Any] = []
        with _cancellable(self.url):
            for first in range(0, len(commands), _READ_PAGE):
                async with self.redis.pipeline(transaction=False) as pipe:
                    for command in commands[first : first + _READ_PAGE]:
                        pipe.execute_command(*command)
                    replies += await pipe.execute(raise_on_error=False)
            for reply in replies:
                if isinstance(reply, Exception) and "WRONGTYPE" not in str(reply):
                    raise reply
        return replies

    def _entries(self, reply: Any, *, check: bool = False) -> list[Entry]:
        if isinstance(reply, Exception):  # WRONGTYPE: a foreign thing under the key of a log
            self.skipped_entries += 1
            return []
        entries, skipped = parse_entries(reply, check=check)
        self.skipped_entries += skipped
        return entries

    async def entries_after(self, positions: Sequence[tuple[str, int]], count: int | None = None) -> list[list[Entry]]:
        """Return for each (metric, id) the entries after the id, oldest first, at most `count`, ours only."""
        limit = () if count is None else ("COUNT", count)
        commands = [("XRANGE", self.keys.log(metric), f"({id_text(id_)}", "+", *limit) for metric, id_ in positions]
        lists = []
        for (metric, _), reply in zip(positions, await self._pipelined(commands), strict=True):
            entries = self._entries(reply, check=True)
            if count is not None and isinstance(reply, list) and len(reply) == count:
                await self._fill_page(metric, reply[-1][0], entries, count)
            lists.append(entries)
        return lists

    async def _fill_page(self, metric: str, last: bytes, entries: list[Entry], count: int) -> None:
        """Continue after foreign entries: a page that they shortened is not exhausted."""
        while len(entries) < count:
            command = ("XRANGE", self.keys.log(metric), b"(" + last, "+", "COUNT", count)
            reply = (await self._pipelined([command]))[0]
            entries += self._entries(reply, check=True)
            if not isinstance(reply, list) or len(reply) < count:
                return
            last = reply[-1][0]
        del entries[count:]

    async def entries_between(self, metric: str, first: int, last: int, count: int) -> list[Entry]:
        """Return the entries of a metric with first ≤ id ≤ last, oldest first, at most `count`."""
        command = ("XRANGE", self.keys.log(metric), id_text(first), id_text(last), "COUNT", count)
        return self._entries((await self._pipelined([command]))[0])

    async def last_readings(self, metrics: Sequence[str]) -> list[dict[bytes, LastReading]]:
        """Return for each metric its series with their last readings; keys are series keys."""
        found: list[dict[bytes, LastReading]] = []
        for reply in await self._pipelined([("HGETALL", self.keys.last(metric)) for metric in metrics]):
            if isinstance(reply, Exception):
                self.skipped_entries += 1
                found.append({})
                continue
            series, skipped = parse_last_readings(reply)
            self.skipped_entries += skipped
            found.append(series)
        return found

    async def series_count(self, metrics: Sequence[str]) -> int:
        """Return how many series these metrics have together."""
        replies = await self._pipelined([("HLEN", self.keys.last(metric)) for metric in metrics])
        return sum(reply for reply in replies if isinstance(reply, int))

    async def ping(self) -> float:
        """Return how long Redis took to answer, in seconds."""
        started = monotonic()
        with _cancellable(self.url):
            await self.redis.execute_command("PING")
        return monotonic() - started

    def beside(self) -> AbstractContextManager[None]:
        """Return a context for commands on other keys: it translates their errors and loses no cancellation."""
        return _cancellable(self.url)

    async def run(self, *commands: tuple[Any, ...]) -> list[Any]:
        """Run commands on other keys, such as tokens and tickets, as one transaction; return their replies."""
        with _cancellable(self.url):
            async with self.redis.pipeline(transaction=True) as pipe:
                for command in commands:
                    pipe.execute_command(*command)
                replies: list[Any] = await pipe.execute()
        return replies

    async def info(self) -> ServerInfo:
        """Return the server's own description."""
        with _cancellable(self.url):
            info = await self.redis.info("everything")
        return parse_info(info)

    async def close(self) -> None:
        """Close all connections; one that a hanging server keeps open is left behind after 2 s, without an error."""
        with suppress(redis.RedisError, OSError):
            await self.redis.aclose()


class BlockingRedisLog(_Base):
    """The log for one thread, such as a publisher's: the clock and append, over one connection.

    Raises (every method): LogUnavailable: no answer in time, or a refusal that may pass.
    """

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(url, **options)
        with _translated(self.url):
            self.redis = redis.Redis.from_url(
                url,
                socket_timeout=self.timeout_s,
                socket_connect_timeout=min(self.timeout_s, 2.0),
                retry=Retry(NoBackoff(), 0),
                protocol=2,
                client_name="tidewire-publisher",
            )

    def _function(self, command: tuple[Any, ...]) -> Any:
        with _translated(self.url):
            try:
                return self.redis.execute_command(*command)
            except redis.ResponseError as error:
                if not _is_missing_function(error):
                    raise
                try:
                    self.redis.execute_command("FUNCTION", "LOAD", self.functions.source)
                except redis.ResponseError as raced:
                    if "already exists" not in str(raced):
                        raise
                return self.redis.execute_command(*command)

    def clock(self, watermark: Watermark | None = None) -> Clock:
        """Return one atomic reply of the clock; a watermark hands in evidence of lost writes."""
        return parse_clock(self._function(self.functions.clock(watermark)))

    def append(
        self, batches: Sequence[EncodedBatch], *, publisher: str = "", sequence: int = 0, once: Once | None = None
    ) -> Appended:
        """Append batches in order; as `RedisLog.append`."""
        parts = [
            self._append(AppendCall(part, publisher, sequence, chunk, once))
            for chunk, part in enumerate(split_calls(batches) if batches else [()])
        ]
        return _merged(parts)

    def _append(self, call: AppendCall) -> Appended:
        for _ in range(_EPOCH_CHANGES):
            known = self._known or self._adopt(self.clock(self._evidence.to_hand_in))
            answer = parse_append(self._function(self.functions.append(call, known.epoch)), call)
            if isinstance(answer, Appended):
                return self._note(answer, known)
            self._known = None
        raise LogUnavailable(f"Redis at {self.url} changed its lineage {_EPOCH_CHANGES} times during one append")

    def ping(self) -> float:
        """Return how long Redis took to answer, in seconds."""
        started = monotonic()
        with _translated(self.url):
            self.redis.execute_command("PING")
        return monotonic() - started

    def close(self) -> None:
        """Close the connection."""
        self.redis.close()
