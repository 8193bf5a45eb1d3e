"""The command `tidewire up`: runs Redis, service, dashboard and host publisher under one supervisor."""

from __future__ import annotations

import http
import http.client
import math
import os
import socket
import sys
import time
import webbrowser
from functools import partial
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import click
import redis
from platformdirs import user_data_path
from redis.backoff import NoBackoff
from redis.retry import Retry

from tidewire._version import __version__
from tidewire.errors import InvalidInput, TidewireError
from tidewire.publishing.spool import Spool
from tidewire.redislog.calls import parse_info
from tidewire.redislog.keys import Keys
from tidewire.redislog.redis_url import check_redis_url
from tidewire.redislog.server_checks import check_server
from tidewire.settings import (
    DASHBOARD_PORT,
    SERVICE_PORT,
    ClientSettings,
    Option,
    Settings,
    click_options,
    load_settings,
    without_password,
)
from tidewire.subscribing.service_address import checked_token
from tidewire_service.launch.embedded import EmbeddedServer, free_port
from tidewire_service.launch.supervisor import Child, Supervisor
from tidewire_service.settings import ServiceSettings

__all__ = ["UpSettings", "command"]

_REDIS_PORT: Final = 6379
_READY_S: Final = 30.0


class UpSettings(Settings, frozen=True, kw_only=True):
    """Settings of `tidewire up`."""

    redis: Annotated[
        str, Option("Redis to use; by default one on 127.0.0.1:6379 if suitable, else the bundled server")
    ] = ""
    port: Annotated[int, Option("port of the service", minimum=1, maximum=65_535)] = SERVICE_PORT
    dashboard_port: Annotated[int, Option("port of the dashboard", minimum=1, maximum=65_535)] = DASHBOARD_PORT
    redis_port: Annotated[
        int,
        Option("run the bundled server on this port, even if another Redis listens on 6379", minimum=0, maximum=65_535),
    ] = 0
    data_dir: Annotated[
        str,
        Option("directory of the bundled server's append-only file; by default in your user data directory", path=True),
    ] = ""


class ChosenRedis(NamedTuple):
    """The Redis in use: its URL, a description, and its child process if it is the bundled server."""

    url: str
    what: str
    child: Child | None = None


def _listening(port: int) -> bool:
    with socket.socket() as sock:
        sock.settimeout(0.5)
        return sock.connect_ex(("127.0.0.1", port)) == 0


def _check_free(port: int, option: str, what: str) -> None:
    if _listening(port):
        raise InvalidInput(option, port, f"the port is used by another program; choose another for the {what}")
    try:
        free_port(port, tries=1)
    except OSError:
        raise InvalidInput(option, port, f"the port cannot be used here; choose another for the {what}") from None


def _check_children(settings: UpSettings) -> None:
    """Check what the children read from the environment: else they would end and be started again for ever.

    Raises:
        InvalidInput: a setting or an address that can never work.
    """
    if settings.redis:
        check_redis_url(settings.redis)
    Keys(load_settings(ServiceSettings).prefix)
    client = load_settings(ClientSettings)
    checked_token(client.token)
    if client.spool:
        Spool(client.spool, Spool.MIN_BYTES)


def unsuitable(url: str) -> str | None:
    """Return why a running Redis should not be used; None if it needs no password, is new enough and does not evict."""
    once = Retry(NoBackoff(), 0)
    client = redis.Redis.from_url(url, socket_timeout=1.0, socket_connect_timeout=0.5, retry=once)
    try:
        info = client.info("everything")
    except redis.AuthenticationError:
        return "it requires a password (give it with --redis)"
    except (redis.RedisError, OSError) as error:
        return f"it does not answer as a Redis ({type(error).__name__})"
    finally:
        client.close()
    if info.get("cluster_enabled"):
        return "it is a node of a Cluster (give it with --redis)"
    wrong = [finding for finding in check_server(parse_info(info)) if finding.level == "wrong"]
    return f"{wrong[0].found}: {wrong[0].remedy}" if wrong else None


def choose_redis(settings: UpSettings, usual_port: int = _REDIS_PORT) -> ChosenRedis:
    """Return the Redis to use; start the bundled server if no other Redis was given or found.

    Args:
        settings: of the command.
        usual_port: a suitable Redis on this port is used; also the first port that is tried for the bundled server.

    Raises:
        InvalidInput: a port is used by another program.
        EmbeddedServerFailed: the bundled server did not start.
    """
    if settings.redis and not settings.redis_port:
        return ChosenRedis(settings.redis, without_password(settings.redis))
    local, reason = f"redis://127.0.0.1:{usual_port}", ""
    if not settings.redis_port and _listening(usual_port):
        found = unsuitable(local)
        if found is None:
            return ChosenRedis(local, f"{local}, found running")
        reason = f"; the one on {usual_port} is left alone: {found}"
    if settings.redis_port:
        _check_free(settings.redis_port, "--redis-port", "bundled Valkey")
    directory = Path(settings.data_dir) if settings.data_dir else user_data_path("tidewire")
    server = EmbeddedServer(directory / "valkey", settings.redis_port or free_port(usual_port))
    child = Child("bundled Valkey", server.launch, process=server.start(), last=True)
    return ChosenRedis(server.url, f"{server.url}, bundled Valkey, data in {server.directory}{reason}", child)


def _answers(address: str, path: str) -> bool:
    connection = http.client.HTTPConnection(address, timeout=0.5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


_BANNER: Final = """\
Tidewire {version}
  dashboard  {dashboard}
  service    {service}  (its API: {service}/schema)
  redis      {redis}

Publish from Python, for example with {python}:

import math, time, tidewire
publisher = tidewire.Publisher("{target}")
for n in range(600): publisher.publish("demo/wave", math.sin(n / 10)); time.sleep(0.1)
"""


@click.command("up")
@click_options(UpSettings)
@click.option("--no-host", is_flag=True, help="Do not publish this machine's CPU, memory, disk and network.")
@click.option("--open", "open_browser", is_flag=True, help="Open the dashboard in a browser.")
def command(no_host: bool, open_browser: bool, **given: object) -> None:
    """Run everything on this machine; Ctrl-C ends all of it.

    Uses --redis or TIDEWIRE_REDIS; else a Redis on 127.0.0.1:6379 that needs no password and does not evict; else the
    bundled Valkey, which keeps its data in your user data directory.
    """
    started_s = time.monotonic()
    try:
        settings = load_settings(UpSettings, given)
        _check_children(settings)
        if settings.port == settings.dashboard_port:
            raise InvalidInput("--dashboard-port", settings.dashboard_port, "is the port of the service, --port")
        _check_free(settings.port, "--port", "service")
        _check_free(settings.dashboard_port, "--dashboard-port", "dashboard")
        chosen = choose_redis(settings)
    except InvalidInput as error:
        raise click.UsageError(str(error)) from None
    except TidewireError as error:
        raise click.ClickException(str(error)) from None
    supervisor = Supervisor(lambda line: click.echo(f"tidewire: {line}", err=True))
    supervisor.catch_signals()
    try:
        _run(settings, chosen, supervisor, started_s, host=not no_host, open_browser=open_browser)
    finally:
        supervisor.end()
    click.echo("tidewire: everything ended")


def _run(
    settings: UpSettings,
    chosen: ChosenRedis,
    supervisor: Supervisor,
    started_s: float,
    *,
    host: bool,
    open_browser: bool,
) -> None:
    service, dashboard = f"127.0.0.1:{settings.port}", f"127.0.0.1:{settings.dashboard_port}"
    environment = {
        "TIDEWIRE_LOG_LEVEL": os.environ.get("TIDEWIRE_LOG_LEVEL", "warning"),
        "TIDEWIRE_REDIS": chosen.url,  # by environment, since every user of the machine can read command lines
        "TIDEWIRE_URL": f"http://{service}",
        "TIDEWIRE_SELF_METRICS_S": os.environ.get("TIDEWIRE_SELF_METRICS_S", "10"),
    }
    commands = {
        "service": ["serve", "--host", "127.0.0.1", "--port", str(settings.port)],
        "dashboard": ["dashboard", "--host", "127.0.0.1", "--port", str(settings.dashboard_port)],
    }
    if host:
        commands["host publisher"] = ["host"]
    if chosen.child is not None:
        supervisor.add(chosen.child)
    for name, arguments in commands.items():
        supervisor.add(Child(name, partial(supervisor.command, *arguments, environment=environment)))
    click.echo(
        _BANNER.format(
            version=__version__,
            dashboard=f"http://{dashboard}",
            service=f"http://{service}",
            redis=chosen.what,
            python=sys.executable,
            target=f"http://{service}" if "@" in chosen.url else chosen.url,
        )
    )
    waiting = {"service": (service, "/health/ready"), "dashboard": (dashboard, "/")}
    warn_at_s = time.monotonic() + _READY_S

    def watch() -> None:
        nonlocal warn_at_s
        if not waiting:
            return
        for name in [name for name, where in waiting.items() if _answers(*where)]:
            del waiting[name]
        if not waiting:
            click.echo(f"Ready after {time.monotonic() - started_s:.1f} s; Ctrl-C ends everything.")
            if open_browser:
                webbrowser.open(f"http://{dashboard}")
        elif time.monotonic() > warn_at_s:
            warn_at_s = math.inf
            click.echo(f"tidewire: not ready yet: {', '.join(waiting)}; `tidewire doctor` finds the cause", err=True)

    supervisor.run(watch)
