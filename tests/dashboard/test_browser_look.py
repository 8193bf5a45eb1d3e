"""What a designer measures, in Chromium, a real service behind it: edges, overlaps, what moves, what is cut."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

pytestmark = pytest.mark.browser
CHART = "window.__tidewire?.state().charts[0]"
CHARTS = ["a/one:8", "a/two", "b/one", "b/two", "c/one", "c/two", "c/three", "d/one"]
DECK = "/d/plant?" + "&".join(f"c={chart}" for chart in CHARTS)
DEEP = """const deep = (root = document) => [...root.querySelectorAll("*")]
    .flatMap((one) => [one, ...(one.shadowRoot ? deep(one.shadowRoot) : [])]);
    const all = (hook) => deep().filter((one) => one.dataset?.tw === hook && one.checkVisibility());
    const box = (one) => ["left", "top", "right", "bottom"].map((side) => one.getBoundingClientRect()[side]);"""
# Where things are that may not move: plots (their canvas and the box in it), titles, freshness.
PLACES = f"""() => {{ {DEEP} return [all("plot").map(box), all("chart-fresh").map((one) => box(one)[2]),
    window.__tidewire.state().charts.map((one) => one.plot),
    deep().filter((one) => one.matches(".card-title") && one.checkVisibility())
        .map((one) => box(one).slice(0, 2))]; }}"""
# Children of the header that lie over each other, or leave the page; and the page's own overflow.
CROWDED = f"""() => {{ {DEEP}
    const header = deep().find((one) => one.matches(".header"));
    const parts = [...header.querySelectorAll(".brand, .nav, .badge, .pause-bar > *, .segments, .button, .icon-button")]
        .filter((one) => one.checkVisibility())
        .filter((one) => getComputedStyle(one.closest(".pause-bar") ?? one).position !== "fixed");
    const over = [];
    parts.forEach((a, i) => {{
        const [l, , r] = box(a);
        if (r > innerWidth + 0.5 || l < 0) over.push(a.outerHTML.slice(0, 80));
        for (const b of parts.slice(i + 1)) {{
            const [l2, , r2] = box(b);
            if (Math.min(r, r2) - Math.max(l, l2) > 0.5) over.push([a, b].map((one) => one.outerHTML.slice(0, 80)));
        }}
    }});
    const scroller = deep().find((one) => one.matches(".deck-scroll, .tile-scroll"));
    if (scroller.scrollWidth > scroller.clientWidth) over.push("the page scrolls sideways");
    return over; }}"""


async def plant(service: Any, seconds: int = 250, *, step: int = 1) -> float:
    """Publish a history of all charts, a reading every so many seconds, and an event; return its end, Unix ms."""
    now_ms = time.time() * 1e3
    ages = range(0, seconds, step)
    times = [now_ms - age * 1e3 for age in reversed(ages)]
    for chart in CHARTS:
        metric = chart.partition(":")[0]
        await service.publish(metric, *[900.0 + age // step % 30 for age in ages], time=times, unit="Cel")
    await service.publish("annotations", None, time=[now_ms - 20_000], text=["recipe 14 → 15"])
    return now_ms


async def drawn(tab: Any, path: str = DECK) -> None:
    await tab.open(path)
    await tab.until(f"() => ({CHART}?.series?.[0]?.buckets ?? 0) > 20")


async def test_edges_agree_and_three_rows_fill_the_screen_without_a_scrollbar(tab: Any, service: Any) -> None:
    await plant(service)
    await drawn(tab)
    cards, plots = await tab.page.evaluate(f'() => {{ {DEEP} return [all("chart").map(box), all("plot").map(box)]; }}')
    assert {card[3] for card in cards} == {328, 608, 888}, "rows of 268 px, 12 px between them"
    columns: dict[float, set[float]] = {}
    for card, plot in zip(cards, plots, strict=True):
        columns.setdefault(card[0], set()).add(plot[0])
    assert all(len(lefts) == 1 for lefts in columns.values())
    inside = await tab.page.evaluate("() => window.__tidewire.state().charts.map(({ plot }) => plot)")
    assert {plot["left"] for plot in inside} == {48}
    assert {plot["height"] for plot in inside} == {164}, "with a row for the event, on every chart"
    scrolls = f"""() => {{ {DEEP} return deep().filter((one) => one.matches(".deck-scroll, html, body"))
        .some((one) => one.scrollHeight > one.clientHeight || one.scrollWidth > one.clientWidth); }}"""
    assert not await tab.page.evaluate(scrolls)
    tops = await tab.page.evaluate(f'() => {{ {DEEP} return all("legend").map((one) => box(one)[3] - box(one)[1]); }}')
    assert set(tops) == {20}


async def test_nothing_moves_on_hover_pause_or_zoom(tab: Any, service: Any) -> None:
    now_ms = await plant(service, step=10)  # at this pace nothing falls silent while the test runs
    await drawn(tab)
    await tab.sees("LIVE")
    before = await tab.page.evaluate(PLACES)
    plot = await tab.page.locator('[data-tw="plot"]').first.bounding_box()
    await tab.page.mouse.move(plot["x"] + 300, plot["y"] + 90)
    await tab.until(f'() => {{ {DEEP} return all("tooltip").length === 1; }}')
    assert await tab.page.evaluate(PLACES) == before
    await tab.page.keyboard.press("Space")
    await tab.sees("Esc for live")
    assert await tab.page.evaluate(PLACES) == before
    await tab.page.mouse.down()
    await tab.page.mouse.move(plot["x"] + 420, plot["y"] + 90, steps=4)
    pill = await tab.page.locator('[data-tw="time-pill"]').locator("visible=true").inner_text()
    assert pill.count(":") == 4, "the stretch is named while it is chosen"
    assert await tab.page.locator('[data-tw="tooltip"]').locator("visible=true").count() == 0
    await tab.page.mouse.up()
    await tab.until(f"(before) => {CHART}.window[1] < before", now_ms - 25_000)
    assert await tab.page.evaluate(f"() => {CHART}.events.length") == 0, "the event lies outside"
    assert await tab.page.evaluate(PLACES) == before


async def crowded_at(tab: Any, widths: tuple[int, ...]) -> dict[int, list[Any]]:
    """Return for each width of the window what is crowded there."""
    found = {}
    for width in widths:
        await tab.page.set_viewport_size({"width": width, "height": 844})
        await tab.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 300)))")
        if crowded := await tab.page.evaluate(CROWDED):
            found[width] = crowded
    return found


async def test_the_header_has_room_for_all_it_says_at_any_width(tab: Any, service: Any) -> None:
    widths = (390, 768, 900, 1024, 1180, 1440)
    now_ms = await plant(service)
    await drawn(tab)
    assert await crowded_at(tab, widths) == {}
    narrow = f'() => {{ {DEEP} return all("plot").map((one) => box(one)[2] - box(one)[0]); }}'
    await tab.page.set_viewport_size({"width": 820, "height": 1180})
    await tab.until(f"() => Math.min(...({narrow})()) > 300")
    await drawn(tab, f"{DECK}&from={now_ms - 150_000:.0f}&to={now_ms - 50_000:.0f}")
    for n in range(2):
        await service.publish("a/one", *[1.0] * 600, time=[now_ms + n * 600 + i for i in range(600)], unit="Cel")
    await tab.sees("1,200 new")
    assert await crowded_at(tab, widths) == {}
    await tab.open("/")
    await tab.page.locator('[data-tw="tile"]').first.wait_for()
    assert await crowded_at(tab, widths) == {}


async def test_a_silence_inside_a_zoom_is_hatched_up_to_its_end(tab: Any, service: Any) -> None:
    now_ms = await plant(service)
    times = [now_ms - (250 - n) * 1e3 for n in range(150)]
    await service.publish("quiet/one", *[1.0] * 150, time=times)
    for start, end in ((130_000, 50_000), (90_000, 50_000)):
        path = f"/d/quiet?from={now_ms - start:.0f}&to={now_ms - end:.0f}"
        await tab.open(path)
        await tab.until(f"() => {CHART}?.gaps.length === 1")
        gap = await tab.page.evaluate(f"() => {CHART}.gaps[0]")
        assert gap["toMs"] == pytest.approx(now_ms - end, abs=1)
        assert gap["fromMs"] == pytest.approx(now_ms - 101_000, abs=2_100)
        assert gap["longMs"] == pytest.approx(101_000 - end, abs=2_100)


async def test_digits_and_names_keep_their_width(tab: Any, service: Any) -> None:
    await plant(service)
    await drawn(tab)
    widths = f"""() => {{ {DEEP} return deep().filter((one) => one.matches("canvas.plot-canvas")).map((canvas) => {{
        const pen = canvas.getContext("2d"); pen.font = '500 11px Inter';
        return pen.measureText("1111").width === pen.measureText("0000").width; }}); }}"""
    assert set(await tab.page.evaluate(widths)) == {True}


async def test_a_tap_shows_the_readings_of_its_time_and_another_on_it_hides_them(
    dashboard: Any, browser: Any, service: Any
) -> None:
    await plant(service)
    context = await browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = await context.new_page()
    await page.goto(f"{dashboard.url}/d/plant?c=a/one&c=a/two")
    await page.wait_for_function(f"() => ({CHART}?.series?.[0]?.buckets ?? 0) > 20", polling=50)
    tip = page.locator('[data-tw="tooltip"]').locator("visible=true")
    box = await page.locator('[data-tw="plot"]').first.bounding_box()
    await page.touchscreen.tap(box["x"] + 200, box["y"] + 80)
    await tip.wait_for()
    first = await tip.inner_text()
    await page.touchscreen.tap(box["x"] + 120, box["y"] + 80)
    await page.wait_for_function(
        f"(first) => {{ {DEEP} return all('tooltip')[0]?.innerText !== first; }}", arg=first, polling=50
    )
    assert await tip.count() == 1, "a tap elsewhere moves it"
    await page.touchscreen.tap(box["x"] + 120, box["y"] + 80)
    await tip.wait_for(state="detached")
    await context.close()


async def test_the_reason_of_an_outage_says_for_how_long_the_log_keeps(tab: Any, service: Any) -> None:
    await plant(service, 30)
    await tab.open("/d/a")
    await tab.until("() => window.__tidewire?.state().link === 'open'")  # LIVE may be over: nobody publishes here
    await service.stop()
    await tab.badge("RECONNECTING")
    await tab.page.locator('[data-tw="connection-badge"]').hover()
    text = await tab.page.locator('[data-tw="why"]').inner_text()
    assert "will be filled in" in text
    assert "Log keeps\n24 h" in text


async def test_an_empty_page_knows_other_tools(tab: Any, service: Any) -> None:
    await tab.open("/")
    await tab.page.locator('[data-tw="other-tools"]').click()
    found = tab.page.locator('[data-tw="way-status"]:visible')
    await found.wait_for()
    text = await tab.page.locator('[data-tw="dialog"]').inner_text()
    port = service.url.rpartition(":")[2]
    influx = ("[[outputs.influxdb]]", f"port: {port}", "/write -H 'Authorization: Token TOKEN'", "/metrics/job/backup")
    others = (f"{service.url}/v1/metrics", "tidewire mqtt", "tidewire scrape", "tidewire statsd")
    for words in ("XADD tw:in", "text/csv", "tidewire replay", "fetch(", *influx, *others):
        assert words in text
    assert service.url in text
    telegraf = tab.page.locator(".ways section", has_text="Telegraf")
    await telegraf.locator('[data-tw="copy-snippet"]').click()
    await telegraf.locator('[data-tw="way-status"]').wait_for()
    assert await found.all_inner_texts() == ["Listening for new series…"] * 2
    for name in ("usage_idle", "usage_user", "usage_system", "usage_iowait"):
        await service.publish(f"cpu/{name}", 5.0)
    await tab.sees("and 1 more")
    for words in await found.all_inner_texts():
        assert words.startswith("Here it is: cpu/usage_")
        assert words.endswith(" and 1 more")


async def test_a_viewer_that_cannot_keep_up_is_told_so_for_as_long(tab: Any, service: Any) -> None:
    await plant(service, 30)
    await tab.open("/d/a")
    await tab.until("() => window.__tidewire?.state().link === 'open'")  # LIVE may be over: nobody publishes here

    async def dismiss_late(dialog: Any) -> None:
        await asyncio.sleep(1.5)
        await dialog.dismiss()

    # A dialog holds up the page as a long computation does, and costs no CPU.
    tab.page.on("dialog", dismiss_late)
    await tab.page.evaluate("() => { window.busy = setInterval(() => alert('wait'), 1600); }")
    await tab.badge("LAGGING")
    await tab.page.evaluate("() => clearInterval(window.busy)")
    tab.page.remove_listener("dialog", dismiss_late)
    await tab.badge("STALE")  # nobody publishes here: late no more, and honest about it


async def test_the_buttons_of_a_chart_stay_where_they_are_while_ages_change(tab: Any, service: Any) -> None:
    await plant(service, step=10)
    await drawn(tab)
    await tab.page.locator('[data-tw="chart"]').first.hover()
    places = f"""() => {{ {DEEP} const fresh = all("chart-fresh")[0].lastElementChild;
        return ["LIVE 440 ms", "LIVE 90 ms", "LIVE 0.6 s", "PAUSED"].map((words) => {{
            fresh.textContent = words; return box(all("chart-remove")[0])[0]; }}); }}"""
    assert len(set(await tab.page.evaluate(places))) == 1


async def test_what_has_no_room_in_a_legend_is_a_press_away(tab: Any, service: Any) -> None:
    times = [time.time() * 1e3 - age * 1e3 for age in range(60, 0, -1)]
    for n in range(9):
        values = [1000.0 * n + k for k in range(60)]
        await service.publish("many/one", *values, time=times, labels={"core": f"{n}"})
    await tab.open("/d/many")
    await tab.until(f"() => ({CHART}?.series?.[8]?.buckets ?? 0) > 20")
    more = tab.page.locator('[data-tw="legend-more"]')
    assert (await more.inner_text()).startswith("+")
    figures = (
        f"""() => {{ {DEEP} const one = all("legend-item")[1]; return one?.title.includes("max 1,059") ?? false; }}"""
    )
    await tab.until(figures)
    await more.click()
    rows = tab.page.locator('[data-tw="chart-table"] tbody tr')
    await rows.nth(8).wait_for()
    assert await rows.count() == 9
    assert (await rows.nth(8).inner_text()).split()[0] == "core8"


async def test_a_paused_overview_prints_no_ages(tab: Any, service: Any) -> None:
    await plant(service, step=10)
    await tab.open("/")
    spoken = f"""(word) => {{ {DEEP} return all("tile").length > 7
        && all("tile").every((one) => one.ariaLabel.includes(word)); }}"""
    await tab.until(spoken, "ago")
    await tab.page.keyboard.press("Space")
    await tab.until(spoken, "paused")
    await tab.page.keyboard.press("Escape")
    await tab.until(spoken, "ago")
