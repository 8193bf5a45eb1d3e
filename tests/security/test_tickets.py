"""What a used ticket opens: its own stream, and nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from servers import Valkey
from waiting import Eventually, eventually

from tidewire.model.cursor import Cursor

from .conftest import bearer, streaming


def _body(value: float = 1.0) -> dict[str, Any]:
    return {"metric": "plant/a", "value": value}


async def _cursor_now(service: Any, secret: str) -> str:
    """Return the log's position as the catalogue tells it."""
    cursor: str = (await service.http.get("/v1/catalog", headers=bearer(secret))).json()["cursor"]
    return cursor


async def _ticket_query(service: Any, secret: str, *metrics: str) -> str:
    made = await service.http.post("/v1/tickets", json={"metric": list(metrics)}, headers=bearer(secret))
    query: str = made.json()["url"].partition("?")[2]
    return query


async def _status(service: Any, query: str, **headers: str) -> int:
    async with streaming(service, query, **headers) as events:
        return events.status


async def test_a_used_ticket_opens_nothing_from_a_cursor_of_an_unknown_epoch(guarded: Any, token: Any) -> None:
    secret = await token(publish=("**",), subscribe=("**",))
    await guarded.http.post("/v1/readings", json=_body(), headers=bearer(secret))
    query = await _ticket_query(guarded, secret, "**")
    async with streaming(guarded, query) as events:
        seen = await events.until("live")
    assert await _status(guarded, query, **{"Last-Event-ID": "a.1-0"}) == 401
    assert await _status(guarded, f"{query}&cursor=a.1-0") == 401
    assert await _status(guarded, query, **{"Last-Event-ID": seen[-1][1]}) == 200
    assert await _status(guarded, f"{query}&cursor={seen[-1][1]}") == 200


def _forged(before: str, now: str) -> dict[str, str]:
    """Return cursors that the stream which began between two positions cannot have sent."""
    epoch, _, position = now.partition(".")
    ms, _, n = position.partition("-")
    return {
        "unknown epoch, low": "a.1-0",
        "unknown epoch, high": "zzzzzzz.zzzzzzzz-zzz",
        "unknown epoch, now": f"zzzzzzz.{position}",
        "its epoch in capitals": now.upper(),
        "its epoch, cut": now[1:],
        "its epoch, longer": f"0{now}",
        "before all": f"{epoch}.0-0",
        "before it began": before,
        "beyond the clock": f"{epoch}.zzzzzzz{ms[-1]}-{n}",
        "one beyond the clock": f"{epoch}.{ms}-{int(n, 36) + 1:x}",
        "empty": "",
        "no cursor": "zzzzzzz",
        "two": f"{now},{now}",
        "a number": "1",
    }


@pytest.mark.parametrize("replay", ["", "&replay=last", "&replay=none"])
async def test_a_used_ticket_opens_nothing_from_a_forged_cursor(
    guarded: Any, token: Any, eventually: Eventually, replay: str
) -> None:
    secret = await token(publish=("**",), subscribe=("**",))
    first = await guarded.http.post("/v1/readings", json=_body(), headers=bearer(secret))
    before = first.json()["cursor"]
    last = await guarded.http.post("/v1/readings", json=_body(2), headers=bearer(secret))
    await eventually(lambda: str(guarded.app.state.hub.position) == last.json()["cursor"])
    query = await _ticket_query(guarded, secret, "**") + replay
    async with streaming(guarded, query) as events:
        seen = await events.until("live")
    now = await _cursor_now(guarded, secret)
    for what, cursor in _forged(before, now).items():
        assert await _status(guarded, query, **{"Last-Event-ID": cursor}) == 401, what
        assert await _status(guarded, f"{query}&cursor={cursor}") == 401, what
        assert await _status(guarded, f"{query}&cursor={now}", **{"Last-Event-ID": cursor or "x"}) == 401, what
    assert await _status(guarded, query, **{"Last-Event-ID": seen[-1][1]}) == 200, "and its own goes on"


@pytest.mark.parametrize(
    "change",
    [
        ("metric=plant%2F%2A%2A", "metric=plant/a"),
        ("", "&metric=plant/a"),
        ("", "&replay=5m"),
        ("", "&replay=none"),
        ("", "&label=site:A"),
        ("", "&every=1s"),
        ("", "&on_slow=conflate"),
    ],
)
async def test_a_used_ticket_opens_no_other_stream(guarded: Any, token: Any, change: tuple[str, str]) -> None:
    """The cursor is the stream's own; what is asked for is not."""
    secret = await token(publish=("**",), subscribe=("**",))
    await guarded.http.post("/v1/readings", json=_body(), headers=bearer(secret))
    query = await _ticket_query(guarded, secret, "plant/**", "plant/a")
    query = query.replace("&metric=plant%2Fa", "")
    async with streaming(guarded, query) as events:
        cursor = (await events.until("live"))[-1][1]
    other = query.replace(*change) if change[0] else query + change[1]
    assert other != query
    assert await _status(guarded, other, **{"Last-Event-ID": cursor}) == 401
    assert await _status(guarded, query, **{"Last-Event-ID": cursor}) == 200


async def test_the_cursor_in_an_address_is_no_proof(guarded: Any, token: Any) -> None:
    secret = await token(publish=("**",), subscribe=("**",))
    await guarded.http.post("/v1/readings", json=_body(), headers=bearer(secret))
    query = await _ticket_query(guarded, secret, "**")
    address = f"{query}&cursor={await _cursor_now(guarded, secret)}"
    async with streaming(guarded, address) as events:
        seen = await events.until("live")
    assert await _status(guarded, address) == 401, "the same address again"
    assert await _status(guarded, address, **{"Last-Event-ID": seen[0][1]}) == 200, "its EventSource"


async def test_a_malformed_request_does_not_use_a_ticket_up(guarded: Any, token: Any) -> None:
    secret = await token(subscribe=("**",))
    query = await _ticket_query(guarded, secret, "**")
    for wrong in ("&replay=soon", "&cursor=zzz", "&every=1", "&label=x", "&on_slow=never"):
        assert await _status(guarded, query + wrong) == 422, wrong
    assert await _status(guarded, query, **{"Last-Event-ID": "zzz"}) == 422
    assert await _status(guarded, query) == 200


async def test_one_of_many_requests_with_a_new_ticket_opens_it(guarded: Any, token: Any) -> None:
    secret = await token(subscribe=("**",))
    query = await _ticket_query(guarded, secret, "**")
    statuses = await asyncio.gather(*(_status(guarded, query) for _ in range(12)))
    assert sorted(statuses) == [200] + [401] * 11


async def test_a_used_ticket_stays_used_until_it_is_gone(guarded: Any, token: Any, valkey: Valkey) -> None:
    secret = await token(subscribe=("**",))
    query = await _ticket_query(guarded, secret, "**")
    async with streaming(guarded, query) as events:
        cursor = (await events.until("live"))[-1][1]
    for _ in range(2):
        [ticket] = [key for key in valkey.cli("KEYS", "*ticket*") if not key.endswith(b":used")]
        assert valkey.cli("PTTL", ticket + b":used") > valkey.cli("PTTL", ticket) > 0
        assert await _status(guarded, query, **{"Last-Event-ID": cursor}) == 200


async def test_a_ticket_serves_its_stream_over_a_cut_replay_a_restart_and_a_lost_log(
    guarded: Any, token: Any, valkey: Valkey
) -> None:
    """Every id that the stream sent resumes it: also those from before it began, of older epochs, and after a reset."""
    secret = await token(publish=("**",), subscribe=("**",))

    async def publish(value: float) -> None:
        answer = await guarded.http.post("/v1/readings", json=_body(value), headers=bearer(secret))
        assert answer.status_code == 200, answer.text
        stored = Cursor.parse(answer.json()["cursor"])
        await eventually(lambda: guarded.app.state.hub.position.id >= stored.id, "the hub has what was stored")

    async def sent(query: str, cursor: str = "") -> list[str]:
        async with streaming(guarded, query, **({"Last-Event-ID": cursor} if cursor else {})) as events:
            assert events.status == 200, cursor
            return [id_ for _, id_, _ in await events.until("live") if id_]

    await publish(1)
    valkey.restart()
    await guarded.ready()
    await publish(2)
    query = await _ticket_query(guarded, secret, "**") + "&replay=1h"
    ids = await sent(query)
    assert len({id_.partition(".")[0] for id_ in ids}) == 2, "batches of two epochs"
    for id_ in ids:
        await sent(query, id_)
    valkey.restart()
    await guarded.ready()
    await publish(3)
    ids += await sent(query, ids[-1])
    for id_ in ids:
        await sent(query, id_)
    valkey.cli("DEL", "tw:{0}:clock", "tw:{0}:tail")
    await publish(4)
    later = await sent(query, ids[0])
    for id_ in later:
        await sent(query, id_)


@pytest.mark.parametrize("spoilt", [b"x", b"", b"\xff", b"{}", b"[" * 5_000, b'{"identity":5,"patterns":5}'])
@pytest.mark.parametrize("used", [False, True])
async def test_a_ticket_that_a_foreign_hand_overwrote_is_none(
    guarded: Any, token: Any, valkey: Valkey, spoilt: bytes, used: bool
) -> None:
    secret = await token(subscribe=("**",))
    query = await _ticket_query(guarded, secret, "**")
    if used:
        assert await _status(guarded, query) == 200
    for key in valkey.client.keys("tw:{0}:ticket:*"):
        valkey.cli("SET", key, spoilt)
    assert await _status(guarded, query) == 401
