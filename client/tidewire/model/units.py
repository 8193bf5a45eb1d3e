"""How a UCUM unit is written for people, and the scale of quantities whose magnitude varies; pure.

The deck has the same tables in `client/chart/src/base/units.ts`; `tests/chart/vectors/units.json` holds both.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final, NamedTuple

__all__ = ["ALIASES", "SCALES", "WORDS", "ShownUnit", "shown_unit", "unit_key"]

# UCUM code → what people write. A code that is not here is shown as it is.
WORDS: Final = {
    "1": "",
    "Cel": "°C",
    "[degF]": "°F",
    "K": "K",
    "%": "%",
    "bit": "bit",
    "bit/s": "bit/s",
    "KiBy": "KiB",
    "MiBy": "MiB",
    "GiBy": "GiB",
    "TiBy": "TiB",
    "kBy": "kB",
    "MBy": "MB",
    "GBy": "GB",
    "KiBy/s": "KiB/s",
    "MiBy/s": "MiB/s",
    "GiBy/s": "GiB/s",
    "kBy/s": "kB/s",
    "MBy/s": "MB/s",
    "us": "µs",
    "Ohm": "Ω",
    "deg": "°",
    "m3": "m³",
    "m2": "m²",
    "m3/h": "m³/h",
    "m/s2": "m/s²",
    "N.m": "N·m",
    "kW.h": "kWh",
    "W.h": "Wh",
    "1/s": "/s",
    "/s": "/s",
    "1/min": "/min",
    "{rpm}": "rpm",
    "[ppm]": "ppm",
    "[ppb]": "ppb",
    "[pH]": "pH",
    "[psi]": "psi",
    "[ft_i]": "ft",
    "[gal_us]/min": "gal/min",
}
# Units that grow: the largest magnitude of a window picks the step.
SCALES: Final = {
    "By": ((1.0, "B"), (1e3, "kB"), (1e6, "MB"), (1e9, "GB"), (1e12, "TB")),
    "By/s": ((1.0, "B/s"), (1e3, "kB/s"), (1e6, "MB/s"), (1e9, "GB/s"), (1e12, "TB/s")),
}
# What else is written for what the screen shows, in lower case: only where no other case means anything else, as with
# `m`. `m³`, the characters that Unicode holds to be the same, and whatever is shown as it is need no entry.
ALIASES: Final = {
    "°c": "°C",
    "cel": "°C",
    "degc": "°C",
    "deg c": "°C",
    "celsius": "°C",
    "°f": "°F",
    "degf": "°F",
    "deg f": "°F",
    "fahrenheit": "°F",
    "percent": "%",
    "hz": "Hz",
    "rpm": "rpm",
    "ppm": "ppm",
    "ppb": "ppb",
    "db": "dB",
    "bar": "bar",
    "kwh": "kWh",
    "ohm": "Ω",
    "ohms": "Ω",
}
_ANNOTATION: Final = re.compile(r"\{([^{}]*)\}")
_RINGS: Final = re.compile("[\N{MASCULINE ORDINAL INDICATOR}\N{RING ABOVE}]")  # typed for a degree sign
_BLANKS: Final = re.compile(r"\s*([^\w\s])\s*")


class ShownUnit(NamedTuple):
    """A unit for the screen: values are divided by `divisor` before they are printed."""

    text: str
    divisor: float


@lru_cache(maxsize=4_096)
def _plain(unit: str) -> str:
    """Return what is the same for units of the same characters: blanks around marks mean nothing, those of words do."""
    text = unicodedata.normalize("NFKC", _RINGS.sub("°", unit))
    return _BLANKS.sub(r"\1", text.strip())


def shown_unit(unit: str, magnitude: float) -> ShownUnit:
    """Return how a unit is written for values of this magnitude; blanks at its ends mean nothing."""
    unit = unit.strip()
    if (scale := SCALES.get(unit)) is not None:
        divisor, text = max((step for step in scale if magnitude >= step[0]), default=scale[0])
        return ShownUnit(text, divisor)
    if unit in WORDS:
        return ShownUnit(WORDS[unit], 1.0)
    if (known := ALIASES.get(_plain(unit).lower())) is not None:
        return ShownUnit(known, 1.0)
    # A UCUM annotation stands for the thing counted: {parts} → parts, {batches}/s → batches/s.
    return ShownUnit(_ANNOTATION.sub(r"\1", unit), 1.0)


@lru_cache(maxsize=4_096)
def unit_key(unit: str) -> str:
    """Return what is the same for units that mean the same, such as ``Cel`` and ``°C``; empty for none."""
    return _plain(shown_unit(unit, 0.0).text)
