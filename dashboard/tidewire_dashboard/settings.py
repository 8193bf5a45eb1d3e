"""The settings of the dashboard, each declared once."""

from __future__ import annotations

from typing import Annotated, Literal

from tidewire.settings import Option, Settings

__all__ = ["DashboardSettings"]


class DashboardSettings(Settings, frozen=True, kw_only=True):
    """Where the dashboard listens, what it reads, and how much it keeps."""

    dashboard_host: Annotated[str, Option("address to listen on; one that others reach needs --login")] = "127.0.0.1"
    dashboard_port: Annotated[int, Option("port to listen on; 0 takes a free one", minimum=0, maximum=65_535)] = 5006
    dashboard_allowed_hosts: Annotated[
        tuple[str, ...], Option("host names that a browser may use for the dashboard, any port, comma-separated")
    ] = ("localhost", "127.0.0.1", "[::1]", "::1")
    dashboard_login: Annotated[bool, Option("viewers log in with a token, and see what it may see")] = False
    dashboard_https: Annotated[bool, Option("viewers come by HTTPS, by a proxy: the cookie is Secure")] = False
    dashboard_tls_cert: Annotated[
        str, Option("file with the certificate chain, PEM; with --tls-key the dashboard speaks HTTPS")
    ] = ""
    dashboard_tls_key: Annotated[str, Option("file with the certificate's key, PEM")] = ""
    dashboard_oauth_provider: Annotated[
        str, Option("identity provider to log in with, by Panel's name: generic, azurev2, okta …; empty for none")
    ] = ""
    dashboard_oauth_key: Annotated[str, Option("id of this client at the provider")] = ""
    dashboard_oauth_secret: Annotated[str, Option("secret of this client", secret=True, hidden=True)] = ""
    dashboard_oauth_params: Annotated[
        tuple[str, ...],
        Option("NAME=VALUE by commas, such as AUTHORIZE_URL=…,TOKEN_URL=… of generic, or tenant=… of azurev2"),
    ] = ()
    dashboard_insecure: Annotated[bool, Option("let anybody look on an address that others reach")] = False
    dashboard_timeout_s: Annotated[
        float, Option("a connection whose request has not come whole within so long is closed", minimum=0.1)
    ] = 30.0
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Option("least severe event to log")] = "info"
    url: Annotated[str, Option("Tidewire service to read from, http:// or https://")] = "http://127.0.0.1:8000"
    token: Annotated[str, Option("bearer token for the service", secret=True, hidden=True)] = ""
    redis: Annotated[str, Option("Redis that the page of a fresh installation tells publishers to use")] = (
        "redis://127.0.0.1:6379"
    )
    store_bytes: Annotated[int, Option("memory for the newest readings, bytes", minimum=1 << 20)] = 512 << 20
