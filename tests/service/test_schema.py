"""The schema and its page: complete, and without any other host."""

from __future__ import annotations

import re
from typing import Any

from tidewire_service.ingest.body import INGEST_FORMATS

EXTERNAL = re.compile(r"(?:src|href|url|action)\s*[=(:]\s*[\"']?(?:https?:)?//", re.IGNORECASE)


async def test_the_page_and_what_it_loads_come_from_this_process(service: Any) -> None:
    for path in ("/schema", "/schema/", "/schema/ui"):
        page = await service.http.get(path)
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")
        assert "//" not in page.text.replace("<!doctype", "")
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "http" not in policy
    for asset in re.findall(r'(?:src|href)="(/[^"]+)"', page.text):
        answer = await service.http.get(asset)
        assert answer.status_code == 200, asset
        if asset.endswith(".css"):
            assert not EXTERNAL.search(answer.text)
            assert not re.search(r"@import|url\(\s*[\"']?(?!data:|\"data:)", answer.text)
    script = await service.http.get("/schema/assets/page.js")
    assert "http" not in script.text
    assert "validatorUrl: null" in script.text
    for missing in ("/schema/assets/nothing.js", "/schema/assets/..%2f..%2fapp.py", "/schema/nothing"):
        assert (await service.http.get(missing)).status_code == 404


async def test_the_document_has_every_route(service: Any) -> None:
    document = (await service.http.get("/schema/openapi.json")).json()
    assert set(document["paths"]) == {
        "/v1/stream", "/v1/readings", "/v1/history", "/v1/catalog", "/v1/decks", "/v1/decks/{slug}",
        "/v1/thresholds", "/v1/tickets", "/v1/whoami", "/health/live", "/health/ready", "/metrics",
    }  # fmt: skip
    body = document["paths"]["/v1/readings"]["post"]["requestBody"]["content"]
    assert set(body) == {form.media_types[0] for form in INGEST_FORMATS}
    stream = document["paths"]["/v1/stream"]["get"]
    assert {parameter["name"] for parameter in stream["parameters"]} >= {"metric", "label", "replay", "cursor"}
    history = document["paths"]["/v1/history"]["get"]
    assert {parameter["name"] for parameter in history["parameters"]} == {
        "metric", "label", "start", "end", "points", "step_ms", "page", "format", "partial",
    }  # fmt: skip


async def test_paths_and_methods_that_do_not_exist_are_problems(service: Any) -> None:
    for method, path, status in (
        ("GET", "/", 404), ("GET", "/v1", 404), ("GET", "/v1/nothing", 404), ("POST", "/schema/nothing", 405),
        ("DELETE", "/v1/readings", 405), ("GET", "/v1/readings", 405), ("POST", "/v1/history", 405),
    ):  # fmt: skip
        answer = await service.http.request(method, path)
        assert answer.status_code == status, (method, path)
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert problem["status"] == status
        assert {"type", "title", "detail"} <= set(problem)
