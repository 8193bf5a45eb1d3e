"""Query strings: what each path knows is taken, and nothing is ignored."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from waiting import HANG_S, Eventually

from tidewire_service.web.declaration import RouteTable

NEEDED = {"/v1/stream": "metric=**&replay=none", "/v1/history": "metric=**"}
# Names that people, polyfills and proxies add, with one of each way to write a known name wrongly.
UNKNOWN = (
    "x",
    "metrics",
    "Metric",
    "lasteventid",
    "LastEventId",
    "last_event_id",
    "since",
    "token",
    "_",
    "metric[]",
    "",
)


async def _events(service: Any, query: str, **headers: str) -> list[tuple[str, Any]]:
    """Return the ids and batches that a stream sends until it is live."""
    found = []
    id_ = ""
    async with service.http.stream("GET", f"/v1/stream?{query}", headers=headers, timeout=HANG_S) as answer:
        assert answer.status_code == 200, await answer.aread()
        name = ""
        async for line in answer.aiter_lines():
            field, _, value = line.partition(": ")
            if field == "id":
                id_ = value
            elif field == "event":
                name = value
            elif field == "data" and not name:
                found.append((id_, json.loads(value)["value"]))
            elif not line:
                if name == "live":
                    break
                name = ""
    return found


async def test_a_polyfill_that_resumes_by_its_query_loses_nothing(service: Any, eventually: Eventually) -> None:
    for value in range(9):
        last = (await service.post({"metric": "m", "value": value})).json()["cursor"]
    await eventually(lambda: str(service.app.state.hub.position) == last, "the hub has heard of all")
    everything = await _events(service, "metric=m&replay=1h")
    assert [value for _, values in everything for value in values] == list(range(9))
    start, third = everything[0][0], everything[2][0]
    for resumed in (
        f"metric=m&replay=1h&lastEventId={third}",
        f"metric=m&lastEventId={third}",
        f"lastEventId={third}&metric=m&cursor={start}",
        f"metric=m&cursor={start}&last-event-id={third}",
        f"metric=m&cursor={third}",
        f"metric=m&cursor={third}&lastEventId=",
    ):
        assert await _events(service, resumed) == everything[3:], resumed
    header = await _events(service, f"metric=m&lastEventId={start}", **{"Last-Event-ID": third})
    assert header == everything[3:], "the header is the newest"


async def _routes(service: Any) -> list[tuple[str, str]]:
    """Return method and address of each route, the undocumented ones too."""
    document = (await service.http.get("/schema/openapi.json")).json()
    documented = [(method.upper(), path) for path, methods in document["paths"].items() for method in methods]
    paths = ["/schema", "/schema/ui", "/schema/openapi.json", "/schema/assets/page.js"]
    return [(method, re.sub(r"\{\w+\}", "d", path)) for method, path in documented] + [("GET", path) for path in paths]


async def test_an_unknown_name_is_refused_by_every_path(shared_service: Any) -> None:
    routes = await _routes(shared_service)
    assert len(routes) > 17
    wrong = []
    for method, path in routes:
        for name in UNKNOWN:
            for value in ("", "=", "=seven"):
                if not name and not value:
                    continue
                query = "&".join(filter(None, (NEEDED.get(path), name + value)))
                request = shared_service.http.build_request(method, f"{path}?{query}")
                answer = await shared_service.http.send(request, stream=True)
                if answer.status_code != 422:
                    wrong.append((method, path, query, answer.status_code))
                else:
                    problem = json.loads(await answer.aread())
                    assert (problem["field"], "seven" in str(problem)) == (name, False), problem
                await answer.aclose()
    assert wrong == []


async def test_what_a_path_declares_is_what_the_document_says(shared_service: Any) -> None:
    document = (await shared_service.http.get("/schema/openapi.json")).json()
    routes = RouteTable(shared_service.app.routes)
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            told = {field["name"] for field in operation.get("parameters", ()) if field["in"] == "query"}
            declared = routes.find(method.upper(), path)
            assert declared is not None
            assert declared.query == told, (method, path)


@pytest.mark.parametrize(
    ("path", "field", "values"),
    [
        ("/v1/stream?metric=m", "replay", ("none", "last")),
        ("/v1/stream?metric=m", "every", ("1s", "2s")),
        ("/v1/stream?metric=m", "on_slow", ("catchup", "conflate")),
        ("/v1/stream?metric=m", "cursor", ("aaaaaaa.1-0", "aaaaaaa.2-0")),
        ("/v1/stream?metric=m", "lastEventId", ("aaaaaaa.1-0", "aaaaaaa.2-0")),
        ("/v1/stream?metric=m", "last-event-id", ("aaaaaaa.1-0", "aaaaaaa.2-0")),
        ("/v1/history?metric=m", "start", ("-1m", "-2m")),
        ("/v1/history?metric=m", "end", ("now", "-1s")),
        ("/v1/history?metric=m", "points", ("1", "2")),
        ("/v1/history?metric=m", "format", ("json", "csv")),
        ("/v1/history?metric=m", "page", ("first", "second")),
    ],
)
async def test_a_name_that_is_given_twice_is_refused_unless_it_says_the_same(
    shared_service: Any, path: str, field: str, values: tuple[str, str]
) -> None:
    first, second = values
    twice = await shared_service.http.get(f"{path}&{field}={first}&{field}={second}")
    assert (twice.status_code, twice.json()["field"]) == (422, field)
    async with shared_service.http.stream("GET", f"{path}&{field}={first}&{field}={first}&{field}=") as same:
        assert same.status_code == 200


async def test_metrics_and_labels_may_be_repeated(service: Any) -> None:
    for site in "AB":
        await service.post({"metric": f"m/{site}", "value": 1, "labels": {"site": site, "line": "1"}})
    for path in ("history", "catalog"):
        answer = await service.http.get(f"/v1/{path}?metric=m/A&metric=m/B&metric=m/A&label=site:A&label=line:1")
        assert [series["metric"] for series in answer.json()["series"]] == ["m/A"], path


async def test_a_label_that_is_empty_is_selected(service: Any) -> None:
    for labels in ({"site": ""}, {"site": "A"}, {}):
        await service.post({"metric": "m", "value": 1, "labels": labels})
    for path in ("catalog", "history"):
        answer = await service.http.get(f"/v1/{path}?metric=m&label=site:")
        assert [series["labels"] for series in answer.json()["series"]] == [{"site": ""}]
    assert (await service.http.get("/v1/catalog?label=site")).status_code == 422
