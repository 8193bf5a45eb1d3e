"""A publisher whose clock is wrong: what it stores is found, or refused, over Redis as over HTTP."""

from __future__ import annotations

import logging
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Gauge
from servers import LiveService, Valkey, running_service
from waiting import HANG_S

import tidewire
from tidewire.errors import InvalidInput
from tidewire.model.batch import LEAD_MS, Batch, EncodedBatch, decode_batch, encode_batch, is_plausible_time
from tidewire.publishing.spool import _decoder
from tidewire.publishing.time_check import check_times
from tidewire.redislog.calls import pairs
from tidewire.redislog.keys import Keys
from tidewire.redislog.log import RedisLog
from tidewire_service.launch.host import publish_host
from tidewire_service.operations.self_metrics import SelfMetrics

DAY_S = 86_400.0
Ahead = Callable[[float], None]
WRONG_S = {"1970": -56.5 * 365 * DAY_S, "1980": -46 * 365 * DAY_S, "days ahead": 3 * DAY_S, "two hours ahead": 7_200.0}
NOW = 1_790_000_000_000.0
TIMES = [0.0, 1e9, 9e11, NOW - 5, NOW, NOW + LEAD_MS, NOW + LEAD_MS + 1, NOW + 1e9]


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> Ahead:
    """Set the clock of this process so many seconds ahead."""
    real = time.time

    def put(seconds: float) -> None:
        monkeypatch.setattr(time, "time", lambda: real() + seconds)

    return put


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Valkey, LiveService]]:
    """A Valkey and a service for tests with metrics of their own: to start a service takes a second of CPU."""
    folder = tmp_path_factory.mktemp("clock")
    valkey = Valkey(folder / "valkey")
    valkey.start()
    with running_service(valkey, folder / "service.log") as service:
        yield valkey, service
    valkey.close()


@pytest.fixture
def own(request: pytest.FixtureRequest) -> str:
    """Return a level for metrics of this test alone."""
    return f"test/{zlib.crc32(request.node.nodeid.encode())}"


def stored(valkey: Valkey, metric: str = "m") -> list[Batch]:
    entries = valkey.cli("XRANGE", Keys("tw").log(metric), "-", "+")
    return [decode_batch(pairs(fields)[b"d"]) for _, fields in entries]


def redis_ms(valkey: Valkey) -> float:
    seconds, micros = valkey.cli("TIME")
    return float(seconds) * 1e3 + float(micros) / 1e3


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if "clock" in record.message]


@pytest.mark.parametrize("wrong", WRONG_S)
def test_a_reading_without_a_time_gets_that_of_redis_and_one_warning_says_so(
    valkey: Valkey, ahead: Ahead, caplog: pytest.LogCaptureFixture, wrong: str
) -> None:
    before_ms = redis_ms(valkey)
    ahead(WRONG_S[wrong])
    with tidewire.Publisher(valkey.url, flush_after_s=0.2) as publisher:
        for value in (1, 2, None):
            publisher.publish("m", value, labels={"site": "A"}, unit="Cel")
            time.sleep(0.01)
        publisher.publish("m", [4, 5], text=["flag", "flag"])
        assert publisher.flush(HANG_S)
        publisher.publish({"m": 6, "other": 7})
        assert publisher.flush(HANG_S)
        assert (publisher.stats.sent, publisher.stats.rejected) == (7, 0)
    after_ms = redis_ms(valkey)
    batches = stored(valkey)
    times = [time_ms for batch in batches for time_ms in batch.time]
    assert all(before_ms - 5_000 <= time_ms <= after_ms + 5_000 for time_ms in times)
    assert batches[0].value == [1, 2, None]
    assert batches[0].time[2] - batches[0].time[0] >= 15, "as far apart as they were published"
    assert (batches[0].labels, batches[0].unit, batches[1].text) == ({"site": "A"}, "Cel", ["flag", "flag"])
    (said,) = warnings_of(caplog)
    assert "this machine's clock is" in said


@pytest.mark.parametrize("offset_s", [0, 3_600, -3_600, -20 * 365 * DAY_S])
def test_a_clock_within_the_window_is_believed(
    valkey: Valkey, ahead: Ahead, caplog: pytest.LogCaptureFixture, offset_s: float
) -> None:
    ahead(offset_s)
    with tidewire.Publisher(valkey.url) as publisher:
        publisher.publish("m", 1)
        assert publisher.flush(HANG_S)
    assert stored(valkey)[0].time[0] == pytest.approx(redis_ms(valkey) + offset_s * 1e3, abs=60_000)
    assert warnings_of(caplog) == []


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("way", ["redis", "http"])
@pytest.mark.parametrize("wrong", WRONG_S)
def test_a_time_that_was_given_is_refused_the_same_way_over_redis_and_http(
    shared: tuple[Valkey, LiveService], own: str, ahead: Ahead, way: str, wrong: str, alone: bool
) -> None:
    valkey, live_service = shared
    right_ms = time.time() * 1e3
    ahead(WRONG_S[wrong])
    with tidewire.Publisher(valkey.url if way == "redis" else live_service.url) as publisher:
        publisher.publish(f"{own}/right", 1, time=right_ms)  # from a better clock, such as a satellite's
        if alone:
            assert publisher.flush(HANG_S)
        own_ms = time.time() * 1e3
        if WRONG_S[wrong] < 0:
            with pytest.raises(InvalidInput, match="milliseconds"):
                publisher.publish(f"{own}/wrong", 1, time=own_ms)
        else:
            publisher.publish(f"{own}/wrong", 1, time=own_ms)
            publisher.publish(f"{own}/wrong", [1, 2], time=[own_ms, own_ms - 1])
        assert publisher.flush(HANG_S)
        refused = 3 if WRONG_S[wrong] > 0 else 0
        assert (publisher.stats.sent, publisher.stats.rejected) == (1, refused)
        assert ("65 min from now" in publisher.stats.last_error) == bool(refused)
    assert stored(valkey, f"{own}/wrong") == []
    assert stored(valkey, f"{own}/right")[0].time == [right_ms]


@pytest.mark.parametrize("wrong", WRONG_S)
def test_over_http_a_reading_without_a_time_gets_that_of_the_service(
    shared: tuple[Valkey, LiveService], own: str, ahead: Ahead, caplog: pytest.LogCaptureFixture, wrong: str
) -> None:
    valkey, live_service = shared
    ahead(WRONG_S[wrong])
    with tidewire.Publisher(live_service.url) as publisher:
        publisher.publish(own, 1, unit="Cel")
        assert publisher.flush(HANG_S)
        publisher.publish(own, 2, unit="Cel")
        publisher.publish(own, [3, 4], unit="Cel")
        assert publisher.flush(HANG_S)
        assert (publisher.stats.sent, publisher.stats.rejected) == (4, 0)
    batches = stored(valkey, own)
    assert [value for batch in batches for value in batch.value] == [1, 2, 3, 4]
    assert {batch.unit for batch in batches} == {"Cel"}
    assert all(abs(time_ms - redis_ms(valkey)) < 60_000 for batch in batches for time_ms in batch.time)
    assert len(warnings_of(caplog)) == 1


def test_over_http_a_clock_that_is_set_is_believed(shared: tuple[Valkey, LiveService], own: str, ahead: Ahead) -> None:
    valkey, live_service = shared
    ahead(WRONG_S["days ahead"])
    with tidewire.Publisher(live_service.url) as publisher:
        publisher.publish(own, 1)
        assert publisher.flush(HANG_S)
        ahead(-3_600)
        publisher.publish(own, 2)
        assert publisher.flush(HANG_S)
        assert (publisher.stats.sent, publisher.stats.rejected) == (2, 0)
    times = [batch.time[0] - redis_ms(valkey) for batch in stored(valkey, own)]
    assert times == [pytest.approx(0, abs=60_000), pytest.approx(-3_600_000, abs=60_000)]


def test_good_times_of_a_batch_are_kept_and_the_others_counted(valkey: Valkey, ahead: Ahead) -> None:
    now_ms = redis_ms(valkey)
    ahead(3 * DAY_S)
    with tidewire.Publisher(valkey.url, flush_after_s=0.2) as publisher:
        for n, time_ms in enumerate((now_ms - 5, now_ms + DAY_S * 1e3, now_ms, now_ms + 2 * DAY_S * 1e3)):
            publisher.publish("m", n, time=time_ms, step=n)
        assert publisher.flush(HANG_S)
        assert (publisher.stats.sent, publisher.stats.rejected) == (2, 2)
    (batch,) = stored(valkey)
    assert (batch.time, batch.value, batch.step) == ([now_ms - 5, now_ms], [0, 2], [0, 2])


def test_a_clock_that_is_set_while_readings_wait(valkey: Valkey, ahead: Ahead, tmp_path: Path) -> None:
    valkey.stop()
    ahead(WRONG_S["1970"])
    publisher = tidewire.Publisher(valkey.url, spool=tmp_path)
    publisher.publish("m", 1)
    ahead(WRONG_S["days ahead"])
    publisher.publish("m", 2)
    ahead(0)
    publisher.publish("m", 3)
    publisher.close(0.2)
    valkey.start()
    with tidewire.Publisher(valkey.url, spool=tmp_path) as another:  # of the next process
        assert another.flush(HANG_S)
        assert (another.stats.sent, another.stats.rejected) == (3, 0)
    found = [
        (value, time_ms) for batch in stored(valkey) for value, time_ms in zip(batch.value, batch.time, strict=True)
    ]
    assert [value for value, _ in found] == [1, 2, 3]
    assert all(abs(time_ms - redis_ms(valkey)) < 60_000 for _, time_ms in found)


def test_a_machine_that_slept_is_not_taken_for_one_with_a_wrong_clock(
    valkey: Valkey, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tidewire.Publisher(valkey.url) as publisher:
        publisher.publish("m", 1)
        assert publisher.flush(HANG_S)
        transport: Any = publisher._sender._transport.of(0)  # type: ignore[union-attr]
        transport._offset_ms -= 7_200_000.0  # as a clock that stands during sleep leaves it behind
        publisher.publish("m", 2)
        assert publisher.flush(HANG_S)
    assert warnings_of(caplog) == []
    assert [value for batch in stored(valkey) for value in batch.value] == [1, 2]


def test_what_is_measured_by_this_machines_clock_has_no_time_of_its_own(valkey: Valkey, ahead: Ahead) -> None:
    ahead(WRONG_S["1970"])
    log = logging.getLogger("clockless")
    with tidewire.Publisher(valkey.url) as publisher:
        log.addHandler(handler := tidewire.LogHandler("logged", publisher=publisher))
        log.warning("an epoch", extra={"loss": 0.5})
        log.removeHandler(handler)
        stop = threading.Event()
        threading.Timer(2.0, stop.set).start()
        publish_host(publisher, stop)
        assert publisher.flush(HANG_S)
        assert publisher.stats.rejected == 0
    for metric in ("logged/loss", "host/load"):
        times = [time_ms for batch in stored(valkey, metric) for time_ms in batch.time]
        assert times
        assert all(abs(time_ms - redis_ms(valkey)) < 60_000 for time_ms in times), metric


def test_a_service_measures_itself_by_the_clock_of_the_log(ahead: Ahead) -> None:
    ahead(WRONG_S["1970"])
    registry = CollectorRegistry()
    Gauge("tidewire_streams_open", "Streams", registry=registry).set(3)
    Gauge("process_resident_memory_bytes", "Memory", registry=registry).set(1)
    metrics = SelfMetrics(RedisLog("redis://127.0.0.1:1"), registry, "p", 10.0, lambda: NOW)
    assert {batch.last_time for batch in metrics.batches()} == {NOW}


def test_a_spool_of_an_earlier_version_is_read() -> None:
    old = msgspec.msgpack.encode([["m", b"{}", "{}", b"{}", 1]])
    assert _decoder.decode(old) == [EncodedBatch("m", b"{}", "{}", b"{}", 1)]


@given(
    st.lists(st.tuples(st.lists(st.sampled_from(TIMES), min_size=1), st.booleans())),
    st.sampled_from([0.0, 1e9, NOW, NOW + 1e9]),
)
def test_every_time_that_is_sent_is_plausible_and_every_reading_is_sent_or_counted(
    given_batches: list[tuple[list[float], bool]], own_ms: float
) -> None:
    batches = []
    for n, (times, default_time) in enumerate(given_batches):
        given_times = times if default_time else [max(time_ms, 9e11) for time_ms in times]
        batch = Batch(metric=f"m{n}", time=given_times, value=[float(k) for k in range(len(times))])
        batches.append(encode_batch(batch, default_time=default_time))
    checked = check_times(batches, NOW, own_ms)
    sent = [decode_batch(batch.body) for batch in checked.batches]
    assert all(is_plausible_time(time_ms, NOW) for batch in sent for time_ms in batch.time)
    assert sum(map(len, sent)) + checked.refused == sum(batch.readings for batch in batches)
    assert bool(checked.reason) == bool(checked.refused)
    for encoded, batch in zip(checked.batches, sent, strict=True):
        times, default_time = given_batches[int(batch.metric[1:])]
        assert (encoded.readings, encoded.last_time) == (len(batch), max(batch.time))
        kept = [k for k, time_ms in enumerate(times) if default_time or time_ms <= NOW + LEAD_MS]
        assert batch.value == kept
        for k, time_ms in zip(kept, batch.time, strict=True):
            if is_plausible_time(times[k], NOW):
                assert time_ms == times[k]
