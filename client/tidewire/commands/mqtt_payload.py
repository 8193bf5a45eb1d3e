"""Reads what devices publish with MQTT: a topic and a payload become readings; pure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec

from tidewire.errors import InvalidInput
from tidewire.model.batch import checked_name, checked_time_ms, checked_value
from tidewire.model.csv_escape import NUMBER
from tidewire.model.csv_rows import parse_number
from tidewire.model.foreign_names import readable_name

__all__ = ["DeviceReading", "JsonPath", "PayloadReader"]

_LEAVES: Final = 256  # readings of one message
_REFUSED: Final = 1_000  # values of one message; each costs 6 µs
_LEVELS: Final = 16
_NAME_CHARS: Final = 255
_PAYLOAD_BYTES: Final = 1 << 20
_TEXT_CHARS: Final = 256
_SHOWN: Final = 60
_WORDS: Final = {"on": 1.0, "true": 1.0, "off": 0.0, "false": 0.0}
_NO_NUMBER: Final = object()  # such as nan: a reading whose value is no number
_STEP: Final = re.compile(r"\.([^.*\[\]\s]+)|\[(\d{1,6})\]|\['([^'\]]+)'\]")
_EXACT: Final = 1 << 53
_INTEGER: Final = re.compile(r"[+-]?\d{16,400}", re.ASCII)  # that may be beyond it
_INTEGER_DIGITS: Final = 309  # of float64, at most
_MIN_MS: Final = 631_152_000_000.0  # 1990: a smaller number of a time counts seconds


class DeviceReading(NamedTuple):
    """One reading of a message.

    Attributes:
        metric: the topic's levels, and below them those of a JSON object.
        value: None if it is no number.
        text: the word that it is, or that its number stands for; None if it is a number.
        time_ms: that the message gives, Unix ms; None if it gives none.
    """

    metric: str
    value: float | None
    text: str | None
    time_ms: float | None


class JsonPath:
    """A place in a JSON text: ``$``, and then names and indices, such as ``$.sensors[0].t`` or ``$['a b']``.

    Raises:
        InvalidInput: it is none, or has more than 16 steps.

    Source: RFC 9535, of which these are the singular queries.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._steps: list[str | int] = []
        place = 1
        while place < len(text) and (step := _STEP.match(text, place)) is not None:
            name, index, quoted = step.groups()
            self._steps.append(int(index) if index is not None else name or quoted)
            place = step.end()
        if not text.startswith("$") or place != len(text) or len(self._steps) > _LEVELS:
            raise InvalidInput("json", text, "expected a path such as $.t or $.sensors[0].t")

    def of(self, content: Any) -> Any:
        """Return what is at this place.

        Raises:
            InvalidInput: nothing is.
        """
        for step in self._steps:
            if isinstance(step, str):
                content = content.get(step) if isinstance(content, dict) else None
            else:
                content = content[step] if isinstance(content, list) and step < len(content) else None
            if content is None:
                raise InvalidInput("payload", self.text, "is not in the message, or null")
        return content


class PayloadReader:
    """Reads messages.

    Args:
        value: where the value of the topic itself is; None for the whole payload, of whose objects each leaf is a
            reading.
        time: where the time of the message is; None if it has none.

    Attributes:
        left_out: places in messages from which values were not published while others of the same message were.
        why_left_out: the metric and the reason of the last of them.
        rounded: integers beyond 2^53 that float64 does not hold exactly.
    """

    def __init__(self, value: JsonPath | None = None, time: JsonPath | None = None) -> None:
        self.left_out = self.rounded = 0
        self.why_left_out = ""
        self._value = value
        self._time = time

    def read(self, topic: str, payload: bytes, now_ms: float) -> list[DeviceReading]:
        """Return the readings of a message, at least one.

        Args:
            topic: its levels become those of the metric.
            payload: a number, a word such as ``ON``, or JSON.
            now_ms: for the upper bound of times, Unix ms.

        Raises:
            InvalidInput: nothing of it can be published.
        """
        metric = checked_name("/".join(level for part in topic.split("/") if (level := readable_name(part))))
        content = _content(payload)
        time_ms = None if self._time is None else _time_ms(self._time.of(content), now_ms)
        if self._value is not None:
            content = self._value.of(content)
        readings: list[DeviceReading] = []
        bad = InvalidInput("payload", payload[:_SHOWN], "holds no number, word or object with any of them")
        left_out = rounded = 0
        why: tuple[str, object] = ("", "")
        for name, leaf in _leaves(metric, content, 0):
            if len(readings) == _LEAVES or left_out == _REFUSED:
                left_out, why = left_out + 1, (name, f"a message has at most {_LEAVES} readings")
                break  # and whatever else there is
            try:
                value, text = _value(leaf)
                reading = DeviceReading(checked_name(name), value, text, time_ms)
            except InvalidInput as error:
                bad, left_out, why = error, left_out + 1, (name, error)
                continue
            readings.append(reading)
            rounded += _is_rounded(leaf)
        if not readings:
            raise bad
        self.left_out += left_out
        self.rounded += rounded
        if left_out:
            self.why_left_out = f"{why[0][:_NAME_CHARS]}: {why[1]}"
        return readings


def _content(payload: bytes) -> Any:
    """Return what a payload is: JSON, or the text as it is."""
    if len(payload) > _PAYLOAD_BYTES:
        raise InvalidInput("payload", f"{len(payload)} bytes", f"at most {_PAYLOAD_BYTES} are read")
    try:
        text = payload.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise InvalidInput("payload", payload[:_SHOWN], "is not UTF-8") from None
    if not text:
        raise InvalidInput("payload", "", "is empty")
    if text[0] in '{["':
        try:
            return msgspec.json.decode(text)
        except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
            return _lenient_content(text, error)
    return None if text == "null" else text


def _lenient_content(text: str, fault: Exception) -> Any:
    """Return what JSON is that has numbers as no JSON may have them: NaN, Infinity, 1e400; that is a text then."""

    def real(digits: str) -> float | str:
        return number if math.isfinite(number := float(digits)) else digits

    def integer(digits: str) -> int | str:
        return int(digits) if len(digits) <= _INTEGER_DIGITS else digits

    try:
        return json.loads(text, parse_float=real, parse_int=integer, parse_constant=lambda _: _NO_NUMBER)
    except (ValueError, RecursionError):
        raise InvalidInput("payload", text[:_SHOWN], f"is no JSON: {fault}") from None


def _is_rounded(leaf: Any) -> bool:
    """Tell whether a leaf is an integer that float64 does not hold exactly."""
    if isinstance(leaf, str) and _INTEGER.fullmatch(leaf.strip()):
        leaf = int(leaf)
    return isinstance(leaf, int) and abs(leaf) > _EXACT and int(float(leaf)) != leaf


def _leaves(name: str, content: Any, level: int) -> Iterator[tuple[str, Any]]:
    """Yield the name and value of each leaf that may be a reading; a list has its indices for names."""
    if level > _LEVELS or len(name) > _NAME_CHARS:
        yield name, None  # left out, with all that is below
        return
    if isinstance(content, dict):
        for key, inner in content.items():
            if below := readable_name(str(key)).replace("/", "_"):
                yield from _leaves(f"{name}/{below}", inner, level + 1)
    elif isinstance(content, list):
        for index, inner in enumerate(content):
            yield from _leaves(f"{name}/{index}", inner, level + 1)
    elif content is not None:
        yield name, content


def _value(leaf: Any) -> tuple[float | None, str | None]:
    """Return the number and the word of a leaf: ``ON`` is 1 and a word, 21.5 is a number, ``heat`` is a word."""
    if leaf is _NO_NUMBER:
        return None, None
    if leaf is None:
        raise InvalidInput("payload", "", "lies too deep, or its name is too long")
    if isinstance(leaf, bool):
        return float(leaf), None
    if isinstance(leaf, (int, float)):
        return checked_value(leaf), None
    text = str(leaf).strip()
    number = _WORDS.get(text.lower())
    if number is not None:
        return number, text
    try:
        return parse_number("payload", text), None
    except InvalidInput:
        if NUMBER.fullmatch(text):
            raise  # a number beyond float64 is no word
        if not text or len(text) > _TEXT_CHARS:
            raise InvalidInput("payload", text, f"is no number, and no text of 1 to {_TEXT_CHARS} characters") from None
        if not text.isprintable() and any("\ud800" <= character <= "\udfff" for character in text):
            raise InvalidInput("payload", text, "is half of a character") from None
        return None, text


def _time_ms(given: Any, now_ms: float) -> float:
    """Return a time as Unix ms: a number of seconds or milliseconds, or RFC 3339."""
    if given is _NO_NUMBER:
        raise InvalidInput("time", "NaN", "is no time")
    if isinstance(given, str):
        try:
            given = float(given)
        except ValueError:
            return checked_time_ms(given, now_ms=now_ms)
    if isinstance(given, (int, float)) and not isinstance(given, bool) and given < _MIN_MS:
        given *= 1_000  # an integer may be beyond float64
    return checked_time_ms(given, now_ms=now_ms)
