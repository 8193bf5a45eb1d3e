"""The publisher on a real Valkey and a real service: quick, never raising, nothing doubled, everything counted."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import gc
import itertools
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from servers import LiveService, StartService, Valkey
from waiting import HANG_S, Eventually, generous

import tidewire
from tidewire.errors import InvalidInput
from tidewire.model.batch import decode_batch
from tidewire.publishing.publisher import AsyncPublisher, Publisher, publish_url
from tidewire.redislog.keys import Keys
from tidewire.redislog.log import RedisLog

from .log_contents import stored


async def test_what_was_published_is_in_the_log_once_and_in_order(valkey: Valkey) -> None:
    with Publisher(valkey.url) as publisher:
        for n in range(5_000):
            publisher.publish("a", n, unit="Cel")
    assert await stored(valkey.url, "a") == [float(n) for n in range(5_000)]
    assert publisher.stats.sent == 5_000
    assert publisher.stats.queued == publisher.stats.dropped == 0


async def test_a_dict_labels_columns_events_and_steps(valkey: Valkey) -> None:
    with Publisher(valkey.url) as publisher:
        publisher.publish({"train/loss": 0.3, "train/acc": True}, labels={"run": "1"}, step=7)
        publisher.publish("col", [1.0, None, float("nan")], time=[time.time() * 1e3] * 3)
        publisher.publish("annotations", None, text="deploy v2")
    log = RedisLog(valkey.url)
    lists, _ = await log.entries_after([(m, 0) for m in ("train/loss", "train/acc", "col", "annotations")])
    loss, acc, col, event = (decode_batch(entries[0].body) for entries in lists)
    await log.close()
    assert (loss.value, loss.step, loss.labels) == ([0.3], [7.0], {"run": "1"})
    assert acc.value == [1.0]
    assert col.value == [1.0, None, None]
    assert (event.value, event.text) == ([None], ["deploy v2"])


class Word(enum.StrEnum):
    """Texts that are no plain `str`: encoders refuse them."""

    METRIC = "m/word"
    UNIT = "Cel"
    NAME = "site"
    VALUE = "A"
    TEXT = "deploy"


@pytest.mark.parametrize("kind", [Word, np.str_, type("Text", (str,), {})])
async def test_texts_of_any_class_arrive_as_texts(valkey: Valkey, kind: Callable[[str], str]) -> None:
    metric, unit, name, value, text = map(kind, Word)
    with Publisher(valkey.url) as publisher:
        for given in ({}, {"unit": unit}, {"labels": {name: value}}, {"text": text}, {"unit": unit, "time": None}):
            publisher.publish(metric, 1.0, **given)  # type: ignore[arg-type]
            publisher.publish("m/plain", 1.0, **given)  # type: ignore[arg-type]
            publisher.publish({metric: 1.0}, **given)  # type: ignore[arg-type]
        publisher.publish(metric, [1.0, 2.0], text=[text, None])
        assert publisher.flush(HANG_S)
        assert (publisher.stats.sent, publisher.stats.rejected) == (17, 0)
    assert len(await stored(valkey.url, "m/word")) == 12
    assert len(await stored(valkey.url, "m/plain")) == 5


async def test_a_masked_value_is_no_number(valkey: Valkey, recwarn: pytest.WarningsRecorder) -> None:
    with Publisher(valkey.url) as publisher:
        publisher.publish("a", np.ma.masked)
        publisher.publish("a", np.ma.array([1.0, 2.0], mask=[False, True]))
    assert await stored(valkey.url, "a") == [None, 1.0, None]
    assert not recwarn.list


@pytest.mark.parametrize(
    ("metric", "more", "field"),
    [
        ("a//b", {}, "metric"),
        (3, {}, "metric"),
        ("a", {"value": "921"}, "value"),
        ("a", {"unit": "C\n"}, "unit"),
        ("a", {"labels": {"x": 1}}, "labels"),
        ("a", {"time": 1_763_871_234}, "time"),
        ("a", {"value": [1, 2], "time": [1]}, "time"),
    ],
)
def test_a_wrong_argument_raises_at_once_and_publishes_nothing(metric: Any, more: dict[str, Any], field: str) -> None:
    publisher = Publisher("redis://127.0.0.1:1")
    with pytest.raises(InvalidInput) as caught:
        publisher.publish(metric, **{"value": 1.0, **more})
    assert caught.value.field.startswith(field)
    assert publisher.stats.queued == 0


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"url": 5}, "url"),
        ({"url": "redis://127.0.0.1:99999"}, "url"),
        ({"url": "redis://127.0.0.1/abc"}, "url"),
        ({"url": "http://127.0.0.1:x"}, "url"),
        ({"url": "http://127.0.0.1:1", "token": "abc\n"}, "token"),
        ({"flush_after_s": "0.1"}, "flush_after_s"),
        ({"flush_after_s": -1}, "flush_after_s"),
        ({"flush_after_s": float("nan")}, "flush_after_s"),
        ({"max_bytes": "64MB"}, "max_bytes"),
        ({"max_bytes": 5}, "max_bytes"),
        ({"spool_bytes": 5}, "spool_bytes"),
        ({"spool": 5}, "spool"),
        ({"spool": "/dev/null"}, "spool"),
    ],
)
@pytest.mark.parametrize("kind", [Publisher, AsyncPublisher])
def test_what_a_publisher_cannot_be_made_of_is_said_at_once(kind: Any, given: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        kind(**given)
    assert caught.value.field == field


def test_an_annotation_without_a_text_is_refused() -> None:
    for text in (None, "", 5):
        with pytest.raises(InvalidInput, match="deploy v2"):
            tidewire.annotate(text)  # type: ignore[arg-type]


def test_a_dead_network_never_raises_is_said_once_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "tidewire")
    publisher = Publisher("redis://127.0.0.1:1")
    took = []
    for n in range(20_000):
        began = time.perf_counter()
        publisher.publish("a", n)
        took.append(time.perf_counter() - began)
    assert not publisher.flush(0.5)
    stats = publisher.stats
    assert stats.queued == 20_000
    assert stats.retried >= 1
    assert "127.0.0.1:1" in stats.last_error
    publisher.close(0.1)
    assert publisher.stats.dropped == 20_000
    assert sum("cannot publish" in record.message for record in caplog.records) == 1
    took.sort()
    assert took[len(took) // 2] < generous(200e-6), "a call must not wait for the network"


@pytest.mark.parametrize("fsync", ["always", "everysec"])
async def test_a_kill_of_redis_while_publishing_doubles_nothing_and_loses_nothing_unsaid(
    valkey: Valkey, fsync: str
) -> None:
    """With `everysec` the server may hold back a write for up to 2 s while the disk is busy, and answer all the same.

    What a SIGKILL loses then was acknowledged: the publisher's evidence must open an epoch that says from where.
    """
    valkey.restart(appendfsync=fsync)
    log = RedisLog(valkey.url)
    first = (await log.clock()).epoch
    await log.close()
    publisher = Publisher(valkey.url)
    stop = threading.Event()
    published: list[int] = []

    def produce() -> None:
        while not stop.is_set():
            publisher.publish("a", len(published))
            published.append(len(published))
            stop.wait(0.0002)

    thread = threading.Thread(target=produce)
    thread.start()
    for _ in range(3):
        await asyncio.to_thread(publisher.flush, HANG_S)
        valkey.kill()
        valkey.start(appendfsync=fsync)
    await asyncio.to_thread(publisher.flush, HANG_S)
    stop.set()
    thread.join()
    assert publisher.flush(HANG_S)
    assert publisher.stats.dropped == publisher.stats.rejected == 0
    publisher.close()
    kept = await stored(valkey.url, "a")
    assert kept == sorted(set(kept), key=lambda value: value or 0.0), "nothing twice, nothing out of order"
    missing = set(map(float, published)) - set(kept)
    log = RedisLog(valkey.url)
    chain = (await log.clock()).chain
    await log.close()
    # writes are known to be lost, or the whole lineage is another one: a `gap` or a `reset` for every subscriber
    announced = chain[0].epoch != first or any(fork.lost is not None for fork in chain)
    assert announced == bool(missing), "what was acknowledged and lost is announced, and only that"
    assert not (missing and fsync == "always")


async def test_a_paused_redis_is_retried_under_the_same_sequence(valkey: Valkey) -> None:
    publisher = Publisher(valkey.url)
    publisher.publish("a", 0)
    assert publisher.flush()
    valkey.pause()
    publisher.publish("a", 1)
    assert not publisher.flush(0.3)
    valkey.resume()
    assert publisher.flush(HANG_S)
    publisher.close()
    assert await stored(valkey.url, "a") == [0.0, 1.0]


def test_memory_is_bounded_and_the_oldest_is_dropped_with_a_count() -> None:
    publisher = Publisher("redis://127.0.0.1:1", max_bytes=2 << 20)
    for n in range(200_000):
        publisher.publish("a", n)
        if n % 20_000 == 0:
            publisher.flush(0.01)
    stats = publisher.stats
    assert stats.dropped > 0
    assert stats.queued + stats.dropped == 200_000
    assert "memory is full" in stats.last_error or "127.0.0.1:1" in stats.last_error
    publisher.close(0)


async def test_over_http_with_the_same_words(service: Any, valkey: Valkey) -> None:
    publisher = Publisher(service.url)
    for n in range(3_000):
        publisher.publish("a", n, labels={"site": "A"})
    assert await asyncio.to_thread(publisher.flush, HANG_S)
    await asyncio.to_thread(publisher.close)
    assert await stored(valkey.url, "a") == [float(n) for n in range(3_000)]
    assert publisher.stats.sent == 3_000


async def test_over_http_a_service_that_comes_back_gets_everything_once(service: Any, valkey: Valkey) -> None:
    publisher = Publisher(service.url)
    publisher.publish("a", 0)
    assert await asyncio.to_thread(publisher.flush, HANG_S)
    await service.stop()
    for n in range(1, 100):
        publisher.publish("a", n)
    assert not await asyncio.to_thread(publisher.flush, 0.5)
    await service.start()
    assert await asyncio.to_thread(publisher.flush, HANG_S)
    await asyncio.to_thread(publisher.close)
    assert await stored(valkey.url, "a") == [float(n) for n in range(100)]


async def test_what_is_refused_for_good_is_counted_with_its_reason(start_service: StartService) -> None:
    service = await start_service(max_metrics=1)
    publisher = Publisher(service.url)
    publisher.publish("a", 1)
    assert await asyncio.to_thread(publisher.flush, HANG_S)
    publisher.publish("b", 1)
    publisher.publish("a", 2)
    assert await asyncio.to_thread(publisher.flush, HANG_S)
    stats = publisher.stats
    await asyncio.to_thread(publisher.close)
    assert (stats.sent, stats.rejected) == (2, 1)
    assert "metrics" in stats.last_error


async def test_a_fork_publishes_its_own_and_the_parents_once(valkey: Valkey) -> None:
    publisher = Publisher(valkey.url, flush_after_s=30)
    publisher.publish("a", 1)  # waits in the parent

    def child() -> None:
        publisher.publish("a", 2)
        assert publisher.flush(HANG_S)
        os._exit(0)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    await asyncio.to_thread(process.join, HANG_S)
    assert process.exitcode == 0
    assert await asyncio.to_thread(publisher.flush, HANG_S)
    publisher.close()
    assert sorted(await stored(valkey.url, "a"), key=str) == [1.0, 2.0]


@pytest.mark.parametrize("transport", ["redis", "http", "spool"])
async def test_the_thread_imports_nothing(
    valkey: Valkey, live_service: LiveService, tmp_path: Path, transport: str
) -> None:
    """A fork while it did left encodings.idna locked in the child, which then never sent anything."""
    url = live_service.url if transport == "http" else valkey.url
    code = (
        "import sys, tidewire\n"
        f"publisher = tidewire.Publisher({url!r}, spool={str(tmp_path / 'spool') if transport == 'spool' else ''!r})\n"
        "before = set(sys.modules)\n"
        "for n in range(2_000): publisher.publish('a', n)\n"
        "assert publisher.flush()\n"
        "publisher.close()\n"
        "print(sorted(set(sys.modules) - before))"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    out, _ = await asyncio.wait_for(process.communicate(), HANG_S)
    assert (process.returncode, out.decode().strip()) == (0, "[]")


async def test_leaving_the_interpreter_sends_what_is_buffered(valkey: Valkey) -> None:
    code = "import tidewire\nfor n in range(500): tidewire.publish('a', n)\n"
    environment = {**os.environ, "TIDEWIRE_REDIS": valkey.url}
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", code], env=environment, timeout=HANG_S, check=True, capture_output=True
    )
    assert done.stderr == b""
    assert await stored(valkey.url, "a") == [float(n) for n in range(500)]


def test_a_dict_with_one_wrong_name_publishes_nothing_of_it() -> None:
    publisher = Publisher("redis://127.0.0.1:1", flush_after_s=60)
    with pytest.raises(InvalidInput, match="empty level"):
        publisher.publish({"a": 1, "b//c": 2})
    with pytest.raises(InvalidInput, match="leave it out"):
        publisher.publish({"a": 1}, 2)
    assert publisher.stats.queued == 0


async def test_columns_longer_than_a_batch_are_split(valkey: Valkey) -> None:
    with Publisher(valkey.url) as publisher:
        publisher.publish("a", np.arange(2_500.0))
    assert await stored(valkey.url, "a") == [float(n) for n in range(2_500)]


async def test_a_clock_that_steps_back_delays_nothing(valkey: Valkey, monkeypatch: Any, eventually: Eventually) -> None:
    publisher = Publisher(valkey.url)
    publisher.publish("a", 0)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 3_600)
    publisher.publish("a", 1)
    await eventually(lambda: publisher.stats.sent == 2)
    monkeypatch.undo()
    publisher.close()


@contextlib.contextmanager
def alarms(every_s: float, handler: Callable[..., Any]) -> Iterator[None]:
    """Call a handler again and again, between whatever the main thread does.

    But for collections: in a finalizer (redis-py's pools have one) an exception of the handler has nowhere to go.
    """
    gc.collect()
    gc.disable()
    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, every_s, every_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        gc.enable()


async def test_a_signal_handler_may_publish_in_the_middle_of_a_publish(valkey: Valkey) -> None:
    publisher = Publisher(valkey.url)
    handled = itertools.count()
    rung: list[int] = []
    published = 0

    def ring(*_: Any) -> None:
        rung.append(number := next(handled))
        publisher.publish("alarm", number)

    begun = time.monotonic()
    with alarms(0.001, ring):
        while (now := time.monotonic()) < begun + 1 or (len(rung) <= 10 and now < begun + HANG_S):
            publisher.publish("a", published)
            published += 1
    publisher.close()
    assert await stored(valkey.url, "a") == [float(n) for n in range(published)]
    alarmed = sorted(await stored(valkey.url, "alarm"), key=float)  # an alarm may interrupt the one before
    assert alarmed == [float(n) for n in range(next(handled))]
    assert len(alarmed) > 10


async def test_ctrl_c_in_the_middle_of_a_publish_breaks_nothing(valkey: Valkey) -> None:
    publishing = False

    def interrupt(*_: Any) -> None:
        if publishing:  # elsewhere it would end the test, not a publish
            raise KeyboardInterrupt

    publisher = Publisher(valkey.url)
    returned: list[int] = []
    interrupted = 0
    n = 0
    begun = time.monotonic()
    with alarms(0.002, interrupt):
        while (now := time.monotonic()) < begun + 2 or (interrupted <= 10 and now < begun + HANG_S):
            n += 1
            try:
                publishing = True
                publisher.publish("a", n, step=n)
                publishing = False
                returned.append(n)
            except KeyboardInterrupt:
                publishing = False
                interrupted += 1
    assert await asyncio.to_thread(publisher.flush, HANG_S)
    publisher.close()
    assert interrupted > 10, f"of {n}"
    values = await stored(valkey.url, "a")
    assert values == sorted(set(values), key=float), "nothing twice, nothing out of order"
    assert set(map(float, returned)) - set(values) == set(), "what returned was published"
    assert len(values) <= len(returned) + interrupted
    assert publisher.stats.dropped == publisher.stats.rejected == 0


async def test_a_worker_of_a_pool_flushes_at_its_end(valkey: Valkey, monkeypatch: Any) -> None:
    monkeypatch.setenv("TIDEWIRE_REDIS", valkey.url)
    code = (
        "import multiprocessing as m, sys, tidewire\n"
        "def work(n):\n"
        "    import tidewire\n"
        "    tidewire.publish(f'pool/{n}', n)\n"
        "if __name__ == '__main__':\n"
        "    if sys.argv[1] == 'used before': tidewire.publish('parent', -1)\n"
        "    pool = m.get_context('fork').Pool(2)\n"
        "    pool.map(work, range(20)); pool.close(); pool.join()\n"
    )
    for how in ("used before", "first use"):
        done = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-c", code, how], timeout=HANG_S, check=True, capture_output=True
        )
        assert done.stderr == b""
    for n in range(20):
        assert await stored(valkey.url, f"pool/{n}") == [float(n)] * 2
    assert await stored(valkey.url, "parent") == [-1.0]


async def test_what_a_batch_that_was_refused_held_is_counted_by_reading(valkey: Valkey) -> None:
    publisher = Publisher(valkey.url)
    publisher.publish("first", 0)
    publisher.publish("poisoned", 0)
    assert await asyncio.to_thread(publisher.flush, HANG_S)
    valkey.cli("XADD", Keys().log("poisoned"), "99999999999999-0", "x", "y")
    publisher.publish("poisoned", [1.0] * 700)
    publisher.publish("well", [1.0] * 300)
    assert await asyncio.to_thread(publisher.flush, HANG_S)
    publisher.close()
    stats = publisher.stats
    assert (stats.sent, stats.rejected, stats.dropped, stats.queued) == (302, 700, 0, 0)
    assert "foreign" in stats.last_error


def test_close_is_bounded_while_redis_hangs_and_counts_each_reading_once(
    valkey: Valkey, eventually: Eventually
) -> None:
    publisher = Publisher(valkey.url)
    publisher.publish("a", 0)
    assert publisher.flush()
    valkey.pause()
    publisher.publish("a", [1.0] * 10)
    began = time.monotonic()
    publisher.close(0.3)
    assert time.monotonic() - began < generous(1)
    valkey.resume()
    stats = publisher.stats
    assert (stats.sent, stats.dropped, stats.queued) == (1, 10, 0)


async def test_a_closed_publisher_publishes_again(valkey: Valkey) -> None:
    publisher = Publisher(valkey.url)
    for n in range(3):
        publisher.publish("a", n)
        publisher.close()
    assert publisher.stats.dropped == 0
    assert await stored(valkey.url, "a") == [0.0, 1.0, 2.0]


async def test_without_a_thread_nothing_raises_and_the_next_call_tries_again(
    valkey: Valkey, monkeypatch: Any, eventually: Eventually
) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    publisher = Publisher(valkey.url)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        publisher.publish("a", 1)
        assert not publisher.flush(0.1)
        await eventually(lambda: "can't start new thread" in publisher.stats.last_error)
        assert publisher.stats.queued == 1
    publisher.publish("a", 2)
    assert publisher.flush(HANG_S)
    publisher.close()
    assert await stored(valkey.url, "a") == [1.0, 2.0]


async def test_flush_tries_at_once_when_redis_is_back(valkey: Valkey) -> None:
    publisher = Publisher(valkey.url)
    valkey.stop()
    publisher.publish("a", 1)
    deadline = time.monotonic() + HANG_S
    while publisher.stats.retried < 6:  # its next pause is of seconds
        assert not publisher.flush(0.01)
        assert time.monotonic() < deadline
    valkey.start()
    began = time.monotonic()
    assert publisher.flush(HANG_S)
    assert time.monotonic() - began < generous(1)
    publisher.close()


async def test_an_async_publisher_has_the_same_names(valkey: Valkey) -> None:
    async with AsyncPublisher(valkey.url) as publisher:
        publisher.publish("a", 1)
        assert await publisher.flush()
        assert publisher.stats.sent == 1
    public = {name for name in dir(Publisher) if not name.startswith("_")}
    assert {name for name in dir(publisher) if not name.startswith("_")} == public


def test_where_to_publish_follows_the_environment() -> None:
    assert publish_url(None, {}) == "redis://127.0.0.1:6379"
    assert publish_url(None, {"TIDEWIRE_URL": "http://h:1"}) == "http://h:1"
    assert publish_url(None, {"TIDEWIRE_URL": "http://h:1", "TIDEWIRE_REDIS": "redis://r"}) == "redis://r"
    assert publish_url("redis://given", {"TIDEWIRE_REDIS": "redis://r"}) == "redis://given"
    with pytest.raises(InvalidInput, match="redis://"):
        Publisher("ftp://x")


def test_a_dropped_publisher_leaves_no_thread(valkey: Valkey) -> None:
    before = set(threading.enumerate())
    for n in range(5):
        publisher = Publisher(valkey.url)
        publisher.publish("a", n)
        publisher.close()
    del publisher
    gc.collect()
    assert set(threading.enumerate()) <= before


def test_every_public_name_resolves_and_modules_do_not_hide_them() -> None:
    for name in tidewire.__all__:
        assert getattr(tidewire, name) is not None
    for name in ("history", "watch", "stream", "publish", "last", "catalog"):
        assert callable(getattr(tidewire, name)), f"a module hides tidewire.{name}"
    assert sorted(tidewire.__all__) == dir(tidewire)


def test_importing_tidewire_is_cheap() -> None:
    code = (
        "import sys, tidewire\n"
        "print([m for m in ('pandas', 'numpy', 'httpx', 'redis', 'litestar', 'panel') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG_S, check=True)
    assert done.stdout.strip() == "[]"
