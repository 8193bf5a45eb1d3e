"""Names that every JavaScript object answers to, wherever a name comes from outside; series that cannot be drawn."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from waiting import HANG_MS

pytestmark = pytest.mark.browser
NAMES = ["__proto__", "constructor", "hasOwnProperty", "prototype", "toString", "valueOf"]
CHARTS = "() => window.__tidewire?.state().charts ?? []"


async def drawn(tab: Any, charts: int) -> list[dict[str, Any]]:
    """Wait until this many charts have drawn every one of their series, and return them."""
    await tab.until(
        f"(n) => {{ const charts = ({CHARTS})(); return charts.length === n"
        " && charts.every((one) => one.series.length > 0 && one.series.every(({last}) => last !== null)); }",
        charts,
    )
    assert await tab.page.locator('[data-tw="chart-error"]:visible').count() == 0
    assert tab.errors == []
    charts_now: list[dict[str, Any]] = await tab.page.evaluate(CHARTS)
    return charts_now


async def test_a_unit_named_like_a_prototypes_property_is_a_unit(tab: Any, service: Any) -> None:
    await service.publish("plant/flow", 1.0, unit="L/min")
    for name in NAMES:
        await service.publish(f"plant/{name}", 2.0, unit=name)
    await tab.open("/d/plant")
    await drawn(tab, len(NAMES) + 1)
    for unit in (*NAMES, "L/min"):
        await tab.page.locator(".card-unit").get_by_text(unit, exact=True).wait_for(state="attached")
    rows = await tab.page.locator('[data-tw="sidebar-row"]').all_inner_texts()
    assert len(rows) == len(NAMES) + 1
    assert all(any(row.endswith(f"2 {name}") for row in rows) for name in NAMES)


@pytest.mark.parametrize("name", ["__proto__", "constructor"])  # client/chart/test/prototype-names.test.ts has them all
async def test_a_page_takes_such_a_name_wherever_a_name_comes_from_outside(tab: Any, service: Any, name: str) -> None:
    for value, labels in enumerate(({name: "A"}, {name: name}, {"site": name}, {})):
        await service.publish(f"plant/{name}", float(value), unit=name, labels=labels)
    await service.publish(name, 7.0)
    now_ms = (await service.http.get("/v1/catalog")).json()["series"][0]["time"]
    await service.publish("annotations", None, time=[now_ms], text=[name], labels={name: name})
    limits = [{"metric": "plant/*", "labels": {name: "A"}, "warn_above": -1.0}, {"metric": name, "warn_above": 5.0}]
    answer = await service.http.put("/v1/thresholds", json={"thresholds": limits})
    assert answer.status_code == 200, answer.text

    await tab.open("/")  # every tile
    await tab.until("(n) => document.title.startsWith(n)", "(2) ")
    assert await tab.page.locator('[data-tw="tile"]').count() == 5

    await tab.open(f"/d/{quote(name)}")  # its group's deck
    (chart,) = await drawn(tab, 1)
    assert chart["title"] == name

    await tab.open(f"/d/plant?c=plant/{name}&drawer=1")
    (chart,) = await drawn(tab, 1)
    keys = {f"{name}=A", f"{name}={name}", f"site={name}", ""}
    assert {one["key"] for one in chart["series"]} == keys
    events = f"(text) => ({CHARTS})()[0].events.some((one) => one.text === text)"
    await tab.until(events, f"{name}: {name}")  # the series with this label, and what happened to it

    await tab.open(f"/d/plant?c=plant/{name}({quote(name)}=A)")  # one series of a link
    (chart,) = await drawn(tab, 1)
    assert [one["key"] for one in chart["series"]] == [f"{name}=A"]

    await tab.open(f"/d/plant?c=plant/{name}@{quote(name)}")  # split by the label
    charts = await drawn(tab, 3)
    split = sorted(sorted(one["key"] for one in chart["series"]) for chart in charts)
    assert split == sorted([[f"{name}=A"], [f"{name}={name}"], ["", f"site={name}"]])
    assert sum(chart["title"].endswith(f" no {name}") for chart in charts) == 1

    await tab.page.keyboard.press("S")  # saved under the name
    await tab.page.locator('[data-tw="save-name"]').fill(name)
    await tab.page.locator('[data-tw="save"]').click()
    await tab.until("() => !location.pathname.endsWith('/plant')")
    await tab.open("/" + (await tab.page.evaluate("location.pathname")).lstrip("/"))
    await drawn(tab, 3)


# A canvas that refuses what belongs to the series "bad": on the tiles, in its chart and in its row of the sidebar.
REFUSES = """
    const { fillText } = CanvasRenderingContext2D.prototype;
    window.drawn = new Set();
    CanvasRenderingContext2D.prototype.fillText = function (text, ...at) {
      if (String(text).includes("bad") || this.canvas.closest('[data-metric="plant/bad"]')) throw new Error("no glyph");
      window.drawn.add(String(text));
      fillText.call(this, text, ...at);
    };
    const { getContext } = HTMLCanvasElement.prototype;
    HTMLCanvasElement.prototype.getContext = function (...kind) {
      if (this.closest('[title="plant/bad"]')) throw new Error("no canvas");
      return getContext.apply(this, kind);
    };
"""


@pytest.mark.parametrize("path", ["/", "/d/plant", "/d/plant?kiosk=1"])
async def test_a_series_that_cannot_be_drawn_costs_its_own_place_and_the_page_goes_on(
    dashboard: Any, service: Any, browser: Any, path: str
) -> None:
    context = await browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(HANG_MS)
    page = await context.new_page()
    await page.add_init_script(REFUSES)
    errors: list[str] = []
    said: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    for name in ("bad", "flow", "zone"):
        await service.publish(f"plant/{name}", 1.0)
    await page.goto(dashboard.url + path)
    for value in range(2, 5):  # a frame arrives only after the one before was drawn
        for name in ("bad", "flow", "zone"):
            await service.publish(f"plant/{name}", float(value))
        await page.wait_for_function(
            """(value) => { const all = Object.values(window.__tidewire?.state().lastValues ?? {});
                return all.length === 3 && all.every((one) => one === value); }""",
            arg=float(value),
            polling=50,
        )
    if "kiosk" in path or path == "/":
        await page.wait_for_function("() => window.drawn.has('flow') && window.drawn.has('zone')", polling=50)
    if path != "/":
        stopped = page.locator('[data-tw="chart-error"]:visible')
        await stopped.get_by_text("The other charts continue").wait_for()
        assert await stopped.count() == 1
        assert await page.locator('[data-tw="plot"]:visible canvas').count() == 2
    assert errors == []
    undrawn = [text for text in said if "plant/bad cannot be drawn" in text]
    assert len(undrawn) == 1, "the console is told once, and not at every drawing"


@pytest.mark.parametrize("group", [".", "..", "~"])  # others: client/chart/test/url.test.ts
async def test_a_tile_opens_the_deck_of_its_group_whatever_that_is_called(tab: Any, service: Any, group: str) -> None:
    await service.publish(f"{group}/x", 1.0)
    await tab.open("/")
    await tab.page.locator('[data-tw="tile"]').click()
    (chart,) = await drawn(tab, 1)
    assert chart["title"] == f"{group}/x"
    await tab.open(await tab.page.evaluate("location.pathname + location.search"))
    (chart,) = await drawn(tab, 1)
    assert chart["title"] == f"{group}/x"
