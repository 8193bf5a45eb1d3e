"""The settings of the dashboard, each declared once."""

from __future__ import annotations

from typing import Annotated

from tidewire.settings import (
    DASHBOARD_PORT,
    DEFAULT_LOG_LEVEL,
    ClientSettings,
    LogLevel,
    Option,
    Settings,
    default_of,
)

__all__ = ["DashboardSettings"]


class DashboardSettings(Settings, frozen=True, kw_only=True):
    """Where the dashboard listens, what it reads, and how much it keeps."""

    dashboard_host: Annotated[
        str,
        Option(
            "address to listen on; an address that others can reach needs --login",
            name="host",
            section="Listening and access",
        ),
    ] = "127.0.0.1"
    dashboard_port: Annotated[
        int, Option("port to listen on; 0 for a free one", minimum=0, maximum=65_535, name="port")
    ] = DASHBOARD_PORT
    dashboard_allowed_hosts: Annotated[
        tuple[str, ...], Option("allowed Host names of requests, at any port, comma-separated")
    ] = ("localhost", "127.0.0.1", "[::1]", "::1")
    dashboard_login: Annotated[
        bool, Option("require viewers to log in with a token, and show what its scopes allow", name="login")
    ] = False
    dashboard_https: Annotated[
        bool, Option("mark the cookie Secure, because viewers come by HTTPS through a proxy", name="https")
    ] = False
    dashboard_tls_cert: Annotated[
        str,
        Option("certificate chain, a PEM file; with --tls-key the dashboard serves HTTPS", path=True, name="tls-cert"),
    ] = ""
    dashboard_tls_key: Annotated[str, Option("key of the certificate, a PEM file", path=True, name="tls-key")] = ""
    dashboard_oauth_provider: Annotated[
        str,
        Option("identity provider by Panel's name: generic, azurev2, okta …; empty for none", name="oauth-provider"),
    ] = ""
    dashboard_oauth_key: Annotated[str, Option("client id at the identity provider", name="oauth-key")] = ""
    dashboard_oauth_secret: Annotated[str, Option("client secret at the identity provider", secret=True)] = ""
    dashboard_oauth_params: Annotated[
        tuple[str, ...],
        Option(
            "NAME=VALUE, comma-separated: AUTHORIZE_URL=…,TOKEN_URL=… for generic, tenant=… for azurev2",
            name="oauth-params",
        ),
    ] = ()
    dashboard_insecure: Annotated[
        bool, Option("allow anybody to view on an address that others can reach", name="insecure")
    ] = False
    dashboard_embed_origins: Annotated[
        tuple[str, ...],
        Option(
            "origins of other sites' pages that may show a page with ?embed=1 in a frame, comma-separated: "
            "https://wiki.example",
            name="embed-origins",
        ),
    ] = ()
    dashboard_timeout_s: Annotated[float, Option("time in which a client must send a whole request", minimum=0.1)] = (
        30.0
    )
    log_level: LogLevel = DEFAULT_LOG_LEVEL
    url: Annotated[str, Option("Tidewire service to read from, http:// or https://", section="Source and store")] = (
        default_of(ClientSettings, "url")
    )
    token: Annotated[str, Option("bearer token for the service", secret=True)] = ""
    redis: Annotated[str, Option("Redis that the empty dashboard tells publishers to use")] = default_of(
        ClientSettings, "redis"
    )
    store_bytes: Annotated[int, Option("memory for the newest readings", minimum=1 << 20)] = 512 << 20
