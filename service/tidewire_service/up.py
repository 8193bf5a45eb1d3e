"""`tidewire up`: one command to a moving chart; Redis, service, dashboard and host publisher under one supervisor."""

from __future__ import annotations

import socket
import time
import urllib.error
import urllib.request
import webbrowser
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import click
import msgspec
import redis
from platformdirs import user_data_path

from tidewire._version import __version__
from tidewire.errors import InvalidInput, TidewireError
from tidewire.settings import Option, click_options, load_settings
from tidewire_service.embedded import EmbeddedServer, free_port
from tidewire_service.settings import without_password
from tidewire_service.supervisor import Child, Supervisor

__all__ = ["UpSettings", "command"]

_REDIS_PORT: Final = 6379
_READY_S: Final = 30.0
_OLDEST: Final = (7, 0)


class UpSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What `tidewire up` starts, and where."""

    redis: Annotated[str, Option("Redis to use; else one on 127.0.0.1:6379 if it suits, else the bundled server")] = ""
    port: Annotated[int, Option("port of the service", minimum=1, maximum=65_535)] = 8000
    dashboard_port: Annotated[int, Option("port of the dashboard", minimum=1, maximum=65_535)] = 5006
    redis_port: Annotated[
        int, Option("run the bundled server on this port, whatever listens on 6379", minimum=0, maximum=65_535)
    ] = 0
    data_dir: Annotated[str, Option("directory of the bundled server's append-only file")] = ""
    host: Annotated[bool, Option("publish this machine's CPU, memory, disk and network")] = True
    open: Annotated[bool, Option("open the dashboard in a browser")] = False


class ChosenRedis(NamedTuple):
    """The Redis in use: its URL, what it is, and the server if it is the bundled one."""

    url: str
    what: str
    server: EmbeddedServer | None


def _listening(port: int) -> bool:
    with socket.socket() as sock:
        sock.settimeout(0.5)
        return sock.connect_ex(("127.0.0.1", port)) == 0


def _check_free(port: int, option: str, what: str) -> None:
    if _listening(port):
        raise InvalidInput(option, port, f"the port is taken by another program; choose another for the {what}")
    try:
        free_port(port, tries=1)
    except OSError:
        raise InvalidInput(option, port, f"the port cannot be used here; choose another for the {what}") from None


def unsuitable(url: str) -> str | None:
    """Return why a Redis should not be adopted; None: it wants no password, is new enough and does not evict."""
    client = redis.Redis.from_url(url, socket_timeout=1.0, socket_connect_timeout=0.5)
    try:
        server, memory = client.info("server"), client.info("memory")
    except redis.AuthenticationError:
        return "it wants a password (give it with --redis)"
    except (redis.RedisError, OSError) as error:
        return f"it does not answer as a Redis ({type(error).__name__})"
    finally:
        client.close()
    version = str(server.get("redis_version", "0.0"))
    if tuple(int(part) for part in version.split(".")[:2]) < _OLDEST:
        return f"its version {version} is older than 7.0"
    if int(memory.get("maxmemory", 0)) and memory.get("maxmemory_policy") != "noeviction":
        return f"it evicts keys ({memory.get('maxmemory_policy')})"
    return None


def choose_redis(settings: UpSettings) -> ChosenRedis:
    """Return the Redis to use; starts the bundled server if that is it.

    Raises:
        InvalidInput: a port that is taken.
        EmbeddedServerFailed: the bundled server did not start.
    """
    if settings.redis and not settings.redis_port:
        return ChosenRedis(settings.redis, without_password(settings.redis), None)
    local, reason = f"redis://127.0.0.1:{_REDIS_PORT}", ""
    if not settings.redis_port and _listening(_REDIS_PORT):
        found = unsuitable(local)
        if found is None:
            return ChosenRedis(local, f"{local}, found running", None)
        reason = f"; the one on {_REDIS_PORT} is left alone: {found}"
    if settings.redis_port:
        _check_free(settings.redis_port, "--redis-port", "bundled Valkey")
    port = settings.redis_port or free_port(_REDIS_PORT)
    directory = Path(settings.data_dir) if settings.data_dir else user_data_path("tidewire") / "valkey"
    server = EmbeddedServer(directory, port)
    server.start()
    return ChosenRedis(server.url, f"{server.url}, bundled Valkey, data in {directory}{reason}", server)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1.0) as answer:  # noqa: S310 - our own http address
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


_SNIPPET: Final = """\
    import tidewire
    publisher = tidewire.Publisher("{url}")
    publisher.publish("furnace/temperature", 921.4, unit="Cel")
"""


@click.command("up", short_help="Run everything: Redis, service, dashboard and a host publisher.")
@click_options(UpSettings)
def command(**given: object) -> None:
    """Run everything on this machine, and end all of it with Ctrl-C.

    Uses --redis or TIDEWIRE_REDIS; else a Redis on 127.0.0.1:6379 that wants no password and does not evict; else the
    bundled Valkey, which keeps its data in your user data directory.
    """
    started_s = time.monotonic()
    try:
        settings = load_settings(UpSettings, given)
        _check_free(settings.port, "--port", "service")
        _check_free(settings.dashboard_port, "--dashboard-port", "dashboard")
    except InvalidInput as error:
        raise click.UsageError(str(error)) from None
    supervisor = Supervisor(lambda line: click.echo(f"tidewire: {line}", err=True))
    supervisor.catch_signals()
    chosen = None
    try:
        chosen = choose_redis(settings)
        _run(settings, chosen, supervisor, started_s)
    except TidewireError as error:
        raise click.ClickException(str(error)) from None
    finally:
        supervisor.end()
        if chosen is not None and chosen.server is not None:
            chosen.server.stop()
    click.echo("tidewire: everything ended")


def _run(settings: UpSettings, chosen: ChosenRedis, supervisor: Supervisor, started_s: float) -> None:
    service = f"http://127.0.0.1:{settings.port}"
    dashboard = f"http://127.0.0.1:{settings.dashboard_port}"
    environment = {"TIDEWIRE_REDIS": chosen.url, "TIDEWIRE_URL": service}
    quiet = {**environment, "TIDEWIRE_LOG_LEVEL": "warning"}
    supervisor.add(Child("service", ["serve", "--port", str(settings.port)], quiet))
    supervisor.add(
        Child("dashboard", ["dashboard"], {**quiet, "TIDEWIRE_DASHBOARD_PORT": str(settings.dashboard_port)})
    )
    if settings.host:
        supervisor.add(Child("host publisher", ["host", "--to", chosen.url], quiet))
    click.echo(f"Tidewire {__version__}")
    click.echo(f"  dashboard  {dashboard}")
    click.echo(f"  service    {service}  (API: {service}/schema)")
    click.echo(f"  redis      {chosen.what}")
    click.echo("\n  Publish from Python:\n")
    click.echo(_SNIPPET.format(url=service if chosen.server or "@" in chosen.url else chosen.url))
    waiting = {f"{service}/health/live": "service", f"{dashboard}/": "dashboard"}
    late_s = time.monotonic() + _READY_S
    told_late = False

    def watch() -> None:
        nonlocal told_late
        if not waiting:
            return
        for url in [url for url in waiting if _answers(url)]:
            del waiting[url]
        if not waiting:
            click.echo(f"  Ready after {time.monotonic() - started_s:.1f} s; Ctrl-C ends everything.\n")
            if settings.open:
                webbrowser.open(dashboard)
        elif not told_late and time.monotonic() > late_s:
            told_late = True
            click.echo(f"tidewire: not ready yet: {', '.join(waiting.values())}; try: tidewire doctor", err=True)

    supervisor.run(watch)
