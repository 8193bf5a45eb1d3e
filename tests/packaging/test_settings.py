"""A setting is declared once: its option, help, variable, default and line of the docs come from that one line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tidewire.commands.cli import main
from tidewire.errors import InvalidInput
from tidewire.settings import ClientSettings, default_of, load_settings, settings_table
from tidewire_dashboard.settings import DashboardSettings
from tidewire_service.edge.settings import EdgeSettings
from tidewire_service.launch.token import TokenSettings
from tidewire_service.launch.up import UpSettings
from tidewire_service.settings import ServiceSettings

ROOT = Path(__file__).parents[2]
PROGRAMS = {
    "serve": ServiceSettings,
    "edge": EdgeSettings,
    "dashboard": DashboardSettings,
    "up": UpSettings,
    "token list": TokenSettings,
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_setting_is_an_option_with_its_help_variable_and_default(program: str) -> None:
    helped = CliRunner().invoke(main, [*program.split(), "--help"], terminal_width=200).output
    helped = re.sub(r"\s+", " ", helped)
    for row in settings_table(PROGRAMS[program]):
        if row.option:
            assert re.search(rf" {row.option}[ /]", helped), row
            assert f"{row.help} [{row.environment}" in helped, row
            if row.default:
                assert f"[{row.environment}; default {row.default}]" in helped, row
        else:
            assert row.environment not in helped, "a secret is no option"


def test_programs_agree_on_the_default_of_a_setting_that_they_share() -> None:
    for name in ("redis", "prefix", "url", "token", "log_level"):
        programs = (ClientSettings, ServiceSettings, EdgeSettings, DashboardSettings, TokenSettings)
        defaults = {default_of(one, name) for one in programs if name in one.__struct_fields__}
        assert len(defaults) == 1, name
    assert default_of(UpSettings, "port") == default_of(ServiceSettings, "port")
    assert default_of(UpSettings, "dashboard_port") == default_of(DashboardSettings, "dashboard_port")
    assert default_of(ClientSettings, "url").endswith(f":{default_of(ServiceSettings, 'port')}")
    assert default_of(ClientSettings, "dashboard").endswith(f":{default_of(DashboardSettings, 'dashboard_port')}")


def _product_files() -> Iterator[Path]:
    for package in ("client/tidewire", "service/tidewire_service", "dashboard/tidewire_dashboard"):
        yield from (ROOT / package).rglob("*.py")


@pytest.mark.parametrize(
    "default", ["redis://127.0.0.1:6379", ":8000", ":5006", "= 8000", "= 5006", "; default "], ids=repr
)
def test_a_default_is_written_in_one_place(default: str) -> None:
    """Examples in docstrings aside."""
    lines = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in _product_files()
        for line in path.read_text(encoding="utf-8").splitlines()
        if default in line and "``" not in line
    ]
    assert len(lines) <= 1, lines


@pytest.mark.parametrize(
    ("given", "environ", "says"),
    [
        ({"dashboard_port": 70_000}, {}, "--port 70000: must be at most 65535"),
        ({}, {"TIDEWIRE_DASHBOARD_PORT": "x"}, "TIDEWIRE_DASHBOARD_PORT 'x': "),
    ],
)
def test_a_refusal_names_the_option_as_it_is_typed(given: dict[str, Any], environ: dict[str, str], says: str) -> None:
    with pytest.raises(InvalidInput, match=f"^{re.escape(says)}"):
        load_settings(DashboardSettings, given, environ)


@pytest.mark.parametrize(
    ("variable", "given", "says"),
    [
        ("AUTH", "yes", "expected true or false"),
        ("LOG_LEVEL", "loud", "expected one of debug, info, warning, error"),
        ("PORT", "80a", "expected a whole number"),
        ("HEARTBEAT_S", "15s", "expected a number"),
        ("HEARTBEAT_S", "nan", "expected a number"),
        ("HEARTBEAT_S", "inf", "expected a number"),
    ],
)
def test_a_refusal_says_what_is_expected(variable: str, given: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(f"TIDEWIRE_{variable} '{given}': {says}")):
        load_settings(ServiceSettings, {}, {f"TIDEWIRE_{variable}": given})
