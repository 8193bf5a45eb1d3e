"""The schema page in a real browser: it draws, and asks nobody but this process."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
    "--disable-component-update", "--no-first-run",
]  # fmt: skip


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
async def test_the_page_draws_every_route_without_another_host(service: Any) -> None:
    from playwright.async_api import async_playwright  # noqa: PLC0415 - only where there is a browser

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = await browser.new_page()
        requests: list[str] = []
        errors: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: errors.append(message.text))
        page.on("pageerror", lambda error: errors.append(str(error)))
        await page.goto(f"{service.url}/schema")
        await page.wait_for_selector("text=Stream readings live")
        assert await page.locator(".opblock").count() == 7
        await browser.close()
    assert errors == []
    assert {url.split("/")[2] for url in requests if not url.startswith("data:")} == {f"127.0.0.1:{service.port}"}
