"""What scripts push to a Pushgateway is stored: groups in the path, text in the body, and an end for what left."""

from __future__ import annotations

import asyncio
import base64
import gzip
import shutil
import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loop_meter import measured
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, delete_from_gateway, push_to_gateway
from prometheus_client.exposition import basic_auth_handler, pushadd_to_gateway

from tidewire.errors import InvalidInput, LimitExceeded
from tidewire.model.batch import IngestLimits
from tidewire_service.ingest.prometheus_text import group_labels, read_samples

LIMITS = IngestLimits()
BYTES = 1 << 20
HELD_S = 0.02


async def series(service: Any, metric: str = "**") -> dict[tuple[str, tuple[tuple[str, str], ...]], list[Any]]:
    """Return metric and labels → values, each with its text if it has one."""
    found = {}
    for each in (await service.history(metric))["series"]:
        texts = each.get("text") or [None] * len(each["value"])
        readings = [value if text is None else (value, text) for value, text in zip(each["value"], texts, strict=True)]
        found[each["metric"], tuple(each["labels"].items())] = readings
    return found


# -- pure


@pytest.mark.parametrize(
    ("path", "labels"),
    [
        ("/metrics/job/some_job", {"job": "some_job"}),
        ("/metrics/job/some_job/instance/some_instance", {"job": "some_job", "instance": "some_instance"}),
        ("/metrics/job@base64/c29tZS9qb2I", {"job": "some/job"}),
        ("/metrics/job/directory_cleaner/path@base64/L3Zhci90bXA", {"job": "directory_cleaner", "path": "/var/tmp"}),
        ("/metrics/job/directory_cleaner/path@base64/L3Zhci90bXA=", {"job": "directory_cleaner", "path": "/var/tmp"}),
        ("/metrics/job/titan/name/%CE%A0%CF%81%CE%BF", {"job": "titan", "name": "Προ"}),
        ("/metrics/job/titan/name@base64/zqDPgc6_", {"job": "titan", "name": "Προ"}),
        ("/metrics/job/some_job/", {"job": "some_job"}),
        ("/metrics/job@base64/c29tZS9qb2I/", {"job": "some/job"}),
        ("/metrics/job/example/first_label@base64/=/second_label/foobar", {"job": "example", "second_label": "foobar"}),
    ],
)
def test_the_groups_of_the_pushgateways_own_page(path: str, labels: dict[str, str]) -> None:
    assert group_labels(path) == dict(sorted(labels.items()))


@pytest.mark.parametrize("path", [
    "/metrics/job@base64/=", "/metrics/job/a/b", "/metrics/job/a/b@base64/%%%", "/metrics/job/a/b@base64/_w",
    "/metrics/job/a/job/b", "/metrics/job/a/x*/b", f"/metrics/job/{'x' * 300}", "/metrics/job/a/b/%00",
    "/metrics/job/", "/metrics/job//", "/metrics/job/a//", "/metrics/job/a/b/c/",
    "/metrics/job/%FF", "/metrics/job/a/b/%ED%A0%80", "/metrics/job/a/%FF/b", "/metrics/job/a/b@base64/%FF",
])  # fmt: skip
def test_a_group_that_is_none_is_refused(path: str) -> None:
    with pytest.raises(InvalidInput):
        group_labels(path)


def test_samples_keep_their_names_and_the_labels_of_the_path_win() -> None:
    body = (
        '# TYPE a counter\na{x="1",job="mine"} 5\n# TYPE b_total counter\nb_total 6\nc NaN\n'
        '# HELP d help\nd{y="\\"é"} +Inf\n'
        '# TYPE h histogram\nh_bucket{le="1"} 2\nh_bucket{le="+Inf"} 3\nh_sum 2.5\nh_count 3\n{"dotted.name"} 7\n'
    )
    found, left_out = read_samples(body.encode(), {"job": "j"}, LIMITS, 100, BYTES)
    assert [(s.metric, s.labels, s.value) for s in found] == [
        ("a", {"job": "j", "x": "1"}, 5), ("b_total", {"job": "j"}, 6), ("c", {"job": "j"}, None),
        ("d", {"job": "j", "y": '"é'}, None), ("h_sum", {"job": "j"}, 2.5), ("h_count", {"job": "j"}, 3),
        ("dotted.name", {"job": "j"}, 7),
    ]  # fmt: skip
    assert left_out == 2


@pytest.mark.parametrize("body", [
    b"a", b"a{", b'a{x="1} 1', b"a x", b"a 1 1700000000000", b"a 1\na 2", b"\xff 1", b"a\0 1", b"a* 1",
    b'a{x="1",x="2"} 1', b"a{" + b"," * 70_000 + b"} 1", b"a " + b"9" * 70_000,
    b"a{" + b",".join(b'l%d="x"' % n for n in range(40)) + b"} 1", b"\n".join(b"a%d 1" % n for n in range(101)),
])  # fmt: skip
def test_a_body_with_one_bad_line_is_refused_as_a_whole(body: bytes) -> None:
    with pytest.raises((InvalidInput, LimitExceeded)) as refused:
        read_samples(b"good 1\n" + body + b"\n", {"job": "j"}, LIMITS, 100, BYTES)
    assert len(str(refused.value)) < 1_000


@given(st.text(st.sampled_from('ab{}="\\, \n#1eN.+TYPEHLcounter\t\0é'), max_size=200))
def test_whatever_comes_is_read_or_refused(text: str) -> None:
    try:
        found, _ = read_samples(text.encode(), {"job": "j"}, LIMITS, 1_000, BYTES)
    except (InvalidInput, LimitExceeded):
        return
    assert all(sample.labels["job"] == "j" for sample in found)


# -- the service


@pytest.mark.parametrize("leaves", ["DELETE", "PUT", "POST"])
async def test_a_series_whose_last_push_was_no_number_ends_with_the_number_before(service: Any, leaves: str) -> None:
    """Also if there were several of them, and whether all of the group leaves or a series of a metric."""
    for value in ("5", "NaN", "+Inf"):
        pushed = f'a{{x="1"}} {value}\n'
        assert (await service.http.put("/metrics/job/j", content=pushed)).status_code == 200
    content = {"DELETE": "", "PUT": "b 1\n", "POST": 'a{x="2"} 1\n'}[leaves]
    answer = await service.http.request(leaves, "/metrics/job/j", content=content)
    assert answer.status_code == (202 if leaves == "DELETE" else 200)
    stored = await series(service, "a")
    assert stored["a", (("job", "j"), ("x", "1"))] == [5, None, None, (5, "finished")]


async def test_put_replaces_its_group_and_what_left_it_has_ended(service: Any) -> None:
    job = (("job", "j"),)
    assert (await service.http.put("/metrics/job/j", content="a 1\nb 2\n")).status_code == 200
    assert (await service.http.put("/metrics/job/other", content="b 9\n")).status_code == 200
    assert (await service.http.put("/metrics/job/j", content='a 3\na{x="1"} 4\n')).status_code == 200
    assert await series(service) == {
        ("a", job): [1, 3],
        ("a", (*job, ("x", "1"))): [4],
        ("b", job): [2, (2, "finished")],
        ("b", (("job", "other"),)): [9],
    }


async def test_post_replaces_what_has_the_same_name_and_delete_ends_the_rest(service: Any) -> None:
    job = (("job", "j"),)
    await service.http.post("/metrics/job/j", content='a{x="1"} 1\nb 2\n')
    await service.http.post("/metrics/job/j", content='a{x="2"} 3\n', headers={"Content-Type": "whatever"})
    for _ in range(2):
        assert (await service.http.delete("/metrics/job/j")).status_code == 202
    assert (await service.http.delete("/metrics/job/never")).status_code == 202
    assert await series(service) == {
        ("a", (*job, ("x", "1"))): [1, (1, "finished")],
        ("a", (*job, ("x", "2"))): [3, (3, "finished")],
        ("b", job): [2, (2, "finished")],
    }
    redis = service.app.state.hub.log.home.redis
    keys = [key async for key in redis.scan_iter("*:group:*")]
    assert len(keys) == 1, "nothing is remembered of a group that never was"
    assert 0 < await redis.pttl(keys[0]) <= 60_000, "that it is empty is remembered as long as a push may take"


async def test_a_refusal_is_a_line_of_text_and_stores_nothing(start: Any) -> None:
    service = await start(max_series=1, max_body_bytes=2_000, max_rows=20)
    packed = gzip.compress(b"a 1\n")
    answer = await service.http.put("/metrics/job/j", content=packed, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 200
    for body, said in (
        (b"a\n", "text format"),
        (b"a 1 1700000000000\n", "timestamp"),
        (b"#" * 2_001, "max_body_bytes"),
    ):
        answer = await service.http.put("/metrics/job/j", content=body)
        assert (answer.status_code, said in answer.text) == (400, True), answer.text
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    for path in ("/metrics/job/j/half", "/metrics/job/%FF"):
        refused = await service.http.put(path, content="a 1\n")
        assert (refused.status_code, "path" in refused.text) == (400, True), path
    assert (await service.http.put("/metrics/job/slash/", content="slash 1\n")).status_code == 200
    assert (await service.http.put("/metrics/job/", content="a 1\n")).status_code in (403, 404, 405)
    for part in range(3):
        names = "\n".join(f"m{part}_{n} 1" for n in range(10))
        answer = await service.http.post("/metrics/job/grows", content=names + "\n")
    assert (answer.status_code, "max_rows" in answer.text) == (400, True)
    answer = await service.http.put("/metrics/job/another", content="a 2\nother 3\n")
    assert (answer.status_code, "series" in answer.text) == (400, True), "one series too many"
    answer = await service.http.delete("/metrics/job/another")
    assert answer.status_code == 202, "what was refused is not in the group, and needs no end"
    assert (await series(service, "other")) == {("other", (("job", "another"),)): [3, (3, "finished")]}
    assert (await series(service, "a")) == {("a", (("job", "j"),)): [1]}


async def test_scopes_hold_for_what_is_pushed_and_for_what_is_ended(start: Any) -> None:
    from tidewire_service.auth.scopes import Scopes  # noqa: PLC0415
    from tidewire_service.auth.tokens import TokenStore  # noqa: PLC0415

    service = await start(auth=True)
    store = TokenStore(service.app.state.hub.log.home)
    every = (await store.create("all", Scopes(publish=("**",), subscribe=("**",)), 3_600))[1]
    few = (await store.create("few", Scopes(publish=("a",)), 3_600))[1]

    def basic(token: str) -> dict[str, str]:
        return {"Authorization": "Basic " + base64.b64encode(f"anybody:{token}".encode()).decode()}

    put, path = service.http.put, "/metrics/job/j"
    assert (await put(path, content="a 1\n")).status_code == 401
    assert (await put(path, content="a 1\nb 1\n", headers=basic(every))).status_code == 200
    assert (await put(path, content="b 2\n", headers=basic(few))).status_code == 403
    assert (await service.http.delete(path, headers=basic(few))).status_code == 202
    # a PUT ends no more than a DELETE does: what the token may publish; the rest stays in the group
    assert (await put(path, content="a 2\n", headers=basic(few))).status_code == 200
    assert (await service.http.post(path, content='a{x="1"} 3\n', headers=basic(few))).status_code == 200
    assert (await put(path, content="", headers=basic(few))).status_code == 200
    job = (("job", "j"),)
    service.http.headers.update({"Authorization": f"Bearer {every}"})
    ended = {
        ("a", job): [1, (1, "finished"), 2, (2, "finished")],
        ("a", (*job, ("x", "1"))): [3, (3, "finished")],
        ("b", job): [1],
    }
    assert await series(service) == ended
    assert (await put(path, content="")).status_code == 200
    assert await series(service) == ended | {("b", job): [1, (1, "finished")]}


async def test_pushes_to_one_group_at_once_lose_nothing_of_it(start: Any) -> None:
    """Through two service processes: what is left of the group afterwards is what is live, and all of it ends."""
    services = [await start(), await start()]
    path = "/metrics/job/j"

    async def push(n: int) -> None:
        answer = await services[n % 2].http.post(path, content=f'm{n} {n}\nsame{{n="{n}"}} {n}\n')
        assert answer.status_code == 200, answer.text

    await asyncio.gather(*map(push, range(30)))
    live = {key for key, values in (await series(services[0])).items() if not isinstance(values[-1], tuple)}
    assert len(live) == 31, "each metric of its own, and of the common one the series of the last push"
    assert (await services[1].http.delete(path)).status_code == 202
    found = await series(services[0])
    assert len(found) == 60
    assert {values[-1][1] for values in found.values()} == {"finished"}


async def test_the_last_push_that_is_remembered_is_the_last_one_of_the_log(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = await start(), await start()
    path = "/metrics/job/j"
    assert (await first.http.put(path, content="a 1\n")).status_code == 200
    log, changes = first.app.state.hub.log.home, [("put", "b 2\n"), ("put", "a 1\n")]
    append = log.append

    async def overtaken(batches: Any, **more: Any) -> Any:
        appended = await append(batches, **more)
        while changes:  # the group is what it was before, and yet another
            method, body = changes.pop(0)
            assert (await second.http.request(method, path, content=body)).status_code in (200, 202)
        return appended

    monkeypatch.setattr(log, "append", overtaken)
    assert (await first.http.put(path, content="c 3\n")).status_code == 200
    monkeypatch.undo()
    found = await series(first)
    assert {metric: values[-1] for (metric, _), values in found.items()} == {
        "a": (1, "finished"), "b": (2, "finished"), "c": 3,
    }  # fmt: skip
    assert (await second.http.put(path, content="")).status_code == 200
    assert (await series(first, "c"))["c", (("job", "j"),)][-1] == (3, "finished")


async def test_a_group_without_a_record_that_comes_and_goes_meanwhile(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = await start(), await start()
    path, log = "/metrics/job/j", first.app.state.hub.log.home
    append, overtaking = log.append, True

    async def overtaken(batches: Any, **more: Any) -> Any:
        nonlocal overtaking
        appended = await append(batches, **more)
        if overtaking:
            overtaking = False
            assert (await second.http.put(path, content="a 5\n")).status_code == 200
            assert (await second.http.delete(path)).status_code == 202
        return appended

    monkeypatch.setattr(log, "append", overtaken)
    assert (await first.http.put(path, content="a 1\n")).status_code == 200
    assert (await series(first))["a", (("job", "j"),)][-1] == 1


async def test_a_large_group_leaves_the_loop_to_others(service: Any) -> None:
    for part in range(9):
        lines = "\n".join(f'm{part}{{series="{n}",more="{"x" * 60}"}} {n}' for n in range(2_000))
        assert (await service.http.post("/metrics/job/large", content=lines)).status_code == 200

    async def post() -> None:
        answer = await service.http.post("/metrics/job/large", content="one 1\n")
        assert answer.status_code == 200, answer.text

    held_s, _ = await measured(post, HELD_S)
    assert held_s < HELD_S, f"{held_s * 1e3:.1f} ms"

    async def delete() -> None:
        assert (await service.http.delete("/metrics/job/large")).status_code == 202

    held_s, _ = await measured(delete, HELD_S)
    assert held_s < HELD_S, f"{held_s * 1e3:.1f} ms"


async def test_the_labels_of_the_path_make_no_large_group_of_a_small_body(service: Any) -> None:
    path = "/metrics/job/j" + "".join(f"/label{n}/{'x' * 250}" for n in range(30))
    body = "".join(f"a{n} 1\n" for n in range(10_000))
    answer = await service.http.put(path, content=body)
    assert (answer.status_code, "max_decompressed_bytes" in answer.text) == (400, True), answer.text
    body = "".join(f"a{n} 1\n" for n in range(300))
    assert (await service.http.put(path, content=body)).status_code == 200
    for part in range(3):
        body = "".join(f"a{part}_{n} 1\n" for n in range(300))
        answer = await service.http.post(path, content=body)
    assert (answer.status_code, "max_decompressed_bytes" in answer.text) == (400, True), "also a bit at a time"
    many = ",".join(f'l{n}="1"' for n in range(40))
    answer = await service.http.put("/metrics/job/j", content=f"a{{{many}}} 1\n")
    assert (answer.status_code, "labels: 41 is more" in answer.text) == (400, True), answer.text
    answer = await service.http.put("/metrics/job/j" + "".join(f"/l{n}/1" for n in range(40)), content="a 1\n")
    assert (answer.status_code, "labels: 41 is more" in answer.text) == (400, True), answer.text
    assert 'tidewire_limits_reached_total{limit="max_labels"} 2.0' in (await service.http.get("/metrics")).text


# -- the clients


async def test_the_client_of_prometheus(service: Any) -> None:
    address = f"127.0.0.1:{service.port}"

    def push() -> None:
        registry = CollectorRegistry()
        Gauge("job_last_success_unixtime", "of a batch job", registry=registry).set(1_796_000_000)
        Counter("jobs", "so far", ["kind"], registry=registry).labels("backup").inc(3)
        Histogram("job_seconds", "of each", registry=registry).observe(2.5)
        key = {"path": "/var/tmp", "instance": ""}
        push_to_gateway(address, job="batch A", registry=registry, grouping_key=key)
        other = CollectorRegistry()
        Gauge("more", "", registry=other).set(1)

        def handler(**request: Any) -> Any:
            return basic_auth_handler(**request, username="me", password="token")

        pushadd_to_gateway(address, job="batch A", registry=other, grouping_key=key, handler=handler)
        delete_from_gateway(address, job="batch A", grouping_key=key)

    await asyncio.to_thread(push)
    labels = (("job", "batch A"), ("path", "/var/tmp"))
    found = await series(service)
    assert found["job_last_success_unixtime", labels] == [1_796_000_000, (1_796_000_000, "finished")]
    assert found["jobs_total", (labels[0], ("kind", "backup"), labels[1])] == [3, (3, "finished")]
    assert found["more", labels] == [1, (1, "finished")]
    assert {metric for metric, _ in found} == {
        "job_last_success_unixtime", "jobs_total", "jobs_created", "job_seconds_sum", "job_seconds_count",
        "job_seconds_created", "more",
    }  # fmt: skip


async def test_curl_from_the_pushgateways_own_page(service: Any) -> None:
    curl = shutil.which("curl")
    assert curl, "needs curl"
    url = f"{service.url}/metrics/job/some_job"
    body = (
        '# TYPE some_metric counter\nsome_metric{label="val1"} 42\n# TYPE another_metric gauge\n'
        "another_metric 2398.283\n"
    )

    def run(*arguments: str, given: str = "") -> str:
        command = [curl, "-sS", "--noproxy", "*", "-w", "%{http_code}", *arguments]
        return subprocess.run(command, input=given, text=True, capture_output=True, check=True).stdout

    assert await asyncio.to_thread(run, "--data-binary", "@-", url, given="some_metric 3.14\n") == "200"
    assert await asyncio.to_thread(run, "--data-binary", "@-", f"{url}/instance/some_instance", given=body) == "200"
    assert await asyncio.to_thread(run, "-X", "DELETE", f"{url}/instance/some_instance") == "202"
    job = (("job", "some_job"),)
    instance = (("instance", "some_instance"), *job)
    assert await series(service) == {
        ("some_metric", job): [3.14],
        ("some_metric", (*instance, ("label", "val1"))): [42, (42, "finished")],
        ("another_metric", instance): [2398.283, (2398.283, "finished")],
    }
