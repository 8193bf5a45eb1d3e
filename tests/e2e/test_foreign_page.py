"""Faults row 23 in a browser: a page of another origin posts, fetches, streams and rebinds a name; all refused."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.async_api import async_playwright
from servers import LiveService
from waiting import HANG_S

from tidewire_dashboard.app import running_dashboard
from tidewire_dashboard.settings import DashboardSettings

pytestmark = pytest.mark.browser

PAGE = """<!doctype html><title>evil</title>
<form id=form method=post enctype=text/plain action="SERVICE/v1/readings" target=frame>
<input name='{"metric":"by/form","value":1,"x":"' value='"}'></form><iframe name=frame></iframe>"""
ATTACKS = """async (service) => {
  const tried = {};
  const attempt = async (name, run) => {
    try { tried[name] = await run(); } catch (error) { tried[name] = String(error); }
  };
  const body = JSON.stringify({metric: "by/fetch", value: 1});
  document.getElementById("form").submit();
  await attempt("no-cors", async () =>
    (await fetch(`${service}/v1/readings`, {method: "POST", mode: "no-cors", body})).type);
  await attempt("cors", async () => (await fetch(`${service}/v1/readings`, {
    method: "POST", headers: {"Content-Type": "application/json"}, body})).status);
  await attempt("read", async () => (await fetch(`${service}/v1/catalog?metric=**`)).text());
  await attempt("beacon", async () => navigator.sendBeacon(`${service}/v1/readings`, body));
  await attempt("image", async () => new Promise((resolve) => {
    const image = new Image();
    image.onload = () => resolve("loaded");
    image.onerror = () => resolve("refused");
    image.src = `${service}/v1/catalog?metric=**`;
  }));
  await attempt("stream", async () => new Promise((resolve) => {
    const source = new EventSource(`${service}/v1/stream?metric=**`);
    source.onmessage = (event) => resolve(event.data);
    source.onopen = () => resolve("opened");
    source.onerror = () => resolve(source.readyState === EventSource.CLOSED ? "refused" : "retries");
  }));
  await new Promise((resolve) => setTimeout(resolve, 500));
  return tried;
}"""


@pytest.fixture
def evil(live_service: LiveService) -> Iterator[str]:
    """A page of another site (localhost is not 127.0.0.1 to a browser)."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(PAGE.replace("SERVICE", live_service.url).encode())

        def log_message(self, *_: Any) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://localhost:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()
    thread.join()


async def test_a_page_of_another_origin_gets_nothing_in_and_nothing_out(
    evil: str, live_service: LiveService, chromium_command: list[str]
) -> None:
    with httpx.Client(base_url=live_service.url, trust_env=False, timeout=HANG_S) as http_client:
        http_client.post("/v1/readings", json={"metric": "secret/plant", "value": 42})
        async with async_playwright() as playwright:
            program, *flags = chromium_command
            port = live_service.url.rpartition(":")[2]
            rebind = "--host-resolver-rules=MAP rebound.example 127.0.0.1"
            browser = await playwright.chromium.launch(executable_path=program, args=[*flags, rebind])
            page = await browser.new_page()
            await page.goto(evil)
            tried = await page.evaluate(ATTACKS, live_service.url)
            answer = await page.goto(f"http://rebound.example:{port}/v1/catalog?metric=**")
            assert answer is not None
            rebound = (answer.status, await answer.text())
            await browser.close()
        for name in ("no-cors", "cors", "read"):
            assert "Failed to fetch" in str(tried[name]), name
        assert (tried["image"], tried["stream"]) == ("refused", "refused")
        assert rebound[0] == 421
        assert "secret" not in rebound[1]
        stored = http_client.get("/v1/catalog", params={"metric": "**"}).json()["series"]
        assert [series["metric"] for series in stored] == ["secret/plant"], "nothing came in"
    log = live_service.log.read_text()
    refused = [line for line in log.splitlines() if "request_refused" in line]
    assert sum("another site" in line or "may not use this service" in line for line in refused) >= 5
    assert any("rebound.example" in line for line in refused)


ON_THE_DASHBOARD = """async (board) => {
  const tried = {};
  const attempt = async (name, run) => {
    try { tried[name] = await run(); } catch (error) { tried[name] = String(error); }
  };
  const socket = (path, ...protocols) => new Promise((resolve) => {
    const opened = new WebSocket(board.replace("http", "ws") + path, protocols);
    opened.onopen = () => resolve("opened");
    opened.onerror = () => resolve("refused");
  });
  const loaded = (tag, address) => new Promise((resolve) => {
    const element = document.createElement(tag);
    element.onload = () => resolve(element.contentDocument === undefined ? "loaded" : "framed");
    element.onerror = () => resolve("refused");
    element.src = address;
    document.body.append(element);
  });
  const read = (path, options) => fetch(board + path, options).then((answer) => answer.text());
  await attempt("page", () => read("/"));
  await attempt("page with cookies", () => read("/", {credentials: "include"}));
  const autoload = "/autoload.js?bokeh-autoload-element=x&bokeh-app-path=/&bokeh-absolute-url=" + board;
  await attempt("session", () => read(autoload, {credentials: "include"}));
  await attempt("session as a script", () => loaded("script", board + autoload));
  await attempt("log out", async () => (await fetch(board + "/logout", {method: "POST", mode: "no-cors"})).type);
  await attempt("log in", async () => (await fetch(board + "/login", {method: "POST", mode: "no-cors"})).type);
  await attempt("frames", () => socket("/frames?ticket=x"));
  await attempt("bokeh", () => socket("/ws", "bokeh", "token"));
  await attempt("module", () => import(board + "/assets/inter-latin.woff2"));
  return tried;
}"""


async def test_a_page_of_another_origin_gets_nothing_of_a_dashboard(
    evil: str, live_service: LiveService, chromium_command: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """`localhost` at another port is another origin, but the same site: cookies would come along."""
    program, *flags = chromium_command
    caplog.set_level("INFO", "tidewire")
    rebind = "--host-resolver-rules=MAP rebound.example 127.0.0.1"
    settings = DashboardSettings(url=live_service.url, dashboard_host="localhost", dashboard_port=0)
    async with running_dashboard(settings) as dashboard, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=[*flags, rebind])
        page = await browser.new_page()
        own = await page.goto(dashboard.url)
        assert own is not None
        assert own.status == 200
        sessions = len(dashboard.hub.tickets._tickets)
        for host in ("localhost", "127.0.0.1"):
            await page.goto(evil)
            tried = await page.evaluate(ON_THE_DASHBOARD, dashboard.url.replace("localhost", host))
            for name, seen in tried.items():
                assert seen == "refused" or "Failed to fetch" in seen or seen == "opaque", (host, name, seen)
        for host in ("rebound.example", "localhost.evil.example"):
            async with httpx.AsyncClient(trust_env=False, timeout=HANG_S) as http_client:
                answer = await http_client.get(dashboard.url, headers={"Host": host})
            assert answer.status_code == 421
        rebound = await page.goto(f"http://rebound.example:{dashboard.server.port}/")
        assert rebound is not None
        assert rebound.status == 421
        framed = await page.goto(evil)
        assert framed is not None
        await page.evaluate("(board) => { document.getElementsByName('frame')[0].src = board; }", dashboard.url)
        link = await page.goto(dashboard.url, referer=evil)
        assert link is not None
        assert link.status == 200, "a link from elsewhere is followed"
        assert len(dashboard.hub.tickets._tickets) <= sessions + 1, "no session was opened for a stranger"
        await browser.close()
    refused = [record.getMessage() for record in caplog.records if " refused: " in record.getMessage()]
    assert sum("page of another site" in line for line in refused) >= 14
    assert any("rebound.example" in line for line in refused)
    assert not any("ticket=" in line for line in refused)
