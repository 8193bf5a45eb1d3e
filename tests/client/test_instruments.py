"""What measures code, on a real Valkey: what is in the log afterwards."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from servers import Valkey
from waiting import generous

from tidewire.errors import InvalidInput
from tidewire.model.batch import FINISHED, Batch, decode_batch
from tidewire.publishing.experiment_runs import init, log
from tidewire.publishing.instruments import LogHandler, counted, timed, track
from tidewire.publishing.publisher import Publisher
from tidewire.redislog.log import BlockingRedisLog


class Publishing:
    """A publisher and what came of it.

    Attributes:
        publisher: of this test alone.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self.publisher = Publisher(url)

    def batches(self, *metrics: str) -> list[Batch]:
        """Return what is in the log of these metrics."""
        assert self.publisher.flush()
        reading = BlockingRedisLog(self._url)
        try:
            keys = [f"tw:{{0}}:log:{metric}" for metric in metrics]
            client: Any = reading.redis  # its types allow for every way to decode
            entries = [fields for key in keys for _, fields in client.xrange(key)]
            return [decode_batch(fields[b"d"]) for fields in entries]
        finally:
            reading.redis.close()

    def values(self, metric: str, **labels: str) -> list[float | None]:
        return [value for batch in self.batches(metric) if batch.labels == labels for value in batch.value]

    def texts(self, metric: str) -> list[str | None]:
        return [text for batch in self.batches(metric) for text in batch.text or [None] * len(batch)]


@pytest.fixture
def publishing(valkey: Valkey) -> Iterator[Publishing]:
    made = Publishing(valkey.url)
    yield made
    made.publisher.close()


def test_a_block_and_a_function_are_timed_and_exceptions_pass(publishing: Publishing) -> None:
    timer = timed("job/seconds", labels={"job": "a"}, publisher=publishing.publisher)
    with timer, timer:  # entered again inside itself
        time.sleep(0.02)

    @timer
    def work(times: int) -> int:
        """Work."""
        time.sleep(0.01)
        return times * 2

    assert (work(3), work.__name__, work.__doc__) == (6, "work", "Work.")
    with pytest.raises(ZeroDivisionError), timer:
        _ = 1 / 0
    took = [value or 0 for value in publishing.values("job/seconds", job="a")]
    assert len(took) == 4
    assert 0.02 <= min(took[:2]) < generous(1)
    assert 0.01 <= took[2] < generous(1)
    assert publishing.batches("job/seconds")[0].unit == "s"


async def test_async_functions_are_timed_each_for_itself(publishing: Publishing) -> None:
    @timed("job/seconds", publisher=publishing.publisher)
    async def work(seconds: float) -> None:
        await asyncio.sleep(seconds)

    await asyncio.gather(work(0.15), work(0.01))
    quick, slow = await asyncio.to_thread(publishing.values, "job/seconds")
    assert quick is not None
    assert slow is not None
    assert 0.01 <= quick < slow
    assert slow >= 0.15


async def test_a_timer_that_tasks_share_tells_their_blocks_apart(publishing: Publishing) -> None:
    timer = timed("job/seconds", publisher=publishing.publisher)

    async def block(begin_s: float, took_s: float) -> None:
        await asyncio.sleep(begin_s)
        with timer:
            await asyncio.sleep(took_s)

    await asyncio.gather(block(0, 0.1), block(0.05, 0.3))  # the second begins last and ends last
    values = [value or 0 for value in await asyncio.to_thread(publishing.values, "job/seconds")]
    assert values[0] >= 0.1, "not from where the other began"
    assert values[1] >= 0.3


def test_a_generator_is_refused_at_once() -> None:
    def numbers() -> Iterator[int]:
        yield 1

    with pytest.raises(InvalidInput, match="generator"):
        timed("job/seconds")(numbers)


@pytest.mark.parametrize("kind", [timed, counted])
def test_a_wrong_name_or_label_is_said_where_it_is_written(kind: Any) -> None:
    for metric, labels in (("a//b", None), ("a", {"x": 1})):
        with pytest.raises(InvalidInput):
            kind(metric, labels=labels)
    with pytest.raises(InvalidInput):
        track([], "a//b")


def test_calls_are_counted_over_threads_and_errors_apart(publishing: Publishing) -> None:
    @counted("job/done", publisher=publishing.publisher)
    def work(fails: bool) -> None:
        if fails:
            raise ValueError("said so")

    def many() -> None:
        for _ in range(50):
            work(False)

    threads = [threading.Thread(target=many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for _ in range(2):
        with pytest.raises(ValueError, match="said so"):
            work(True)
    assert sorted(value or 0 for value in publishing.values("job/done")) == [float(n + 1) for n in range(200)]
    assert publishing.values("job/done", outcome="error") == [1.0, 2.0]


def test_a_loop_is_tracked_to_its_end(publishing: Publishing) -> None:
    seen, started = [], time.monotonic()
    for item in track(range(14), "train", labels={"run": "1"}, publisher=publishing.publisher):
        seen.append(item)
        time.sleep(0.1)
    took_s = time.monotonic() - started
    assert seen == list(range(14))
    done, progress, eta, rate = (
        publishing.values(f"train/{name}", run="1") for name in ("done", "progress", "eta", "rate")
    )
    assert done[-1] == 14
    for name in ("done", "progress", "eta", "rate"):
        assert publishing.texts(f"train/{name}")[-1] == FINISHED
    assert 3 <= len(done) <= 2 * took_s + 1, "twice a second, and the end"
    assert progress[-1] == 100
    assert eta[-1] == 0
    assert rate[0] is not None
    assert done[0] is not None
    assert 0 < rate[0] <= 10
    assert eta[0] == pytest.approx((14 - done[0]) / rate[0])


def test_a_loop_without_a_length_that_is_left_says_how_far_it_came(publishing: Publishing) -> None:
    for item in track(iter(range(100)), "train", publisher=publishing.publisher):
        if item == 7:
            break
    assert publishing.values("train/done")[-1] == 7.0
    assert set(publishing.texts("train/done")) == {None}, "nobody knows whether it goes on"
    assert publishing.batches("train/progress", "train/eta") == []


def test_what_is_no_loop_is_refused_at_once(publishing: Publishing) -> None:
    async def endless() -> AsyncIterator[int]:
        yield 1

    for nothing, why in ((5, "range"), (endless(), "asynchronous")):
        with pytest.raises(InvalidInput, match=why):
            track(nothing, "train", publisher=publishing.publisher)  # type: ignore[arg-type, var-annotated]
    with pytest.raises(InvalidInput, match="dict"):
        log([("loss", 1)], publisher=publishing.publisher)  # type: ignore[arg-type]


def test_a_dict_is_logged_like_in_an_experiment_tracker(
    publishing: Publishing, caplog: pytest.LogCaptureFixture
) -> None:
    for step in range(2):
        values = {
            "loss": np.float32(0.5),
            "val": {"loss": 0.25, "ok": True},
            "picture": [1, 2],
            "note": "x",
            "nan": None,
        }
        log(values, step=step, prefix="train", publisher=publishing.publisher)
    (loss,) = publishing.batches("train/loss")
    assert (loss.value, loss.step) == ([0.5, 0.5], [0.0, 1.0])
    assert publishing.values("train/val/loss") == [0.25, 0.25]
    assert publishing.values("train/val/ok") == [1.0, 1.0]
    assert publishing.values("train/nan") == [None, None]
    told = [record.message for record in caplog.records if "no number" in record.message]
    assert told == [
        "train/picture is list and no number; it is not published",
        "train/note is str and no number; it is not published",
    ]
    with pytest.raises(InvalidInput):
        log({"a//b": 1}, publisher=publishing.publisher)


def test_numeric_extras_of_log_records_are_published(publishing: Publishing) -> None:
    logger = logging.getLogger("plant.furnace")
    handler = LogHandler(labels={"site": "A"}, publisher=publishing.publisher)
    logger.addHandler(handler)
    try:
        logger.warning("melted", extra={"temperature": 921.5, "operator": "kim", "batch": np.int64(3)})
        logging.getLogger("tidewire.x").warning("ours", extra={"temperature": 1})
    finally:
        logger.removeHandler(handler)
    assert publishing.values("plant/furnace/temperature", site="A") == [921.5]
    assert publishing.values("plant/furnace/batch", site="A") == [3.0]
    assert publishing.batches("plant/furnace/operator", "plant/furnace/lineno", "tidewire/x/temperature") == []


def test_a_log_record_that_cannot_be_published_does_not_stop_the_program(
    publishing: Publishing, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = logging.getLogger("a..b")
    handler = LogHandler(publisher=publishing.publisher)
    logger.addHandler(handler)
    try:
        logger.warning("said", extra={"x": 1})
    finally:
        logger.removeHandler(handler)
    assert "empty level" in capsys.readouterr().err


def test_a_script_of_an_experiment_tracker_runs_as_it_is(valkey: Valkey) -> None:
    """The first example of such trackers' documentation, but for the import."""
    script = """
import argparse
import tidewire as wandb
wandb.log({"before": 1})
run = wandb.init(project="cats", name="a", config={"lr": 0.02, "architecture": "CNN"}, tags=["x"])
for epoch in range(2, 4):
    wandb.log({"acc": 1 - 2 ** -epoch, "loss": 2 ** -epoch})
run.log({"acc": 0.5}, step=9)
wandb.finish()
wandb.log({"after": 1})
with wandb.init("dogs", config=argparse.Namespace(lr=0.1)) as run:
    wandb.log({"loss": 1})
assert run.config["lr"] == 0.1
wandb.finish()
"""
    environment = {**os.environ, "TIDEWIRE_REDIS": valkey.url}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "init() has no use for tags; left out\n")
    reading = Publishing(valkey.url)
    try:
        assert reading.values("cats/acc", run="a") == [0.75, 0.875, 0.5, 0.5], "the last once more: it has ended"
        assert reading.values("cats/config/lr", run="a") == [0.02, 0.02]
        assert reading.values("before") == reading.values("after") == [1.0, 1.0]
        (of_dogs,) = reading.batches("dogs/loss")
        assert set(of_dogs.labels) == {"run"}
    finally:
        reading.publisher.close()


def test_a_run_that_finished_says_so_of_each_series_and_one_that_broke_off_does_not(publishing: Publishing) -> None:
    own = publishing.publisher
    with init("p", name="a"):
        for step in range(3):
            log({"loss": step / 4}, step=step, publisher=own)
        log({"other": 1}, labels={"site": "A"}, publisher=own)
        logged_ms = time.time() * 1e3
        time.sleep(0.02)
    with suppress(ZeroDivisionError), init("p", name="b"):
        log({"broken": 1 / 1, "worse": 2}, publisher=own)
        _ = 1 / 0
    log({"p/loss": 9}, labels={"run": "a"}, publisher=own)  # it goes on
    batches = publishing.batches("p/loss")
    rows = [row for each in batches for row in zip(each.time, each.value, each.text or [None] * 9, strict=False)]
    assert [value for _, value, _ in rows] == [0.0, 0.25, 0.5, 0.5, 9.0]
    assert [text for _, _, text in rows] == [None, None, None, FINISHED, None]
    assert [step for each in batches for step in each.step or [None]] == [0, 1, 2, 2, None]
    assert rows[2][0] <= rows[3][0] <= logged_ms < rows[4][0], "at the time of the reading, and not of the end"
    assert publishing.texts("p/other") == [None, FINISHED]
    assert publishing.texts("p/broken") == publishing.texts("p/worse") == [None]


@pytest.mark.parametrize("given", [{"project": "a//b"}, {"name": "a\n"}, {"config": 5}])
def test_a_run_that_can_never_be_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        init(**given)
