"""What `http_server` relies on in uvicorn, httptools, asyncio and Litestar: one test for each line of its table.

A test that fails after an upgrade names the line to look at in `service/tidewire_service/http_server/__init__.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import socket
from collections.abc import AsyncIterator, Iterable
from typing import Any

import httptools
import pytest
import uvicorn
import uvloop
from litestar import Litestar, asgi
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState
from waiting import HANG_S

from tidewire_service.http_server.protocol import _end_by_closing
from tidewire_service.http_server.server import Entrance, _on_loop_error, listening_socket
from tidewire_service.http_server.stream_writer import DIRECT, StreamWriter, Wire

CHUNKED = b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nTrailer: t\r\n\r\n"
GET = b"GET /a?b=c HTTP/1.1\r\nHost: h\r\n\r\n"


class Recorder(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.7", 4711), "sockname": ("192.0.2.1", 8000)})
        self.written = b""
        self.asked: list[str] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        self.asked.append(name)
        return super().get_extra_info(name, default)


class Callbacks:
    """A parser's protocol that keeps which callbacks came in which order."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("on_"):
            raise AttributeError(name)
        return lambda *values: self.seen.append(" ".join([name, *(value.decode() for value in values)]))


async def answer(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"abc", "more_body": True})
    await asyncio.Event().wait()


@pytest.fixture
async def started() -> AsyncIterator[Any]:
    """Return a function that connects uvicorn's own protocol to a recording transport."""
    states: list[ServerState] = []

    def start(app: Any = answer, transport: Any = None) -> tuple[HttpToolsProtocol, Recorder]:
        config = uvicorn.Config(app, interface="asgi3", lifespan="off", log_config=None, ws="none")
        states.append(ServerState())
        protocol = HttpToolsProtocol(config, states[-1], {})
        recorder = Recorder()
        protocol.connection_made(Wire(recorder) if transport is None else transport)  # type: ignore[arg-type]  # a proxy
        return protocol, recorder

    yield start
    tasks = [task for state in states for task in state.tasks]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def until(condition: Any) -> None:
    async with asyncio.timeout(HANG_S):
        while not condition():
            await asyncio.sleep(0)


async def test_flow_control_says_whether_the_peer_has_to_read_first() -> None:
    assert DIRECT
    flow = FlowControl(Recorder())
    assert (flow.write_paused, flow.read_paused) == (False, False)
    flow.pause_writing()
    assert flow.write_paused
    waiting = asyncio.ensure_future(flow.drain())
    await asyncio.sleep(0)
    assert not waiting.done()
    flow.resume_writing()
    await asyncio.wait_for(waiting, HANG_S)
    assert not flow.write_paused


async def test_a_response_without_a_length_is_chunked_as_the_stream_writer_frames_it(started: Any) -> None:
    protocol, recorder = started()
    protocol.data_received(GET)
    await until(lambda: b"abc" in recorder.written)
    head, _, body = recorder.written.partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head
    direct = Recorder()
    StreamWriter(direct, Wire(direct), protocol.flow).write(b"abc")
    assert body == direct.written == b"3\r\nabc\r\n"


async def test_a_body_without_a_length_in_http_1_0_ends_with_the_connection(started: Any) -> None:
    ended = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"abc", "more_body": True})
        await send({"type": "http.response.body", "body": b"de", "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        ended.set()

    protocol, recorder = started(app)
    protocol.data_received(GET.replace(b"1.1", b"1.0"))
    _end_by_closing(protocol.cycle)
    await asyncio.wait_for(ended.wait(), HANG_S)
    head, _, body = recorder.written.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head
    assert b"connection: close" in head
    assert (body, recorder.closed, protocol.cycle.response_complete) == (b"abcde", True, True)


async def test_send_completes_at_once_unless_writing_is_paused(started: Any) -> None:
    sends: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        sends.append(send)
        await asyncio.Event().wait()

    protocol, recorder = started(app)
    protocol.data_received(GET)
    await until(lambda: sends)
    message = {"type": "http.response.body", "body": b"now", "more_body": True}
    with pytest.raises(StopIteration):
        sends[0](message).send(None)
    assert recorder.written.endswith(b"now\r\n")
    protocol.pause_writing()
    paused = sends[0]({**message, "body": b"later"})
    assert paused.send(None) is not None, "it waits before it writes"
    assert b"later" not in recorder.written
    paused.close()


async def test_without_a_socket_the_addresses_come_from_the_transport(started: Any) -> None:
    protocol, recorder = started()
    assert protocol.client == ("192.0.2.7", 4711)
    assert protocol.server is not None
    assert {"peername", "sockname"} <= set(recorder.asked)
    assert "socket" not in recorder.asked, "it would make a Python socket for each connection"


async def test_the_scope_of_the_next_request_is_made_when_a_message_begins(started: Any) -> None:
    scopes: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        await answer(scope, receive, send)

    protocol, _ = started(app)
    protocol.on_message_begin()
    assert (protocol.url, protocol.headers) == (b"", [])
    protocol.data_received(GET)
    made = protocol.scope
    await until(lambda: scopes)
    assert scopes[0] is made, "what is added to it reaches the app"


async def test_the_state_of_a_request_has_the_names_relied_on(started: Any) -> None:
    protocol, recorder = started()
    assert protocol.cycle is None
    assert not protocol.pipeline
    protocol.data_received(GET)
    assert isinstance(protocol.cycle, RequestResponseCycle)
    assert (protocol.cycle.response_started, protocol.cycle.response_complete) == (False, False)
    assert protocol.url == b"/a?b=c"
    assert protocol.headers == [(b"host", b"h")]
    protocol.data_received(GET)
    assert len(protocol.pipeline) == 1, "the next request waits"
    assert protocol.flow.read_paused
    await until(lambda: b"abc" in recorder.written)
    assert protocol.cycle is not None


async def test_a_connection_lost_by_an_error_leaves_the_keep_alive_timer(started: Any) -> None:
    protocol, _ = started()
    timer = protocol.timeout_keep_alive_task = asyncio.get_running_loop().call_later(60, lambda: None)
    protocol.connection_lost(ConnectionResetError())
    assert not timer.cancelled(), "uvicorn cancels it now: `connection_lost` need not"
    protocol._unset_keepalive_if_required()
    assert timer.cancelled()
    assert protocol.timeout_keep_alive_task is None


def test_the_parser_calls_back_in_the_order_relied_on() -> None:
    callbacks = Callbacks()
    httptools.HttpRequestParser(callbacks).feed_data(CHUNKED)
    kept = [line for line in callbacks.seen if not line.startswith(("on_chunk", "on_status"))]
    assert kept == [
        "on_message_begin",
        "on_url /a",
        "on_header Host h",
        "on_header Transfer-Encoding chunked",
        "on_headers_complete",
        "on_body ab",
        "on_header Trailer t",
        "on_message_complete",
    ]


def test_an_upgrade_is_raised_with_the_place_after_the_head() -> None:
    callbacks = Callbacks()
    parser = httptools.HttpRequestParser(callbacks)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    head = b"POST /a HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\n"
    with pytest.raises(httptools.HttpParserUpgrade) as raised:
        parser.feed_data(head + b"ab")
    assert raised.value.args[0] == len(head), "the body is left to be parsed again"
    assert parser.should_upgrade()
    assert (parser.get_method(), parser.get_http_version()) == (b"POST", "1.1")
    assert callbacks.seen[-1] == "on_message_complete"
    assert issubclass(httptools.HttpParserInvalidMethodError, httptools.HttpParserError)


def test_the_protocol_is_made_with_the_arguments_that_are_handed_on() -> None:
    names = list(inspect.signature(HttpToolsProtocol.__init__).parameters)
    assert names == ["self", "config", "server_state", "app_state", "_loop"], "`slow_clients` is ours"
    config = uvicorn.Config(answer, http=lambda **_: None)  # type: ignore[arg-type]  # any callable
    config.load()
    assert callable(config.http_protocol_class)


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("_serve", ["self", "sockets"]),
        ("shutdown", ["self", "sockets"]),
        ("handle_exit", ["self", "sig", "frame"]),
        ("capture_signals", ["self"]),
    ],
)
def test_the_server_has_the_methods_that_are_overridden(method: str, parameters: list[str]) -> None:
    assert list(inspect.signature(getattr(uvicorn.Server, method)).parameters) == parameters


def test_the_server_stops_when_its_flags_say_so() -> None:
    server = uvicorn.Server(uvicorn.Config(answer))
    assert (server.should_exit, server.force_exit) == (False, False)
    assert {"should_exit"} <= set(uvicorn.Server.on_tick.__code__.co_names)
    assert {"force_exit"} <= set(uvicorn.Server.shutdown.__code__.co_names)


async def test_the_entrance_gives_the_app_the_scope_that_litestar_does() -> None:
    scopes: list[dict[str, Any]] = []

    @asgi("/", copy_scope=False)
    async def probe(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(dict(scope))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def nothing(*_: Any) -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    app = Litestar([probe])
    for entrance in (app, Entrance(app)):
        scope: Any = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b"", "state": {}}
        await entrance(scope, nothing, nothing)
    assert [sorted(scope) for scope in scopes[1:]] == [sorted(scopes[0])]
    assert scopes[0]["app"] is scopes[0]["litestar_app"] is app


class Paused(asyncio.Protocol):
    """Keeps whether its transport asked it to pause."""

    def __init__(self) -> None:
        self.paused = False
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def pause_writing(self) -> None:
        self.paused = True


def _accept(loop: asyncio.AbstractEventLoop, check: Any) -> None:
    async def main() -> None:
        protocols: list[Paused] = []

        def factory() -> Paused:
            protocols.append(Paused())
            return protocols[-1]

        with contextlib.closing(listening_socket("127.0.0.1", 0)) as listening:
            server = await asyncio.get_running_loop().create_server(factory, sock=listening)
            with socket.create_connection(listening.getsockname()):
                async with asyncio.timeout(HANG_S):
                    while not (protocols and protocols[0].transport):
                        await asyncio.sleep(0.01)
                check(protocols[0])
                protocols[0].transport.abort()
            server.close()
            await server.wait_closed()

    try:
        loop.run_until_complete(main())
    finally:
        loop.close()


def _loops() -> Iterable[Any]:
    return (asyncio.new_event_loop, uvloop.new_event_loop)


@pytest.mark.parametrize("make_loop", _loops(), ids=["asyncio", "uvloop"])
def test_a_full_transport_says_so_before_write_returns(make_loop: Any) -> None:
    def check(protocol: Paused) -> None:
        transport = protocol.transport
        for _ in range(64):
            transport.write(b"x" * 65_536)
            if protocol.paused:
                break
        assert protocol.paused
        assert transport.get_write_buffer_size() > 0

    _accept(make_loop(), check)


@pytest.mark.parametrize("make_loop", _loops(), ids=["asyncio", "uvloop"])
def test_an_accepted_connection_sends_small_writes_at_once(make_loop: Any) -> None:
    def check(protocol: Paused) -> None:
        sock = protocol.transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0

    _accept(make_loop(), check)


async def _write_after_the_end() -> None:
    with contextlib.closing(listening_socket("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        loop = asyncio.get_running_loop()
        connected = asyncio.create_task(loop.create_connection(asyncio.Protocol, *listening.getsockname()))
        accepted, _ = await loop.sock_accept(listening)
        with contextlib.closing(accepted):
            transport, _ = await connected
            transport.abort()
            await asyncio.sleep(0.05)
            transport.write(b"x")


def test_a_write_after_the_end_of_a_connection_is_no_error_of_the_service(caplog: pytest.LogCaptureFixture) -> None:
    loop = uvloop.new_event_loop()
    loop.set_exception_handler(_on_loop_error)
    try:
        with pytest.raises(RuntimeError) as caught:
            loop.run_until_complete(_write_after_the_end())
        loop.call_exception_handler({"message": "Fatal error on SSL protocol", "exception": caught.value})
        assert not caplog.records
        loop.call_exception_handler({"message": "Fatal error on SSL protocol", "exception": RuntimeError("other")})
        assert "Fatal error on SSL protocol" in caplog.text
    finally:
        loop.close()
