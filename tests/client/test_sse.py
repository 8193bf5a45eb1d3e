"""The decoder by the examples of the specification, under every chunking; the encoder against injection."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewire.errors import LimitExceeded
from tidewire.model.sse import HEARTBEAT, Decoder, ServerEvent, encode_event, encode_retry


def decoded(stream: bytes, chunk: int = 0) -> list[ServerEvent]:
    decoder = Decoder()
    chunks = [stream[n : n + chunk] for n in range(0, len(stream), chunk)] if chunk else [stream]
    return [event for part in chunks for event in decoder.feed(part)]


SPECIFICATION = {
    "data_lines_are_joined": (b"data: YHOO\ndata: +2\ndata: 10\n\n", [("message", "YHOO\n+2\n10", "")]),
    "comments_ids_and_an_event_cut_at_the_end": (
        b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event",
        [("message", "first event", "1"), ("message", "second event", "")],
    ),
    "empty_data_is_data": (b"data\n\ndata\ndata\n\ndata:", [("message", "", ""), ("message", "\n", "")]),
    "one_space_after_the_colon_is_taken_away": (b"data:test\n\ndata: test\n\n", [("message", "test", "")] * 2),
    "line_ends_of_three_kinds": (b"data: a\r\ndata: b\rdata: c\n\r\n", [("message", "a\nb\nc", "")]),
    "a_byte_order_mark_at_the_start": (b"\xef\xbb\xbfdata: a\n\n", [("message", "a", "")]),
    "utf8": ("data: grüße €𝄞\n\n".encode(), [("message", "grüße €𝄞", "")]),
    "an_id_with_nul_is_ignored": (
        b"id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n",
        [("message", "a", "1"), ("message", "b", "1")],
    ),
    "an_id_stays_until_another_and_an_empty_one_takes_it_away": (
        b"id: 1\ndata: a\n\ndata: b\n\nid:\ndata: c\n\n",
        [("message", "a", "1"), ("message", "b", "1"), ("message", "c", "")],
    ),
    "a_colon_alone_and_a_comment_are_nothing": (b":\n: hello\n:x:y\ndata: a\n\n", [("message", "a", "")]),
    "a_byte_order_mark_later_is_text": (
        "data: a\n\ndata: \ufeffb\n\n".encode(),
        [("message", "a", ""), ("message", "\ufeffb", "")],
    ),
    "bytes_that_are_no_utf8_are_replaced": (b"data: a\xffb\n\n", [("message", "a\ufffdb", "")]),
    "an_empty_name_is_message": (b"event: add\nevent:\ndata: x\n\n", [("message", "x", "")]),
    "a_retry_among_fields": (b"retry: 10\ndata: x\n\n", [("message", "x", "")]),
    "a_name": (b"event: add\ndata: 73857293\n\ndata: x\n\n", [("add", "73857293", ""), ("message", "x", "")]),
    "no_data_no_event": (b"event: add\nid: 3\n\ndata: x\n\n", [("message", "x", "3")]),
    "unknown_fields_are_ignored": (b"foo: bar\ndata: x\nbar\n\n", [("message", "x", "")]),
    "a_heartbeat_is_nothing": (
        b"data: x\n\n" + HEARTBEAT + b"data: y\n\n",
        [("message", "x", ""), ("message", "y", "")],
    ),
}


@pytest.mark.parametrize("chunk", [0, 1, 2, 3, 7])
@pytest.mark.parametrize("name", SPECIFICATION)
def test_specification(name: str, chunk: int) -> None:
    stream, expected = SPECIFICATION[name]
    assert [(e.event, e.data, e.id) for e in decoded(stream, chunk)] == expected


@pytest.mark.parametrize("name", SPECIFICATION)
def test_wherever_the_bytes_are_cut_the_events_are_the_same(name: str) -> None:
    stream, _ = SPECIFICATION[name]
    whole = decoded(stream)
    for first in range(len(stream) + 1):
        for second in range(first, len(stream) + 1):
            decoder = Decoder()
            parts = (stream[:first], stream[first:second], stream[second:])
            assert [event for part in parts for event in decoder.feed(part)] == whole, (first, second)


def test_retry_is_taken_from_digits_only() -> None:
    decoder = Decoder()
    list(decoder.feed(encode_retry(2500)))
    assert decoder.retry_ms == 2500
    list(decoder.feed(b"retry: 1x\n\nretry: -3\n\n"))
    assert decoder.retry_ms == 2500


def test_the_id_of_a_cut_event_is_not_committed() -> None:
    decoder = Decoder()
    list(decoder.feed(b"id: 1\ndata: a\n\nid: 2\ndata: b\n"))
    assert decoder.last_event_id == "1", "the event was never dispatched: resuming behind it would lose it"


def test_an_event_without_end_is_refused() -> None:
    decoder = Decoder(max_event_bytes=100)
    with pytest.raises(LimitExceeded):
        list(decoder.feed(b"data: " + b"x" * 200))


texts = st.text(max_size=40)


def naive(stream: str) -> list[tuple[str, str]]:
    """A second parser, written from the grammar alone: blocks of lines, fields up to the first colon."""
    events = []
    for block in re.split(r"\n\n", re.sub(r"\r\n?", "\n", stream))[:-1]:
        fields = [line.split(":", 1) for line in block.split("\n") if line and not line.startswith(":")]
        data = [f[1].removeprefix(" ") if len(f) > 1 else "" for f in fields if f[0] == "data"]
        ids = [f[1].removeprefix(" ") for f in fields if f[0] == "id"]
        if data:
            events.append((ids[-1] if ids else "", "\n".join(data)))
    return events


@given(texts, st.integers(1, 9))
def test_two_parsers_agree_on_what_the_encoder_wrote_whatever_the_data(data: str, chunk: int) -> None:
    encoded = encode_event(data.encode(), id_="epoch.1-1")
    lines = data.replace("\r\n", "\n").replace("\r", "\n")
    assert [(e.own_id, e.data) for e in decoded(encoded, chunk)] == [("epoch.1-1", lines)]
    assert naive(encoded.decode()) == [("epoch.1-1", lines)], "no data can start a field or an event of its own"
