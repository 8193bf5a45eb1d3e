"""The overview with as many series as a metric may have, in Chromium: it stays small, quick, and finds each of them."""

from __future__ import annotations

import re
import time
from typing import Any

import httpx
import pytest
from waiting import HANG_S

pytestmark = pytest.mark.browser
SERIES = 2_000
DEEP = """const deep = (root = document) => [...root.querySelectorAll("*")]
    .flatMap((one) => [one, ...(one.shadowRoot ? deep(one.shadowRoot) : [])]);
    const tiles = () => deep().filter((one) => one.dataset?.tw === "tile" && one.checkVisibility());"""
# Scroll through everything, and say how many frames were drawn, how many elements there are, and which tile is last.
FLING = f"""async () => {{ {DEEP}
    const scroller = deep().find((one) => one.matches(".tile-scroll"));
    const before = window.__tidewire.state().counters.draws;
    for (let i = 1; i <= 60; i++) {{
        scroller.scrollTop = ((scroller.scrollHeight - scroller.clientHeight) * i) / 60;
        await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    }}
    return {{ draws: window.__tidewire.state().counters.draws - before, nodes: deep().length }}; }}"""


@pytest.mark.long
async def test_two_thousand_series_scroll_sort_and_are_found(tab: Any, service: Any) -> None:
    now_ms = time.time() * 1e3
    rows = [
        {"metric": f"group{n // 100:02}/m{n % 100:02}", "time": [now_ms - 2e3, now_ms], "value": [n, n + 0.5]}
        for n in range(SERIES)
    ]
    async with httpx.AsyncClient(trust_env=False, timeout=HANG_S) as http:
        for start in range(0, SERIES, 500):
            answer = await http.post(f"{service.url}/v1/readings", json=rows[start : start + 500])
            answer.raise_for_status()
    await tab.open("/")
    await tab.until(f"() => Object.keys(window.__tidewire?.state().lastValues ?? {{}}).length === {SERIES}")
    found = await tab.page.evaluate(FLING)
    assert found["draws"] >= 55, "each step of the scroll was drawn"
    assert found["nodes"] < 600, "only what is in view exists"
    await tab.until(f"() => {{ {DEEP} return tiles().at(-1)?.ariaLabel.startsWith('group19/m'); }}")
    await tab.page.locator('[data-tw="tile-head"]').filter(visible=True).last.click()
    await tab.until("() => location.search.includes('f=group19/:1')")
    await tab.page.evaluate(FLING)
    await tab.until(f"() => {{ {DEEP} return tiles().at(-1)?.ariaLabel.startsWith('group19/m99'); }}")
    await tab.page.keyboard.press("/")
    await tab.page.keyboard.type("group07 m4")
    await tab.until(f"() => {{ {DEEP} return tiles().length === 10; }}")
    filters = await tab.page.locator('[data-tw="filters"]').inner_text()
    counts = [int(number) for number in re.findall(r"\d+", filters)]
    assert counts[0] == 10, "the counts are of what is found"
    assert sum(counts[1:4]) == 10, "and add up, also those of series whose pace is not known yet"
    await tab.page.locator('[data-value="value"]').click()
    await tab.until(f"() => {{ {DEEP} return tiles()[0].ariaLabel.startsWith('group07/m49'); }}")
    await tab.page.locator('[data-tw="tile"]').first.click()
    await tab.until("() => location.pathname === '/d/group07'")
    assert tab.errors == []


# The names of the sidebar as they are shown, how many of them are wider than their place, and its width.
SIDEBAR = f"""() => {{ {DEEP}
    const rows = deep().filter((one) => one.dataset?.tw === "sidebar-row" && one.checkVisibility());
    const names = rows.map((row) => row.querySelector(".side-name"));
    const cut = names.flatMap((name) => [...name.children]).filter((one) => one.scrollWidth > one.clientWidth + 1);
    const side = deep().find((one) => one.dataset?.tw === "sidebar");
    const heads = deep().filter((one) => one.matches(".tree-folder .tree-name")).map((one) => one.textContent);
    return {{ names: names.map((name) => name.textContent.trim()), cut: cut.length, width: side?.clientWidth, heads }};
}}"""


async def test_names_are_cut_where_they_agree_and_the_sidebar_is_as_wide_as_it_is_pulled(
    tab: Any, service: Any
) -> None:
    robots = [f"plant/north/hall/robot-{n:02}/torque" for n in range(30)]
    nodes = [{"az": f"az{n % 3}", "node": f"node-{n:04}", "site": "Lyon"} for n in range(30)]
    rows = [{"metric": name, "value": 1} for name in robots]
    rows += [{"metric": "fleet/cpu/of/a/machine/with/a/name", "value": 1, "labels": labels} for labels in nodes]
    answer = await service.http.post("/v1/readings", json=rows)
    assert answer.status_code == 200, answer.text
    await tab.page.set_viewport_size({"width": 1440, "height": 2_200})
    await tab.open("/d/plant")
    await tab.until(f"() => ({SIDEBAR})().names.length >= 60")
    shown = await tab.page.evaluate(SIDEBAR)
    assert len(set(shown["names"])) == 60, "each name is told from the others"
    assert shown["cut"] == 0, "and nothing is cut but by us"
    assert "plant/north/hall" in shown["heads"], "what all share stands above them"
    handle = await tab.page.locator('[data-tw="sidebar-handle"]').bounding_box()
    await tab.page.mouse.move(handle["x"] + 2, 600)
    await tab.page.mouse.down()
    await tab.page.mouse.move(handle["x"] + 202, 600, steps=4)
    await tab.page.mouse.up()
    await tab.until(f"() => ({SIDEBAR})().names.includes('robot-00/torque')")
    wide = await tab.page.evaluate(SIDEBAR)
    assert wide["width"] == pytest.approx(shown["width"] + 200, abs=3)
    await tab.open("/d/fleet")
    await tab.until(f"(width) => ({SIDEBAR})().width === width", wide["width"])
    await tab.page.locator('[data-tw="sidebar-handle"]').dblclick()
    await tab.until(f"(width) => ({SIDEBAR})().width === width", shown["width"])
    assert tab.errors == []
