"""The publisher over HTTP, against a small real server whose answers are scripted."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
from dripping import HEAD, dripping
from waiting import HANG_S, generous

from tidewire.errors import InvalidInput, ServiceUnavailable
from tidewire.model.batch import Batch, encode_batch
from tidewire.publishing.publisher import Publisher
from tidewire.publishing.transport import HttpTransport


class FakeService:
    """`/v1/readings` that answers as it is told: a status with headers and a body, or what a function makes of a body.

    Attributes:
        requests: (headers, batches) of each request.
        kept: values of the bodies that were answered 200, in order.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], list[dict[str, Any]]]] = []
        self.kept: list[float] = []
        self.times: list[float] = []
        self.answers: list[tuple[int, dict[str, str], dict[str, Any]]] = []
        self.most_batches = 500
        fake_service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                headers = {name.lower(): value for name, value in self.headers.items()} | {"path": self.path}
                status, more, answer = fake_service.answer(headers, msgspec.json.decode(body))
                data = msgspec.json.encode(answer)
                self.send_response(status)
                for name, value in ({"content-length": str(len(data))} | more).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def answer(self, headers: dict[str, str], batches: list[dict[str, Any]]) -> tuple[int, dict[str, str], Any]:
        self.requests.append((headers, batches))
        self.times.append(time.monotonic())
        if self.answers:
            return self.answers.pop(0)
        if len(batches) > self.most_batches:
            return 413, {}, {"detail": "split"}
        values = [value for batch in batches for value in batch["value"]]
        self.kept += values
        return 200, {}, {"accepted": len(values), "rejected": [], "cursor": "e.1-0"}

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def fake_service() -> Iterator[FakeService]:
    made = FakeService()
    yield made
    made.close()


def test_a_call_has_a_key_a_token_and_is_packed_when_it_pays(fake_service: FakeService) -> None:
    with Publisher(fake_service.url + "/", token="secret") as publisher:
        publisher.publish("a", 1)
        assert publisher.flush()
        publisher.publish("a", [float(n) for n in range(1_000)])
    (small, _), (large, batches) = fake_service.requests
    keys = [headers["tidewire-sequence"].split(":") for headers in (small, large)]
    assert [key[1] for key in keys] == ["1", "2"]
    assert keys[0][0] == keys[1][0]
    assert small["path"] == "/v1/readings"
    assert small["authorization"] == "Bearer secret"
    assert ("content-encoding" in small, large["content-encoding"]) == (False, "gzip")
    assert batches[0]["value"] == [float(n) for n in range(1_000)]
    assert publisher.stats.sent == 1_001


def test_a_flush_in_a_pause_that_the_service_asked_for_waits_without_spinning(
    fake_service: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_service.answers = [(503, {"retry-after": "60"}, {"detail": "later"})]
    publisher = Publisher(fake_service.url, spool=tmp_path)
    publisher.publish("a", 1)
    assert not publisher.flush(1)
    assert publisher.stats.spooled == 1
    seal, written = publisher._outbox.seal, []
    monkeypatch.setattr(publisher._outbox, "seal", lambda: written.append(1) or seal())  # at each write to disk
    assert not publisher.flush(1)
    publisher.close(0)
    assert len(written) < 20, "every half second, and at the end"


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_a_pause_is_kept_and_the_same_call_comes_again_under_its_key(fake_service: FakeService, status: int) -> None:
    fake_service.answers = [(status, {"retry-after": "1"}, {"detail": "later"})]
    publisher = Publisher(fake_service.url)
    publisher.publish("a", 1)
    assert publisher.flush(HANG_S)
    stats = publisher.stats
    publisher.close()
    (first, body), (again, same) = fake_service.requests
    assert first["tidewire-sequence"] == again["tidewire-sequence"]
    assert body == same
    assert fake_service.times[1] - fake_service.times[0] >= 1, "a flush does not end a pause that the service asked for"
    assert (stats.sent, stats.retried, stats.last_error) == (1, 1, f"HTTP {status} later")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_a_refusal_is_final_and_counted_with_its_reason(fake_service: FakeService, status: int) -> None:
    fake_service.answers = [(status, {}, {"detail": "never"})]
    with Publisher(fake_service.url) as publisher:
        publisher.publish("a", [1.0, 2.0])
        assert publisher.flush()
        publisher.publish("a", 3)
    stats = publisher.stats
    assert (stats.sent, stats.rejected, stats.retried, stats.dropped) == (1, 2, 0, 0)
    assert stats.last_error == f"HTTP {status}: never"
    assert fake_service.kept == [3.0]


def test_a_body_that_is_too_large_is_split_until_it_fits(fake_service: FakeService) -> None:
    fake_service.most_batches = 7
    with Publisher(fake_service.url, flush_after_s=0.2) as publisher:
        for n in range(50):
            publisher.publish(f"m/{n}", n)
    assert sorted(fake_service.kept) == [float(n) for n in range(50)]
    assert publisher.stats.sent == 50
    kept_keys = [headers["tidewire-sequence"] for headers, batches in fake_service.requests if len(batches) <= 7]
    assert len(set(kept_keys)) == len(kept_keys)


def test_a_single_batch_that_is_too_large_is_given_up_with_its_reason(fake_service: FakeService) -> None:
    fake_service.answers = [(413, {}, {"detail": "too large"})]
    with Publisher(fake_service.url) as publisher:
        publisher.publish("a", [1.0] * 10)
    assert (publisher.stats.rejected, publisher.stats.last_error) == (10, "HTTP 413: too large")


def test_rows_that_are_refused_are_counted_by_reading(fake_service: FakeService) -> None:
    rejected = [{"row": 0, "field": "metric", "value": "a", "reason": "too many metrics"}]
    fake_service.answers = [(200, {}, {"accepted": 5, "rejected": rejected, "cursor": "e.1-0"})]
    with Publisher(fake_service.url) as publisher:
        publisher.publish({"a": [1.0] * 100, "b": [1.0] * 5})
    stats = publisher.stats
    assert (stats.sent, stats.rejected, stats.last_error) == (5, 100, "too many metrics")


def test_an_answer_that_is_no_services_is_not_taken_for_success(fake_service: FakeService) -> None:
    fake_service.answers = [(200, {"content-type": "text/html"}, {"hello": "world"})]
    with Publisher(fake_service.url) as publisher:
        publisher.publish("a", 1)
    assert (publisher.stats.sent, publisher.stats.rejected) == (0, 1)
    assert "check the URL" in publisher.stats.last_error


@pytest.mark.parametrize("url", ["http://", "https:///x", "ftp://h", "redis", ""])
def test_a_url_that_can_never_work_is_told_at_once(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEWIRE_REDIS", "nowhere")  # for the empty one
    with pytest.raises(InvalidInput):
        Publisher(url)


def test_a_password_in_the_url_is_in_no_error() -> None:
    publisher = Publisher("http://user:hunter2@127.0.0.1:1")
    publisher.publish("a", 1)
    deadline = time.monotonic() + HANG_S
    while not publisher.stats.last_error:
        assert not publisher.flush(0.1)
        assert time.monotonic() < deadline
    stats = publisher.stats
    publisher.close(0)
    assert "127.0.0.1:1" in stats.last_error
    assert "hunter2" not in stats.last_error


def test_calls_are_quick_while_the_service_hangs(fake_service: FakeService) -> None:
    release = threading.Event()
    answer: Callable[..., Any] = fake_service.answer
    fake_service.answer = lambda *given: (release.wait(HANG_S), answer(*given))[1]  # type: ignore[method-assign]
    publisher = Publisher(fake_service.url)
    took = []
    for n in range(20_000):
        began = time.perf_counter()
        publisher.publish("a", n)
        took.append(time.perf_counter() - began)
    release.set()
    assert publisher.flush(HANG_S)
    publisher.close()
    assert fake_service.kept == [float(n) for n in range(20_000)]
    assert sorted(took)[10_000] < generous(200e-6), "a call must not wait for the network"


@pytest.mark.parametrize("begins", [b"HTTP/1.1 200 OK\r\nX: ", HEAD], ids=["headers", "body"])
def test_an_answer_that_drips_holds_no_publisher(begins: bytes) -> None:
    with dripping(begins) as port:
        transport = HttpTransport(f"http://127.0.0.1:{port}", timeout_s=0.3)
        with pytest.raises(ServiceUnavailable, match="ReadTimeout"):
            transport.send([encode_batch(Batch(metric="a", time=[0.0], value=[1.0]))], "p", 1)
        transport.close()
