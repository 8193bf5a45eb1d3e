"""The unit of what a formula computes: kept, divided out, per second, or none; nothing is converted; pure.

A unit is a text: ``""`` is not known, ``"1"`` a ratio; None stands for a plain number, which takes the other's unit.
"""

from __future__ import annotations

from typing import Final

from tidewire.model.formulas.functions import UnitRule
from tidewire.model.formulas.tree import COMPARISONS

__all__ = ["unit_by_rule", "unit_of_operation"]

_MAX_BYTES: Final = 63


def unit_by_rule(rule: UnitRule, unit: str) -> str:
    """Return the unit of a function's result, by the unit of its operand."""
    if rule == "per second":
        return _per_second(unit)
    return unit if rule == "same" else "1" if rule == "ratio" else "s" if rule == "seconds" else ""


def unit_of_operation(operator: str, left: str | None, right: str | None) -> str:
    """Return the unit of an operation without bool."""
    if operator == "%" or operator in COMPARISONS:
        return (right if left is None else left) or ""
    if operator in ("+", "-"):
        same = left is None or right is None or left == right
        return ((right if left is None else left) or "") if same else ""
    if operator == "*":
        if left is None or right is None:
            return (right if left is None else left) or ""
        return right if left == "1" else left if right == "1" else ""
    if operator == "/" and left is not None:
        if right is None or right == "1":
            return left
        return "1" if left == right and left else ""
    return ""


def _per_second(unit: str) -> str:
    text = "1" if unit == "s" else "/s" if unit == "1" else f"{unit}/s"
    return text if len(text.encode()) <= _MAX_BYTES else ""
