"""What foreign hands do to the log's keys is announced, or said by readiness and doctor: never silence."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from servers import Valkey
from waiting import HANG_S, Eventually

from tidewire.commands.doctor import Finding, examine
from tidewire.errors import LogUnavailable
from tidewire.model.batch import encode_batch, make_batch
from tidewire.model.cursor import Cursor, id_text
from tidewire.model.sse import Decoder
from tidewire.redislog.lineage import Watermark
from tidewire.redislog.log import RedisLog
from tidewire.settings import ClientSettings


@pytest.fixture
async def log(valkey: Valkey) -> AsyncIterator[RedisLog]:
    log = RedisLog(valkey.url)
    yield log
    await log.close()


async def publish(log: RedisLog, first: int, last: int, metric: str = "m") -> list[Cursor]:
    """Publish these values, one a call; return their cursors."""
    return [(await log.append([encode_batch(make_batch(metric, float(value)))])).cursor for value in range(first, last)]


class Stream:
    """One stream of a service, read in a task of its own.

    Attributes:
        events: so far.
    """

    def __init__(self, service: Any, **params: str) -> None:
        self.events: list[Any] = []
        self._reading = asyncio.create_task(self._read(service, {"metric": "**", **params}))

    async def _read(self, service: Any, params: dict[str, str]) -> None:
        decoder = Decoder("")
        async with service.http.stream("GET", "/v1/stream", params=params) as answer:
            async for data in answer.aiter_bytes():
                self.events += decoder.feed(data)

    async def until(self, *kinds: str) -> list[Any]:
        """Wait for an event of one of these kinds; return all events so far."""
        async with asyncio.timeout(HANG_S):
            while not any(event.event in kinds for event in self.events):
                await asyncio.sleep(0.01)
                assert not self._reading.done()
        return self.events

    async def end(self) -> None:
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)


async def read(service: Any, cursor: Cursor) -> list[Any]:
    """Return the events of a stream that resumes at a cursor, up to `live`."""
    stream = Stream(service, cursor=str(cursor))
    events = await stream.until("live")
    await stream.end()
    return events


def told(events: list[Any]) -> set[str]:
    """Return the kinds of loss that were announced."""
    return {json.loads(event.data).get("kind", "reset") for event in events if event.event in {"gap", "reset"}}


def values(events: list[Any]) -> list[float]:
    return [value for event in events if event.event == "message" for value in json.loads(event.data)["value"]]


@pytest.mark.parametrize("reborn", [True, False])
@pytest.mark.parametrize("entries", ["all", "one"])
async def test_a_lost_directory_is_announced_to_every_cursor(
    start: Any, valkey: Valkey, log: RedisLog, entries: str, reborn: bool
) -> None:
    first, *_ = await publish(log, 0, 50)
    await publish(log, 50, 51, "other")
    before = await start()
    live = Stream(before, replay="none")
    await live.until("live")
    valkey.cli(*(("DEL", log.keys.tail) if entries == "all" else ("HDEL", log.keys.tail, "m")))
    if reborn:
        await publish(log, 51, 52)
    assert told(await live.until("gap", "reset")) == {"lost"}
    await live.end()
    for service in (before, await start()):  # one that saw it, and one that did not
        assert "lost" in told(await read(service, first))
        fresh = Stream(service, replay="1h")
        assert told(await fresh.until("live")), "a span that holds what was lost"
        await fresh.end()
    assert len((await log.clock()).chain) == 2, "said once"


async def test_a_directory_restored_from_a_copy_is_announced(start: Any, valkey: Valkey, log: RedisLog) -> None:
    first, *_ = await publish(log, 0, 10)
    copy = valkey.cli("DUMP", log.keys.tail)
    await publish(log, 10, 20)
    valkey.cli("RESTORE", log.keys.tail, 0, copy, "REPLACE")
    assert told(await read(await start(), first)) >= {"lost"}
    await publish(log, 20, 21)
    assert len((await log.clock()).chain) == 2, "said once"


async def test_a_directory_that_is_whole_is_never_called_lost(valkey: Valkey, log: RedisLog) -> None:
    await publish(log, 0, 3)
    valkey.cli("HSET", log.keys.tail, "by/hand", "garbage")
    await publish(log, 3, 4, "n")
    await log.clock()
    valkey.cli("HDEL", log.keys.tail, "by/hand")
    valkey.cli("HDEL", log.keys.clock, "metrics")  # as an older version leaves it
    await log.clock()
    await publish(log, 4, 5, "o")
    assert len((await log.clock()).chain) == 1
    assert valkey.client.hget(log.keys.clock, "metrics") == b"3"


@pytest.mark.parametrize("keys", [["clock"], ["clock", "tail"], ["clock", "tail", "log:m", "last:m"]])
async def test_a_log_that_went_back_is_announced(service: Any, valkey: Valkey, log: RedisLog, keys: list[str]) -> None:
    """Keys are restored from a copy while the server runs: a reader with a later cursor is told from where."""
    early = (await publish(log, 0, 10))[-1]
    copies = {name: valkey.cli("DUMP", log.keys.base + name) for name in keys}
    late = (await publish(log, 10, 20))[-1]
    live = Stream(service, replay="none")
    await live.until("live")
    for name, copy in copies.items():
        valkey.cli("RESTORE", log.keys.base + name, 0, copy, "REPLACE")
    assert told(await live.until("gap", "reset")) == {"lost"}
    await live.end()
    events = await read(service, late)
    gap = json.loads(next(event.data for event in events if event.event == "gap"))
    assert (gap["kind"], Cursor.parse(gap["from"]).id) == ("lost", early.id)
    again = await publish(log, 20, 21)
    assert again[0].id > late.id
    assert again[0].epoch != late.epoch


async def test_evidence_of_the_current_epoch_tells_of_a_log_that_went_back(valkey: Valkey, log: RedisLog) -> None:
    """A machine that was set back has forgotten what it stated: only hubs and publishers know more."""
    last = (await publish(log, 0, 2))[-1]
    chain = (await log.clock()).chain
    clock = await log.clock(Watermark(last.id + 5, chain))
    assert (clock.chain[-1].lost, len(clock.chain)) == (last.id, 2)
    assert (await log.clock(Watermark(last.id + 5, chain))).epoch == clock.epoch, "heard once"
    assert (await log.clock(Watermark(last.id, chain))).epoch == clock.epoch


async def test_databases_of_one_server_are_not_mistaken_for_one_log_that_went_back(valkey: Valkey) -> None:
    logs = [RedisLog(f"{valkey.url}/{database}") for database in (0, 1)]
    for _ in range(3):
        for log in logs:
            await publish(log, 0, 2)
            await log.clock()
    assert [len((await log.clock()).chain) for log in logs] == [1, 1]
    for log in logs:
        await log.close()


@pytest.mark.parametrize("places", [(1,), (0,), (9,), (3, 4), (1, 3, 5, 9), tuple(range(10))])
async def test_entries_deleted_anywhere_in_a_log_are_announced(
    start: Any, valkey: Valkey, log: RedisLog, places: tuple[int, ...]
) -> None:
    start_cursor = (await publish(log, 0, 1, "other"))[0]
    cursors = await publish(log, 0, 10)
    valkey.cli("XDEL", log.keys.log("m"), *[id_text(cursors[place].id) for place in places])
    events = await read(await start(), start_cursor)
    gaps = [json.loads(event.data) for event in events if event.event == "gap"]
    gone = {
        place
        for gap in gaps
        for place, cursor in enumerate(cursors)
        if gap["metric"] == "m" and Cursor.parse(gap["from"]).id < cursor.id <= Cursor.parse(gap["to"]).id
    }
    assert gone == set(places), "neither more nor less"
    assert values(events) == [float(value) for value in range(10) if value not in places]


async def test_a_cursor_below_what_was_forgotten_is_told_before_it_is_born_again(
    start: Any, valkey: Valkey, log: RedisLog
) -> None:
    cursor = (await publish(log, 0, 1, "other"))[0]
    await publish(log, 0, 10)
    await publish(log, 1, 2, "other")
    clock = await log.clock()
    # silent for longer than anything is kept: the sweeper forgets it
    valkey.cli("HSET", log.keys.tail, "m", id_text(cursor.id + 1))
    sweeping = RedisLog(valkey.url)
    while (await sweeping.tails())[0].get("m"):
        await asyncio.sleep(0.005)
        command = ("FCALL", f"{log.functions.library}_sweep", 1, log.keys.clock, log.keys.base, "nonce", 86_400_000, 0)
        valkey.cli(*command, 2_000, "", "m")
    await sweeping.close()
    assert (await log.clock()).epoch == clock.epoch
    events = await read(await start(), cursor)
    assert told(events) == {"trimmed"}
    events = await read(await start(), Cursor(clock.epoch, clock.id))
    assert told(events) == set(), "nothing was forgotten after it"


@pytest.mark.parametrize(
    ("field", "value"),
    [(field, None) for field in ("epoch", "run", "ms", "n", "chain", "forgot", "metrics", "newest")]
    # a lineage that is made up is not told from a real one
    + [(field, value) for field in ("run", "ms", "n", "forgot", "metrics", "newest") for value in ("garbage", "")]
    + [("layout", "garbage"), ("layout", "")],
)
async def test_a_field_of_the_clock_that_a_foreign_hand_has_changed_stops_nothing(
    start: Any, valkey: Valkey, log: RedisLog, eventually: Eventually, field: str, value: str | None
) -> None:
    cursor = (await publish(log, 0, 1))[0]
    await publish(log, 1, 5)
    if value is None:
        valkey.cli("HDEL", log.keys.clock, field)
    else:
        valkey.cli("HSET", log.keys.clock, field, value)
    service = await start()
    newest = (await publish(log, 5, 7))[-1]
    await eventually(lambda: service.app.state.hub.position.id == newest.id)  # what comes after `live` is not read here
    events = await read(service, cursor)
    assert values(events) == [1, 2, 3, 4, 5, 6] or told(events)
    assert values(events)[-1] == 6
    await service.ready()


@pytest.mark.parametrize("name", ["tail", "clock"])
@pytest.mark.parametrize("wrong", [("SET", "x"), ("RPUSH", "x"), ("XADD", "*", "a", "b")], ids=lambda wrong: wrong[0])
async def test_a_key_of_a_wrong_type_is_named_by_readiness_doctor_and_the_refusal(
    start: Any, valkey: Valkey, log: RedisLog, eventually: Eventually, name: str, wrong: tuple[str, ...]
) -> None:
    await publish(log, 0, 2)
    service = await start()
    key = log.keys.base + name
    valkey.cli("DEL", key)
    valkey.cli(wrong[0], key, *wrong[1:])

    async def unready() -> bool:
        answer = await service.http.get("/health/ready")
        return answer.status_code == 503 and key in answer.json()["reason"]

    await eventually(unready)
    with pytest.raises(LogUnavailable, match="overwritten"):
        await publish(log, 2, 3)
    findings = await asyncio.to_thread(_findings, valkey, service)
    assert any(key in finding.found and key in finding.remedy for finding in findings)
    valkey.cli("DEL", key)
    await service.ready()
    await publish(log, 3, 4)


@pytest.mark.parametrize("name", ["log:m", "last:m", "decks", "thresholds", "tokens"])
async def test_doctor_names_every_other_key_of_a_wrong_type(
    service: Any, valkey: Valkey, log: RedisLog, name: str
) -> None:
    await publish(log, 0, 2)
    key = log.keys.base + name
    assert not [f for f in await asyncio.to_thread(_findings, valkey, service) if f.level == "wrong"]
    valkey.cli("DEL", key)
    valkey.cli("SET", key, "x")
    wrong = [f for f in await asyncio.to_thread(_findings, valkey, service) if f.level == "wrong"]
    assert [key in finding.found for finding in wrong] == [True]


def _findings(valkey: Valkey, service: Any) -> list[Finding]:
    settings = ClientSettings(redis=valkey.url, url=service.url)
    return list(examine(settings))


SPOILT = [
    b"x", b"", b"\xff\xfe", b"{}", b'{"updated_ms":1}', b'{"updated_ms":"x","body":{}}', b'{"updated_ms":1,"body":5}',
    b'{"updated_ms":1,"body":{"name":5,"thresholds":5}}', b'{"updated_ms":1,"body":[]}',
    b'{"updated_ms":1,"body":{"name":[],"thresholds":[{"metric":"***","warn_above":1}]}}',
    b'{"updated_ms":1,"body":' + b"[" * 1_500 + b"]" * 1_500 + b"}",
]  # fmt: skip


@pytest.mark.parametrize("spoilt", SPOILT, ids=range(len(SPOILT)))
async def test_a_document_that_a_foreign_hand_overwrote_hides_no_other_and_can_be_replaced(
    service: Any, valkey: Valkey, log: RedisLog, spoilt: bytes
) -> None:
    http = service.http
    assert (await http.put("/v1/decks/good", json={"name": "Good"})).status_code == 200
    for name in ("bad", "worse"):
        valkey.cli("HSET", log.keys.decks, name, spoilt)
    valkey.cli("HSET", log.keys.decks, b"\xff", b"{}")
    valkey.cli("HSET", log.keys.thresholds, "list", spoilt)

    listed = (await http.get("/v1/decks")).json()["decks"]
    assert [(deck["slug"], deck["name"]) for deck in listed] == [("bad", "bad"), ("good", "Good"), ("worse", "worse")]
    for path, anew in (("/v1/decks/bad", {"name": "Anew"}), ("/v1/thresholds", {"thresholds": []})):
        told = await http.get(path)
        assert told.status_code == 409
        assert "overwritten" in told.json()["detail"]
        assert (await http.get(path, headers={"If-None-Match": told.headers["etag"]})).status_code == 409
        late = await http.put(path, json=anew, headers={"If-None-Match": "*"})
        assert (late.status_code, late.headers["etag"]) == (412, told.headers["etag"])
        assert (await http.put(path, json=anew, headers={"If-Match": told.headers["etag"]})).status_code == 200
        assert (await http.get(path)).json() == anew
    assert (await http.delete("/v1/decks/worse")).status_code == 204
    assert (await http.get("/v1/decks/worse")).status_code == 404
