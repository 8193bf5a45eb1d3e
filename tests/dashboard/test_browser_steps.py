"""What holds its value is drawn as steps and words as bands, in Chromium: by the readings, or by hand."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest

pytestmark = pytest.mark.browser
CHARTS = "() => window.__tidewire.state().charts.map(({ title, series }) => [title, series.map((one) => one.steps)])"
DECK = "/d/oven?w=1m&c=oven/door&c=oven/mode&c=oven/parts&c=oven/degrees&c=oven/state:8"


@pytest.fixture
async def oven(service: Any) -> float:
    """Publish a minute of an oven, and return when it ended."""
    now_ms = math.floor(time.time() * 1e3)
    times = [float(now_ms - 1_000 * n) for n in range(60, 0, -1)]
    door = [float(n % 20 < 5) for n in range(60)]
    await service.publish("oven/door", *door, time=times)
    await service.publish("oven/mode", *(float(n // 12 % 4) for n in range(60)), time=times)
    await service.publish("oven/parts", *(float(n) for n in range(60)), time=times, unit="{parts}")
    await service.publish("oven/degrees", *(float(20 + n % 5) for n in range(60)), time=times, unit="Cel")
    for oven, shift in (("1", 0), ("2", 17)):
        words = [("IDLE", "HEATING", "HOLD")[(n + shift) // 20 % 3] for n in range(60)]
        rows = {"metric": "oven/state", "labels": {"oven": oven}, "time": times, "value": [None] * 60, "text": words}
        assert (await service.http.post("/v1/readings", json=rows)).status_code == 200
    return float(now_ms)


async def opened(tab: Any, address: str, count: int) -> Any:
    """Open a deck, wait until each of its charts is drawn, and return the page."""
    await tab.open(address)
    await tab.until(
        f"""() => {{ const {{ charts }} = window.__tidewire?.state() ?? {{}};
            return charts?.length === {count} && charts.every(({{ loading, series }}) => loading === null
                && series.length && series.every((one) => one.buckets > 3 || one.bands.length)); }}"""
    )
    return tab.page


async def test_each_chart_is_drawn_as_its_readings_are(tab: Any, oven: float) -> None:
    page = await opened(tab, DECK, 5)
    assert dict(await page.evaluate(CHARTS)) == {
        "oven/door": [True],
        "oven/mode": [True],
        "oven/parts": [False],
        "oven/degrees": [False],
        "oven/state": [False, False],
    }
    charts = {chart["title"]: chart for chart in await page.evaluate("() => window.__tidewire.state().charts")}
    assert charts["oven/door"]["range"] == [-0.18, 1.28]
    bands = [[text for _, _, text in one["bands"]] for one in charts["oven/state"]["series"]]
    assert all(set(words) <= {"IDLE", "HEATING", "HOLD"} and len(words) >= 3 for words in bands)
    values = page.locator('[data-tw="chart"]').nth(4).locator('[data-tw="legend-value"]')
    assert await values.all_inner_texts() == ["HOLD", "IDLE"]


async def test_a_chart_is_drawn_as_it_is_told_and_its_address_keeps_that(tab: Any, oven: float) -> None:
    page = await opened(tab, "/d/oven?w=1m&c=oven/door", 1)
    await page.locator('[data-tw="chart"]').hover()
    await page.keyboard.press("y")
    await page.locator('[data-tw="y-menu"]').wait_for()
    for words, key, steps in (("line", "k", False), ("steps", "k", True), ("", "", True)):
        if key:
            await page.keyboard.press(key)
        else:
            await page.locator('[data-tw="y-back"]').click()
        await page.wait_for_function(
            f"() => window.__tidewire.state().charts[0].series[0].steps === {str(steps).lower()}", polling=50
        )
        await page.wait_for_function(
            f"() => location.search.includes(';k={words}') === {str(bool(words)).lower()}", polling=50
        )
        assert await page.locator('[data-tw="chart-tag"]').all_inner_texts() == ([words] if words else [])
    await opened(tab, "/d/oven?w=1m&c=oven/degrees;k=steps", 1)
    assert dict(await page.evaluate(CHARTS)) == {"oven/degrees": [True]}


async def test_the_tooltip_reads_the_held_value_and_the_state(tab: Any, oven: float) -> None:
    span = f"from={oven - 50_000:.0f}&to={oven - 5_000:.0f}"
    page = await opened(tab, f"/d/oven?{span}&c=oven/door:6&c=oven/state:6", 2)
    await page.wait_for_function("() => window.__tidewire.state().settled", polling=50)
    for at, says in ((0, ("0",)), (1, ("HOLD", "IDLE"))):
        box = await page.locator('[data-tw="plot"]').nth(at).bounding_box()
        plot = (await page.evaluate("() => window.__tidewire.state().charts"))[at]["plot"]
        share = 36.3 / 45  # 13.7 s before the end: reading 46
        await page.mouse.move(box["x"] + plot["left"] + plot["width"] * share, box["y"] + plot["top"] + 20)
        rows = page.locator('[data-tw="tooltip"]').nth(at).locator(".tip-row b")
        await rows.first.wait_for()
        assert tuple(sorted(await rows.all_inner_texts())) == says


async def test_tiles_rows_and_the_table_say_the_word(tab: Any, oven: float) -> None:
    page = await opened(tab, "/d/oven?w=1m&c=oven/state", 1)
    await page.locator(".sidebar, [data-tw='sidebar']").get_by_text("HOLD").first.wait_for()
    await page.keyboard.press("l")
    row = page.locator('[data-tw="latest-table"] tr', has_text="oven/state").first
    await row.get_by_text("HOLD").wait_for()
