"""The pattern that selects metrics: ``*`` within one level, ``**`` any number of levels; pure, and linear in the name.

A pattern is run as a nondeterministic automaton whose set of states is one integer (bit-parallel, Baeza-Yates
and Gonnet 1992; Navarro 2001): no pattern can make matching backtrack.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from tidewire.errors import InvalidInput, InvalidPattern
from tidewire.model.batch import checked_name

__all__ = ["Pattern", "compile_pattern"]

_MAX_BYTES: Final = 255
_LEVEL: Final = 1  # a token that eats characters of one level
_ANY: Final = 2  # a token that eats any characters
_GROUP: Final = 3  # a token that matches nothing: the start of an optional group of levels


class Pattern:
    """A compiled pattern.

    Attributes:
        text: the pattern as given.
        literal: True if it names exactly one metric.
    """

    __slots__ = ("_accept", "_any", "_char", "_epsilon", "_level", "_start", "literal", "text")

    def __init__(self, text: str) -> None:
        """Compile a pattern; use `compile_pattern`, which checks and caches."""
        self.text = text
        self.literal = "*" not in text
        tokens, optional = _tokens(text)
        self._char: dict[str, int] = {}
        self._level = self._any = 0
        for position, token in enumerate(tokens):
            if token == _LEVEL:
                self._level |= 1 << position
            elif token == _ANY:
                self._any |= 1 << position
            elif isinstance(token, str):
                self._char[token] = self._char.get(token, 0) | 1 << position
        # epsilon[i]: where state i may go without reading: past a star, and past an optional group of levels
        count = len(tokens)
        closure = [1 << i for i in range(count + 1)]
        for i in range(count - 1, -1, -1):
            if tokens[i] in (_LEVEL, _ANY, _GROUP):
                closure[i] |= closure[i + 1]
            if i in optional:
                closure[i] |= closure[optional[i]]
        self._epsilon = closure
        self._start = closure[0]
        self._accept = 1 << count

    def matches(self, metric: str) -> bool:
        """Tell whether the pattern selects this metric."""
        if self.literal:
            return metric == self.text
        states = self._start
        for character in metric:
            moved = (states & self._char.get(character, 0)) << 1 | states & self._any
            if character != "/":
                moved |= states & self._level
            states = self._close(moved)
            if not states:
                return False
        return bool(states & self._accept)

    def _close(self, states: int) -> int:
        closed = 0
        while states:
            lowest = states & -states
            closed |= self._epsilon[lowest.bit_length() - 1]
            states ^= lowest
        return closed

    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"


def _tokens(text: str) -> tuple[list[str | int], dict[int, int]]:
    """Return the tokens of a pattern, and for each optional group of levels where it starts and where it ends."""
    tokens: list[str | int] = []
    optional: dict[int, int] = {}
    split = text.split("/")
    levels = [level for depth, level in enumerate(split) if level != "**" or split[depth - 1 : depth] != ["**"]]
    for depth, level in enumerate(levels):
        last = depth == len(levels) - 1
        if level == "**":
            start = len(tokens)
            if last and depth:  # a/** also selects a itself: the slash before it belongs to the group
                start -= 1
                tokens[start:] = [_GROUP, "/", _ANY]
            elif last:
                tokens.append(_ANY)
            else:  # **/ and a/**/: the slash after it belongs to the group
                tokens += [_GROUP, _ANY, "/"]
            if not last or depth:
                optional[start] = len(tokens)
            continue
        tokens += [_LEVEL if character == "*" else character for character in level]
        if not last:
            tokens.append("/")
    return tokens, optional


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
