"""GET /v1/history: the readings of a span, or their buckets, as JSON or as a table."""

from __future__ import annotations

import asyncio
import base64
import math
from typing import Annotated, Any, Final
from urllib.parse import urlencode

import msgspec
from litestar import Request, Response, get
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from tidewire.errors import InvalidInput
from tidewire.model.bucket_steps import step_for
from tidewire.model.cursor import Cursor
from tidewire.model.table_writers import TABLE_FORMATS
from tidewire.model.vector_cursor import parse_cursor, position_in
from tidewire.redislog.lineage import resolve_cursor, whole_epoch
from tidewire_service.auth.scopes import ANYONE, Identity
from tidewire_service.history.directory import Reading, read_directory
from tidewire_service.history.history import History, Place, Span, read_history
from tidewire_service.history.tables import JSON, HistoryJson, encode_history
from tidewire_service.hub.hub import Hub
from tidewire_service.settings import ServiceSettings
from tidewire_service.web.authorization import identity_of_request
from tidewire_service.web.declaration import declare
from tidewire_service.web.query import Query, parse_query

__all__ = ["HistoryReads", "get_history"]

_DEFAULT_START_MS: Final = 15 * 60e3
_MAX_POINTS: Final = 100_000
_MAX_STEP_MS: Final = 31 * 86_400_000
_FIRST_PAGE: Final = "first"
_FORMATS: Final = (JSON, *TABLE_FORMATS)


class _Page(msgspec.Struct, frozen=True, array_like=True):
    """What a later page needs of the first. Clients treat its text as opaque; it is checked like any input."""

    start_ms: float
    end_ms: float | None
    upto: str
    metric: str
    begin: str
    missing: float = 0.0


def _parse_page(text: str) -> _Page:
    try:
        page = msgspec.json.decode(base64.urlsafe_b64decode(text.encode("ascii")), type=_Page)
        parse_cursor(page.upto), Cursor.parse(page.begin)
    except (ValueError, RecursionError, msgspec.MsgspecError, InvalidInput):
        raise InvalidInput(
            "page", text, "expected first, or the page= of the Link header of the previous page"
        ) from None
    return page


def _link(query: Query, history: History, following: Place) -> str:
    """Return the URL of the next page."""
    span = history.span
    upto = history.cursor
    begin = Cursor(upto.epoch, following.id)  # the epoch says nothing here: `upto` has those that count
    page = _Page(span.start_ms, span.end_ms, str(upto), following.metric, str(begin), history.missing)
    kept = [field for field in query.fields if field[0] not in ("page", "start", "end")]
    text = base64.urlsafe_b64encode(msgspec.json.encode(page)).decode("ascii")
    return f"/v1/history?{urlencode([*kept, ('page', text)])}"


def _check_lineage(page: _Page, directory: Reading) -> None:
    """Refuse a page of what the log has lost meanwhile.

    Raises:
        InvalidInput: the log was lost, or went back, since the first page was read.
    """
    upto = parse_cursor(page.upto)
    for number, clock in directory.clocks.items():
        position = position_in(upto, number)
        if position is None:
            continue
        resolution = resolve_cursor(clock.chain, whole_epoch(clock.chain, position.epoch), position.id)
        if not resolution.known or (resolution.lost_from is not None and resolution.lost_from < position.id):
            raise InvalidInput(
                "page", page.upto, "the log lost some of it since the first page; begin again with page=first"
            )


class HistoryReads:
    """Answers the history requests of one process, at most `history_at_once` at a time; the others wait."""

    def __init__(self, hub: Hub, settings: ServiceSettings) -> None:
        self._hub = hub
        self._settings = settings
        self._turns = asyncio.Semaphore(settings.history_at_once)

    async def read(self, query_string: bytes, identity: Identity = ANYONE) -> Response[bytes]:
        """Answer one request."""
        settings, log = self._settings, self._hub.log
        query = parse_query(query_string)
        patterns = query.patterns(settings.max_patterns)
        labels = query.labels()
        points, given_ms = query.number("points", 1, _MAX_POINTS), query.number("step_ms", 1, _MAX_STEP_MS)
        if points and given_ms:
            raise InvalidInput("step_ms", given_ms, "cannot be given with points=, which chooses the width")
        name = query.one("format") or JSON
        if name not in _FORMATS:
            raise InvalidInput("format", name, f"expected one of {', '.join(_FORMATS)}")
        page = query.one("page")
        if page and (points or given_ms):
            raise InvalidInput("page", page, "only readings have pages; leave out points= and step_ms=")
        partial = query.flag("partial")
        if page and partial:
            raise InvalidInput("partial", "true", "cannot be given with page=: a later page could lack other parts")
        begun = _parse_page(page) if page and page != _FIRST_PAGE else None
        async with self._turns:
            directory = await read_directory(self._hub, patterns, identity.scopes.narrowed_to, partial=partial)
            now_ms = directory.now_ms
            if begun is None:
                start_ms, end_ms = query.time_ms("start", now_ms), query.time_ms("end", now_ms)
                start_ms = now_ms - _DEFAULT_START_MS if start_ms is None else start_ms
            else:
                start_ms, end_ms = begun.start_ms, begun.end_ms
                _check_lineage(begun, directory)
            if end_ms is not None and end_ms <= start_ms:
                raise InvalidInput("end", query.one("end"), "is not after start; expected start < end")
            width_ms = (now_ms if end_ms is None else end_ms) - start_ms
            step_ms = step_for(max(width_ms, 1.0), points) if points else given_ms or 0
            if given_ms and width_ms > given_ms * _MAX_POINTS:
                raise InvalidInput("step_ms", given_ms, f"gives more than {_MAX_POINTS} buckets; ask for wider ones")
            history = await read_history(
                log,
                directory,
                labels,
                Span(start_ms, end_ms, step_ms),
                directory.upto if begun is None else parse_cursor(begun.upto),
                max_rows=settings.history_rows,
                max_batches=settings.history_scan_batches,
                paged=bool(page),
                begin=None if begun is None else Place(begun.metric, Cursor.parse(begun.begin).id),
                missing=0.0 if begun is None else begun.missing,
            )
            body = await asyncio.to_thread(encode_history, history, name)
        headers = {"Cache-Control": "no-store", "Tidewire-Cursor": str(history.cursor)}
        if directory.missing:
            headers["Tidewire-Missing"] = ",".join(map(str, directory.missing))
        form = TABLE_FORMATS.get(name)
        if form is not None and name != "ndjson":  # is read line by line and not saved
            headers["Content-Disposition"] = f'attachment; filename="tidewire-history.{form.suffixes[0]}"'
        headers["Tidewire-Done"] = f"{math.floor(history.done * 1e4) / 1e4:.4f}"  # 1 is the whole, and nothing less
        if history.following is not None:
            headers["Link"] = f'<{_link(query, history, history.following)}>; rel="next"'
        media_type = form.media_type.partition(";")[0] if form else "application/json"  # Litestar adds the charset
        return Response(body, media_type=media_type, headers=headers)


@get(
    "/v1/history",
    summary="Read a span of the history",
    description=(
        "Readings whose own time lies in start ≤ time < end, by series; or, with `points` or `step_ms`, buckets from "
        "the epoch on. A stream from the cursor of the answer (also in the header `Tidewire-Cursor`) continues "
        "without a gap."
    ),
    **declare(
        "subscribe",
        query=("metric", "label", "start", "end", "points", "step_ms", "page", "format", "partial"),
        answers={200: (HistoryJson, "By format; JSON is shown")},
        refusals={
            413: "Too much; says how to ask for less",
            422: "A field cannot be read",
            503: "Redis does not answer",
        },
        media_types=(form.media_type.partition(";")[0] for form in TABLE_FORMATS.values()),
    ),
)
async def get_history(
    request: Request[Any, Any, State],
    history_reads: NamedDependency[HistoryReads],
    metric: Annotated[list[str] | None, QueryParameter(description="a metric or pattern; may be repeated")] = None,
    label: Annotated[
        list[str] | None, QueryParameter(description="`name:value`; may be repeated, all must hold")
    ] = None,
    start: Annotated[
        str | None, QueryParameter(description="`-15m` (default), RFC 3339, or Unix ms; inclusive")
    ] = None,
    end: Annotated[str | None, QueryParameter(description="like start; exclusive; everything newer if absent")] = None,
    points: Annotated[
        str | None,
        QueryParameter(
            description=(
                "largest number of buckets per series, of a round width: last, first, min, max, mean, count. A reading "
                "whose value is null is in `count`, not in first, min, max and mean"
            )
        ),
    ] = None,
    step_ms: Annotated[
        str | None,
        QueryParameter(description="in place of `points`, the width of the buckets: whole milliseconds, up to 31 days"),
    ] = None,
    page: Annotated[
        str | None,
        QueryParameter(
            description=(
                "`first` for an answer in pages, however much there is: by metric, and each metric in the order of its "
                "log; the header `Link` (rel=next) names the next page. `Tidewire-Done` is the share that is read; it "
                "ends below 1 if the log no longer holds all of the span, for example because it is trimmed meanwhile"
            )
        ),
    ] = None,
    partial: Annotated[
        str | None,
        QueryParameter(
            description=(
                "`true`: do without partitions of the log that do not answer, which the header `Tidewire-Missing` names"
            )
        ),
    ] = None,
    format_: Annotated[
        str | None,
        QueryParameter(
            name="format",
            description=f"one of {', '.join(_FORMATS)}; json if absent. In tables a label is a column `label.<name>`",
        ),
    ] = None,
) -> Response[bytes]:
    """Return the readings of a span."""
    return await history_reads.read(request.scope["query_string"], identity_of_request(request.scope))
