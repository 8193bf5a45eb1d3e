"""The inbox: appends readings that foreign producers send with nothing but a Redis client.

The inbox has two parts. The channels: ``PUBLISH tw:in:<metric> 921.4`` reaches every process, and the holder of the
lease appends it; best effort, as Pub/Sub is. The stream: ``XADD tw:in * metric … value …`` is durable; the holder reads
it through a consumer group, and the append function acknowledges and deletes each entry in the same step, so it is
appended once. In a Cluster the stream may be at another node than the log: there each entry is appended by itself, once
by its id, and acknowledged afterwards. Messages and entries that cannot be parsed go to the dead-letter stream
``tw:in:dead``.

Over 300 lines, because both parts share the parsing, the append with its retries, and the dead letters.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import structlog

from tidewire.errors import InvalidInput, LimitExceeded, LogUnavailable
from tidewire.model.batch import EncodedBatch, IngestLimits, is_plausible_time
from tidewire.model.cursor import id_ms, parse_id
from tidewire.redislog.calls import MAX_BATCHES, MAX_CALL_BYTES, Once, pairs
from tidewire.redislog.partitioned_log import PartitionedLog
from tidewire.redislog.server import RedisServer
from tidewire_service.ingest.lease import Lease
from tidewire_service.ingest.message_rows import entry_row, message_row
from tidewire_service.ingest.rows import Intake, Rejected, Row, collect

__all__ = ["Inbox"]

_MAX_WAITING: Final = 10_000  # messages of the channels that are not yet appended
_MAX_WAITING_BYTES: Final = 16 << 20
_MAX_DEAD_LETTERS: Final = 1_000
_BLOCK_MS: Final = 500  # how long one read of the stream waits for an entry
_PAUSE_S: Final = 0.25  # before the next try, after Redis failed
_GIVE_UP_S: Final = 10.0  # how long the append of a message from the channels is tried
_DEAD_LETTER_BYTES: Final = 4_096  # kept of each value of a dead letter
_DEAD_LETTER_FIELDS: Final = 16
_DEAD_LETTER_NAME_BYTES: Final = 255

_log = structlog.get_logger("tidewire_service")


def _system_ms() -> float:
    """Return the time by this machine's clock, Unix ms."""
    return time.time() * 1e3


class _Message(NamedTuple):
    metric: str
    payload: bytes
    time_ms: float


class _Entry(NamedTuple):
    id: bytes
    fields: Mapping[bytes, bytes]


class Inbox:
    """Listens all the time; appends while this process holds the lease of a partition.

    Each partition has a lease, by which messages of the channels are appended once. The stream is of the holder of the
    first: an entry goes to whichever partition its metric lies in, and the log knows it by its id.

    Args:
        log: what to append to.
        limits: of a batch.
        lease_ttl_ms: for how long a lease is granted.
        clock_ms: returns the log's clock, Unix ms.
        number: of the partition.

    Attributes:
        lease: of this process.
        counters: messages of the channels, entries of the stream, appended readings, dead letters, dropped messages,
            batches refused because another process has the lease, and calls that had been appended before.
    """

    def __init__(
        self,
        log: PartitionedLog,
        limits: IngestLimits,
        lease_ttl_ms: int,
        clock_ms: Callable[[], float] = _system_ms,
        number: int = 0,
    ) -> None:
        self._partitions = log
        self._number = number
        self._log = log.parts[number]
        self._clock_ms = clock_ms
        self._limits = limits
        self.lease = Lease(self._log, lease_ttl_ms)
        self.counters: Counter[str] = Counter(
            dict.fromkeys(("messages", "entries", "readings", "dead", "dropped", "not_ours", "repeated"), 0)
        )
        self._waiting: deque[_Message] = deque()
        self._waiting_bytes = 0
        self._arrived = asyncio.Event()
        self._left = set[int]()  # partitions with entries of the stream that wait until they are back
        self._sequences = [0, 0]  # of the channels, of the stream: each has one call in flight

    # -- the channels

    def on_message(self, channel: str, payload: bytes) -> None:
        """Queue one message of the inbox channels, from the live connection; never waits."""
        if channel == self._log.keys.inbox_marker and self.lease.on_marker(payload):
            return
        metric = self._log.keys.inbox_metric(channel)
        if not self.lease.owns or self._partitions.layout.partition_of(metric) != self._number:
            return
        self.counters["messages"] += 1
        if len(self._waiting) >= _MAX_WAITING or self._waiting_bytes + len(payload) > _MAX_WAITING_BYTES:
            self.counters["dropped"] += 1
            return
        self._waiting.append(_Message(metric, payload, self._clock_ms()))
        self._waiting_bytes += len(payload)
        self._arrived.set()

    async def run(self) -> None:
        """Bid for the lease and append what arrives; until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.lease.run(), name="tidewire-lease")
            tasks.create_task(self._consume_channels(), name="tidewire-inbox-channel")
            if self._number == 0:
                tasks.create_task(self._consume_stream(), name="tidewire-inbox-stream")

    async def _consume_channels(self) -> None:
        """Append queued messages as they arrive."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                messages = self._dequeue()
                intake = self._parse([self._message_row(message) for message in messages], messages[0].time_ms)
                for refused in intake.rejected:
                    message = messages[refused.row]
                    await self._dead_letter(
                        refused, {"metric": message.metric.encode(errors="surrogateescape"), "payload": message.payload}
                    )
                await self._append(intake, give_up_s=_GIVE_UP_S)

    def _dequeue(self) -> list[_Message]:
        """Remove from the queue, and return, the messages that fit into one append."""
        messages: list[_Message] = []
        size = 0
        while self._waiting and len(messages) < MAX_BATCHES:
            size += len(self._waiting[0].payload)
            if messages and size > MAX_CALL_BYTES // 2:
                break
            messages.append(self._waiting.popleft())
        self._waiting_bytes -= sum(len(message.payload) for message in messages)
        return messages

    def _message_row(self, message: _Message) -> Row:
        row = _row(message_row, message.metric, message.payload, self._limits)
        if isinstance(row, InvalidInput) or row.get("time") is not None or isinstance(row.get("value"), list):
            return row
        return {**row, "time": message.time_ms}

    def _parse(self, rows: Sequence[Row], now_ms: float) -> Intake:
        return collect(rows, self._limits, len(rows), now_ms)

    async def _append(
        self,
        intake: Intake,
        *,
        inbox_ids: Sequence[str] = (),
        once: Once | None = None,
        number: int = 0,
        give_up_s: float = math.inf,
    ) -> bool:
        """Append in one call, with retries; return False if the lease is another's, or it was given up.

        A call whose answer was lost is repeated unchanged, under the same sequence, so the log appends it once.

        Args:
            intake: the batches, at most one call's worth.
            inbox_ids: ids of the stream entries that they came from; none for messages of the channels.
            once: by which the log knows a call of before, also one of another process.
            number: of the partition, of an entry of the stream in a log of several.
            give_up_s: time without an answer after which the batches are dropped and counted.
        """
        if not intake.batches:
            return True
        log, token = self._log, self.lease.token
        if once is not None and self._partitions.layout.id:  # the lease says nothing of another partition
            log, token = self._partitions.parts[number], ""
        publisher, sequence = "", 0
        if once is None:
            self._sequences[inbox_ids != ()] += 1
            sequence = self._sequences[inbox_ids != ()]
            publisher = f"inbox-{token}-{'stream' if inbox_ids else 'channel'}"
        deadline = time.monotonic() + give_up_s
        while True:
            try:
                appended = await log.append(
                    intake.batches, publisher=publisher, sequence=sequence, once=once, lease=token, inbox_ids=inbox_ids
                )
            except LogUnavailable as error:
                if once is not None and number in self._partitions.away:
                    self._left.add(number)
                    return False
                if time.monotonic() > deadline:
                    self.counters["dropped"] += sum(batch.readings for batch in intake.batches)
                    _log.warning("inbox_messages_dropped", error=str(error))
                    return False
                await asyncio.sleep(_PAUSE_S)
                continue
            if appended.duplicate:
                self.counters["repeated"] += 1
            else:
                await self._record_results(intake, appended.results)
            return "lease" not in appended.results

    async def _record_results(self, intake: Intake, results: tuple[int | str, ...]) -> None:
        """Count what was appended; give up the lease, or move batches to the dead letters, if they were refused."""
        if "lease" in results:
            self.counters["not_ours"] += len(results)
            self.lease.mark_lost()
            return
        for batch, result in zip(intake.batches, results, strict=True):
            if isinstance(result, int):
                self.counters["readings"] += batch.readings
        for refused in intake.refused(results):
            await self._dead_letter(refused, {"batch": intake.batches[intake.rows.index((refused.row,))].body})

    # -- the stream

    async def _consume_stream(self) -> None:
        """Append the entries of the stream while the lease is held: first the unacknowledged ones, then new ones."""
        claimed = False
        consumer = self.lease.token
        while True:
            if self._left and not self._left & self._partitions.away.keys():
                claimed = False  # the partitions of what was left are back
            if not self.lease.held:
                self.lease.changed.clear()
                await self.lease.changed.wait()
                claimed = False
            try:
                if not claimed or consumer != self.lease.token:
                    consumer = self.lease.token
                    self._left.clear()
                    await self._claim_entries(consumer)
                    claimed = True
                await self._read_entries(consumer)
            except LogUnavailable as error:
                if "NOGROUP" not in str(error):
                    _log.debug("inbox_not_read", error=str(error))
                claimed = False  # claim again: entries that were not acknowledged are still there, the others are gone
                await asyncio.sleep(_PAUSE_S)

    @property
    def _stream(self) -> RedisServer:
        """The server that has the stream."""
        return self._log.at(self._log.keys.inbox)

    async def _command(self, *words: Any) -> Any:
        stream = self._stream
        with stream.beside():
            return await stream.redis.execute_command(*words)  # type: ignore[no-untyped-call]  # redis-py has no type for it

    async def _claim_entries(self, consumer: str) -> None:
        """Append the entries that any process left unacknowledged, then delete the other consumers.

        Creates the consumer group if it does not exist.
        """
        keys = self._log.keys
        try:
            await self._command("XGROUP", "CREATE", keys.inbox, keys.inbox_group, "0", "MKSTREAM")
        except LogUnavailable as error:
            if "BUSYGROUP" not in str(error):
                raise
        start: Any = "0-0"
        while True:
            reply = await self._command(
                "XAUTOCLAIM", keys.inbox, keys.inbox_group, consumer, 0, start, "COUNT", MAX_BATCHES
            )
            start = reply[0]
            entries = [_Entry(id_, pairs(fields)) for id_, fields in reply[1] if fields]
            if entries:
                await self._append_entries(entries)
            if start in (b"0-0", "0-0"):
                break
        stream = self._stream
        with stream.beside():
            for other in await stream.redis.xinfo_consumers(keys.inbox, keys.inbox_group):
                if other["pending"] == 0 and other["name"] != consumer.encode():
                    await stream.redis.xgroup_delconsumer(keys.inbox, keys.inbox_group, other["name"])

    async def _read_entries(self, consumer: str) -> None:
        """Wait a short time for new entries and append them."""
        keys = self._log.keys
        block_ms = max(1, min(_BLOCK_MS, int(self._log.timeout_s * 500)))  # well below the socket's timeout
        reply = await self._command(
            "XREADGROUP", "GROUP", keys.inbox_group, consumer, "COUNT", MAX_BATCHES,
            "BLOCK", block_ms, "STREAMS", keys.inbox, ">",
        )  # fmt: skip
        if not reply:
            return
        raw = reply[keys.inbox.encode()] if isinstance(reply, dict) else reply[0][1]
        await self._append_entries([_Entry(id_, pairs(fields)) for id_, fields in raw])

    async def _append_entries(self, entries: Sequence[_Entry]) -> None:
        """Append entries, each acknowledged in the same step; those that cannot be parsed become dead letters."""
        now_ms = self._clock_ms()
        self.counters["entries"] += len(entries)
        batches: list[EncodedBatch] = []
        ids: list[str] = []
        size = 0
        for entry in entries:
            added_ms = float(id_ms(parse_id(entry.id)))  # unless a foreign hand chose the id
            added_ms = added_ms if is_plausible_time(added_ms, now_ms) else now_ms
            row = _row(entry_row, entry.fields, added_ms, self._limits)
            intake = self._parse([row], now_ms)
            if intake.rejected:
                await self._dead_letter(intake.rejected[0], entry.fields, entry.id)
                continue
            batch = intake.batches[0]
            if batches and size + len(batch.body) > MAX_CALL_BYTES:
                await self._append_batches(batches, ids)
                batches, ids, size = [], [], 0
            batches.append(batch)
            ids.append(entry.id.decode())
            size += len(batch.body)
        if batches:
            await self._append_batches(batches, ids)

    async def _append_batches(self, batches: list[EncodedBatch], ids: list[str]) -> None:
        if self._stream is self._log and not self._partitions.layout.id:
            await self._append(Intake(batches, [(row,) for row in range(len(batches))], []), inbox_ids=ids)
            return
        places = self._partitions.layout.split(batch.metric for batch in batches)
        done = await asyncio.gather(
            *(self._append_entries_of(number, [(batches[at], ids[at]) for at in own]) for number, own in places.items())
        )
        if acknowledged := [id_ for some in done for id_ in some]:
            await self._acknowledge(acknowledged)

    async def _append_entries_of(self, number: int, entries: Sequence[tuple[EncodedBatch, str]]) -> list[str]:
        """Append entries of one partition, each once by its id; return the ids of those that were.

        What is left, since the partition is away, is claimed when it is back, and what comes after it with it.
        """
        done: list[str] = []
        for batch, id_ in entries:
            if number in self._left or number in self._partitions.away:
                self._left.add(number)
                break
            if not await self._append(Intake([batch], [(0,)], []), once=Once(f"in:{id_}", id_), number=number):
                break  # whoever has the lease now appends what is not acknowledged
            done.append(id_)
        return done

    async def _acknowledge(self, ids: Sequence[str | bytes]) -> None:
        """Acknowledge and delete entries that were appended."""
        keys, stream = self._log.keys, self._stream
        await stream.run(("XACK", keys.inbox, keys.inbox_group, *ids), ("XDEL", keys.inbox, *ids))

    # -- dead letters

    async def _dead_letter(self, refused: Rejected, fields: Mapping[Any, bytes], entry_id: bytes | None = None) -> None:
        """Add a message or entry to the dead-letter stream, with the reason.

        Args:
            refused: the reason.
            fields: of the message or entry; long ones are cut.
            entry_id: of an entry, which is acknowledged and deleted in the same step.
        """
        keys = self._log.keys
        self.counters["dead"] += 1
        kept: dict[Any, Any] = {
            name[:_DEAD_LETTER_NAME_BYTES]: value[:_DEAD_LETTER_BYTES]
            for name, value in list(fields.items())[:_DEAD_LETTER_FIELDS]
        }
        kept[b"reason"] = f"{refused.field} {refused.value}: {refused.reason}"
        try:
            dead = self._log.at(keys.inbox_dead)
            together = dead is self._stream
            with dead.beside():
                async with dead.redis.pipeline(transaction=True) as pipe:
                    pipe.xadd(keys.inbox_dead, kept, maxlen=_MAX_DEAD_LETTERS, approximate=False)
                    if entry_id is not None and together:
                        pipe.xack(keys.inbox, keys.inbox_group, entry_id)
                        pipe.xdel(keys.inbox, entry_id)
                    await pipe.execute()
            if entry_id is not None and not together:
                await self._acknowledge([entry_id])
        except LogUnavailable as error:
            if entry_id is not None:
                raise  # the entry stays unacknowledged and is parsed again
            _log.debug("inbox_dead_not_kept", error=str(error))


def _row(read: Callable[..., dict[str, Any]], *arguments: Any) -> Row:
    """Return what a parser of `message_rows` reads, or why it cannot be read."""
    try:
        return read(*arguments)
    except InvalidInput as error:
        return error
    except LimitExceeded as error:
        return InvalidInput(error.limit, error.got, str(error))
