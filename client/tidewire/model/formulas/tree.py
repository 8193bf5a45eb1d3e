"""The tree of a formula. Two formulas that mean the same by the grammar are equal, wherever their words stand; pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from tidewire.model.formulas.matchers import Matcher

__all__ = [
    "COMPARISONS",
    "SET_OPERATORS",
    "Aggregate",
    "Binary",
    "Call",
    "Negation",
    "Node",
    "Number",
    "Selector",
    "Text",
    "children",
    "walk",
]

COMPARISONS: Final = frozenset(("==", "!=", "<", "<=", ">", ">="))
SET_OPERATORS: Final = frozenset(("and", "or", "unless"))


@dataclass(frozen=True, kw_only=True)
class _Placed:
    """What every node has.

    Attributes:
        position: of the first character that an error about it marks; of an operation that of its operator.
        end: of the character behind the last one that it marks.
        depth: levels of nodes from here down, 1 for a leaf.
    """

    position: int = field(compare=False, repr=False)
    end: int = field(compare=False, repr=False)
    depth: int = field(default=1, compare=False, repr=False)


@dataclass(frozen=True)
class Number(_Placed):
    """A number, or a duration in seconds."""

    value: float
    duration: bool = field(default=False, compare=False)  # how it is written


@dataclass(frozen=True)
class Text(_Placed):
    """A text in quotes."""

    value: str


@dataclass(frozen=True)
class Selector(_Placed):
    """Some series: all that match.

    Attributes:
        name: a metric or a pattern; None for every metric.
        matchers: sorted, each once.
        range_s: the window before each time; None if it was left out.
        offset_s: so much earlier.
    """

    name: str | None
    matchers: tuple[Matcher, ...] = ()
    range_s: float | None = None
    offset_s: float = 0.0


@dataclass(frozen=True)
class Call(_Placed):
    """A function of its arguments."""

    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True)
class Aggregate(_Placed):
    """An aggregation over series.

    Attributes:
        name: the aggregator.
        arguments: the vector, behind a number where the aggregator takes one.
        labels: sorted; the groups have equal values of these, or of all others.
        without: of all others.
    """

    name: str
    arguments: tuple[Node, ...]
    labels: tuple[str, ...] = ()
    without: bool = False


@dataclass(frozen=True)
class Negation(_Placed):
    """A unary minus."""

    operand: Node


@dataclass(frozen=True)
class Binary(_Placed):
    """An operation on two operands.

    Attributes:
        operator: in lower case.
        as_bool: a comparison that gives 0 or 1.
        matching: the clause that pairs series, ``""`` for equal labels.
        labels: of that clause.
        group: which side may have many series for one of the other.
        include: labels that the many take from the one.
    """

    operator: str
    left: Node
    right: Node
    as_bool: bool = False
    matching: Literal["", "on", "ignoring"] = ""
    labels: tuple[str, ...] = ()
    group: Literal["", "group_left", "group_right"] = ""
    include: tuple[str, ...] = ()


Node: TypeAlias = Number | Text | Selector | Call | Aggregate | Negation | Binary


def children(node: Node) -> tuple[Node, ...]:
    """Return the nodes right below one, in the order of the formula."""
    if isinstance(node, Call | Aggregate):
        return node.arguments
    if isinstance(node, Binary):
        return node.left, node.right
    return (node.operand,) if isinstance(node, Negation) else ()


def walk(node: Node) -> Iterator[Node]:
    """Yield a node and all below it, in the order of the formula; without recursion."""
    waiting = [node]
    while waiting:
        found = waiting.pop()
        yield found
        waiting.extend(reversed(children(found)))
