"""What the dashboard refuses at its start: names that no request has."""

from __future__ import annotations

import pytest

from tidewire.errors import InvalidInput
from tidewire_dashboard.exposure import check_exposure, warnings
from tidewire_dashboard.settings import DashboardSettings
from tidewire_dashboard.shared_views import _for_redis_cli


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


@pytest.mark.parametrize(
    ("redis", "shown"),
    [
        ("redis://user:secret@h:1/2", "redis://h:1/2"),
        ("unix:///tmp/redis.sock", "unix:///tmp/redis.sock"),
        (
            "redis+sentinel://u:secret@a,b:1/tw?sentinel_password=secret",
            "redis://$(redis-cli -h a -p 26379 SENTINEL GET-MASTER-ADDR-BY-NAME tw | paste -sd:)",
        ),
        (
            "rediss+sentinel://[::1]:5,b/my.tw/3",
            "rediss://$(redis-cli --tls -h ::1 -p 5 SENTINEL GET-MASTER-ADDR-BY-NAME my.tw | paste -sd:)/3",
        ),
        ("redis+sentinel://a;reboot,b/tw", "redis+sentinel://a;reboot,b/tw"),
    ],
)
def test_redis_cli_is_shown_how_it_finds_the_primary(redis: str, shown: str) -> None:
    assert _for_redis_cli(redis) == shown
