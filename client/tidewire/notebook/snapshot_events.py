"""Draws events below a panel of a snapshot: ticks, signs of alarms, counts, and words where there is room."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from msgspec import UNSET

from tidewire.livestore.store import EventMark
from tidewire.model.batch import ANNOTATIONS
from tidewire.model.threshold import Level
from tidewire.notebook.snapshot_canvas import FLAG, MUTED, TEXT, Canvas

__all__ = ["STRIP", "draw_events", "events_of", "lies_on"]

STRIP: Final = 16
"""Height of the strip, px."""
_SLOT, _APART = 36, 12  # events of a slot are one mark, unless each is so far from the next
_BESIDE: Final = 10  # px by which a count at the end may stand right of the plot
_COLOURS: Final[dict[Level, str]] = {"warn": "#B06A00", "critical": "#B3123F"}
_GAP: Final = 5
_LEAST_WORDS: Final = 56  # px; words that are cut to less are left out
_APART_WORDS: Final = 24  # px between words left of the last mark and what they are not of
_MOST_CHARACTERS: Final = 200  # of a text are measured


class Labelled(Protocol):
    """A series, as far as events are told of it."""

    @property
    def metric(self) -> str:
        """Return its metric."""

    @property
    def labels(self) -> Mapping[str, str]:
        """Return its labels."""


class _Mark(NamedTuple):
    """Events that are drawn as one: their middle and its half width, px; and the px that the mark has for itself."""

    x: float
    half: float
    events: Sequence[EventMark]
    level: Level | None
    slot: tuple[float, float]


def lies_on(event: EventMark, series: Sequence[Labelled]) -> bool:
    """Tell whether an event is of a chart: an annotation by its labels, another event by its metric as well."""
    annotation = event.metric == ANNOTATIONS
    if annotation and not event.labels:
        return True
    return any(
        (annotation or one.metric == event.metric) and event.labels.items() <= one.labels.items() for one in series
    )


def events_of(
    events: Sequence[EventMark], series: Sequence[Labelled], start_ms: float, end_ms: float
) -> list[EventMark]:
    """Return the events of some series in a window, oldest first."""
    found = [event for event in events if start_ms <= event.time_ms < end_ms and lies_on(event, series)]
    return sorted(found, key=lambda event: event.time_ms)


def draw_events(
    canvas: Canvas, events: Sequence[EventMark], box: tuple[float, float], y: float, start_ms: float, end_ms: float
) -> None:
    """Draw events of a window between two x of a panel, around a middle."""
    left, right = box
    marks = _marks(canvas, events, box, start_ms, end_ms)
    taken = left
    for mark, after in itertools.zip_longest(marks, marks[1:]):
        _draw(canvas, mark, y)
        start, end = mark.x + mark.half + _GAP, mark.x - mark.half - _GAP
        room_right = (after.x - after.half if after else right) - _GAP - start
        room_left = 0 if after else end - taken - _APART_WORDS
        words = _cut(canvas, mark.events[0].text, max(room_right, room_left)) if len(mark.events) == 1 else ""
        if words and canvas.wide(words, 11) <= room_right:
            taken = canvas.text(start, y - 7, words, MUTED, 11)
            continue
        if words:
            canvas.text(end, y - 7, words, MUTED, 11, right=True)
        taken = max(taken, start)


def _marks(
    canvas: Canvas, events: Sequence[EventMark], box: tuple[float, float], start_ms: float, end_ms: float
) -> list[_Mark]:
    """Return the marks of a window; those that would touch are counted together, as `placeMarks` of the deck has it."""
    left, right = box
    per_ms = (right - left) / (end_ms - start_ms)

    def at(event: EventMark) -> float:
        return left + (event.time_ms - start_ms) * per_ms

    def placed(own: Sequence[EventMark], slot: tuple[float, float]) -> _Mark:
        levels: list[Level | None] = [None if event.level is UNSET else event.level for event in own]
        level: Level | None = "critical" if "critical" in levels else "warn" if "warn" in levels else None
        middle = (at(own[0]) + at(own[-1])) / 2
        if len(own) == 1:
            return _Mark(middle, 5 if level else 1, own, level, slot)
        half = canvas.wide(_count(len(own)), 11) / 2 + 5
        middle = max(slot[0] + half, min(slot[1] - 2 - half, middle))
        return _Mark(max(left + half, min(right + _BESIDE - half, middle)), half, own, level, slot)

    marks: list[_Mark] = []
    for number, of_slot in itertools.groupby(events, lambda event: (at(event) - left) // _SLOT):
        own, slot = list(of_slot), (left + number * _SLOT, left + (number + 1) * _SLOT)
        apart = all(at(after) - at(event) >= _APART for event, after in itertools.pairwise(own))
        for group in [[event] for event in own] if apart else [own]:
            mark = placed(group, slot)
            while marks and _touch(marks[-1], mark):
                before = marks.pop()
                mark = placed([*before.events, *mark.events], (before.slot[0], mark.slot[1]))
            marks.append(mark)
    return marks


def _touch(before: _Mark, mark: _Mark) -> bool:
    if len(before.events) == len(mark.events) == 1:
        return mark.x - before.x < _APART
    return mark.x - mark.half < before.x + before.half


def _cut(canvas: Canvas, text: str, room: float) -> str:
    """Return as much of a text's beginning as there is room for; the font has no arrow."""
    words = " ".join(text[:_MOST_CHARACTERS].replace("\u2192", "to").split())
    if canvas.wide(words, 11) <= room:
        return words
    if room < _LEAST_WORDS:
        return ""
    while words and canvas.wide(words + "\u2026", 11) > room:
        words = words[:-1]
    return words.rstrip() + "\u2026"


def _draw(canvas: Canvas, mark: _Mark, y: float) -> None:
    x, half, level = mark.x, mark.half, mark.level
    if len(mark.events) > 1:
        if level:
            canvas.pill(x, y, 2 * half + 2, 16, _COLOURS[level])
        canvas.pill(x, y, 2 * half, 14, FLAG)
        canvas.text(x - half + 5, y - 7, _count(len(mark.events)), TEXT, 11)
    elif level == "warn":
        canvas.shape([(x, y - 5), (x + 5, y + 4.5), (x - 5, y + 4.5)], _COLOURS[level])
    elif level == "critical":
        corner = 2.1
        edge = [
            (-corner, -5),
            (corner, -5),
            (5, -corner),
            (5, corner),
            (corner, 5),
            (-corner, 5),
            (-5, corner),
            (-5, -corner),
        ]
        canvas.shape([(x + dx, y + dy) for dx, dy in edge], _COLOURS[level])
    else:
        canvas.shape([(x - 1, y - 5.5), (x + 1, y - 5.5), (x + 1, y + 5.5), (x - 1, y + 5.5)], MUTED)


def _count(count: int) -> str:
    if count < 1_000:
        return str(count)
    return f"{count / 1e3:.1f}k" if count < 9_950 else f"{count / 1e3:.0f}k"
