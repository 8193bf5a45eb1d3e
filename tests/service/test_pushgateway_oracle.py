"""Debian's Pushgateway as the oracle: after the same pushes, what it exposes is what has not ended here."""

from __future__ import annotations

import random
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from ports import own_port
from prometheus_client.parser import text_string_to_metric_families
from waiting import eventually

pytestmark = pytest.mark.pushgateway

SEED, PUSHES = 16, 120
GROUPS = ("job/a", "job/b", "job/a/host/x", "job@base64/L2E", "job/a/path@base64/L3Zhci90bXA=", "job/c/empty@base64/=")
ITS_OWN = ("push_time_seconds", "push_failure_time_seconds", "pushgateway_", "go_", "process_", "promhttp_")
BAD = ("a", "a{x=1} 1\n", "a 1 1700000000000\n", 'a{x="1} 1\n', "a one\n", "a 1\na 1\n", "job/x")
Live = set[tuple[str, tuple[tuple[str, str], ...], float]]


@pytest.fixture
async def pushgateway(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A Pushgateway of this test alone."""
    port = own_port()
    with (tmp_path / "pushgateway.log").open("wb") as log:
        data = tmp_path / "pushgateway.data"  # else Debian keeps it for the next one
        command = ["prometheus-pushgateway", f"--web.listen-address=127.0.0.1:{port}", f"--persistence.file={data}"]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as client:

        async def there() -> bool:
            try:
                return (await client.get("/-/ready")).status_code == 200
            except httpx.TransportError:
                return False

        await eventually(there)
        yield client
    process.terminate()
    process.wait()


def _body(choose: random.Random) -> str:
    if choose.random() < 0.1:
        return choose.choice(BAD)
    lines = {
        f"m{choose.randrange(4)}" + choose.choice(("", '{x="1"}', '{x="2"}', '{job="mine",y="a\\"b\\\\c\\n é"}')): None
        for _ in range(choose.randrange(1, 6))
    }
    return "".join(f"{name} {choose.randrange(100)}\n" for name in lines)


async def _there(client: httpx.AsyncClient) -> Live:
    text = (await client.get("/metrics")).text
    return {
        (
            sample.name,
            tuple(sorted((name, value.replace("\n", "_")) for name, value in sample.labels.items() if value)),
            sample.value,
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.startswith(ITS_OWN)
    }


async def _here(service: Any) -> Live:
    found = await service.history(start="-1h")
    return {
        (each["metric"], tuple(each["labels"].items()), each["value"][-1])
        for each in found["series"]
        if (each.get("text") or [None])[-1] != "finished"
    }


async def test_the_same_pushes_leave_the_same_series(service: Any, pushgateway: httpx.AsyncClient) -> None:
    choose = random.Random(SEED)
    for number in range(PUSHES):
        method = choose.choice(("PUT", "PUT", "POST", "POST", "DELETE"))
        path, body = f"/metrics/{choose.choice(GROUPS)}", "" if method == "DELETE" else _body(choose)
        there = await pushgateway.request(method, path, content=body.encode())
        here = await service.http.request(method, path, content=body.encode())
        assert here.status_code == there.status_code, (number, method, path, body, there.text, here.text)
        if number % 10 == 9:
            assert await _here(service) == await _there(pushgateway), (number, method, path, body)
    assert len(await _here(service)) > 10
