"""The Compose files of docs/compose: their servers run with the options that stand there, and hold the log."""

from __future__ import annotations

import contextlib
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from clusters import Cluster
from redis_servers import Server, until

from tidewire.commands.cli import main
from tidewire.commands.doctor import _redis
from tidewire.model.batch import encode_batch, make_batch
from tidewire.redislog.log import BlockingRedisLog
from tidewire.redislog.redis_url import parse_redis_url

COMPOSE = Path(__file__).parents[2] / "docs/compose"
FILES = ["sentinel.yaml", "cluster.yaml"]


def _services(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((COMPOSE / name).read_text(encoding="utf-8"))["services"]
    return found


def _words(service: dict[str, Any], *skipped: str) -> list[str]:
    """Return the words behind the program of a service, without some options and what follows each."""
    words = [*service["entrypoint"][1:], *service["command"]]
    for option in skipped:
        if option in words:
            at = words.index(option)
            del words[at : at + 2]
    return words


@pytest.mark.parametrize("name", FILES)
def test_every_name_in_a_compose_file_is_there(name: str) -> None:
    services = _services(name)
    volumes = yaml.safe_load((COMPOSE / name).read_text(encoding="utf-8"))["volumes"]
    for service in services.values():
        assert set(service.get("depends_on", ())) < set(services)
        own = [volume.partition(":")[0] for volume in service.get("volumes", ())]
        assert all(volume in volumes or (COMPOSE / volume / "pyproject.toml").exists() for volume in own)
    for service in (services["service-1"], services["service-2"]):
        target = parse_redis_url(service["environment"]["TIDEWIRE_REDIS"])
        nodes = target.sentinels.nodes if target.sentinels else target.nodes
        assert {node.host for node in nodes} == {one for one in services if re.match(r"(sentinel|node)-", one)}
        assert (COMPOSE.parents[1] / "constraints.txt").exists()
        offered = CliRunner().invoke(main, ["serve", "--help"], catch_exceptions=False).output
        assert all(option in offered for option in re.findall(r"--[a-z-]+", service["command"].partition("exec ")[2]))


def test_what_the_sentinel_file_starts_holds_the_log(tmp_path: Path) -> None:
    services = _services("sentinel.yaml")
    with contextlib.ExitStack() as ended:
        servers = []
        for number in (1, 2, 3):
            service = services[f"server-{number}"]
            server = Server(tmp_path, *_words(service, "--replica-announce-ip", "--replicaof"))
            ended.callback(server.end)
            follows = "--replicaof" in service["command"]
            assert service["command"][-1] == ("server-1 6379" if follows else f"server-{number}")
            server.start(*(["--replicaof", f"127.0.0.1 {servers[0].port}"] if follows else []))
            servers.append(server)
        sentinels = []
        for number in (1, 2, 3):
            service = services[f"sentinel-{number}"]
            shell, program, *lines = [*service["entrypoint"][1:], *service["command"]][1:]
            written = shell.replace("$$", "$").replace("/data/", f"{tmp_path}/{number}-")
            script, run = written.split("; exec valkey-sentinel ")
            given = [line.replace("server-1 6379", f"127.0.0.1 {servers[0].port}") for line in lines]
            given = [line.replace(f"announce-ip sentinel-{number}", "announce-ip 127.0.0.1") for line in given]
            assert given[-1] != lines[-1]
            subprocess.run(["sh", "-c", script, program, *given], check=True)
            sentinel = Server(tmp_path, run, "--sentinel")
            ended.callback(sentinel.end)
            sentinel.start()
            sentinels.append(sentinel)
        nodes = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in sentinels)
        url = f"redis+sentinel://{nodes}/tidewire"
        until(lambda: servers[0].client.info("replication")["min_slaves_good_slaves"] == 2, "both replicas follow")
        log = BlockingRedisLog(url)
        assert log.append([encode_batch(make_batch("m", 1.0))]).id
        log.close()
        assert [finding for finding in _redis(url, "tw", set()) if finding.level != "ok"] == []


def test_what_the_cluster_file_starts_holds_the_log(tmp_path: Path) -> None:
    services = _services("cluster.yaml")
    nodes = [one for one in services if one.startswith("node-")]
    words, *others = [_words(services[node], "--cluster-announce-hostname") for node in nodes]
    assert others == [words] * 5
    assert [services[node]["command"] for node in nodes] == [["--cluster-announce-hostname", node] for node in nodes]
    create = services["made"]["command"][0]
    assert "--cluster-replicas 1" in create
    assert f"for n in {' '.join(node[-1] for node in nodes)};" in create
    options = [*words, "--cluster-announce-hostname", "localhost"]
    with Cluster(tmp_path, primaries=3, replicas=1, options=options) as cluster:
        log = BlockingRedisLog(cluster.url)
        assert log.append([encode_batch(make_batch("m", 1.0))]).id
        assert log.locator.address is not None
        assert log.locator.address.host == "localhost", "nodes are known by their names"
        log.close()
        found = [finding for finding in _redis(cluster.url, "tw", set()) if finding.level != "ok"]
        assert [finding.what for finding in found] == ["replicas"], "a trial has one replica of each"
