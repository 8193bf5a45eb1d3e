"""Makes names and labels of other services storable, and keeps them readable; pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Final

__all__ = ["readable_name", "readable_value"]

_IN_NAMES: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_IN_VALUES: Final = frozenset({"Cc"})


def readable_name(text: str) -> str:
    """Return a name in normal form C and without blanks at its ends; patterns and controls are ``_``."""
    return _without(unicodedata.normalize("NFC", text), _IN_NAMES, "*?[]").strip()


def readable_value(text: str) -> str:
    """Return a label's value in which controls, such as line feeds, are ``_``."""
    return _without(text, _IN_VALUES)


def _without(text: str, categories: Iterable[str], characters: str = "") -> str:
    if text.isascii() and text.isprintable() and not any(character in text for character in characters):
        return text
    return "".join(
        "_" if character in characters or unicodedata.category(character) in categories else character
        for character in text
    )
