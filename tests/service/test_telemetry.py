"""What /metrics must tell: all that is bounded, ended, missed, dropped or repeated has a number, from the start."""

from __future__ import annotations

import io
import json
import logging
import re
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import structlog
from servers import LiveService, StartService, Valkey
from waiting import HANG_S, Eventually

import tidewire_service
from tidewire.model.cursor import Cursor
from tidewire_service.hub.counters import COUNTERS, LATENCY_BOUNDS_S
from tidewire_service.hub.end_reason import EndReason
from tidewire_service.operations.telemetry import configure_logging

SHOWN = {
    # holes, gaps, resets, duplicates, and what was done about them
    *(
        "holes",
        "fills",
        "fills_skipped",
        "entries_filled",
        "gaps_trimmed",
        "gaps_lost",
        "resets",
        "resets_sent",
        "forks",
    ),
    *("frames_duplicate", "frames_stale", "frames_garbled", "checks_behind", "connections_deaf", "pages_discarded"),
    # limits that were reached
    *("frames_dropped", "ring_evicted", "fallbacks_slow", "batches_left_out", "batches_skipped", "reads_late"),
}


def _metrics(text: str) -> dict[str, float]:
    lines = (line.rpartition(" ") for line in text.splitlines() if line.startswith("tidewire_"))
    return {name: float(value) for name, _, value in lines}


async def test_everything_that_can_happen_has_a_number_before_it_happens(service: Any) -> None:
    found = _metrics((await service.http.get("/metrics")).text)
    for name in COUNTERS:
        assert f"tidewire_hub_{name}_total" in found, name
    assert set(COUNTERS) >= SHOWN
    for reason in EndReason:
        assert f'tidewire_stream_ends_total{{reason="{reason}"}}' in found, reason
    for state in ("live", "catching_up", "slow", "parked"):
        assert found[f"tidewire_hub_subscriptions_{state}"] == 0
    for gauge in ("ring_bytes", "ring_batches", "frames_queued", "loop_late_s", "look_age_s", "metrics", "selections"):
        assert f"tidewire_hub_{gauge}" in found, gauge
    for bound in (*(f"{seconds:g}" for seconds in LATENCY_BOUNDS_S), "+Inf"):
        assert f'tidewire_publish_to_write_seconds_bucket{{le="{bound}"}}' in found, bound


def test_every_counter_of_the_hub_is_declared() -> None:
    """A misspelt name would count, and never be found."""
    package = Path(tidewire_service.__file__).parent
    sources = [path for room in ("hub", "streams") for path in (package / room).glob("*.py")]
    used = set(
        re.findall(r'(?:partition|_hub|hub|self)\.(?:_)?counters\["(\w+)"\]', "".join(p.read_text() for p in sources))
    )
    assert len(used) > 25
    assert used <= set(COUNTERS), used - set(COUNTERS)


async def test_the_numbers_follow_what_happens(
    start_service: StartService, valkey: Valkey, eventually: Eventually
) -> None:
    service = await start_service()
    key = {"Idempotency-Key": "once"}
    for _ in range(2):
        posted = await service.http.post("/v1/readings", json={"metric": "a", "value": 1}, headers=key)
        assert posted.status_code == 200
    repeated = _metrics((await service.http.get("/metrics")).text)
    assert repeated['tidewire_calls_repeated_total{ingest="http"}'] == 1
    trimmed = Cursor.parse(posted.json()["cursor"])
    await service.http.post("/v1/readings", json=[{"metric": "a", "value": n} for n in range(2, 6)])
    await service.http.post("/v1/readings", json={"metric": "a", "value": 6})
    valkey.client.xtrim("tw:{0}:log:a", maxlen=1, approximate=False)
    service = await start_service()  # nothing in its ring: older cursors read the log
    resumed = {"Last-Event-ID": str(trimmed)}
    async with service.http.stream("GET", "/v1/stream?metric=a", headers=resumed) as answer:
        async for line in answer.aiter_lines():
            if line == "event: live":
                break
        found = _metrics((await service.http.get("/metrics")).text)
        assert found["tidewire_hub_subscriptions_live"] == 1
        assert found["tidewire_hub_selections"] == 1
    assert found["tidewire_hub_gaps_trimmed_total"] == 1
    assert found["tidewire_hub_pages_log_total"] >= 1
    assert repeated["tidewire_publish_to_write_seconds_count"] >= 1

    async def ended() -> bool:
        text = (await service.http.get("/metrics")).text
        return _metrics(text)['tidewire_stream_ends_total{reason="client_gone"}'] == 1

    await eventually(ended)
    wrong = {"Last-Event-ID": str(Cursor("zzzzzzz", trimmed.id))}
    async with service.http.stream("GET", "/v1/stream?metric=a", headers=wrong) as answer:
        async for line in answer.aiter_lines():
            if line.startswith("data: ") and "epoch" in msgspec.json.decode(line[6:]):
                break
    found = _metrics((await service.http.get("/metrics")).text)
    assert found["tidewire_hub_resets_sent_total"] == 1


async def test_a_request_and_a_stream_can_be_followed_through_the_log(
    live_service: LiveService, eventually: Eventually
) -> None:
    async with httpx.AsyncClient(base_url=live_service.url, trust_env=False, timeout=HANG_S) as http:
        refused = await http.get("/v1/history?metric=")
        async with http.stream("GET", "/v1/stream?metric=a") as stream:
            async for line in stream.aiter_lines():
                if line == "event: live":
                    break

        def lines() -> list[dict[str, Any]]:
            found = [json.loads(line) for line in live_service.log.read_text().splitlines() if line.startswith("{")]
            assert found, "the log is JSON where it is no terminal"
            return [line for line in found if "request" in line]

        await eventually(lambda: any(line["event"] == "stream_ended" for line in lines()))
    [ended] = [line for line in lines() if line["event"] == "stream_ended"]
    assert ended["reason"] == "client_gone"
    assert ended["seconds"] >= 0
    of_stream = [line for line in lines() if line["request"] == ended["request"]]
    assert [line["event"] for line in of_stream] == ["request_answered", "stream_ended"]
    assert of_stream[0]["path"] == "/v1/stream"
    id_ = refused.headers["tidewire-request"]
    assert [(line["path"], line["status"]) for line in lines() if line["request"] == id_] == [("/v1/history", 422)]


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_failure_in_the_log_shows_no_local_variables(form: Any) -> None:
    """A terminal got the variables of every frame, and with them whatever token or password was in one."""
    root, out = logging.getLogger(), io.StringIO()
    before, level = root.handlers[:], root.level
    try:
        configure_logging("info", form, out)
        try:
            password = "hunter2"  # noqa: F841 - a local variable is the point
            raise ValueError("broken")
        except ValueError as error:
            structlog.get_logger("tidewire_service").error("request_failed", exc_info=error)
    finally:
        root.handlers[:] = before
        root.setLevel(level)
        structlog.reset_defaults()
    said = out.getvalue()
    assert "broken" in said
    assert "Traceback" in said
    assert "hunter2" not in said
