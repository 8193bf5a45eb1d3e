"""The Lua functions and the Redis log against a real server: ids, epochs, duplicates, limits, foreign things, inbox."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lanes import bounded
from servers import Valkey
from waiting import HANG_S

from tidewire.errors import InvalidInput, LogFull, LogUnavailable, PublishConflict
from tidewire.model.batch import EncodedBatch, IngestLimits, decode_batch, encode_batch, make_batch
from tidewire.model.cursor import id_ms, id_text, parse_id
from tidewire.redislog.calls import Appended, Once, Retention, parse_last_readings, split_calls
from tidewire.redislog.keys import Keys
from tidewire.redislog.lineage import Fork, Watermark
from tidewire.redislog.log import BlockingRedisLog, RedisLog
from tidewire_service.hub.live_frame import parse_frame


def batch(metric: str, *values: float, **more: Any) -> EncodedBatch:
    return encode_batch(make_batch(metric, list(values), **more))


def retried(call: Callable[[], Appended]) -> Appended:
    """Call as a publisher does: again, when the connection of before was found closed."""
    try:
        return call()
    except LogUnavailable:
        return call()


@pytest.fixture
async def log(valkey: Valkey) -> AsyncIterator[RedisLog]:
    log = RedisLog(valkey.url)
    yield log
    await log.close()


async def test_ids_rise_over_all_metrics_and_each_points_at_its_metrics_predecessor(log: RedisLog) -> None:
    first = await log.append([batch("a", 1), batch("b", 2), batch("a", 3)])
    second = await log.append([batch("b", 4)])
    ids = [*first.results, *second.results]
    assert ids == sorted(set(ids), key=int)
    (a, b), _ = await log.entries_after([("a", 0), ("b", 0)], 10)
    assert [(e.id, e.prev) for e in a] == [(ids[0], 0), (ids[2], ids[0])]
    assert [(e.id, e.prev) for e in b] == [(ids[1], 0), (ids[3], ids[1])]
    assert (await log.tails())[0] == {"a": ids[2], "b": ids[3]}


async def test_one_call_is_one_live_frame_that_carries_the_id_before_it(log: RedisLog) -> None:
    pubsub = log.redis.pubsub()
    await pubsub.subscribe(log.keys.live)
    before = (await log.append([batch("a", 1)])).id
    appended = await log.append([batch("a", 2), batch("ünï/cödé", 3)])
    frames = [
        parse_frame(message["data"]) async for message in _first_messages(pubsub, 3) if message["type"] == "message"
    ]
    await pubsub.aclose()
    assert frames[1].before == before
    assert frames[1].epoch == appended.epoch
    assert [(e.id, e.metric) for e in frames[1].entries] == [
        (appended.results[0], "a"),
        (appended.results[1], "ünï/cödé"),
    ]
    assert decode_batch(frames[1].entries[1].body).value == [3.0]


async def _first_messages(pubsub: Any, count: int) -> AsyncIterator[Any]:
    for _ in range(count):
        message = await pubsub.get_message(timeout=HANG_S)
        assert message is not None
        yield message


async def test_row_28_a_publishers_sequence_never_appends_twice_and_never_expires_with_a_key(log: RedisLog) -> None:
    first = await log.append([batch("a", 1)], publisher="p", sequence=1)
    again = await log.append([batch("a", 1)], publisher="p", sequence=1)
    await log.append([batch("a", 2)], publisher="p", sequence=2)
    late = await log.append([batch("a", 1)], publisher="p", sequence=1)  # whenever the lost reply is retried
    other = await log.append([batch("a", 9)], publisher="q", sequence=1)
    assert (first.duplicate, again.duplicate, late.duplicate, other.duplicate) == (False, True, True, False)
    assert again.id == first.id
    assert len((await log.entries_after([("a", 0)], 10))[0][0]) == 3


async def test_a_publisher_whose_call_is_split_is_still_taken_once(log: RedisLog) -> None:
    many = [batch("a", float(n)) for n in range(1_200)]
    assert [len(part) for part in split_calls(many)] == [500, 500, 200]
    await log.append(many, publisher="p", sequence=1)
    again = await log.append(many, publisher="p", sequence=1)
    assert again.duplicate
    assert len((await log.entries_after([("a", 0)]))[0][0]) == 1_200


async def test_an_idempotency_key_answers_the_same_body_and_refuses_another(log: RedisLog) -> None:
    first = await log.append([batch("a", 1)], once=Once("key", "hash"))
    again = await log.append([batch("a", 1)], once=Once("key", "hash"))
    assert again.duplicate
    assert again.id == first.id
    with pytest.raises(PublishConflict, match="key"):
        await log.append([batch("a", 2)], once=Once("key", "other"))


async def test_row_16_each_server_process_mints_an_epoch_and_the_old_one_stays_in_the_chain(
    log: RedisLog, valkey: Valkey
) -> None:
    first = await log.append([batch("a", 1)])
    valkey.restart()
    with contextlib.suppress(LogUnavailable):  # the connection of before may be found closed only now
        await log.ping()
    clock = await log.clock()
    assert clock.epoch != first.epoch
    assert clock.chain == (Fork(first.epoch, 0, None), Fork(clock.epoch, first.id, None))
    second = await log.append([batch("a", 2)])
    assert second.epoch == clock.epoch
    assert second.id > first.id
    assert (await log.clock()).epoch == clock.epoch, "one process, one epoch"


async def test_two_empty_starts_mint_different_epochs(log: RedisLog, valkey: Valkey) -> None:
    epochs = set()
    for _ in range(5):
        valkey.cli("FLUSHALL")
        epochs.add((await log.clock()).epoch)
    assert len(epochs) == 5
    assert all(len(epoch) == 7 and epoch.isalnum() for epoch in epochs)


async def test_rows_19_and_20_evidence_of_lost_writes_opens_an_epoch_that_says_from_where(log: RedisLog) -> None:
    kept = await log.append([batch("a", 1)])
    chain = (await log.clock()).chain
    # somebody saw more acknowledged than this lineage holds: a failover lost it
    beyond = Watermark(kept.id + (7 << 32), (*chain, Fork("elsewhr", kept.id, None)))
    clock = await log.clock(beyond)
    assert clock.epoch != kept.epoch
    assert clock.chain[-1].lost == kept.id
    assert (await log.clock(beyond)).epoch == clock.epoch, "heard once"
    assert (await log.clock(Watermark(kept.id, chain))).epoch == clock.epoch, "nothing lost for who saw no more"


async def test_the_chain_keeps_64_entries(log: RedisLog) -> None:
    await log.append([batch("a", 1)])
    for n in range(70):
        clock = await log.clock()
        await log.clock(Watermark(clock.id + (1 << 40), (*clock.chain, Fork(f"x{n:06d}", clock.id, None))))
        await log.append([batch("a", 1)])
    assert len((await log.clock()).chain) == 64


async def test_a_publisher_hands_in_its_evidence_when_the_epoch_moved(valkey: Valkey, log: RedisLog) -> None:
    other = RedisLog(valkey.url)
    await other.append([batch("a", 1)])
    valkey.restart()
    with contextlib.suppress(LogUnavailable):
        await other.ping()
    appended = await other.append([batch("a", 2)])  # "clock first", then the same call
    assert appended.epoch == (await log.clock()).epoch
    await other.close()


async def test_row_26_a_log_without_its_directory_entry_is_dropped_at_birth(log: RedisLog, valkey: Valkey) -> None:
    await log.append([batch("a", 1), batch("a", 2, labels={"x": "y"})])
    valkey.cli("DEL", log.keys.clock)
    appended = await log.append([batch("a", 3)])
    assert appended.results == (appended.id,)
    entries = (await log.entries_after([("a", 0)], 10))[0][0]
    assert [(e.id, e.prev) for e in entries] == [(appended.id, 0)]
    assert list((await log.last_readings(["a"]))[0][0]) == [b"{}"]


async def test_limits_refuse_the_new_and_keep_the_old(valkey: Valkey) -> None:
    log = RedisLog(valkey.url, limits=IngestLimits(series=2, metrics=2))
    appended = await log.append(
        [batch("a", 1, labels={"n": str(n)}) for n in range(3)]
        + [batch("b", 1), batch("c", 1), batch("a", 2, labels={"n": "0"})]
    )
    assert [r if isinstance(r, str) else "ok" for r in appended.results] == [
        "ok",
        "ok",
        "series",
        "ok",
        "metrics",
        "ok",
    ]
    readings = (await log.last_readings(["a"]))[0][0]
    assert {key: last.readings for key, last in readings.items()} == {b'{"n":"0"}': 2, b'{"n":"1"}': 1}
    stored = sorted(e.id for entries in (await log.entries_after([("a", 0), ("b", 0)]))[0] for e in entries)
    assert [r for r in appended.results if not isinstance(r, str)] == stored, "the ids that the caller works out"
    assert stored[-1] == appended.id == (await log.clock()).id
    nothing = await log.append([batch("c", 1), batch("d", 1)])
    assert (nothing.results, nothing.id) == (("metrics", "metrics"), appended.id)
    await log.close()


async def test_the_snapshot_has_the_newest_reading_and_the_count_of_columns_and_single_readings(log: RedisLog) -> None:
    time = [1_700_000_002_000.0, 1_700_000_003_000.0, 1_700_000_001_000.0]
    await log.append([batch("a", 1, time=time[:1]), batch("a", 2, 3, 4, time=time), batch("b", 5, 6)])
    (last, other), _ = await log.last_readings(["a", "b"])
    assert last[b"{}"].readings == 4
    assert decode_batch(last[b"{}"].body).value == [3]
    assert (other[b"{}"].readings, decode_batch(other[b"{}"].body).value) == (2, [6])
    await log.append([batch("a", 7)])
    last = (await log.last_readings(["a"]))[0][0]
    assert (last[b"{}"].readings, decode_batch(last[b"{}"].body).value) == (5, [7])


async def test_the_last_reading_is_the_newest_by_its_own_time_and_not_by_arrival(log: RedisLog, now_ms: float) -> None:
    first = await log.append([batch("a", 22.5, time=[now_ms])])
    late = await log.append([batch("a", 3.0, time=[now_ms - 7_200_000])])
    last = (await log.last_readings(["a"]))[0][0][b"{}"]
    assert decode_batch(last.body).value == [22.5]
    assert (last.id, last.readings, last.reading_id) == (late.id, 2, first.id)
    again = await log.append([batch("a", 4.0, time=[now_ms])])
    last = (await log.last_readings(["a"]))[0][0][b"{}"]
    assert decode_batch(last.body).value == [4.0], "of equal times the later id"
    assert (last.id, last.readings, last.reading_id) == (again.id, 3, again.id)


@settings(max_examples=bounded(15, 300), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    calls=st.lists(st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=3), min_size=1, max_size=3), max_size=4)
)
def test_the_last_reading_is_the_newest_of_any_batches_and_calls(
    valkey: Valkey, now_ms: float, calls: list[list[list[int]]]
) -> None:
    """Each innermost number is how many milliseconds before now a reading lies."""
    log = BlockingRedisLog(valkey.url)
    valkey.cli("FLUSHALL")
    newest, number = (-math.inf, 0, math.nan), 0.0  # time, id, value
    for call in calls:
        batches = []
        for ages in call:
            values = [number + n for n in range(len(ages))]
            batches.append(batch("a", *values, time=[now_ms - age for age in ages]))
            number += len(ages)
        answer = log.append(batches)
        for made, id_ in zip(batches, answer.results, strict=True):
            assert isinstance(id_, int)
            for time, value in zip(decode_batch(made.body).time, decode_batch(made.body).value, strict=True):
                newest = max(newest, (time, id_, float(value or 0)))
        found, _ = parse_last_readings(log.redis.hgetall(log.keys.last("a")))
        last = decode_batch(found[b"{}"].body)
        assert (last.time[0], found[b"{}"].reading_id, last.value[0]) == newest
        assert (found[b"{}"].id, found[b"{}"].readings) == (answer.id, number)
    log.close()


async def test_a_last_reading_of_an_unknown_time_counts_with_the_logs(log: RedisLog, valkey: Valkey) -> None:
    now_ms = (await log.clock()).now_ms
    stored = await log.append([batch("a", 1.0, time=[now_ms - 5_000])])
    older = b"%b 1\n%b" % (id_text(stored.id).encode(), batch("a", 1.0, time=[now_ms - 5_000]).body)
    valkey.cli("HSET", log.keys.last("a"), "{}", older)  # as an older version wrote it
    await log.append([batch("a", 2.0, time=[now_ms - 6_000])])
    last = (await log.last_readings(["a"]))[0][0][b"{}"]
    assert (decode_batch(last.body).value, last.readings, last.reading_id) == ([1.0], 2, stored.id)
    await log.append([batch("a", 3.0)._replace(last_time=0.0)])  # out of an older spool
    last = (await log.last_readings(["a"]))[0][0][b"{}"]
    assert (decode_batch(last.body).value, last.readings) == ([3.0], 3)
    valkey.cli("HSET", log.keys.last("a"), "{}", b"\x00 garbage")
    await log.append([batch("a", 4.0, time=[now_ms - 9_000])])
    last = (await log.last_readings(["a"]))[0][0][b"{}"]
    assert (decode_batch(last.body).value, last.readings) == ([4.0], 1)


async def test_foreign_types_and_entries_are_refused_as_poison_and_others_go_on(log: RedisLog, valkey: Valkey) -> None:
    await log.append([batch("a", 1), batch("b", 1)])
    valkey.cli("DEL", log.keys.log("a"))
    valkey.cli("SET", log.keys.log("a"), "x")
    ahead = id_text((id_ms((await log.clock()).id) + 10**9) << 32)
    valkey.cli("XADD", log.keys.log("b"), ahead, "p", "0-0", "d", "x")
    appended = await log.append([batch("a", 2), batch("b", 2), batch("c", 2)])
    assert appended.results[:2] == ("poison", "poison")
    assert appended.results[2] == appended.id
    assert (await log.entries_after([("a", 0)], 10))[0] == [[]]
    assert log.skipped_entries >= 1


async def test_garbage_between_entries_is_skipped_counted_and_does_not_end_a_page(
    log: RedisLog, valkey: Valkey
) -> None:
    ids = []
    for n in range(4):
        result: int | str = "poison"
        while result == "poison":  # until the clock has left the millisecond in which the foreign entries lie
            result = (await log.append([batch("a", n)])).results[0]
        assert isinstance(result, int)
        ids.append(result)
        valkey.cli("XADD", log.keys.log("a"), f"{id_ms(ids[-1])}-{(ids[-1] & 0xFFFFFFFF) + 1}", "hand", "written")
        for body in (b"{not json", b'{"metric":"a","time":[1],"value":[]}'):
            top = valkey.cli("XREVRANGE", log.keys.log("a"), "+", "-", "COUNT", 1)[0][0].decode().split("-")
            valkey.cli("XADD", log.keys.log("a"), f"{top[0]}-{int(top[1]) + 1}", "p", "0-0", "d", body)
    # the log's clock moves on: ours stay appendable although foreign ids lie between
    found, after = [], 0
    while page := (await log.entries_after([("a", after)], 2))[0][0]:
        found += [entry.id for entry in page]
        after = page[-1].id
    assert found == ids
    assert log.skipped_entries >= 12


async def test_retention_by_count_and_by_age(valkey: Valkey) -> None:
    log = RedisLog(valkey.url, retention=Retention(batches=3, age_s=86_400))
    for n in range(10):
        await log.append([batch("a", n)])
    assert len((await log.entries_after([("a", 0)]))[0][0]) == 3
    await log.close()
    old = RedisLog(valkey.url, retention=Retention(batches=10_000, age_s=-10, silent_s=1_000))
    await old.append([batch("b", float(n)) for n in range(300)])
    for _ in range(70):
        await old.append([batch("b", 1)])
    assert await old.sweep(["a", "b"]) == 0
    assert len((await old.entries_after([("b", 0)]))[0][0]) < 100, "trimmed by age in whole nodes"
    await old.close()
    long = RedisLog(valkey.url, retention=Retention(batches=1_000))
    for _ in range(40):  # a long log is trimmed now and then
        await long.append([batch("c", float(k)) for k in range(100)])
    assert 1_000 <= len((await long.entries_after([("c", 0)]))[0][0]) <= 1_200
    await long.close()


async def test_a_forgotten_metric_is_born_again_behind_what_was_forgotten(valkey: Valkey) -> None:
    log = RedisLog(valkey.url, retention=Retention(silent_s=-10))
    gone = await log.append([batch("a", 1)])
    assert await log.sweep(["a"]) == 1
    assert (await log.tails())[0] == {}
    await log.append([batch("a", 2)])
    assert (await log.entries_after([("a", 0)], 10))[0][0][0].prev == gone.id
    await log.close()


async def test_series_silent_for_longer_than_the_log_keeps_make_room_for_new_ones(valkey: Valkey) -> None:
    log = RedisLog(valkey.url, limits=IngestLimits(series=3), retention=Retention(age_s=60))
    pods = [batch("up", n, labels={"pod": pod}) for n, pod in enumerate("abc")]
    await log.append(pods)
    fresh = batch("up", 1, labels={"pod": "d"})
    assert await log.sweep(["up"]) == 0
    assert (await log.append([fresh])).results == ("series",), "they were here a moment ago"
    _age(log, valkey, "up", {"a": 90_000, "b": 61_000, "c": 59_000})
    assert await log.sweep(["up"]) == 0
    assert log.forgotten_series == 2
    first, second = (await log.append([fresh, pods[0]])).results
    assert isinstance(first, int)
    assert isinstance(second, int)
    known = (await log.last_readings(["up"]))[0][0]
    assert {key: last.readings for key, last in known.items()} == {
        b'{"pod":"a"}': 1, b'{"pod":"c"}': 1, b'{"pod":"d"}': 1,
    }  # fmt: skip
    assert await log.series_count(["up"]) == 3
    assert (await log.append([pods[1]])).results == ("series",)
    await log.close()


def _age(log: RedisLog, valkey: Valkey, metric: str, ages_ms: dict[str, int], *, tail: bool = False) -> None:
    """Make the last batches of these series of a metric, and of the metric, so much older than they are."""
    ids = []
    for pod, age_ms in ages_ms.items():
        key = f'{{"pod":"{pod}"}}'
        id_, _, rest = valkey.cli("HGET", log.keys.last(metric), key).partition(b" ")
        ids.append(id_text(parse_id(id_) - (age_ms << 32)))
        valkey.cli("HSET", log.keys.last(metric), key, ids[-1].encode() + b" " + rest)
    if tail:
        valkey.cli("HSET", log.keys.tail, metric, ids[-1])


@pytest.mark.parametrize(
    ("ages_s", "limit", "left", "metrics"),
    [
        ({"a": 0, "b": 0}, 9, "ab", 1),  # all go on
        ({"a": 200, "b": 0}, 9, "b", 1),
        ({"a": 200, "b": 150, "c": 99, "d": 0}, 9, "cd", 1),
        ({"a": 200, "b": 150}, 9, "ab", 1),  # silent as a whole: its last readings are all that is left
        ({"a": 200, "b": 150}, 2, "", 0),  # but not where they are in the way
        ({"a": 200, "b": 90}, 2, "b", 1),
        ({"a": 200}, 1, "", 0),
        ({"a": 5_000, "b": 1_500}, 9, "", 0),  # the metric is forgotten
        ({"a": 5_000, "b": 500}, 9, "ab", 1),
    ],
)
async def test_which_series_are_forgotten(
    valkey: Valkey, ages_s: dict[str, int], limit: int, left: str, metrics: int
) -> None:
    log = RedisLog(valkey.url, limits=IngestLimits(series=limit), retention=Retention(age_s=100, silent_s=1_000))
    await log.append([batch("m", 1, labels={"pod": pod}) for pod in ages_s])
    await log.append([batch("other", 1)])
    _age(log, valkey, "m", {pod: age_s * 1_000 for pod, age_s in ages_s.items()}, tail=True)
    assert await log.sweep(["m", "other", "unknown"]) == 1 - metrics
    known = (await log.last_readings(["m"]))[0][0]
    assert "".join(json.loads(key)["pod"] for key in sorted(known)) == left
    assert sorted((await log.tails())[0]) == ["m", "other"][1 - metrics :]
    assert log.forgotten_series == (len(ages_s) - len(left) if max(ages_s.values()) < 1_000 else 0)
    if not metrics:
        assert valkey.cli("EXISTS", log.keys.log("m"), log.keys.last("m")) == 0, "nothing of it is left behind"
    await log.close()


async def test_a_sweep_looks_at_some_thousand_series_a_call_and_passes_over_foreign_things(valkey: Valkey) -> None:
    log = RedisLog(valkey.url, limits=IngestLimits(series=3_000), retention=Retention(age_s=60))
    for metric in "ab":
        await log.append([batch(metric, n, labels={"pod": str(n)}) for n in range(2_500)])
        _age(log, valkey, metric, {str(n): 90_000 for n in range(0, 2_500, 2)})
    await log.append([batch("c", 1)])
    valkey.cli("HSET", log.keys.last("a"), "foreign", "garbage")
    valkey.cli("DEL", log.keys.last("c"))
    valkey.cli("SET", log.keys.last("c"), "a string")
    assert await log.sweep(["a", "b", "c"]) == 0
    assert log.forgotten_series == 2_500
    assert await log.series_count(["a", "b"]) == 2_501
    await log.close()


async def test_row_27_the_inbox_lease_changes_hands_with_a_marker_and_the_old_holder_appends_nothing(
    log: RedisLog, valkey: Valkey
) -> None:
    pubsub = log.redis.pubsub()
    await pubsub.psubscribe(log.keys.inbox_channels)
    assert await log.acquire_lease("a", 60_000) == 2
    assert await log.acquire_lease("a", 60_000) == 1
    assert await log.acquire_lease("b", 60_000) == 0
    assert (await log.append([batch("m", 1)], lease="a")).results != ("lease",)
    valkey.cli("DEL", log.keys.lease)
    assert await log.acquire_lease("b", 60_000) == 2
    assert (await log.append([batch("m", 2)], lease="a")).results == ("lease",)
    assert (await log.append([batch("m", 3)], lease="b")).results != ("lease",)
    markers = [m["data"] async for m in _first_messages(pubsub, 3) if m["type"] == "pmessage"]
    assert markers == [b"a", b"b"]
    await pubsub.aclose()


async def test_inbox_entries_are_acknowledged_and_deleted_in_the_step_that_appends(
    log: RedisLog, valkey: Valkey
) -> None:
    valkey.cli("XGROUP", "CREATE", log.keys.inbox, log.keys.inbox_group, "0", "MKSTREAM")
    entry = valkey.cli("XADD", log.keys.inbox, "*", "metric", "m", "value", "1").decode()
    valkey.cli("XREADGROUP", "GROUP", log.keys.inbox_group, "c", "STREAMS", log.keys.inbox, ">")
    await log.append([batch("m", 1)], inbox_ids=[entry])
    assert valkey.cli("XLEN", log.keys.inbox) == 0
    assert valkey.cli("XPENDING", log.keys.inbox, log.keys.inbox_group)["pending"] == 0


async def test_a_full_redis_refuses_an_append_as_a_whole_and_the_clock_still_answers(valkey: Valkey) -> None:
    valkey.restart(maxmemory="3mb")
    log = RedisLog(valkey.url)
    before = await log.append([batch("a", 1)])
    large = [batch("fill", *[1.0] * 1_000) for _ in range(20)]

    async def fill() -> None:
        for _ in range(100):
            await log.append(large)

    with pytest.raises(LogFull):
        await fill()
    entries = (await log.entries_after([("fill", 0)]))[0][0]
    clock = await log.clock()
    assert clock.id == (entries[-1].id if entries else before.id), "what was refused left nothing behind"
    await log.close()


async def test_functions_that_are_gone_are_loaded_again(log: RedisLog, valkey: Valkey) -> None:
    await log.append([batch("a", 1)])
    valkey.cli("FUNCTION", "FLUSH")
    assert (await log.append([batch("a", 2)])).duplicate is False


async def test_no_answer_is_log_unavailable_within_the_deadline(valkey: Valkey) -> None:
    log = RedisLog(valkey.url, timeout_s=0.3)
    await log.append([batch("a", 1)])
    valkey.pause()
    with pytest.raises(LogUnavailable):
        await log.append([batch("a", 2)])
    valkey.resume()
    valkey.stop()
    with pytest.raises(LogUnavailable, match=r"127\.0\.0\.1"):
        await log.ping()
    await log.close()


def test_the_blocking_log_appends_as_the_other_does(valkey: Valkey) -> None:
    log = BlockingRedisLog(valkey.url)
    first = log.append([batch("a", 1)], publisher="p", sequence=1)
    assert log.append([batch("a", 1)], publisher="p", sequence=1).duplicate
    valkey.restart()
    second = retried(lambda: log.append([batch("a", 2)], publisher="p", sequence=2))
    assert second.epoch != first.epoch
    assert second.id > first.id
    log.close()


async def test_a_password_is_in_no_error(valkey: Valkey) -> None:
    log = RedisLog(f"redis://:geheim@127.0.0.1:{valkey.port}/0")
    with pytest.raises(LogUnavailable) as caught:
        await log.ping()
    assert "geheim" not in str(caught.value)
    await log.close()


@pytest.mark.parametrize(
    "prefix", ["", "a{b", "a}", "*", "tw*", "t?", "[tw]", "tw\\", "a b", " ", "tw\n", "a\x1b", "\ud800"]
)
def test_a_prefix_that_is_a_pattern_or_cannot_be_seen_is_refused(prefix: str) -> None:
    with pytest.raises(InvalidInput, match="prefix"):
        Keys(prefix)


@pytest.mark.parametrize("prefix", ["tw", "plant-1.a:b/c", "öfen"])
def test_any_other_prefix_is_taken(prefix: str) -> None:
    assert Keys(prefix).inbox_metric(f"{prefix}:in:a/b") == "a/b"
