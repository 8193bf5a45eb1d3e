"""uvicorn's HTTP protocol, with the transport handed to the streams.

So that a peer that does not read can be aborted; and the kernel's buffer for it is capped.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["StreamingHttpProtocol"]

_SEND_BUFFER_BYTES: Final = 128 * 1024  # the kernel doubles it; a stalled peer pinned 3.9 MB without


class StreamingHttpProtocol(HttpToolsProtocol):
    """As uvicorn's; puts the transport into ``scope["extensions"]["tidewire.transport"]``."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Cap the send buffer of a new connection."""
        super().connection_made(transport)
        sock: Any = transport.get_extra_info("socket")
        if sock is not None and sock.family in {socket.AF_INET, socket.AF_INET6}:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)

    def on_message_begin(self) -> None:
        """Add the transport to the scope of the next request."""
        super().on_message_begin()
        extensions: dict[str, Any] = {"tidewire.transport": self.transport}
        self.scope["extensions"] = extensions
