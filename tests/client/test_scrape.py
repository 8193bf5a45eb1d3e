"""`tidewire scrape`: what programs expose is published; what is down is said, and what is gone has ended."""

from __future__ import annotations

import asyncio
import gzip
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from certificates import make_certificates
from click.testing import CliRunner
from dripping import HEAD, dripping
from forward_proxy import forward_proxy
from ports import own_port
from servers import Valkey
from waiting import HANG_S, Eventually

from tidewire.commands.cli import main
from tidewire.commands.scrape import Scraper
from tidewire.commands.scrape_target import Fetching, Target, targets_of
from tidewire.errors import InvalidInput, LimitExceeded, ServiceUnavailable
from tidewire.publishing.publisher import Publisher

Answer = Callable[[BaseHTTPRequestHandler], None]


class Exposing:
    """A program that exposes what a test says, over real HTTP.

    Attributes:
        asked: the headers of the requests so far.
    """

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.place = f"127.0.0.1:{server.server_address[1]}"
        self.asked: list[Any] = []
        self.answer: Answer = lambda request: None

    def text(self, body: str | bytes, status: int = 200, **headers: str) -> None:
        """Answer with a body from now on."""
        content = body.encode() if isinstance(body, str) else body

        def answer(request: BaseHTTPRequestHandler) -> None:
            request.send_response(status)
            given = {"content_type": "text/plain; version=0.0.4", "content_length": str(len(content)), **headers}
            for name, value in given.items():
                request.send_header(name.replace("_", "-"), value)
            request.end_headers()
            request.wfile.write(content)

        self.answer = answer


@contextmanager
def exposing(context: ssl.SSLContext | None = None) -> Iterator[Exposing]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append(self.headers)
            with suppress(OSError):  # the scraper has gone
                found.answer(self)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    found = Exposing(server)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield found
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def program() -> Iterator[Exposing]:
    with exposing() as found:
        yield found


def only(place: str, **fetching: Any) -> Target:
    [target] = targets_of([place], {"site": "A"}, Fetching(**fetching))
    return target


def read(target: Target) -> dict[str, tuple[Any, Any]]:
    """Scrape; return metric with its own labels → value and text."""
    found = {}
    for batch in (*(scraped := target.scrape()).batches, *scraped.timed):
        own = "".join(f"{n}={v}" for n, v in batch.labels.items() if n not in ("instance", "site"))
        found[batch.metric + own] = (batch.value[0], batch.text[0] if batch.text else None)
    return found


# -- one target


def test_labels_are_kept_and_those_of_the_target_have_other_names(program: Exposing) -> None:
    program.text('a{x="1",instance="mine",site="B",empty=""} 1\nb 2\n')
    target = only(program.place)
    [a, b] = target.scrape().batches
    assert (a.metric, a.value) == ("a", [1.0])
    assert a.labels == {
        "exported_instance": "mine", "exported_site": "B", "instance": program.place, "site": "A", "x": "1",
    }  # fmt: skip
    assert b.labels == {"instance": program.place, "site": "A"}
    target.close()


def test_a_label_whose_other_name_is_taken_gets_a_longer_one(program: Exposing) -> None:
    """As by Prometheus: `exported_` again until the name is free; two series never become one."""
    program.text(
        'a{exported_instance="x",instance="1"} 1\na{exported_instance="x",instance="2"} 2\n'
        'b{instance="1",exported_instance=""} 3\n'
        'c{site="B",exported_site="C",exported_exported_site="D"} 4\n'
    )
    [target] = targets_of([program.place], {"site": "A", "exported_site": "E"}, Fetching())
    scraped = target.scrape()
    target.close()
    ours = {"instance": program.place, "site": "A", "exported_site": "E"}
    assert [(b.metric, {n: t for n, t in b.labels.items() if n not in ours}) for b in scraped.batches] == [
        ("a", {"exported_instance": "x", "exported_exported_instance": "1"}),
        ("a", {"exported_instance": "x", "exported_exported_instance": "2"}),
        ("b", {"exported_instance": "1"}),
        ("c", {
            "exported_exported_site": "D",
            "exported_exported_exported_site": "B",
            "exported_exported_exported_exported_site": "C",
        }),
    ]  # fmt: skip
    assert all(ours.items() <= b.labels.items() for b in scraped.batches)
    assert scraped.why == ""


def test_what_comes_no_more_has_ended_and_what_is_down_has_not(program: Exposing) -> None:
    target = only(program.place)
    program.text('a{x="1"} 1\na{x="2"} 2\nb NaN\nc 3\n')
    assert read(target) == {"ax=1": (1, None), "ax=2": (2, None), "b": (None, None), "c": (3, None)}
    program.text("out of order", status=500)
    with pytest.raises(ServiceUnavailable, match="500"):
        target.scrape()
    program.text('a{x="2"} 5\nc NaN\n')
    assert read(target) == {"ax=2": (5, None), "c": (None, None), "ax=1": (1, "finished")}
    program.text('a{x="2"} 6\n')
    assert read(target) == {"ax=2": (6, None), "c": (3, "finished")}, "an end repeats the last number"
    assert read(target) == {"ax=2": (6, None)}, "once"
    program.text("")
    assert read(target) == {"ax=2": (6, "finished")}
    target.close()


def test_a_sample_with_a_time_of_its_own_is_published_once(program: Exposing) -> None:
    target, now_ms = only(program.place), int(time.time() * 1e3)
    program.text(f"a 1 {now_ms}\n")
    [batch] = target.scrape().timed
    assert (batch.time, batch.value) == ([now_ms], [1])
    assert target.scrape() == ([], [], 1, 0, "")
    program.text(f"a 1 {now_ms + 5}\nold 1 17\n")
    scraped = target.scrape()
    assert [batch.time for batch in scraped.timed] == [[now_ms + 5]]
    assert (scraped.left_out, "old" in scraped.why) == (1, True)
    target.close()


def test_what_cannot_be_stored_is_left_out_and_said(program: Exposing) -> None:
    many = ",".join(f'l{n}="1"' for n in range(40))
    program.text(f'a{{{many}}} 1\nb{{x="{"v" * 300}"}} 1\nc 1\nc 2\nd 4\n')
    target = only(program.place)
    scraped = target.scrape()
    assert [(b.metric, b.value) for b in scraped.batches] == [("c", [1]), ("d", [4])]
    assert (scraped.samples, scraped.left_out, scraped.why[:2]) == (5, 3, "a:")
    target.close()


def test_buckets_are_left_out_unless_they_are_asked_for(program: Exposing) -> None:
    program.text('# TYPE h histogram\nh_bucket{le="+Inf"} 3\nh_sum 2.5\nh_count 3\n')
    for buckets, names in ((False, ["h_sum", "h_count"]), (True, ["h_bucket", "h_sum", "h_count"])):
        target = only(program.place, buckets=buckets)
        scraped = target.scrape()
        assert [batch.metric for batch in scraped.batches] == names
        assert (scraped.left_out, scraped.why) == (0 if buckets else 1, "")
        target.close()


def test_answers_are_bounded_in_bytes_samples_and_time(program: Exposing) -> None:
    target = only(program.place, max_bytes=10_000, max_samples=100, timeout_s=0.5)
    packed = gzip.compress(b"#" + b" " * 50_000_000)
    for body, headers in ((b"#" * 10_001, {}), (packed, {"content_encoding": "gzip"})):
        program.text(body, **headers)
        with pytest.raises(LimitExceeded, match="max_bytes"):
            target.scrape()
    program.text("".join(f"a{n} 1\n" for n in range(101)))
    with pytest.raises(LimitExceeded, match="max_samples"):
        target.scrape()
    good = gzip.compress(b"a 1\n")
    for body, headers in (
        (good[:-4], {"content_encoding": "gzip"}), (b"a 1\n", {"content_encoding": "gzip"}),
        (b"a 1\n", {"content_encoding": "br"}), (b"a 1\n", {"content_length": "40"}),
    ):  # fmt: skip
        program.text(body, **headers)
        with pytest.raises(ServiceUnavailable):
            target.scrape()

    def dribble(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        for _ in range(1_000):
            request.wfile.write(b"#")
            time.sleep(0.05)

    program.answer = dribble
    started = time.monotonic()
    with pytest.raises(ServiceUnavailable, match="within"):
        target.scrape()
    assert time.monotonic() - started < 30, "it would have taken 50 s"
    program.text(good, content_encoding="gzip")
    assert read(target) == {"a": (1, None)}
    target.close()


@pytest.mark.parametrize("begins", [b"", b"HTTP/1.1 200 OK\r\nX: ", HEAD], ids=["line", "headers", "body"])
@pytest.mark.parametrize("proxied", [False, True], ids=["direct", "proxied"])
def test_a_target_that_drips_has_the_time_of_a_whole_answer(
    begins: bytes, proxied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It never ends by itself, and no wait for a piece is long."""
    with dripping(begins) as port, forward_proxy(f"http://127.0.0.1:{port}") as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        target = only("drips.invalid" if proxied else f"127.0.0.1:{port}", timeout_s=0.5)
        with pytest.raises(ServiceUnavailable, match=r"no whole answer within 0\.5 s"):
            target.scrape()
        target.close()
        assert bool(proxy.paths) is proxied


def test_a_name_with_two_addresses_of_which_one_is_silent_is_reached_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    with exposing() as program, socket.socket() as silent, ExitStack() as waiting:
        program.text("a 1\n")
        port = int(program.place.rpartition(":")[2])
        silent.bind(("127.0.0.2", port))
        silent.listen(0)
        for _ in range(8):  # its queue is full: it answers no further connection
            queued = waiting.enter_context(socket.socket())
            queued.setblocking(False)
            queued.connect_ex(("127.0.0.2", port))
        both = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{n}", port)) for n in (2, 1)]
        asked = socket.getaddrinfo
        monkeypatch.setattr(
            socket, "getaddrinfo", lambda host, *a, **k: both if host == "two.invalid" else asked(host, *a, **k)
        )
        target = only(f"two.invalid:{port}", timeout_s=6)
        assert read(target) == {"a": (1, None)}
        target.close()


@pytest.mark.parametrize("place", ["a..b:9100", f"{'x' * 64}.example:9100"])
def test_a_name_that_no_resolver_takes_is_a_target_that_is_away(place: str) -> None:
    """Its error is none of the network: it ended the thread of the target."""
    target = only(place, timeout_s=1)
    with pytest.raises(ServiceUnavailable):
        target.scrape()
    target.close()


def test_what_is_no_exposition_is_no_series(program: Exposing) -> None:
    target = only(program.place)
    for body, headers in (("<html>", {}), ("a 1\n", {"content_type": "application/openmetrics-text; version=1.0.0"})):
        program.text(body, **headers)
        with pytest.raises(InvalidInput):
            target.scrape()
    program.text("a 1\n# EOF\n", content_type="application/openmetrics-text; version=1.0.0; charset=utf-8")
    assert read(target) == {"a": (1, None)}
    program.text("", status=302, location="http://127.0.0.1:1/")
    with pytest.raises(ServiceUnavailable, match="not followed"):
        target.scrape()
    target.close()


def test_a_token_is_read_anew_and_headers_are_sent(program: Exposing, tmp_path: Path) -> None:
    program.text("a 1\n")
    secret = tmp_path / "token"
    target = only(program.place, bearer_file=secret, headers={"X-Scope": "plant"})
    with pytest.raises(ServiceUnavailable, match="token cannot be read"):
        target.scrape()
    for token in ("first", "second"):
        secret.write_text(token + "\n")
        target.scrape()
        assert program.asked[-1]["authorization"] == f"Bearer {token}"
    assert program.asked[-1]["x-scope"] == "plant"
    secret.write_text("two words")
    with pytest.raises(InvalidInput) as refused:
        target.scrape()
    assert "two words" not in str(refused.value)
    target.close()


def test_certificates_are_checked_unless_that_is_off(tmp_path: Path) -> None:
    files = make_certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    with exposing(context) as program:
        program.text("a 1\n")
        url = f"https://{program.place.replace('127.0.0.1', 'localhost')}/metrics"
        with pytest.raises(ServiceUnavailable, match="certificate"):
            only(url).scrape()
        for verify in (False, ssl.create_default_context(cafile=files.authority)):
            target = only(url, verify=verify)
            assert read(target) == {"a": (1, None)}
            target.close()


def test_targets_are_urls_or_hosts() -> None:
    given = ["nas:9100", "http://nas:9100/other?x=1", "https://user:secret@[::1]/metrics/", "plain"]
    targets = targets_of(given, {}, Fetching())
    assert [target.instance for target in targets] == ["nas:9100/metrics", "nas:9100/other", "[::1]:443", "plain:80"]
    assert all("secret" not in str(target.labels) for target in targets)
    for bad in (["ftp://x"], ["http://"], ["http://x:99999"], ["a b"], ["x:1", "http://x:1/metrics"], ["//"], ["x:0"]):
        with pytest.raises(InvalidInput):
            targets_of(bad, {}, Fetching())
    with pytest.raises(InvalidInput) as refused:
        targets_of(["ftp://user:secret@host"], {}, Fetching())
    assert "secret" not in str(refused.value)
    with pytest.raises(InvalidInput, match="its own"):
        targets_of(["a:1", "b:1"], {"instance": "x"}, Fetching())


# -- the command


@pytest.fixture
async def publisher(valkey: Valkey) -> AsyncIterator[Publisher]:
    with Publisher(valkey.url) as publisher:
        yield publisher


async def history(service: Any, metric: str) -> Any:
    answer = await service.http.get("/v1/history", params={"metric": metric})
    assert answer.status_code == 200, answer.text
    return answer.json()["series"]


async def test_whether_a_target_is_up_is_a_metric(
    service: Any, publisher: Publisher, program: Exposing, capsys: pytest.CaptureFixture[str]
) -> None:
    scraper = Scraper(only(program.place), publisher, 15, 0)
    for body, status in (("a 1\n", 200), ("", 503), ("", 503), ("a 2\n", 200)):
        program.text(body, status=status)
        await asyncio.to_thread(scraper.once)
    assert await asyncio.to_thread(publisher.flush, HANG_S)
    [up] = await history(service, "up")
    assert (up["value"], up["labels"]) == ([1, 0, 0, 1], {"instance": program.place, "site": "A"})
    assert [text is not None for text in up["text"]] == [False, True, False, False], "told once"
    assert "503" in up["text"][1]
    [took] = await history(service, "scrape_duration_seconds")
    assert (len(took["value"]), took["unit"]) == (4, "s")
    assert [s["value"] for s in await history(service, "a")] == [[1, 2]]
    out, err = capsys.readouterr()
    assert (out.count("is up"), err.count("is down")) == (2, 1)


@pytest.fixture
async def node_exporter(tmp_path: Path, eventually: Eventually) -> AsyncIterator[str]:
    """Debian's node exporter, on a port of its own."""
    program = shutil.which("prometheus-node-exporter")
    assert program
    port = own_port()
    with (tmp_path / "exporter.log").open("wb") as log:
        process = subprocess.Popen([program, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)

    async def there() -> bool:
        try:
            (await asyncio.open_connection("127.0.0.1", port))[1].close()
        except OSError:
            return False
        return True

    await eventually(there)
    yield f"127.0.0.1:{port}"
    process.terminate()
    process.wait()


@pytest.mark.node_exporter
async def test_the_node_exporter_and_our_own_metrics(
    start_service: Any, valkey: Valkey, node_exporter: str, eventually: Eventually
) -> None:
    """Of a command in a process of its own, with a target that is not there; the deck's `rate()` of a counter works."""
    service = await start_service()
    ours, away = f"127.0.0.1:{service.port}", f"127.0.0.1:{own_port()}"
    command = [sys.executable, "-m", "tidewire", "scrape", node_exporter, f"{service.url}/metrics", away]
    process = await asyncio.create_subprocess_exec(
        *command, "--every", "1s", "--to", valkey.url, "--label", "site=A",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip

    async def scraped() -> bool:
        ups = {s["labels"]["instance"]: s["value"] for s in await history(service, "up")}
        return len(ups) == 3 and all(len(values) >= 3 for values in ups.values())

    await eventually(scraped)
    process.send_signal(signal.SIGTERM)
    out, err = await asyncio.wait_for(process.communicate(), HANG_S)
    assert process.returncode == 0, err.decode()
    assert (out.count(b"is up: "), err.count(f"{away} is down: ".encode())) == (2, 1)
    ups = {s["labels"]["instance"]: set(s["value"]) for s in await history(service, "up")}
    assert ups == {node_exporter: {1}, ours: {1}, away: {0}}
    cpu = await history(service, "node_cpu_seconds_total")
    assert {(s["unit"], s["labels"]["instance"], s["labels"]["site"]) for s in cpu} == {("s", node_exporter, "A")}
    assert {s["labels"]["mode"] for s in cpu} >= {"idle", "user", "system"}
    assert all(values == sorted(values) for values in (s["value"] for s in cpu)), "a counter stays a counter"
    [memory] = await history(service, "node_memory_MemTotal_bytes")
    assert (memory["unit"], memory["value"][0] > 1e8) == ("By", True)
    accepted = await history(service, "tidewire_http_requests_total")
    assert {s["labels"]["instance"] for s in accepted} == {ours}


def test_the_command_says_what_is_wrong_with_its_options(tmp_path: Path) -> None:
    for arguments, said in (
        (["x:1", "--every", "soon"], "expected a number and a unit"),
        (["x:1", "--header", "Authorization secret"], "expected 'Name: value'"),
        (["ftp://x"], "expected http://"),
        (["x:1", "--ca", str(tmp_path / "none.pem")], "No such file"),
        ([f"x{n}:1" for n in range(257)], "257 targets"),
    ):
        result = CliRunner().invoke(main, ["scrape", *arguments])
        assert result.exit_code != 0
        assert said in result.output
        assert "secret" not in result.output
