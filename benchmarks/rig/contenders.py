"""The contenders: Tidewire's service and its peers, each started on the server's core; what is missing is said."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from rig.processes import SERVER, Child, free_port, out

__all__ = ["CONTENDERS", "Contender", "Running", "available", "start", "tidewire"]

PEERS = Path(__file__).parents[1] / "peers"
INSTALLED = out("peers", "x").parent


class Contender(NamedTuple):
    """One way to fan out.

    Attributes:
        name: in the results.
        feed: how the feeder publishes to it: ``tidewire``, ``pubsub`` or ``nchan``.
        needs: files without which it is missing.
        command: (port, redis port) → argv.
        path: metric numbers → the request path of a subscriber.
        ready: text in the first line that says that the subscription stands; empty: any line.
        guess: deliveries/s with which a search for 1,000 subscribers of one metric begins.
        environment: of its process.
    """

    name: str
    feed: str
    needs: Sequence[Path]
    command: Callable[[int, int], Sequence[str]]
    path: Callable[[Sequence[int]], str]
    ready: str = ""
    guess: float = 20_000
    environment: Mapping[str, str] = MappingProxyType({})


class Running(NamedTuple):
    contender: Contender
    child: Child
    port: int


def _metrics(path: str, rest: str = "") -> Callable[[Sequence[int]], str]:
    return lambda numbers: path + "?" + "&".join(f"metric=bench/{n}" for n in numbers) + rest


def _compiled_ceiling() -> Path:
    binary = out("bin", "ceiling")
    source = PEERS / "ceiling.c"
    if shutil.which("cc") and (not binary.exists() or binary.stat().st_mtime < source.stat().st_mtime):
        subprocess.run(["cc", "-O2", "-o", str(binary), str(source)], check=True)
    return binary


def tidewire(port: int, redis_port: int, *options: str, program: str = "") -> list[str]:
    """Return the command of the service, as a user starts it; `program` is the `tidewire` of another checkout."""
    return [
        program or str(Path(sys.executable).parent / "tidewire"), "serve", "--port", str(port),
        "--redis", f"redis://127.0.0.1:{redis_port}", "--log-level", "warning", *options,
    ]  # fmt: skip


def _nchan(port: int, redis_port: int, *, with_redis: bool = False) -> list[str]:
    directory = out("nchan", str(port), "x").parent
    text = (PEERS / "nchan.conf").read_text()
    upstream = f"upstream redis {{ nchan_redis_server redis://127.0.0.1:{redis_port}; }}"
    values = {
        "MODULE": _NCHAN_MODULE,
        "DIRECTORY": directory,
        "PORT": port,
        "REDIS_UPSTREAM": upstream if with_redis else "",
        "REDIS_PASS": "nchan_redis_pass redis;" if with_redis else "",
    }
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    config = directory / "nginx.conf"
    config.write_text(text)
    return [str(_NGINX), "-p", str(directory), "-c", str(config)]


def _nchan_redis(port: int, redis_port: int) -> list[str]:
    return _nchan(port, redis_port, with_redis=True)


_NGINX = INSTALLED / "nginx/usr/sbin/nginx"
_NCHAN_MODULE = INSTALLED / "nginx/usr/lib/nginx/modules/ngx_nchan_module.so"
_PYTHON = INSTALLED / "venv/bin/python"


def _python_peer(name: str, file: str, guess: float, package: str) -> Contender:
    packages = INSTALLED.glob(f"venv/lib/python*/site-packages/{package}")
    return Contender(
        name, "pubsub", [_PYTHON, next(packages, INSTALLED / "venv" / package)],
        lambda port, redis: [str(_PYTHON), str(PEERS / file), str(port), str(redis)], _metrics("/stream"), guess=guess,
    )  # fmt: skip


def _nchan_path(numbers: Sequence[int]) -> str:
    return "/sub?id=" + ",".join(f"bench/{n}" for n in numbers)


def _all() -> list[Contender]:
    node = [INSTALLED / "node/node_modules/ioredis", Path(shutil.which("node") or "/no/node")]
    return [
        Contender("tidewire", "tidewire", [], tidewire, _metrics("/v1/stream", "&replay=none"), "event: live", 5e6),
        Contender(
            "C ceiling",
            "pubsub",
            [_compiled_ceiling()],
            lambda port, redis: [str(_compiled_ceiling()), str(port), str(redis)],
            _metrics("/stream"),
            guess=5e6,
        ),
        Contender("nchan, in memory", "nchan", [_NGINX, _NCHAN_MODULE], _nchan, _nchan_path, guess=80_000),
        Contender("nchan, Redis mode", "nchan", [_NGINX, _NCHAN_MODULE], _nchan_redis, _nchan_path, guess=60_000),
        Contender(
            "Node + ioredis",
            "pubsub",
            node,
            lambda port, redis: ["node", str(PEERS / "node_ioredis.js"), str(port), str(redis)],
            _metrics("/stream"),
            guess=200_000,
            environment={"NODE_PATH": str(INSTALLED / "node/node_modules")},
        ),
        _python_peer("queue + Litestar SSE", "litestar_queue.py", 30_000, "litestar"),
        _python_peer("Litestar Channels", "litestar_channels.py", 15_000, "litestar"),
        _python_peer("sse-starlette, Pub/Sub each", "sse_starlette_pubsub.py", 8_000, "sse_starlette"),
    ]


CONTENDERS = {contender.name: contender for contender in _all()}


def available(names: Iterable[str] | None = None) -> list[Contender]:
    """Return the contenders that are installed; those that are not are named on the way."""
    found = []
    for name in names or CONTENDERS:
        contender = CONTENDERS[name]
        missing = [str(path) for path in contender.needs if not path.exists()]
        if missing:
            print(f"MISSING {name}: no {missing[0]} (python benchmarks/peers/install.py)", flush=True)
        else:
            found.append(contender)
    return found


def start(contender: Contender, redis_port: int, *options: str, cores: Sequence[int] = SERVER) -> Running:
    """Start a contender on the server's core and wait until it listens."""
    port = free_port()
    child = Child(
        [*contender.command(port, redis_port), *options], cores,
        name=contender.name.replace(" ", "_").replace("/", ""), environment=contender.environment,
    )  # fmt: skip
    try:
        child.listening(port)
    except BaseException:
        child.stop()
        raise
    return Running(contender, child, port)
