"""Creates the default publisher at the first call of `tidewire.publish`, `annotate`, `flush` or an instrument."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any

from tidewire.errors import InvalidInput
from tidewire.model.batch import ANNOTATIONS
from tidewire.publishing.publisher import Publisher

__all__ = ["annotate", "default_publisher", "flush", "publish"]

_made: list[Publisher] = []  # none or one
_lock = threading.RLock()


def default_publisher() -> Publisher:
    """Return the default publisher of this process; the first call creates it."""
    if not _made:
        with _lock:
            if not _made:
                _made.append(Publisher())
    return _made[0]


def publish(
    metric: str | Mapping[str, Any],
    value: Any = None,
    *,
    unit: str = "",
    labels: Mapping[str, str] | None = None,
    time: Any = None,
    text: Any = None,
    step: Any = None,
) -> None:
    """Publish with the default publisher, which is flushed at exit; as `Publisher.publish`."""
    default_publisher().publish(metric, value, unit=unit, labels=labels, time=time, text=text, step=step)


def annotate(
    text: str, *, metric: str = ANNOTATIONS, labels: Mapping[str, str] | None = None, time: Any = None
) -> None:
    """Publish an event, such as ``annotate("deploy v2")``: a mark below all charts, or those of its labels or metric.

    Raises:
        InvalidInput: an argument that can never work; nothing is published.
    """
    if not isinstance(text, str) or not text:
        raise InvalidInput("text", text, "expected what happened, such as 'deploy v2'")
    default_publisher().publish(metric, None, text=text, labels=labels, time=time)


def flush(timeout_s: float = 5.0) -> bool:
    """Flush the default publisher; return whether all was sent in time. As `Publisher.flush`."""
    return default_publisher().flush(timeout_s)


def _after_fork() -> None:
    global _lock  # noqa: PLW0603 - another thread of the parent may hold it, for ever in the child
    _lock = threading.RLock()


os.register_at_fork(after_in_child=_after_fork)
