"""Reads the words of a formula, each with its place: names with slashes, stars, numbers, durations, texts; pure.

A sign that touches a name on both sides is part of the name: ``a/b`` is a name, ``a / b`` a division. Each word is
read once or a few times, so that the time is linear in the length of the formula.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final, Literal, NamedTuple, NoReturn

from tidewire.errors import InvalidFormula

__all__ = ["DURATION_S", "RESERVED", "Token", "TokenKind", "is_bare_name", "read_token"]

TokenKind = Literal["number", "duration", "text", "word", "sign", "end"]

DURATION_S: Final = {
    "y": 365 * 86_400.0, "w": 7 * 86_400.0, "d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 1e-3,
}  # fmt: skip
"""Units of durations in seconds, in the order in which they are written."""
_MAX_DURATION_S: Final = 3_000 * 365 * 86_400.0  # exact to the millisecond
RESERVED: Final = frozenset(
    ("by", "without", "on", "ignoring", "group_left", "group_right", "bool", "offset", "and", "or", "unless")
)
"""Words that are no bare metrics; a metric of such a name is quoted in braces."""
_NUMBERS: Final = frozenset(("inf", "nan"))
_GLUE: Final = "/-.:"  # part of a word where a word character follows at once
_SIGNS: Final = ("==", "!=", ">=", "<=", "=~", "!~", *"+-*/%^<>=(){}[],")
_WORD_MARKS: Final = frozenset(("Nd", "No", "Mn", "Mc"))
_NUMBER: Final = re.compile(
    r"0[xX](?P<hex>[0-9a-fA-F]{1,64})"
    r"|(?P<duration>(?:\d+(?:ms|[ywdhms]))+)(?![a-zA-Z_])"
    r"|\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?",
    re.ASCII,
)
_DURATION_PART: Final = re.compile(r"(\d+)(ms|[ywdhms])", re.ASCII)
_QUOTED: Final = {quote: re.compile(rf"{quote}(?:[^\\\n{quote}]|\\[^\n])*+{quote}") for quote in "\"'"}
_ESCAPE: Final = re.compile(r"\\(?:(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})|.)")
_ESCAPED: Final = {**dict(zip("ntrbf", "\n\t\r\b\f", strict=True)), "\\": "\\", '"': '"', "'": "'"}
_LOOKALIKES: Final = {
    "\N{MINUS SIGN}": "-", "\N{EN DASH}": "-", "\N{EM DASH}": "-", "\N{MULTIPLICATION SIGN}": "*",
    "\N{MIDDLE DOT}": "*", "\N{DIVISION SIGN}": "/", "\N{LEFT DOUBLE QUOTATION MARK}": '"',
    "\N{RIGHT DOUBLE QUOTATION MARK}": '"', "\N{DOUBLE LOW-9 QUOTATION MARK}": '"',
    "\N{LEFT SINGLE QUOTATION MARK}": "'", "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{LESS-THAN OR EQUAL TO}": "<=", "\N{GREATER-THAN OR EQUAL TO}": ">=", "\N{NOT EQUAL TO}": "!=",
}  # fmt: skip
_NO_SIGN: Final = {
    "@": ("'@' is not supported", "use offset"),
    ":": ("a subquery is not supported", "record the inner formula as a metric"),
}


class Token(NamedTuple):
    """A word of a formula.

    Attributes:
        kind: what it is; ``end`` is behind the last one.
        text: as written, a bare name in NFC.
        position: of its first character, in code points.
        end: of the character behind it.
        number: the value of a number, the seconds of a duration.
        content: what a text in quotes says.
    """

    kind: TokenKind
    text: str
    position: int
    end: int
    number: float = 0.0
    content: str = ""


def read_token(text: str, start: int, *, operand: bool) -> Token:
    """Return the word at or after a place.

    Args:
        text: the formula.
        start: where to begin, between two words.
        operand: an operand may begin here, so that a star begins a pattern.

    Raises:
        InvalidFormula: what is there is no word.
    """
    at = _skip_blanks(text, start)
    if at == len(text):
        return Token("end", "", at, at)
    char = text[at]
    if _begins_word(char):
        return _word(text, at, _word_end(text, at))
    if char == "*" and (token := _star(text, at, operand=operand)) is not None:
        return token
    if "0" <= char <= "9" or (char == "." and "0" <= text[at + 1 : at + 2] <= "9"):
        return _number(text, at)
    if char in "\"'`":
        return _text(text, at)
    for sign in _SIGNS:
        if text.startswith(sign, at):
            return Token("sign", sign, at, at + len(sign))
    return _refuse(text, at)


def is_bare_name(name: str) -> bool:
    """Tell whether a name or pattern reads as itself where an operand begins."""
    if name.lower() in RESERVED | _NUMBERS:
        return False
    try:
        token = read_token(name, 0, operand=True)
    except InvalidFormula:
        return False
    return token.kind == "word" and token.end == len(name) and token.position == 0


def _skip_blanks(text: str, at: int) -> int:
    while at < len(text):
        if text[at] == "#":
            end = text.find("\n", at)
            at = len(text) if end < 0 else end
        elif text[at] not in " \t\r\n":
            break
        else:
            at += 1
    return at


@lru_cache(maxsize=4_096)
def _begins_word(char: str) -> bool:
    category = unicodedata.category(char)
    return char == "_" or category[0] == "L" or category == "Nl"


@lru_cache(maxsize=4_096)
def _continues_word(char: str) -> bool:
    return _begins_word(char) or unicodedata.category(char) in _WORD_MARKS


def _continues_at(text: str, at: int) -> bool:
    return at < len(text) and _continues_word(text[at])


def _word_end(text: str, at: int) -> int:
    while True:
        while _continues_at(text, at):
            at += 1
        if at < len(text) and text[at] in _GLUE and _continues_at(text, at + 1):
            at += 1
        elif text[at : at + 1] == "/" and (end := _star_level_end(text, at + 1)):
            at = end
        else:
            return at


def _star_level_end(text: str, at: int) -> int:
    """Return where a level of stars that begins here ends; 0 if stars here do not fill a level."""
    end = at + 2 if text.startswith("**", at) else at + 1 if text.startswith("*", at) else 0
    if not end or _continues_at(text, end):
        return 0
    after = text[end : end + 1]
    joined = after == "*" or (after and after in "-.:" and _continues_at(text, end + 1))
    return 0 if joined else end


def _word(text: str, at: int, end: int) -> Token:
    return Token("word", unicodedata.normalize("NFC", text[at:end]), at, end)


def _star(text: str, at: int, *, operand: bool) -> Token | None:
    """Return a pattern that begins with a star; None for a product."""
    if operand:
        if end := _star_level_end(text, at):
            return _word(text, at, _word_end(text, end))
        raise InvalidFormula(
            "pattern", at, at + 1, "a bare star fills a whole level", 'quote the pattern: {"plant/fur*"}'
        )
    if text.startswith("**", at):
        raise InvalidFormula(
            "pattern", at, at + 2, "'**' is no operator", "a power is '^'; in a pattern '**' is a level"
        )
    return None


def _number(text: str, at: int) -> Token:
    found = _NUMBER.match(text, at)
    if found is None:  # the caller saw a digit
        raise InvalidFormula("number", at, at + 1, "expected a number", "5, 0.5, 1e-3 or 0x1F")
    word, end, duration = found[0], found.end(), found["duration"]
    if _continues_at(text, end) or (duration and text[end : end + 1] == "/" and _continues_at(text, end + 1)):
        end = max(end, _word_end(text, at))
        remedy = f'{{"{text[at:end]}"}}; to calculate, write spaces around the operator'
        raise InvalidFormula("name", at, end, "a name that begins with a digit must be quoted", remedy)
    if duration:
        return Token("duration", word, at, end, _seconds(word, at, end))
    return Token("number", word, at, end, float(int(found["hex"], 16)) if found["hex"] else float(word))


def _seconds(word: str, at: int, end: int) -> float:
    parts = _DURATION_PART.findall(word)
    order = [list(DURATION_S).index(unit) for _, unit in parts]
    if order != sorted(set(order)):
        raise InvalidFormula("duration", at, end, "the units of a duration fall, each once", "1h30m")
    seconds = sum(float(number) * DURATION_S[unit] for number, unit in parts)
    if seconds > _MAX_DURATION_S:
        raise InvalidFormula("duration", at, end, "a duration of more than 3,000 years", "a number of seconds: 1e12")
    return seconds


def _text(text: str, at: int) -> Token:
    quote = text[at]
    if quote == "`":
        end = text.find("`", at + 1) + 1
    else:
        found = _QUOTED[quote].match(text, at)
        end = found.end() if found else 0
    if not end:
        raise InvalidFormula("string", at, len(text), "the text has no end", f"close it with {quote}")
    content = text[at + 1 : end - 1]
    if quote != "`":
        content = _ESCAPE.sub(lambda found: _unescaped(found, at + 1), content)
    if any("\ud800" <= char <= "\udfff" for char in content):
        raise InvalidFormula("string", at, end, "the text holds a lone surrogate")
    return Token("text", text[at:end], at, end, content=content)


def _unescaped(found: re.Match[str], start: int) -> str:
    code = found[1]
    if code is not None and (number := int(code[1:], 16)) <= 0x10FFFF:
        return chr(number)
    plain = _ESCAPED.get(found[0][1]) if code is None else None
    if plain is None:
        at = start + found.start()
        raise InvalidFormula(
            "string",
            at,
            start + found.end(),
            f"{found[0]} stands for no character",
            r"\\ \" \' \n \t \r \uXXXX, or `…`",
        )
    return plain


def _refuse(text: str, at: int) -> NoReturn:
    char = text[at]
    if char in _NO_SIGN:
        message, remedy = _NO_SIGN[char]
        raise InvalidFormula("unsupported", at, at + 1, message, remedy)
    name = unicodedata.name(char, f"U+{ord(char):04X}")
    remedy = 'quote a name that holds it: {"…"}'
    if char in _LOOKALIKES:
        remedy = f"write {_LOOKALIKES[char]}"
    elif char.isspace():
        remedy = "write a plain space"
    raise InvalidFormula("character", at, at + 1, f"{name} means nothing here", remedy)
