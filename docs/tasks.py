"""Do five tasks of an analyst on a dashboard with 9,000 series, count clicks and seconds, and take a picture of each.

    .venv/bin/python docs/tasks.py [--out docs/screenshots] [--only week]

Prints the table of docs/tasks.md. The seconds of the machine are measured; those of a hand are by the keystroke-level
model (Card, Moran, Newell, Communications of the ACM 23, 1980): 0.28 s a key, 1.2 s to point and press, 1.35 s to think
before each step.
"""

from __future__ import annotations

import argparse
import math
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import httpx
from playwright.sync_api import Locator, Page, sync_playwright
from screenshots import FLAGS, SCREEN, Stage, answers, save_small, staged

KEY_S, POINT_S, THINK_S = 0.28, 1.2, 1.35
DAY_MS = 86_400_000.0
ROBOTS = 9_000


class Hand:
    """Does what a person does on a page, and counts it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.clicks = 0
        self.points = 0
        self.keys = 0
        self.steps = 0

    def click(self, found: Locator) -> None:
        """Point at something and press."""
        self.clicks += 1
        self.steps += 1
        found.locator("visible=true").first.click()

    def point(self, found: Locator, x: float, y: float) -> None:
        """Point at a place of something, in parts of its size."""
        self.points += 1
        self.steps += 1
        box = found.first.bounding_box()
        assert box is not None
        self.page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=3)

    def press(self, key: str) -> None:
        """Press one key."""
        self.keys += 1
        self.steps += 1
        self.page.keyboard.press(key)

    def type(self, text: str) -> None:
        """Write a text."""
        self.keys += len(text)
        self.steps += 1
        self.page.keyboard.type(text)

    @property
    def seconds(self) -> float:
        """Return how long the hand takes."""
        return self.keys * KEY_S + (self.clicks + self.points) * POINT_S + self.steps * THINK_S


def hook(page: Page, name: str) -> Locator:
    """Return the visible elements with a hook."""
    return page.locator(f'[data-tw="{name}"]:visible')


def open_deck(hand: Hand, name: str, condition: str) -> None:
    """Open a deck by the list of decks, and wait for its charts."""
    hand.press("g")
    hand.click(hand.page.get_by_role("menuitem", name=name))
    drawn(hand.page, condition)


def drawn(page: Page, condition: str) -> None:
    """Wait until the charts are as a condition says, of which `charts` are their states."""
    page.wait_for_function(
        f"() => {{ const charts = window.__tidewire?.state().charts ?? []; return {condition}; }}", timeout=60_000
    )


# -- what there is


def publish(url: str, rows: list[dict[str, object]]) -> None:
    """Publish batches, 400 a request."""
    with httpx.Client(base_url=url, trust_env=False, timeout=60) as http:
        for start in range(0, len(rows), 400):
            answer = http.post("/v1/readings", json=rows[start : start + 400]).raise_for_status().json()
            if answer["rejected"]:
                raise ValueError(answer["rejected"])


def plant(stage: Stage) -> None:
    """Publish two weeks of a cold room, requests by code, and a plant of robots of which one is too hot."""
    now_ms, chance = math.floor(time.time()) * 1e3, random.Random(15)
    past = [now_ms - DAY_MS * 14 + 600_000.0 * n for n in range(14 * 144)]
    recent = [now_ms - 1_000.0 * (600 - n) for n in range(600)]
    rows: list[dict[str, object]] = []

    def add(metric: str, times: list[float], values: list[object], unit: str = "", **labels: str) -> None:
        rows.append({"metric": metric, "time": times, "value": values, "unit": unit, "labels": labels})

    def cold(at_ms: float) -> float:
        return 4.0 + math.sin(at_ms / DAY_MS * 2 * math.pi) + 0.4 * (at_ms > now_ms - DAY_MS * 5)

    for start in range(0, len(past), 1_000):
        part = past[start : start + 1_000]
        add("cold-room/temperature", part, [cold(at) + chance.gauss(0, 0.15) for at in part], "Cel")
    opens = [bool((n // 40) % 4 == 1) for n in range(600)]
    warm = [cold(at) + 2.5 * open_ + chance.gauss(0, 0.05) for at, open_ in zip(recent, opens, strict=True)]
    add("cold-room/temperature", recent, list(warm), "Cel")
    add("cold-room/door_open", recent, [float(open_) for open_ in opens])
    for code, rate in (("200", 40.0), ("404", 1.5), ("500", 0.4)):
        for site in "AB":
            totals, total = [], 1_000.0
            for n in range(600):
                total += rate * (1 + 4 * (code == "500" and 380 < n < 450)) * chance.uniform(0.5, 1.5)
                totals.append(float(round(total)))
            add("http/requests_total", recent, list(totals), "1", code=code, site=site)
    publish(stage.service, rows)
    publish(stage.service, training(now_ms))
    robots = [f"plant/hall-{n // 1_000}/cell-{n // 100 % 10:02}/robot-{n % 100:02}/temperature" for n in range(ROBOTS)]
    publish(
        stage.service,
        [
            {"metric": name, "time": [now_ms - 60_000.0 * k for k in (4, 3, 2, 1)], "unit": "Cel", "value": values}
            for name in robots
            for values in [
                [round(chance.gauss(41, 2), 2) for _ in range(3)] + [97.3 if name == robots[6_042] else 41.0]
            ]
        ],
    )
    stage.limits([{"metric": "plant/**", "critical_above": 90}])


def training(now_ms: float) -> list[dict[str, object]]:
    """Return nine training runs of two days: of three learning rates, some with another batch size."""
    rows: list[dict[str, object]] = []
    for n, (rate, batch) in enumerate((rate, batch) for rate in (0.1, 0.03, 0.01) for batch in (32, 64, 128)):
        run, chance = f"lr-{rate:g} b{batch}", random.Random(n)
        began_ms, labels = now_ms - (9 - n) * 5 * 3_600_000.0, {"run": run}
        count = 400 if n < 8 else 250
        times, steps = [began_ms + 5_000.0 * k for k in range(count)], [25 * k for k in range(count)]
        floor, pace = 0.06 + abs(rate - 0.03) + 0.0004 * batch, 0.02 / rate * 60
        loss = [(2.3 * math.exp(-k / pace) + floor) * math.exp(chance.gauss(0, 0.07)) for k in range(count)]
        right = [100 - 90 * math.exp(-k / pace) - 60 * floor + chance.gauss(0, 0.4) for k in range(count)]
        ends: list[str | None] = [None] * (count - 1) + ["finished"]
        for metric, values, unit in (("train/loss", loss, ""), ("train/val/accuracy", right, "%")):
            told = {"metric": metric, "time": times, "value": values, "step": steps, "labels": labels, "unit": unit}
            rows.append({**told, "text": ends} if n < 8 else told)
        for name, value in (("lr", rate), ("batch", float(batch))):
            rows.append({"metric": f"train/config/{name}", "time": times[:1], "value": [value], "labels": labels})
        words = {"metric": "train/config/optimiser", "time": times[:1], "value": [None], "text": ["AdamW"]}
        rows.append({**words, "labels": labels})
    return rows


# -- the tasks


def errors_by_code(hand: Hand) -> None:
    """Error rate of a counter by code."""
    page = hand.page
    open_deck(hand, "http", "charts.length === 1 && charts[0].series[0]?.buckets > 20")
    hand.press("q")
    hook(page, "formula-input").wait_for()
    hand.type("sum by (code) (rate(http/requests_total))")
    hand.press("Enter")
    drawn(page, "charts.at(-1).series.length === 3 && charts.at(-1).series[0].buckets > 20")


def two_runs(hand: Hand) -> None:
    """Two runs compared by step."""
    page = hand.page
    open_deck(hand, "train", "charts.length >= 2 && charts.every((one) => one.series.length > 0)")
    hand.press("X")
    drawn(page, "charts.length === 2 && charts.every((one) => one.lines?.length === 9)")
    hand.click(hook(page, "run-all"))
    for run in ("lr-0.03 b64", "lr-0.01 b64"):
        hand.click(page.get_by_label(f"Draw {run}", exact=True))
    drawn(page, "charts.every((one) => one.lines?.length === 2)")
    hand.point(hook(page, "plot"), 0.4, 0.5)


def last_week(hand: Hand) -> None:
    """Last week under this week."""
    page = hand.page
    open_deck(hand, "cold-room", "charts.length >= 2")
    hand.press("p")
    hand.click(page.get_by_text("Last 7 days"))
    hand.press("p")
    hand.click(page.get_by_text("1 week", exact=True))
    hand.click(page.get_by_text("Show 7 d"))
    drawn(page, "location.search.includes('cmp=1w') && charts.some((one) => one.series[0]?.buckets > 200)")


def worst_robot(hand: Hand) -> None:
    """The worst robot of 9,000."""
    hand.click(hand.page.locator('[data-tw="tile"][aria-label*="critical"]'))
    drawn(hand.page, "charts.length === 1 && charts[0].series.some((one) => one.last > 90)")


def door(hand: Hand) -> None:
    """The state of a door with its temperature."""
    page = hand.page
    open_deck(hand, "cold-room", "charts.length >= 2 && charts.every((one) => one.series[0]?.buckets > 20)")
    hand.point(hook(page, "plot"), 0.6, 0.5)


TASKS: dict[str, Callable[[Hand], None]] = {
    "errors": errors_by_code,
    "runs": two_runs,
    "week": last_week,
    "robot": worst_robot,
    "door": door,
}


def main() -> None:
    """Do the tasks that the command line names, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "screenshots")
    parser.add_argument("--only", default="", help="names that begin so")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    with staged() as stage, sync_playwright() as playwright:
        stage.serve("--retention-age-s", str(30 * 86_400))
        stage.run("-m", "tidewire", "dashboard", "--port", str(stage.dashboard_port))
        answers(stage.dashboard)
        plant(stage)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        print("| task | clicks | keys | by hand | of it the machine |\n|---|---|---|---|---|")
        for name, task in TASKS.items():
            if not name.startswith(given.only):
                continue
            page = browser.new_page(viewport={"width": SCREEN[0], "height": SCREEN[1]})
            page.goto(f"{stage.dashboard}/?theme=dark")
            hook(page, "tile").first.wait_for()
            hand, began_s = Hand(page), time.monotonic()
            task(hand)
            took_s = time.monotonic() - began_s
            print(
                f"| {(task.__doc__ or '').rstrip('.')} | {hand.clicks} | {hand.keys} | {hand.seconds + took_s:.0f} s |"
                f" {took_s:.1f} s |",
                flush=True,
            )
            time.sleep(2)  # for the eye
            save_small(page, given.out / f"task-{name}.png")
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
