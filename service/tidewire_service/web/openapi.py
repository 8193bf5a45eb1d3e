"""The OpenAPI document, completed: bodies that are read as they come, refusals from before any route, the token."""

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

from tidewire.model.table_writers import TABLE_FORMATS
from tidewire_service.web.problems import MEDIA_TYPE

__all__ = ["complete_openapi"]

_METHODS: Final = ("get", "put", "post", "delete")
_PROBLEM: Final = Reference(ref="#/components/schemas/Problem")
# Given before a route is asked; every route can answer so.
_GATE: Final = {
    "400": "The request cannot be read",
    "403": "A page of another site, or a token without the scope",
    "421": "The Host is not one of this service",
}
_DOOR: Final = {
    "401": "No token, or none that is good; only with --auth",
    "429": "Too many requests; wait for `Retry-After`",
    "503": "Redis is away, or memory is short; wait for `Retry-After`",
}
_OPEN: Final = ("/health/live", "/health/ready")
_JSON: Final = "application/json"
_STRINGS: Final = Schema(type=OpenAPIType.ARRAY, items=Schema(type=OpenAPIType.STRING), min_items=1, max_items=64)
_BODIES: Final[dict[tuple[str, str], Schema | Reference]] = {
    ("post", "/v1/tickets"): Schema(
        type=OpenAPIType.OBJECT, required=["metric"], properties={"metric": _STRINGS}, additional_properties=False
    ),
    ("put", "/v1/decks/{slug}"): Schema(type=OpenAPIType.OBJECT, description="a deck, at most 64 KiB"),
    ("put", "/v1/thresholds"): Reference(ref="#/components/schemas/ThresholdsJson"),
}


def complete_openapi(document: OpenAPI, raw: dict[str, PathItem], *, auth: bool) -> None:
    """Add to Litestar's document what Litestar cannot see.

    Args:
        document: changed in place.
        raw: path → item of the routes that are raw ASGI apps.
        auth: requests are asked for a token.
    """
    components = document.components if isinstance(document.components, Components) else Components()
    components.responses = {_name(status): _refusal(said) for status, said in (_GATE | _DOOR).items()}
    components.security_schemes = {
        "token": SecurityScheme(
            type="http", scheme="bearer", description="`tidewire token create`, or a JSON Web Token"
        )
    }
    document.components = components
    document.paths = {**(document.paths or {}), **deepcopy(raw)}
    for path, item in document.paths.items():
        for method in _METHODS:
            operation: Operation | None = getattr(item, method)
            if operation is not None:
                _complete(method, path, operation, auth)


def _complete(method: str, path: str, operation: Operation, auth: bool) -> None:
    responses: dict[str, Any] = dict(operation.responses or {})
    for status, response in tuple(responses.items()):
        if status >= "400" and path not in _OPEN and MEDIA_TYPE not in (response.content or {}):
            if status in _GATE:
                del responses[status]
            else:
                responses[status] = _refusal(response.description)
    for status in _GATE if path in _OPEN else _GATE | _DOOR:
        responses.setdefault(status, Reference(ref=f"#/components/responses/{_name(status)}"))
    if "{slug}" in path:
        responses.setdefault("422", _refusal("The name can never be one"))
    if path == "/v1/history":
        for form in TABLE_FORMATS.values():
            table = OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING))
            responses["200"].content.setdefault(form.media_type.partition(";")[0], table)
    for parameter in operation.parameters or ():
        _simplify(parameter)
    operation.responses = dict(sorted(responses.items()))
    operation.security = [] if path in _OPEN or not auth else [{"token": []}]
    body = _BODIES.get((method, path))
    if body is not None:
        operation.request_body = RequestBody(required=True, content={_JSON: OpenAPIMediaType(schema=body)})
        operation.responses.setdefault("413", _refusal("The body is too long"))


def _simplify(parameter: Parameter | Reference) -> None:
    """Take `null` out: what is not given is not there at all."""
    if isinstance(parameter, Parameter) and isinstance(parameter.schema, Schema) and parameter.schema.one_of:
        [schema] = [each for each in parameter.schema.one_of if each != Schema(type=OpenAPIType.NULL)]
        parameter.schema = schema


def _name(status: str) -> str:
    return f"Refused{status}"


def _refusal(said: str) -> OpenAPIResponse:
    return OpenAPIResponse(description=said, content={MEDIA_TYPE: OpenAPIMediaType(schema=_PROBLEM)})
