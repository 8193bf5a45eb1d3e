"""One viewer: the views and answers that its deck requested, and when to send them; knows no socket.

Nothing queues: at most one frame of a view is unacknowledged, and a text message is built only when the one before it
has been sent. A hidden viewer is sent nothing.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Protocol

import msgspec

from tidewire.errors import InvalidFormula
from tidewire.livestore.alarms import EventsVersion
from tidewire.livestore.formula_faults import fault_state
from tidewire.livestore.messages import (
    LANES,
    MAX_VIEWS,
    Answer,
    CloseView,
    FormulaState,
    Hello,
    Hidden,
    Look,
    OpenView,
    Problem,
    PythonMessage,
    RangeRequest,
    Refused,
    Retry,
    decode_message,
    encode_message,
    parse_acknowledgement,
)
from tidewire.livestore.open_formula import FormulaKey
from tidewire.livestore.shared_formulas import FormulaWindow
from tidewire_dashboard.login import EVERYBODY, Login
from tidewire_dashboard.pacing import Pacing
from tidewire_dashboard.shared_views import SharedView, SharedViews, ViewKey

__all__ = ["Port", "Viewer"]

_STATUS_EVERY_TICKS: Final = 10
_MAX_UNSENT: Final = 12  # two frames, the texts of a hello, and answers
_MAX_RANGE_BYTES: Final = 64 << 20  # of ranges waiting for it; the oldest is dropped first
_MAX_WAITING: Final = 8  # answers waiting for a slow socket; the oldest is dropped first


class Port(Protocol):
    """The connection that a viewer writes to."""

    @property
    def unsent(self) -> int:
        """The number of messages not yet handed to the network."""

    def send(self, data: bytes | str) -> None:
        """Send one message: bytes as a binary one."""

    def fail(self) -> None:
        """Close the connection; the deck connects again."""

    def sign_out(self) -> None:
        """Close the connection; the page asks for a token."""


class _OpenView:
    __slots__ = ("pacing", "request", "shared", "stated")

    def __init__(self, request: OpenView, shared: SharedView) -> None:
        self.request = request
        self.shared = shared
        self.pacing = Pacing(request.fps)
        self.stated = -1  # version of what was said of its formula


class Viewer:
    """Serves one deck.

    Args:
        shared: what all viewers share.
        port: the connection to the deck.
        login: who is logged in; nothing is sent that their token may not see.
    """

    def __init__(self, shared: SharedViews, port: Port, login: Login = EVERYBODY) -> None:
        self.login = login
        self.hidden = True  # until the first hello
        self._shared = shared
        self._port = port
        self._views: dict[int, _OpenView] = {}
        self._faults: dict[int, FormulaState] = {}  # by the number of a view that could not be opened
        self._directory_version = -1
        self._alarms_version = self._thresholds_version = -1
        self._events_version: EventsVersion | None = None
        self._status: object = None
        self._status_tick = 0
        self._waiting: deque[str] = deque(maxlen=_MAX_WAITING)
        self._range_spans: dict[int, tuple[float, float]] = {}  # by lane
        self._ranges: deque[tuple[int, bytes]] = deque(maxlen=LANES * MAX_VIEWS)

    def close(self) -> None:
        """Close its views and cancel its requests."""
        for view in self._views.values():
            self._shared.unwatch(view.shared)
        self._views.clear()
        self._shared.look(self, ())
        self._shared.cancel_ranges(self)
        self._shared.requests.cancel(self)
        self._waiting.clear()
        self._ranges.clear()

    def receive(self, message: str | bytes) -> None:
        """Handle one message of the deck.

        Raises:
            InvalidInput: it is not a message of docs/view-frame.md.
        """
        if isinstance(message, str) and message.startswith("a"):
            self._acknowledge(message)
            return
        match request := decode_message(message):
            case Hello():
                self._hello(hidden=request.hidden)
            case OpenView():
                self._open(request)
            case CloseView():
                self._close_view(request.view)
            case RangeRequest():
                series = self._shared.visible(request.series, self.login)
                span, lane = (request.start_ms, request.end_ms), request.lane
                if span != self._range_spans.get(lane):
                    self._range_spans[lane] = span
                    self._shared.cancel_ranges(self, lane)
                    self._ranges = deque((one for one in self._ranges if one[0] != lane), self._ranges.maxlen)
                self._shared.answer_range(self, msgspec.structs.replace(request, series=list(series or ())))
            case Look(series=series_on_screen):
                self._shared.look(self, series_on_screen)
            case Hidden():
                self.hidden = request.hidden
            case Retry():
                self._shared.source.feed.retry_now()
            case _:
                self._shared.requests.start(self, request)

    def tick(self) -> None:
        """Send what is due; called once per tick."""
        if self.hidden:
            return
        self._send_waiting()
        self._send_texts()
        for number, view in self._views.items():
            if view.pacing.tick(self._shared.seq):
                self._send_frame(number, view)

    def send_range(self, frame: bytes, lane: int = 0) -> None:
        """Send a range of its lane's newest window, once the tab is visible and the socket accepts it."""
        self._ranges.append((lane, frame))
        while sum(len(one) for _, one in self._ranges) > _MAX_RANGE_BYTES and len(self._ranges) > 1:
            self._ranges.popleft()
        if not self.hidden:
            self._send_waiting()

    def fail(self) -> None:
        """Close the port; the deck connects again."""
        self._port.fail()

    def sign_out(self) -> None:
        """Close the port: the token has expired or was revoked."""
        self._port.sign_out()

    def send_formula(self, state: FormulaState) -> None:
        """Send what there is of a formula, once the tab is visible."""
        if not self.hidden:
            self._send_text(state)

    def send_problem(self, reason: str) -> None:
        """Show a sentence to the person, unless the socket is slow."""
        if not self._port.unsent:
            self._send_text(Problem(reason=reason))

    def _send_text(self, message: PythonMessage) -> None:
        self._port.send(encode_message(message))

    def answer(self, message: Answer | Refused) -> None:
        """Send the answer to a request once the socket accepts it; if many wait, the oldest is dropped."""
        self._waiting.append(encode_message(message))
        self._send_waiting()

    def _hello(self, *, hidden: bool) -> None:
        self.hidden = hidden
        self._directory_version = self._alarms_version = self._thresholds_version = -1
        self._events_version = None
        self._status = None
        for view in self._views.values():
            view.pacing.restart()
            view.stated = -1
        if not hidden:
            self._send_texts()  # first: they are skipped while anything is unsent, and frames refer to the directory
            for fault in self._faults.values():
                self._send_text(fault)
            self._port.send(self._shared.snippet)
            for number, view in self._views.items():
                self._send_frame(number, view)

    def _open(self, request: OpenView) -> None:
        self._close_view(request.view)
        if request.formula is None:
            series, formula = self._shared.visible(request.series, self.login), None
        else:
            series, formula = (), FormulaKey(request.formula, self.login.narrowed_to, request.summary)
        try:
            shared = self._shared.watch(ViewKey(series, request.window_ms, request.buckets, formula), self.login)
        except InvalidFormula as error:
            self._faults[request.view] = fault_state(request, error)
            self.send_formula(self._faults[request.view])
            return
        shared.everything = request.series is None
        view = self._views[request.view] = _OpenView(request, shared)
        if not self.hidden:
            self._send_texts()
            self._send_frame(request.view, view)

    def _add_new_series(self) -> None:
        """Add new series to the views of everything that this viewer may see."""
        if not self.login.narrowed_to:
            return  # an unrestricted view contains new series anyway
        for view in list(self._views.values()):
            if view.request.series is None and view.shared.key.series != self._shared.visible(None, self.login):
                self._open(view.request)

    def _close_view(self, number: int) -> None:
        self._faults.pop(number, None)
        view = self._views.pop(number, None)
        if view is not None:
            self._shared.unwatch(view.shared)

    def _acknowledge(self, message: str) -> None:
        number, seq = parse_acknowledgement(message)
        view = self._views.get(number)
        if view is not None and view.pacing.acknowledged(seq, self._shared.clock_ms()) and not self.hidden:
            self._send_frame(number, view)

    def _send_frame(self, number: int, view: _OpenView) -> None:
        if not self._shared.ready(view.shared):
            return  # the next tick asks again
        self._shared.pack(view.shared)
        live = view.shared.live
        if isinstance(live, FormulaWindow) and live.version != view.stated:
            view.stated = live.version
            self._send_text(live.state(str(view.request.formula)))  # first: the frame has the indices of its series
        self._port.send(view.shared.live.frame(number, view.pacing.since))
        view.pacing.sent(self._shared.seq, self._shared.clock_ms())

    def _send_waiting(self) -> None:
        while self._waiting and self._port.unsent < _MAX_UNSENT:
            self._port.send(self._waiting.popleft())
        while self._ranges and self._port.unsent < _MAX_UNSENT:
            self._port.send(self._ranges.popleft()[1])

    def _send_texts(self) -> None:
        """Send the directory, events, thresholds, alarms and status that the deck does not have yet."""
        if self._port.unsent:
            return
        shared, store = self._shared, self._shared.source.store
        if self._directory_version != store.directory_version:
            message, self._directory_version = shared.directory_message(self._directory_version, self.login)
            self._port.send(message)
            self._add_new_series()
        if self._events_version != shared.alarms.events_version:
            message, self._events_version = shared.events_message(self._events_version, self.login)
            self._port.send(message)
        alarms, may_see = shared.alarms, self.login.may_see if self.login.narrowed_to else None
        if self._thresholds_version != alarms.thresholds_version:
            self._thresholds_version = alarms.thresholds_version
            self._send_text(alarms.thresholds_message(may_see))
        if self._alarms_version != alarms.version:
            self._alarms_version = alarms.version
            self._send_text(alarms.alarms_message(may_see))
        state = (shared.source.feed.status, shared.source.health)
        if state != self._status or shared.seq - self._status_tick >= _STATUS_EVERY_TICKS:
            self._status, self._status_tick = state, shared.seq
            now_ms = shared.clock_ms()
            lag_ms = max((view.pacing.lag_ms(now_ms) for view in self._views.values()), default=0.0)
            self._port.send(shared.status_message(lag_ms, self.login))
