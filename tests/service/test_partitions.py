"""A log of several partitions on one server: streams, catalogue, history, posts, the inbox and what is told of them."""

from __future__ import annotations

import asyncio
import json
import random
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import pytest
from servers import Service, Valkey
from stream_reader import StreamReader, reading
from waiting import Eventually

from tidewire.errors import InvalidInput
from tidewire.model.layout import layout_of
from tidewire.model.sse import ServerEvent
from tidewire.model.vector_cursor import VectorCursor, parse_cursor
from tidewire_service.settings import ServiceSettings

LAYOUT = layout_of(4)
METRICS = [f"m{n}" for n in range(12)]
assert {LAYOUT.partition_of(metric) for metric in METRICS} == set(range(4))


@pytest.fixture
async def service(start: Any) -> Any:
    """A service on a log of four partitions."""
    return await start(partitions=4)


async def post(service: Any, rows: Iterable[tuple[str, float]]) -> Any:
    answer = await service.post([{"metric": metric, "value": value} for metric, value in rows])
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_log_is_split_and_each_metric_lies_in_one_partition(service: Any, valkey: Valkey) -> None:
    answer = await post(service, [(metric, 1.0) for metric in METRICS])
    vector = VectorCursor.parse(answer["cursor"])
    assert {number for number, _ in vector.parts} == set(range(4))
    for metric in METRICS:
        tag = LAYOUT.tags[LAYOUT.partition_of(metric)]
        assert valkey.client.exists(f"tw:{{{tag}}}:log:{metric}") == 1
    assert json.loads(valkey.client.get("tw:{0}:layout"))["partitions"] == 4
    assert valkey.client.type("tw:{0}:clock") == b"string"  # taken: nobody begins a log of one partition there


async def test_a_stream_of_all_partitions_is_live_and_its_ids_name_them_all(
    service: Any, eventually: Eventually
) -> None:
    await post(service, [(metric, 1.0) for metric in METRICS])
    reader = StreamReader()
    async with reading(service.http, reader, "metric=**"):
        await eventually(lambda: bool(reader.named("live")))
        assert {metric: values for metric, values in reader.values.items() if metric in METRICS} == {
            metric: [1.0] for metric in METRICS
        }
        assert len(reader.named("hello")) == len(reader.named("live")) == 1
        await post(service, [(metric, 2.0) for metric in METRICS])
        await eventually(lambda: all(reader.values[metric] == [1.0, 2.0] for metric in METRICS))
    vector = VectorCursor.parse(reader.last_id)
    assert {number for number, _ in vector.parts} == set(range(4))
    assert len(reader.last_id) <= 124


async def test_a_stream_of_one_metric_names_its_partition_alone(service: Any, eventually: Eventually) -> None:
    reader = StreamReader()
    async with reading(service.http, reader, "metric=m3&replay=none"):
        await eventually(lambda: bool(reader.named("live")))
        await post(service, [("m3", 1.0), ("m4", 1.0)])
        await eventually(lambda: reader.values["m3"] == [1.0])
    assert [number for number, _ in VectorCursor.parse(reader.last_id).parts] == [LAYOUT.partition_of("m3")]
    assert set(reader.values) == {"m3"}


@pytest.mark.parametrize("replay", ["last", "none", "1h"])
async def test_a_client_that_is_cut_anywhere_gets_everything_once(
    service: Any, start: Any, replay: str, eventually: Eventually
) -> None:
    other = await start(partitions=4)
    services, rng = [service, other], random.Random(f"cut {replay}")
    reader, sent = StreamReader(), 0
    async with reading(service.http, reader, f"metric=m*&replay={replay}"):
        await eventually(lambda: bool(reader.named("live")))
    for cut in range(12):
        publishing = asyncio.create_task(_publish(rng.choice(services), sent, sent + 40))
        sent += 40
        before = sum(map(len, reader.values.values()))
        async with reading(services[cut % 2].http, reader, f"metric=m*&replay={replay}"):
            enough = before + rng.randrange(1, 30)
            await eventually(lambda: sum(map(len, reader.values.values())) >= enough)  # noqa: B023 - awaited here
        await publishing
    async with reading(service.http, reader, f"metric=m*&replay={replay}"):
        await eventually(lambda: sum(map(len, reader.values.values())) >= sent)
        await asyncio.sleep(0.1)
    assert not reader.named("gap")
    assert not reader.named("reset")
    assert {metric: values for metric, values in reader.values.items() if values} == {
        metric: [float(n) for n in range(sent) if METRICS[n % len(METRICS)] == metric] for metric in METRICS
    }


async def _publish(service: Any, first: int, last: int) -> None:
    for n in range(first, last):
        await post(service, [(METRICS[n % len(METRICS)], float(n))])


async def test_catalogue_history_and_stream_go_on_from_each_other(service: Any, eventually: Eventually) -> None:
    await post(service, [(metric, 1.0) for metric in METRICS])
    catalogue = (await service.http.get("/v1/catalog?metric=m*")).json()
    assert [series["metric"] for series in catalogue["series"]] == sorted(METRICS)
    assert "missing" not in catalogue
    history = await service.history("m*")
    assert {series["metric"]: series["value"] for series in history["series"]} == {m: [1.0] for m in METRICS}
    assert {n for n, _ in VectorCursor.parse(history["cursor"]).parts} == set(range(4))
    await post(service, [(metric, 2.0) for metric in METRICS])
    for cursor in (catalogue["cursor"], history["cursor"]):
        reader = StreamReader()
        reader.last_id = cursor
        async with reading(service.http, reader, "metric=m*"):
            await eventually(lambda: all(reader.values[metric] == [2.0] for metric in METRICS))  # noqa: B023 - likewise


async def test_pages_of_a_history_hold_everything_once(service: Any) -> None:
    for n in range(5):
        await post(service, [(metric, float(n)) for metric in METRICS])
    found: dict[str, list[float]] = defaultdict(list)
    url = "/v1/history?metric=m*&page=first"
    settings = service.service.settings
    assert settings.partitions == 4
    while url:
        answer = await service.http.get(url)
        assert answer.status_code == 200, answer.text
        for series in answer.json()["series"]:
            found[series["metric"]] += series["value"]
        link = answer.headers.get("Link", "")
        url = link.partition("<")[2].partition(">")[0]
    assert found == {metric: [0.0, 1.0, 2.0, 3.0, 4.0] for metric in METRICS}


async def test_a_repeat_under_a_key_stores_nothing_twice(service: Any) -> None:
    rows = [{"metric": metric, "value": 1} for metric in METRICS]
    first = await service.post(rows, **{"Idempotency-Key": "k"})
    again = await service.post(rows, **{"Idempotency-Key": "k"})
    assert first.json()["accepted"] == again.json()["accepted"] == len(METRICS)
    assert {metric: (await service.stored())[metric] for metric in METRICS} == {metric: [1.0] for metric in METRICS}


async def test_the_inbox_appends_each_message_once_in_its_partition(
    start: Any, valkey: Valkey, eventually: Eventually
) -> None:
    one, two = await start(partitions=4), await start(partitions=4)
    await eventually(
        lambda: all(any(service.app.state.inboxes[number].lease.owns for service in (one, two)) for number in range(4))
    )
    for n in range(60):
        valkey.client.publish(f"tw:in:{METRICS[n % 12]}", n)
        valkey.client.xadd("tw:in", {"metric": f"d{n % 12}", "value": n})
    expected = {f"{kind}{n}": [float(k) for k in range(n, 60, 12)] for kind in "md" for n in range(12)}

    async def all_there() -> bool:
        return {m: v for m, v in (await one.stored()).items() if m in expected} == expected

    await eventually(all_there)
    assert valkey.client.xlen("tw:in") == 0
    assert valkey.client.xlen("tw:in:dead") == 0


async def test_a_partition_that_is_lost_resets_its_metrics_alone(
    service: Any, valkey: Valkey, eventually: Eventually
) -> None:
    await post(service, [(metric, 1.0) for metric in METRICS])
    reader = StreamReader()
    async with reading(service.http, reader, "metric=m*"):
        await eventually(lambda: bool(reader.named("live")))
        lost = LAYOUT.partition_of("m0")
        keys = valkey.client.keys(f"tw:{{{LAYOUT.tags[lost]}}}:*")
        assert valkey.client.delete(*keys) == len(keys)
        await eventually(lambda: bool(reader.named("reset")))
        await eventually(lambda: len(reader.named("live")) == 2)
        await post(service, [(metric, 2.0) for metric in METRICS])
        await eventually(lambda: all(reader.values[metric] == [1.0, 2.0] for metric in METRICS))
    [reset] = reader.named("reset")
    assert reset["partition"] == lost
    assert reset["metrics"] == sorted(metric for metric in METRICS if LAYOUT.partition_of(metric) == lost)
    assert not reader.named("gap")


async def test_a_cursor_of_another_layout_is_reset_and_loses_nothing_of_now(
    service: Any, eventually: Eventually
) -> None:
    await post(service, [(metric, 1.0) for metric in METRICS])
    for foreign in ("abc1234.mwt3mg8f-1", "_2.VvXJtzq.0abcde1-2"):
        parse_cursor(foreign)
        reader = StreamReader()
        reader.last_id = foreign
        async with reading(service.http, reader, "metric=m*"):
            await eventually(lambda: bool(reader.named("live")))  # noqa: B023 - awaited here
        assert sorted(reset["partition"] for reset in reader.named("reset")) == [0, 1, 2, 3]
        assert {metric: values for metric, values in reader.values.items() if values} == {m: [1.0] for m in METRICS}


async def test_intervals_are_closed_in_each_partition(service: Any, eventually: Eventually) -> None:
    counts: dict[str, int] = defaultdict(int)
    reader = StreamReader()

    def take(event: ServerEvent) -> None:
        if event.event != "message":
            reader.told.append((event.event, json.loads(event.data)))
            return
        for batch in json.loads(event.data)["batches"]:
            counts[batch["metric"]] += batch["count"][0]

    reader.take = take  # type: ignore[method-assign]
    async with reading(service.http, reader, "metric=m*&every=100ms&replay=none"):
        await eventually(lambda: bool(reader.named("live")))
        await _publish(service, 0, 120)
        await eventually(lambda: all(counts[metric] == 10 for metric in METRICS))


async def test_a_service_of_another_number_adopts_the_layout_that_is_there(
    start: Any, valkey: Valkey, eventually: Eventually
) -> None:
    first, second = await start(partitions=4), await start(partitions=2)
    third = await start()
    for service in (first, second, third):
        assert service.app.state.hub.layout == LAYOUT
    await post(second, [("m0", 1.0)])
    reader = StreamReader()
    async with reading(third.http, reader, "metric=m0"):
        await eventually(lambda: reader.values["m0"] == [1.0])


async def test_a_log_of_one_partition_stays_one(start: Any) -> None:
    first = await start()
    await post(first, [("m0", 1.0)])
    second = await start(partitions=8)
    assert second.app.state.hub.layout.partitions == 1
    assert (await second.stored())["m0"] == [1.0]


async def test_readiness_names_no_partition_while_all_answer(service: Any) -> None:
    answer = (await service.http.get("/health/ready")).json()
    assert answer["ready"] is True
    assert "degraded" not in answer
    assert {n for n, _ in VectorCursor.parse(answer["position"]).parts} == set(range(4))


async def test_each_partition_takes_its_share_of_the_metrics_that_are_allowed(start: Any) -> None:
    service = await start(partitions=4, max_metrics=40, self_metrics_s=0)
    answer = await service.post([{"metric": f"n{n}", "value": 1} for n in range(400)])
    refused = answer.json()
    assert refused["accepted"] == 4 * 11  # a tenth more than ten each
    assert "metrics" in str(refused["rejected"][0])


def test_a_number_of_partitions_that_cannot_be_is_refused() -> None:
    for partitions in (0, 3, 16):
        with pytest.raises(InvalidInput, match="partitions"):
            ServiceSettings(partitions=partitions)


async def test_a_log_that_is_emptied_keeps_its_layout(service: Any, valkey: Valkey, eventually: Eventually) -> None:
    await post(service, [(metric, 1.0) for metric in METRICS])
    reader = StreamReader()
    async with reading(service.http, reader, "metric=m*"):
        await eventually(lambda: bool(reader.named("live")))
        valkey.client.flushall()
        await post(service, [(metric, 2.0) for metric in METRICS])
        await eventually(lambda: all(reader.values[metric] == [1.0, 2.0] for metric in METRICS))
    assert json.loads(valkey.client.get("tw:{0}:layout"))["partitions"] == 4
    assert valkey.client.type("tw:{0}:clock") == b"string"  # taken: nobody begins a log of one partition there


async def test_a_service_that_finds_another_layout_says_so_and_writes_nothing(
    start: Any, valkey: Valkey, eventually: Eventually
) -> None:
    service = await start(partitions=4)
    await post(service, [("m0", 1.0)])
    with valkey.client.pipeline(transaction=True) as pipe:  # else the service writes its own in between
        pipe.flushall()
        pipe.set("tw:{0}:layout", layout_of(2).encode())
        pipe.execute()
    assert (await service.post({"metric": "m0", "value": 1})).status_code == 503
    await eventually(lambda: "start this process again" in service.app.state.hub.trouble)

    async def unready() -> bool:
        answer = await service.http.get("/health/ready")
        return answer.status_code == 503 and "start this process again" in answer.json()["reason"]

    await eventually(unready)
    assert valkey.client.keys("tw:{*:log:*") == []


async def test_a_service_that_started_before_its_redis_writes_the_layout_first(
    valkey: Valkey,
) -> None:
    valkey.stop()
    service = Service(ServiceSettings(redis=valkey.url, port=0, partitions=4, drain_s=0.1))
    try:
        await service.start(wait=False)
        valkey.start()
        valkey.client.flushall()
        await service.ready()
        assert json.loads(valkey.client.get("tw:{0}:layout"))["partitions"] == 4
    finally:
        await service.stop()
        await service.http.aclose()


async def test_a_layout_that_was_lost_is_written_back(service: Any, valkey: Valkey, eventually: Eventually) -> None:
    await post(service, [("m0", 1.0)])
    valkey.client.delete(*valkey.client.keys("tw:{0}:*"))  # as a shard that holds no partition may be emptied
    await eventually(lambda: valkey.client.exists("tw:{0}:layout", "tw:{0}:clock") == 2)


async def test_a_key_with_another_body_stores_nothing_wherever_its_metrics_lie(service: Any) -> None:
    both = [{"metric": "m0", "value": 1}, {"metric": "m1", "value": 1}]
    assert LAYOUT.partition_of("m0") != LAYOUT.partition_of("m1")
    for body in (both, both[1:], [{"metric": "m2", "value": 1}]):
        await service.post(both[:1], **{"Idempotency-Key": "k"})
        refused = await service.post(body, **{"Idempotency-Key": "k"})
        assert (refused.status_code, "publish-conflict" in refused.text) == (422, True)
        assert "the idempotency key 'k' was used" in refused.json()["detail"]
    stored = await service.stored()
    assert {metric: stored[metric] for metric in METRICS if metric in stored} == {"m0": [1.0]}


async def test_what_others_stored_is_said_when_a_partition_refuses(service: Any, valkey: Valkey) -> None:
    rows = [{"metric": metric, "value": 1} for metric in METRICS]
    await post(service, [(metric, 0.0) for metric in METRICS])
    broken = f"tw:{{{LAYOUT.tags[0]}}}:clock"
    valkey.client.rename(broken, "aside")
    valkey.client.set(broken, "a foreign hand")
    answer = await service.post(rows)
    told = answer.json()
    lost = {place for place, metric in enumerate(METRICS) if LAYOUT.partition_of(metric) == 0}
    assert answer.status_code == 503
    assert told["accepted"] == len(METRICS) - len(lost)
    assert {row["row"] for row in told["rejected"]} == lost
    valkey.client.rename("aside", broken)


async def test_hello_names_no_position_that_is_none(service: Any, start: Any, eventually: Eventually) -> None:
    reader = StreamReader("_2.VvXJtzq.0abcde1-2")
    async with reading(service.http, reader, "metric=m*"):
        await eventually(lambda: bool(reader.named("live")))
    assert reader.named("hello")[0]["cursor"] == ""
