"""What programs expose to Prometheus is read: both formats, units, times; hostile bodies cost little."""

from __future__ import annotations

import contextlib
import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from waiting import generous

from tidewire.errors import InvalidInput
from tidewire.model.exposition import ExposedSample, read_exposition

TEXT = """\
# HELP node_cpu_seconds_total Seconds
# TYPE node_cpu_seconds_total counter
node_cpu_seconds_total{cpu="0",mode="idle"} 12.5
# TYPE bare counter
bare 3
# TYPE node_memory_MemFree_bytes gauge
node_memory_MemFree_bytes 4.5e+09
# TYPE http_request_duration_seconds histogram
http_request_duration_seconds_bucket{le="1"} 2
http_request_duration_seconds_bucket{le="+Inf"} 3
http_request_duration_seconds_sum 2.5
http_request_duration_seconds_count 3
# TYPE rpc_seconds summary
rpc_seconds{quantile="0.5"} NaN
rpc_seconds_sum 1
rpc_seconds_count 2
node_fan_rpm 900 1700000000123
dropped_ratio 0.5
untyped -Inf
"""
OPENMETRICS = """\
# TYPE jobs counter
jobs_total{kind="a"} 3
jobs_created{kind="a"} 1700000000
# TYPE room_celsius gauge
# UNIT room_celsius celsius
room_celsius 21.5
# TYPE waited_seconds gauge
waited_seconds 5 1700000000.5
# EOF
"""


def test_names_labels_values_and_units_of_the_text_format() -> None:
    found = list(read_exposition(TEXT.encode()))
    assert [(s.metric, s.unit, s.bucket) for s in found] == [
        ("node_cpu_seconds_total", "s", False), ("bare", "", False), ("node_memory_MemFree_bytes", "By", False),
        ("http_request_duration_seconds_bucket", "", True), ("http_request_duration_seconds_bucket", "", True),
        ("http_request_duration_seconds_sum", "s", False), ("http_request_duration_seconds_count", "", False),
        ("rpc_seconds", "s", False), ("rpc_seconds_sum", "s", False), ("rpc_seconds_count", "", False),
        ("node_fan_rpm", "/min", False), ("dropped_ratio", "1", False), ("untyped", "", False),
    ]  # fmt: skip
    assert found[0].labels == {"cpu": "0", "mode": "idle"}
    assert [s.time_ms for s in found if s.time_ms is not None] == [1_700_000_000_123.0]
    assert math.isnan(found[7].value)
    assert found[-1].value == -math.inf


@pytest.mark.parametrize(
    ("declared", "sample", "name"),
    [
        ("# TYPE  foo   counter", "foo 1", "foo"),
        ("#\tTYPE\tfoo\tcounter", "foo 1", "foo"),
        (" \t# TYPE foo counter\t ", "foo 1", "foo"),
        ("# TYPE foo counter\r", "foo 1\r", "foo"),
        ("## TYPE foo counter", "foo 1", "foo"),
        ('# TYPE "foo.bar" counter', '{"foo.bar"} 1', "foo.bar"),
        ('# TYPE "foo \\" bar" counter', '{"foo \\" bar"} 1', 'foo " bar'),
        ("# TYPE foo_total counter", "foo_total 1", "foo_total"),
        ("# HELP foo counter\n# TYPE foo counter", "foo 1", "foo"),
        ("# TYPE foo counter\n# HELP foo is a counter", "foo 1", "foo"),
        ("# TYPE counter counter", "counter 1", "counter"),
        ("# a comment counter", "foo 1", "foo"),
        ("", "foo 1", "foo"),
    ],
)
def test_a_counter_keeps_its_name_however_its_type_is_written(declared: str, sample: str, name: str) -> None:
    body = f"before 1\n{declared}\n{sample}\nafter 2\n"
    assert [found.metric for found in read_exposition(body.encode())] == ["before", name, "after"]


@pytest.mark.parametrize("names", [("foo", "foo_total"), ("foo_total", "foo"), ("foo_total_total", "foo_total")])
def test_two_counters_of_almost_the_same_name_stay_two(names: tuple[str, str]) -> None:
    body = "".join(f"# TYPE {name} counter\n{name} {number}\n" for number, name in enumerate(names))
    assert [(found.metric, found.value) for found in read_exposition(body.encode())] == [(names[0], 0), (names[1], 1)]


@pytest.mark.parametrize(("text", "openmetrics"), [(TEXT, False), ("bare 3\n", False), (OPENMETRICS, True)])
def test_the_mark_that_windows_writes_before_a_text_means_nothing(text: str, openmetrics: bool) -> None:
    marked = list(read_exposition(b"\xef\xbb\xbf" + text.encode(), openmetrics=openmetrics))
    assert repr(marked) == repr(list(read_exposition(text.encode(), openmetrics=openmetrics)))


def test_openmetrics_has_times_units_and_totals() -> None:
    assert list(read_exposition(OPENMETRICS.encode(), openmetrics=True)) == [
        ExposedSample("jobs_total", {"kind": "a"}, 3.0, None, "", False),
        ExposedSample("jobs_created", {"kind": "a"}, 1_700_000_000.0, None, "s", False),
        ExposedSample("room_celsius", {}, 21.5, None, "Cel", False),
        ExposedSample("waited_seconds", {}, 5.0, 1_700_000_000_500.0, "s", False),
    ]


PIECES = st.lists(
    st.sampled_from(
        ["a", "b_total", "{", "}", 'x="1"', ",", '"', "\\", " ", "\n", "1", "NaN", "+Inf", "1e400",
         "# TYPE a counter\n",
         "# TYPE a histogram\n", "# TYPE a gaugehistogram\n", "# TYPE a summary\n", "# TYPE a info\n", "# UNIT a s\n",
         "# TYPE a stateset\n", "# HELP a \\n\n", "# EOF\n", "# {", 'le="1"', "_bucket", "_count", "_created", "é",
         "\0",
         " 1700000000", ".5", "-1", "\ud7ff", "\r"]
    ),
    max_size=40,
).map("".join)  # fmt: skip


@given(st.one_of(PIECES, st.text(max_size=100)), st.booleans())
def test_whatever_comes_is_read_or_refused(text: str, openmetrics: bool) -> None:
    try:
        body = text.encode()
    except UnicodeEncodeError:
        return
    for whole in (body, body + b"\n# EOF\n"):
        try:
            found = list(read_exposition(whole, openmetrics=openmetrics))
        except InvalidInput:
            continue
        assert all(isinstance(sample.value, float) for sample in found)


@pytest.mark.parametrize("openmetrics", [False, True])
@pytest.mark.parametrize("name", ["labels", "line", "lines", "braces", "types", "quotes"])
def test_hostile_bodies_cost_little(name: str, openmetrics: bool) -> None:
    body = {
        "labels": "a{" + ",".join(f'l{n}="1"' for n in range(5_000)) + "} 1\n",
        "line": "a" * 1_000_000 + " 1\n",
        "lines": "\n" * 300_000,
        "braces": "a" + "{" * 60_000 + "\n",
        "types": "".join(f"# TYPE a{n} counter\n" for n in range(20_000)),
        "quotes": "a{x=" + '\\"' * 30_000 + "\n",
    }[name]
    started = time.thread_time()
    with contextlib.suppress(InvalidInput):
        list(read_exposition(body.encode() + b"# EOF\n", openmetrics=openmetrics))
    assert time.thread_time() - started < generous(0.5)
