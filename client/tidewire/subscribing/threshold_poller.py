"""Polls the thresholds of a service and hands them on when they change."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

from tidewire.errors import ServiceRefused, ServiceUnavailable
from tidewire.model.answers import ThresholdsJson
from tidewire.model.threshold import Threshold
from tidewire.subscribing.service_client import AsyncServiceClient

__all__ = ["ThresholdPoller"]

_log = logging.getLogger("tidewire")
_EVERY_S: Final = 3.0


class ThresholdPoller:
    """Reads `/v1/thresholds`; to be used in one event loop.

    Args:
        client: the service.
        on_thresholds: called with all thresholds when they are first known and when they change.

    Attributes:
        etag: the version last read, in quotes; empty before the first.
    """

    def __init__(self, client: AsyncServiceClient, on_thresholds: Callable[[Sequence[Threshold]], None]) -> None:
        self.etag = ""
        self._client = client
        self._on_thresholds = on_thresholds

    async def refresh(self) -> None:
        """Read the thresholds once, if there are newer ones.

        Raises:
            ServiceUnavailable: no answer, or the service asks for a pause.
            ServiceRefused: the service refuses the request.
        """
        headers = {"if-none-match": self.etag} if self.etag else {}
        answer = await self._client.fetch("GET", "/v1/thresholds", headers=headers)
        if answer.status == 409:  # another program has overwritten them: what is saved next replaces that
            self.etag = answer.headers.get("etag", "")
        if answer.checked().status == 304:
            return
        thresholds = answer.decoded(ThresholdsJson).thresholds
        self.etag = answer.headers.get("etag", "")
        self._on_thresholds(thresholds)

    async def run(self) -> None:
        """Read the thresholds every three seconds until cancelled; after an error the last ones stay in force."""
        failure = ""
        while True:
            try:
                await self.refresh()
                failure = ""
            except (ServiceUnavailable, ServiceRefused) as error:
                if str(error) != failure:  # once, not every few seconds
                    failure = str(error)
                    _log.info("cannot read the thresholds of %s: %s", self._client.shown_base, error)
            await asyncio.sleep(_EVERY_S)
