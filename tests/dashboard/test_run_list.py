"""The list of runs: how each stands by the rule of the charts, its settings, and what it takes of the event loop."""

from __future__ import annotations

import asyncio

import msgspec
import numpy as np
import pytest
from loop_meter import HELD_S, measured

from tidewire.livestore.run_list import MAX_RUNS, RunList, config_prefixes
from tidewire.livestore.run_series import RunSeries
from tidewire.livestore.series import Series
from tidewire.livestore.store import Store
from tidewire.model.batch import Batch

T0 = 1_790_000_000_000.0


class Training:
    """A store with runs; times are seconds since `T0`."""

    def __init__(self) -> None:
        self.store = Store()
        self.list = RunList(self.store)
        self.own: dict[str, tuple[Series, RunSeries]] = {}
        self._n = 0

    def publish(
        self, came_s: float, *times_s: float, metric: str = "t/loss", value: float | None = 1.0, **labels: str
    ) -> None:
        """Publish readings that come together."""
        self._n += 1
        times = [T0 + 1e3 * at for at in times_s]
        batch = Batch(metric=metric, labels=labels, time=times, value=[value] * len(times))
        self.store.append(batch, int(T0 + 1e3 * came_s) << 32 | self._n)
        if metric == "t/loss":
            series = self.store.find(metric, labels)
            assert series is not None
            _, lines = self.own.setdefault(labels["run"], (series, RunSeries()))
            lines.add(np.array(times), np.array([value] * len(times), dtype=np.float64), np.array(times_s), None)

    def say(self, at_s: float, metric: str, text: str, **labels: str) -> None:
        """Publish a setting that is a word."""
        self._n += 1
        at_ms = T0 + 1e3 * at_s
        batch = Batch(metric=metric, labels=labels, time=[at_ms], value=[None], text=[text])
        self.store.append(batch, int(at_ms) << 32 | self._n)

    def state(self, run: str, now_s: float) -> str:
        return self.list.state([self.own[run]], T0 + 1e3 * now_s)

    def settings(self, run: str, *, may_see: str = "") -> dict[str, float | str]:
        runs, _, complete = self.list.newest(
            [self.own[run]], ["t/loss"], lambda metric: not may_see or metric == may_see, T0
        )
        assert complete
        return runs[0].settings


def test_a_run_is_live_then_stale_then_stopped_as_its_chart_is() -> None:
    training = Training()
    for second in range(100):
        training.publish(second, second, run="a")
    states = [(silence_s, training.state("a", 99 + silence_s)) for silence_s in (1, 3, 4, 60, 61)]
    assert states == [(1, "live"), (3, "live"), (4, "stale"), (60, "stale"), (61, "stopped")]


def test_a_run_whose_readings_come_together_is_not_stopped_between_two_deliveries() -> None:
    training = Training()
    for minute in range(1, 9):
        training.publish(60 * minute, *range(60 * (minute - 1), 60 * minute), run="a")
    assert training.state("a", 480 + 59) == "live"
    assert training.state("a", 480 + 170) == "live"
    assert training.state("a", 480 + 190) == "stale"
    assert training.state("a", 480 + 1_900) == "stopped"


def test_a_run_has_the_settings_of_its_labels_and_of_fewer() -> None:
    training = Training()
    training.publish(1, 1, run="a", split="val")
    training.publish(0, 0, metric="t/config/lr", value=0.1, run="a")
    training.publish(0, 0, metric="config/seed", value=7.0)
    training.publish(0, 0, metric="t/config/lr", value=0.3, run="b")
    training.publish(0, 0, metric="u/config/lr", value=0.5, run="a")
    training.publish(0, 0, metric="t/configs/lr", value=0.5, run="a")
    training.say(0, "t/config/model/name", "ResNet", run="a")
    assert training.settings("a") == {"lr": 0.1, "model/name": "ResNet", "seed": 7.0}
    assert training.settings("a", may_see="config/seed") == {"seed": 7.0}
    training.publish(2, 2, metric="t/config/late", value=1.0, run="a")
    training.say(3, "t/config/model/name", "ViT", run="a")
    assert training.settings("a") == {"late": 1.0, "lr": 0.1, "model/name": "ViT", "seed": 7.0}


def test_a_run_has_at_most_64_settings() -> None:
    training = Training()
    training.publish(1, 1, run="a")
    for n in range(100):
        training.publish(0, 0, metric=f"t/config/{n:03}", value=float(n), run="a")
    assert len(training.settings("a")) == 64


def test_settings_stand_below_any_level_of_a_metric() -> None:
    assert config_prefixes("loss") == [""]
    assert config_prefixes("cats/val/loss") == ["", "/cats", "/cats/val"]


@pytest.mark.parametrize("labels", [1, 2], ids=["of the run alone", "beside another label"])
async def test_900_runs_of_60_settings_hold_the_loop_for_a_turn(labels: int) -> None:
    training = Training()
    for run in range(900):
        own = {"run": f"{run:03}", "split": "val"} if labels == 2 else {"run": f"{run:03}"}
        training.publish(run, run, **own)
        for n in range(60):
            training.publish(run, run, metric=f"t/config/{n:02}", value=float(n), run=f"{run:03}")
    series = list(training.own.values())

    async def ask() -> list[bytes]:
        training.list = RunList(training.store)
        answers = []
        for _ in range(100):
            runs, of, complete = training.list.newest(series, ["t/loss"], lambda _: True, T0)
            answers.append(msgspec.json.encode(runs))
            await asyncio.sleep(0)
            if complete:
                break
        assert of == 900
        assert [entry.labels["run"] for entry in runs] == [f"{run:03}" for run in range(899, 899 - MAX_RUNS, -1)]
        assert all(len(entry.settings) == 60 for entry in runs)
        return answers

    held_s, found = await measured(ask)
    assert len(found[0]) > 1
    assert held_s < HELD_S
