"""`tidewire edge` as a process of its own: killed, started again, and ended by a signal."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner
from ports import own_port
from servers import LiveService
from stream_reader import StreamReader, reading
from waiting import HANG_S, Eventually

from tidewire.commands.cli import main

pytestmark = pytest.mark.fault


@contextlib.contextmanager
def running_edge(upstream: str, port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run an edge in a process of its own; killed with the block, unless it has ended."""
    with log.open("ab") as out:
        command = [sys.executable, "-P", "-m", "tidewire", "edge", "--upstream", upstream, "--port", str(port)]
        process = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(HANG_S)


async def ready(http: httpx.AsyncClient) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return (await http.get("/health/ready")).status_code == 200
    return False


async def test_a_killed_edge_costs_its_viewers_nothing(
    live_service: LiveService, tmp_path: Path, eventually: Eventually
) -> None:
    port, log, reader, sent = own_port(), tmp_path / "edge.log", StreamReader(), 0
    service = httpx.AsyncClient(base_url=live_service.url, timeout=HANG_S, trust_env=False)
    edge = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=HANG_S, trust_env=False)

    async def publish() -> None:
        nonlocal sent
        for _ in range(20):
            sent += 1
            answer = await service.post("/v1/readings", json={"metric": "plant/a", "value": sent})
            assert answer.status_code == 200

    def all_came() -> bool:
        assert reader.values["plant/a"] == list(range(1, len(reader.values["plant/a"]) + 1))
        return len(reader.values["plant/a"]) == sent

    async with service, edge:
        with running_edge(live_service.url, port, log) as process:
            await eventually(lambda: ready(edge), log.read_text())
            with contextlib.suppress(httpx.TransportError):
                async with reading(edge, reader, "metric=plant/a&replay=none"):
                    await eventually(lambda: reader.named("live"))
                    await publish()
                    await eventually(all_came)
                    process.kill()
                    process.wait(HANG_S)
                    await publish()
        async with reading(service, reader, "metric=plant/a"):
            await publish()
            await eventually(all_came)
        with running_edge(live_service.url, port, log) as process:
            await publish()
            await eventually(lambda: ready(edge), log.read_text())
            async with reading(edge, reader, "metric=plant/a"):
                await publish()
                await eventually(all_came)
                process.send_signal(signal.SIGTERM)
                await eventually(lambda: reader.named("bye"))
            assert process.wait(HANG_S) == 0
    assert "Traceback" not in log.read_text()
    assert "metric=" not in log.read_text(), "a query may hold a ticket"


def test_an_edge_without_an_upstream_says_what_is_missing() -> None:
    found = CliRunner().invoke(main, ["edge"])
    assert found.exit_code == 2
    assert "--upstream" in found.output
