"""Encodes and decodes view frames, byte for byte as docs/view-frame.md specifies; no I/O."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from tidewire.errors import InvalidInput
from tidewire.livestore.words import Run

__all__ = [
    "BUCKET",
    "DELTA",
    "EMPTY",
    "FLAG_ENDED",
    "FLAG_LATE",
    "FLAG_PARTIAL",
    "FLAG_STEPS",
    "MAX_BUCKETS",
    "MAX_SERIES",
    "RANGE",
    "RECORD",
    "SNAPSHOT",
    "ViewFrame",
    "arrival_ms",
    "base_for",
    "blocks_flag",
    "exponent_for",
    "exponents_of",
    "pack_frame",
    "unpack_frame",
]

VERSION: Final = 2
SNAPSHOT, DELTA, RANGE = 1, 2, 4
FLAG_PARTIAL = 2
FLAG_STEPS = 4
FLAG_ENDED = 8
FLAG_LATE = 16
BLOCKS_SHIFT: Final = 8  # of the flags: eight bits, see `blocks_flag`
EXPONENT_SHIFT: Final = 16  # of the flags: the upper half is a signed exponent
MAX_SERIES = MAX_BUCKETS = 0xFFFF

_HEADER: Final = struct.Struct("<BBHIddHHI")
RECORD: Final = np.dtype(
    [
        ("base", "<f8"),
        ("last_value", "<f8"),
        ("last_time_ms", "<f8"),
        ("last_id_ms", "<f8"),
        ("total", "<f8"),
        ("expected_ms", "<f4"),
        ("change", "<f4"),
        ("rate", "<f4"),
        ("flags", "<u4"),
        ("index", "<u4"),
        ("before_s", "<u4"),
    ]
)
BUCKET: Final = np.dtype(
    [("min", "<f4"), ("max", "<f4"), ("first", "<u2"), ("last", "<u2"), ("mean", "<u2"), ("count", "<u2")]
)
EMPTY: Final = np.array((np.nan, np.nan, 0, 0, 0, 0), dtype=BUCKET)
# Powers of two between which float32 has all its 24 bits, and sums and differences of some values as well.
_LEAST_EXPONENT, _MOST_EXPONENT = -100, 120
# Below this share of a series' magnitude, its range keeps fewer than 12 of float32's 24 bits: 2 ** (12 - 24).
_NARROW: Final = 2.0**-12


class ViewFrame(NamedTuple):
    """One frame; see docs/view-frame.md.

    Attributes:
        kind: SNAPSHOT, DELTA or RANGE.
        seq: the tick that packed it.
        now_ms: the log's clock.
        first: number of the first bucket.
        view: its number; for RANGE the request's id.
        step_ms: width of a bucket.
        records: dtype `RECORD`, one per series.
        body: dtype `BUCKET`, [series, buckets]; `EMPTY` where a bucket holds no number.
        states: by index of the series the states from the first bucket on, and some before; none of most.
    """

    kind: int
    seq: int
    now_ms: float
    first: float
    view: int
    step_ms: int
    records: npt.NDArray[np.void]
    body: npt.NDArray[np.void]
    states: Mapping[int, Sequence[Run]] = {}


def pack_frame(frame: ViewFrame) -> bytes:
    """Return the bytes of a frame; series and buckets at most 65,535 each."""
    series, buckets = frame.body.shape
    header = _HEADER.pack(
        VERSION,
        frame.kind,
        series,
        frame.seq & 0xFFFF_FFFF,
        frame.now_ms,
        frame.first,
        buckets,
        frame.view,
        frame.step_ms,
    )
    states = msgspec.json.encode(frame.states) if frame.states else b""
    return b"".join((header, frame.records.tobytes(), frame.body.tobytes(), states))


def unpack_frame(data: bytes) -> ViewFrame:
    """Return the frame that bytes hold.

    Raises:
        InvalidInput: no frame of this version, or not as long as its header says.
    """
    if len(data) < _HEADER.size or data[0] != VERSION:
        raise InvalidInput("frame", data[:8], f"expected a view frame of version {VERSION}")
    _, kind, series, seq, now_ms, first, buckets, view, step_ms = _HEADER.unpack_from(data)
    body_at = _HEADER.size + series * RECORD.itemsize
    end = body_at + series * buckets * BUCKET.itemsize
    if len(data) < end:
        raise InvalidInput("frame", len(data), f"expected {end} bytes")
    try:
        states = msgspec.json.decode(data[end:], type=dict[int, list[Run]]) if len(data) > end else {}
    except msgspec.MsgspecError as error:
        raise InvalidInput("frame", len(data), f"expected {end} bytes, and states: {error}") from None
    records = np.frombuffer(data, RECORD, series, _HEADER.size)
    body = np.frombuffer(data, BUCKET, series * buckets, body_at).reshape(series, buckets)
    return ViewFrame(kind, seq, now_ms, first, view, step_ms, records, body, states)


def base_for(low: float, high: float, before: float = 0.0) -> float:
    """Return what to subtract from a series before it is rounded to float32: 0 unless it is large against its range.

    Args:
        low: smallest value of the window, NaN for none.
        high: largest.
        before: the base so far, kept while it serves: another one costs a snapshot.
    """
    low, high = float(low), float(high)  # NumPy's warn of an overflow
    for base in (before, 0.0):
        if not high - low < max(abs(low - base), abs(high - base)) * _NARROW:  # true for NaN as well
            return base
    return low


def exponent_for(low: float, high: float, base: float) -> int:
    """Return the power of two by which a series is divided before it is rounded to float32, of which 0 is usual.

    Args:
        low: smallest value of the window, NaN for none.
        high: largest.
        base: what is subtracted first.
    """
    largest = max(abs(low - base), abs(high - base))
    if not 0 < largest < math.inf:  # true for NaN; a difference beyond float64 is refused by the chart
        return 0
    exponent = math.frexp(largest)[1]
    return 0 if _LEAST_EXPONENT <= exponent <= _MOST_EXPONENT else exponent


def blocks_flag(interval_ms: float) -> int:
    """Return the bits of the flags that tell how far apart blocks of readings come: n for 2 ** (n / 8) seconds.

    Args:
        interval_ms: 0 if the readings do not come in blocks; from 2 s up to 45 days it is exact to a twentieth.
    """
    if interval_ms <= 0:
        return 0
    return min(0xFF, max(1, round(8 * math.log2(interval_ms / 1_000)))) << BLOCKS_SHIFT


def arrival_ms(expected_ms: float, flags: int) -> float:
    """Return how long a series of a frame is usually silent: between readings, or the blocks in which they come."""
    bits = flags >> BLOCKS_SHIFT & 0xFF
    return max(expected_ms, 1_000 * 2.0 ** (bits / 8) if bits else 0.0)


def exponents_of(flags: npt.NDArray[np.uint32]) -> npt.NDArray[np.int32]:
    """Return the exponents that flags hold."""
    return flags.astype(np.int32) >> EXPONENT_SHIFT
