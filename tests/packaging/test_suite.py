"""The suite's own rules: its outcome does not depend on how long it takes, nor on how busy the machine is."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
# Calls of httpx that have a deadline of five seconds unless they say another.
_HTTP = {"AsyncClient", "Client", "delete", "get", "post", "put", "request", "stream"}
# Names by which a clock is read: `time.time()`, `datetime.now()`, `pd.Timestamp.now()`, `from time import monotonic`.
_CLOCKS = {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "now", "utcnow", "today"}


def _is_wide(decorator: ast.expr) -> bool:
    """Tell whether a decorator makes a fixture that several tests share."""
    return isinstance(decorator, ast.Call) and any(
        keyword.arg == "scope" and getattr(keyword.value, "value", "") != "function" for keyword in decorator.keywords
    )


def _at_import(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what runs when a module is imported, and the bodies of fixtures that several tests share."""
    yield node
    for name, value in ast.iter_fields(node):
        body_of_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and name == "body"
        if body_of_function and not any(map(_is_wide, getattr(node, "decorator_list", []))):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _at_import(child)


def clocks_read_at_import(source: str) -> list[str]:
    """Return the calls that read a clock when a module is imported, each with its line."""
    calls = (node for node in _at_import(ast.parse(source)) if isinstance(node, ast.Call))
    return [
        f"{call.lineno}: {ast.unparse(call)}"
        for call in calls
        if (call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")) in _CLOCKS
    ]


def test_no_module_of_tests_reads_a_clock_at_import() -> None:
    found = {str(path.relative_to(TESTS)): clocks_read_at_import(path.read_text()) for path in TESTS.rglob("*.py")}
    assert {path: calls for path, calls in found.items() if calls} == {}, "use the fixture now_ms, or one like it"


@pytest.mark.parametrize(
    ("source", "reads"),
    [
        ("NOW_MS = time.time() * 1e3", True),
        ("ROWS = [{'time': pd.Timestamp.now(tz='UTC')}]", True),
        ("def test(at=monotonic()): ...", True),
        ("@pytest.mark.parametrize('at', [datetime.now(UTC)])\ndef test(at): ...", True),
        ("class Test:\n    at = time.time_ns()", True),
        ("@pytest.fixture(scope='module')\ndef at(): return time.time()", True),
        ("@pytest.fixture\ndef at(): return time.time()", False),
        ("def test(): assert time.time()", False),
        ("CASES = [lambda: time.time()]", False),
    ],
)
def test_a_clock_read_at_import_is_found(source: str, reads: bool) -> None:
    assert bool(clocks_read_at_import(source)) is reads


def hasty_requests(source: str) -> list[str]:
    """Return the HTTP requests and clients that give up after five seconds, each with its line."""
    return [
        f"{node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and ast.unparse(node.func.value) == "httpx"
        and node.func.attr in _HTTP
        and not any(keyword.arg in ("timeout", None) for keyword in node.keywords)
    ]


def test_no_request_of_tests_has_a_deadline_that_load_alone_can_pass() -> None:
    found = {str(path.relative_to(TESTS)): hasty_requests(path.read_text()) for path in TESTS.rglob("*.py")}
    assert {path: calls for path, calls in found.items() if calls} == {}, "give them timeout=HANG_S"
    assert hasty_requests("httpx.get(url)") == ["1: httpx.get(url)"]
