"""TLS: the service and the dashboard by files, keys of an identity provider by URL, and Redis over rediss://."""

from __future__ import annotations

import asyncio
import http.server
import json
import os
import shutil
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import click
import httpx
import jwt
import msgspec
import pytest
import redis
import structlog
from certificates import Certificates, make_certificates
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import rsa
from dripping import HEAD, dripping
from forward_proxy import forward_proxy
from ports import own_port
from servers import StartService, Valkey
from waiting import HANG_S, Eventually

import tidewire
from tidewire.livestore.alarms import Alarms
from tidewire.livestore.store import Store
from tidewire.model.threshold import Threshold
from tidewire.notebook.widget import _poll_thresholds
from tidewire.redislog.server_checks import check_server
from tidewire.subscribing import service_address
from tidewire_dashboard.app import running_dashboard
from tidewire_dashboard.command import command as dashboard_command
from tidewire_dashboard.settings import DashboardSettings
from tidewire_service.auth.jwt import JwtVerifier
from tidewire_service.errors import Unauthenticated
from tidewire_service.launch.serve import command as serve_command
from tidewire_service.settings import ServiceSettings

from .conftest import bearer

ISSUER, AUDIENCE = "https://id.example.org", "tidewire"


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Certificates]:
    """Certificates of an authority that this process and its children trust."""
    made = make_certificates(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", made.authority)
    service_address._authorities.cache_clear()
    yield made
    service_address._authorities.cache_clear()


@pytest.fixture
async def secure(files: Certificates, valkey: Valkey, tmp_path: Path, eventually: Eventually) -> AsyncIterator[str]:
    """The URL of a service that speaks HTTPS."""
    port = own_port()
    command = [sys.executable, "-P", "-m", "tidewire", "serve", "--port", str(port), "--redis", valkey.url]
    with (tmp_path / "service.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--tls-cert", files.certificate, "--tls-key", files.key], stdout=log, stderr=log
        )
    url = f"https://localhost:{port}"
    async with httpx.AsyncClient(verify=ssl.create_default_context(), trust_env=False, timeout=HANG_S) as http:

        async def ready() -> bool:
            try:
                return (await http.get(f"{url}/health/ready")).status_code == 200
            except httpx.TransportError:
                return False

        await eventually(ready)
        yield url
    process.terminate()
    assert process.wait(HANG_S) == 0


async def test_sdk_and_dashboard_speak_https_with_an_authority_of_ones_own(
    secure: str, files: Certificates, eventually: Eventually
) -> None:
    publisher = tidewire.Publisher(secure)
    publisher.publish("plant/a", 921.4)
    assert await asyncio.to_thread(publisher.flush, HANG_S)
    async for batch in tidewire.astream("plant/**", url=secure):
        assert batch.value == [921.4]
        break
    assert list(await asyncio.to_thread(lambda: tidewire.last("plant/**", url=secure)["value"])) == [921.4]
    settings = DashboardSettings(
        url=secure, dashboard_port=0, dashboard_tls_cert=files.certificate, dashboard_tls_key=files.key
    )
    async with running_dashboard(settings) as dashboard:
        await eventually(lambda: dashboard.source.store.metrics == 1)
        assert dashboard.url.startswith("https://")
        async with httpx.AsyncClient(verify=ssl.create_default_context(), trust_env=False, timeout=HANG_S) as http:
            assert (await http.get(dashboard.url)).status_code == 200
        with pytest.raises(httpx.HTTPError):
            httpx.get(dashboard.url.replace("https", "http"), trust_env=False, timeout=HANG_S)
    publisher.close()


async def test_a_notebook_sees_thresholds_with_an_authority_of_ones_own(secure: str, eventually: Eventually) -> None:
    threshold = Threshold(metric="plant/*", warn_above=80.0)
    async with httpx.AsyncClient(verify=ssl.create_default_context(), trust_env=False, timeout=HANG_S) as http:
        body = msgspec.json.encode({"thresholds": [threshold]})
        assert (await http.put(f"{secure}/v1/thresholds", content=body)).status_code == 200
    alarms = Alarms(Store())
    polling = asyncio.create_task(_poll_thresholds(secure, "", alarms))
    await eventually(lambda: alarms.thresholds == (threshold,))
    polling.cancel()
    await asyncio.gather(polling, return_exceptions=True)


async def test_whom_nobody_vouches_for_is_not_spoken_to(secure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    service_address._authorities.cache_clear()
    with pytest.raises(tidewire.errors.ServiceUnavailable, match=r"(?i)certificate"):
        await asyncio.to_thread(tidewire.last, "plant/**", url=secure)


@pytest.mark.parametrize("program", [serve_command, dashboard_command], ids=["serve", "dashboard"])
def test_files_that_are_no_pair_are_named_in_a_sentence(program: click.Command, files: Certificates) -> None:
    for certificate, key in ((files.certificate, ""), ("/no/such", files.key), (files.key, files.key)):
        options = ["--port", "0", "--tls-cert", certificate, *(["--tls-key", key] if key else [])]
        ended = CliRunner().invoke(program, options)
        assert ended.exit_code in (1, 2)
        assert isinstance(ended.exception, SystemExit), "a sentence, no traceback"
        assert "--tls-cert" in ended.output


# -- keys by URL


class KeyServer:
    """An https server of an identity provider's keys."""

    def __init__(self, files: Certificates) -> None:
        self.body = b""
        self.status = 200
        self.asked = 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked += 1
                self.send_response(outer.status)
                if outer.status == 302:
                    self.send_header("Location", "http://127.0.0.1:1/elsewhere")
                self.send_header("Content-Length", str(len(outer.body)))
                self.end_headers()
                self.wfile.write(outer.body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(files.certificate, files.key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://localhost:{self.server.server_port}/jwks"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def show(self, **keys: Any) -> None:
        shown = [
            {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())), "kid": kid, "use": "sig"}
            for kid, key in keys.items()
        ]
        self.body = json.dumps({"keys": shown}).encode()


@pytest.fixture
def keys(files: Certificates) -> Iterator[KeyServer]:
    server = KeyServer(files)
    yield server
    server.server.shutdown()
    server.server.server_close()


def signed(key: Any, kid: str) -> str:
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "anna", "exp": time.time() + 600, "tidewire": ["subscribe:a", "x"]}
    return jwt.encode(claims, key, "RS256", headers={"kid": kid})


def jwt_settings(jwks: str, *egress_hosts: str) -> ServiceSettings:
    return ServiceSettings(
        auth=True, jwt_issuer=ISSUER, jwt_audience=AUDIENCE, jwt_jwks=jwks, egress_hosts=egress_hosts
    )


async def test_keys_come_by_https_and_are_rotated(keys: KeyServer) -> None:
    now_s = 0.0
    first, second = rsa.generate_private_key(65_537, 2_048), rsa.generate_private_key(65_537, 2_048)
    keys.show(one=first)
    verifier = JwtVerifier(jwt_settings(keys.url, "localhost"), clock_s=lambda: now_s)
    await verifier.refresh()
    now_ms = time.time() * 1e3
    known = verifier.verify(signed(first, "one"), now_ms)
    assert known is not None
    assert known.scopes.subscribe == ("a",)
    keys.show(two=second)
    with pytest.raises(Unauthenticated, match="does not list"):  # just asked
        verifier.verify(signed(second, "two"), now_ms)
    assert keys.asked == 1
    now_s += 11
    assert verifier.verify(signed(second, "two"), now_ms) is None
    await verifier.refresh()
    assert verifier.verify(signed(second, "two"), now_ms) is not None
    with pytest.raises(Unauthenticated, match="does not list"):
        verifier.verify(signed(first, "one"), now_ms)
    for body, status in ((b"x" * 300_000, 200), (b"no keys", 200), (b"", 302), (b"", 500)):
        keys.body, keys.status = body, status
        now_s += 11
        await verifier.refresh()  # the keys known last go on
        assert verifier.verify(signed(second, "two"), now_ms) is not None


async def test_keys_are_fetched_through_the_machines_proxy_but_never_those_of_this_machine(
    keys: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = rsa.generate_private_key(65_537, 2_048)
    keys.show(one=key)
    with forward_proxy(keys.url) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "elsewhere.invalid")
        for url, tunnels in ((f"{ISSUER}/jwks", ["id.example.org:443"]), (keys.url, [])):
            proxy.tunnels.clear()
            verifier = JwtVerifier(jwt_settings(url, "id.example.org", "localhost"))
            await verifier.refresh()
            assert verifier.verify(signed(key, "one"), time.time() * 1e3) is not None
            assert proxy.tunnels == tunnels


async def test_a_service_takes_the_keys_from_a_url_and_from_no_other_host(
    keys: KeyServer, start_service: StartService
) -> None:
    key = rsa.generate_private_key(65_537, 2_048)
    keys.show(one=key)
    asked = {"auth": True, "jwt_issuer": ISSUER, "jwt_audience": AUDIENCE, "jwt_jwks": keys.url}
    service = await start_service(**asked, egress_hosts=("localhost",))
    who = await service.http.get("/v1/whoami", headers=bearer(signed(key, "one")))
    assert (who.status_code, who.json()["subscribe"]) == (200, ["a"])
    with pytest.raises(tidewire.errors.InvalidInput, match="--egress-hosts"):
        await start_service(**asked, egress_hosts=("id.example.org",))


# -- Redis


@pytest.fixture
def redis_server(files: Certificates, tmp_path: Path) -> Iterator[str]:
    """The URL of a real Redis that speaks TLS only, and wants a certificate and a password."""
    port = own_port()
    options = {
        "port": 0, "tls-port": port, "bind": "127.0.0.1", "dir": tmp_path, "appendonly": "yes", "save": "",
        "tls-cert-file": files.certificate, "tls-key-file": files.key, "tls-ca-cert-file": files.authority,
        "requirepass": "secret-of-redis",
    }  # fmt: skip
    command = ["redis-server"]  # one program with several names; Debian's redis-tools has it without a daemon
    for name, value in options.items():
        command += [f"--{name}", str(value)]
    process = subprocess.Popen(command, executable=shutil.which("redis-check-rdb"), stdout=subprocess.DEVNULL)
    tls = f"ssl_ca_certs={files.authority}&ssl_certfile={files.certificate}&ssl_keyfile={files.key}"
    yield f"rediss://:secret-of-redis@localhost:{port}/0?{tls}"
    process.terminate()
    process.wait(HANG_S)


@pytest.mark.redis_server
async def test_the_system_runs_on_a_redis_behind_tls(
    redis_server: str, start_service: StartService, eventually: Eventually
) -> None:
    service = await start_service(redis=redis_server)
    publisher = tidewire.Publisher(redis_server)
    publisher.publish("by/sdk", 1)
    assert await asyncio.to_thread(publisher.flush, HANG_S)
    async for batch in tidewire.astream("by/**", url=service.url):
        assert batch.metric == "by/sdk"
        break
    device = redis.Redis.from_url(redis_server)
    device.publish("tw:in:by/publish", "42")

    async def arrived() -> bool:
        return "by/publish" in (await service.http.get("/v1/catalog")).text

    await eventually(arrived)
    info = await service.app.state.hub.log.home.info()
    assert info.name == "Redis"
    assert info.version.startswith(tuple("789"))
    assert check_server(info) == []
    made = subprocess.run(
        [sys.executable, "-m", "tidewire", "token", "create", "--name", "n", "--operate", "--redis", redis_server],
        capture_output=True, text=True, timeout=HANG_S, check=True, env={**os.environ},
    )  # fmt: skip
    assert made.stdout.startswith("tw_")
    publisher.close()


async def test_a_provider_of_keys_that_drips_holds_no_token(files: Certificates) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    with dripping(HEAD, b" ", tls=context) as port:
        verifier = JwtVerifier(
            ServiceSettings(
                auth=True, jwt_issuer=ISSUER, jwt_audience=AUDIENCE, egress_hosts=("localhost",),
                jwt_jwks=f"https://localhost:{port}/keys",
            )
        )  # fmt: skip
        with structlog.testing.capture_logs() as logged:
            await asyncio.wait_for(verifier.refresh(), HANG_S)
    assert [(line["event"], line["error"]) for line in logged] == [("jwks_not_read", "TimeoutError")]
