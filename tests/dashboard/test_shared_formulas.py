"""Formulas as viewers get them: live, with their past from the history, over a fixed window, or refused at a place."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import json
import math
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import numpy as np
import pytest
from waiting import HANG_S, Eventually

from tidewire.errors import InvalidInput, ServiceUnavailable
from tidewire.livestore import shared_formulas
from tidewire.livestore.formula_view import FormulaView
from tidewire.livestore.view_frame import DELTA, FLAG_PARTIAL, RANGE, SNAPSHOT, exponents_of, unpack_frame
from tidewire_dashboard.app import Dashboard, running_dashboard
from tidewire_dashboard.login import EVERYBODY, Login
from tidewire_dashboard.settings import DashboardSettings
from tidewire_dashboard.viewer import Viewer

RATES = "sum by (site) (rate(http/requests_total[20s]))"


class Page:
    """A viewer of a dashboard, and what it was sent, put together."""

    def __init__(self, dashboard: Dashboard, login: Login = EVERYBODY) -> None:
        self.unsent = 0
        self.states: list[dict[str, Any]] = []
        self.problems: list[str] = []
        self.answers: list[dict[str, Any]] = []
        self.refused: list[dict[str, Any]] = []
        self.kinds: list[int] = []
        self.flags: list[int] = []  # of the newest frame
        self.values: dict[int, dict[float, float]] = {}
        self.range: dict[int, dict[float, float]] = {}
        self.viewer = Viewer(dashboard.hub.shared, self, login)
        dashboard.hub.shared.viewers.add(self.viewer)
        self.viewer.receive('{"t":"hello","page":"deck","hidden":false}')

    def send(self, data: bytes | str) -> None:
        if isinstance(data, str):
            message = json.loads(data)
            if message["t"] == "formula":
                self.states.append(message)
            elif message["t"] in ("statistics", "export", "cell"):
                self.answers.append(message)
            elif message["t"] == "refused":
                self.refused.append(message)
            elif message["t"] == "error":
                self.problems.append(message["reason"])
            return
        frame = unpack_frame(data)
        self.kinds.append(frame.kind)
        self.flags = []
        into = self.range if frame.kind == RANGE else self.values
        if frame.kind != DELTA:
            into.clear()
        for record, exponent, row in zip(frame.records, exponents_of(frame.records["flags"]), frame.body, strict=True):
            self.flags.append(int(record["flags"]))
            values = into.setdefault(int(record["index"]), {})
            for at, bucket in enumerate(row):
                time_ms = (frame.first + at) * frame.step_ms
                values.pop(time_ms, None)
                if not np.isnan(bucket["min"]):
                    values[time_ms] = float(np.ldexp(float(bucket["max"]), exponent)) + float(record["base"])
        if frame.kind != RANGE:
            drawn = f"a{frame.view}:{frame.seq}"
            asyncio.get_running_loop().call_soon(self.viewer.receive, drawn)

    def fail(self) -> None:
        raise AssertionError("closed")

    sign_out = fail

    def ask(self, formula: str, window_ms: float = 60_000.0, view: int = 3, buckets: int = 60, **more: str) -> None:
        request = {"t": "view", "view": view, "series": [], "window_ms": window_ms, "buckets": buckets, "fps": 10}
        self.viewer.receive(json.dumps({**request, "formula": formula, **more}))

    @property
    def state(self) -> dict[str, Any]:
        return self.states[-1]

    def of(self, **labels: str) -> dict[float, float]:
        """Return the values of a series of the newest state."""
        return next((self.values.get(one["i"], {}) for one in self.state["series"] if one["labels"] == labels), {})


@contextlib.asynccontextmanager
async def ticking(dashboard: Dashboard) -> AsyncIterator[Dashboard]:
    """Tick ten times a second, as a dashboard does while a page is connected."""

    async def tick() -> None:
        while True:
            dashboard.hub.shared.tick()
            await asyncio.sleep(0.1)

    task = asyncio.create_task(tick())
    yield dashboard
    task.cancel()


@pytest.fixture
async def live(dashboard: Dashboard) -> AsyncIterator[Dashboard]:
    async with ticking(dashboard):
        yield dashboard


async def counters(service: Any, since_s: float, until_s: float = 0.0, step_s: float = 1.0) -> None:
    """Publish two counters: of site A 5 a second, of site B 2 a second."""
    now_ms = time.time() * 1e3
    times = np.arange(now_ms - since_s * 1e3, now_ms - until_s * 1e3, step_s * 1e3)
    for site, rate in (("A", 5.0), ("B", 2.0)):
        for code in ("200", "500"):
            values = (rate / 2 * (times - times[0]) / 1e3).tolist()
            for at in range(0, len(values), 1_000):
                await service.publish(
                    "http/requests_total", *values[at : at + 1_000], time=times[at : at + 1_000].tolist(),
                    labels={"site": site, "code": code},
                )  # fmt: skip


async def test_a_formula_is_live_and_has_the_colours_of_its_label_sets(
    live: Dashboard, service: Any, eventually: Eventually
) -> None:
    await counters(service, 50)
    await service.publish("site/temperature", 20.0, labels={"site": "A"})
    await eventually(lambda: len(live.source.store.series) == 5)
    page = Page(live)
    page.ask(RATES)
    await eventually(lambda: len(page.of(site="B")) > 20)
    assert page.kinds[0] == SNAPSHOT
    assert page.state["reads"] == 4
    assert [one["labels"] for one in page.state["series"]] == [{"site": "A"}, {"site": "B"}]
    assert {one["unit"] for one in page.state["series"]} == {"/s"}
    for site, rate in (("A", 5.0), ("B", 2.0)):
        values = list(page.of(site=site).values())
        assert values[len(values) // 2] == pytest.approx(rate, rel=1e-3)
    own = live.source.store.series
    [colour] = {one.colour for one in own if one.labels == {"site": "A"}}
    assert page.state["series"][0]["colour"] == colour
    await counters(service, 1, -1, 0.25)
    await eventually(lambda: DELTA in page.kinds)


async def test_of_a_result_those_are_told_that_have_a_value(
    live: Dashboard, service: Any, eventually: Eventually
) -> None:
    await counters(service, 50)
    await eventually(lambda: len(live.source.store.series) == 4)
    page = Page(live)
    page.ask(f"topk(1, {RATES})")
    await eventually(lambda: page.state["series"] and not page.state["loading"])
    assert [one["labels"] for one in page.state["series"]] == [{"site": "A"}]
    page.ask("http/requests_total > 1e9", view=4)
    await eventually(lambda: page.state["formula"] == "http/requests_total > 1e9" and not page.state["loading"])
    assert (page.state["series"], page.state["reads"]) == ([], 4)


async def test_two_viewers_share_a_formula_and_the_last_one_closes_it(
    live: Dashboard, service: Any, eventually: Eventually
) -> None:
    await counters(service, 50)
    pages = [Page(live), Page(live)]
    for page in pages:
        page.ask(RATES)
    await eventually(lambda: all(len(page.of(site="A")) > 20 for page in pages))
    formulas = live.hub.shared._formulas
    assert pages[0].state["series"] == pages[1].state["series"]
    assert len(formulas._open) == len(formulas._windows) == 1
    for page in pages:
        page.viewer.close()
    assert (formulas._open, formulas._windows, formulas._readings) == ({}, set(), {})


async def test_what_a_restarted_dashboard_does_not_remember_is_read_from_the_history(
    service: Any, eventually: Eventually
) -> None:
    await counters(service, 3_000, step_s=5.0)
    until_ms = time.time() * 1e3 - 24_000.0  # two buckets: a later one may end seconds behind the newest reading
    settings = DashboardSettings(url=service.url, dashboard_port=0)
    async with running_dashboard(settings) as dashboard, ticking(dashboard):
        await eventually(lambda: dashboard.source.feed.status.state == "live")
        page = Page(dashboard)
        page.ask("sum by (site) (rate(http/requests_total[2m]))", 3_600_000.0, buckets=300)
        await eventually(lambda: len(page.of(site="A")) > 220)
        values = {at: value for at, value in page.of(site="A").items() if at < until_ms}
        assert max(values) - min(values) > 2_700_000
        assert list(values.values())[5:] == [pytest.approx(5.0, rel=0.05)] * (len(values) - 5)
        page.viewer.close()


async def test_a_window_of_the_past_is_evaluated_over_the_history(
    live: Dashboard, service: Any, eventually: Eventually
) -> None:
    await counters(service, 1_500)
    await eventually(lambda: len(live.source.store.series) == 4)
    page, now_ms = Page(live), time.time() * 1e3
    span = {"start_ms": now_ms - 1_200_000, "end_ms": now_ms - 600_000}
    page.viewer.receive(
        json.dumps({"t": "range", "id": 7, "series": [], **span, "buckets": 300, "formula": f"{RATES} / 5"})
    )
    await eventually(lambda: RANGE in page.kinds)
    [first, _] = page.state["series"]
    values = page.range[first["i"]]
    assert len(values) >= 300
    assert list(values.values())[10:] == [pytest.approx(1.0, rel=0.05)] * (len(values) - 10)


@pytest.mark.parametrize(
    ("formula", "position", "end", "word"),
    [
        ("rate(http/requests_total[5m]", 28, 28, ")"),
        ('{"\N{GRINNING FACE}"} + nope(x)', 9, 13, "nope"),
        ("a + ", 4, 4, ""),
        ("x[5m]", 0, 5, "range"),
    ],
)
async def test_a_mistake_is_said_at_its_place_and_the_rest_goes_on(
    live: Dashboard, service: Any, eventually: Eventually, formula: str, position: int, end: int, word: str
) -> None:
    await counters(service, 50)
    page = Page(live)
    page.ask(RATES, view=2)
    page.ask(formula)
    [fault] = [state["error"] for state in page.states if state["formula"] == formula]
    assert (fault["position"], fault["end"]) == (position, end)
    assert word in fault["message"]
    await eventually(lambda: any(state["formula"] == RATES for state in page.states))
    page.viewer.receive('{"t":"hello","page":"deck","hidden":false}')
    assert [state["error"] for state in page.states if state["formula"] == formula] == [fault, fault]


async def test_a_metric_that_nobody_publishes_is_no_error_and_the_one_that_is_meant_is_said(
    live: Dashboard, service: Any, eventually: Eventually
) -> None:
    await counters(service, 60)
    page = Page(live)
    await eventually(lambda: live.source.store.metrics > 0)
    text = 'sum(http/reqests_total{site="A"})'
    page.ask(text)
    await eventually(lambda: page.states and page.state.get("hint"))
    hint = page.state["hint"]
    assert page.state["error"] is None
    assert (hint["message"], hint["instead"]) == ("No metric is called http/reqests_total", "http/requests_total")
    assert text[hint["position"] : hint["end"]] == "http/reqests_total"
    page.ask("something/else/entirely")
    await eventually(lambda: page.state["formula"] == "something/else/entirely" and "instead" not in page.state["hint"])
    await service.publish("something/else/entirely", 1.0)
    await eventually(lambda: "hint" not in page.state)


async def test_a_formula_reads_only_what_its_viewer_may_see(
    live: Dashboard, service: Any, eventually: Eventually
) -> None:
    await counters(service, 50)
    await service.publish("secret/load", 1.0, 2.0)
    await eventually(lambda: len(live.source.store.series) == 5)
    login = Login(name="ada", subscribe=("http/**",))
    page = Page(live, login)
    page.ask("{__name__=~'.+'}")
    await eventually(lambda: page.states and page.state["series"])
    everything = Page(live)
    everything.ask("{__name__=~'.+'}")
    await eventually(lambda: everything.states and "secret/load" in {one["name"] for one in everything.state["series"]})
    assert {one["name"] for one in page.state["series"]} == {"http/requests_total"}
    span = {"start_ms": time.time() * 1e3 - 60_000, "end_ms": time.time() * 1e3}
    ask = {"t": "range", "id": 7, "series": [], **span, "buckets": 60, "formula": "secret/load"}
    page.viewer.receive(json.dumps(ask))
    await eventually(lambda: RANGE in page.kinds)
    assert page.state["series"] == []


async def test_statistics_and_files_are_of_the_result(live: Dashboard, service: Any, eventually: Eventually) -> None:
    await counters(service, 900)
    await eventually(lambda: len(live.source.store.series) == 4)
    page, now_ms = Page(live), float(math.floor(time.time()) * 1e3)
    span = {"series": [], "start_ms": now_ms - 600_000, "end_ms": now_ms - 100_000, "formula": RATES}
    page.viewer.receive(json.dumps({"t": "statistics", "id": 1, **span}))
    await eventually(lambda: page.answers)
    assert [row["mean"] for row in page.answers[0]["rows"]] == [pytest.approx(5, 0.01), pytest.approx(2, 0.01)]
    assert {row["count"] for row in page.answers[0]["rows"]} == {1_000}
    page.viewer.receive(json.dumps({"t": "export", "id": 2, "kind": "csv", **span}))
    await eventually(lambda: len(page.answers) == 2)
    async with httpx.AsyncClient(base_url=live.url, trust_env=False, timeout=HANG_S) as http:
        lines = (await http.get(f"/{page.answers[1]['url']}")).text.splitlines()
    assert lines[0] == "metric,time,value,unit,label.site"
    assert len(lines) == 2_001
    metric, at, value, unit, site = next(csv.reader([lines[-1]]))
    assert (metric, unit, site) == (RATES, "/s", "B")
    assert float(at) == span["end_ms"]
    assert float(value) == pytest.approx(2, rel=0.01)
    page.viewer.receive(json.dumps({"t": "statistics", "id": 3, **span, "formula": "rate("}))
    await eventually(lambda: page.refused)
    assert "formula" in page.refused[0]["reason"]


async def test_a_cell_of_a_heat_map_is_told_as_a_selection_of_its_series(
    live: Dashboard, service: Any, eventually: Eventually
) -> None:
    end_ms = math.floor(time.time() / 10) * 10e3 - 20_000.0
    for number in range(40):
        labels = {"host": f"h{number:02}", "az": f"az{number % 4}"}
        times = [end_ms - 60_000 + 1e3 * second for second in range(70)]
        await service.publish("fleet/cpu", *[float(number)] * 60, *[99.0] * 10, time=times, labels=labels)
    await eventually(lambda: len(live.source.store.series) == 40)
    page = Page(live)

    async def cell(low: float, high: float, **more: Any) -> dict[str, Any]:
        asked = {"t": "cell", "id": len(page.answers) + len(page.refused) + 1, "formula": '{__name__="fleet/cpu"}'}
        page.viewer.receive(json.dumps({**asked, "end_ms": end_ms, "step_ms": 5_000, "low": low, "high": high, **more}))
        await eventually(lambda: any(one["id"] == asked["id"] for one in (*page.answers, *page.refused)))
        return {key: value for key, value in (*page.answers, *page.refused)[-1].items() if key not in ("t", "id")}

    assert await cell(10, 12) == {"select": "host=h10|h11", "count": 2, "more": 0}
    assert await cell(0, 40) == {"select": "", "count": 40, "more": 0}
    assert await cell(50, 60) == {"select": "", "count": 0, "more": 40}
    assert await cell(98, 100, end_ms=end_ms + 5_000) == {"select": "", "count": 40, "more": 0}, "of its own column"
    grouped = "sum by (az) (fleet/cpu)"
    assert await cell(180, 185, formula=grouped) == {"select": "az=az0", "count": 1, "more": 0}
    assert "rat" in (await cell(0, 1, formula="rat(x)"))["reason"]


async def test_formulas_that_cost_much_take_turns_and_leave_time_for_the_rest(
    live: Dashboard, service: Any, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each tick of a formula takes 30 ms here: ten of them would hold the loop for 300 ms of each 200."""
    await counters(service, 50)
    computed: dict[int, int] = {}
    tick = FormulaView.tick

    def slow(view: FormulaView, seq: int, now_ms: float) -> None:
        computed[id(view)] = computed.get(id(view), 0) + 1
        time.sleep(0.03)
        tick(view, seq, now_ms)

    monkeypatch.setattr(FormulaView, "tick", slow)
    pages = [Page(live) for _ in range(2)]
    for n in range(10):
        pages[n % 2].ask(f"{RATES} * {n}", view=2 + n)
    await eventually(lambda: len(computed) == 10)
    computed.clear()
    started_s = time.monotonic()
    await eventually(lambda: len(computed) == 10)  # none of them starves
    await asyncio.sleep(2)
    # How long a tick of one takes is the test's; what the machine adds belongs to nobody.
    assert sum(computed.values()) * 0.03 < 0.75 * (time.monotonic() - started_s)


async def test_a_past_that_cannot_be_read_is_loading_and_its_reason_is_said(
    service: Any, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: Any) -> None:
        raise ServiceUnavailable("the history is away")

    await counters(service, 3_000, step_s=5.0)
    settings = DashboardSettings(url=service.url, dashboard_port=0)
    async with running_dashboard(settings) as dashboard, ticking(dashboard):
        await eventually(lambda: dashboard.source.feed.status.state == "live")
        shared = dashboard.hub.shared
        with monkeypatch.context() as patched:
            patched.setattr(shared.history_cache, "older", refuse)
            page = Page(dashboard)
            page.ask("sum by (site) (rate(http/requests_total[2m]))", 3_600_000.0, buckets=300)
            await eventually(lambda: "the history is away" in json.loads(shared.status_message(0))["past_reason"])
            kinds = len(page.kinds)
            await eventually(lambda: len(page.kinds) > kinds + 2)
            assert page.flags
            assert all(flags & FLAG_PARTIAL for flags in page.flags)
        monkeypatch.setattr(shared_formulas, "_AGAIN_MS", 0.0)
        await eventually(lambda: page.flags and not any(flags & FLAG_PARTIAL for flags in page.flags))
        assert json.loads(shared.status_message(0))["past_reason"] == ""
        page.viewer.close()


async def test_a_past_from_the_history_is_read_anew_since_readings_may_come_late(
    service: Any, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_formulas, "_ANEW_MS", 0.0)
    monkeypatch.setattr(shared_formulas, "_AGAIN_MS", 0.0)
    monkeypatch.setattr(shared_formulas, "_ANEW_TIMES", 1.0)
    now_ms = time.time() * 1e3
    hour = 3_600_000.0
    hours = [now_ms - n * hour for n in range(12, 0, -1)]
    await service.publish("m", *([1.0] * 12), time=hours)
    settings = DashboardSettings(url=service.url, dashboard_port=0)
    async with running_dashboard(settings) as dashboard, ticking(dashboard):
        await eventually(lambda: dashboard.source.feed.status.state == "live")
        page = Page(dashboard)
        page.ask("max_over_time(m[2h])", 14 * hour, buckets=280)
        await eventually(lambda: page.flags and not any(flags & FLAG_PARTIAL for flags in page.flags))
        await eventually(lambda: max(page.of().values(), default=0.0) == 1.0)
        await service.publish("m", 9.0, time=[now_ms - 9.5 * hour])
        await eventually(lambda: max(page.of().values(), default=0.0) == 9.0)
        page.viewer.close()


async def fleet(service: Any, since_s: float, until_s: float = 0.0, nodes: int = 40) -> None:
    """Publish the load of some nodes, of each its number; of the last but one it rises by 20, of node 7 by 10."""
    now_ms = time.time() * 1e3
    times = np.arange(now_ms - since_s * 1e3, now_ms - until_s * 1e3, 1_000.0)
    for node in range(nodes):
        rise = {nodes - 2: 20.0, 7: 10.0}.get(node, 0.0)
        values = node + np.linspace(0.0, rise, times.size)
        await service.publish("fleet/cpu", *values.tolist(), time=times.tolist(), unit="%", labels={"node": f"{node}"})


async def test_many_series_are_summarized_live_in_the_past_and_once_for_all_viewers(
    live: Dashboard, service: Any, eventually: Eventually
) -> None:
    await fleet(service, 50)
    await eventually(lambda: len(live.source.store.series) == 40)
    pages = [Page(live), Page(live)]
    for page in pages:
        page.ask("fleet/cpu", summary="band")
    page = pages[0]

    def row(role: str, values: dict[int, dict[float, float]]) -> list[float]:
        entries = [one["i"] for one in page.state["series"] if one.get("role") == role]
        return list(next((values[i] for i in entries if i in values), {}).values())

    await eventually(lambda: all(len(one.values) == 9 and one.state["of"] == 40 for one in pages))
    await eventually(lambda: len(row("p50", page.values)) > 40)
    assert (page.state["summary"], page.state["reads"]) == ("band", 40)
    assert row("count", page.values)[20] == 40
    expected = np.quantile([*range(40)], [0.05, 0.5])
    # Two nodes rise, both from above the first quantile; the middle moves by less than one node.
    assert row("p5", page.values)[20] == pytest.approx(expected[0], abs=0.01)
    assert row("p50", page.values)[20] == pytest.approx(expected[1], abs=1)
    named = {one["role"]: one["labels"]["node"] for one in page.state["series"] if one["labels"]}
    assert named == {"highest": "38", "lowest": "0", "changed": "7"}
    assert len(live.hub.shared._formulas._windows) == 1
    assert pages[0].state["series"] == pages[1].state["series"]
    now_ms = time.time() * 1e3
    span = {"start_ms": now_ms - 40_000, "end_ms": now_ms - 10_000, "buckets": 30}
    page.viewer.receive(
        json.dumps({"t": "range", "id": 7, "series": [], **span, "formula": "fleet/cpu", "summary": "heat"})
    )
    await eventually(lambda: RANGE in page.kinds)
    assert page.state["summary"] == "heat"
    cells = {one["i"]: one["labels"] for one in page.state["series"] if one["role"] == "cell"}
    at = sorted(row("count", page.range))
    assert at[-1] == 40
    sums = np.zeros(len(row("count", page.range)))
    times = sorted({time_ms for values in page.range.values() for time_ms in values})
    for index, labels in cells.items():
        for time_ms, count in page.range[index].items():
            sums[times.index(time_ms)] += count
        assert float(labels["from"]) < float(labels["to"])
    assert sums[times.index(max(times))] == 40, "each series is counted in one range"


async def test_more_series_than_are_summarized_are_refused_in_place(
    live: Dashboard, service: Any, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fleet(service, 5, nodes=30)
    await eventually(lambda: len(live.source.store.series) == 30)
    monkeypatch.setattr("tidewire.evaluation.plan.MAX_SERIES", 20)
    page = Page(live)
    page.ask("fleet/cpu", summary="top")
    page.ask("fleet/cpu{node=~'1.*'}", view=4, summary="top")
    await eventually(lambda: any(not state["error"] and state["series"] for state in page.states))
    [refused] = {state["error"]["message"] for state in page.states if state["error"]}
    assert "more than 20 series match" in refused
    assert {state["summary"] for state in page.states} == {"top"}
    with pytest.raises(InvalidInput, match="of which the summary is"):
        page.viewer.receive('{"t":"view","view":5,"series":[1],"window_ms":60000,"buckets":60,"summary":"band"}')
