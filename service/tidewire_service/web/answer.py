"""The answer of a handler that needs no Litestar."""

from __future__ import annotations

from typing import NamedTuple

from litestar import Response
from litestar.types import Send

__all__ = ["Answer"]


class Answer(NamedTuple):
    """An answer as it is sent.

    Attributes:
        status: of HTTP.
        media_type: of the body, with its charset if it is text; empty if there is no body.
        body: the whole of it.
        headers: additional ones.
    """

    status: int
    media_type: str
    body: bytes
    headers: dict[str, str]

    def response(self) -> Response[bytes]:
        """Return it as the answer of a Litestar handler."""
        media_type = self.media_type.partition(";")[0] or None  # to a text Litestar adds the charset
        return Response(self.body, status_code=self.status, media_type=media_type, headers=self.headers)

    async def send(self, send: Send) -> None:
        """Send it as the answer of an ASGI app."""
        described = (
            ((b"content-type", self.media_type.encode("latin-1")), (b"content-length", b"%d" % len(self.body)))
            if self.media_type
            else ()
        )
        headers = [
            *described,
            *((name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in self.headers.items()),
        ]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": False})
