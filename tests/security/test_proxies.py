"""docs/proxies.md: its blocks for Caddy and nginx, run in front of a service and a dashboard, with a browser."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from certificates import Certificates, make_certificates
from ports import own_port
from servers import StartService
from waiting import HANG_MS, HANG_S, Eventually

from tidewire_dashboard.app import Dashboard, running_dashboard
from tidewire_dashboard.settings import DashboardSettings

from .conftest import bearer

PAGE = (Path(__file__).parents[2] / "docs/proxies.md").read_text()
STREAMS = 24  # a browser opens six over HTTP/1.1
VIEWER, LIE = "127.0.0.3", "203.0.113.9"
OPEN_STREAMS = """
async ({token, count}) => {
  const headers = {Authorization: `Bearer ${token}`, "Content-Type": "application/json"};
  window.live = 0; window.arrived = []; window.failed = [];
  for (let n = 0; n < count; n++) {
    const body = JSON.stringify({metric: ["plant/**"]});
    const {url} = await (await fetch("/v1/tickets", {method: "POST", headers, body})).json();
    const source = new EventSource(url);
    source.addEventListener("live", () => window.live++);
    source.onmessage = (event) => { if (JSON.parse(event.data).value[0] === 42) window.arrived.push(Date.now()); };
    source.onerror = () => window.failed.push(n);
  }
  const asked = performance.getEntriesByType("resource").filter((entry) => entry.name.endsWith("/v1/tickets"));
  return asked.map((entry) => entry.nextHopProtocol);
}
"""


def recipe(name: str) -> str:
    """Return a block of the page."""
    found = re.search(rf"<!-- recipe: {name} -->\n```\w+\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return found[1]


def caddy(directory: Path, port: int, files: Certificates, ports: dict[str, int]) -> list[str]:
    """Write the configuration; return the command."""
    text = recipe("caddy").replace(
        "tidewire.example.org {", f"https://localhost:{port} {{\n\ttls {files.certificate} {files.key}"
    )
    for there, here in ports.items():
        text = text.replace(there, f"127.0.0.1:{here}")
    (directory / "Caddyfile").write_text("{\n\tadmin off\n\tauto_https off\n}\n" + text)
    return [str(shutil.which("caddy")), "run", "--config", str(directory / "Caddyfile"), "--adapter", "caddyfile"]


def nginx(directory: Path, port: int, files: Certificates, ports: dict[str, int]) -> list[str]:
    """Write the configuration; return the command."""
    text = recipe("nginx").replace("listen 443", f"listen 127.0.0.1:{port}")
    text = text.replace("tidewire.example.org", "localhost")
    text = text.replace("/etc/ssl/tidewire/chain.pem", files.certificate)
    text = text.replace("/etc/ssl/tidewire/key.pem", files.key)
    text = text.replace("/var/log/nginx/tidewire.log", str(directory / "access.log"))
    for there, here in ports.items():
        text = text.replace(there, f"127.0.0.1:{here}")
    temporary = "".join(
        f"{kind}_temp_path {directory};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (directory / "nginx.conf").write_text(
        f"daemon off;\npid {directory}/pid;\nerror_log stderr;\nuser {os.environ.get('USER') or 'root'};\n"
        f"events {{}}\nhttp {{\n{temporary}{text}}}\n"
    )
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    return [str(program), "-p", str(directory), "-c", str(directory / "nginx.conf"), "-e", "stderr"]


class Site(NamedTuple):
    """A proxy before a service and a dashboard."""

    url: str
    service: Any
    dashboard: Dashboard
    http: httpx.AsyncClient


@pytest.fixture(params=[caddy, nginx])
async def site(
    request: pytest.FixtureRequest, start_service: StartService, token: Any, tmp_path: Path, eventually: Eventually
) -> AsyncIterator[Site]:
    files, port = make_certificates(tmp_path), own_port()
    service = await start_service(auth=True, trusted_proxies=("127.0.0.1",))
    own = await token("dashboard", subscribe=("**",))
    settings = DashboardSettings(
        url=service.url, token=own, dashboard_port=0, dashboard_login=True, dashboard_https=True
    )
    async with running_dashboard(settings) as dashboard:
        ports = {"127.0.0.1:8000": service.port, "127.0.0.1:5006": dashboard.server.port}
        command = request.param(tmp_path, port, files, ports)
        with (tmp_path / "proxy.log").open("wb") as log:
            home = {**os.environ, "HOME": str(tmp_path)}
            process = subprocess.Popen(command, stdout=log, stderr=log, env=home)
        authority = ssl.create_default_context(cafile=files.authority)
        try:
            async with httpx.AsyncClient(
                base_url=f"https://localhost:{port}",
                transport=httpx.AsyncHTTPTransport(local_address=VIEWER, verify=authority),
                timeout=HANG_S,
            ) as http:

                async def there() -> bool:
                    assert process.poll() is None, (tmp_path / "proxy.log").read_text()
                    try:
                        return (await http.get("/schema/openapi.json")).status_code == 200
                    except httpx.TransportError:
                        return False

                await eventually(there)
                yield Site(f"https://localhost:{port}", service, dashboard, http)
        finally:
            process.terminate()
            await asyncio.to_thread(process.wait, HANG_S)


@asynccontextmanager
async def page_of(browser: Any) -> AsyncIterator[Any]:
    context = await browser.new_context(ignore_https_errors=True)
    yield await context.new_page()
    await context.close()


@pytest.mark.browser
@pytest.mark.proxies
async def test_a_browser_has_many_live_streams_and_the_dashboard_through_a_proxy(
    site: Site, browser: Any, token: Any, eventually: Eventually, capsys: pytest.CaptureFixture[str]
) -> None:
    publish = bearer(await token(publish=("**",)))
    assert (
        await site.http.post("/v1/readings", json={"metric": "plant/a", "value": 1}, headers=publish)
    ).status_code == 200
    viewer = await token(subscribe=("plant/**",))
    async with page_of(browser) as page:
        await page.goto(f"{site.url}/login")
        await page.get_by_label("Token").fill(viewer)
        await page.get_by_role("button", name="Log in").click()
        await (
            page.locator('[data-tw="connection-badge"]').filter(has_text="LIVE").wait_for(timeout=HANG_MS)
        )  # told by the frame socket
        [cookie] = [cookie for cookie in await page.context.cookies() if cookie["name"] == "tidewire_login"]
        assert (cookie["httpOnly"], cookie["secure"], cookie["sameSite"]) == (True, True, "Lax")
        protocols = await page.evaluate(OPEN_STREAMS, {"token": viewer, "count": STREAMS})
        assert set(protocols) == {"h2"}
        await page.wait_for_function(f"window.live === {STREAMS}", timeout=HANG_MS, polling=50)
        body = {"metric": "plant/a", "value": 42}
        sent = await page.evaluate("Date.now()")
        assert (await site.http.post("/v1/readings", json=body, headers=publish)).status_code == 200
        await page.wait_for_function(f"window.arrived.length === {STREAMS}", timeout=HANG_MS, polling=50)
        assert await page.evaluate("Math.max(...window.arrived)") - sent < 2_000, "it was held back on its way"
        assert await page.evaluate("window.failed") == []
        assert len(site.service.app.state.streams) == STREAMS + 1  # and the dashboard's own
    await eventually(lambda: len(site.service.app.state.streams) == 1)
    # whose address is believed: the proxy's word, and nobody else's
    capsys.readouterr()
    lie = {**bearer("tw_nonsense"), "X-Forwarded-For": LIE, "X-Real-IP": LIE, "Forwarded": f"for={LIE}"}
    direct = httpx.AsyncHTTPTransport(local_address=VIEWER)
    async with httpx.AsyncClient(transport=direct, base_url=site.service.url, timeout=HANG_S) as outsider:
        for http in (site.http, outsider):
            assert (await http.get("/v1/catalog", headers=lie)).status_code == 401
    logged = [line for line in capsys.readouterr().out.splitlines() if "request_refused" in line]
    assert len(logged) == 2
    assert all(VIEWER in line and LIE not in line for line in logged), logged


@pytest.mark.proxies
async def test_clients_of_other_services_write_through_a_proxy(site: Site, token: Any, tmp_path: Path) -> None:
    own = await token(publish=("**",), subscribe=("**",))
    http, headers = site.http, {"Authorization": f"Token {own}"}
    largest = b"large f=1\n#" + b" " * ((25 << 20) - 11)
    for path in ("/write?db=d", "/api/v2/write?org=o&bucket=b", "/api/v3/write_lp?db=d"):
        answer = await http.post(path, content=largest, headers=headers)
        assert answer.status_code == 204, (path, answer.text)
    assert (await http.post(f"/write?u=me&p={own}", content=b"by_query f=1")).status_code == 204
    assert (await http.get(f"/v1/history?ticket={own}")).status_code == 401
    for path in ("/metrics/job/a%2Fb/instance/c", "/metrics/job@base64/YS9i"):
        assert (await http.put(path, content=b"pushed 1\n", headers=headers)).status_code == 200
    for path, status in (("/ping", 204), ("/health", 200), ("/ready", 200), ("/api/v2/ready", 200)):
        assert (await http.get(path)).status_code == status, path
    assert (await http.get("/query?q=SHOW+DATABASES", headers=headers)).json()["results"][0]["series"]
    for path in ("/metrics", "/health/ready"):
        answer = await http.get(path, headers=headers)
        assert (answer.status_code == 200, "tidewire_" in answer.text) != (True, True), "it is not for everybody"
        assert not answer.headers["content-type"].startswith("application/json")
    found = (await http.get("/v1/history?metric=**", headers={"Authorization": f"Bearer {own}"})).json()["series"]
    assert {(s["metric"], s["labels"].get("job"), len(s["value"])) for s in found} == {
        ("large/f", None, 3), ("by_query/f", None, 1), ("pushed", "a/b", 1),
    }  # fmt: skip
    logged = "".join(path.read_text() for path in (tmp_path / "proxy.log", tmp_path / "access.log") if path.exists())
    assert "/write" in logged
    assert own not in logged
