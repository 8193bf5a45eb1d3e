"""The image that a snapshot is drawn on, its colours and its dashes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, Final

from tidewire.livestore.colours import COLOURS

__all__ = [
    "FLAG",
    "HAIRLINE",
    "LEVEL_COLOURS",
    "LINE_COLOURS",
    "MUTED",
    "SHARP",
    "TEXT",
    "WIDTH",
    "Canvas",
    "blend",
    "dashed",
    "dashes_of",
    "heat_colour",
]

WIDTH: Final = 880
"""Px, as the image is shown; it is drawn `SHARP` times as large."""
SHARP: Final = 2
_SMOOTH: Final = 2  # what is drawn is this much larger again and scaled down
_SURFACE, HAIRLINE, TEXT, MUTED, FLAG = "#FFFFFF", "#DDE3EA", "#17202B", "#5F6B7A", "#E6EAF0"
LINE_COLOURS: Final = (
    *("#2750A2", "#A8480F", "#179B96", "#7B70E0", "#9D8E2F", "#901A5C"),
    *("#D03260", "#1E00B7", "#624000", "#511A7C", "#2E7793", "#8030DB"),
)
LEVEL_COLOURS: Final = {"warn": "#B06A00", "critical": "#B3123F"}
_WITH_GLYPHS: Final = str.maketrans(
    {
        "\N{MINUS SIGN}": "-",
        "\N{EN DASH}": "-",
        "\N{EM DASH}": "-",
        "\N{ALMOST EQUAL TO}": "~",
        "\N{INFINITY}": "inf",
        "\N{RIGHTWARDS ARROW}": "to",
        "\N{MICRO SIGN}": "u",
        "\N{GREEK SMALL LETTER MU}": "u",
        "\N{GREEK CAPITAL LETTER OMEGA}": "Ohm",
        "\N{SUPERSCRIPT TWO}": "2",
        "\N{SUPERSCRIPT THREE}": "3",
    }
)  # what the font draws as an empty box, and what it has
_HEAT: Final = ("#FFFFFF", "#D3E2F7", "#86AFE6", "#3B6DBD", "#122C5E")
_HEAT_PART, _HEAT_POWER = (0.12, 0.98), 0.8
_DASHES: Final = ((), (6, 3), (2, 3), (9, 3, 2, 3))  # px on and off in turn


class Canvas:
    """An image that is drawn on in the notebook's px."""

    def __init__(self, height: int) -> None:
        from PIL import Image, ImageDraw  # noqa: PLC0415 - heavy

        self.height = height
        self._scale = SHARP * _SMOOTH
        self.image = Image.new("RGB", (WIDTH * self._scale, height * self._scale), _SURFACE)
        self._draw = ImageDraw.Draw(self.image)
        self._fonts: dict[int, Any] = {}

    def line(
        self, points: Sequence[tuple[float, float]], colour: str, width: float, dash: Sequence[float] = ()
    ) -> None:
        """Draw a line through points; `dash` is px on and off in turn, empty for a solid line."""
        for part in dashed(points, dash) if dash else (points,):
            flat = [(x * self._scale, y * self._scale) for x, y in part]
            self._draw.line(flat, fill=colour, width=max(1, round(width * self._scale)), joint="curve")

    def dot(self, x: float, y: float, colour: str, radius: float) -> None:
        """Fill a circle."""
        self._draw.circle((x * self._scale, y * self._scale), radius * self._scale, fill=colour)

    def arc(self, x: float, y: float, radius: float, start: float, end: float, colour: str, width: float) -> None:
        """Draw a part of a circle between two angles, radians from the x axis clockwise; `radius` is its middle."""
        far = (radius + width / 2) * self._scale
        corners = [x * self._scale - far, y * self._scale - far, x * self._scale + far, y * self._scale + far]
        self._draw.arc(corners, math.degrees(start), math.degrees(end), fill=colour, width=round(width * self._scale))

    def box(self, left: float, top: float, right: float, bottom: float, colour: str) -> None:
        """Fill a box."""
        self._draw.rectangle([edge * self._scale for edge in (left, top, right, bottom)], fill=colour)

    def pill(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        """Fill a box with round ends around a middle."""
        corners = [(x - width / 2) * self._scale, (y - height / 2) * self._scale]
        corners += [(x + width / 2) * self._scale, (y + height / 2) * self._scale]
        self._draw.rounded_rectangle(corners, height / 2 * self._scale, fill=colour)

    def shape(self, points: Sequence[tuple[float, float]], colour: str) -> None:
        """Fill a polygon."""
        self._draw.polygon([(x * self._scale, y * self._scale) for x, y in points], fill=colour)

    def text(self, x: float, y: float, words: str, colour: str, size: int, *, right: bool = False) -> float:
        """Write words and return the x where they end."""
        words = words.translate(_WITH_GLYPHS)
        width = self.wide(words, size)
        left = x - width if right else x
        self._draw.text((left * self._scale, y * self._scale), words, fill=colour, font=self._font(size))
        return left + width

    def wide(self, words: str, size: int) -> float:
        """Return how wide words are, px."""
        return float(self._draw.textlength(words.translate(_WITH_GLYPHS), font=self._font(size))) / self._scale

    def _font(self, size: int) -> Any:
        from PIL import ImageFont  # noqa: PLC0415 - heavy

        if size not in self._fonts:
            self._fonts[size] = ImageFont.load_default(size * self._scale)
        return self._fonts[size]


def _channels(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5))


def _mixed(low: str, high: str, share: float) -> str:
    pairs = zip(_channels(low), _channels(high), strict=True)
    return "#" + "".join(f"{round(one + (other - one) * share):02X}" for one, other in pairs)


def blend(colour: str, alpha: float) -> str:
    """Return what a colour is over the surface."""
    return _mixed(_SURFACE, colour, alpha)


def heat_colour(share: float) -> str:
    """Return the colour of a cell with such a share of the fullest one's series, as the deck has it."""
    low, high = _HEAT_PART
    at = (low + (high - low) * share**_HEAT_POWER) * (len(_HEAT) - 1)
    below = min(int(at), len(_HEAT) - 2)
    return _mixed(_HEAT[below], _HEAT[below + 1], at - below)


def dashes_of(styles: Sequence[int]) -> list[tuple[int, ...]]:
    """Return a dash for each style of one panel: one line of each colour needs none."""
    least: dict[int, int] = {}
    for style in styles:
        least[style % COLOURS] = min(style, least.get(style % COLOURS, style))
    return [() if style == least[style % COLOURS] else _DASHES[style // COLOURS] for style in styles]


def dashed(points: Sequence[tuple[float, float]], dash: Sequence[float]) -> list[list[tuple[float, float]]]:
    """Return the parts of a line that are drawn; `dash` is px on and off in turn."""
    parts, lengths, on = [[points[0]]], itertools.cycle(dash), True
    left = next(lengths)
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        long, gone = math.hypot(x1 - x0, y1 - y0), 0.0
        while long - gone > left:
            gone += left
            at = (x0 + (x1 - x0) * gone / long, y0 + (y1 - y0) * gone / long)
            if on:
                parts[-1].append(at)
            else:
                parts.append([at])
            on, left = not on, next(lengths)
        left -= long - gone
        if on:
            parts[-1].append((x1, y1))
    return parts
