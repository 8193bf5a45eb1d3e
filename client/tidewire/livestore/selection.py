"""Writes which label sets some series have and others do not, as the address of a deck has it (`sel=`); no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import quote

__all__ = ["Selection", "selection_of"]


class Selection(NamedTuple):
    """Terms that hold for some series.

    Attributes:
        text: ``az=az1|az2,host=web-1``: each term holds by any of its values; names and values are escaped.
        more: how many other series they hold for as well, since no label tells these from the ones that are meant.
    """

    text: str
    more: int


def selection_of(meant: Sequence[Mapping[str, str]], others: Sequence[Mapping[str, str]]) -> Selection:
    """Return terms that hold for all of some label sets, and for as few as possible of the others.

    The label that leaves fewest of the others comes first, of equal ones that with fewest values; an absent label is an
    empty one. Labels that tell nothing are left out: the terms are empty if the others have the same labels.
    """
    names = sorted({name for labels in meant for name in labels})
    values = {name: {labels.get(name, "") for labels in meant} for name in names}
    left, terms = list(others), []
    while left and names:

        def kept(name: str, left: Sequence[Mapping[str, str]] = left) -> list[Mapping[str, str]]:
            return [labels for labels in left if labels.get(name, "") in values[name]]

        best = min(names, key=lambda name: (len(kept(name)), len(values[name])))
        fewer = kept(best)
        if len(fewer) == len(left):
            break
        left = fewer
        names.remove(best)
        terms.append(f"{_escaped(best)}={'|'.join(map(_escaped, sorted(values[best])))}")
    return Selection(",".join(terms), len(left))


def _escaped(text: str) -> str:
    return quote(text, safe="/")
