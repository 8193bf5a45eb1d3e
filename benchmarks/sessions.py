"""Pages opened and closed for two hours: `python benchmarks/sessions.py [--full] [--seconds 3600]`.

500 pages in all, each open for 40 s, every other one gone without a closing handshake. What the dashboard holds is
asked every half minute, 24 times at least; a slope would be a leak. Without `--full` 100 pages in four minutes.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from rig.contenders import tidewire as service_command
from rig.deck import Viewer, publishing
from rig.processes import REDIS, SERVER, Child, Redis, free_port
from rig.results import Aim, Section, arguments

OPEN_S, EVERY_S = 40.0, 30.0


async def soak(dashboard: Child, pages: int, seconds: float) -> list[dict[str, Any]]:
    """Return what the dashboard held, each half minute, of a short run each 24th part."""
    every_s = min(EVERY_S, seconds / 24)

    async def ask() -> dict[str, Any]:
        assert dashboard.process.stdin is not None
        assert dashboard.process.stdout is not None
        dashboard.process.stdin.write("\n")
        dashboard.process.stdin.flush()
        answer: dict[str, Any] = json.loads(await asyncio.to_thread(dashboard.process.stdout.readline))
        return answer

    async def one(number: int) -> None:
        page = Viewer(url)
        running = asyncio.create_task(page.run())
        await asyncio.sleep(OPEN_S)
        if not page.arrivals:
            raise RuntimeError("a page had no frame in 40 s")
        if number % 2:
            page.vanish()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    assert dashboard.process.stdout is not None
    url = json.loads(dashboard.process.stdout.readline())["url"]
    started, found, open_pages = time.monotonic(), [], set[asyncio.Task[None]]()

    async def watch() -> None:
        while True:
            await asyncio.sleep(every_s)
            found.append({"at_s": time.monotonic() - started, **await ask()})
            print(found[-1], flush=True)

    async with asyncio.timeout(seconds + OPEN_S + 60):
        watching = asyncio.create_task(watch())
        for number in range(pages):
            open_pages.add(asyncio.create_task(one(number)))
            await asyncio.sleep(max(0.0, started + (number + 1) * seconds / pages - time.monotonic()))
            for task in [task for task in open_pages if task.done()]:
                open_pages.discard(task)
                task.result()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await asyncio.gather(*open_pages)
    return found


def slope(found: list[dict[str, Any]], name: str) -> float:
    """Return the growth per hour of one number over the later three quarters, by least squares."""
    later = found[len(found) // 4 :]
    line = statistics.linear_regression([one["at_s"] / 3600 for one in later], [one[name] for one in later])
    return line.slope


def main() -> None:
    given = arguments(str(__doc__).splitlines()[0], seconds=(0.0, "another length; with --full at the same pace"))
    pages, seconds = (500, 7_200.0) if given.full else (100, 240.0)
    if given.seconds:
        pages, seconds = round(pages * given.seconds / seconds), given.seconds
    section = Section("sessions", "Pages opened and closed", given)
    with Redis() as redis:
        port = free_port()
        script = str(Path(__file__).with_name("rig") / "watched_dashboard.py")
        command = [sys.executable, script, f"http://127.0.0.1:{port}"]
        with Child(service_command(port, redis.port), REDIS, name="service") as service:
            service.listening(port)
            with publishing(redis.url), Child(command, SERVER, name="dashboard", pipes=True) as dashboard:
                found = asyncio.run(soak(dashboard, pages, seconds))
    section.raw("found", found)
    names = ("memory", "tasks", "threads", "descriptors")
    quarter = max(1, len(found) // 4)
    rows: list[tuple[Any, ...]] = []
    for name in names:
        scale = 1e6 if name == "memory" else 1
        parts = [found[at : at + quarter] for at in range(0, quarter * 4, quarter)]
        means = [statistics.fmean(one[name] for one in part) / scale for part in parts]
        rows.append((name + (", MB" if name == "memory" else ""), *means, slope(found, name) / scale))
    section.text(f"{pages} pages in {seconds / 60:.0f} minutes, each open for {OPEN_S:.0f} s.")
    section.table(["mean of each quarter", "1st", "2nd", "3rd", "4th", "slope per hour"], rows)
    grown = rows[0][4] - rows[0][2]  # the first quarter fills the store
    section.aims([
        Aim("memory from the second to the last quarter", "≤ 5 MB more", f"{grown:+.1f} MB", grown <= 5),
        *(Aim(f"{row[0]}, likewise", "≤ 1 more", f"{row[4] - row[2]:+.2f}", row[4] - row[2] <= 1) for row in rows[1:]),
    ])  # fmt: skip
    section.write()


if __name__ == "__main__":
    main()
