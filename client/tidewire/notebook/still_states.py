"""Draws the words of a still: a row of bands for each series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tidewire.livestore.gaps import gap_limit_ms
from tidewire.livestore.store import EventMark
from tidewire.livestore.view_frame import arrival_ms
from tidewire.model.batch import ANNOTATIONS
from tidewire.notebook.snapshot_canvas import MUTED, TEXT, WIDTH, Canvas
from tidewire.notebook.snapshot_events import STRIP, draw_events
from tidewire.notebook.still_charts import StillChart
from tidewire.notebook.still_frame import BOTTOM, LEFT, RIGHT, TOP, draw_head, draw_times, span_of

__all__ = ["draw_states"]

_FILLS: Final = ("#BECBE3", "#E5C8B7", "#B9DFDF", "#D7D4F6", "#E2DDC0", "#DEBACE")  # of bands: the first six at 30 %
_REST_FILL: Final = "#E1E4E8"
_AT_REST: Final = frozenset({"idle", "off", "standby", "none"})
_BAND_PITCH: Final = 43.0  # px from row to row
_WORD_PITCH: Final = 18.0  # from which words fit


def draw_states(canvas: Canvas, top: int, height: int, chart: StillChart, marks: Sequence[EventMark]) -> None:
    """Draw a row of bands for each series of words, the present one up to now if the series is alive."""
    frame = chart.frame
    if frame is None:
        return
    draw_head(canvas, top, chart.title)
    draw_times(canvas, frame, top + height - BOTTOM)
    notes = [event for event in marks if event.metric == ANNOTATIONS]  # the words of the states are in their bands
    start_ms, end_ms = span_of(frame)
    foot = height - BOTTOM - (STRIP if notes else 0)
    fills = _fills_of({run.text for one in chart.series for run in frame.states.get(one.index, ())})
    pitch = min(_BAND_PITCH, (foot - TOP) / len(chart.series))
    for at, (row, one) in enumerate(zip(chart.rows, chart.series, strict=True)):
        record, y = frame.records[row], top + TOP + at * pitch
        if len(chart.series) > 1:
            canvas.text(LEFT - 6, y + pitch / 2 - 8, one.legend, MUTED, 11, right=True)
        alive = not frame.now_ms - float(record["last_id_ms"]) > gap_limit_ms(
            arrival_ms(float(record["expected_ms"]), int(record["flags"]))
        )
        for run in frame.states.get(one.index, ()):
            present = alive and run.to_ms >= float(record["last_time_ms"])
            edges = (run.from_ms, frame.now_ms if present else run.to_ms)
            left, right = (
                LEFT + min(1.0, max(0.0, (edge - start_ms) / (end_ms - start_ms))) * (WIDTH - RIGHT - LEFT)
                for edge in edges
            )
            if edges[1] < start_ms:
                continue
            canvas.box(left, y + 2, max(right - 1, left + 0.5), y + pitch - 4, fills[run.text])
            if pitch > _WORD_PITCH and canvas.wide(run.text, 11) + 14 < right - left:
                canvas.text(left + 7, y + pitch / 2 - 8, run.text, TEXT, 11)
    draw_events(canvas, notes, (LEFT, WIDTH - RIGHT), top + foot + STRIP / 2 + 2, start_ms, end_ms)


def _fills_of(words: set[str]) -> dict[str, str]:
    """Return the fill of each word; the deck has the same rule in `model/states.ts`."""
    found: dict[str, str] = {}
    taken: set[int] = set()
    for word in sorted(words):
        if word.lower() in _AT_REST:
            found[word] = _REST_FILL
            continue
        at = _fnv1a(word) % len(_FILLS)
        while at in taken and len(taken) < len(_FILLS):
            at = (at + 1) % len(_FILLS)
        taken.add(at)
        found[word] = _FILLS[at]
    return found


def _fnv1a(text: str) -> int:
    found = 0x811C9DC5
    for byte in text.encode():
        found = (found ^ byte) * 0x01000193 & 0xFFFFFFFF
    return found
