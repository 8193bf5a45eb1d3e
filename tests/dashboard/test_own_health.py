"""The deck `/d/tidewire` shows the service's own health from its own readings, with nobody having made it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from servers import StartService, Valkey
from waiting import Eventually

from tidewire.model.batch import FINISHED
from tidewire_dashboard.app import running_dashboard
from tidewire_dashboard.settings import DashboardSettings
from tidewire_service.operations.self_metrics import SELF_METRICS, process_name, quantile

from .conftest import Tab


async def _series(service: Any) -> dict[str, Any]:
    answer = await service.http.get("/v1/catalog", params={"metric": "tidewire/*"})
    return {series["metric"]: series for series in answer.json()["series"]}


async def _watched(service: Any, eventually: Eventually) -> dict[str, Any]:
    """Let a stream read what is published until every own reading is there; return them."""
    async with service.http.stream("GET", "/v1/stream?metric=furnace/*&replay=none") as stream:
        reading = asyncio.create_task(anext(aiter(stream.aiter_lines())))

        async def all_there() -> Any:
            await service.publish("furnace/temperature", 921.4)
            await service.http.post("/v1/readings", json={"metric": "bad//name", "value": 1})
            found = await _series(service)
            running = {"tidewire/accepted", "tidewire/deliveries", "tidewire/refused", "tidewire/streams"}
            busy = all(found[metric]["value"] for metric in running if metric in found)
            return found if set(found) == set(SELF_METRICS) and busy else None

        found: dict[str, Any] = await eventually(all_there)
        await reading
    return found


async def test_each_process_publishes_its_health(start_service: StartService, eventually: Eventually) -> None:
    service = await start_service(self_metrics_s=0.2)
    found = await _watched(service, eventually)
    assert {series["labels"]["process"] for series in found.values()} == {process_name(0)}
    values = {metric: series["value"] for metric, series in found.items()}
    assert values["tidewire/streams"] == 1
    assert values["tidewire/metrics"] >= 2
    assert 0 < values["tidewire/latency"] < 5_000
    assert 0 < values["tidewire/redis"] < 5_000
    assert 20e6 < values["tidewire/memory"] < 2e9
    assert (values["tidewire/errors"], values["tidewire/gaps"]) == (0, 0)
    assert found["tidewire/latency"]["unit"] == "ms"


async def test_the_series_of_a_process_that_ended_are_finished(
    start_service: StartService, eventually: Eventually
) -> None:
    gone, service = await start_service(self_metrics_s=0.1), await start_service()
    await eventually(lambda: _series(service))
    await gone.stop()
    found = await _series(service)
    assert {series["text"] for series in found.values()} == {FINISHED}
    assert all(series["value"] is not None for series in found.values()), "the last values stay"


async def test_none_are_published_unless_asked_for(service: Any) -> None:
    await asyncio.sleep(0.3)
    assert await _series(service) == {}
    assert service.settings.self_metrics_s == 0


async def test_redis_away_leaves_some_out_and_the_next_come(
    start_service: StartService, valkey: Valkey, eventually: Eventually
) -> None:
    service = await start_service(self_metrics_s=0.1, redis_timeout_s=0.3)
    await eventually(lambda: _series(service))
    valkey.restart()
    before = (await _series(service))["tidewire/redis"]["time"]

    async def newer() -> bool:
        return bool((await _series(service))["tidewire/redis"]["time"] > before)

    await eventually(newer)
    assert service.app.state.failures["own"] == 0, "nothing failed that nobody foresaw"


@pytest.mark.browser
async def test_its_deck_is_there_without_anybody_making_it(
    start_service: StartService, eventually: Eventually, browser: Any
) -> None:
    service = await start_service(self_metrics_s=0.2)
    await _watched(service, eventually)
    async with running_dashboard(DashboardSettings(url=service.url, dashboard_port=0)) as dashboard:
        tab = Tab(await browser.new_page(), dashboard.url)
        await tab.open("/d/tidewire")
        await tab.until("(count) => window.__tidewire?.state().charts.length === count", len(SELF_METRICS))
        assert tab.errors == []
        await tab.page.close()


@example([1.0, 1.0, 0.0078125], 1 / 3)  # the sum of a bucket's ends is beyond its upper one
@given(st.lists(st.floats(0.0005, 4.9), min_size=1, max_size=50), st.floats(0.01, 1))
def test_a_quantile_lies_in_the_bucket_of_the_reading_that_it_is(values: list[float], share: float) -> None:
    bounds = (0.001, 0.01, 0.1, 1.0, 5.0, float("inf"))
    buckets = [(bound, float(sum(value <= bound for value in values))) for bound in bounds]
    found = quantile(share, buckets)
    assert found is not None
    exact = sorted(values)[max(0, -int(-share * len(values) // 1) - 1)]
    upper = next(bound for bound in bounds if exact <= bound)
    lower = max([0.0, *(bound for bound in bounds if bound < exact)])
    assert lower <= found <= upper
    assert quantile(share, [(1.0, 0.0), (float("inf"), 0.0)]) is None
