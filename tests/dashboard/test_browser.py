"""The dashboard in Chromium, a real service behind it: what a person sees, and that no other host is asked."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Template
from servers import Valkey
from waiting import HANG_S, Eventually, generous

import tidewire
from tidewire.model.batch import encode_batch, make_batch
from tidewire.redislog.calls import Retention
from tidewire.redislog.log import RedisLog
from tidewire_dashboard import panel_app
from tidewire_dashboard.app import Dashboard

pytestmark = pytest.mark.browser
# What a chart is asked: the value printed by its newest frame, and where its line ends.
CHART = "() => window.__tidewire?.state().charts[0]?.series[0] ?? null"


async def test_a_fresh_dashboard_says_what_to_publish_and_the_first_reading_appears_by_itself(
    tab: Any, service: Any
) -> None:
    await tab.open("/")
    await tab.sees("No metrics yet")
    await tab.sees("Service ok")
    await service.publish("furnace/temperature", 921.5, unit="Cel", labels={"site": "A"})
    await tab.until("() => window.__tidewire.state().lastValues[0] === 921.5")
    assert await tab.page.title() == "Tidewire"
    assert tab.errors == []


async def test_history_is_there_on_open_and_the_end_of_the_line_is_the_newest_reading(tab: Any, service: Any) -> None:
    now_ms = time.time() * 1e3
    times = [now_ms - 200_000 + n * 1_000 for n in range(200)]
    await service.publish("furnace/temperature", *map(float, range(200)), time=times, unit="Cel")
    started = time.monotonic()
    await tab.open("/d/furnace?w=5m")
    await tab.until(f"() => (({CHART})()?.buckets ?? 0) > 90")
    assert time.monotonic() - started < generous(5)
    for value in (250.5, 251.25, 252.0):
        await service.publish("furnace/temperature", value, unit="Cel")
        await tab.until(
            f"(value) => {{ const s = ({CHART})(); return s?.last === value && s.end === value; }}", value, 3
        )
    assert tab.errors == []


async def test_a_change_of_unit_begins_a_new_piece_with_a_mark_and_an_axis_of_its_own(
    tab: Any, service: Any, now_ms: float
) -> None:
    times = [now_ms - 60_000 + n * 1_000 for n in range(20)]
    await service.publish("furnace/temperature", *[20.0] * 20, time=times, unit="Cel")
    await tab.open("/d/furnace?w=5m")
    unit = tab.page.locator(".card-unit").first
    await tab.until(f"() => ({CHART})()?.last === 20")
    assert await unit.text_content() == "°C"
    await service.publish("furnace/temperature", 20.0, time=[now_ms - 40_000], unit="°C")
    times = [now_ms - 30_000 + n * 1_000 for n in range(20)]
    await service.publish("furnace/temperature", *[68.0] * 20, time=times, unit="[degF]")
    await tab.until(f"() => ({CHART})()?.last === 68")
    await tab.until("() => window.__tidewire.state().charts[0].range[0] > 40")
    chart = await tab.page.evaluate("() => window.__tidewire.state().charts[0]")
    assert [event["text"] for event in chart["events"]] == ["unit: °C → °F"]
    assert await unit.text_content() == "°F"
    assert await tab.page.locator('[data-tw="chart"]').count() == 1
    assert tab.errors == []


async def test_one_series_that_changes_its_unit_leaves_the_others_of_its_chart_drawn(tab: Any, service: Any) -> None:
    for site, unit in (("A", "Cel"), ("B", "°C"), ("C", "Cel")):
        await service.publish("furnace/temperature", 20.0, unit=unit, labels={"site": site})
    await tab.open("/d/furnace?w=5m")
    await tab.until("() => window.__tidewire?.state().charts[0]?.series.filter((s) => s.last === 20).length === 3")
    await service.publish("furnace/temperature", 68.0, unit="[degF]", labels={"site": "A"})
    legend = tab.page.locator('[data-tw="legend"]').first
    await tab.until("() => document.title !== '' && window.__tidewire.state().charts[0].series[0].last === null")
    assert "(°F: not drawn)" in (await legend.text_content() or "")
    await service.publish("furnace/temperature", 21.0, unit="Cel", labels={"site": "B"})
    await tab.until("() => window.__tidewire.state().charts[0].series[1].last === 21")
    assert await tab.page.locator(".card-unit").first.text_content() == "°C"
    assert await tab.page.locator('[data-tw="chart-reload"]').count() == 0, "the chart did not stop"
    assert tab.errors == []


async def test_the_badge_says_that_the_service_is_away_and_nothing_is_missing_after(
    tab: Any, service: Any, dashboard: Dashboard
) -> None:
    await service.publish("furnace/temperature", 1.0)
    await tab.open("/d/furnace")
    await tab.until(f"() => ({CHART})()?.last === 1")
    badge = tab.page.locator('[data-tw="connection-badge"]')
    await tab.sees("LIVE")
    await service.stop()
    await tab.until("() => document.title !== ''")
    await tab.sees("RECONNECTING")
    assert await badge.is_visible()
    await service.start()
    await service.publish("furnace/temperature", 2.0, 3.0)
    dashboard.source.feed.retry_now()
    await tab.until(f"() => ({CHART})()?.last === 3")
    await tab.until("() => window.__tidewire.state().link === 'open'")
    total = dashboard.source.store.state["total"][0]
    assert total == 3


async def appended(url: str, retention: Retention, *values: float) -> None:
    """Publish straight to Redis, as a producer that never noticed."""
    log = RedisLog(url, retention=retention)
    for value in values:
        await log.append([encode_batch(make_batch("furnace/temperature", value))])
    await log.close()


async def test_the_badge_counts_what_was_recovered_after_an_outage_of_the_service(
    tab: Any, service: Any, valkey: Valkey, dashboard: Dashboard, eventually: Eventually
) -> None:
    await service.publish("furnace/temperature", 1.0)
    await tab.open("/d/furnace")
    await tab.until(f"() => ({CHART})()?.last === 1")
    await service.stop()
    await tab.sees("RECONNECTING")
    await appended(valkey.url, Retention(), 2.0, 3.0, 4.0)
    await service.start()
    dashboard.source.feed.retry_now()
    await tab.badge("RECOVERED3readings")
    await tab.until(f"() => ({CHART})()?.last === 4")

    async def live() -> bool:
        await service.publish("furnace/temperature", 5.0)  # without new readings LIVE is soon STALE
        return bool(await tab.page.get_by_text("LIVE").first.is_visible())

    await eventually(live)


async def test_the_badge_names_the_gap_that_cannot_be_recovered(
    tab: Any, service: Any, valkey: Valkey, dashboard: Dashboard
) -> None:
    await service.publish("furnace/temperature", 1.0)
    await tab.open("/d/furnace")
    await tab.until(f"() => ({CHART})()?.last === 1")
    await service.stop()
    await tab.sees("RECONNECTING")
    await appended(valkey.url, Retention(batches=2), *map(float, range(2, 12)))
    await service.start()
    dashboard.source.feed.retry_now()
    await tab.badge("GAP")
    await tab.until(f"() => ({CHART})()?.last === 11")


async def test_names_labels_and_units_are_text_and_never_markup(tab: Any, service: Any) -> None:
    evil = "<img src=x onerror=window.hacked=1>"
    await service.publish(f"evil/{evil}", 1.0, unit="<b>x</b>", labels={"k": f'"{evil}'})
    await service.publish("annotations", None, text=[evil])
    for path in ("/", "/d/evil"):
        await tab.open(path)
        await tab.until("() => window.__tidewire?.state().series === 2")
        await tab.until("() => Object.keys(window.__tidewire.state().lastValues).length > 0")
    assert await tab.page.evaluate("() => window.hacked === undefined")
    assert not [url for url in tab.requests if url.endswith("/x")]


async def test_a_dashboard_that_was_restarted_is_found_again_by_the_page(
    tab: Any, dashboard: Dashboard, service: Any
) -> None:
    await service.publish("furnace/temperature", 1.0)
    await tab.open("/d/furnace?w=1m")
    await tab.until(f"() => ({CHART})()?.last === 1")
    tickets = dashboard.hub.tickets
    for ticket in list(tickets._tickets):
        tickets.revoke(ticket)
    loads = len([url for url in tab.requests if url.endswith("/d/furnace?w=1m")])
    for handler in list(dashboard.hub.shared.viewers):
        handler.fail()
    async with asyncio.timeout(HANG_S):
        while len([url for url in tab.requests if url.endswith("/d/furnace?w=1m")]) == loads:
            await asyncio.sleep(0.02)
    await tab.until(f"() => ({CHART})()?.last === 1")


async def test_a_page_that_goes_elsewhere_at_once_needs_no_session(
    tab: Any, dashboard: Dashboard, service: Any
) -> None:
    """Panel's scripts, which run some seconds after the first drawing, are relative to where the page was loaded."""
    await service.publish("furnace/temperature", 1.0)
    await tab.open("/?w=1m")
    await tab.page.locator('[data-tw="tile"]').click()
    await tab.until(f"() => ({CHART})()?.last === 1")
    drawn_ms = await tab.page.evaluate("() => performance.now()")
    await tab.until("(drawn) => performance.now() > drawn + 3500", drawn_ms)
    assert tab.errors == []
    assert not await tab.page.evaluate("() => 'Bokeh' in window")

    tickets, before = dashboard.hub.tickets, set(dashboard.hub.shared.viewers)
    for ticket in list(tickets._tickets):
        tickets.session_ended(ticket)
    for handler in before:
        handler.fail()
    async with asyncio.timeout(HANG_S):
        while not set(dashboard.hub.shared.viewers) - before:
            await asyncio.sleep(0.02)
    await service.publish("furnace/temperature", 2.0)
    await tab.until(f"() => ({CHART})()?.last === 2")
    assert len([url for url in tab.requests if url.endswith("/?w=1m")]) == 1, "the page was not loaded again"


NOTEBOOK = """async ([module, traits, series]) => {
    const { default: deck } = await import(module);
    const heard = {};
    const model = { get: (name) => traits[name], set: (name, value) => { traits[name] = value; }, save_changes: () => 0,
        on: (name, call) => { heard[name] = call; }, off: () => 0, send: () => 0 };
    const el = document.body.appendChild(document.createElement("div"));
    deck.render({ model, el });
    heard["msg:custom"]({ t: "series", full: true, series }, []);
    return (el.shadowRoot ?? el).querySelector('[data-tw="open"]').href;
}"""


async def test_the_chart_of_a_notebook_opens_the_same_charts_on_the_dashboard(tab: Any, dashboard: Dashboard) -> None:
    source = (Path(tidewire.__file__).parent / "static" / "notebook.js").read_text(encoding="utf-8")
    await tab.open("/")
    await tab.sees("No metrics yet")
    blob = "(source) => URL.createObjectURL(new Blob([source], { type: 'text/javascript' }))"
    module = await tab.page.evaluate(blob, source)
    traits = {"pattern": "furnace/**", "window_ms": 90_000, "theme": "dark", "dashboard_url": dashboard.url}
    series = [
        {"i": n, "metric": f"furnace/{name}", "labels": {}, "unit": "", "colour": n}
        for n, name in enumerate(("power", "temperature"))
    ]
    opened = await tab.page.evaluate(NOTEBOOK, [module, traits, series])
    assert opened == f"{dashboard.url}/d/furnace?w=90s&c=furnace/power:6&c=furnace/temperature:6"


async def test_a_part_of_the_page_that_cannot_be_fetched_is_said(tab: Any) -> None:
    async def cut(route: Any) -> None:
        await route.abort()

    await tab.page.route("**/deck-help.js", cut)
    await tab.open("/")
    await tab.sees("No metrics yet")
    await tab.page.keyboard.press("?")
    await tab.sees("This part of the page could not be loaded: reload the page")
    await tab.page.unroute("**/deck-help.js")
    await tab.page.reload()
    await tab.sees("No metrics yet")
    await tab.page.keyboard.press("?")
    await tab.page.get_by_role("dialog", name="Keys").wait_for()
    tab.errors.clear()  # the browser's own words on the request that was cut


async def test_parts_of_the_page_are_there_also_when_the_dashboard_is_gone(tab: Any) -> None:
    await tab.open("/")
    await tab.sees("No metrics yet")
    await tab.until("() => performance.getEntriesByType('resource').some((one) => one.name.endsWith('/deck-help.js'))")
    await tab.page.context.set_offline(True)
    try:
        await tab.page.keyboard.press("?")
        await tab.page.get_by_role("dialog", name="Keys").wait_for()
    finally:
        await tab.page.context.set_offline(False)
    tab.errors.clear()  # of the socket that was cut


async def test_the_drawer_is_fetched_before_it_is_asked_for_and_shows_nothing_until_then(
    tab: Any, service: Any
) -> None:
    await service.publish("plant/power", 1.0, 2.0)
    await tab.open("/d/plant")
    drawer = tab.page.locator('[data-tw="drawer"]')
    await drawer.wait_for(state="attached")
    assert await drawer.is_hidden()
    await tab.page.keyboard.press("f")
    await drawer.wait_for()
    assert tab.errors == []


async def test_a_deck_draws_before_panels_scripts_and_also_without_them(tab: Any, service: Any) -> None:
    async def cut(route: Any) -> None:
        await route.abort()

    await service.publish("furnace/temperature", 921.5, 922.5, unit="Cel")
    await tab.page.route("**/static/js/bokeh.min.js*", cut)
    await tab.open("/d/furnace")
    await tab.until(f"() => ({CHART})()?.last === 922.5")
    assert await tab.page.evaluate("() => typeof Bokeh") == "undefined"
    await tab.until("() => performance.getEntriesByType('resource').some((one) => /bokeh.min/.test(one.name))")
    await tab.page.get_by_text("LIVE").first.wait_for()
    await service.publish("furnace/temperature", 923.5, unit="Cel")
    await tab.until(f"() => ({CHART})()?.last === 923.5")
    await tab.page.unroute("**/static/js/bokeh.min.js*")
    tab.errors.clear()  # the browser's own words on the script that was cut


async def test_a_page_that_says_nothing_of_itself_starts_the_deck_in_panels_component(
    tab: Any, service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So does any other Panel application that shows the component."""
    body = '<div style="height: 100%">{% for root in roots %}{{ embed(root) }}{% endfor %}</div>'
    plain = f"{{% extends base %}}{{% block contents %}}{body}{{% endblock %}}"
    monkeypatch.setattr(panel_app, "PAGE", Template(plain))
    await service.publish("furnace/temperature", 921.5, 922.5, unit="Cel")
    await tab.open("/d/furnace")
    await tab.until(f"() => ({CHART})()?.last === 922.5")
    await tab.badge("LIVE")
    assert await tab.page.evaluate("() => document.getElementById('tidewire-page')") is None
    assert tab.errors == []
