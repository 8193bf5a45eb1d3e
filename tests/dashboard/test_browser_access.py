"""The dashboard for the keyboard, for a screen reader, and on a phone; in Chromium, a real service behind it."""

from __future__ import annotations

import time
from typing import Any

import pytest
from axe import needs_axe, violations

from tidewire_dashboard.app import running_dashboard
from tidewire_dashboard.settings import DashboardSettings

pytestmark = pytest.mark.browser
EVIL = "<img src=x onerror=window.hacked=1>"
# All elements, those in shadow roots included.
DEEP = """const deep = (root = document) => [...root.querySelectorAll("*")]
    .flatMap((one) => [one, ...(one.shadowRoot ? deep(one.shadowRoot) : [])]);"""


async def plant(service: Any) -> None:
    now_ms = time.time() * 1e3
    times = [now_ms - (120 - n) * 1e3 for n in range(1, 121)]
    for site in "AB":
        values = [ord(site) + n % 7 for n in range(120)]
        await service.publish("furnace/temperature", *map(float, values), time=times, unit="Cel", labels={"site": site})
    await service.publish("furnace/power", *map(float, range(120)), time=times, unit="kW")
    await service.publish("annotations", None, text=["recipe 14"])


async def drawn(tab: Any, path: str) -> None:
    await tab.open(path)
    await tab.until("() => Object.values(window.__tidewire?.state().lastValues ?? {}).length >= 3")


@needs_axe
async def test_axe_finds_nothing_on_any_page(tab: Any, service: Any) -> None:
    await tab.open("/")
    await tab.sees("No metrics yet")
    assert await violations(tab.page) == []
    await plant(service)
    await drawn(tab, "/")
    assert await violations(tab.page) == []
    await drawn(tab, "/d/furnace")
    await tab.until("() => (window.__tidewire.state().charts[1]?.series[0]?.buckets ?? 0) > 20")
    assert await violations(tab.page) == []
    await tab.page.locator('[data-tw="chart"]').first.hover()
    for key in ("d", "?"):
        await tab.page.keyboard.press(key)
        assert await violations(tab.page) == [], key
    await tab.page.keyboard.press("Escape")
    await tab.page.keyboard.press("f")
    await tab.page.locator('[data-tw="threshold-add"]').click()
    assert await violations(tab.page) == [], "the drawer"
    await tab.page.locator('[data-tw="readings"]').click()
    await tab.page.locator('[data-tw="raw-table"]').wait_for()
    assert await violations(tab.page) == [], "the readings"
    await tab.page.keyboard.press("Escape")
    for key in ("S", "l"):
        await tab.page.keyboard.press(key)
        await tab.page.locator('[data-tw="dialog"]').wait_for()
        assert await violations(tab.page) == [], key
        await tab.page.keyboard.press("Escape")
    await tab.page.keyboard.press("f")
    await tab.page.keyboard.press("Space")
    await tab.page.locator('[data-tw="more"]').click()
    assert await violations(tab.page) == []
    await tab.page.set_viewport_size({"width": 390, "height": 844})
    assert await violations(tab.page) == []


@needs_axe
async def test_axe_finds_nothing_on_the_log_in_page(tab: Any, service: Any) -> None:
    settings = DashboardSettings(url=service.url, dashboard_port=0, dashboard_login=True)
    async with running_dashboard(settings) as dashboard:
        await tab.open("/")
        context = await tab.page.context.browser.new_context(bypass_csp=True)  # the page allows no script but its own
        page = await context.new_page()
        try:
            for path in ("/login", "/"):
                await page.goto(f"{dashboard.url}{path}")
                await page.get_by_role("textbox").or_(page.locator("input")).first.wait_for()
                assert await violations(page, by_media=True) == [], path
            await page.locator("input").first.fill("no token")
            await page.keyboard.press("Enter")
            await page.locator(".bad").wait_for()
            assert await violations(page, by_media=True) == [], "a token that is refused"
        finally:
            await context.close()


@needs_axe
async def test_axe_finds_nothing_where_a_deck_is_changed(tab: Any, service: Any) -> None:
    """A save that meets another's, an event by hand, a selector of a deck, and a span without readings."""
    await plant(service)
    await drawn(tab, "/d/furnace")
    await service.http.put(
        "/v1/decks/hall", json={"tidewire": "deck", "version": 1, "name": "Hall", "address": "?w=5m"}
    )
    await tab.page.locator('[data-tw="chart"]').first.hover()
    await tab.page.keyboard.press("S")
    await tab.page.locator('[data-tw="save-name"]').fill("Hall")
    await tab.page.locator('[data-tw="save"]').click()
    await tab.page.locator('[data-tw="save-over"]').wait_for()
    assert await violations(tab.page) == [], "a save that meets another's"
    await tab.page.keyboard.press("Escape")
    await tab.page.locator('[data-tw="plot"]').first.hover()
    await tab.page.keyboard.press("a")
    await tab.page.locator('[data-tw="event-text"]').wait_for()
    assert await violations(tab.page) == [], "an event by hand"
    await tab.page.keyboard.press("Escape")
    await drawn(tab, "/d/furnace?c=furnace/temperature&c=furnace/power&sel=site=A")
    assert await violations(tab.page) == [], "a selector of a deck"
    now_ms = time.time() * 1e3
    await tab.open(f"/d/furnace?c=furnace/temperature&from={now_ms - 7_200_000:.0f}&to={now_ms - 3_600_000:.0f}")
    await tab.sees("Go there")
    assert await violations(tab.page) == [], "a span without readings"


@needs_axe
async def test_axe_finds_nothing_where_something_is_wrong(tab: Any, service: Any) -> None:
    await tab.open("/")
    await tab.page.locator('[data-tw="other-tools"]').click()
    await tab.page.locator('[data-tw="way-status"]:visible').wait_for()
    assert await violations(tab.page) == [], "other tools"
    await plant(service)
    await service.publish("furnace/far", -1.7e308, 1.7e308)
    failed = "c=furnace/far&c=nobody/published&c=furnace/temperature@site"
    await drawn(tab, f"/d/furnace?{failed}")
    await tab.sees("This chart stopped")
    await tab.sees("Nothing published under this name yet")
    assert await violations(tab.page) == [], "a failed chart"
    await drawn(tab, f"/d/furnace?only=1&from={(time.time() - 90) * 1e3:.0f}&to={(time.time() - 20) * 1e3:.0f}")
    assert await violations(tab.page) == [], "a chart alone, zoomed"
    await drawn(tab, "/d/furnace?c=furnace/temperature,furnace/power:8x8;y=0..200;k=bars")
    await tab.until("() => window.__tidewire.state().charts[0]?.axes.length === 2")
    await tab.page.locator('[data-tw="chart"]').first.hover()
    await tab.page.keyboard.press("y")
    await tab.page.locator('[data-tw="y-menu"]').wait_for()
    assert await violations(tab.page) == [], "the menu of a y axis"
    await drawn(tab, "/d/furnace?kiosk=1")
    assert await violations(tab.page) == [], "a wall"
    await drawn(tab, "/d/furnace")
    await service.stop()
    await tab.badge("RECONNECTING")
    await tab.page.locator('[data-tw="connection-badge"]').hover()
    await tab.sees("will be filled in")
    assert await violations(tab.page) == [], "disconnected"
    await tab.open("/")
    await tab.page.locator('[data-tw="tile"]').first.wait_for()
    assert await violations(tab.page) == [], "disconnected, the overview"


@needs_axe
async def test_axe_finds_nothing_among_many_series(tab: Any, service: Any) -> None:
    rows = [
        {"metric": f"plant/cell-{n // 60}/robot-{n % 60:02}", "value": float(n), "labels": {"line": "AB"[n % 2]}}
        for n in range(240)
    ]
    limits = [{"metric": "plant/**", "warn_above": 200.0, "critical_above": 230.0}]
    assert (await service.http.post("/v1/readings", json=rows)).status_code == 200
    assert (await service.http.put("/v1/thresholds", json={"thresholds": limits})).status_code == 200
    await tab.open("/?f=plant/cell-0/:0")
    await tab.page.locator('[data-tw="tile-head"][aria-expanded="true"]').first.wait_for()
    await tab.page.locator('[data-tw="tree-folder"] .tree-state.critical').first.wait_for()
    assert await violations(tab.page) == [], "levels and groups"
    await tab.page.locator('[data-tw="chip"]').first.click()
    assert await violations(tab.page) == [], "a label's values"
    await tab.open("/d/plant?l.line=A&q=cell-1/**")
    await tab.page.locator('[data-tw="sidebar-row"]').first.wait_for()
    await tab.page.locator('[data-tw="tree"]').focus()
    await tab.page.keyboard.press("ArrowDown")
    assert await violations(tab.page) == [], "the tree of a deck"
    await tab.page.locator(".search-input").first.fill("/(a/")
    await tab.sees("is no expression")
    assert await violations(tab.page) == [], "an expression that cannot be obeyed"


async def test_every_chart_says_what_it_shows_and_has_a_table(tab: Any, service: Any) -> None:
    await plant(service)
    await drawn(tab, "/d/furnace?c=furnace/temperature")
    plot = tab.page.locator('[data-tw="plot"]')
    await tab.until(f"() => {{ {DEEP} return deep().some((one) => one.ariaLabel?.includes('last reading')); }}")
    label = await plot.get_attribute("aria-label")
    assert label.startswith("furnace/temperature °C, ")
    assert f"site A {65 + 119 % 7}" in label
    await plot.focus()
    await tab.page.keyboard.press("d")
    rows = tab.page.locator('[data-tw="chart-table"] tbody tr')
    await rows.nth(1).wait_for()
    assert (await rows.nth(0).inner_text()).split() == [
        "site",
        "A",
        "66",
        "65",
        "71",
        "67.99",
    ] or await rows.count() == 2
    cells = await tab.page.locator('[data-tw="chart-table"] tbody tr').nth(0).locator("td").all_inner_texts()
    last, low, high, mean = map(float, cells)
    assert (low, high) == (65, 71)
    assert last == 65 + 119 % 7
    assert 67 < mean < 69


async def test_every_action_has_a_key_and_the_help_lists_it(tab: Any, service: Any) -> None:
    await plant(service)
    await drawn(tab, "/d/furnace?c=furnace/temperature")
    await tab.page.keyboard.press("?")
    text = await tab.page.locator('[data-tw="help"]').inner_text()
    for words in ("Pause", "Zoom in", "Theme", "Wall", "Data table", "Split", "Remove", "Wider", "Search", "Copy link"):
        assert words in text
    await tab.page.keyboard.press("?")
    await tab.page.locator('[data-tw="help"]').wait_for(state="hidden")
    await tab.page.keyboard.press("/")
    await tab.page.keyboard.type("power")
    await tab.until("() => location.search.includes('q=power')")
    await tab.page.keyboard.press("Escape")
    await tab.page.keyboard.press("Tab")
    await tab.page.keyboard.press("g")
    await tab.page.locator('[data-tw="deck-link"]').first.wait_for()
    await tab.page.keyboard.press("Escape")
    await tab.page.keyboard.press("o")
    await tab.until("() => location.pathname === '/'")


async def test_a_phone_has_one_column_nothing_beside_it_and_targets_for_thumbs(tab: Any, service: Any) -> None:
    await plant(service)
    await tab.page.set_viewport_size({"width": 390, "height": 844})
    for path in ("/", "/d/furnace", "/d/furnace?drawer=1"):
        await drawn(tab, path)
        assert await tab.page.evaluate("() => document.documentElement.scrollWidth") == 390
        wide = """.filter((one) => !one.closest(".filters, .legend, .spoken, .code")
            && one.getBoundingClientRect().width > 0 && one.getBoundingClientRect().right > 391)"""
        small = """.filter((one) => one.matches("button, a, input") && !one.closest(".legend, .card-menu, .search")
            && one.getBoundingClientRect().height < 32)"""
        for which in (wide, small):
            script = f"""() => {{ {DEEP} return deep().filter((one) => one.checkVisibility()){which}
                .map((one) => one.outerHTML.slice(0, 90)); }}"""
            assert await tab.page.evaluate(script) == []
    cards = [await card.bounding_box() for card in await tab.page.locator('[data-tw="chart"]').all()]
    assert {(box["x"], box["width"]) for box in cards} == {(10, 370)}
    await tab.page.locator('[data-tw="bar-metrics"]').click()
    await tab.page.locator('[data-tw="sidebar-row"]').filter(has_text="power").click()
    await tab.until("() => window.__tidewire.state().charts.length === 1")
    await tab.page.locator('[data-tw="bar-overview"]').click()
    await tab.until("() => location.pathname === '/'")


async def test_two_fingers_zoom_a_chart_and_one_drags_its_corner(dashboard: Any, browser: Any, service: Any) -> None:
    await plant(service)
    context = await browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = await context.new_page()
    await page.goto(f"{dashboard.url}/d/furnace?c=furnace/temperature&w=5m")
    await page.wait_for_function(
        "() => (window.__tidewire?.state().charts[0]?.series[0]?.buckets ?? 0) > 20", polling=50
    )
    box = await page.locator('[data-tw="plot"]').bounding_box()
    cdp = await context.new_cdp_session(page)
    middle = box["x"] + box["width"] * 0.7

    async def touch(kind: str, apart: float | None) -> None:
        y = box["y"] + 60
        points = (
            [] if apart is None else [{"x": middle - apart, "y": y, "id": 0}, {"x": middle + apart, "y": y, "id": 1}]
        )
        await cdp.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    await touch("touchStart", 20)
    for apart in (30, 45, 60, 80):
        await touch("touchMove", apart)
    await touch("touchEnd", None)
    await page.wait_for_function("() => location.search.includes('from=')", polling=50)
    shown = await page.evaluate("() => window.__tidewire.state().shown")
    assert 50_000 < shown["endMs"] - shown["startMs"] < 110_000, "four times as near"

    # On a tablet one finger drags the corner of a chart.
    await page.set_viewport_size({"width": 1180, "height": 820})
    await page.goto(f"{dashboard.url}/d/furnace?c=furnace/temperature:6x4")
    await page.locator('[data-tw="plot"]').wait_for()
    corner = await page.locator('[data-tw="chart-grip"]').bounding_box()
    for kind, by in (("touchStart", 0), *(("touchMove", by) for by in (10, 60, 118)), ("touchEnd", None)):
        points = [] if by is None else [{"x": corner["x"] + 2 - by, "y": corner["y"] + 2 + by}]
        await cdp.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    await page.wait_for_function("() => /temperature:[345]x6/.test(location.search)", polling=50)
    await context.close()


async def test_markup_in_names_labels_units_and_texts_stays_text_in_every_corner(tab: Any, service: Any) -> None:
    name = f"evil/{EVIL}"
    for label in ("a", f'"{EVIL}'):
        await service.publish(name, 1.0, 2.0, unit="<b>x</b>", labels={"k": label})
    await service.publish("annotations", None, text=[EVIL])
    await tab.open("/d/evil")
    await tab.until("() => (window.__tidewire?.state().charts[0]?.series.length ?? 0) === 2")
    box = await tab.page.locator('[data-tw="plot"]').bounding_box()
    await tab.page.mouse.move(box["x"] + box["width"] - 30, box["y"] + box["height"] / 2)
    for key in ("d", "s", "g", "Escape", "?", "Escape", "Space", "Escape", "k", "k", "o"):
        await tab.page.keyboard.press(key)
    await tab.open(f"/d/{EVIL.replace('/', '')}?q={EVIL}&c={EVIL}@{EVIL}")
    await tab.until("() => window.__tidewire?.state().series === 3")
    assert await tab.page.evaluate("() => window.hacked === undefined")
    assert not [url for url in tab.requests if url.endswith("/x")]
