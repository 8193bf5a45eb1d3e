"""/v1/decks and /v1/thresholds: documents that are saved over a known version only (ETag, If-Match).

All users share them, and a deck may name any metric. So a token with narrow scopes gets no decks, only the thresholds
of metrics that it may see, and may not change any document.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

import msgspec
from litestar import Request, Response, delete, get, put
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.openapi.spec import Reference, Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import PathParameter

from tidewire.errors import InvalidInput
from tidewire.model.answers import DeckInfo, DecksJson, ThresholdsJson
from tidewire.model.scopes import patterns_meet
from tidewire.model.threshold import checked_thresholds
from tidewire.redislog.log import RedisLog
from tidewire_service.auth.scopes import Scopes
from tidewire_service.documents import ABSENT, ANY, Document, Documents
from tidewire_service.errors import DeckNotFound, MalformedBody, ScopeMissing
from tidewire_service.ingest.json_rows import BOM, check_levels, parse_json
from tidewire_service.turns import Turns
from tidewire_service.web.authorization import identity_of_request
from tidewire_service.web.declaration import Body, declare

__all__ = ["DOCUMENT_ROUTES", "SavedDocuments"]

_MAX_BYTES: Final = 64 * 1024
_MAX_THRESHOLD_BYTES: Final = 512 * 1024
_MOST_DECKS: Final = 500
_SLUG: Final = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,62}[a-z0-9])?")
_DESCRIBED: Final = PathParameter(description="name in the URL: 1 to 64 of a-z, 0-9, - and _")
_LIST: Final = "list"
_DECK: Final = Schema(type=OpenAPIType.OBJECT, description="a deck, at most 64 KiB")
_THRESHOLDS: Final = Reference(ref="#/components/schemas/ThresholdsJson")


class _Named(msgspec.Struct):
    name: str = ""


_decode_named: Final = msgspec.json.Decoder(_Named).decode


class SavedDocuments:
    """The saved decks and the thresholds of one log.

    Attributes:
        max_matching_s: largest CPU time for which the thresholds are narrowed to the scopes of one request.
    """

    def __init__(self, log: RedisLog, max_matching_s: float) -> None:
        self.max_matching_s = max_matching_s
        self.decks = Documents(log, log.keys.decks, most=_MOST_DECKS, described="the deck {name}", check=_decode_named)
        self.thresholds = Documents(
            log, log.keys.thresholds, most=1, described="the list of thresholds", check=checked_thresholds
        )


def _scopes(request: Request[Any, Any, State]) -> Scopes:
    return identity_of_request(request.scope).scopes


def _check_sees_all(request: Request[Any, Any, State]) -> None:
    """Check that the token may see every metric, which a change of shared documents requires.

    Raises:
        ScopeMissing: the token is narrowed to some metrics.
    """
    if _scopes(request).narrowed_to:
        detail = "decks and thresholds are shared; changing them needs a token that sees everything (--subscribe '**')"
        raise ScopeMissing(detail)


def _expected_version(request: Request[Any, Any, State]) -> str:
    """Return the version that a write replaces, from its preconditions."""
    match, none_match = request.headers.get("if-match", ""), request.headers.get("if-none-match", "")
    if none_match == "*":
        return ABSENT
    if none_match:
        raise InvalidInput("If-None-Match", none_match, "a write accepts only *: save only if nothing is there yet")
    if not match or match == "*":
        return ANY
    return match.removeprefix("W/").strip('"')


def _etag(document: Document) -> dict[str, str]:
    return {"ETag": f'"{document.version}"', "Cache-Control": "no-cache"}


def _shown(request: Request[Any, Any, State], document: Document) -> Response[bytes]:
    headers = _etag(document)
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(b"", status_code=304, headers=headers)
    return Response(document.body, media_type="application/json", headers=headers)


async def _may_see_some(scopes: Scopes, pattern: str, turns: Turns) -> bool:
    """Tell what `Scopes.may_see_some` does, and let others run after each scope: one may take 10 ms.

    Raises:
        LimitExceeded: it takes too long.
    """
    for scope in scopes.subscribe:
        if patterns_meet(scope, pattern):
            return True
        await turns.take()
    return False


def _slug(given: str) -> str:
    if not _SLUG.fullmatch(given):
        raise InvalidInput("slug", given, "expected 1 to 64 of a-z, 0-9, - and _, beginning and ending with none of -_")
    return given


_SPOILT: Final = "Another program has overwritten it in Redis; save it anew, over the ETag of the answer"
_WRITE_REFUSALS: Final = {
    412: "The saved version is not the one in If-Match; its ETag is in the answer",
    422: "The body or a name can never work as it is",
    503: "Redis does not answer",
}


@get("/v1/decks", summary="List the saved decks", **declare("subscribe", answers={200: (DecksJson, "The decks")}))
async def get_decks(
    request: Request[Any, Any, State], documents: NamedDependency[SavedDocuments]
) -> Response[DecksJson]:
    """List the saved decks."""
    saved = {} if _scopes(request).narrowed_to else await documents.decks.all()
    found, turns = [], Turns()
    for slug, deck in saved.items():
        if _SLUG.fullmatch(slug):  # under another name, no request reaches it
            name = (not deck.spoilt and _decode_named(deck.body).name) or slug
            found.append(DeckInfo(slug=slug, name=name, etag=deck.version, updated_ms=deck.updated_ms))
        await turns.take()
    return Response(DecksJson(found), headers={"Cache-Control": "no-store"})


@get(
    "/v1/decks/{slug:str}",
    summary="Read a saved deck",
    **declare(
        "subscribe",
        answers={200: (dict[str, Any], "The deck, with its ETag")},
        refusals={404: "No deck has this name", 409: _SPOILT, 422: "The name can never be one"},
    ),
)
async def get_deck(
    request: Request[Any, Any, State],
    slug: Annotated[str, _DESCRIBED],
    documents: NamedDependency[SavedDocuments],
) -> Response[bytes]:
    """Return the deck as it was saved."""
    document = await documents.decks.get(_slug(slug))
    if document is None or _scopes(request).narrowed_to:
        raise DeckNotFound(slug)
    return _shown(request, document)


@put(
    "/v1/decks/{slug:str}",
    summary="Save a deck",
    description="A JSON object, at most 64 KiB. With `If-Match` it replaces only that version, with `If-None-Match: *` "
    "it is saved only if there is none yet; else 412.",
    status_code=200,
    **declare(
        "edit",
        body=Body({"application/json": _DECK}, _MAX_BYTES),
        answers={200: (None, "Saved; its ETag")},
        refusals=_WRITE_REFUSALS,
    ),
)
async def put_deck(
    request: Request[Any, Any, State],
    slug: Annotated[str, _DESCRIBED],
    documents: NamedDependency[SavedDocuments],
) -> Response[bytes]:
    """Save."""
    _check_sees_all(request)
    body = (await request.body()).removeprefix(BOM)
    try:
        check_levels(parse_json(body))
        _decode_named(body)
    except MalformedBody:
        raise
    except (msgspec.MsgspecError, InvalidInput) as error:
        raise MalformedBody("body", body[:80], f"expected a JSON object; {error}") from None
    return Response(b"", headers=_etag(await documents.decks.put(_slug(slug), body, over=_expected_version(request))))


@delete(
    "/v1/decks/{slug:str}",
    summary="Delete a saved deck",
    status_code=204,
    **declare("edit", refusals=_WRITE_REFUSALS),
)
async def delete_deck(
    request: Request[Any, Any, State],
    slug: Annotated[str, _DESCRIBED],
    documents: NamedDependency[SavedDocuments],
) -> None:
    """Delete the deck; succeeds if there is none."""
    _check_sees_all(request)
    await documents.decks.delete(_slug(slug), over=_expected_version(request))


@get(
    "/v1/thresholds",
    summary="Read the thresholds",
    **declare(
        "subscribe",
        answers={200: (ThresholdsJson, "All of them, with an ETag")},
        refusals={409: _SPOILT, 413: "The scopes of the token are too costly to compare with them; says the remedy"},
    ),
)
async def get_thresholds(
    request: Request[Any, Any, State], documents: NamedDependency[SavedDocuments]
) -> Response[bytes]:
    """Return the thresholds of metrics that the token may see."""
    document = await documents.thresholds.get(_LIST) or Document("none", 0.0, b'{"thresholds":[]}')
    scopes = _scopes(request)
    if scopes.narrowed_to:
        given = msgspec.json.decode(document.body, type=ThresholdsJson).thresholds
        turns = Turns(documents.max_matching_s, "save fewer thresholds, or give the token fewer scopes with * or **")
        visible = [threshold for threshold in given if await _may_see_some(scopes, threshold.metric, turns)]
        document = document._replace(body=msgspec.json.encode(ThresholdsJson(visible)))
    return _shown(request, document)


@put(
    "/v1/thresholds",
    summary="Save the thresholds",
    description="Replaces the whole list; preconditions as for a deck.",
    status_code=200,
    **declare(
        "edit",
        body=Body({"application/json": _THRESHOLDS}, _MAX_THRESHOLD_BYTES),
        answers={200: (None, "Saved; the new ETag")},
        refusals=_WRITE_REFUSALS,
    ),
)
async def put_thresholds(
    request: Request[Any, Any, State], documents: NamedDependency[SavedDocuments]
) -> Response[bytes]:
    """Save."""
    _check_sees_all(request)
    checked = checked_thresholds((await request.body()).removeprefix(BOM))
    expected = _expected_version(request)
    body = msgspec.json.encode(ThresholdsJson(checked))
    document = await documents.thresholds.put(_LIST, body, over=ABSENT if expected == "none" else expected)
    return Response(b"", headers=_etag(document))


DOCUMENT_ROUTES: Final = (get_decks, get_deck, put_deck, delete_deck, get_thresholds, put_thresholds)
