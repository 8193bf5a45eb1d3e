"""Checks what a formula's parts give and take, and whether the whole can serve a chart, a record or an alert; pure."""

from __future__ import annotations

from typing import Final, Literal, NoReturn

from tidewire.errors import InvalidFormula
from tidewire.model.formulas.functions import AGGREGATORS, FUNCTIONS, MAX_PERIODS, ParameterKind
from tidewire.model.formulas.matchers import compile_expression
from tidewire.model.formulas.tree import (
    COMPARISONS,
    SET_OPERATORS,
    Aggregate,
    Binary,
    Call,
    Negation,
    Node,
    Number,
    Selector,
    Text,
    children,
)

__all__ = ["FormulaType", "Purpose", "check_purpose", "check_types"]

FormulaType = Literal["scalar", "vector", "range", "text"]
"""A number per time; at most one value per time for each label set; readings, and a text, which are only arguments."""
Purpose = Literal["chart", "record", "alert"]
_MAX_LOOK_BACK_S: Final = 31 * 86_400.0
_WINDOW_OF: Final = "use avg_over_time or last_over_time of it"


def check_purpose(node: Node, purpose: Purpose) -> FormulaType:
    """Return the type of a formula that can serve a purpose.

    Args:
        node: the tree; its types are right.
        purpose: a chart and a record take a vector or a scalar, an alert a vector in which a comparison decides what
            is there.

    Raises:
        InvalidFormula: of kind ``type`` or ``condition``.
    """
    found = check_types(node)
    if found not in (("vector",) if purpose == "alert" else ("vector", "scalar")):
        remedy = "a condition compares a metric: x > 5" if purpose == "alert" else "rate(x[5m]) or avg_over_time(x[5m])"
        _wrong(node, f"the result is a {found}", remedy)
    if purpose == "alert" and not _decides(node):
        _wrong(node, "this is there whenever its metrics are", "compare without bool: x > 5; or absent(x)", "condition")
    return found


def check_types(node: Node) -> FormulaType:
    """Return the type of a node, all below it checked.

    Raises:
        InvalidFormula: of kind ``type``, ``arguments``, ``label`` or ``regex``.
    """
    if isinstance(node, Number):
        return "scalar"
    if isinstance(node, Text):
        return "text"
    if isinstance(node, Selector):
        return "vector" if node.range_s is None else "range"
    if isinstance(node, Negation):
        found = check_types(node.operand)
        _need(node.operand, found, "scalar" if found == "scalar" else "vector", "'-'")
        return found
    if isinstance(node, Aggregate):
        return _aggregate(node)
    return _call(node) if isinstance(node, Call) else _binary(node)


def _wrong(at: Node, message: str, remedy: str = "", kind: str = "type") -> NoReturn:
    raise InvalidFormula(kind, at.position, at.end, message, remedy)


def _need(node: Node, found: FormulaType, wanted: ParameterKind, of: str) -> None:
    """Refuse an argument that is not what is wanted."""
    if wanted == "number":
        if not isinstance(node, Number):
            _wrong(node, f"{of} needs a plain number here", "such as 0.5 or 30s")
    elif wanted == "range":
        if not isinstance(node, Selector):
            _wrong(
                node, f"{of} needs readings, and this is a {found}",
                "the readings of a metric, x[5m]: rate first, then sum; or record the inner formula",
            )  # fmt: skip
    elif found != wanted:
        remedy = _WINDOW_OF if found == "range" else "vector(…) makes one" if wanted == "vector" != found else ""
        _wrong(node, f"{of} needs a {wanted}, and this is a {found}", remedy)


def _aggregate(node: Aggregate) -> FormulaType:
    wanted: tuple[ParameterKind, ...] = ("scalar", "vector") if AGGREGATORS[node.name].parameter else ("vector",)
    if len(node.arguments) != len(wanted):
        _wrong(node, f"{node.name} takes {_counted(len(wanted))}", AGGREGATORS[node.name].signature, "arguments")
    for argument, kind in zip(node.arguments, wanted, strict=True):
        _need(argument, check_types(argument), kind, node.name)
    return "vector"


def _call(node: Call) -> FormulaType:
    function = FUNCTIONS[node.name]
    given, least, most = len(node.arguments), function.least, len(function.parameters)
    if given < least or (given > most and not function.repeats):
        many = f"at least {least}" if function.repeats else f"{least} to {most}" if least < most else ""
        takes = f"{many} arguments" if many else _counted(least)
        _wrong(node, f"{node.name} takes {takes}", function.signature, "arguments")
    for at, argument in enumerate(node.arguments):
        _need(argument, check_types(argument), function.parameter(at).kind, node.name)
    if function.needs_range and isinstance(node.arguments[0], Selector) and node.arguments[0].range_s is None:
        _wrong(node.arguments[0], f"{node.name} needs a range", "write one, such as x[1h]")
    if node.name == "baseline":
        _check_baseline(node)
    elif node.name in ("label_replace", "label_join"):
        _check_relabelling(node)
    return "scalar" if function.scalar else "vector"


def _counted(count: int) -> str:
    return "no argument" if not count else "1 argument" if count == 1 else f"{count} arguments"


def _check_baseline(node: Call) -> None:
    period_s, count = [argument.value for argument in node.arguments[1:] if isinstance(argument, Number)] + [
        86_400.0, 7.0
    ][len(node.arguments) - 1 :]  # fmt: skip
    if not (
        period_s > 0 and 1 <= count <= MAX_PERIODS and count == int(count) and period_s * count <= _MAX_LOOK_BACK_S
    ):
        _wrong(
            node, f"baseline takes a period and 1 to {MAX_PERIODS} of them, 31d in all", "baseline(x[5m], 1d, 7)",
            "arguments",
        )  # fmt: skip


def _check_relabelling(node: Call) -> None:
    target = node.arguments[1]
    if isinstance(target, Text) and (not target.value or "/" in target.value or "*" in target.value):
        _wrong(target, "expected the name of a label", "a name without '/' and '*'", "label")
    if node.name == "label_replace" and isinstance(expression := node.arguments[4], Text):
        compile_expression(expression.value, expression.position, expression.end)


def _binary(node: Binary) -> FormulaType:
    left, right = check_types(node.left), check_types(node.right)
    for operand, found in ((node.left, left), (node.right, right)):
        wanted: ParameterKind = "scalar" if found == "scalar" and node.operator not in SET_OPERATORS else "vector"
        _need(operand, found, wanted, f"'{node.operator}'")
    scalars = (left == "scalar") + (right == "scalar")
    if node.operator in COMPARISONS and scalars == 2 and not node.as_bool:
        _wrong(node, "two numbers are compared with bool", f"{node.operator} bool")
    if node.matching and scalars:
        _wrong(node, f"'{node.matching}' is for two vectors")
    if node.group and node.matching == "on" and set(node.include) & set(node.labels):
        _wrong(node, f"a label is in both on and {node.group}")
    return "scalar" if scalars == 2 else "vector"


def _decides(node: Node) -> bool:
    """Tell whether a comparison or an absence decides if the result is there."""
    if isinstance(node, Call):
        if node.name in ("absent", "absent_over_time"):
            return True
        if node.name in ("scalar", "vector"):
            return False
    if isinstance(node, Binary):
        if node.as_bool:
            return False
        if node.operator in COMPARISONS:
            return True
        if node.operator == "or":
            return _decides(node.left) and _decides(node.right)
        if node.operator == "unless":
            return _decides(node.left)
    return any(_decides(child) for child in children(node))
