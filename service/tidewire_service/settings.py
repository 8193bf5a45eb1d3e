"""The service's settings: each option declared once, with its type, unit, bound and sentence."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from tidewire.errors import InvalidInput
from tidewire.model.batch import DEFAULT_LIMITS, IngestLimits
from tidewire.model.layout import PARTITIONS
from tidewire.redislog.calls import DEFAULT_RETENTION, Retention
from tidewire.settings import (
    DEFAULT_LOG_LEVEL,
    REDIS_TIMEOUT_S,
    SERVICE_PORT,
    ClientSettings,
    LogLevel,
    Option,
    Settings,
    check_host_name,
    default_of,
    is_loopback,
)

__all__ = ["ANY_HOST", "LogFormat", "ServiceSettings"]

ANY_HOST: Final = "*"
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
LogFormat = Literal["auto", "json", "console"]


class ServiceSettings(Settings, frozen=True, kw_only=True):
    """Everything that can be chosen about one service process.

    Raises:
        InvalidInput: an address that others reach without tokens, halves of a pair, or a range that is upside down.
    """

    redis: Annotated[
        str,
        Option(
            "Redis or Valkey with the log, redis://, rediss://, unix://, redis+sentinel://a,b,c/NAME or redis+cluster://a,b,c",
            section="Redis",
        ),
    ] = default_of(ClientSettings, "redis")
    prefix: Annotated[str, Option("first part of every Redis key, without braces")] = default_of(
        ClientSettings, "prefix"
    )
    partitions: Annotated[
        int, Option("partitions of a log that does not exist yet: 1, 2, 4 or 8; it keeps them", minimum=1, maximum=8)
    ] = 1
    redis_timeout_s: Annotated[float, Option("deadline of one Redis command", minimum=0.05, maximum=60)] = (
        REDIS_TIMEOUT_S
    )

    host: Annotated[
        str,
        Option("address to listen on; an address that others can reach needs --auth", section="Listening and access"),
    ] = "127.0.0.1"
    port: Annotated[int, Option("port to listen on; 0 for a free one", minimum=0, maximum=65_535)] = SERVICE_PORT
    auth: Annotated[bool, Option("require a token for every request; `tidewire token create` makes one")] = False
    insecure: Annotated[bool, Option("allow anybody on an address that others can reach; do not use on a network")] = (
        False
    )
    tls_cert: Annotated[
        str, Option("certificate chain, a PEM file; with --tls-key the service serves HTTPS", path=True)
    ] = ""
    tls_key: Annotated[str, Option("key of the certificate, a PEM file", path=True)] = ""
    trusted_proxies: Annotated[
        tuple[str, ...],
        Option(
            "addresses or networks, comma-separated, whose X-Forwarded-For and -Proto are believed; none by default"
        ),
    ] = ()
    jwt_issuer: Annotated[str, Option("issuer (iss) of accepted JSON Web Tokens; empty for none")] = ""
    jwt_audience: Annotated[str, Option("audience (aud) of accepted JSON Web Tokens")] = ""
    jwt_jwks: Annotated[str, Option("keys of the issuer: a JWKS file or https:// URL", path=True)] = ""
    jwt_algorithms: Annotated[tuple[str, ...], Option("accepted signature algorithms, comma-separated")] = (
        "RS256",
        "ES256",
    )
    jwt_claim: Annotated[str, Option("claim of a JSON Web Token that holds its scopes")] = "tidewire"
    jwt_grants: Annotated[
        tuple[str, ...],
        Option(
            "scopes by value of the claim, comma-separated: 'operators=subscribe:plant/** edit'; only these count then"
        ),
    ] = ()
    egress_hosts: Annotated[tuple[str, ...], Option("hosts that the service may fetch keys from, comma-separated")] = ()
    workers: Annotated[int, Option("processes that share the port", minimum=1, maximum=64, section="Processes")] = 1
    drain_s: Annotated[
        float,
        Option("time over which streams end after SIGTERM; use 10 behind a load balancer", minimum=0, maximum=300),
    ] = 0.5

    retention_age_s: Annotated[
        float,
        Option(
            "age after which batches are trimmed; a series silent for longer makes room for others of its metric",
            minimum=1,
            section="Retention",
        ),
    ] = DEFAULT_RETENTION.age_s
    retention_batches: Annotated[int, Option("batches kept per metric", minimum=1)] = DEFAULT_RETENTION.batches
    retention_silent_s: Annotated[
        float, Option("time without a reading after which a metric is forgotten", minimum=60)
    ] = DEFAULT_RETENTION.silent_s

    max_labels: Annotated[
        int, Option("largest number of labels of one series", minimum=0, section="Readings and requests")
    ] = DEFAULT_LIMITS.labels
    max_readings: Annotated[int, Option("largest number of readings in one batch", minimum=1)] = DEFAULT_LIMITS.readings
    max_batch_bytes: Annotated[int, Option("largest size of one encoded batch", minimum=256)] = (
        DEFAULT_LIMITS.batch_bytes
    )
    max_series: Annotated[int, Option("largest number of series of one metric", minimum=1)] = DEFAULT_LIMITS.series
    max_metrics: Annotated[int, Option("largest number of metrics", minimum=1)] = DEFAULT_LIMITS.metrics
    max_body_bytes: Annotated[int, Option("largest size of a request body as sent", minimum=1024)] = 1 << 20
    max_decompressed_bytes: Annotated[int, Option("largest size of a request body once decompressed", minimum=1024)] = (
        8 << 20
    )
    max_rows: Annotated[int, Option("largest number of rows in a request body", minimum=1)] = 20_000
    max_foreign_body_bytes: Annotated[
        int, Option("largest size of what clients of another service post, such as line protocol", minimum=1024)
    ] = 25 << 20
    max_foreign_decompressed_bytes: Annotated[
        int, Option("largest size of what clients of another service post, once decompressed", minimum=1024)
    ] = 64 << 20
    max_foreign_rows: Annotated[
        int, Option("largest number of lines or samples in what clients of another service post", minimum=1)
    ] = 500_000
    otlp_attributes: Annotated[
        tuple[str, ...], Option("attributes of an OpenTelemetry resource that become labels, comma-separated")
    ] = ("service.name", "service.instance.id")
    otlp_buckets: Annotated[
        bool, Option("store the buckets of OpenTelemetry's histograms too, not only count, sum and quantiles")
    ] = False
    max_header_bytes: Annotated[int, Option("largest size of all headers of a request", minimum=1024)] = 16 * 1024
    max_url_bytes: Annotated[int, Option("largest size of the path and query of a request", minimum=256)] = 16 * 1024
    head_timeout_s: Annotated[float, Option("time in which a client must send the head of a request", minimum=0.1)] = (
        10.0
    )
    body_timeout_s: Annotated[
        float, Option("time in which a client must send the body after the head", minimum=0.1)
    ] = 60.0
    max_waiting: Annotated[
        int,
        Option("largest number of connections in the middle of a request; beyond it the oldest is closed", minimum=1),
    ] = 4_096
    max_posts: Annotated[
        int,
        Option(
            "largest number of request bodies read at the same time, shared by token and address; more get 429",
            minimum=1,
        ),
    ] = 128
    max_patterns: Annotated[int, Option("largest number of patterns or labels of one request", minimum=1)] = 256
    max_matching_s: Annotated[
        float, Option("largest CPU time that matching the patterns of one request may take", minimum=0.01)
    ] = 2.0
    history_rows: Annotated[
        int,
        Option(
            "largest number of readings or buckets in one history answer", minimum=1, section="History and catalogue"
        ),
    ] = 200_000
    history_scan_batches: Annotated[
        int, Option("largest number of batches that one history request reads", minimum=1)
    ] = 500_000
    history_at_once: Annotated[int, Option("number of history requests processed at the same time", minimum=1)] = 4
    catalog_rows: Annotated[int, Option("largest number of series in one catalogue answer", minimum=1)] = 100_000

    tick_ms: Annotated[
        float, Option("shortest time between two flushes of a busy hub", minimum=0, maximum=1000, section="Streams")
    ] = 10.0
    heartbeat_s: Annotated[float, Option("interval of heartbeats on an idle stream", minimum=0.05)] = 15.0
    retry_min_ms: Annotated[int, Option("shortest reconnection time that clients are told", minimum=0)] = 2_000
    retry_max_ms: Annotated[int, Option("longest reconnection time that clients are told", minimum=0)] = 6_000
    stream_age_s: Annotated[float, Option("largest age of a stream; each ends after 80 to 100 % of it", minimum=1)] = (
        3_600.0
    )
    write_timeout_s: Annotated[
        float, Option("time after which a socket that accepts nothing is closed", minimum=0.1)
    ] = 30.0
    ring_bytes: Annotated[int, Option("memory for recent batches (the event ring)", minimum=1 << 16)] = 64 << 20
    max_streams: Annotated[
        int, Option("largest number of open streams in one process", minimum=1, section="Quotas")
    ] = 20_000

    max_streams_per_token: Annotated[
        int, Option("largest number of open streams per token in one process; 0 for no limit", minimum=0)
    ] = 2_000
    max_streams_per_address: Annotated[
        int, Option("largest number of open streams per address in one process; 0 for no limit", minimum=0)
    ] = 0
    max_metrics_per_stream: Annotated[
        int, Option("largest number of metrics that a stream may match when it opens", minimum=1)
    ] = 100_000
    max_requests_per_s: Annotated[
        float, Option("largest number of requests per second per token in one process; 0 for no limit", minimum=0)
    ] = 1_000.0
    max_requests_per_s_per_address: Annotated[
        float,
        Option("largest number of requests per second per address in one process; 0 for no limit", minimum=0),
    ] = 0.0
    soft_memory_bytes: Annotated[
        int, Option("resident memory above which no stream is opened and no body read; 0 for no limit", minimum=0)
    ] = 0

    allowed_hosts: Annotated[
        tuple[str, ...],
        Option("allowed Host names of requests, at any port, comma-separated; * for any", section="Browsers"),
    ] = ("localhost", "127.0.0.1", "::1")
    allowed_origins: Annotated[
        tuple[str, ...], Option("origins of other sites that may read, such as https://example.org, comma-separated")
    ] = ()

    self_metrics_s: Annotated[
        float,
        Option(
            "interval at which the service publishes its health as tidewire/…; 0 for never",
            minimum=0,
            section="Operations",
        ),
    ] = 0.0

    lease_ttl_ms: Annotated[
        int, Option("time after which another process takes over the inbox from one that went silent", minimum=300)
    ] = 3_000

    log_level: LogLevel = DEFAULT_LOG_LEVEL
    log_format: Annotated[LogFormat, Option("auto is JSON, or console if the output is a terminal")] = "auto"

    def __post_init__(self) -> None:
        if not (is_loopback(self.host) or self.auth or self.insecure):
            raise InvalidInput(
                "--host",
                self.host,
                "is reachable by others, and nobody would be asked for a token; add --auth and make tokens with "
                "`tidewire token create`, or listen on 127.0.0.1 (--insecure lets anybody in)",
            )
        if self.partitions not in PARTITIONS:
            raise InvalidInput("--partitions", self.partitions, "expected 1, 2, 4 or 8")
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
        if ANY_HOST in self.allowed_hosts and not (self.auth or self.insecure):
            reason = (
                "with it, any web page can read this service under a name of its own; add --auth, or name the hosts"
            )
            raise InvalidInput("--allowed-hosts", ANY_HOST, reason)
        for host in self.allowed_hosts:
            if host != ANY_HOST:
                check_host_name("--allowed-hosts", host)
        for origin in self.allowed_origins:
            _check_origin(origin)
        if self.retry_min_ms > self.retry_max_ms:
            raise InvalidInput("--retry-min-ms", self.retry_min_ms, f"is above --retry-max-ms ({self.retry_max_ms})")

    @property
    def limits(self) -> IngestLimits:
        """The limits of every ingest path."""
        return IngestLimits(
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


def _check_origin(origin: str) -> None:
    """Refuse what no browser sends as the origin of a page."""
    try:
        parts = urlsplit(origin)
        as_sent = f"{parts.scheme}://{parts.netloc.lower()}"
        usual = parts.port is not None and parts.port == _DEFAULT_PORTS.get(parts.scheme)
        good = bool(parts.scheme and parts.hostname) and origin == as_sent and origin.isascii()
    except ValueError:
        good = usual = False
    if not good or usual or "@" in origin or "*" in origin:
        reason = (
            "expected scheme and host as a browser sends them, such as https://example.org, without a slash at the end"
        )
        raise InvalidInput("--allowed-origins", origin, reason)
