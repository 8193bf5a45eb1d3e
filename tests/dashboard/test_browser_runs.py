"""Runs compared by step in Chromium: they begin together, are smoothed, ticked, and all of it is in the address."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest
from axe import needs_axe, violations

pytestmark = pytest.mark.browser
HOUR_MS = 3_600_000.0
DECK = "/d/cats?c=cats/loss;log&c=cats/accuracy&x=step"
CHARTS = "() => window.__tidewire?.state().charts ?? []"


def curve(run: int, count: int) -> tuple[list[float], list[float]]:
    """Return loss and accuracy of a run, with a jitter that an eye sees."""
    loss = [2.3 * math.exp(-n / (30 + 9 * run)) + 0.08 + 0.03 * math.sin(n * 2.1 + run) for n in range(count)]
    return loss, [min(99.0, 100 - 40 * one) for one in loss]


async def publish(service: Any, run: str, number: int, count: int, *, began_ms: float, end: str = "") -> None:
    loss, accuracy = curve(number, count)
    steps = [n * 10 for n in range(count)]
    times = [began_ms + 1_000 * n for n in range(count)]
    texts = [None] * (count - 1) + [end or None]
    labels = {"run": run}
    await service.publish("cats/loss", *loss, time=times, step=steps, text=texts, labels=labels)
    await service.publish("cats/accuracy", *accuracy, time=times, step=steps, text=texts, labels=labels, unit="%")
    await service.publish("cats/config/lr", 0.1 / (number + 1), time=times[:1], labels=labels)
    await service.publish("cats/config/batch", 64.0, time=times[:1], labels=labels)


@pytest.fixture
async def cats(service: Any) -> float:
    """Three runs: one that finished hours ago, one that failed, and one that goes on."""
    now_ms = time.time() * 1e3
    await publish(service, "old", 0, 120, began_ms=now_ms - 5 * HOUR_MS, end="finished")
    await publish(service, "bad", 1, 30, began_ms=now_ms - HOUR_MS)
    await service.publish("cats/loss", None, step=[300], labels={"run": "bad"}, time=[now_ms - HOUR_MS + 30_000])
    await publish(service, "new", 2, 80, began_ms=now_ms - 80_000)
    return now_ms


async def drawn(tab: Any, count: int) -> list[dict[str, Any]]:
    """Wait until each chart has so many lines, and return the charts."""
    found: list[dict[str, Any]] = await tab.until(
        f"(n) => {{ const all = ({CHARTS})(); return all.length && all.every((c) => c.lines?.length === n) && all; }}",
        count,
    )
    return found


async def is_smoothed(tab: Any) -> None:
    """Wait until every line is drawn otherwise than it was read."""
    await tab.until(
        f"() => ({CHARTS})().every((c) => c.lines?.length && c.lines.every(({{ last: [a, b] }}) => a !== b))"
    )


async def ends_at(tab: Any, x: float) -> None:
    """Wait until the first line of the first chart ends there."""
    await tab.until(f"(x) => ({CHARTS})()[0]?.lines?.[0]?.to === x", x)


def line(chart: dict[str, Any], run: str) -> dict[str, Any]:
    return next(one for one in chart["lines"] if one["run"] == f"run={run}")


@needs_axe
async def test_runs_of_other_hours_begin_together_and_go_on_live(tab: Any, service: Any, cats: float) -> None:
    await tab.open(DECK)
    loss, accuracy = await drawn(tab, 3)
    page = tab.page
    assert [chart["title"] for chart in (loss, accuracy)] == ["cats/loss", "cats/accuracy"]
    for run, count in (("old", 120), ("bad", 30), ("new", 80)):
        own = line(loss, run)
        assert (own["n"], own["from"], own["to"]) == (count, 0, (count - 1) * 10)
        assert own["style"] == line(accuracy, run)["style"], "a run has one colour"
    assert len({one["style"] for one in loss["lines"]}) == 3
    assert loss["span"]["startMs"] == 0
    assert loss["xTicks"][:2] == ["0", "200"]
    assert "0.1" in loss["ticks"], "the logarithmic axis of the deck"
    rows = page.locator('[data-tw="run-row"]')
    assert await rows.count() == 3
    texts = {(await row.get_attribute("data-run")): (await row.inner_text()).split("\t") for row in await rows.all()}
    assert "FINISHED" in "".join(texts["old"])
    assert "FAILED" in "".join(texts["bad"])
    assert "not a number" in " ".join(texts["bad"])
    assert "1,190" in texts["old"]
    heads = await page.locator('[data-tw="run-table"] thead th').all_inner_texts()
    assert [one.strip() for one in heads if one.strip()][:7] == [
        *("Run", "State", "Step", "cats/loss last", "least", "cats/accuracy", "batch")
    ]
    assert (await page.locator('[data-tw="run-count"]').inner_text()).startswith("3 of 3 runs shown")
    # It goes on: a later step appears without a reload.
    await service.publish("cats/loss", 0.05, step=[2_000], labels={"run": "new"})
    await tab.until(f"() => ({CHARTS})()[0].lines.find((one) => one.run === 'run=new').to === 2000")
    # The crosshair stands at one step of all charts.
    plot = page.locator('[data-tw="plot"]').first
    box = await plot.bounding_box()
    await page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 60)
    pill = page.locator('[data-tw="time-pill"]').first
    await pill.wait_for()
    assert (await pill.inner_text()).startswith("step ")
    assert await page.locator(".cross:visible").count() == 2
    assert await page.locator('[data-tw="tooltip"]').first.locator(".tip-row").count() >= 2
    # A drag shows a part of all charts, Esc shows all again.
    await page.mouse.down()
    await page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 60, steps=4)
    await page.mouse.up()
    await tab.until(f"() => ({CHARTS})().every((c) => c.span.startMs > 100 && c.span.endMs < 1_900)")
    await page.keyboard.press("Escape")
    await tab.until(f"() => ({CHARTS})().every((c) => c.span.startMs === 0)")
    await page.locator('[data-tw="chart"]').first.hover()
    async with page.expect_download() as download:
        await page.locator('[data-tw="chart-png"]').first.click()
    assert (await download.value).suggested_filename == "cats-loss-by-step.png"
    # Paused, nothing moves; a run that is ticked is drawn all the same.
    await page.get_by_label("Draw bad").uncheck()
    await drawn(tab, 2)
    await page.locator('[data-tw="pause"]').click()
    await tab.until("() => window.__tidewire.state().paused")
    await page.get_by_label("Draw bad").focus()
    await page.keyboard.press(" ")
    await drawn(tab, 3)
    await page.keyboard.press("Escape")
    await tab.until("() => !window.__tidewire.state().paused")
    await page.mouse.move(0, 0)
    assert await violations(page) == []
    assert tab.errors == []


async def test_a_selection_of_the_deck_holds_for_its_runs_and_is_said(tab: Any, cats: float) -> None:
    await tab.open(f"{DECK}&sel=run=old|new")
    await drawn(tab, 2)
    await tab.page.locator('[data-tw="selection"]').filter(has_text="run is old or new").wait_for()
    await tab.page.locator('[data-tw="select-all"]').click()
    await drawn(tab, 3)
    assert tab.errors == []


async def test_axis_smoothing_and_ticks_are_in_the_address_and_in_a_saved_deck(tab: Any, cats: float) -> None:
    await tab.open(DECK)
    raw = (await drawn(tab, 3))[0]
    page = tab.page
    assert raw["lines"][0]["last"][0] == raw["lines"][0]["last"][1]
    await page.locator('[data-tw="run-smoothing"]').fill("0.9")
    await page.keyboard.press("Enter")
    await tab.until("() => location.search.includes('sm=0.9')")
    await is_smoothed(tab)
    smooth = (await drawn(tab, 3))[0]
    for before, after in zip(raw["lines"], smooth["lines"], strict=True):
        assert after["first"][0] == after["first"][1] == before["first"][0], "the first point stays where it was read"
        assert after["last"][0] == before["last"][0] != after["last"][1]
    await page.locator('[data-tw="run-smoothing"]').fill("7")
    await page.keyboard.press("Enter")
    assert await page.locator('[data-tw="run-smoothing"]').get_attribute("aria-invalid") == "true"
    assert "sm=0.9" in page.url
    await page.locator('[data-tw="run-raw"]').click()
    await tab.until("() => location.search.includes('raw=0')")
    await page.get_by_label("Draw bad").uncheck()
    await drawn(tab, 2)
    assert "runs=" in page.url
    await page.locator('[data-tw="run-sort"][data-column="step"]').click()
    await tab.until("() => location.search.includes('by=-step')")
    await page.locator('[data-tw="run-row"]:first-child[data-run="old"]').wait_for()
    await page.locator('[data-tw="run-differing"]').click()
    await tab.until("() => location.search.includes('diff=1')")
    await page.locator('[data-column="set batch"]').wait_for(state="detached")
    assert await page.locator('[data-column="set lr"]').count() == 1
    address = page.url[len(tab.base) :]
    await tab.open("/")
    await tab.open(address)
    back = (await drawn(tab, 2))[0]
    assert {one["run"]: one["style"] for one in back["lines"]} == {
        one["run"]: one["style"] for one in raw["lines"] if one["run"] != "run=bad"
    }
    # Only this, then all again.
    await page.get_by_role("button", name="new", exact=True).first.click()
    await drawn(tab, 1)
    await page.locator('[data-tw="run-axis"] [data-value="rel"]').click()
    await tab.until("() => location.search.includes('x=rel')")
    await ends_at(tab, 79_000)
    (own,) = (await drawn(tab, 1))[0]["lines"]
    assert own["from"] == 0
    await page.go_back()
    await tab.until("() => location.search.includes('x=step')")
    await ends_at(tab, 790)
    await page.keyboard.press("S")
    await page.locator('[data-tw="save-name"]').fill("Compared")
    await page.locator('[data-tw="save"]').click()
    await tab.until("() => location.pathname.endsWith('/compared')")
    await tab.open("/d/compared")
    await drawn(tab, 1)
    await is_smoothed(tab)
    assert await page.locator('[data-tw="run-raw"]').get_attribute("aria-checked") == "false"
    # Back to the live deck, which the address says, since the saved one is by step.
    await page.locator('[data-tw="run-leave"]').click()
    await tab.until("() => location.search.includes('x=0')")
    await page.locator('[data-tw="sidebar"]').wait_for()
    await page.keyboard.press("X")
    await page.locator('[data-tw="runs"]').wait_for()


@needs_axe
async def test_a_deck_without_a_step_says_how_to_publish_one_and_draws_over_run_time(tab: Any, service: Any) -> None:
    now_ms = time.time() * 1e3
    await service.publish("mice/loss", 3.0, 2.0, 1.0, time=[now_ms - n for n in (3e3, 2e3, 1e3)], labels={"run": "a"})
    await tab.open("/d/mice?c=mice/loss&x=step")
    page = tab.page
    await page.get_by_text("No run has published a step yet").wait_for()
    assert "step=7" in await page.locator('[data-tw="runs-empty"]').inner_text()
    assert await violations(page) == []
    await page.locator('[data-tw="run-axis"] [data-value="rel"]').click()
    await ends_at(tab, 2_000)
    (chart,) = await drawn(tab, 1)
    assert chart["lines"][0]["from"] == 0
    await page.set_viewport_size({"width": 390, "height": 844})
    await drawn(tab, 1)
    assert await page.evaluate("() => document.documentElement.scrollWidth") <= 390
    await service.publish("mice/loss", 0.5, step=[4], labels={"run": "b"})
    await page.locator('[data-tw="run-axis"] [data-value="step"]').click()
    await ends_at(tab, 4)
    (chart,) = await drawn(tab, 1)
    assert chart["lines"][0]["run"] == "run=b"
    # A label that is not the run's name is a chip, and a column of its settings.
    await page.set_viewport_size({"width": 1440, "height": 900})
    await service.publish("mice/loss", 0.5, step=[9], labels={"run": "c", "team": "x"})
    await service.publish("mice/loss", 0.5, step=[9], labels={"run": "d", "team": "y"})
    await drawn(tab, 3)
    assert await page.locator('[data-column="set team"]').count() == 1
    await page.locator('[data-tw="chip"][data-label="team"]').click()
    assert await violations(page) == []
    await page.locator('[data-tw="chip-value"]').filter(has_text="y").click()
    await tab.until("() => location.search.includes('l.team=y')")
    (chart,) = await drawn(tab, 1)
    assert chart["lines"][0]["run"] == "run=d,team=y"


async def test_runs_of_two_units_have_a_chart_and_a_column_each(tab: Any, service: Any) -> None:
    await service.publish("mice/took", 1.0, 2.0, step=[0, 1], unit="s", labels={"run": "a"})
    await service.publish("mice/took", 900.0, 800.0, step=[0, 1], unit="ms", labels={"run": "b"})
    await tab.open("/d/mice?c=mice/took&x=step")
    found = await drawn(tab, 1)
    assert [[one["run"] for one in chart["lines"]] for chart in found] == [["run=b"], ["run=a"]]
    page = tab.page
    heads = await page.locator('[data-tw="run-sort"]').all_inner_texts()
    assert [one.strip() for one in heads[3:6]] == ["mice/took ms last", "greatest", "mice/took s"]
    texts = {
        await row.get_attribute("data-run"): await row.inner_text()
        for row in await page.locator('[data-tw="run-row"]').all()
    }
    assert "800 ms" in texts["b"]
    assert "2 s" in texts["a"]
    await page.locator('[data-column="last mice/took s"]').click()
    await tab.until("() => location.search.includes('by=-')")
    await page.locator('[data-tw="run-row"]:first-child[data-run="a"]').wait_for()
    # Of one unit again, there is one chart.
    await page.get_by_label("Draw b").uncheck()
    await tab.until(f"() => ({CHARTS})().length === 1")
    assert tab.errors == []


async def test_a_metric_that_is_refused_says_so_in_its_chart_and_the_others_are_drawn(
    tab: Any, service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidewire.livestore.run_metrics._MAX_READINGS", 3)
    await service.publish("mice/loss", 3.0, 2.0, 1.5, 1.0, step=[0, 1, 2, 3], labels={"run": "a"})
    await service.publish("mice/acc", 3.0, 2.0, step=[0, 1], labels={"run": "a"})
    await tab.open("/d/mice?c=mice/loss&c=mice/acc&x=step")
    await tab.page.locator('[data-tw="chart-absent"]:visible').filter(has_text="too many").wait_for()
    await tab.until(f"() => ({CHARTS})()[1]?.lines?.length === 1")
    assert await tab.page.locator('[data-tw="chart-absent"]:visible').count() == 1
    assert await tab.page.locator('[aria-busy="true"]').count() == 0, "no chart loads for ever"
    assert tab.errors == []


async def test_how_a_chart_stands_is_said_and_a_pause_stops_the_ages(tab: Any, service: Any, cats: float) -> None:
    await tab.open(DECK)
    await drawn(tab, 3)
    page = tab.page
    await page.locator('[data-tw="chart-fresh"]').filter(has_text="LIVE").first.wait_for()
    for run in ("new", "old"):
        await page.get_by_label(f"Draw {run}").uncheck()
    await drawn(tab, 1)
    await page.locator('[data-tw="chart-stale"]:visible').filter(has_text="FAILED").first.wait_for()
    await page.locator('[data-tw="pause"]').click()
    await tab.until("() => window.__tidewire.state().paused")
    last = page.locator('[data-tw="run-row"][data-run="new"] td').last
    before = await last.inner_text()
    await page.evaluate("() => { const now = Date.now; Date.now = () => now() + 3_600_000; }")
    for _ in range(3):  # what is drawn anew draws the age of the pause
        await page.locator('[data-tw="run-row"]').first.hover()
        await page.locator('[data-tw="run-row"]').last.hover()
    assert await last.inner_text() == before
    assert tab.errors == []


async def test_a_legend_by_value_begins_with_the_greatest_and_follows(tab: Any, service: Any) -> None:
    for site, value in (("A", 2.0), ("B", 9.0), ("C", 5.0)):
        await service.publish("tank/level", value, labels={"site": site})
    await tab.open("/d/tank?c=tank/level")
    page = tab.page
    items = page.locator('[data-tw="legend-item"]')
    await items.nth(2).wait_for()
    assert [text[:6] for text in await items.all_inner_texts()] == ["site A", "site B", "site C"]
    await page.locator('[data-tw="plot"]').hover()
    await page.keyboard.press("V")
    await tab.until("() => location.search.includes('leg=value')")

    async def first(site: str) -> None:
        await page.locator(f'[data-tw="legend"] > :first-child:has-text("site {site}")').wait_for()

    await first("B")
    assert [text[:6] for text in await items.all_inner_texts()] == ["site B", "site C", "site A"]
    await service.publish("tank/level", 20.0, labels={"site": "A"})
    await first("A")
    await page.reload()
    await first("A")
