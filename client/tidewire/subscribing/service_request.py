"""Query parameters and headers of requests to the service; no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from tidewire.model.batch import checked_labels
from tidewire.model.pattern import compile_pattern

__all__ = ["Params", "bearer", "selection"]

Params: TypeAlias = Sequence[tuple[str, str | int | float | bool | None]]


def selection(patterns: Sequence[str], labels: Mapping[str, str] | None) -> list[tuple[str, str | int | float | None]]:
    """Return the parameters that select series: all of them if no pattern is given.

    Raises:
        InvalidInput: a pattern or label that can never work.
    """
    params: list[tuple[str, str | int | float | None]] = [
        ("metric", compile_pattern(pattern).text) for pattern in patterns or ("**",)
    ]
    return params + [("label", f"{name}:{value}") for name, value in checked_labels(labels).items()]


def bearer(token: str) -> dict[str, str]:
    """Return the header that carries a bearer token; none for an empty one."""
    return {"authorization": f"Bearer {token}"} if token else {}
