"""watch() without a notebook: what the chart pushes, how often, and that it ends."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from waiting import Eventually

from tidewire.errors import InvalidInput
from tidewire.livestore.view_frame import DELTA, RANGE, SNAPSHOT, unpack_frame
from tidewire.notebook import widget
from tidewire.notebook.widget import Chart, watch


class Notebook:
    """Records what charts send."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: list[tuple[float, Any, bytes | None]] = []
        self.charts: list[Chart] = []

        def send(_chart: Chart, content: Any, buffers: list[bytes | None] | None = None) -> None:
            for buffer in buffers or [None]:
                self.sent.append((time.monotonic(), content, buffer))

        monkeypatch.setattr(Chart, "send", send)

    def watch(self, *patterns: str, **more: Any) -> Chart:
        chart = watch(*patterns, **more)
        self.charts.append(chart)
        return chart

    def frames(self, view: int | None = None) -> list[Any]:
        found = [unpack_frame(frame) for _, _, frame in self.sent if frame is not None]
        return [frame for frame in found if view in (None, frame.view)]

    def formula(self, text: str, summary: str | None = None) -> dict[str, Any]:
        """Return what was said last of a formula, empty if nothing was."""
        said = [content for _, content, _ in self.sent if content["t"] == "formula"]
        own = [state for state in said if (state["formula"], state.get("summary")) == (text, summary)]
        return own[-1] if own else {}


def parts_of(chart: Chart) -> list[str]:
    """Return the names of the parts of its module that the page of a chart has."""
    return [name for name in ("kinds", "many", "runs") if getattr(chart, f"part_{name}")]


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Notebook]:
    notebook = Notebook(monkeypatch)
    yield notebook
    for chart in notebook.charts:
        chart.close()
    widget._charts.clear()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("tidewire-watch")]


async def test_a_chart_pushes_its_history_and_then_deltas_and_never_waits_to_be_asked(
    service: Any, notebook: Notebook, eventually: Eventually
) -> None:
    now_ms = time.time() * 1e3
    await service.publish(
        "furnace/temperature", *map(float, range(100)), time=[now_ms - 100_000 + n * 1e3 for n in range(100)]
    )
    await service.publish("other", 1.0)
    chart = notebook.watch("furnace/**", url=service.url)
    await eventually(lambda: any(frame.records["total"].tolist() == [100] for frame in notebook.frames()))
    assert notebook.frames()[0].kind == SNAPSHOT
    await service.publish("furnace/temperature", 500.0)
    await eventually(lambda: notebook.frames()[-1].records["last_value"].tolist() == [500.0])
    assert notebook.frames()[-1].kind == DELTA
    directory = [content for _, content, _ in notebook.sent if content["t"] == "series"]
    assert [series["metric"] for series in directory[-1]["series"]] == ["furnace/temperature"]
    table = chart.to_pandas()
    assert table["value"].tolist() == [*map(float, range(100)), 500.0]
    assert str(table["time"].dt.tz) == "UTC"


async def test_a_table_of_a_chart_takes_labels_of_any_name(
    service: Any, notebook: Notebook, eventually: Eventually
) -> None:
    for label in ("time", "value", "metric", "label.time"):
        await service.publish("m", 1.0, labels={label: "a"})
    chart = notebook.watch("m", url=service.url)
    await eventually(lambda: len(chart.to_pandas()) == 4)
    names = ["label.label.time", "label.metric", "label.time", "label.value"]
    table = chart.to_pandas()
    assert sorted(table.columns[2:-1]) == names
    assert [table.columns[0], table.columns[1], table.columns[-1]] == ["time", "metric", "value"]
    assert table["value"].tolist() == [1.0] * 4
    assert (table[names].notna().sum(axis=1) == 1).all()


async def test_a_table_of_a_chart_holds_the_newest_unit_only(
    service: Any, notebook: Notebook, eventually: Eventually, now_ms: float
) -> None:
    chart = notebook.watch("m", url=service.url)
    for n, (value, unit) in enumerate(((20.0, "Cel"), (21.0, "°C"), (68.0, "[degF]"), (69.0, ""))):
        await service.publish("m", value, time=[now_ms - 5_000 + n], unit=unit)
    await eventually(lambda: chart.to_pandas()["value"].tolist() == [68.0, 69.0])


async def test_a_chart_keeps_within_five_messages_a_second(
    service: Any, notebook: Notebook, eventually: Eventually
) -> None:
    await service.publish("m", 1.0)
    notebook.watch("m", url=service.url)
    await eventually(lambda: len(notebook.frames()) >= 28)
    sent = list(notebook.sent)
    frames = [n for n, (_, _, frame) in enumerate(sent) if frame is not None]
    first, last, ticks = frames[8], frames[-1], len(frames) - 9  # before them comes what is said once
    assert last - first <= ticks * 5.5 / 4, "five messages in the time of four frames"
    assert ticks / (sent[last][0] - sent[first][0]) <= 4.5, "a busy machine delays frames and never hurries them"
    kinds = [frame.kind for frame in notebook.frames()]
    assert kinds.count(SNAPSHOT) <= 3 + (notebook.sent[-1][0] - sent[0][0]) / 10, "one in ten seconds"


async def test_running_the_cell_again_replaces_the_chart(
    service: Any, notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    for execution in range(10):
        monkeypatch.setattr(widget, "current_cell", lambda _, run=execution: ("cell", str(run)))
        chart = notebook.watch("m", url=service.url)
        second = notebook.watch("n", url=service.url)
        assert chart.running
        assert second.running
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("tidewire-watch")]
    assert len(threads) == 2, "both charts of the last run, and none of those before"
    assert len(widget._charts) == 1


async def test_a_host_that_closes_the_connection_of_a_chart_ends_it(
    service: Any, notebook: Notebook, eventually: Eventually
) -> None:
    """Marimo does, with the charts of a cell that runs again; it does not close the widget."""
    for n in range(3):
        notebook.watch("m", url=service.url)
        notebook.charts[n].comm.close()
        await eventually(lambda n=n: not notebook.charts[n].running)
        assert notebook.charts[n].comm is None
    notebook.watch("m", url=service.url)
    assert sum(map(len, widget._charts.values())) == 1, "what has ended is not kept"


async def test_events_of_annotations_are_marks_and_no_series(
    service: Any, notebook: Notebook, eventually: Eventually
) -> None:
    await service.publish("furnace/temperature", 1.0)
    await service.publish("annotations", None, text=["deploy v2"])
    chart = notebook.watch("furnace/**", url=service.url)

    def events() -> list[str]:
        said = [content["events"] for _, content, _ in notebook.sent if content["t"] == "events"]
        return [event["text"] for event in said[-1]] if said else []

    await eventually(lambda: events() == ["deploy v2"])
    await eventually(lambda: chart.to_pandas()["metric"].tolist() == ["furnace/temperature"])
    everything = notebook.watch("**", url=service.url)
    await eventually(lambda: sorted(everything.to_pandas()["metric"]) == ["annotations", "furnace/temperature"])


async def test_a_chart_has_the_thresholds_of_the_service_and_their_alarms(
    service: Any, notebook: Notebook, eventually: Eventually
) -> None:
    limit = {"metric": "furnace/*", "warn_above": 935}
    answer = await service.http.put("/v1/thresholds", json={"thresholds": [limit]}, headers={"If-Match": "*"})
    assert answer.status_code == 200, answer.text
    await service.publish("furnace/temperature", 930.0)
    notebook.watch("furnace/**", url=service.url)

    def last(kind: str) -> Any:
        return next((content[kind] for _, content, _ in reversed(notebook.sent) if content["t"] == kind), None)

    await eventually(lambda: last("thresholds") == [{"metric": "furnace/*", "warn_above": 935.0}])
    assert last("alarms") == []
    await service.publish("furnace/temperature", 940.0)
    await eventually(lambda: [alarm["level"] for alarm in last("alarms")] == ["warn"])


async def test_a_paused_chart_stands_still_and_goes_on_with_a_snapshot(
    service: Any, notebook: Notebook, eventually: Eventually
) -> None:
    await service.publish("m", 1.0)
    chart = notebook.watch("m", url=service.url)
    await eventually(notebook.frames)
    chart.pause()
    before = len(notebook.frames())
    statuses = len([1 for _, content, _ in notebook.sent if content["t"] == "status"])
    await eventually(lambda: len([1 for _, content, _ in notebook.sent if content["t"] == "status"]) > statuses + 1)
    assert len(notebook.frames()) <= before + 1
    await service.publish("m", 2.0)
    chart.resume()
    await eventually(lambda: notebook.frames()[-1].records["last_value"].tolist() == [2.0])


async def test_what_the_deck_says_is_heard_and_nonsense_is_not(
    service: Any, notebook: Notebook, eventually: Eventually
) -> None:
    await service.publish("m", 1.0)
    chart = notebook.watch("m", url=service.url)
    await eventually(notebook.frames)
    for nonsense in (None, [], {}, {"t": "view"}, {"t": "view", "window_ms": "x", "buckets": 5}, {"t": "range"}):
        chart._on_message(nonsense, [])
    chart._on_message({"t": "view", "view": 0, "series": None, "window_ms": 60_000, "buckets": 60, "fps": 5}, [])
    assert chart.window_ms == 60_000
    await eventually(lambda: notebook.frames()[-1].step_ms == 1_000)
    end_ms = time.time() * 1e3
    chart._on_message(
        {"t": "range", "id": 9, "series": [0], "start_ms": end_ms - 9_000, "end_ms": end_ms, "buckets": 20}, []
    )
    await eventually(lambda: any(frame.kind == RANGE and frame.view == 9 for frame in notebook.frames()))
    assert json.dumps([content for _, content, _ in notebook.sent])


async def test_a_formula_has_a_view_of_its_own_beside_the_metrics(
    service: Any, notebook: Notebook, eventually: Eventually, now_ms: float
) -> None:
    for site, slope in (("a", 2.0), ("b", 3.0)):
        times = [now_ms - 60_000 + n * 1e3 for n in range(60)]
        await service.publish("http/requests_total", *(slope * n for n in range(60)), time=times, labels={"site": site})
    await service.publish("furnace/temperature", 7.0)
    formula = "rate(http/requests_total[20s])"
    chart = notebook.watch("furnace/**", f"={formula}", window="1m", url=service.url)
    await eventually(lambda: len(notebook.formula(formula).get("series", [])) == 2)
    state = notebook.formula(formula)
    view = state["view"]
    assert view >= 2
    assert sorted(one["labels"]["site"] for one in state["series"]) == ["a", "b"]

    def rates() -> list[float]:
        values = notebook.frames(view)[-1].records["last_value"].tolist()
        return sorted(round(value, 3) for value in values)

    await eventually(lambda: notebook.frames(view) and rates() == [2.0, 3.0])
    directory = [content for _, content, _ in notebook.sent if content["t"] == "series"]
    shown = {one["metric"] for content in directory for one in content["series"]}
    assert shown == {"furnace/temperature"}, "what only a formula reads has no chart"
    assert notebook.frames(0)[-1].records["last_value"].tolist() == [7.0]
    assert chart.to_pandas()["metric"].tolist() == ["furnace/temperature"]
    assert chart.formulas == [formula]
    end_ms = time.time() * 1e3
    chart._on_message(
        {"t": "view", "view": view, "series": [], "window_ms": 60_000, "buckets": 60, "formula": formula}, []
    )
    await eventually(lambda: notebook.frames(view)[-1].step_ms == 1_000)
    span = {"start_ms": end_ms - 30_000, "end_ms": end_ms, "buckets": 30}
    chart._on_message({"t": "range", "id": 5, "series": [], "formula": formula, **span}, [])
    await eventually(lambda: any(frame.kind == RANGE and frame.view == 5 for frame in notebook.frames()))


async def test_a_formula_that_cannot_be_evaluated_is_said_in_its_chart_and_the_others_go_on(
    service: Any, notebook: Notebook, eventually: Eventually
) -> None:
    for site in "ab":
        await service.publish("m", 1.0, labels={"site": site})
        await service.publish("n", 1.0, labels={"site": site, "x": site})
    wrong = "m + on() n"
    notebook.watch("=m", f"={wrong}", url=service.url)
    await eventually(lambda: notebook.formula(wrong).get("error"))
    assert wrong[notebook.formula(wrong)["error"]["position"]] == "+"
    await eventually(lambda: len(notebook.formula("m")["series"]) == 2)


async def test_many_series_are_a_band_and_are_not_sent_themselves(
    service: Any, notebook: Notebook, eventually: Eventually
) -> None:
    for n in range(30):
        await service.publish("fleet/cpu", float(n), labels={"host": f"h{n}"})
    await service.publish("fleet/load", 1.0)
    selector = '{__name__="fleet/cpu"}'
    chart = notebook.watch("fleet/**", url=service.url)
    await eventually(lambda: notebook.formula(selector, "band").get("of") == 30)
    assert {one["role"] for one in notebook.formula(selector, "band")["series"]} >= {"p5", "p50", "p95", "highest"}
    await eventually(lambda: notebook.frames(0)[-1].records["last_value"].tolist() == [1.0])
    assert parts_of(chart) == ["many"]
    other = notebook.watch("fleet/**", kind="heat map", url=service.url)
    assert parts_of(other) == ["many"]
    await eventually(lambda: notebook.formula(selector, "heat").get("of") == 30)


@pytest.mark.parametrize(("kind", "parts"), [(None, []), ("steps", []), ("gauge", ["kinds"]), ("histogram", ["kinds"])])
async def test_the_page_gets_the_parts_that_a_kind_needs(
    service: Any, notebook: Notebook, kind: str | None, parts: list[str]
) -> None:
    chart = notebook.watch("m", kind=kind, url=service.url)
    assert parts_of(chart) == parts
    assert all("TIDEWIRE_PLACE" in getattr(chart, f"part_{name}") for name in parts)


async def test_a_page_is_sent_each_part_once_and_one_that_is_opened_later_gets_all(
    service: Any, notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part has up to 30 kB: what a page has is not sent again with what is new."""
    updates: list[dict[str, Any]] = []
    monkeypatch.setattr(Chart, "_send", lambda _chart, message, buffers=None: updates.append(message["state"]))
    chart = notebook.watch("m", kind="gauge", url=service.url)
    updates.clear()
    chart.need(["kinds"])
    assert updates == []
    chart.need(["kinds", "many"])
    assert [list(state) for state in updates] == [["part_many"]]
    chart.need(["runs", "many"])
    assert [list(state) for state in updates] == [["part_many"], ["part_runs"]]
    state = chart.get_state()
    assert all("TIDEWIRE_PLACE" in state[f"part_{name}"] for name in ("kinds", "many", "runs"))


@pytest.mark.parametrize("kind", [None, "lines", "steps", "bars", "points", "stacked", "gauge"])
async def test_a_chart_of_many_series_gets_the_part_that_draws_them(
    service: Any, notebook: Notebook, eventually: Eventually, kind: str | None
) -> None:
    """The page takes it for any plot of 25 series, and for `lines` of one; without it the card would stay empty."""
    for n in range(30):
        await service.publish("fleet/cpu", float(n), labels={"host": f"h{n}"})
    chart = notebook.watch("fleet/cpu", kind=kind, url=service.url)
    wanted = "kinds" if kind == "gauge" else "many"
    await eventually(lambda: wanted in parts_of(chart))
    if kind not in (None, "gauge"):
        await eventually(lambda: [len(frame.records) for frame in notebook.frames(0)][-1:] == [30])


async def test_many_series_of_different_units_are_lines(
    service: Any, notebook: Notebook, eventually: Eventually
) -> None:
    for n in range(30):
        await service.publish("fleet/mixed", float(n), unit=("Cel", "W")[n % 2], labels={"host": f"h{n}"})
    chart = notebook.watch("fleet/mixed", url=service.url)
    await eventually(lambda: [len(frame.records) for frame in notebook.frames(0)][-1:] == [30])
    assert {"kinds", "many"} <= set(parts_of(chart))


def test_a_mistake_is_said_where_it_was_written_before_anything_is_drawn() -> None:
    with pytest.raises(ValueError, match=r"there is no function rat; did you mean rate") as caught:
        watch("=sum(rat(http/requests_total))")
    text, mark = str(caught.value).splitlines()[1:]
    assert text[mark.index("^") : mark.rindex("^") + 1] == "rat"
    for given, words in (
        ({"kind": "guage"}, "did you mean 'gauge'"),
        ({"x": "stpe"}, "expected one of clock, step, rel; did you mean 'step'"),
        ({"x": 7}, "expected one of clock, step, rel"),
        ({"x": "step", "kind": "gauge"}, "runs are lines over x='step'"),
    ):
        with pytest.raises(ValueError, match=words):
            watch("m", **given)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a formula has no runs"):
        watch("m", "=rate(m)", x="rel")
    with pytest.raises(ValueError, match="behind '='"):
        watch("=")
    assert not widget._charts


def test_a_name_that_looks_like_a_formula_is_warned_of(notebook: Notebook, service: Any) -> None:
    with pytest.warns(UserWarning, match="begins with '='"):
        notebook.watch("rate(http/requests_total)", url=service.url)


@pytest.mark.parametrize("window", ["", "5", "5 m", "-5m", "0s", "25h", "5d"])
def test_a_window_that_cannot_be_read_says_what_would_be(window: str) -> None:
    with pytest.raises(InvalidInput, match="5m"):
        watch("m", window=window)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"patterns": ["a"]}, "pattern"),
        ({"patterns": 5}, "pattern"),
        ({"window": 5}, "window"),
        ({"url": "foo"}, "url"),
        ({"labels": {"x": 1}}, "labels"),
        ({"token": "a\n"}, "token"),
    ],
)
def test_what_can_never_be_watched_is_said_at_once(given: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        watch(given.pop("patterns", "m"), **given)
    assert caught.value.field.startswith(field)
    assert not widget._charts


def test_a_pattern_is_needed() -> None:
    with pytest.raises(InvalidInput, match="at least one"):
        watch()


def test_without_the_extra_one_sentence_says_what_to_install() -> None:
    program = "import sys; sys.modules['anywidget'] = None\nimport tidewire.notebook.widget"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.endswith("watch() needs the extra 'notebook': pip install 'tidewire[notebook]'")


def test_a_chart_opens_the_dashboard_that_shows_the_same_service(notebook: Notebook, service: Any) -> None:
    assert notebook.watch("m", url=service.url).dashboard_url == "", "that of the defaults may show another service"
    assert notebook.watch("m", url=service.url, dashboard="http://wall:5006/").dashboard_url == "http://wall:5006"
    assert notebook.watch("m").dashboard_url == "http://127.0.0.1:5006"
    for nowhere in ("wall", "javascript:alert(1)", "http://", "http://wall/?x"):
        with pytest.raises(InvalidInput, match="dashboard"):
            notebook.watch("m", dashboard=nowhere)
