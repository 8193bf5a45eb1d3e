"""Stores line protocol in slices: each is parsed, appended and forgotten before the next."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable, Set
from typing import Final

from tidewire.errors import PublishConflict
from tidewire.model.batch import EncodedBatch
from tidewire.redislog.calls import Once
from tidewire_service.auth.scopes import Identity
from tidewire_service.hub.hub import Hub
from tidewire_service.ingest.line_protocol import LineSlice, LineSlices
from tidewire_service.ingest.line_times import Precision
from tidewire_service.ingest.rows import METRIC_NOT_ALLOWED, Rejected
from tidewire_service.operations.telemetry import Telemetry
from tidewire_service.settings import ServiceSettings
from tidewire_service.streams.stream_quota import StreamQuota

__all__ = ["LineOutcome", "LineStore"]

_INLINE_BYTES: Final = 4 * 1024  # parsed on the event loop, 5 ms if each line has a series of its own
_ONCE_MS: Final = 15 * 60_000  # clients repeat within minutes; 1,000 agents with a body each 10 s are 90,000 keys
_STORED_OTHERWISE: Final = (
    "and what is with it came before, and was stored with other refusals (its times, the token or a limit); send only "
    "the lines that were refused then"
)
_NAMED: Final = 100  # refused lines that an answer names
_COUNTED: Final = frozenset({"metric", "labels", "unit", "time", "value", "text", "line"})


class LineOutcome:
    """What became of the lines of a body.

    Attributes:
        lines: that were read.
        refused: lines of them that were refused, in whole or in part.
        accepted: readings that were stored.
        lossy: integers that were rounded.
        named: the first 100 refusals, each with the beginning of its line.
        only_scope: whatever was refused may not be published with the token.
        stored_before: some lines came before, and would be stored otherwise now.
    """

    def __init__(self) -> None:
        self.lines = self.refused = self.accepted = self.lossy = 0
        self.named: list[tuple[Rejected, str]] = []
        self.only_scope = True
        self.stored_before = False

    def add(self, part: LineSlice, rejected: list[Rejected], refused: Set[int]) -> None:
        """Add what became of one slice: its refusals in words, and the numbers of all lines that were refused."""
        self.lines += part.lines
        self.lossy += part.lossy
        self.refused += len(refused)
        self.only_scope = self.only_scope and all(row.reason == METRIC_NOT_ALLOWED for row in rejected)
        self.named += [(row, part.starts.get(row.row, "")) for row in rejected[: _NAMED - len(self.named)]]


class LineStore:
    """Stores bodies.

    Args:
        hub: whose log is written.
        settings: of the service.
        telemetry: counts.
        quota: counts the limits that are reached.
    """

    def __init__(self, hub: Hub, settings: ServiceSettings, telemetry: Telemetry, quota: StreamQuota) -> None:
        self._hub = hub
        self._settings = settings
        self._telemetry = telemetry
        self._quota = quota

    async def store(self, body: bytes, precision: Precision, identity: Identity, *, whole: bool) -> LineOutcome:
        """Parse and append a body, a slice at a time.

        Args:
            body: unpacked.
            precision: of its times.
            identity: who sends it.
            whole: append nothing if a line is refused.
        """
        now_ms = float(int(self._hub.log_time_ms()))
        limits, most = self._settings.limits, self._settings.max_foreign_rows

        def slices() -> LineSlices:
            return LineSlices(body, limits, precision, most, now_ms)

        checked = LineOutcome()
        if whole:
            async for part in self._parts(slices(), len(body), identity):
                checked.add(part, part.intake.rejected, part.refused)
            if checked.refused:
                self._count(checked)
                return checked
        outcome = LineOutcome()
        async for part in self._parts(slices(), len(body), identity):
            await self._append(part, identity, outcome)
        self._count(outcome)
        return outcome

    async def _parts(self, slices: LineSlices, size: int, identity: Identity) -> AsyncIterator[LineSlice]:
        def read() -> LineSlice | None:
            part = slices.read()
            if part is None:
                return None
            intake = part.intake.narrowed(identity.scopes.may_publish)
            return part._replace(intake=intake, refused=part.refused | {row.row for row in intake.rejected})

        while (part := read() if size <= _INLINE_BYTES else await asyncio.to_thread(read)) is not None:
            yield part

    async def _append(self, part: LineSlice, identity: Identity, outcome: LineOutcome) -> None:
        intake, rejected, refused = part.intake, part.intake.rejected, part.refused
        if intake.batches:
            once = None
            if part.key:
                once = Once(f"{identity.id}.influx.{part.key}", _digest(intake.batches), _ONCE_MS)
            try:
                appended = await self._hub.log.append(intake.batches, once=once)
            except PublishConflict:
                rows = sorted({row for rows in intake.rows for row in rows})
                again = Rejected(rows[0], "line", part.starts[rows[0]], _STORED_OTHERWISE)
                named = sorted([*rejected, again], key=lambda row: row.row)
                outcome.add(part, named, refused | set(rows))
                outcome.stored_before = True
                return
            if appended.duplicate:
                self._telemetry.repeated.labels("influx").inc()
            late = intake.refused(appended.results) if any(isinstance(r, str) for r in appended.results) else []
            refused = refused | {row.row for row in late}
            rejected = sorted(rejected + late, key=lambda row: row.row)
            kept = zip(intake.batches, appended.results, strict=True)
            accepted = sum(batch.readings for batch, result in kept if not isinstance(result, str))
            outcome.accepted += accepted
            if not appended.duplicate:
                self._telemetry.accepted.labels("influx").inc(accepted)
                self._telemetry.lossy.labels("influx").inc(part.lossy)
                self._telemetry.left_out.labels("influx").inc(part.left_out)
        outcome.add(part, rejected, refused)

    def _count(self, outcome: LineOutcome) -> None:
        for row, _ in outcome.named:
            self._quota.limit_counters.count(row.limit)
            field = row.field.partition("[")[0]
            self._telemetry.rejected.labels("influx", field if field in _COUNTED else "other").inc()
        if unnamed := outcome.refused - len({row.row for row, _ in outcome.named}):
            self._telemetry.rejected.labels("influx", "other").inc(max(0, unnamed))


def _digest(batches: Iterable[EncodedBatch]) -> str:
    digest = hashlib.sha256()
    for batch in batches:
        digest.update(batch.body)
        digest.update(b"\n")
    return digest.hexdigest()
