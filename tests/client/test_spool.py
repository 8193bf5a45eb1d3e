"""The spool: outages longer than memory or than the process, torn files, full disks, kills; on a real Valkey."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from servers import Valkey
from waiting import HANG_S, Eventually, generous

from tidewire.errors import InvalidInput
from tidewire.model.batch import DEFAULT_LIMITS, EncodedBatch, decode_batch, encode_batch, make_batch
from tidewire.model.layout import layout_of
from tidewire.publishing import overflow
from tidewire.publishing.delivery_report import DeliveryReport
from tidewire.publishing.outbox import Outbox
from tidewire.publishing.overflow import Overflow
from tidewire.publishing.publisher import Publisher
from tidewire.publishing.spool import Spool, Spooled
from tidewire.publishing.transport import Sent

from .log_contents import stored

SEED = int(os.environ.get("TIDEWIRE_SPOOL_SEED", "0")) or random.randrange(1 << 31)


def script(url: str, spool: Path, body: str) -> list[str]:
    """Return the command of a producer script with a publisher `p`."""
    lines = f"import sys, time, os, tidewire\np = tidewire.Publisher({url!r}, spool={str(spool)!r})\n"
    return [sys.executable, "-u", "-c", lines + textwrap.dedent(body)]


def run(*given: Any) -> str:
    return subprocess.run(script(*given), capture_output=True, text=True, timeout=HANG_S, check=True).stderr


async def flushed(publisher: Publisher, limit_s: float = HANG_S) -> bool:
    return await asyncio.to_thread(publisher.flush, limit_s)


async def test_an_outage_fills_the_disk_and_not_the_memory(
    valkey: Valkey, tmp_path: Path, eventually: Eventually
) -> None:
    valkey.restart(appendfsync="always")  # else a kill may lose what it acknowledged: docs/decisions/0003
    with Publisher(valkey.url, spool=tmp_path / "spool", max_bytes=1 << 17) as publisher:
        publisher.publish("a", -1)
        assert await flushed(publisher)
        valkey.kill()
        for n in range(20_000):  # of 84 bytes and more: a dozen times the memory
            publisher.publish("a", n)
            if n % 200 == 0:
                await asyncio.sleep(0.01)
        await eventually(lambda: publisher.stats.spooled > 15_000)
        assert publisher.stats.dropped == 0
        valkey.start()
        assert await flushed(publisher)
        publisher.publish("a", 20_000)
        assert await flushed(publisher)
        stats = publisher.stats
        assert (stats.sent, stats.spooled, stats.queued, stats.dropped) == (20_002, 0, 0, 0)
    assert await stored(valkey.url, "a") == [float(n) for n in range(-1, 20_001)]
    assert list((tmp_path / "spool").iterdir()) == [], "nothing is left"


@contextlib.contextmanager
def slow_disk(publisher: Publisher, each_s: float) -> Iterator[None]:
    """Let almost every access to a publisher's spool wait: its own lock is held by another thread."""
    spool, stop = publisher._spool, threading.Event()
    assert spool is not None

    def hold() -> None:
        while not stop.is_set():
            with spool._lock:
                stop.wait(each_s)
            time.sleep(0.01)  # for who waits

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


async def test_a_server_that_hangs_keeps_nothing_from_the_disk(
    valkey: Valkey, tmp_path: Path, eventually: Eventually
) -> None:
    """The call on its way waits 5 s for its answer; meanwhile come a dozen times what memory holds."""
    with Publisher(valkey.url, spool=tmp_path, max_bytes=1 << 17) as publisher:
        publisher.publish("a", -1)
        assert await flushed(publisher)
        valkey.pause()
        for n in range(20_000):
            publisher.publish("a", n)
        assert publisher.stats.dropped == 0
        await eventually(lambda: publisher.stats.spooled > 15_000)
        valkey.resume()
        assert await flushed(publisher)
        stats = publisher.stats
        assert (stats.sent, stats.spooled, stats.queued, stats.dropped) == (20_001, 0, 0, 0)
    assert await stored(valkey.url, "a") == [float(n) for n in range(-1, 20_000)], "nothing doubled, all in order"


async def test_a_slow_disk_slows_the_producer_and_loses_nothing(
    valkey: Valkey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overflow, "_DISK_WAIT_S", HANG_S)  # who gets the lock next, nobody says
    with Publisher(valkey.url, spool=tmp_path, max_bytes=1 << 18) as publisher:
        valkey.kill()
        with slow_disk(publisher, 0.1):
            for n in range(20_000):  # memory is full in 10 ms
                publisher.publish("a", n)
        assert publisher.stats.dropped == 0
        valkey.start()
        assert await flushed(publisher)
        assert (publisher.stats.sent, publisher.stats.dropped) == (20_000, 0)
    assert await stored(valkey.url, "a") == [float(n) for n in range(20_000)]


async def test_a_disk_that_hangs_is_waited_for_once_and_what_does_not_fit_is_counted(
    valkey: Valkey, tmp_path: Path, eventually: Eventually
) -> None:
    with Publisher(valkey.url, spool=tmp_path, max_bytes=1 << 18) as publisher:
        valkey.kill()
        publisher.publish("a", 0)
        await eventually(lambda: publisher.stats.spooled == 1)
        spool = publisher._spool
        assert spool is not None
        with spool._lock:  # its other threads get no further
            began_s = time.monotonic()
            for n in range(1, 20_000):
                publisher.publish("a", n)
            took_s = time.monotonic() - began_s
            dropped = publisher.stats.dropped
        assert dropped > 0
        assert took_s < generous(1.5), "not a wait for each of the fifty parts"
        valkey.start()
        assert await flushed(publisher)
        stats = publisher.stats
        assert stats.sent + stats.dropped == 20_000
    values = await stored(valkey.url, "a")
    assert len(values) == stats.sent
    assert values == sorted(values, key=lambda value: value or 0)
    assert (values[0], values[-1]) == (0.0, 19_999.0)


async def test_more_series_than_can_be_encoded_in_time_lose_nothing(valkey: Valkey, tmp_path: Path) -> None:
    """A reading of a new series costs more to encode than to publish: writing must not wait for an empty memory."""
    with Publisher(valkey.url, spool=tmp_path, max_bytes=1 << 20) as publisher:
        valkey.kill()
        for n in range(30_000):
            publisher.publish("a", n, labels={"series": str(n % 2_000)})
        assert publisher.stats.dropped == 0
        valkey.start()
        assert await flushed(publisher)
        assert (publisher.stats.sent, publisher.stats.dropped) == (30_000, 0)


def test_a_call_that_is_being_sent_is_not_given_up(tmp_path: Path) -> None:
    spool = Spool(tmp_path, Spool.MIN_BYTES)
    batch = encode_batch(make_batch("a", [0.1] * 1_000, now_ms=time.time() * 1e3))
    spool.append([("", 0, [batch])])
    head = spool.head()
    assert head is not None
    spool.sending = {head.id}
    spool.append([("", 0, [batch])] * 100)
    assert spool.dropped > 0
    assert spool.dropped + spool.readings == 101_000
    assert spool.head() == head
    spool.settle(head)
    assert spool.dropped + spool.readings == 100_000
    spool.close()


async def test_what_one_process_leaves_the_next_one_sends(valkey: Valkey, tmp_path: Path) -> None:
    valkey.kill()
    told = run(
        valkey.url, tmp_path, "p.publish('a', list(range(5000)), unit='Cel')\np.publish('b', 1, labels={'x': 'y'})"
    )
    assert "wait in" in told
    run(valkey.url, tmp_path, "p.publish('a', 5000)")
    valkey.start()
    with Publisher(valkey.url, spool=tmp_path) as publisher:  # publishes nothing itself
        assert await flushed(publisher)
        assert publisher.stats.sent == 5_002
    assert sorted(value or 0 for value in await stored(valkey.url, "a")) == [float(n) for n in range(5_001)]
    assert await stored(valkey.url, "b") == [1.0]
    with Publisher(valkey.url, spool=tmp_path) as publisher:
        assert await flushed(publisher)
        assert publisher.stats.sent == 0


async def test_a_kill_at_any_moment_loses_at_most_the_last_half_second_and_doubles_nothing(
    valkey: Valkey, tmp_path: Path
) -> None:
    print(f"TIDEWIRE_SPOOL_SEED={SEED}")
    dice = random.Random(SEED)
    body = """
    n = 0
    while True:
        p.publish(sys.argv[1], n)
        n += 1
        if n % 50 == 0:
            print(p.stats.spooled + p.stats.sent, flush=True)
            time.sleep(0.005)
    """
    valkey.kill()
    kept = []
    for number in range(5):
        process = subprocess.Popen(
            [*script(valkey.url, tmp_path, body), f"m{number}"], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        told = next(lines)  # it runs, however long its start took
        while number == 0 and int(told) == 0:  # of the first something is on disk, of the others perhaps not
            told = next(lines)
        time.sleep(0.8 + dice.random())
        process.kill()
        own = [int(line) for line in (told, *lines)]
        process.wait()
        kept.append(own[-1] if own else 0)
        if number == 2:  # up for a moment: some of it is sent, and killed in the middle of that
            valkey.start(appendfsync="always")  # else a kill may lose what it acknowledged: docs/decisions/0003
            time.sleep(0.3 * dice.random())
            sender = subprocess.Popen(script(valkey.url, tmp_path, "time.sleep(30)"))
            time.sleep(0.3 + 0.3 * dice.random())
            sender.kill()
            sender.wait()
            valkey.kill()
    valkey.start()
    with Publisher(valkey.url, spool=tmp_path) as publisher:
        assert await flushed(publisher)
    for number in range(5):
        values = await stored(valkey.url, f"m{number}")
        assert values == [float(n) for n in range(len(values))], f"m{number}: nothing doubled, nothing left out"
    total = sum([len(await stored(valkey.url, f"m{number}")) for number in range(5)])
    assert total >= kept[0]
    assert total > 0


async def test_a_reply_lost_by_a_kill_appends_nothing_twice(valkey: Valkey, tmp_path: Path) -> None:
    """Redis is stopped: what was written to it before is appended when it goes on; the answer finds nobody."""
    process = subprocess.Popen(
        script(valkey.url, tmp_path, "p.publish('a', 0); p.flush(); print(1); sys.stdin.readline()\n"
               "p.publish('a', [1, 2, 3])\n"
               "while p.stats.spooled != 3: time.sleep(0.01)\n"
               "print(2); time.sleep(60)"),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    await asyncio.to_thread(process.stdout.readline)
    valkey.pause()
    process.stdin.write("\n")
    process.stdin.flush()
    assert await asyncio.to_thread(process.stdout.readline) == "2\n"  # its deadline is over: on disk, with its number
    process.kill()
    process.wait()
    valkey.resume()
    with Publisher(valkey.url, spool=tmp_path) as publisher:
        assert await flushed(publisher)
    assert await stored(valkey.url, "a") == [0.0, 1.0, 2.0, 3.0]


@pytest.mark.parametrize("how", ["garbage", "cut", "empty"])
async def test_a_torn_file_is_put_aside_and_told(
    valkey: Valkey, tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    valkey.kill()
    run(valkey.url, tmp_path, "p.publish('a', list(range(30000)))")
    (path,) = tmp_path.glob("spool-*.db")
    for beside in tmp_path.glob("spool-*-wal"):
        beside.unlink()
    data = path.read_bytes()
    torn = {"garbage": data[:2048] + os.urandom(len(data) - 2048), "cut": data[: len(data) // 2], "empty": b""}[how]
    path.write_bytes(torn)
    valkey.start()
    with caplog.at_level(logging.WARNING, "tidewire"), Publisher(valkey.url, spool=tmp_path) as publisher:
        publisher.publish("b", 1)
        assert await flushed(publisher)
    assert await stored(valkey.url, "b") == [1.0]
    if how != "empty":
        assert "torn" in caplog.text
        assert list(tmp_path.glob("*.torn-*")), "kept, to be looked at"


async def test_beyond_its_bound_the_oldest_is_given_up_and_counted(
    valkey: Valkey, tmp_path: Path, eventually: Eventually
) -> None:
    with Publisher(valkey.url, spool=tmp_path, spool_bytes=1 << 20, max_bytes=1 << 18) as publisher:
        valkey.kill()
        for n in range(60_000):
            publisher.publish("a", n, step=n)
            if n % 500 == 0:
                await asyncio.sleep(0.01)
        await eventually(lambda: publisher.stats.dropped > 0)
        valkey.start()
        assert await flushed(publisher)
        stats = publisher.stats
        assert stats.sent + stats.dropped == 60_000
    values = await stored(valkey.url, "a")
    assert len(values) == stats.sent
    assert values == sorted(values, key=lambda value: value or 0)
    assert values[-1] == 59_999.0, "the newest is kept"


async def test_publishers_of_one_folder_have_a_file_each_and_leave_them_to_any(
    valkey: Valkey, tmp_path: Path, eventually: Eventually
) -> None:
    valkey.kill()
    publishers = [Publisher(valkey.url, spool=tmp_path) for _ in range(3)]
    for number, publisher in enumerate(publishers):
        publisher.publish("a", number)
    await eventually(lambda: all(publisher.stats.spooled == 1 for publisher in publishers))
    assert len(list(tmp_path.glob("spool-?.db"))) == 3
    for publisher in publishers:
        await asyncio.to_thread(publisher.close, 0.1)
    valkey.start()
    with Publisher(valkey.url, spool=tmp_path) as publisher:
        assert await flushed(publisher)
        assert publisher.stats.sent == 3
    assert sorted(value or 0 for value in await stored(valkey.url, "a")) == [0.0, 1.0, 2.0]
    assert list(tmp_path.glob("spool-*")) == []


async def test_a_fork_has_a_file_of_its_own_and_the_parents_stays_whole(valkey: Valkey, tmp_path: Path) -> None:
    valkey.kill()
    body = """
    def until_spooled(readings):
        while p.stats.spooled != readings:
            time.sleep(0.01)
    p.publish("a", 1)
    until_spooled(1)
    if (child := os.fork()) == 0:
        p.publish("b", 2)
        until_spooled(1)
        os._exit(0)
    os.waitpid(child, 0)
    p.publish("a", 3)
    until_spooled(2)
    """
    run(valkey.url, tmp_path, body)
    valkey.start()
    with Publisher(valkey.url, spool=tmp_path) as publisher:
        assert await flushed(publisher)
    assert (await stored(valkey.url, "a"), await stored(valkey.url, "b")) == ([1.0, 3.0], [2.0])


async def test_a_full_disk_leaves_it_to_the_memory(valkey: Valkey, tmp_path: Path) -> None:
    valkey.kill()
    body = """
    import resource, signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
    for n in range(40_000):
        p.publish("a", n, step=n)
        if n % 500 == 0:
            time.sleep(0.02)
    before_s = time.process_time()
    time.sleep(1)
    print("ready", time.process_time() - before_s, flush=True)
    sys.stdin.readline()
    assert p.flush(60)
    stats = p.stats
    print(stats.sent, stats.dropped, stats.spooled, stats.queued, flush=True)
    """
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(script(valkey.url, tmp_path, body), text=True, **pipes)
    assert process.stdout is not None
    ready, busy_s = (await asyncio.to_thread(process.stdout.readline)).split()
    assert ready == "ready"
    assert float(busy_s) < 0.5, "the disk is not tried again and again"
    valkey.start()
    told, errors = await asyncio.to_thread(process.communicate, "\n", HANG_S)
    assert process.returncode == 0, errors
    assert told.split() == ["40000", "0", "0", "0"]
    assert "spool" in errors, "told once"
    values = await stored(valkey.url, "a")
    assert sorted(value or 0 for value in values) == [float(n) for n in range(40_000)]


def test_what_cannot_be_a_spool_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="spool"):
        Publisher("redis://127.0.0.1:1", spool=tmp_path / "file")
    with pytest.raises(InvalidInput, match="spool_bytes"):
        Publisher("redis://127.0.0.1:1", spool=tmp_path, spool_bytes=1)


def test_a_file_is_what_it_says(valkey: Valkey, tmp_path: Path) -> None:
    """Anyone may look into a spool with SQLite's own tools."""
    valkey.kill()
    run(valkey.url, tmp_path, "p.publish('a', [1, 2, 3])")
    (path,) = tmp_path.glob("spool-*.db")
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT SUM(readings) FROM calls").fetchone() == (3,)


def remove(folder: Path) -> None:
    shutil.rmtree(folder)


def move_away(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))


def remove_the_files(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def replace(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "spool-0.db").write_bytes(b"")


@pytest.mark.parametrize("harm", [remove, move_away, remove_the_files, replace])
@pytest.mark.parametrize("waiting", [0, 1_000], ids=["empty", "in use"])
async def test_a_spool_that_is_removed_while_redis_is_away_is_made_again_with_what_waits(
    valkey: Valkey, tmp_path: Path, eventually: Eventually, harm: Callable[[Path], None], waiting: int
) -> None:
    valkey.kill()
    folder = tmp_path / "spool"
    with Publisher(valkey.url, spool=folder) as publisher:
        publisher.publish("a", list(range(waiting + 1)))
        await eventually(lambda: publisher.stats.spooled == waiting + 1)
        harm(folder)
        publisher.publish("a", -1)
        await eventually(lambda: publisher.stats.spooled == waiting + 2 and Spool(folder, Spool.MIN_BYTES).left)
        assert held(folder) == waiting + 2, "what the counter says lies in the folder"
        valkey.start()
        assert await flushed(publisher)
        assert publisher.stats.dropped == 0
        assert publisher.stats.sent == waiting + 2
    assert await stored(valkey.url, "a") == [*map(float, range(waiting + 1)), -1.0]


def held(folder: Path) -> int:
    """How many readings a copy of the files in a folder holds: their owner has them locked."""
    copy = folder.with_name("copy")
    shutil.copytree(folder, copy, dirs_exist_ok=True)
    spool = Spool(copy, Spool.MIN_BYTES)
    spool.open()
    return spool.readings


async def test_a_spool_that_cannot_be_made_again_is_no_place_where_readings_wait(
    valkey: Valkey, tmp_path: Path, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    valkey.kill()
    folder = tmp_path / "spool"
    publisher = Publisher(valkey.url, spool=folder)
    publisher.publish("a", [1.0, 2.0])
    await eventually(lambda: publisher.stats.spooled == 2)
    shutil.rmtree(folder)
    folder.write_text("a file")
    publisher.publish("a", 3.0)
    await eventually(lambda: "was removed" in publisher.stats.last_error)
    assert publisher.stats.queued == 1, "nothing more is written to it"
    publisher.close(0)
    stats = publisher.stats
    assert (stats.spooled, stats.queued, stats.dropped) == (0, 0, 3)
    assert "2 readings with it" in caplog.text


@pytest.mark.parametrize("daemon", [False, True])
def test_a_relative_folder_stays_where_it_was_when_the_process_goes_elsewhere(tmp_path: Path, daemon: bool) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    become = "if os.fork():\n    os.wait()\n    os._exit(0)\n" if daemon else ""
    program = (
        "import os, tidewire\np = tidewire.Publisher('redis://127.0.0.1:1', spool='kept')\n"
        f"{become}os.chdir({str(elsewhere)!r})\nfor n in range(20): p.publish('a', n)\n"
        "p.flush(0.2)\np.close(1.0)\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, timeout=HANG_S, capture_output=True)
    assert list(elsewhere.iterdir()) == []
    assert Spool(tmp_path / "kept", Spool.MIN_BYTES).left


# -- of several partitions

_FOUR = layout_of(4)
_NAMES = {_FOUR.partition_of(name): name for name in map("m{}".format, range(100))}


def calls_of(
    *values: float, names: Sequence[str] = tuple(_NAMES.values())
) -> list[tuple[str, int, list[EncodedBatch]]]:
    """Return a call for each value, each with a batch of every metric."""
    return [("", 0, [encode_batch(make_batch(name, value)) for name in names]) for value in values]


def drained(spool: Spool, partition: int) -> list[tuple[str, list[float | None]]]:
    """Settle all that is due to a partition; return it."""
    found = []
    while (call := spool.head(partition)) is not None:
        found += [(batch.metric, decode_batch(batch.body).value) for batch in call.batches]
        spool.settle(call, partition)
    return found


def test_each_partition_gets_its_part_of_every_call_in_order_whatever_the_others_do(tmp_path: Path) -> None:
    spool = Spool(tmp_path, Spool.MIN_BYTES)
    spool.append(calls_of(1.0, 2.0))  # before it was known how the log is split
    spool.divide(_FOUR)
    spool.append(calls_of(3.0))
    assert spool.readings == 12
    for left, partition in zip((9, 6, 3, 0), (2, 0, 3, 1), strict=True):
        assert drained(spool, partition) == [(_NAMES[partition], [value]) for value in (1.0, 2.0, 3.0)]
        assert not spool.waits_in(partition)
        assert spool.readings == left
        assert spool.waits() == (left > 0)
    spool.close()
    assert not list(tmp_path.iterdir())


def test_a_part_keeps_the_sequence_of_its_call(tmp_path: Path) -> None:
    spool = Spool(tmp_path, Spool.MIN_BYTES)
    ((_, _, batches),) = calls_of(1.0)
    spool.append([("tried", 7, batches), *calls_of(2.0)])
    spool.divide(_FOUR)
    first = [spool.head(partition) for partition in range(4)]
    assert {(call.publisher, call.sequence) for call in first if call is not None} == {("tried", 7)}
    for partition, call in enumerate(first):
        assert call is not None
        spool.settle(call, partition)
    second = [spool.head(partition) for partition in range(4)]
    assert len({(call.publisher, call.sequence) for call in second if call is not None}) == 1
    spool.close()


def test_what_a_partition_has_had_is_not_due_to_it_in_the_next_process(tmp_path: Path) -> None:
    spool = Spool(tmp_path, Spool.MIN_BYTES)
    spool.divide(_FOUR)
    spool.append(calls_of(1.0, 2.0))
    drained(spool, 1)
    call = spool.head(2)
    assert call is not None
    spool.settle(call, 2)
    spool.close()
    again = Spool(tmp_path, Spool.MIN_BYTES)
    again.open()  # the process does not know yet how the log is split
    assert again.readings == 8, "as many as a log of one partition would get"
    again.divide(_FOUR)
    assert again.readings == 5
    assert [len(drained(again, partition)) for partition in range(4)] == [2, 0, 1, 2]
    assert again.readings == 0
    again.close()


@pytest.mark.parametrize("partitions", [1, 2, 8])
def test_under_another_layout_each_partition_gets_its_part_of_all_that_is_left(tmp_path: Path, partitions: int) -> None:
    spool = Spool(tmp_path, Spool.MIN_BYTES)
    spool.divide(_FOUR)
    spool.append(calls_of(1.0, 2.0))
    drained(spool, 1)
    layout = layout_of(partitions)
    spool.divide(layout)
    found = [one for partition in range(partitions) for one in drained(spool, partition)]
    assert {name for name, _ in found} == set(_NAMES.values()), "also what was sent: the log is another one"
    for name in _NAMES.values():
        assert [value for other, value in found if other == name] == [[1.0], [2.0]]
    assert not spool.waits()
    spool.close()


def test_a_version_that_knows_no_partitions_may_write_in_between(tmp_path: Path) -> None:
    spool = Spool(tmp_path, Spool.MIN_BYTES)
    spool.divide(_FOUR)
    spool.append(calls_of(1.0))
    spool.close()
    old = Spool(tmp_path, Spool.MIN_BYTES)  # of one partition it writes as that version did
    old.append(calls_of(2.0))
    oldest = old.head()
    assert oldest is not None
    old.settle(oldest)
    old.close()
    new = Spool(tmp_path, Spool.MIN_BYTES)
    new.divide(_FOUR)
    new.open()
    assert [drained(new, partition) for partition in range(4)] == [[(_NAMES[p], [2.0])] for p in range(4)]
    new.close()


def test_beyond_the_bound_what_is_left_of_the_oldest_is_counted_and_what_is_sent_stays(tmp_path: Path) -> None:
    spool = Spool(tmp_path, Spool.MIN_BYTES)
    spool.divide(_FOUR)
    large = [encode_batch(make_batch(name, [0.1] * 1_000)) for name in _NAMES.values()]
    spool.append([("", 0, large)] * 2)
    call = spool.head(3)
    assert call is not None
    spool.settle(call, 3)
    held = spool.head(2)
    assert held is not None
    spool.sending = {held.id}
    spool.append([("", 0, large)] * 100)
    assert spool.dropped > 0
    assert spool.dropped + spool.readings == 102 * 4_000 - 1_000
    assert spool.head(2) == held
    spool.sending = set()
    spool.settle(held, 2)
    kept = sum(len(value) for partition in range(4) for _, value in drained(spool, partition))
    assert spool.dropped + kept == 102 * 4_000 - 2_000
    assert spool.readings == 0
    spool.close()
    assert not list(tmp_path.iterdir())


def test_a_call_on_disk_is_counted_before_it_is_gone(tmp_path: Path) -> None:
    """Another partition's answer may let a flush look in between."""
    lock = threading.RLock()
    report = DeliveryReport(lock)
    counted: list[int] = []

    class Watched(Spool):
        def settle(self, call: Spooled, partition: int = 0) -> None:
            counted.append(report.sent)
            super().settle(call, partition)

    spool = Watched(tmp_path, Spool.MIN_BYTES)
    spool.append(calls_of(1.0))
    overflow = Overflow(Outbox(1 << 20), lock, DEFAULT_LIMITS, report, spool)
    overflow.divide(_FOUR)
    for partition in range(4):
        call = overflow.head(partition)
        assert call is not None
        assert overflow.settle(call, Sent(0, ""))
    assert counted == [1, 2, 3, 4]
    spool.close()
