"""The Redis log: append, read after an id, and the clock; the one write path and the one read path of Tidewire.

`RedisLog` is for asyncio, `BlockingRedisLog` for a publisher's thread. Neither retries by itself: a publisher retries
an append under its sequence, and a reader its read. Every call has a deadline.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import Any, Final

import msgspec
import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry

from tidewire.errors import LayoutMismatch, LogUnavailable
from tidewire.model.batch import DEFAULT_LIMITS, EncodedBatch, IngestLimits
from tidewire.model.cursor import id_text, parse_id
from tidewire.model.layout import HOME, SINGLE, Layout, parse_layout
from tidewire.redislog.calls import (
    DEFAULT_RETENTION,
    AppendCall,
    Appended,
    Entry,
    LastReading,
    LogFunctions,
    Once,
    Retention,
    pairs,
    parse_append,
    parse_clock,
    parse_entries,
    parse_last_readings,
    split_calls,
)
from tidewire.redislog.connections import BlockingConnections, Wire, names_another_server
from tidewire.redislog.keys import Keys
from tidewire.redislog.lineage import Clock, Evidence, Watermark
from tidewire.redislog.locator import Socket, blocking_locator_of
from tidewire.redislog.redis_url import RedisTarget, parse_redis_url
from tidewire.redislog.server import RedisServer, translated
from tidewire.settings import DEFAULT_PREFIX, REDIS_TIMEOUT_S, without_password

__all__ = ["BlockingRedisLog", "RedisLog"]

_EPOCH_CHANGES: Final = 3  # in the course of one append; more means that Redis is coming and going
_PARSED_AT_ONCE: Final = 500
_SERIES_A_SWEEP: Final = 2_000  # of one call: about 2 ms of Redis


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
        layout: Layout = SINGLE,
        partition: int | None = 0,
    ) -> None:
        """Prepare a log; nothing is connected until the first call.

        Args:
            url: ``redis://``, ``rediss://``, ``unix://`` or one of Sentinels or a Cluster, see `parse_redis_url`.
            prefix: first part of every key.
            retention: how long batches are kept by appends of this log.
            limits: what appends of this log accept.
            timeout_s: deadline of one command, seconds.
            layout: how the log is split.
            partition: which of its partitions this is; None for what is in none of them, such as saved documents.

        Raises:
            InvalidInput: a URL that can never work, see `check_redis_url`.
        """
        self._target: RedisTarget = parse_redis_url(url)
        self.url = without_password(url)
        tag = HOME if partition is None else layout.tags[partition]
        self.keys = Keys(prefix, tag, database=parse_url(self._target.url).get("db", 0))
        stated = "" if partition is None else layout.statement(partition)
        self.functions = LogFunctions(self.keys, retention, _share(limits, layout), stated)
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


def _is_missing_function(answer: object) -> bool:
    return isinstance(answer, redis.ResponseError) and "Function not found" in str(answer)


def _merged(parts: list[Appended]) -> Appended:
    last = parts[-1]
    results = tuple(result for part in parts for result in part.results)
    return Appended(last.epoch, last.id, results, duplicate=all(part.duplicate for part in parts))


def _share(limits: IngestLimits, layout: Layout) -> IngestLimits:
    """Return the limits of one partition: a tenth more than its share of the metrics, which never are quite even."""
    if layout.partitions == 1:
        return limits
    return msgspec.structs.replace(limits, metrics=math.ceil(limits.metrics / layout.partitions * 1.1))


class RedisLog(_Base, RedisServer):
    """The log for asyncio; one bounded pool of connections.

    Attributes:
        keys: the names of its keys.
        url: where it is, without a password.
        skipped_entries: entries and fields in the log's keys that no append of ours wrote, skipped so far.
        forgotten_series: series that sweeps have forgotten so far.
        locator: where the server is.
        on_given_up: called when all connections were given up, so that others to the same URL follow; or None.
        on_moved: called when the primary is another server, so that others follow at once; or None.
        confirm_layout: makes sure that the log is split as this one takes it; called before its partition begins. None:
            nobody needs to.

    What is read is judged by a clock. Each read returns the clock with what it read, from the end of the same
    connection: over another one, the server of a moment ago may answer the read and the new one confirm it.

    Raises (every method): LogUnavailable: no answer in time, or a refusal that may pass.
    """

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(url, **options)
        RedisServer.__init__(self, self._target, self.keys.clock, url=self.url, timeout_s=self.timeout_s)
        self.confirm_layout: Callable[[], Awaitable[None]] | None = None
        self._elsewhere: dict[str, RedisServer] = {}  # by one of their keys
        self._epoch = ""  # of the last clock

    async def _function(self, command: tuple[Any, ...]) -> Any:
        with self.beside():
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
        confirm = self.confirm_layout
        try:
            reply = await self._function(self.functions.clock(watermark, begins=confirm is None))
        except LayoutMismatch:
            if confirm is None:
                raise
            await confirm()
            reply = await self._function(self.functions.clock(watermark, begins=True))
        return self._looked_at(parse_clock(reply))

    def _looked_at(self, clock: Clock) -> Clock:
        if self._epoch not in {"", clock.epoch}:
            self.give_up(also_others=True)  # idle connections may still lead to the server of before
        self._epoch = clock.epoch
        return clock

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
            LogFull: Redis is at its memory limit; nothing of the failing call was stored; `stored` is what was before.
            PublishConflict: the idempotency key came with another body.
        """
        parts: list[Appended] = []
        for chunk, part in enumerate(split_calls(batches) if batches else [()]):
            call = AppendCall(part, publisher, sequence, chunk, once, lease, inbox_ids)
            try:
                parts.append(await self._append(call))
            except LogUnavailable as error:
                error.stored = tuple(result for done in parts for result in done.results)
                raise
        return _merged(parts)

    async def _append(self, call: AppendCall) -> Appended:
        for _ in range(_EPOCH_CHANGES):
            known = self._known or self._adopt(await self.clock(self._evidence.to_hand_in))
            try:
                answer = parse_append(await self._function(self.functions.append(call, known.epoch)), call)
            except LayoutMismatch:  # if the layout is the same, the partition was emptied: its clock begins it anew
                self._known = None
                if self.confirm_layout is None:
                    raise
                continue
            if isinstance(answer, Appended):
                return self._note(answer, known)
            self._known = None  # clock first, with the evidence: rule 2
        raise LogUnavailable(f"Redis at {self.url} changed its lineage {_EPOCH_CHANGES} times during one append")

    async def read_layout(self, wanted: Layout = SINGLE) -> Layout:
        """Return how the log is split; one that does not exist yet is split as wanted, if that is into several."""
        return parse_layout(await self._function(self.functions.layout(wanted)))

    async def acquire_lease(self, token: str, ttl_ms: int) -> int:
        """Acquire or renew the inbox lease: 0 another's, 1 renewed, 2 acquired as of the marker on its channel."""
        return int(await self._function(self.functions.lease(token, ttl_ms)))

    async def sweep(self, metrics: Sequence[str]) -> int:
        """Trim idle metrics by age, forget those silent for long and silent series; return how many metrics were.

        `forgotten_series` counts the series.
        """
        forgotten, first, looked_at = 0, 0, 0
        for end, size in enumerate(await self._series_counts(metrics), 1):
            looked_at += size
            if looked_at >= _SERIES_A_SWEEP or end == len(metrics):
                swept, series = await self._function(self.functions.sweep(metrics[first:end]))
                forgotten += swept
                self.forgotten_series += series
                first, looked_at = end, 0
        return forgotten

    async def _read(
        self, wire: Wire, commands: Sequence[tuple[Any, ...]], watermark: Watermark | None
    ) -> tuple[list[Any], Clock]:
        """Return the replies of commands, with an error in place of a foreign type's, and the clock after them."""
        clock = self.functions.clock(watermark)
        *replies, now = await wire.ask([*commands, clock])
        if _is_missing_function(now):
            _, now = await wire.ask([("FUNCTION", "LOAD", self.functions.source), clock])
        for reply in (*replies, now):
            if isinstance(reply, Exception) and (reply is now or "WRONGTYPE" not in str(reply)):
                raise reply
        return replies, self._looked_at(parse_clock(now))

    async def tails(self, watermark: Watermark | None = None) -> tuple[dict[str, int], Clock]:
        """Return the directory: each metric with its last id. Includes everything up to any clock read before."""
        found: dict[str, int] = {}
        async with self.wire() as wire:
            cursor: Any = b"0"
            while True:
                [reply] = await wire.ask([("HSCAN", self.keys.tail, cursor, "COUNT", 2_000)])
                if isinstance(reply, Exception):
                    raise reply
                cursor, fields = reply
                for metric, last in pairs(fields).items():
                    try:
                        found[metric.decode()] = parse_id(last)
                    except (ValueError, UnicodeDecodeError):
                        self.skipped_entries += 1
                if cursor == b"0":
                    return found, (await self._read(wire, (), watermark))[1]

    def _entries(self, reply: Any, *, check: bool = False) -> list[Entry]:
        if isinstance(reply, Exception):  # WRONGTYPE: a foreign thing under the key of a log
            self.skipped_entries += 1
            return []
        entries, skipped = parse_entries(reply, check=check)
        self.skipped_entries += skipped
        return entries

    async def entries_after(
        self, positions: Sequence[tuple[str, int]], count: int | None = None, watermark: Watermark | None = None
    ) -> tuple[list[list[Entry]], Clock]:
        """Return for each (metric, id) the entries after the id, oldest first, at most `count`, ours only."""
        limit = () if count is None else ("COUNT", count)
        commands = [("XRANGE", self.keys.log(metric), f"({id_text(id_)}", "+", *limit) for metric, id_ in positions]
        lists, parsed = [], 0
        async with self.wire() as wire:
            replies, clock = await self._read(wire, commands, watermark)
            for (metric, _), first in zip(positions, replies, strict=True):
                reply = first
                entries = self._entries(reply, check=True)
                while count is not None and len(entries) < count and isinstance(reply, list) and len(reply) == count:
                    # foreign entries shortened a page that is not exhausted: it goes on, down the same connection
                    command = ("XRANGE", self.keys.log(metric), b"(" + reply[-1][0], "+", "COUNT", count)
                    [reply], clock = await self._read(wire, [command], watermark)
                    entries += self._entries(reply, check=True)
                lists.append(entries[:count])
                parsed += len(entries)
                if parsed >= _PARSED_AT_ONCE:
                    parsed = 0
                    await asyncio.sleep(0)  # 500 are checked in 3 ms, and there may be thousands
        return lists, clock

    async def entries_between(
        self, metric: str, first: int, last: int, count: int, watermark: Watermark | None = None
    ) -> tuple[list[Entry], Clock]:
        """Return the entries of a metric with first ≤ id ≤ last, oldest first, at most `count`, and one after.

        The one after `last`, if there is one, points at what was there before it, whether or not that is still kept.
        """
        key = self.keys.log(metric)
        commands = [
            ("XRANGE", key, id_text(first), id_text(last), "COUNT", count),
            ("XRANGE", key, f"({id_text(last)}", "+", "COUNT", 1),
        ]
        async with self.wire() as wire:
            replies, clock = await self._read(wire, commands, watermark)
        return [entry for reply in replies for entry in self._entries(reply)], clock

    async def last_readings(
        self, metrics: Sequence[str], watermark: Watermark | None = None
    ) -> tuple[list[dict[bytes, LastReading]], Clock]:
        """Return for each metric its series with their last readings; keys are series keys."""
        found: list[dict[bytes, LastReading]] = []
        async with self.wire() as wire:
            replies, clock = await self._read(wire, [("HGETALL", self.keys.last(m)) for m in metrics], watermark)
        for reply in replies:
            if isinstance(reply, Exception):
                self.skipped_entries += 1
                found.append({})
                continue
            series, skipped = parse_last_readings(reply)
            self.skipped_entries += skipped
            found.append(series)
            if len(series) >= _PARSED_AT_ONCE:
                await asyncio.sleep(0)  # a metric may have 2,000 series: 10 ms
        return found, clock

    async def _series_counts(self, metrics: Sequence[str]) -> list[int]:
        async with self.wire() as wire:
            replies, _ = await self._read(wire, [("HLEN", self.keys.last(metric)) for metric in metrics], None)
        return [reply if isinstance(reply, int) else 0 for reply in replies]

    async def series_count(self, metrics: Sequence[str]) -> int:
        """Return how many series these metrics have together."""
        return sum(await self._series_counts(metrics))

    def at(self, key: str) -> RedisServer:
        """Return the server that has a key, which is another one than the log's only in a Cluster."""
        if not self.locator.clustered or key.startswith(self.keys.base):
            return self
        if key not in self._elsewhere:
            self._elsewhere[key] = RedisServer(self._target, key, url=self.url, timeout_s=self.timeout_s)
        return self._elsewhere[key]

    async def close(self) -> None:
        """Close all connections, also those to other servers; see `RedisServer.close`."""
        for server in self._elsewhere.values():
            await server.close()
        await super().close()


class BlockingRedisLog(_Base):
    """The log for one thread, such as a publisher's: the clock and append, over one connection.

    Attributes:
        locator: where the server is.

    Raises (every method): LogUnavailable: no answer in time, or a refusal that may pass.
    """

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(url, **options)
        self.locator = blocking_locator_of(self._target, self.keys.clock)
        with translated(self.url):
            connections = BlockingConnections.from_url(
                self._target.url,
                locator=self.locator,
                socket_timeout=self.timeout_s,
                socket_connect_timeout=min(self.timeout_s, 2.0),
                retry=Retry(NoBackoff(), 0),
                protocol=2,
                client_name="tidewire-publisher",
            )
        if not isinstance(self.locator, Socket):
            self.locator.on_moved = connections.leave
        self.redis = redis.Redis.from_pool(connections)

    def _on_error(self, error: BaseException) -> None:
        if names_another_server(error):
            self.locator.doubt()
            self.redis.connection_pool.disconnect(inuse_connections=False)

    def _function(self, command: tuple[Any, ...]) -> Any:
        with translated(self.url, self._on_error, locator=self.locator):
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
        # whoever asks has read the layout
        return parse_clock(self._function(self.functions.clock(watermark, begins=True)))

    def read_layout(self, wanted: Layout = SINGLE) -> Layout:
        """Return how the log is split; as `RedisLog.read_layout`."""
        return parse_layout(self._function(self.functions.layout(wanted)))

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
            try:
                answer = parse_append(self._function(self.functions.append(call, known.epoch)), call)
            except LayoutMismatch:
                self._known = None  # if the layout is the same, the partition was emptied: its clock begins it anew
                raise
            if isinstance(answer, Appended):
                return self._note(answer, known)
            self._known = None
        raise LogUnavailable(f"Redis at {self.url} changed its lineage {_EPOCH_CHANGES} times during one append")

    def ping(self) -> float:
        """Return how long Redis took to answer, in seconds."""
        started = monotonic()
        with translated(self.url, self._on_error, locator=self.locator):
            self.redis.execute_command("PING")
        return monotonic() - started

    def close(self) -> None:
        """Close the connection."""
        if not isinstance(self.locator, Socket):
            self.locator.close()
        self.redis.close()
