"""watch() in JupyterLab itself, in Chromium: live while a cell runs, run again, restarted, saved and opened again."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from ports import own_port
from servers import LiveService, Valkey
from waiting import HANG_MS, HANG_S, Eventually

import tidewire

from .notebook_server import running

pytestmark = pytest.mark.browser

_APP = "window.jupyterapp && document.querySelector('.jp-Notebook .jp-CodeCell')"
_RUN = """async ([cell, wait]) => {
  const panel = jupyterapp.shell.currentWidget;
  await panel.sessionContext.ready;
  panel.content.activeCellIndex = cell;
  const ran = jupyterapp.commands.execute('notebook:run-cell');
  if (wait) await ran;
}"""
_PIXELS = """(notebook) => {
  const canvases = [...document.querySelectorAll('.jp-NotebookPanel')][notebook].querySelectorAll('.tw-deck canvas');
  return [...canvases].filter((canvas) => canvas.width > 0).map((canvas) => canvas.toDataURL()).join();
}"""
_CHANGED = f"""([notebook, seen]) => {{
  const now = ({_PIXELS})(notebook);
  return now !== seen && now;
}}"""


# Collects what the heads of charts say of how many series or runs there are.
_WATCH_COUNTS = """() => {
    window.counts = new Set();
    const look = () => document.querySelectorAll(".nb-count").forEach(
        ({ textContent }) => textContent && counts.add(textContent));
    new MutationObserver(look).observe(document.body, { subtree: true, childList: true, characterData: true });
}"""


class Lab:
    """A running JupyterLab on a directory of notebooks, and a page of it."""

    def __init__(self, root: Path, url: str, page: Any) -> None:
        self.root = root
        self.url = url
        self.page = page

    def write(self, name: str, *cells: str) -> None:
        import nbformat  # noqa: PLC0415 - its validator takes seconds to import: not in each process that collects

        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells], metadata=kernel)
        nbformat.write(made, self.root / name)

    async def open(self, name: str) -> None:
        await self.page.goto(f"{self.url}/lab/tree/{name}?reset")  # without what another test left open
        await self.page.wait_for_function(_APP, timeout=HANG_MS, polling=50)

    async def run(self, cell: int, *, wait: bool = True) -> None:
        """Run a cell; wait until it has run."""
        await self.page.evaluate(_RUN, [cell, wait])

    async def moves(self, notebook: int = 0) -> None:
        """Wait until what the charts of a notebook show has changed seven times."""
        seen = await self.page.evaluate(_PIXELS, notebook)
        for _ in range(7):
            changed = await self.page.wait_for_function(_CHANGED, arg=[notebook, seen], timeout=HANG_MS, polling=50)
            seen = await changed.json_value()

    async def says(self, text: str, limit_s: float = HANG_S, notebook: int = 0) -> None:
        """Wait until a chart's badge says this."""
        badge = self.page.locator(".jp-NotebookPanel").nth(notebook).locator('[data-tw="connection-badge"]')
        await badge.filter(has_text=text).first.wait_for(timeout=limit_s * 1e3)

    async def printed(self, cell: int) -> str:
        """Return what a cell printed."""
        return str(await self.page.locator(".jp-CodeCell").nth(cell).locator(".jp-OutputArea-output").inner_text())

    async def saved(self, name: str) -> list[Any]:
        """Save the notebook; return its cells as they are in the file."""
        await self.page.evaluate("jupyterapp.commands.execute('docmanager:save')")
        return list(json.loads((self.root / name).read_text())["cells"])


@pytest.fixture(scope="module")
def lab_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    tmp_path = tmp_path_factory.mktemp("lab")
    root, port = tmp_path / "notebooks", own_port()
    root.mkdir()
    own = {f"JUPYTER{name}_DIR": str(tmp_path / name) for name in ("_CONFIG", "_DATA", "_RUNTIME", "LAB_SETTINGS")}
    own |= {"JUPYTERLAB_WORKSPACES_DIR": str(tmp_path / "workspaces"), "IPYTHONDIR": str(tmp_path / "ipython")}
    settings = tmp_path / "_CONFIG" / "labconfig"
    settings.mkdir(parents=True)
    # Without the check whether a build is needed, which runs Node at each start of a page.
    (settings / "page_config.json").write_text(json.dumps({"buildCheck": False, "buildAvailable": False}))
    unneeded = dict.fromkeys(["panel.io.jupyter_server_extension", "jupyter_lsp", "jupyter_server_terminals"], False)
    options = [f"--ServerApp.root_dir={root}", "--LabApp.expose_app_in_browser=True", "--LabApp.news_url=None"]
    options += [f"--ServerApp.jpserver_extensions={unneeded}", "--LabApp.extension_manager=readonly"]
    options += ["--IdentityProvider.token=", "--allow-root", "--no-browser", f"--port={port}", "--port-retries=0"]
    url = f"http://127.0.0.1:{port}"
    with running(f"{url}/api", "jupyter", "lab", *options, folder=tmp_path, environment=own):
        yield root, url


@pytest.fixture
def publishing(valkey: Valkey) -> Iterator[None]:
    """Ten readings a second of two metrics, for as long as the test lasts."""
    over = threading.Event()
    publisher = tidewire.Publisher(valkey.url)

    publisher.publish("annotations", None, text="recipe 14 → 15")  # a flag, and nothing that is measured

    def publish() -> None:
        number = 0
        while not over.wait(0.1):
            number += 1
            publisher.publish("furnace/temperature", 800.0 + number % 40, unit="Cel")
            publisher.publish("furnace/power", 40.0 + number % 17, unit="kW")

    thread = threading.Thread(target=publish)
    thread.start()
    yield
    over.set()
    thread.join()
    publisher.close()


@pytest.fixture
async def lab(lab_server: tuple[Path, str], browser: Any) -> Any:
    page = await browser.new_page(viewport={"width": 1200, "height": 1000})
    yield Lab(*lab_server, page)
    await page.evaluate("jupyterapp.serviceManager.sessions.shutdownAll()")
    await page.close()


@pytest.mark.long
async def test_a_chart_lives_while_its_cell_sleeps_and_a_cell_that_runs_again_replaces_it(
    lab: Lab, publishing: None, live_service: LiveService, eventually: Eventually
) -> None:
    watch = f"import tidewire, time\ndisplay(tidewire.watch('furnace/**', window='1m', url='{live_service.url}'))\n"
    count = (
        "import threading\nfrom tidewire.notebook import widget\n"
        "threads = [thread for thread in threading.enumerate() if thread.name.startswith('tidewire-watch')]\n"
        "print(len(threads), sum(map(len, widget._charts.values())))"
    )
    nothing = f"tidewire.watch('nothing/here', url='{live_service.url}')"
    lab.write("a.ipynb", f"{watch}time.sleep({4 * HANG_S})", watch, count, nothing)
    await lab.open("a.ipynb")
    await lab.run(0, wait=False)
    await lab.says("LIVE")
    await lab.moves()
    assert await lab.page.locator(".jp-InputPrompt").first.inner_text() == "[*]:", "the cell still sleeps"
    assert await lab.page.locator("[data-tidewire-snapshot]").first.is_hidden(), "the live chart hides its snapshot"
    for theme in ("Dark", "Light"):
        await lab.page.evaluate(
            f"jupyterapp.commands.execute('apputils:change-theme', {{theme: 'JupyterLab {theme}'}})"
        )
        await lab.page.locator(f".tw-deck[data-theme={theme.lower()}]").wait_for(timeout=HANG_MS)
    await lab.page.evaluate("jupyterapp.commands.execute('notebook:interrupt-kernel')")
    await lab.page.get_by_text("KeyboardInterrupt").first.wait_for()
    for _ in range(4):
        await lab.run(1)
    await lab.run(2)
    assert (await lab.printed(2)).split() == ["2", "2"], "one chart of each cell"
    assert await lab.page.locator(".tw-deck").count() == 2
    await eventually(
        lambda: "tidewire_streams_open 2.0" in httpx.get(f"{live_service.url}/metrics", timeout=HANG_S).text
    )
    await lab.says("LIVE", notebook=0)
    await lab.run(3)
    await lab.says("CONNECTED 0 metrics")


@pytest.mark.long
async def test_two_notebooks_a_restart_and_what_a_saved_notebook_shows(
    lab: Lab, publishing: None, live_service: LiveService, eventually: Eventually
) -> None:
    watch = f"import tidewire\ntidewire.watch('furnace/**', window='1m', url='{live_service.url}')"
    lab.write("left.ipynb", watch)
    lab.write("right.ipynb", watch)
    await lab.open("left.ipynb")
    await lab.run(0)
    await lab.says("LIVE")

    async def saved_with_readings() -> Any:
        outputs = (await lab.saved("left.ipynb"))[0]["outputs"]
        if "furnace/** · 2 series · 1 min to" in "".join(outputs[0]["data"]["text/plain"]):
            return outputs
        await lab.run(0)  # a busy machine had no reading within the time that a cell waits for one
        await lab.says("LIVE")
        return None

    outputs = await eventually(saved_with_readings)
    assert "image/png" in outputs[0]["data"]
    assert outputs[1]["data"]["application/vnd.jupyter.widget-view+json"]["model_id"]

    beside = "jupyterapp.commands.execute('docmanager:open', {path: 'right.ipynb', options: {mode: 'split-right'}})"
    await lab.page.evaluate(beside)
    await lab.page.wait_for_function("document.querySelectorAll('.jp-NotebookPanel').length === 2", polling=50)
    await lab.run(0)
    await lab.says("LIVE", notebook=1)
    for notebook in (0, 1):
        await lab.moves(notebook)

    await lab.page.evaluate("jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    await lab.says("DISCONNECTED", notebook=1)
    await lab.says("LIVE", notebook=0)

    await lab.page.evaluate("jupyterapp.serviceManager.sessions.shutdownAll()")
    await lab.open("left.ipynb")
    snapshot = lab.page.locator("[data-tidewire-snapshot] img")
    await snapshot.wait_for()
    assert "2 series" in str(await snapshot.get_attribute("alt"))
    await lab.page.wait_for_timeout(2_000)
    assert await lab.page.get_by_text("model not found").is_hidden()


@pytest.mark.long
async def test_a_second_view_and_a_page_that_is_loaded_again_have_the_parts_of_a_chart(
    lab: Lab, publishing: None, live_service: LiveService
) -> None:
    """The kernel sends a part once; a view that is opened later finds it in the state of the widget."""
    watch = f"import tidewire\nchart = tidewire.watch('furnace/power', kind='stat', url='{live_service.url}')\nchart"
    lab.write("again.ipynb", watch, "chart.need(['kinds', 'many'])\nchart")
    await lab.open("again.ipynb")
    stats = lab.page.locator('.tw-deck .card.of-kind[data-kind="stat"]')
    for cell in (0, 1):
        await lab.run(cell)
        await stats.nth(cell).wait_for(timeout=HANG_MS)
    await lab.saved("again.ipynb")
    await lab.open("again.ipynb")
    await stats.nth(1).wait_for(timeout=HANG_MS)
    await lab.says("LIVE")
    await lab.moves()


@pytest.mark.long
async def test_formulas_and_kinds_live_while_their_cell_sleeps_and_are_in_the_saved_file(
    lab: Lab, publishing: None, live_service: LiveService
) -> None:
    url = live_service.url
    formula = "avg_over_time(furnace/temperature[5s])"
    show = f"import tidewire, time\ndisplay(tidewire.watch('={formula}', 'furnace/power', kind='stat', url='{url}'))\n"
    cells = [
        f"{show}time.sleep({4 * HANG_S})",
        f"tidewire.watch('=sum(rat(furnace/power))', url='{url}')",
        f"tidewire.watch('furnace/power', kind='guage', url='{url}')",
        f"tidewire.watch('furnace/**', kind='band', window='1m', url='{url}')",
    ]
    lab.write("kinds.ipynb", *cells)
    await lab.open("kinds.ipynb")
    await lab.run(0, wait=False)
    await lab.says("LIVE")
    stats = lab.page.locator('.tw-deck .card.of-kind[data-kind="stat"]')
    await stats.nth(1).wait_for(timeout=HANG_MS)
    assert sorted(await lab.page.locator(".tw-deck .card-title").all_inner_texts()) == [formula, "furnace/power"]
    await lab.moves()
    assert await lab.page.locator(".jp-InputPrompt").first.inner_text() == "[*]:", "the cell still sleeps"
    await lab.page.evaluate("jupyterapp.commands.execute('notebook:interrupt-kernel')")
    await lab.page.get_by_text("KeyboardInterrupt").first.wait_for()

    await lab.run(1)
    said = await lab.printed(1)
    assert "there is no function rat; did you mean rate?" in said
    assert "^^^" in said
    await lab.run(2)
    assert "did you mean 'gauge'?" in await lab.printed(2)
    assert await lab.page.locator(".tw-deck").count() == 1, "what is wrong draws nothing"
    await lab.run(3)
    await lab.page.locator(".tw-deck .card.of-many").nth(1).wait_for(timeout=HANG_MS)

    outputs = [output for cell in await lab.saved("kinds.ipynb") for output in cell.get("outputs", [])]
    texts = ["".join(output["data"]["text/plain"]) for output in outputs if "image/png" in output.get("data", {})]
    assert len(texts) == 2
    assert texts[0].startswith(f"furnace/power, {formula} · 2 series")


@pytest.fixture
def training(valkey: Valkey) -> Iterator[None]:
    """Two runs: one of an hour ago, which is over, and one that goes on for as long as the test lasts."""
    over = threading.Event()
    publisher = tidewire.Publisher(valkey.url)
    before = time.time() - 3_600
    for step in range(60):
        told = {"time": (before + step) * 1e3, "step": float(step), "labels": {"run": "lr-0.1"}}
        publisher.publish("train/loss", 2.0 * 0.96**step, **told)
        publisher.publish("train/accuracy", 1.0 - 0.9 * 0.97**step, **told)
    publisher.publish("train/config/lr", 0.1, labels={"run": "lr-0.1"})
    publisher.publish("plain", 1.0, labels={"run": "lr-0.1"})  # without a step

    def publish() -> None:
        step = 0
        while not over.wait(0.2):
            told = {"step": float(step), "labels": {"run": "lr-0.03"}}
            publisher.publish("train/loss", 2.2 * 0.98**step, **told)
            publisher.publish("train/accuracy", 1.0 - 0.95 * 0.98**step, **told)
            step += 1

    thread = threading.Thread(target=publish)
    thread.start()
    yield
    over.set()
    thread.join()
    publisher.close()


@pytest.mark.long
async def test_runs_begin_together_at_step_0_live_while_their_cell_sleeps_and_in_the_saved_file(
    lab: Lab, training: None, live_service: LiveService, eventually: Eventually
) -> None:
    url = live_service.url
    show = f"import tidewire, time\ndisplay(tidewire.watch('train/**', x='step', url='{url}'))\n"
    cells = [
        f"{show}time.sleep({4 * HANG_S})",
        f"tidewire.watch('train/**', x='stpe', url='{url}')",
        f"tidewire.watch('plain', x='step', url='{url}')",
        f"tidewire.watch('train/loss', x='rel', url='{url}')",
    ]
    lab.write("runs.ipynb", *cells)
    await lab.open("runs.ipynb")
    await lab.page.evaluate(_WATCH_COUNTS)
    await lab.run(0, wait=False)
    runs = lab.page.locator('.tw-deck [data-tw="runs"]')
    await runs.first.locator(".card", has_text="lr-0.03").nth(1).wait_for(timeout=HANG_MS)
    await runs.first.locator(".card", has_text="lr-0.1").nth(1).wait_for(timeout=HANG_MS)
    assert await runs.locator(".card-title").all_inner_texts() == ["train/accuracy", "train/loss"]
    await lab.page.locator(".nb-count", has_text="2 runs").wait_for(timeout=HANG_MS)
    assert "0 runs" not in await lab.page.evaluate("[...counts]"), "nobody knew yet how many there are"
    await lab.moves()
    assert await lab.page.locator(".jp-InputPrompt").first.inner_text() == "[*]:", "the cell still sleeps"
    await lab.page.evaluate("jupyterapp.commands.execute('notebook:interrupt-kernel')")
    await lab.page.get_by_text("KeyboardInterrupt").first.wait_for()

    await lab.run(1)
    assert "did you mean 'step'?" in await lab.printed(1)
    assert await lab.page.locator(".tw-deck").count() == 1, "what is wrong draws nothing"
    await lab.run(2)
    absent = lab.page.locator('.tw-deck [data-tw="chart-absent"]', has_text="No run has published a step of this")
    await absent.first.wait_for(timeout=HANG_MS)
    await lab.run(3)
    await runs.nth(2).locator(".card", has_text="lr-0.1").wait_for(timeout=HANG_MS)

    async def saved() -> Any:
        outputs = [output for cell in await lab.saved("runs.ipynb") for output in cell.get("outputs", [])]
        texts = ["".join(output["data"]["text/plain"]) for output in outputs if "image/png" in output.get("data", {})]
        return [text for text in texts if text.startswith("train/** · 2 runs · step ")]

    assert await eventually(saved)
