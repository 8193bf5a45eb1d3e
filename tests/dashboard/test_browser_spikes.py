"""Spikes of one reading: each is a line of one height in every chart, tile, sparkline and picture, at any width."""

from __future__ import annotations

import asyncio
import io
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from waiting import eventually

from tidewire.livestore.live_view import LiveView
from tidewire.livestore.store import Store
from tidewire.livestore.view_frame import unpack_frame
from tidewire.model.batch import Batch
from tidewire.notebook.snapshot import SNAPSHOT_COLUMNS, snapshot_png
from tidewire.notebook.still_charts import charts_of

WIDTHS = (2, 3, 4, 5, 7, 8, 12)  # columns of the grid
PITCH_S, SPIKES = 27, 10
DEEP = """const deep = (root = document) => [...root.querySelectorAll("*")]
    .flatMap((one) => [one, ...(one.shadowRoot ? deep(one.shadowRoot) : [])]);
    const all = (hook) => deep().filter((one) => one.dataset?.tw === hook && one.checkVisibility());
    const box = (one) => { const { left, top, width, height } = one.getBoundingClientRect();
        return [left, top, width, height]; };"""
# Of each chart: the box of its plot on the page.
PLOTS = f"""() => {{ {DEEP} return all("plot").map((one, at) => {{
    const [left, top] = box(one), {{ plot }} = window.__tidewire.state().charts[at];
    return [left + plot.left, top + plot.top, plot.width, plot.height]; }}); }}"""


async def plant(service: Any) -> list[float]:
    """Publish five minutes at one reading a second, with ten spikes of one reading; return their times."""
    now_ms = math.floor(time.time()) * 1e3
    times = [now_ms - (299 - n) * 1e3 for n in range(300)]
    values = [15.58 if n % PITCH_S == PITCH_S - 5 and n // PITCH_S < SPIKES else 5.0 for n in range(300)]
    await service.publish("line/pressure", *values, time=times, unit="bar")
    return [at for at, value in zip(times, values, strict=True) if value > 6]


def spike_tops(image: Image.Image, box: list[float], least: int = 150) -> list[int]:
    """Return the highest row of ink of each spike in a box: runs of columns that rise above the middle of the box."""
    left, top, width, height = map(round, box)
    pixels: npt.NDArray[np.int64] = np.asarray(image.convert("RGB"), dtype=np.int64)
    part = pixels[top : top + height, left : left + width]
    ground = np.median(part.reshape(-1, 3), axis=0)
    ink = np.abs(part - ground).sum(axis=2) > least
    rows = np.where(ink.any(axis=0), ink.argmax(axis=0), height)
    risen = rows < height // 2
    starts = np.flatnonzero(risen & ~np.r_[False, risen[:-1]])
    ends = np.flatnonzero(risen & ~np.r_[risen[1:], False])
    # One that begins at the edge may be the way down from a spike before the window.
    return [int(rows[start : end + 1].min()) for start, end in zip(starts, ends, strict=True) if start > 1]


async def screen(page: Any) -> Image.Image:
    return Image.open(io.BytesIO(await page.screenshot()))


def one_height(tops: list[int]) -> bool:
    """Tell whether all spikes were found, of which the first may have left the window, and end at one height."""
    return len(tops) in (SPIKES, SPIKES - 1) and len(set(tops)) == 1


@pytest.mark.browser
async def test_spikes_have_one_height_in_charts_tiles_sparklines_and_pictures(
    tab: Any, service: Any, tmp_path: Path
) -> None:
    at = await plant(service)
    charts = "&".join(f"c=line/pressure:{width}x4" for width in WIDTHS)
    await tab.page.set_viewport_size({"width": 1440, "height": 1_300})
    await tab.open(f"/d/spikes?w=5m&theme=dark&{charts}")
    await tab.until(f"""() => {{ const {{ charts }} = window.__tidewire?.state() ?? {{ charts: [] }};
        return charts.length === {len(WIDTHS)} && charts.every((one) => (one.series[0]?.buckets ?? 0) > 150
            || one.columns.count < 150 && one.series[0]?.buckets > 50); }}""")
    image = await screen(tab.page)

    async def has_one_height() -> bool:  # once each view has its own step
        nonlocal image
        image = await screen(tab.page)
        boxes = await tab.page.evaluate(PLOTS)
        return len(boxes) == len(WIDTHS) and all(one_height(spike_tops(image, box)) for box in boxes)

    await eventually(has_one_height)
    rows = await tab.page.evaluate(
        f'() => {{ {DEEP} return all("sidebar-row").map((one) => box(one.querySelector("canvas"))); }}'
    )
    tops = spike_tops(image, rows[0])
    recent = sum(time.time() * 1e3 - one < 115_000 for one in at)
    assert recent - 1 <= len(tops) <= recent + 1
    assert set(tops) == {tops[0]}
    assert tops[0] <= 2, "it touches the top of the 16 px"
    await tab.page.locator('[data-tw="chart"]').nth(2).hover()
    await tab.page.keyboard.press("f")
    async with tab.page.expect_download() as download:
        await tab.page.locator('[data-tw="export-png"]').click()
    await (await download.value).save_as(tmp_path / "chart.png")
    picture = Image.open(tmp_path / "chart.png")
    ratio = 2
    tops = spike_tops(picture, [48 * ratio, (53 + 8) * ratio, picture.width - 72 * ratio, picture.height - 85 * ratio])
    assert one_height(tops)
    await tab.open("/?w=5m&theme=dark")
    await tab.page.locator('[data-tw="tile"]').first.wait_for()
    await tab.until("() => window.__tidewire.state().counters.draws > 3")

    async def has_one_height_in_its_tile() -> bool:
        left, top, width, _ = (await tab.page.evaluate(f'() => {{ {DEEP} return all("tile").map(box); }}'))[0]
        # thin: a tip may be paler than a stem
        return one_height(spike_tops(await screen(tab.page), [left + 4, top + 66, width - 24, 32], least=60))

    await eventually(has_one_height_in_its_tile)


@pytest.mark.parametrize("phase_ms", [0, 130, 251, 370, 555])
def test_spikes_have_one_height_in_the_still_of_a_notebook(phase_ms: int) -> None:
    now_ms = 1_790_000_000_000.0 + phase_ms
    store = Store()
    times = [1_790_000_000_000.0 - (299 - n) * 1e3 for n in range(300)]
    values: list[float | None] = [15.58 if n % PITCH_S == PITCH_S - 5 else 5.0 for n in range(300)]
    store.append(Batch(metric="m", time=times, value=values), int(now_ms) << 32)
    view = LiveView(store, None, 300_000, SNAPSHOT_COLUMNS)
    view.tick(1, now_ms)
    frame = unpack_frame(view.frame(0, None))
    image = Image.open(io.BytesIO(snapshot_png("line", charts_of(frame, store.series))))
    tops = spike_tops(image, [2 * 58, 2 * 30, 2 * (880 - 70), 2 * (220 - 52)])
    assert len(tops) == values.count(15.58)
    assert len(set(tops)) == 1


@pytest.mark.browser
@pytest.mark.long
async def test_a_picture_that_moved_along_is_what_is_drawn_anew(tab: Any, service: Any) -> None:
    """Columns are added to what was drawn before; a change of the theme draws everything."""
    await plant(service)
    await tab.open("/d/spikes?w=1m&theme=dark&c=line/pressure:4&c=line/noise:6&c=line/dense:2")
    for n in range(60):
        at = time.time() * 1e3
        noise = [math.sin(n * 7 + k) + (5 if (n * 5 + k) % 31 == 0 else 0) for k in range(5)]
        await service.publish("line/noise", *noise, time=[at - 80 + k * 20 for k in range(5)])
        dense = [math.sin(n * 41 + k * k) for k in range(60)]
        await service.publish("line/dense", *dense, time=[at - 90 + k * 1.5 for k in range(60)])
        await service.publish("line/pressure", 9.0 if n % 9 == 4 else 5.0, unit="bar")
        await asyncio.sleep(0.1)
    await tab.until("(last) => Math.abs(window.__tidewire.state().charts[1].series[0].last - last) < 1e-3", noise[-1])
    await asyncio.sleep(0.7)  # the last frames are drawn
    compared = f"""async () => {{ {DEEP}
        const plots = () => deep().filter((one) => one.matches("canvas.plot-canvas"));
        const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
        const pixels = () => plots().map((one) => one.getContext("2d").getImageData(0, 0, one.width, one.height).data);
        const drawn = ({{ shown, range, state, gaps, tailMs, loading, series }}) =>
            [shown, range, state, gaps, tailMs, loading, series];
        const shown = () => JSON.stringify(window.__tidewire.state().charts.map(drawn));
        for (let tries = 0; tries < 50; tries++) {{
            await frame();
            const [before, at] = [pixels(), shown()];
            const draws = window.__tidewire.state().counters.draws;
            for (let n = 0; n < 2; n++) {{ all("theme")[0].click(); await frame(); }}
            const after = pixels();
            if (shown() !== at) continue;
            let most = 0, ink = 0, where = null;
            const boxes = window.__tidewire.state().charts.map((one) => one.plot);
            before.forEach((data, k) => {{
                const {{ left, top, width, height }} = boxes[k], wide = plots()[k].width;
                for (let y = top; y < top + height; y++) for (let x = Math.ceil(left); x < left + width - 12; x++)
                    for (let c = 0; c < 4; c++) {{
                        const i = 4 * (y * wide + x) + c, alpha = 4 * (y * wide + x) + 3;
                        const seen = (one) => (c === 3 ? one[i] : (one[i] * one[alpha]) / 255);
                        const off = Math.abs(seen(data) - seen(after[k]));
                        if (off > most) [most, where] = [off, {{ chart: k, x, y, at }}];
                        ink += data[i] > 0; }}
            }});
            return {{ most, where, ink, drawn: window.__tidewire.state().counters.draws - draws }};
        }}
        return null; }}"""
    found = await tab.page.evaluate(compared)
    assert found is not None
    assert found["drawn"] >= 2
    assert found["ink"] > 5_000
    # Where a path meets itself an edge is rounded in another place; a line that misses is 255 off.
    assert found["most"] <= 64, f"of 255, at {found['where']}"
