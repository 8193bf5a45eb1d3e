"""How old what a page shows is, in Chromium: late, of the future, out of the window, finished."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from waiting import Eventually

pytestmark = pytest.mark.browser
DECK = "/d/fresh?w=5m&c=late&c=far&c=ahead&c=run"
# By its title: the words beside it, and what its plot says in place of readings.
TOLD = """() => {
    const deep = (root = document) => [...root.querySelectorAll("*")]
        .flatMap((one) => [one, ...(one.shadowRoot ? deep(one.shadowRoot) : [])]);
    const charts = window.__tidewire?.state().charts ?? [];
    return Object.fromEntries(deep().filter((one) => one.dataset?.tw === "chart").map((card) => {
        const words = deep(card).find((one) => /^chart-(fresh|stale)$/.test(one.dataset.tw) && one.checkVisibility());
        const title = card.dataset.metric;
        return [title, [words?.innerText ?? "", charts.find((one) => one.title === title)?.empty ?? ""]];
    }));
}"""


async def plant(service: Any) -> None:
    """Publish four series that come once a minute, so that they are live for three."""
    now_ms = time.time() * 1e3

    async def publish(metric: str, age_ms: float, **more: Any) -> None:
        times = [now_ms - age_ms - 60_000.0 * n for n in (3, 2, 1, 0)]
        await service.publish(metric, 1.0, 2.0, 3.0, 4.0, time=times, **more)

    await publish("late", 45_500)
    await publish("far", 20.5 * 60e3)
    await publish("ahead", -30_500)
    await publish("run", 500, text=[None, None, None, "finished"])


async def test_charts_say_how_old_their_readings_are_and_how_late_they_came(
    tab: Any, service: Any, eventually: Eventually
) -> None:
    await plant(service)
    await tab.open(DECK)

    expected = {
        "late": (r"LIVE .* · 45 s late", ""),
        "ahead": (r"LIVE .*30 s ahead", ""),
        "far": ("newest 20 min ago · 20 min late", "no reading in the last 5 min"),
        "run": (r"FINISHED .* ago", ""),
    }

    async def told() -> bool:
        found = await tab.page.evaluate(TOLD)
        return found.keys() == expected.keys() and all(
            re.fullmatch(words, found[title][0]) and found[title][1] == plot
            for title, (words, plot) in expected.items()
        )

    await eventually(told)
    await tab.page.locator("body").press("l")
    rows = tab.page.locator('[data-tw="latest-table"] tbody tr')
    await eventually(rows.count)
    cells = [(await row.inner_text()).split("\t") for row in await rows.all()]
    ages = {name.strip(): age.strip() for name, *_, age, _, _ in cells}
    assert ages["late"].endswith("45 s late")


async def test_a_dashboard_that_starts_later_knows_what_has_finished(tab: Any, service: Any) -> None:
    await service.publish("run", 1.0, 2.0, 3.0, text=[None, None, "finished"])
    await tab.open("/?filter=finished")
    await tab.until("() => window.__tidewire?.state().badge.word === 'FINISHED'")
    finished = tab.page.locator('[data-tw="filters"] [data-value="finished"]')
    assert (await finished.inner_text()).split() == ["Finished", "1"]
    assert await tab.page.locator('[data-tw="tile"]').count() == 1
    await service.publish("run", 4.0)
    await tab.until("() => ['LIVE', 'STALE'].includes(window.__tidewire.state().badge.word)")
    assert await finished.get_attribute("aria-pressed") == "true"
