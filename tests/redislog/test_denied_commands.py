"""A denied command or key leaves nothing half done, whichever it is: appends, the inbox lease and sweeps."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest
from servers import Valkey
from waiting import eventually

from tidewire.errors import LogUnavailable
from tidewire.model.batch import EncodedBatch, IngestLimits, decode_batch, encode_batch, make_batch
from tidewire.redislog.calls import Appended, Once, Retention
from tidewire.redislog.log import RedisLog
from tidewire_service.hub.live_frame import parse_frame

EXACT = Retention(batches=900)  # so few that each append trims
LIMITS = IngestLimits(
    metrics=4, series=2
)  # as many as a whole append makes: what a half one left would refuse the next
CLOCK, TAIL, LOG, LAST = "tw:{0}:clock", "tw:{0}:tail", "tw:{0}:log:", "tw:{0}:last:"
METRICS = ("old", "born", "foreign", "other")  # a log under a foreign type; "other" comes last
KEYS = [CLOCK, TAIL, "tw:{0}:pub:p", "tw:{0}:once:k:0", "tw:{0}:lease", "tw:in", "tw:{0}:layout"]
KEYS += [prefix + metric for metric in METRICS for prefix in (LOG, LAST)]

COMMANDS = ["hmget", "hset", "hlen", "hget", "time", "get", "set", "del", "xadd", "xtrim", "publish"]
NOT_NEEDED = ["xdel", "hdel"]  # only to take back
UNTOUCHED = ("tw:{0}:lease", "tw:in", "tw:{0}:layout", LOG + "foreign", LAST + "foreign")  # by an append to this log
KEYS_WRITTEN = [key for key in KEYS if key not in UNTOUCHED]


class Denial(NamedTuple):
    """Rules after which a user may do all but some.

    Attributes:
        rules: what ACL SETUSER takes.
        name: of the test.
    """

    rules: tuple[str, ...]
    name: str


def without_key(key: str, rest: str = "") -> Denial:
    """Deny one key, or all but `rest` of it, such as ``%R``."""
    others = tuple(f"~{other}" for other in KEYS if other != key)
    return Denial(("resetkeys", *others, *([f"{rest}~{key}"] if rest else [])), f"{rest or 'no'}~{key}")


CHANNEL = Denial(("resetchannels",), "resetchannels")
DENIALS = [
    *(Denial((f"-{command}",), f"-{command}") for command in COMMANDS),
    CHANNEL,
    *(without_key(key) for key in KEYS_WRITTEN),
    *(without_key(key, "%R") for key in KEYS_WRITTEN),
]
BESIDES = [(), *((f"-{command}",) for command in NOT_NEEDED)]


def some(valkey: Valkey, *rules: str) -> str:
    """Set up a user who may do all but what the rules deny; return its URL."""
    valkey.cli("ACL", "SETUSER", "some", "on", ">some", "+@all", "~*", "&*", *rules)
    return f"redis://some:some@127.0.0.1:{valkey.port}"


def mend(valkey: Valkey) -> None:
    valkey.cli("ACL", "SETUSER", "some", "+@all", "resetkeys", "~*", "resetchannels", "&*")


def dump(valkey: Valkey, but: str = CLOCK) -> dict[str, Any]:
    """Return what is stored; of the clock that which an append that never was leaves alone. Without empty streams."""
    found: dict[str, Any] = {}
    for name in valkey.client.keys("tw:*"):
        kind = valkey.client.type(name)
        if kind == b"stream":
            value: Any = valkey.client.xrange(name)
        elif kind == b"hash":
            value = valkey.client.hgetall(name)
        else:
            value = valkey.client.get(name)
        if value:
            found[name.decode()] = value
    clock = found.pop(but, {})
    return {**found, "clock": {name: clock.get(name) for name in (b"epoch", b"chain", b"forgot", b"metrics")}}


def last_id(valkey: Valkey) -> tuple[int, int]:
    ms, n = valkey.client.hmget(CLOCK, "ms", "n")
    return int(ms), int(n)


def batches(value: float) -> list[EncodedBatch]:
    """Old and new metrics, old and new series, poison, and more than one batch of a metric."""
    return [
        encode_batch(make_batch(metric, value, labels={"s": series}))
        for metric, series in (
            ("old", "a"), ("born", "a"), ("old", "b"), ("foreign", "a"), ("old", "a"), ("born", "b"), ("other", "a"),
        )
    ]  # fmt: skip


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncIterator[RedisLog]:
    log = RedisLog(url, retention=EXACT, limits=LIMITS)
    yield log
    await log.close()


class Frames:
    """The live channel as a hub has it."""

    def __init__(self, valkey: Valkey) -> None:
        self._pubsub = valkey.client.pubsub(ignore_subscribe_messages=True)
        self._pubsub.subscribe("tw:{0}:live")
        self._seen: list[bytes] = []

    async def take(self, valkey: Valkey, mark: str) -> list[bytes]:
        """Return the frames that came since, up to a mark that is published now."""
        valkey.cli("PUBLISH", "tw:{0}:live", mark)

        def marked() -> bool:
            while message := self._pubsub.get_message():
                self._seen.append(message["data"])
            return mark.encode() in self._seen

        await eventually(marked)
        frames, self._seen = self._seen[:-1], []
        return frames

    def close(self) -> None:
        self._pubsub.close()


async def values(log: RedisLog) -> dict[str, list[float | None]]:
    lists, _ = await log.entries_after([(metric, 0) for metric in METRICS])
    return {m: [decode_batch(e.body).value[0] for e in entries] for m, entries in zip(METRICS, lists, strict=True)}


async def prepare(valkey: Valkey, log: RedisLog) -> None:
    """Two metrics that go on, of which one is last in the call, and one whose log is of a foreign type."""
    await log.append(
        [encode_batch(make_batch(m, 0.0, labels={"s": "a"})) for m in ("old", "foreign", "other")],
        publisher="p",
        sequence=1,
    )
    valkey.cli("DEL", LOG + "foreign")
    valkey.cli("SET", LOG + "foreign", "x")


async def append(log: RedisLog, value: float = 1.0, **more: Any) -> Appended:
    return await log.append(batches(value), publisher="p", sequence=2, once=Once("k", "hash"), **more)


async def check_stored_once(valkey: Valkey, log: RedisLog, frames: Frames, answer: Appended) -> None:
    """The append counts as one, with births and limits right, and its repetition as none."""
    assert not answer.duplicate
    assert [type(result) for result in answer.results] == [int, int, int, str, int, int, int]
    assert answer.results[3] == "poison"
    [frame] = [parse_frame(raw) for raw in await frames.take(valkey, "mended")]
    assert [entry.id for entry in frame.entries] == [result for result in answer.results if isinstance(result, int)]
    assert await values(log) == {"old": [0.0, 1.0, 1.0, 1.0], "born": [1.0, 1.0], "foreign": [], "other": [0.0, 1.0]}
    assert (await append(log)).duplicate
    tails, clock = await log.tails()
    assert set(tails) == set(METRICS)
    assert int(valkey.client.hget(CLOCK, "metrics")) == 4
    assert clock.id == answer.id == max(tails.values())
    assert len(clock.chain) == 1
    [old, born], _ = await log.last_readings(["old", "born"])
    assert [sorted(reading.readings for reading in found.values()) for found in (old, born)] == [[1, 3], [1, 1]]
    full = await log.append([encode_batch(make_batch("more", 0.0))])
    assert full.results == ("metrics",)


@pytest.mark.parametrize("besides", BESIDES, ids=lambda rules: " ".join(rules) or "alone")
@pytest.mark.parametrize("denial", DENIALS, ids=lambda denial: denial.name)
async def test_an_append_that_is_denied_a_command_or_key_never_was(
    valkey: Valkey, denial: Denial, besides: tuple[str, ...]
) -> None:
    """Alone, and for a user who also may not do what taking back needs."""
    frames = Frames(valkey)
    async with opened(valkey.url) as log:
        await prepare(valkey, log)
        await frames.take(valkey, "prepared")
        before, clock_before = dump(valkey), last_id(valkey)
        async with opened(some(valkey, *denial.rules, *besides)) as narrow:
            for _ in range(2):
                narrow._adopt(await log.clock())  # only the append is denied
                with pytest.raises(LogUnavailable, match=r"permission|ACL|can't run"):
                    await append(narrow)
                assert dump(valkey) == before
                assert last_id(valkey) >= clock_before
                assert await frames.take(valkey, "denied") == []
            mend(valkey)
            await check_stored_once(valkey, log, frames, await append(narrow))
    frames.close()


@pytest.mark.parametrize("command", NOT_NEEDED)
async def test_a_user_who_may_not_take_back_appends_if_nothing_else_is_denied(valkey: Valkey, command: str) -> None:
    frames = Frames(valkey)
    async with opened(valkey.url) as log:
        await prepare(valkey, log)
        await frames.take(valkey, "prepared")
        async with opened(some(valkey, f"-{command}")) as narrow:
            narrow._adopt(await log.clock())
            await check_stored_once(valkey, log, frames, await append(narrow))
    frames.close()


async def test_after_a_denied_append_no_other_append_has_its_ids(valkey: Valkey) -> None:
    """The log remembers them, and would refuse them as foreign."""
    async with opened(valkey.url) as log, opened(some(valkey, "-publish")) as narrow:
        await prepare(valkey, log)
        narrow._adopt(await log.clock())
        for _ in range(20):
            with pytest.raises(LogUnavailable, match=r"permission|can't run"):
                await append(narrow)
            taken = await log.append([encode_batch(make_batch("old", 2.0, labels={"s": "a"}))])
            assert isinstance(taken.results[0], int)


INBOX_DENIALS = [
    *(Denial((f"-{command}",), f"-{command}") for command in ("xack", "xdel", "publish", "set", "xtrim", "hset")),
    CHANNEL,
    *(without_key(key) for key in ("tw:in", "tw:{0}:lease", CLOCK, TAIL, LOG + "other", LAST + "other")),
    without_key("tw:in", "%R"),
]


@pytest.mark.parametrize("denial", INBOX_DENIALS, ids=lambda denial: denial.name)
async def test_an_inbox_append_that_is_denied_a_command_or_key_keeps_the_entry(valkey: Valkey, denial: Denial) -> None:
    frames = Frames(valkey)
    async with opened(valkey.url) as log:
        await prepare(valkey, log)
        await log.acquire_lease("token", 60_000)
        valkey.cli("XGROUP", "CREATE", "tw:in", "tw", "0", "MKSTREAM")
        entry = valkey.cli("XADD", "tw:in", "*", "metric", "old", "value", "1").decode()
        valkey.cli("XREADGROUP", "GROUP", "tw", "c", "STREAMS", "tw:in", ">")
        await frames.take(valkey, "prepared")
        before = dump(valkey)
        async with opened(some(valkey, *denial.rules)) as narrow:
            for _ in range(2):
                narrow._adopt(await log.clock())
                with pytest.raises(LogUnavailable, match=r"permission|ACL|can't run"):
                    await append(narrow, lease="token", inbox_ids=[entry])
                assert dump(valkey) == before
                assert valkey.client.xpending("tw:in", "tw")["pending"] == 1
                assert await frames.take(valkey, "denied") == []
            mend(valkey)
            answer = await append(narrow, lease="token", inbox_ids=[entry])
            assert valkey.client.xlen("tw:in") == valkey.client.xpending("tw:in", "tw")["pending"] == 0
            await check_stored_once(valkey, log, frames, answer)
    frames.close()


async def test_an_inbox_id_that_is_none_fails_the_append_before_its_frame(valkey: Valkey) -> None:
    frames = Frames(valkey)
    async with opened(valkey.url) as log:
        await prepare(valkey, log)
        valkey.cli("XGROUP", "CREATE", "tw:in", "tw", "0", "MKSTREAM")
        await frames.take(valkey, "prepared")
        before = dump(valkey)
        with pytest.raises(LogUnavailable, match="stream ID"):
            await append(log, inbox_ids=["no-id"])
        assert dump(valkey) == before
        assert await frames.take(valkey, "refused") == []
        await check_stored_once(valkey, log, frames, await append(log))
    frames.close()


LEASE_DENIALS = [
    *(Denial((f"-{command}",), f"-{command}") for command in ("get", "set", "publish")),
    CHANNEL,
    without_key("tw:{0}:lease"),
    without_key("tw:{0}:lease", "%R"),
]


@pytest.mark.parametrize("holder", ["", "other"])
@pytest.mark.parametrize("denial", LEASE_DENIALS, ids=lambda denial: denial.name)
async def test_a_lease_that_is_denied_a_command_or_key_is_not_taken_without_its_marker(
    valkey: Valkey, denial: Denial, holder: str
) -> None:
    async with opened(valkey.url) as log, opened(some(valkey, *denial.rules)) as narrow:
        if holder:
            await log.acquire_lease(holder, 60_000)
        for _ in range(2):
            answer = None
            with contextlib.suppress(LogUnavailable):
                answer = await narrow.acquire_lease("mine", 60_000)
            assert answer == (0 if holder and denial.name in LEASE_READABLE else None)
            assert valkey.client.get("tw:{0}:lease") == (holder.encode() or None)
        mend(valkey)
        valkey.cli("DEL", "tw:{0}:lease")
        assert await narrow.acquire_lease("mine", 60_000) == 2
        assert await narrow.acquire_lease("mine", 60_000) == 1


LEASE_READABLE = {"-set", "-publish", "resetchannels", "%R~tw:{0}:lease"}  # that another has it can be told

SWEEP_DENIALS = [
    *(Denial((f"-{command}",), f"-{command}") for command in ("hset", "hdel", "del")),
    *(without_key(key) for key in (CLOCK, TAIL, LOG + "other")),  # the sweeper counts series before: LAST fails there
    *(without_key(key, "%R") for key in (CLOCK, TAIL, LOG + "other", LAST + "other")),
]


@pytest.mark.parametrize("denial", SWEEP_DENIALS, ids=lambda denial: denial.name)
async def test_a_sweep_that_is_denied_a_command_or_key_forgets_each_metric_whole_or_not(
    valkey: Valkey, denial: Denial
) -> None:
    silent = Retention(silent_s=-1)  # whatever is there was silent for long enough
    async with opened(valkey.url) as log:
        appended = await log.append([encode_batch(make_batch(metric, 0.0)) for metric in ("old", "other")])
        before = dump(valkey)
        narrow = RedisLog(some(valkey, *denial.rules), retention=silent)
        with pytest.raises(LogUnavailable, match=r"permission|ACL|can't run"):
            await narrow.sweep(["old", "other"])
        if denial.name.endswith("other"):  # the first is gone, and told so
            clock = await log.clock()
            assert set((await log.tails())[0]) == {"other"}
            assert clock.forgot == appended.results[0]
            assert int(valkey.client.hget(CLOCK, "metrics")) == 1
            assert dump(valkey)[LOG + "other"] == before[LOG + "other"]
            assert LOG + "old" not in dump(valkey)
        else:
            assert dump(valkey) == before
        mend(valkey)
        await narrow.sweep(["old", "other"])
        clock = await log.clock()
        assert (await log.tails())[0] == {}
        assert clock.forgot == appended.id
        assert len(clock.chain) == 1, "nothing counts as lost"
        assert set(dump(valkey)) == {"clock"}
        await narrow.close()


async def test_a_sweep_that_may_not_trim_says_so(valkey: Valkey) -> None:
    async with opened(valkey.url) as log, opened(some(valkey, "-xtrim")) as narrow:
        await log.append([encode_batch(make_batch("old", 0.0))])
        with pytest.raises(LogUnavailable, match=r"permission|can't run"):
            await narrow.sweep(["old"])
        mend(valkey)
        assert await narrow.sweep(["old"]) == 0
