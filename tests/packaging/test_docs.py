"""Docs that cannot rot: tables come from the code, commands and blocks run, links lead somewhere."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from servers import LiveService, Valkey
from waiting import HANG_S

from tidewire.commands.cli import main
from tidewire_service.hub.end_reason import EndReason

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def _tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return [path for path in ROOT.rglob("*.*") if ".venv" not in path.parts and "node_modules" not in path.parts]
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).exists()]


TRACKED = _tracked()
PAGES = sorted(path for path in TRACKED if path.suffix == ".md")


def _module(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["settings.md", "api.md", "formulas.md"])
def test_a_table_says_what_the_code_says(name: str) -> None:
    page = _module("docs/tables.py").PAGES[name]()
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == page, "run: python docs/tables.py"


# -- the README


def test_the_readme_is_short_and_has_its_two_commands() -> None:
    assert len(README.splitlines()) <= 200
    for name, end in (("run", ".venv/bin/tidewire up"), ("test", ".venv/bin/pytest -n auto")):
        found = re.search(rf"<!-- command: {name} -->\n```sh\n(.+)\n```", README)
        assert found is not None
        assert found[1].startswith("python3 -m venv .venv && .venv/bin/pip install -q -c constraints.txt -e '.[")
        assert found[1].endswith(end)


def test_every_command_is_in_the_readme_and_the_other_way_round() -> None:
    rows = "\n".join(re.findall(r"^\| `tidewire .*", README, re.MULTILINE))
    listed = set(re.findall(r"`(?:tidewire )?([a-z]+)[^`]*`", rows))
    commands = set(main.list_commands(None))  # type: ignore[arg-type]
    assert commands <= listed
    for name in set(re.findall(r"tidewire ([a-z]+)\b", "\n".join(re.findall(r"`tidewire [^`]*`", README)))):
        assert name in commands
    for name in sorted(commands):
        result = CliRunner().invoke(main, [name, "--help"])
        assert result.exit_code == 0, result.output


async def test_every_route_is_in_the_readme(service: Any) -> None:
    paths = (await service.http.get("/schema/openapi.json")).json()["paths"]
    assert paths.keys() >= {"/v1/stream", "/v1/readings", "/v1/history", "/v1/catalog"}
    for path in paths:
        assert path in README, path


def _blocks(language: str) -> list[str]:
    return re.findall(rf"<!-- run: {language} -->\n```{language}\n(.*?)```", README, re.DOTALL)


@pytest.mark.long
def test_the_readmes_blocks_run(valkey: Valkey, live_service: LiveService, tmp_path: Path) -> None:
    shim = tmp_path / "redis-cli"
    shim.write_text(
        f"#!{sys.executable}\nimport sys, redis\n"
        f"print(redis.Redis(port={valkey.port}, decode_responses=True).execute_command(*sys.argv[1:]))\n"
    )
    shim.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "TIDEWIRE_REDIS": valkey.url,
        "TIDEWIRE_URL": live_service.url,
    }
    (published, measured, read), shell = _blocks("python"), _blocks("sh")[0]
    by_http = {"furnace/power"}
    if shutil.which("curl") is None:
        shell, by_http = shell.partition("curl")[0], set()
    for command in (
        [sys.executable, "-c", published],
        [sys.executable, "-c", measured],
        ["sh", "-e", "-c", shell.replace("http://127.0.0.1:8000", live_service.url)],
        [sys.executable, "-c", read],
    ):
        done = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=HANG_S, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "rejected" not in done.stdout.replace('"rejected":[]', "")
    assert "furnace/temperature" in done.stdout
    assert "furnace/flow" in done.stdout
    assert "furnace/pressure" in done.stdout
    frame = httpx.get(f"{live_service.url}/v1/catalog", trust_env=False, timeout=HANG_S).json()
    names = {each["metric"] for each in frame["series"]}
    assert {"job/seconds", "train/progress", "train/val/loss", "annotations", "line-1/flow"} | by_http <= names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


# -- paths, and the map


SOURCES = ("client/tidewire", "service/tidewire_service", "dashboard/tidewire_dashboard", "client/chart/src")
_PATH = re.compile(r"(?<![\w/.:@-])(?:client|service|dashboard|docs|tests|benchmarks|notebooks|\.ci)/[\w./{},-]*[\w}/]")
_FILE = re.compile(r"[\w.{},/-]+\.(?:py|ts|lua|mjs|ipynb|md|css|toml)(?=$|::)")


def _paths(text: str) -> set[str]:
    """Return the paths of this repository that a text names: from its root, or in backticks as a part of one."""
    named = set(_PATH.findall(text))
    for code in re.findall(r"`([^`\n]+)`", text):
        named |= {found[0] for word in code.split() if (found := _FILE.match(word))}
    return {path for each in named for path in _expanded(each)}


def _expanded(path: str) -> list[str]:
    """Return what a shell makes of the braces of a path."""
    braces = re.search(r"\{([^{}]*)\}", path)
    if braces is None:
        return [path]
    return [each for one in braces[1].split(",") for each in _expanded(path.replace(braces[0], one, 1))]


def test_paths_are_found_in_a_text() -> None:
    text = "see `plot.ts`, docs/tables.py and `hub/{a,b}.py::test_x`, not https://docs/x.py or `a.b` or client"
    assert _paths(text) == {"plot.ts", "docs/tables.py", "hub/a.py", "hub/b.py"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_path_that_a_page_names_exists(page: Path) -> None:
    files = [f"/{path.relative_to(ROOT)}" for path in TRACKED]
    for path in _paths(page.read_text(encoding="utf-8")):
        found = (ROOT / path).exists() or (page.parent / path).exists()
        assert found or any(file.endswith(f"/{path}") for file in files), f"{page.relative_to(ROOT)} names {path}"


def test_no_file_cites_a_document_that_is_not_here() -> None:
    cited = re.compile(r"\b([A-Z]{5,})(?:'s)?,? (?:sections?|rules?|rows?|house) ")
    assert cited.search("as PROTOCOL" + " rule 3 says")
    found = []
    for path in TRACKED:
        if path.suffix in (".py", ".ts", ".mjs", ".lua", ".md", ".ipynb", ".toml"):
            names = set(cited.findall(path.read_text(encoding="utf-8")))
            found += [f"{path.relative_to(ROOT)}: {name}" for name in names if not (ROOT / f"{name}.md").exists()]
    assert found == []


@pytest.mark.parametrize("source", SOURCES)
def test_the_architecture_names_every_folder(source: str) -> None:
    section = ARCHITECTURE.partition(f"**[`{source}`]")[2].partition("\n**")[0].partition("\n## ")[0]
    inside = [path.relative_to(ROOT / source) for path in TRACKED if path.is_relative_to(ROOT / source)]
    folders = {path.parts[0] for path in inside if len(path.parts) > 1}
    assert folders
    assert set(re.findall(r"`(\w+)/`", section)) == folders


def test_the_architecture_names_every_end_of_a_stream() -> None:
    section = ARCHITECTURE.partition("## How a stream ends")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == [reason.value for reason in EndReason]


# -- the workshop


MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
RECIPES = {
    name: body.splitlines() for name, body in re.findall(r"^([a-z-]+):.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
}
FROM_ELSEWHERE = {"python3", "npm", "awk"}  # what CONTRIBUTING.md asks for; all else is in the environment or here


def _commands() -> list[tuple[str, list[str]]]:
    """Return each command of each recipe as its words, with the variables that the Makefile sets."""
    variables = dict(re.findall(r"^([A-Z]+) := (.*)$", MAKEFILE, re.MULTILINE))
    lines = [(name, line.strip().lstrip("@")) for name, body in RECIPES.items() for line in body]
    return [
        (name, re.sub(r"\$\(([A-Z]+)\)", lambda m: variables.get(m[1], m[0]), line).split()) for name, line in lines
    ]


@pytest.mark.parametrize(("recipe", "words"), _commands(), ids=lambda value: value if isinstance(value, str) else "")
def test_each_command_of_a_recipe_exists(recipe: str, words: list[str]) -> None:
    program = words[0]
    if program.startswith(".venv/bin/"):
        assert shutil.which(Path(program).name, path=str(Path(sys.executable).parent)), program
    elif program not in FROM_ELSEWHERE:
        assert os.access(ROOT / program, os.X_OK), program
    if words[:2] == ["npm", "run"]:
        package = json.loads((ROOT / words[words.index("--prefix") + 1] / "package.json").read_text(encoding="utf-8"))
        assert words[-1] in package["scripts"]
    for word in words[1:]:
        if word.endswith((".py", ".txt")) and "$(" not in word and words[words.index(word) - 1] != ">":
            assert (ROOT / word).exists(), word


def test_the_recipes_are_listed_and_explained() -> None:
    (phony,) = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert set(phony.split()) == set(RECIPES) == set(re.findall(r"^([a-z-]+):  ## \w", MAKEFILE, re.MULTILINE))
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert set(re.findall(r"make ([a-z-]+)", contributing)) == set(RECIPES) - {"help"}
    example = re.search(r"NAME=(\w+)", contributing)
    assert example is not None
    assert (ROOT / "benchmarks" / f"{example[1]}.py").exists()


def test_setup_installs_what_the_readme_says() -> None:
    command = re.search(r"<!-- command: test -->\n```sh\n(.+)\n```", README)
    assert command is not None
    assert command[1].split(" && ")[:2] == [line.strip() for line in RECIPES["setup"][:2]]


# -- what was tested together


def test_everything_that_is_required_has_a_tested_version() -> None:
    pins = dict(re.findall(r"^([a-z0-9-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for extra in re.findall(r'"([a-zA-Z][\w-]*)(?:\[[^\]]*\])?(>=[^";]+)', text):
        requirement = Requirement("".join(extra))
        name = canonicalize_name(requirement.name)
        assert name in pins, f"{name}: run .ci/constraints.py"
        assert requirement.specifier.contains(pins[name])
    assert "://" not in (ROOT / "constraints.txt").read_text()


# -- what must not be there


def test_no_file_names_a_registry_host_or_a_path_of_one_machine() -> None:
    hosts = ("py" + "pi.org", "python" + "hosted", "registry.npm" + "js", "deb." + "debian.org", "reg" + "istry.yarn")
    paths = ("/work" + "/", "/root" + "/", "/home" + "/", "../sha" + "red")
    found = []
    for path in TRACKED:
        if path.suffix not in (".png", ".woff2", ".bin"):
            text = path.read_text(encoding="utf-8", errors="replace")
            found += [f"{path.relative_to(ROOT)}: {word}" for word in (*hosts, *paths) if word in text]
    assert found == []


def test_the_ci_script_runs_the_readmes_command() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    reads = re.search(r"(?s)readme_command\(\) \{\n.*?\n\}", script)
    assert reads is not None
    done = subprocess.run(
        ["bash", "-c", f"{reads[0]}; readme_command test"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip().endswith("&& .venv/bin/pytest -n auto")
