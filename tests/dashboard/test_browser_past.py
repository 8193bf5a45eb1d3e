"""A dashboard that starts anew while everything lives, in Chromium: it says loading, and never that all is silent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from history_gate import HistoryGate
from servers import Valkey
from waiting import HANG_S, Eventually

import tidewire
from tidewire_dashboard.app import running_dashboard
from tidewire_dashboard.settings import DashboardSettings

from .conftest import SharedPage, Tab

pytestmark = pytest.mark.browser
SERIES = 1_000
CHARTS = 8
EVERY_S = 5  # a series is stale after three times as long, which a crowded machine must not reach by itself
DECK = "/d/plant?w=5m&" + "&".join(f"c=plant/{n:03d}:3x4" for n in range(CHARTS))
# What a page said since it was opened: words that are false while all series live.
WATCH = """() => {
    const deep = (root = document) => [...root.querySelectorAll("*")]
        .flatMap((one) => [one, ...(one.shadowRoot ? deep(one.shadowRoot) : [])]);
    const said = window.__said = { badges: [], states: [], gaps: 0, tails: 0, silent: 0, loading: 0, words: [] };
    const add = (list, one) => { if (one && list.at(-1) !== one) list.push(one); };
    setInterval(() => {
        const state = window.__tidewire?.state();
        if (!state) return;
        add(said.badges, state.badge.word);
        for (const chart of state.charts) {
            add(said.states, chart.state);
            said.gaps += chart.gaps.length;
            said.tails += chart.tailMs ? 1 : 0;
            if (chart.loading) { said.loading++; add(said.words, chart.loading.words[0]); }
        }
        said.silent += deep().filter((one) => one.dataset?.tw === "chart-stale" && one.checkVisibility()).length;
    }, 50);
}"""
FULL = f"() => window.__tidewire?.state().charts.filter((one) => one.series[0]?.buckets > 50).length === {CHARTS}"


@pytest.fixture
async def living(valkey: Valkey, service: Any) -> AsyncIterator[None]:
    """A thousand series with a past of five minutes, each published every five seconds."""
    async with tidewire.AsyncPublisher(valkey.url) as publisher:
        began_s = time.time()
        for n in range(SERIES):
            count = 60 if n < CHARTS else 4
            times = [(began_s - (count - each) * EVERY_S) * 1e3 for each in range(count)]
            publisher.publish(f"plant/{n:03d}", [float(each % 7) for each in range(count)], time=times)
        await publisher.flush(HANG_S)

        async def publish() -> None:
            due_s = time.monotonic()
            while True:
                for n in range(SERIES):
                    publisher.publish(f"plant/{n:03d}", float(n % 7))
                    if n % 100 == 99:
                        await asyncio.sleep(0.02)
                due_s = max(due_s + EVERY_S, time.monotonic())
                await asyncio.sleep(due_s - time.monotonic())

        task = asyncio.create_task(publish())
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _opened(shared_page: SharedPage, url: str, path: str) -> Tab:
    tab = Tab(await shared_page.blank(), url)
    await tab.page.add_init_script(f"({WATCH})()")
    await tab.open(path)
    return tab


async def test_a_restart_among_a_thousand_living_series_never_says_that_they_are_silent(
    shared_page: SharedPage, service: Any, living: None, eventually: Eventually
) -> None:
    await asyncio.sleep(EVERY_S)  # they live
    async with running_dashboard(DashboardSettings(url=service.url, dashboard_port=0)) as dashboard:
        tab = await _opened(shared_page, dashboard.url, DECK)
        await tab.until(FULL)
        await tab.badge("LIVE")
        said = await tab.page.evaluate("() => window.__said")
        assert said["silent"] == said["gaps"] == said["tails"] == 0, said
        assert not {"STALE", "GAP", "RECOVERED"} & set(said["badges"]), said
        assert not {"stale", "nodata"} & set(said["states"]), said
        found = await tab.page.evaluate("() => window.__tidewire.state()")
        assert found["series"] == SERIES
        tab.forget()
        await shared_page.clear(dashboard.url)


async def test_a_slow_history_is_said_to_be_loading_and_then_fills(
    shared_page: SharedPage, service: Any, living: None, eventually: Eventually
) -> None:
    async with (
        HistoryGate(service.url) as gate,
        running_dashboard(DashboardSettings(url=gate.url, dashboard_port=0)) as dashboard,
    ):
        tab = await _opened(shared_page, dashboard.url, DECK)
        await tab.badge("CATCHINGUP")
        await tab.until("() => window.__said.words.some((one) => one.startsWith('loading the last 5 min'))")
        await tab.sees(f"Values are current · 0 of {CHARTS} charts are here")
        await tab.until("() => window.__said.words.some((one) => one.startsWith('still loading, 0 of 8;'))")
        said = await tab.page.evaluate("() => window.__said")
        assert said["silent"] == said["gaps"] == said["tails"] == 0, said
        gate.open.set()
        await tab.until(FULL)
        await tab.badge("LIVE")
        await tab.until("() => window.__tidewire.state().charts.every((one) => one.loading === null)")
        tab.forget()
        await shared_page.clear(dashboard.url)


async def test_a_refused_history_says_why_and_the_values_stay_live(
    shared_page: SharedPage, service: Any, living: None, eventually: Eventually
) -> None:
    async with (
        HistoryGate(service.url) as gate,
        running_dashboard(DashboardSettings(url=gate.url, dashboard_port=0)) as dashboard,
    ):
        gate.refusal = (403, "the history is not for you")
        tab = await _opened(shared_page, dashboard.url, DECK)
        await tab.until("() => window.__said.words.includes('the past cannot be read: the history is not for you')")
        await tab.badge("LIVE")
        before = await tab.page.evaluate("() => window.__tidewire.state().counters.frames")
        await tab.until(f"() => window.__tidewire.state().counters.frames > {before} + 5")
        said = await tab.page.evaluate("() => window.__said")
        assert said["silent"] == said["gaps"] == said["tails"] == 0, said
        tab.forget()
        await shared_page.clear(dashboard.url)
