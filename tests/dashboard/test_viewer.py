"""Viewers in a room: what each is sent, by a port that records; the source is real, its thread is not started."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest
from waiting import Eventually

from tidewire.errors import InvalidInput, ServiceUnavailable
from tidewire.livestore.history_cache import HistoryCache
from tidewire.livestore.live_view import LiveView
from tidewire.livestore.view_frame import DELTA, RANGE, SNAPSHOT, unpack_frame
from tidewire.livestore.window import BEYOND
from tidewire.model.batch import Batch
from tidewire.model.states import Live, Stalled
from tidewire_dashboard.login import EVERYBODY, Login
from tidewire_dashboard.settings import DashboardSettings
from tidewire_dashboard.shared_views import SharedViews
from tidewire_dashboard.source import Source
from tidewire_dashboard.viewer import Viewer

NOWHERE = "http://127.0.0.1:9"


class Port:
    """Records what is sent."""

    def __init__(self) -> None:
        self.unsent = 0
        self.sent: list[bytes | str] = []
        self.failed = False

    def send(self, data: bytes | str) -> None:
        self.sent.append(data)

    def fail(self) -> None:
        self.failed = True

    def drain(self) -> list[bytes | str]:
        drained, self.sent = self.sent, []
        return drained

    def frames(self) -> list[bytes]:
        return [data for data in self.drain() if isinstance(data, bytes)]

    def texts(self) -> list[dict[str, Any]]:
        return [json.loads(data) for data in self.drain() if isinstance(data, str)]


class Rig:
    """A room with a source that the test writes to."""

    def __init__(self) -> None:
        self.source = Source(DashboardSettings(url=NOWHERE))
        self.store = self.source.store
        self.store.covered_from_ms = 0
        self.history_cache = HistoryCache(NOWHERE)
        self.shared = SharedViews(self.source, self.history_cache, redis="redis://127.0.0.1:6379")
        self.ids = 0

    def put(self, metric: str, *values: float, text: str | None = None) -> None:
        now_ms, self.ids = time.time() * 1e3, self.ids + 1
        times = [now_ms - 100 * (len(values) - n) for n in range(len(values))]
        texts = None if text is None else [text] * len(values)
        self.store.append(
            Batch(metric=metric, time=times, value=list(values), text=texts), int(now_ms) << 32 | self.ids
        )

    def viewer(self) -> tuple[Viewer, Port]:
        port = Port()
        viewer = Viewer(self.shared, port)
        self.shared.viewers.add(viewer)
        return viewer, port

    def ticks(self, count: int) -> None:
        for _ in range(count):
            self.shared.tick()


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    rig = Rig()
    yield rig
    await rig.shared.close()
    await rig.history_cache.close()


HELLO = '{"t":"hello","page":"deck","hidden":false}'


def view(number: int = 0, series: list[int] | None = None, fps: int = 10) -> str:
    return json.dumps({"t": "view", "view": number, "series": series, "window_ms": 60_000, "buckets": 62, "fps": fps})


async def test_hello_brings_everything_and_then_a_snapshot_of_every_view(rig: Rig) -> None:
    rig.put("m", 1.0, 2.0)
    rig.put("annotations", 0.0, text="deploy v2")
    viewer, port = rig.viewer()
    viewer.receive(view(1))
    assert port.drain() == [], "before its hello a viewer is sent nothing"
    viewer.receive(HELLO)
    sent = port.drain()
    texts = [json.loads(data) for data in sent if isinstance(data, str)]
    assert [text["t"] for text in texts] == ["series", "events", "thresholds", "alarms", "status", "snippet"]
    assert texts[5] == {"t": "snippet", "url": NOWHERE, "redis": "redis://127.0.0.1:6379"}
    assert texts[0]["full"]
    assert texts[0]["series"][0] == {"i": 0, "metric": "m", "labels": {}, "unit": "", "colour": 2}
    assert texts[1]["events"][0] | {"time_ms": 0} == {
        "time_ms": 0,
        "text": "deploy v2",
        "metric": "annotations",
        "labels": {},
    }
    assert texts[4]["state"] == "connecting"
    assert texts[4]["metrics"] == 2
    assert isinstance(sent[-1], bytes)
    assert unpack_frame(sent[-1]).kind == SNAPSHOT
    assert unpack_frame(sent[-1]).records["index"].tolist() == [0, 1]


async def test_two_viewers_of_one_view_are_sent_the_same_bytes_object(rig: Rig) -> None:
    rig.put("m", *[1.0] * 40)
    ports = []
    for _ in range(2):
        viewer, port = rig.viewer()
        viewer.receive(HELLO)
        viewer.receive(view(0, [0]))
        ports.append(port)
    first, second = (port.frames() for port in ports)
    assert first[0] is second[0]
    for connected in rig.shared.viewers:
        assert isinstance(connected, Viewer)
        connected.receive(f"a0:{rig.shared.seq}")
    rig.put("m", 2.0)
    rig.ticks(1)
    first, second = (port.frames() for port in ports)
    assert unpack_frame(first[0]).kind == DELTA
    assert first[0] is second[0]


async def test_a_viewer_that_does_not_acknowledge_costs_one_frame_and_others_go_on(rig: Rig) -> None:
    rig.put("m", *[1.0] * 40)
    slow, slow_port = rig.viewer()
    quick, quick_port = rig.viewer()
    for viewer in (slow, quick):
        viewer.receive(HELLO)
        viewer.receive(view(0, [0]))
    slow_port.drain()
    quick_port.drain()
    quick.receive(f"a0:{rig.shared.seq}")
    for n in range(20):
        rig.put("m", float(n))
        rig.ticks(1)
        assert len(quick_port.frames()) == 1
        quick.receive(f"a0:{rig.shared.seq}")
    assert slow_port.frames() == []
    slow.receive("a0:1")
    frame = unpack_frame(slow_port.frames()[0])
    assert frame.kind == DELTA, "one frame with all it missed"
    assert frame.records["last_value"][0] == 19.0


async def test_a_hidden_viewer_is_sent_nothing_and_one_snapshot_on_its_return(rig: Rig) -> None:
    rig.put("m", 1.0)
    viewer, port = rig.viewer()
    viewer.receive(HELLO)
    viewer.receive(view(0, [0]))
    viewer.receive('{"t":"hidden","hidden":true}')
    port.drain()
    rig.put("n", 2.0)
    rig.ticks(50)
    viewer.receive(f"a0:{rig.shared.seq}")
    assert port.drain() == []
    viewer.receive(HELLO)
    sent = port.drain()
    assert [unpack_frame(data).kind for data in sent if isinstance(data, bytes)] == [SNAPSHOT]


async def test_texts_wait_for_a_network_that_is_behind_and_then_say_what_holds(rig: Rig) -> None:
    viewer, port = rig.viewer()
    viewer.receive(HELLO)
    port.drain()
    port.unsent = 1
    for name in range(5):
        rig.put(f"m{name}", 1.0)
        rig.ticks(20)
    assert port.drain() == []
    port.unsent = 0
    rig.ticks(1)
    texts = port.texts()
    assert [text["t"] for text in texts] == ["series", "status"]
    assert [series["i"] for series in texts[0]["series"]] == [0, 1, 2, 3, 4]
    assert not texts[0]["full"]


def range_of(id_: int, start_ms: float, lane: int = 0) -> str:
    asked = {"t": "range", "id": id_, "series": [], "start_ms": start_ms, "end_ms": start_ms + 1_000, "buckets": 9}
    asked["lane"] = lane
    return json.dumps(asked)


async def test_ranges_of_one_window_are_all_answered_and_another_window_replaces_them(
    rig: Rig, eventually: Eventually
) -> None:
    rig.put("m", 1.0, 2.0, 3.0)
    viewer, port = rig.viewer()
    viewer.receive(HELLO)
    port.drain()
    for n in range(3):
        viewer.receive(range_of(n, 5_000.0))
    for n in range(3, 6):
        viewer.receive(range_of(n, 9_000.0))
    found: list[int] = []
    await eventually(lambda: found.extend(frame[26] for frame in port.frames()) or len(found) >= 3)
    await asyncio.sleep(0.05)
    found.extend(frame[26] for frame in port.frames())
    assert sorted(found) == [3, 4, 5]


async def test_a_range_of_another_lane_replaces_none(rig: Rig, eventually: Eventually) -> None:
    rig.put("m", 1.0, 2.0, 3.0)
    viewer, port = rig.viewer()
    viewer.receive(HELLO)
    port.drain()
    for n, (start_ms, lane) in enumerate([(5_000.0, 0), (4_000.0, 1), (3_000.0, 2), (9_000.0, 0), (8_000.0, 1)]):
        viewer.receive(range_of(n, start_ms, lane))
    found: list[int] = []
    await eventually(lambda: found.extend(frame[26] for frame in port.frames()) or len(found) >= 3)
    assert sorted(found) == [2, 3, 4]


async def test_answers_wait_for_a_network_that_is_behind_the_newest_range_only(rig: Rig) -> None:
    viewer, port = rig.viewer()
    viewer.receive(HELLO)
    port.drain()
    port.unsent = 12
    viewer.answer({"t": "decks", "decks": []})
    viewer.receive(range_of(7, 500, lane=1))
    viewer.send_range(b"compared with", 1)
    viewer.receive(range_of(1, 0))
    viewer.send_range(b"older")
    viewer.receive(range_of(2, 1_000))
    viewer.send_range(b"newer")
    viewer.receive(range_of(3, 1_000))
    viewer.send_range(b"of charts of another width")
    rig.ticks(3)
    assert port.drain() == []
    port.unsent = 0
    rig.ticks(1)
    sent = port.drain()
    assert sent[:4] == ['{"t":"decks","decks":[]}', b"compared with", b"newer", b"of charts of another width"]
    assert b"older" not in sent


async def test_the_status_comes_once_a_second_and_tells_the_lag(rig: Rig) -> None:
    now = [0.0]
    rig.shared.clock_ms = lambda: now[0]
    rig.put("m", 1.0)
    viewer, port = rig.viewer()
    viewer.receive(HELLO)
    viewer.receive(view(0, [0]))
    port.drain()
    for _ in range(30):
        now[0] += 100
        rig.ticks(1)
    lags = [text["lag_ms"] for text in port.texts() if text["t"] == "status"]
    assert lags == [900, 1900, 2900]


async def test_views_are_shared_while_watched_and_forgotten_after(rig: Rig) -> None:
    rig.put("m", 1.0)
    viewers = [rig.viewer()[0] for _ in range(3)]
    for viewer in viewers:
        viewer.receive(HELLO)
        viewer.receive(view(0, [0]))
        viewer.receive(view(1))
    assert len(rig.shared._views) == 2
    viewers[0].receive('{"t":"close","view":0}')
    for viewer in viewers[1:]:
        viewer.close()
    assert len(rig.shared._views) == 1
    viewers[0].close()
    assert rig.shared._views == {}


async def test_one_viewer_that_cannot_be_served_does_not_disturb_the_others(rig: Rig) -> None:
    rig.put("m", 1.0)
    broken, broken_port = rig.viewer()
    _, well_port = viewer = rig.viewer()
    for one in (broken, viewer[0]):
        one.receive(HELLO)
        one.receive(view(0, [0], fps=10))
    seq = rig.shared.seq
    broken_port.send = lambda _: 1 / 0  # type: ignore[method-assign,assignment]
    for one in (broken, viewer[0]):
        if one is not broken:
            one.receive(f"a0:{seq}")
    well_port.drain()
    rig.ticks(10)
    assert broken_port.failed
    assert well_port.frames()


async def test_a_range_is_answered_from_memory(rig: Rig, eventually: Eventually) -> None:
    rig.put("m", 1.0, 2.0, 3.0)
    viewer, port = rig.viewer()
    viewer.receive(HELLO)
    port.drain()
    end_ms = time.time() * 1e3
    asked = {
        "t": "range",
        "id": 65_543,
        "series": [0, 99],
        "start_ms": end_ms - 30_000,
        "end_ms": end_ms,
        "buckets": 40,
    }
    viewer.receive(json.dumps(asked))
    await eventually(lambda: any(isinstance(data, bytes) for data in port.sent))
    frame = unpack_frame(port.frames()[0])
    assert (frame.kind, frame.view, frame.step_ms) == (RANGE, 7, 750)
    assert frame.records["index"].tolist() == [0]


async def test_a_range_that_memory_does_not_hold_says_when_the_history_is_away(
    rig: Rig, eventually: Eventually
) -> None:
    rig.store.covered_from_ms = time.time() * 1e3 - 1_000
    rig.put("m", 1.0)
    viewer, port = rig.viewer()
    viewer.receive(HELLO)
    port.drain()
    asked = {"t": "range", "id": 1, "series": [0], "start_ms": 1.79e12, "end_ms": 1.79e12 + 30_000, "buckets": 40}
    viewer.receive(json.dumps(asked))
    await eventually(lambda: len(port.sent) == 2)
    assert "history could not be read" in port.texts()[0]["reason"]


@pytest.mark.parametrize(
    "message",
    [
        "",
        "a",
        "a0",
        "a0:x",
        "a0:1:2",
        "{}",
        "[]",
        '{"t":"nothing"}',
        '{"t":"view","view":64,"series":null,"window_ms":1000,"buckets":10}',
        '{"t":"view","view":0,"series":[-1],"window_ms":1000,"buckets":10}',
        '{"t":"view","view":0,"series":null,"window_ms":4e10,"buckets":10}',
        '{"t":"view","view":0,"series":null,"window_ms":1000,"buckets":1e9}',
        '{"t":"view","view":0,"series":null,"window_ms":1000,"buckets":10,"fps":0}',
        '{"t":"range","id":1,"series":[0],"start_ms":null,"end_ms":1,"buckets":10}',
        b"\xff\xfe",
        "[" * 10_000,
    ],
)
async def test_what_is_no_message_is_refused_with_its_reason(rig: Rig, message: str | bytes) -> None:
    viewer, port = rig.viewer()
    viewer.receive(HELLO)
    with pytest.raises(InvalidInput, match="message"):
        viewer.receive(message)
    rig.ticks(1)
    assert not port.failed


async def test_a_view_of_unknown_series_is_empty_and_not_an_error(rig: Rig) -> None:
    viewer, port = rig.viewer()
    viewer.receive(HELLO)
    viewer.receive(view(0, [7, 8]))
    assert unpack_frame(port.frames()[0]).body.shape == (0, 62 + BEYOND)


class Past:
    """Records whose past is asked for, in the place of a reader."""

    reason = ""

    def __init__(self) -> None:
        self.wanted: list[list[int]] = []
        self.paces: set[int] = set()

    def want(self, indices: Iterable[int], from_ms: float) -> bool:
        self.wanted.append(list(indices))
        return bool(self.wanted[-1])

    def want_paces(self, indices: Iterable[int]) -> None:
        self.paces |= set(indices)


def _unknown(rig: Rig, monkeypatch: pytest.MonkeyPatch, count: int) -> Past:
    past = Past()
    monkeypatch.setattr(rig.source.feed, "past", past)
    for n in range(count):
        rig.put(f"{'a' if n % 2 else 'b'}/m{n}", 1.0)
        rig.store.series[n].known_from_ms = time.time() * 1e3
    return past


def _draw(rig: Rig, viewer: Viewer, port: Port, ticks: int) -> None:
    """Let time pass for a deck that acknowledges what it is sent."""
    for _ in range(ticks):
        rig.ticks(1)
        for frame in map(unpack_frame, port.frames()):
            viewer.receive(f"a{frame.view}:{frame.seq}")


def _look(*series: int) -> str:
    return json.dumps({"t": "look", "series": series})


async def test_the_past_of_what_is_on_the_screen_comes_first_and_of_very_many_nothing_else(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    past = _unknown(rig, monkeypatch, 450)
    viewer, port = rig.viewer()
    viewer.receive(HELLO)
    viewer.receive(view(1))
    assert past.wanted == [[]], "nobody sees all of 450"
    viewer.receive(_look(7, 400, 9_999))
    _draw(rig, viewer, port, 3)
    assert past.wanted[-1] == [7, 400]
    assert past.paces == {7, 400}
    viewer.receive(view(0, [3, 4, 7]))
    assert past.wanted[-1] == [7, 3, 4], "all of what a view names, on-screen ones first"
    viewer.close()
    assert rig.shared.looked_at == {}


async def test_a_login_that_sees_some_metrics_asks_for_the_past_of_those_only(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    past = _unknown(rig, monkeypatch, 6)
    port = Port()
    viewer = Viewer(rig.shared, port, Login(name="a", subscribe=("a/**",)))
    rig.shared.viewers.add(viewer)
    viewer.receive(HELLO)
    viewer.receive(view(1))
    assert past.wanted[-1] == [1, 3, 5]
    viewer.receive(_look(0, 1, 2, 3))
    assert rig.shared.looked_at[viewer] == {1, 3}


async def test_a_login_is_told_of_late_series_that_it_may_see(rig: Rig) -> None:
    for metric in ("a/1", "b/1", "b/2"):
        rig.put(metric, 0.0)
    feed = rig.source.feed
    feed._note_state(Stalled(partition=0, metrics=("a/1", "b/1", "b/2"), since_ms=5.0))

    def late(*subscribe: str) -> Any:
        login = Login(name="x", subscribe=subscribe) if subscribe else EVERYBODY
        return json.loads(rig.shared.status_message(0.0, login))["late"]

    assert "3 series" in late()["text"]
    assert "1 series" in late("a/**")["text"]
    assert late("c/**") is None
    feed._note_state(Live())
    assert late() is not None, "it is not said that this partition answers"
    feed._note_state(Live(stalled=()))
    assert late() is None


async def test_the_past_of_events_is_asked_for_though_nobody_looks_at_them(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    past = _unknown(rig, monkeypatch, 2)
    rig.put("annotations", 0.0, text="deploy")
    viewer, _ = rig.viewer()
    viewer.receive(HELLO)
    rig.ticks(11)
    assert [2] in past.wanted


async def test_a_window_longer_than_memory_comes_from_the_history_once_the_past_is_here(
    rig: Rig, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    past = _unknown(rig, monkeypatch, 1)
    filled: list[float] = []

    async def fill(live: LiveView, _now_ms: float) -> None:
        filled.append(live.window_ms)
        raise ServiceUnavailable("it is away")

    monkeypatch.setattr(rig.history_cache, "fill", fill)
    viewer, port = rig.viewer()
    viewer.receive(HELLO)
    viewer.receive(view(0, [0]).replace("60000", "7200000"))
    await asyncio.sleep(0)
    assert past.wanted[-1] == [0]
    assert filled == []
    monkeypatch.setattr(past, "want", lambda *_: False)
    viewer.receive(_look(0))
    _draw(rig, viewer, port, 3)
    await eventually(lambda: filled == [7_200_000.0])
    port.drain()
    rig.ticks(11)
    assert port.texts()[-1]["past_reason"] == "it is away"
