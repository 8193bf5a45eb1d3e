"""An append is stored as a whole or not at all, whatever Redis refuses; and what is refused for good is only poison."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from servers import Valkey
from waiting import eventually

from tidewire.errors import LogUnavailable
from tidewire.model.batch import EncodedBatch, decode_batch, encode_batch, make_batch
from tidewire.redislog.log import RedisLog

METRICS = [f"m{n}" for n in range(40)]
SLOT = 13907  # of {0}


def batches(value: float, metrics: list[str] = METRICS) -> list[EncodedBatch]:
    return [encode_batch(make_batch(metric, value)) for metric in metrics]


def dump(valkey: Valkey) -> dict[bytes, Any]:
    """Return all that is stored, with the entries of streams, and without the time to live."""
    client = valkey.client
    found: dict[bytes, Any] = {}
    for key in client.keys("tw:*"):
        kind = client.type(key)
        if kind == b"stream":
            found[key] = client.xrange(key)
        elif kind == b"hash":
            found[key] = client.hgetall(key)
        else:
            found[key] = client.get(key)
    return found


async def values(log: RedisLog, metrics: list[str] = METRICS) -> dict[str, list[float | None]]:
    lists, _ = await log.entries_after([(metric, 0) for metric in metrics])
    return {m: [decode_batch(e.body).value[0] for e in entries] for m, entries in zip(metrics, lists, strict=True)}


@pytest.fixture
async def log(valkey: Valkey) -> AsyncIterator[RedisLog]:
    log = RedisLog(valkey.url)
    yield log
    await log.close()


class Pair:
    """Two nodes of a cluster; the first has every slot."""

    def __init__(self, directory: Path) -> None:
        self.here, self.there = Valkey(directory / "here"), Valkey(directory / "there")
        for node in (self.here, self.there):
            (directory / node.directory.name).mkdir(parents=True)
            # of its own range: a port + 10000 may be taken, or too high
            node.start(cluster_enabled="yes", cluster_port=str(Valkey(directory / "port").port))
        self.ids = {node: node.cli("CLUSTER", "MYID") for node in (self.here, self.there)}

    async def join(self) -> None:
        self.here.cli("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        bus = self.there.client.config_get("cluster-port")["cluster-port"]
        self.here.cli("CLUSTER", "MEET", "127.0.0.1", self.there.port, bus)
        nodes = (self.here, self.there)
        await eventually(lambda: all("cluster_state:ok" in str(node.cli("CLUSTER", "INFO")) for node in nodes))
        await eventually(lambda: all(str(node.cli("CLUSTER", "NODES")).count("connected") == 2 for node in nodes))

    def begin_move(self) -> None:
        self.there.cli("CLUSTER", "SETSLOT", SLOT, "IMPORTING", self.ids[self.here])
        self.here.cli("CLUSTER", "SETSLOT", SLOT, "MIGRATING", self.ids[self.there])

    def move(self, source: Valkey, keys: list[bytes]) -> None:
        target = self.there if source is self.here else self.here
        if keys:
            source.cli("MIGRATE", "127.0.0.1", target.port, "", 0, 5_000, "KEYS", *keys)

    def end_move(self) -> None:
        """Bring everything back: the slot stays where it was."""
        self.here.cli("CLUSTER", "SETSLOT", SLOT, "STABLE")
        while keys := self.there.cli("CLUSTER", "GETKEYSINSLOT", SLOT, 100):
            self.move(self.there, keys)
        self.there.cli("CLUSTER", "SETSLOT", SLOT, "STABLE")


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(tmp_path)
    yield pair
    pair.here.close()
    pair.there.close()


async def test_while_a_slot_moves_an_append_is_put_off_and_never_refused(pair: Pair) -> None:
    await pair.join()
    log = RedisLog(pair.here.url)
    await log.append(batches(0.0), publisher="p", sequence=1)
    pair.begin_move()
    put_off = 0
    for sequence in range(2, 12):  # a few keys more each time, those of metrics to be born among them
        with pytest.raises(LogUnavailable, match=r"moving|MOVED|ASK|TRYAGAIN"):
            await log.append(batches(float(sequence), [*METRICS, f"born{sequence}"]), publisher="p", sequence=sequence)
        put_off += 1
        pair.move(pair.here, pair.here.cli("CLUSTER", "GETKEYSINSLOT", SLOT, 7))
    pair.end_move()
    for sequence in range(2, 12):
        answer = await log.append(batches(float(sequence)), publisher="p", sequence=sequence)
        assert not answer.duplicate
        assert all(isinstance(result, int) for result in answer.results)
    assert put_off == 10
    assert await values(log) == {metric: [0.0, *map(float, range(2, 12))] for metric in METRICS}
    await log.close()


async def test_an_append_that_finds_all_its_keys_is_taken_while_the_slot_is_still_whole(pair: Pair) -> None:
    await pair.join()
    log = RedisLog(pair.here.url)
    await log.append(batches(0.0))
    assert all(isinstance(result, int) for result in (await log.append(batches(1.0))).results)
    await log.close()


@pytest.mark.parametrize(
    ("rules", "metric"),
    [
        (("~tw:{0}:log:m0",), "m1"),
        (("~tw:{0}:log:m0", "~tw:{0}:log:m1"), "m2"),
        (("~tw:{0}:log:m0", "%R~tw:{0}:log:*"), "m1"),  # may read, and not write
    ],
)
async def test_what_may_not_be_written_fails_the_call_as_a_whole(
    valkey: Valkey, log: RedisLog, rules: tuple[str, ...], metric: str
) -> None:
    await log.append(batches(0.0, ["m0"]))
    keys = ("~tw:{0}:clock", "~tw:{0}:tail", "~tw:{0}:last:*", "~tw:{0}:pub:*")
    valkey.cli("ACL", "SETUSER", "some", "on", ">some", "+@all", "&*", *keys, *rules)
    before = dump(valkey)
    narrow = RedisLog(f"redis://some:some@127.0.0.1:{valkey.port}")
    with pytest.raises(LogUnavailable, match=r"permission|ACL"):
        await narrow.append(batches(1.0, ["m0", "m1", "m2"]), publisher="p", sequence=1)
    after = dump(valkey)
    assert {k: v for k, v in after.items() if k != b"tw:{0}:clock" and v} == {
        k: v for k, v in before.items() if k != b"tw:{0}:clock"
    }
    valkey.cli("ACL", "SETUSER", "some", "~*")
    answer = await narrow.append(batches(1.0, ["m0", "m1", "m2"]), publisher="p", sequence=1)
    assert not answer.duplicate
    assert all(isinstance(result, int) for result in answer.results), f"{metric} is taken once it may be written"
    assert await values(log, ["m0", "m1", "m2"]) == {"m0": [0.0, 1.0], "m1": [1.0], "m2": [1.0]}
    await narrow.close()


@pytest.mark.parametrize("denied", ["resetchannels", "-publish", "-hset"])
async def test_an_append_whose_live_frame_or_clock_is_denied_stores_nothing(
    valkey: Valkey, log: RedisLog, denied: str
) -> None:
    await log.append(batches(0.0, ["m0"]))
    valkey.cli("ACL", "SETUSER", "some", "on", ">some", "+@all", "~*", "&*", denied)
    before = {key: value for key, value in dump(valkey).items() if key != b"tw:{0}:clock"}
    narrow = RedisLog(f"redis://some:some@127.0.0.1:{valkey.port}")
    if denied == "-hset":  # the clock is there: only the append writes
        narrow._adopt(await log.clock())
    for _ in range(2):
        with pytest.raises(LogUnavailable, match="permission"):
            await narrow.append(batches(1.0, ["m0", "m1"]), publisher="p", sequence=1)
    assert {k: v for k, v in dump(valkey).items() if k != b"tw:{0}:clock" and v} == before
    valkey.cli("ACL", "SETUSER", "some", "+@all", "&*")
    assert not (await narrow.append(batches(1.0, ["m0", "m1"]), publisher="p", sequence=1)).duplicate
    assert await values(log, ["m0", "m1"]) == {"m0": [0.0, 1.0], "m1": [1.0]}
    assert len((await log.clock()).chain) == 1
    await narrow.close()


@pytest.mark.parametrize(
    "spoil",
    [
        ("SET", "tw:in", "x"),
        ("SET", "tw:{0}:tail", "x"),
        ("SET", "tw:{0}:clock", "x"),
        ("HSET", "tw:{0}:pub:p", "a", "b"),
        ("ACL", "SETUSER", "default", "-xack"),
        ("ACL", "SETUSER", "default", "-xdel"),
    ],
    ids=" ".join,
)
async def test_an_inbox_append_leaves_nothing_half_done(valkey: Valkey, log: RedisLog, spoil: tuple[str, ...]) -> None:
    """The acknowledgement is refused, or something before it: no batch, no sequence, no clock."""
    await log.append(batches(0.0, ["m0"]))
    valkey.cli("XGROUP", "CREATE", "tw:in", "tw", "0", "MKSTREAM")
    entry = valkey.cli("XADD", "tw:in", "*", "metric", "m0", "value", "1").decode()
    valkey.cli("XREADGROUP", "GROUP", "tw", "c", "STREAMS", "tw:in", ">")
    if spoil[0] != "ACL":
        valkey.cli("DEL", spoil[1])
    valkey.cli(*spoil)
    before = dump(valkey)
    for _ in range(2):
        with pytest.raises(LogUnavailable):
            await log.append(batches(1.0, ["m0", "m1"]), publisher="p", sequence=1, inbox_ids=[entry])
    assert dump(valkey) == before


@pytest.mark.parametrize(
    "spoil",
    [
        ("SET", "tw:{0}:log:m1", "x"),
        ("XADD", "tw:{0}:log:m1", "99999999999999-0", "d", "x"),
        ("XADD", "tw:{0}:log:m1", "18446744073709551615-18446744073709551615", "d", "x"),
        ("SET", "tw:{0}:last:m1", "x"),
    ],
    ids=" ".join,
)
async def test_poison_refuses_its_own_metric_and_the_others_are_stored(
    valkey: Valkey, log: RedisLog, spoil: tuple[str, ...]
) -> None:
    await log.append(batches(0.0, ["m0", "m1"]))
    if spoil[0] == "SET":
        valkey.cli("DEL", spoil[1])
    valkey.cli(*spoil)
    answer = await log.append(batches(1.0, ["m0", "m1", "m2"]))
    assert answer.results[1] == "poison"
    assert (await values(log, ["m0", "m2"])) == {"m0": [0.0, 1.0], "m2": [1.0]}
