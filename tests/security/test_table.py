"""Faults row 21: each route of the OpenAPI document and each raw one by every kind of token, expected against seen."""

from __future__ import annotations

import re
from typing import Any

from litestar import Request, Response, asgi, get
from litestar.types import Receive, Scope, Send
from servers import StartService
from waiting import eventually

from .conftest import bearer

SECRET_METRIC = "plant/secret"
# What each route needs; written down here once more, so that a new route has to be thought about.
NEEDS = {
    ("GET", "/health/live"): "nothing",
    ("GET", "/health/ready"): "nothing",
    ("GET", "/metrics"): "operate",
    ("GET", "/v1/whoami"): "anybody",
    ("POST", "/v1/readings"): "publish",
    ("GET", "/v1/stream"): "subscribe",
    ("GET", "/v1/history"): "subscribe",
    ("GET", "/v1/catalog"): "subscribe",
    ("POST", "/v1/tickets"): "subscribe",
    ("GET", "/v1/decks"): "subscribe",
    ("GET", "/v1/decks/{slug}"): "subscribe",
    ("PUT", "/v1/decks/{slug}"): "edit",
    ("DELETE", "/v1/decks/{slug}"): "edit",
    ("GET", "/v1/thresholds"): "subscribe",
    ("PUT", "/v1/thresholds"): "edit",
    # not in the document
    ("POST", "/write"): "publish",
    ("POST", "/api/v2/write"): "publish",
    ("POST", "/api/v3/write_lp"): "publish",
    ("GET", "/query"): "publish",
    ("PUT", "/metrics/job/j"): "publish",
    ("POST", "/metrics/job/j/instance/a/b/c"): "publish",
    ("DELETE", "/metrics/job@base64/ag"): "publish",
    ("POST", "/query"): "publish",
    ("GET", "/ping"): "nothing",
    ("GET", "/health"): "nothing",
    ("GET", "/ready"): "nothing",
    ("GET", "/api/v2/ready"): "nothing",
    ("GET", "/schema"): "nothing",
    ("GET", "/schema/ui"): "nothing",
    ("GET", "/schema/openapi.json"): "nothing",
    ("GET", "/nowhere"): "subscribe",
    ("POST", "/v1/stream"): "edit",
    ("DELETE", "/metrics"): "edit",
    ("HEAD", "/v1/catalog"): "subscribe",
}
KINDS = {
    "none": set[str](),
    "bad": set[str](),
    "malformed": set[str](),
    "expired": set[str](),
    "revoked": set[str](),
    "read-only": {"subscribe"},
    "publish-only": {"publish"},
    "other scope": {"subscribe"},
    "operator": {"operate"},
    "all": {"subscribe", "publish", "edit", "operate"},
}
UNKNOWN = ("none", "bad", "malformed", "expired", "revoked")
QUERY = {"/v1/stream": "?metric=**&replay=none", "/v1/history": "?metric=**&start=-1h", "/v1/catalog": "?metric=**"}


async def test_each_route_with_each_kind_of_token(guarded: Any, token: Any, store: Any) -> None:
    every = {"publish": ("**",), "subscribe": ("**",), "edit": True, "operate": True}
    tokens = {
        "bad": f"tw_{'0' * 12}_{'A' * 43}",
        "malformed": "letmein",
        "expired": await token("expired", lifetime_s=0.5, **every),
        "revoked": await token("revoked", **every),
        "read-only": await token("reader", subscribe=("**",)),
        "publish-only": await token("publisher", publish=("**",)),
        "other scope": await token("other", subscribe=("office/**",)),
        "operator": await token("operator", operate=True),
        "all": await token("all", **every),
    }
    headers = {kind: bearer(tokens[kind]) if kind in tokens else {} for kind in KINDS}
    body = {"metric": SECRET_METRIC, "value": 1}
    assert (await guarded.http.post("/v1/readings", json=body, headers=headers["all"])).status_code == 200
    deck, limits = {"name": SECRET_METRIC}, {"thresholds": [{"metric": SECRET_METRIC, "warn_above": 1}]}
    assert (await guarded.http.put("/v1/decks/d", json=deck, headers=headers["all"])).status_code == 200
    assert (await guarded.http.put("/v1/thresholds", json=limits, headers=headers["all"])).status_code == 200
    assert (await guarded.http.get("/v1/whoami", headers=headers["revoked"])).status_code == 200
    [revoked] = [row.id for row in await store.rows() if row.token.name == "revoked"]
    await store.revoke(revoked)

    async def is_revoked() -> bool:
        return (await guarded.http.get("/v1/whoami", headers=headers["revoked"])).status_code == 401

    await eventually(is_revoked)

    document = (await guarded.http.get("/schema/openapi.json")).json()
    documented = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert documented - set(NEEDS) == set(), "a route that nobody has thought about"

    wrong = []
    for (method, path), need in NEEDS.items():
        address = re.sub(r"\{slug\}", "d", path) + QUERY.get(path, "")
        for kind, may in KINDS.items():
            options = {"headers": headers[kind], "json": {} if method != "GET" else None}
            answer = await guarded.http.send(guarded.http.build_request(method, address, **options), stream=True)
            if answer.status_code == 503:  # a busy machine alone may hold Redis up for the second of readiness
                await answer.aclose()
                await guarded.ready()
                answer = await guarded.http.send(guarded.http.build_request(method, address, **options), stream=True)
            text = "" if path == "/v1/stream" and answer.status_code == 200 else (await answer.aread()).decode()
            await answer.aclose()
            if need == "nothing":
                expected = answer.status_code not in (401, 403)
            elif kind in UNKNOWN:
                expected = answer.status_code == 401
            elif need == "anybody" or need in may:
                expected = answer.status_code not in (401, 403)
            else:
                expected = answer.status_code == 403
            hidden = kind in ("read-only", "all") or SECRET_METRIC not in text
            if not expected or not hidden or answer.status_code >= 500:
                wrong.append((method, path, kind, answer.status_code, text[:100]))
    assert wrong == []
    print(f"{len(NEEDS)} routes by {len(KINDS)} kinds of token")


async def test_a_raw_route_answers_no_method_but_its_own(guarded: Any, token: Any) -> None:
    """A raw app is given every method by Litestar; OPTIONS asks for no token, and must open no stream to anybody."""
    headers = {"nobody": {}, "all": bearer(await token("all", publish=("**",), subscribe=("**",), edit=True))}
    for method in ("OPTIONS", "POST", "PUT", "PATCH", "DELETE", "PROPFIND"):
        for who, header in headers.items():
            request = guarded.http.build_request(method, "/v1/stream?metric=**", headers=header)
            answer = await guarded.http.send(request, stream=True)
            await answer.aclose()
            expected = 401 if who == "nobody" and method != "OPTIONS" else 405
            assert (answer.status_code, method, who) == (expected, method, who)
            assert not answer.headers["content-type"].startswith("text/event-stream")


async def test_what_one_may_not_see_is_as_what_is_not_there(guarded: Any, token: Any) -> None:
    writer, other = await token("w", publish=("**",), subscribe=("**",)), await token("o", subscribe=("office/**",))
    await guarded.http.post("/v1/readings", json={"metric": SECRET_METRIC, "value": 1}, headers=bearer(writer))
    for path in ("/v1/history?start=-1h&metric=", "/v1/catalog?metric="):
        answers = [
            (await guarded.http.get(path + metric, headers=bearer(other)))
            for metric in (SECRET_METRIC, "plant/nothing")
        ]
        assert [answer.status_code for answer in answers] == [200, 200]
        shapes = [re.sub(r"\d+(\.\d+)?|[0-9a-z]+\.[0-9a-z]+-[0-9a-z]+", "", answer.text) for answer in answers]
        assert shapes[0] == shapes[1]


async def test_a_route_that_declares_nothing_is_closed(start_service: StartService, guarded: Any, token: Any) -> None:
    @get("/v1/bare")
    async def bare() -> dict[str, bool]:
        return {"reached": True}

    @asgi("/v1/raw", copy_scope=False)
    async def raw(scope: Scope, receive: Receive, send: Send) -> None:
        await Response({"reached": True}).to_asgi_response(None, Request(scope))(scope, receive, send)

    every = await token("all", publish=("**",), subscribe=("**",), edit=True, operate=True)
    for service, headers in ((guarded, bearer(every)), (await start_service(), {})):
        service.app.register(bare)
        service.app.register(raw)
        for path in ("/v1/bare", "/v1/bare/", "/v1/raw"):
            answer = await service.http.get(path, headers=headers)
            assert answer.status_code == 403, answer.text
            assert "does not declare" in answer.json()["detail"]
    for path in ("/v1/bare", "/v1/raw"):
        assert (await guarded.http.get(path)).status_code == 401
    assert (await guarded.http.options("/v1/raw")).status_code == 403


async def test_every_route_declares_itself(guarded: Any) -> None:
    for route in guarded.app.routes:
        for handler in getattr(route, "route_handlers", None) or [route.route_handler]:
            if handler.handler_name != "options_handler":  # Litestar's own answer to a preflight
                assert "tidewire" in handler.opt, route.path
