"""What /metrics must tell: all that is bounded, ended, missed, dropped or repeated has a number, from the start."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec

import tidewire_service
from tidewire.cursor import Cursor
from tidewire_service.meters import COUNTERS, LATENCY_BOUNDS_S
from tidewire_service.subscription import EndReason

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
    # bounds that were reached
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
    sources = Path(tidewire_service.__file__).parent.glob("*.py")
    used = set(
        re.findall(r'(?:pump|_hub|hub|self)\.(?:_)?counters\["(\w+)"\]', "".join(p.read_text() for p in sources))
    )
    assert len(used) > 25
    assert used <= set(COUNTERS), used - set(COUNTERS)


async def test_the_numbers_follow_what_happens(start_service: Any, valkey: Any, eventually: Any) -> None:
    service = await start_service()
    key = {"Idempotency-Key": "once"}
    for _ in range(2):
        posted = await service.http.post("/v1/readings", json={"metric": "a", "value": 1}, headers=key)
        assert posted.status_code == 200
    repeated = _metrics((await service.http.get("/metrics")).text)
    assert repeated['tidewire_calls_repeated_total{door="http"}'] == 1
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
