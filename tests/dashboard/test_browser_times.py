"""The time of a page in Chromium: spans as people type them, zones, windows of days; a real service behind it."""

from __future__ import annotations

import math
import re
import time
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import pytest
from axe import needs_axe, violations
from PIL import Image
from waiting import Eventually

pytestmark = pytest.mark.browser
HOUR_S = 3_600.0
DAY_S = 24 * HOUR_S
BERLIN = ZoneInfo("Europe/Berlin")
DEEP = """const deep = (root = document) => [...root.querySelectorAll("*")]
    .flatMap((one) => [one, ...(one.shadowRoot ? deep(one.shadowRoot) : [])]);"""
TEXTS = f"""(hook) => {{ {DEEP}
    return deep().filter((one) => one.dataset?.tw === hook && one.checkVisibility())
        .map((one) => one.textContent); }}"""
SPAN = "() => window.__tidewire.state().shown"
DRAWN = "() => (window.__tidewire?.state().charts[0]?.series[0]?.buckets ?? 0) > 20"


async def shown(tab: Any, hook: str, words: str) -> None:
    await tab.until(f"([hook, words]) => ({TEXTS})(hook).some((text) => text.includes(words))", [hook, words])


async def recent(service: Any, metric: str, count: int = 200) -> None:
    """Publish a reading a second, up to now."""
    now_ms = time.time() * 1e3
    times = [now_ms - n * 1e3 for n in range(count - 1, -1, -1)]
    await service.publish(metric, *(20.0 + n % 5 for n in range(count)), time=times, unit="Cel")


def hook(tab: Any, name: str) -> Any:
    return tab.page.locator(f'[data-tw="{name}"]')


def address(tab: Any) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(tab.page.url).query).items()}


async def choose(tab: Any, from_: str, to: str) -> None:
    """Type a span into the picker and press Enter."""
    await tab.page.keyboard.press("p")
    await hook(tab, "picker-from").fill(from_)
    await hook(tab, "picker-to").fill(to)
    await tab.page.keyboard.press("Enter")


async def hourly(service: Any, metric: str, days: float) -> None:
    """Publish a reading an hour, up to now."""
    now_ms, count = time.time() * 1e3, int(days * 24)
    times = [now_ms - n * HOUR_S * 1e3 for n in range(count, -1, -1)]
    await service.publish(metric, *(20.0 + n % 24 for n in range(count + 1)), time=times, unit="Cel")


async def an_hour_apart(service: Any, metric: str, now: float, *then: float, unit: str = "Cel") -> None:
    """Publish a reading a second up to now, and others in turn an hour earlier, for as long as a test may take."""
    now_ms = time.time() * 1e3
    for ago_s, to_s, values in ((3_600, 300, then), (0, 0, (now,))):
        times = [now_ms + (second - ago_s) * 1e3 for second in range(-300, to_s + 1)]
        await service.publish(metric, *islice(cycle(values), len(times)), time=times, unit=unit)


async def test_a_window_of_a_week_shows_all_of_it_and_a_year_is_the_longest(tab: Any, service: Any) -> None:
    await hourly(service, "plant/heat", 9)
    await tab.open("/d/plant?c=plant/heat:12&w=7d")
    await tab.until("() => (window.__tidewire?.state().charts[0]?.series[0]?.buckets ?? 0) >= 165")
    span = await tab.page.evaluate(SPAN)
    assert span["endMs"] - span["startMs"] == 7 * DAY_S * 1e3
    await shown(tab, "time-button", "7 d")
    assert tab.errors == []
    await tab.open("/d/plant?c=plant/heat:12&w=400d")
    await shown(tab, "notice", "not 400d but 366d is shown")


async def test_a_span_is_typed_as_it_is_spoken_of(tab: Any, service: Any) -> None:
    await recent(service, "plant/heat")
    await tab.open("/d/plant?c=plant/heat:12&tz=Europe/Berlin")
    await tab.until(DRAWN)
    await choose(tab, "-2h", "now")
    await tab.until(f"() => {{ const {{startMs, endMs}} = ({SPAN})(); return endMs - startMs === 7.2e6; }}")
    assert address(tab)["w"] == "2h"
    assert not await tab.page.evaluate("() => window.__tidewire.state().paused"), "to now stays live"
    await choose(tab, "yesterday 06:00", "yesterday 07:30")
    await tab.until("() => window.__tidewire.state().paused")
    starts = datetime.fromisoformat(address(tab)["from"]).astimezone(BERLIN)
    ends = datetime.fromisoformat(address(tab)["to"]).astimezone(BERLIN)
    assert (starts.hour, starts.minute, ends.hour, ends.minute) == (6, 0, 7, 30)
    assert (datetime.now(BERLIN).date() - starts.date()).days == 1
    await tab.badge("PAUSED")
    await shown(tab, "pause-bar", "06:00 – 07:30 Berlin")  # noqa: RUF001 - as it is written
    await tab.page.go_back()
    await tab.until("() => !window.__tidewire.state().paused")


async def test_a_time_that_cannot_be_read_is_said_at_its_field_and_esc_changes_nothing(tab: Any, service: Any) -> None:
    await recent(service, "plant/heat")
    await tab.open("/d/plant?c=plant/heat:12")
    await tab.until(DRAWN)
    before = tab.page.url
    await choose(tab, "soon", "now")
    await shown(tab, "picker-from-wrong", "“soon” is no time")
    assert await hook(tab, "picker-from").get_attribute("aria-invalid") == "true"
    await hook(tab, "picker-from").fill("-1h")
    await hook(tab, "picker-to").fill("-2h")
    await shown(tab, "picker-to-wrong", "To is not after From")
    await tab.page.keyboard.press("Enter")
    assert await hook(tab, "picker").is_visible()
    await hook(tab, "picker-from").fill("-400d")
    await hook(tab, "picker-to").fill("now")
    await shown(tab, "picker-from-wrong", "A span is at most 366 d long")
    await hook(tab, "picker-from").fill("-3d")
    await shown(tab, "picker-note", "Begins before what is kept: the log keeps 24 h")
    await hook(tab, "picker-zone").get_by_text("UTC").click()
    await hook(tab, "picker-zones").select_option("Asia/Tokyo")
    await shown(tab, "time-button", "Tokyo UTC+9")
    await tab.page.keyboard.press("Escape")
    assert not await hook(tab, "picker").is_visible()
    assert tab.page.url == before
    assert "Tokyo" not in str(await tab.page.evaluate(TEXTS, "time-button"))


async def test_the_calendar_chooses_days_with_the_keyboard_and_marks_those_with_readings(
    tab: Any, service: Any
) -> None:
    await hourly(service, "plant/heat", 0.9)
    await tab.open("/d/plant?c=plant/heat:12&tz=UTC")
    await tab.until("() => window.__tidewire?.state().charts.length === 1")
    await tab.page.keyboard.press("p")
    await shown(tab, "picker-kept", "first reading")
    days = hook(tab, "picker-days")
    assert await days.get_by_label("has readings").count() >= 1
    await days.locator("button[tabindex='0']").focus()
    await tab.page.keyboard.press("ArrowUp")
    await tab.page.keyboard.press("ArrowLeft")
    await tab.page.keyboard.press("Enter")
    await tab.until("() => window.__tidewire.state().paused")
    start = datetime.fromisoformat(address(tab)["from"])
    end = datetime.fromisoformat(address(tab)["to"])
    assert (start.hour, start.minute, (end - start).total_seconds()) == (0, 0, DAY_S)
    assert (datetime.now(UTC).date() - start.date()).days == 8


async def test_a_zone_is_in_the_address_the_header_the_wall_and_a_saved_deck(tab: Any, service: Any) -> None:
    await recent(service, "plant/heat")
    await tab.open("/d/plant?c=plant/heat:12")
    await tab.until(DRAWN)
    await tab.page.keyboard.press("p")
    await hook(tab, "picker-zones").select_option("Asia/Tokyo")
    await shown(tab, "time-button", "Tokyo UTC+9")
    assert address(tab)["tz"] == "Asia/Tokyo"
    await hook(tab, "picker-from").press("Enter")
    await tab.page.keyboard.press("S")
    await hook(tab, "save-name").fill("Night shift")
    await hook(tab, "save-name").press("Enter")
    await tab.until("() => location.pathname.endsWith('/d/night-shift')")
    await tab.open("/d/night-shift")
    await shown(tab, "time-button", "Tokyo UTC+9")
    await tab.open("/d/night-shift?kiosk=1&tz=UTC")
    await shown(tab, "wall-zone", "UTC")
    await tab.open("/d/plant?tz=Mars/Phobos")
    await shown(tab, "notice", "is no time zone")


@needs_axe
async def test_axe_finds_nothing_on_the_time_picker(tab: Any, service: Any) -> None:
    await hourly(service, "plant/heat", 0.9)
    await tab.open("/d/plant?c=plant/heat:12&w=24h&tz=Europe/Berlin")
    await tab.until("() => (window.__tidewire?.state().charts[0]?.series[0]?.buckets ?? 0) > 10")
    for width, height in ((1440, 900), (390, 844)):
        await tab.page.set_viewport_size({"width": width, "height": height})
        await tab.page.keyboard.press("p")
        await shown(tab, "picker-kept", "first reading")
        assert await violations(tab.page) == [], width
        await hook(tab, "picker-from").fill("soon")
        assert await violations(tab.page) == [], f"{width}, with a message"
        await tab.page.keyboard.press("Escape")


async def test_axe_finds_nothing_on_days_of_the_month_before_that_are_chosen(tab: Any) -> None:
    noon = [datetime(2026, *day, 12, tzinfo=UTC).timestamp() * 1e3 for day in ((9, 30), (10, 1))]
    await tab.open(f"/d/plant?c=plant/heat:12&from={noon[0]:.0f}&to={noon[1]:.0f}&tz=UTC")
    await tab.page.keyboard.press("p")
    await tab.page.locator(".picker-day.other.inside").first.wait_for()
    assert await violations(tab.page) == []


@pytest.mark.parametrize("width", [1440, 390])
async def test_no_zone_is_cut_no_row_wraps_and_the_foot_stays_on_the_screen(tab: Any, service: Any, width: int) -> None:
    await recent(service, "plant/heat")
    await tab.page.set_viewport_size({"width": width, "height": 640})
    await tab.open("/d/plant?c=plant/heat:12&tz=America/Buenos_Aires&cmp=8h")
    await tab.until(DRAWN)
    await tab.page.keyboard.press("p")
    await shown(tab, "picker-kept", "first reading")
    for name, words in (("picker-zones", "America/Buenos Aires"), ("picker-from", "2026-11-29 22:53:07")):
        room, needed = await hook(tab, name).evaluate(
            """(field, words) => { const style = getComputedStyle(field), text = document.createElement("span");
                text.textContent = words; text.style.whiteSpace = "pre"; text.style.position = "absolute";
                text.style.font = style.font; text.style.letterSpacing = style.letterSpacing;
                text.style.fontVariantNumeric = style.fontVariantNumeric;
                field.after(text); const needed = text.getBoundingClientRect().width; text.remove();
                const edges = [style.paddingLeft, style.paddingRight].map(parseFloat);
                return [field.clientWidth - edges[0] - edges[1], needed]; }""",
            words,
        )
        assert room >= needed, name
    buttons = await hook(tab, "picker-compare").bounding_box()
    field = await hook(tab, "picker-compare-other").bounding_box()
    assert field["y"] + field["height"] / 2 == pytest.approx(buttons["y"] + buttons["height"] / 2, abs=2)
    head, day = [
        await hook(tab, "picker-days")
        .locator(one)
        .first.evaluate(
            """(cell) => { const words = document.createRange(); words.selectNodeContents(cell);
                const {left, right} = words.getBoundingClientRect(); return (left + right) / 2; }"""
        )
        for one in ("th", "td button")
    ]
    assert head == pytest.approx(day, abs=1)
    show = await hook(tab, "picker-show").bounding_box()
    assert 0 < show["y"] < show["y"] + show["height"] <= 640


async def test_the_same_span_earlier_is_a_pale_line_with_its_value(tab: Any, service: Any) -> None:
    await an_hour_apart(service, "plant/heat", 20.0, 50.0)
    await tab.open("/d/plant?c=plant/heat:12&cmp=1h")
    await tab.until(DRAWN)
    await shown(tab, "legend-then", "an hour ago50")
    low, high = await tab.page.evaluate("() => window.__tidewire.state().charts[0].range")
    assert low < 20, "the axis has room for both"
    assert high > 50, "the axis has room for both"
    assert "50" not in str(await tab.page.evaluate(TEXTS, "legend-stats"))
    await shown(tab, "time-button", "vs 1 h")
    await hook(tab, "plot").first.hover(position={"x": 600, "y": 100})
    await shown(tab, "tooltip", "difference")
    [tip] = await tab.page.evaluate(TEXTS, "tooltip")
    assert "difference−30" in tip  # noqa: RUF001 - a minus sign
    await tab.page.keyboard.press("p")
    await hook(tab, "picker-compare").get_by_text("Off").click()
    await hook(tab, "picker-from").press("Enter")
    await tab.until(f"() => ({TEXTS})('legend-then').length === 0")
    assert "cmp" not in address(tab)
    assert tab.errors == []


# Where the lines earlier are drawn in the middle of each plot, px from the top of its canvas; none: no canvas.
THEN_AT = f"""() => {{ {DEEP} const {{charts}} = window.__tidewire.state();
    return deep().filter((one) => one.dataset?.tw === "chart").map((card, n) => {{
        const canvas = [...card.querySelectorAll("canvas")].find((one) => one.dataset.tw === "compared");
        if (!canvas) return null;
        const x = Math.round(charts[n].plot.left + charts[n].plot.width / 2);
        const {{data}} = canvas.getContext("2d").getImageData(x, 0, 1, canvas.height);
        const inked = [...Array(canvas.height).keys()].filter((y) => data[4 * y + 3] > 40);
        return inked.filter((y) => !inked.includes(y - 1)); }}); }}"""


def row_of(chart: dict[str, Any], axis: int, height: float) -> float:
    """Return where a plot has a height of an axis, px from the top of its canvas."""
    ends, box = chart["axes"][axis], chart["plot"]
    share = (height - ends["lo"]) / (ends["hi"] - ends["lo"])
    return float(box["top"] + box["height"] * (share if ends["inverted"] else 1 - share))


async def test_the_earlier_line_stands_on_the_axes_of_its_chart_and_under_no_stack(tab: Any, service: Any) -> None:
    await an_hour_apart(service, "plant/heat", 1500.5, *[1.5] * 29, 0.0)  # a log axis has no zero
    await an_hour_apart(service, "plant/flow", 50.5, 20.5, unit="L/min")
    await an_hour_apart(service, "plant/power", 20.0, 50.0, unit="kW")
    charts = ("plant/heat:6;log;inv", "plant/power,plant/flow:6", "plant/power:6;k=stacked")
    await tab.open("/d/plant?" + "&".join(f"c={chart}" for chart in charts) + "&cmp=1h&theme=dark")
    drawn = await tab.until(f"""() => {{ const charts = window.__tidewire?.state().charts ?? [];
        if (charts.length !== 3 || charts.some(({{series}}) => series.some((one) => one.buckets < 20))) return null;
        const rows = ({THEN_AT})();
        return rows.map((one) => one?.length ?? 0).join() === "1,2,0" ? {{rows, charts}} : null; }}""")
    (log, two, stack), rows = drawn["charts"], drawn["rows"]
    assert rows[0] == [pytest.approx(row_of(log, 0, math.log10(1.5)), abs=2)]
    assert rows[1] == pytest.approx(sorted([row_of(two, 0, 50), row_of(two, 1, 20.5)]), abs=2)
    assert stack["axes"][0]["hi"] < 30, "it makes no room for what it does not draw"
    assert len(await tab.page.evaluate(TEXTS, "legend-then")) == 2
    assert tab.errors == []


async def test_what_a_comparison_says_has_its_room_in_every_legend(
    tab: Any, service: Any, eventually: Eventually
) -> None:
    now_ms = time.time() * 1e3
    for place in ("kiln east, upper burner", "kiln east, lower burner", "kiln west", "dryer"):
        times = [now_ms - 3_600e3 * ago + second * 1e3 for ago in (1, 0) for second in range(-300, 0)]
        await service.publish("plant/heat", *(20.5 + n % 7 for n in range(600)), time=times, labels={"at": place})
    await service.publish("plant/flow", *(20.5 + n % 7 for n in range(600)), time=times)
    await service.publish("annotations", None, text=["lit"], time=[now_ms - 60e3])
    await tab.page.set_viewport_size({"width": 1_100, "height": 900})
    await tab.open("/d/plant?c=plant/heat:3&c=plant/heat:4&c=plant/heat:6&c=plant/flow:3&cmp=1h")

    async def legends() -> list[Any]:
        """Return of each legend what is shown in it, and what of that ends beyond its edge or another's begin."""
        return list(
            await hook(tab, "legend").evaluate_all("""(legends) => legends.map((legend) => {
                const edge = legend.getBoundingClientRect().right;
                const shown = [...legend.children].filter((one) => one.checkVisibility());
                const boxes = shown.map((one) => one.getBoundingClientRect());
                return [shown.map((one) => one.textContent), shown.map((one) => one.className).join(" "),
                    shown.filter((_, i) => boxes[i].right > Math.min(edge, boxes[i + 1]?.left ?? edge) + 0.5)
                        .map((one) => one.textContent)];
            })""")
        )

    async def whole() -> bool:
        found = await legends()
        return len(found) == 4 and all("legend-then" in classes and cut == [] for _, classes, cut in found)

    await eventually(whole)
    found = await legends()
    assert all("legend-item" in classes and "legend-events" in classes for _, classes, _ in found)
    assert all(any("an hour ago" in words for words in shown) for shown, _, _ in found)
    assert ["+" in "".join(shown) for shown, _, _ in found] == [True, True, True, False]
    assert tab.errors == []


async def test_the_picture_of_a_chart_has_its_earlier_line(tab: Any, service: Any, tmp_path: Path) -> None:
    await an_hour_apart(service, "plant/heat", 20.0, 50.0)

    async def inked(query: str) -> list[int]:
        """Return the rows of the picture's plot that are coloured in its middle, runs of rows as one."""
        await tab.open(f"/d/plant?c=plant/heat:12&theme=dark{query}")
        await tab.until(DRAWN)
        if "cmp" in query:
            await shown(tab, "legend-then", "an hour ago50")
        await hook(tab, "chart").first.hover(position={"x": 100, "y": 20})
        await tab.page.keyboard.press("f")
        async with tab.page.expect_download() as download:
            await hook(tab, "export-png").click()
        await (await download.value).save_as(tmp_path / "chart.png")
        picture = Image.open(tmp_path / "chart.png").convert("RGB")
        column = [picture.getpixel((picture.width // 2 + 7, y)) for y in range(2 * 53, picture.height - 60)]
        coloured = [y for y, pixel in enumerate(column) if max(pixel) - min(pixel) > 30]
        return [y for y in coloured if y - 1 not in coloured]

    assert len(await inked("&w=5m")) == 1
    assert len(await inked("&w=5m&cmp=1h")) == 2


async def test_an_empty_span_says_where_the_nearest_reading_lies_and_goes_there(tab: Any, service: Any) -> None:
    await recent(service, "m")
    await tab.open("/d/m")
    await tab.until(DRAWN)
    await choose(tab, "-3h", "-2h50m")
    note = hook(tab, "nearest")
    await note.filter(has_text="Nearest reading:").wait_for()
    own, times = await note.inner_text(), []
    await tab.page.keyboard.press("p")
    for zone in ("Asia/Tokyo", "America/Lima"):  # the note follows at once, without another question
        before = await note.inner_text()
        await hook(tab, "picker-zones").select_option(zone)
        await note.filter(has_not_text=before).wait_for()
        day = re.search(r"\d+ \w+ \d\d:\d\d:\d\d", await note.inner_text())
        assert day is not None
        times.append(datetime.strptime(f"{day[0]} 2024 +0000", "%d %b %H:%M:%S %Y %z"))
    assert times[0] - times[1] == timedelta(hours=14)
    await tab.page.keyboard.press("Escape")
    await note.filter(has_text=own).wait_for()
    await hook(tab, "go-there").click()
    await tab.until("() => window.__tidewire.state().charts[0].empty === '' && window.__tidewire.state().settled")
    await tab.until(DRAWN)
    span = await tab.page.evaluate(SPAN)
    assert span["endMs"] - span["startMs"] == pytest.approx(600_000), "as long as the empty one"
    assert await note.is_hidden()

    now_ms = time.time() * 1e3
    await service.publish("n", 1.5, 2.25, 3.75, time=[now_ms - n * HOUR_S * 1e3 for n in (9.2, 9.1, 0.001)])
    await tab.open("/d/n")
    await tab.until("() => window.__tidewire?.state().charts.length === 1")
    await choose(tab, "-9h", "-8h")
    await note.filter(has_text="Nearest reading:").wait_for()
    await hook(tab, "go-there").click()
    await tab.until("() => window.__tidewire.state().charts[0].empty === '' && window.__tidewire.state().settled")
    await tab.page.go_back()
    await note.filter(has_text="Nearest reading:").wait_for()
    assert tab.errors == []


async def test_what_was_looked_through_is_said_where_it_is_not_all(tab: Any, service: Any) -> None:
    """A page may ask for 100 series at once: of 103 it cannot say that nothing else is kept."""
    now_ms = time.time() * 1e3
    for number in range(103):
        await service.publish("fleet/cpu", 1.0, time=[now_ms], labels={"host": f"h{number}"})
    await tab.open("/d/fleet?c=fleet/cpu:12;v=lines")
    await tab.until("() => window.__tidewire?.state().charts[0]?.series.length === 103")
    await choose(tab, "-3h", "-2h50m")
    await hook(tab, "nearest").filter(has_text="Nearest reading in 100 of 103 series: ").wait_for()
    await tab.page.keyboard.press("p")
    await shown(tab, "picker-kept", "first reading in 100 of 103 series: ")
    assert tab.errors == []


async def test_the_picker_says_which_day_with_a_reading_is_nearest(tab: Any, service: Any) -> None:
    await recent(service, "m")
    await tab.open("/d/m")
    await tab.until(DRAWN)
    await tab.page.keyboard.press("p")
    await hook(tab, "picker-from").fill("-9d")
    await hook(tab, "picker-to").fill("-8d")
    note = hook(tab, "picker-note")
    await note.filter(has_text="Nothing was read then; the nearest day with a reading is").wait_for()
    await hook(tab, "picker-there").click()
    await note.filter(has_text="Nothing was read").wait_for(state="hidden")
    await tab.page.keyboard.press("Enter")
    await tab.until(DRAWN)
    assert tab.errors == []
