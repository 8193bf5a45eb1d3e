"""Serves exports: files that viewers requested, each at a one-time address that is valid for a minute."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

from tornado.web import RequestHandler

from tidewire.errors import InvalidFormula, LimitExceeded, ServiceRefused, ServiceUnavailable
from tidewire.model.table_writers import TABLE_FORMATS, encode_table
from tidewire_dashboard.analysis import Part, table_of

__all__ = ["Export", "ExportFile", "Exports"]

_VALID_S: Final = 60.0
_MAX_EXPORTS: Final = 1_000  # the oldest is dropped first


class Export(NamedTuple):
    """One file: what reads its content, the end of its window in Unix ms, and its format."""

    read: Callable[[], Awaitable[Sequence[Part]]]
    end_ms: float
    kind: str  # a key of `TABLE_FORMATS`


class Exports:
    """Holds the exports that were requested and not fetched yet."""

    def __init__(self) -> None:
        self._waiting: dict[str, tuple[float, Export]] = {}

    def issue(self, export: Export) -> str:
        """Return the last part of the address at which the file can be fetched, once, within a minute."""
        now_s = time.monotonic()
        for key in [key for key, (issued_s, _) in self._waiting.items() if now_s - issued_s > _VALID_S]:
            del self._waiting[key]
        while len(self._waiting) >= _MAX_EXPORTS:
            del self._waiting[next(iter(self._waiting))]
        key = f"{secrets.token_urlsafe(18)}.{TABLE_FORMATS[export.kind].suffixes[0]}"
        self._waiting[key] = (now_s, export)
        return key

    def claim(self, key: str) -> Export | None:
        """Return an export once; its address is invalid afterwards."""
        issued_s, export = self._waiting.pop(key, (0.0, None))
        return export if time.monotonic() - issued_s <= _VALID_S else None


class ExportFile(RequestHandler):
    """Serves the file of a one-time address."""

    def initialize(self, exports: Exports) -> None:
        """Receive the arguments of the route."""
        self._exports = exports

    async def get(self, key: str) -> None:
        """Read the readings, encode them and send the file."""
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Cache-Control", "no-store")
        export = self._exports.claim(key)
        if export is None:
            self._refuse(410, "This file was already downloaded, or requested over a minute ago. Request it again.")
            return
        try:
            parts = await export.read()
        except LimitExceeded as error:
            self._refuse(413, str(error))
            return
        except InvalidFormula as error:
            self._refuse(422, str(error))
            return
        except (ServiceUnavailable, ServiceRefused) as error:
            self._refuse(503, str(error))
            return
        table = await asyncio.to_thread(table_of, parts)
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
