"""What the dashboard refuses at its start: names that no request has."""

from __future__ import annotations

import pytest

from tidewire.errors import InvalidInput
from tidewire_dashboard.exposure import check_exposure, warnings
from tidewire_dashboard.settings import DashboardSettings


@pytest.mark.parametrize(
    "host",
    [
        "*",
        "*.example",
        "http://plant.example",
        "plant.example:5006",
        "plant example",
        "",
        "[::1]:5006",
        "bücher.example",
    ],
)
def test_a_host_that_no_request_names_is_said_at_the_start(host: str) -> None:
    with pytest.raises(InvalidInput, match="dashboard-allowed-hosts"):
        check_exposure(DashboardSettings(dashboard_allowed_hosts=("localhost", host)))


@pytest.mark.parametrize("host", ["plant.example", "PLANT", "plant_1", "10.0.0.7", "::1", "[::1]", "fd00::7"])
def test_names_and_addresses_are_taken(host: str) -> None:
    check_exposure(DashboardSettings(dashboard_allowed_hosts=("localhost", host)))


def test_a_log_in_without_a_token_of_its_own_says_what_is_missing() -> None:
    (warning,) = warnings(DashboardSettings(dashboard_login=True))
    assert "TIDEWIRE_TOKEN" in warning
    assert warnings(DashboardSettings(dashboard_login=True, token="own")) == []
