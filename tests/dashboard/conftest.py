"""Fixtures of the dashboard's tests: a dashboard that is live on the test's own service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tidewire_dashboard.app import Dashboard, running_dashboard
from tidewire_dashboard.settings import DashboardSettings


@pytest.fixture
async def dashboard(service: Any, eventually: Any) -> AsyncIterator[Dashboard]:
    """A dashboard that is live on the service."""
    async with running_dashboard(DashboardSettings(url=service.url, dashboard_port=0)) as dashboard:
        await eventually(lambda: dashboard.source.feed.status.state == "live")
        yield dashboard
