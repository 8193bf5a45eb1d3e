"""Faults row 25: secrets that are alike to nothing go through everything, and are found nowhere afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import psutil
import pytest
import redis
from cryptography.hazmat.primitives.asymmetric import ec
from ports import own_port
from rich.pretty import pretty_repr
from servers import Valkey
from waiting import HANG_S

import tidewire
from tidewire.publishing.publisher import Publisher
from tidewire.redislog.log import RedisLog
from tidewire.settings import ClientSettings, load_settings
from tidewire_dashboard.login import Login
from tidewire_dashboard.settings import DashboardSettings
from tidewire_service.launch.token import TokenSettings
from tidewire_service.launch.up import UpSettings
from tidewire_service.settings import ServiceSettings

ISSUER = "https://id.example"


class Run:
    """Processes with secrets in their environment, and all that they said."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.secrets: dict[str, str] = {}
        self.said: dict[str, bytes] = {}
        self._running: list[tuple[str, subprocess.Popen[bytes]]] = []

    def start(self, name: str, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start one that stays."""
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "tidewire", *arguments],
                stdout=log, stderr=log, cwd=self.folder, env={**os.environ, **environment},
            )  # fmt: skip
        self._running.append((name, process))
        return process

    async def once(self, name: str, *arguments: str, code: int = 0, **environment: str) -> bytes:
        """Run one to its end."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "tidewire", *arguments, cwd=self.folder, env={**os.environ, **environment},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await asyncio.wait_for(process.communicate(), HANG_S)
        assert process.returncode == code, (name, said)
        self.said[f"output of tidewire {name}"] = said
        return said

    def look_at_processes(self) -> None:
        """Keep every command line of this machine."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                self.said[f"command line {process.pid}"] = "\0".join(process.cmdline()).encode()

    def end(self) -> None:
        for name, process in self._running:
            process.terminate()
            process.wait(HANG_S)
            self.said[f"log of {name}"] = (self.folder / f"{name}.log").read_bytes()

    def found(self) -> list[tuple[str, str]]:
        """Return (secret, where) for each that is anywhere."""
        for path in self.folder.rglob("*"):
            if path.is_file():
                self.said[f"file {path.relative_to(self.folder)}"] = path.read_bytes()
        return [
            (name, where)
            for where, text in self.said.items()
            for name, secret in self.secrets.items()
            if secret.encode() in text
        ]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    made = Run(tmp_path)
    yield made
    made.end()


@pytest.fixture
def locked(valkey: Valkey, run: Run) -> str:
    """The URL of the test's Valkey, which wants a password."""
    password = run.secrets["Redis password"] = f"canary-redis-{secrets.token_hex(8)}"
    valkey.client.config_set("requirepass", password)
    valkey.client = redis.Redis(port=valkey.port, password=password)
    return f"redis://:{password}@127.0.0.1:{valkey.port}"


def _identity_provider(folder: Path) -> tuple[str, list[str]]:
    """Return a JSON Web Token, and the options of a service that takes it."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
    (folder / "jwks.json").write_text(json.dumps({"keys": [{**public, "kid": "one", "use": "sig"}]}))
    claims = {"iss": ISSUER, "aud": "tw", "sub": "anna", "exp": time.time() + 600, "tidewire": "subscribe:** operate"}
    options = ["--jwt-issuer", ISSUER, "--jwt-audience", "tw", "--jwt-jwks", str(folder / "jwks.json")]
    return jwt.encode(claims, key, "ES256", headers={"kid": "one"}), options


def _recorded(run: Run, name: str, url: str, *shown: str, **options: Any) -> httpx.AsyncClient:
    """Return a client whose answers are kept, but for those parts in which a secret belongs."""

    async def keep(answer: httpx.Response) -> None:
        await answer.aread()
        head = "\n".join(f"{key}: {value}" for key, value in answer.headers.multi_items() if key not in shown)
        body = b"" if str(answer.request.url.path) in shown else answer.content
        run.said[f"{name} {answer.request.method} {answer.url} {len(run.said)}"] = head.encode() + b"\n\n" + body

    return httpx.AsyncClient(base_url=url, trust_env=False, event_hooks={"response": [keep]}, timeout=HANG_S, **options)


async def _up(url: str, path: str = "/health/ready", limit_s: float = HANG_S) -> None:
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=HANG_S) as http, asyncio.timeout(limit_s):
        while True:
            with contextlib.suppress(httpx.TransportError):
                if (await http.get(path)).status_code in (200, 303, 302):
                    return
            await asyncio.sleep(0.1)


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def _look_around(run: Run, browser: Any, board: str, viewer: str) -> None:
    """Open the dashboard by a share link; keep each address and message, and what the page and its storage hold."""
    page = await browser.new_page()
    kept: list[str] = []
    page.on("request", lambda request: kept.append(f"{request.method} {request.url}"))
    page.on("console", lambda message: kept.append(message.text))
    page.on(
        "websocket",
        lambda socket: (kept.append(socket.url), socket.on("framereceived", lambda data: kept.append(str(data)))),
    )
    await page.goto(f"{board}/login#token={viewer}&next=/")
    await page.wait_for_url(f"{board}/")
    async with asyncio.timeout(HANG_S):
        while not any("/frames?ticket=" in line for line in kept) or len(kept) < 12:
            await asyncio.sleep(0.05)
    kept += [
        await page.content(),
        await page.evaluate("JSON.stringify([localStorage, sessionStorage, document.cookie])"),
    ]
    [cookie] = await page.context.cookies()
    assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == ("tidewire_login", True, "Lax")
    run.secrets["cookie"] = cookie["value"]
    run.said["browser"] = "\n".join(line for line in kept if not line.endswith(f"#token={viewer}&next=/")).encode()
    await page.close()


@pytest.mark.browser
@pytest.mark.long
async def test_secrets_are_found_nowhere(run: Run, locked: str, valkey: Valkey, tmp_path: Path, browser: Any) -> None:
    # -- everything with a secret starts
    ports = [own_port() for _ in range(4)]
    service, board = f"http://127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}"
    run.secrets["JSON Web Token"], provider = _identity_provider(tmp_path)
    with_redis, with_service = {"TIDEWIRE_REDIS": locked}, {"TIDEWIRE_URL": service}
    every = ["--publish", "**", "--subscribe", "**", "--edit", "--operate"]
    for name in ("token", "viewer's token"):
        said = await run.once("token create", "token", "create", "--name", name, *every, **with_redis)
        text = re.search(rb"tw_[0-9a-f]{12}_[A-Za-z0-9_-]{43}", said)
        assert text is not None
        del run.said["output of tidewire token create"]  # where it is shown, once
        run.secrets[name] = text[0].decode()
    token, viewer = run.secrets["token"], run.secrets["viewer's token"]
    run.secrets |= {f"secret part of the {name}": run.secrets[name][16:] for name in ("token", "viewer's token")}
    more = ["--workers", "2", "--log-level", "debug", *provider]
    run.start("service", "serve", "--port", str(ports[0]), "--auth", *more, **with_redis)
    run.start("up", "up", "--no-host", "--port", str(ports[2]), "--dashboard-port", str(ports[3]),
              **with_redis, TIDEWIRE_LOG_LEVEL="debug")  # fmt: skip
    await _up(service)
    run.start("dashboard", "dashboard", "--port", str(ports[1]), "--login", **with_service, **with_redis,
              TIDEWIRE_TOKEN=token)  # fmt: skip
    with_service["TIDEWIRE_TOKEN"] = token

    # -- over HTTP: what is right, and what is wrong in ways that invite an echo
    http = _recorded(run, "service", service, "/v1/tickets")
    row = {"metric": "furnace/temperature", "value": 921.4}
    for who in (token, run.secrets["JSON Web Token"]):
        for path in ("/v1/whoami", "/v1/catalog", "/v1/history?metric=**", "/metrics", "/v1/decks", "/nothing"):
            await http.get(path, headers=_bearer(who))
        await http.post("/v1/readings", json=row, headers=_bearer(who))
        await http.get("/v1/whoami", headers={"Authorization": f"Basic {who}"})
        await http.get("/v1/whoami", headers={"Authorization": f"Bearer {who} {who}"})
        await http.get("/v1/catalog", headers={**_bearer(who), "Host": "evil.example"})
        await http.put("/v1/thresholds", content=b"{", headers=_bearer(who))
        await http.get("/v1/whoami", headers=_bearer(who[:-1] + ("A" if who[-1] != "A" else "B")))
    answer = (await http.post("/v1/tickets", json={"metric": ["**"]}, headers=_bearer(token))).json()
    ticket = run.secrets["ticket"] = answer["ticket"]
    async with httpx.AsyncClient(base_url=service, trust_env=False, timeout=HANG_S) as plain:
        async with plain.stream("GET", answer["url"]) as stream:
            assert stream.status_code == 200
            async for line in stream.aiter_lines():
                if line == "event: live":
                    break
        for query in (
            f"metric=**&ticket={ticket}",
            f"metric=x&ticket={ticket}&ticket={ticket}",
            f"every=x&ticket={ticket}",
        ):
            refused = await plain.get(f"/v1/stream?{query}")
            assert refused.status_code >= 400
            run.said[f"refused ticket {query[:9]}"] = refused.content

    # -- the dashboard
    await _up(board, "/login")
    pages = _recorded(run, "dashboard", board, "set-cookie", follow_redirects=False)
    await pages.get("/login", params={"next": "/d/a"})
    await pages.post("/login", data={"token": token[:-1] + "~"})
    await pages.get("/nothing")
    await pages.get("/exports/nothing.csv")
    frames = run.secrets["ticket of a page"] = secrets.token_urlsafe(18)
    await pages.get(f"/frames?ticket={frames}")
    await pages.get(f"/frames?ticket={frames}", headers={"Host": "evil.example"})
    await _look_around(run, browser, board, viewer)

    # -- the commands and the SDK, over both roads, with a spool
    await _up(f"http://127.0.0.1:{ports[2]}")
    run.look_at_processes()
    commands = {
        "publish": ["publish", "furnace/flow", "1.5"], "catalog": ["catalog"], "doctor": ["doctor"],
        "export": ["export", "**", "-o", "out.csv"], "token list": ["token", "list"],
    }  # fmt: skip
    await asyncio.gather(
        *(run.once(name, *words, **with_service, **with_redis) for name, words in commands.items()),
        run.once("publish to a wrong door", "publish", "a", "1", code=1,
                 **with_redis | {"TIDEWIRE_REDIS": locked.replace("redis://:", "redis://:x")}),
        run.once("catalog with a wrong token", "catalog", code=1, **with_service | {"TIDEWIRE_TOKEN": token + "x"}),
    )  # fmt: skip
    shown = []
    for target in (service, locked):
        with Publisher(target, token=token if target is service else "", spool=tmp_path / "spool") as publisher:
            publisher.publish("furnace/temperature", 920.1)
            publisher.flush(HANG_S)
            shown.append(repr(publisher))
    log = RedisLog(locked)
    given = {"redis": locked, "token": token}
    for kind in (ServiceSettings, DashboardSettings, UpSettings, TokenSettings, ClientSettings):
        settings = load_settings(
            kind, {name: text for name, text in given.items() if name in kind.__struct_fields__}, {}
        )
        shown += [repr(settings), str(settings), pretty_repr(settings), f"{settings}"]
    login = Login(name="a", subscribe=("**",), token=viewer)
    following = tidewire.astream("**", url=service, token=token)
    shown += [
        repr(log),
        str(log.__dict__),
        repr(login),
        pretty_repr(login),
        repr(following),
        repr(http),
        str(http.headers),
    ]
    run.said["repr"] = "\n".join(shown).encode()
    await log.close()

    # -- Redis goes away, and everything says so
    valkey.stop()
    for path in ("/health/ready", "/v1/catalog"):
        assert (await http.get(path, headers=_bearer(token))).status_code == 503
    await run.once("doctor without Redis", "doctor", code=1, **with_service, **with_redis)
    run.look_at_processes()
    await http.aclose()
    await pages.aclose()
    run.end()
    assert len(run.said) > 80
    assert b"request_answered" in run.said["log of service"]
    assert b"GET '/frames' from 127.0.0.1 answered with 4" in run.said["log of dashboard"]
    assert b"GET '/frames' from 127.0.0.1 refused: " in run.said["log of dashboard"]
    assert any("appendonly" in str(path) for path in tmp_path.rglob("*.aof*"))
    assert run.found() == []
    run.said["planted"] = ticket.encode()
    assert run.found() == [("ticket", "planted")]
