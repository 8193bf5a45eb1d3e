"""The service's settings: each option declared once, with its type, unit, bound and sentence."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal

from tidewire.errors import InvalidInput
from tidewire.model.batch import Limits
from tidewire.redislog.calls import Retention
from tidewire.settings import Option, Settings

__all__ = ["LogFormat", "ServiceSettings", "is_loopback"]

LogFormat = Literal["auto", "json", "console"]


class ServiceSettings(Settings, frozen=True, kw_only=True):
    """Everything that can be chosen about one service process.

    Raises:
        InvalidInput: an address that others reach without tokens, halves of a pair, or a range that is upside down.
    """

    redis: Annotated[str, Option("Redis or Valkey that holds the log, redis://, rediss:// or unix://")] = (
        "redis://127.0.0.1:6379"
    )
    prefix: Annotated[str, Option("first part of every Redis key, without braces")] = "tw"
    redis_timeout_s: Annotated[float, Option("deadline of one Redis command", minimum=0.05, maximum=60)] = 5.0

    host: Annotated[str, Option("address to listen on; one that others reach needs --auth")] = "127.0.0.1"
    port: Annotated[int, Option("port to listen on; 0 takes a free one", minimum=0, maximum=65_535)] = 8000
    auth: Annotated[bool, Option("ask every request for a token; `tidewire token create` makes them")] = False
    insecure: Annotated[bool, Option("let anybody in on an address that others reach; never on a network")] = False
    tls_cert: Annotated[
        str, Option("file with the certificate chain, PEM; with --tls-key the service speaks HTTPS")
    ] = ""
    tls_key: Annotated[str, Option("file with the certificate's key, PEM")] = ""
    trusted_proxies: Annotated[
        tuple[str, ...],
        Option("addresses or networks whose X-Forwarded-For and -Proto are believed, by commas; none by default"),
    ] = ()
    jwt_issuer: Annotated[str, Option("who signs JSON Web Tokens: their iss; empty for none")] = ""
    jwt_audience: Annotated[str, Option("what they are meant for: their aud")] = ""
    jwt_jwks: Annotated[str, Option("keys of the issuer: a JWKS file, or its https:// URL")] = ""
    jwt_algorithms: Annotated[tuple[str, ...], Option("signatures that are accepted, by commas")] = ("RS256", "ES256")
    jwt_claim: Annotated[str, Option("claim that holds the scopes")] = "tidewire"
    jwt_grants: Annotated[
        tuple[str, ...],
        Option(
            "what a value of the claim may do, by commas: 'operators=subscribe:plant/** edit'; then nothing else counts"
        ),
    ] = ()
    egress_hosts: Annotated[tuple[str, ...], Option("hosts that this service may fetch keys from, by commas")] = ()
    workers: Annotated[int, Option("processes that share the port", minimum=1, maximum=64)] = 1
    drain_s: Annotated[
        float,
        Option("how long streams end spread out after SIGTERM; 10 behind a load balancer", minimum=0, maximum=300),
    ] = 0.5

    retention_age_s: Annotated[float, Option("batches older than this are trimmed", minimum=1)] = 86_400.0
    retention_batches: Annotated[int, Option("batches kept per metric", minimum=1)] = 100_000
    retention_silent_s: Annotated[float, Option("a metric without a reading for so long is forgotten", minimum=60)] = (
        30 * 86_400.0
    )

    max_labels: Annotated[int, Option("labels of one series", minimum=0)] = 32
    max_readings: Annotated[int, Option("readings of one batch", minimum=1)] = 1_000
    max_batch_bytes: Annotated[int, Option("bytes of one encoded batch", minimum=256)] = 256 * 1024
    max_series: Annotated[int, Option("series of one metric", minimum=1)] = 2_000
    max_metrics: Annotated[int, Option("metrics in all", minimum=1)] = 100_000
    max_body_bytes: Annotated[int, Option("bytes of one request body as sent", minimum=1024)] = 1 << 20
    max_decompressed_bytes: Annotated[int, Option("bytes of one request body once unpacked", minimum=1024)] = 8 << 20
    max_rows: Annotated[int, Option("rows of one request body", minimum=1)] = 20_000
    max_header_bytes: Annotated[int, Option("bytes of a request's headers together", minimum=1024)] = 16 * 1024
    max_url_bytes: Annotated[int, Option("bytes of a request's path and query", minimum=256)] = 16 * 1024
    head_timeout_s: Annotated[
        float, Option("a connection whose request has no whole head within so long is closed", minimum=0.1)
    ] = 10.0
    body_timeout_s: Annotated[
        float, Option("a request whose body is not there so long after its head is ended", minimum=0.1)
    ] = 60.0
    max_waiting: Annotated[
        int,
        Option("connections that owe the rest of a request; past it the one that owes it longest is closed", minimum=1),
    ] = 4_096
    max_posts: Annotated[int, Option("bodies being taken at the same time; more are told to come back", minimum=1)] = (
        128
    )
    max_patterns: Annotated[int, Option("patterns or labels of one request", minimum=1)] = 256
    history_rows: Annotated[int, Option("readings or buckets of one history answer", minimum=1)] = 200_000
    history_scan_batches: Annotated[int, Option("batches one history request may read", minimum=1)] = 500_000
    history_at_once: Annotated[int, Option("history requests worked on at the same time", minimum=1)] = 4
    catalog_rows: Annotated[int, Option("series of one catalogue answer", minimum=1)] = 100_000

    tick_ms: Annotated[float, Option("a busy hub flushes at most once per tick", minimum=0, maximum=1000)] = 10.0
    heartbeat_s: Annotated[float, Option("a comment is sent on an idle stream so often", minimum=0.05)] = 15.0
    retry_min_ms: Annotated[int, Option("shortest reconnection time told to a client", minimum=0)] = 2_000
    retry_max_ms: Annotated[int, Option("longest reconnection time told to a client", minimum=0)] = 6_000
    stream_age_s: Annotated[float, Option("longest life of a stream; each ends after 80 to 100 % of it", minimum=1)] = (
        3_600.0
    )
    write_timeout_s: Annotated[float, Option("a socket that takes nothing for so long is closed", minimum=0.1)] = 30.0
    ring_bytes: Annotated[int, Option("bytes of recent batches kept in memory", minimum=1 << 16)] = 64 << 20
    max_streams: Annotated[int, Option("streams open at the same time in one process", minimum=1)] = 20_000

    max_streams_per_token: Annotated[int, Option("streams of one token in one process; 0 for no limit", minimum=0)] = (
        2_000
    )
    max_streams_per_address: Annotated[
        int, Option("streams from one address in one process; 0 for no limit", minimum=0)
    ] = 0
    max_metrics_per_stream: Annotated[int, Option("metrics that one stream may match when it opens", minimum=1)] = (
        100_000
    )
    max_requests_per_s: Annotated[
        float, Option("requests a second of one token in one process; 0 for no limit", minimum=0)
    ] = 1_000.0
    max_requests_per_s_per_address: Annotated[
        float,
        Option("requests a second from one address in one process, whoever it is; 0 for no limit", minimum=0),
    ] = 0.0
    soft_memory_bytes: Annotated[
        int, Option("with more resident memory no stream is opened and no body taken; 0 for no limit", minimum=0)
    ] = 0

    allowed_hosts: Annotated[
        tuple[str, ...], Option("names that a request's Host may have, at any port, separated by commas")
    ] = ("localhost", "127.0.0.1", "::1")
    allowed_origins: Annotated[
        tuple[str, ...], Option("origins of other sites' pages that may read, such as https://example.org, by commas")
    ] = ()

    self_metrics_s: Annotated[
        float, Option("publish this service's health as readings tidewire/… so often; 0 for never", minimum=0)
    ] = 0.0

    lease_ttl_ms: Annotated[int, Option("how long a process that went silent keeps the inbox", minimum=300)] = 3_000

    log_level: Annotated[Literal["debug", "info", "warning", "error"], Option("least severe event to log")] = "info"
    log_format: Annotated[LogFormat, Option("auto is JSON unless the output is a terminal")] = "auto"

    def __post_init__(self) -> None:
        if not (is_loopback(self.host) or self.auth or self.insecure):
            raise InvalidInput(
                "--host",
                self.host,
                "is reachable by others, and nobody would be asked for a token; add --auth and make tokens with "
                "`tidewire token create`, or listen on 127.0.0.1 (--insecure lets anybody in)",
            )
        if self.auth and self.insecure:
            raise InvalidInput("--insecure", True, "contradicts --auth; give one of them")
        if bool(self.tls_cert) != bool(self.tls_key):
            raise InvalidInput("--tls-cert", self.tls_cert, "--tls-cert and --tls-key belong together")
        if self.jwt_issuer and not self.auth:
            raise InvalidInput("--jwt-issuer", self.jwt_issuer, "does nothing without --auth")
        for proxy in self.trusted_proxies:
            try:
                ipaddress.ip_network(proxy)
            except ValueError:
                raise InvalidInput("--trusted-proxies", proxy, "is no address or network such as 10.0.0.0/8") from None
        if self.retry_min_ms > self.retry_max_ms:
            raise InvalidInput("--retry-min-ms", self.retry_min_ms, f"is above --retry-max-ms ({self.retry_max_ms})")

    @property
    def limits(self) -> Limits:
        """The limits of every ingest path."""
        return Limits(
            labels=self.max_labels,
            readings=self.max_readings,
            batch_bytes=self.max_batch_bytes,
            series=self.max_series,
            metrics=self.max_metrics,
        )

    @property
    def retention(self) -> Retention:
        """How long the log keeps batches."""
        return Retention(age_s=self.retention_age_s, batches=self.retention_batches, silent_s=self.retention_silent_s)


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach an address or name."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
