"""HTTP as no client library sends it: refused or closed, what is smuggled behind it never runs, the service goes on."""

from __future__ import annotations

import asyncio
import json
import re
import time
from typing import Any

import pytest
from servers import LiveService
from waiting import HANG_S, Eventually, eventually, generous

STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
HOST = b"Host: localhost\r\n"
JSON = b"Content-Type: application/json\r\n"
SECRET = b'{"metric":"smuggled","value":1}'
SMUGGLED = b"POST /v1/readings HTTP/1.1\r\n%b%bContent-Length: %d\r\n\r\n%b" % (HOST, JSON, len(SECRET), SECRET)
CHUNKED = b"Transfer-Encoding: chunked\r\n"


def _post(headers: bytes, body: bytes, version: bytes = b"1.1") -> bytes:
    return b"POST /v1/readings HTTP/%b\r\n%b%b%b\r\n%b%b" % (version, HOST, JSON, headers, body, SMUGGLED)


def _get(headers: bytes = HOST, target: bytes = b"/v1/catalog", version: bytes = b"HTTP/1.1") -> bytes:
    return b"GET %b %b\r\n%b\r\n" % (target, version, headers)


# What two readers could take for different requests: the connection ends, and nothing behind it is read.
AMBIGUOUS = {
    "both lengths": _post(b"Content-Length: 4\r\n" + CHUNKED, b"0\r\n\r\n"),
    "both lengths, chunked first": _post(CHUNKED + b"Content-Length: 6\r\n", b"0\r\n\r\nX"),
    "two lengths": _post(b"Content-Length: 2\r\nContent-Length: 3\r\n", b"[]"),
    "the same length twice": _post(b"Content-Length: 2\r\nContent-Length: 2\r\n", b"[]"),
    "a list of lengths": _post(b"Content-Length: 2, 2\r\n", b"[]"),
    "a length with a sign": _post(b"Content-Length: +2\r\n", b"[]"),
    "a negative length": _post(b"Content-Length: -2\r\n", b"[]"),
    "a hexadecimal length": _post(b"Content-Length: 0x2\r\n", b"[]"),
    "a length of 30 digits": _post(b"Content-Length: 999999999999999999999999999999\r\n", b"[]"),
    "a length with an underscore": _post(b"Content-Length: 1_0\r\n", b"[]"),
    "an unknown transfer coding": _post(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"),
    "no chunks": _post(b"Transfer-Encoding: identity\r\n", b"0\r\n\r\n"),
    "chunked is not last": _post(b"Transfer-Encoding: chunked, identity\r\n", b"0\r\n\r\n"),
    "gzip inside chunks": _post(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"),
    "two transfer codings": _post(CHUNKED + b"Transfer-Encoding: identity\r\n", b"0\r\n\r\n"),
    "chunked twice": _post(CHUNKED + CHUNKED, b"0\r\n\r\n"),
    "a space before the colon": _post(b"Transfer-Encoding : chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n"),
    "a vertical tab": _post(b"Transfer-Encoding: \x0bchunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n"),
    "chunks in HTTP/1.0": _post(CHUNKED, b"0\r\n\r\n", b"1.0"),
    "letters as a chunk's size": _post(CHUNKED, b"zz\r\n[]\r\n0\r\n\r\n"),
    "a negative chunk": _post(CHUNKED, b"-2\r\n[]\r\n0\r\n\r\n"),
    "0x in a chunk's size": _post(CHUNKED, b"0x2\r\n[]\r\n0\r\n\r\n"),
    "a chunk's size past 64 bits": _post(CHUNKED, b"10000000000000002\r\n[]\r\n0\r\n\r\n"),
    "a chunk longer than it says": _post(CHUNKED, b"1\r\n[]\r\n0\r\n\r\n"),
    "chunks ended by LF": _post(CHUNKED, b"2\n[]\n0\n\n"),
    "LF in a chunk's extension": _post(CHUNKED, b"2;a=\nx\r\n[]\r\n0\r\n\r\n"),
    "a folded header": _get(HOST + b"X: a\r\n b\r\n") + SMUGGLED,
    "a folded transfer coding": _post(b"Transfer-Encoding:\r\n chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n"),
    "NUL in a value": _get(HOST + b"X: a\0b\r\n") + SMUGGLED,
    "NUL in a name": _get(HOST + b"X\0: a\r\n") + SMUGGLED,
    "lines ended by LF": _get().replace(b"\r\n", b"\n") + SMUGGLED,
    "a bare CR": _get(HOST + b"X: a\rY: b\r\n") + SMUGGLED,
    "a header without a colon": _get(HOST + b"nocolon\r\n") + SMUGGLED,
    "a header without a name": _get(HOST + b": v\r\n") + SMUGGLED,
    "no host": _get(b"") + SMUGGLED,
    "two hosts": _get(HOST + HOST) + SMUGGLED,
    "a list of hosts": _get(b"Host: localhost, evil\r\n") + SMUGGLED,
    "an absolute target of another host": _get(target=b"http://evil.example/v1/catalog") + SMUGGLED,
    "another Host than the target's": _get(b"Host: evil.example\r\n", b"http://localhost/v1/catalog") + SMUGGLED,
    "a refused request with a body": _get(b"Host: evil\r\nContent-Length: %d\r\n" % len(SMUGGLED)) + SMUGGLED,
    "a proxy's request": b"CONNECT localhost:22 HTTP/1.1\r\n" + HOST + b"\r\n" + SMUGGLED,
    "only an authority": _get(target=b"localhost:8000") + SMUGGLED,
    "HTTP/0.9": b"GET /v1/catalog\r\n\r\n" + SMUGGLED,
    "HTTP/2.0": _get(version=b"HTTP/2.0") + SMUGGLED,
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SMUGGLED,
    "HTTP/1.9": _get(version=b"HTTP/1.9") + SMUGGLED,
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 50 + SMUGGLED,
    "garbage behind a good request": _get() + b"\x16\x03\x01garbage\r\n\r\n" + SMUGGLED,
    "an unknown method": b"FROB /v1/catalog HTTP/1.1\r\n" + HOST + b"\r\n" + SMUGGLED,
    "a method in small letters": b"get /v1/catalog HTTP/1.1\r\n" + HOST + b"\r\n" + SMUGGLED,
    "a control character in the target": _get(target=b"/v1/\x01catalog") + SMUGGLED,
    "a space in the target": _get(target=b"/v1/ca talog") + SMUGGLED,
    "bytes past ASCII in the target": _get(target=b"/v1/\xff\xfe") + SMUGGLED,
    "an empty level in the target": _get(target=b"//metrics") + SMUGGLED,
    "an escaped empty level": _get(target=b"/%2fmetrics") + SMUGGLED,
    "5,000 headers": _get(HOST + b"a: b\r\n" * 5_000) + SMUGGLED,
}
# What is a body to the sender is no request to us, however it is announced.
HIDDEN = {
    "in the body of a GET": (_get(HOST + b"Content-Length: %d\r\n" % len(SMUGGLED)), 200),
    "in a body of another type": (
        b"POST /v1/readings HTTP/1.1\r\n%bContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n"
        % (HOST, len(SMUGGLED)),
        415,
    ),
    "behind Upgrade: h2c": (
        b"POST /v1/readings HTTP/1.1\r\n%b%bConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AAMAAABkAAQAAP__\r\nContent-Length: %d\r\n\r\n" % (HOST, JSON, len(SMUGGLED)),
        400,
    ),
    "behind Upgrade: websocket": (
        b"GET /v1/catalog HTTP/1.1\r\n%bConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: %d\r\n\r\n"
        % (HOST, len(SMUGGLED)),
        200,
    ),
}
# Names that an attacker would like to see in a head of an answer.
ECHOED = [
    b"/v1/decks/a%0d%0aSet-Cookie:x=1",
    b"/v1/%0d%0a%0d%0aHTTP/1.1%20200",
    b"/v1/history?metric=a%0d%0aX:y&start=-1h",
]


async def _exchange(service: Any, *pieces: bytes, until: bytes = b"") -> tuple[bytes, bool]:
    """Send pieces, each in a segment of its own; return what came back, and whether the service closed.

    With `until`, a pattern, it is read until that is there and a little longer; else until the service closes.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    got = b""
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            if len(pieces) > 1:
                await asyncio.sleep(0.05)
        while True:
            enough = until and re.search(until, got, re.DOTALL)
            async with asyncio.timeout(0.3 if enough else HANG_S):
                piece = await reader.read(1 << 16)
            if not piece:
                return got, True
            got += piece
    except TimeoutError:
        return got, False
    except ConnectionError:
        return got, True
    finally:
        writer.close()


async def test_what_is_ambiguous_is_refused_and_nothing_behind_it_runs(service: Any) -> None:
    found = await asyncio.gather(*(_exchange(service, raw) for raw in AMBIGUOUS.values()))
    for name, (got, closed) in zip(AMBIGUOUS, found, strict=True):
        assert closed, name
        statuses = re.findall(STATUS, got)
        assert len(statuses) <= 1, (name, statuses)
        assert not statuses or statuses[0] in (b"400", b"404", b"421", b"431"), (name, got)
        assert statuses or name == "garbage behind a good request", name
        if statuses:
            assert b"application/problem+json" in got
            json.loads(got.partition(b"\r\n\r\n")[2])
    assert await service.stored() == {}
    answer = await service.http.get("/metrics")
    refused = int(float(re.search(r'closed_total\{reason="malformed"\} (\S+)', answer.text)[1]))  # type: ignore[index]
    assert refused > 30
    assert (await service.post({"metric": "good", "value": 1})).status_code == 200


async def test_a_request_within_a_body_is_a_body(service: Any) -> None:
    async def hide(head: bytes, status: int) -> None:
        for pieces in ((head + SMUGGLED,), (head, SMUGGLED), (head[:-1], head[-1:] + SMUGGLED[:9], SMUGGLED[9:])):
            got, closed = await _exchange(service, *pieces, until=STATUS.pattern)
            assert not closed
            assert re.findall(STATUS, got) == [b"%d" % status], got

    await asyncio.gather(*(hide(*hidden) for hidden in HIDDEN.values()))
    assert await service.stored() == {}


async def test_a_client_that_asks_for_http_2_first_is_served_and_goes_on(service: Any) -> None:
    """As Java's and curl's clients do on a connection without TLS."""
    body = b'{"metric":"java","value":1}'
    upgrade = b"Connection: keep-alive, Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
    head = b"POST /v1/readings HTTP/1.1\r\n%b%b%bContent-Length: %d\r\n\r\n" % (HOST, JSON, upgrade, len(body))
    got, closed = await _exchange(service, head, body, _get(), until=rb"HTTP/1\.1 200.*HTTP/1\.1 200")
    assert re.findall(STATUS, got) == [b"200", b"200"]
    assert not closed
    assert await service.stored() == {"java": [1]}
    stream = b"GET /v1/stream?metric=java HTTP/1.1\r\n" + HOST + upgrade + b"\r\n"
    got, closed = await _exchange(service, stream, until=b"event: live")
    assert b"event: live" in got
    assert not closed


async def test_no_name_starts_a_line_in_the_head_of_an_answer(service: Any) -> None:
    for target in ECHOED:
        got, _ = await _exchange(service, _get(HOST + b"Connection: close\r\n", target))
        head = got.partition(b"\r\n\r\n")[0]
        assert head.startswith((b"HTTP/1.1 404", b"HTTP/1.1 422"))
        assert not re.search(rb"(?im)^(set-cookie:|x:|http/1\.1 200)", head.partition(b"\r\n")[2])


async def test_pipelined_requests_are_answered_in_order(service: Any) -> None:
    last = _get(HOST + b"Connection: close\r\n")
    got, closed = await _exchange(service, (_get() + _get(target=b"/nothing")) * 100 + last + SMUGGLED)
    assert re.findall(STATUS, got) == [b"200", b"404"] * 100 + [b"200"]
    assert closed
    assert await service.stored() == {}


async def test_garbage_on_an_open_stream_ends_it_and_writes_nothing_into_it(service: Any) -> None:
    stream = _get(target=b"/v1/stream?metric=**")
    got, closed = await _exchange(service, stream, b"\0garbage\r\n\r\n")
    assert closed
    assert b"event: live" in got
    assert got.count(b"HTTP/1.1") == 1


async def test_a_sender_that_goes_in_the_middle_of_a_body_is_no_failure_of_ours(
    live_service: LiveService, eventually: Eventually
) -> None:
    for path in (b"POST /v1/readings", b"PUT /v1/decks/a", b"POST /v1/tickets"):
        reader, writer = await asyncio.open_connection("127.0.0.1", live_service.port)
        writer.write(path + b" HTTP/1.1\r\n" + HOST + JSON + b"Content-Length: 100\r\n\r\n[")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.close()
        del reader

    def answered() -> bool:
        return '"/v1/tickets"' in live_service.log.read_text()

    await eventually(answered)
    assert '"status": 500' not in live_service.log.read_text()
    assert "Traceback" not in live_service.log.read_text()
    assert "request_failed" not in live_service.log.read_text()


# -- HTTP/1.0


@pytest.mark.parametrize("host", [HOST, b""])
async def test_http_1_0_is_answered_without_chunks_and_without_a_host(service: Any, host: bytes) -> None:
    """As nginx asks by default, and old probes do."""
    await service.post({"metric": "m", "value": 1})
    for target in (b"/health/live", b"/health/ready", b"/metrics", b"/v1/catalog", b"/v1/history?metric=m", b"/schema"):
        got, closed = await _exchange(service, _get(host, target, b"HTTP/1.0"))
        head, _, body = got.partition(b"\r\n\r\n")
        assert (re.findall(STATUS, got), closed) == ([b"200"], True), target
        assert b"transfer-encoding" not in head, target
        assert b"content-length: %d" % len(body) in head, target
    body = b'{"metric":"old","value":1}'
    post = b"POST /v1/readings HTTP/1.0\r\n%b%bContent-Length: %d\r\n\r\n%b" % (host, JSON, len(body), body)
    got, closed = await _exchange(service, post)
    assert (re.findall(STATUS, got), closed) == ([b"200"], True)
    assert (await service.stored())["old"] == [1]


@pytest.mark.parametrize("query", [b"metric=m", b"metric=m&every=100ms", b"metric=m&replay=1h"])
async def test_a_stream_over_http_1_0_is_plain_events_until_the_connection_ends(service: Any, query: bytes) -> None:
    await service.post({"metric": "m", "value": 7})
    got, _ = await _exchange(service, _get(b"", b"/v1/stream?" + query, b"HTTP/1.0"), until=b"event: live\n.*\n\n")
    head, _, body = got.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head
    assert b"connection: close" in head
    assert body.startswith((b"retry: ", b"event: hello"))
    lines = body.split(b"\n")
    assert all(not line or line.partition(b":")[0] in (b"", b"event", b"id", b"data", b"retry") for line in lines), body
    assert b'"value":[7.0]' in body or b"every" in query


async def test_a_stream_over_http_1_0_ends_with_bye(start: Any) -> None:
    service = await start(stream_age_s=1.0)
    got, closed = await _exchange(service, _get(b"", b"/v1/stream?metric=m", b"HTTP/1.0"))
    assert closed
    assert got.endswith(b"\n\n")
    assert b"event: bye" in got


# -- slow senders and slow readers


async def _until_closed(service: Any, first: bytes, dribble: bytes, every_s: float = 0.05) -> tuple[float, bytes]:
    """Send something, then a byte again and again; return after how many seconds it was closed, and the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    started, got = time.perf_counter(), b""
    writer.write(first)

    async def send() -> None:
        n = 0
        while dribble:
            await asyncio.sleep(every_s)
            writer.write(dribble[n % len(dribble) :][:1])
            n += 1

    sending = asyncio.create_task(send())
    try:
        async with asyncio.timeout(HANG_S):
            while piece := await reader.read(1 << 16):
                got += piece
    except ConnectionError:
        pass
    finally:
        sending.cancel()
        writer.close()
    return time.perf_counter() - started, got


SLOW = {
    "says nothing": (b"", b"", b""),
    "dribbles empty lines": (b"", b"\r\n", b""),
    "dribbles its head": (b"GET / HTTP/1.1\r\nX: ", b"a", b"408"),
    "stops in its head": (b"GET / HTTP/1.1\r\n", b"", b"408"),
    "stops in its second head": (_get() + b"GET / HTTP/1.1\r\n", b"", b"408"),
    "dribbles its body": (_post(b"Content-Length: 100000\r\n", b"")[: -len(SMUGGLED)], b" ", b"503"),
    "dribbles a chunk": (_post(CHUNKED, b"fffff\r\n")[: -len(SMUGGLED)], b" ", b"503"),
    "dribbles trailers": (_post(CHUNKED, b"2\r\n[]\r\n0\r\nx: ")[: -len(SMUGGLED)], b"a", b"503"),
    "dribbles a body nobody reads": (_get(HOST + b"Content-Length: 100000\r\n"), b" ", b""),
    "ends a body late, then empty lines": (_get(HOST + b"Content-Length: 2\r\n") + b"[", b"]" + b"\r\n" * 500, b""),
}


async def test_slow_senders_are_closed_in_time_and_who_owes_nothing_stays(start: Any) -> None:
    service = await start(head_timeout_s=0.6, body_timeout_s=0.6)
    async with service.http.stream("GET", "/v1/stream?metric=a") as stream:
        lines = stream.aiter_lines()
        found = await asyncio.gather(*(_until_closed(service, first, dribble) for first, dribble, _ in SLOW.values()))
        for (name, (_, _, status)), (closed_s, got) in zip(SLOW.items(), found, strict=True):
            assert 0.4 < closed_s < generous(0.6), (name, closed_s)
            statuses = re.findall(STATUS, got)
            assert (status in statuses) if status else not {b"408", b"503"} & {*statuses}, (name, got)
        await service.post({"metric": "a", "value": 1})
        async for line in lines:
            if '"value":[1.0]' in line:
                break
    closed = service.app.state.slow_clients.closed
    assert (closed["head_timeout"], closed["body_timeout"]) == (6, 4)
    metrics = (await service.http.get("/metrics")).text
    assert 'tidewire_limits_reached_total{limit="head_timeout_s"} 6.0' in metrics
    assert 'tidewire_connections_closed_total{reason="body_timeout"} 4.0' in metrics


@pytest.mark.parametrize("path", [b"/v1/readings", b"/write", b"/api/v2/write", b"/v1/metrics", b"/metrics/job/j"])
@pytest.mark.parametrize("limits", [{"body_timeout_s": 0.6}, {"max_waiting": 1}])
async def test_who_was_too_slow_may_send_its_body_again(start: Any, path: bytes, limits: dict[str, Any]) -> None:
    """What clients do then differs: Telegraf deletes what it was sending after a 408, an exporter too."""
    service = await start(**limits)
    head = b"POST %b HTTP/1.1\r\n%b%bContent-Length: 100\r\n\r\n[" % (path, HOST, JSON)
    slow = asyncio.create_task(_until_closed(service, head, b" "))
    if "max_waiting" in limits:
        slow_clients, others = service.app.state.slow_clients, []
        while not slow_clients.closed["max_waiting"]:  # it is closed once it is a second old
            await asyncio.sleep(0.1)
            others.append(await asyncio.open_connection("127.0.0.1", service.port))
        for _, writer in others:
            writer.close()
    _, got = await slow
    head, _, body = got.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 "), got
    assert b"retry-after: 1\r\n" in head
    refused = json.loads(body)
    assert (refused["status"], refused["retry_after_s"]) == (503, 1)
    assert next(iter(limits)) in refused["detail"]
    assert await service.stored() == {}


async def test_a_head_that_does_not_come_is_refused_in_text(start: Any) -> None:
    """JSON would have Telegraf delete what it was sending."""
    service = await start(head_timeout_s=0.6)
    _, got = await _until_closed(service, b"POST /write HTTP/1.1\r\n", b"")
    head, _, body = got.partition(b"\r\n\r\n")
    assert (head.startswith(b"HTTP/1.1 408 "), b"content-type: text/plain; charset=utf-8\r\n" in head) == (True, True)
    assert body == b"Request Timeout: the head did not arrive within head_timeout_s; try again\n"


async def test_slow_senders_hold_no_more_connections_than_may_wait(start: Any) -> None:
    service = await start(max_waiting=50, head_timeout_s=30)
    slow_clients = service.app.state.slow_clients
    slow = []
    for count, pause_s, closed in ((40, 1.1, 0), (60, 0.1, 40), (5, 0.1, 40)):  # those younger than a second stay
        slow += [await asyncio.open_connection("127.0.0.1", service.port) for _ in range(count)]
        await asyncio.sleep(pause_s)
        await eventually(lambda closed=closed: slow_clients.closed["max_waiting"] >= closed)
    assert 50 <= len(slow_clients) <= 65
    assert (await service.post({"metric": "good", "value": 1})).status_code == 200
    for _, writer in slow:
        writer.close()


async def test_who_does_not_read_an_answer_is_cut_and_who_reads_slowly_is_not(start: Any) -> None:
    service = await start(write_timeout_s=2.0)
    for n in range(10):
        times = [time.time() * 1e3 - 10_000 + n + i / 1e3 for i in range(1_000)]
        rows = {"metric": "a", "value": [1 / 3] * 1_000, "time": times}
        assert (await service.post([rows] * 5)).status_code == 200
    ask = _get(HOST + b"Connection: close\r\n", b"/v1/history?metric=a&start=-1h&format=ndjson")
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port, limit=1 << 10)
    writer.write(ask)
    silent, silent_writer = await asyncio.open_connection("127.0.0.1", service.port, limit=1 << 10)
    silent_writer.write(ask)
    size, started = 0, time.perf_counter()
    while got := await reader.read(1 << 15):
        size += len(got)
        await asyncio.sleep(0.05)
    assert size > 1 << 20
    assert time.perf_counter() - started > 2.4
    closed = service.app.state.slow_clients.closed
    async with asyncio.timeout(HANG_S):
        while not closed["write_timeout"]:
            await asyncio.sleep(0.02)
    assert closed["write_timeout"] == 1
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(silent.readexactly(1 << 30), HANG_S)
    writer.close()
    silent_writer.close()


async def test_a_name_that_was_typed_into_an_address_as_it_is_gets_the_remedy(service: Any) -> None:
    got, closed = await _exchange(service, _get(target="/v1/catalog?metric=öfen".encode()))
    assert closed
    refused = json.loads(got.partition(b"\r\n\r\n")[2])
    assert refused["status"] == 400
    assert "--data-urlencode" in refused["detail"]
    for raw in (AMBIGUOUS["HTTP/2.0"], _post(CHUNKED, b"\xc3\xb6\r\n")):  # another fault
        assert b"urlencode" not in (await _exchange(service, raw))[0]
