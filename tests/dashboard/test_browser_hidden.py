"""A tab that is really hidden, driven by the browser's own protocol: Playwright keeps every page of its own visible."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tornado.websocket import WebSocketClientConnection, websocket_connect
from waiting import HANG_S, Eventually

from tidewire_dashboard.app import Dashboard
from tidewire_dashboard.viewer import Viewer

pytestmark = pytest.mark.browser


class DevtoolsError(Exception):
    """Chromium refused a call."""


class Devtools:
    """Commands to a browser, and their answers."""

    def __init__(self, socket: WebSocketClientConnection) -> None:
        self._socket = socket
        self._ids = itertools.count(1)

    async def call(self, method: str, session: str = "", **params: Any) -> Any:
        number = next(self._ids)
        message = {"id": number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        await self._socket.write_message(json.dumps(message))
        async with asyncio.timeout(HANG_S):
            while True:
                answer = json.loads(await self._socket.read_message() or "{}")
                if answer.get("id") == number:
                    if "error" in answer:
                        raise DevtoolsError(str(answer["error"]))
                    return answer["result"]

    async def tab(self, url: str) -> tuple[str, str]:
        """Open a tab, which hides the others; return its target and its session."""
        target = (await self.call("Target.createTarget", url=url))["targetId"]
        session = (await self.call("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        return target, session

    async def evaluate(self, session: str, script: str) -> Any:
        answer = await self.call("Runtime.evaluate", session, expression=script, returnByValue=True)
        return answer["result"].get("value")

    async def until(self, session: str, script: str, limit_s: float = HANG_S) -> Any:
        """Wait until a script is true; a page that is on its way to its address cannot run it yet."""
        async with asyncio.timeout(limit_s):
            while True:
                with contextlib.suppress(DevtoolsError):
                    if value := await self.evaluate(session, script):
                        return value
                await asyncio.sleep(0.05)


@pytest.fixture
async def devtools(tmp_path: Path, chromium_command: list[str]) -> AsyncIterator[Devtools]:
    """A Chromium of its own, reached over its own protocol."""
    flags = ["--headless=new", "--remote-debugging-port=0", f"--user-data-dir={tmp_path}"]
    with subprocess.Popen([*chromium_command, *flags, "about:blank"], stderr=subprocess.DEVNULL) as process:
        port = tmp_path / "DevToolsActivePort"
        async with asyncio.timeout(HANG_S):
            while not (port.exists() and port.read_text().count("\n")):
                await asyncio.sleep(0.05)
        number, path = port.read_text().splitlines()[:2]
        socket = await websocket_connect(f"ws://127.0.0.1:{number}{path}")
        try:
            yield Devtools(socket)
        finally:
            socket.close()
            process.kill()


async def test_a_tab_behind_another_is_sent_nothing_and_one_snapshot_when_it_is_back(
    devtools: Devtools, dashboard: Dashboard, service: Any, eventually: Eventually
) -> None:
    state = "window.__tidewire?.state()"
    await service.publish("furnace/temperature", 1.0)
    target, page = await devtools.tab(f"{dashboard.url}/d/furnace")
    await devtools.until(page, f"{state}?.charts[0]?.series[0]?.last === 1")
    _, other = await devtools.tab("about:blank")
    await devtools.until(page, "document.visibilityState === 'hidden'")
    (viewer,) = dashboard.hub.shared.viewers
    assert isinstance(viewer, Viewer)
    await eventually(lambda: viewer.hidden)
    before, seq = await devtools.evaluate(page, f"{state}.counters"), dashboard.hub.shared.seq
    for value in range(2, 12):
        await service.publish("furnace/temperature", float(value))
    await eventually(lambda: dashboard.hub.shared.seq > seq + 20)
    after = await devtools.evaluate(page, f"{state}.counters")
    assert after["frames"] <= before["frames"] + 1, "at most the one that was under way"
    assert after["draws"] <= before["draws"] + 1
    assert not viewer._port.unsent
    await devtools.call("Target.activateTarget", targetId=target)
    await devtools.until(page, f"{state}.charts[0].series[0].end === 11")
    assert not viewer.hidden
    assert await devtools.evaluate(page, f"{state}.counters.holes") == before["holes"]
    assert other
