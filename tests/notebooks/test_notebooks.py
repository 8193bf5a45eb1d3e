"""The notebooks run from the first cell to the last against a real service, and are kept without outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from servers import Valkey
from waiting import HANG_S

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
LEAVES = {
    "01_publish": {
        "furnace/temperature",
        "train/loss",
        "train/accuracy",
        "demo/wave",
        "line-1/pressure",
        "line-1/flow",
    },
    "02_stream": {"demo/sine", "demo/cosine"},
    "03_live_chart": {"furnace/temperature", "train/loss"},
    "04_training_runs": {
        "annotations",
        *("demo/fit/seconds", "demo/fit/loss", "demo/fit/accuracy", "fit/epochs"),
        *(f"demo/train/{name}" for name in ("done", "rate", "progress", "eta", "loss", "val/loss")),
    },
    "05_last_hour": {"demo/pump/pressure", "demo/pump/flow"},
    "06_plant_thresholds": {"demo/boiler/temperature"},
    "07_from_csv_to_live": {"demo/shift/level"},
    "08_async": {"demo/tank/north", "demo/tank/south"},
}


def test_every_notebook_is_tested() -> None:
    assert [path.stem for path in NOTEBOOKS] == sorted(LEAVES)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_short_says_what_and_why_and_is_stripped(path: Path) -> None:
    import nbformat  # noqa: PLC0415 - its validator takes seconds to import: not in each process that collects

    notebook = nbformat.read(path, as_version=4)
    assert len(notebook.cells) <= 15
    assert all(word in notebook.cells[0].source for word in ("**What.**", "**Why.**", "**Prerequisites.**"))
    assert notebook.metadata.kernelspec.name == "python3"
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not [cell for cell in code if cell.outputs or cell.execution_count is not None]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.long
async def test_a_notebook_runs(
    path: Path, valkey: Valkey, service: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import nbformat  # noqa: PLC0415 - as above
    from nbclient import NotebookClient  # noqa: PLC0415 - as above

    monkeypatch.setenv("TIDEWIRE_REDIS", valkey.url)
    monkeypatch.setenv("TIDEWIRE_URL", service.url)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    notebook = nbformat.read(path, as_version=4)
    await NotebookClient(notebook, timeout=int(HANG_S), kernel_name="python3").async_execute(cwd=str(tmp_path))
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
    series = (await service.http.get("/v1/catalog", params={"metric": "**"})).json()["series"]
    assert {each["metric"] for each in series} == LEAVES[path.stem]
