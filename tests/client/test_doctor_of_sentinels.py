"""What `tidewire doctor` says of a primary that Sentinels watch: who they are, what they say, and what can be lost."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner
from sentinels import Sentinels
from waiting import eventually

from tidewire.commands.cli import main
from tidewire.commands.doctor import Finding, _redis


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sentinels]:
    with Sentinels(tmp_path_factory.mktemp("sentinels"), password="secret", sentinel_password="hidden") as started:
        yield started


@pytest.fixture
def sentinels(processes: Sentinels) -> Sentinels:
    processes.mend()
    for server in processes.servers:
        server.client.config_set("min-replicas-to-write", 0)
    return processes


def _of(findings: list[Finding], what: str) -> list[Finding]:
    return [finding for finding in findings if finding.what == what]


async def _until(sentinels: Sentinels, condition: Callable[[list[Finding]], object]) -> list[Finding]:
    """Examine until a condition holds; return the findings."""

    def examined() -> list[Finding]:
        findings = list(_redis(sentinels.url, "tw", set()))
        return findings if condition(findings) else []

    found: list[Finding] = await eventually(examined)
    return found


async def test_it_names_sentinels_primary_replicas_and_the_risk(sentinels: Sentinels) -> None:
    primary, [replica] = sentinels.primary, sentinels.replicas
    findings = await _until(sentinels, lambda found: not [one for one in found if one.level == "wrong"])
    assert [finding.found for finding in _of(findings, "sentinel")] == [
        f"127.0.0.1:{sentinel.port} says that the primary is 127.0.0.1:{primary.port}"
        for sentinel in sentinels.sentinels
    ]
    [found] = _of(findings, "primary")
    assert found.found == (f"127.0.0.1:{primary.port}; replicas: 127.0.0.1:{replica.port}; min-replicas-to-write 0")
    [risk] = _of(findings, "replicas")
    assert (risk.level, risk.found) == ("note", "min-replicas-to-write is 0")
    assert "run two replicas, and set min-replicas-to-write to 1" in risk.remedy
    assert [finding for finding in findings if finding.level == "wrong"] == []


async def test_it_says_what_one_replica_or_none_means(sentinels: Sentinels) -> None:
    primary, [replica] = sentinels.primary, sentinels.replicas
    primary.client.config_set("min-replicas-to-write", 1)
    findings = await _until(sentinels, lambda found: _of(found, "primary"))
    assert _of(findings, "primary")[0].found.endswith("min-replicas-to-write 1")
    assert "while it is away, nothing can be written" in _of(findings, "replicas")[0].remedy
    primary.client.config_set("min-replicas-to-write", 0)
    replica.signal(signal.SIGKILL)
    findings = await _until(sentinels, lambda found: "replicas: none" in str(_of(found, "primary")))
    assert _of(findings, "replicas")[0].found == "the primary has none in step"


async def test_it_names_the_sentinel_that_is_away_and_says_when_too_few_are_left(sentinels: Sentinels) -> None:
    first, second, _ = sentinels.sentinels
    first.signal(signal.SIGKILL)
    findings = await _until(sentinels, lambda found: _of(found, "primary"))
    assert [finding.level for finding in _of(findings, "sentinel")] == ["note", "ok", "ok"]
    second.signal(signal.SIGKILL)
    findings = list(_redis(sentinels.url, "tw", set()))
    [wrong] = [finding for finding in findings if finding.level == "wrong"]
    assert "no majority of 3 Sentinels says where 'tw' is" in wrong.found


async def test_one_sentinel_is_not_enough(sentinels: Sentinels) -> None:
    nodes = sentinels.url.partition("@")[2].partition("/")[0]
    findings = list(_redis(sentinels.url.replace(nodes, nodes.partition(",")[0]), "tw", set()))
    [_, found] = _of(findings, "sentinel")
    assert (found.level, found.found) == ("note", "1 named")


def test_it_shows_no_password(sentinels: Sentinels) -> None:
    out = CliRunner().invoke(main, ["doctor", "--redis", sentinels.url, "--url", "http://127.0.0.1:1"]).output
    assert "says that the primary is" in out
    assert "secret" not in out
    assert "hidden" not in out
