"""Wires the dashboard together: the readings, what viewers share of them, and the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

from tidewire.livestore.history_cache import HistoryCache
from tidewire_dashboard.exposure import check_exposure
from tidewire_dashboard.frame_socket import SocketHub
from tidewire_dashboard.login import Logins
from tidewire_dashboard.server import DashboardServer, bracketed
from tidewire_dashboard.settings import DashboardSettings
from tidewire_dashboard.shared_views import SharedViews
from tidewire_dashboard.source import Source

__all__ = ["Dashboard", "running_dashboard"]


class Dashboard:
    """A dashboard that listens.

    Attributes:
        url: its address.
        source: the readings that it shows.
        hub: the connected viewers.
        server: answers them.
    """

    def __init__(self, settings: DashboardSettings, source: Source, hub: SocketHub) -> None:
        self.source = source
        self.hub = hub
        self.server = DashboardServer(settings, hub)
        scheme = "https" if settings.dashboard_tls_cert else "http"
        self.url = f"{scheme}://{bracketed(settings.dashboard_host)}:{self.server.port}"


@asynccontextmanager
async def running_dashboard(
    settings: DashboardSettings, started: Source | None = None, *, panel_later: bool = False
) -> AsyncIterator[Dashboard]:
    """Run a dashboard in this event loop until the block ends.

    Args:
        settings: of the dashboard.
        started: its source, if that runs already.
        panel_later: answer without Panel until `DashboardServer.load_panel`, which a page that has drawn asks for.

    Raises:
        InvalidInput: other machines could use it without a log-in, a file cannot be read, or the port is taken.
    """
    check_exposure(settings)
    history_cache = HistoryCache(settings.url, settings.token)
    source = started or Source(settings)
    shared = SharedViews(source, history_cache, redis=settings.redis, token=settings.token)
    logins = Logins(settings.url) if settings.dashboard_login else None
    hub = SocketHub(shared, logins)
    dashboard = Dashboard(settings, source, hub)
    try:
        if not panel_later:
            dashboard.server.hand_over()
        with source if started is None else nullcontext():
            threshold_task = asyncio.create_task(shared.saved_decks.watch(), name="tidewire-thresholds")
            try:
                yield dashboard
            finally:
                threshold_task.cancel()
                await asyncio.gather(threshold_task, return_exceptions=True)
    finally:
        await dashboard.server.close()
        await hub.close()
        await history_cache.close()
        if logins is not None:
            await logins.close()
