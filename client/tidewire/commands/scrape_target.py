"""A target of the command `scrape`: fetches what it exposes within bounds, and tells which series it has no longer."""

from __future__ import annotations

import ssl
import time
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

import httpx

from tidewire.errors import InvalidInput, LimitExceeded, ServiceUnavailable
from tidewire.model.batch import FINISHED, Batch, checked_labels, checked_name, checked_time_ms, checked_value
from tidewire.model.exposition import ExposedSample, read_exposition
from tidewire.settings import without_password
from tidewire.subscribing.deadline import BoundedClient, Deadline
from tidewire.subscribing.service_address import checked_token, client_options

__all__ = ["Fetching", "Scrape", "Target", "targets_of"]

_GZIP: Final = 31  # wbits of zlib
_ACCEPT: Final = "text/plain;version=0.0.4, application/openmetrics-text;version=1.0.0;q=0.5, */*;q=0.1"
_PORTS: Final = {"http": 80, "https": 443}
_Key = tuple[str, tuple[tuple[str, str], ...]]


class Fetching(NamedTuple):
    """How targets are asked.

    Attributes:
        timeout_s: for a whole answer, from the connection on, seconds.
        max_bytes: of an answer, unpacked.
        max_samples: of an answer.
        headers: sent with each request.
        bearer_file: holds a token, read anew for each request; None for none.
        verify: how a target's certificate is checked; None for the authorities of this machine.
        buckets: whether the buckets of histograms are taken, too.
    """

    timeout_s: float = 10.0
    max_bytes: int = 16 << 20
    max_samples: int = 50_000
    headers: Mapping[str, str] = {}
    bearer_file: Path | None = None
    verify: ssl.SSLContext | bool | None = None
    buckets: bool = False


class Scrape(NamedTuple):
    """What one scrape brought.

    Attributes:
        batches: of the samples of now, and of the ends of series that came no more.
        timed: of samples with a time of their own.
        samples: how many came.
        left_out: how many of them were not taken: buckets, and what cannot be stored.
        why: of the first that cannot be stored; empty if there was none.
    """

    batches: list[Batch]
    timed: list[Batch]
    samples: int
    left_out: int
    why: str


class _Known(NamedTuple):
    """A series that came with the last scrape: its labels, unit, last number, and own time."""

    labels: dict[str, str]
    unit: str
    number: float | None
    time_ms: float | None


def targets_of(given: Iterable[str], labels: Mapping[str, str], fetching: Fetching) -> list[Target]:
    """Return the targets of what was given on the command line.

    Args:
        given: each a URL, or ``host:port``, whose path is ``/metrics`` if it has none.
        labels: of all series.
        fetching: how they are asked.

    Raises:
        InvalidInput: no URL of HTTP, a label that cannot be stored, or one target twice.
    """
    parsed = [_parsed(text) for text in given]
    if "instance" in labels and len(parsed) > 1:
        raise InvalidInput("labels", "instance", "each of several targets has its own")
    places = [_place(parts) for parts in parsed]
    instances = [
        place if places.count(place) == 1 else place + parts.path for place, parts in zip(places, parsed, strict=True)
    ]
    for instance in instances:
        if instances.count(instance) > 1:
            raise InvalidInput("target", instance, "is given twice")
    return [
        Target(parts.geturl(), checked_labels({"instance": instance, **labels}), fetching)
        for instance, parts in zip(instances, parsed, strict=True)
    ]


def _parsed(text: str) -> SplitResult:
    url = text if "://" in text else f"http://{text}"
    expected = "expected http://host:port/metrics, https://… or host:port"
    try:
        parts = urlsplit(url)
        good = parts.scheme in _PORTS and parts.hostname and parts.port != 0 and url.isprintable() and " " not in url
        httpx.URL(url)
    except (ValueError, httpx.InvalidURL):
        good = False
    if not good:
        raise InvalidInput("target", without_password(url), expected)
    return parts._replace(path=parts.path if parts.path != "/" and parts.path else "/metrics", fragment="")


def _place(parts: SplitResult) -> str:
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{host}:{parts.port or _PORTS[parts.scheme]}"


def _with_those_of_the_target(own: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """Return the labels of a sample; one of its own by the name of one of the target is renamed, as by Prometheus.

    It gets ``exported_`` before its name, again until no other label has that name; shorter names come first.
    """
    own = {name: text for name, text in own.items() if text}  # one without is no label
    labels = {**own, **given}
    for name in sorted(own.keys() & given.keys(), key=lambda name: (len(name), name)):
        free = f"exported_{name}"
        while free in labels:
            free = f"exported_{free}"
        labels[free] = own[name]
    return labels


class Target:
    """One target.

    Args:
        url: with a path.
        labels: of all its series, among them ``instance``. A sample's own by such a name is ``exported_…``.
        fetching: how it is asked.

    Attributes:
        instance: its label, by which messages name it: a URL may hold a password.
        labels: of all its series.
    """

    def __init__(self, url: str, labels: dict[str, str], fetching: Fetching) -> None:
        self.instance = labels["instance"]
        self.labels = labels
        self._url = url
        self._fetching = fetching
        options = client_options(url)
        if fetching.verify is not None:
            options["verify"] = fetching.verify
        headers = {"Accept": _ACCEPT, "Accept-Encoding": "gzip", "User-Agent": "tidewire-scrape"}
        self._http = BoundedClient(**options, timeout=fetching.timeout_s, headers={**headers, **fetching.headers})
        self._known: dict[_Key, _Known] = {}

    def close(self) -> None:
        """Close its connection."""
        self._http.close()

    def scrape(self) -> Scrape:
        """Fetch what it exposes now; what came with the last scrape and came no more has ended.

        Raises:
            ServiceUnavailable: it is down: there was no whole answer in time, or it was no success.
            InvalidInput: what it answers cannot be read.
            LimitExceeded: too many bytes or samples.
        """
        now_ms = time.time() * 1e3
        body, openmetrics = self._fetched()
        known: dict[_Key, _Known] = {}
        batches: list[Batch] = []
        timed: list[Batch] = []
        samples = left_out = 0
        why = ""
        for sample in read_exposition(body, openmetrics=openmetrics):
            samples += 1
            if samples > self._fetching.max_samples:
                raise LimitExceeded("max_samples", self._fetching.max_samples, samples, "scrape less of it")
            if sample.bucket and not self._fetching.buckets:
                left_out += 1
                continue
            try:
                self._add(sample, now_ms, known, batches, timed)
            except (InvalidInput, LimitExceeded) as error:
                left_out += 1
                why = why or f"{sample.metric}: {error}"
        ended = [
            Batch(
                metric=key[0], labels=last.labels, unit=last.unit, time=[now_ms], value=[last.number], text=[FINISHED]
            )
            for key, last in self._known.items()
            if key not in known and last.number is not None
        ]
        self._known = known
        return Scrape(batches + ended, timed, samples, left_out, why)

    def _add(
        self,
        sample: ExposedSample,
        now_ms: float,
        known: dict[_Key, _Known],
        batches: list[Batch],
        timed: list[Batch],
    ) -> None:
        metric = checked_name(sample.metric)
        labels = checked_labels(_with_those_of_the_target(sample.labels, self.labels))
        key = metric, tuple(labels.items())
        if key in known:
            raise InvalidInput("metric", metric, "comes twice with the same labels; the first is taken")
        time_ms = None if sample.time_ms is None else checked_time_ms(sample.time_ms, now_ms=now_ms)
        number = checked_value(sample.value)
        before = self._known.get(key)
        last = before.number if number is None and before is not None else number  # an end repeats a number
        known[key] = _Known(labels, sample.unit, last, time_ms)
        if time_ms is None:
            batches.append(Batch(metric=metric, labels=labels, unit=sample.unit, time=[now_ms], value=[number]))
        elif before is None or before.time_ms != time_ms:  # else it is the reading of before
            timed.append(Batch(metric=metric, labels=labels, unit=sample.unit, time=[time_ms], value=[number]))

    def _fetched(self) -> tuple[bytes, bool]:
        """Return the body of the answer, and whether it is OpenMetrics."""
        headers, timeout_s, deadline = self._bearer(), self._fetching.timeout_s, Deadline()
        deadline.begin()
        try:
            with deadline.within(timeout_s), self._http.stream("GET", self._url, headers=headers) as answer:
                if answer.status_code != 200:
                    to = " to another address, which is not followed" if answer.is_redirect else ""
                    raise ServiceUnavailable(f"it answers {answer.status_code} {answer.reason_phrase}{to}")
                body = self._read(answer)
                return body, "application/openmetrics-text" in answer.headers.get("content-type", "")
        except httpx.TimeoutException:
            raise ServiceUnavailable(f"no whole answer within {timeout_s:g} s") from None
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:
            raise ServiceUnavailable(str(error) or type(error).__name__) from None

    def _bearer(self) -> dict[str, str]:
        path = self._fetching.bearer_file
        if path is None:
            return {}
        try:
            token = path.read_bytes().decode("ascii", "replace").strip()
        except OSError as error:
            raise ServiceUnavailable(f"the token cannot be read: {path}: {error.strerror}") from None
        return {"Authorization": f"Bearer {checked_token(token)}"}

    def _read(self, answer: httpx.Response) -> bytes:
        """Return a body: within its bound, and unpacked a piece at a time."""
        most = self._fetching.max_bytes
        packed = answer.headers.get("content-encoding", "identity").strip().lower()
        if packed not in ("identity", "gzip"):
            raise ServiceUnavailable(f"its answer is packed as {packed[:20]!r}, which was not asked for")
        unpack = zlib.decompressobj(_GZIP) if packed == "gzip" else None
        body = bytearray()
        try:
            for piece in answer.iter_raw():
                if unpack is not None and unpack.eof:
                    raise ServiceUnavailable("its answer goes on behind its end")
                body += piece if unpack is None else unpack.decompress(piece, most + 1 - len(body))
                if len(body) > most:
                    raise LimitExceeded("max_bytes", most, len(body), "scrape less of it")
        except zlib.error:
            raise ServiceUnavailable("its answer is no gzip") from None
        if unpack is not None and unpack.unused_data:
            raise ServiceUnavailable("its answer goes on behind its end")
        if unpack is not None and not unpack.eof:
            raise ServiceUnavailable("its answer ends in the middle")
        return bytes(body)
