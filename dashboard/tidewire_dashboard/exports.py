"""Serves exports: files that a viewer asked for, each at a one-time address that is valid for a minute."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

from tornado.web import RequestHandler

from tidewire.errors import LimitExceeded, ServiceRefused, ServiceUnavailable
from tidewire.livestore.series import Series
from tidewire.model.table_writers import TABLE_FORMATS, encode_table
from tidewire_dashboard.analysis import Readings

__all__ = ["Export", "ExportFile", "Exports"]

_GOOD_S: Final = 60.0
_MOST: Final = 1_000


class Export(NamedTuple):
    """The content of one file."""

    series: Sequence[Series]
    start_ms: float
    end_ms: float
    kind: str  # a key of `TABLE_FORMATS`


class Exports:
    """Holds the exports that were asked for and not fetched yet.

    Args:
        readings: where they come from.
    """

    def __init__(self, readings: Readings) -> None:
        self.readings = readings
        self._asked: dict[str, tuple[float, Export]] = {}

    def issue(self, export: Export) -> str:
        """Return the last part of the address at which the file can be fetched, once, within a minute."""
        now_s = time.monotonic()
        for key in [key for key, (asked_s, _) in self._asked.items() if now_s - asked_s > _GOOD_S]:
            del self._asked[key]
        while len(self._asked) >= _MOST:
            del self._asked[next(iter(self._asked))]
        key = f"{secrets.token_urlsafe(18)}.{TABLE_FORMATS[export.kind].suffixes[0]}"
        self._asked[key] = (now_s, export)
        return key

    def claim(self, key: str) -> Export | None:
        """Return an export once; its address is invalid afterwards."""
        asked_s, export = self._asked.pop(key, (0.0, None))
        return export if time.monotonic() - asked_s <= _GOOD_S else None


class ExportFile(RequestHandler):
    """Serves the file of a one-time address."""

    def initialize(self, exports: Exports) -> None:
        """Take what the route gives."""
        self._exports = exports

    async def get(self, key: str) -> None:
        """Read the readings, encode them and send the file."""
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Cache-Control", "no-store")
        export = self._exports.claim(key)
        if export is None:
            self._refuse(410, "This download was fetched already, or was asked for more than a minute ago. Ask again.")
            return
        try:
            table = await self._exports.readings.read_table(export.series, export.start_ms, export.end_ms)
        except LimitExceeded as error:
            self._refuse(413, str(error))
            return
        except (ServiceUnavailable, ServiceRefused) as error:
            self._refuse(503, str(error))
            return
        form = TABLE_FORMATS[export.kind]
        body = await asyncio.to_thread(encode_table, form, table)
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(export.end_ms / 1e3))
        self.set_header("Content-Type", form.media_type)
        self.set_header("Content-Disposition", f'attachment; filename="tidewire-{stamp}.{form.suffixes[0]}"')
        self.finish(body)

    def _refuse(self, status: int, reason: str) -> None:
        self.set_status(status)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(reason + "\n")
