"""What analysts do with a chart's data: statistics, thresholds, files, tables, decks saved by name; in Chromium."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator
from typing import Any

import pandas as pd
import pytest
from waiting import HANG_MS, HANG_S, eventually

pytestmark = pytest.mark.browser
DECK = "/d/furnace?c=furnace/temperature&w=5m&drawer=1"
# Text of the first element with this hook, shadow roots included.
TEXT = """(hook) => { const deep = (root = document) => [...root.querySelectorAll("*")]
    .flatMap((one) => [one, ...(one.shadowRoot ? deep(one.shadowRoot) : [])]);
    return deep().find((one) => one.dataset?.tw === hook)?.textContent ?? ""; }"""


@pytest.fixture
async def readings(service: Any) -> pd.DataFrame:
    """Publish two minutes of two series, and return what was published."""
    now_ms = round(time.time() * 1e3)
    rows = []
    for site, base in (("A", 900.0), ("B", 930.0)):
        times = [now_ms - (120 - n) * 1_000 for n in range(1, 121)]
        values = [base + (n * 7919 % 101) / 10 for n in range(120)]
        await service.publish("furnace/temperature", *values, time=times, unit="Cel", labels={"site": site})
        rows += [(at, site, value) for at, value in zip(times, values, strict=True)]
    await service.publish("furnace/power", *map(float, range(50)), unit="kW")
    return pd.DataFrame(rows, columns=["time", "site", "value"])


@pytest.fixture
async def other(dashboard: Any, browser: Any) -> AsyncIterator[Any]:
    """A second viewer, with a browser profile of its own."""
    context = await browser.new_context(viewport={"width": 1440, "height": 900})
    yield await context.new_page()
    await context.close()


async def says(page: Any, hook: str, words: str, limit_s: float = HANG_S) -> None:
    """Wait until the element with this hook says so."""
    await page.wait_for_function(
        f"([hook, words]) => ({TEXT})(hook).includes(words)", arg=[hook, words], timeout=limit_s * 1e3, polling=50
    )


async def statistics(page: Any) -> dict[str, list[str]]:
    rows = await page.locator('[data-tw="statistics"] tbody tr').all()
    return {
        await row.locator("th").inner_text(): [await cell.inner_text() for cell in await row.locator("td").all()]
        for row in rows
    }


async def test_the_drawer_has_the_statistics_of_what_was_published(tab: Any, readings: pd.DataFrame) -> None:
    await tab.open(DECK)
    await says(tab.page, "drawer-count", "240 readings")
    shown = await statistics(tab.page)
    by_site = readings.groupby("site")["value"]
    for name, expected in {
        "last": by_site.last(),
        "mean": by_site.mean(),
        "p50": by_site.quantile(0.5),
        "p95": by_site.quantile(0.95),
        "p99": by_site.quantile(0.99),
        "min": by_site.min(),
        "max": by_site.max(),
        "std": by_site.std(),
    }.items():
        assert [float(text) for text in shown[name]] == pytest.approx(list(expected), abs=0.0501), name
    assert shown["gaps"] == ["0", "0"]
    await tab.page.keyboard.press("Escape")
    await tab.until("() => !location.search.includes('drawer')")
    await tab.page.locator('[data-tw="plot"]').first.hover()
    await tab.page.keyboard.press("f")
    await tab.until("() => location.search.includes('drawer=1')")


async def test_statistics_are_of_the_stretch_that_is_zoomed_into(tab: Any, readings: pd.DataFrame) -> None:
    start, end = readings.time.iloc[20] - 500, readings.time.iloc[59] + 500
    await tab.open(f"{DECK}&from={start}&to={end}")
    await says(tab.page, "drawer-count", "80 readings")
    shown = await statistics(tab.page)
    within = readings[(readings.time > start) & (readings.time < end)].groupby("site")["value"]
    assert [float(text) for text in shown["mean"]] == pytest.approx(list(within.mean()), abs=0.0501)
    await tab.page.locator('[data-tw="plot"]').first.hover()
    await tab.page.keyboard.press("d")
    table = tab.page.locator('[data-tw="chart-table"] tbody')
    await table.wait_for()
    lasts = [float(text) for text in await table.locator("tr td:nth-of-type(1)").all_inner_texts()]
    assert lasts == pytest.approx(list(within.last()), abs=0.0501), "and so is the last value in the data table"


async def test_an_excursion_between_two_looks_is_an_event_of_the_chart(tab: Any, service: Any) -> None:
    answer = await service.http.put(
        "/v1/thresholds", json={"thresholds": [{"metric": "furnace/temperature", "critical_above": 950}]}
    )
    assert answer.status_code == 200, answer.text
    await service.publish("furnace/temperature", 921.0, unit="Cel")
    await tab.open(DECK)
    await says(tab.page, "drawer-thresholds", "Critical above")
    now_ms = time.time() * 1e3
    values = [921.0] * 4 + [973.5] * 5 + [921.0] * 4  # 20 Hz: 250 ms beyond the limit, all in one message
    times = [now_ms - (len(values) - n) * 50 for n in range(len(values))]
    await service.publish("furnace/temperature", *values, time=times, unit="Cel")
    await says(tab.page, "drawer-events", "critical for 250 ms: 973.5 °C, above 950")
    assert tab.errors == []


async def test_a_threshold_added_in_the_drawer_is_in_force_for_every_viewer(
    tab: Any, service: Any, readings: pd.DataFrame, other: Any
) -> None:
    await other.goto(f"{tab.base}/")
    await tab.open(DECK)
    await says(tab.page, "drawer-count", "240 readings")
    await says(tab.page, "drawer-thresholds", "None")
    await tab.page.locator('[data-tw="threshold-add"]').click()
    form = tab.page.locator('[data-tw="threshold-form"]')
    await form.locator('[name="field"]').select_option("critical_above")
    await form.locator('[name="value"]').fill("925")
    await form.locator('[name="scope"]').select_option(label="site B")
    await tab.page.locator('[data-tw="threshold-save"]').click()
    await says(tab.page, "drawer-thresholds", "Critical above")

    async def go_on() -> None:
        while True:
            await service.publish("furnace/temperature", 931.0, unit="Cel", labels={"site": "B"})
            await asyncio.sleep(0.5)

    going = asyncio.create_task(go_on())
    await says(tab.page, "chart-alert", "CRITICAL")
    await says(tab.page, "drawer-events", "site B critical")
    await other.wait_for_function("() => document.title.startsWith('(1) ')", timeout=HANG_MS, polling=50)
    critical = other.locator('[data-tw="tile"][aria-label*="critical"]')

    async def only_one() -> bool:  # at a time: a tile whose publisher waits for a busy machine is stale meanwhile
        return await critical.count() == 1

    await eventually(only_one)
    assert await other.locator('[data-tw="tile"][aria-label*="temperature B"][aria-label*="critical"]').count() == 1
    await tab.page.locator('[data-tw="threshold-remove"]').click()
    await says(tab.page, "drawer-thresholds", "None")
    await other.wait_for_function("() => !document.title.startsWith('(')", timeout=HANG_MS, polling=50)
    going.cancel()


async def test_files_hold_what_was_published(tab: Any, readings: pd.DataFrame) -> None:
    await tab.open(DECK)
    await says(tab.page, "drawer-count", "240 readings")

    async def file(kind: str) -> bytes:
        async with tab.page.expect_download() as waiting:
            await tab.page.locator(f'[data-tw="export-{kind}"]').click()
        path = await (await waiting.value).path()
        return await asyncio.to_thread(path.read_bytes)

    expected = readings.sort_values(["site", "time"]).reset_index(drop=True)
    for kind, read in (("csv", pd.read_csv), ("parquet", pd.read_parquet)):
        found = read(io.BytesIO(await file(kind)))
        times = found.time if kind == "csv" else found.time.dt.as_unit("ms")  # CSV has milliseconds, as the service's
        found = found.assign(time=times.astype("int64"), site=found["label.site"].astype(str))
        found = found.sort_values(["site", "time"]).reset_index(drop=True)
        pd.testing.assert_frame_equal(found[["time", "site", "value"]], expected, check_dtype=False)
    picture = await file("png")
    assert picture.startswith(b"\x89PNG\r\n")
    wide = int.from_bytes(picture[16:20], "big")
    shown = (await tab.page.locator('[data-tw="plot"]').first.bounding_box())["width"]
    assert wide == pytest.approx(2 * shown, abs=1), "sharp in a report"


async def test_the_copied_snippet_loads_the_same_readings(tab: Any, readings: pd.DataFrame) -> None:
    await tab.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await tab.open(DECK)
    await says(tab.page, "drawer-count", "240 readings")
    await tab.page.locator('[data-tw="copy-pandas"]').click()
    await says(tab.page, "copy-pandas", "Copied")
    code = await tab.page.evaluate("() => navigator.clipboard.readText()")
    names: dict[str, Any] = {}
    await asyncio.to_thread(exec, code, names)
    assert sorted(names["readings"].value) == sorted(readings.value)
    assert set(names["readings"]["label.site"]) == {"A", "B"}


async def test_tables_show_readings_as_they_are_and_the_latest_of_all(
    tab: Any, service: Any, readings: pd.DataFrame
) -> None:
    await tab.open(DECK)
    await says(tab.page, "drawer-count", "240 readings")
    await tab.page.locator('[data-tw="readings"]').click()
    rows = tab.page.locator('[data-tw="raw-table"] tbody tr')
    await rows.nth(239).wait_for()
    values = await rows.evaluate_all("(all) => all.map((one) => Number(one.children[2].textContent))")
    assert sorted(values) == sorted(readings.value)
    await tab.page.keyboard.press("Escape")
    await tab.until("() => location.search.includes('drawer=1')")
    await tab.open("/?q=furnace")
    await tab.sees("readings/s")
    await tab.page.keyboard.press("l")
    await says(tab.page, "latest-table", "furnace/power")
    await service.publish("furnace/power", 77.5, unit="kW")
    await says(tab.page, "latest-table", "77.5")
    await service.publish("furnace/newborn", 1.25)
    await says(tab.page, "latest-table", "furnace/newborn")


async def save(page: Any, name: str) -> None:
    await page.locator('[data-tw="plot"]').first.hover()
    await page.keyboard.press("S")
    await page.locator('[data-tw="save-name"]').fill(name)
    await page.locator('[data-tw="save"]').click()


async def charts(page: Any, expected: list[str]) -> None:
    """Wait until the page has these charts."""
    await page.wait_for_function(
        """(expected) => JSON.stringify(window.__tidewire?.state().charts.map((one) => one.title)) === expected""",
        arg=str(expected).replace("'", '"').replace(", ", ","),
        timeout=HANG_MS,
        polling=50,
    )


async def test_a_deck_is_saved_by_name_listed_and_opened_by_another_viewer(
    tab: Any, readings: pd.DataFrame, other: Any
) -> None:
    await tab.open("/d/furnace?c=furnace/power:8&w=15m")
    await charts(tab.page, ["furnace/power"])
    await save(tab.page, "Night shift")
    await tab.until("() => location.pathname === '/d/night-shift'")
    await charts(tab.page, ["furnace/power"])
    await other.goto(f"{tab.base}/")
    await other.locator('[data-tw="saved-deck"]').filter(has_text="Night shift").click()
    await other.wait_for_url("**/d/night-shift*")
    await charts(other, ["furnace/power"])
    assert "c=" not in other.url, "what is saved stays in the service: its next version is shown as well"
    await other.wait_for_function("() => location.search.includes('w=15m')", polling=50)
    await says(other, "nav-decks", "Night shift")
    assert await other.title() == "Night shift · Tidewire"


async def test_a_save_over_a_newer_version_asks(tab: Any, readings: pd.DataFrame, other: Any) -> None:
    await tab.open("/d/furnace?c=furnace/power")
    await charts(tab.page, ["furnace/power"])
    await save(tab.page, "shift")
    await tab.until("() => location.pathname === '/d/shift'")
    await other.goto(f"{tab.base}/d/shift")
    await charts(other, ["furnace/power"])

    async def add(page: Any, name: str) -> None:
        await page.locator('[data-tw="sidebar-row"]').filter(has_text=name).first.click()

    await add(other, "temperature")
    await says(other, "nav-decks", "*")
    await save(other, "shift")
    await other.wait_for_function(f"() => !({TEXT})('nav-decks').includes('*')", polling=50)

    await tab.page.locator('[data-tw="plot"]').first.hover()
    await tab.page.keyboard.press("w")
    await save(tab.page, "shift")
    await says(tab.page, "save-message", "changed by another user at")
    await tab.page.locator('[data-tw="save-open"]').click()
    await charts(tab.page, ["furnace/power", "furnace/temperature"])

    await tab.page.locator('[data-tw="plot"]').first.hover()
    await tab.page.keyboard.press("x")
    await charts(tab.page, ["furnace/temperature"])
    await other.locator('[data-tw="plot"]').first.hover()
    await other.keyboard.press("w")
    await save(other, "shift")
    await other.wait_for_function(f"() => !({TEXT})('nav-decks').includes('*')", polling=50)
    await save(tab.page, "shift")
    await says(tab.page, "save-message", "changed by another user at")
    await tab.page.locator('[data-tw="save-over"]').click()
    await tab.until(f"() => !({TEXT})('nav-decks').includes('*')")
    await other.reload()
    await charts(other, ["furnace/temperature"])

    async def delete() -> None:
        await other.keyboard.press("S")
        await other.locator('[data-tw="save-delete"]').click()
        await other.locator('[data-tw="save-delete-yes"]').click()
        await other.get_by_text("Deck “shift” deleted").wait_for()

    await delete()
    await other.keyboard.press("Control+z")
    await other.locator('[data-tw="toast"]').wait_for(state="hidden")
    await tab.open("/")
    await tab.page.locator('[data-tw="saved-deck"]').wait_for()
    await delete()
    await other.goto(f"{tab.base}/")
    await other.locator('[data-tw="tile"]').first.wait_for()
    assert await other.locator('[data-tw="saved-deck"]').count() == 0
