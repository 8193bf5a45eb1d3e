"""/v1/decks and /v1/thresholds."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from servers import Valkey

DECK = {"tidewire": "deck", "version": 1, "name": "Furnace", "address": "?w=5m&c=furnace/temperature"}
HOT = {"metric": "furnace/*", "warn_above": 935.0, "critical_above": 950.0, "for_s": 5, "hysteresis": 2}


async def test_a_deck_is_saved_read_listed_and_deleted(service: Any) -> None:
    http = service.http
    assert (await http.get("/v1/decks")).json() == {"decks": []}
    assert (await http.get("/v1/decks/furnace")).status_code == 404
    saved = await http.put("/v1/decks/furnace", json=DECK, headers={"If-None-Match": "*"})
    assert saved.status_code == 200, saved.text
    read = await http.get("/v1/decks/furnace")
    assert read.json() == DECK
    assert read.headers["etag"] == saved.headers["etag"]
    unchanged = await http.get("/v1/decks/furnace", headers={"If-None-Match": read.headers["etag"]})
    assert unchanged.status_code == 304
    (listed,) = (await http.get("/v1/decks")).json()["decks"]
    assert (listed["slug"], listed["name"], f'"{listed["etag"]}"') == ("furnace", "Furnace", saved.headers["etag"])
    assert listed["updated_ms"] > 1.6e12
    assert (await http.delete("/v1/decks/furnace")).status_code == 204
    assert (await http.delete("/v1/decks/furnace")).status_code == 204
    assert (await http.get("/v1/decks/furnace")).status_code == 404


async def test_a_save_over_a_newer_version_is_refused_and_tells_it(service: Any) -> None:
    http = service.http
    first = (await http.put("/v1/decks/d", json=DECK)).headers["etag"]
    assert (await http.put("/v1/decks/d", json=DECK, headers={"If-None-Match": "*"})).status_code == 412
    second = (await http.put("/v1/decks/d", json={**DECK, "name": "B"}, headers={"If-Match": first})).headers["etag"]
    late = await http.put("/v1/decks/d", json={**DECK, "name": "C"}, headers={"If-Match": first})
    assert late.status_code == 412
    assert late.headers["etag"] == second
    assert late.json()["title"] == "Newer version"
    assert (await http.get("/v1/decks/d")).json()["name"] == "B"
    assert (await http.delete("/v1/decks/d", headers={"If-Match": first})).status_code == 412
    # who has been asked and wants it all the same
    assert (await http.put("/v1/decks/d", json={**DECK, "name": "C"}, headers={"If-Match": second})).status_code == 200


async def test_of_many_writers_who_saw_the_same_version_one_wins(service: Any) -> None:
    http = service.http
    seen = (await http.put("/v1/decks/d", json=DECK)).headers["etag"]
    answers = await asyncio.gather(
        *(http.put("/v1/decks/d", json={**DECK, "name": str(n)}, headers={"If-Match": seen}) for n in range(12))
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 11
    (winner,) = (n for n, answer in enumerate(answers) if answer.status_code == 200)
    assert (await http.get("/v1/decks/d")).json()["name"] == str(winner)
    others = await asyncio.gather(*(http.put(f"/v1/decks/o-{n}", json=DECK) for n in range(12)))
    assert {answer.status_code for answer in others} == {200}  # of different names, all are saved


@pytest.mark.parametrize("slug", ["-a", "A", "a b", "a%2Fb", "a" * 65, "ü"])
async def test_a_name_that_is_no_slug_is_refused(shared_service: Any, slug: str) -> None:
    assert (await shared_service.http.put(f"/v1/decks/{slug}", json=DECK)).status_code in {404, 422}
    assert (await shared_service.http.get("/v1/decks")).json() == {"decks": []}


@pytest.mark.parametrize(("body", "status"), [(b"", 400), (b"[1]", 400), (b'{"name":3}', 400), (b"x" * 70_000, 413)])
async def test_a_body_that_is_no_small_object_is_refused(shared_service: Any, body: bytes, status: int) -> None:
    answer = await shared_service.http.put("/v1/decks/d", content=body)
    assert answer.status_code == status, answer.text


async def test_thresholds_are_one_list_with_a_version(service: Any) -> None:
    http = service.http
    empty = await http.get("/v1/thresholds")
    assert empty.json() == {"thresholds": []}
    first = await http.put("/v1/thresholds", json={"thresholds": [HOT]}, headers={"If-Match": empty.headers["etag"]})
    assert first.status_code == 200, first.text
    assert (await http.get("/v1/thresholds")).json() == {"thresholds": [HOT]}
    again = await http.put("/v1/thresholds", json={"thresholds": []}, headers={"If-Match": empty.headers["etag"]})
    assert again.status_code == 412
    assert (
        await http.put("/v1/thresholds", json={"thresholds": []}, headers={"If-Match": first.headers["etag"]})
    ).status_code == 200


@pytest.mark.parametrize(
    "wrong",
    [
        {"metric": "a"},
        {"metric": "a**b", "warn_above": 1},
        {"metric": "a", "warn_above": 2, "critical_above": 1},
        {"metric": "a", "warn_below": 1, "critical_below": 2},
        {"metric": "a", "warn_above": 1, "warn_below": 2},
        {"metric": "a", "critical_above": 1, "warn_below": 1},
        {"metric": "a", "warn_above": 10, "warn_below": 0, "hysteresis": 6},
        {"metric": "a", "warn_above": 1, "for_s": -1},
        {"metric": "a", "warn_above": 1, "hysteresis": -1},
        {"metric": "a", "warn_above": "hot"},
        {"metric": "a", "warn_over": 1},
        {"metric": "a", "warn_above": 1, "labels": {"": "x"}},
    ],
)
async def test_a_threshold_that_can_never_work_is_refused(shared_service: Any, wrong: dict[str, Any]) -> None:
    answer = await shared_service.http.put("/v1/thresholds", json={"thresholds": [HOT, wrong]})
    assert answer.status_code == 422, answer.text
    assert (await shared_service.http.get("/v1/thresholds")).json() == {"thresholds": []}


async def test_without_redis_they_say_so(service: Any, valkey: Valkey) -> None:
    valkey.kill()
    for answer in (await service.http.get("/v1/decks"), await service.http.put("/v1/decks/d", json=DECK)):
        assert answer.status_code == 503
        assert "retry-after" in answer.headers
