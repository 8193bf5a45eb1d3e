"""Checks the times of encoded batches by the log's clock, which a publisher learns when it sends; pure.

A time that was given and cannot be is refused, as the service does. One that the publisher took from its own clock is
moved: by as much as that clock is off, or to now.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from tidewire.errors import InvalidInput
from tidewire.model.batch import (
    DEFAULT_LIMITS,
    LEAD_MS,
    Batch,
    EncodedBatch,
    checked_time_ms,
    decode_batch,
    encode_batch,
    is_plausible_time,
)

__all__ = ["Checked", "are_plausible", "check_times", "present_ms", "without_impossible_times"]

_LIMITS: Final = msgspec.structs.replace(DEFAULT_LIMITS, batch_bytes=1 << 30)  # they were checked; times are longer now


_FAR_MS: Final = 4e12  # 2096


def present_ms(own_ms: float) -> float:
    """Return what is now for the check of a time that was given, Unix ms; `own_ms` is now by this machine's clock.

    A clock that stands before 1990 was never set and cannot tell what is ahead: the log's does when the time is sent.
    """
    return own_ms if is_plausible_time(own_ms, own_ms) else _FAR_MS


class Checked(NamedTuple):
    """Batches whose times are plausible.

    Attributes:
        batches: in order.
        moved: readings that got the log's time.
        refused: readings that were left out.
        reason: why; empty if none was.
    """

    batches: Sequence[EncodedBatch]
    moved: int = 0
    refused: int = 0
    reason: str = ""


def are_plausible(batches: Sequence[EncodedBatch], log_ms: float) -> bool:
    """Tell whether the times of batches can be, by the log's clock; a time that was given lies after 1990."""
    latest_ms = log_ms + LEAD_MS
    return all(
        batch.last_time <= latest_ms and (batch.default_from is None or is_plausible_time(batch.default_from, log_ms))
        for batch in batches
    )


def check_times(batches: Sequence[EncodedBatch], log_ms: float, own_ms: float) -> Checked:
    """Return batches without times that cannot be.

    Args:
        batches: as they were published.
        log_ms: now by the log's clock, Unix ms.
        own_ms: now by the publisher's.
    """
    kept: list[EncodedBatch] = []
    moved, refused, reason = 0, 0, ""
    for encoded in batches:
        if are_plausible((encoded,), log_ms):
            kept.append(encoded)
            continue
        batch = decode_batch(encoded.body)
        wrong = [not is_plausible_time(time_ms, log_ms) for time_ms in batch.time]
        if encoded.default_from is not None:
            times = [
                _moved(time_ms, log_ms, own_ms) if bad else time_ms
                for time_ms, bad in zip(batch.time, wrong, strict=True)
            ]
            moved += sum(wrong)
            kept.append(encode_batch(msgspec.structs.replace(batch, time=times), _LIMITS))
            continue
        refused += sum(wrong)
        reason = reason or _reason(batch.time[wrong.index(True)], log_ms)
        if not all(wrong):
            kept.append(encode_batch(_without(batch, wrong), _LIMITS))
    return Checked(kept, moved, refused, reason)


def without_impossible_times(encoded: EncodedBatch) -> bytes:
    """Return the body of a batch for a service: without times of a clock that was never set, it puts its own there."""
    if encoded.default_from is None or is_plausible_time(encoded.default_from, encoded.default_from):
        return encoded.body
    batch = msgspec.to_builtins(decode_batch(encoded.body))
    del batch["time"]
    return msgspec.json.encode(batch)


def _moved(time_ms: float, log_ms: float, own_ms: float) -> float:
    """Return the log's time for a time of the publisher's clock; now, if that clock was set meanwhile."""
    moved_ms = time_ms + log_ms - own_ms
    return moved_ms if is_plausible_time(moved_ms, log_ms) else log_ms


def _reason(time_ms: float, log_ms: float) -> str:
    try:
        checked_time_ms(time_ms, now_ms=log_ms)
    except InvalidInput as error:
        return str(error)
    return ""


def _without(batch: Batch, wrong: Sequence[bool]) -> Batch:
    """Return the readings of a batch that are not wrong."""
    columns = {name: getattr(batch, name) for name in ("time", "value", "text", "step")}
    kept = {
        name: None if column is None else [item for item, bad in zip(column, wrong, strict=True) if not bad]
        for name, column in columns.items()
    }
    return msgspec.structs.replace(batch, **kept)
