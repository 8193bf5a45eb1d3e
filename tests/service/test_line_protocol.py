"""Line protocol into batches: escapes, types, times, names, entities of Home Assistant; hostile input costs little."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from waiting import generous

from tidewire.errors import LimitExceeded
from tidewire.model.batch import IngestLimits
from tidewire_service.ingest import line_cutting
from tidewire_service.ingest.line_protocol import LineSlice, LineSlices
from tidewire_service.ingest.rows import Rejected

NOW_MS = 1_796_000_000_000.0
NOW_NS = int(NOW_MS) * 1_000_000
AT = f" {NOW_NS}"
QUOTED_LINE = line_cutting._QUOTED_LINE


def slices(text: str | bytes, precision: str = "ns", **limits: int) -> list[LineSlice]:
    body = text.encode() if isinstance(text, str) else text
    most = limits.pop("max_lines", 500_000)
    reader = LineSlices(body, IngestLimits(**limits), precision, most, NOW_MS)
    return list(iter(reader.read, None))


def read(text: str | bytes, precision: str = "ns", **limits: int) -> tuple[list[Any], list[Rejected]]:
    """Return the batches and the refused lines of a body of one slice."""
    parts = slices(text, precision, **limits)
    return (
        [json.loads(batch.body) for part in parts for batch in part.intake.batches],
        [row for part in parts for row in part.intake.rejected],
    )


def readings(text: str | bytes, precision: str = "ns") -> dict[str, Any]:
    """Return metric → its first value, or its text."""
    batches, refused = read(text, precision)
    assert refused == []
    return {
        batch["metric"]: batch["value"][0] if batch["value"][0] is not None else batch["text"][0] for batch in batches
    }


def test_the_mark_that_windows_writes_before_a_text_is_no_part_of_a_metric() -> None:
    for body in ("m f=1\nn f=2\n", "# comment\nm f=1\nn f=2\n", '\nm f=1,s="a\nb"\nn f=2', "m f=1\r\nn f=2"):
        marked = b"\xef\xbb\xbf" + body.encode()
        assert readings(marked) == readings(body)
    _, [refused] = read(b"\xef\xbb\xbfm f=1\n\xef\xbb\xbfm f\n")
    assert refused.row == 2, "only the first one means nothing"
    assert slices(b"\xef\xbb\xbf") == []


# -- the format: https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/


@pytest.mark.parametrize(
    ("line", "metric", "labels"),
    [
        ("m f=1", "m/f", {}),
        ("m value=1", "m", {}),
        ("  m f=1", "m/f", {}),
        ("m  f=1", "m/f", {}),
        (r"my\ m,a\,b=c\ d\=e f\ g=1", "my m/f g", {"a,b": "c d=e"}),
        (r"m,a=b\c f=1", "m/f", {"a": r"b\c"}),
        ('m"q,t="a" f=1', 'm"q/f', {"t": '"a"'}),
        ("m,b=2,a=1 f=1", "m/f", {"a": "1", "b": "2"}),
        ("disk,path=/var/log used=1", "disk/used", {"path": "/var/log"}),
        ("m,tag=🍭,läbel=ü f=1", "m/f", {"tag": "🍭", "läbel": "ü"}),
        ("plant/furnace temperature=1", "plant/furnace/temperature", {}),
        ("/dev//sda f=1", "dev/sda/f", {}),
        ("m*[1]? f?=1", "m__1__/f_", {}),
        ("///,a/b=c f=1", "_/f", {"a.b": "c"}),
        ("re\u0301seau,cle\u0301=v f=1", "réseau/f", {"clé": "v"}),
    ],
)
def test_names_and_tags_become_a_metric_and_labels(line: str, metric: str, labels: dict[str, str]) -> None:
    [batch], refused = read(line)
    assert (batch["metric"], batch.get("labels", {}), batch["value"], refused) == (metric, labels, [1.0], [])


@pytest.mark.parametrize(
    ("field", "stored"),
    [
        ("1", 1), ("-1.5e3", -1500), (".5", 0.5), ("1.", 1), ("12i", 12), ("-9223372036854775808i", -(2.0**63)),
        ("18446744073709551615u", 2.0**64), ("t", 1), ("True", 1), ("FALSE", 0), ("F", 0),
        ('"on"', "on"), (r'"say \"hi\" \\ c:\d"', r'say "hi" \ c:\d'), ('"a, b=c d"', "a, b=c d"), ('""', ""),
        ('"two\nlines"', "two\nlines"), ('"# no comment"', "# no comment"), ('"12"', "12"),
    ],
)  # fmt: skip
def test_numbers_and_booleans_are_values_and_strings_texts(field: str, stored: Any) -> None:
    assert readings(f"m f={field},after=7{AT}\nnext f=1") == {"m/f": stored, "m/after": 7, "next/f": 1}


def test_integers_that_float64_does_not_hold_are_counted() -> None:
    [part] = slices(f"m a={2**53}i,b={2**53 + 1}i,c={-(2**53) - 1}i,d={2**60}i,e=1e300")
    assert part.lossy == 2


@pytest.mark.parametrize(
    ("precision", "time_", "ms"),
    [
        ("ns", NOW_NS + 1_234_567, NOW_MS + 1.234567),
        ("us", NOW_NS // 1_000 + 1_234, NOW_MS + 1.234),
        ("ms", NOW_NS // 1_000_000 - 7, NOW_MS - 7),
        ("s", NOW_NS // 10**9 - 7, NOW_MS - 7_000),
        ("m", 29_000_000, 29_000_000 * 60e3),
        ("h", 490_000, 490_000 * 3_600e3),
        ("auto", 1_700_000_000, 1_700_000_000e3),
        ("auto", 1_700_000_000_123, 1_700_000_000_123),
        ("auto", 1_700_000_000_123_456, 1_700_000_000_123.456),
        ("auto", 1_700_000_000_123_456_789, 1_700_000_000_123.456789),
    ],
)
def test_times_of_every_precision_are_kept_to_the_microsecond(precision: str, time_: int, ms: float) -> None:
    [batch], _ = read(f"m f=1 {time_}", precision)
    assert abs(batch["time"][0] - ms) < 0.0005


def test_a_line_without_a_time_is_of_now_and_takes_the_key_of_its_slice() -> None:
    [timed] = slices(f"m f=1{AT}\nm f=2{AT}")
    [again] = slices(f"m f=1{AT}\nm f=2{AT}")
    [other] = slices(f"m f=1{AT}\nm f=3{AT}")
    [untimed] = slices(f"m f=1{AT}\nm f=2")
    assert timed.key == again.key != other.key
    assert (len(timed.key), untimed.key) == (64, "")
    assert json.loads(untimed.intake.batches[0].body)["time"] == [NOW_MS, NOW_MS]


def test_readings_of_a_series_are_one_batch() -> None:
    lines = "\n".join(f"m,a=1 f={n},g={n}i {NOW_NS + n * 10**6}" for n in range(25))
    batches, _ = read(lines, readings=10)
    assert [(b["metric"], len(b["value"])) for b in batches] == [("m/f", 10), ("m/g", 10)] * 2 + [
        ("m/f", 5), ("m/g", 5),
    ]  # fmt: skip


def test_bad_lines_are_named_and_the_rest_is_stored() -> None:
    bad = [
        "m", "m,", "m,a f=1", "m,a= f=1", ",a=b f=1", "m f=", "m f", "m =1", "m f=+1", "m f=nan", "m f=inf",
        "m f=1e400", "m f=1_0", "m f=0x1", "m f=9223372036854775808i", "m f=yes", 'm f="open', "m f=1 1.5",
        "m f=1 x", "m\0 f=1",
        'm f="a\0"', "m,a=1,a=2 f=1", "m f=1 12", "m f=1 99999999999999999999", f"m f=1 {NOW_NS // 10**6}",
        f"{'x' * 300} f=1", f"m,{'t' * 300}=1 f=1", f"m,t={'v' * 300} f=1", "x,a/b=1,a.b=2 f=1", "x,\x01=1,\\ =2 f=1",
        "m f=" + "1" * 70_000,
    ]  # fmt: skip
    for line in bad:
        batches, refused = read(f"good f=1\n{line}\ngood f=2\n")
        assert [batch["value"] for batch in batches if batch["metric"] == "good/f"] == [[1, 2]], line
        assert [row.row for row in refused] == [2], line
        assert 0 < len(str(refused[0])) < 1_000
    _, [early] = read(f"m f=1 {NOW_NS // 10**6}")
    assert "did you mean precision=ms?" in early.reason
    _, refused = read(b'good f=1\nm f="\xff"\nm\xed\xa0\x80 f=1\n')
    assert [(row.row, row.reason) for row in refused] == [(2, "is not UTF-8"), (3, "is not UTF-8")]


def test_two_fields_never_become_one_metric() -> None:
    batches, [refused] = read("m a*=1,a?=2,b=3")
    assert [batch["metric"] for batch in batches] == ["m/a_", "m/b"]
    assert "as the field 'a*'" in refused.reason


def test_comments_blank_lines_and_line_ends_of_windows_are_no_lines() -> None:
    [part] = slices('# a "comment\r\n\r\n \t\nm f=1\r\nm f="x\ny"\r\nbad\r\n')
    assert (part.lines, part.refused) == (3, {7})
    assert [row.row for row in part.intake.rejected] == [7]
    assert part.starts[4] == "m f=1"
    assert slices("") == []


def test_a_quote_opens_a_string_only_where_a_value_begins() -> None:
    text = '"m",t=" f"x=1\nm f="a\n\\"b=\\\\",g=2\nn f="never closed\nm h=3'
    batches, refused = read(text)
    assert {b["metric"]: b["value"][0] if b["value"][0] is not None else b["text"][0] for b in batches} == {
        '"m"/f"x': 1, "m/f": 'a\n"b=\\', "m/g": 2, "m/h": 3,
    }  # fmt: skip
    assert [row.row for row in refused] == [4]


def test_labels_over_the_limit_refuse_their_line() -> None:
    tags = ",".join(f"t{n}=1" for n in range(33))
    _, [refused] = read(f"m,{tags} f=1,g=2")
    assert (refused.row, refused.limit) == (1, "max_labels")
    with pytest.raises(LimitExceeded, match="max_foreign_rows"):
        slices("m f=1\n" * 4, max_lines=3)


# -- Home Assistant


def test_an_entity_has_its_name_and_its_unit() -> None:
    batches, refused = read(
        '°C,domain=sensor,entity_id=kitchen friendly_name_str="Kitchen",value=21.5\n'
        "km/h,domain=sensor,entity_id=wind value=12\n"
        "steps,domain=sensor,entity_id=walk value=12\n"
        'light.hall,domain=light,entity_id=hall brightness=20,state="on",value=1\n'
        'climate.hall,domain=climate,entity_id=hall state="heat",current_temperature=20.5\n'
        'sensor__power,domain=sensor,entity_id=p,site=A unit_of_measurement_str="W",value=3\n'
        "homeassistant,domain=switch,entity_id=s value=0\n"
        "homeassistant,domain=sensor,entity_id=all value=4\n"
        "home,domain=sensor,entity_id=home value=4\n"
        "€/kWh,domain=sensor,entity_id=price value=0.3\n"
        "var,domain=sensor,entity_id=reactive value=9\n"
        "kW/m²,domain=sensor,entity_id=sun value=1\n"
        "m,domain=example.org f=1\n"
    )
    assert refused == []
    assert [(b["metric"], b.get("unit"), b["value"], b.get("text"), b.get("labels")) for b in batches] == [
        ("ha/sensor/kitchen", "Cel", [21.5], None, None),
        ("ha/sensor/wind", "km/h", [12], None, None),
        ("ha/sensor/walk", None, [12], None, None),
        ("ha/light/hall", None, [1], ["on"], None),
        ("ha/light/hall/brightness", None, [20], None, None),
        ("ha/climate/hall", None, [None], ["heat"], None),
        ("ha/climate/hall/current_temperature", None, [20.5], None, None),
        ("ha/sensor/p", "W", [3], None, {"site": "A"}),
        ("ha/switch/s", None, [0], None, None),
        ("ha/sensor/all", None, [4], None, None),
        ("ha/sensor/home", None, [4], None, None),
        ("ha/sensor/price", "€/kWh", [0.3], None, None),
        ("ha/sensor/reactive", "var", [9], None, None),
        ("ha/sensor/sun", "kW/m²", [1], None, None),
        ("m/f", None, [1], None, {"domain": "example.org"}),
    ]
    [part] = slices('°C,domain=sensor,entity_id=kitchen friendly_name_str="Kitchen",icon_str="x",value=21.5')
    assert part.left_out == 2


# -- hostile input

NASTY = st.text(st.sampled_from('mft,= \\"\n#\r\t\0i1.-e+tTu/é\ud800'), max_size=200)
PIECES = st.lists(
    st.sampled_from(
        [
            "m",
            ",",
            "=",
            " ",
            "\n",
            '"',
            "\\",
            "a=b",
            "f=1",
            'f="x',
            "1i",
            "# ",
            f" {NOW_NS}",
            "\\\n",
            "\\ ",
            "é",
            "\0",
            "domain=light",
            "entity_id=e",
        ]
    ),
    max_size=60,
).map("".join)


@given(NASTY | PIECES)
@example('m f="\\\\\n')
@example("\\")
@example(' "')
def test_whatever_comes_is_stored_or_named(text: str) -> None:
    body = text.encode(errors="surrogatepass")
    for part in slices(b"first f=1\n" + body + b"\nlast f=1"):
        named = {row.row for row in part.intake.rejected}
        taken = {row for rows in part.intake.rows for row in rows}
        assert set(part.starts) == named | taken or b"entity_id" in body
        assert len(part.refused) == len(named)
    # a quote that the first bad line opens may reach into the last one, and no further than that
    batches, _ = read(b"first f=1\n" + body + b"\n\nlast f=1")
    assert batches[0]["metric"] == "first/f"


RECORDED = (
    b"cpu,cpu=cpu0,host=pc usage_user=3.1,usage_idle=95.7 1796000000000000000\n"
    b'system,host=pc load1=0.21,n_cpus=4i,uptime_format="11 days,  4:05" 1796000000000000000\n'
    b'\xc2\xb0C,domain=sensor,entity_id=kitchen value=21.5,friendly_name_str="Kitchen \\"A\\"" 1796000000\n'
    b'cpustat,object=nodes,host=pve\\ 1 avg1=0.5,kversion="Linux 6.8" 1796000000000\n'
)


@given(st.lists(st.tuples(st.integers(0, len(RECORDED)), st.integers(0, 9), st.binary(max_size=4)), max_size=6))
def test_mutated_recordings_are_stored_or_named(changes: list[tuple[int, int, bytes]]) -> None:
    body = bytearray(RECORDED)
    for at, cut, put in changes:
        body[at : at + cut] = put
    for precision in ("ns", "auto", "s"):
        for part in slices(bytes(body), precision):
            taken = {row for rows in part.intake.rows for row in rows}
            assert len(part.refused) == len({row.row for row in part.intake.rejected})
            assert taken | {row.row for row in part.intake.rejected} <= set(part.starts)


CHAIN = 'm a="b"c="\n'  # each line opens a string that the next one closes
UNFINISHED = 'x"\\\n'


@pytest.mark.parametrize("body", [
    CHAIN * 20_000, (CHAIN * 4_000 + UNFINISHED) * 5, CHAIN * 10 + UNFINISHED + CHAIN * 9_000 + UNFINISHED,
    'm f="\\"\n' * 20_000, 'm a="\n' + 'n b=\\"\n' * 20_000, 'm a="b"c=" \\\n' * 10_000, 'm a="b"\\\n' * 10_000,
])  # fmt: skip
def test_no_place_of_a_body_is_searched_for_the_end_of_a_string_twice(
    body: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched = 0

    class Counting:
        def match(self, text: bytes, at: int, end: int) -> Any:
            nonlocal searched
            found = QUOTED_LINE.match(text, at, end)
            searched += 0 if found is None else found.end() - at
            return found

    monkeypatch.setattr(line_cutting, "_QUOTED_LINE", Counting())
    parts = slices(body)
    assert searched <= 2 * len(body)
    assert sum(part.lines for part in parts) > 0


def test_what_follows_a_line_that_never_ends_is_read() -> None:
    batches, refused = read(CHAIN * 3 + UNFINISHED + 'good f="two\nlines"\nlast f=1')
    assert [(batch["metric"], batch["value"], batch.get("text")) for batch in batches] == [
        ("good/f", [None], ["two\nlines"]), ("last/f", [1], None),
    ]  # fmt: skip
    assert {row.row for row in refused} == {1, 2, 3, 4}


HOSTILE = {
    "10^5 tags": "m," + ",".join(f"t{n}=1" for n in range(100_000)) + " f=1",
    "tags up to the length of a line": "m," + ",".join(f"{n:x}=1" for n in range(9_000)) + " f=1",
    "escaped commas": "m" + "\\," * 30_000 + " f=1",
    "double backslashes before commas": "m," + ",".join(f"{n:x}=\\\\" for n in range(8_000)) + " f=1",
    "fields": "m " + ",".join(f"{n:x}=1" for n in range(9_000)),
    "open quotes": 'm f="\\"\n' * 100_000,
    "nested quotes": 'm f="' + '\\"' * 300_000 + '"',
    "quotes": '"' * 1_000_000,
    "backslashes": "\\" * 1_000_000,
    "blanks": " " * 1_000_000,
    "strings that each line opens": CHAIN * 20_000 + UNFINISHED,
    "line feeds": "\n" * 400_000,
    "short bad lines": "a\n" * 150_000,
    "one line of 1 MB": "m f=" + "1" * 1_000_000,
    "digits": "m f=1 " + "9" * 60_000,
    "series": "".join(f"m{n} f=1\n" for n in range(20_000)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bodies_cost_linear_time_and_little_memory(name: str) -> None:
    body = HOSTILE[name].encode()
    reader = LineSlices(body, IngestLimits(), "ns", 500_000, NOW_MS)
    longest_s, kept = 0.0, 0
    while True:
        started = time.thread_time()
        part = reader.read()
        longest_s = max(longest_s, time.thread_time() - started)
        if part is None:
            break
        kept = max(kept, len(part.intake.rejected))
    assert kept <= 100
    assert longest_s < generous(0.3), f"a slice took {longest_s * 1e3:.0f} ms"
