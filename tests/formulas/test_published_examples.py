"""PromQL's published examples mean here what they mean there, as far as the subset goes.

Source: the pages "Query examples", "Operators" and "Query functions" of the documentation of Prometheus. Their range
windows are long against the pace of the series, so that it does not matter that nothing is extrapolated here.
"""

from __future__ import annotations

import numpy as np
import pytest
from formula_series import T0, series_of

from tidewire.errors import InvalidFormula
from tidewire.evaluation.evaluate import evaluate
from tidewire.evaluation.reading_table import SeriesReadings
from tidewire.model.formulas.canonical import canonical_text
from tidewire.model.formulas.parser import parse_formula

SECONDS = [i * 15.0 for i in range(1_201)]  # five hours
NOW_S = SECONDS[-1]


def counter(metric: str, per_s: float, **labels: str) -> SeriesReadings:
    return series_of(metric, SECONDS, [per_s * t for t in SECONDS], **labels)


def gauge(metric: str, value: float, **labels: str) -> SeriesReadings:
    return series_of(metric, SECONDS, [value] * len(SECONDS), **labels)


REQUESTS = [
    counter("http_requests_total", 2, job="apiserver", handler="/api/comments", method="GET", environment="staging"),
    counter("http_requests_total", 3, job="apiserver", handler="/api/comments", method="POST", environment="testing"),
    counter("http_requests_total", 5, job="web-server", handler="/", method="GET", environment="development"),
    counter("http_requests_total", 7, job="web-server", handler="/", method="GET", environment="production"),
]
INSTANCES = [
    *(gauge("instance_memory_limit_bytes", limit * 2**20, app=app, proc=proc) for app, proc, limit in (
        ("lion", "web", 300), ("lion", "db", 700), ("fox", "web", 100),
    )),
    *(gauge("instance_memory_usage_bytes", used * 2**20, app=app, proc=proc) for app, proc, used in (
        ("lion", "web", 250), ("lion", "db", 500), ("fox", "web", 25),
    )),
    *(counter("instance_cpu_time_ns", per_s, app=app, proc=proc, rev="34d0f99", env="prod", job="cluster-manager", i=i)
      for app, proc, per_s, i in (
        ("lion", "web", 4e8, "0"), ("lion", "web", 3e8, "1"), ("elephant", "worker", 9e8, "0"),
        ("turtle", "api", 1e8, "0"), ("fox", "widget", 2e8, "0"),
    )),
]  # fmt: skip
# The table of the page "Operators", under "Vector matching".
ERRORS = [
    gauge("method_code:http_errors:rate5m", value, method=method, code=code)
    for method, code, value in (
        ("get", "500", 24), ("get", "404", 30), ("put", "501", 3), ("post", "500", 6), ("post", "404", 21),
    )
] + [
    gauge("method:http_requests:rate5m", value, method=method)
    for method, value in (("get", 600), ("del", 34), ("post", 120))
]  # fmt: skip
ALL = [*REQUESTS, *INSTANCES, *ERRORS, gauge("http_requests", 5, job="web")]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('count(http_requests_total{job="apiserver", handler="/api/comments"})', {"": 2}),
        ('sum(http_requests_total{job=~".*server"})', {"": 17 * NOW_S}),
        ('count(http_requests_total{environment=~"staging|testing|development",method!="GET"})', {"": 1}),
        ("sum(rate(http_requests_total[5m]))", {"": 17}),
        ("sum by (job) (\n  rate(http_requests_total[5m])\n)", {"apiserver": 5, "web-server": 12}),
        (
            "sum without (handler, method, environment) (rate(http_requests_total[5m]))",
            {"apiserver": 5, "web-server": 12},
        ),
        ("sum(http_requests_total offset 5m) - sum(http_requests_total offset 1h)", {"": 17 * 3_300}),
        ("sum(rate(http_requests_total{method='POST'}[5m] offset 1h))", {"": 3}),
        ("sum(increase(http_requests_total{method='POST'}[5m]))", {"": 900}),
        ("sum(instance_memory_limit_bytes - instance_memory_usage_bytes) / 1024 / 1024", {"": 325}),
        (
            "sum by (app, proc) (\n  instance_memory_limit_bytes - instance_memory_usage_bytes\n) / 1024 / 1024",
            {"lion,web": 50, "lion,db": 200, "fox,web": 75},
        ),
        (
            "topk(3, sum by (app, proc) (rate(instance_cpu_time_ns[5m])))",
            {"elephant,worker": 9e8, "lion,web": 7e8, "fox,widget": 2e8},
        ),
        ("count by (app) (instance_cpu_time_ns)", {"lion": 2, "elephant": 1, "turtle": 1, "fox": 1}),
        (
            'method_code:http_errors:rate5m{code="500"} / ignoring(code) method:http_requests:rate5m',
            {"get": 0.04, "post": 0.05},
        ),
        (
            "method_code:http_errors:rate5m / ignoring(code) group_left method:http_requests:rate5m",
            {"500,get": 0.04, "404,get": 0.05, "500,post": 0.05, "404,post": 0.175},
        ),
        ("absent(nonexistent{job='myjob'})", {"myjob": 1}),
        ('absent(nonexistent{job="myjob",instance=~".*"})', {"myjob": 1}),
        ('absent(sum(nonexistent{job="myjob"}))', {"": 1}),
        ("quantile(0.5, instance_memory_usage_bytes) / 2 ^ 20", {"": 250}),
        ("sum(deriv(http_requests_total{method='POST'}[1h]))", {"": 3}),
        ("sum(predict_linear(http_requests_total{method='POST'}[1h], 60))", {"": 3 * (NOW_S + 60)}),
        ("2 ^ 3 ^ 2", {"": 512}),
        ("-2 ^ 2", {"": -4}),
        ("vector(1) > bool 2 or vector(5)", {"": 0}),
        ("max(method:http_requests:rate5m > 100)", {"": 600}),
        (
            "method:http_requests:rate5m and on (method) method_code:http_errors:rate5m{code='404'} < 25",
            {"method:http_requests:rate5m,post": 120},
        ),
    ],
)  # fmt: skip
def test_an_example(text: str, wanted: dict[str, float]) -> None:
    result = evaluate(text, ALL, [T0 + NOW_S * 1e3])
    found = {",".join(one.labels[label] for label in sorted(one.labels)): one.value[0] for one in result.series}
    assert found == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('up{job="prometheus"}', 1),
        ('label_join(up{job="api-server",src1="a",src2="b",src3="c"}, "foo", ",", "src1", "src2", "src3")', "a,b,c"),
        ('label_replace(up{job="api-server",service="a:c"}, "foo", "$1", "service", "(.*):.*")', "a"),
    ],
)
def test_an_example_about_labels(text: str, wanted: object) -> None:
    series = [
        gauge("up", 1, job="prometheus"),
        gauge("up", 1, job="api-server", src1="a", src2="b", src3="c", service="a:c"),
    ]
    (one,) = evaluate(text, series, [T0 + NOW_S * 1e3]).series
    assert one.labels.get("foo", one.value[0]) == wanted


def test_a_mistake_of_the_page_about_matching_is_found() -> None:
    with pytest.raises(InvalidFormula, match="several series"):
        evaluate(
            "method_code:http_errors:rate5m / ignoring(code) method:http_requests:rate5m", ERRORS, [T0 + NOW_S * 1e3]
        )


@pytest.mark.parametrize(
    "text",
    [
        "rate(http_requests_total[5m])[30m:1m]",
        "max_over_time(deriv(rate(distance_covered_total[5s])[30s:5s])[10m:])",
        "http_requests_total @ 1609746000",
        "histogram_quantile(0.9, rate(http_request_duration_seconds_bucket[10m]))",
        'count_values("version", build_version)',
        "rate(http_requests_total[5m] offset -1w)",
        "sort_desc(http_requests_total)",
        "{}",
        '{job=~".*"}',
    ],
)
def test_what_is_left_out_says_so_at_its_place(text: str) -> None:
    with pytest.raises(InvalidFormula) as caught:
        parse_formula(text)
    assert caught.value.remedy
    assert text[caught.value.position : caught.value.end]


def test_a_division_that_looks_like_a_name_is_one() -> None:
    text = "errors/total"
    assert canonical_text(parse_formula(text)) == "errors/total"
    assert evaluate(text, [gauge("errors", 1), gauge("total", 4)], [T0 + NOW_S * 1e3]).series == []
    (one,) = evaluate("errors / total", [gauge("errors", 1), gauge("total", 4)], [T0 + NOW_S * 1e3]).series
    np.testing.assert_array_equal(one.value, [0.25])
