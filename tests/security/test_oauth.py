"""The dashboard's log-in by an identity provider: Panel's handlers against a real OpenID provider of the test."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from servers import StartService
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler
from tornado.websocket import websocket_connect
from waiting import HANG_MS, HANG_S, Eventually

from tidewire.errors import InvalidInput
from tidewire_dashboard.app import Dashboard, running_dashboard
from tidewire_dashboard.login_page import COOKIE
from tidewire_dashboard.oauth import oauth_options
from tidewire_dashboard.settings import DashboardSettings
from tidewire_service.auth.jwt import JwtVerifier
from tidewire_service.settings import ServiceSettings

from .conftest import bearer

CLIENT, SECRET = "tidewire-client", "secret-of-the-client"
KEY = rsa.generate_private_key(65_537, 2_048)


class Provider:
    """An OpenID provider: lets everybody in as Anna, with the claims that a test wants."""

    def __init__(self) -> None:
        self.claims: dict[str, Any] = {"tidewire": "subscribe:plant/**"}
        self.lifetime_s = 600.0
        self.asked: list[dict[str, str]] = []
        self.brought: list[str] = []
        self._codes: dict[str, dict[str, str]] = {}
        outer = self

        class Authorize(RequestHandler):
            def get(self) -> None:
                asked = {name: self.get_query_argument(name) for name in self.request.query_arguments}
                outer.asked.append(asked)
                code = f"code-{len(outer.asked)}"
                outer._codes[code] = asked
                back = urlencode({"code": code, "state": asked["state"]})
                self.redirect(f"{asked['redirect_uri']}?{back}")

        class Token(RequestHandler):
            def post(self) -> None:
                given = {name: self.get_body_argument(name) for name in self.request.body_arguments}
                asked = outer._codes.pop(given.get("code", ""), None)
                proved = given.get("client_secret") == SECRET
                if asked and "code_challenge" in asked:
                    digest = hashlib.sha256(given.get("code_verifier", "").encode()).digest()
                    proved = base64.urlsafe_b64encode(digest).decode().rstrip("=") == asked["code_challenge"]
                if asked is None or not proved or given["redirect_uri"] != asked["redirect_uri"]:
                    self.set_status(400)
                    self.finish({"error": "invalid_grant"})
                    return
                self.finish({"id_token": outer.signed(), "access_token": "opaque", "token_type": "Bearer"})

        self._server = HTTPServer(Application([("/authorize", Authorize), ("/token", Token)]))
        sockets = bind_sockets(0, "127.0.0.1")
        self._server.add_sockets(sockets)
        self.url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"

    def signed(self) -> str:
        now = time.time()
        base = {"iss": self.url, "aud": CLIENT, "sub": "anna", "name": "Anna O'Neil", "exp": now + self.lifetime_s}
        self.brought.append(jwt.encode({**base, **self.claims}, KEY, "RS256", headers={"kid": "k"}))
        return self.brought[-1]

    def close(self) -> None:
        self._server.stop()


class Site(NamedTuple):
    """A dashboard that lets people log in at a provider, and a browser's worth of cookies."""

    provider: Provider
    dashboard: Dashboard
    http: httpx.AsyncClient


@pytest.fixture
async def site(start_service: StartService, token: Any, tmp_path: Path, eventually: Eventually) -> AsyncIterator[Any]:
    """Start one: ``async with site("generic", jwt_grants=…) as it``."""
    provider = Provider()
    public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key()))
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [{**public, "kid": "k"}]}))

    @asynccontextmanager
    async def begin(kind: str = "generic", **options: Any) -> AsyncIterator[Site]:
        named = {"jwt_issuer": provider.url, "jwt_audience": CLIENT, "jwt_jwks": str(tmp_path / "jwks.json")}
        service = await start_service(auth=True, **named, **options)
        publish = bearer(await token(publish=("**",)))
        for metric in ("plant/a", "secret/b"):
            await service.http.post("/v1/readings", json={"metric": metric, "value": 1}, headers=publish)
        settings = DashboardSettings(
            url=service.url,
            token=await token("dashboard", subscribe=("**",)),
            dashboard_port=0,
            dashboard_login=True,
            dashboard_oauth_provider=kind,
            dashboard_oauth_key=CLIENT,
            dashboard_oauth_secret="" if kind == "auth_code" else SECRET,
            dashboard_oauth_params=(f"AUTHORIZE_URL={provider.url}/authorize", f"TOKEN_URL={provider.url}/token"),
        )
        async with (
            running_dashboard(settings) as dashboard,
            httpx.AsyncClient(base_url=dashboard.url, trust_env=False, timeout=HANG_S) as http,
        ):
            await eventually(lambda: dashboard.source.store.metrics == 2)
            yield Site(provider, dashboard, http)

    yield begin
    provider.close()


async def way(site: Site, on: str = "/d/plant") -> httpx.Response:
    """Go the whole way of a log-in; return the answer to what the provider sends back."""
    there = await site.http.get("/oauth", params={"next": on})
    assert there.status_code == 302, there.text
    back = await site.http.get(there.headers["location"])
    assert back.headers["location"].startswith(site.dashboard.url + "/oauth?")
    return await site.http.get(back.headers["location"])


@pytest.mark.parametrize("kind", ["generic", "auth_code"])
async def test_a_viewer_logs_in_at_the_provider_and_sees_what_its_claim_says(site: Any, kind: str) -> None:
    async with site(kind) as it:
        login = await it.http.get("/login", params={"next": "/d/plant?w=5m"})
        assert "/oauth?next=%2Fd%2Fplant%3Fw%3D5m" in login.text
        arrived = await way(it, "/d/plant?w=5m")
        assert (arrived.status_code, arrived.headers["location"]) == (302, "/d/plant?w=5m")
        [asked] = it.provider.asked
        assert asked["client_id"] == CLIENT
        assert asked["redirect_uri"] == f"{it.dashboard.url}/oauth"
        assert "openid" in asked["scope"]
        cookies = arrived.headers.get_list("set-cookie")
        [mine] = [cookie for cookie in cookies if cookie.startswith(f"{COOKIE}=")]
        assert "HttpOnly" in mine
        assert "SameSite=Lax" in mine
        payload = it.provider.brought[0].split(".")[1]
        everything = " ".join(it.http.cookies.values())
        assert payload not in everything, "the provider's token stays with the dashboard"
        assert base64.b64encode(it.provider.brought[0].encode()).decode()[:60] not in everything
        assert set(it.http.cookies) == {COOKIE}
        [who] = it.dashboard.hub.logins._by_cookie.values()
        assert (who.name, who.subscribe, who.edit) == ("Anna O'Neil", ("plant/**",), False)
        page = await it.http.get("/")
        assert page.status_code == 200
        ticket = next(reversed(it.dashboard.hub.tickets._tickets))
        socket = await websocket_connect(it.dashboard.url.replace("http", "ws") + f"/frames?ticket={ticket}")
        await socket.write_message(json.dumps({"t": "hello", "page": "overview"}))
        series = ""
        while '"series"' not in series:
            series = str(await asyncio.wait_for(socket.read_message(), HANG_S))
        assert "plant/a" in series
        assert "secret" not in series
        socket.close()


async def test_the_log_in_ends_with_the_providers_token(site: Any) -> None:
    async with site() as it:
        it.provider.lifetime_s = 3.0
        assert (await way(it)).status_code == 302
        await it.http.get("/")
        ticket = next(reversed(it.dashboard.hub.tickets._tickets))
        socket = await websocket_connect(it.dashboard.url.replace("http", "ws") + f"/frames?ticket={ticket}")
        async with asyncio.timeout(HANG_S):
            while await socket.read_message() is not None:
                pass
        assert socket.close_code == 4403
        assert (await it.http.get("/")).headers["location"].lstrip(".").startswith("/login")


async def test_values_of_a_claim_are_looked_up_in_grants(site: Any) -> None:
    grants = ("operators=subscribe:plant/** edit", "guests=subscribe:lobby/**")
    async with site(jwt_claim="groups", jwt_grants=grants) as it:
        it.provider.claims = {"groups": ["operators", "subscribe:**", "others"]}
        assert (await way(it)).status_code == 302
        [who] = it.dashboard.hub.logins._by_cookie.values()
        assert (who.subscribe, who.edit) == (("plant/**",), True)
        it.http.cookies.clear()
        it.provider.claims = {"groups": "subscribe:**"}
        refused = await way(it)
        assert refused.status_code == 403
        assert "may see nothing" in refused.text


Tamper = Callable[[str], str]
TAMPERED: dict[str, Tamper] = {
    "another state": lambda back: back.replace("state=", "state=x"),
    "no state": lambda back: back.partition("&state=")[0],
    "another code": lambda back: back.replace("code-1", "code-9"),
    "an error": lambda back: back.replace("code=code-1", "error=access_denied&error_description=<b>call+us</b>"),
}


@pytest.mark.parametrize("how", TAMPERED)
async def test_what_comes_back_wrong_lets_nobody_in(site: Any, how: str, caplog: Any) -> None:
    async with site() as it:
        there = await it.http.get("/oauth", params={"next": "/"})
        back = (await it.http.get(there.headers["location"])).headers["location"]
        answer = await it.http.get(TAMPERED[how](back))
        assert answer.status_code == 403
        assert "did not log you in" in answer.text
        assert "call us" not in answer.text
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert COOKIE not in it.http.cookies
        assert (await it.http.get("/")).status_code == 302
        assert SECRET not in caplog.text


async def test_a_stranger_cannot_finish_what_a_viewer_began(site: Any) -> None:
    """Another browser has no state: nobody is logged in as somebody else by a link."""
    async with site() as it:
        there = await it.http.get("/oauth", params={"next": "/"})
        back = (await it.http.get(there.headers["location"])).headers["location"]
        it.http.cookies.clear()
        assert (await it.http.get(back)).status_code == 403


@pytest.mark.browser
async def test_a_browser_goes_the_way_there_and_back(site: Any, browser: Any) -> None:
    """What comes back comes from another site, which the origin guard and the state's cookie have to bear."""
    async with site() as it:
        context = await browser.new_context()
        page = await context.new_page()
        problems: list[str] = []
        page.on("console", lambda message: message.type == "error" and problems.append(message.text))
        await page.goto(f"{it.dashboard.url.replace('127.0.0.1', 'localhost')}/d/plant?w=5m")
        await page.get_by_role("link", name="Log in with your organisation").click()
        await page.wait_for_url("**/d/plant?w=5m*")
        await page.locator('[data-tw="connection-badge"]').filter(has_text="LIVE").wait_for(timeout=HANG_MS)
        assert {cookie["name"] for cookie in await context.cookies()} == {COOKIE}
        assert "code-1" not in page.url
        assert not problems, problems
        await context.close()


@pytest.mark.parametrize("on", ["https://evil.example/", "//evil.example", "/\\evil.example"])
async def test_nobody_is_led_elsewhere(site: Any, on: str) -> None:
    async with site() as it:
        there = await it.http.get("/oauth", params={"next": on})
        if there.status_code == 302:
            back = (await it.http.get(there.headers["location"])).headers["location"]
            to = urlsplit((await it.http.get(back)).headers["location"])
            assert not to.netloc
            assert to.path.startswith("/")
            assert not to.path.startswith(("//", "/\\"))
        else:
            assert there.status_code == 403
        assert (
            "evil" not in parse_qs(urlsplit(str(there.headers.get("location", ""))).query).get("redirect_uri", [""])[0]
        )


async def test_a_provider_that_is_away_is_said_to_be(site: Any) -> None:
    async with site() as it:
        there = await it.http.get("/oauth", params={"next": "/"})
        back = (await it.http.get(there.headers["location"])).headers["location"]
        it.provider.close()
        answer = await it.http.get(back)
        assert answer.status_code in (403, 502)
        assert "Try again" in answer.text or "try again" in answer.text
        assert COOKIE not in it.http.cookies


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"dashboard_oauth_provider": "github"}, "JSON Web Tokens"),
        ({"dashboard_login": False}, "--login"),
        ({"dashboard_oauth_key": ""}, "--oauth-key"),
        ({"dashboard_oauth_params": ("AUTHORIZE_URL=https://id.example.org/a",)}, "TOKEN_URL"),
        ({"dashboard_oauth_params": ("AUTHORIZE_URL=http://id.example.org/a", "TOKEN_URL=https://x/t")}, "https"),
        ({"dashboard_oauth_params": ("tenant",)}, "NAME=VALUE"),
    ],
)
def test_what_cannot_work_is_said_at_the_start(given: dict[str, Any], why: str) -> None:
    good = {
        "dashboard_login": True, "dashboard_oauth_provider": "generic", "dashboard_oauth_key": CLIENT,
        "dashboard_oauth_params": ("AUTHORIZE_URL=https://id.example.org/a", "TOKEN_URL=https://id.example.org/t"),
    }  # fmt: skip
    assert oauth_options(DashboardSettings(**good))["oauth_key"] == CLIENT
    with pytest.raises(InvalidInput, match=why):
        oauth_options(DashboardSettings(**{**good, **given}))
    assert SECRET not in repr(DashboardSettings(**good, dashboard_oauth_secret=SECRET))


@pytest.mark.parametrize("grant", ["operators", "=edit", "operators=", "operators=admin", "operators=subscribe:a**b"])
def test_grants_that_cannot_be_read_are_refused(grant: str) -> None:
    with pytest.raises(InvalidInput):
        JwtVerifier(ServiceSettings(auth=True, jwt_issuer="i", jwt_audience="a", jwt_jwks="f", jwt_grants=(grant,)))
