"""Very many series in one chart in Chromium: a band, a heat map, a top ten; the series themselves are not sent."""

from __future__ import annotations

import contextlib
import json
import math
import re
import struct
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from axe import needs_axe, violations
from waiting import eventually

pytestmark = pytest.mark.browser
NODES = 200
CHART = "() => window.__tidewire.state().charts[0]"
READY = """(view) => { const chart = window.__tidewire?.state().charts[0];
    return chart?.many?.view === view && chart.series.some((one) => one.buckets > 20); }"""
LIST = 1  # the view of all series, for the sidebar


async def fleet(service: Any, seconds: int = 90, ahead_s: int = 40, silent: int = 0, metric: str = "fleet/cpu") -> None:
    """Publish the load of 200 nodes, a reading a second, of node n about n / 2; the last ones `silent` for a minute."""
    now_ms = math.floor(time.time()) * 1e3
    rows = []
    for node in range(NODES):
        until = -60 if node >= NODES - silent else ahead_s
        times = [now_ms + 1e3 * second for second in range(-seconds, until)]
        values = [round(node / 2 + math.sin(second / 9 + node), 2) for second in range(len(times))]
        labels = {"az": f"az{node % 4}", "node": f"{node:03}"}
        rows.append({"metric": metric, "labels": labels, "unit": "%", "time": times, "value": values})
    answer = await service.http.post("/v1/readings", json=rows)
    assert answer.status_code == 200, answer.text


@contextlib.contextmanager
def frames(tab: Any) -> Iterator[dict[str, Any]]:
    """What goes over the socket: the most series of one frame that is no list's, and of one view that is asked for."""
    seen = {"rows": 0, "asked": 0, "bytes": 0}

    def received(payload: str | bytes) -> None:
        if isinstance(payload, bytes) and struct.unpack_from("<H", payload, 26)[0] != LIST:
            seen["rows"] = max(seen["rows"], struct.unpack_from("<H", payload, 2)[0])
            seen["bytes"] += len(payload)

    def sent(payload: str | bytes) -> None:
        message = json.loads(payload) if isinstance(payload, str) and payload.startswith("{") else {}
        if message.get("t") in ("view", "range"):
            seen["asked"] = max(seen["asked"], len(message["series"] or ()))

    def opened(socket: Any) -> None:
        socket.on("framereceived", received)
        socket.on("framesent", sent)

    tab.page.on("websocket", opened)
    yield seen
    tab.page.remove_listener("websocket", opened)


async def test_two_hundred_series_are_a_band_a_heat_map_and_a_top_ten(tab: Any, service: Any) -> None:
    await fleet(service)
    with frames(tab) as seen:
        await tab.open("/d/fleet?w=1m&c=fleet/cpu:8x8")
        await tab.until(READY, "band")
        found = await tab.page.evaluate(CHART)
        assert found["title"] == "fleet/cpu"
        assert [one["key"] for one in found["series"][:5]] == [""] * 5
        assert len(found["many"]["named"]) == 3
        assert found["many"]["named"][-1].startswith("highest · az")
        await tab.sees("200 series")
        middle = found["series"][2]["last"]
        assert middle == pytest.approx((NODES - 1) / 4, abs=2)
        plot = tab.page.locator('[data-tw="plot"]')
        await plot.hover(position={"x": 300, "y": 150})
        rows = tab.page.locator(".tip-row")
        await rows.first.wait_for()
        assert await rows.count() == 8, "five quantiles and three names"

        await tab.page.keyboard.press("b")
        await tab.until(READY, "heat")
        assert "c=fleet/cpu:8x8;v=heat" in await tab.page.evaluate("() => decodeURIComponent(location.search)")
        many = (await tab.page.evaluate(CHART))["many"]
        assert len(many["ranges"]) <= 40
        counted = [sum(cells[at] for cells in many["cells"]) for at in range(len(many["times"]))]
        assert max(counted) == NODES, "each series is in one cell of a column"
        await plot.hover(position={"x": 500, "y": 200})
        await tab.page.locator('[data-tw="tooltip"]').filter(has_text="series").wait_for()
        assert await rows.count() == 1
        assert "%" in await rows.first.inner_text()

        await tab.page.keyboard.press("b")
        await tab.until(READY, "top")
        items = tab.page.locator('[data-tw="top-list"] li')
        assert await items.count() == 10
        names = [(await item.inner_text()).split("\n") for item in await items.all()]
        values = [float(parts[-1]) for parts in names]
        assert values == sorted(values, reverse=True)
        assert values[0] == pytest.approx((NODES - 1) / 2, abs=2)
        assert seen["rows"] <= 41, "no frame of a chart has more than a heat map's rows"
        assert seen["asked"] == 0, "and no series was asked for"

        await tab.page.keyboard.press("b")
        await tab.until(READY, "lines")
        await tab.until(
            f"() => window.__tidewire.state().charts[0].series.filter((one) => one.buckets > 20).length === {NODES}"
        )
        await plot.hover(position={"x": 300, "y": 150})
        await rows.first.wait_for()
        assert await rows.count() == 9
        await tab.page.get_by_text("191 more").wait_for()
        await tab.page.keyboard.press("Control+z")
        await tab.until(READY, "top")
    assert tab.errors == []


async def test_a_click_on_a_cell_of_a_heat_map_selects_its_series_in_the_whole_deck(tab: Any, service: Any) -> None:
    await fleet(service)
    await tab.open("/d/fleet?w=1m&c=fleet/cpu:8x8;v=heat&c=fleet/cpu:4x8;v=lines")
    await tab.until(READY, "heat")
    plot = tab.page.locator('[data-tw="plot"]').first
    await plot.hover(position={"x": 300, "y": 150})
    tip = tab.page.locator(".tip-row").first
    await tip.filter(has_text="series").wait_for()
    said = int(re.search(r"(\d+) series", await tip.inner_text())[1])  # type: ignore[index]  # it says a number
    await plot.click(position={"x": 300, "y": 150})
    bar = tab.page.locator('[data-tw="selection"]')
    await bar.filter(has_text="node is").wait_for()
    kept = parse_qs(urlsplit(tab.page.url).query)["sel"][0].removeprefix("node=").split("|")
    assert len(kept) == pytest.approx(said, abs=1), "the column may have moved on by one"
    assert 1 <= len(kept) < 20
    lines = "() => window.__tidewire.state().charts.map((one) => one.series.length)"
    await tab.until(f"([count]) => ({lines})()[1] === count", [len(kept)])
    await tab.until(READY, "heat")
    middle = await tab.page.evaluate("() => window.__tidewire.state().charts[1].series.map((one) => one.last)")
    assert max(middle) - min(middle) < 10, "they were in one range of values"
    await tab.page.go_back()
    await tab.until(f"() => ({lines})()[1] === {NODES}")
    await plot.hover(position={"x": 300, "y": 150})
    await plot.press("Enter")
    await bar.filter(has_text="node is").wait_for()
    await plot.press("Escape")
    # a drag is a zoom, as before
    box = await plot.bounding_box()
    await tab.page.mouse.move(box["x"] + 200, box["y"] + 100)
    await tab.page.mouse.down()
    await tab.page.mouse.move(box["x"] + 400, box["y"] + 120, steps=4)
    await tab.page.mouse.up()
    await tab.until("() => location.search.includes('from=')")
    assert tab.errors == []


async def test_a_band_is_frozen_zoomed_and_live_again_and_silent_series_are_counted(tab: Any, service: Any) -> None:
    await fleet(service, silent=30)
    await tab.open("/d/fleet?w=1m&c=fleet/cpu:8x8;v=band")
    await tab.until(READY, "band")
    await tab.sees("30 of 200 silent")
    await tab.page.keyboard.press("Space")
    await tab.badge("PAUSED")
    await tab.page.keyboard.press("+")
    await tab.until("() => window.__tidewire.state().settled && location.search.includes('from=')")
    await tab.until("() => window.__tidewire.state().charts[0].series[2]?.buckets > 10")
    for view in ("heat", "top", "lines", "band"):
        await tab.page.locator('[data-tw="chart"]').hover()
        await tab.page.keyboard.press("b")
        await tab.until(READY.replace("> 20", "> 10"), view)
    await tab.page.keyboard.press("Escape")
    await tab.badge("LIVE")
    await tab.until(READY, "band")
    assert tab.errors == []


async def test_a_formula_of_many_has_a_band_and_what_cannot_have_one_says_so(tab: Any, service: Any) -> None:
    await fleet(service)
    await service.publish("other/heat", *range(5), unit="Cel")
    await tab.open(
        "/d/fleet?w=1m&c==avg_over_time%28fleet/cpu[10s]%29:6x8&c==fleet/cpu%20%2B:6;v=band&c=fleet/cpu,other/heat:6;v=heat"
    )
    await tab.until(READY, "band")  # it became one once its result was known
    faults = tab.page.locator('[data-tw="chart-fault"]:visible')
    await faults.nth(1).wait_for()
    first, second = await faults.all_inner_texts()
    assert first
    assert "different units" in second
    assert tab.errors == []


async def test_a_heat_map_on_a_logarithmic_axis_has_each_range_where_its_values_are(tab: Any, service: Any) -> None:
    now_ms = time.time() * 1e3
    times = [now_ms - 1_000 * second for second in range(30, -1, -1)]
    rows = [
        {"metric": "fleet/took", "labels": {"node": f"{node:02}"}, "unit": "s", "time": times, "value": [value] * 31}
        for node, value in enumerate([8.0] * 20 + [1.0] * 9 + [95.0])
    ]
    answer = await service.http.post("/v1/readings", json=rows)
    assert answer.status_code == 200
    await tab.open("/d/fleet?w=1m&c=fleet/took:12x12;v=heat;log")
    await tab.until(
        "() => { const [c] = window.__tidewire.state().charts;"
        " return c.many?.view === 'heat' && c.range && c.range[1] > 1.5 && c.range[1] < 2.5; }"
    )
    chart = await tab.page.evaluate("() => window.__tidewire.state().charts[0]")
    assert chart["range"][0] < 0.5, "heights are powers of ten"
    low, high = chart["range"]
    plot = tab.page.locator('[data-tw="plot"]')
    box = chart["plot"]

    async def pointed_at(value: float) -> str:
        y = box["top"] + box["height"] * (high - math.log10(value)) / (high - low)
        await plot.hover(position={"x": box["left"] + box["width"] * 0.8, "y": y})
        return str(await tab.page.locator(".tip-row").first.inner_text())

    assert "20 series" in await pointed_at(8.6)
    assert "9 series" in await pointed_at(1.8)
    assert "no series" in await pointed_at(30.0)
    assert tab.errors == []


@needs_axe
@pytest.mark.parametrize("view", ["band", "heat", "top"])
async def test_each_view_can_be_read_by_everybody(tab: Any, service: Any, view: str) -> None:
    await fleet(service)
    await tab.open(f"/d/fleet?w=1m&c=fleet/cpu:8x8;v={view}")
    await tab.until(READY, view)
    assert await violations(tab.page) == []
    await tab.until("() => document.documentElement.dataset.theme === 'light'")
    plot = tab.page.locator('[data-tw="plot"]')

    async def told() -> bool:  # of all: what is spoken changes every few seconds, and not while they arrive
        spoken = await plot.get_attribute("aria-label") or ""
        return f"of {NODES}" in spoken or f"{NODES} series" in spoken

    await eventually(told)
    assert tab.errors == []
