"""The pattern that selects metrics: ``*`` within one level, ``**`` any number of levels; pure.

Matching never backtracks. The text between two stars of a level is taken at its first place after the one before; so
is, in a name, a run of levels between two ``**``, whose number is fixed. Atomic groups of a regular expression keep
what was taken. So the time is at most the product of the lengths of pattern and name, and mostly their sum.

The deck matches in the same way, see ``client/chart/src/base/pattern.ts``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property, lru_cache
from typing import Final

from tidewire.errors import InvalidInput, InvalidPattern
from tidewire.model.batch import checked_name

__all__ = ["Pattern", "compile_pattern", "compile_patterns"]

_MAX_BYTES: Final = 255


class Pattern:
    """A compiled pattern; use `compile_pattern`, which checks and caches.

    Attributes:
        text: the pattern as given.
        literal: True if it names exactly one metric.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.literal = "*" not in text

    def matches(self, metric: str) -> bool:
        """Tell whether the pattern selects this metric."""
        return metric == self.text if self.literal else self._expression.match(metric) is not None

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        """What a selected name begins with; made at first use, since that can take 2 ms."""
        return re.compile(_expression_of(self.text))

    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"


def _expression_of(text: str) -> str:
    runs: list[list[str]] = [[]]  # of levels; any levels lie between two runs
    for level in text.split("/"):
        if level == "**":
            runs.append([])
        else:
            runs[-1].append(_expression_of_level(level))
    first, *later = ("/".join(run) for run in runs)
    if not later:
        return rf"{first}\Z"
    *between, last = later
    taken = [first] if first else []
    taken += [rf"(?:[^/]*/)*?{run}" for run in between if run]
    ends = ["/"] * len(taken)
    if taken and not last:
        ends[-1] = r"(?:/|\Z)"  # a/** selects a itself as well
    kept = "".join(f"(?>{run}{end})" for run, end in zip(taken, ends, strict=True))
    return kept + (rf"(?:[^/]*/)*?{last}\Z" if last else "")


def _expression_of_level(level: str) -> str:
    first, *later = map(re.escape, level.split("*"))
    if not later:
        return first
    *between, last = later
    return first + "".join(f"(?>[^/]*?{text})" for text in between if text) + f"(?>[^/]*{last})"


def compile_pattern(text: str) -> Pattern:
    """Return the compiled pattern.

    Args:
        text: levels separated by ``/``; ``*`` matches within one level, a level of ``**`` any number of levels (none
            too: ``plant/**`` selects ``plant``); at most 255 bytes.

    Raises:
        InvalidPattern: no text, a character no metric may have, an empty level, or ``**`` beside other characters of a
            level.
    """
    if not isinstance(text, str):
        raise InvalidPattern("pattern", text, "expected a text such as 'furnace/**'; several are given one by one")
    return _compiled(text)


@lru_cache(maxsize=4096)
def _compiled(text: str) -> Pattern:
    for level in text.split("/"):
        if "**" in level and level != "**":
            raise InvalidPattern("pattern", text, "'**' must be a whole level, as in 'plant/**'")
    if len(text.encode(errors="replace")) > _MAX_BYTES:
        raise InvalidPattern("pattern", text, f"is longer than {_MAX_BYTES} bytes")
    try:
        checked_name(text.replace("*", "x"))
    except InvalidInput as error:
        raise InvalidPattern("pattern", text, error.reason) from None
    return Pattern(text)


def compile_patterns(texts: Iterable[str]) -> tuple[Pattern, ...]:
    """Return the compiled patterns in order of first sight, each once."""
    return tuple({pattern.text: pattern for pattern in map(compile_pattern, texts)}.values())
