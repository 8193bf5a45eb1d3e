"""Encodes and decodes view frames, byte for byte as docs/view-frame.md specifies; no I/O."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from tidewire.errors import InvalidInput

__all__ = [
    "DELTA",
    "FLAG_MEAN",
    "FLAG_PARTIAL",
    "MAX_BUCKETS",
    "MAX_SERIES",
    "RANGE",
    "RECORD",
    "SNAPSHOT",
    "ViewFrame",
    "base_for",
    "pack_frame",
    "unpack_frame",
]

VERSION: Final = 1
SNAPSHOT, DELTA, RANGE = 1, 2, 4
FLAG_MEAN, FLAG_PARTIAL = 1, 2
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
_FLOAT32_MAX: Final = float(np.finfo(np.float32).max)
# Below this share of a series' magnitude, its range keeps fewer than 12 of float32's 24 bits: 2 ** (12 - 24).
_NARROW: Final = 2.0**-12


class ViewFrame(NamedTuple):
    """One frame; see docs/view-frame.md.

    Attributes:
        kind: SNAPSHOT, DELTA or RANGE.
        seq: the tick that packed it.
        now_ms: the log's clock.
        first: number of the first bucket.
        view: 0 or 1; for RANGE the request's id.
        step_ms: width of a bucket.
        records: dtype `RECORD`, one per series.
        body: float32[series, buckets, 3]: line, min, max, each minus the base of its series; NaN for an empty bucket.
    """

    kind: int
    seq: int
    now_ms: float
    first: float
    view: int
    step_ms: int
    records: npt.NDArray[np.void]
    body: npt.NDArray[np.float32]


def pack_frame(frame: ViewFrame) -> bytes:
    """Return the bytes of a frame; series and buckets at most 65,535 each."""
    series, buckets = frame.body.shape[:2]
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
    return b"".join((header, frame.records.tobytes(), frame.body.tobytes()))


def unpack_frame(data: bytes) -> ViewFrame:
    """Return the frame that bytes hold.

    Raises:
        InvalidInput: no frame of this version, or not as long as its header says.
    """
    if len(data) < _HEADER.size or data[0] != VERSION:
        raise InvalidInput("frame", data[:8], f"expected a view frame of version {VERSION}")
    _, kind, series, seq, now_ms, first, buckets, view, step_ms = _HEADER.unpack_from(data)
    body_at = _HEADER.size + series * RECORD.itemsize
    if len(data) != body_at + series * buckets * 12:
        raise InvalidInput("frame", len(data), f"expected {body_at + series * buckets * 12} bytes")
    records = np.frombuffer(data, RECORD, series, _HEADER.size)
    body = np.frombuffer(data, "<f4", series * buckets * 3, body_at).reshape(series, buckets, 3)
    return ViewFrame(kind, seq, now_ms, first, view, step_ms, records, body)


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


def as_float32(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Return values as float32; beyond its range, the largest it has."""
    return np.minimum(np.maximum(values, -_FLOAT32_MAX), _FLOAT32_MAX).astype(np.float32)  # a third of np.clip's time
