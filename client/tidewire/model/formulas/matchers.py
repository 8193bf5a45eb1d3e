"""Matchers of labels, and the expressions that they may hold: few, so that no engine takes long over them; pure.

An expression is read once into one of Python's. A star counts 256 steps, a question mark 2, alternatives are added and
a sequence is multiplied; what exceeds 2 ** 20 is refused, and so is whatever backtracks more than that.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple, NoReturn

from tidewire.errors import InvalidFormula

__all__ = ["METRIC", "Matcher", "compile_expression"]

METRIC: Final = "__name__"
"""The label that stands for a metric's name, as in PromQL."""
_MAX_CHARS: Final = 256
_MAX_STEPS: Final = 1 << 20
_MAX_GROUPS_DEEP: Final = 20
_REPEATED: Final = 256  # steps of a star or a plus
_ONE: Final = re.compile(r"\\[dwsDWSntr]|\\[^a-zA-Z0-9]|[^\\\[*+?{()|]", re.DOTALL)
_CLASS: Final = re.compile(r"\[\^?+\]?+(?:[^\]\\[]|\\[^\n])*+\]")
_SET_SIGNS: Final = re.compile(r"(\\.)|&&|~~|\|\|", re.DOTALL)  # Python warns that these may once mean sets
_REMEDY: Final = "a group takes '?' only, a branch two of * and +; no flags, counts, \\b or look-around"


class Matcher(NamedTuple):
    """What the value of a label must be; a label that is absent is the empty text.

    Attributes:
        label: its name.
        operator: ``=``, ``!=``, ``=~`` or ``!~``; expressions hold for the whole value.
        text: the value or the expression.
    """

    label: str
    operator: str
    text: str

    def holds(self, value: str) -> bool:
        """Tell whether a value satisfies it."""
        if self.operator in ("=", "!="):
            return (value == self.text) == (self.operator == "=")
        return _fits(self.text, value) == (self.operator == "=~")


@lru_cache(maxsize=16_384)
def _fits(expression: str, value: str) -> bool:
    return compile_expression(expression, 0, 0).fullmatch(value) is not None


@lru_cache(maxsize=1_024)
def compile_expression(text: str, position: int, end: int) -> re.Pattern[str]:
    """Return a regular expression whose cost is bounded.

    Args:
        text: a subset of RE2.
        position: where the formula has it …
        end: … for the error.

    Raises:
        InvalidFormula: of kind ``regex``.
    """
    if len(text) > _MAX_CHARS:
        raise InvalidFormula("regex", position, end, f"the expression is longer than {_MAX_CHARS} characters", _REMEDY)
    reader = _Reader(text, position, end)
    steps = reader.branches(0)
    if reader.at < len(text):
        reader.refuse("has a ')' too many")
    if steps > _MAX_STEPS:
        reader.refuse("could take too long")
    try:
        return re.compile("".join(reader.parts), re.ASCII)
    except (re.error, OverflowError) as error:
        reader.refuse(f"is wrong: {error}")


class _Reader:
    """Reads an expression, writes Python's, and counts steps."""

    def __init__(self, text: str, position: int, end: int) -> None:
        self.text, self.position, self.end = text, position, end
        self.at = 0
        self.parts: list[str] = []

    def refuse(self, why: str) -> NoReturn:
        raise InvalidFormula("regex", self.position, self.end, f"the expression {why}", _REMEDY)

    def branches(self, depth: int) -> int:
        """Read alternatives up to a ')' or the end; return their steps."""
        total, steps = 0, 1
        while self.at < len(self.text) and self.text[self.at] != ")":
            if self.text[self.at] == "|":
                self.take(1)
                total, steps = total + steps, 1
                continue
            group = self.text[self.at] == "("
            steps = min(steps * (self.group(depth) if group else self.one()), _MAX_STEPS + 1)
            steps = min(steps * self.quantifier(group=group), _MAX_STEPS + 1)
        return total + steps

    def take(self, count: int) -> None:
        self.parts.append(self.text[self.at : self.at + count])
        self.at += count

    def group(self, depth: int) -> int:
        self.take(3 if self.text.startswith("(?:", self.at) else 1)
        if depth > _MAX_GROUPS_DEEP or self.text.startswith("?", self.at):
            self.refuse("has a group that is not supported")
        steps = self.branches(depth + 1)
        if self.at == len(self.text):
            self.refuse("has a '(' without ')'")
        self.take(1)
        return steps

    def one(self) -> int:
        """Read one character or class."""
        if found := _CLASS.match(self.text, self.at):
            if "--" in found[0]:
                self.refuse(r"has '--' in a class, write \-")
            self.parts.append(_SET_SIGNS.sub(lambda sign: sign[1] or f"\\{sign[0][0]}\\{sign[0][1]}", found[0]))
            self.at = found.end()
        elif found := _ONE.match(self.text, self.at):
            self.take(len(found[0]))
        else:
            self.refuse(f"cannot be read at its character {self.at + 1}")
        return 1

    def quantifier(self, *, group: bool) -> int:
        sign = self.text[self.at : self.at + 1]
        if not sign or sign not in "*+?":
            return 1
        if group and sign != "?":
            self.refuse("repeats a group")
        self.take(2 if self.text[self.at + 1 : self.at + 2] == "?" else 1)
        if self.at < len(self.text) and self.text[self.at] in "*+?":
            self.refuse("has two quantifiers in a row")
        return 2 if sign == "?" else _REPEATED
