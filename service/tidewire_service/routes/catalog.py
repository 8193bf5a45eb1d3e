"""GET /v1/catalog: every series with its unit, last reading and rate, and the cursor from which to stream on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

import msgspec
from litestar import Request, Response, get
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from tidewire.errors import InvalidInput, LimitExceeded
from tidewire.model.answers import CatalogJson, SeriesInfo
from tidewire.model.batch import decode_batch
from tidewire.model.cursor import id_text
from tidewire.redislog.calls import LastReading
from tidewire_service.auth.scopes import ANYONE, Identity
from tidewire_service.history.directory import read_directory
from tidewire_service.history.rates import Rates
from tidewire_service.hub.hub import Hub
from tidewire_service.settings import ServiceSettings
from tidewire_service.web.authorization import identity_of_request
from tidewire_service.web.declaration import declare
from tidewire_service.web.query import parse_query

__all__ = ["CatalogReads", "get_catalog"]

_METRICS_AT_ONCE: Final = 200


class CatalogReads:
    """Answers catalogue requests from the directory, the last readings in Redis and the rates of this process."""

    def __init__(self, hub: Hub, rates: Rates, settings: ServiceSettings) -> None:
        self._hub = hub
        self._rates = rates
        self._settings = settings

    async def read(self, query_string: bytes, identity: Identity = ANYONE) -> Response[bytes]:
        """Answer one request; `identity` decides which metrics it may see."""
        query = parse_query(query_string)
        patterns = query.patterns(self._settings.max_patterns, default="**")
        labels = query.labels()
        partial = query.flag("partial")
        log = self._hub.log
        directory = await read_directory(self._hub, patterns, identity.scopes.narrowed_to, partial=partial)
        rate = self._rates.per_second()
        metrics = list(directory.tails)
        found, parts = 0, []  # each part encoded: to encode all at once would stop everything else for 0.1 s
        for first in range(0, len(metrics), _METRICS_AT_ONCE):
            part = metrics[first : first + _METRICS_AT_ONCE]
            last_readings, clocks = await log.last_readings(part)
            for number, clock in clocks.items():
                directory.confirm(number, clock, log)
            series = await asyncio.to_thread(_series_of, part, last_readings, labels, rate)
            found += len(series)
            if found > self._settings.catalog_rows:
                remedy = "ask for fewer metrics (metric=, label=)"
                raise LimitExceeded("catalog_rows", self._settings.catalog_rows, found, remedy)
            if series:
                parts.append(b",".join(series))
        missing = b',"missing":%b' % msgspec.json.encode(directory.missing) if directory.missing else b""
        body = b'{"cursor":"%b","series":[%b]%b}' % (str(directory.upto).encode(), b",".join(parts), missing)
        return Response(body, media_type="application/json", headers={"Cache-Control": "no-store"})


def _series_of(
    metrics: list[str],
    last_readings: list[dict[bytes, LastReading]],
    labels: Mapping[str, str],
    rate: Callable[[str, str], float | None],
) -> list[bytes]:
    """Return each series as the JSON of a `SeriesInfo`."""
    found = []
    for metric, by_series in zip(metrics, last_readings, strict=True):
        for key in sorted(by_series, key=lambda key: (key != b"{}", key)):  # the one without labels first
            last = by_series[key]
            try:
                batch = decode_batch(last.body)
            except InvalidInput:
                continue  # written by another program
            if any(batch.labels.get(name) != value for name, value in labels.items()):
                continue
            series = SeriesInfo(
                metric=metric,
                labels=batch.labels,
                unit=batch.unit,
                id=id_text(last.id),
                time=batch.time[0],
                value=batch.value[0],
                text=batch.text[0] if batch.text else None,
                count=last.readings,
                rate=rate(metric, key.decode(errors="replace")),
                reading_id=id_text(last.reading_id or last.id),
            )
            found.append(msgspec.json.encode(series))
    return found


@get(
    "/v1/catalog",
    summary="List the series",
    description="Every series that matches, with its last reading by its own time; and the cursor to stream on from.",
    **declare(
        "subscribe",
        query=("metric", "label", "partial"),
        answers={200: (CatalogJson, "The series")},
        refusals={
            413: "Too much; says how to ask for less",
            422: "A field cannot be read",
            503: "Redis does not answer",
        },
    ),
)
async def get_catalog(
    request: Request[Any, Any, State],
    catalog_reads: NamedDependency[CatalogReads],
    metric: Annotated[
        list[str] | None, QueryParameter(description="a metric or pattern; may be repeated; all if absent")
    ] = None,
    label: Annotated[
        list[str] | None, QueryParameter(description="`name:value`; may be repeated, all must hold")
    ] = None,
    partial: Annotated[
        str | None,
        QueryParameter(description="`true`: do without partitions of the log that do not answer, named in `missing`"),
    ] = None,
) -> Response[bytes]:
    """Answer with the catalogue."""
    return await catalog_reads.read(request.scope["query_string"], identity_of_request(request.scope))
