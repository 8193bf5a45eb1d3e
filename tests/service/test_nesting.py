"""JSON that is nested deeply is refused wherever it comes in, and costs nobody anything."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from servers import Valkey
from waiting import Eventually

from tidewire.errors import InvalidInput, shown
from tidewire.livestore.messages import decode_message
from tidewire_service.auth.tokens import _tokens
from tidewire_service.errors import NestingTooDeep
from tidewire_service.ingest.json_rows import check_levels

# Around the depth at which Python gives up, which depends on how deep the caller is, and far on both sides of it.
DEPTHS = [33, 100, 500, *range(860, 1_010, 5), 2_000, 30_000]


def _lists(depth: int) -> str:
    return "[" * depth + "]" * depth


def _objects(depth: int) -> str:
    return '{"a":' * depth + "1" + "}" * depth


def _both(depth: int) -> str:
    return '[{"a":' * (depth // 2) + "1" + "}]" * (depth // 2)


NESTED = [_lists, _objects, _both]


@pytest.mark.parametrize("nested", NESTED)
async def test_a_deck_has_at_most_32_levels(service: Any, nested: Callable[[int], str]) -> None:
    async def put(text: str) -> int:
        headers = {"Content-Type": "application/json"}
        return int((await service.http.put("/v1/decks/d", content=text.encode(), headers=headers)).status_code)

    for depth in DEPTHS:
        for text in (f'{{"name":"D","x":{nested(depth)}}}', f'{{"x":{nested(depth)},"name":"D"}}'):
            assert await put(text) == (413 if len(text) > 65_536 else 400), depth
    assert await put(f'{{"name":"D","x":{nested(30)}}}') == 200
    assert (await service.http.get("/v1/decks/d")).status_code == 200
    assert [deck["name"] for deck in (await service.http.get("/v1/decks")).json()["decks"]] == ["D"]
    metrics = (await service.http.get("/metrics")).text
    assert 'tidewire_limits_reached_total{limit="nesting"} 0.0' not in metrics


WHERE = {
    "a body": "{}",
    "a row": "[{}]",
    "a metric": '{"metric":{},"value":1}',
    "a value": '{"metric":"m","value":{}}',
    "values": '{"metric":"m","value":[1,{}]}',
    "a time": '{"metric":"m","value":1,"time":{}}',
    "a unit": '{"metric":"m","value":1,"unit":{}}',
    "labels": '{"metric":"m","value":1,"labels":{}}',
    "a label": '{"metric":"m","value":1,"labels":{"a":{}}}',
    "a text": '{"metric":"m","value":1,"text":{}}',
    "an unknown field": '{"metric":"m","value":1,"x":{}}',
}


@pytest.mark.parametrize("nested", NESTED)
@pytest.mark.parametrize("where", WHERE)
async def test_a_reading_is_refused(shared_service: Any, where: str, nested: Callable[[int], str]) -> None:
    before, _, after = WHERE[where].rpartition("{}")
    for depth in DEPTHS:
        text = f"{before}{nested(depth)}{after}"
        for media_type in ("application/json", "application/x-ndjson"):
            answer = await shared_service.post(text, media_type)
            assert answer.status_code in (400, 422), (depth, answer.text[:300])
            assert answer.json()["detail"], depth
    good = await shared_service.post({"metric": "m", "value": 1})
    assert good.status_code == 200


@pytest.mark.parametrize("nested", NESTED)
async def test_no_other_door_fails(shared_service: Any, nested: Callable[[int], str]) -> None:
    http, headers = shared_service.http, {"Content-Type": "application/json"}
    for depth in DEPTHS:
        deep = nested(depth)
        for method, path, text in (
            ("PUT", "/v1/thresholds", deep),
            ("PUT", "/v1/thresholds", f'{{"thresholds":[{{"metric":"m","warn_above":1,"labels":{{"a":{deep}}}}}]}}'),
            ("PUT", "/v1/thresholds", f'{{"thresholds":[],"x":{deep}}}'),
            ("POST", "/v1/tickets", deep),
            ("POST", "/v1/tickets", f'{{"metric":[{deep}]}}'),
            ("POST", "/v1/tickets", f'{{"x":{deep},"metric":["m"]}}'),
        ):
            answer = await http.request(method, path, content=text.encode(), headers=headers)
            assert answer.status_code in (400, 413, 422), (depth, method, path, answer.text[:200])
        if depth > 2_000:
            continue
        page = base64.urlsafe_b64encode(f'[1,2,"a.1-1","m","a.1-1",{deep}]'.encode()).decode()
        answer = await http.get("/v1/history", params={"metric": "m", "page": page})
        assert answer.status_code in (200, 414, 422), (depth, answer.text[:200])


async def test_the_inbox_puts_it_aside_and_goes_on(service: Any, valkey: Valkey, eventually: Eventually) -> None:
    sent = 0
    for depth in (33, 900, 950, 975, 990, 1_000, 30_000):
        for nested in NESTED:
            valkey.cli("PUBLISH", "tw:in:m", f'{{"value":{nested(depth)}}}')
            valkey.cli("XADD", "tw:in", "*", "metric", "m", "value", "1", "labels", nested(depth))
            sent += 2
    valkey.cli("PUBLISH", "tw:in:good", "1")
    valkey.cli("XADD", "tw:in", "*", "metric", "good", "value", "2")

    async def arrived() -> bool:
        return bool(sorted((await service.stored()).get("good", [])) == [1, 2])

    await eventually(arrived)
    assert valkey.cli("XLEN", "tw:in:dead") == sent
    assert set(await service.stored()) == {"good"}


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("nested", NESTED)
def test_what_python_reads_by_itself_is_refused_or_left_out(nested: Callable[[int], str], depth: int) -> None:
    deep = nested(depth)
    with pytest.raises(InvalidInput):
        decode_message(f'{{"x":{deep}}}')
    assert _tokens([b"id", f'{{"x":{deep}}}'.encode()]) == {}


def test_the_bound_is_exact_and_a_deep_value_can_be_shown() -> None:
    check_levels(json.loads(_lists(32)))
    for nested in (_lists, _objects):
        with pytest.raises(NestingTooDeep):
            check_levels(json.loads(nested(33)))
    value: Any = []
    for _ in range(100_000):
        value = [value]
    assert "list" in shown(value)
    while value:  # so that it is freed without recursion
        value = value[0]
    assert msgspec.json.encode(value) == b"[]"
