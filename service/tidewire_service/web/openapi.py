"""Completes the OpenAPI document with what the routes declare."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Final

from litestar.openapi.spec import (
    Components,
    OpenAPI,
    OpenAPIMediaType,
    OpenAPIResponse,
    Operation,
    Parameter,
    PathItem,
    Reference,
    RequestBody,
    Schema,
    SecurityScheme,
)
from litestar.openapi.spec.enums import OpenAPIType

from tidewire_service.web.declaration import Declaration, RouteTable
from tidewire_service.web.problems import MEDIA_TYPE

__all__ = ["complete_openapi"]

_METHODS: Final = ("get", "put", "post", "delete")
_PROBLEM: Final = Reference(ref="#/components/schemas/Problem")
# Sent before a route is called, so any route can answer with these.
_GUARD_REFUSALS: Final = {
    "400": "The request cannot be read",
    "403": "A page of another site, or a token without the scope",
    "421": "The Host is not one of this service",
}
_AUTHORIZATION_REFUSALS: Final = {
    "401": "No token, or an invalid one; only with --auth",
    "429": "Too many requests; wait for `Retry-After`",
    "503": "Redis does not answer, or memory is short; wait for `Retry-After`",
}


def complete_openapi(document: OpenAPI, routes: RouteTable, *, auth: bool) -> None:
    """Add what Litestar cannot see: bodies that are read as they arrive, refusals by the middleware, raw routes.

    Args:
        document: changed in place.
        routes: what each route declares.
        auth: requests need a token.
    """
    components = document.components if isinstance(document.components, Components) else Components()
    refusals = _GUARD_REFUSALS | _AUTHORIZATION_REFUSALS
    components.responses = {_name(status): _refusal(description) for status, description in refusals.items()}
    components.security_schemes = {
        "token": SecurityScheme(
            type="http", scheme="bearer", description="`tidewire token create`, or a JSON Web Token"
        )
    }
    document.components = components
    raw = {path: PathItem(get=deepcopy(operation)) for path, operation in routes.raw()}
    document.paths = {**(document.paths or {}), **raw}
    for path, item in document.paths.items():
        for method in _METHODS:
            operation: Operation | None = getattr(item, method)
            declared = routes.find(method.upper(), path)
            if operation is not None and declared is not None:
                _complete(operation, declared, auth)


def _complete(operation: Operation, declared: Declaration, auth: bool) -> None:
    responses: dict[str, Any] = dict(operation.responses or {})
    is_open = declared.needs == "nothing"
    for status, response in tuple(responses.items()):
        if status >= "400" and not is_open and MEDIA_TYPE not in (response.content or {}):
            if status in _GUARD_REFUSALS:
                del responses[status]
            else:
                responses[status] = _refusal(response.description)
    for status in _GUARD_REFUSALS if is_open else _GUARD_REFUSALS | _AUTHORIZATION_REFUSALS:
        responses.setdefault(status, Reference(ref=f"#/components/responses/{_name(status)}"))
    for media_type in declared.media_types:
        table = OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING))
        responses["200"].content.setdefault(media_type, table)
    for parameter in operation.parameters or ():
        _simplify(parameter)
    if declared.body is not None:
        content = {media_type: OpenAPIMediaType(schema=schema) for media_type, schema in declared.body.content.items()}
        operation.request_body = RequestBody(required=True, content=content)
        responses.setdefault("413", _refusal("The body is too long"))
    operation.responses = dict(sorted(responses.items()))
    operation.security = [] if is_open or not auth else [{"token": []}]


def _simplify(parameter: Parameter | Reference) -> None:
    """Remove `null`: a parameter that is not given is absent."""
    if isinstance(parameter, Parameter) and isinstance(parameter.schema, Schema) and parameter.schema.one_of:
        [schema] = [each for each in parameter.schema.one_of if each != Schema(type=OpenAPIType.NULL)]
        parameter.schema = schema


def _name(status: str) -> str:
    return f"Refused{status}"


def _refusal(description: str) -> OpenAPIResponse:
    return OpenAPIResponse(description=description, content={MEDIA_TYPE: OpenAPIMediaType(schema=_PROBLEM)})
