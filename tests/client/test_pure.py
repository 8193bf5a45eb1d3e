"""Batches, cursors, patterns, series keys and settings: properties, and refusals that say what to do."""

from __future__ import annotations

import contextlib
import json
import math
import re
import time
import unicodedata
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from waiting import generous

from tidewire.errors import InvalidCursor, InvalidInput, InvalidPattern, LimitExceeded
from tidewire.model.batch import (
    IngestLimits,
    checked_labels,
    checked_name,
    checked_time_ms,
    decode_batch,
    encode_batch,
    labels_of_series_key,
    make_batch,
    series_key,
)
from tidewire.model.csv_escape import inert, original
from tidewire.model.cursor import Cursor, id_from_ms, id_ms, id_text, parse_id
from tidewire.model.durations import parse_duration_ms, parse_time_ms
from tidewire.model.pattern import compile_pattern
from tidewire.model.sse import Decoder
from tidewire.redislog.keys import Keys
from tidewire.settings import ClientSettings, Option, load_settings, settings_table
from tidewire_service.ingest.body import read_rows
from tidewire_service.ingest.json_rows import json_rows

NOW_MS = 1_763_871_234_567.125
levels = (
    st.text(
        st.characters(
            codec="utf-8", exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp", "Cn", "Co"), exclude_characters="*?[]/"
        ),
        min_size=1,
        max_size=12,
    )
    .map(lambda text: unicodedata.normalize("NFC", text))
    .filter(lambda text: text and text == text.strip() and not set(text) & set("*?[]/"))
)
names = st.lists(levels, min_size=1, max_size=4).map("/".join).filter(lambda name: len(name.encode()) <= 255)
values = st.floats(allow_nan=True, allow_infinity=True) | st.integers(-(2**60), 2**60) | st.booleans() | st.none()


@given(
    names, st.lists(values, min_size=1, max_size=20), st.dictionaries(levels, st.text("aé €", max_size=5), max_size=3)
)
def test_a_batch_survives_its_encoding_on_one_line(metric: str, column: list[Any], labels: dict[str, str]) -> None:
    batch = make_batch(metric, column, labels=labels, unit="Cel", now_ms=NOW_MS)
    encoded = encode_batch(batch)
    assert b"\n" not in encoded.body
    assert b"\r" not in encoded.body
    json.loads(encoded.body, parse_constant=lambda token: pytest.fail(f"the bare token {token}"))
    decoded = decode_batch(encoded.body)
    assert decoded == batch
    assert list(decoded.labels) == sorted(labels)
    for given_, kept in zip(column, decoded.value, strict=True):
        if given_ is None or not math.isfinite(given_):
            assert kept is None
        else:
            assert kept == float(given_)
    assert decode_batch(encoded.last).value == [batch.value[-1]]
    assert labels_of_series_key(encoded.series) == labels


@pytest.mark.parametrize(
    ("metric", "why"),
    [
        ("", "is empty"),
        ("/a", "starts or ends"),
        ("a/", "starts or ends"),
        ("a//b", "empty level"),
        ("a\nb", "control"),
        ("a\u2028b", "LINE SEPARATOR"),
        ("\ufeffa", "control, format"),
        ("a\u202eb", "control, format"),
        ("a\ud800", "surrogate"),
        ("a*", "reserved for patterns"),
        ("e\u0301", "normal form C"),
        ("ä" * 128, "256 bytes"),
        (" a", "begins or ends with a blank"),
        ("a/b ", "begins or ends with a blank"),
        (" ", "begins or ends with a blank"),
        ("a\u00a0", "begins or ends with a blank"),
        ("\u3000a", "begins or ends with a blank"),
        ("a\u2009", "begins or ends with a blank"),
    ],
)
def test_a_bad_name_is_refused_with_its_reason(metric: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why) as caught:
        checked_name(metric)
    assert caught.value.field == "metric"


def test_a_name_may_hold_a_blank_and_a_label_may_not_begin_or_end_with_one() -> None:
    assert checked_name("tank 1/inner temperature") == "tank 1/inner temperature"
    assert checked_labels({"site name": " A "}) == {"site name": " A "}, "a value is as it was given"
    for name in (" site", "site ", "site\u00a0", " "):
        with pytest.raises(InvalidInput, match="begins or ends with a blank"):
            checked_labels({name: "A"})


@given(st.text(max_size=12), st.sampled_from([*" \u00a0\u1680\u2000\u2003\u200a\u202f\u205f\u3000"]), st.booleans())
def test_no_blank_of_unicode_ends_a_name(text: str, blank: str, first: bool) -> None:
    with pytest.raises(InvalidInput):
        checked_name(blank + text if first else text + blank)


@pytest.mark.parametrize(
    ("time", "hint"),
    [
        ("2016-12-31T12:00:60Z", "RFC 3339"),
        ("2016-12-31T23:59:60+01:00", "RFC 3339"),
        ("2016-12-31T23:59:61Z", "RFC 3339"),
        ("2016-12-31T23:60:00Z", "RFC 3339"),
        ("2016-12-31T23:59:60", "no time zone"),
        ("9999-12-31T23:59:60Z", "RFC 3339"),
        ("z", "RFC 3339"),
        (1_763_871_234, "1970 as milliseconds; did you mean seconds"),
        (1_763_871_234_567_125, "microseconds"),
        (1_763_871_234_567_125_000, "nanoseconds"),
        (0, "between 1990"),
        (float("nan"), "between 1990"),
        ("2026-01-31T12:00:00", "no time zone"),
        ("yesterday", "RFC 3339"),
        (datetime(2026, 1, 31), "no time zone"),  # noqa: DTZ001 - the point
        (True, "expected milliseconds"),
        ([1], "expected milliseconds"),
    ],
)
def test_an_implausible_time_is_refused_with_a_hint_and_never_guessed(time: Any, hint: str) -> None:
    with pytest.raises(InvalidInput, match=hint):
        checked_time_ms(time, now_ms=NOW_MS)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2016-12-31T23:59:59Z", 1_483_228_799_000.0),
        ("2016-12-31t23:59:59z", 1_483_228_799_000.0),
        ("2016-12-31 23:59:59z", 1_483_228_799_000.0),
        ("2016-12-31T23:59:59.5z", 1_483_228_799_500.0),
        ("2016-12-31T23:59:59.123456789z", 1_483_228_799_123.456),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000.0),
        ("2016-12-31t23:59:60z", 1_483_228_800_000.0),
        ("2016-12-31T23:59:60.25Z", 1_483_228_800_250.0),
        ("2016-12-31T23:59:60+00:00", 1_483_228_800_000.0),
        ("2016-12-31T15:59:60-08:00", 1_483_228_800_000.0),
        ("2017-01-01T05:29:60+05:30", 1_483_228_800_000.0),
        ("2016-12-31T23:59:59-00:00", 1_483_228_799_000.0),
        ("1990-12-31T15:59:60-08:00", 662_688_000_000.0),
    ],
)
def test_every_form_of_rfc_3339_is_a_time(text: str, meant: float) -> None:
    assert checked_time_ms(text, now_ms=NOW_MS) == meant
    assert parse_time_ms("start", text, NOW_MS) == meant


def test_times_people_have_are_milliseconds_afterwards() -> None:
    assert checked_time_ms("2025-11-23T04:13:54.567125Z", now_ms=NOW_MS) == pytest.approx(NOW_MS, abs=1e-3)
    assert checked_time_ms(datetime.fromtimestamp(NOW_MS / 1e3, UTC), now_ms=NOW_MS) == pytest.approx(NOW_MS, abs=1e-3)
    assert checked_time_ms(np.float64(NOW_MS), now_ms=NOW_MS) == NOW_MS


@pytest.mark.parametrize(
    ("time", "hint"),
    [
        (pd.NaT, "is not a time"),
        (np.datetime64("2025-11-23T04:13:54"), "has no time zone"),
        (pd.Timestamp("2025-11-23T04:13:54"), "tz_localize"),
    ],
)
def test_times_of_pandas_and_numpy_that_are_none_say_why(time: Any, hint: str) -> None:
    with pytest.raises(InvalidInput, match=hint):
        checked_time_ms(time, now_ms=NOW_MS)


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (np.zeros((2, 3)), r"^value array\(\[\[0., 0., 0.\], \[0., 0., 0.\]\]\): has the shape \(2, 3\)"),
        (pd.DataFrame({"a": [1]}), r"publish_frame\(\)"),
        ({"loss": 1}, r"log\(\)"),
        (np.complex128(1j), "got complex128"),
    ],
)
def test_a_shape_that_another_call_takes_says_which(value: Any, hint: str) -> None:
    with pytest.raises(InvalidInput, match=hint):
        make_batch("a", value, now_ms=NOW_MS)


def test_what_pandas_calls_missing_is_no_number() -> None:
    nullable = pd.Series([1, None, 3], dtype="Int64")
    assert make_batch("a", nullable, now_ms=NOW_MS).value == [1.0, None, 3.0]
    assert make_batch("a", pd.NA, now_ms=NOW_MS).value == [None]


@pytest.mark.parametrize("value", ["1", b"1", [], {}, object(), 10**400])
def test_a_value_that_is_no_number_is_refused(value: Any) -> None:
    with pytest.raises((InvalidInput, LimitExceeded)):
        make_batch("a", value if value != [] else [[]], now_ms=NOW_MS)


@pytest.mark.parametrize(
    "wrong",
    [{"unit": {}}, {"unit": 0}, {"unit": False}, {"labels": []}, {"labels": 0}, {"labels": ""}, {"text": {"a": 1}}],
    ids=str,
)
def test_what_is_empty_but_of_another_type_is_refused(wrong: dict[str, Any]) -> None:
    """Schemathesis found it: an empty object went for no unit."""
    with pytest.raises(InvalidInput):
        make_batch("a", [1.0], **wrong, now_ms=NOW_MS)
    body = msgspec.json.encode({"metric": "a", "value": [1.0], **wrong})
    for row in (body, body.replace(b"[1.0]", b"1.0")):
        intake = read_rows(row, json_rows, IngestLimits(), 10, NOW_MS)
        assert not intake.batches


@given(st.text() | st.from_regex(r"'{0,3}\s?[=+\-@]\S{0,3}", fullmatch=True) | st.floats().map(str))
def test_a_cell_that_is_marked_is_read_back_as_it_was(cell: str) -> None:
    marked = inert(cell)
    assert original(marked) == cell
    assert not re.match(r"\s*[=@]|[\t\r\n]", marked)
    if re.match(r"[+\-]", marked):
        float(marked)


def test_numpy_columns_and_scalars_are_taken() -> None:
    batch = make_batch("a", np.array([1.5, np.nan], dtype=np.float32), time=np.array([NOW_MS, NOW_MS]), now_ms=NOW_MS)
    assert batch.value == [1.5, None]
    assert make_batch("a", np.int64(3), now_ms=NOW_MS).value == [3.0]


def test_columns_of_unequal_length_are_refused() -> None:
    with pytest.raises(InvalidInput, match="equally long"):
        make_batch("a", [1, 2], time=[NOW_MS], now_ms=NOW_MS)


def test_limits_name_themselves() -> None:
    with pytest.raises(LimitExceeded, match="readings: 3 is more than the 2"):
        make_batch("a", [1, 2, 3], limits=IngestLimits(readings=2), now_ms=NOW_MS)
    with pytest.raises(LimitExceeded, match="labels"):
        make_batch("a", 1, labels={"a": "1", "b": "2"}, limits=IngestLimits(labels=1))
    with pytest.raises(LimitExceeded, match="batch_bytes"):
        encode_batch(make_batch("a", 1, text="x" * 300), IngestLimits(batch_bytes=256))


def test_the_last_reading_is_the_newest_by_time() -> None:
    batch = make_batch("a", [1, 2, 3], time=[NOW_MS - 1, NOW_MS, NOW_MS - 2], text=["x", None, "y"], now_ms=NOW_MS)
    assert decode_batch(encode_batch(batch).last).value == [2.0]


@given(st.dictionaries(levels, st.text(max_size=5).filter(lambda t: t.isprintable()), max_size=4))
def test_a_series_key_does_not_depend_on_the_order_of_labels(labels: dict[str, str]) -> None:
    assert series_key(labels) == series_key(dict(reversed(labels.items())))
    assert labels_of_series_key(series_key(labels)) == labels


@given(st.integers(0, 2**47), st.integers(0, 2**32 - 1), st.from_regex(r"[0-9a-z]{7}", fullmatch=True))
def test_a_cursor_survives_its_text_and_is_safe_in_a_header(ms: int, n: int, epoch: str) -> None:
    cursor = Cursor(epoch, id_from_ms(ms, n))
    text = str(cursor)
    assert Cursor.parse(text) == cursor
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,40}", text)
    assert parse_id(id_text(cursor.id)) == cursor.id
    assert id_ms(cursor.id) == ms


@pytest.mark.parametrize(
    "text", ["", "x", "a.b", "a.b-", "a.-b", "é.1-1", "a.1-1\n", "a b.1-1", "a." + "z" * 30 + "-1", "a.1-zzzzzzzz"]
)
def test_a_cursor_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidCursor, match="cursor"):
        Cursor.parse(text)


def reference(pattern: list[str], metric: list[str]) -> bool:
    """The meaning of a pattern, level by level, slow and obvious."""
    if not pattern:
        return not metric
    if pattern[0] == "**":
        return any(reference(pattern[1:], metric[n:]) for n in range(len(metric) + 1))
    return (
        bool(metric)
        and bool(re.fullmatch(".*".join(map(re.escape, pattern[0].split("*"))), metric[0]))
        and reference(pattern[1:], metric[1:])
    )


pattern_levels = st.sampled_from(["a", "b", "ab", "*", "a*", "*b", "a*b", "a*b*a", "*ab*", "**"])


@given(
    st.lists(pattern_levels, min_size=1, max_size=4),
    st.lists(st.sampled_from(["a", "b", "ab", "aab", "abb", "abba"]), min_size=1, max_size=5),
)
@example(["**", "**", "a"], ["a"])
@example(["a", "**"], ["a"])
def test_a_pattern_matches_as_its_meaning_says(pattern: list[str], metric: list[str]) -> None:
    assert compile_pattern("/".join(pattern)).matches("/".join(metric)) == reference(pattern, metric)


@pytest.mark.parametrize("pattern", ["", "/a", "a//b", "a**", "**b", "a?b", "[a]", "a\n", "x" * 256])
def test_a_pattern_that_is_none_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidPattern):
        compile_pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "metric"),
    [
        ("*a" * 127, "a" * 254 + "b"),
        ("*a" * 60 + "*b", "a" * 255),
        ("*" + "a" * 120 + "b*", "a" * 255),
        ("*a" * 20 + "/**/*a*" + "a*" * 40 + "/**/b", "/".join(["a" * 80] * 3)),
        ("**/a/" * 50 + "b", "a/" * 127 + "a"),
        ("**/*a*a/" + "*a*a/" * 40 + "b/**", "aa/" * 84 + "c"),
        ("**/" + "*/" * 100 + "b", "a/" * 127 + "c"),
        ("**/" + "a" * 100 + "b/**", "a" * 120 + "/" + "a" * 120),
    ],
)
def test_no_pattern_makes_matching_slow(pattern: str, metric: str) -> None:
    compiled = compile_pattern(pattern)
    took_s = []
    for _ in range(20):
        began = time.thread_time()  # not the clock: other processes cost nothing
        assert not compiled.matches(metric)
        took_s.append(time.thread_time() - began)
    assert min(took_s) < generous(0.002), "a match takes less than 2 ms, and mostly a hundredth of that"


def test_keys_are_those_of_the_contract() -> None:
    keys = Keys()
    assert keys.clock == "tw:{0}:clock"
    assert keys.log("a/b") == "tw:{0}:log:a/b"
    assert (keys.live, keys.tail, keys.inbox, keys.inbox_channels) == ("tw:{0}:live", "tw:{0}:tail", "tw:in", "tw:in:*")
    assert keys.inbox_metric("tw:in:a/b") == "a/b"
    other = Keys(database=1)
    assert (other.live, other.inbox, other.inbox_channels) == ("tw:{0}:live:1", "tw:in", "tw:1:in:*")
    assert other.inbox_metric("tw:1:in:a/b") == "a/b"
    assert other.clock == keys.clock
    with pytest.raises(InvalidInput, match="braces"):
        Keys("t{w")


class _Settings(msgspec.Struct, frozen=True, kw_only=True):
    size: Annotated[int, Option("how many", minimum=1, maximum=9)] = 3
    names: Annotated[tuple[str, ...], Option("which")] = ()
    key: Annotated[str, Option("a secret", secret=True)] = ""


def test_settings_are_default_then_environment_then_given() -> None:
    assert load_settings(_Settings, environ={}).size == 3
    assert load_settings(_Settings, environ={"TIDEWIRE_SIZE": "4", "TIDEWIRE_NAMES": "a, b"}) == _Settings(
        size=4, names=("a", "b")
    )
    assert load_settings(_Settings, {"size": 5}, {"TIDEWIRE_SIZE": "4"}).size == 5
    with pytest.raises(InvalidInput, match="TIDEWIRE_SIZE '10': must be at most 9"):
        load_settings(_Settings, environ={"TIDEWIRE_SIZE": "10"})
    with pytest.raises(InvalidInput, match="--size 'x'"):
        load_settings(_Settings, {"size": "x"}, {})
    assert [row.environment for row in settings_table(_Settings)] == ["TIDEWIRE_SIZE", "TIDEWIRE_NAMES", "TIDEWIRE_KEY"]


def test_a_secret_is_in_no_error() -> None:
    class Strict(msgspec.Struct, frozen=True):
        key: Annotated[int, Option("a secret", secret=True)] = 0

    with pytest.raises(InvalidInput) as caught:
        load_settings(Strict, environ={"TIDEWIRE_KEY": "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_client_settings_have_the_defaults_of_the_contract() -> None:
    settings = load_settings(ClientSettings, environ={})
    assert (settings.redis, settings.url) == ("redis://127.0.0.1:6379", "http://127.0.0.1:8000")


# -- whatever comes in: taken, or refused with one of our own errors

ODD = "ab*/.-\0\r\n\u2028\u202e\ud8000-9z%{}[]\"'"
anything = st.text() | st.text(st.sampled_from(ODD)) | st.from_regex(r"\w+\.\w+-\w+")


@given(anything)
def test_any_text_is_a_name_a_pattern_a_cursor_and_a_span_or_is_refused_on_one_line(text: str) -> None:
    for read in (checked_name, compile_pattern, Cursor.parse, lambda given: parse_duration_ms("every", given)):
        try:
            found = read(text)
        except (InvalidInput, LimitExceeded) as error:
            assert str(error).isprintable(), read  # noqa: PT017 - either outcome is right
        else:
            assert not isinstance(found, Cursor) or Cursor.parse(str(found)) == found
            forbidden = {"Cc", "Cf", "Cs", "Zl", "Zp"}
            assert read is not checked_name or not forbidden & {unicodedata.category(each) for each in text}


@given(st.binary() | st.text().map(lambda text: text.encode(errors="surrogatepass")))
def test_any_bytes_are_a_batch_and_events_or_are_refused(data: bytes) -> None:
    with contextlib.suppress(InvalidInput, LimitExceeded):
        batch = decode_batch(data)
        assert decode_batch(encode_batch(batch).body) == batch
    whole = list(Decoder().feed(data))
    for event in whole:
        assert "\r" not in event.data
        assert "\0" not in event.id
    pieces = Decoder()
    assert [each for byte in data for each in pieces.feed(bytes([byte]))] == whole
