"""Faults row 21 for the dashboard: each of its routes and sockets by every kind of viewer, expected against seen."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import httpx
import pytest
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect
from waiting import HANG_S, Eventually

from tidewire_dashboard.app import running_dashboard
from tidewire_dashboard.login_page import COOKIE
from tidewire_dashboard.settings import DashboardSettings

from .conftest import bearer

SECRET_METRIC = "plant/secret"
# Each route by its pattern: an address of it, and what it needs. Here once more, so that a new one is thought about.
ROUTES = {
    "/?": ("/", "login"),
    "/d/(?P<slug>[^/]+)/?": ("/d/plant", "login"),
    "/metadata": ("/metadata", "login"),
    "/d/(?P<slug>[^/]+)/metadata": ("/d/plant/metadata", "login"),
    "/ws": ("/ws", "socket"),
    "/d/(?P<slug>[^/]+)/ws": ("/d/plant/ws", "socket"),
    "/frames": ("/frames?ticket=guess", "ticket"),
    r"/exports/([A-Za-z0-9_-]+\.[a-z]+)": ("/exports/guess.csv", "address"),
    "/login": ("/login", "nothing"),
    "/health/live": ("/health/live", "nothing"),
    "/logout": ("/logout", "nothing"),
    "/autoload.js": ("/autoload.js", "never"),
    "/d/(?P<slug>[^/]+)/autoload.js": ("/d/plant/autoload.js", "never"),
    r".*/autoload\.js": ("/d/x/autoload.js", "never"),
    # programs, fonts and styles, the same for everybody
    "/favicon.ico": ("/favicon.ico", "nothing"),
    "/static/(?!extensions/)(.*)": ("/static/js/bokeh.min.js", "nothing"),
    "/d/(?:[^/]+)/static/(.*)": ("/d/plant/static/js/bokeh.min.js", "nothing"),
    "/static/extensions/(.*)": ("/static/extensions/panel/panel.min.js", "nothing"),
    "/static/(.*)": ("/static/js/bokeh.min.js", "nothing"),
    r"/assets/VERSION/(deck(?:-[a-z-]+)?\.js)": ("/assets/VERSION/deck-charts.js", "nothing"),
    r"/assets/(inter-[a-z-]+\.woff2)": ("/assets/inter-latin.woff2", "nothing"),
    "/components/(.*)": ("/components/none/None/x/y", "nothing"),
}
KNOWN = ("read-only", "other scope", "all")
NOBODY = ("none", "bad", "expired", "revoked", "logged out")


async def test_each_route_by_each_kind_of_viewer(guarded: Any, token: Any, store: Any, eventually: Eventually) -> None:
    every = {"publish": ("**",), "subscribe": ("**",), "edit": True, "operate": True}
    tokens = {
        "revoked": await token("revoked", **every),
        "logged out": await token("gone", **every),
        "publish-only": await token("publisher", publish=("**",)),
        "read-only": await token("reader", subscribe=("**",)),
        "other scope": await token("other", subscribe=("office/**",)),
        "all": await token("all", **every),
    }
    body = {"metric": SECRET_METRIC, "value": 1}
    assert (await guarded.http.post("/v1/readings", json=body, headers=bearer(tokens["all"]))).status_code == 200
    settings = DashboardSettings(url=guarded.url, token=tokens["all"], dashboard_port=0, dashboard_login=True)
    async with (
        running_dashboard(settings) as dashboard,
        httpx.AsyncClient(base_url=dashboard.url, trust_env=False, timeout=HANG_S) as http,
    ):
        await eventually(lambda: dashboard.source.store.metrics == 1)
        cookies = {"none": "", "bad": "A" * 43}
        lifetime_s = 2.5
        while not cookies.get("expired"):  # a crowded machine may take longer to log in than a token lives
            short, lifetime_s = await token(f"lives {lifetime_s}", lifetime_s=lifetime_s, **every), 2 * lifetime_s
            answer = await http.post("/login", data={"token": short, "next": "/"})
            cookies["expired"] = answer.cookies.get(COOKIE) or ""
            http.cookies.clear()
        for kind, text in tokens.items():
            answer = await http.post("/login", data={"token": text, "next": "/"})
            assert answer.status_code == (403 if kind == "publish-only" else 303), kind
            cookies[kind] = answer.cookies.get(COOKIE) or ""
            http.cookies.clear()
        assert not cookies.pop("publish-only"), "who may see nothing gets no cookie"
        await http.post("/logout", headers={"Cookie": f"{COOKIE}={cookies['logged out']}"})
        await store.revoke(tokens["revoked"].split("_")[1])
        await asyncio.sleep(1 + lifetime_s / 2)

        panel: Any = dashboard.server.panel
        application = panel._tornado
        rules = [*application.wildcard_router.rules, *application.default_router.rules]
        patterns = {rule.matcher.regex.pattern.removesuffix("$") for rule in rules if hasattr(rule.matcher, "regex")}
        version = next(found[1] for found in (re.match(r"/assets/(\w+)/\(deck", p) for p in patterns) if found)
        assert {pattern.replace(version, "VERSION") for pattern in patterns} == set(ROUTES), (
            "a route nobody thought about"
        )

        wrong = []
        for address, need in ROUTES.values():
            path = address.replace("VERSION", version)
            for kind, cookie in cookies.items():
                headers = {"Cookie": f"{COOKIE}={cookie}"} if cookie else {}
                if need in ("socket", "ticket"):
                    seen = await _socket(dashboard.url + path, headers)
                    allowed = {"socket": {403}, "ticket": {4401}}[need]
                    if need == "socket" and kind in KNOWN:
                        allowed = {"open"}  # to Bokeh, which then wants the page's own signature
                    text = ""
                else:
                    answer = await http.get(path, headers=headers)
                    http.cookies.clear()
                    seen, text = answer.status_code, answer.text
                    to_login = seen == 302 and "login" in answer.headers["location"]
                    allowed = {"nothing": {200, 302, 404, 405}, "address": {410}, "never": {404}, "login": {200}}[need]
                    if need == "login" and kind in NOBODY:
                        allowed = {302 if to_login else 0, 403}
                if seen not in allowed or SECRET_METRIC in text:
                    wrong.append((address, kind, seen))
        assert wrong == []
        print(f"{len(ROUTES)} routes by {len(cookies) + 1} kinds of viewer")


async def _socket(url: str, headers: dict[str, str], **more: Any) -> Any:
    """Return the HTTP status or the close code of a socket; "open" if it is."""
    request = HTTPRequest(url.replace("http", "ws", 1), headers=headers, request_timeout=HANG_S)
    subprotocols = ["bokeh", _unsigned()] if url.endswith("/ws") else None
    try:
        socket = await websocket_connect(request, subprotocols=subprotocols)
    except HTTPClientError as error:
        return error.code
    try:
        await asyncio.wait_for(socket.read_message(), HANG_S)
        return socket.close_code or "open"
    finally:
        socket.close()


def _unsigned() -> str:
    from bokeh.util.token import generate_jwt_token, generate_session_id  # noqa: PLC0415 - only here

    return str(generate_jwt_token(generate_session_id(), signed=False))


@pytest.mark.parametrize("login", [False, True])
async def test_pages_of_other_sites_reach_no_route_and_no_socket(service: Any, login: bool) -> None:
    settings = DashboardSettings(url=service.url, dashboard_port=0, dashboard_login=login)
    async with (
        running_dashboard(settings) as dashboard,
        httpx.AsyncClient(base_url=dashboard.url, trust_env=False, timeout=HANG_S) as http,
    ):
        port = dashboard.server.port
        for origin in (
            "https://evil.example",
            f"http://evil.example:{port}",
            "http://127.0.0.1:1",
            "null",
            "http://[::1",
        ):
            for path in ("/ws", "/d/plant/ws", "/frames?ticket=guess"):
                assert await _socket(dashboard.url + path, {"Origin": origin}) == 403, (origin, path)
            for path, need in ROUTES.values():
                answer = await http.get(path, headers={"Origin": origin})
                assert answer.status_code == (200 if path == "/health/live" else 403), need
        for site in ("cross-site", "same-site"):
            for method, path in (("GET", "/"), ("POST", "/logout"), ("GET", "/metadata"), ("GET", "/frames")):
                assert (await http.request(method, path, headers={"Sec-Fetch-Site": site})).status_code == 403
        followed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
        assert (await http.get("/", headers=followed)).status_code == (302 if login else 200)
        assert (await http.post("/logout", headers=followed)).status_code == 403
        for host in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", "localhost.evil.example"):
            for path, _ in ROUTES.values():
                answer = await http.get(path, headers={"Host": host})
                if path == "/health/live":  # a probe asks it by address
                    assert (answer.status_code, answer.json()) == (200, {"live": True})
                    continue
                assert answer.status_code == 421
                assert "--dashboard-allowed-hosts" in answer.text
            assert await _socket(dashboard.url + "/ws", {"Host": host}) == 421
        own = {"Origin": dashboard.url, "Sec-Fetch-Site": "same-origin"}
        assert (await http.get("/login" if login else "/", headers=own)).status_code == 200
        assert "access-control-allow-origin" not in (await http.get("/autoload.js")).headers
        assert json.dumps(dict(http.cookies)) == "{}"


@pytest.mark.parametrize("login", [False, True])
async def test_head_answers_as_get_and_opens_no_session(service: Any, login: bool) -> None:
    settings = DashboardSettings(url=service.url, dashboard_port=0, dashboard_login=login)
    async with (
        running_dashboard(settings) as dashboard,
        httpx.AsyncClient(base_url=dashboard.url, trust_env=False, timeout=HANG_S) as http,
    ):
        for path in ("/", "/d/plant", "/health/live"):
            answer = await http.head(path)
            assert answer.status_code == (302 if login and path != "/health/live" else 200)
            assert answer.content == b""
        assert (await http.head("/", headers={"Host": "evil.example"})).status_code == 421
        assert (await http.head("/", headers={"Origin": "http://evil.example"})).status_code == 403
        assert dashboard.server.panel is not None
        assert dashboard.server.panel.get_sessions() == []
