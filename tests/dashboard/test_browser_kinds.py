"""Kinds of charts that are no plot, in Chromium: what they show, by menu and by address, and how honest they are."""

from __future__ import annotations

import asyncio
import math
import time
from typing import Any

import pytest
from axe import needs_axe, violations
from history_gate import HistoryGate

from tidewire_dashboard.app import running_dashboard
from tidewire_dashboard.settings import DashboardSettings

from .conftest import SharedPage, Tab

pytestmark = pytest.mark.browser
COUNT = 60
LINES = "ABCDEFG"
SCRAP = {"A": 0.93, "B": 1.42, "C": 0.71, "D": 0.31, "E": 0.88, "F": 1.18, "G": 0.52}
LIMITS = [
    {"metric": "kind/pressure", "warn_above": 4.5, "critical_above": 5.5},
    {"metric": "kind/scrap", "warn_above": 1.2},
]
# Keep the texts that each canvas was drawn with last.
LISTEN = """(() => {
    const { prototype } = CanvasRenderingContext2D;
    const { fillText, clearRect } = prototype;
    if (window.__listens) return;
    window.__listens = true;
    prototype.clearRect = function (...box) { this.canvas.said = []; clearRect.apply(this, box); };
    prototype.fillText = function (text, ...rest) {
        (this.canvas.said ??= []).push(text); fillText.call(this, text, ...rest); };
})()"""
CANVAS = '.kind canvas[aria-hidden="true"]'
ALL = (
    "c=kind/speed;k=stat&c=kind/pressure;k=gauge;y=0..6&c=kind/scrap;k=bar"
    "&c=kind/width;k=hist&c=kind/scrap,kind/speed,kind/mode;k=table"
)
KINDS = ["stat", "gauge", "bar", "hist", "table"]


@pytest.fixture
async def plant(service: Any) -> float:
    """Publish a minute of a plant, and return when it ended."""
    now_ms = math.floor(time.time() * 1e3)
    times = [float(now_ms - 1_000 * n) for n in range(COUNT, 0, -1)]

    async def publish(metric: str, unit: str, *values: float, **labels: str) -> None:
        await service.publish(metric, *values, time=times, unit=unit, **({"labels": labels} if labels else {}))

    await publish("kind/speed", "m/min", *(40 + n / 40 for n in range(COUNT)))
    await publish("kind/pressure", "bar", *(4 + n / 72 for n in range(COUNT)))
    await publish("kind/width", "mm", *(40 + (n % 10) / 100 for n in range(COUNT)))
    for line in LINES:
        await publish("kind/scrap", "%", *(SCRAP[line] for _ in range(COUNT)), line=line)
    words = [("IDLE", "HEATING", "HOLD")[n // 20] for n in range(COUNT)]
    rows = {"metric": "kind/mode", "time": times, "value": [None] * COUNT, "text": words}
    assert (await service.http.post("/v1/readings", json=rows)).status_code == 200
    assert (await service.http.put("/v1/thresholds", json={"thresholds": LIMITS})).status_code == 200
    return float(now_ms)


def past(plant: float) -> str:
    return f"from={plant - 61_000:.0f}&to={plant:.0f}"


async def opened(tab: Any, address: str, kinds: list[str]) -> Any:
    """Open a deck, wait until each of its charts shows its kind, and return the page."""
    await tab.page.add_init_script(LISTEN)
    await tab.open(f"/d/kind?{address}")
    await tab.until(
        """(kinds) => { const { charts, settled } = window.__tidewire?.state() ?? {};
            const known = charts?.map(({ kind, series }) => series.length > 0 && kind);
            return settled && known?.join() === kinds.join(); }""",
        kinds,
    )
    cards = tab.page.locator(".card.of-kind")
    for at, _ in enumerate(kinds):
        await cards.nth(at).locator(".kind").wait_for()
    return tab.page


async def texts(page: Any, at: int, *expected: str) -> list[str]:
    """Wait until the canvas of a card says this, and return all that it says."""
    canvas = page.locator(".card.of-kind").nth(at).locator(CANVAS)
    handle = await canvas.element_handle()
    await page.wait_for_function(
        "([canvas, expected]) => expected.every((one) => canvas.said?.includes(one))",
        arg=[handle, list(expected)],
        polling=50,
    )
    said: list[str] = await handle.evaluate("(canvas) => canvas.said")
    return said


async def cells(page: Any, column: int) -> list[str]:
    """Return what a column of the table says."""
    return [
        text.strip() for text in await page.locator(f".kind-table tbody tr > :nth-child({column})").all_inner_texts()
    ]


@needs_axe
async def test_each_kind_shows_the_readings_of_its_window(tab: Any, plant: float) -> None:
    page = await opened(tab, f"{past(plant)}&{ALL}", KINDS)
    await texts(page, 0, "41.48", "m/min")
    await texts(page, 1, "4.819", "bar", "0", "6", "warn above 4.5 · critical above 5.5")
    bars = await texts(page, 2, "1.42", "0.31", "warn above 1.2 %")
    assert [one for one in dict.fromkeys(bars) if one in LINES] == list("BFAECGD"), "the greatest first"
    hist = await texts(page, 3, "p50 40.04", "p95 40.09")
    assert "39.95" not in hist
    notes = await page.locator('[data-tw="kind-note"]').all_inner_texts()
    assert notes[2] == "latest per line · 7 series · sorted by value"
    assert notes[3].startswith("60 readings in ")
    assert notes[3].endswith("bins of 0.0025 mm")
    names = await page.locator(".kind-table tbody th").all_inner_texts()
    assert len(names) == 9
    assert (await cells(page, 2))[-1] == "HOLD", "a word is its last value"
    assert await page.locator(".legend:visible").count() == 0
    widths = [await card.get_attribute("data-columns") for card in await page.locator('[data-tw="chart"]').all()]
    assert widths == ["2", "3", "3", "4", "5"]
    label = "On a dial from 0 to 6; warn above 4.5 · critical above 5.5"
    await page.locator(f'[data-tw="plot"][aria-label*="{label}"]').wait_for()
    for size in ({"width": 1440, "height": 900}, {"width": 390, "height": 844}):
        await page.set_viewport_size(size)
        assert await violations(page) == [], size
    # A phone: stat and gauge stand beside each other.
    boxes = [await page.locator('[data-tw="chart"]').nth(at).bounding_box() for at in range(3)]
    assert boxes[0]["y"] == boxes[1]["y"]
    assert boxes[0]["width"] < 200 < boxes[2]["width"]
    assert await page.evaluate("() => document.documentElement.scrollWidth") <= 390
    assert tab.errors == []


async def test_a_kind_is_chosen_by_keyboard_and_kept_in_the_address(tab: Any, plant: float) -> None:
    page = await opened(tab, f"{past(plant)}&c=kind/pressure;k=stat", ["stat"])
    await page.locator('[data-tw="plot"]').focus()
    await page.keyboard.press("y")
    menu = page.locator('[data-tw="y-menu"]')
    await menu.wait_for()
    for kind, columns in (("gauge", "3"), ("bar", "3"), ("hist", "4"), ("table", "5")):
        await page.keyboard.press("k")
        await tab.until("(kind) => window.__tidewire.state().charts[0].kind === kind", kind)
        await page.locator(f'.card.of-kind[data-kind="{kind}"]').wait_for()
        assert f";k={kind}" in page.url
        assert await page.locator('[data-tw="chart"]').get_attribute("data-columns") == columns
    await page.keyboard.press("k")  # automatic: a line again
    await tab.until("() => window.__tidewire.state().charts[0].ticks.length > 0")
    assert ";k=" not in page.url
    assert await page.locator('[data-tw="legend"]:visible').count() == 1
    assert await page.locator('[data-tw="chart"]').get_attribute("data-columns") == "4"
    await page.go_back()
    await page.locator('.card.of-kind[data-kind="table"]').wait_for()
    await menu.locator('[data-value="gauge"]').click()
    await page.locator('.card.of-kind[data-kind="gauge"]').wait_for()
    assert await menu.locator('[data-tw="y-lo"]').is_enabled()
    assert await menu.locator('[data-tw="y-zero"]').is_disabled()
    await menu.locator('[data-tw="y-lo"]').fill("4")
    await page.keyboard.press("Enter")
    await texts(page, 0, "4", "4.819")
    await menu.locator('[data-value="stat"]').click()
    await page.locator('.card.of-kind[data-kind="stat"]').wait_for()
    assert await menu.locator('[data-tw="y-lo"]').is_disabled()
    assert "Stat: the y axis is not used" in await menu.locator('[data-tw="y-fault"]').inner_text()
    await page.reload()
    await page.locator('.card.of-kind[data-kind="stat"]').wait_for()
    assert ";k=stat;y=4.." in page.url
    assert tab.errors == []


@needs_axe
async def test_a_kind_that_does_not_fit_says_why_and_the_plot_is_drawn(tab: Any, plant: float) -> None:
    await tab.open(f"/d/kind?{past(plant)}&c=kind/scrap:6x6;k=gauge;k=pie&c=kind/mode:6x6;k=hist")
    page = tab.page
    await tab.until("() => window.__tidewire?.state().charts[0]?.ticks.length > 0")
    third = page.locator('[data-tw="chart-third"]')
    await third.nth(0).get_by_text("A gauge shows one series, and here are 7").wait_for()
    await third.nth(1).get_by_text("A histogram shows numbers, and these readings are words").wait_for()
    await tab.sees("“k=pie” is no option")
    assert await page.locator('[data-tw="chart-error"]:visible').count() == 0
    await page.locator('[data-tw="plot"]').first.focus()
    await page.keyboard.press("y")
    menu = page.locator('[data-tw="y-menu"]')
    stat = menu.locator('[data-value="stat"]')
    assert await stat.get_attribute("aria-disabled") == "true"
    await stat.focus()
    await menu.get_by_text("A stat shows one series, and here are 7").wait_for()
    await page.keyboard.press("Enter")
    assert "k=stat" not in page.url
    assert await violations(page) == []
    await page.keyboard.press("k")  # the next that fits
    await page.locator('.card.of-kind[data-kind="bar"]').wait_for()
    assert "k=pie" in page.url, "what is not understood is kept"
    await page.keyboard.press("Escape")
    # All but one hidden: one series is left, which a gauge can show.
    hidden = ",".join(f"kind/scrap(line={line})" for line in LINES[1:])
    await opened(tab, f"{past(plant)}&c=kind/scrap;k=gauge&c=kind/scrap;k=bar&hide={hidden}", ["gauge", "bar"])
    await texts(page, 0, "0.93")
    bars = await texts(page, 1, "A")
    assert [one for one in dict.fromkeys(bars) if one in LINES] == ["A"]
    assert "1 of 7 series" in await page.locator('[data-tw="kind-note"]').nth(1).inner_text()


@needs_axe
async def test_a_click_or_enter_on_a_head_sorts_and_the_third_restores(tab: Any, plant: float) -> None:
    page = await opened(tab, f"{past(plant)}&c=kind/scrap:6x7;k=table", ["table"])
    assert await cells(page, 1) == list(LINES)
    head = page.locator('.kind-table [data-column="last"]')
    by_value = sorted(SCRAP, key=lambda line: -SCRAP[line])
    for expected, option, sort in (
        (by_value, ";o=last", "descending"),
        (by_value[::-1], ";o=-last", "ascending"),
        (list(LINES), "", "none"),
    ):
        if sort == "ascending":
            await head.focus()
            await page.keyboard.press("Enter")
        else:
            await head.click()
        await tab.until(
            """(expected) => { const deep = (root) => [...root.querySelectorAll("*")].flatMap((one) =>
                [one, ...(one.shadowRoot ? deep(one.shadowRoot) : [])]);
                const rows = deep(document).filter((one) => one.matches(".kind-table tbody th"));
                return rows.map((one) => one.innerText.trim()).join("") === expected; }""",
            "".join(expected),
        )
        assert (f";k=table{option}&" in f"{page.url}&") or not option
        assert await page.locator(".kind-table thead th").nth(1).get_attribute("aria-sort") == sort
    await page.go_back()
    await page.wait_for_function("() => location.search.includes(';o=-last')", polling=50)
    await tab.open(f"/d/kind?{past(plant)}&c=kind/scrap;k=bar;o=name")
    await page.locator('.card.of-kind[data-kind="bar"]').wait_for()
    bars = await texts(page, 0, "A")
    assert [one for one in dict.fromkeys(bars) if one in LINES] == list(LINES)
    await page.keyboard.press("l")  # the latest values are sorted in the same way
    latest = page.locator('[data-tw="latest-table"]')
    await latest.get_by_text("Value", exact=True).click()
    await latest.locator("tbody tr").first.get_by_text("kind/speed").wait_for()
    assert await latest.locator("thead th").nth(2).get_attribute("aria-sort") == "descending"
    assert await violations(page) == []


@needs_axe
async def test_what_is_stale_does_not_look_live(tab: Any, service: Any, plant: float) -> None:
    now_ms = math.floor(time.time() * 1e3)
    times = [float(now_ms - 40_000 - 1_000 * n) for n in range(20, 0, -1)]
    await service.publish("kind/old", *(float(n) for n in range(20)), time=times, unit="bar")
    charts = "&".join(f"c=kind/old:4;k={kind}" for kind in KINDS)
    page = await opened(tab, f"w=5m&{charts}", KINDS)
    await tab.until("() => window.__tidewire.state().charts.every(({ state }) => ['stale', 'nodata'].includes(state))")
    pill = page.locator(".card.of-kind").nth(0).locator(".kind-note .pill")
    await pill.wait_for()
    assert (await pill.inner_text()).startswith(("STALE", "NO DATA"))
    heads = page.locator(".card.of-kind > .card-head [data-tw='chart-stale']:visible")
    await heads.nth(3).wait_for()
    assert await heads.count() == 4, "a stat says it in its row of words"
    await page.locator(".kind-table tr.silent").wait_for()
    assert await violations(page) == []
    # The figures of a stat: their colour is muted.
    colours = """(canvas) => { const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, 70);
        let most = 0;
        for (let at = 0; at < data.length; at += 4) if (data[at + 3] > 200) most = Math.max(most, data[at]);
        return most; }"""
    canvas = page.locator(".card.of-kind").nth(0).locator(CANVAS)
    assert await canvas.evaluate(colours) < 0xC0, "muted on dark"
    await tab.open(f"/d/kind?{past(plant)}&c=kind/speed;k=stat&theme=dark")
    await page.locator(".card.of-kind .kind").wait_for()
    await texts(page, 0, "41.48")
    assert await page.locator(CANVAS).evaluate(colours) > 0xD0


async def test_a_value_comes_before_its_past_and_says_so(shared_page: SharedPage, service: Any, plant: float) -> None:
    async with (
        HistoryGate(service.url) as gate,
        running_dashboard(DashboardSettings(url=gate.url, dashboard_port=0)) as dashboard,
    ):
        tab = Tab(await shared_page.blank(), dashboard.url)
        await tab.page.add_init_script(LISTEN)
        await tab.open("/d/kind?w=5m&c=kind/speed;k=stat&c=kind/width;k=hist")
        note = tab.page.locator('[data-tw="kind-note"]')
        await tab.page.get_by_text("loading the last 5 min").first.wait_for()
        await texts(tab.page, 0, "41.48")
        assert "readings" not in await note.nth(1).inner_text()
        gate.open.set()
        await note.nth(1).get_by_text("60 readings in 5 min").wait_for()
        tab.forget()
        await shared_page.clear(dashboard.url)


async def test_values_move_with_their_readings_until_a_pause(tab: Any, service: Any) -> None:
    now_ms = math.floor(time.time() * 1e3)
    times = [float(now_ms - 1_000 * n) for n in range(5, 0, -1)]
    await service.publish("kind/live", 1.0, 2.0, 3.0, 4.0, 5.0, time=times)
    charts = "c=kind/live:3;k=stat&c=kind/live:3;k=gauge&c=kind/live;k=table&c==kind/live%20*%202:3;k=bar"
    page = await opened(tab, f"w=1m&{charts}", ["stat", "gauge", "table", "bar"])
    await service.publish("kind/live", 77.0)
    await texts(page, 0, "77")
    await texts(page, 1, "77")
    await page.locator(".kind-table td b").get_by_text("77", exact=True).wait_for()
    await texts(page, 3, "154")
    await page.keyboard.press("Space")
    await tab.badge("PAUSED")
    await service.publish("kind/live", 88.0)
    await tab.until("() => window.__tidewire.state().paused !== false")
    await page.locator(".kind-note").first.get_by_text("PAUSED").wait_for()
    assert "77" in await texts(page, 0, "77")
    await page.keyboard.press("Escape")
    await texts(page, 0, "88")
    await service.publish("kind/live", 88.0, 99.0, text=[None, "finished"])
    await page.locator('[data-tw="kind-note"]').first.get_by_text("FINISHED").wait_for()
    assert "99" in await texts(page, 0, "99"), "what it ended with is not stale"
    assert await page.locator(".kind-table tr.silent").count() == 0


async def test_what_is_no_plot_is_a_picture_and_a_file_too(tab: Any, plant: float) -> None:
    for kind in ("hist", "table"):
        page = await opened(tab, f"{past(plant)}&c=kind/width:5;k={kind}&drawer=1", [kind])
        sizes = []
        for what in ("png", "csv"):
            button = page.locator(f'[data-tw="export-{what}"]')
            await button.wait_for()
            async with page.expect_download() as waiting:
                await button.click()
            path = await (await waiting.value).path()
            sizes.append(await asyncio.to_thread(path.read_bytes))
        assert sizes[0].startswith(b"\x89PNG\r\n")
        wide, high = (int.from_bytes(sizes[0][at : at + 4], "big") for at in (16, 20))
        assert wide > 500
        assert high > 100
        assert sizes[1].count(b"\n") == COUNT + 1


async def test_a_stat_is_as_fresh_as_the_series_that_it_shows(tab: Any, service: Any) -> None:
    """The other one is live and hidden; with its legend it can be shown again."""
    now_ms = math.floor(time.time() * 1e3)
    old = [float(now_ms - 90_000 - 1_000 * n) for n in range(20, 0, -1)]
    await service.publish("kind/s", *(float(n) for n in range(20)), time=old, labels={"l": "A"})
    await service.publish("kind/s", 1.0, 2.0, 3.0, 4.0, labels={"l": "B"})
    page = await opened(tab, "w=5m&c=kind/s;k=stat&hide=kind/s(l=B)", ["stat"])
    pill = page.locator(".card.of-kind .kind-note .pill")
    await pill.get_by_text("NO DATA").or_(pill.get_by_text("STALE")).wait_for()
    assert "LIVE" not in await page.locator(".card.of-kind .kind-note").inner_text()
    await page.locator(".card.of-kind [data-tw='legend-item']").nth(1).click()
    await tab.until("() => !location.search.includes('hide=')")
    assert tab.errors == []


async def test_kinds_are_compared_with_the_span_earlier(tab: Any, plant: float) -> None:
    span = f"from={plant - 30_000:.0f}&to={plant:.0f}&cmp=30s"
    page = await opened(tab, f"{ALL}&{span}", KINDS)
    notes = page.locator('[data-tw="kind-note"]')
    await notes.nth(0).filter(has_text="30 s ago 40.7").wait_for()
    await notes.nth(1).filter(has_text="30 s ago 4.4").wait_for()
    await notes.nth(2).filter(has_text="pale: 30 s ago").wait_for()
    await notes.nth(3).filter(has_text="outline: 30 s ago").wait_for()
    table = page.locator('[data-tw="kind-table"]')
    await table.locator("thead .kind-then").filter(has_text="30 s ago").wait_for()
    await table.locator("tbody .kind-then").filter(has_text="0.93").first.wait_for()
    await tab.open(f"/d/kind?{ALL}&{past(plant)}")
    await table.wait_for()
    assert await table.locator("thead .kind-then").is_hidden()
    assert tab.errors == []
