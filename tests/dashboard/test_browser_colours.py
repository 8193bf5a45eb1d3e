"""A colour is one series, in Chromium: in every part of the page, after a reload, in a link, in a saved deck."""

from __future__ import annotations

import re
from typing import Any

import pytest

pytestmark = pytest.mark.browser
OVERLAID = "/d/furnace?c=furnace/temperature,furnace/pressure:8&c=furnace/pressure"
STYLES = """() => Object.fromEntries((window.__tidewire?.state().charts ?? []).flatMap(
    (chart, i) => chart.series.map((one, k) => [`${i} ${k} ${one.key}`, one.style])))"""


async def styles(tab: Any, count: int) -> dict[str, int]:
    """Wait until the charts have so many series in all, and return their styles."""
    found: dict[str, int] = await tab.until(
        f"(n) => {{ const found = ({STYLES})(); return Object.keys(found).length === n ? found : null; }}", count
    )
    return found


async def plant(service: Any, sites: str = "BCD") -> None:
    for site in sites:
        for metric in ("furnace/temperature", "furnace/pressure"):
            await service.publish(metric, float(ord(site)), unit="", labels={"site": site})


async def swatches(tab: Any, selector: str) -> list[str]:
    script = "(all) => all.map((one) => getComputedStyle(one).background)"
    found: list[str] = await tab.page.locator(selector).evaluate_all(script)
    return [re.match(r"rgb\(\d+, \d+, \d+\)", one)[0] if one.startswith("rgb") else one for one in found]  # type: ignore[index]


async def test_a_series_has_one_colour_in_all_parts_of_a_page_and_no_other_of_its_chart_has_it(
    tab: Any, service: Any
) -> None:
    await plant(service)
    await tab.open(OVERLAID)
    found = await styles(tab, 9)
    first = [style for name, style in found.items() if name.startswith("0 ")]
    assert sorted(first) == [0, 1, 2, 3, 4, 5]
    assert [style for name, style in found.items() if name.startswith("1 ")] == first[3:]
    await tab.until("() => location.search.includes('col=')")
    legend = await swatches(tab, '[data-tw="legend-item"] i')
    assert len(legend) == 9
    assert len(set(legend)) == 6
    assert legend[6:] == legend[3:6]
    await tab.page.locator('[data-tw="plot"]').first.hover()
    await tab.page.keyboard.press("f")
    await tab.page.locator('[data-tw="statistics"] th i').nth(5).wait_for()
    assert await swatches(tab, '[data-tw="statistics"] th i') == legend[:6]


async def test_what_appears_later_recolours_nothing_nor_does_a_reload_or_another_browser(
    tab: Any, service: Any, shared_browser: Any
) -> None:
    await plant(service)
    await tab.open(OVERLAID)
    before = await styles(tab, 9)
    await plant(service, "A")
    now = await styles(tab, 12)

    def by_site(found: dict[str, int]) -> list[tuple[str, int]]:
        return sorted((f"{name[0]} {name.split()[2]}", style) for name, style in found.items())

    assert set(by_site(before)) < set(by_site(now))
    await tab.until("() => location.search.includes('col=')")
    address = await tab.page.evaluate("() => location.pathname + location.search")
    await tab.open("/")
    await tab.open(address)
    assert await styles(tab, 12) == now
    context = await shared_browser.new_context(viewport={"width": 390, "height": 844})
    other = type(tab)(await context.new_page(), tab.base)
    await other.open(OVERLAID)
    assert {style for _, style in by_site(await styles(other, 12))} == {style for _, style in by_site(now)}
    await other.open(address)
    assert await styles(other, 12) == now
    await context.close()


async def test_a_copied_link_and_a_saved_deck_say_the_colour_of_every_label_set(tab: Any, service: Any) -> None:
    await plant(service)
    await tab.page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=tab.base)
    await tab.open("/d/furnace?c=furnace/temperature&c=furnace/pressure")
    now = await styles(tab, 6)
    await tab.page.locator('[data-tw="share"]').click()
    link = await tab.until(
        "async () => (await navigator.clipboard.readText()).includes('col=') && navigator.clipboard.readText()"
    )
    said = dict(re.findall(r"\*\(site=(\w)\):(\d+)", link))
    assert {site: int(number) - 1 for site, number in said.items()} == {
        name[-1]: style for name, style in now.items() if name.startswith("0 ")
    }
    # As another dashboard would have it: every style another one.
    turned = re.sub(r":(\d+)(?=,|$)", lambda found: f":{int(found[1]) % 12 + 1}", link.partition("col=")[2])
    await tab.open(f"/d/furnace?c=furnace/temperature&c=furnace/pressure&col={turned}")
    moved = await styles(tab, 6)
    assert moved == {name: (style + 1) % 12 for name, style in now.items()}
    await tab.page.keyboard.press("S")
    await tab.page.locator('[data-tw="save-name"]').fill("Colours")
    await tab.page.locator('[data-tw="save"]').click()
    await tab.until("() => location.pathname.endsWith('/colours')")
    await tab.open("/d/colours")
    assert await styles(tab, 6) == moved
    await tab.open("/d/colours?kiosk=1")
    assert await styles(tab, 6) == moved
