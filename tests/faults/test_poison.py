"""Faults rows 17, 20 and 26: foreign things in Redis, texts that look like the wire format, and clocks that lie."""

from __future__ import annotations

import asyncio
import re
import time
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from waiting import eventually

from tidewire.errors import InvalidCursor, InvalidInput
from tidewire.model.batch import encode_batch, make_batch
from tidewire.model.cursor import Cursor, id_ms
from tidewire.model.sse import Decoder, encode_event
from tidewire.redislog.keys import Keys

from .conftest import World

pytestmark = pytest.mark.fault
METRICS = [f"plant/{n}/temperature" for n in range(5)]
KEYS = Keys()


async def test_row_17_foreign_things_in_redis_are_skipped_and_counted(world: World) -> None:
    raw = world.valkey.client
    feed = world.feed()
    await feed.publish(*METRICS)
    last_id = max(batch.id for batch in world.book.acked)
    foreign = f"{id_ms(last_id) + 60_000}-0"  # above our clock
    raw.set(KEYS.log("plant/wrong/type"), "a string")
    raw.hset(KEYS.tail, "plant/wrong/type", foreign)
    raw.hset(KEYS.tail, "plant/garbage/tail", b"\xff\xfe not an id")
    raw.hset(KEYS.tail, b"\xff\xfe", foreign)
    raw.hset(KEYS.last("plant/0/temperature"), "{}x", b"\x00 garbage")
    raw.set(KEYS.last("plant/4/temperature") + "/other", "a string")
    for body in (b'{"metric":"plant/1/tem', b"\xff\x00\x01", b"", b"[" * 5000, b'{"metric":"x","time":[1],"value":[]}'):
        raw.xadd(KEYS.log("plant/1/temperature"), {"p": "0-0", "d": body})
    raw.xadd(KEYS.log("plant/2/temperature"), {"unrelated": "field"})
    raw.xadd(KEYS.log("plant/3/temperature"), {"p": "x", "d": "y"})
    service = await world.service()  # its ring begins now: what is older comes from the log
    subscribers = [world.subscriber(service.address, *METRICS, replay=replay) for replay in ("last", "none", "5m")]
    await world.all_live()
    for _ in range(10):
        await feed.publish("plant/0/temperature", "plant/4/temperature")
    await world.settled()
    skipped = await service.count("log_skipped_entries")
    print(f"row 17: {skipped:g} foreign things skipped and counted")
    assert skipped >= 5
    assert {s.ledger.count(kind) for s in subscribers for kind in ("cut", "reset", "bye")} == {0}
    # whoever writes to a metric whose log was poisoned is told, once and for that metric only
    answer = await feed.log.append(feed.batches(["plant/wrong/type", "plant/0/temperature"]))
    assert answer.results[0] == "poison"
    assert isinstance(answer.results[1], int)
    for path in ("/v1/history?metric=plant/**", "/v1/catalog?metric=**", "/metrics", "/health/ready"):
        assert (await service.http.get(path)).status_code == 200, path
    assert not service.errors()


async def test_row_17_garbage_on_the_live_channel_is_dropped_and_counted(world: World) -> None:
    raw = world.valkey.client
    service = await world.service()
    subscribers = [world.subscriber(service.address) for _ in range(3)]
    await world.all_live()
    feed = world.feed().start(METRICS)
    await eventually(lambda: all(s.ledger.got for s in subscribers))
    memory_mb, _ = service.footprint()
    epoch = (await feed.log.clock()).epoch
    far = f"{(int(time.time()) + 10_000) * 1000}-0"
    garbage = [
        b"", b"\n", b"\xff\xfe\x00", b"hello", b"1 \n", b"2 epoch 1-1 1\n", b"1 x y z\n", b"x" * 100_000,
        f"1 {epoch} 0-0 1\n5-5 1 2\nm".encode(),  # cut
        f"1 {epoch} 0-0 1\n5-5 1 2\nm{{}}tail".encode(),  # longer than it says
        f"1 {epoch} 0-0 -1\n".encode(), f"1 {epoch} 0-0 99999999999\n".encode(),
        f"1 {epoch} 0-0 1\n5-5 -1 2\nm".encode(),
        f"1 {epoch} {far} 1\n{far} 1 2\nm{{}}".encode(),  # well formed, of a future that never was
        b"1 unknown 0-0 1\n5-5 1 2\nm{}",
    ]  # fmt: skip
    for payload in garbage:
        raw.publish(KEYS.live, payload)
    raw.publish(KEYS.live, b"z" * (50 << 20))
    raw.publish(f"{KEYS.inbox}:plant", b"\xff" * (1 << 20))
    before = len(world.book.acked)
    await eventually(lambda: len(world.book.acked) > before + 100)
    await feed.stop()
    await world.settled()
    garbled = await service.count("frames_garbled")
    print(f"row 17: {garbled:g} of {len(garbage) + 1} frames garbled, the rest stale; all went on")
    assert garbled >= 12
    grown_mb = service.footprint()[0] - memory_mb
    assert grown_mb < 250, "a frame of 50 MB is not kept"
    assert {s.ledger.count(kind) for s in subscribers for kind in ("cut", "gap", "reset", "bye")} == {0}
    assert not service.errors()


async def test_row_17_a_value_of_50_mb_in_a_log_is_skipped(world: World) -> None:
    raw = world.valkey.client
    feed = world.feed()
    await feed.publish(*METRICS)
    raw.xadd(KEYS.log("plant/1/temperature"), {"p": "0-0", "d": b"z" * (50 << 20)})
    service = await world.service()
    subscriber = world.subscriber(service.address, "plant/1/*", "plant/0/*", replay="5m")
    await world.all_live()
    await feed.publish("plant/0/temperature")
    await world.settled()
    assert subscriber.ledger.count("cut") == 0
    assert subscriber.ledger.count("message") == 3
    assert await service.count("log_skipped_entries") >= 1
    assert await service.ready()
    assert not service.errors()


# -- row 20: injection

HOSTILE = {
    "CR": "\r", "LF": "\n", "CRLF": "\r\n", "NUL": "\0", "LS": "\u2028", "PS": "\u2029", "NEL": "\x85", "BOM": "\ufeff",
    "event": "x\n\ndata: forged\n\n", "id": "x\nid: forged",
}  # fmt: skip


def spec_parse(stream: bytes) -> list[tuple[str, str, str]]:
    """Return (event, data, id) of each dispatched event; by the grammar of the specification, over the whole text.

    Written apart from `tidewire.model.sse`, so that the two can disagree.
    """
    text = stream.decode("utf-8", errors="replace").removeprefix("\ufeff")
    found, last_id = [], ""
    for block in re.split(r"(?:\r\n|\r|\n){2}", text)[:-1]:
        name, data = "", []
        for line in re.split(r"\r\n|\r|\n", block):
            if not line or line.startswith(":"):
                continue
            field, value = re.fullmatch(r"([^:]*)(?:: ?(.*))?", line, re.DOTALL).groups(default="")  # type: ignore[union-attr]
            if field == "data":
                data.append(value)
            elif field == "event":
                name = value
            elif field == "id" and "\0" not in value:
                last_id = value
        if data:
            found.append((name or "message", "\n".join(data), last_id))
    return found


@given(st.text(), st.text(st.characters(exclude_categories=["Cs"])))
def test_row_20_both_parsers_read_back_one_event_whatever_its_data(data: str, more: str) -> None:
    payload = (data + more).encode(errors="replace")
    wire = encode_event(payload, id_="abc1234.0-1") + encode_event(b"{}", event="live")
    ours = [(event.event, event.data, event.id) for event in Decoder().feed(wire)]
    lines = payload.replace(b"\r\n", b"\n").replace(b"\r", b"\n").decode()
    assert ours == [("message", lines, "abc1234.0-1"), ("live", "{}", "abc1234.0-1")]
    assert spec_parse(wire) == ours


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
async def test_row_20_hostile_names_are_refused_at_every_door(text: str) -> None:
    for given_ in (
        {"metric": f"a{text}b"},
        {"metric": "m", "labels": {f"a{text}b": "v"}},
        {"metric": "m", "unit": f"a{text}b"},
    ):
        metric = str(given_.pop("metric"))
        with pytest.raises(InvalidInput):
            make_batch(metric, 1.0, **given_)  # type: ignore[arg-type]
    with pytest.raises(InvalidCursor):
        Cursor.parse(f"abc1234.0-{text}1")


async def test_row_20_hostile_texts_are_refused_by_http_or_neutral_on_the_wire(world: World) -> None:
    service = await world.service()
    http: httpx.AsyncClient = service.http
    for text in HOSTILE.values():
        for row in (
            {"metric": f"a{text}b", "value": 1},
            {"metric": "m", "labels": {f"a{text}b": "v"}, "value": 1},
            {"metric": "m", "unit": f"a{text}b", "value": 1},
        ):
            answer = await http.post("/v1/readings", json=row)
            assert answer.status_code == 422, (row, answer.text)
        for query in (f"metric=m&cursor={quote('abc1234.0-1' + text)}", f"metric=m{quote(text)}&replay={quote(text)}"):
            answer = await http.get(f"/v1/stream?{query}")
            assert answer.status_code == 422, (query, answer.text)
            assert "\n\n" not in answer.text
    # where text is free it must be neutral: label values may hold separators, a reading's text may hold anything
    labels = {"note": "a\u2028b\u2029c\ufeffd: e", "data": "id: forged"}
    texts = [f"start{text}\ndata: forged\n\nid: forged\n\n" for text in HOSTILE.values()]
    path = f"{service.url}/v1/stream?metric=m&replay=none"
    async with http.stream("GET", path) as stream:
        chunks = stream.aiter_raw()
        wire = b""
        while b"event: live" not in wire:
            wire += await anext(chunks)
        row = {"metric": "m", "labels": labels, "value": [1.0] * len(texts), "text": texts}
        answer = await http.post("/v1/readings", json=row)
        assert answer.status_code == 200, answer.text
        assert (await http.post("/v1/readings", json={"metric": "m", "value": 2})).status_code == 200
        while b'"value":[2.0]' not in wire or not wire.endswith(b"\n\n"):
            wire += await anext(chunks)
    ours = [(event.event, event.data, event.id) for event in Decoder().feed(wire)]
    assert spec_parse(wire) == ours
    assert [event for event, *_ in ours] == ["hello", "live", "message", "message"]
    batch = httpx.Response(200, content=ours[2][1]).json()
    assert batch["labels"] == labels
    assert batch["text"] == texts
    assert all("forged" not in id_ for *_, id_ in ours)


# -- row 26: clocks

HOUR_MS = 3_600_000


@pytest.mark.parametrize("step_h", [1, -1])
async def test_row_26_ids_rise_when_the_clock_of_redis_steps(world: World, step_h: int) -> None:
    """Redis' own clock cannot be set: the log's clock is moved against it, which is the same to every rule.

    A step back by an hour leaves the log's clock an hour ahead of the time. A step forward is a log that was an hour
    behind: it begins with ids of an hour ago.
    """
    raw = world.valkey.client
    service = await world.service()
    feed = world.feed()
    now_ms = int(time.time() * 1e3)
    if step_h > 0:
        await feed.log.clock()
        raw.hset(KEYS.clock, mapping={"ms": now_ms - HOUR_MS, "n": 7})
    subscribers = [world.subscriber(service.address) for _ in range(5)]
    await world.all_live()
    await feed.publish(*METRICS)
    await eventually(lambda: all(len(s.ledger.got) == 5 for s in subscribers))
    if step_h < 0:
        raw.hset(KEYS.clock, mapping={"ms": now_ms + HOUR_MS, "n": 7})
    times: list[float] = []
    for offset_ms in (-HOUR_MS, 0, HOUR_MS):  # the publishers' clocks
        batch = encode_batch(make_batch("plant/0/temperature", float(offset_ms), time=now_ms + offset_ms))
        times.append(now_ms + offset_ms)
        await feed.send([batch])
    for _ in range(20):
        await feed.publish(*METRICS)
    subscribers[0].cut()
    await world.settled()
    if step_h < 0:
        assert id_ms(max(b.id for b in world.book.acked)) >= now_ms + HOUR_MS, "the clock never goes back"
    else:
        assert id_ms(max(b.id for b in world.book.acked)) < now_ms + 60_000
    for subscriber in subscribers:
        own = [page.data for page in subscriber.ledger.of("message") if b"3600000.0]" in page.data]
        assert [time_ for data in own for time_ in httpx.Response(200, content=data).json()["time"]] == [
            times[0],
            times[2],
        ], "readings keep their own time"
    assert {s.ledger.count(kind) for s in subscribers for kind in ("gap", "reset")} == {0}
    assert not service.errors()


@pytest.mark.parametrize("skew_s", [3600.0, -3600.0])
async def test_row_26_a_service_whose_clock_is_an_hour_off_serves_as_any(world: World, skew_s: float) -> None:
    right, wrong = await asyncio.gather(world.service(), world.service(skew_s=skew_s))
    feed = world.feed()
    await feed.publish(*METRICS)
    subscribers = [world.subscriber(service.address, replay="5m") for service in (right, wrong)]
    await world.all_live()
    for _ in range(20):
        await feed.publish(*METRICS)
    await world.settled()
    seen = [[page.data for page in s.ledger.of("message")] for s in subscribers]
    assert seen[0] == seen[1], "a span is measured by the log's clock"
    assert len(seen[0]) == 21 * len(METRICS)
    hello = httpx.Response(200, content=subscribers[1].ledger.of("hello")[0].data).json()
    assert abs(hello["time_ms"] - time.time() * 1e3) < 60_000, "the service tells the log's time, not its own"
    assert await wrong.ready()
    assert not wrong.errors()
