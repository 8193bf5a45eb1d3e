"""What opening a page costs, how soon it draws, and how soon after a start: `python benchmarks/opening.py [--full]`.

A million readings lie in the window of 15 minutes: 20 charts of 4 series, 14 readings/s each. Server time of a page is
the dashboard's own CPU for its HTML and its document. Headless Chromium, nothing in its cache, has no GPU here.

Then a dashboard is started while 1,000 and 10,000 series live, 1,000 readings/s in all, with a past of 15 minutes.
`--before ../other-checkout` starts that of another checkout too.
"""

from __future__ import annotations

import asyncio
import shutil
import statistics
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, async_playwright
from rig.deck import CHARTS, RATE, SERIES_EACH, House, Viewer, house
from rig.processes import Usage
from rig.results import Aim, Section, arguments
from rig.returning import Returned, returned

WINDOW_S, PAST_RATE = 900, 14
ARRIVING, WITHIN_S = 20, 3.0
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
DECK = "/d/plant?w=15m&" + "&".join(f"c=plant/{n:02d}:3x4" for n in range(CHARTS))
WATCH = """() => {
    const seen = window.__seen = {};
    const look = () => {
        const charts = window.__tidewire?.state().charts ?? [];
        if (window.__tidewire) seen.up ??= performance.now();
        if (charts.some((one) => one.series[0]?.buckets > 50)) seen.first ??= performance.now();
        if (charts.filter((one) => one.series[0]?.buckets > 85).length === COUNT) seen.full ??= performance.now();
        if (!seen.full) requestAnimationFrame(look);
    };
    look();
}""".replace("COUNT", str(CHARTS))


async def server_ms(at: House, pages: int) -> float:
    """Return the dashboard's CPU for one page, over so many, less what it spends anyway."""
    warm = Viewer(at.url)
    await warm.page()
    idle = Usage(at.dashboard.pid)
    await asyncio.sleep(4)
    share = idle.cores
    opened = [Viewer(at.url) for _ in range(pages)]
    usage = Usage(at.dashboard.pid)
    started = asyncio.get_running_loop().time()
    for page in opened:
        await page.page()
    took = asyncio.get_running_loop().time() - started
    used = usage.cpu_s - share * took
    for page in (warm, *opened):
        page.close()
    return used / pages * 1e3


async def arrive(at: House) -> float:
    """Open 20 pages within three seconds; return after how many seconds the slowest had its first frame."""
    pages = [Viewer(at.url, window_ms=WINDOW_S * 1_000) for _ in range(ARRIVING)]
    tasks = []
    for page in pages:
        tasks.append(asyncio.create_task(page.run()))
        await asyncio.sleep(WITHIN_S / ARRIVING)
    async with asyncio.timeout(60):
        while not all(page.arrivals for page in pages):
            await asyncio.sleep(0.02)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return max(page.opened_s for page in pages)


async def cold(at: House, browser: Browser) -> dict[str, float]:
    """Return when a page with nothing in its cache was up, drew something, and had all charts full, ms."""
    context = await browser.new_context(viewport={"width": 1680, "height": 1200})
    page = await context.new_page()
    await page.add_init_script(f"({WATCH})()")
    await page.goto(at.url + DECK, wait_until="commit")
    await page.wait_for_function("() => window.__seen?.full", timeout=60_000)
    seen: dict[str, float] = await page.evaluate("() => window.__seen")
    await context.close()
    return seen


async def measure(at: House, rounds: int) -> dict[str, Any]:
    found: dict[str, Any] = {"server_ms": [await server_ms(at, 20) for _ in range(3)]}
    found["arriving_s"] = [await arrive(at) for _ in range(3)]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        await cold(at, browser)  # the browser's own start
        found["cold"] = [await cold(at, browser) for _ in range(rounds)]
        await browser.close()
    return found


def pages(section: Section, rounds: int) -> None:
    """Measure pages of a dashboard that has run for a while."""
    with house(RATE, past_s=WINDOW_S, past_rate=PAST_RATE) as at:
        found = asyncio.run(measure(at, rounds))
    section.raw("found", found)
    server, arriving = statistics.median(found["server_ms"]), statistics.median(found["arriving_s"])
    up, first, full = (statistics.median(one[name] for one in found["cold"]) for name in ("up", "first", "full"))
    readings = WINDOW_S * PAST_RATE * CHARTS * SERIES_EACH
    section.text(f"{readings:,} readings in the window of 15 minutes.")
    section.table(
        ["from the address typed, cold", "ms (median)"],
        [("the page is up", up), ("first chart with readings", first), ("all 20 charts full", full)],
    )
    section.aims([
        Aim("server time of a page", "≤ 120 ms", f"{server:.0f} ms", server <= 120),
        Aim("20 arriving within 3 s, the slowest draws after", "≤ 5 s", f"{arriving:.2f} s", arriving <= 5),
        Aim("cold, to charts full of 15 minutes", "≤ 1.5 s", f"{full / 1e3:.2f} s", full <= 1_500),
        Aim("the data after the page is up", "≤ 500 ms", f"{full - up:.0f} ms", full - up <= 500),
        Aim("a million raw readings, first paint", "≤ 500 ms", f"{first - up:.0f} ms", first - up <= 500),
    ])  # fmt: skip


RETURNING, RETURNING_RATE = (1_000, 10_000), 1_000.0


def middle(starts: list[Returned]) -> Returned:
    """Return the median of each figure."""
    return Returned(*(statistics.median(figures) for figures in zip(*starts, strict=True)))


def returning(section: Section, starts: int, before: str) -> None:
    """Measure starts of a dashboard among living series, in turns with one of another checkout."""
    other = str(Path(before) / ".venv/bin/tidewire") if before else ""
    each = {count: returned(count, RETURNING_RATE, starts, other=other) for count in RETURNING}
    found, others = ({count: both[which] for count, both in each.items()} for which in (0, 1))
    rows = [("this one", count, *middle(own)) for count, own in found.items()]
    if before:
        rows += [("before", count, *middle(own)) for count, own in others.items()]
        section.raw("before", others)
    section.raw("found", found)
    section.text("From the start of the process on, 1,000 readings/s in all, 15 minutes of them in the log:")
    section.table(["dashboard", "series", "listens, s", "right values, s", "a deck full and live, s", "CPU, s"], rows)
    many = middle(found[RETURNING[-1]])
    section.aims([
        Aim("10,000 series: right values after", "≤ 2 s", f"{many.values:.2f} s", many.values <= 2),
        Aim("10,000 series: an open deck full and live after", "≤ 3 s", f"{many.deck:.2f} s", many.deck <= 3),
        Aim("10,000 series: CPU until then", "≤ 2 s", f"{many.cpu:.2f} s", many.cpu <= 2),
    ])  # fmt: skip
    section.write()


def main() -> None:
    given = arguments(
        str(__doc__).splitlines()[0],
        before=("", "another checkout, whose dashboard is started too"),
        only=("", "`opening` or `returning`; both if empty"),
    )
    if given.only != "returning":
        section = Section("opening", "Opening a page", given)
        pages(section, 9 if given.full else 3)
        section.write()
    if given.only != "opening":
        section = Section("returning", "A dashboard that starts among living series", given, script="opening.py")
        returning(section, 5 if given.full else 2, given.before)


if __name__ == "__main__":
    main()
