"""Parses and checks query strings; pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple
from urllib.parse import parse_qsl

from tidewire.errors import InvalidInput, LimitExceeded
from tidewire.model.batch import checked_labels
from tidewire.model.durations import parse_time_ms
from tidewire.model.pattern import Pattern, compile_pattern

__all__ = ["CURSOR_NAMES", "Query", "parse_query"]

_MAX_FIELDS: Final = 1_024
CURSOR_NAMES: Final = ("lastEventId", "last-event-id", "cursor")
"""What names the cursor of a stream, the first that is given. Polyfills of `EventSource` add one of the first two when
they reconnect, to an address in which ``cursor`` stays what it was."""
_MISSPELT: Final = {
    "metrics": "metric",
    "pattern": "metric",
    "patterns": "metric",
    "labels": "label",
    "from": "start",
    "to": "end",
    "since": "start",
    "until": "end",
    "lasteventid": "lastEventId",
    "last_event_id": "lastEventId",
}  # in lower case: what people try first, with the right names


class Query(NamedTuple):
    """A query string, its fields in order; an empty value counts as absent."""

    fields: tuple[tuple[str, str], ...]

    def all(self, name: str) -> list[str]:
        """Return every value of a field."""
        return [value for field, value in self.fields if field == name]

    def one(self, name: str) -> str:
        """Return the value of a field that may be given once; empty if absent.

        Raises:
            InvalidInput: it is given with two different values.
        """
        found = dict.fromkeys(self.all(name))
        if len(found) > 1:
            raise InvalidInput(name, "", "is given more than once")  # without its values: a ticket is a secret
        return next(iter(found), "")

    def cursor(self) -> str:
        """Return the text of the cursor; empty if absent.

        Raises:
            InvalidInput: one name is given with two different values.
        """
        return next(filter(None, map(self.one, CURSOR_NAMES)), "")

    def patterns(self, max_patterns: int, default: str | None = None) -> tuple[Pattern, ...]:
        """Return the patterns of ``metric=``, each once.

        Raises:
            InvalidPattern: one is malformed.
            InvalidInput: there is none and no default.
            LimitExceeded: too many.
        """
        texts = list(dict.fromkeys(self.all("metric"))) or ([default] if default else [])
        if not texts:
            raise InvalidInput(
                "metric", "", "is missing; name a metric or a pattern, such as metric=furnace/* or metric=**"
            )
        if len(texts) > max_patterns:
            raise LimitExceeded(
                "max_patterns", max_patterns, len(texts), "use a pattern with * or **, or several requests"
            )
        return tuple(compile_pattern(text) for text in texts)

    def labels(self) -> dict[str, str]:
        """Return the labels of ``label=name:value``, which a series must all have.

        Raises:
            InvalidInput: not of that form, a bad name or value, or one name with two values.
        """
        found: dict[str, str] = {}
        for text in self.all("label"):
            name, colon, value = text.partition(":")
            if not colon:  # a label may be empty
                raise InvalidInput("label", text, "expected name:value, such as label=site:A")
            if found.get(name, value) != value:
                raise InvalidInput("label", text, f"{name!r} cannot have two values; all labels must hold")
            found[name] = value
        try:
            return checked_labels(found)
        except LimitExceeded as error:
            raise InvalidInput("label", len(found), str(error)) from None

    def flag(self, name: str) -> bool:
        """Return whether a field is ``true``; absent or ``false``: it is not.

        Raises:
            InvalidInput: neither.
        """
        text = self.one(name)
        if text not in ("", "true", "false"):
            raise InvalidInput(name, text, "expected true or false")
        return text == "true"

    def number(self, name: str, minimum: int, maximum: int) -> int | None:
        """Return a whole number, or None if absent.

        Raises:
            InvalidInput: not a number, or out of bounds.
        """
        text = self.one(name)
        if not text:
            return None
        if not (text.isascii() and text.isdigit() and len(text) <= 12 and minimum <= int(text) <= maximum):
            raise InvalidInput(name, text, f"expected a whole number from {minimum} to {maximum}")
        return int(text)

    def time_ms(self, name: str, now_ms: float) -> float | None:
        """Return a time as Unix milliseconds, or None if absent.

        Args:
            name: the field: ``-15m`` (before now), ``now``, RFC 3339 with an offset, or milliseconds.
            now_ms: the time now, Unix ms.

        Raises:
            InvalidInput: not in any of these forms.
        """
        text = self.one(name)
        if not text:
            return None
        return parse_time_ms(name, text, now_ms)


def parse_query(query: bytes, known: Collection[str] | None = None) -> Query:
    """Parse a query string.

    Args:
        query: percent-encoded UTF-8.
        known: the names that may be given, also with an empty value; None for any.

    Raises:
        InvalidInput: not UTF-8, too many fields, or an unknown one.
    """
    try:
        pairs = parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            encoding="utf-8",
            errors="strict",
            max_num_fields=_MAX_FIELDS,
        )
    except UnicodeDecodeError:
        raise InvalidInput("query", "", "is not percent-encoded UTF-8") from None  # without it: it may have a secret
    except ValueError:
        raise InvalidInput("query", "", f"has more than {_MAX_FIELDS} fields") from None
    for name, _ in pairs:
        if known is not None and name not in known:
            raise InvalidInput(name, "", _unknown(name, known))
    return Query(tuple((name, value) for name, value in pairs if value))


def _unknown(name: str, known: Collection[str]) -> str:
    if not known:
        return "is unknown; this path has no query"
    meant = next((right for right in known if right.lower() == name.lower()), _MISSPELT.get(name.lower()))
    if meant in known:
        return f"is unknown; did you mean {meant}=?"
    return f"is unknown; this path knows {', '.join(sorted(known))}"
