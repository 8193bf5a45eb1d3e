"""The error tree of the service: each error is named for the fact, and carries the facts as attributes.

tidewire.TidewireError
├── RequestRefused                 a request is refused for what it is, whatever its body says
│   ├── Unauthenticated            no token, or an invalid one
│   ├── ScopeMissing               the token does not allow this
│   ├── RouteUndeclared            the route does not say who may use it, so nobody may
│   ├── TokenUndecided             the token is unknown and Redis does not answer
│   ├── UpstreamAway               the service that an edge reads from does not answer
│   ├── TicketRequestMalformed     the query of a request with a ticket cannot be read
│   ├── RateExceeded               too many requests
│   ├── MemoryShort                this process accepts nothing more for now
│   ├── ForeignOrigin              the request comes from a page of another site
│   ├── HostMalformed              the Host header cannot be read
│   ├── HostNotServed              the Host is not a name of this service
│   ├── HeadersTooLarge
│   ├── UrlTooLong
│   ├── PathNotFound
│   ├── DeckNotFound
│   ├── MethodNotAllowed
│   └── MediaTypeNotSupported      the media type, charset or coding of the body is not supported
├── tidewire.InvalidInput
│   └── MalformedBody              a body cannot be parsed as a whole
│       └── NestingTooDeep
├── DocumentConflict               a document is not the one that the writer has seen
├── DocumentSpoilt                 another program has overwritten a document
├── FrameMalformed (ValueError)    a live frame cannot be read
└── EmbeddedServerFailed           the bundled server did not start
    └── DataDirectoryInUse         another process runs a server on the same data directory

`web/problems.py` has the HTTP status of each.
"""

from __future__ import annotations

from typing import Final

from tidewire.errors import InvalidInput, LimitExceeded, TidewireError
from tidewire.model.batch import IngestLimits

__all__ = [
    "DataDirectoryInUse",
    "DeckNotFound",
    "DocumentConflict",
    "DocumentSpoilt",
    "EmbeddedServerFailed",
    "ForeignOrigin",
    "FrameMalformed",
    "HeadersTooLarge",
    "HostMalformed",
    "HostNotServed",
    "MalformedBody",
    "MediaTypeNotSupported",
    "MemoryShort",
    "MethodNotAllowed",
    "NestingTooDeep",
    "PathNotFound",
    "RateExceeded",
    "RequestRefused",
    "RouteUndeclared",
    "ScopeMissing",
    "TicketRequestMalformed",
    "TokenUndecided",
    "Unauthenticated",
    "UpstreamAway",
    "UrlTooLong",
    "encodable",
    "limit_of",
]


_OF_A_BATCH: Final = frozenset(IngestLimits.__struct_fields__)  # whose settings begin with max_


class RequestRefused(TidewireError):
    """A request is refused for what it is, whatever its body says.

    Attributes:
        limit: the setting that was exceeded; empty if none was.
    """

    limit = ""


class Unauthenticated(RequestRefused):
    """A request has no token, or an invalid one.

    Attributes:
        token_given: a token was given.
    """

    def __init__(self, detail: str, *, token_given: bool) -> None:
        """Say what is wrong and what to do; never quote the token."""
        self.token_given = token_given
        super().__init__(detail)


class ScopeMissing(RequestRefused):
    """The token does not allow what the request asks for."""


class RouteUndeclared(RequestRefused):
    """The route does not say who may use it, so nobody may."""

    def __init__(self, method: str, path: str) -> None:
        super().__init__(f"{method} {path} does not declare which scope it needs; nobody may use it")


class TokenUndecided(RequestRefused):
    """The token is unknown to this process, and Redis does not answer.

    Attributes:
        retry_after_s: a pause after which it makes sense to try again.
    """

    retry_after_s = 2.0

    def __init__(self) -> None:
        super().__init__("the token is not known yet and Redis does not answer; nothing was stored; try again")


class UpstreamAway(RequestRefused):
    """The service that an edge reads from does not answer.

    Attributes:
        retry_after_s: a pause after which it makes sense to try again.
    """

    retry_after_s = 2.0

    def __init__(self) -> None:
        super().__init__("the service that this edge reads from does not answer; try again")


class TicketRequestMalformed(RequestRefused):
    """The query of a request with a ticket cannot be read."""


class RateExceeded(RequestRefused):
    """Requests come faster than a limit allows.

    Attributes:
        retry_after_s: a pause after which one more is allowed.
    """

    def __init__(self, detail: str, *, limit: str, retry_after_s: float) -> None:
        self.limit = limit
        self.retry_after_s = retry_after_s
        super().__init__(detail)


class MemoryShort(RequestRefused):
    """This process is above its soft memory limit and accepts nothing more for now.

    Attributes:
        retry_after_s: a pause after which it makes sense to try again.
    """

    limit = "soft_memory_bytes"
    retry_after_s = 5.0

    def __init__(self) -> None:
        super().__init__(f"this process is short of memory ({self.limit}); nothing was stored; try again")


class ForeignOrigin(RequestRefused):
    """The request comes from a page of another site, which is not among the allowed origins."""


class HostMalformed(RequestRefused):
    """The Host header is not of the form ``name:port``, or comes twice."""


class HostNotServed(RequestRefused):
    """The Host is not a name of this service."""


class HeadersTooLarge(RequestRefused):
    """The headers of a request together are too long."""

    limit = "max_header_bytes"

    def __init__(self, got: int, allowed: int) -> None:
        """Say how long they are, in bytes."""
        super().__init__(f"the headers are {got} bytes; {self.limit} allows {allowed}")


class UrlTooLong(RequestRefused):
    """Path and query of a request together are too long."""

    limit = "max_url_bytes"

    def __init__(self, got: int, allowed: int) -> None:
        """Say how long they are, in bytes."""
        super().__init__(f"path and query are {got} bytes; {self.limit} allows {allowed}")


class PathNotFound(RequestRefused):
    """Nothing is at this path."""

    def __init__(self) -> None:
        super().__init__("There is nothing at this path; /schema lists what there is")


class DeckNotFound(RequestRefused):
    """No deck is saved under this name."""

    def __init__(self, slug: str) -> None:
        super().__init__(f"no deck is saved as {slug}")


class MethodNotAllowed(RequestRefused):
    """The path does not support this method.

    Attributes:
        allowed: the methods that it supports, as in the header ``Allow``.
    """

    def __init__(self, detail: str, *, allowed: str) -> None:
        """Name the supported methods."""
        self.allowed = allowed
        super().__init__(detail)


class MediaTypeNotSupported(RequestRefused):
    """The media type, charset or coding of a body is not supported.

    Attributes:
        accept: supported media types, as in the header ``Accept``; empty if the type was not the fault.
        accept_encoding: supported codings, as in the header ``Accept-Encoding``; empty if the coding was not the fault.
    """

    def __init__(self, detail: str, *, accept: str = "", accept_encoding: str = "") -> None:
        """Say what is supported instead."""
        self.accept = accept
        self.accept_encoding = accept_encoding
        super().__init__(detail)


class MalformedBody(InvalidInput):
    """A body cannot be parsed as a whole, so that no single row can be named.

    Attributes:
        limit: the limit that was exceeded; empty if none was.
    """

    limit = ""


class NestingTooDeep(MalformedBody):
    """A JSON body is nested more deeply than a batch can be."""

    limit = "nesting"


class DocumentConflict(TidewireError):
    """A document is not the one that the writer has seen.

    Attributes:
        version: of the document that is there; None if there is none.
    """

    def __init__(self, what: str, version: str | None) -> None:
        self.version = version
        state = "was deleted" if version is None else "has a newer version"
        super().__init__(f"{what} {state}; read it, and save over its ETag")


class DocumentSpoilt(TidewireError):
    """Another program has overwritten a document, so that it cannot be read.

    Attributes:
        version: of what is there now.
    """

    def __init__(self, what: str, version: str) -> None:
        self.version = version
        super().__init__(f"{what} was overwritten in Redis by another program and cannot be read; save it anew")


class FrameMalformed(TidewireError, ValueError):
    """A live frame is not of the wire format."""


class EmbeddedServerFailed(TidewireError):
    """The bundled server did not start; the message has the end of its log."""


class DataDirectoryInUse(EmbeddedServerFailed):
    """Another process runs a server on the same data directory."""


def limit_of(error: Exception) -> str:
    """Return the setting that an error says was exceeded; empty if none was."""
    limit = error.limit if isinstance(error, (LimitExceeded, RequestRefused, MalformedBody)) else ""
    return f"max_{limit}" if limit in _OF_A_BATCH else limit


def encodable(text: str) -> str:
    r"""Return a text that may quote a client as UTF-8 can have it: half of a surrogate pair is shown as ``\ud800``."""
    return text.encode("utf-8", "backslashreplace").decode()
