"""The tree of many series, its search and its labels, in Chromium: on a deck and on the overview."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.browser
HALLS, CELLS, ROBOTS, METRICS = 4, 3, 10, 10
SERIES = HALLS * CELLS * ROBOTS * METRICS
DEEP = """const deep = (root = document) => [...root.querySelectorAll("*")]
    .flatMap((one) => [one, ...(one.shadowRoot ? deep(one.shadowRoot) : [])]);
    const all = (hook) => deep().filter((one) => one.dataset?.tw === hook && one.checkVisibility());"""
# The rows of the tree in order, each with its name, and its state and count if it is a level.
ROWS = f"""() => {{ {DEEP} const top = (one) => one.getBoundingClientRect().top;
    const words = (one) => one.dataset.tw === "tree-folder" ? one.textContent : one.title;
    return [...all("tree-folder"), ...all("sidebar-row")].sort((a, b) => top(a) - top(b))
        .map((one) => words(one).replace(/\\s+/g, " ").trim()); }}"""
CHARTS = "() => (window.__tidewire?.state().charts ?? []).map((chart) => [chart.title, chart.series.length])"


async def robots(service: Any) -> None:
    """Publish the series of a plant, one of them critical."""
    rows = [
        {
            "metric": f"bigplant/hall-{hall}/cell-{cell:02}/robot-{robot:02}/m{metric}",
            "value": float(robot),
            "labels": {"line": "AB"[robot % 2], "site": f"S{hall}"},
        }
        for hall in range(HALLS)
        for cell in range(CELLS)
        for robot in range(ROBOTS)
        for metric in range(METRICS)
    ]
    rows[1_042]["value"] = 500.0
    for start in range(0, len(rows), 400):
        answer = await service.http.post("/v1/readings", json=rows[start : start + 400])
        assert answer.status_code == 200, answer.text
    limits = [{"metric": "bigplant/**", "critical_above": 400.0}]
    answer = await service.http.put("/v1/thresholds", json={"thresholds": limits})
    assert answer.status_code == 200, answer.text


async def test_a_deck_lists_levels_with_counts_and_the_worst_state_and_keys_walk_them(tab: Any, service: Any) -> None:
    await robots(service)
    await tab.open("/d/bigplant")
    critical = "bigplant 1 critical 1,200 series"
    await tab.until(f"(name) => ({ROWS})()[0] === name", critical)
    rows = await tab.page.evaluate(ROWS)
    assert rows[1:5] == [
        "hall-0 300 series",
        "cell-00 100 series",
        "cell-01 100 series",
        "cell-02 100 series",
    ]
    tree = tab.page.locator('[data-tw="tree"]')
    await tree.focus()
    for key in ("ArrowDown", "ArrowLeft"):
        await tab.page.keyboard.press(key)
    await tab.until(f"() => ({ROWS})()[2]?.startsWith('hall-1')")
    assert "f=bigplant/hall-0:0" in tab.page.url
    for key in ("End", "ArrowUp", "ArrowRight", "ArrowRight", "ArrowRight", "ArrowRight"):
        await tab.page.keyboard.press(key)
    spoken = f"""() => {{ {DEEP} const tree = all("tree")[0];
        return tree.getRootNode().getElementById(tree.getAttribute("aria-activedescendant"))?.title; }}"""
    await tab.until(f"() => ({spoken})()?.startsWith('bigplant/hall-3/cell-01/robot-00')")
    await tab.page.keyboard.press("ArrowLeft")
    await tab.page.keyboard.press("Enter")
    await tab.until("() => location.search.includes('q=bigplant')")
    await tab.sees("series are hidden by the search")
    assert tab.errors == []


async def test_a_search_takes_patterns_labels_and_expressions_and_says_what_it_finds(tab: Any, service: Any) -> None:
    await robots(service)
    await tab.open("/d/bigplant")
    count = tab.page.locator('[data-tw="search-count"]').first
    for query, found in (
        ("hall-3/*/robot-04", "30 of 1,200"),
        ("site=S1 robot-0[0-1]", "0 of 1,200"),
        ("/robot-0[0-1]/ site=S1", "60 of 1,200"),
        ("/(m+)+$/", "0 of 1,200"),
        ("**/m3", "120 of 1,200"),
    ):
        await tab.page.keyboard.press("/")
        await tab.page.locator(".search-input").first.fill(query)
        await tab.page.get_by_text(found, exact=True).first.wait_for()
        assert await count.inner_text() == found
    await tab.page.locator(".search-input").first.fill("hall-9/**")
    await tab.sees("Nearest: hall-0")
    await tab.page.locator(".search-input").first.fill("/(?=a)/")
    await tab.sees("look-around")
    await tab.page.locator('[data-tw="show-all"]').click()
    await tab.until(f"() => ({ROWS})()[0]?.startsWith('bigplant 1 critical 1,200')")
    assert tab.errors == []


async def test_a_label_chip_narrows_the_tree_and_every_chart_of_the_deck(tab: Any, service: Any) -> None:
    await robots(service)
    metrics = [f"bigplant/hall-0/cell-00/robot-0{n}/m0" for n in (0, 1)]
    await tab.open("/d/bigplant?" + "&".join(f"c={metric}" for metric in metrics))
    await tab.until(f"() => ({CHARTS})().length === 2 && ({CHARTS})().every(([, n]) => n === 1)")
    chip = tab.page.locator('[data-tw="chip"][data-label="line"]')
    await chip.click()
    await tab.page.locator('[data-tw="chip-value"]', has_text="A").click()
    await tab.until("() => location.search.includes('l.line=A')")
    await tab.until(f"() => String(({CHARTS})().map(([, n]) => n)) === '1,0'")
    await tab.until(f"() => ({ROWS})()[0]?.startsWith('bigplant 1 critical 600')")
    await tab.sees("No series has line: A")
    await tab.page.go_back()
    await tab.until(f"() => String(({CHARTS})().map(([, n]) => n)) === '1,1'")
    await tab.page.keyboard.press("m")
    await tab.until(f"() => {{ {DEEP} return all('sidebar').length === 0; }}")
    assert tab.errors == []


# The headings of the groups of tiles, what each says and whether it is open; and the tiles in view.
HEADS = f"""() => {{ {DEEP} return all("tile-head").map((one) => [one.ariaLabel, one.ariaExpanded]); }}"""
TILES = f"""() => {{ {DEEP} return all("tile").map((one) => one.title.split("\\n")[0]); }}"""


async def test_the_overview_shows_what_needs_a_look_first_and_its_groups_fold(tab: Any, service: Any) -> None:
    await robots(service)
    await tab.open("/")
    worst = "bigplant/hall-3/cell-01/robot-04/m2"
    await tab.until(f"(worst) => ({TILES})()[0]?.startsWith(worst)", worst)
    heads = await tab.page.evaluate(HEADS)
    assert heads[0] == ["bigplant/hall-3/cell-01, 100 series", "true"]
    assert heads[1][0].endswith("more of cell-01, all live and without a warning")
    shown = len(await tab.page.evaluate(TILES))
    await tab.page.locator('[data-tw="tile-head"]').nth(1).click()
    await tab.until("() => location.search.includes('f=bigplant/hall-3/cell-01/:1')")
    await tab.page.locator('[data-tw="tile-head"]').nth(0).click()
    await tab.until(f"() => ({HEADS})()[0]?.[1] === 'false'")
    await tab.page.reload()
    await tab.until(f"() => ({HEADS})()[0]?.[1] === 'false' && ({TILES})().length > 0")
    assert not any(tile.startswith(worst) for tile in await tab.page.evaluate(TILES))
    assert shown > 0
    hall = tab.page.locator('[data-tw="tree-folder"]', has_text="hall-2")
    await hall.first.click()
    await tab.until("() => location.search.includes('q=bigplant%2Fhall-2%2F**')")
    await tab.until(f"() => ({TILES})().length > 0 && ({TILES})().every((tile) => tile.startsWith('bigplant/hall-2/'))")
    await tab.page.get_by_text("300 of 1,200", exact=True).wait_for()
    filters = (await tab.page.locator('[data-tw="filters"]').inner_text()).split()
    assert filters[:4] == ["All", "300", "Live", "300"]
    assert tab.errors == []


async def test_a_level_is_added_to_the_deck_as_charts_and_a_saved_deck_keeps_its_labels(tab: Any, service: Any) -> None:
    await robots(service)
    await tab.open("/d/plan?c=bigplant/hall-0/cell-00/robot-00/m0&l.line=A")
    await tab.until(f"() => ({CHARTS})().length === 1")
    await tab.until(f"() => ({ROWS})()[0]?.startsWith('bigplant 1 critical 600')")
    tree = tab.page.locator('[data-tw="tree"]')
    await tree.focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "ArrowDown", "Shift+Enter"):
        await tab.page.keyboard.press(key)
    await tab.until(f"() => ({CHARTS})().length === 2 && ({CHARTS})()[1][1] === 10")
    await tab.page.keyboard.press("S")
    await tab.page.get_by_role("textbox", name="Name of the deck").fill("plan")
    await tab.page.keyboard.press("Enter")
    await tab.until("() => !location.search.includes('c=')")
    await tab.open("/d/plan")
    await tab.until(f"() => ({CHARTS})().length === 2 && location.search.includes('l.line=A')")
    assert tab.errors == []
