"""Stills of runs over their steps, or the time since each began: names, colours, ticks, and what has no line."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from PIL import Image

from tidewire.livestore.messages import RunEntry, RunMetric, RunPoints, RunsAnswer
from tidewire.livestore.store import Store
from tidewire.model.batch import Batch
from tidewire.notebook.drawn import Axis
from tidewire.notebook.snapshot import snapshot_png
from tidewire.notebook.snapshot_canvas import LINE_COLOURS, SHARP, Canvas
from tidewire.notebook.still_frame import LEFT, RIGHT
from tidewire.notebook.still_runs import draw_runs, run_ticks, runs_line, runs_of

NOW_MS = 1_790_000_000_000.0
PLACES = json.loads((Path(__file__).parents[1] / "chart" / "vectors" / "ticks.json").read_text())["places"]
RUNS: list[dict[str, str]] = [{"run": "a", "seed": "1"}, {"run": "a", "seed": "2"}, {"host": "hall"}]


class Written(Canvas):
    """Records what is written on it, and the lines of runs."""

    def __init__(self, height: int) -> None:
        super().__init__(height)
        self.words: list[str] = []
        self.lines: list[tuple[str, list[tuple[float, float]]]] = []
        self.dashes: dict[float, list[tuple[str, tuple[float, ...]]]] = {}

    def text(self, x: float, y: float, words: str, colour: str, size: int, *, right: bool = False) -> float:
        self.words.append(words)
        return super().text(x, y, words, colour, size, right=right)

    def line(self, points: Any, colour: str, width: float, dash: Any = ()) -> None:
        if width == 1.5:
            self.lines.append((colour, list(points)))
        self.dashes.setdefault(width, []).append((colour, tuple(dash)))
        super().line(points, colour, width, dash)


def answered(store: Store, *metrics: str, step: float | None = 100.0, points: bool = True) -> RunsAnswer:
    """Return an answer of the runs above: one began at NOW_MS, the next an hour later, and so on."""
    runs, lines = [], []
    for number, labels in enumerate(RUNS):
        own = []
        for metric in metrics:
            store.append(Batch(metric=metric, time=[NOW_MS], value=[1.0], unit="s", labels=labels), int(NOW_MS) << 32)
            series = store.find(metric, labels)
            assert series is not None
            own.append(RunMetric(i=series.index, last=1.0, least=0.0, greatest=1.0, count=3))
            if points:
                mean = [3.0, 2.0, 1.0 + number]
                more: dict[str, list[float]] = {name: [] for name in ("min", "max", "first", "last")}
                x = [0.0, 50.0, 100.0 + number]
                lines.append(RunPoints(i=series.index, version=1, start=0, x=x, mean=mean, **more))
        start_ms = NOW_MS + 3_600e3 * number
        entry = {"state": "live", "start_ms": start_ms, "end_ms": start_ms + 10, "settings": {}}
        runs.append(RunEntry(labels=labels, step=step, metrics=own, **entry))  # type: ignore[arg-type]
    told: dict[str, Any] = {"loading": False, "more": False, "of": len(runs), "problem": "", "refused": {}}
    return RunsAnswer(id=0, axis="step", runs=runs, lines=lines, **told)


def drawn(answer: RunsAnswer, store: Store, axis: Axis = "step") -> list[Written]:
    found = []
    for chart in runs_of(answer, store.series, axis):
        canvas = Written(220)
        draw_runs(canvas, 0, 220, chart)
        found.append(canvas)
    return found


@pytest.mark.parametrize("case", PLACES, ids=str)
def test_x_has_the_ticks_of_the_live_chart(case: dict[str, Any]) -> None:
    found = run_ticks(case["axis"], case["start"], case["end"], case["px"])
    assert [[at, text] for at, text in found] == case["labels"]


def test_each_run_is_a_line_in_its_colour_named_as_on_the_page() -> None:
    store = Store()
    answer = answered(store, "t/time", "t/config/lr")
    [canvas] = drawn(answer, store)
    assert canvas.words[:2] == ["t/time", "s"]
    names = [words.rpartition(" ")[0] for words in canvas.words if words.startswith(("a ", "hall "))]
    assert names == ["a seed1", "a seed2", "hall"]
    colours = [LINE_COLOURS[series.colour % 12] for series in store.series if series.metric == "t/time"]
    assert [colour for colour, _ in canvas.lines] == colours
    edges = {points[0][0] for _, points in canvas.lines}
    assert edges == {LEFT}, "all begin at step 0"
    ends = [points[-1][0] for _, points in canvas.lines]
    assert ends == sorted(ends)
    assert ends[-1] < 880 - RIGHT
    assert {"0", "50", "100"} <= set(canvas.words)


def test_over_run_time_runs_of_other_hours_begin_together() -> None:
    store = Store()
    answer = answered(store, "t/time")
    extremes = {"min": [0.5, 1.5], "max": [4.0, 2.5], "first": [1.0, 1.5], "last": [0.5, 2.5]}
    moved = [
        msgspec.structs.replace(line, x=[run.start_ms, run.start_ms + 90_000], mean=[1.0, 2.0], **extremes)
        for line, run in zip(answer.lines, answer.runs, strict=True)
    ]
    [canvas] = drawn(msgspec.structs.replace(answer, lines=moved), store, "rel")
    assert {"0 s", "1 min", "1 min 15 s"} <= set(canvas.words)
    assert [len(points) for _, points in canvas.lines] == [6, 6, 6], "down again to the last of the first column"
    assert "4" in canvas.words, "the axis holds every extreme"


def test_what_has_no_step_is_said_in_its_panel_and_caption() -> None:
    store = Store()
    answer = answered(store, "t/time", step=None, points=False)
    [canvas] = drawn(answer, store)
    assert [words for words in canvas.words if words] == ["t/time", "no run has a step of this"]
    assert runs_line("t/**", answer, "now") == "t/** · 3 runs · now"
    assert runs_line("t/**", None, "now") == "t/** · no run until now"
    none = msgspec.structs.replace(answer, runs=[])
    assert runs_line("t/**", none, "now") == "t/** · no run until now"
    assert runs_line("t/**", msgspec.structs.replace(none, loading=True), "now") == "t/** · runs not read yet · now"
    assert runs_line("t/**", answered(Store(), "t/time"), "now") == "t/** · 3 runs · step 100 · now"
    assert runs_of(None, [], "step") == []


def test_a_still_of_runs_is_a_picture_with_a_panel_for_each_metric() -> None:
    store = Store()
    answer = answered(store, "t/time", "t/loss")
    png = snapshot_png("two", runs_of(answer, store.series, "step"))
    image = Image.open(io.BytesIO(png)).convert("RGB")
    assert image.height == (2 * 170 + 26) * SHARP
    colours = {f"#{r:02X}{g:02X}{b:02X}" for _, (r, g, b) in image.getcolors(1 << 24) or []}  # type: ignore[misc]
    assert {LINE_COLOURS[series.colour % 12] for series in store.series} <= colours
    assert len(png) < 60_000


def test_a_spike_in_a_column_of_a_run_goes_up_and_down_again() -> None:
    store = Store()
    answer = answered(store, "t/time")
    columns = {"min": [0.0, 0.0], "max": [0.0, 50.0], "first": [0.0, 0.0], "last": [0.0, 0.0]}
    lines = [msgspec.structs.replace(line, x=[0.0, 50.0], mean=[0.0, 1.0], **columns) for line in answer.lines]
    [canvas] = drawn(msgspec.structs.replace(answer, lines=lines), store)
    for _, points in canvas.lines:
        (_, foot), up, top, down = points
        assert [up[1], down[1]] == [foot, foot]
        assert top[1] < foot
        assert up[0] == top[0] == down[0]


def test_the_legend_has_the_newest_value_and_not_the_mean_of_the_last_column() -> None:
    store = Store()
    answer = answered(store, "t/time")
    columns = {"min": [5.0, 0.25], "max": [5.0, 5.0], "first": [5.0, 5.0], "last": [5.0, 0.25]}
    lines = [msgspec.structs.replace(line, x=[0.0, 50.0], mean=[5.0, 4.852], **columns) for line in answer.lines]
    [canvas] = drawn(msgspec.structs.replace(answer, lines=lines), store)
    assert "hall 0.250" in canvas.words
    whole = [msgspec.structs.replace(line, mean=[5.0, 4.0]) for line in lines]
    [canvas] = drawn(msgspec.structs.replace(answer, lines=whole), store)
    assert "hall 0.250" in canvas.words, "with its digits, though the means are whole numbers"


def test_runs_of_one_colour_are_told_apart_by_dashes() -> None:
    store = Store()
    answer = answered(store, "t/time")
    for series in store.series:
        series.colour = {0: 3, 1: 15, 2: 4}[series.index]
    [canvas] = drawn(answer, store)
    assert canvas.dashes[1.5] == [(LINE_COLOURS[3], ()), (LINE_COLOURS[3], (6, 3)), (LINE_COLOURS[4], ())]
    assert [dash for _, dash in canvas.dashes[2]] == [(), (3, 1.5), ()], "half as long in the legend"
