"""A deck in Chromium, a real service behind it: time is frozen and moved without loss; the address holds all."""

from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from waiting import Eventually

from tidewire_dashboard.app import Dashboard

pytestmark = pytest.mark.browser
CHART = "window.__tidewire?.state().charts[0]"
DECK = "/d/furnace?c=furnace/temperature:8&c=furnace/power"


async def plant(service: Any, seconds: int = 200) -> float:
    """Publish a history of three series at one reading a second; return its end, Unix ms."""
    now_ms = time.time() * 1e3
    times = [now_ms - (seconds - n) * 1e3 for n in range(1, seconds + 1)]
    for site, start in (("A", 0), ("B", 1000)):
        values = [float(start + n) for n in range(seconds)]
        await service.publish("furnace/temperature", *values, time=times, unit="Cel", labels={"site": site})
    await service.publish("furnace/power", *map(float, range(seconds)), time=times, unit="kW")
    return now_ms


async def drawn(tab: Any, path: str = DECK) -> None:
    await tab.open(path)
    await tab.until(f"() => ({CHART}?.series?.[0]?.buckets ?? 0) > 20")


async def drag(tab: Any, at: tuple[float, float], to: tuple[float, float]) -> None:
    """Drag over the plot of the first chart; places are shares of its width and height."""
    box = await tab.page.locator('[data-tw="plot"]').first.bounding_box()
    spots = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in (at, to)]
    await tab.page.mouse.move(*spots[0])
    await tab.page.mouse.down()
    await tab.page.mouse.move(*spots[1], steps=5)
    await tab.page.mouse.up()


async def test_a_paused_page_stays_as_it_is_and_nothing_of_the_time_is_missing_after(tab: Any, service: Any) -> None:
    await plant(service)
    await drawn(tab)
    await tab.page.keyboard.press("Space")
    paused = f"() => location.search.includes('to=') && {CHART}.window[1] === window.__tidewire.state().shown.endMs"
    await tab.until(paused)  # the frame in which the key was pressed is another one
    before = await tab.page.evaluate(f"() => {CHART}")
    count = 0
    began_ms = time.time() * 1e3
    while time.time() * 1e3 < began_ms + 10_000:
        count += 1
        await service.publish("furnace/temperature", float(-count), unit="Cel", labels={"site": "A"})
        await asyncio.sleep(0.1)
    ended_ms = time.time() * 1e3
    await tab.sees(f"{count} new")
    after = await tab.page.evaluate(f"() => {CHART}")
    assert (after["window"], after["range"]) == (before["window"], before["range"])
    assert [one["end"] for one in after["series"]] == [one["end"] for one in before["series"]]
    await tab.page.keyboard.press("Escape")
    await tab.until(f"(last) => {CHART}.series[0].end === last", -count)
    await tab.open(f"{DECK}&from={began_ms - 1_000:.0f}&to={ended_ms + 500:.0f}")
    await tab.until(f"(count) => {CHART}?.series?.[0]?.buckets >= 0.9 * count", count)
    assert await tab.page.evaluate(f"() => {CHART}.range[0] < 0"), "the readings of the pause are drawn"


async def test_a_drag_zooms_at_the_resolution_of_pixels_and_back_undoes_it(tab: Any, service: Any) -> None:
    now_ms = await plant(service)
    await drawn(tab)
    live = await tab.page.evaluate(f"() => {CHART}.window")
    await drag(tab, (0.5, 0.4), (0.7, 0.4))
    await tab.until(f"() => {CHART}.window[1] - {CHART}.window[0] < 100_000")
    start, end = await tab.page.evaluate(f"() => {CHART}.window")
    assert now_ms - 300_000 < start < end < now_ms
    await tab.until(f"(least) => {CHART}.series[0].buckets >= least", int((end - start) / 1e3) - 2)
    assert "from=" in tab.page.url
    await tab.page.keyboard.press("[")
    await tab.until(f"(start) => {CHART}.window[0] < start", start)
    await tab.page.keyboard.press("-")
    await tab.until(f"(span) => {CHART}.window[1] - {CHART}.window[0] > 1.9 * span", end - start)
    await tab.page.go_back()
    await tab.until(f"(live) => {CHART}.window[1] >= live[1]", live)
    assert "from=" not in tab.page.url


async def test_an_address_gives_back_all_that_was_arranged(tab: Any, service: Any) -> None:
    await plant(service)
    await drawn(tab)
    card = tab.page.locator('[data-tw="chart"]').first
    await card.hover()
    for key in ("W", "W", "h", "h", "t", "3"):
        await tab.page.keyboard.press(key)
    await tab.page.locator('[data-tw="legend-item"]').nth(1).click()
    await tab.until(f"() => {CHART}.series[1].buckets === 0")
    await card.hover()
    await drag(tab, (0.7, 0.4), (0.9, 0.4))
    await tab.until("() => location.search.includes('to=')")
    box, url = await card.bounding_box(), tab.page.url
    for part in ("furnace/temperature:6x7", "w=15m", "hide=furnace/temperature(site=B)", "theme=", "from="):
        assert part in url
    state = await tab.page.evaluate(f"() => [{CHART}.title, {CHART}.window, {CHART}.series.map((s) => s.key)]")
    await tab.open("/")
    await drawn(tab, url.removeprefix(tab.base))
    assert tab.page.url == url
    assert await tab.page.evaluate(f"() => [{CHART}.title, {CHART}.window, {CHART}.series.map((s) => s.key)]") == state
    assert await tab.page.evaluate(f"() => {CHART}.series[1].buckets") == 0
    assert await card.bounding_box() == box


async def test_charts_are_added_overlaid_moved_stretched_split_and_removed(tab: Any, service: Any) -> None:
    await plant(service)
    await service.publish("furnace/flow", 1.0, 2.0, unit="kW")
    await drawn(tab)
    titles = "() => window.__tidewire.state().charts.map((chart) => chart.title)"
    rows = tab.page.locator('[data-tw="sidebar-row"]')
    await rows.filter(has_text="flow").click()
    await tab.until("() => window.__tidewire.state().charts.length === 3")
    await rows.filter(has_text="flow").drag_to(tab.page.locator('[data-tw="plot"]').nth(1))
    await tab.until(f"() => ({titles})()[1] === 'furnace/power + flow'")
    cards = tab.page.locator('[data-tw="chart"]')
    await cards.nth(2).locator(".card-title").drag_to(cards.nth(0), target_position={"x": 60, "y": 60})
    await tab.until(f"() => ({titles})()[0] === 'furnace/flow'")
    await cards.nth(0).hover()
    await tab.page.keyboard.press("x")
    await tab.until("() => window.__tidewire.state().charts.length === 2")
    await cards.nth(0).hover()
    grip = await tab.page.locator('[data-tw="chart-grip"]').first.bounding_box()
    before = await cards.nth(0).bounding_box()
    await tab.page.mouse.move(grip["x"] + 8, grip["y"] + 8)
    await tab.page.mouse.down()
    await tab.page.mouse.move(grip["x"] - 180, grip["y"] + 120, steps=4)
    await tab.page.mouse.up()
    await tab.until("() => /temperature:6x7/.test(location.search)")
    after = await cards.nth(0).bounding_box()
    assert after["width"] < before["width"]
    assert after["height"] == before["height"] + 2 * 56
    await cards.nth(0).hover()
    await tab.page.keyboard.press("s")
    await tab.until("() => window.__tidewire.state().charts.length === 3")
    split = await tab.page.evaluate("() => window.__tidewire.state().charts")
    assert [one["title"] for one in split[:2]] == ["furnace/temperature site A", "furnace/temperature site B"]
    await tab.until(f"() => String({CHART}.range) === String(window.__tidewire.state().charts[1].range)")
    await tab.page.go_back()
    await tab.until("() => window.__tidewire.state().charts.length === 2")


async def test_a_chart_has_the_page_to_itself_and_gives_it_back(tab: Any, service: Any) -> None:
    await plant(service)
    await drawn(tab)
    cards = tab.page.locator('[data-tw="chart"]')
    await cards.nth(1).hover()
    await tab.page.keyboard.press("v")
    await tab.until("() => location.search.includes('only=2')")
    assert [await card.is_visible() for card in await cards.all()] == [False, True]
    box = await cards.nth(1).bounding_box()
    assert (box["width"], box["height"]) == (1440 - 280 - 32, 900 - 48 - 24)
    await tab.until("() => window.__tidewire.state().charts[1].plot.width > 1000")
    url = tab.page.url
    await tab.open(url.removeprefix(tab.base))
    await tab.until("() => window.__tidewire?.state().charts[1]?.plot?.width > 1000")
    await tab.page.keyboard.press("Escape")
    await tab.until("() => !location.search.includes('only')")
    assert [await card.is_visible() for card in await cards.all()] == [True, True]


async def test_a_series_dropped_beside_the_charts_gets_one_of_its_own(tab: Any, service: Any) -> None:
    await plant(service)
    await drawn(tab)
    row = tab.page.locator('[data-tw="sidebar-row"]').filter(has_text="power")
    await row.drag_to(tab.page.locator(".deck-scroll"), target_position={"x": 500, "y": 700})
    await tab.until("() => window.__tidewire.state().charts.length === 3")
    assert await tab.page.evaluate("() => window.__tidewire.state().charts[2].title") == "furnace/power"


async def test_a_page_is_kept_in_a_file_and_opened_from_it(tab: Any, service: Any, tmp_path: Path) -> None:
    await plant(service)
    await drawn(tab)
    async with tab.page.expect_download() as download:
        await tab.page.keyboard.press("e")
    path = tmp_path / (await download.value).suggested_filename
    await (await download.value).save_as(path)
    assert path.name == "furnace.tidewire.json"
    assert [chart["columns"] for chart in json.loads(path.read_text())["charts"]] == [8, 4]
    await tab.open("/")
    await tab.until("() => window.__tidewire?.state().series === 3")
    for content, wait in (("{", lambda: tab.sees("This file is not JSON")), (path.read_text(), None)):
        path.write_text(content)
        async with tab.page.expect_file_chooser() as chooser:
            await tab.page.locator('[data-tw="more"]').click()
            await tab.page.locator('[data-tw="more-i"]').click()
        await (await chooser.value).set_files(path)
        if wait is not None:
            await wait()
    await tab.until("() => location.pathname === '/d/furnace' && window.__tidewire.state().charts.length === 2")


async def test_two_viewers_of_one_deck_see_the_same_and_pause_alone(
    tab: Any, browser: Any, service: Any, dashboard: Dashboard, eventually: Eventually
) -> None:
    await plant(service)
    await drawn(tab)
    other = await browser.new_page(viewport={"width": 1440, "height": 900})
    await other.goto(tab.base + DECK)
    await other.wait_for_function(f"() => ({CHART}?.series?.[0]?.buckets ?? 0) > 20", polling=50)
    await eventually(lambda: len(dashboard.hub.shared.viewers) == 2)
    await tab.page.keyboard.press("Space")
    await service.publish("furnace/temperature", 77.0, unit="Cel", labels={"site": "A"})
    await other.wait_for_function(f"() => {CHART}.series[0].end === 77", polling=50)
    assert await tab.page.evaluate(f"() => {CHART}.series[0].end") == 199
    await tab.page.keyboard.press("Escape")
    await tab.until(f"() => {CHART}.series[0].end === 77")


async def test_the_silence_of_an_outage_is_hatched_and_filled_in_after(
    tab: Any, service: Any, dashboard: Dashboard
) -> None:
    await plant(service)
    await drawn(tab)
    await service.stop()
    await tab.badge("RECONNECTING")
    await tab.until(f"() => {CHART}.tailMs > 0")
    await tab.sees("Retry now")
    await service.start()
    times = [time.time() * 1e3 - ago for ago in (2_000, 1_000, 0)]
    await service.publish("furnace/temperature", 5.0, 6.0, 7.0, time=times, unit="Cel", labels={"site": "A"})
    dashboard.source.feed.retry_now()
    await tab.until(f"() => {CHART}.series[0].end === 7 && !({CHART}.tailMs > 0)")


async def test_a_wall_has_no_controls_and_fills_the_screen(tab: Any, service: Any) -> None:
    await plant(service)
    await drawn(tab, f"{DECK}&kiosk=1")
    for gone in ("connection-badge", "sidebar", "windows"):
        assert not await tab.page.locator(f'[data-tw="{gone}"]').first.is_visible()
    await tab.page.locator('[data-tw="wall"]').wait_for()
    foot = await tab.page.locator('[data-tw="wall"]').bounding_box()
    last = await tab.page.locator('[data-tw="chart"]').last.bounding_box()
    assert foot["y"] + foot["height"] == 900
    assert foot["y"] - 20 <= last["y"] + last["height"] <= foot["y"], (
        "no chart is cut, and none leaves half of it empty"
    )
    await tab.page.keyboard.press("k")
    await tab.until("() => !location.search.includes('kiosk')")
    await tab.page.locator('[data-tw="sidebar"]').wait_for()


async def test_the_theme_is_changed_without_moving_anything(tab: Any, service: Any) -> None:
    await plant(service)
    await drawn(tab, f"{DECK}&theme=dark")
    boxes = "() => window.__tidewire.state().charts.map((chart) => chart.plot)"
    before = await tab.page.evaluate(boxes)
    await tab.page.locator('[data-tw="theme"]').click()
    await tab.until("() => location.search.includes('theme=light')")
    assert await tab.page.evaluate("() => document.documentElement.dataset.theme") == "light"
    assert await tab.page.evaluate(boxes) == before


async def test_an_address_that_cannot_be_shown_says_so(tab: Any, service: Any) -> None:
    await service.publish("furnace/temperature", 921.0, unit="Cel")
    await tab.open("/d/furnace?w=400d")
    await tab.sees("not 400d but 366d is shown")
    await tab.open("/d/furnace?w=week")
    await tab.sees("“w=week” is no window")
    assert tab.errors == []


async def test_keys_of_time_before_the_first_message_break_nothing(dashboard: Any, browser: Any, service: Any) -> None:
    await service.publish("furnace/temperature", 921.0, unit="Cel")
    context = await browser.new_context()
    page = await context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    await page.route_web_socket(re.compile("/frames"), lambda socket: None)  # it opens, and nothing comes
    try:
        await page.goto(f"{dashboard.url}/d/furnace")
        await page.locator('[data-tw="connection-badge"]').wait_for()
        for key in ("+", "-", "=", "[", "]", " ", "Escape", "x", "s", "f", "d", "e"):
            await page.keyboard.press(key)
        await page.wait_for_timeout(200)
        assert errors == []
    finally:
        await context.close()


async def test_what_changes_a_deck_can_be_undone(tab: Any, service: Any) -> None:
    await plant(service)
    await tab.open("/d/furnace?c=furnace/temperature&c=furnace/power")
    count = "(n) => window.__tidewire?.state().charts.length === n"
    await tab.until(count, 2)
    toast = tab.page.locator('[data-tw="toast"]')
    await tab.page.locator('[data-tw="chart"]').first.hover()
    await tab.page.keyboard.press("x")
    await tab.until(count, 1)
    await toast.filter(has_text="Chart removed").wait_for()
    await tab.page.locator('[data-tw="undo"]').click()
    await tab.until(count, 2)
    await toast.wait_for(state="hidden")
    for left in (1, 0):
        await tab.page.locator('[data-tw="chart"]').first.hover()
        await tab.page.keyboard.press("x")
        await tab.until(count, left)
    for back in (1, 2):
        await tab.page.keyboard.press("Control+z")
        await tab.until(count, back)
    await tab.page.keyboard.press("Control+z")
    assert await tab.page.evaluate("() => location.pathname") == "/d/furnace", "there is nothing more to undo"
    await tab.page.locator('[data-tw="sidebar"] .search-input').fill("power")
    await tab.page.keyboard.press("Control+z")
    await tab.until(count, 2)
    assert tab.errors == []


async def test_a_list_that_was_hidden_stays_hidden_for_this_browser(tab: Any, service: Any) -> None:
    await plant(service)
    await drawn(tab)
    side = tab.page.locator('[data-tw="sidebar"]')
    await side.wait_for()
    await tab.page.keyboard.press("m")
    await side.wait_for(state="hidden")
    await drawn(tab)
    assert not await side.is_visible()
    await tab.open("/")
    await tab.page.locator('[data-tw="tile"]').first.wait_for()
    assert await tab.page.locator(".overview.bare").count() == 1
    await tab.page.keyboard.press("m")
    await drawn(tab)
    await side.wait_for()


async def test_a_selection_of_label_sets_in_the_address_holds_for_all_charts_until_it_is_shown_all(
    tab: Any, service: Any
) -> None:
    now_ms = time.time() * 1e3
    for metric in ("fleet/cpu", "fleet/load"):
        for az in ("az1", "az2", "az3"):
            await service.publish(metric, 1.0, 2.0, 3.0, time=[now_ms - n for n in (3, 2, 1)], labels={"az": az})
    counts = "() => (window.__tidewire?.state().charts ?? []).map((one) => one.series.length).join()"
    formulas = "c==fleet/cpu&c==sum%28fleet/cpu%29"
    await tab.open(f"/d/fleet?c=fleet/cpu&c=fleet/load&{formulas}&sel=az=az1|az3")
    await tab.until(f"() => ({counts})() === '2,2,2,1'")
    bar = tab.page.locator('[data-tw="selection"]')
    await bar.filter(has_text="az is az1 or az3").wait_for()
    await tab.page.locator('[data-tw="select-all"]').click()
    await tab.until(f"() => ({counts})() === '3,3,3,1'")
    assert await bar.is_hidden()
    await tab.page.go_back()
    await tab.until(f"() => ({counts})() === '2,2,2,1'")
    await tab.page.locator('[data-tw="plot"]').first.hover()
    await tab.page.keyboard.press("S")
    await tab.page.locator('[data-tw="save-name"]').fill("Zones")
    await tab.page.locator('[data-tw="save"]').click()
    await tab.until("() => location.pathname.endsWith('/zones')")
    await tab.open("/d/zones")
    await bar.filter(has_text="az is az1 or az3").wait_for()
    await tab.until(f"() => ({counts})() === '2,2,2,1'")
    assert tab.errors == []
