"""Gives each series one of twelve colours, and with more a dash, by what it is named, once and for good; no I/O.

See docs/decisions/0019-a-colour-is-one-series.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final
from zlib import crc32

from tidewire.model.batch import ANNOTATIONS

__all__ = ["COLOURS", "STYLES", "ColourRegister"]

COLOURS: Final = 12
_FIRST: Final = 6  # easier to tell apart than the other six, which follow when these are taken
STYLES: Final = 4 * COLOURS
"""Colours times dashes: style 12 is colour 0 with the first dash."""


class ColourRegister:
    """Remembers which style, 0 to 47, each series and each label set was given.

    A label set has one style in all metrics (a training run, a site); a series without labels has that of its metric.
    Within a metric no two series share one, and those that were there first keep theirs. Of more than 48 in a metric
    some do share.
    """

    def __init__(self) -> None:
        self._owners: dict[str, int] = {}
        self._of_metrics: dict[str, int] = {}  # taken styles, as bits
        self._of_families: dict[tuple[str, ...], int] = {}  # the same, for label sets of the same label names

    def choose(self, metric: str, labels: Mapping[str, str], key: str) -> int:
        """Return the style of a new series.

        Args:
            metric: its name.
            labels: its labels.
            key: the same as text, see `series_key`.
        """
        if metric == ANNOTATIONS:
            return 0  # never drawn as a line
        owner, family = (key, tuple(sorted(labels))) if labels else (metric, (metric,))
        taken, relatives = self._of_metrics.get(metric, 0), self._of_families.get(family, 0)
        style = self._owners.get(owner)
        if style is None:
            style = _free(owner, taken | relatives, _free(owner, taken, crc32(owner.encode()) % STYLES))
            self._owners[owner] = style
            self._of_families[family] = relatives | 1 << style
        elif taken >> style & 1:  # by a label set of other names, or by one of more than 48
            style = _free(owner, taken, style)
        self._of_metrics[metric] = taken | 1 << style
        return style

    def suggest(self, owner: str, taken: int) -> int:
        """Return the style of a series of a result, and remember nothing: results come and go.

        Args:
            owner: its label set as text, or its metric if it has no labels: the style is the one that these have.
            taken: the styles of the result's other series, as bits.
        """
        style = self._owners.get(owner)
        if style is not None and not taken >> style & 1:
            return style
        return _free(owner, taken, crc32(owner.encode()) % STYLES)


def _free(owner: str, taken: int, otherwise: int) -> int:
    return next((style for style in _wishes(owner) if not taken >> style & 1), otherwise)


def _wishes(owner: str) -> Iterator[int]:
    """Yield all styles in the order in which somebody of this name wants them."""
    start = crc32(owner.encode())
    for first in (0, _FIRST):
        for place in range(_FIRST):
            yield first + (start + place) % _FIRST
    yield from range(COLOURS, STYLES)
