"""What a chart of 1,000 series costs: `python benchmarks/many_series.py [--full]`.

1,000 label sets of one metric, a reading a second each, a window of 5 minutes, in one chart: as lines, which sends all
of them, and as a band, a heat map and a top ten, which the dashboard computes. For each, the CPU time of the dashboard,
what goes to the page, and the time of the page's main thread in headless Chromium, which has no GPU. `none` is the same
page with a chart of one series: what every page of 1,000 series takes, whose list has a sparkline of each.
"""

from __future__ import annotations

import math
import shutil
import time
from typing import Any, NamedTuple

from browser import FLAGS
from playwright.sync_api import Browser, Page, sync_playwright
from rig.deck import House, house
from rig.processes import Usage
from rig.publishing import Publishing
from rig.results import Aim, Section, arguments

import tidewire

SERIES, PAST_S = 1_000, 300
VIEWS = {
    "none": "c=plant/00(line=0):12x12",
    "lines": "c=fleet/cpu:12x12;v=lines",
    "band": "c=fleet/cpu:12x12;v=band",
    "heat map": "c=fleet/cpu:12x12;v=heat",
    "top 10": "c=fleet/cpu:12x12;v=top",
}
FULL = "() => window.__tidewire?.state().charts[0]?.series.some((one) => one.buckets > 20)"


class Found(NamedTuple):
    """What a page took per second.

    Attributes:
        script, main: ms of the page's main thread.
        dashboard: ms of CPU of the dashboard.
        kb: of frames to the page.
        draws: how often it was drawn.
    """

    script: float
    main: float
    dashboard: float
    kb: float
    draws: float


class Fleet(Publishing):
    """Publishes the load of 1,000 nodes once a second, after five minutes of past."""

    def __init__(self, redis: str) -> None:
        super().__init__(redis, 1.0)

    def past(self, publisher: tidewire.Publisher) -> None:
        now_s = math.floor(time.time())
        self._publish(publisher, [now_s - PAST_S + n for n in range(PAST_S)])

    def live(self, publisher: tidewire.Publisher) -> None:
        self._publish(publisher, [time.time()])

    def _publish(self, publisher: tidewire.Publisher, times_s: list[float]) -> None:
        for node in range(SERIES):
            values = [40 + 20 * math.sin(node) + 8 * math.sin(at / 40 + node / 90) + node % 7 for at in times_s]
            labels = {"az": f"az{node % 4}", "node": f"{node:04}"}
            publisher.publish("fleet/cpu", values, time=[at * 1e3 for at in times_s], unit="%", labels=labels)


def read(page: Page, cdp: Any, usage: Usage) -> dict[str, float]:
    found = {one["name"]: one["value"] for one in cdp.send("Performance.getMetrics")["metrics"]}
    counters: dict[str, float] = page.evaluate("() => window.__tidewire.state().counters")
    return {
        "at": time.monotonic(), "script": found["ScriptDuration"] * 1e3, "main": found["TaskDuration"] * 1e3,
        "dashboard": usage.cpu_s * 1e3, "kb": counters["bytes"] / 1e3, "draws": counters["draws"],
    }  # fmt: skip


def measure(browser: Browser, at: House, charts: str, seconds: float) -> Found:
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.goto(f"{at.url}/d/fleet?w=5m&{charts}")
    page.wait_for_function(FULL, timeout=120_000)
    cdp = page.context.new_cdp_session(page)
    cdp.send("Performance.enable")
    time.sleep(8)
    usage = Usage(at.dashboard.pid)
    before = read(page, cdp, usage)
    time.sleep(seconds)
    after = read(page, cdp, usage)
    page.close()
    took = after["at"] - before["at"]
    return Found(*((after[name] - before[name]) / took for name in Found._fields))


def main() -> None:
    given = arguments(str(__doc__).splitlines()[0])
    seconds = 60.0 if given.full else 20.0
    section = Section("many_series", "A chart of 1,000 series", given)
    with house(1.0, past_s=60.0) as at, Fleet(at.redis), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        found = {name: measure(browser, at, charts, seconds) for name, charts in VIEWS.items()}
        browser.close()
    section.raw("found", {name: one._asdict() for name, one in found.items()})
    head = ["the chart", "page: script ms/s", "page: main thread ms/s", "dashboard ms/s", "to the page kB/s", "draws/s"]
    section.table(head, [(name, one.script, one.main, one.dashboard, one.kb, one.draws) for name, one in found.items()])
    section.aims([
        Aim(f"main thread of the page, {name}", "≤ 100 ms/s", f"{found[name].main:.0f} ms/s", found[name].main <= 100)
        for name in ("band", "heat map", "top 10")
    ])  # fmt: skip
    section.write()


if __name__ == "__main__":
    main()
