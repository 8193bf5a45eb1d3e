"""JSON answers of the service, as the service encodes them and its clients decode them; no I/O."""

from __future__ import annotations

import msgspec

from tidewire.model.threshold import Threshold

__all__ = [
    "CatalogJson",
    "DeckInfo",
    "DecksJson",
    "HistoryColumns",
    "HistorySeries",
    "ReadinessJson",
    "SeriesInfo",
    "ThresholdsJson",
    "WhoamiJson",
]


class SeriesInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One series of the catalog.

    Attributes:
        id: of its last batch, ``ms-n`` of the log's clock.
        time: of its last reading, Unix ms: the newest by its own time, of equal times the one logged later.
        value: of its last reading; null if that is no number.
        text: of its last reading, if it is an event.
        count: readings so far, trimmed ones too.
        rate: readings per second over the last 60 s as this process saw them; null until it has watched for 10 s.
        reading_id: of the batch that brought its last reading; the same as `id` unless later ones held older readings.
    """

    metric: str
    labels: dict[str, str]
    unit: str
    id: str
    time: float
    value: float | None
    text: str | None
    count: int
    rate: float | None
    reading_id: str = ""


class CatalogJson(msgspec.Struct, frozen=True):
    """The catalog; a stream from `cursor` goes on where it ends.

    Attributes:
        missing: the partitions of the log that did not answer, if it was asked for in part.
    """

    cursor: str
    series: list[SeriesInfo]
    missing: list[int] = []


class HistoryColumns(msgspec.Struct, frozen=True, kw_only=True):
    """One series of a history in JSON: readings, or buckets if `count` is there.

    Attributes:
        unit: of the newest reading.
        units: of each reading or bucket, where it changes; else empty.
        time: Unix ms; the start of a bucket.
        value: null for a reading that is no number; the last one of a bucket.
        text: null for a reading without one, of a bucket that of its newest with one; empty if none has one.
        step: null for a reading without one; empty if none has one, and of buckets.
        first: the earliest number in each bucket, of which `value` is the latest reading; empty for readings.
        min, max, mean: of the numbers in each bucket; empty for readings.
        count: readings in each bucket, those without a number too; empty for readings.
    """

    metric: str
    labels: dict[str, str] = {}
    unit: str = ""
    units: list[str] = []
    time: list[float]
    value: list[float | None]
    text: list[str | None] = []
    step: list[float | None] = []
    first: list[float | None] = []
    min: list[float | None] = []
    max: list[float | None] = []
    mean: list[float | None] = []
    count: list[int] = []


class HistorySeries(msgspec.Struct, frozen=True):
    """What a client reads of a history in JSON.

    Attributes:
        step_ms: width of the buckets, or null for readings.
        cursor: up to where it reads the log.
    """

    step_ms: int | None
    series: list[HistoryColumns]
    cursor: str


class DeckInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One saved deck in a list.

    Attributes:
        slug: its name in addresses.
        name: as its author wrote it; the slug if it has none.
        etag: of its newest version.
        updated_ms: when it was saved, Unix ms.
    """

    slug: str
    name: str
    etag: str
    updated_ms: float


class DecksJson(msgspec.Struct, frozen=True):
    """Every saved deck, by slug."""

    decks: list[DeckInfo]


class ThresholdsJson(msgspec.Struct, frozen=True):
    """All thresholds."""

    thresholds: list[Threshold]


class WhoamiJson(msgspec.Struct, frozen=True):
    """The identity and scopes of a token.

    Attributes:
        id: of the token; empty if the service asks for none.
        name: as it was given when the token was made.
        kind: ``open`` if the service asks for no token, else ``token`` or ``jwt``.
        publish: patterns of the metrics that may be published.
        subscribe: patterns of the metrics that may be seen.
        edit: decks and thresholds may be changed.
        operate: ``/metrics`` may be read.
        expires_ms: Unix ms, or null for never.
    """

    id: str
    name: str
    kind: str
    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    edit: bool
    operate: bool
    expires_ms: float | None


class ReadinessJson(msgspec.Struct, frozen=True):
    """Whether the service can do its work.

    Attributes:
        ready: it can.
        reason: why not, in one sentence; empty if ready.
        redis_ms: how long Redis took to answer, or null.
        position: the hub's cursor.
        last_look_age_s: how long ago the hub compared its position with the log's clock.
    """

    ready: bool
    reason: str
    redis_ms: float | None
    position: str
    last_look_age_s: float | None
