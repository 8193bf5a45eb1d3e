"""FAULTS row 23 in a browser: a page of another origin posts, fetches, streams and rebinds a name; all refused."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.async_api import async_playwright

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
def evil(live_service: Any) -> Iterator[str]:
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
    evil: str, live_service: Any, chromium_command: list[str]
) -> None:
    with httpx.Client(base_url=live_service.url, trust_env=False) as http_client:
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
