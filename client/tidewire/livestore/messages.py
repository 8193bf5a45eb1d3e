"""The text messages between a deck and Python, as docs/view-frame.md describes them; no I/O.

The dashboard sends them over its WebSocket, a notebook over anywidget's comm. `docs/message_types.py` writes the
TypeScript types of the deck from these structs. Times are Unix ms; ``i`` is the index of a series. It is one
module in spite of its length, so that the contract is read, and generated from, in one place.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tidewire.errors import InvalidInput
from tidewire.livestore.series import Series
from tidewire.livestore.store import EventMark
from tidewire.model.answers import DeckInfo
from tidewire.model.table_writers import TABLE_FORMATS
from tidewire.model.threshold import Level, Threshold

__all__ = [
    "ANSWERS",
    "LANES",
    "MAX_VIEWS",
    "MAX_WINDOW_MS",
    "Acknowledgement",
    "AddEvent",
    "AlarmEntry",
    "Alarms",
    "Answer",
    "CellAnswer",
    "CellRequest",
    "CloseView",
    "DeckAnswer",
    "DeckList",
    "DeckMessage",
    "DeckSaved",
    "DeleteDeck",
    "Directory",
    "EventAdded",
    "Events",
    "ExportAnswer",
    "ExportRequest",
    "FormulaCompletion",
    "FormulaFault",
    "FormulaHelp",
    "FormulaHelpRequest",
    "FormulaSeries",
    "FormulaState",
    "FrameAttached",
    "GapSpan",
    "Hello",
    "Hidden",
    "Late",
    "ListDecks",
    "Look",
    "OpenView",
    "Problem",
    "PythonMessage",
    "RangeRequest",
    "ReadDeck",
    "Refused",
    "Retry",
    "RunEntry",
    "RunLineWanted",
    "RunMetric",
    "RunPoints",
    "RunsAnswer",
    "RunsRequest",
    "SaveDeck",
    "SaveThresholds",
    "SeriesEntry",
    "Snippet",
    "StatisticsAnswer",
    "StatisticsRequest",
    "StatisticsRow",
    "Status",
    "SummaryName",
    "TableAnswer",
    "TableRequest",
    "TableRow",
    "Thresholds",
    "ThresholdsSaved",
    "ViewerRequest",
    "decode_message",
    "directory_message",
    "encode_message",
    "events_message",
    "parse_acknowledgement",
]

MAX_VIEWS: Final = 64  # of a viewer: the list, the charts of each width in device pixels, and those of a formula
_MAX_SERIES_OF_VIEW: Final = 2_000
_MAX_SERIES_OF_REQUEST: Final = 100
_MAX_THRESHOLDS: Final = 1_000
_MAX_METRICS_OF_RUNS: Final = 32
LANES: Final = 3  # of a viewer's ranges: those of one do not replace those of another
MAX_WINDOW_MS: Final = 366 * 86_400_000  # of a view; how much of it is kept depends on the log
_MAX_ACKNOWLEDGEMENT_CHARS: Final = 24
_SHOWN_CHARS: Final = 80  # of a message that is refused

ViewNumber = Annotated[int, Meta(ge=0, le=MAX_VIEWS - 1)]
Index = Annotated[int, Meta(ge=0)]
Time = Annotated[float, Meta(ge=0, le=1e15)]
Buckets = Annotated[int, Meta(ge=2, le=2_000)]
SeriesOfView = Annotated[list[Index], Meta(max_length=_MAX_SERIES_OF_VIEW)]
SeriesOfRequest = Annotated[list[Index], Meta(max_length=_MAX_SERIES_OF_REQUEST)]
FormatName = Annotated[str, Meta(pattern=f"^(?:{'|'.join(TABLE_FORMATS)})$")]
FormulaText = Annotated[str, Meta(min_length=1, max_length=4_096)]
Slug = Annotated[str, Meta(min_length=1, max_length=64)]
Version = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{0,64}\\Z")]  # of a document; it becomes a header
State = Literal["connecting", "live", "reconnecting", "ended"]
SummaryName = Literal["band", "heat", "top"]


class _Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="t"):
    """One text message; the field ``t`` says which."""


# -- from the deck -----------------------------------------------------------------------------------------------


class Hello(_Message, frozen=True, kw_only=True, tag="hello"):
    """Ask for everything anew: the first message, and again after a hole or a hidden tab."""

    page: Literal["overview", "deck"] = "deck"
    hidden: bool = False


class OpenView(_Message, frozen=True, kw_only=True, tag="view"):
    """Open a view or change it; ``series`` null means all. ``buckets``: columns of pixels that hold the window.

    With a ``formula``, it is of the series of its result, which `FormulaState` names; ``series`` is empty then. With a
    ``summary`` it is of a few rows in the place of those series.
    """

    view: ViewNumber
    series: SeriesOfView | None
    window_ms: Annotated[float, Meta(gt=0, le=MAX_WINDOW_MS)]
    buckets: Buckets
    fps: Annotated[int, Meta(ge=1, le=10)] = 5
    formula: FormulaText | None = None
    summary: SummaryName | None = None


class CloseView(_Message, frozen=True, kw_only=True, tag="close"):
    """Close a view."""

    view: ViewNumber


class RangeRequest(_Message, frozen=True, kw_only=True, tag="range"):
    """Ask for a fixed window, for each width of chart; the answer is a view frame of kind 4.

    Requests for one window go together; one for another window of the same ``lane`` replaces those that are not
    answered yet. Lane 0 is the span that is shown, 1 the one it is compared with, 2 a survey of what is kept.
    """

    id: int
    series: SeriesOfView
    start_ms: Time
    end_ms: Time
    buckets: Buckets
    lane: Annotated[int, Meta(ge=0, le=LANES - 1)] = 0
    formula: FormulaText | None = None
    summary: SummaryName | None = None


class Look(_Message, frozen=True, kw_only=True, tag="look"):
    """Tell which series are on the screen, whole again at each change: their past is read first."""

    series: SeriesOfView


class Hidden(_Message, frozen=True, kw_only=True, tag="hidden"):
    """Tell that the tab was hidden: nothing is sent until the next hello."""

    hidden: bool = True


class Retry(_Message, frozen=True, kw_only=True, tag="retry"):
    """Try to connect to the service now."""


class _WindowRequest(_Message, frozen=True, kw_only=True):
    """A window of some series, or of the result of a formula; the answer carries the same ``id``."""

    id: int
    series: SeriesOfRequest
    start_ms: Time
    end_ms: Time
    formula: FormulaText | None = None


class StatisticsRequest(_WindowRequest, frozen=True, kw_only=True, tag="statistics"):
    """Ask for the statistics of a window."""


class TableRequest(_WindowRequest, frozen=True, kw_only=True, tag="table"):
    """Ask for the newest readings of a window."""


class ExportRequest(_WindowRequest, frozen=True, kw_only=True, tag="export"):
    """Ask for the address of a file with the readings of a window."""

    kind: FormatName


class ListDecks(_Message, frozen=True, kw_only=True, tag="decks"):
    """Ask for the saved decks."""


class ReadDeck(_Message, frozen=True, kw_only=True, tag="read_deck"):
    """Ask for one saved deck."""

    slug: Slug


class SaveDeck(_Message, frozen=True, kw_only=True, tag="save_deck"):
    """Save a deck over the version ``over``: empty for none, null for any."""

    slug: Slug
    deck: dict[str, Any]
    over: Version | None


class DeleteDeck(_Message, frozen=True, kw_only=True, tag="delete_deck"):
    """Delete a saved deck; the answer is the list of those left."""

    slug: Slug


class SaveThresholds(_Message, frozen=True, kw_only=True, tag="save_thresholds"):
    """Replace the thresholds, for everybody."""

    thresholds: Annotated[list[Threshold], Meta(max_length=_MAX_THRESHOLDS)]


class AddEvent(_Message, frozen=True, kw_only=True, tag="add_event"):
    """Publish an event for everybody: a mark below all charts, or below those of its labels."""

    time_ms: Annotated[float, Meta(gt=0)]
    text: Annotated[str, Meta(min_length=1, max_length=200)]
    labels: Annotated[dict[str, str], Meta(max_length=8)]


class FormulaHelpRequest(_Message, frozen=True, kw_only=True, tag="formula_help"):
    """Ask what is wrong with a formula that is being written, and what may stand at a place of it, in UTF-16 units."""

    id: int
    formula: Annotated[str, Meta(max_length=4_096)]
    position: Annotated[int, Meta(ge=0, le=4_096)]


class CellRequest(_Message, frozen=True, kw_only=True, tag="cell"):
    """Ask which series of a formula are in a cell of its heat map: at a time, from one value up to another."""

    id: int
    formula: FormulaText
    end_ms: Time
    step_ms: Annotated[int, Meta(ge=1, le=MAX_WINDOW_MS)]
    low: float
    high: float


class RunLineWanted(msgspec.Struct, frozen=True, kw_only=True):
    """The line of a series, of which the deck has the points up to a version, 0 for none."""

    i: Index
    version: Annotated[int, Meta(ge=0)] = 0


class RunsRequest(_Message, frozen=True, kw_only=True, tag="runs"):
    """Ask for the runs that published some metrics, and for lines of them over their steps, or over time.

    A run is a label set. The answer comes at once with what is there; the deck asks again for as long as it shows them.
    """

    id: int
    metrics: Annotated[list[str], Meta(max_length=_MAX_METRICS_OF_RUNS)]
    axis: Literal["step", "time"]
    lines: Annotated[list[RunLineWanted], Meta(max_length=_MAX_SERIES_OF_VIEW)]


WindowRequest: TypeAlias = StatisticsRequest | TableRequest | ExportRequest
ViewerRequest: TypeAlias = (
    WindowRequest
    | ListDecks
    | ReadDeck
    | SaveDeck
    | DeleteDeck
    | SaveThresholds
    | AddEvent
    | FormulaHelpRequest
    | CellRequest
    | RunsRequest
)
"""What needs the service: answered by one message, or by `Refused`."""

DeckMessage: TypeAlias = Hello | OpenView | CloseView | RangeRequest | Look | Hidden | Retry | ViewerRequest
"""Whatever a deck sends as JSON."""


class Acknowledgement(NamedTuple):
    """The frame ``seq`` of a view was drawn; sent as the plain text ``a<view>:<seq>``, since it is sent most often."""

    view: int
    seq: int


# -- to the deck -------------------------------------------------------------------------------------------------


class SeriesEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One series of the directory; ``i`` and ``colour``, 0 to 47, never change while the Python process lives."""

    i: int
    metric: str
    labels: dict[str, str]
    unit: str
    colour: int


class Directory(_Message, frozen=True, kw_only=True, tag="series"):
    """The series there are; unless ``full``, entries are added or replaced."""

    full: bool
    series: list[SeriesEntry]


class FormulaSeries(msgspec.Struct, frozen=True, kw_only=True):
    """One series of a formula's result; ``i`` is no other series', and its own while somebody has the formula open.

    ``name`` is its metric where the formula keeps it, else empty. Of a row of a summary ``role`` says what it is: a
    quantile ``p5`` to ``p95``; ``count``, of the series with a value; ``highest``, ``lowest`` or ``changed`` (over the
    widest range) of the series; ``top``, one of the ten; ``cell``, how many series are between two values, its labels.
    """

    i: int
    name: str
    labels: dict[str, str]
    unit: str
    colour: int
    role: str | UnsetType = UNSET


class FormulaFault(msgspec.Struct, frozen=True, kw_only=True):
    """Why a formula has no result, and where: from ``position`` to before ``end``, in UTF-16 units.

    ``instead`` is what may be meant in that place, if anybody can tell.
    """

    position: int
    end: int
    message: str
    remedy: str
    instead: str | UnsetType = UNSET


class FormulaState(_Message, frozen=True, kw_only=True, tag="formula"):
    """What there is of a formula that is open, at each change.

    ``series`` are those that had a value, live or in a fixed window; ``loading``: more of its window is still to come;
    ``reads`` is how many series it reads. With an ``error`` there may be no series: what was drawn before stays. Of a
    ``summary`` the series are the rows of one window, live or fixed; those that were named before stay known. ``of`` is
    how many series had a value. In a notebook the kernel decides which view its frames have:
    ``view``. A ``hint`` is no error: a metric that nobody publishes, and which may be meant.
    """

    formula: str
    series: list[FormulaSeries]
    loading: bool
    reads: int
    warnings: list[str]
    error: FormulaFault | None = None
    summary: SummaryName | UnsetType = UNSET
    of: int | UnsetType = UNSET
    view: int | UnsetType = UNSET
    hint: FormulaFault | UnsetType = UNSET


class GapSpan(msgspec.Struct, frozen=True, kw_only=True):
    """Times between which readings cannot be replayed."""

    from_ms: float
    to_ms: float


class Late(msgspec.Struct, frozen=True, kw_only=True):
    """Series of which nothing comes, since a partition of the log does not answer: since when, and a sentence."""

    since_ms: float
    text: str


class Status(_Message, frozen=True, kw_only=True, tag="status"):
    """How the stream stands; a notebook leaves out what only the dashboard knows.

    ``behind_ms``: how far what is shown is behind the log while missed readings are replayed, else null.
    ``past_reason``: why the past cannot be read at the moment, else empty.
    ``late``: what is to be said of series whose partition of the log does not answer, else null.
    """

    state: State
    since_ms: float
    retry_at_ms: float | None
    attempts: int
    service: str
    reason: str
    last_id_ms: float | None
    recovered: int
    gap: GapSpan | None
    metrics: int
    readings_per_s: float
    listening_since_ms: float | None
    retention_ms: float | None
    behind_ms: float | None
    past_reason: str
    late: Late | None
    now_ms: float
    service_ok: bool | UnsetType | None = UNSET
    redis_ok: bool | UnsetType | None = UNSET
    redis: str | UnsetType = UNSET
    lag_ms: float | UnsetType = UNSET


class Events(_Message, frozen=True, kw_only=True, tag="events"):
    """The events there are; unless ``full``, they are added."""

    full: bool
    events: list[EventMark]


class Thresholds(_Message, frozen=True, kw_only=True, tag="thresholds"):
    """The thresholds in force."""

    thresholds: list[Threshold]


class AlarmEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A series in alarm, and since when it is at this level."""

    i: int
    level: Level
    since_ms: float


class Alarms(_Message, frozen=True, kw_only=True, tag="alarms"):
    """Every series in alarm."""

    alarms: list[AlarmEntry]


class Snippet(_Message, frozen=True, kw_only=True, tag="snippet"):
    """The addresses that the "No metrics yet" page prints."""

    url: str
    redis: str


class Problem(_Message, frozen=True, kw_only=True, tag="error"):
    """A sentence for the person; the connection stays open."""

    reason: str


class FrameAttached(_Message, frozen=True, kw_only=True, tag="f"):
    """In a notebook: the view frames are this message's buffers."""


class StatisticsRow(msgspec.Struct, frozen=True, kw_only=True):
    """The statistics of one series; null where there are too few numbers."""

    i: int
    count: int
    rate: float
    gaps: int
    gap_ms: float
    last: float | None
    mean: float | None
    min: float | None
    max: float | None
    std: float | None
    p50: float | None
    p95: float | None
    p99: float | None


class StatisticsAnswer(_Message, frozen=True, kw_only=True, tag="statistics"):
    """The statistics of a window."""

    id: int
    start_ms: float
    end_ms: float
    rows: list[StatisticsRow]


class TableRow(NamedTuple):
    """One reading."""

    time_ms: int
    i: int
    value: float | None
    text: str | None


class TableAnswer(_Message, frozen=True, kw_only=True, tag="table"):
    """The newest readings of a window that holds ``of``, newest first; ``units`` of each, if a series changes its."""

    id: int
    start_ms: float
    end_ms: float
    rows: list[TableRow]
    of: int
    units: list[str] | UnsetType = UNSET


class ExportAnswer(_Message, frozen=True, kw_only=True, tag="export"):
    """The address of a file, relative to the dashboard's prefix; good once, for a minute."""

    id: int
    url: str


class DeckList(_Message, frozen=True, kw_only=True, tag="decks"):
    """The saved decks, newest first."""

    decks: list[DeckInfo]


class DeckAnswer(_Message, frozen=True, kw_only=True, tag="deck"):
    """A saved deck as the service stores it; null where none is saved."""

    slug: str
    etag: str
    deck: msgspec.Raw  # msgspec decodes no union with it: a missing deck is Raw(b"null")


class DeckSaved(_Message, frozen=True, kw_only=True, tag="saved"):
    """A deck was saved; with a conflict it was not, and ``etag`` is the newer version, empty if deleted."""

    slug: str
    etag: str
    conflict: bool


class ThresholdsSaved(_Message, frozen=True, kw_only=True, tag="thresholds_saved"):
    """The thresholds were saved; with a conflict they were not, and the newer ones are in force."""

    conflict: bool


class EventAdded(_Message, frozen=True, kw_only=True, tag="event_added"):
    """An event was published; it comes to all pages by the stream."""


class FormulaCompletion(msgspec.Struct, frozen=True, kw_only=True):
    """What may stand at a place of a formula; the cursor goes ``back`` so many units from its end."""

    kind: Literal["metric", "label", "value", "function"]
    text: str
    shown: str
    meaning: str
    back: int


class FormulaHelp(_Message, frozen=True, kw_only=True, tag="formula_help"):
    """What is wrong with a formula, if anything, and what may stand from ``start`` to the place that was asked for.

    A ``hint`` is no error: see `FormulaState`.
    """

    id: int
    error: FormulaFault | None
    hint: FormulaFault | UnsetType = UNSET
    start: int
    items: list[FormulaCompletion]


class CellAnswer(_Message, frozen=True, kw_only=True, tag="cell"):
    """The selection of the ``count`` series of a cell, and how many ``more`` have its labels; empty: all have them."""

    id: int
    select: str
    count: int
    more: int


class RunMetric(msgspec.Struct, frozen=True, kw_only=True):
    """One metric of a run: its series, its newest reading, null if that is no number, and the extremes of all."""

    i: int
    last: float | None
    least: float | None
    greatest: float | None
    count: int


class RunEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One run: a label set, how it stands, its highest step, null without one, and its first and newest reading.

    ``settings`` are the newest values of its metrics below a level `config`.
    """

    labels: dict[str, str]
    state: Literal["live", "stale", "finished", "stopped", "failed"]
    step: float | None
    start_ms: float
    end_ms: float
    metrics: list[RunMetric]
    settings: dict[str, float | str]


class RunPoints(msgspec.Struct, frozen=True, kw_only=True):
    """The points of a line from one on; `start` come before it, which the deck has.

    ``x`` rises: steps, or Unix ms. Of points of one reading each all but `mean` are empty.
    """

    i: int
    version: int
    start: int
    x: list[float]
    mean: list[float]
    min: list[float]
    max: list[float]
    first: list[float]
    last: list[float]


class RunsAnswer(_Message, frozen=True, kw_only=True, tag="runs"):
    """The newest runs, ``of`` how many, and lines of them that have changed.

    ``loading``: their past is being read; ``more``: the rest comes with the next answer; ``problem``: what is missing,
    and why, else empty; ``refused``: why nothing is shown of a metric, by its name.
    """

    id: int
    axis: Literal["step", "time"]
    loading: bool
    more: bool
    of: int
    runs: list[RunEntry]
    lines: list[RunPoints]
    problem: str
    refused: dict[str, str]


class Refused(_Message, frozen=True, kw_only=True, tag="refused"):
    """A request has no answer; ``to`` is the request's ``t``."""

    to: str
    reason: str
    id: int | UnsetType = UNSET


Answer: TypeAlias = (
    StatisticsAnswer
    | TableAnswer
    | ExportAnswer
    | DeckList
    | DeckAnswer
    | DeckSaved
    | ThresholdsSaved
    | EventAdded
    | FormulaHelp
    | CellAnswer
    | RunsAnswer
)
PythonMessage: TypeAlias = (
    Directory
    | FormulaState
    | Status
    | Events
    | Thresholds
    | Alarms
    | Snippet
    | Problem
    | FrameAttached
    | Refused
    | Answer
)
"""Whatever Python sends as JSON."""

ANSWERS: Final[dict[type[ViewerRequest], type[Answer]]] = {
    StatisticsRequest: StatisticsAnswer,
    TableRequest: TableAnswer,
    ExportRequest: ExportAnswer,
    ListDecks: DeckList,
    ReadDeck: DeckAnswer,
    SaveDeck: DeckSaved,
    DeleteDeck: DeckList,
    SaveThresholds: ThresholdsSaved,
    AddEvent: EventAdded,
    FormulaHelpRequest: FormulaHelp,
    CellRequest: CellAnswer,
    RunsRequest: RunsAnswer,
}
"""Which message answers which request."""


# -- on the wire -------------------------------------------------------------------------------------------------

_decoder: Final[msgspec.json.Decoder[DeckMessage]] = msgspec.json.Decoder(DeckMessage)


def encode_message(message: PythonMessage) -> str:
    """Return a message as the JSON text that is sent."""
    return msgspec.json.encode(message).decode()


def decode_message(text: str | bytes) -> DeckMessage:
    """Return the JSON message of a deck.

    Raises:
        InvalidInput: not JSON, an unknown ``t``, or a field that is missing or out of bounds.
    """
    try:
        message = _decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput("message", text[:_SHOWN_CHARS], str(error)) from None
    if isinstance(message, WindowRequest) and not message.series and message.formula is None:
        raise InvalidInput("message", text[:_SHOWN_CHARS], "expected series, or a formula")
    if isinstance(message, OpenView | RangeRequest) and message.summary and message.formula is None:
        raise InvalidInput("message", text[:_SHOWN_CHARS], "expected a formula, of which the summary is")
    return message


def directory_message(series: Iterable[Series], *, full: bool) -> Directory:
    """Return the `series` message of these series."""
    entries = [
        SeriesEntry(i=one.index, metric=one.metric, labels=one.labels, unit=one.unit, colour=one.colour)
        for one in series
    ]
    return Directory(full=full, series=entries)


def events_message(events: Iterable[EventMark], *, full: bool) -> Events:
    """Return the `events` message of these events, oldest first."""
    return Events(full=full, events=sorted(events, key=lambda event: (event.time_ms, event.text, event.metric)))


def parse_acknowledgement(text: str) -> Acknowledgement:
    """Return the acknowledgement ``a<view>:<seq>``.

    Raises:
        InvalidInput: it has another form.
    """
    number, colon, seq = text[1:_MAX_ACKNOWLEDGEMENT_CHARS].partition(":")
    if not (text.startswith("a") and colon and number.isdecimal() and seq.isdecimal()):
        raise InvalidInput("message", text[:_SHOWN_CHARS], "expected a<view>:<seq>")
    return Acknowledgement(int(number), int(seq))
