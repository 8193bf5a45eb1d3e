"""The schema page in a real browser: it draws, and asks nobody but this process."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.browser
async def test_the_page_draws_every_route_without_another_host(service: Any, browser: Any) -> None:
    page = await browser.new_page()
    requests: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    await page.goto(f"{service.url}/schema")
    await page.wait_for_selector("text=Stream readings live")
    schema = (await (await page.request.get(f"{service.url}/schema/openapi.json")).json())["paths"]
    methods = {"get", "put", "post", "patch", "delete"}
    assert await page.locator(".opblock").count() == sum(len(methods & set(each)) for each in schema.values()) > 7
    assert errors == []
    assert {url.split("/")[2] for url in requests if not url.startswith("data:")} == {f"127.0.0.1:{service.port}"}
