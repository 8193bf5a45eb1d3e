"""Reads a formula into its tree, by the grammar of docs/formulas.md; pure.

Operators are read by precedence (Pratt). Every call goes one level deeper, and there are `MAX_DEPTH` levels, so that
no formula exhausts the stack.
"""

from __future__ import annotations

import difflib
import math
import re
import unicodedata
from typing import Final, Literal, NoReturn, TypeVar

from tidewire.errors import InvalidFormula
from tidewire.model.formulas.functions import AGGREGATORS, FUNCTIONS, REFUSED
from tidewire.model.formulas.lexer import RESERVED, Token, read_token
from tidewire.model.formulas.matchers import METRIC, Matcher, compile_expression
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
from tidewire.model.formulas.types import check_types

__all__ = ["MAX_BYTES", "MAX_DEPTH", "MAX_NODES", "MAX_RANGE_S", "PRECEDENCE", "STAR_LABEL", "parse_formula"]

MAX_BYTES: Final = 4_096
MAX_DEPTH: Final = 100
MAX_NODES: Final = 500
MAX_RANGE_S: Final = 31 * 86_400.0
PRECEDENCE: Final = {
    "or": 1, "and": 2, "unless": 2, "==": 3, "!=": 3, "<": 3, "<=": 3, ">": 3, ">=": 3, "+": 4, "-": 4, "*": 5, "/": 5,
    "%": 5, "^": 6,
}  # fmt: skip
"""The higher, the tighter; ``^`` goes to the right, the others to the left."""
STAR_LABEL: Final = re.compile(r"\*[1-9][0-9]?")
"""The label of what a star of a pattern stood for: ``*1`` is the first."""
_SHORTER: Final = "record a part of it as a metric, or use sum over a pattern"
_MAX_NAME_BYTES: Final = 255
_BAD_CATEGORIES: Final = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
_BEHIND_A_METRIC: Final = {
    "[": "a range stands behind a metric; for a range of a formula record it as a metric",
    "offset": "offset stands behind a metric or its range",
    "{": "labels stand behind a metric",
}
_Placed = TypeVar("_Placed", Number, Text, Selector, Call, Aggregate, Negation, Binary)


def parse_formula(text: str) -> Node:
    """Return the tree of a formula, whose types are checked.

    Args:
        text: at most 4,096 bytes of UTF-8.

    Raises:
        InvalidFormula: with the place and what to write instead.
    """
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise InvalidFormula("character", error.start, error.end, "a lone surrogate is no character") from None
    if size > MAX_BYTES:
        raise InvalidFormula("length", 0, len(text), f"{size} bytes, at most {MAX_BYTES} are allowed", _SHORTER)
    parser = _Parser(text)
    node = parser.expression(1, 0)
    if (token := parser.peek()).kind != "end":
        parser.fail(token, "expected an operator or the end")
    check_types(node)
    return node


class _Parser:
    """Reads one formula; `at` is behind the words that were taken."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.nodes = 0
        self._seen: dict[tuple[int, bool], Token] = {}

    # -- words ---------------------------------------------------------------------------------------------------

    def peek(self, *, operand: bool = False) -> Token:
        key = (self.at, operand)
        token = self._seen.get(key)
        if token is None:
            self._seen.clear()
            token = self._seen[key] = read_token(self.text, self.at, operand=operand)
        return token

    def take(self, *, operand: bool = False) -> Token:
        token = self.peek(operand=operand)
        self.at = token.end
        return token

    def got(self, *texts: str, operand: bool = False) -> Token | None:
        """Take the next word if it is one of these."""
        token = self.peek(operand=operand)
        if token.kind in ("sign", "word") and token.text.lower() in texts:
            self.at = token.end
            return token
        return None

    def need(self, sign: str, remedy: str = "") -> None:
        if self.got(sign) is None:
            self.fail(self.peek(), f"expected '{sign}'", remedy)

    def fail(self, token: Token, expected: str, remedy: str = "") -> NoReturn:
        found = f"found '{token.text}'" if token.text else "the formula ends"
        remedy = remedy or _BEHIND_A_METRIC.get(token.text.lower(), "")
        raise InvalidFormula("syntax", token.position, token.end, f"{expected}, {found}", remedy)

    def made(self, node: _Placed) -> _Placed:
        """Count a node, and set its depth."""
        self.nodes += 1
        depth = 1 + max((child.depth for child in children(node)), default=0)
        object.__setattr__(node, "depth", depth)  # it is ours, and nobody has seen it
        if self.nodes > MAX_NODES:
            raise InvalidFormula("nodes", node.position, node.end, f"more than {MAX_NODES} parts", _SHORTER)
        if depth > MAX_DEPTH:
            raise InvalidFormula("depth", node.position, node.end, f"nested deeper than {MAX_DEPTH} levels", _SHORTER)
        return node

    # -- expressions ---------------------------------------------------------------------------------------------

    def expression(self, least: int, depth: int) -> Node:
        """Read operands and the operators between them that bind at least so tightly."""
        left = self.operand(depth)
        while True:
            token = self.peek()
            operator = token.text.lower()
            power = PRECEDENCE.get(operator, 0) if token.kind in ("sign", "word") else 0
            if not power or power < least:
                return left
            self.take()
            left = self.operation(token, operator, left, depth)

    def operation(self, token: Token, operator: str, left: Node, depth: int) -> Node:
        """Read what follows an operator."""
        as_bool = operator in COMPARISONS and self.got("bool", operand=True) is not None
        matching: Literal["", "on", "ignoring"] = ""
        group: Literal["", "group_left", "group_right"] = ""
        labels: tuple[str, ...] = ()
        include: tuple[str, ...] = ()
        if (clause := self.got("on", "ignoring", operand=True)) is not None:
            matching = "on" if clause.text.lower() == "on" else "ignoring"
            labels = self.labels()
            if (side := self.got("group_left", "group_right", operand=True)) is not None:
                if operator in SET_OPERATORS:
                    self.fail(side, f"'{operator}' takes no group")
                group = "group_left" if side.text.lower() == "group_left" else "group_right"
                include = self.labels() if self.peek(operand=True).text == "(" else ()
        right = self.expression(PRECEDENCE[operator] + (operator != "^"), depth + 1)
        return self.made(
            Binary(
                operator, left, right, as_bool, matching, labels, group, include,
                position=token.position, end=token.end,
            )
        )  # fmt: skip

    def operand(self, depth: int) -> Node:
        token = self.take(operand=True)
        if depth > MAX_DEPTH:
            raise InvalidFormula("depth", token.position, token.end, f"nested deeper than {MAX_DEPTH} levels", _SHORTER)
        if token.kind in ("number", "duration"):
            return self.made(Number(token.number, token.kind == "duration", position=token.position, end=token.end))
        if token.kind == "text":
            return self.made(Text(token.content, position=token.position, end=token.end))
        if token.kind == "sign":
            return self.operand_sign(token, depth)
        if token.kind != "word":
            self.fail(token, "expected a metric, a number or '('")
        return self.operand_word(token, depth)

    def operand_sign(self, token: Token, depth: int) -> Node:
        if token.text in ("-", "+"):
            inner = self.expression(PRECEDENCE["^"], depth + 1)
            if token.text == "+":
                return inner
            return self.made(Negation(inner, position=token.position, end=inner.end))
        if token.text == "(":
            inner = self.expression(1, depth + 1)
            self.need(")")
            return inner
        if token.text == "{":
            return self.selector(token, None)
        star = self.text[: token.position].rstrip().endswith("*")
        remedy = 'a star within a level is quoted: {"plant/fur*"}' if star else ""
        return self.fail(token, "expected a metric, a number or '('", remedy)

    def operand_word(self, token: Token, depth: int) -> Node:
        word, after = token.text.lower(), self.peek()
        if word in AGGREGATORS and (after.text == "(" or after.text.lower() in ("by", "without")):
            return self.aggregate(token, depth)
        if after.text == "(" and word not in RESERVED:
            return self.call(token, depth)
        if word in ("inf", "nan") and after.text not in ("{", "["):
            value = math.inf if word == "inf" else math.nan  # the one NaN, so that equal trees are equal
            return self.made(Number(value, position=token.position, end=token.end))
        if word in RESERVED:
            self.fail(token, "expected a metric", f'a metric of that name is quoted: {{"{token.text}"}}')
        return self.selector(token, token.text)

    # -- functions -----------------------------------------------------------------------------------------------

    def arguments(self, depth: int) -> tuple[Node, ...]:
        self.need("(")
        found: list[Node] = []
        while self.peek(operand=True).text != ")":
            found.append(self.expression(1, depth + 1))
            if self.got(",") is None:
                break
        self.need(")", "or an operator")
        return tuple(found)

    def aggregate(self, token: Token, depth: int) -> Node:
        clause = self.got("by", "without")
        labels = self.labels() if clause else ()
        arguments = self.arguments(depth)
        if clause is None and (clause := self.got("by", "without")) is not None:
            labels = self.labels()
        without = clause is not None and clause.text.lower() == "without"
        node = Aggregate(
            token.text.lower(), arguments, tuple(sorted(labels)), without, position=token.position, end=self.at
        )
        return self.made(node)

    def call(self, token: Token, depth: int) -> Node:
        name = token.text
        if name in REFUSED:
            raise InvalidFormula("unsupported", token.position, token.end, f"{name} is not supported", REFUSED[name])
        if name not in FUNCTIONS:
            remedy, instead = _meant(name)
            raise InvalidFormula(
                "unknown_function", token.position, token.end, f"there is no function {name}", remedy, instead=instead
            )
        arguments = self.arguments(depth)
        return self.made(Call(name, arguments, position=token.position, end=self.at))

    # -- labels and selectors ------------------------------------------------------------------------------------

    def labels(self) -> tuple[str, ...]:
        """Read labels in parentheses, each once."""
        self.need("(")
        found: list[str] = []
        while self.got(")") is None:
            found.append(self.label(self.take()))
            if self.got(",") is None:
                self.need(")")
                break
        return tuple(dict.fromkeys(found))

    def label(self, token: Token) -> str:
        """Return the label that begins with a word."""
        name = token.content if token.kind == "text" else token.text if token.kind == "word" else ""
        end = token.end
        if token.text == "*" and (number := self.peek()).kind == "number" and number.position == token.end:
            self.take()
            name, end = f"*{number.text}", number.end
        if not name or "/" in name or ("*" in name and STAR_LABEL.fullmatch(name) is None):
            raise InvalidFormula(
                "label",
                token.position,
                end,
                "expected the name of a label",
                'site, "any text", or *1 for the first star',
            )
        return unicodedata.normalize("NFC", name)

    def selector(self, token: Token, name: str | None) -> Node:
        """Read what follows a name, or the '{' of a selector without one."""
        named = token
        matchers: list[Matcher] = []
        if name is None or self.got("{") is not None:
            while self.got("}") is None:
                word = self.take()
                if word.kind == "text" and self.peek().text in (",", "}"):
                    if name is not None:
                        raise InvalidFormula(
                            "syntax",
                            word.position,
                            word.end,
                            "a second name",
                            "one name in quotes, or a label before '='",
                        )
                    name, named = unicodedata.normalize("NFC", word.content), word
                else:
                    matchers.append(self.matcher(word))
                if self.got(",") is None:
                    self.need("}")
                    break
        if name is not None:
            name = _checked_name(name, named)
        name, matchers = self.named(name, named, matchers)
        if name is None and all(matcher.holds("") for matcher in matchers):
            raise InvalidFormula(
                "selector", token.position, self.at, "this selects everything", "name a metric, or what a label must be"
            )
        range_s, offset_s = None, 0.0
        if self.got("[") is not None:
            range_s = self.duration()
            self.need("]")
        if self.got("offset") is not None:
            offset_s = self.duration()
        return self.made(
            Selector(name, tuple(sorted(set(matchers))), range_s, offset_s, position=token.position, end=self.at)
        )

    def matcher(self, word: Token) -> Matcher:
        label, operator, value = self.label(word), self.take(), self.take()
        if operator.text not in ("=", "!=", "=~", "!~"):
            self.fail(operator, "expected =, !=, =~ or !~")
        if value.kind != "text":
            self.fail(value, "expected a text in quotes", f'{label}{operator.text}"…"')
        if operator.text in ("=~", "!~"):
            compile_expression(value.content, value.position, value.end)
        return Matcher(label, operator.text, value.content)

    def named(self, name: str | None, token: Token, matchers: list[Matcher]) -> tuple[str | None, list[Matcher]]:
        """Take a name that is written as a matcher as what it is."""
        exact = next((each for each in matchers if each.label == METRIC and each.operator == "="), None)
        if exact is None or name is not None or "*" in exact.text:
            return name, matchers
        return _checked_name(exact.text, token), [each for each in matchers if each != exact]

    def duration(self) -> float:
        token = self.take(operand=True)
        if token.kind != "duration" or not 0 < token.number <= MAX_RANGE_S:
            raise InvalidFormula(
                "duration",
                token.position,
                token.end,
                "expected a duration of at most 31d",
                "a number and a unit: 90s, 5m, 1h30m",
            )
        return token.number


def _meant(name: str) -> tuple[str, str]:
    """Return what somebody may have meant by an unknown function: in words, and what to write in its place."""
    cut = max(name.rfind("/"), name.rfind("-"))
    if cut > 0:
        return f"to calculate, write spaces: {name[:cut]} {name[cut]} {name[cut + 1 :]}(…)", ""
    near = difflib.get_close_matches(name.lower()[:64], [*FUNCTIONS, *AGGREGATORS], n=1, cutoff=0.6)
    return (f"did you mean {near[0]}?", near[0]) if near else ("see the list of functions", "")


def _checked_name(name: str, token: Token) -> str:
    """Return a metric or pattern whose neighbouring ``**`` are one."""
    levels = name.split("/")
    wrong = ""
    if not name:
        wrong = "is empty"
    elif len(name.encode()) > _MAX_NAME_BYTES:
        wrong = f"is longer than {_MAX_NAME_BYTES} bytes"
    elif "" in levels:
        wrong = "has an empty level"
    elif any("**" in level and level != "**" for level in levels):
        wrong = "has '**' beside other characters of a level"
    elif any(char in "?[]" or unicodedata.category(char) in _BAD_CATEGORIES for char in name):
        wrong = "holds a character that no name may have"
    if wrong:
        raise InvalidFormula(
            "name", token.position, token.end, f"the name {wrong}", "levels between slashes: plant/*/power"
        )
    return "/".join(level for at, level in enumerate(levels) if level != "**" or levels[at - 1 : at] != ["**"])
