"""What a page shows of series whose partition of the log does not answer, in Chromium."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from partitioned_service import PartitionedService
from waiting import Eventually

pytestmark = pytest.mark.browser
# By its title: the words beside it.
TOLD = """() => {
    const deep = (root = document) => [...root.querySelectorAll("*")]
        .flatMap((one) => [one, ...(one.shadowRoot ? deep(one.shadowRoot) : [])]);
    return Object.fromEntries(deep().filter((one) => one.dataset?.tw === "chart").map((card) => {
        const words = deep(card).find((one) => /^chart-(fresh|stale)$/.test(one.dataset.tw) && one.checkVisibility());
        return [card.dataset.metric, words?.innerText ?? ""];
    }));
}"""


@pytest.fixture
async def service() -> AsyncIterator[PartitionedService]:
    """Two partitions, with a metric in each that comes once a minute, and one in the first that comes all the time."""

    async def publish_often(service: PartitionedService) -> None:
        while True:
            service.publish("often", 1.0)
            await asyncio.sleep(0.2)

    async with PartitionedService({"often": 0, "here": 0, "there": 1}) as service:
        now_ms = time.time() * 1e3
        for metric in ("here", "there"):
            for minutes in (3, 2, 1, 0):
                service.publish(metric, float(minutes), time_ms=now_ms - 60_000.0 * minutes)
        often = asyncio.create_task(publish_often(service))
        yield service
        often.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await often


async def test_charts_of_a_partition_that_does_not_answer_are_stale_at_once_and_the_badge_says_why(
    tab: Any, service: PartitionedService, eventually: Eventually
) -> None:
    async def told(**words: str) -> bool:
        found = await tab.page.evaluate(TOLD)
        return found.keys() == words.keys() and all(re.match(word, found[title]) for title, word in words.items())

    await tab.open("/d/late?w=5m&c=often&c=here&c=there")
    await eventually(lambda: told(often="LIVE", here="LIVE", there="LIVE"))
    service.stall(1)
    await eventually(lambda: told(often="LIVE", here="LIVE", there="STALE"))
    await tab.badge("LIVE")
    await tab.page.locator('[data-tw="connection-badge"]').hover()
    why = tab.page.locator('[data-tw="why"]')
    await eventually(why.is_visible)
    said = await why.inner_text()
    assert re.search(r"Late since \d\d:\d\d:\d\d", said)
    assert "One partition of the log does not answer: 1 series is late, and will be filled in." in said
    service.answer(1)
    await eventually(lambda: told(often="LIVE", here="LIVE", there="LIVE"))
    await eventually(lambda: tab.page.evaluate("() => !window.__tidewire.state().badge.lost"))
    await eventually(why.is_hidden)
