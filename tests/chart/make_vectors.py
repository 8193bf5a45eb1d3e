"""Writes the golden view frames that the tests of Python and of TypeScript both read.

Run `python tests/chart/make_vectors.py`. Values are eighths, so that their sums are exact on every machine. Each vector
is `<name>.bin` (the bytes) and `<name>.json` (what they mean; NaN is null; `body` is [series][bucket][min, max, first,
last, mean, count] as they lie in the frame).
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np

from tidewire.livestore.live_view import LiveView
from tidewire.livestore.store import Store
from tidewire.livestore.view_frame import unpack_frame
from tidewire.livestore.window import pack_range
from tidewire.model.batch import Batch

VECTORS = Path(__file__).with_name("vectors")
T0 = 1_790_000_000_000


def frames() -> dict[str, bytes]:
    """Return the bytes of each vector by name."""
    store = Store()
    store.covered_from_ms = T0 - 900_000.0
    fast = np.arange(T0 - 130_000.0, T0, 250.0)
    rows: list[tuple[str, dict[str, str], str, list[float], list[float | None]]] = [
        (
            "furnace/temperature",
            {"site": "A"},
            "Cel",
            fast.tolist(),
            (920 + (np.arange(fast.size) * 37 % 101) / 8).tolist(),
        ),
        (
            "line-1/count",
            {},
            "{parts}",
            [T0 - 59_500.0 + 1_000 * n for n in range(60)],
            [1e12 + n / 8 for n in range(60)],
        ),
        (
            "line-1/speed",
            {},
            "m/min",
            [T0 - 40_000.0, T0 - 39_000.0, T0 - 12_250.0, T0 - 500.0],
            [41.5, None, -2.0, None],
        ),
        ("line-1/huge", {}, "", [T0 - 30_000.0, T0 - 29_500.0, T0 - 500.0], [2.0**1000, -(2.0**999), 2.0**998]),
    ]
    for n, (metric, labels, unit, times, values) in enumerate(rows, 1):
        store.append(Batch(metric=metric, labels=labels, unit=unit, time=times, value=values), T0 << 32 | n)
    view = LiveView(store, (0, 1, 2, 3), 60_000, 60)
    view.tick(41, float(T0))
    found = {"snapshot": view.frame(0, None)}
    store.append(Batch(metric="line-1/count", time=[T0 + 100.0], value=[1e12 + 7.5]), (T0 + 150) << 32)
    store.append(Batch(metric="line-1/speed", time=[T0 - 2_500.0, T0 + 700.0], value=[3.25, 4.5]), (T0 + 900) << 32)
    view.tick(42, T0 + 1_200.0)
    found["delta"] = view.frame(0, 41)
    found["range"] = pack_range(
        store, (2, 0), T0 // 1_000 - 45, 10, 1_000, request_id=65_535, seq=43, now_ms=T0 + 1_300.5
    )
    nothing = LiveView(Store(), None, 60_000, 60)
    nothing.tick(1, float(T0))
    found["empty"] = nothing.frame(1, None)
    return found


def meaning(data: bytes) -> dict[str, object]:
    """Return what the bytes of a frame mean, as JSON takes it."""
    frame = unpack_frame(data)

    def plain(value: object) -> object:
        if isinstance(value, list):
            return [plain(item) for item in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    names = frame.records.dtype.names or ()
    return {
        "kind": frame.kind,
        "seq": frame.seq,
        "now_ms": frame.now_ms,
        "first": frame.first,
        "buckets": frame.body.shape[1],
        "view": frame.view,
        "step_ms": frame.step_ms,
        "records": [{name: plain(record[name].item()) for name in names} for record in frame.records],
        "body": plain([[list(bucket) for bucket in row] for row in frame.body.tolist()]),
    }


def main() -> None:
    """Write all vectors."""
    VECTORS.mkdir(exist_ok=True)
    for name, data in frames().items():
        (VECTORS / f"{name}.bin").write_bytes(data)
        (VECTORS / f"{name}.json").write_text(json.dumps(meaning(data)) + "\n")
        sys.stdout.write(f"{name}: {len(data)} bytes\n")


if __name__ == "__main__":
    main()
