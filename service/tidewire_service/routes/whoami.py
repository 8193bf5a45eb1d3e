"""GET /v1/whoami: who a token belongs to and what it may do."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, Response, get
from litestar.datastructures import State

from tidewire.model.answers import WhoamiJson
from tidewire_service.web.authorization import identity_of_request
from tidewire_service.web.declaration import declare

__all__ = ["get_whoami"]


@get(
    "/v1/whoami",
    summary="Who am I",
    description="What the token of this request may do.",
    sync_to_thread=False,
    **declare("anybody", answers={200: (WhoamiJson, "Its scopes")}, refusals={401: "No token, or an invalid one"}),
)
def get_whoami(request: Request[Any, Any, State]) -> Response[bytes]:
    """Return the identity and its scopes."""
    who = identity_of_request(request.scope)
    scopes = who.scopes
    answer = WhoamiJson(
        who.id, who.name, who.kind, scopes.publish, scopes.subscribe, scopes.edit, scopes.operate, who.expires_ms
    )
    return Response(msgspec.json.encode(answer), media_type="application/json", headers={"Cache-Control": "no-store"})
