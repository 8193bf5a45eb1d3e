"""What a deck costs the browser: `python benchmarks/browser.py --minutes 10`.

Starts `tidewire up` on free ports, publishes 80 series at 10 readings/s each, and opens one deck of 20 charts of 4
series, all visible, at 5 frames/s in headless Chromium (which has no GPU: the canvas is rasterised on the CPU). Prints
script and main-thread time per second, frames drawn per second, and the heap after a forced collection, over time.
Aims: script at most 60 ms/s (20 Bokeh figures with `ColumnDataSource.stream`: 368), heap flat over 10 minutes.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any

from playwright.sync_api import CDPSession, Page, sync_playwright

import tidewire

CHARTS, SERIES_EACH, RATE = 20, 4, 10
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
DECK = "/d/plant?w=5m&" + "&".join(f"c=plant/{n:02d}:3x4" for n in range(CHARTS))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def publish(redis: str, ended: threading.Event) -> None:
    """Publish all series, with five minutes of past, until told to end."""
    with tidewire.Publisher(redis) as publisher:
        now_s = time.time()
        past = [now_s - 300 + n / RATE for n in range(300 * RATE)]
        for n in range(CHARTS * SERIES_EACH):
            labels, times = {"line": str(n % SERIES_EACH)}, [at * 1e3 for at in past]
            publisher.publish(f"plant/{n // SERIES_EACH:02d}", [value(n, at) for at in past], time=times, labels=labels)
        while not ended.wait(max(0.0, 1 / RATE - (time.time() - now_s))):
            now_s = time.time()
            for n in range(CHARTS * SERIES_EACH):
                labels = {"line": str(n % SERIES_EACH)}
                publisher.publish(f"plant/{n // SERIES_EACH:02d}", value(n, now_s), labels=labels)


def value(n: int, at_s: float) -> float:
    return 100 + n + 5 * math.sin(at_s / (7 + n % 5)) + math.sin(at_s * (13 + n))


class Meter:
    """Reads the browser's own counters of one page."""

    def __init__(self, page: Page, cdp: CDPSession) -> None:
        self.page, self.cdp = page, cdp
        cdp.send("Performance.enable")

    def read(self) -> dict[str, float]:
        found = {one["name"]: one["value"] for one in self.cdp.send("Performance.getMetrics")["metrics"]}
        counters: dict[str, Any] = self.page.evaluate("() => window.__tidewire.state().counters")
        return found | {"at": time.monotonic(), "frames": counters["frames"], "draws": counters["draws"]}

    def heap_mb(self) -> float:
        self.cdp.send("HeapProfiler.collectGarbage")
        return self.read()["JSHeapUsedSize"] / 1e6


def measure(page: Page, minutes: float, every_s: float) -> None:
    meter = Meter(page, page.context.new_cdp_session(page))
    time.sleep(5)
    heaps, scripts, mains = [meter.heap_mb()], [], []
    for _ in range(max(1, round(minutes * 60 / every_s))):
        before = meter.read()
        time.sleep(every_s)
        after = meter.read()
        took = after["at"] - before["at"]
        per_s = {name: (after[name] - before[name]) / took for name in before}
        heaps.append(meter.heap_mb())
        scripts.append(per_s["ScriptDuration"] * 1e3)
        mains.append(per_s["TaskDuration"] * 1e3)
        print(
            f"script {scripts[-1]:5.0f} ms/s, main thread {mains[-1]:5.0f} ms/s, {per_s['draws']:.1f} draws/s, "
            f"{per_s['frames']:.1f} frames/s, heap {heaps[-1]:.1f} MB, {after['Nodes']:.0f} nodes",
            flush=True,
        )
    machine = f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    print(f"{machine}; {CHARTS} charts x {SERIES_EACH} series x {RATE} readings/s, {minutes:g} min")
    print(f"script: median {statistics.median(scripts):.0f} ms/s; main thread: {statistics.median(mains):.0f} ms/s")
    print(f"heap after collection: first {heaps[0]:.1f} MB, last {heaps[-1]:.1f} MB, highest {max(heaps):.1f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--every", type=float, default=15.0, help="seconds between two lines")
    given = parser.parse_args()
    port, dashboard_port, redis_port = free_port(), free_port(), free_port()
    ended = threading.Event()
    with tempfile.TemporaryDirectory() as directory:
        ports = {
            "--port": port,
            "--dashboard-port": dashboard_port,
            "--redis-port": redis_port,
            "--data-dir": directory,
        }
        options = [str(part) for pair in ports.items() for part in pair]
        command = [sys.executable, "-m", "tidewire", "up", "--no-host", *options]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as up:
            assert up.stdout is not None
            next(line for line in up.stdout if "Ready after" in line)
            publishing = threading.Thread(target=publish, args=(f"redis://127.0.0.1:{redis_port}", ended))
            publishing.start()
            try:
                with sync_playwright() as playwright:
                    browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
                    page = browser.new_page(viewport={"width": 1680, "height": 1200})
                    page.goto(f"http://127.0.0.1:{dashboard_port}{DECK}")
                    full = "() => window.__tidewire?.state().charts.filter((one) => one.series[0]?.buckets > 50).length"
                    page.wait_for_function(f"(count) => ({full})() === count", arg=CHARTS)
                    measure(page, given.minutes, given.every)
                    browser.close()
            finally:
                ended.set()
                publishing.join()
                up.send_signal(signal.SIGINT)


if __name__ == "__main__":
    main()
