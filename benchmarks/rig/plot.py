"""A figure of small line charts as SVG, both axes logarithmic; nothing but strings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

__all__ = ["Panel", "draw"]

WIDTH, HEIGHT, COLUMNS = 420, 270, 2
LEFT, RIGHT, TOP, BOTTOM = 62, 20, 40, 46
STYLE = """<style>
text{font:11px system-ui,sans-serif;fill:#444}
.title{font-weight:600;font-size:13px;fill:#111}
.grid{stroke:#ddd}
</style>"""
COLOURS = ("#0b6bcb", "#c2410c", "#15803d")


class Panel(NamedTuple):
    """One chart: its title, the axes' names, and its lines by name, as (x, y) points above zero."""

    title: str
    x: str
    y: str
    lines: Mapping[str, Sequence[tuple[float, float]]]


def _tick(value: float) -> str:
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def _decades(low: float, high: float) -> tuple[int, int]:
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    return first, max(last, first + 1)


def _panel(panel: Panel, left: float, top: float) -> list[str]:
    points = [(x, y) for line in panel.lines.values() for x, y in line if x > 0 and y > 0 and math.isfinite(y)]
    if not points:
        return []
    x0, x1 = _decades(min(x for x, _ in points), max(x for x, _ in points))
    y0, y1 = _decades(min(y for _, y in points), max(y for _, y in points))
    inner_width, inner_height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def place(x: float, y: float) -> tuple[float, float]:
        across = (math.log10(x) - x0) / (x1 - x0)
        up = (math.log10(y) - y0) / (y1 - y0)
        return left + LEFT + across * inner_width, top + TOP + (1 - up) * inner_height

    out = [f'<text x="{left + LEFT}" y="{top + 18}" class="title">{panel.title}</text>']
    for power in range(x0, x1 + 1):
        x, bottom = place(10.0**power, 10.0**y0)
        out.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top + TOP}" y2="{bottom:.1f}" class="grid"/>')
        out.append(f'<text x="{x:.1f}" y="{bottom + 15:.1f}" text-anchor="middle">{_tick(10.0**power)}</text>')
    for power in range(y0, y1 + 1):
        start, y = place(10.0**x0, 10.0**power)
        out.append(f'<line x1="{start:.1f}" x2="{left + WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>')
        out.append(f'<text x="{start - 6:.1f}" y="{y + 4:.1f}" text-anchor="end">{_tick(10.0**power)}</text>')
    middle = left + LEFT + inner_width / 2
    out.append(f'<text x="{middle:.1f}" y="{top + HEIGHT - 12}" text-anchor="middle">{panel.x}</text>')
    out.append(f'<text x="{left + LEFT}" y="{top + 33}">{panel.y}</text>')
    for number, (name, line) in enumerate(panel.lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        placed = [place(x, y) for x, y in line if x > 0 and y > 0 and math.isfinite(y)]
        if not placed:
            continue
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in placed]
        if len(panel.lines) > 1:
            x, y = placed[-1]
            out.append(f'<text x="{x:.1f}" y="{y - 8:.1f}" text-anchor="end" style="fill:{colour}">{name}</text>')
    return out


def draw(path: Path, panels: Sequence[Panel]) -> None:
    """Write the panels to a file, two in a row."""
    rows = math.ceil(len(panels) / COLUMNS)
    width, height = WIDTH * COLUMNS, HEIGHT * rows
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">',
        STYLE,
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for number, panel in enumerate(panels):
        parts += _panel(panel, number % COLUMNS * WIDTH, number // COLUMNS * HEIGHT)
    path.write_text("\n".join([*parts, "</svg>\n"]))
