"""What all panels of a still have: their margins, their heads and their times."""

from __future__ import annotations

from tidewire.livestore.view_frame import ViewFrame
from tidewire.livestore.window import BEYOND
from tidewire.notebook.snapshot_canvas import HAIRLINE, MUTED, TEXT, WIDTH, Canvas
from tidewire.notebook.still_axes import time_labels

__all__ = ["BOTTOM", "LEFT", "RIGHT", "TOP", "draw_head", "draw_times", "span_of"]

LEFT, RIGHT, TOP, BOTTOM = 58, 12, 30, 22  # of a plot in its panel, px


def span_of(frame: ViewFrame) -> tuple[float, float]:
    """Return the window of a frame, Unix ms."""
    start_ms, count = (frame.first + BEYOND) * frame.step_ms, frame.body.shape[1] - BEYOND
    return start_ms, start_ms + count * frame.step_ms


def draw_head(canvas: Canvas, top: float, title: str, unit: str = "") -> float:
    """Write the title of a panel and its unit; return the x behind them."""
    x = canvas.text(12, top + 8, title, TEXT, 13) + 6
    return canvas.text(x, top + 10, unit, MUTED, 11) + 14


def draw_times(canvas: Canvas, frame: ViewFrame, foot: float) -> None:
    """Write the times below a plot."""
    start_ms, end_ms = span_of(frame)
    wide = WIDTH - RIGHT - LEFT
    for at_ms, words in time_labels(start_ms, end_ms, wide):
        x = LEFT + (at_ms - start_ms) / (end_ms - start_ms) * wide
        half = canvas.wide(words, 11) / 2
        canvas.line([(x, foot), (x, foot + 4)], HAIRLINE, 1)
        if x - half > 4 and x + half < WIDTH - 4:
            canvas.text(x - half, foot + 5, words, MUTED, 11)
