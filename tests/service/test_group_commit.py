"""Requests that wait at the same time share a call of the log; each gets its own answer."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from servers import Valkey
from waiting import Eventually, eventually

from tidewire.errors import LogFull, LogUnavailable
from tidewire.model.batch import EncodedBatch, IngestLimits, encode_batch, make_batch
from tidewire.model.cursor import parse_id
from tidewire.redislog.calls import Once
from tidewire.redislog.log import RedisLog
from tidewire_service.ingest.group_commit import GroupCommit


def batch(metric: str, value: Any = 1.0, **more: Any) -> EncodedBatch:
    return encode_batch(make_batch(metric, value, **more))


def calls(valkey: Valkey) -> int:
    """Return how many functions were called in Redis."""
    return int(valkey.client.info("commandstats").get("cmdstat_fcall", {"calls": 0})["calls"])


def ids(valkey: Valkey, metric: str) -> list[int]:
    return [parse_id(id_.decode()) for id_, _ in valkey.client.xrange(f"tw:{{0}}:log:{metric}")]


@pytest.fixture
async def log(valkey: Valkey) -> AsyncIterator[RedisLog]:
    log = RedisLog(valkey.url, limits=IngestLimits(series=3))
    yield log
    await log.close()


async def test_those_who_wait_share_calls_and_each_gets_its_ids(valkey: Valkey, log: RedisLog) -> None:
    commits = GroupCommit(log)
    await commits.append([batch("first")])
    before = calls(valkey)
    appended = await asyncio.gather(
        *(commits.append([batch(f"m/{n}/{part}") for part in range(n % 3 + 1)]) for n in range(300))
    )
    assert calls(valkey) - before <= 4, "the first alone, then groups of at most 500 batches"
    for n, answer in enumerate(appended):
        assert [ids(valkey, f"m/{n}/{part}") for part in range(n % 3 + 1)] == [[result] for result in answer.results]
        assert answer.id >= max(answer.results)  # type: ignore[type-var,operator]  # ids; a stream from it starts behind them


async def test_one_who_comes_alone_waits_for_nobody(valkey: Valkey, log: RedisLog) -> None:
    commits = GroupCommit(log)
    for n in range(3):
        answer = await commits.append([batch("m", n)])
        assert ids(valkey, "m")[-1] == answer.id


async def test_a_group_is_no_larger_than_a_call(valkey: Valkey, log: RedisLog) -> None:
    commits = GroupCommit(log)
    long = [batch(f"m/{n}", 1.0, text="x" * 200_000) for n in range(12)]
    appended = await asyncio.gather(*(commits.append([one]) for one in long), commits.append(long))
    for n in range(12):
        assert len(ids(valkey, f"m/{n}")) == 2
    assert len(appended[-1].results) == 12


async def test_what_is_refused_of_one_is_not_refused_of_another(valkey: Valkey, log: RedisLog) -> None:
    commits = GroupCommit(log)
    await log.append([batch("first"), batch("spoilt")])
    valkey.client.set("tw:{0}:log:spoilt", "by another program")
    series = [commits.append([batch("m", labels={"n": str(n)}), batch(f"other/{n}")]) for n in range(5)]
    appended = await asyncio.gather(*series, commits.append([batch("spoilt")]), commits.append([batch("good")]))
    refused = [[type(result) for result in answer.results] for answer in appended[:5]]
    assert refused == [[int, int]] * 3 + [[str, int]] * 2
    assert [answer.results for answer in appended[3:5]] == [("series", ids(valkey, f"other/{n}")[0]) for n in (3, 4)]
    assert appended[5].results == ("poison",)
    assert appended[6].results == (ids(valkey, "good")[0],)


async def test_a_call_that_one_of_them_may_not_make_is_made_for_the_others(valkey: Valkey, log: RedisLog) -> None:
    await log.append([batch(f"m/{n}", 0.0) for n in range(9)] + [batch("secret", 0.0)])
    keys = ("~tw:{0}:clock", "~tw:{0}:tail", "~tw:{0}:last:*", "~tw:{0}:log:m*")
    valkey.cli("ACL", "SETUSER", "some", "on", ">some", "+@all", "&*", *keys)
    narrow = RedisLog(f"redis://some:some@127.0.0.1:{valkey.port}")
    commits = GroupCommit(narrow)
    rows = [[batch(f"m/{n}")] for n in range(9)]
    rows.insert(4, [batch("m/x"), batch("secret")])
    answers = await asyncio.gather(*map(commits.append, rows), return_exceptions=True)
    refused = answers.pop(4)
    assert isinstance(refused, LogUnavailable)
    assert re.search("permission|ACL", str(refused))
    for n, answer in enumerate(answers):
        assert not isinstance(answer, BaseException)
        assert ids(valkey, f"m/{n}")[1:] == list(answer.results), "once"
    assert ids(valkey, "m/x") == []
    assert len(ids(valkey, "secret")) == 1
    await narrow.close()


async def test_all_are_told_when_redis_is_full_or_away(valkey: Valkey, log: RedisLog) -> None:
    commits = GroupCommit(log)
    await commits.append([batch("m")])
    valkey.cli("CONFIG", "SET", "maxmemory", 1)
    answers = await asyncio.gather(*(commits.append([batch("m")]) for _ in range(9)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [LogFull] * 9
    assert len(set(map(id, answers))) == 9, "each has its own, with its own traceback"
    valkey.cli("CONFIG", "SET", "maxmemory", 0)
    valkey.stop()
    answers = await asyncio.gather(*(commits.append([batch("m")]) for _ in range(9)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [LogUnavailable] * 9
    valkey.start()
    assert (await commits.append([batch("m")])).results


async def test_a_call_that_hangs_holds_nobody_up_for_long(
    valkey: Valkey, log: RedisLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits, append, hangs = GroupCommit(log), log.append, asyncio.Event()

    async def hanging(batches: Any, **more: Any) -> Any:
        if batches[0].metric == "slow":
            await hangs.wait()
        return await append(batches, **more)

    monkeypatch.setattr(log, "append", hanging)
    slow = [asyncio.create_task(commits.append([batch("slow", n)])) for n in range(20)]
    await asyncio.sleep(0)
    quick = await asyncio.gather(*(commits.append([batch(f"m/{n}")]) for n in range(3)))
    assert [ids(valkey, f"m/{n}") for n in range(3)] == [list(answer.results) for answer in quick]
    assert not any(task.done() for task in slow)
    hangs.set()
    assert sorted(answer.results[0] for answer in await asyncio.gather(*slow)) == ids(valkey, "slow")  # type: ignore[type-var]


async def test_one_who_leaves_takes_nobody_with_it(valkey: Valkey, log: RedisLog, eventually: Eventually) -> None:
    commits = GroupCommit(log)
    tasks = [asyncio.create_task(commits.append([batch(f"m/{n}")])) for n in range(6)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(answer, asyncio.CancelledError) for answer in answers] == [True, False] * 3
    for n in (1, 3, 5):
        assert len(ids(valkey, f"m/{n}")) == 1

    async def are_there() -> bool:
        return all(len(ids(valkey, f"m/{n}")) == 1 for n in range(6))

    await eventually(are_there)  # as with a client that disconnects after its body


async def test_what_redis_remembers_by_a_name_has_its_own_call(valkey: Valkey, log: RedisLog) -> None:
    commits = GroupCommit(log)
    for _ in range(2):
        answers = await asyncio.gather(
            *(commits.append([batch("m", n)], once=Once(f"k{n}", "hash")) for n in range(5)),
            *(commits.append([batch("p", n)], publisher=f"p{n}", sequence=1) for n in range(5)),
        )
    assert {answer.duplicate for answer in answers} == {True}
    assert (len(ids(valkey, "m")), len(ids(valkey, "p"))) == (5, 5)


async def test_a_fault_of_ours_reaches_each_and_the_next_are_served(
    valkey: Valkey, log: RedisLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits, append = GroupCommit(log), log.append

    async def faulty(batches: Any, **more: Any) -> Any:
        if any(one.metric == "fault" for one in batches):
            raise RuntimeError("a fault")
        return await append(batches, **more)

    monkeypatch.setattr(log, "append", faulty)
    answers = await asyncio.gather(*(commits.append([batch("fault")]) for _ in range(4)), return_exceptions=True)
    assert [str(answer) for answer in answers] == ["a fault"] * 4
    assert (await commits.append([batch("m")])).results == tuple(ids(valkey, "m"))


async def test_one_who_comes_as_a_call_ends_waits_for_nobody(log: RedisLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both calls end in one turn of the loop, and another request comes in that turn."""
    commits, append = GroupCommit(log), log.append
    patience: list[float] = []
    loop = asyncio.get_running_loop()
    later = loop.call_later
    monkeypatch.setattr(loop, "call_later", lambda delay, *rest: patience.append(delay) or later(delay, *rest))
    both = asyncio.Event()

    async def at_once(batches: Any, **more: Any) -> Any:
        await both.wait()
        return await append(batches, **more)

    monkeypatch.setattr(log, "append", at_once)

    async def again(number: int) -> None:
        await commits.append([batch(f"m/{number}")])
        monkeypatch.setattr(log, "append", append)
        await commits.append([batch(f"n/{number}")])

    running = [asyncio.create_task(again(number)) for number in range(2)]
    await asyncio.sleep(0)
    both.set()
    await asyncio.gather(*running)
    assert 0.1 not in patience


async def test_64_publishers_lose_and_double_nothing_while_redis_restarts(start: Any, valkey: Valkey) -> None:
    """Each numbers its readings and repeats a post, under its key, until it is answered with 200."""
    service = await start(redis_timeout_s=2.0)
    posts, answered, restarted = 12, 0, asyncio.Event()

    async def publisher(number: int) -> int:
        nonlocal answered
        tries = 0
        for sequence in range(posts):
            body = json.dumps({"metric": f"ledger/{number}", "value": sequence}).encode()
            while True:
                tries += 1
                answer = await service.post(body, **{"Idempotency-Key": f"{number}-{sequence}"})
                if answer.status_code == 200:
                    break
                assert answer.status_code == 503, answer.text
                await asyncio.sleep(0.05)
            answered += 1
            if sequence == posts - 4:
                await restarted.wait()  # so that some are posted after the last restart
        return tries

    publishers = asyncio.gather(*map(publisher, range(64)))
    for part in (1, 2):
        await eventually(lambda part=part: answered >= 64 * 4 * part)  # type: ignore[misc]
        await asyncio.to_thread(valkey.restart)
    restarted.set()
    tries = sum(await publishers)
    assert tries >= 64 * posts
    stored = await service.stored()
    assert stored == {f"ledger/{number}": list(map(float, range(posts))) for number in range(64)}
