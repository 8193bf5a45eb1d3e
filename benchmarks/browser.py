"""What a deck costs the browser, beside Bokeh figures: `python benchmarks/browser.py [--full]`.

One deck of 20 charts of 4 series at 10 readings/s, all visible, at 5 frames/s in headless Chromium, which has no GPU:
the canvas is rasterised on the CPU. Script and main-thread time per second, frames drawn, and the heap after a forced
collection, over time. Beside it the same charts as 20 Bokeh figures with `ColumnDataSource.stream`.
"""

from __future__ import annotations

import contextlib
import shutil
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from playwright.sync_api import Browser, Page, sync_playwright
from rig.deck import CHARTS, RATE, house
from rig.processes import SERVER, Child, free_port
from rig.results import Aim, Section, arguments

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
DECK = "/d/plant?w=5m&" + "&".join(f"c=plant/{n:02d}:3x4" for n in range(CHARTS))
FULL = "(count) => window.__tidewire?.state().charts.filter((one) => one.series[0]?.buckets > 50).length === count"


class Found(NamedTuple):
    """Medians over the parts of a run.

    Attributes:
        script, main: ms per second; `main` has script, layout, paint and rasterising.
        draws: per second; NaN where nobody counts.
        heaps: MB after a collection, one more than parts.
    """

    script: float
    main: float
    draws: float
    heaps: list[float]


class Meter:
    """Reads the browser's own counters of one page."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._cdp = page.context.new_cdp_session(page)
        self._cdp.send("Performance.enable")

    def read(self) -> dict[str, float]:
        found = {one["name"]: one["value"] for one in self._cdp.send("Performance.getMetrics")["metrics"]}
        counters: dict[str, Any] = self._page.evaluate("() => window.__tidewire?.state().counters ?? {}")
        return found | {"at": time.monotonic(), "draws": counters.get("draws", float("nan"))}

    def heap_mb(self) -> float:
        self._cdp.send("HeapProfiler.collectGarbage")
        return self.read()["JSHeapUsedSize"] / 1e6


def measure(page: Page, minutes: float, every_s: float = 15.0) -> Found:
    meter = Meter(page)
    time.sleep(5)
    heaps, parts = [meter.heap_mb()], []
    for _ in range(max(1, round(minutes * 60 / every_s))):
        before = meter.read()
        time.sleep(every_s)
        after = meter.read()
        heaps.append(meter.heap_mb())
        took = after["at"] - before["at"]
        parts.append({name: (after[name] - before[name]) / took for name in before})
        print(f"script {parts[-1]['ScriptDuration'] * 1e3:.0f} ms/s, heap {heaps[-1]:.1f} MB", flush=True)
    script, main, draws = (
        statistics.median(part[name] for part in parts) for name in ("ScriptDuration", "TaskDuration", "draws")
    )
    return Found(script * 1e3, main * 1e3, draws, heaps)


@contextlib.contextmanager
def opened(browser: Browser, url: str) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1680, "height": 1200})
    page.goto(url)
    yield page
    page.close()


def main() -> None:
    given = arguments(str(__doc__).splitlines()[0])
    minutes = 10.0 if given.full else 1.0
    section = Section("browser", "The browser", given)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        with house(RATE, past_s=300.0) as at, opened(browser, at.url + DECK) as page:
            page.wait_for_function(FULL, arg=CHARTS)
            ours = measure(page, minutes)
        port = free_port()
        script = Path(__file__).with_name("peers") / "bokeh_figures.py"
        with Child([sys.executable, str(script), str(port)], SERVER, name="bokeh") as child:
            child.listening(port, 60)
            with opened(browser, f"http://127.0.0.1:{port}/plant") as page:
                page.wait_for_selector("canvas")
                peer = measure(page, min(minutes, 1.0))
        browser.close()
    rows = []
    for name, found in (("the deck", ours), ("20 Bokeh figures, `ColumnDataSource.stream`", peer)):
        heap = f"{found.heaps[0]:.1f} → {found.heaps[-1]:.1f}, highest {max(found.heaps):.1f}"
        rows.append((name, found.script, found.main, found.draws, heap))
    section.raw("found", {"deck": ours._asdict(), "bokeh": peer._asdict()})
    head = [
        "20 charts of 4 series at 10 readings/s",
        "script ms/s",
        "main thread ms/s",
        "draws/s",
        "heap MB after collection",
    ]
    section.table(head, rows)
    grown = ours.heaps[-1] - ours.heaps[0]
    section.aims([
        Aim("script of the deck", "≤ 60 ms/s", f"{ours.script:.0f} ms/s", ours.script <= 60),
        Aim(f"heap over {minutes:g} min", "flat: ≤ 1 MB more", f"{grown:+.1f} MB", grown <= 1),
    ])  # fmt: skip
    section.write()


if __name__ == "__main__":
    main()
