"""What is posted most is answered without Litestar; each answer is held to that of the app, which has these routes."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from tidewire_service.web.shortcut import PostShortcut

ORIGIN = "https://wiki.example"
OTLP = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [
    {"name": "shortcut/otlp", "gauge": {"dataPoints": [{"asDouble": 1.5}]}},
]}]}]}  # fmt: skip
TEXT, JSON = {"Content-Type": "text/plain"}, {"Content-Type": "application/json"}
ROW = b'{"metric": "shortcut/a", "value": 1}'
POSTS = [
    ("/v1/readings", ROW, JSON),
    ("/v1/readings", ROW, TEXT | {"Content-Type": "image/png"}),
    ("/v1/readings", b"{", JSON),
    ("/v1/readings", b'[{"metric": "shortcut/a", "value": 1}, {"metric": "/", "value": 1}]', JSON),
    ("/v1/readings?unknown=1", ROW, JSON),
    ("/v1/readings", gzip.compress(ROW), JSON | {"Content-Encoding": "gzip"}),
    ("/write?db=d", b"shortcut,a=b f=1", TEXT),
    ("/write?db=d", b"", TEXT),
    ("/write?db=d&precision=fortnight", b"shortcut f=1", TEXT),
    ("/write?db=d", b"shortcut f=1\nbad line here", TEXT),
    ("/write?db=d", gzip.compress(b"shortcut f=1"), TEXT | {"Content-Encoding": "gzip"}),
    ("/write?db=d", b"shortcut f=1", TEXT | {"Content-Encoding": "br"}),
    ("/write?db=d", b"shortcut f=9007199254740993i", TEXT),
    ("/api/v2/write?org=o&bucket=b", b"shortcut f=1", TEXT),
    ("/api/v2/write?org=o&bucket=b", b"bad", TEXT),
    ("/api/v3/write_lp?db=d&accept_partial=false", b"shortcut f=1\nbad", TEXT),
    ("/v1/metrics", json.dumps(OTLP).encode(), JSON),
    ("/v1/metrics", b"{", JSON),
    ("/v1/metrics", b"\xff\xff", {"Content-Type": "application/x-protobuf"}),
    ("/v1/metrics", b"", TEXT),
]  # fmt: skip


@pytest.mark.parametrize("token", ["", "Bearer unknown"])
async def test_the_short_way_answers_as_the_app_does(start: Any, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answer, answered = PostShortcut._answer, []

    async def counted(self: PostShortcut, handler: Any, scope: Any, *rest: Any) -> None:
        answered.append(scope["path"])
        await answer(self, handler, scope, *rest)

    monkeypatch.setattr(PostShortcut, "_answer", counted)
    service = await start(allowed_origins=(ORIGIN,), auth=bool(token))
    for path, body, headers in POSTS:
        headers = headers | ({"Authorization": token} if token else {})  # noqa: PLW2901
        short = await service.http.post(path, content=body, headers=headers)
        whole = await service.http.post(path, content=body, headers=headers | {"Origin": ORIGIN})
        assert whole.headers["access-control-allow-origin"] == ORIGIN, "the app itself has answered"
        assert "access-control-allow-origin" not in short.headers
        assert (short.status_code, _told(short)) == (whole.status_code, _told(whole)), (path, body)
        assert _headers(short) == _headers(whole), (path, body)
        assert ("content-length" in short.headers) == (short.status_code != 204)
    plain = [path for path, _, _ in POSTS if path != "/v1/readings?unknown=1"]
    assert answered == ([] if token else [path.partition("?")[0] for path in plain]), "a refused token gets no further"


def _told(answer: Any) -> Any:
    """Return the body, without the cursor."""
    if answer.headers.get("content-type", "").endswith("json"):
        return {name: value for name, value in answer.json().items() if name not in ("cursor", "instance")}
    return answer.content


def _headers(answer: Any) -> dict[str, str]:
    """Return the headers but for those of CORS, and those that tell the time, as the length of a cursor does."""
    changing = ("tidewire-request", "tidewire-time", "date", "content-length", "vary", "access-control-")
    return {name: value for name, value in answer.headers.items() if not name.startswith(changing)}
