"""However a request's patterns look and however many metrics there are, the event loop goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loop_meter import HELD_S, measured

from tidewire.model.pattern import compile_pattern, compile_patterns
from tidewire_service.hub.matching import part_of
from tidewire_service.turns import Turns

HOSTILE = [f"{'*a' * n}*b" for n in (60, 100, 120, 126)]
WIDE = [f"**/{'*/' * n}b" for n in range(40, 104)]


async def publish_names(service: Any, names: list[str]) -> None:
    """Append a reading of each metric."""
    for first in range(0, len(names), 400):
        rows = [{"metric": name, "value": 1.0} for name in names[first : first + 400]]
        assert (await service.http.post("/v1/readings", json=rows)).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/v1/catalog?" + "&".join(f"metric={one}" for one in HOSTILE), id="catalog"),
        pytest.param("/v1/catalog?" + "&".join(f"metric={one}" for one in WIDE[:8]), id="many levels"),
        pytest.param("/v1/history?" + "&".join(f"metric={one}" for one in HOSTILE), id="history"),
        pytest.param("/v1/stream?replay=none&" + "&".join(f"metric={one}" for one in HOSTILE), id="stream"),
        pytest.param("/v1/stream?every=1s&" + "&".join(f"metric={one}" for one in HOSTILE), id="conflated"),
    ],
)
async def test_no_request_with_patterns_holds_the_event_loop(service: Any, path: str) -> None:
    await publish_names(service, [f"{'a' * 240}/{n}" if n % 2 else f"{'a/' * 120}{n}" for n in range(2_000)])

    async def ask() -> None:
        if "stream" in path:
            async with service.http.stream("GET", path) as answer:
                assert answer.status_code == 200
                async for line in answer.aiter_lines():
                    if line.startswith("event: live"):
                        break
        else:
            answer = await service.http.get(path)
            assert answer.status_code == 200
            assert answer.json()["series"] == []

    held_s, _ = await measured(ask)
    assert held_s < HELD_S


async def test_matching_that_takes_too_long_is_refused_with_a_remedy(start_service: Callable[..., Any]) -> None:
    service = await start_service(max_matching_s=0.01)
    await publish_names(service, [f"{'a/' * 120}{n}" for n in range(500)])
    answer = await service.http.get("/v1/catalog?" + "&".join(f"metric={one}" for one in WIDE))
    assert answer.status_code == 413
    assert "max_matching_s" in answer.text
    assert "fewer patterns" in answer.text
    assert (await service.http.get("/v1/catalog?metric=a/**")).status_code == 200


LEVELS = st.lists(st.sampled_from(["a", "b", "ab", "*", "a*", "**"]), min_size=1, max_size=3).map("/".join)
NAMES = st.lists(st.sampled_from(["a", "b", "ab"]), min_size=1, max_size=3).map("/".join)


@given(st.sets(NAMES), st.lists(LEVELS, min_size=1, max_size=4), st.lists(LEVELS, max_size=2))
async def test_a_part_of_the_directory_is_what_each_metric_says(
    names: set[str], patterns: list[str], narrowed_to: list[str]
) -> None:
    directory = {name: n for n, name in enumerate(names)}
    part = await part_of(directory, compile_patterns(patterns), narrowed_to, Turns())

    def selects(texts: list[str], name: str) -> bool:
        return any(compile_pattern(text).matches(name) for text in texts)

    expected = [n for n in sorted(names) if selects(patterns, n) and (not narrowed_to or selects(narrowed_to, n))]
    assert part == {name: directory[name] for name in expected}
    assert list(part) == expected


async def test_a_stream_gets_the_metrics_that_are_born_while_its_patterns_are_matched(
    start_service: Callable[..., Any],
) -> None:
    service = await start_service()
    await publish_names(service, [f"{'a/' * 120}{n}" for n in range(1_000)])
    born = 0

    async def bear() -> None:
        nonlocal born
        while True:
            await publish_names(service, [f"new/{born}"])
            born += 1

    bearing = asyncio.create_task(bear())
    found: set[str] = set()
    query = "&".join(f"metric={one}" for one in [*WIDE[:6], "new/*"])
    async with service.http.stream("GET", f"/v1/stream?{query}&replay=1h") as answer:
        assert answer.status_code == 200
        async for line in answer.aiter_lines():
            if line.startswith("event: live"):
                bearing.cancel()
                await asyncio.gather(bearing, return_exceptions=True)
                await publish_names(service, ["new/last"])
            if '"metric":"new/' in line:
                found.add(line.split('"metric":"')[1].split('"')[0])
            if "new/last" in found:
                break
    assert {f"new/{n}" for n in range(born)} <= found
