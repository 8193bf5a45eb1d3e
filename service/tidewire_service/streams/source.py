"""What a stream needs of whatever it hands out: the hub of the service, or the relay of an edge."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Iterable, Mapping
from typing import Any, Protocol

from tidewire_service.hub.subscription import OnSlow, Sink

__all__ = ["Part", "Place", "Source"]


class Part(Protocol):
    """What catches up by itself and is live then; a `Subscription` is one.

    Its operations are generators that yield effects; the source that made it performs them.
    """

    @property
    def owner(self) -> Any:
        """The place that it belongs to."""

    @property
    def slow(self) -> bool:
        """Whether it fell back because the socket was full."""

    @property
    def on_slow(self) -> OnSlow:
        """What to do when the socket is full."""

    def run(self) -> Generator[Any, Any, None]:
        """Say hello, replay, and catch up until live."""

    def catch_up(self) -> Generator[Any, Any, None]:
        """Continue from what the socket had, until live."""

    def fall_back(self) -> None:
        """Catch up from what was handed, if it is live: the socket is full."""


class Place(Protocol):
    """One subscriber's place in a source."""

    @property
    def parts(self) -> Iterable[Part]:
        """What it consists of."""

    def written(self) -> None:
        """Take note that the socket has accepted what was parked."""


class Source(Protocol):
    """Makes places, and drives what catches up in them.

    Attributes:
        on_fall_back: called with each part that was live and now has to catch up.
    """

    on_fall_back: Callable[[Any], None] | None

    def attach(
        self,
        request: Any,
        sink: Sink,
        *,
        narrowed_to: tuple[str, ...],
        matched: Mapping[int, Any] | None = None,
    ) -> Place:
        """Return a new place, whose parts the caller begins with `run`."""

    def detach(self, subscription: Any) -> None:
        """Forget a place."""

    async def catch_up(
        self,
        part: Any,
        effects: Generator[Any, Any, None],
        drained: Callable[[], Coroutine[Any, Any, None]],
        pending: Any = None,
    ) -> None:
        """Drive a part until it is live; `pending` is the effect that it has already yielded."""

    def count(self, name: str) -> None:
        """Count one more of what happened."""
