"""Take screenshots of the dashboard: its pages and states, dark and light, on a desk, a wall and a phone.

    .venv/bin/python docs/screenshots.py [--out docs/screenshots] [--only deck-dark]

Runs a Valkey, the service, the dashboard and docs/plant.py on free ports, takes the pictures with Chromium and ends
all of them.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from tidewire_service.launch.embedded import EmbeddedServer, free_port

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
CHARTS = (
    "furnace/temperature:8 line-1/pressure host/cpu host/memory host/net line-1/flow line-2/vibration furnace/power"
)
DECK = "/d/Furnace%20shift?" + "&".join(f"c={chart}" for chart in CHARTS.split())
WALL = "/d/Furnace%20shift?kiosk=1&c=furnace/temperature:6&c=furnace/power:6&c=line-1/pressure&c=line-1/flow&c=host/cpu"
TROUBLE = "/d/trouble?c=furnace/temperature,host/memory&c=line-3/unborn&c=line-2/vibration&c=furnace/temperature@site:6"
MANY = "/d/fleet?c=fleet/cpu:6x11&c=fleet/cpu:6x11;v=heat&c=fleet/cpu:4x7;v=top&c=fleet/cpu@az:4x7"
ALERTS = [
    {"metric": "furnace/temperature", "warn_above": 935},
    {"metric": "line-1/flow", "critical_below": 131},
    {"metric": "train/loss", "warn_above": 0.2, "for_s": 2},
]
THRESHOLDS = [
    {"metric": "furnace/temperature", "warn_above": 935, "hysteresis": 8},
    {"metric": "line-1/flow", "critical_below": 121},
]
SCREEN, TABLET, PHONE = (1440, 900), (820, 1180), (390, 844)


def live(page: Page) -> None:
    """Wait until the page is live and its charts are drawn."""
    page.get_by_text(re.compile(r"^LIVE\b")).locator("visible=true").first.wait_for()


def zoomed(page: Page) -> None:
    """Zoom into a stretch of the first chart, and hover."""
    live(page)
    box = page.locator('[data-tw="plot"]').first.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.55, box["y"] + 90)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.68, box["y"] + 90, steps=4)
    page.mouse.up()
    time.sleep(2)
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 120)


def alone(page: Page) -> None:
    """Give the first chart the page to itself, and hover."""
    live(page)
    page.locator('[data-tw="chart"]').first.hover()
    page.keyboard.press("v")


def tapped(page: Page) -> None:
    """Tap a chart."""
    live(page)
    time.sleep(2)
    page.locator('[data-tw="plot"]').first.tap()


def alarmed(page: Page) -> None:
    """Wait until an alarm is drawn."""
    live(page)
    page.get_by_text("CRITICAL").locator("visible=true").first.wait_for()


def counted(page: Page) -> None:
    """Wait until the tab's title counts the alarms."""
    page.wait_for_function("() => document.title.startsWith('(')")


def drawn(page: Page) -> None:
    """Wait until the charts on the screen have values."""
    live(page)
    page.wait_for_function(
        """() => window.__tidewire?.state().charts.slice(0, 5)
            .every((one) => one.series.some(({ buckets }) => buckets > 20))"""
    )


def numbers(page: Page) -> None:
    """Wait until the drawer has its statistics."""
    live(page)
    page.wait_for_function(
        """() => window.__tidewire && [...document.querySelectorAll("*")].map((one) => one.shadowRoot)
            .some((root) => /\\d/.test(root?.querySelector('[data-tw="statistics"] td + td')?.textContent ?? ""))"""
    )


def adding(page: Page) -> None:
    """Open the form of a threshold."""
    numbers(page)
    page.locator('[data-tw="threshold-add"]').click()


def saving(page: Page) -> None:
    """Open the dialog that saves the deck."""
    live(page)
    page.keyboard.press("S")


def latest(page: Page) -> None:
    """Open the table of latest values."""
    live(page)
    page.keyboard.press("l")


def why(page: Page) -> None:
    """Wait until the connection is lost, and ask why."""
    page.get_by_text("RECONNECTING").first.wait_for()
    time.sleep(9)  # for the eye: the silence grows
    page.locator('[data-tw="connection-badge"]').hover()


@dataclass(frozen=True)
class Picture:
    """One picture: its name without the theme, its address, and what is done before it is taken."""

    name: str
    path: str
    size: tuple[int, int] = SCREEN
    prepare: Callable[[Page], None] = live
    themes: tuple[str, ...] = ("dark", "light")


PICTURES = [
    Picture("overview", "/"),
    Picture("deck", DECK),
    Picture("paused", DECK, prepare=zoomed, themes=("dark",)),
    Picture("drawer", f"{DECK}&drawer=1", prepare=numbers),
    Picture("alone", DECK, prepare=alone, themes=("dark",)),
    Picture("trouble", TROUBLE, themes=("light",)),
    Picture("threshold", f"{DECK}&drawer=1", prepare=adding, themes=("dark",)),
    Picture("saving", DECK, prepare=saving, themes=("dark",)),
    Picture("latest", "/", prepare=latest, themes=("dark",)),
    Picture("wall", WALL, themes=("dark",)),
    Picture("phone-drawer", f"{DECK}&drawer=1", PHONE, prepare=numbers, themes=("dark",)),
    Picture("phone-overview", "/", PHONE, themes=("dark",)),
    Picture("phone-deck", DECK, PHONE, themes=("dark",)),
    Picture("phone-tap", DECK, PHONE, prepare=tapped, themes=("light",)),
    Picture("tablet-deck", DECK, TABLET, themes=("dark",)),
]


class Stage:
    """The processes behind the pictures, and where they listen."""

    def __init__(self, directory: Path, stack: contextlib.ExitStack) -> None:
        self.stack = stack
        self.valkey = EmbeddedServer(directory, free_port())
        self.valkey.start()
        stack.callback(self.valkey.stop)
        self.service_port, self.dashboard_port = free_port(), free_port()
        self.service = f"http://127.0.0.1:{self.service_port}"
        self.dashboard = f"http://127.0.0.1:{self.dashboard_port}"

    def run(self, *command: str) -> subprocess.Popen[bytes]:
        """Start a program of this checkout; it is ended with the stage."""
        environment = os.environ | {"TIDEWIRE_REDIS": self.valkey.url, "TIDEWIRE_URL": self.service}
        process = subprocess.Popen([sys.executable, *command], env=environment, stdout=subprocess.DEVNULL)
        self.stack.callback(self.end, process)
        return process

    def serve(self, *options: str) -> subprocess.Popen[bytes]:
        """Start the service and wait until it is ready."""
        process = self.run("-m", "tidewire", "serve", "--port", str(self.service_port), *options)
        answers(f"{self.service}/health/ready")
        return process

    def limits(self, thresholds: list[dict[str, object]]) -> None:
        """Put thresholds in force."""
        url = f"{self.service}/v1/thresholds"
        httpx.put(url, json={"thresholds": thresholds}, trust_env=False).raise_for_status()

    @staticmethod
    def end(process: subprocess.Popen[bytes]) -> None:
        """End a program."""
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def answers(url: str, limit_s: float = 30.0) -> None:
    """Wait until an address answers with 200.

    Raises:
        TimeoutError: it did not.
    """
    ends = time.monotonic() + limit_s
    while time.monotonic() < ends:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(url, trust_env=False).status_code == httpx.codes.OK:
                return
        time.sleep(0.1)
    raise TimeoutError(url)


@contextlib.contextmanager
def staged() -> Iterator[Stage]:
    """Run a Valkey, a service and a dashboard without a reading."""
    with contextlib.ExitStack() as stack:
        stage = Stage(Path(stack.enter_context(tempfile.TemporaryDirectory())), stack)
        yield stage


def save_small(page: Page, path: Path) -> None:
    """Save what a page shows; it has few colours, and a palette of them is a third of the bytes."""
    page.screenshot(path=path)
    picture = Image.open(path).convert("RGB")
    small = picture.quantize(256, method=Image.Quantize.MEDIANCUT, kmeans=4, dither=Image.Dither.NONE)
    small.save(path, optimize=True)


def take(browser: Browser, stage: Stage, picture: Picture, out: Path) -> None:
    """Take one picture in each of its themes."""
    width, height = picture.size
    for theme in picture.themes:
        context = browser.new_context(
            viewport={"width": width, "height": height}, is_mobile=width < 768, has_touch=width < 768
        )
        page = context.new_page()
        page.goto(f"{stage.dashboard}{picture.path}{'&' if '?' in picture.path else '?'}theme={theme}")
        picture.prepare(page)
        time.sleep(3)  # for the eye: fonts are in, the first frames have settled
        path = out / f"{picture.name}{f'-{theme}' if len(picture.themes) > 1 else ''}.png"
        save_small(page, path)
        print(path, flush=True)
        context.close()


def main() -> None:
    """Take the pictures that the command line names, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "screenshots")
    parser.add_argument("--only", default="", help="names that begin so")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)

    with staged() as stage, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)

        def wanted(picture: Picture) -> None:
            if picture.name.startswith(given.only):
                take(browser, stage, picture, given.out)

        service = stage.serve()
        stage.run("-m", "tidewire", "dashboard", "--port", str(stage.dashboard_port))
        answers(stage.dashboard)
        nothing = "No metrics yet"
        wanted(Picture("empty", "/", prepare=lambda page: page.get_by_text(nothing).wait_for(), themes=("dark",)))
        stage.run(str(Path(__file__).with_name("plant.py")))
        stage.limits(THRESHOLDS)
        time.sleep(45)  # until the sensor that falls silent is stale, and ten minutes before now are covered
        for picture in PICTURES:
            wanted(picture)
        stage.limits(ALERTS)
        wanted(Picture("alert-deck", DECK, prepare=alarmed))
        wanted(Picture("alert-overview", "/?filter=warn", prepare=counted, themes=("dark",)))
        stage.limits(THRESHOLDS)
        fleet = stage.run(str(Path(__file__).with_name("fleet.py")))
        time.sleep(15)  # until the past of 1,000 series is there
        wanted(Picture("many", MANY, prepare=drawn))
        stage.end(fleet)
        # The page is opened before its service goes away.
        wanted(
            Picture(
                "disconnected",
                DECK,
                prepare=lambda page: (live(page), stage.end(service), why(page))[0],
                themes=("dark",),
            )
        )
        browser.close()


if __name__ == "__main__":
    main()
