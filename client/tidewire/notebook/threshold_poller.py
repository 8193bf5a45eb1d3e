"""The thresholds in force, kept current in the alarms of one notebook chart."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import httpx
import msgspec

from tidewire.livestore.alarms import Alarms
from tidewire.model.threshold import Threshold

__all__ = ["keep_thresholds"]

_log = logging.getLogger("tidewire")
_EVERY_S: Final = 5.0
_TIMEOUT_S: Final = 5.0
_MAX_BYTES: Final = 8 << 20


class _Thresholds(msgspec.Struct):
    thresholds: list[Threshold]


async def keep_thresholds(url: str, token: str, alarms: Alarms) -> None:
    """Read the thresholds of a service again and again, until cancelled; what cannot be read leaves the last ones."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    etag = unread = ""
    async with httpx.AsyncClient(base_url=url, timeout=_TIMEOUT_S, headers=headers, trust_env=False) as http:
        while True:
            try:
                answer = await http.get("/v1/thresholds", headers={"If-None-Match": etag} if etag else {})
                if answer.status_code != 304:
                    answer.raise_for_status()
                    alarms.set(msgspec.json.decode(answer.content[:_MAX_BYTES], type=_Thresholds).thresholds)
                    etag = answer.headers.get("etag", "")
                unread = ""
            except (httpx.HTTPError, msgspec.MsgspecError) as error:
                if str(error) != unread:  # once, not every few seconds
                    unread = str(error)
                    _log.info("the thresholds of %s cannot be read: %s", url, error or type(error).__name__)
            await asyncio.sleep(_EVERY_S)
