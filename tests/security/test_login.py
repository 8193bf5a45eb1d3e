"""The dashboard's log-in: a token for a cookie, and nothing on any page that the token may not see."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx
import pytest
from servers import Service, Valkey
from tornado.httpclient import HTTPClientError
from tornado.websocket import websocket_connect
from waiting import HANG_MS, HANG_S, eventually

from tidewire.errors import InvalidInput
from tidewire.livestore.view_frame import unpack_frame
from tidewire.redislog.log import RedisLog
from tidewire_dashboard.app import Dashboard, running_dashboard
from tidewire_dashboard.login_page import COOKIE, local_path
from tidewire_dashboard.settings import DashboardSettings
from tidewire_service.auth.tokens import TokenStore
from tidewire_service.settings import ServiceSettings

from .conftest import MakeToken, bearer, tokens_of

# -- one house for all tests of this module: each has tokens of its own


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    server = Valkey(tmp_path_factory.mktemp("login") / "valkey")
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="module")
async def store(valkey: Valkey) -> AsyncIterator[TokenStore]:
    log = RedisLog(valkey.url)
    yield TokenStore(log)
    await log.close()


@pytest.fixture(scope="module")
def token(store: TokenStore) -> MakeToken:
    return tokens_of(store)


@pytest.fixture(scope="module")
async def guarded(valkey: Valkey) -> AsyncIterator[Service]:
    """A service that asks for tokens."""
    service = Service(ServiceSettings(redis=valkey.url, port=0, drain_s=0.1, auth=True))
    await service.start()
    yield service
    await service.stop()
    await service.http.aclose()


@pytest.fixture(scope="module")
async def board(guarded: Service, token: MakeToken) -> AsyncIterator[Dashboard]:
    """A dashboard with log-in, on a service that asks for tokens, with two metrics of two rooms."""
    publish = bearer(await token(publish=("**",)))
    for metric in ("plant/a", "secret/b"):
        await guarded.http.post("/v1/readings", json={"metric": metric, "value": 1}, headers=publish)
    own = await token("dashboard", subscribe=("**",), edit=True)
    settings = DashboardSettings(url=guarded.url, token=own, dashboard_port=0, dashboard_login=True)
    async with running_dashboard(settings) as dashboard:
        await eventually(lambda: dashboard.source.store.metrics == 2)
        yield dashboard


@pytest.fixture
async def http(board: Dashboard) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=board.url, trust_env=False, timeout=HANG_S) as client:
        yield client


async def log_in(http: httpx.AsyncClient, token: str, on: str = "/") -> httpx.Response:
    return await http.post("/login", data={"token": token, "next": on})


async def ticket(http: httpx.AsyncClient, board: Dashboard) -> str:
    """Open a page, and return the ticket that was issued to it."""
    page = await http.get("/")
    assert page.status_code == 200
    return next(reversed(board.hub.tickets._tickets))


async def test_nobody_gets_in_without_a_token(board: Dashboard, http: httpx.AsyncClient) -> None:
    for path in ("/", "/d/plant"):
        answer = await http.get(path)
        to = urlsplit(urljoin(path, answer.headers["location"]))
        assert (answer.status_code, to.path, parse_qs(to.query)["next"]) == (302, "/login", [path])
    for bad in ("", "nonsense", "tw_" + "0" * 12 + "_" + "x" * 43, "x" * 9_000, "tok\u00e9n"):
        answer = await log_in(http, bad)
        assert answer.status_code == 403, bad
        assert "set-cookie" not in answer.headers
        assert (bad not in answer.text) or not bad
    with pytest.raises(HTTPClientError):
        await websocket_connect(board.url.replace("http", "ws") + "/ws")
    socket = await websocket_connect(board.url.replace("http", "ws") + "/frames?ticket=guess")
    assert await socket.read_message() is None
    assert socket.close_code == 4401


async def test_the_cookie_is_for_the_server_alone(board: Dashboard, http: httpx.AsyncClient, token: Any) -> None:
    mine = await token("board", subscribe=("**",))
    answer = await log_in(http, mine, "/d/plant?w=5m")
    assert (answer.status_code, answer.headers["location"]) == (303, "/d/plant?w=5m")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert mine not in cookie
    assert (await http.get("/d/plant")).status_code == 200
    assert (await http.post("/logout")).status_code == 303
    http.cookies.set(COOKIE, cookie.split("=", 1)[1].split(";")[0])
    assert (await http.get("/")).status_code == 302  # what was logged out stays out


@pytest.mark.parametrize(
    "on",
    ["https://evil.example", "//evil.example", "/\\evil.example", "/a\r\nSet-Cookie: x=1", "javascript:alert(1)", ""],
)
async def test_nobody_is_led_elsewhere_after_the_log_in(
    board: Dashboard, http: httpx.AsyncClient, token: Any, on: str
) -> None:
    assert local_path(on) == "/"
    answer = await log_in(http, await token(subscribe=("**",)), on)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


@pytest.mark.parametrize("on", ['/"><img src=x onerror=alert(1)>', "/d/{{7*7}}", "javascript:alert(1)", "/</form>"])
async def test_what_is_asked_for_is_text_on_the_log_in_page(
    board: Dashboard, http: httpx.AsyncClient, token: Any, on: str
) -> None:
    shown = await http.get("/login", params={"next": on})
    refused = await http.post("/login", data={"token": on, "next": on})
    for answer in (shown, refused):
        assert "<img" not in answer.text
        assert "javascript:" not in answer.text
        assert answer.text.count("</form>") == 1
        assert "nonce-" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
    for path in (f"/{on}", f"/d/{on}", f"/exports/{on}.csv"):
        answer = await http.get(path)
        assert "<img" not in answer.text, path


async def test_a_page_of_another_site_cannot_log_anybody_in(
    board: Dashboard, http: httpx.AsyncClient, token: Any
) -> None:
    data = {"token": await token(subscribe=("**",)), "next": "/"}
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        for path in ("/login", "/logout"):
            answer = await http.post(path, data=data, headers=headers)
            assert answer.status_code == 403
            assert "set-cookie" not in answer.headers


async def test_a_viewer_is_sent_only_what_their_token_may_see(
    board: Dashboard, http: httpx.AsyncClient, token: Any, guarded: Any
) -> None:
    await log_in(http, await token(subscribe=("plant/**",)))
    socket = await websocket_connect(board.url.replace("http", "ws") + f"/frames?ticket={await ticket(http, board)}")
    hidden = next(series.index for series in board.source.store.series if series.metric == "secret/b")
    await socket.write_message(json.dumps({"t": "hello", "page": "overview"}))
    view = {"t": "view", "view": 1, "series": None, "window_ms": 300_000, "buckets": 50}
    await socket.write_message(json.dumps(view))
    await socket.write_message(json.dumps({**view, "view": 0, "series": [0, 1]}))
    asked = {"t": "range", "id": 7, "series": [0, 1], "start_ms": 1.7e12, "end_ms": 1.7e12 + 1e5, "buckets": 50}
    await socket.write_message(json.dumps(asked))
    publish = bearer(await token(publish=("**",)))
    for metric in ("plant/new", "secret/new"):
        body = {"metric": metric, "value": -2, "text": f"event of {metric}"}  # below what another test alerts on
        await guarded.http.post("/v1/readings", json=body, headers=publish)
    seen: set[str] = set()
    frames: list[int] = []
    async with asyncio.timeout(HANG_S):
        while "plant/new" not in seen or 65_535 not in frames:
            message = await socket.read_message()
            assert message is not None
            if isinstance(message, bytes):
                frame = unpack_frame(message)
                shown = {int(index) for index in frame.records["index"]}
                assert hidden not in shown
                frames += [65_535] if len(shown) == 2 else []  # the new one joined the view of everything
                await socket.write_message(f"a{frame.view}:{frame.seq}")
                continue
            assert "secret" not in message
            found = json.loads(message)
            seen |= {series["metric"] for series in found.get("series", ()) if found["t"] == "series"}
            if found["t"] == "status":
                assert found["metrics"] <= 2
    assert seen == {"plant/a", "plant/new"}
    socket.close()


async def test_a_revoked_token_ends_open_pages_within_five_seconds(
    board: Dashboard, http: httpx.AsyncClient, token: Any, store: Any
) -> None:
    mine = await token(subscribe=("**",))
    await log_in(http, mine)
    socket = await websocket_connect(board.url.replace("http", "ws") + f"/frames?ticket={await ticket(http, board)}")
    await socket.write_message(json.dumps({"t": "hello", "page": "overview"}))
    assert await socket.read_message() is not None
    await store.revoke(mine.split("_")[1])
    async with asyncio.timeout(HANG_S):
        while await socket.read_message() is not None:
            pass
    assert socket.close_code == 4403
    assert (await http.get("/")).status_code == 302


async def test_a_service_that_asks_nobody_lets_nobody_log_in(service: Any) -> None:
    settings = DashboardSettings(url=service.url, dashboard_port=0, dashboard_login=True)
    async with (
        running_dashboard(settings) as dashboard,
        httpx.AsyncClient(base_url=dashboard.url, timeout=HANG_S) as http,
    ):
        answer = await log_in(http, "tw_" + "0" * 12 + "_" + "x" * 43)
        assert answer.status_code == 403
        assert "--auth" in answer.text


async def test_every_answer_has_a_policy(board: Dashboard, http: httpx.AsyncClient, token: Any) -> None:
    await log_in(http, await token(subscribe=("**",)))
    for path in ("/", "/d/x", "/login", "/nothing"):
        answer = await http.get(path)
        assert "default-src 'none'" in answer.headers["content-security-policy"], path
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "server" not in answer.headers


async def test_an_address_that_others_reach_needs_a_log_in() -> None:
    with pytest.raises(InvalidInput, match="--login"):
        async with running_dashboard(DashboardSettings(dashboard_host="0.0.0.0", dashboard_port=0)):
            pass


@pytest.mark.browser
async def test_a_share_link_logs_in_and_leaves_no_token_in_the_address(
    board: Dashboard, browser: Any, token: Any
) -> None:
    narrow = await token("share", subscribe=("plant/**",), lifetime_s=600)
    page = await browser.new_page()
    urls: list[str] = []
    problems: list[str] = []
    page.on("request", lambda request: urls.append(request.url))
    page.on("console", lambda message: message.type == "error" and problems.append(message.text))
    await page.goto(f"{board.url}/login#token={narrow}&next=/d/plant")
    await page.wait_for_url(f"{board.url}/d/plant**")
    await page.get_by_text("plant").first.wait_for(timeout=HANG_MS)
    assert narrow not in page.url
    sent = [url.partition("#")[0] for url in urls]
    assert not [url for url in sent if narrow.split("_", 2)[2] in url]
    assert "secret" not in await page.content()
    assert await page.evaluate("document.cookie") == ""
    assert not problems, problems


async def test_answers_are_of_what_may_be_seen_and_what_is_of_all_is_refused(
    board: Dashboard, http: httpx.AsyncClient, token: Any, guarded: Any
) -> None:
    admin = bearer(await token(edit=True, subscribe=("**",)))
    limits = [{"metric": "secret/b", "warn_above": 0}, {"metric": "plant/**", "warn_above": 0}]
    put = await guarded.http.put("/v1/thresholds", json={"thresholds": limits}, headers=admin)
    assert put.is_success, put.text
    async with asyncio.timeout(HANG_S):
        while len(board.hub.shared.alarms.alarms_message().alarms) < 2:
            board.hub.shared.alarms.evaluate(board.source.feed.now_ms())  # nobody watches yet, so nothing ticks
            await asyncio.sleep(0.05)
    await log_in(http, await token(subscribe=("plant/**",), edit=True))
    socket = await websocket_connect(board.url.replace("http", "ws") + f"/frames?ticket={await ticket(http, board)}")
    now_ms = time.time() * 1e3
    window = {"series": [0, 1], "start_ms": now_ms - 600_000, "end_ms": now_ms + 1_000}
    save = {"t": "save_deck", "slug": "x", "deck": {}, "over": None}
    questions: list[dict[str, Any]] = [
        {"t": "hello", "page": "overview"},
        {"t": "statistics", "id": 1, **window}, {"t": "table", "id": 2, **window},
        {"t": "export", "id": 3, "kind": "csv", **window}, {"t": "decks"}, save,
        {"t": "read_deck", "slug": "x"}, {"t": "save_thresholds", "thresholds": []},
    ]  # fmt: skip
    found: dict[str, Any] = {}
    refused: list[str] = []
    for question in questions:
        await socket.write_message(json.dumps(question))
        async with asyncio.timeout(HANG_S):
            while question["t"] != "hello":
                message = await socket.read_message()
                assert isinstance(message, str)
                assert "secret" not in message
                answer = json.loads(message)
                found[answer["t"]] = answer
                if answer["t"] == "refused":
                    refused.append(answer["to"])
                if answer["t"] in {question["t"], "refused"}:
                    break
    (shown,) = [series.index for series in board.source.store.series if series.metric == "plant/a"]
    assert [row["i"] for row in found["statistics"]["rows"]] == [shown]
    assert [row[1] for row in found["table"]["rows"]] == [shown]
    assert found["decks"]["decks"] == []
    assert refused == ["save_deck", "read_deck", "save_thresholds"]
    assert [limit["metric"] for limit in found["thresholds"]["thresholds"]] == ["plant/**"]
    assert len(found["alarms"]["alarms"]) == 1
    file = await http.get("/" + found["export"]["url"].lstrip("/"))
    assert file.status_code == 200
    assert "plant/a" in file.text
    assert "secret" not in file.text
    socket.close()


async def test_who_may_look_may_not_change(board: Dashboard, http: httpx.AsyncClient, token: Any) -> None:
    """The dashboard's own token may edit: what a viewer may do is asked of the viewer's."""
    await log_in(http, await token(subscribe=("**",)))
    socket = await websocket_connect(board.url.replace("http", "ws") + f"/frames?ticket={await ticket(http, board)}")
    changes: list[dict[str, Any]] = [
        {"t": "save_deck", "slug": "x", "deck": {}, "over": None}, {"t": "delete_deck", "slug": "x"},
        {"t": "save_thresholds", "thresholds": []},
        {"t": "add_event", "time_ms": 1.0, "text": "x", "labels": {}},
    ]  # fmt: skip
    for change in changes:
        await socket.write_message(json.dumps(change))
        async with asyncio.timeout(HANG_S):
            message = await socket.read_message()
        assert isinstance(message, str)
        assert json.loads(message)["t"] == "refused"
        assert "--edit" in message
    socket.close()


@pytest.mark.browser
async def test_a_page_whose_token_is_over_stays_and_goes_on_after_another_log_in(
    board: Dashboard, browser: Any, token: Any, store: Any
) -> None:
    mine, next_one = await token("one", subscribe=("plant/**",)), await token("two", subscribe=("plant/**",))
    page = await browser.new_page()
    await page.goto(f"{board.url}/login?next=/d/plant%3Fw=15m")
    await page.locator("input[type=password], input[name=token]").first.fill(mine)
    await page.keyboard.press("Enter")
    last = "() => Object.values(window.__tidewire?.state().lastValues ?? {}).includes(1)"
    await page.wait_for_function(last, polling=50)
    await store.revoke(mine.split("_")[1])
    dialog = page.locator('[data-tw="dialog"]')
    await dialog.get_by_text("Nothing on this page is lost").wait_for(timeout=HANG_MS)
    await page.locator('[data-tw="keep-looking"]').click()
    assert await page.evaluate(last), "what was shown is still there"
    await page.locator('[data-tw="connection-badge"]').click()
    await page.locator('[data-tw="sign-in-token"]').fill(mine)
    await page.locator('[data-tw="sign-in"]').click()
    await dialog.get_by_text("does not know this token").wait_for()
    await page.locator('[data-tw="sign-in-token"]').fill(next_one)
    await page.locator('[data-tw="sign-in"]').click()
    await page.wait_for_function("() => window.__tidewire?.state().link === 'open'", polling=50)
    await page.wait_for_function(last, polling=50)
    assert "w=15m" in page.url
    await page.close()


@pytest.mark.browser
async def test_a_viewer_reads_who_they_are_and_leaves(board: Dashboard, browser: Any, token: Any) -> None:
    page = await browser.new_page()
    await page.goto(f"{board.url}/login?next=/d/plant")
    await page.locator("input[name=token]").fill(await token("night shift", subscribe=("plant/**",)))
    await page.keyboard.press("Enter")
    await page.locator('[data-tw="more"]').click()
    await page.locator('[data-tw="more-menu"]').get_by_text("Logged in as night shift").wait_for(timeout=HANG_MS)
    await page.locator('[data-tw="log-out"]').click()
    await page.wait_for_url(f"{board.url}/login")
    await page.goto(f"{board.url}/d/plant")
    assert "/login" in page.url, "the way back is a log-in"
    await page.close()


async def test_a_log_in_needs_no_panel(guarded: Any, token: MakeToken) -> None:
    text = await token("sees", subscribe=("**",))
    settings = DashboardSettings(url=guarded.url, token=text, dashboard_port=0, dashboard_login=True)
    async with (
        running_dashboard(settings, panel_later=True) as dashboard,
        httpx.AsyncClient(base_url=dashboard.url, trust_env=False, timeout=HANG_S) as http,
    ):

        async def seen() -> list[tuple[int, str]]:
            answers = [await http.get(path) for path in ("/", "/d/plant?w=5m")]
            return [(answer.status_code, answer.headers.get("location", "")) for answer in answers]

        strange = await seen()
        assert strange == [(302, "./login?next=%2F"), (302, "./../login?next=%2Fd%2Fplant%3Fw%3D5m")]
        answer = await http.post("/login", data={"token": text, "next": "/d/plant"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/d/plant")
        page = await http.get("/d/plant")
        assert page.status_code == 200
        assert '"viewer": "sees"' in page.text
        assert dashboard.server.panel is None
        await dashboard.server.load_panel()
        assert '"viewer": "sees"' in (await http.get("/d/plant")).text
        http.cookies.delete(COOKIE)
        assert await seen() == strange
