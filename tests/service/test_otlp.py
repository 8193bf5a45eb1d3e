"""OpenTelemetry: what its SDK and its instrumentation export with OTLP over HTTP, and whatever else may be sent."""

from __future__ import annotations

import asyncio
import gzip
import json
import math
import re
import resource
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from litestar import Litestar, get
from litestar.params import FromPath
from litestar.plugins.opentelemetry import OpenTelemetryConfig, OpenTelemetryPlugin
from litestar.testing import AsyncTestClient
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.instrumentation.system_metrics import SystemMetricsInstrumentor
from opentelemetry.metrics import Observation
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import NumberDataPoint
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from waiting import generous

from tidewire.errors import LimitExceeded
from tidewire.model.batch import IngestLimits
from tidewire_service.auth.scopes import Scopes
from tidewire_service.auth.tokens import TokenStore
from tidewire_service.errors import MalformedBody
from tidewire_service.ingest.interval_quantiles import IntervalQuantiles
from tidewire_service.ingest.otlp import PointsReader
from tidewire_service.ingest.otlp_messages import parse_json, parse_protobuf
from tidewire_service.ingest.otlp_parts import count_parts

RESOURCE = {"service.name": "shop", "service.instance.id": "shop-1", "host.name": "not a label", "k8s/pod": "a"}
OWN = {"service.name": "shop", "service.instance.id": "shop-1"}


def provider(url: str, *, views: Any = (), temporality: Any = None, headers: Any = None) -> MeterProvider:
    exporter = OTLPMetricExporter(f"{url}/v1/metrics", headers=headers, preferred_temporality=temporality)
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=math.inf)
    return MeterProvider([reader], Resource(RESOURCE), shutdown_on_exit=False, views=views)


async def flushed(meters: MeterProvider) -> None:
    assert await asyncio.to_thread(meters.force_flush)


async def series(service: Any, metric: str = "**") -> dict[str, list[tuple[dict[str, str], str, list[Any]]]]:
    found: dict[str, list[tuple[dict[str, str], str, list[Any]]]] = {}
    for one in (await service.history(metric))["series"]:
        found.setdefault(one["metric"], []).append((one.get("labels", {}), one.get("unit", ""), one["value"]))
    return found


def point(value: Any = None, *, at_s: float | None = None, **more: Any) -> dict[str, Any]:
    made = {"timeUnixNano": str(int((time.time() if at_s is None else at_s) * 1e9)), **more}
    if value is not None:
        made["asDouble" if isinstance(value, float) else "asInt"] = value if isinstance(value, float) else str(value)
    return made


def request(*metrics: dict[str, Any], **attributes: str) -> dict[str, Any]:
    given = [{"key": key.replace("_", "."), "value": {"stringValue": value}} for key, value in attributes.items()]
    return {"resourceMetrics": [{"resource": {"attributes": given}, "scopeMetrics": [{"metrics": list(metrics)}]}]}


def gauge(name: str, *points: dict[str, Any], unit: str = "") -> dict[str, Any]:
    return {"name": name, "unit": unit, "gauge": {"dataPoints": list(points)}}


def of(kind: str, one: dict[str, Any], name: str = "h", temporality: int = 2) -> dict[str, Any]:
    return {"name": name, kind: {"aggregationTemporality": temporality, "dataPoints": [one]}}


async def export(service: Any, content: Any, media_type: str = "application/json", **headers: str) -> Any:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    if media_type == "application/x-protobuf" and not isinstance(content, bytes):
        body = json_format.Parse(body, ExportMetricsServiceRequest(), ignore_unknown_fields=True).SerializeToString()
    return await service.http.post("/v1/metrics", content=body, headers={"Content-Type": media_type, **headers})


async def test_the_instruments_of_the_sdk(service: Any) -> None:
    meters = provider(service.url)
    meter = meters.get_meter("shop")
    counter = meter.create_counter("orders", unit="{order}")
    meter.create_observable_gauge("room.temperature", [lambda _: [Observation(21.5, {"room": "a/b"})]], unit="Cel")
    meter.create_up_down_counter("open").add(-3)
    took = meter.create_histogram("request.duration", unit="s", explicit_bucket_boundaries_advisory=[0.1, 0.2, 0.5, 1])
    counter.add(2, {"code": 200, "paid": True})
    for _ in range(100):
        took.record(0.15)
    await flushed(meters)
    counter.add(5, {"code": 200, "paid": True})
    for _ in range(100):
        took.record(0.3)
    await flushed(meters)
    found = await series(service)
    assert found["orders"] == [({"code": "200", "paid": "true", **OWN}, "{order}", [2, 7])]
    assert found["room.temperature"] == [({"room": "a/b", **OWN}, "Cel", [21.5, 21.5])]
    assert found["open"] == [(OWN, "", [-3, -3])]
    assert found["request.duration/count"] == [(OWN, "", [100, 200])]
    [(_, unit, sums)] = found["request.duration/sum"]
    assert unit == "s"
    assert sums == pytest.approx([15.0, 45.0])
    [(_, unit, [first, second])] = found["request.duration/p50"]
    assert unit == "s"
    assert 0.1 <= first <= 0.2, "of the first interval"
    assert 0.2 <= second <= 0.5, "of the second alone, and not of both"
    assert found["request.duration/max"] == [(OWN, "s", [0.15, 0.3])]
    assert not any(name.startswith("request.duration/bucket") for name in found)
    meters.shutdown()


async def test_deltas_are_marked_and_exponential_histograms_are_read(service: Any) -> None:
    view = View(instrument_name="took", aggregation=ExponentialBucketHistogramAggregation())
    deltas = {Counter: AggregationTemporality.DELTA, Histogram: AggregationTemporality.DELTA}
    meters = provider(service.url, views=[view], temporality=deltas)
    meter = meters.get_meter("shop")
    counter, took = meter.create_counter("orders"), meter.create_histogram("took", unit="ms")
    for value in (10.0, 20.0):
        counter.add(3)
        for _ in range(50):
            took.record(value)
        await flushed(meters)
    found = await series(service)
    assert found["orders"] == [({**OWN, "temporality": "delta"}, "", [3, 3])]
    assert found["took/count"] == [({**OWN, "temporality": "delta"}, "", [50, 50])]
    [(_, _, [first, second])] = found["took/p95"]
    assert (first, second) == (pytest.approx(10, rel=0.1), pytest.approx(20, rel=0.1))
    meters.shutdown()


async def test_a_litestar_app_and_its_process(service: Any) -> None:
    """The instrumentation of a real app, and of the runtime beneath it."""

    @get("/orders/{number:int}")
    async def order(number: FromPath[int]) -> dict[str, int]:
        return {"number": number}

    meters = provider(service.url)
    system = SystemMetricsInstrumentor()
    system.instrument(meter_provider=meters)
    try:
        plugin = OpenTelemetryPlugin(OpenTelemetryConfig(meter_provider=meters))
        app = Litestar([order], plugins=[plugin], logging_config=None)
        async with AsyncTestClient(app) as client:
            for number in range(5):
                assert (await client.get(f"/orders/{number}")).status_code == 200
        await flushed(meters)
    finally:
        system.uninstrument()
        meters.shutdown()
    found = await series(service)
    durations = [name for name in found if name.startswith("http.server.") and name.endswith("duration/count")]
    assert durations, sorted(found)
    assert found[durations[0]][0][2] == [5]
    assert any(name.startswith("process.") and "memory" in name for name in found), sorted(found)
    assert any(name.startswith("system.cpu") for name in found)


async def test_without_its_scope_the_sdk_is_refused_for_good(start: Any) -> None:
    service = await start(auth=True)
    store = TokenStore(service.app.state.hub.log.home)
    _, some = await store.create("app", Scopes(publish=("shop/**",)), 3_600)
    narrow = {"Authorization": f"Bearer {some}"}
    good, bad = gauge("shop/a", point(1.5)), gauge("other", point(1.5))
    assert (await export(service, request(good))).status_code == 401
    partly = await export(service, request(good, bad), **narrow)
    assert partly.status_code == 200
    assert partly.json()["partialSuccess"]["rejectedDataPoints"] == "1"
    assert "other" in partly.json()["partialSuccess"]["errorMessage"]
    refused = await export(service, request(bad), "application/x-protobuf", **narrow)
    assert (refused.status_code, refused.headers["content-type"]) == (403, "application/x-protobuf")
    assert b"may not be published" in refused.content
    again = await export(service, request(bad), **narrow)
    assert (again.status_code, list(again.json())) == (403, ["message"])


@pytest.mark.parametrize("media_type", ["application/json", "application/x-protobuf"])
@pytest.mark.parametrize("packed", [False, True])
async def test_both_encodings_and_gzip_store_the_same(service: Any, media_type: str, packed: bool) -> None:
    at_s = round(time.time()) + 0.123456789
    content = request(
        gauge("g", point(1.5, at_s=at_s), point(7, at_s=at_s, attributes=[{"key": "a", "value": {"intValue": "5"}}])),
        {"name": "s", "sum": {"aggregationTemporality": 2, "isMonotonic": True, "dataPoints": [point(3)]}},
        {"name": "old", "summary": {"dataPoints": [point(
            count="4", sum=10.0, quantileValues=[{"quantile": q, "value": q * 10} for q in (0.0, 0.5, 0.999, 1.0)]
        )]}},
        {"name": "unknown", "fromTheFuture": {"dataPoints": [{}]}},
        service_name="x",
    )  # fmt: skip
    body = json.dumps(content).encode()
    if media_type != "application/json":
        body = json_format.Parse(body, ExportMetricsServiceRequest(), ignore_unknown_fields=True).SerializeToString()
    headers = {"Content-Encoding": "gzip"} if packed else {}
    answer = await export(service, gzip.compress(body) if packed else body, media_type, **headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)
    if media_type == "application/json":
        assert answer.json() == {}
    else:
        assert ExportMetricsServiceResponse.FromString(answer.content) == ExportMetricsServiceResponse()
    found = await series(service)
    own = {"service.name": "x"}
    assert found["g"] == [({"a": "5", **own}, "", [7]), (own, "", [1.5])]
    times = (await service.history("g"))["series"][0]["time"]
    assert times == [pytest.approx(at_s * 1e3, abs=1e-3)]
    assert found["s"] == [(own, "", [3])]
    summary = {name: values[0][2] for name, values in found.items() if name.startswith("old/")}
    assert summary == {
        "old/count": [4], "old/sum": [10], "old/min": [0], "old/p50": [5], "old/p99.9": [9.99], "old/max": [10],
    }  # fmt: skip


async def test_a_bad_data_point_is_named_and_the_others_are_stored(service: Any) -> None:
    wide = [{"key": f"k{n}", "value": {"stringValue": "v"}} for n in range(40)]
    many = [
        gauge("good", point(1)),
        gauge("", point(1)),
        gauge("x" * 300, point(1)),
        gauge("m", point(1, attributes=wide)),
        gauge("m", point(1, at_s=1.0)),
        gauge("m", point(1), unit="u" * 80),
        of("histogram", point(count="1", bucketCounts=["1"], explicitBounds=[1.0, 2.0])),
        of("histogram", point(count="1", bucketCounts=["1", "0", "0"], explicitBounds=[2.0, 1.0])),
        of("exponentialHistogram", point(count="1", scale=99)),
        of("summary", point(count="1", quantileValues=[{"quantile": 1.5, "value": 1}])),
        gauge("good too", point(2)),
    ]  # fmt: skip
    answer = await export(service, request(*many))
    assert answer.status_code == 200, answer.text
    partial = answer.json()["partialSuccess"]
    assert partial["rejectedDataPoints"] == str(len(many) - 2)
    assert "data point 1: metric" in partial["errorMessage"]
    assert "and 4 more" in partial["errorMessage"]
    assert await service.stored() == {"good": [1], "good too": [2]}
    in_protobuf = await export(service, request(*many), "application/x-protobuf")
    told = ExportMetricsServiceResponse.FromString(in_protobuf.content).partial_success
    assert (told.rejected_data_points, told.error_message) == (len(many) - 2, partial["errorMessage"])


async def test_names_labels_and_values_stay_as_they_are(service: Any) -> None:
    attributes = [
        {"key": "http.route", "value": {"stringValue": "/orders/{id}"}},
        {"key": "a/b", "value": {"stringValue": "line\nfeed"}},
        {"key": "on", "value": {"boolValue": True}},
        {"key": "list", "value": {"arrayValue": {"values": [{"stringValue": "x"}, {"intValue": "2"}]}}},
        {"key": "empty", "value": {"stringValue": ""}},
        {"key": "bytes", "value": {"bytesValue": "AAAA"}},
    ]
    content = request(
        gauge("http.server.request.duration", point(1.5, attributes=attributes), unit="By/s"),
        gauge("nan", {"timeUnixNano": str(time.time_ns()), "asDouble": "NaN"}),
        gauge("large", point(2**53 + 1)),
        gauge("ended", point(flags=1)),
    )
    assert (await export(service, content)).json() == {}
    found = await series(service)
    labels = {"http.route": "/orders/{id}", "a.b": "line_feed", "on": "true", "list": '["x",2]'}
    assert found["http.server.request.duration"] == [(labels, "By/s", [1.5])]
    assert (found["nan"][0][2], found["large"][0][2], found["ended"][0][2]) == ([None], [2.0**53], [None])
    counted = (await service.http.get("/metrics")).text
    assert 'tidewire_values_lossy_total{ingest="otlp"} 1.0' in counted


async def test_a_request_that_comes_again_stores_nothing_twice(service: Any) -> None:
    content = request(
        gauge("g", point(1)),
        {"name": "h", "unit": "s", "histogram": {"aggregationTemporality": 2, "dataPoints": [point(
            count="3", sum=4.0, bucketCounts=["1", "2"], explicitBounds=[1.0],
            startTimeUnixNano=str(time.time_ns() - 10**9),
        )]}},
    )  # fmt: skip
    for _ in range(3):
        assert (await export(service, content)).json() == {}
    stored = await service.stored()
    assert {name: len(values) for name, values in stored.items()} == dict.fromkeys(
        ("g", "h/count", "h/sum", "h/p50", "h/p95", "h/p99"), 1
    )


async def test_quantiles_survive_an_export_that_could_not_be_stored(start: Any, valkey: Any) -> None:
    service = await start(redis_timeout_s=1.0)
    start_ns = str(time.time_ns() - 10**9)

    def exported(counts: list[str]) -> Any:
        one = point(count="9", sum=4.0, bucketCounts=counts, explicitBounds=[1.0, 2.0], startTimeUnixNano=start_ns)
        return request({"name": "h", "histogram": {"aggregationTemporality": 2, "dataPoints": [one]}})

    assert (await export(service, exported(["5", "0", "0"]))).status_code == 200
    second = exported(["5", "5", "0"])
    valkey.cli("CONFIG", "SET", "maxmemory", 1)
    refused = await export(service, second)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    valkey.cli("CONFIG", "SET", "maxmemory", 0)
    assert (await export(service, second)).json() == {}
    first, again = (await service.stored())["h/p50"]
    assert first < 1 < again < 2


async def test_points_without_a_time_are_new_each_time(service: Any) -> None:
    content = request(gauge("g", {"asInt": "7"}))
    for _ in range(3):
        assert (await export(service, content)).json() == {}
    assert await service.stored() == {"g": [7, 7, 7]}


async def test_two_exports_of_a_histogram_in_one_request(service: Any) -> None:
    """A collector sends several at once: each counts since the one before, and not since the request before."""
    now_s = time.time()

    def one(counts: list[str], at_s: float) -> dict[str, Any]:
        start_ns = str(int((now_s - 60) * 1e9))
        return point(at_s=at_s, count="1", bucketCounts=counts, explicitBounds=[1.0, 10.0], startTimeUnixNano=start_ns)

    await export(service, request(of("histogram", one(["0", "0", "0"], now_s - 3))))
    two = {
        "aggregationTemporality": 2,
        "dataPoints": [one(["100", "0", "0"], now_s - 2), one(["100", "100", "0"], now_s - 1)],
    }
    assert (await export(service, request({"name": "h", "histogram": two}))).json() == {}
    assert (await service.stored())["h/p50"] == [0.5, 5.5]


async def test_attributes_that_would_be_one_label_are_refused(service: Any) -> None:
    attributes = [{"key": key, "value": {"stringValue": value}} for key, value in (("a/b", "1"), ("a.b", "2"))]
    answer = await export(service, request(gauge("g", point(1, attributes=attributes)), gauge("h", point(2))))
    assert answer.json()["partialSuccess"]["rejectedDataPoints"] == "1"
    assert "as another attribute is" in answer.json()["partialSuccess"]["errorMessage"]
    assert await service.stored() == {"h": [2]}


async def test_what_one_data_point_may_hold_is_bounded(service: Any) -> None:
    quantiles = [{"quantile": 0.5, "value": 1}] * 101
    wide = point(count="1", scale=2, positive={"bucketCounts": ["1"] * 2_001})
    answer = await export(
        service, request(of("summary", point(quantileValues=quantiles)), of("exponentialHistogram", wide))
    )
    assert answer.json()["partialSuccess"]["rejectedDataPoints"] == "2"
    assert await service.stored() == {}


async def test_buckets_and_attributes_are_stored_by_choice(start: Any) -> None:
    service = await start(otlp_buckets=True, otlp_attributes=("service.name", "host.name"))
    one = point(count="6", bucketCounts=["1", "2", "3"], explicitBounds=[0.5, 1.0])
    content = request(
        {"name": "h", "histogram": {"aggregationTemporality": 2, "dataPoints": [one]}},
        service_name="x", host_name="h1", service_instance_id="no",
    )  # fmt: skip
    assert (await export(service, content)).json() == {}
    found = {labels["le"]: values for labels, _, values in (await series(service))["h/bucket"]}
    assert found == {"0.5": [1], "1": [3], "+Inf": [6]}
    assert (await series(service))["h/count"][0][0] == {"service.name": "x", "host.name": "h1"}


@pytest.mark.parametrize("media_type", ["application/json", "application/x-protobuf"])
async def test_what_is_no_request_is_refused_for_good(start: Any, media_type: str) -> None:
    service = await start(max_foreign_body_bytes=5_000, max_decompressed_bytes=5_000, max_foreign_rows=3)
    whole = json_format.Parse(json.dumps(request(gauge("g", point(1)))), ExportMetricsServiceRequest())
    body = whole.SerializeToString()
    broken = [b"{", b"[]", b'{"resourceMetrics": 5}', b"[" * 4_000, b'{"a":' * 900, b"\xff\xfe"]
    if media_type != "application/json":
        broken = [b"\xff" * 9, body[:-1], b"\x0a\xff\xff\xff\xff\x0f", b"\x0b" * 400]
    for one in broken:
        answer = await export(service, one, media_type)
        assert answer.status_code == 400, one[:40]
        assert answer.headers["content-type"] == media_type
    long = await export(service, b" " * 5_001, media_type)
    assert (long.status_code, long.headers["content-type"]) == (413, media_type)
    assert (await export(service, request(gauge("g", *[point(1)] * 4)), media_type)).status_code == 413
    assert (await export(service, b"x", "text/plain")).status_code == 415
    assert (await export(service, b"x", media_type, **{"Content-Encoding": "zstd"})).status_code == 415
    assert (await export(service, b"", media_type)).status_code in (200, 400)
    assert await service.stored() == {}
    for path in ("/v1/traces", "/v1/logs"):
        assert (await service.http.post(path, content=b"")).status_code == 404


BAD_NUMBERS = [
    ('{"asDouble":1e400}', "asDouble inf: Couldn't parse Infinity"),
    ('{"asDouble":NaN}', "asDouble nan: Couldn't parse NaN"),
    ('{"asDouble":-Infinity}', "asDouble -inf: Couldn't parse"),
    ('{"asDouble":%s}' % ("9" * 400), "data point {'asDouble': 9999"),
    ('{"asInt":%s}' % ("9" * 9_000), "asInt inf: Couldn't parse integer"),
    ('{"asDouble":"1,5"}', "asDouble '1,5': Couldn't parse float: 1,5 (of the metric 'g')"),
    ('{"asDouble":{}}', "asDouble {}: "),
    (r'{"asDouble":"\ud800"}', r"asDouble '\ud800': Couldn't parse float: \ud800"),
    ('{"asInt":"18446744073709551616"}', "asInt '18446744073709551616': Value out of range"),
    ('{"asInt":1.5}', "asInt 1.5: Couldn't parse integer"),
    ('{"asInt":1,"asDouble":2}', "should not have multiple"),
    ('{"timeUnixNano":-1}', "timeUnixNano -1: Value out of range"),
    ('{"attributes":[{"key":"a","value":{"doubleValue":1e400}}]}', "attributes[0].value.doubleValue [{'key': 'a'"),
    ('{"exemplars":[{"asDouble":NaN}]}', "exemplars[0].asDouble"),
    ("null", "data point None: expected an object"),
    ('"asDouble"', "data point 'asDouble': expected an object"),
]


@pytest.mark.parametrize(("bad", "said"), BAD_NUMBERS)
async def test_a_number_in_json_that_is_none_refuses_its_data_point_alone(service: Any, bad: str, said: str) -> None:
    kept = json.dumps(request(gauge("g", point(1), {"asInt": "BAD"}, point(2)), gauge("h", {"asInt": "BAD"})))
    answer = await export(service, kept.replace('{"asInt": "BAD"}', bad).encode())
    assert answer.status_code == 200, answer.text
    partial = answer.json()["partialSuccess"]
    assert partial["rejectedDataPoints"] == "2"
    first, second = partial["errorMessage"].split("; data point ")
    assert first.startswith("data point 1: "), first
    assert said in first
    assert second.startswith("3: "), second
    assert "Failed to parse" not in partial["errorMessage"]
    assert await service.stored() == {"g": [1, 2]}


@pytest.mark.parametrize("kind", ["gauge", "sum", "histogram", "exponentialHistogram", "summary"])
async def test_both_spellings_of_json_are_read_alike(service: Any, kind: str) -> None:
    good, bad = point(count="1", sum=1.0), point(count="x", sum="x", asInt="x")
    content = json.dumps(request({"name": "m", kind: {"dataPoints": [bad, good]}}))
    for spelled in (content, re.sub(r"([a-z])([A-Z])", lambda found: f"{found[1]}_{found[2].lower()}", content)):
        answer = await export(service, spelled.encode())
        partial = answer.json().get("partialSuccess") or answer.json()["partial_success"]
        assert partial["rejectedDataPoints"] == "1"
        assert partial["errorMessage"].startswith("data point 0: ")


async def test_the_mark_that_windows_writes_before_json_means_nothing(service: Any) -> None:
    assert (await export(service, b"\xef\xbb\xbf" + json.dumps(request(gauge("g", point(1)))).encode())).json() == {}
    assert await service.stored() == {"g": [1]}


async def test_what_is_wrong_with_json_is_said_whatever_it_is_in(service: Any) -> None:
    metric = {"name": "m", "sum": {"isMonotonic": "maybe", "dataPoints": [point(1)]}}
    answer = await export(service, request(metric))
    assert answer.status_code == 400
    assert "isMonotonic" in answer.json()["message"]
    assert "Failed to parse" not in answer.json()["message"]
    two = {"name": "m", "gauge": {"dataPoints": [point(1)], "data_points": [point(2)]}}
    answer = await export(service, request(two))
    assert (answer.status_code, "two spellings" in answer.json()["message"]) == (400, True)
    answer = await export(service, request(gauge("g", *[{"asInt": "x"}] * 10_001)))
    assert (answer.status_code, "10000" in answer.json()["message"]) == (400, True)
    assert await service.stored() == {}


@pytest.mark.parametrize(
    "body",
    [
        rb'{"\ud800":1,"\ud800":2}',
        rb'{"resourceMetrics":"\ud800"}',
        rb'{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"\ud800"}]}]}]}',
        rb'{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"g","gauge":{"dataPoints":"\ud800"}}]}]}]}',
    ],
)
async def test_half_a_character_is_refused_for_good_and_shown(service: Any, body: bytes) -> None:
    answer = await export(service, body)
    assert answer.status_code == 400, answer.text
    said = answer.json()["message"]
    assert "ud800" in said or "metrics[0].name: Unpaired surrogate" in said


def from_protobuf(body: bytes) -> tuple[Any, dict[int, Any]]:
    return parse_protobuf(body, 1_000), {}


def read(parse: Callable[[bytes], Any], body: bytes) -> int:
    try:
        parsed, unreadable = parse(body)
        reader = PointsReader(IngestLimits(), 1_000, (), IntervalQuantiles(), buckets=True)
        points = reader.read(parsed, 1.7e12, unreadable)
    except MalformedBody:
        return -1
    return len(points.intake.batches) + len(points.intake.rejected)


SAMPLE = json_format.Parse(
    json.dumps(request(
        gauge("g", point(1.5, at_s=1.7e9)),
        {"name": "h", "histogram": {"aggregationTemporality": 2, "dataPoints": [point(
            at_s=1.7e9, count="3", sum=4.0, bucketCounts=["1", "2"], explicitBounds=[1.0])]}},
        {"name": "e", "exponentialHistogram": {"aggregationTemporality": 1, "dataPoints": [point(
            at_s=1.7e9, count="3", scale=2, positive={"offset": -3, "bucketCounts": ["1", "2"]})]}},
        service_name="x",
    )),
    ExportMetricsServiceRequest(),
).SerializeToString()  # fmt: skip


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.integers(0, len(SAMPLE) - 1), st.integers(0, 255)), max_size=6), st.integers(0, len(SAMPLE))
)
def test_any_bytes_are_data_points_or_a_refusal(changes: list[tuple[int, int]], end: int) -> None:
    body = bytearray(SAMPLE)
    for place, byte in changes:
        body[place] = byte
    assert read(from_protobuf, bytes(body[:end])) >= -1
    assert read(from_protobuf, bytes(body)) >= -1


KEYS = st.sampled_from(["resourceMetrics", "scopeMetrics", "metrics", "gauge", "dataPoints", "asInt", "name", "x"])
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=15,
)


@given(ANY_JSON)
def test_any_json_is_data_points_or_a_refusal(content: Any) -> None:
    assert read(parse_json, json.dumps(content).encode()) >= -1
    assert read(parse_json, json.dumps(request(gauge("g", {"asDouble": 1.5, "attributes": content}))).encode()) >= -1


def in_fields(content: bytes, *numbers: int) -> bytes:
    """Return content as the field of a message, that as a field of another, from the inside out."""
    for number in numbers:
        size, length = len(content), bytearray()
        while size > 0x7F:
            length.append(size & 0x7F | 0x80)
            size >>= 7
        content = bytes([number << 3 | 2, *length, size]) + content
    return content


EMPTY = b"\x0a\x00"


@pytest.mark.parametrize(
    "body",
    [
        in_fields(EMPTY * 600_000, 5, 2, 2, 1),  # data points of a gauge
        in_fields(EMPTY * 600_000, 7, 2, 2, 1),
        EMPTY * 1_100_000,  # resources
        in_fields(b"\x12\x00" * 1_100_000, 2, 1),  # metrics
        in_fields(b"\x3a\x00" * 1_100_000, 1, 5, 2, 2, 1),  # attributes of one data point
        in_fields(b"\x2a\x00" * 1_100_000, 1, 5, 2, 2, 1),  # its exemplars
        in_fields(EMPTY * 1_100_000, 5, 2, 7, 1, 5, 2, 2, 1),  # values of a list in an attribute
        in_fields(b"\x1a\x00" * 1_100_000, 3, 1, 1),  # texts of a list
        in_fields(b"\x00" * 8_100_000, 2, 8, 1, 10, 2, 2, 1),  # counts of buckets
    ],
)
def test_what_would_be_many_messages_is_refused_before_it_is_one(body: bytes) -> None:
    """Two bytes are an empty message of 70: a refusal takes the memory of the body, and not that of its messages."""
    parse_protobuf(SAMPLE, 500_000)
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(LimitExceeded, match="max_foreign_rows"):
        parse_protobuf(body, 500_000)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 8 << 10


def test_a_large_export_with_many_attributes_is_taken() -> None:
    point = NumberDataPoint(time_unix_nano=1_700_000_000 * 10**9, as_double=1.5)
    for number in range(8):
        point.attributes.add(key=f"k8s.attribute.{number}").value.string_value = f"value-{number}"
    body = in_fields(in_fields(point.SerializeToString(), 1) * 60_000, 5, 2, 2, 1)
    [metric] = parse_protobuf(body, 500_000).resource_metrics[0].scope_metrics[0].metrics
    assert len(metric.gauge.data_points) == 60_000


def test_what_is_counted_is_what_is_parsed() -> None:
    large = ExportMetricsServiceRequest()
    metric = large.resource_metrics.add().scope_metrics.add().metrics.add(name="m")
    for number in range(10_000):
        one = metric.gauge.data_points.add(time_unix_nano=1_700_000_000 * 10**9, as_int=number - 5_000)
        one.attributes.add(key="a" * 200).value.array_value.values.add().string_value = "x"
    body = large.SerializeToString()
    assert count_parts(body, ExportMetricsServiceRequest, 10_000, 60_000) == (
        10_000,
        10_000 * 5 + 4 + (10_000 * 4 + 1) // 8,
    )
    assert parse_protobuf(body, 10_000) == large
    with pytest.raises(LimitExceeded, match="max_foreign_rows: 10000 is more than the 9999"):
        parse_protobuf(body, 9_999)
    for broken in (body[:-1], body[:1_000_000], body + b"\x0b" * 400, body + b"\xff" * 30, body + b"\x09\x00"):
        with pytest.raises(MalformedBody, match="is no ExportMetricsServiceRequest"):
            parse_protobuf(broken, 10_000)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(0, len(SAMPLE) - 1), st.integers(0, 255)), max_size=6))
def test_whatever_is_parsed_can_be_counted(changes: list[tuple[int, int]]) -> None:
    body = bytearray(SAMPLE)
    for place, byte in changes:
        body[place] = byte
    try:
        parsed = parse_protobuf(bytes(body), 1_000)
    except MalformedBody:
        return
    if not any(byte & 7 == 3 for _, byte in changes):  # a group, which the parser leaves out
        points = [
            point
            for resource in parsed.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if (kind := metric.WhichOneof("data"))
            for point in getattr(metric, kind).data_points
        ]
        assert count_parts(bytes(body), ExportMetricsServiceRequest, 1_000, 1_000).points >= len(points)


@pytest.mark.parametrize("repeated", [b"{},", b"[],", b'{"attributes":[]},'])
def test_json_of_many_objects_is_refused_before_it_is_read(repeated: bytes) -> None:
    body = b'{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"g","gauge":{"dataPoints":['
    body += repeated * 600_000 + b"{}]}}]}]}]}"
    started = time.thread_time()
    with pytest.raises(LimitExceeded, match="max_foreign_rows"):
        parse_json(body)
    assert time.thread_time() - started < generous(0.5)


@pytest.mark.parametrize("number", [b"0", b"1.5"])
def test_other_threads_have_their_turn_while_json_is_read(number: bytes) -> None:
    """The loop is one of them: it waits for the interpreter, 5 ms at a time and not until the end of a list."""
    body = b'{"x":[' + b",".join([number] * (8_000_000 // (len(number) + 1))) + b"]}"
    turns = 0
    done = threading.Event()

    def take_turns() -> None:
        nonlocal turns
        while not done.is_set():
            turns += 1
            time.sleep(0.0001)

    thread = threading.Thread(target=take_turns)
    thread.start()
    try:
        first = turns
        parse_json(body)
        assert turns - first >= 5
    finally:
        done.set()
        thread.join()


async def test_json_is_bounded_as_other_json_is(start: Any) -> None:
    service = await start(max_decompressed_bytes=200_000)
    content = request(gauge("g", point(1)), blank=" " * 200_000)
    for packed in (False, True):
        body = json.dumps(content).encode()
        headers = {"Content-Encoding": "gzip"} if packed else {}
        answer = await export(service, gzip.compress(body) if packed else body, **headers)
        assert (answer.status_code, answer.headers["content-type"]) == (413, "application/json")
        assert "max_decompressed_bytes" in answer.json()["message"]
    assert (await export(service, content, "application/x-protobuf")).status_code == 200


def test_hostile_requests_cost_little() -> None:
    zeros, wide = ExportMetricsServiceRequest(), ExportMetricsServiceRequest()
    histogram = zeros.resource_metrics.add().scope_metrics.add().metrics.add(name="e").exponential_histogram
    for _ in range(10):
        one = histogram.data_points.add(time_unix_nano=1_700_000_000 * 10**9, count=1)
        one.positive.bucket_counts.extend([0] * 300_000)
    gauge_ = wide.resource_metrics.add().scope_metrics.add().metrics.add(name="g").gauge
    one_ = gauge_.data_points.add(time_unix_nano=1_700_000_000 * 10**9, as_int=1)
    for number in range(100_000):
        one_.attributes.add(key=f"k{number}").value.int_value = 1
    for request_ in (zeros, wide):
        body, best_s = request_.SerializeToString(), math.inf
        for _ in range(3):
            started = time.thread_time()
            assert read(from_protobuf, body) >= 1
            best_s = min(best_s, time.thread_time() - started)
        assert best_s < generous(1.0), f"{best_s:.2f} s"
