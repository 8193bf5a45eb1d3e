"""The cursor of a log of several partitions as text: it survives, is short, and what is none is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewire.errors import InvalidCursor
from tidewire.model.cursor import Cursor, id_from_ms
from tidewire.model.vector_cursor import EPOCH_CHARS, Component, VectorCursor, base62, parse_cursor

_NOW_MS = 1_800_000_000_000
_MONTH_MS = 30 * 86_400_000
_LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz"

epochs = st.text(alphabet=_LETTERS, min_size=7, max_size=7)
ids = st.builds(id_from_ms, st.integers(0, (1 << 48) - 1), st.integers(0, (1 << 32) - 1))
cursors = st.builds(Cursor, epochs, ids)


@st.composite
def vectors(draw: st.DrawFn) -> VectorCursor:
    partitions = draw(st.lists(st.integers(0, 7), min_size=1, max_size=8, unique=True))
    return VectorCursor.of(draw(st.integers(1, 999)), [(number, draw(cursors)) for number in partitions])


@given(vectors())
def test_a_vector_survives_its_text_in_order_but_for_the_end_of_its_epochs(vector: VectorCursor) -> None:
    text = str(vector)
    parsed = parse_cursor(text)
    assert isinstance(parsed, VectorCursor)
    assert parsed.layout == vector.layout
    assert parsed.parts == tuple(
        Component(number, Cursor(cursor.epoch[:EPOCH_CHARS], cursor.id)) for number, cursor in vector.parts
    )
    assert parsed.own.partition == vector.parts[0].partition, "that of the event comes first"
    assert str(parsed) == text


@given(vectors())
def test_it_is_safe_in_a_header_and_is_no_cursor_of_one_partition(vector: VectorCursor) -> None:
    text = str(vector)
    assert text.isascii()
    assert text.isprintable()
    assert not set(text) & set(" ,;\"'\\&=?#%")
    with pytest.raises(InvalidCursor):
        Cursor.parse(text)


@given(cursors)
def test_a_cursor_of_one_partition_is_what_it_always_was(cursor: Cursor) -> None:
    text = str(cursor)
    assert parse_cursor(text) == Cursor.parse(text) == cursor
    assert str(parse_cursor(text)) == text
    assert not text.startswith("_")


@given(
    partitions=st.permutations(range(8)),
    idle_ms=st.lists(st.integers(0, _MONTH_MS), min_size=7, max_size=7),
    epoch=epochs,
)
def test_eight_partitions_of_which_seven_are_idle_for_a_month_fit_into_124_bytes(
    partitions: list[int], idle_ms: list[int], epoch: str
) -> None:
    times_ms = [_NOW_MS, *(_NOW_MS - ms for ms in idle_ms)]
    parts = [
        (number, Cursor(epoch, id_from_ms(ms, 61 if place else 3_843)))
        for place, (number, ms) in enumerate(zip(partitions, times_ms, strict=True))
    ]
    assert len(str(VectorCursor.of(1, parts))) <= 124


def test_one_component_takes_twenty_bytes() -> None:
    assert len(str(VectorCursor.of(1, [(3, Cursor("abcdefg", id_from_ms(_NOW_MS, 0)))]))) <= 20


@pytest.mark.parametrize("number", [0, 1, 61, 62, 3_843, 3_844, 1 << 48])
def test_base_62_counts(number: int) -> None:
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    total = 0
    for digit in base62(number):
        total = total * 62 + digits.index(digit)
    assert total == number


GOOD = str(VectorCursor.of(1, [(0, Cursor("abcdefg", id_from_ms(_NOW_MS, 5))), (1, Cursor("hijklmn", 0))]))


@pytest.mark.parametrize(
    "text",
    [
        "_",
        "_1",
        "_1.",
        "_1.W3bGR2a",
        "_.W3bGR2a.0abcde",
        "_1..0abcde",
        "_1.0.0abcd",  # an epoch that is too short
        "_1.0.0abcde1",  # before all time
        "_1.0.0ab de",
        "_1.0.0abcd\u00e9",
        "_1.0.0abcde-",
        "_1.0.0abcde-\u0661",
        "_1.0.0abcde--1",
        "_1.0.0abcde-zzzzzzzzz",
        "_1.zzzzzzzzzzzz.0abcde",
        "_12345.0.0abcde",
        "_1.0.0abcde.0fghij",  # a partition twice
        "_1.0." + ".".join(f"{number}abcde" for number in "012345678"),
        "_1.0.0abcde" + "0" * 300,
        GOOD + ".",
        GOOD + "\n",
        " " + GOOD,
    ],
)
def test_a_text_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidCursor, match="leave it out to start anew"):
        parse_cursor(text)


@given(st.text(max_size=60).map("_".__add__) | st.text(alphabet="_.-0aZz", max_size=40).map("_1.".__add__))
def test_no_text_does_more_harm_than_to_be_refused(text: str) -> None:
    try:
        parsed = parse_cursor(text)
    except InvalidCursor:
        return
    assert parse_cursor(str(parsed)) == parsed
