"""The inbox: readings of foreign producers, sent with nothing but a Redis client.

``PUBLISH tw:in:<metric> 921.4`` is heard by every process and appended by the holder of the lease; best effort, as
Pub/Sub is. ``XADD tw:in * metric … value …`` is durable: the holder takes it through a consumer group, and the append
function acknowledges and deletes it in the same step, so each entry is appended once. What cannot be read goes to
``tw:in:dead``.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import structlog

from tidewire.errors import InvalidInput, LimitExceeded, LogUnavailable
from tidewire.model.batch import EncodedBatch, IngestLimits
from tidewire.model.cursor import id_ms, parse_id
from tidewire.redislog.calls import MAX_BATCHES, MAX_CALL_BYTES
from tidewire.redislog.log import RedisLog
from tidewire_service.ingest.lease import Lease
from tidewire_service.ingest.message_rows import entry_row, message_row
from tidewire_service.ingest.rows import Intake, Rejected, Row, collect

__all__ = ["Inbox"]

_MAX_WAITING: Final = 10_000  # messages of the channel not yet appended
_MAX_WAITING_BYTES: Final = 16 << 20
_MAX_DEAD: Final = 1_000
_BLOCK_MS: Final = 500  # one read of the durable inbox waits so long for an entry
_PAUSE_S: Final = 0.25  # after Redis failed
_GIVE_UP_S: Final = 10.0  # a message of the channel is tried for so long
_DEAD_BYTES: Final = 4_096  # of a value that is kept among the dead
_DEAD_FIELDS: Final = 16
_NAME_BYTES: Final = 255

_log = structlog.get_logger("tidewire_service")


class _Message(NamedTuple):
    metric: str
    payload: bytes
    time_ms: float


class _Entry(NamedTuple):
    id: bytes
    fields: Mapping[bytes, bytes]


class Inbox:
    """Listens always; appends while it holds the lease.

    Attributes:
        lease: who appends.
        counters: messages, entries, appended readings, dead, dropped, refused by the lease, taken before.
    """

    def __init__(self, log: RedisLog, limits: IngestLimits, lease_ttl_ms: int) -> None:
        self._log = log
        self._limits = limits
        self._redis = log.redis
        self.lease = Lease(log, lease_ttl_ms)
        self.counters: Counter[str] = Counter(
            dict.fromkeys(("messages", "entries", "readings", "dead", "dropped", "not_ours", "repeated"), 0)
        )
        self._waiting: deque[_Message] = deque()
        self._waiting_bytes = 0
        self._arrived = asyncio.Event()
        self._sequences = [0, 0]  # of the channel, of the stream: each has one call in flight

    # -- the channel

    def on_message(self, channel: str, payload: bytes) -> None:
        """Take one message of the inbox channels from the live connection; never waits."""
        if channel == self._log.keys.inbox_marker:
            self.lease.heard(payload)
            return
        if not self.lease.owns:
            return
        self.counters["messages"] += 1
        if len(self._waiting) >= _MAX_WAITING or self._waiting_bytes + len(payload) > _MAX_WAITING_BYTES:
            self.counters["dropped"] += 1
            return
        self._waiting.append(_Message(self._log.keys.inbox_metric(channel), payload, time.time() * 1e3))
        self._waiting_bytes += len(payload)
        self._arrived.set()

    async def run(self) -> None:
        """Bid for the lease and append what comes, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.lease.run(), name="tidewire-lease")
            tasks.create_task(self._append_messages(), name="tidewire-inbox-channel")
            tasks.create_task(self._append_entries(), name="tidewire-inbox-stream")

    async def _append_messages(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                messages = self._taken()
                intake = self._read([self._message_row(message) for message in messages], messages[0].time_ms)
                for refused in intake.rejected:
                    message = messages[refused.row]
                    await self._bury(refused, {"metric": message.metric.encode(), "payload": message.payload})
                await self._append_tried(intake, give_up_s=_GIVE_UP_S)

    def _taken(self) -> list[_Message]:
        """Take what fits into one append."""
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
        try:
            row = message_row(message.metric, message.payload, self._limits)
        except InvalidInput as error:
            return error
        except LimitExceeded as error:
            return InvalidInput(error.limit, error.got, str(error))
        if row.get("time") is None and not isinstance(row.get("value"), list):
            row["time"] = message.time_ms
        return row

    def _read(self, rows: Sequence[Row], now_ms: float) -> Intake:
        return collect(rows, self._limits, len(rows), now_ms)

    async def _append_tried(
        self, intake: Intake, *, inbox_ids: Sequence[str] = (), give_up_s: float = math.inf
    ) -> None:
        """Append; a call whose answer was lost is repeated as it was under its sequence, so it is taken once.

        Args:
            intake: what to append, one call's worth.
            inbox_ids: entries of the stream that it holds.
            give_up_s: after so long without an answer it is dropped and counted.
        """
        if not intake.batches:
            return
        token = self.lease.token
        self._sequences[inbox_ids != ()] += 1
        sequence = self._sequences[inbox_ids != ()]
        publisher = f"inbox-{token}-{'stream' if inbox_ids else 'channel'}"
        deadline = time.monotonic() + give_up_s
        while True:
            try:
                appended = await self._log.append(
                    intake.batches, publisher=publisher, sequence=sequence, lease=token, inbox_ids=inbox_ids
                )
            except LogUnavailable as error:
                if time.monotonic() > deadline:
                    self.counters["dropped"] += sum(batch.readings for batch in intake.batches)
                    _log.warning("inbox_messages_dropped", error=str(error))
                    return
                await asyncio.sleep(_PAUSE_S)
                continue
            if appended.duplicate:
                self.counters["repeated"] += 1
            else:
                await self._account(intake, appended.results)
            return

    async def _account(self, intake: Intake, results: tuple[int | str, ...]) -> None:
        if "lease" in results:
            self.counters["not_ours"] += len(results)
            self.lease.lost()
            return
        for batch, result in zip(intake.batches, results, strict=True):
            if isinstance(result, int):
                self.counters["readings"] += batch.readings
        for refused in intake.refused(results):
            await self._bury(refused, {"batch": intake.batches[intake.rows.index((refused.row,))].body})

    # -- the stream

    async def _append_entries(self) -> None:
        """Take the durable inbox while the lease is held: first what was never acknowledged, then what is new."""
        fresh = False
        consumer = self.lease.token
        while True:
            if not self.lease.held:
                self.lease.changed.clear()
                await self.lease.changed.wait()
                fresh = False
            try:
                if not fresh or consumer != self.lease.token:
                    consumer = self.lease.token
                    await self._claim(consumer)
                    fresh = True
                await self._take_entries(consumer)
            except LogUnavailable as error:
                if "NOGROUP" not in str(error):
                    _log.debug("inbox_not_read", error=str(error))
                fresh = False  # whatever was not acknowledged is claimed again; what was, is gone
                await asyncio.sleep(_PAUSE_S)

    async def _command(self, *words: Any) -> Any:
        with self._log.beside():
            return await self._redis.execute_command(*words)  # type: ignore[no-untyped-call]  # redis-py has no type for it

    async def _claim(self, consumer: str) -> None:
        """Make the group if need be, take over what any process left unacknowledged, and forget the others."""
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
            entries = [_Entry(id_, _pairs(fields)) for id_, fields in reply[1] if fields]
            if entries:
                await self._append_some(entries)
            if start in (b"0-0", "0-0"):
                break
        with self._log.beside():
            for other in await self._redis.xinfo_consumers(keys.inbox, keys.inbox_group):
                if other["pending"] == 0 and other["name"] != consumer.encode():
                    await self._redis.xgroup_delconsumer(keys.inbox, keys.inbox_group, other["name"])

    async def _take_entries(self, consumer: str) -> None:
        """Wait for new entries, not for long, and append them."""
        keys = self._log.keys
        block_ms = max(1, min(_BLOCK_MS, int(self._log.timeout_s * 500)))  # well within the socket's deadline
        reply = await self._command(
            "XREADGROUP", "GROUP", keys.inbox_group, consumer, "COUNT", MAX_BATCHES,
            "BLOCK", block_ms, "STREAMS", keys.inbox, ">",
        )  # fmt: skip
        if not reply:
            return
        raw = reply[keys.inbox.encode()] if isinstance(reply, dict) else reply[0][1]
        await self._append_some([_Entry(id_, _pairs(fields)) for id_, fields in raw])

    async def _append_some(self, entries: Sequence[_Entry]) -> None:
        """Append entries, each acknowledged in the same step as its batch; bury those that cannot be read."""
        now_ms = time.time() * 1e3
        self.counters["entries"] += len(entries)
        batches: list[EncodedBatch] = []
        ids: list[str] = []
        size = 0
        for entry in entries:
            intake = self._read([self._entry_row(entry)], now_ms)
            if intake.rejected:
                await self._bury(intake.rejected[0], entry.fields, entry.id)
                continue
            batch = intake.batches[0]
            if batches and size + len(batch.body) > MAX_CALL_BYTES:
                await self._append_call(batches, ids)
                batches, ids, size = [], [], 0
            batches.append(batch)
            ids.append(entry.id.decode())
            size += len(batch.body)
        if batches:
            await self._append_call(batches, ids)

    def _entry_row(self, entry: _Entry) -> Row:
        try:
            return entry_row(entry.fields, float(id_ms(parse_id(entry.id))), self._limits)
        except InvalidInput as error:
            return error
        except LimitExceeded as error:
            return InvalidInput(error.limit, error.got, str(error))

    async def _append_call(self, batches: list[EncodedBatch], ids: list[str]) -> None:
        await self._append_tried(Intake(batches, [(row,) for row in range(len(batches))], []), inbox_ids=ids)

    # -- the dead

    async def _bury(self, refused: Rejected, fields: Mapping[Any, bytes], entry_id: bytes | None = None) -> None:
        """Put what cannot be read where it can be looked at, with the reason; an entry of the stream leaves it."""
        keys = self._log.keys
        self.counters["dead"] += 1
        kept: dict[Any, Any] = {
            name[:_NAME_BYTES]: value[:_DEAD_BYTES] for name, value in list(fields.items())[:_DEAD_FIELDS]
        }
        kept[b"reason"] = f"{refused.field} {refused.value}: {refused.reason}"
        try:
            with self._log.beside():
                async with self._redis.pipeline(transaction=True) as pipe:
                    pipe.xadd(keys.inbox_dead, kept, maxlen=_MAX_DEAD, approximate=False)
                    if entry_id is not None:
                        pipe.xack(keys.inbox, keys.inbox_group, entry_id)
                        pipe.xdel(keys.inbox, entry_id)
                    await pipe.execute()
        except LogUnavailable as error:
            if entry_id is not None:
                raise  # it stays unacknowledged, and is judged again
            _log.debug("inbox_dead_not_kept", error=str(error))


def _pairs(fields: Any) -> Mapping[bytes, bytes]:
    """Return the fields of an entry whichever shape the protocol gave them."""
    if isinstance(fields, dict):
        return fields
    return dict(zip(fields[::2], fields[1::2], strict=True))
