"""The y axis of a chart in Chromium: range, scale, kind and sides by its menu, by its address, and by its units."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest

pytestmark = pytest.mark.browser
CHART = "() => window.__tidewire.state().charts[0]"
LEFT = "() => window.__tidewire.state().charts[0].axes[0]"
COUNT = 60
# The rows of a plot's canvas, from its top, that hold the colour of the first series; and how many pixels do.
INK = """() => { const host = document.querySelectorAll("*").values().map((e) => e.shadowRoot ?? null)
    .filter((root) => root?.querySelector(".plot-canvas")).next().value ?? document;
  const canvas = host.querySelector(".plot-canvas");
  const { plot } = window.__tidewire.state().charts[0];
  const swatch = getComputedStyle(host.querySelector(".legend-item i")).backgroundColor;
  const own = swatch.match(/[0-9]+/g).slice(0, 3).map(Number);
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const rows = []; let count = 0;
  for (let y = 0; y < canvas.height; y++) { let any = 0;
    for (let x = Math.round(plot.left) + 2; x < plot.left + plot.width - 8; x++) {
      const at = 4 * (y * canvas.width + x);
      if (data[at + 3] > 128 && own.every((part, i) => Math.abs(part - data[at + i]) < 24)) any++; }
    if (any) rows.push(y); count += any; }
  return { top: rows[0], bottom: rows[rows.length - 1], count, plot }; }"""


@pytest.fixture
async def line(service: Any) -> float:
    """Publish a minute of a line of machines, and return when it ended."""
    now_ms = math.floor(time.time() * 1e3)
    times = [float(now_ms - 1_000 * n) for n in range(COUNT, 0, -1)]

    async def publish(metric: str, unit: str, *values: float, **labels: str) -> None:
        await service.publish(metric, *values, time=times, unit=unit, **({"labels": labels} if labels else {}))

    await publish("line/flow", "L/min", *(128 + 4 * math.sin(n / 6) for n in range(COUNT)))
    await publish("line/heat", "Cel", *(40 + math.cos(n / 5) for n in range(COUNT)))
    await publish("line/pressure", "bar", *(6 + n / 100 for n in range(COUNT)))
    await publish("line/vacuum", "Torr", *(10 ** (n / 6 - 7) for n in range(COUNT)))
    await publish("line/some", "V", *(0.0 if n in (20, 21, 22) else 1.0 + n for n in range(COUNT)))
    await publish("line/clock", "Hz", *(1e6 + 0.01 * math.sin(n / 4) for n in range(COUNT)))
    await publish("line/small", "A", *(1e-12 * (1 + n / 30) for n in range(COUNT)))
    for name, level in (("a", 1.0), ("b", 2.0), ("c", 3.0)):
        await publish("line/parts", "W", *(level + n % 2 / 2 for n in range(COUNT)), belt=name)
    return float(now_ms)


async def opened(tab: Any, line: float, charts: str, count: int = 1, theme: str = "dark") -> Any:
    """Open charts of the minute that was published, wait until each is drawn, and return the page."""
    span = f"from={line - 60_000:.0f}&to={line:.0f}"
    await tab.open(f"/d/line?{span}&theme={theme}&{charts}")
    await tab.until(
        f"""() => {{ const {{ charts, settled }} = window.__tidewire?.state() ?? {{}};
            return settled && charts?.length === {count} && charts.every(({{ axes, series }}) => axes.length
                && series.some((one) => one.buckets > 3)); }}"""
    )
    return tab.page


async def menu(page: Any) -> Any:
    await page.locator('[data-tw="chart"]').first.hover()
    await page.keyboard.press("y")
    menu = page.locator('[data-tw="y-menu"]')
    await menu.wait_for()
    return menu


async def test_a_range_is_typed_drawn_kept_in_the_address_and_undone(tab: Any, line: float) -> None:
    page = await opened(tab, line, "c=line/flow:8x8")
    auto = await page.evaluate(LEFT)
    assert auto["lo"] < 124
    assert auto["hi"] > 132
    own = await menu(page)
    await own.locator('[data-tw="y-lo"]').fill("118")
    await page.keyboard.press("Enter")
    await page.wait_for_function("() => location.search.includes(';y=118..')", polling=50)
    await own.locator('[data-tw="y-hi"]').fill("138")
    await page.keyboard.press("Enter")
    await page.wait_for_function("() => window.__tidewire.state().charts[0].range.join() === '118,138'", polling=50)
    assert ";y=118..138" in page.url
    assert await page.locator('[data-tw="chart-tag"]').all_inner_texts() == ["118 \N{EN DASH} 138"]
    ink = await page.evaluate(INK)
    scale = ink["plot"]["height"] / 20
    assert ink["top"] == pytest.approx(ink["plot"]["top"] + (138 - 132) * scale, abs=4)
    await page.go_back()
    await page.wait_for_function("() => !location.search.includes('138')", polling=50)
    await page.wait_for_function("() => window.__tidewire.state().charts[0].range[1] < 137", polling=50)
    assert await page.locator('[data-tw="chart-tag"]').all_inner_texts() == ["from 118"]
    assert tab.errors == []


async def test_a_range_that_cannot_work_is_said_and_changes_nothing(tab: Any, line: float) -> None:
    page = await opened(tab, line, "c=line/flow:8x8;y=118..138")
    own = await menu(page)
    fault = own.locator('[data-tw="y-fault"]')
    for end, text, says in (
        ("lo", "140", "must begin below its end"),
        ("lo", "warm", "made of numbers"),
        ("hi", "117.5", "must begin below its end"),
    ):
        await own.locator(f'[data-tw="y-{end}"]').fill(text)
        await page.keyboard.press("Enter")
        await fault.get_by_text(says).wait_for()
        assert ";y=118..138" in page.url
        await own.locator(f'[data-tw="y-{end}"]').fill({"lo": "118", "hi": "138"}[end])
        await page.keyboard.press("Enter")
        await fault.wait_for(state="hidden")
    await own.locator('[data-tw="y-hi"]').fill("120")
    await page.keyboard.press("Enter")
    await fault.get_by_text("No reading in this window is inside this range").wait_for()
    assert await page.evaluate("() => window.__tidewire.state().charts[0].range.join()") == "118,120"


async def test_keys_of_the_menu_set_zero_log_and_upside_down(tab: Any, line: float) -> None:
    page = await opened(tab, line, "c=line/flow:8x8")
    await menu(page)
    before = await page.evaluate(INK)
    await page.keyboard.press("i")
    await page.wait_for_function("() => window.__tidewire.state().charts[0].axes[0].inverted", polling=50)
    after = await page.evaluate(INK)
    middle = before["plot"]["top"] + before["plot"]["height"] / 2
    assert after["top"] - middle == pytest.approx(middle - before["bottom"], abs=3)
    await page.keyboard.press("i")
    await page.locator('[data-tw="y-zero"]').focus()
    await page.keyboard.press("0")
    await page.wait_for_function("() => window.__tidewire.state().charts[0].axes[0].lo === 0", polling=50)
    await page.keyboard.press("g")
    await page.wait_for_function("() => window.__tidewire.state().charts[0].axes[0].hi < 3", polling=50)
    assert ";zero;log" in page.url
    await page.locator('[data-tw="y-back"]').click()
    await page.wait_for_function("() => !location.search.includes(';')", polling=50)
    await page.keyboard.press("Escape")
    await page.locator('[data-tw="y-menu"]').wait_for(state="hidden")
    assert tab.errors == []


async def test_a_log_axis_draws_powers_of_ten_and_says_what_is_not_on_it(tab: Any, line: float) -> None:
    page = await opened(tab, line, "c=line/vacuum:6x8;log&c=line/some:6x8;log", 2)
    vacuum, some = (await page.evaluate("() => window.__tidewire.state().charts"))[:2]
    assert vacuum["axes"][0]["lo"] < -7
    assert vacuum["axes"][0]["hi"] > 2.8
    assert vacuum["foot"] == ""
    assert some["foot"] == "3 readings ≤ 0 are not on a log axis"
    # Ten decades are a straight line: the middle of its ink is the middle of its range.
    ink = await page.evaluate(INK)
    height = vacuum["axes"][0]["hi"] - vacuum["axes"][0]["lo"]
    top = ink["plot"]["top"] + (vacuum["axes"][0]["hi"] - (59 / 6 - 7)) / height * ink["plot"]["height"]
    assert ink["top"] == pytest.approx(top, abs=4)


async def test_two_units_have_two_axes_and_a_third_is_offered_a_chart(tab: Any, line: float) -> None:
    page = await opened(tab, line, "c=line/flow,line/heat,line/pressure:8x8")
    chart = await page.evaluate(CHART)
    assert [axis["unit"] for axis in chart["axes"]] == ["L/min", "°C"]
    assert chart["axes"][0]["lo"] > 100
    assert chart["axes"][1]["hi"] < 50
    assert await page.locator('[data-tw="chart-error"]:visible').count() == 0
    legend = " ".join(await page.locator('[data-tw="legend-item"]').all_inner_texts())
    assert "L/min, left" in legend
    assert "°C, right" in legend
    assert "not drawn" in legend
    note = page.locator('[data-tw="chart-third"]')
    assert "room for two units" in await note.inner_text()
    await note.locator("button").click()
    await page.wait_for_function("() => window.__tidewire.state().charts[1]?.axes.length === 1", polling=50)
    charts = await page.evaluate(
        "() => window.__tidewire.state().charts.map(({ axes }) => axes.map(({ unit }) => unit))"
    )
    assert charts == [["L/min", "°C"], ["bar"]]
    await page.go_back()
    await page.wait_for_function("() => window.__tidewire.state().charts.length === 1", polling=50)


async def test_a_series_changes_sides_by_the_menu_and_the_tooltip_names_units(tab: Any, line: float) -> None:
    page = await opened(tab, line, "c=line/flow,line/heat:8x8")
    own = await menu(page)
    await own.locator('[data-side="1-1"]').check()
    await page.wait_for_function("() => window.__tidewire.state().charts[0].axes[0].unit === '°C'", polling=50)
    assert [axis["unit"] for axis in (await page.evaluate(CHART))["axes"]] == ["°C", "L/min"]
    await page.keyboard.press("Escape")
    plot = (await page.evaluate(CHART))["plot"]
    box = await page.locator('[data-tw="plot"]').first.bounding_box()
    await page.mouse.move(box["x"] + plot["left"] + plot["width"] / 2, box["y"] + plot["top"] + 20)
    rows = page.locator('[data-tw="tooltip"] .tip-row b')
    await rows.first.wait_for()
    texts = await rows.all_inner_texts()
    assert sorted(text.split(" ")[-1] for text in texts) == ["L/min", "°C"]


async def test_bars_points_and_stacked_areas_are_drawn(tab: Any, line: float) -> None:
    page = await opened(tab, line, "c=line/flow:8x8")
    own = await menu(page)
    plain = await page.evaluate(INK)
    for kind, text in (("bars", "Bars"), ("points", "Points")):
        await own.get_by_text(text, exact=True).click()
        await page.wait_for_function(f"() => location.search.includes(';k={kind}')", polling=50)
        await page.wait_for_function(f"() => window.__tidewire.state().charts[0].ink === '{kind}'", polling=50)
    drawn = await page.evaluate(INK)
    assert 0 < drawn["count"] < plain["count"]
    await own.get_by_text("Bars", exact=True).click()
    await page.wait_for_function("() => window.__tidewire.state().charts[0].ink === 'bars'", polling=50)
    bars = await page.evaluate(INK)
    assert bars["count"] > 4 * plain["count"]
    foot = bars["plot"]["top"] + bars["plot"]["height"]
    assert bars["bottom"] == pytest.approx(foot, abs=2), "bars stand on zero"
    await page.keyboard.press("Escape")
    page = await opened(tab, line, "c=line/parts:8x8;k=stacked")
    assert 7 <= (await page.evaluate(LEFT))["hi"] / 1.09 <= 7.6, "the sum of 1.5, 2.5 and 3.5"


async def test_small_differences_and_small_values_have_ticks_that_differ(tab: Any, line: float) -> None:
    page = await opened(tab, line, "c=line/clock:6x8&c=line/small:6x8", 2)
    await page.wait_for_function("() => window.__tidewire.state().charts[0].ticks.includes('±0')", polling=50)
    clock, small = (await page.evaluate("() => window.__tidewire.state().charts"))[:2]
    assert {"+10", "±0", "\N{MINUS SIGN}10"} <= set(clock["ticks"])
    assert len(set(clock["ticks"])) == len(clock["ticks"])
    assert clock["base"] == "±0 = 1,000,000 Hz"
    assert len(set(small["ticks"])) == len(small["ticks"]) >= 3
    assert small["base"] == ""


async def test_the_unit_shown_is_chosen(tab: Any, line: float) -> None:
    page = await opened(tab, line, "c=line/flow:8x8;y=120..")
    own = await menu(page)
    await own.locator('[data-tw="y-unit"]').select_option("m³/h")
    await page.wait_for_function("() => window.__tidewire.state().charts[0].axes[0].unit === 'm³/h'", polling=50)
    assert await own.locator('[data-tw="y-lo"]').input_value() == "7.2"
    assert "u=m%C2%B3/h" in page.url or "u=m³/h" in page.url
    legend = await page.locator('[data-tw="legend-value"]').first.inner_text()
    assert 7.2 < float(legend) < 8
