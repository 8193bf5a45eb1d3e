"""What `tidewire_dashboard.bokeh_server` relies on in Bokeh, Panel and Tornado: a test for each row of its table."""

from __future__ import annotations

import inspect
import re
from typing import Any

import httpx
import pytest
from bokeh.server.server import Server
from bokeh.server.views import ws
from panel.auth import OAuthLoginHandler
from panel.custom import JSComponent
from panel.io.server import LoginUrlMixin
from tornado.web import Application
from tornado.websocket import WebSocketHandler
from waiting import HANG_S

from tidewire_dashboard import bokeh_server, frame_socket
from tidewire_dashboard.app import Dashboard
from tidewire_dashboard.assets import bundle_version
from tidewire_dashboard.bokeh_server import OAUTH_HANDLERS, OAUTH_STATE_COOKIES, application_of
from tidewire_dashboard.deck import Deck
from tidewire_dashboard.logs import log_request
from tidewire_dashboard.oauth import PROVIDERS
from tidewire_dashboard.origin_guard import guard_rules


def panel_of(dashboard: Dashboard) -> Server:
    assert dashboard.server.panel is not None
    return dashboard.server.panel


def test_every_row_of_the_table_has_its_test() -> None:
    rows = re.findall(r"^\| (\d+) \|", bokeh_server.__doc__ or "", re.MULTILINE)
    tests = {match[1] for name in globals() if (match := re.match(r"test_row_(\d+)_", name))}
    assert rows == [str(number) for number in range(1, 11)]
    assert tests == set(rows)


async def test_row_1_a_server_has_a_tornado_application(dashboard: Dashboard) -> None:
    assert isinstance(application_of(panel_of(dashboard)), Application)


async def test_row_2_the_settings_are_those_that_tornado_reads(dashboard: Dashboard) -> None:
    settings = application_of(panel_of(dashboard)).settings
    assert settings["websocket_ping_interval"] == settings["websocket_ping_timeout"] == frame_socket.PING_S
    assert settings["log_function"] is log_request
    assert '"log_function"' in inspect.getsource(Application.log_request)
    read = inspect.getsource(WebSocketHandler)
    assert '"websocket_ping_interval"' in read
    assert '"websocket_ping_timeout"' in read


async def test_row_3_rules_are_matched_in_order_and_the_guard_is_first(dashboard: Dashboard) -> None:
    rules = application_of(panel_of(dashboard)).default_router.rules
    guard = guard_rules(["localhost"])
    assert [rule.target for rule in rules[: len(guard)]] == [rule.target for rule in guard]
    async with httpx.AsyncClient(trust_env=False, timeout=HANG_S) as http:
        assert (await http.get(dashboard.url, headers={"Host": "elsewhere.example"})).status_code == 421


async def test_row_4_the_transform_is_applied_to_every_answer(dashboard: Dashboard) -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=HANG_S) as http:
        for path in ("/", "/nothing"):
            answer = await http.get(dashboard.url + path)
            assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"], path
            assert "Server" not in answer.headers


async def test_row_5_bokehs_socket_reads_the_set_of_origins(dashboard: Dashboard) -> None:
    application: Any = application_of(panel_of(dashboard))
    origins = application.websocket_origins
    assert isinstance(origins, set)
    assert "127.0.0.1:*" in origins
    assert "self.application.websocket_origins" in inspect.getsource(ws.WSHandler.check_origin)


def test_row_6_panel_puts_a_dot_before_the_address_of_the_log_in_page() -> None:
    assert "return '.' + self.application.auth_provider.get_login_url(self)" in inspect.getsource(LoginUrlMixin)


def test_row_7_a_component_gives_the_address_of_its_module() -> None:
    parameters = inspect.signature(JSComponent._component_resource_path).parameters
    assert list(parameters) == list(inspect.signature(Deck._component_resource_path).parameters)
    assert bundle_version() in Deck._render_esm(compiled=True, server=True)


def test_row_8_panel_has_the_providers_and_the_cookies() -> None:
    assert set(PROVIDERS) <= set(OAUTH_HANDLERS)
    assert all(isinstance(name, str) for name in OAUTH_STATE_COOKIES)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_row_9_the_handlers_have_the_hooks_that_are_overridden(provider: str) -> None:
    handler = OAUTH_HANDLERS[provider]
    assert issubclass(handler, OAuthLoginHandler)
    assert isinstance(inspect.getattr_static(handler, "_redirect_uri"), property)
    assert inspect.iscoroutinefunction(handler.get_authenticated_user)  # type: ignore[attr-defined]  # Panel's
    assert "set_secure_cookie" in inspect.getsource(OAuthLoginHandler)


@pytest.mark.browser
async def test_row_10_the_browser_loads_the_modules_itself(tab: Any) -> None:
    await tab.open("/")
    await tab.sees("No metrics yet")
    await tab.until("() => window.Bokeh?.documents[0]?.roots().length > 0")
    ours = [url for url in tab.requests if re.search(r"/deck[a-z-]*\.js$", url)]
    assert len(ours) > 2
    copies = [url for url in tab.requests if url.startswith("blob:")]
    sizes = await tab.page.evaluate(
        "(urls) => Promise.all(urls.map(async (url) => (await (await fetch(url)).blob()).size))", copies
    )
    assert max(sizes, default=0) < 2_000, "only Panel's own few lines, and the module that imports ours"
