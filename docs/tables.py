"""Write the docs' tables from the code: `python docs/tables.py` writes docs/settings.md and docs/api.md."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Final

import msgspec

import tidewire
from tidewire.settings import ClientSettings, settings_table
from tidewire_dashboard.settings import DashboardSettings
from tidewire_service.launch.token import TokenSettings
from tidewire_service.launch.up import UpSettings
from tidewire_service.settings import ServiceSettings

HERE: Final = Path(__file__).parent
_SETTINGS: Final = """\
# Settings

A setting is given as an option of the command, else by the environment, else it has its default. The first word of an
environment name is always `TIDEWIRE`. This page is made from the code: `python docs/tables.py`.
"""
_API: Final = """\
# The SDK

What `import tidewire` offers; `help(tidewire.publish)` and so on say more. Everything else is an inner matter and may
change. This page is made from the code: `python docs/tables.py`.
"""
PROGRAMS: Final[tuple[tuple[str, str, type[msgspec.Struct]], ...]] = (
    ("`tidewire serve`", "", ServiceSettings),
    ("`tidewire dashboard`", "", DashboardSettings),
    ("`tidewire up`", "Its children take the settings of the others from the environment.", UpSettings),
    ("`tidewire token`", "Also for the Redis that a service uses.", TokenSettings),
    (
        "The SDK and its commands",
        "Environment only; the calls and commands have arguments of their own.",
        ClientSettings,
    ),
)


# Options whose name differs from the setting's; "" for what the environment alone gives.
_OPTIONS: Final = {
    (DashboardSettings, "dashboard_host"): "--host",
    (DashboardSettings, "dashboard_port"): "--port",
    (DashboardSettings, "dashboard_login"): "--login",
    (DashboardSettings, "dashboard_https"): "--https",
    (DashboardSettings, "dashboard_insecure"): "--insecure",
    (DashboardSettings, "dashboard_tls_cert"): "--tls-cert",
    (DashboardSettings, "dashboard_tls_key"): "--tls-key",
    (DashboardSettings, "dashboard_oauth_provider"): "--oauth-provider",
    (DashboardSettings, "dashboard_oauth_key"): "--oauth-key",
    (DashboardSettings, "dashboard_oauth_secret"): "",
    (DashboardSettings, "dashboard_oauth_params"): "--oauth-params",
    (DashboardSettings, "token"): "",
}


def _option(settings: type[msgspec.Struct], name: str) -> str:
    dashed = "" if settings is ClientSettings else f"--{name.replace('_', '-')}"
    option = _OPTIONS.get((settings, name), dashed)
    return f"`{option}`" if option else ""


def settings_page() -> str:
    """Return docs/settings.md."""
    parts = [_SETTINGS]
    for title, note, settings in PROGRAMS:
        parts.append(f"\n## {title}\n\n" + (f"{note}\n\n" if note else ""))
        parts.append("| option | environment | default | |\n|---|---|---|---|\n")
        for row in settings_table(settings):
            default = f"`{row.default}`" if row.default else ""
            parts.append(f"| {_option(settings, row.name)} | `{row.environment}` | {default} | {row.help} |\n")
    return "".join(parts)


def api_page() -> str:
    """Return docs/api.md."""
    rows = ["\n| name | |\n|---|---|\n"]
    for name in tidewire.__all__:
        thing = getattr(tidewire, name)
        if callable(thing):
            said = (inspect.getdoc(thing) or "").partition("\n\n")[0].replace("\n", " ").replace("|", "\\|")
            rows.append(f"| `{name}` | {said} |\n")
    return _API + "".join(rows)


PAGES: Final = {"settings.md": settings_page, "api.md": api_page}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (HERE / name).write_text(page(), encoding="utf-8")
