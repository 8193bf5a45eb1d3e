"""Formulas of charts in Chromium: written, drawn, frozen, kept in the address and in a saved deck, and refused."""

from __future__ import annotations

import math
import time
from typing import Any
from urllib.parse import quote

import pytest
from axe import needs_axe, violations

pytestmark = pytest.mark.browser
CHART = "() => window.__tidewire.state().charts[0]"
RATES = "sum by (site) (rate(http/requests_total[20s]))"


async def counters(service: Any, seconds: int = 120, ahead_s: int = 0) -> float:
    """Publish counters of two sites and codes, a reading a second: 5 and 2 a second."""
    now_ms = math.floor(time.time() * 1e3)
    times = [now_ms + 1e3 * (n - seconds + 1) for n in range(seconds + ahead_s)]
    for site, rate in (("A", 5.0), ("B", 2.0)):
        for code in ("200", "500"):
            values = [rate / 2 * n for n in range(len(times))]
            labels = {"site": site, "code": code}
            await service.publish("http/requests_total", *values, time=times, labels=labels)
    return float(now_ms)


def chart(formula: str, rest: str = "") -> str:
    return f"c=={quote(formula, safe='/')}{rest}"


async def drawn(tab: Any, count: int = 2) -> dict[str, Any]:
    """Wait until the first chart has so many series with values, and return it."""
    full = "(window.__tidewire?.state().charts[0]?.series ?? []).filter((one) => one.buckets > 20).length"
    await tab.until(f"() => {full} === {count}")
    return dict(await tab.page.evaluate(CHART))


def field(tab: Any, hook: str = "formula-input") -> Any:
    return tab.page.locator(f'[data-tw="{hook}"]')


async def says(tab: Any, hook: str, words: str) -> None:
    await field(tab, hook).filter(has_text=words).first.wait_for()


async def test_an_address_with_a_formula_is_drawn_live_and_frozen(tab: Any, service: Any) -> None:
    await counters(service)
    await tab.open(f"/d/http?{chart(RATES, ':8')}")
    found = await drawn(tab)
    assert found["title"] == RATES
    assert [one["key"] for one in found["series"]] == ["site=A", "site=B"]
    for one, rate in zip(found["series"], (5, 2), strict=True):
        assert one["last"] == pytest.approx(rate, rel=0.05)
    await says(tab, "chart-tag", "4 series → 2")
    await counters(service, 1, 5)
    await tab.page.keyboard.press("Space")
    await tab.badge("PAUSED")
    await tab.page.keyboard.press("+")
    await tab.until("() => window.__tidewire.state().settled && location.search.includes('from=')")
    assert {one["buckets"] > 10 for one in (await tab.page.evaluate(CHART))["series"]} == {True}
    await tab.page.keyboard.press("Escape")
    await tab.badge("LIVE")
    await drawn(tab)
    assert tab.errors == []


async def test_a_formula_is_written_over_the_title_with_what_may_stand_there(tab: Any, service: Any) -> None:
    await counters(service)
    await tab.open("/d/http?c=http/requests_total:8")
    await drawn(tab, 4)
    await tab.page.locator('[data-tw="chart"]').hover()
    await tab.page.keyboard.press("q")
    await field(tab).wait_for()
    assert await field(tab).input_value() == "http/requests_total"
    await tab.page.keyboard.press("Delete")
    await tab.page.keyboard.type("sum by (si")
    await says(tab, "formula-item", "site")
    await tab.page.keyboard.press("Tab")
    await tab.page.keyboard.type(") (rat")
    await says(tab, "formula-item", "rate(x[r])")
    keys = tab.page.locator(".formula-keys")  # the whole list lies over what is below the card
    at = await keys.bounding_box()
    hit = "([x, y, keys]) => keys.getRootNode().elementFromPoint(x, y) === keys"
    spot = [at["x"] + 20, at["y"] + at["height"] / 2, await keys.element_handle()]
    assert await tab.page.evaluate(hit, spot)
    await tab.page.keyboard.press("Tab")
    await tab.page.keyboard.type("requ")
    await says(tab, "formula-item", "http/requests_total")
    await tab.page.keyboard.press("Tab")
    assert await field(tab).input_value() == "sum by (site) (rate(http/requests_total))"
    await tab.page.keyboard.press("Enter")
    await field(tab).wait_for(state="detached")
    found = await drawn(tab)
    assert found["title"] == "sum by (site) (rate(http/requests_total))"
    assert "c==sum%20by" in await tab.page.evaluate("() => location.search")
    await tab.page.go_back()
    await drawn(tab, 4)
    assert (await tab.page.evaluate(CHART))["title"] == "http/requests_total"
    assert tab.errors == []


async def test_a_mistake_is_marked_at_its_place_and_the_last_formula_stays(tab: Any, service: Any) -> None:
    await counters(service)
    await tab.open(f"/d/http?{chart(RATES, ':8')}")
    await drawn(tab)
    await tab.page.locator('[data-tw="chart"]').hover()
    await tab.page.keyboard.press("q")
    await field(tab).fill("rate(http/requests_total[5m]) + nope(http/requests_total)")
    await says(tab, "formula-fault", "Character 33")
    marked = await tab.page.locator(".formula-shown .wavy").all_inner_texts()
    assert "".join(marked) == "nope"
    await tab.page.keyboard.press("Enter")
    await says(tab, "formula-fault", "Character 33")
    assert (await tab.page.evaluate(CHART))["title"] == RATES
    await tab.page.keyboard.press("Escape")
    await drawn(tab)
    await tab.open(f"/d/http?{chart('rate(http/requests_total')}&{chart(RATES)}")
    await says(tab, "chart-fault", ")")
    await tab.until("() => window.__tidewire.state().charts[1]?.series[0]?.buckets > 20")
    assert tab.errors == []


async def test_a_new_formula_is_a_chart_of_its_own_and_is_saved(tab: Any, service: Any) -> None:
    await counters(service)
    await tab.open("/d/http?c=")
    await tab.sees("Click a series in the sidebar")
    await tab.page.keyboard.press("q")
    await field(tab).wait_for()
    await tab.page.keyboard.press("Escape")
    await tab.sees("Click a series in the sidebar")  # one that gets no formula is none
    await tab.page.keyboard.press("q")
    await field(tab).fill(f"{RATES} > 3")
    await tab.page.keyboard.press("Enter")
    await drawn(tab, 1)
    await tab.page.keyboard.press("Control+z")
    await tab.sees("Click a series in the sidebar")  # both steps of it are one
    await tab.page.go_forward()
    await drawn(tab, 1)
    await tab.page.keyboard.press("Shift+S")
    await tab.page.locator('[data-tw="save-name"]').fill("Rates")
    await tab.page.keyboard.press("Enter")
    await tab.until("() => location.pathname.endsWith('/d/rates')")
    await tab.open("/d/rates")
    assert (await drawn(tab, 1))["title"] == f"{RATES} > 3"
    await tab.page.locator('[data-tw="chart"]').hover()
    await tab.page.keyboard.press("q")
    await tab.page.keyboard.press("Escape")
    assert (await drawn(tab, 1))["title"] == f"{RATES} > 3", "the old one stays"


@needs_axe
async def test_axe_finds_nothing_on_a_formula_that_is_written(tab: Any, service: Any) -> None:
    await counters(service)
    await tab.open(f"/d/http?{chart(RATES)}&{chart('rate(')}")
    await drawn(tab)
    assert await violations(tab.page) == []
    await tab.page.locator('[data-tw="chart"]').first.hover()
    await tab.page.keyboard.press("q")
    await field(tab).fill("sum by (s")
    await says(tab, "formula-item", "site")
    assert await violations(tab.page) == [], "the list"
    await field(tab).fill("nope(x) + 1")
    await says(tab, "formula-fault", "Character 1")
    assert await violations(tab.page) == [], "a mistake"


async def test_what_is_doubtful_of_a_formula_is_said_and_a_chart_without_series_empties_the_drawer(
    tab: Any, service: Any
) -> None:
    await service.publish("plant/A/power", 40.0, 41.0, unit="kW")
    await service.publish("plant/A/flow", 4.0, 5.0, unit="L/s")
    await tab.open(f"/d/plant?{chart('plant/A/power + on () plant/A/flow')}&{chart('nothing/here')}&drawer=1")
    await says(tab, "chart-tag", "doubtful")
    assert "kW" in await tab.page.locator(".card-tags").first.get_attribute("title")
    await says(tab, "drawer", "plant/A/power")
    await says(tab, "drawer", "values/s")
    await tab.open(f"/d/plant?{chart('plant/A/power')}&{chart('nothing/here')}&drawer=2")
    await says(tab, "drawer", "No series")
    await says(tab, "drawer", "nothing/here")
    assert tab.errors == []


async def test_a_formula_beside_series_is_drawn_in_their_chart_and_kept_in_the_address(tab: Any, service: Any) -> None:
    await counters(service)
    total = "sum(rate(http/requests_total[20s]))"
    await tab.open(f"/d/http?c=http/requests_total,={quote(total, safe='/')}:8")
    found = await drawn(tab, 5)
    assert found["title"] == f"http/requests_total + {total}"
    assert [one["last"] for one in found["series"]][-1] == pytest.approx(7, rel=0.05)
    units = [axis["unit"] for axis in found["axes"]]
    assert units == ["", "/s"], "two units, two axes"
    await tab.page.keyboard.press("Space")
    await tab.badge("PAUSED")
    await tab.page.keyboard.press("-")
    await tab.until("() => window.__tidewire.state().settled && location.search.includes('from=')")
    assert all(one["buckets"] > 10 for one in (await tab.page.evaluate(CHART))["series"])
    await tab.page.keyboard.press("Escape")
    await drawn(tab, 5)

    await tab.page.locator('[data-tw="chart"]').hover()
    await tab.page.keyboard.press("q")
    await field(tab).wait_for()
    assert await field(tab).input_value() == total
    await tab.page.keyboard.press("Control+a")
    await tab.page.keyboard.insert_text("max(rate(http/requests_total[20s]))")
    await tab.page.keyboard.press("Enter")
    await tab.until("() => location.search.includes(',=max')")
    await drawn(tab, 5)
    await tab.page.locator('[data-tw="chart"]').hover()
    await tab.page.keyboard.press("f")
    await tab.page.locator('[data-tw="drawer-about"]').filter(has_text="5 series").wait_for()
    async with tab.page.expect_download() as download:
        await tab.page.locator('[data-tw="export-csv"]').click()
    text = (await (await download.value).path()).read_text()
    assert "http/requests_total" in text
    assert "max(rate(http/requests_total[20s]))" in text
    await tab.page.keyboard.press("Escape")

    await tab.page.locator('[data-tw="chart"]').hover()
    await tab.page.keyboard.press("q")
    await field(tab).wait_for()
    await tab.page.keyboard.press("Control+a")
    await tab.page.keyboard.press("Delete")
    await tab.page.keyboard.press("Enter")
    await drawn(tab, 4)
    assert "=max" not in await tab.page.evaluate("() => location.search")
    assert tab.errors == []


async def test_a_formula_is_written_beside_the_series_of_a_chart(tab: Any, service: Any) -> None:
    await counters(service)
    await tab.open("/d/http?c=http/requests_total:8")
    await drawn(tab, 4)
    await tab.page.locator('[data-tw="chart"]').hover()
    await tab.page.keyboard.press("q")
    await field(tab).wait_for()
    await tab.page.keyboard.insert_text("sum(http/requests_total)")
    await tab.page.keyboard.press("Shift+Enter")
    found = await drawn(tab, 5)
    assert found["title"] == "http/requests_total + sum(http/requests_total)"
    await tab.page.go_back()
    await drawn(tab, 4)
    assert tab.errors == []


async def test_the_series_beside_a_formula_with_a_mistake_have_no_gaps_of_their_own(tab: Any, service: Any) -> None:
    """The formula has no ring, and no step; columns of 14 s are no silence of a series with a reading a second."""
    now_ms = time.time() * 1e3
    times = [now_ms - n * 1_000 for n in range(900, 0, -1)]
    await service.publish("plant/steady", *(float(n % 9) for n in range(900)), time=times)
    wide = "w=6h&c=plant/steady"
    for beside in ("", ",=rate(nope("):
        await tab.open(f"/d/plant?{wide}{beside}")
        await tab.until("() => window.__tidewire?.state().charts[0]?.series[0]?.buckets > 5")
        assert await tab.page.evaluate("() => window.__tidewire.state().charts[0].gaps.length") <= 1, beside


async def test_a_metric_that_nobody_publishes_is_said_with_the_one_that_is_meant_and_a_click_mends_it(
    tab: Any, service: Any
) -> None:
    await counters(service)
    wrong = RATES.replace("requests_total", "reqests_total")
    await tab.open(f"/d/http?{chart(wrong, ':8')}")
    await says(tab, "chart-fault", "No metric is called http/reqests_total. Did you mean http/requests_total?")
    await field(tab, "mend").click()
    found = await drawn(tab)
    assert found["title"] == RATES
    assert await field(tab, "chart-fault").is_hidden()
    await tab.page.locator('[data-tw="chart"]').hover()
    await tab.page.keyboard.press("q")
    await field(tab).wait_for()
    await tab.page.keyboard.press("Control+a")
    await tab.page.keyboard.insert_text("sum(rat(http/requests_total))")
    await says(tab, "formula-fault", "Character 5: there is no function rat. Did you mean rate?")
    await field(tab, "mend").click()
    assert await field(tab).input_value() == "sum(rate(http/requests_total))"
    await tab.page.keyboard.press("Enter")
    await drawn(tab, 1)
    assert tab.errors == []
