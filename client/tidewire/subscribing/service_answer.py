"""Reads one answer of the service: its body within bounds, its JSON, or the error that it means; no I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from tidewire.errors import ServiceRefused, ServiceUnavailable

__all__ = ["Answer", "AnswerBody"]

_MAX_ERROR_BYTES: Final = 64 << 10  # read of an answer that is no success; it may be one without end
_SHOWN_CHARS: Final = 200  # of an answer that is no problem, such as a proxy's page
_PAUSE_S: Final = 1.0  # after 429 and 503 that name no Retry-After
_PAUSE: Final = frozenset({408, 425, 429})  # besides 5xx: the same request may succeed later
_PROBLEM: Final = "urn:tidewire:problem:"
_NEXT: Final = re.compile(r'<([^>]*)>\s*;\s*rel="?next"?')

_T = TypeVar("_T")


class Answer(NamedTuple):
    """One answer, whatever its status.

    Attributes:
        status: the HTTP status.
        headers: by name in lower case.
        body: the decompressed body; of an answer that is no success its first 64 KiB.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def succeeded(self) -> bool:
        """Tell whether the service did what it was asked; 304 is a success without a body."""
        return 200 <= self.status < 300 or self.status == 304

    @property
    def etag(self) -> str:
        """The version of what was read or written, without quotes; empty if none is named."""
        return self.headers.get("etag", "").removeprefix("W/").strip('"')

    @property
    def request_id(self) -> str:
        """The id of this request in the service's log; empty if another program answered."""
        return self.headers.get("tidewire-request", "")

    @property
    def by_service(self) -> bool:
        """Tell of an answer that is no success whether the service gave it, and not a proxy or another program."""
        return bool(self.request_id) or str(self.facts().get("type", "")).startswith(_PROBLEM)

    @property
    def next_page(self) -> str:
        """The path of the page that follows; empty on the last page."""
        found = _NEXT.search(self.headers.get("link", ""))
        return found[1] if found else ""

    @property
    def retry_after_s(self) -> float | None:
        """The pause that was asked for in whole seconds; None if none was."""
        text = self.headers.get("retry-after", "")
        return float(text) if text.isascii() and text.isdigit() else None

    @property
    def detail(self) -> str:
        """What the problem says; else the beginning of the text."""
        detail = self.facts().get("detail")
        return str(detail) if detail else self.body[: 4 * _SHOWN_CHARS].decode(errors="replace")[:_SHOWN_CHARS].strip()

    def facts(self) -> dict[str, Any]:
        """Return the body's JSON object; empty if it holds none."""
        try:
            return msgspec.json.decode(self.body, type=dict[str, Any])
        except (msgspec.MsgspecError, RecursionError):
            return {}

    def error(self) -> ServiceRefused | ServiceUnavailable:
        """Return the error that an answer other than a success means: 4xx is final, the rest may pass."""
        if self.status >= 500 or self.status in _PAUSE:
            pause_s = self.retry_after_s
            if pause_s is None:
                pause_s = _PAUSE_S if self.status in {429, 503} else 0.0
            reason = str(self.facts().get("detail") or f"HTTP {self.status} {self.detail}".strip())
            return ServiceUnavailable(reason, pause_s, self.request_id)
        rejected = self.facts().get("rejected")
        rows = tuple(row for row in rejected if isinstance(row, dict)) if isinstance(rejected, list) else ()
        return ServiceRefused(self.status, self.detail, rows, self.request_id)

    def checked(self) -> Answer:
        """Return this answer if it is a success.

        Raises:
            ServiceUnavailable: the service asks for a pause, or failed.
            ServiceRefused: the service refused the request for good.
        """
        if not self.succeeded:
            raise self.error()
        return self

    def decoded(self, kind: type[_T]) -> _T:
        """Return the JSON body as one of `tidewire.model.answers`.

        Raises:
            ServiceUnavailable: the body has another shape: another program answers there, or another version.
        """
        try:
            return msgspec.json.decode(self.body, type=kind)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise ServiceUnavailable(
                f"the answer is not that of a Tidewire service ({error}); check the URL", 0.0
            ) from error


class AnswerBody:
    """Collects the pieces of one body within its bound.

    Args:
        status: of the answer.
        headers: of the answer, by name in lower case.
        max_bytes: the bound of a success; of anything else the first 64 KiB are kept.
    """

    def __init__(self, status: int, headers: Mapping[str, str], max_bytes: int) -> None:
        self._answer = Answer(status, headers, b"")
        self._max_bytes = max_bytes
        self._pieces: list[bytes] = []
        self._size_bytes = 0

    def feed(self, piece: bytes) -> bool:
        """Add a piece; return whether more is wanted.

        Raises:
            ServiceUnavailable: a success is larger than its bound.
        """
        self._pieces.append(piece)
        self._size_bytes += len(piece)
        if not self._answer.succeeded:
            return self._size_bytes < _MAX_ERROR_BYTES
        if self._size_bytes > self._max_bytes:
            reason = f"the answer is larger than the {self._max_bytes} bytes allowed; ask for less"
            raise ServiceUnavailable(reason, 0.0)
        return True

    def answer(self) -> Answer:
        """Return the answer with what was collected."""
        body = b"".join(self._pieces)
        return self._answer._replace(body=body if self._answer.succeeded else body[:_MAX_ERROR_BYTES])
