"""The command `tidewire dashboard`: answers pages and readings at once, and imports Panel when a page has drawn."""

from __future__ import annotations

import asyncio
import gc
import signal
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

import click

from tidewire.errors import InvalidInput
from tidewire.settings import click_options, load_settings
from tidewire_dashboard.exposure import check_exposure, warnings
from tidewire_dashboard.logs import configure_logging
from tidewire_dashboard.settings import DashboardSettings
from tidewire_dashboard.source import Source

if TYPE_CHECKING:
    from tidewire_dashboard.server import DashboardServer

__all__ = ["command"]

_PANEL_AFTER_S: Final = 10.0

if find_spec("panel") is None:
    raise ImportError("No module named 'panel'", name="panel")  # said now, as long as nothing has started


async def _serve(settings: DashboardSettings, source: Source) -> None:
    from tidewire_dashboard.app import running_dashboard  # noqa: PLC0415 - while the catalogue is on its way

    loop = asyncio.get_running_loop()
    async with running_dashboard(settings, source, panel_later=not settings.dashboard_oauth_provider) as dashboard:
        stop = dashboard.server.stop
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        click.echo(f"Dashboard at {dashboard.url}, reading {dashboard.source.url}")
        for warning in warnings(settings):
            click.echo(f"Warning: {warning}", err=True)
        loading = asyncio.create_task(_load_panel_later(dashboard.server), name="tidewire-panel-later")
        await stop.wait()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)  # a second one ends at once: an import may take a while
        loading.cancel()
        await asyncio.gather(loading, return_exceptions=True)  # its fault is the server's
        if (fault := dashboard.server.fault) is not None:
            raise click.ClickException(f"Panel cannot be imported: {fault}") from fault


async def _load_panel_later(server: DashboardServer) -> None:
    """Import Panel also if no page asks for it, so that the first one that does need not wait."""
    await asyncio.sleep(_PANEL_AFTER_S)
    await server.load_panel()


@click.command(name="dashboard")
@click_options(DashboardSettings)
def command(**given: Any) -> None:
    """Serve the live dashboard of a Tidewire service."""
    try:
        settings = load_settings(DashboardSettings, given)
        configure_logging(settings.log_level)
        check_exposure(settings)
        with Source(settings) as source:
            asyncio.run(_serve(settings, source))
    except InvalidInput as error:
        raise click.ClickException(str(error)) from error
    gc.freeze()  # everything is closed, and a last collection of Panel's objects would take two seconds
