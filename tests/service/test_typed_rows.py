"""Property: a body is read the same by the fast reader of rows without faults and by the one that words faults."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewire.errors import InvalidInput, LimitExceeded
from tidewire.model.batch import IngestLimits
from tidewire_service.ingest.json_rows import json_rows, ndjson_rows
from tidewire_service.ingest.rows import Intake, collect
from tidewire_service.ingest.typed_rows import TypedRows, typed_json, typed_ndjson

NOW_MS = 1_763_871_234_567.0
LIMITS = IngestLimits(readings=4, labels=2, batch_bytes=300)
MAX_ROWS = 12
TIME = st.floats(NOW_MS - 1e9, NOW_MS) | st.integers(int(NOW_MS) - 1_000, int(NOW_MS) + 1_000)
NUMBER = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**20), 10**20)
ODD: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | NUMBER | st.text(max_size=3) | st.lists(NUMBER | st.none() | st.booleans(), max_size=3)
)
ROW = st.fixed_dictionaries(
    {"metric": st.sampled_from(["a", "b/c", "bad*", "", "µ/°C", "e\u0301"]) | st.just("a")},
    optional={
        "value": NUMBER | st.none() | st.lists(NUMBER | st.none(), max_size=5) | ODD,
        "time": TIME | st.none() | st.just("2025-11-22T10:00:00.5Z") | st.lists(TIME, max_size=5) | ODD,
        "unit": st.sampled_from(["Cel", "", "\n", None]) | ODD,
        "labels": st.dictionaries(st.sampled_from(["b", "a", "c", "/"]), st.sampled_from(["1", "", "\x07"])) | ODD,
        "text": st.none() | st.sampled_from(["deploy", "x" * 400]) | st.lists(st.text(max_size=3)) | ODD,
        "step": st.none() | NUMBER | st.lists(NUMBER, max_size=5) | ODD,
        "x": ODD,
    },
)
PLAIN = st.fixed_dictionaries(
    {"metric": st.sampled_from(["a", "b/c", "c"]), "value": NUMBER | st.none()},
    optional={
        "time": TIME,
        "labels": st.dictionaries(st.sampled_from(["b", "a"]), st.sampled_from(["1", "2"])),
        "text": st.sampled_from(["deploy", "x" * 250]) | st.none(),
        "step": NUMBER,
    },
)


def slowly(body: bytes, *, lines: bool = False) -> Intake | None:
    try:
        return collect((ndjson_rows if lines else json_rows)(body), LIMITS, MAX_ROWS, NOW_MS)
    except (InvalidInput, LimitExceeded):
        return None


@given(st.lists(ROW | PLAIN, max_size=14) | ROW | PLAIN)
def test_whatever_is_read_fast_is_read_the_same(rows: Any) -> None:
    body = json.dumps(rows).encode()
    fast = TypedRows(LIMITS, MAX_ROWS).intake(body, typed_json, NOW_MS)
    assert fast is None or fast == slowly(body)


@given(st.lists(PLAIN, min_size=1, max_size=12))
def test_rows_without_faults_are_read_fast(rows: list[dict[str, Any]]) -> None:
    reader = TypedRows(LIMITS, MAX_ROWS)
    body, lines = msgspec.json.encode(rows), b"\n".join(map(msgspec.json.encode, rows))
    for _ in range(2):  # with series that are new, and seen before
        fast = reader.intake(body, typed_json, NOW_MS)
        assert fast is None or fast == slowly(body)
        assert fast == reader.intake(lines, typed_ndjson, NOW_MS)
        if all(len(row.get("text") or "") < 200 for row in rows):
            assert fast is not None


@pytest.mark.parametrize("name", ["value", "time", "step", "text", "labels", "unit", "metric"])
@pytest.mark.parametrize("odd", [True, "x", [], {}, [1, "2"], [True], 1e300, -(10**400), {"a": 1}, [None], "1e3"])
def test_no_odd_field_is_read_otherwise(name: str, odd: Any) -> None:
    for row in (
        {"metric": "m", "value": 1.5, name: odd},
        {"metric": "m", "value": [1, 2], "time": [NOW_MS] * 2, name: odd},
    ):
        body = json.dumps([row, {"metric": "m", "value": 2}]).encode()
        fast = TypedRows(LIMITS, MAX_ROWS).intake(body, typed_json, NOW_MS)
        assert fast is None or fast == slowly(body)


NO_ROWS = [
    b"", b"[]", b"{}", b"null", b"[1]", b" [{}]", b'{"metric":"m","value":1}x', b"\xff", b"[" * 90_000,
    b'{"metric":"\\ud800","value":1}',
]  # fmt: skip


@pytest.mark.parametrize("body", NO_ROWS)
def test_what_is_no_list_of_rows_is_left_to_the_other_reader(body: bytes) -> None:
    for read in (typed_json, typed_ndjson):
        assert TypedRows(LIMITS, MAX_ROWS).intake(body, read, NOW_MS) is None


def test_series_seen_before_are_bounded() -> None:
    reader = TypedRows(IngestLimits(), 40_000)
    for first in range(0, 120_000, 40_000):
        rows = [{"metric": f"m/{n}", "value": 1} for n in range(first, first + 40_000)]
        assert reader.intake(json.dumps(rows).encode(), typed_json, NOW_MS) is not None
        assert len(reader._known) < 110_000


def test_series_with_long_labels_are_not_remembered() -> None:
    """65,536 of 16 KiB would be a gigabyte; within a body they are one series all the same."""
    reader = TypedRows(IngestLimits(), 1_000)
    labels = {f"{n:02}{'l' * 200}": "v" * 200 for n in range(32)}
    rows = [{"metric": "m", "value": n, "labels": labels} for n in range(5)]
    intake = reader.intake(json.dumps(rows).encode(), typed_json, NOW_MS)
    assert intake is not None
    assert [batch.readings for batch in intake.batches] == [5]
    assert reader._known == {}


@pytest.mark.parametrize("body", [b'{"metric":"m","value":1}{"metric":"m","value":1}', b'{"metric":"m",\n"value":1}'])
def test_a_row_has_a_line_of_its_own(body: bytes) -> None:
    assert TypedRows(LIMITS, MAX_ROWS).intake(body, typed_ndjson, NOW_MS) is None


def test_labels_in_another_order_are_the_same_series() -> None:
    rows = [
        {"metric": "m", "value": 1, "labels": {"a": "1", "b": "2"}},
        {"metric": "m", "value": 2, "labels": {"b": "2", "a": "1"}},
    ]
    body = json.dumps(rows).encode()
    assert TypedRows(LIMITS, MAX_ROWS).intake(body, typed_json, NOW_MS) == slowly(body)
