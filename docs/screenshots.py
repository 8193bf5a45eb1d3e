"""Take the README's screenshots: overview and deck, dark and light, of this machine's own metrics.

    .venv/bin/python docs/screenshots.py [--minutes 5.5] [--out docs/screenshots]

It runs `tidewire up` on free ports with a data directory of its own, waits until the 5-minute window is full, takes the
pictures with Chromium and ends everything.
"""

from __future__ import annotations

import argparse
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tidewire_service.embedded import free_port

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
DECK = "/d/host?c=host/cpu:8&c=host/memory&c=host/net&c=host/disk&c=host/load"
PAGES = {"overview": ("/", 400), "deck": (DECK, 640)}  # path, and a height in pixels that this machine fills


def started(directory: str, port: int, dashboard_port: int) -> subprocess.Popen[str]:
    """Start everything and wait until it is ready."""
    ports = {"--port": port, "--dashboard-port": dashboard_port, "--redis-port": free_port(), "--data-dir": directory}
    options = [str(part) for pair in ports.items() for part in pair]
    up = subprocess.Popen([sys.executable, "-m", "tidewire", "up", *options], stdout=subprocess.PIPE, text=True)
    assert up.stdout is not None
    for line in up.stdout:
        if "Ready after" in line:
            return up
    raise SystemExit("tidewire up ended before it was ready")


def take(page: Page, url: str, path: Path) -> None:
    """Take one picture of a live page."""
    page.goto(url)
    page.get_by_text(re.compile(r"^LIVE\b")).first.wait_for()
    time.sleep(3)  # for the eye: fonts are in, the first frames have settled
    page.screenshot(path=path)
    print(path)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.5, help="of readings before the pictures are taken")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "screenshots")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    dashboard_port = free_port()
    with tempfile.TemporaryDirectory() as directory:
        up = started(directory, free_port(), dashboard_port)
        try:
            time.sleep(given.minutes * 60)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
                for theme in ("dark", "light"):
                    for name, (path, height) in PAGES.items():
                        page = browser.new_page(viewport={"width": 1440, "height": height}, color_scheme=theme)
                        mark = "&" if "?" in path else "?"
                        url = f"http://127.0.0.1:{dashboard_port}{path}{mark}theme={theme}"
                        take(page, url, given.out / f"{name}-{theme}.png")
                browser.close()
        finally:
            up.send_signal(signal.SIGINT)
            up.wait(20)


if __name__ == "__main__":
    main()
