"""GET /schema: the OpenAPI document, and Swagger UI with all its files."""

from __future__ import annotations

from importlib.resources import files
from typing import Any, Final

from litestar import Request, Response, Router, get
from litestar.datastructures import State
from litestar.exceptions import NotFoundException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, OpenAPIRenderPlugin
from litestar.params import FromPath

from tidewire import __version__
from tidewire_service.web.declaration import RouteTable, declare
from tidewire_service.web.openapi import complete_openapi

__all__ = ["get_schema_asset", "openapi_config"]

_PAGE: Final = b"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Tidewire: the HTTP API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/schema/assets/swagger-ui.css">
</head>
<body>
<div id="page"></div>
<script src="/schema/assets/swagger-ui-bundle.js"></script>
<script src="/schema/assets/page.js"></script>
</body>
</html>
"""
_MEDIA_TYPES: Final = {"css": "text/css", "js": "text/javascript"}
_ASSETS: Final = frozenset({"swagger-ui.css", "swagger-ui-bundle.js", "page.js"})
# The page may load from this process only. Swagger UI sets style attributes and has inline images.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src "
    "'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class _OfflinePage(OpenAPIRenderPlugin):
    """Serves Swagger UI from the package's own files."""

    def __init__(self) -> None:
        super().__init__(path="/ui", media_type="text/html; charset=utf-8")  # type: ignore[arg-type]  # any media type

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """Return the page, which fetches the document itself."""
        return _PAGE


class _CompletedDocument(JsonRenderPlugin):
    """Serves the OpenAPI document, made when it is first asked for: it takes a third of the time to create the app."""

    def __init__(self, auth: bool) -> None:
        super().__init__()
        self._auth = auth
        self._document: dict[str, Any] | None = None

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """Return the document with what the routes declare; `openapi_schema` is what Litestar knows."""
        if self._document is None:
            complete_openapi(request.app.openapi_schema, RouteTable(request.app.routes), auth=self._auth)
            self._document = request.app.openapi_schema.to_schema()
        return super().render(request, self._document)


@get("/schema/assets/{name:str}", include_in_schema=False, sync_to_thread=False, **declare("nothing"))
def get_schema_asset(request: Request[Any, Any, State], name: FromPath[str]) -> Response[bytes]:
    """Return one of the page's files."""
    if name not in _ASSETS:
        raise NotFoundException
    body = files("tidewire_service").joinpath(f"static/swagger/{name}").read_bytes()
    media_type = _MEDIA_TYPES[name.rpartition(".")[2]]
    return Response(body, media_type=media_type, headers={"Cache-Control": "max-age=3600"})


def add_policy(response: Response[Any]) -> Response[Any]:
    """Widen the content security policy for the page."""
    if str(response.media_type).startswith("text/html"):
        response.headers["Content-Security-Policy"] = _POLICY
    return response


def openapi_config(*, auth: bool) -> OpenAPIConfig:
    """Return the configuration of the OpenAPI document; `auth`: requests need a token."""
    return OpenAPIConfig(
        title="Tidewire",
        version=__version__,
        description="Live metrics: what was published is what you see, live, and you are told when it is not.",
        # open: the API itself is no secret, only the data is
        openapi_router=Router("/schema", route_handlers=[], include_in_schema=False, **declare("nothing")),
        render_plugins=[_OfflinePage(), _CompletedDocument(auth)],
        use_handler_docstrings=False,
    )
