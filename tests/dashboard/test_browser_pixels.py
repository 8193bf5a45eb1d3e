"""The line through columns of first, min, max and last is, pixel for pixel, the line through every reading.

And so are the steps of what holds its value until the next reading.

The readings go the whole way: published, kept, packed, sent, drawn in Chromium. The same page draws them again, each
reading a point of the line, its x the middle of its column of pixels; the rest of the picture stays as it is.
"""

from __future__ import annotations

import json
import math
import random
import time
from typing import Any

import pytest

pytestmark = pytest.mark.browser

WIDTHS = (2, 3, 4, 5, 10)  # columns of the grid
WINDOWS_S = (21, 60, 150, 300, 880)
PHASES = (0.0, 0.21, 0.4, 0.63, 0.87)  # of a column
# Of 255: Chromium takes 16 samples of a pixel, in four rows. Where an edge lies on a row, or the round joins of many
# readings end, some are counted otherwise: seldom more than three, at two rows eight.
MOST_OFF = 144
ROUGH = 52

# While `raw` is set, the raw readings, {metric: [[time, value], …]}, in place of the line of a plot: the part that is
# kept and the rest. `raw` is the index of each plot, by its canvas.
RAW = """(() => {
    const { drawImage: copy, stroke } = CanvasRenderingContext2D.prototype;
    window.raw = null;
    const deep = (root = document) => [...root.querySelectorAll("*")]
        .flatMap((one) => [one, ...(one.shadowRoot ? deep(one.shadowRoot) : [])]);
    window.plots = () => deep().filter((one) => one.matches("canvas.plot-canvas"));
    const plotOf = (canvas) => window.raw?.get(canvas) ?? -1;
    let charts = [], ofFrame = 0;
    const chartOf = (at) => {
        if (ofFrame === 0) {
            charts = window.__tidewire.state().charts;
            ofFrame = setTimeout(() => ofFrame = 0);
        }
        return charts[at];
    };
    const drawRaw = (ctx, at, ink) => {
        const { title, plot, range, shown, columns, series } = chartOf(at);
        const ratio = devicePixelRatio, right = Math.round((ctx.canvas.clientWidth - 24) * ratio);
        const limit = Math.max(3 * window.expected, 2000, 2 * columns.stepMs);
        ctx.save();
        ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
        ctx.lineJoin = ctx.lineCap = "round";
        ctx.lineWidth = 1.5;
        ctx.strokeStyle = ink;
        ctx.beginPath();
        let before = -Infinity, level = NaN;
        for (const [time, value] of window.readings[title]) {
            // What is farther outside than a silence is not joined to what is inside.
            if (value === null || time < shown[0] - 2 * limit || time > shown[1] + 2 * limit) continue;
            const column = (shown[1] / columns.stepMs - Math.floor(time / columns.stepMs) - 0.5) * columns.px;
            const x = (right - column) / ratio;
            const y = plot.top + plot.height * (1 - (value - range[0]) / (range[1] - range[0]));
            if (time - before > limit) ctx.moveTo(x, y);
            else {
                if (series[0].steps) ctx.lineTo(x, level);
                ctx.lineTo(x, y);
            }
            [before, level] = [time, y];
        }
        stroke.call(ctx);
        ctx.restore();
        window.drawnRaw[at] = true;
    };
    CanvasRenderingContext2D.prototype.stroke = function (...path) {
        const at = this.lineWidth === 1.5 ? plotOf(this.canvas) : -1;
        if (this.lineWidth === 1.5) this.canvas.ink = this.strokeStyle;
        if (at < 0) stroke.apply(this, path);
        else drawRaw(this, at, this.strokeStyle);
    };
    CanvasRenderingContext2D.prototype.drawImage = function (layer, ...where) {
        const at = plotOf(this.canvas);
        if (at < 0) copy.call(this, layer, ...where);
        else drawRaw(this, at, layer.ink);
    };
})()"""
SETTLED = """([count, start, end]) => { const { charts, shown, counters } = window.__tidewire.state();
    return charts.length === count && shown.endMs === end && shown.startMs === start
        && charts.every(({ window, series }) => window?.[1] === end && series[0]?.buckets > 1); }"""
# The pixel columns of each plot that differ by more than `most` of 255, and the largest difference. Pixels are compared
# as they are shown: colour times opacity.
DIFFER = f"""async (most) => {{
    const draws = () => window.__tidewire.state().counters.draws;
    const again = async () => {{ const at = draws(); dispatchEvent(new PopStateEvent("popstate"));
        while (draws() === at) await new Promise(requestAnimationFrame); }};
    const plots = window.plots();
    const pixels = () => plots.map((one) =>
        new Uint32Array(one.getContext("2d").getImageData(0, 0, one.width, one.height).data.buffer));
    for (let n = 0; n < 2; n++) await new Promise(requestAnimationFrame);
    const before = pixels();
    window.raw = new Map(plots.map((canvas, at) => [canvas, at])); window.drawnRaw = {{}};
    await again();
    const after = pixels();
    const drawn = Object.keys(window.drawnRaw).length;
    window.raw = null;
    const shownAs = (pixel, channel) => {{
        const level = (pixel >>> (8 * channel)) & 255;
        return channel === 3 ? level : Math.round(level * (pixel >>> 24) / 255); }};
    let largest = 0, ink = 0, rough = 0;
    const columns = new Set();
    plots.forEach((canvas, at) => {{
        const [old, raw] = [before[at], after[at]];
        if (old.length !== raw.length) throw new Error(`plot ${{at}} has another size`);
        for (let i = 0; i < old.length; i++) {{
            if (old[i] === 0 && raw[i] === 0) continue;
            for (let channel = 0; channel < 4; channel++) {{
                const level = shownAs(old[i], channel);
                if (level > 0) ink++;
                if (old[i] === raw[i]) continue;
                const off = Math.abs(level - shownAs(raw[i], channel));
                largest = Math.max(largest, off);
                if (off > most) columns.add(`${{at}}:${{i % canvas.width}}`);
                if (off > {ROUGH}) rough++;
            }}
        }}
    }});
    return {{ largest, ink, rough, drawn, columns: [...columns] }}; }}"""


def made(now_ms: float) -> dict[str, list[tuple[float, float | None]]]:
    """Return the readings of each metric over the last 15 minutes, in order of time."""
    chance = random.Random(7)
    times = [now_ms - 900_000 + 100 * n + chance.random() * 40 for n in range(9_000)]
    spiky: list[float | None] = [5 + chance.gauss(0, 0.05) for _ in times]
    for n in range(37, len(times), 350):
        spiky[n] = 15.58 if n % 3 else -3.0
    counter, total = [], 0.0
    for _ in times[::3]:
        total += chance.choice((0, 0, 1, 1, 2, 300)) if chance.random() < 0.05 else 0.01
        counter.append(total)
    broken: list[float | None] = [10 + math.sin(n / 150) + chance.gauss(0, 0.1) for n in range(len(times) // 5)]
    for n in range(11, len(broken), 97):
        broken[n] = chance.choice((6.5, 14.5))
    for n in range(0, len(broken), 40):
        broken[n] = (
            None  # a reading that is no number; a silence of nearly two seconds may be one in columns and not raw
        )
    for start in (200, 610, 1_200, 1_700):
        broken[start : start + 70] = [None] * 70  # 35 s: the line ends and begins
    offset: list[float | None] = [1e6 + math.sin(n / 40) + chance.gauss(0, 0.02) for n in range(len(times))]
    offset[4_444] = 1e6 - 4
    door: list[float | None] = [0.0]
    mode: list[float | None] = [3.0]
    for _ in times[5::5]:
        door.append(1 - (door[-1] or 0) if chance.random() < 0.03 else door[-1])
        mode.append(chance.randrange(7) if chance.random() < 0.02 else mode[-1])
    for start in (150, 640, 1_300):
        door[start : start + 66] = [None] * 66  # 33 s: the step ends
    return {
        "spiky": list(zip(times, spiky, strict=True)),
        "counter": list(zip(times[::3], counter, strict=True)),
        "broken": list(zip(times[::5], broken, strict=True)),
        "offset": list(zip(times, offset, strict=True)),
        "door": list(zip(times[::5], door, strict=True)),
        "mode": list(zip(times[::5], mode, strict=True)),
    }


async def publish(service: Any, readings: dict[str, list[tuple[float, float | None]]]) -> None:
    for metric, pairs in readings.items():
        for at in range(0, len(pairs), 1_000):
            times, values = zip(*pairs[at : at + 1_000], strict=True)
            await service.publish(metric, *values, time=list(times))


@pytest.mark.parametrize("ratio", [1, 2])
@pytest.mark.long
async def test_the_line_is_pixel_for_pixel_that_through_every_reading(
    dashboard: Any, browser: Any, service: Any, ratio: int
) -> None:
    now_ms = math.floor(time.time() * 1e3)
    readings = made(now_ms)
    await publish(service, readings)
    context = await browser.new_context(viewport={"width": 1440, "height": 4_200}, device_scale_factor=ratio)
    page = await context.new_page()
    await page.add_init_script(RAW)
    charts = "&".join(f"c={metric}:{width}x3" for metric in readings for width in WIDTHS)
    count = len(readings) * len(WIDTHS)
    first = f"/d/pixels?{charts}&from={now_ms - 300_000}&to={now_ms}"
    await page.goto(dashboard.url + first)
    await page.wait_for_function(f"() => window.__tidewire?.state().charts.length === {count}", polling=50)
    await page.evaluate("(given) => Object.assign(window, given)", {"expected": 500, "readings": readings})
    off: dict[str, Any] = {}
    largest = 0
    for at, window_s in enumerate(WINDOWS_S):
        for phase in PHASES[(at + ratio) % 2 :: 2]:  # half of them with each ratio, as on a chessboard
            end = round(now_ms - 4_000 - phase * window_s * 1e3 / 300)
            span = [end - window_s * 1_000, end]
            address = f"/d/pixels?{charts}&from={span[0]}&to={span[1]}"
            await page.evaluate(
                "(to) => { history.pushState(null, '', to); dispatchEvent(new PopStateEvent('popstate')); }", address
            )
            await page.wait_for_function(SETTLED, arg=[count, *span], polling=50)
            await page.wait_for_function("() => window.__tidewire.state().settled", polling=50)
            found = await page.evaluate(DIFFER, MOST_OFF)
            assert found["drawn"] == count
            kinds = "() => window.__tidewire.state().charts.map(({ title, series }) => [title, series[0].steps])"
            assert {title for title, steps in await page.evaluate(kinds) if steps} == {"door", "mode"}
            assert found["ink"] > 10_000
            assert found["rough"] <= found["ink"] / 5_000
            largest = max(largest, found["largest"])
            if found["columns"]:
                off[f"{window_s} s, phase {phase}"] = (found["largest"], found["columns"][:20], len(found["columns"]))
    assert not off, json.dumps(off, indent=1)
    assert largest <= MOST_OFF
