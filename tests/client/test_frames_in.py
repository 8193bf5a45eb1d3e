"""The shapes of pandas that are published: times and labels are what the cells say, or the whole frame is refused."""

from __future__ import annotations

import datetime
import logging
import time
from collections.abc import Iterable, Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from servers import Valkey
from waiting import HANG_S

import tidewire
from tidewire.errors import InvalidInput, LimitExceeded
from tidewire.model.batch import Batch, decode_batch, make_batch
from tidewire.redislog.calls import pairs
from tidewire.redislog.log import BlockingRedisLog

TIMES = pd.date_range("2026-01-31T12:00:00Z", periods=3, freq="s")
MS = [1769860800000.0, 1769860801000.0, 1769860802000.0]
LARGE = 2**60


class Recorder(tidewire.Publisher):
    """A publisher that keeps what it is given."""

    def __init__(self) -> None:
        super().__init__("redis://127.0.0.1:1")
        self.batches: list[Batch] = []

    def publish_batches(self, batches: Iterable[Batch], *, default_time: bool = False) -> None:
        self.batches += batches


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    yield recorder
    recorder.close(0.1)


def arrow(values: Any, kind: pa.DataType) -> Any:
    return pd.array(values, dtype=pd.ArrowDtype(kind))


USED = {
    "aware": TIMES,
    "another zone": TIMES.tz_convert("America/New_York"),
    "microseconds": TIMES.as_unit("us"),
    "objects": pd.Index(list(TIMES), dtype=object),
    "datetimes": pd.Index([stamp.to_pydatetime() for stamp in TIMES], dtype=object),
    "mixed zones": pd.Index([TIMES[0], TIMES[1].tz_convert("Asia/Tokyo"), TIMES[2]], dtype=object),
    "Arrow": pd.Index(arrow(list(TIMES), pa.timestamp("ns", "UTC"))),
    "integers": pd.Index([int(ms) for ms in MS]),
    "unsigned": pd.Index([int(ms) for ms in MS], dtype="uint64"),
    "nullable": pd.Index([int(ms) for ms in MS], dtype="Int64"),
    "Arrow integers": pd.Index(arrow([int(ms) for ms in MS], pa.int64())),
    "floats": pd.Index(MS),
    "texts": pd.Index([stamp.isoformat() for stamp in TIMES]),
    "categories": pd.CategoricalIndex(TIMES),
    "named": TIMES.rename("when"),
}
REFUSED = {
    "naive": (TIMES.tz_localize(None), "time zone"),
    "Period": (pd.period_range("2026-01-31T12:00", periods=3, freq="s"), "to_timestamp"),
    "naive objects": (pd.Index([datetime.datetime(2026, 1, 31)] * 3, dtype=object), "time zone"),  # noqa: DTZ001
    "naive Arrow": (pd.Index(arrow(list(TIMES.tz_localize(None)), pa.timestamp("ns"))), "time zone"),
    "NaT": (pd.DatetimeIndex([TIMES[0], pd.NaT, TIMES[2]]), "not a time"),
    "NA": (pd.Index(arrow([1769860800000, None, 1769860800001], pa.int64())), "expected milliseconds"),
    "None": (pd.Index([TIMES[0], None, TIMES[2]], dtype=object), "expected|not a time"),
    "NaN": (pd.Index([MS[0], np.nan, MS[2]]), "between 1990"),
    "row numbers": (pd.Index([0, 2, 5]), "between 1990"),
    "seconds": (pd.Index([1769860800, 1769860801, 1769860802]), "did you mean seconds"),
    "texts": (pd.Index(["a", "b", "c"]), "RFC 3339"),
    "dates": (pd.Index([datetime.date(2026, 1, 31)] * 3, dtype=object), "expected milliseconds"),
    "Timedelta": (pd.timedelta_range("0s", periods=3), "expected milliseconds"),
    "intervals": (pd.interval_range(0, 3), "expected milliseconds"),
    "booleans": (pd.Index([True, False, True]), "expected milliseconds"),
    "MultiIndex": (pd.MultiIndex.from_arrays([["A", "B", "C"], TIMES], names=["site", "time"]), "expected|reset_index"),
    "far ahead": (pd.date_range("2099-01-01", periods=3, tz="UTC"), "between 1990"),
}


@pytest.mark.parametrize("kind", USED)
def test_the_times_of_an_index_are_used(recorder: Recorder, kind: str) -> None:
    assert make_batch("m", pd.Series([1, 2, 3], index=USED[kind])).time == MS
    tidewire.publish_frame(pd.DataFrame({"m": [1, 2, 3]}, index=USED[kind]), publisher=recorder)
    assert [batch.time for batch in recorder.batches] == [MS]


@pytest.mark.parametrize("kind", REFUSED)
def test_or_refused(recorder: Recorder, kind: str) -> None:
    index, why = REFUSED[kind]
    with pytest.raises(InvalidInput, match=why):
        make_batch("m", pd.Series([1, 2, 3], index=index))
    with pytest.raises(InvalidInput, match=why):
        recorder.publish({"other": 1, "m": pd.Series([1, 2, 3], index=index)})
    with pytest.raises(InvalidInput, match=why):
        tidewire.publish_frame(pd.DataFrame({"m": [1, 2, 3]}, index=index), publisher=recorder)
    assert recorder.batches == []


@pytest.mark.parametrize("index", [None, pd.RangeIndex(5, 8)])
def test_only_a_count_of_the_rows_means_now(recorder: Recorder, index: Any) -> None:
    before = time.time() * 1e3
    tidewire.publish_frame(pd.DataFrame({"m": [1, 2, 3]}, index=index), publisher=recorder)
    times = [*recorder.batches[0].time, *make_batch("m", pd.Series([1, 2, 3], index=index)).time]
    assert all(before <= at <= time.time() * 1e3 for at in times)


NUMBERS: dict[str, tuple[Any, list[float | None]]] = {
    "integers": ([1, 2, 3], [1, 2, 3]),
    "floats with NaN": ([1.5, np.nan, np.inf], [1.5, None, None]),
    "nullable": (pd.array([1, None, 3], dtype="Int64"), [1, None, 3]),
    "nullable booleans": (pd.array([True, None, False], dtype="boolean"), [1, None, 0]),
    "booleans": ([True, False, True], [1, 0, 1]),
    "Decimals": ([Decimal("1.5"), None, Decimal(3)], [1.5, None, 3]),
    "Arrow decimals": (arrow([Decimal("1.50"), None, Decimal("3.00")], pa.decimal128(5, 2)), [1.5, None, 3]),
    "Arrow integers": (arrow([1, None, 3], pa.int64()), [1, None, 3]),
    "Arrow booleans": (arrow([True, None, False], pa.bool_()), [1, None, 0]),
    "objects": (pd.Series([1, 2.5, None], dtype=object), [1, 2.5, None]),
    "objects with NA": (pd.Series([1, pd.NA, True], dtype=object), [1, None, 1]),
    "NumPy objects": (pd.Series([np.int64(1), np.float32(2.5), np.bool_(True)], dtype=object), [1, 2.5, 1]),
    "fractions": ([Fraction(1, 2), Fraction(1), Fraction(2)], [0.5, 1, 2]),
    "sparse": (pd.arrays.SparseArray([1.0, np.nan, 3.0]), [1, None, 3]),
    "categories": (pd.Categorical([1, None, 3]), [1, None, 3]),
    "nothing but NaN": ([np.nan] * 3, [None] * 3),
}


@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers_of_whatever_type_are_published(
    recorder: Recorder, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    given, expected = NUMBERS[kind]
    frame = pd.DataFrame({"m": given}).set_index(TIMES)
    assert tidewire.publish_frame(frame, publisher=recorder) == 3
    assert recorder.batches == [Batch(metric="m", time=MS, value=expected)]
    assert caplog.records == []


LEFT_OUT = {
    "texts": ["a", "b", "c"],
    "mixed": [1, "x", None],
    "complex": [1j, 2j, 3j],
    "times": TIMES,
    "durations": pd.timedelta_range("0s", periods=3),
    "nothing": [None, None, None],
    "lists": [[1], [2], [3]],
    "text categories": pd.Categorical(["a", "b", "a"]),
    "Arrow texts": arrow(["a", None, "c"], pa.string()),
}


@pytest.mark.parametrize("kind", LEFT_OUT)
def test_what_is_left_out_is_warned_of_by_name(recorder: Recorder, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    frame = pd.DataFrame({"good": [1, 2, 3], "strange": LEFT_OUT[kind]}, index=TIMES)
    assert tidewire.publish_frame(frame, publisher=recorder) == 3
    assert [batch.metric for batch in recorder.batches] == ["good"]
    (said,) = caplog.records
    assert said.levelno == logging.WARNING
    assert "strange" in said.getMessage()
    assert "good" not in said.getMessage()
    with pytest.raises(InvalidInput, match="no column of numbers"):
        tidewire.publish_frame(frame[["strange"]], publisher=recorder)


LABELS: dict[str, tuple[Any, list[str | None]]] = {
    "integers": ([7, 8, 7], ["7", "8", "7"]),
    "large integers": ([LARGE, LARGE + 1, LARGE + 2], [str(LARGE), str(LARGE + 1), str(LARGE + 2)]),
    "large unsigned": (np.array([2**63, 2**63 + 1, 2**63 + 2], np.uint64), [str(2**63 + n) for n in range(3)]),
    "nullable": (pd.array([7, None, LARGE + 1], dtype="Int64"), ["7", None, str(LARGE + 1)]),
    "Arrow": (arrow([7, None, LARGE + 1], pa.int64()), ["7", None, str(LARGE + 1)]),
    "None": (["a", None, "b"], ["a", None, "b"]),
    "objects with None": (pd.Series([7, None, "x"], dtype=object), ["7", None, "x"]),
    "NA": (pd.Series(["a", pd.NA, pd.NaT], dtype=object), ["a", None, None]),
    "NaN": (pd.Series(["a", np.nan, float("nan")], dtype=object), ["a", None, None]),
    "categories": (pd.Categorical(["a", None, "b"]), ["a", None, "b"]),
    "number categories": (pd.Categorical([LARGE + 1, LARGE, LARGE + 1]), [str(LARGE + 1), str(LARGE), str(LARGE + 1)]),
    "booleans": ([True, False, True], ["True", "False", "True"]),
    "like each other": (pd.Series([1, True, "1"], dtype=object), ["1", "True", "1"]),
    "Decimals": ([Decimal("1.50"), Decimal("1.5"), None], ["1.50", "1.5", None]),
    "empty text": (["", "a", None], ["", "a", None]),
    "times": ([pd.Timestamp("2026-01-31T12:00:00Z"), pd.NaT, None], ["2026-01-31 12:00:00+00:00", None, None]),
    "floats": ([7.5, np.nan, 7.0], ["7.5", None, "7.0"]),
}


@pytest.mark.parametrize("kind", LABELS)
def test_a_label_column_is_read_cell_by_cell(recorder: Recorder, kind: str) -> None:
    given, expected = LABELS[kind]
    frame = pd.DataFrame({"m": [0.0, 1.0, 2.0]}, index=TIMES)
    frame["id"] = pd.Series(given).set_axis(TIMES)
    assert tidewire.publish_frame(frame, label_columns="id", labels={"site": "A"}, publisher=recorder) == 3
    found = {value: batch.labels for batch in recorder.batches for value in batch.value}
    for value, label in enumerate(expected):
        assert found[value] == {"site": "A"} | ({} if label is None else {"id": label})
    assert len(recorder.batches) == len(set(expected))


def test_several_label_columns_make_a_series_for_each_set(recorder: Recorder) -> None:
    frame = pd.DataFrame({"a": [1, 2, 3], "b": [4.0, 5, 6], "site": ["x", None, "x"], "line": [1, 1, 1]}, index=TIMES)
    assert tidewire.publish_frame(frame, label_columns=["site", "line"], publisher=recorder) == 6
    assert [(batch.metric, batch.labels, batch.value) for batch in recorder.batches] == [
        ("a", {"line": "1", "site": "x"}, [1, 3]),
        ("b", {"line": "1", "site": "x"}, [4, 6]),
        ("a", {"line": "1"}, [2]),
        ("b", {"line": "1"}, [5]),
    ]


def test_the_levels_of_columns_are_levels_of_the_name(recorder: Recorder) -> None:
    columns = pd.MultiIndex.from_tuples([("in", "t"), ("out", "t"), ("site", "")])
    frame = pd.DataFrame([[1, 2, "A"], [3, 4, "A"], [5, 6, "B"]], columns=columns, index=TIMES)
    assert tidewire.publish_frame(frame, prefix="p/", label_columns=["site"], publisher=recorder) == 6
    assert {batch.metric for batch in recorder.batches} == {"p/in/t", "p/out/t"}
    assert [batch.labels for batch in recorder.batches] == [{"site": "A"}] * 2 + [{"site": "B"}] * 2
    recorder.batches.clear()
    assert tidewire.publish_frame(frame, label_columns=[("site", "")], publisher=recorder) == 6
    assert tidewire.publish_frame(pd.DataFrame({0: [1], 1: [2]}), publisher=recorder) == 2
    assert {batch.metric for batch in recorder.batches} == {"in/t", "out/t", "0", "1"}


def test_frames_without_rows_publish_nothing(recorder: Recorder) -> None:
    for frame in (pd.DataFrame(), pd.DataFrame({"m": []}), pd.DataFrame({"m": [1]}).iloc[:0]):
        assert tidewire.publish_frame(frame, publisher=recorder) == 0
    with pytest.raises(InvalidInput, match="no column of numbers"):
        tidewire.publish_frame(pd.DataFrame(index=TIMES), publisher=recorder)


ABC = ["x", "y", "z"]
WRONG: dict[str, tuple[pd.DataFrame, dict[str, Any], str]] = {
    "two columns of a name": (pd.DataFrame([[1, 2]] * 3, columns=["a", "a"]), {}, "more than one"),
    "names that become one": (pd.DataFrame({1: [1, 2, 3], "1": [1, 2, 3]}), {}, "more than one"),
    "two label columns of a name": (
        pd.DataFrame([[1, 2, 3]] * 3, columns=["a", "s", "s"]),
        {"label_columns": ["s"]},
        "more than one",
    ),
    "a name that is none": (pd.DataFrame({"a": [1, 2, 3], "b*": [1, 2, 3]}), {}, "reserved"),
    "a label that is none": (
        pd.DataFrame({"a": [1, 2, 3], "s": ["x", "y", "z\0"]}),
        {"label_columns": ["s"]},
        "control",
    ),
    "a long label": (pd.DataFrame({"a": [1, 2, 3], "s": ["x", "y", "z" * 256]}), {"label_columns": ["s"]}, "256 bytes"),
    "a label column that is none": (pd.DataFrame({"a": [1, 2, 3]}), {"label_columns": "site"}, "site"),
    "a label with a level": (
        pd.DataFrame({("a", "x"): [1, 2, 3], ("s", "y"): ABC}),
        {"label_columns": [("s", "y")]},
        "'/'",
    ),
    "a number beyond float64": (pd.DataFrame({"a": [1, 2, 3], "b": [1, 2, 10**400]}), {}, "float64"),
    "a unit that is none": (pd.DataFrame({"a": [1, 2, 3]}), {"unit": "x" * 64}, "63"),
    "a metric for two": (pd.DataFrame({"a": [1, 2, 3], "b": [1, 2, 3]}), {"metric": "m"}, "use prefix="),
}


@pytest.mark.parametrize("kind", WRONG)
def test_nothing_is_published_before_all_of_it_is_checked(recorder: Recorder, kind: str) -> None:
    frame, options, why = WRONG[kind]
    with pytest.raises(InvalidInput, match=why):
        tidewire.publish_frame(frame.set_index(TIMES), publisher=recorder, **options)
    assert recorder.batches == []


def test_the_last_row_of_many_is_checked_before_the_first_is_published(recorder: Recorder) -> None:
    index = pd.Index([*pd.date_range(end=TIMES[0], periods=5_000, freq="s"), "never"], dtype=object)
    with pytest.raises(InvalidInput, match=r"index\[5000\]"):
        tidewire.publish_frame(pd.DataFrame({"m": range(5_001)}, index=index), publisher=recorder)
    labels = pd.DataFrame({"m": range(40), **{f"l{n}": "x" for n in range(33)}})
    with pytest.raises(LimitExceeded):
        tidewire.publish_frame(labels, label_columns=[f"l{n}" for n in range(33)], publisher=recorder)
    assert recorder.batches == []


def test_a_frame_reaches_the_log_as_it_is(valkey: Valkey) -> None:
    index = pd.date_range(end=pd.Timestamp.now(tz="UTC").floor("ms"), periods=2_500, freq="ms")
    frame = pd.DataFrame({"m": np.arange(2_500), "id": LARGE + np.arange(2_500) % 2}, index=index)
    with tidewire.Publisher(valkey.url) as publisher:
        assert tidewire.publish_frame(frame, label_columns=["id"], publisher=publisher) == 2_500
        assert publisher.flush(HANG_S)
    log = BlockingRedisLog(valkey.url)
    found: dict[str, list[float | None]] = {}
    for _, fields in valkey.cli("XRANGE", log.keys.log("m"), "-", "+"):
        batch = decode_batch(pairs(fields)[b"d"])
        found.setdefault(batch.labels["id"], []).extend(batch.value)
    log.close()
    assert found == {str(LARGE): list(range(0, 2_500, 2)), str(LARGE + 1): list(range(1, 2_500, 2))}


@pytest.mark.parametrize("cell", [b"a", bytearray(b"a"), ["a"], ("a", 1), {"a": 1}, {"a"}, np.array([1, 2])], ids=repr)
def test_a_cell_that_is_no_one_thing_is_no_label(cell: Any) -> None:
    recorder = Recorder()
    frame = pd.DataFrame({"v": [1, 2], "s": pd.Series(["ok", cell], dtype=object).array}, index=TIMES[:2])
    with pytest.raises(InvalidInput, match=r"s\[1\]"):
        tidewire.publish_frame(frame, label_columns=["s"], publisher=recorder)
    assert recorder.batches == []


@pytest.mark.parametrize("name", [None, np.nan, ("a", np.nan), ("a", None)], ids=repr)
def test_a_column_without_a_name_is_refused(name: Any) -> None:
    frame = pd.DataFrame({"v": [1, 2]}, index=TIMES[:2])
    frame.columns = pd.MultiIndex.from_tuples([name]) if isinstance(name, tuple) else pd.Index([name])
    with pytest.raises(InvalidInput, match="rename it"):
        tidewire.publish_frame(frame, publisher=Recorder())


def test_a_series_without_a_name_needs_one() -> None:
    recorder = Recorder()
    series = pd.Series([1, 2], index=TIMES[:2])
    with pytest.raises(InvalidInput, match="has no name"):
        tidewire.publish_frame(series, publisher=recorder)
    tidewire.publish_frame(series, metric="m", publisher=recorder)
    tidewire.publish_frame(series.rename("n"), publisher=recorder)
    assert [batch.metric for batch in recorder.batches] == ["m", "n"]


@pytest.mark.parametrize("given", [1, [1], (1,), pd.Index([1]), np.array([1])], ids=repr)
def test_one_column_of_labels_may_be_given_alone(given: Any) -> None:
    recorder = Recorder()
    tidewire.publish_frame(pd.DataFrame({0: [5], 1: ["a"]}, index=TIMES[:1]), label_columns=given, publisher=recorder)
    assert [(batch.metric, batch.labels) for batch in recorder.batches] == [("0", {"1": "a"})]


@pytest.mark.parametrize("given", [None, (), []], ids=repr)
@pytest.mark.parametrize("columns", [pd.Index(["a"]), pd.MultiIndex.from_tuples([("a", "")])], ids=["plain", "levels"])
def test_no_column_of_labels_is_none(given: Any, columns: Any) -> None:
    recorder = Recorder()
    frame = pd.DataFrame([[1]], columns=columns, index=TIMES[:1])
    assert tidewire.publish_frame(frame, label_columns=given, publisher=recorder) == 1


@pytest.mark.parametrize(("more", "says"), [({"label_columns": 7}, "columns"), ({"prefix": None}, "expected a text")])
def test_arguments_that_can_never_work_are_said(more: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        tidewire.publish_frame(pd.DataFrame({"v": [1]}, index=TIMES[:1]), publisher=Recorder(), **more)
