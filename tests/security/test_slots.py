"""Slots for bodies: a token or an address that holds all of them shuts nobody out."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers import StartService
from waiting import HANG_S, Eventually

from tidewire_service.errors import RateExceeded
from tidewire_service.ingest.slots import Slots

from .conftest import bearer

ROW = {"metric": "m", "value": 1}


@asynccontextmanager
async def _dribbling(service: Any, token: str = "", address: str = "127.0.0.1") -> AsyncIterator[asyncio.StreamReader]:
    """Post a body that never ends; yield what reads the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port, local_addr=(address, 0))
    authorization = f"Authorization: Bearer {token}\r\n" if token else ""
    head = f"POST /v1/readings HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{authorization}"
    writer.write(f"{head}Content-Length: 1000\r\n\r\n[".encode())
    await writer.drain()
    try:
        yield reader
    finally:
        writer.close()


async def _hold_all(stack: AsyncExitStack, service: Any, eventually: Eventually, **who: str) -> list[Any]:
    """Fill every slot of a service, and return what reads the answers."""
    most = service.settings.max_posts
    readers = [await stack.enter_async_context(_dribbling(service, **who)) for _ in range(most)]

    async def full() -> bool:
        text = (await service.http.get("/metrics", headers=service.operator)).text
        return f"\ntidewire_posts_taking {most:.1f}\n" in text

    await eventually(full, "every slot is held")
    return readers


async def test_dribbled_bodies_of_one_token_shut_no_other_token_out(
    start_service: StartService, token: Any, eventually: Eventually
) -> None:
    service: Any = await start_service(auth=True, max_posts=8)
    service.operator = bearer(await token("operator", operate=True))
    hog, others = await token("hog", publish=("narrow",)), [await token(f"t{n}", publish=("**",)) for n in range(3)]
    async with AsyncExitStack() as stack:
        readers = await _hold_all(stack, service, eventually, token=hog)
        for other in others * 5:
            answer = await service.http.post("/v1/readings", json=ROW, headers=bearer(other))
            assert answer.status_code == 200, answer.text
        refused = await service.http.post("/v1/readings", json={"metric": "narrow", "value": 1}, headers=bearer(hog))
        assert refused.status_code in (200, 429)
        heads = [asyncio.create_task(reader.readuntil(b"\r\n\r\n")) for reader in readers]
        ended, waiting = await asyncio.wait(heads, timeout=HANG_S, return_when=asyncio.FIRST_COMPLETED)
        for head in waiting:
            head.cancel()
        assert 1 <= len(ended) <= 2, "one slot is enough for those who come one after another"
        for told in [head.result() for head in ended]:
            assert told.startswith(b"HTTP/1.1 429"), "one of its own gave way"
            assert b"retry-after: 1" in told.lower()


async def test_dribbled_bodies_of_one_address_shut_no_other_address_out(
    start_service: StartService, eventually: Eventually
) -> None:
    service: Any = await start_service(max_posts=4)
    service.operator = {}
    transport = httpx.AsyncHTTPTransport(local_address="127.0.0.2")
    async with (
        AsyncExitStack() as stack,
        httpx.AsyncClient(transport=transport, base_url=service.url, timeout=HANG_S) as other,
    ):
        await _hold_all(stack, service, eventually)
        mine = await service.http.post("/v1/readings", json=ROW)
        assert (mine.status_code, mine.headers["retry-after"]) == (429, "1"), "it holds them all itself"
        for _ in range(5):
            assert (await other.post("/v1/readings", json=ROW, timeout=HANG_S)).status_code == 200
        metrics = (await service.http.get("/metrics")).text
        assert 'tidewire_limits_reached_total{limit="max_posts"}' in metrics


async def test_a_body_that_has_arrived_keeps_its_slot() -> None:
    slots = Slots(2)
    with slots.held("a", ""), slots.held("a", ""), pytest.raises(RateExceeded), slots.held("b", ""):
        pass
    assert len(slots) == 0


WHO = st.tuples(st.sampled_from(["", "a", "b", "c"]), st.sampled_from(["1", "2", "3"]))


@given(st.integers(1, 6), st.lists(WHO, max_size=24))
async def test_slots_are_never_too_many_and_never_taken_from_who_holds_fewer(
    most: int, comers: list[tuple[str, str]]
) -> None:
    slots = Slots(most)
    holders: list[tuple[str, str]] = []
    waiting: dict[int, asyncio.Task[None]] = {}

    async def hold(number: int, who: tuple[str, str]) -> None:
        with slots.held(*who) as slot:
            async with slot.waiting():
                await asyncio.Event().wait()

    async def settle() -> None:
        for _ in range(6):
            await asyncio.sleep(0)

    for number, who in enumerate(comers):
        before = {n: task for n, task in waiting.items() if not task.done()}
        waiting[number] = asyncio.create_task(hold(number, who))
        await settle()
        assert len(slots) <= most
        ended = [n for n, task in before.items() if task.done()]
        taken = not waiting[number].done()
        assert len(ended) <= 1
        assert taken or not ended, "nobody gives way for one who is refused"
        if not taken:
            assert len(before) == most
            assert isinstance(waiting[number].exception(), RateExceeded)
        for n in ended:
            assert len(before) == most, "only when all are held"
            counts = [Counter(comers[held][place] for held in before) for place in (0, 1)]
            assert any(
                counts[place][comers[n][place]] > counts[place][who[place]] + 1 for place in (0, 1) if who[place]
            ), (comers[n], who)
        holders.append(who)
    for task in waiting.values():
        task.cancel()
    await asyncio.gather(*waiting.values(), return_exceptions=True)
    assert len(slots) == 0
