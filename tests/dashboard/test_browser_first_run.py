"""The first minutes of somebody who has just started Tidewire: how to add data, and what came, in Chromium."""

from __future__ import annotations

from typing import Any

import pytest
from axe import needs_axe, violations

pytestmark = pytest.mark.browser
DEEP = """const deep = (root = document) => [...root.querySelectorAll("*")]
    .flatMap((one) => [one, ...(one.shadowRoot ? deep(one.shadowRoot) : [])]);
    const all = (hook) => deep().filter((one) => one.dataset?.tw === hook && one.checkVisibility());
    const words = (one) => one.innerText.replace(/\\s+/g, " ").trim();"""
WAYS = f"() => {{ {DEEP} return all('add-way').map((one) => words(one.lastElementChild)); }}"
HEADS = f"() => {{ {DEEP} return all('tile-head').map((one) => [one.ariaLabel, one.ariaExpanded]); }}"
NEW = f"(name) => {{ {DEEP} return all('tile').some((one) => one.ariaLabel.startsWith(name)); }}"
SHOWN = f"() => {{ {DEEP} return all('add-data').length === 1; }}"


async def own(service: Any) -> None:
    for metric, value in (("host/cpu", 18.4), ("host/load", 1.36), ("tidewire/streams", 1.0), ("tidewire/memory", 5e7)):
        await service.publish(metric, value)


@needs_axe
async def test_a_first_reading_is_waited_for_and_shown(tab: Any, service: Any) -> None:
    await own(service)
    await tab.open("/")
    await tab.until(f"() => ({WAYS})().length === 3")
    ways = await tab.page.evaluate(WAYS)
    assert [way.split(" for ")[:3] for way in ways] == [
        ["Waiting", "the first reading… listening", name] for name in ("my/temperature", "my/heat", "my/pressure")
    ]
    assert await violations(tab.page) == []

    await tab.page.locator('[data-tw="add-way"]').first.get_by_role("button", name="Copy").click()
    await service.publish("my/heat", 20.5, 21.5, unit="Cel")
    await tab.until(NEW, "my/heat, new")
    await tab.until(f"() => ({WAYS})()[1].startsWith('Here it is: my/heat 2 readings · 21.50 °C')")
    await service.publish("furnace/heat", 921.4, unit="Cel", labels={"site": "A"})  # nobody keeps to the example's name
    await tab.until(NEW, "furnace/heat A, new")
    await tab.until(f"() => ({WAYS})()[0].startsWith('Here it is: furnace/heat')")
    await service.publish("furnace/flow", 12.0)
    await tab.until(NEW, "furnace/flow, new")
    ways = await tab.page.evaluate(WAYS)
    assert ways[2].startswith("Waiting"), "what came is shown once"
    assert await violations(tab.page) == []

    await tab.page.get_by_text("Open chart").first.click()
    await tab.until("() => window.__tidewire?.state().charts?.[0]?.title === 'furnace/heat'")
    assert tab.errors == []


async def test_who_hides_how_to_add_data_finds_it_in_the_menu(tab: Any, service: Any) -> None:
    await own(service)
    await tab.open("/")
    await tab.until(SHOWN)
    await tab.page.get_by_text("Hide until I ask").click()
    await tab.until(f"() => !({SHOWN})()")
    await tab.page.reload()
    await tab.until(f"() => ({HEADS})().length === 2")
    assert not await tab.page.evaluate(SHOWN), "this browser was told"
    await tab.page.locator('[data-tw="more"]').click()
    await tab.page.get_by_role("menuitem", name="Add data").click()
    await tab.until(SHOWN)


async def test_tidewires_own_health_is_folded_away_until_something_is_wrong(tab: Any, service: Any) -> None:
    await own(service)
    await service.publish("my/flow", 12.0)
    await tab.open("/")
    await tab.until(f"() => ({HEADS})().length === 3")
    heads = [["host, 2 series", "true"], ["my, 1 series", "true"], ["Tidewire itself, 2 series", "false"]]
    assert await tab.page.evaluate(HEADS) == heads
    assert not await tab.page.evaluate(SHOWN), "there is data already"
    limits = [{"metric": "tidewire/memory", "critical_above": 1e6}]
    answer = await service.http.put("/v1/thresholds", json={"thresholds": limits})
    assert answer.status_code == 200, answer.text
    await service.publish("tidewire/memory", 6e7)
    await tab.until(f"() => ({HEADS})()[2][1] === 'true'")
    await tab.page.locator('[data-tw="tile-head"]').nth(2).click()
    await tab.until(f"() => ({HEADS})()[2][1] === 'false'")  # but not against somebody's will
    assert "f=" in tab.page.url
