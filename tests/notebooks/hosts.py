"""watch() in notebooks that CI does not install: Notebook 7 and marimo, in Chromium. By hand:

    pip install notebook marimo && pytest tests/notebooks/hosts.py

VS Code and Colab cannot be driven from here. Of them the chart needs what anywidget promises everywhere: a module that
renders into an element, messages with buffers to it, and its cleanup.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from ports import own_port
from servers import LiveService, Valkey
from waiting import HANG_MS

import tidewire

from .notebook_server import running

pytestmark = pytest.mark.browser

# marimo renders into shadow roots
_WALK = """
  const inside = (e) => [e, ...(e.shadowRoot ? walk(e.shadowRoot) : [])];
  const walk = (root) => [...root.querySelectorAll('*')].flatMap(inside);
"""
_PIXELS = f"""() => {{
  {_WALK}
  return walk(document).filter((e) => e.tagName === 'CANVAS' && e.width).map((e) => e.toDataURL()).join();
}}"""
_TEXT = f"""() => {{
  {_WALK}
  const words = (e) => [...e.childNodes].filter((node) => node.nodeType === 3).map((node) => node.data).join('');
  return walk(document).filter((e) => e.tagName !== 'STYLE').map(words).join(' ');
}}"""
_MARIMO = """\
import marimo
app = marimo.App()

@app.cell
def _():
    import threading, time, tidewire
    return threading, time, tidewire

@app.cell
def _(tidewire):
    chart = tidewire.watch("furnace/**", window="1m", url="{url}")
    chart
    return (chart,)

@app.cell
def _(chart, threading, time):
    time.sleep(8)
    print("threads", len([one for one in threading.enumerate() if one.name.startswith("tidewire-watch")]), chart)
    return
"""


@pytest.fixture
def publishing(valkey: Valkey) -> Iterator[None]:
    over = threading.Event()

    def publish() -> None:
        with tidewire.Publisher(valkey.url) as publisher:
            for number in itertools.count():
                publisher.publish("furnace/temperature", 800.0 + number % 40, unit="Cel")
                if over.wait(0.1):
                    return

    thread = threading.Thread(target=publish)
    thread.start()
    yield
    over.set()
    thread.join()


async def lives(page: Any) -> None:
    """Wait for a live chart, and see its picture change."""
    await page.locator('[data-tw="connection-badge"]').filter(has_text="LIVE").first.wait_for(timeout=HANG_MS)
    pictures = []
    for _ in range(10):
        pictures.append(await page.evaluate(_PIXELS))
        await page.wait_for_timeout(300)
    assert sum(one != other for one, other in itertools.pairwise(pictures)) >= 7


async def test_notebook_7(live_service: LiveService, publishing: None, browser: Any, tmp_path: Path) -> None:
    pytest.importorskip("notebook", reason="needs Notebook 7: pip install notebook")
    url = f"http://127.0.0.1:{(port := own_port())}"
    watch = f"tidewire.watch('furnace/**', window='1m', url='{live_service.url}')"
    cell = f"import tidewire, time\ndisplay({watch})\ntime.sleep(20)"
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(
        nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)], metadata=kernel), tmp_path / "a.ipynb"
    )
    options = ("--IdentityProvider.token=", "--allow-root", "--no-browser", f"--port={port}")
    with running(f"{url}/api", "notebook", *options, folder=tmp_path):
        page = await browser.new_page()
        await page.goto(f"{url}/notebooks/a.ipynb")
        await page.locator(".jp-CodeCell .cm-content").first.click(timeout=HANG_MS)
        await page.keyboard.press("Control+Enter")
        await lives(page)
        assert await page.locator("[data-tidewire-snapshot]").first.is_hidden()
        await page.close()


async def test_marimo(live_service: LiveService, publishing: None, browser: Any, tmp_path: Path) -> None:
    pytest.importorskip("marimo", reason="needs marimo: pip install marimo")
    url = f"http://127.0.0.1:{(port := own_port())}"
    (tmp_path / "a.py").write_text(_MARIMO.format(url=live_service.url))
    options = ("edit", "a.py", "--headless", "--no-token", "--skip-update-check", "-p", str(port))
    with running(url, "marimo", *options, folder=tmp_path):
        page = await browser.new_page()
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        await page.goto(url)
        await page.locator(".cm-content").nth(1).wait_for(timeout=HANG_MS)
        await page.keyboard.press("Control+Shift+R")  # run all
        await lives(page)
        for _ in range(5):
            await page.locator(".cm-content").nth(1).click()
            await page.keyboard.press("Control+Enter")
            await page.wait_for_timeout(9_000)  # the cell that counts runs again behind it
            await lives(page)
        assert "threads 1 Chart('furnace/**', live)" in await page.evaluate(_TEXT)
        await page.evaluate("document.body.dataset.theme = 'dark'")
        await page.locator(".tw-deck[data-theme=dark]").first.wait_for(timeout=HANG_MS)
        assert not problems, problems
        await page.close()
