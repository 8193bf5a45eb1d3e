"""watch(x=…) without a notebook: runs over their steps and run time, and what is said where there are none."""

from __future__ import annotations

import json
from typing import Any

from waiting import Eventually

from .test_widget import Notebook, notebook, parts_of

__all__ = ["notebook"]


async def test_runs_begin_together_at_their_first_step_however_long_ago_and_go_on(
    service: Any, notebook: Notebook, eventually: Eventually, now_ms: float
) -> None:
    early = [now_ms - 5 * 3_600e3 + 1e3 * n for n in range(40)]
    steps = [float(n) for n in range(40)]
    loss = [2.0 / (n + 1) for n in range(40)]
    await service.publish("t/loss", *loss, time=early, step=steps, labels={"run": "old"})
    await service.publish("t/loss", 3.0, 2.5, step=[0, 1], labels={"run": "new"})
    await service.publish("t/config/lr", 0.1, labels={"run": "new"})
    await service.publish("other", 1.0, labels={"run": "new"})
    chart = notebook.watch("t/**", x="step", url=service.url)
    assert parts_of(chart) == ["runs"]
    lines: dict[str, tuple[list[float], list[float]]] = {}

    def whole() -> dict[str, tuple[list[float], list[float]]]:
        runs = chart._runs
        if runs is None or runs.loading or runs.more:
            return {}
        names = {metric.i: run.labels["run"] for run in runs.runs for metric in run.metrics}
        lines.update({names[line.i]: (line.x, line.mean) for line in runs.lines})
        return lines

    await eventually(lambda: whole() == {"old": (steps, loss), "new": ([0.0, 1.0], [3.0, 2.5])})
    await service.publish("t/loss", 2.25, step=[2], labels={"run": "new"})
    await eventually(lambda: whole().get("new") == ([0.0, 1.0, 2.0], [3.0, 2.5, 2.25]))
    said = [content for _, content, _ in notebook.sent if content["t"] == "runs"]
    assert json.dumps(said)
    assert said[-1]["lines"][0]["start"] == 2, "only what is new is sent"
    assert notebook.frames() == [], "nothing is drawn over the clock"
    named = next(content for content in said if content["lines"])
    assert {metric["i"] for run in named["runs"] for metric in run["metrics"]} == {line["i"] for line in named["lines"]}
    said.clear()
    chart._on_message({"t": "hello"}, [])
    last = len(notebook.sent)
    await eventually(
        lambda: any(
            sum(len(line["x"]) for line in content["lines"] if line["start"] == 0) == 43
            for _, content, _ in notebook.sent[last:]
            if content["t"] == "runs"
        )
    )
    other = notebook.watch("t/**", x="rel", url=service.url)
    await eventually(lambda: other._runs is not None and len(other._runs.lines) == 2)
    assert other._runs is not None
    assert other._runs.axis == "time"


async def test_what_has_no_steps_or_no_chart_says_so_and_the_cell_goes_on(
    service: Any, notebook: Notebook, eventually: Eventually
) -> None:
    await service.publish("plain", 1.0, labels={"run": "a"})
    await service.publish("t/config/lr", 0.1, labels={"run": "a"})
    plain = notebook.watch("plain", x="step", url=service.url)
    await eventually(lambda: plain._runs is not None and [run.step for run in plain._runs.runs] == [None])
    assert plain._snapshot()["text/plain"].startswith("plain · 1 run · 20")  # type: ignore[attr-defined]
    settings = notebook.watch("t/**", x="step", url=service.url)
    await eventually(lambda: settings._runs is not None)
    assert settings._runs is not None
    assert "settings" in settings._runs.problem
    nothing = notebook.watch("nothing/here", x="step", url=service.url)
    assert "no run until" in str(nothing._snapshot()["text/plain"])
