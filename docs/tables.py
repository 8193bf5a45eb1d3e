"""Write the docs' tables from the code: `python docs/tables.py` writes settings.md, api.md and those of formulas.md."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Final

import msgspec

import tidewire
from tidewire.model.formulas.functions import AGGREGATORS, FUNCTIONS
from tidewire.settings import ClientSettings, settings_table
from tidewire_dashboard.settings import DashboardSettings
from tidewire_service.edge.settings import EdgeSettings
from tidewire_service.launch.token import TokenSettings
from tidewire_service.launch.up import UpSettings
from tidewire_service.settings import ServiceSettings

HERE: Final = Path(__file__).parent
_SETTINGS: Final = """\
# Settings

Set each as an option of the command or as an environment variable. An option wins over the environment, and the
environment over the default. Units end the names: `_s` seconds, `_ms` milliseconds, `_bytes` bytes.
[limits.md](limits.md) says what happens at the limits. This page is generated from the code: `make docs`.
"""
_API: Final = """\
# The SDK

The public names of `import tidewire`; `help(tidewire.publish)` and so on have the details. Everything else is internal
and may change. This page is generated from the code: `make docs`.
"""
_UNITS: Final = {"same": "kept", "per second": "per second", "ratio": "`1`", "seconds": "`s`", "none": "none"}
_HEAD: Final = "| option | environment | default | |\n|---|---|---|---|\n"
PROGRAMS: Final[tuple[tuple[str, str, type[msgspec.Struct]], ...]] = (
    ("`tidewire serve`", "", ServiceSettings),
    (
        "`tidewire edge`",
        "Besides these it has those of `tidewire serve` that `tidewire edge --help` lists, with the same meaning.",
        EdgeSettings,
    ),
    ("`tidewire dashboard`", "", DashboardSettings),
    ("`tidewire up`", "The programs that it starts take their settings from the environment.", UpSettings),
    ("`tidewire token`", "These name the Redis of the service.", TokenSettings),
    (
        "The SDK and its commands",
        "From the environment only; calls and commands have arguments of their own.",
        ClientSettings,
    ),
)


def settings_page() -> str:
    """Return docs/settings.md."""
    parts = [_SETTINGS]
    for title, note, settings in PROGRAMS:
        parts.append(f"\n## {title}\n" + (f"\n{note}\n" if note else ""))
        section = None
        for row in settings_table(settings):
            if row.section != section:
                section = row.section
                parts.append((f"\n### {section}\n\n" if section else "\n") + _HEAD)
            default = f"`{row.default}`" if row.default else ""
            option = f"`{row.option}`" if row.option and settings is not ClientSettings else ""
            parts.append(f"| {option} | `{row.environment}` | {default} | {row.help} |\n")
    return "".join(parts)


def api_page() -> str:
    """Return docs/api.md: functions, classes and errors, each with the first sentence of its docstring."""
    sections: dict[str, list[str]] = {"Functions": [], "Classes": [], "Errors": []}
    for name in tidewire.__all__:
        thing = getattr(tidewire, name)
        if not callable(thing):
            continue
        error = inspect.isclass(thing) and issubclass(thing, Exception)
        kind = "Errors" if error else "Functions" if name.islower() else "Classes"
        said = (inspect.getdoc(thing) or "").partition("\n\n")[0].replace("\n", " ").replace("|", "\\|")
        sections[kind].append(f"| `{name}` | {said} |\n")
    tables = (f"\n## {kind}\n\n| name | |\n|---|---|\n" + "".join(rows) for kind, rows in sections.items())
    return _API + "".join(tables)


def formulas_page() -> str:
    """Return docs/formulas.md: the page as it is, with the tables of functions and aggregators written anew."""
    page = (HERE / "formulas.md").read_text(encoding="utf-8")
    for name, rows in (("functions", FUNCTIONS.values()), ("aggregators", AGGREGATORS.values())):
        table = "| written | result | unit |\n|---|---|---|\n" + "".join(
            f"| `{row.signature}` | {row.meaning} | {_UNITS[row.unit]} |\n" for row in rows
        )
        page = re.sub(
            rf"(<!-- {name} -->\n).*?(<!-- end -->)", lambda found, table=table: found[1] + table + found[2], page,
            flags=re.DOTALL,
        )  # fmt: skip
    return page


PAGES: Final = {"settings.md": settings_page, "api.md": api_page, "formulas.md": formulas_page}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (HERE / name).write_text(page(), encoding="utf-8")
