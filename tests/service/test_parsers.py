"""Properties: whatever comes in, parsers refuse with a reason or give what was meant."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewire.commands import replay
from tidewire.errors import InvalidInput, LimitExceeded, TidewireError
from tidewire.model.batch import IngestLimits, decode_batch
from tidewire.model.bucket_steps import step_for
from tidewire.model.csv_rows import parse_number
from tidewire.model.durations import parse_duration_ms
from tidewire_service.history.buckets import Buckets
from tidewire_service.history.rates import Rates
from tidewire_service.ingest.body import INGEST_FORMATS, checked_format, read_rows, unpacked
from tidewire_service.ingest.csv_rows import csv_rows
from tidewire_service.ingest.rows import collect
from tidewire_service.web.origin_guard import host_name
from tidewire_service.web.query import parse_query

NOW_MS = 1_763_871_234_567.0
MAX_BYTES = 1 << 20
FORMATS = [form.media_types[0] for form in INGEST_FORMATS]
TEXT = st.text(st.characters(codec="utf-8"), max_size=40)
NAME = st.from_regex(r"[a-z]{1,5}(/[a-z]{1,5}){0,2}", fullmatch=True)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
ROW = st.dictionaries(
    st.sampled_from(["metric", "value", "time", "unit", "labels", "text", "step", "x"]), JSON, max_size=7
)
GOOD_ROW = st.fixed_dictionaries(
    {"metric": NAME, "value": st.floats(allow_nan=False, allow_infinity=False) | st.none()},
    optional={
        "time": st.floats(NOW_MS - 1e9, NOW_MS),
        "unit": st.sampled_from(["Cel", "%", "By/s"]),
        "labels": st.dictionaries(
            st.from_regex(r"[a-z]{1,4}", fullmatch=True), st.sampled_from(["A", "ß", 'x"y', ""]), max_size=3
        ),
        "text": st.none() | TEXT,
        "step": st.none() | st.integers(0, 1_000),
    },
)


@given(st.binary(max_size=200), st.sampled_from(FORMATS), st.booleans())
def test_any_bytes_are_rows_or_a_refusal(body: bytes, media_type: str, packed: bool) -> None:
    try:
        text = unpacked(body, MAX_BYTES) if packed else body
        intake = read_rows(text, checked_format(media_type).rows, IngestLimits(), 1_000, NOW_MS)
    except (InvalidInput, LimitExceeded) as error:
        assert str(error)  # noqa: PT017 - either outcome is right
        return
    assert intake.batches or intake.rejected


@given(st.lists(ROW | JSON, min_size=1, max_size=6))
def test_any_json_rows_are_each_taken_or_named(rows: list[object]) -> None:
    intake = collect(rows, IngestLimits(), 1_000, NOW_MS)  # type: ignore[arg-type]  # what JSON may hold
    taken = [row for rows_ in intake.rows for row in rows_]
    refused = [rejected.row for rejected in intake.rejected]
    assert sorted(taken + refused) == list(range(len(rows)))
    for batch in intake.batches:
        decoded = decode_batch(batch.body)
        assert len(decoded) == batch.readings
        assert b"\n" not in batch.body
        assert b"\r" not in batch.body


@given(st.lists(GOOD_ROW, min_size=1, max_size=30), st.integers(1, 5))
def test_flat_rows_lose_nothing_and_keep_their_order(rows: list[dict[str, object]], readings: int) -> None:
    limits = IngestLimits(readings=readings)
    intake = collect(rows, limits, 1_000, NOW_MS)
    assert intake.rejected == []
    found: list[tuple[int, object, object, object]] = []
    for batch, numbers in zip(intake.batches, intake.rows, strict=True):
        decoded = decode_batch(batch.body)
        assert len(decoded) <= readings
        assert list(numbers) == sorted(numbers)
        for place, number in enumerate(numbers):
            text = decoded.text[place] if decoded.text else None
            found.append((number, decoded.metric, decoded.value[place], text))
    found.sort()
    assert found == [
        (number, row["metric"], None if row["value"] is None else float(row["value"]), row.get("text"))  # type: ignore[arg-type]
        for number, row in enumerate(rows)
    ]


@given(
    st.lists(
        st.fixed_dictionaries(
            {"metric": NAME, "value": st.floats(allow_nan=False, allow_infinity=False), "site": TEXT, "text": TEXT}
        ),
        min_size=1,
        max_size=10,
    )
)
def test_what_a_csv_writer_writes_is_read_back(rows: list[dict[str, object]]) -> None:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, ["metric", "value", "site", "text"], lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    found = list(csv_rows(out.getvalue().encode()))
    for row, expected in zip(found, rows, strict=True):
        assert isinstance(row, dict)
        assert (row["metric"], row["value"]) == (expected["metric"], expected["value"])
        assert row.get("labels", {}).get("site", "") == expected["site"]
        assert row.get("text", "") == expected["text"]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_read_as_it_was_written(number: float) -> None:
    assert parse_number("value", repr(number)) == number


@given(st.text(max_size=30))
def test_any_text_is_a_number_or_a_refusal(text: str) -> None:
    try:
        number = parse_number("value", text)
    except InvalidInput as error:
        assert error.reason  # noqa: PT017 - either outcome is right
        return
    assert number is None or math.isfinite(number)


@pytest.mark.parametrize("text", ["1_0", "٣", "0x10", "1,5", "1e", "--1", "e5", ".", "1 2", "１"])  # noqa: RUF001
def test_what_only_python_reads_as_a_number_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_number("value", text)


CELLS = [
    ("1", 1.0), ("-1.5e3", -1500.0), (" 2 ", 2.0), ("true", 1.0), ("False", 0.0), ("", None), ("null", None),
    ("nan", None), ("-inf", None), ("1_000", InvalidInput), ("1,5", InvalidInput), ("yes", InvalidInput),
    ("1e999", InvalidInput),
]  # fmt: skip


@pytest.mark.parametrize(("cell", "expected"), CELLS, ids=repr)
def test_a_cell_means_the_same_to_the_service_and_to_replay(cell: str, expected: object, tmp_path: Path) -> None:
    text = f'metric,time,value,step,site\na,1700000000000,"{cell}","{cell}",A\n'
    (tmp_path / "x.csv").write_text(text)
    (posted,) = csv_rows(text.encode())
    if expected is InvalidInput:
        assert isinstance(posted, InvalidInput)
        with pytest.raises(InvalidInput, match="line 2: value"):
            replay.read_rows(tmp_path / "x.csv")
        return
    (replayed,) = replay.read_rows(tmp_path / "x.csv")
    assert isinstance(posted, dict)
    assert (posted["value"], posted.get("step"), posted["labels"]) == (expected, expected, {"site": "A"})
    assert (replayed.value, replayed.step, replayed.labels) == (expected, expected, {"site": "A"})


@given(st.binary(max_size=200))
def test_any_query_is_read_or_refused(query: bytes) -> None:
    try:
        found = parse_query(query)
        found.patterns(10, default="**")
        found.labels()
        found.time_ms("start", NOW_MS)
        found.number("points", 1, 100)
    except TidewireError as error:
        assert str(error)  # noqa: PT017 - either outcome is right


@pytest.mark.parametrize(
    ("text", "span_ms"), [("5m", 300e3), ("1.5s", 1_500), ("250ms", 250), ("2h", 7_200e3), ("1d", 86_400e3)]
)
def test_spans(text: str, span_ms: float) -> None:
    assert parse_duration_ms("replay", text) == span_ms


@pytest.mark.parametrize(
    ("authority", "name"),
    [
        ("localhost", "localhost"), ("Localhost:80", "localhost"), ("[::1]:80", "::1"), ("[::1]", "::1"), ("a:", "a"),
        ("", None), (":80", None), ("a:b", None), ("a:8:0", None), ("[::1", None), ("[::1]x", None), ("a:٣", None),
    ],
)  # fmt: skip
def test_host_names(authority: str, name: str | None) -> None:
    assert host_name(authority) == name


@given(st.floats(1, 1e12), st.integers(1, 5_000))
def test_a_step_is_round_and_wide_enough(span_ms: float, points: int) -> None:
    step_ms = step_for(span_ms, points)
    assert step_ms * points >= span_ms * (1 - 1e-12)
    assert 86_400_000 % step_ms == 0 or step_ms % 86_400_000 == 0
    assert step_ms == 1 or step_ms < 2.6 * span_ms / points or step_ms % 86_400_000 == 0


READINGS = st.lists(st.tuples(st.integers(0, 5_000), st.floats(-1e6, 1e6) | st.just(math.nan)), min_size=1, max_size=60)


@given(READINGS, st.integers(1, 2_000), st.integers(1, 10))
def test_buckets_are_what_plain_arithmetic_says_however_they_are_filled(
    readings: list[tuple[int, float]], step_ms: int, parts: int
) -> None:
    buckets = Buckets(step_ms)
    for part in range(parts):
        some = readings[part * len(readings) // parts : (part + 1) * len(readings) // parts]
        buckets.add(np.array([t for t, _ in some], np.float64), np.array([v for _, v in some], np.float64))
    found = buckets.columns()
    places = sorted({t // step_ms for t, _ in readings})
    assert found.time.tolist() == [place * step_ms for place in places]
    for row, place in enumerate(places):
        inside = [(t, v) for t, v in readings if t // step_ms == place]
        numbers = [v for _, v in inside if not math.isnan(v)]
        newest = max(t for t, _ in inside)
        last = [v for t, v in inside if t == newest][-1]
        assert found.counts[row] == len(inside)
        assert found.last[row] == last or (math.isnan(last) and math.isnan(found.last[row]))
        if numbers:
            assert found.min[row] == min(numbers)
            assert found.max[row] == max(numbers)
            assert found.mean[row] == pytest.approx(sum(numbers) / len(numbers), abs=1e-6)
        else:
            assert math.isnan(found.min[row])
            assert math.isnan(found.mean[row])


def test_rates_are_readings_per_second_of_the_last_minute() -> None:
    now = [0.0]
    rates = Rates(lambda: now[0])

    def body(metric: str, count: int, labels: dict[str, str] | None = None, unit: str = "") -> bytes:
        batch: dict[str, Any] = {
            "metric": metric,
            **({"labels": labels} if labels else {}),
            **({"unit": unit} if unit else {}),
        }
        batch |= {"time": list(range(count)), "value": [1] * count}
        return json.dumps(batch, separators=(",", ":")).encode()

    rates.observe(body("m", 3))
    assert rates.per_second()("m", "{}") is None
    for _ in range(100):
        now[0] += 1
        rates.observe(body("m", 2))
        rates.observe(body("m", 1, {"a": ',"time":[1,2],'}, unit="Cel"))
    rate = rates.per_second()
    assert rate("m", "{}") == pytest.approx(2, rel=0.05)
    assert rate("m", json.dumps({"a": ',"time":[1,2],'}, separators=(",", ":"))) == pytest.approx(1, rel=0.05)
    assert rate("unseen", "{}") == 0
    rates.observe(b"no batch")
    now[0] += 30
    assert rates.per_second()("m", "{}") == pytest.approx(1, rel=0.15)
    now[0] += 60
    rates.observe(body("other", 1))
    assert rates.per_second()("m", "{}") == 0
