"""Changes the labels of a vector, as label_replace and label_join do; pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from tidewire.evaluation.vectors import Labels, Vector
from tidewire.model.formulas.matchers import compile_expression
from tidewire.model.formulas.tree import Call, Text

__all__ = ["relabelled"]

_DOLLAR: Final = re.compile(r"\$(\d+|\{\d+\}|\$)", re.ASCII)


def relabelled(node: Call, vector: Vector) -> Vector:
    """Return a vector with other labels; two series may have the same ones then."""
    target, *words = [each.value for each in node.arguments[1:] if isinstance(each, Text)]
    found = [_changed(node.name, labels, target, words) for labels in vector.labels]
    return vector._replace(labels=found)


def _changed(name: str, labels: Labels, target: str, words: Sequence[str]) -> Labels:
    if name == "label_join":
        text = words[0].join(labels.get(label, "") for label in words[1:])
    else:
        template, source, expression = words
        fits = compile_expression(expression, 0, 0).fullmatch(labels.get(source, ""))
        if fits is None:
            return labels
        text = _expanded(template, (fits[0], *fits.groups("")))
    return {label: value for label, value in {**labels, target: text}.items() if value}


def _expanded(template: str, groups: Sequence[str]) -> str:
    """Return a replacement with $1, ${1}, $0 and $$ filled in; a group that is not there is empty."""

    def filled(found: re.Match[str]) -> str:
        word = found[1].strip("{}")
        if word == "$":
            return "$"
        return groups[int(word)] if len(word) < 4 and int(word) < len(groups) else ""

    return _DOLLAR.sub(filled, template)
