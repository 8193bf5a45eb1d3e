"""A formula that viewers have open: its series, and the rows of its summaries, as they know them; no I/O."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from tidewire.evaluation.vectors import Labels, bare, sorting
from tidewire.livestore.messages import FormulaSeries, FormulaState
from tidewire.livestore.store import Store
from tidewire.livestore.summary import Row, RowKey, SummaryKind
from tidewire.model.batch import series_key
from tidewire.model.formulas.matchers import METRIC
from tidewire.model.formulas.tree import Node

__all__ = ["EVERYTHING", "FormulaAsker", "FormulaKey", "OpenFormula"]

_MOST_ROWS: Final = 512  # of fixed windows of one formula, besides those of its live ones: a heat map has up to 41
_ROLE_COLOURS: Final = {"highest": 1, "changed": 2, "lowest": 5}


class FormulaAsker(Protocol):
    """Whoever asks for a formula, or for runs."""

    @property
    def narrowed_to(self) -> tuple[str, ...]:
        """The patterns of the metrics that it may read, sorted; empty if it may read everything."""

    def may_see(self, metric: str) -> bool:
        """Tell whether it may read a metric."""


class _Everything:
    """May read all metrics."""

    narrowed_to: tuple[str, ...] = ()

    def may_see(self, metric: str) -> bool:
        return True


EVERYTHING: Final = _Everything()


class FormulaKey(NamedTuple):
    """Identifies a formula as it is written, in which errors have their place, and the metrics that it may read.

    With a summary, it is what is sent in the place of its series.
    """

    text: str
    seen: tuple[str, ...]
    summary: SummaryKind | None = None


class OpenFormula:
    """A formula that somebody has open.

    Attributes:
        key: what it is shared by.
        node: its tree.
        may_see: tells which metrics it may read.
        entries: the series that its results may have, by their sorted labels.
        valued: those that had a value in a window so far.
        rows: those of its summaries: of live windows, and the newest `_MOST_ROWS` others, by which a zoom has the same.
        windows: how many windows of it are open.
    """

    def __init__(self, key: FormulaKey, node: Node, asker: FormulaAsker, store: Store, numbers: Iterator[int]) -> None:
        self.key = key
        self.node = node
        self.may_see = asker.may_see
        self.entries: dict[tuple[tuple[str, str], ...], FormulaSeries] = {}
        self.valued: set[tuple[tuple[str, str], ...]] = set()
        self.rows: dict[RowKey, FormulaSeries] = {}
        self.windows = 0
        self._live: dict[Hashable, set[RowKey]] = {}  # which rows each has
        self._store = store
        self._numbers = numbers
        self._taken = 0  # styles, as bits

    def entry(self, labels: Labels, unit: str | None = None) -> FormulaSeries:
        """Return a series of a result as viewers know it; the first time it gets an index and a colour.

        Args:
            labels: of it, with the name of its metric if it has one.
            unit: its unit now, None to leave it.
        """
        key = tuple(sorting(labels))
        known = self.entries.get(key)
        if known is None:
            name, own = labels.get(METRIC, ""), bare(labels)
            owner = series_key(own) if own else name or self.key.text
            colour = self._store.colours.suggest(owner, self._taken)
            self._taken |= 1 << colour
            known = FormulaSeries(i=next(self._numbers), name=name, labels=own, unit=unit or "", colour=colour)
        elif unit is not None:
            known = msgspec.structs.replace(known, unit=unit)
        self.entries[key] = known
        return known

    def has_value(self, labels: Labels) -> None:
        """Note that a series has a value in a window: of ``topk(3, …)`` over a thousand, few ever have."""
        self.valued.add(tuple(sorting(labels)))

    def series(self) -> list[FormulaSeries]:
        """Return the series that had a value, live or past, in the order of their labels."""
        return [self.entries[key] for key in sorted(self.valued)]

    def rows_of(self, rows: Sequence[Row], window: Hashable | None = None) -> list[FormulaSeries]:
        """Return rows of a summary as viewers know them; each gets an index the first time.

        Args:
            rows: all of one window.
            window: the live one, whose rows keep their index until it has others; None for a fixed one.
        """
        if window is not None:
            self._live[window] = {row.key for row in rows}
        found = [self._row(row) for row in rows]
        others = [key for key in self.rows if not any(key in keys for keys in self._live.values())]
        for key in others[:-_MOST_ROWS]:
            del self.rows[key]
        return found

    def _row(self, row: Row) -> FormulaSeries:
        known = self.rows.pop(row.key, None)
        if known is None:
            name, own = row.labels.get(METRIC, ""), bare(row.labels)
            colour = _ROLE_COLOURS.get(row.role, 0)
            known = FormulaSeries(
                i=next(self._numbers), name=name, labels=own, unit=row.unit, colour=colour, role=row.role
            )
        known = self.rows[row.key] = msgspec.structs.replace(known, unit=row.unit)
        return known

    def forget(self, window: Hashable) -> None:
        """Keep the rows of a live window no longer than those of others."""
        self._live.pop(window, None)

    def state(self, rows: Sequence[FormulaSeries], **figures: Any) -> FormulaState:
        """Return what there is of it, of a summary these rows, with other `figures` of the message."""
        if self.key.summary is None:
            return FormulaState(series=self.series(), **figures)
        return FormulaState(series=list(rows), summary=self.key.summary, of=len(self.valued), **figures)
