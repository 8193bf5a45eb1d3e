"""What may stand at a place in a formula that is being written: metrics, labels, their values, functions; pure.

The text before the place is read by what opens last in it: a brace, a quote, a list of labels. It need not be a whole
formula. A name that must be quoted is offered in its quotes.
"""

from __future__ import annotations

import heapq
import json
import re
from collections.abc import Iterable, Mapping
from typing import Final, Literal, NamedTuple

from tidewire.model.formulas.functions import AGGREGATORS, FUNCTIONS
from tidewire.model.formulas.lexer import is_bare_name

__all__ = ["Completion", "Completions", "complete"]

CompletionKind = Literal["metric", "label", "value", "function"]
MAX_COMPLETIONS: Final = 12
_MAX_BEFORE: Final = 4_096
_WORD: Final = re.compile(r"[\w/.:*-]*\Z")
_LIST: Final = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^()]*)\Z", re.IGNORECASE)
_VALUE: Final = re.compile(r"(\w+)\s*(?:=|!=|=~|!~)\s*\Z")


class Completion(NamedTuple):
    """One thing that may stand there.

    Attributes:
        kind: what it is.
        text: what is written in the place of the word.
        shown: how it is listed.
        meaning: one line about it.
        back: how many characters before its end the cursor goes, such as into the parentheses.
    """

    kind: CompletionKind
    text: str
    shown: str
    meaning: str
    back: int = 0


class Completions(NamedTuple):
    """What may stand at a place; the best first, at most twelve.

    Attributes:
        start: where the word begins that a choice replaces, in code points.
        items: what there is.
    """

    start: int
    items: list[Completion]


def complete(text: str, position: int, series: Iterable[tuple[str, Mapping[str, str]]]) -> Completions:
    """Return what may stand at a place of a formula.

    Args:
        text: the formula as far as it is written.
        position: of the cursor, in code points.
        series: metric and labels of those that may be named.
    """
    before = text[max(0, position - _MAX_BEFORE) : position]
    opened = _opened(before)
    if opened is not None and opened.quote:
        inside = before[opened.at + 1 :]
        name = _VALUE.search(before[: opened.at])
        if opened.brace < 0 or name is None:
            return Completions(position - len(inside), _metrics(inside, series, quoted=True))
        return Completions(
            position - len(inside), _values(inside, name[1], _word_before(before[: opened.brace]), series)
        )
    word = _word_before(before)
    start = position - len(word)
    if opened is not None and opened.brace >= 0:
        return Completions(start, _labels(word, _word_before(before[: opened.brace]), series, equals=True))
    if _LIST.search(before):
        return Completions(start, _labels(word, "", series, equals=False))
    functions = _functions(word) if word else []
    metrics = _metrics(word, series, quoted=False)
    return Completions(start, [*functions[: MAX_COMPLETIONS // 2], *metrics][:MAX_COMPLETIONS])


class _Opened(NamedTuple):
    """What is open at the end of a text: the place of a brace, -1 for none; and of a quote inside of it or alone."""

    brace: int
    at: int
    quote: str


def _opened(text: str) -> _Opened | None:
    brace, quote, at = -1, "", -1
    escaped = False
    for i, char in enumerate(text):
        if quote:
            if escaped:
                escaped = False
            elif char == "\\":
                escaped = True
            elif char == quote:
                quote = ""
        elif char in "\"'":
            quote, at = char, i
        elif char == "{":
            brace = i
        elif char == "}":
            brace = -1
    return _Opened(brace, at, quote) if quote or brace >= 0 else None


def _word_before(text: str) -> str:
    """Return the word at the end of a text, such as the metric in front of a brace; empty if there is none."""
    word = _WORD.search(text)
    return word[0] if word else ""


def _rank(text: str, word: str) -> tuple[int, int, str] | None:
    """Return how well a text suits a word, the smaller the better; None if it does not."""
    lower, wanted = text.lower(), word.lower()
    at = lower.find(wanted)
    if at < 0:
        return None
    begins = 0 if at == 0 else 1 if lower[at - 1] in "/_. -" else 2
    return (begins, len(text), lower)


def _best(word: str, texts: Iterable[str]) -> list[str]:
    ranked = ((rank, text) for text in texts if (rank := _rank(text, word)) is not None)
    return [text for _, text in heapq.nsmallest(MAX_COMPLETIONS, ranked)]


def _metrics(word: str, series: Iterable[tuple[str, Mapping[str, str]]], *, quoted: bool) -> list[Completion]:
    counts: dict[str, int] = {}
    for metric, _ in series:
        counts[metric] = counts.get(metric, 0) + 1
    found = []
    for metric in _best(word.replace("*", ""), counts):
        bare = is_bare_name(metric)
        text = metric if bare or quoted else "{" + json.dumps(metric, ensure_ascii=False) + "}"
        count = counts[metric]
        found.append(Completion("metric", text, metric, "1 series" if count == 1 else f"{count} series"))
    return found


def _labels(
    word: str, metric: str, series: Iterable[tuple[str, Mapping[str, str]]], *, equals: bool
) -> list[Completion]:
    values: dict[str, set[str]] = {}
    for name, labels in series:
        if not metric or name == metric or "*" in metric:
            for label, value in labels.items():
                values.setdefault(label, set()).add(value)
    found = []
    for label in _best(word, values):
        count = len(values[label])
        text = f'{label}=""' if equals else label
        meaning = "1 value" if count == 1 else f"{count} values"
        found.append(Completion("label", text, label, meaning, 1 if equals else 0))
    return found


def _values(word: str, label: str, metric: str, series: Iterable[tuple[str, Mapping[str, str]]]) -> list[Completion]:
    counts: dict[str, int] = {}
    for name, labels in series:
        if (not metric or name == metric or "*" in metric) and label in labels:
            counts[labels[label]] = counts.get(labels[label], 0) + 1
    return [
        Completion("value", json.dumps(value, ensure_ascii=False)[1:-1], value, f"{counts[value]} series")
        for value in _best(word, counts)
    ]


def _functions(word: str) -> list[Completion]:
    known = {name: (one.signature, one.meaning) for name, one in FUNCTIONS.items()}
    known |= {name: (one.signature, one.meaning) for name, one in AGGREGATORS.items()}
    return [
        Completion("function", f"{name}()", known[name][0], known[name][1], 1)
        for name in _best(word, known)
        if name.startswith(word.lower())
    ]
