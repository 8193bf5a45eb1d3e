"""The command `tidewire dashboard`: the readings are on their way while Panel is imported, which takes a second."""

from __future__ import annotations

import asyncio
import gc
import signal
from importlib.util import find_spec
from typing import Any

import click

from tidewire.errors import InvalidInput
from tidewire.settings import click_options, load_settings
from tidewire_dashboard.exposure import check_exposure, warnings
from tidewire_dashboard.logs import configure_logging
from tidewire_dashboard.settings import DashboardSettings
from tidewire_dashboard.source import Source

__all__ = ["command"]

if find_spec("panel") is None:
    raise ImportError("No module named 'panel'", name="panel")  # said now, as long as nothing has started


async def _serve(settings: DashboardSettings, source: Source) -> None:
    from tidewire_dashboard.app import running_dashboard  # noqa: PLC0415 - imports Panel

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    async with running_dashboard(settings, source) as dashboard:
        for number in (signal.SIGINT, signal.SIGTERM):  # after Panel has installed its own handler of SIGINT
            loop.add_signal_handler(number, stop.set)
        click.echo(f"Dashboard at {dashboard.url}, reading {dashboard.source.url}")
        for warning in warnings(settings):
            click.echo(f"Warning: {warning}", err=True)
        await stop.wait()


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
