"""The HTTP server: uvicorn, and everything that reaches into it or into asyncio's transports.

No other package touches a transport or a private name of uvicorn. What is relied on, with the version it was last checked
with, what happens without it, and the test in ``tests/service/test_http_server_reliance.py`` that fails when an upgrade
changes it:

| relied on | version | fallback | test |
|---|---|---|---|
| `FlowControl`: `write_paused`, `read_paused`, `drain()`, `_is_writable_event` | uvicorn 0.54 | `DIRECT` is False: streams go through ASGI's `send` | `test_flow_control_says_whether…` |
| a response without a length is chunked as `%x CRLF data CRLF` | uvicorn 0.54 | none | `test_a_response_without_a_length_is_chunked…` |
| `send` completes without suspending unless writing is paused, and waits before it writes | uvicorn 0.54 | a task finishes it | `test_send_completes_at_once…` |
| `connection_made` asks for the socket first, then for `peername` and `sockname` | uvicorn 0.54 | none | `test_without_a_socket_the_addresses…` |
| `on_message_begin` makes the scope that the app receives | uvicorn 0.54 | streams go through ASGI's `send` and `receive` | `test_the_scope_of_the_next_request…` |
| `cycle.send`, `cycle.chunked_encoding`, `cycle.expected_content_length` decide how a body ends | uvicorn 0.54 | none | `test_a_body_without_a_length_in_http_1_0…` |
| `cycle.response_started`, `cycle.response_complete`, `pipeline`, `url`, `headers` | uvicorn 0.54 | none | `test_the_state_of_a_request…` |
| `connection_lost` with an error leaves the keep-alive timer; `_unset_keepalive_if_required` | uvicorn 0.54 | none | `test_a_connection_lost_by_an_error…` |
| order of the parser's callbacks; trailers come as headers after the head | httptools 0.9 | none | `test_the_parser_calls_back…` |
| an upgrade is raised with the place after the head, after `on_message_complete` | httptools 0.9 | none | `test_an_upgrade_is_raised…` |
| `http=` accepts any callable; arguments of the protocol | uvicorn 0.54 | none | `test_the_protocol_is_made…` |
| `_serve`, `shutdown`, `handle_exit`, `capture_signals` of the server | uvicorn 0.54 | none | `test_the_server_has_the_methods…` |
| `should_exit`, `force_exit` end the server | uvicorn 0.54 | none | `test_the_server_stops…` |
| `Litestar.__call__` adds `app` and `litestar_app` to the scope and calls `asgi_handler` | litestar 2.25 | none | `test_the_entrance_gives…` |
| `pause_writing` is called before `write` returns | asyncio 3.11, uvloop 0.23 | none | `test_a_full_transport_says_so…` |
| a write over TLS after the end of its connection is reported as `RuntimeError`: "the handler is closed" | uvloop 0.23 | it is logged as an error | `test_a_write_after_the_end…` |
| a listening socket with a named protocol sets `TCP_NODELAY` on what it accepts | asyncio 3.11, uvloop 0.23 | none | `test_an_accepted_connection_sends…` |
"""  # noqa: E501 - a table
