"""Figures in Chromium: exact, told apart, and one number in one way wherever it stands on a page."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest

pytestmark = pytest.mark.browser
COUNT = 200
DEEP = """const deep = (root = document) => [...root.querySelectorAll("*")]
    .flatMap((one) => [one, ...(one.shadowRoot ? deep(one.shadowRoot) : [])]);"""
# The texts of all elements with this hook, also in shadow roots; the hook of the focused one; where the first chart is.
TEXTS = f"""(hook) => {{ {DEEP}
    return deep().filter((one) => one.dataset?.tw === hook && one.checkVisibility())
        .map((one) => one.textContent); }}"""
FOCUSED = """() => { let one = document.activeElement;
    while (one?.shadowRoot?.activeElement) one = one.shadowRoot.activeElement;
    return one?.dataset?.tw ?? ""; }"""
TOP = f"""() => {{ {DEEP}
    return deep().find((one) => one.dataset?.tw === "chart").getBoundingClientRect().top; }}"""
FULL = f"""(count) => window.__tidewire?.state().charts.length === count
    && window.__tidewire.state().charts.every(({{series}}) => series[0]?.buckets > {COUNT // 4})"""


async def publish(
    service: Any, metric: str, values: list[float], unit: str = "", ago_s: float = 0.0, **more: Any
) -> None:
    end_ms = (time.time() - ago_s) * 1e3
    times = [end_ms - (len(values) - 1 - n) * 1e3 for n in range(len(values))]
    await service.publish(metric, *values, time=times, unit=unit, **more)


async def shown(tab: Any, hook: str, words: str) -> None:
    await tab.until(f"([hook, words]) => ({TEXTS})(hook).some((text) => text.includes(words))", [hook, words])


async def test_one_number_is_printed_in_one_way_on_a_page(tab: Any, service: Any) -> None:
    await publish(service, "plant/door", [float(n % 4 == 0) for n in range(COUNT)])
    await publish(service, "plant/frequency", [1e6 + (0.01 if n % 2 else -0.01) for n in range(COUNT)], "Hz")
    await publish(service, "plant/tiny", [1.0 if n % 2 else 1e-9 for n in range(COUNT)])
    await tab.open("/d/plant?c=plant/door:12&c=plant/frequency:12&c=plant/tiny:12&drawer=2")
    await tab.until(FULL, 3)
    await shown(tab, "legend-stats", "min 0 · max 1 · mean 0.25")
    await shown(tab, "legend-stats", "min 999,999.990 · max 1,000,000.010 · mean 1,000,000.000")
    await shown(tab, "legend-stats", "min 1.00e−9 · max 1.000 · mean 0.500")  # noqa: RUF001 - a minus sign
    await shown(tab, "statistics", "1,000,000.010")
    await shown(tab, "legend-value", "1,000,000.010")
    await tab.page.keyboard.press("Escape")
    await shown(tab, "sidebar-row", "1,000,000.010")
    await tab.page.keyboard.press("l")
    await shown(tab, "latest-table", "1,000,000.010")
    assert tab.errors == []


async def test_units_of_one_meaning_share_a_chart(tab: Any, service: Any) -> None:
    for name, unit in (("a", "Cel"), ("b", "\N{DEGREE CELSIUS}"), ("c", "° C"), ("d", "DEGC")):
        await publish(service, "plant/heat", [20.0 + n % 3 for n in range(COUNT)], unit, labels={"by": name})
    await tab.open("/d/plant?c=plant/heat:12")
    await tab.until(FULL, 1)
    await tab.until("() => window.__tidewire.state().charts[0].series.every(({buckets}) => buckets > 50)")
    assert "not drawn" not in str(await tab.page.evaluate(TEXTS, "legend-item"))
    assert not await tab.page.get_by_text("different units").is_visible()


def url_time(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize(
    ("hours_ago", "says"), [(3, "Nothing was published "), (30, "is before what is kept: the log keeps 24 h")]
)
async def test_an_empty_past_says_why_and_the_header_has_its_day(
    tab: Any, service: Any, hours_ago: int, says: str
) -> None:
    await publish(service, "plant/heat", [20.0] * 5, ago_s=hours_ago * 3_600 + 1_200 if hours_ago < 24 else 0)
    await publish(service, "plant/heat", [21.0] * 5)
    start_s = time.time() - hours_ago * 3_600
    await tab.open(f"/d/plant?c=plant/heat:12&from={url_time(start_s)}&to={url_time(start_s + 1_200)}")
    await tab.until("(words) => window.__tidewire?.state().charts[0]?.empty.includes(words)", says)
    of_day = "(s) => `${new Date(s * 1e3).getDate()} ${new Date(s * 1e3).toLocaleString('en', {month: 'short'})}`"
    day = await tab.page.evaluate(of_day, start_s)
    if hours_ago > 24:
        await shown(tab, "pause-bar", day)


async def test_the_first_tab_skips_to_what_the_page_shows(tab: Any, service: Any) -> None:
    await publish(service, "plant/heat", [20.0] * COUNT)
    for path, words, first in (("/d/plant", "Skip to the charts", "plot"), ("/", "Skip to the tiles", "tile")):
        await tab.open(path)
        await tab.until("() => Object.keys(window.__tidewire?.state().lastValues ?? {}).length > 0")
        await tab.page.locator(f'[data-tw="{first}"]').first.wait_for()
        await tab.page.keyboard.press("Tab")
        assert await tab.page.evaluate(FOCUSED) == "skip"
        await tab.sees(words)
        await tab.page.keyboard.press("Enter")
        assert await tab.page.evaluate(FOCUSED) == first


async def test_a_wall_on_a_phone_has_whole_charts_and_a_foot_of_one_line(tab: Any, service: Any) -> None:
    for n in range(6):
        await publish(service, f"plant/heat-{n}", [20.0 + k % 5 for k in range(COUNT)], "Cel")
    await tab.page.set_viewport_size({"width": 390, "height": 844})
    await tab.open("/d/plant?kiosk=1")
    await tab.until("() => window.__tidewire?.state().charts.length === 6")
    await tab.page.locator('[data-tw="wall-turns"]').wait_for()
    boxes = [await card.bounding_box() for card in await tab.page.locator('[data-tw="chart"]').all()]
    assert all(box["width"] == 370 and box["height"] >= 168 for box in boxes)
    assert all(after["y"] >= before["y"] + before["height"] for before, after in pairwise(boxes))
    foot = await tab.page.locator('[data-tw="wall"]').bounding_box()
    assert (foot["y"] + foot["height"], foot["height"]) == (844, 48)
    assert await tab.page.evaluate("() => document.documentElement.scrollWidth") == 390
    before = await tab.page.evaluate(TOP)
    await tab.until(f"(before) => ({TOP})() < before - 100", before)
