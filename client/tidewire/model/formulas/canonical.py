"""Writes the one text of a formula, for storage, addresses and comparison; it reads as an equal tree; pure."""

from __future__ import annotations

import json
import math
import re
from typing import Final

from tidewire.model.formulas.lexer import DURATION_S, is_bare_name
from tidewire.model.formulas.parser import PRECEDENCE, STAR_LABEL
from tidewire.model.formulas.tree import Aggregate, Binary, Call, Negation, Node, Number, Selector, Text

__all__ = ["canonical_text", "duration_text"]

_DURATION_UNITS: Final = ("d", "h", "m", "s", "ms")
_NEGATION: Final = 5.5  # binds tighter than a product, looser than a power
_OPERAND: Final = 9.0
_NEXT: Final = 0.4  # what an operand must exceed so that no parentheses are needed


def canonical_text(node: Node) -> str:
    """Return the text of a tree: single spaces, only parentheses that are needed, labels and matchers sorted."""
    if isinstance(node, Number):
        return duration_text(node.value) if node.duration else _number(node.value)
    if isinstance(node, Text):
        return _quoted(node.value)
    if isinstance(node, Selector):
        return _selector(node)
    if isinstance(node, Negation):
        return "-" + _inner(node.operand, _NEGATION)
    if isinstance(node, Call):
        return f"{node.name}({', '.join(map(canonical_text, node.arguments))})"
    if isinstance(node, Aggregate):
        clause = (
            f" {'without' if node.without else 'by'} {_labels(node.labels)} " if node.labels or node.without else ""
        )
        return f"{node.name}{clause}({', '.join(map(canonical_text, node.arguments))})"
    return _binary(node)


def duration_text(seconds: float) -> str:
    """Return a duration as ``1h30m``, to the millisecond."""
    left, text = round(seconds * 1e3), ""
    for unit in _DURATION_UNITS:
        count, left = divmod(left, round(DURATION_S[unit] * 1e3))
        text += f"{count}{unit}" if count else ""
    return text or "0s"


def _binary(node: Binary) -> str:
    power = PRECEDENCE[node.operator]
    words = [node.operator]
    if node.as_bool:
        words.append("bool")
    if node.matching:
        words.append(f"{node.matching} {_labels(node.labels)}")
    if node.group:
        words.append(node.group)
    if node.include:
        words.append(_labels(node.include))
    to_the_right = node.operator == "^"
    left = _inner(node.left, power + (_NEXT if to_the_right else 0))
    if isinstance(node.right, Negation):  # where an operand begins, a minus needs no parentheses
        right = canonical_text(node.right)
    else:
        right = _inner(node.right, power + (0 if to_the_right else _NEXT))
    return f"{left} {' '.join(words)} {right}"


def _inner(node: Node, least: float) -> str:
    power = (
        PRECEDENCE[node.operator] if isinstance(node, Binary) else _NEGATION if isinstance(node, Negation) else _OPERAND
    )
    return f"({canonical_text(node)})" if power < least else canonical_text(node)


def _selector(node: Selector) -> str:
    bare = node.name is not None and is_bare_name(node.name)
    parts = [] if bare or node.name is None else [_quoted(node.name)]
    parts += [f"{_label(label)}{operator}{_quoted(text)}" for label, operator, text in node.matchers]
    text = (node.name or "" if bare else "") + (f"{{{', '.join(parts)}}}" if parts else "")
    if node.range_s is not None:
        text += f"[{duration_text(node.range_s)}]"
    return text + (f" offset {duration_text(node.offset_s)}" if node.offset_s else "")


def _labels(labels: tuple[str, ...]) -> str:
    return f"({', '.join(map(_label, labels))})"


def _label(label: str) -> str:
    bare = STAR_LABEL.fullmatch(label) or ("/" not in label and "*" not in label and is_bare_name(label))
    return label if bare else _quoted(label)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _number(number: float) -> str:
    """Return a number as JavaScript prints it, without a plus in its exponent."""
    if not math.isfinite(number):
        return "NaN" if math.isnan(number) else "Inf"
    if number == int(number) and number < 1e21:
        return str(int(number))
    text = repr(number)
    if "e" in text and 1e-6 <= number < 1e21:
        digits, power = text.split("e")
        return f"{number:.{len(digits.replace('.', '')) - 1 - int(power)}f}"
    return re.sub(r"e\+?(-?)0*", r"e\1", text)
