"""Events below a plot, in Chromium: they bury no data, and pointer, keyboard and screen reader find their words."""

from __future__ import annotations

import time
from typing import Any

import pytest

pytestmark = pytest.mark.browser
CHARTS = "(window.__tidewire?.state().charts ?? [])"


async def plant(service: Any, seconds: int = 280) -> float:
    """Publish two sites of one metric for some minutes; return the end, Unix ms."""
    now_ms = time.time() * 1e3
    times = [now_ms - (seconds - n) * 1e3 for n in range(1, seconds + 1)]
    for site in "AB":
        values = [float(n % 40) for n in range(seconds)]
        await service.publish("furnace/temperature", *values, time=times, unit="Cel", labels={"site": site})
    return now_ms


async def note(service: Any, *times_ms: float, text: str = "valve opened", **labels: str) -> None:
    texts = [f"{text} {n}" for n in range(len(times_ms))]
    for at in range(0, len(times_ms), 500):
        part = list(times_ms[at : at + 500])
        await service.publish("annotations", *[None] * len(part), time=part, text=texts[at : at + 500], labels=labels)


async def told(tab: Any, count: int, chart: int = 0) -> None:
    """Wait until a chart has so many events, and has drawn its readings."""
    await tab.until(
        f"([n, i]) => {CHARTS}[i]?.events.length === n && {CHARTS}[i].series[0]?.buckets > 50", [count, chart]
    )


async def test_events_are_marks_below_the_plot_with_their_words_on_hover_and_by_keys(tab: Any, service: Any) -> None:
    now_ms = await plant(service)
    await tab.open("/d/furnace")
    await told(tab, 0)
    assert await tab.page.locator('[data-tw="events"]:visible').count() == 0
    plain = await tab.page.evaluate(f"() => {CHARTS}[0].plot")
    await note(service, now_ms - 200_000, *(now_ms - 100_000 + n for n in range(12)))
    await told(tab, 13)
    plot = await tab.page.evaluate(f"() => {CHARTS}[0].plot")
    assert (plot["top"], plot["width"], plot["height"]) == (plain["top"], plain["width"], plain["height"] - 18)

    strip, card = tab.page.locator('[data-tw="events"]'), tab.page.locator('[data-tw="event-card"]')
    box = await strip.bounding_box()

    async def place(at_ms: float) -> tuple[float, float]:
        """Return where the mark of a time is by now: a window moves on while a busy machine takes its time."""
        start_ms, end_ms = await tab.page.evaluate(f"() => {CHARTS}[0].shown")
        return box["x"] + box["width"] * (at_ms - start_ms) / (end_ms - start_ms), box["y"] + 8

    await tab.page.mouse.move(*await place(now_ms - 200_000), steps=4)
    await card.wait_for()
    assert "valve opened 0" in await card.inner_text()
    await tab.page.mouse.move(*await place(now_ms - 100_000), steps=4)
    await card.get_by_text("12 events").wait_for()
    assert (await card.inner_text()).count("valve opened") == 3
    assert "and 9 more" in await card.inner_text()
    await tab.page.mouse.click(*await place(now_ms - 100_000))
    await card.get_by_text("valve opened 12").wait_for()
    await tab.page.mouse.move(5, 5)
    await card.wait_for(state="hidden")

    await tab.page.locator('[data-tw="plot"]').focus()
    await tab.page.keyboard.press("Tab")
    await card.get_by_text("12 events").wait_for()
    assert str(await strip.get_attribute("aria-valuetext")).startswith("12 events, ")
    await tab.page.keyboard.press("ArrowLeft")
    await card.get_by_text("valve opened 0").wait_for()
    assert "valve opened 0" in str(await strip.get_attribute("aria-valuetext"))
    await tab.page.keyboard.press("End")
    await tab.page.keyboard.press("Enter")
    await card.get_by_text("valve opened 12").wait_for()
    await tab.page.keyboard.press("Escape")
    await card.wait_for(state="hidden")
    await tab.until(
        """() => [...document.querySelectorAll("*")].some((one) => one.shadowRoot?.querySelector('[data-tw="plot"]')
            ?.getAttribute("aria-label").includes("13 events, the newest at"))"""
    )
    assert tab.errors == []


async def test_a_switch_hides_events_and_is_in_the_address_and_in_a_saved_deck(tab: Any, service: Any) -> None:
    now_ms = await plant(service)
    await note(service, now_ms - 200_000)
    await tab.open("/d/furnace?c=furnace/temperature")
    await told(tab, 1)
    switch = tab.page.locator('[data-tw="events-switch"]')
    assert await switch.get_attribute("aria-pressed") == "true"
    await tab.page.keyboard.press("n")
    await told(tab, 0)
    assert "ev=0" in tab.page.url
    assert await switch.get_attribute("aria-label") == "1 event, hidden (n)"
    await tab.page.locator('[data-tw="plot"]').hover()
    await tab.page.keyboard.press("S")
    await tab.page.locator('[data-tw="save-name"]').fill("Quiet")
    await tab.page.locator('[data-tw="save"]').click()
    await tab.until("() => location.pathname.endsWith('/quiet')")
    await tab.open("/d/quiet")
    await switch.and_(tab.page.locator('[aria-pressed="false"]')).wait_for()
    await switch.click()
    await told(tab, 1)
    assert "ev=all" in tab.page.url
    await tab.page.reload()
    await told(tab, 1)
    await tab.open("/d/furnace?c=furnace/temperature&ev=furnace/**")
    await tab.until(f"() => {CHARTS}[0]?.series[0]?.buckets > 50")
    assert await tab.page.evaluate(f"() => {CHARTS}[0].events.length") == 0


async def test_an_event_with_labels_lies_on_charts_of_those_labels(tab: Any, service: Any) -> None:
    now_ms = await plant(service)
    await service.http.put(
        "/v1/thresholds", json={"thresholds": [{"metric": "furnace/*", "labels": {"site": "B"}, "warn_above": 38.5}]}
    )
    await note(service, now_ms - 200_000, text="recipe", site="A")
    await tab.open("/d/furnace?c=furnace/temperature(site=A)&c=furnace/temperature(site=B)")
    await told(tab, 1, 0)
    # Those that are over, and the one that goes on since the last reading.
    for words in ("39 °C, above 38.5", ": warn, not over"):
        await tab.until(f"(words) => {CHARTS}[1]?.events.some((one) => one.text.includes(words))", words)
    first, second = await tab.page.evaluate(f"() => {CHARTS}.map((one) => one.events)")
    assert [event["text"] for event in first] == ["recipe 0"]
    assert {event["level"] for event in second} == {"warn"}


async def test_twenty_thousand_events_are_some_counts_below_the_plot(tab: Any, service: Any) -> None:
    now_ms = await plant(service)
    await note(service, *(now_ms - 280_000 + n * 14 for n in range(20_000)))
    for width in (320, 390, 768, 1440, 1920):
        await tab.page.set_viewport_size({"width": width, "height": 900})
        await tab.open("/d/furnace?w=6m")  # of which none leaves while the test runs
        await told(tab, 20_000)
        strip = tab.page.locator('[data-tw="events"]')
        assert 1 <= int(str(await strip.get_attribute("aria-valuemax"))) <= width / 36 + 2
        box, page = await strip.bounding_box(), await tab.page.evaluate("() => document.documentElement.scrollWidth")
        assert page <= width
        await tab.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 8, steps=3)
        card = await tab.page.locator('[data-tw="event-card"]').bounding_box()
        assert card["x"] >= 0
        assert card["x"] + card["width"] <= width
        assert tab.errors == []


async def test_an_event_is_added_by_hand_where_the_pointer_is(tab: Any, service: Any) -> None:
    """By the key at the crosshair, and by a right click; below all charts, or those of the labels of a chart."""
    await plant(service)
    await tab.open("/d/furnace?c=furnace/temperature(site=A)&c=furnace/temperature(site=B)")
    await told(tab, 0)
    await told(tab, 0, chart=1)
    plot, text = tab.page.locator('[data-tw="plot"]').first, tab.page.locator('[data-tw="event-text"]')
    box = await plot.bounding_box()
    await tab.page.mouse.move(box["x"] + 200, box["y"] + 60, steps=3)
    before_ms = time.time() * 1e3
    await tab.page.keyboard.press("a")
    await text.fill("valve opened")
    await tab.page.keyboard.press("Enter")
    await told(tab, 1)
    await told(tab, 1, chart=1)
    [event] = await tab.page.evaluate(f"() => {CHARTS}[0].events")
    window = await tab.page.evaluate(f"() => {CHARTS}[0].shown")
    assert window[0] < event["timeMs"] < before_ms - 60_000, "at the crosshair, and not now"
    assert event["text"] == "valve opened"

    await plot.click(button="right", position={"x": 300, "y": 60})
    await text.fill("burner off")
    where = tab.page.locator('[data-tw="event-where"]')
    await where.focus()
    await tab.page.keyboard.press("t")  # a letter in a list chooses; it is no key of the page
    assert "theme" not in tab.page.url
    await where.select_option("own")
    await where.evaluate("(one) => { one.form.requestSubmit(); one.form.requestSubmit(); }")
    await told(tab, 2)
    assert [one["text"] for one in await tab.page.evaluate(f"() => {CHARTS}[1].events")] == ["valve opened"]
    assert tab.errors == []
