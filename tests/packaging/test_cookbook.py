"""The programs of the cookbook, run as they stand there, and what arrives."""

from __future__ import annotations

import asyncio
import configparser
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import yaml
from click.testing import CliRunner
from servers import Valkey
from waiting import HANG_S, Eventually

from tidewire.commands.cli import main

ROOT = Path(__file__).parents[2]
COOKBOOK = (ROOT / "docs" / "cookbook.md").read_text(encoding="utf-8")
PROGRAMS = dict(re.findall(r"<!-- run: (\w+) -->\n```\w*\n(.*?)```", COOKBOOK, re.DOTALL))


def _commands(language: str, folder: Path) -> list[list[str]]:
    """Return how a program is built and run."""
    ending = {"node": "js", "micropython": "py"}.get(language, language)
    source = folder / f"main.{ending}"
    source.write_text(PROGRAMS[language], encoding="utf-8")
    match language:
        case "c":
            return [["cc", "-Wall", "-Werror", "-o", str(folder / "main"), str(source)], [str(folder / "main")]]
        case "micropython":
            return [[shutil.which("micropython") or sys.executable, str(source)]]
        case "go":
            return [["go", "run", str(source)]]
        case _:
            return [[language, str(source)]]


async def test_the_programs_publish(valkey: Valkey, service: Any, tmp_path: Path, eventually: Eventually) -> None:
    assert set(PROGRAMS) == {"node", "go", "c", "bash", "micropython"}
    shim = tmp_path / "redis-cli"
    shim.write_text(
        f"#!{sys.executable}\nimport sys, redis\nassert sys.argv[1] == '-p'\n"
        "print(redis.Redis(port=int(sys.argv[2]), decode_responses=True).execute_command(*sys.argv[3:]))\n"
    )
    shim.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(valkey.port)}
    expected: dict[str, set[float]] = {}
    for language in PROGRAMS:
        if shutil.which({"c": "cc", "micropython": sys.executable}.get(language, language)) is None:
            continue
        folder = tmp_path / language
        folder.mkdir()
        for command in _commands(language, folder):
            # in a thread: the service runs on this loop, and one that stands still loses its lease of the inbox
            done = await asyncio.to_thread(
                subprocess.run, command, env=environment, capture_output=True, text=True, timeout=HANG_S, check=False
            )
            assert done.returncode == 0, f"{language}: {done.stdout}{done.stderr}"
            assert "-ERR" not in done.stdout
        expected |= {
            "bash": {"cookbook/shell": {12.5, 12.6}, "cookbook/bash": {12.7}},
            "micropython": {"cookbook/micropython": {21.5}},
        }.get(language, {f"cookbook/{language}": {12.5}})
    assert {"cookbook/bash", "cookbook/micropython"} <= set(expected)

    def arrived() -> dict[str, set[float]]:
        answer = httpx.get(f"{service.url}/v1/history?metric=cookbook/*&format=ndjson", trust_env=False, timeout=HANG_S)
        found: dict[str, set[float]] = {}
        for row in map(json.loads, answer.text.splitlines()):  # of every reading: two may share a bucket
            found.setdefault(row["metric"], set()).update(row["value"])
        return found

    async def all_there() -> bool:
        return await asyncio.to_thread(arrived) == expected

    await eventually(all_there)


def _block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", COOKBOOK, re.DOTALL)
    return str(found)


def _options_of(command: str) -> str:
    """Return the help of the command that a line runs, such as ``…/tidewire serve --auth``."""
    name = re.search(r"bin/tidewire (\w+)", command)
    assert name, command
    return CliRunner().invoke(main, [name[1], "--help"], catch_exceptions=False).output


def test_the_unit_is_one_that_systemd_takes_and_runs_what_there_is(tmp_path: Path) -> None:
    text = _block("ini")
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # names keep their case
    unit.read_string(text)
    command = unit["Service"]["ExecStart"]
    assert "--port" in _options_of(command)
    if shutil.which("systemd-analyze") is not None:
        file = tmp_path / "tidewire.service"
        file.write_text(text.replace(command.split()[0], shutil.which("true") or "/bin/true"), encoding="utf-8")
        done = subprocess.run(["systemd-analyze", "verify", str(file)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "tidewire.service" not in done.stderr  # it also warns of the machine's own units


def test_the_compose_file_names_what_there_is() -> None:
    services = yaml.safe_load(_block("yaml"))["services"]
    service = services["tidewire"]
    assert "noeviction" in services["valkey"]["command"]
    assert service["environment"]["TIDEWIRE_REDIS"] == "redis://valkey:6379"
    assert set(service["depends_on"]) < set(services)
    offered = _options_of(service["command"])
    run = service["command"].partition("exec ")[2]
    assert all(option in offered for option in re.findall(r"--\w+", run))
    for path in re.findall(r"/tidewire/([\w.]+)", service["command"]):
        assert (ROOT / path).exists()
    assert "--subscribe" in CliRunner().invoke(main, ["token", "create", "--help"], catch_exceptions=False).output
