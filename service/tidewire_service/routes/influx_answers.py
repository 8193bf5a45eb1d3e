"""Words what becomes of line protocol, and each refusal, as InfluxDB's versions 1, 2 and 3 do.

Each client has statuses after which it deletes data. Telegraf's output for version 1 does after any 4xx with a JSON or
an empty body, so there a refused token is plain text, and what passes is 503: docs/from-where-you-are.md lists them.
"""

from __future__ import annotations

from typing import Any, Final, Literal
from urllib.parse import parse_qsl

import msgspec

from tidewire.errors import InvalidInput
from tidewire_service.auth.credentials import bearer_of
from tidewire_service.errors import HostNotServed, RateExceeded
from tidewire_service.routes.influx_store import LineOutcome
from tidewire_service.web.answer import Answer
from tidewire_service.web.declaration import Foreign
from tidewire_service.web.foreign_bodies import header_credentials
from tidewire_service.web.problems import problem_of

__all__ = ["HEADERS", "PROBES", "V1", "V2", "V3", "VERSION", "Version", "answer_to_lines", "json_answer"]

VERSION: Final = "1.8.10"  # after a 2.x some clients ask for buckets
HEADERS: Final = {"X-Influxdb-Version": VERSION, "X-Influxdb-Build": "OSS"}
_JSON: Final = "application/json"
_CODES: Final = {
    400: "invalid", 401: "unauthorized", 403: "forbidden", 404: "not found", 405: "method not allowed",
    413: "request too large", 422: "unprocessable entity", 429: "too many requests", 503: "unavailable",
}  # fmt: skip

Version = Literal["v1", "v2", "v3"]


def json_answer(content: Any, status: int = 200) -> Answer:
    """Return an answer in JSON, with the headers by which clients know a server."""
    return Answer(status, _JSON, msgspec.json.encode(content), HEADERS)


def answer_to_lines(version: Version, outcome: LineOutcome, *, stored: bool) -> Answer:
    """Return the answer to a body of lines.

    Args:
        version: whose words.
        outcome: what became of the lines.
        stored: False if nothing was stored because a line is bad.
    """
    if not outcome.refused:
        headers = {**HEADERS, "Tidewire-Lossy": str(outcome.lossy)} if outcome.lossy else HEADERS
        return Answer(204, "", b"", headers)
    first = outcome.named[0][0]
    some = stored and (outcome.accepted > 0 or outcome.stored_before)
    reason = f"line {first.row}: {first.field} {first.value}: {first.reason}"
    what = "partial write" if some else "unable to parse" if stored else "nothing was written"
    message = f"{what}: {outcome.refused} of {outcome.lines} lines: {reason}"
    if not some and outcome.only_scope:
        return _refusal(version, 403, f"forbidden: {reason}")
    content: dict[str, Any] = {"error": message}
    if version == "v2":
        content = {"code": "invalid", "message": message, "line": first.row}
    elif version == "v3":
        content = {
            # a client looks for these very words
            "error": "partial write of line protocol occurred" if stored else "parsing failed for write_lp endpoint",
            "data": [
                {
                    "error_message": f"{row.field} {row.value}: {row.reason}",
                    "line_number": row.row,
                    "original_line": start,
                }
                for row, start in outcome.named
            ],
        }
    return json_answer(content, 400)


def _refusal(version: Version, status: int, text: str, headers: dict[str, str] | None = None) -> Answer:
    headers = {**HEADERS, **(headers or {})}
    if version == "v1" and 400 <= status < 500 and status != 400:
        return Answer(status, "text/plain; charset=utf-8", text.encode(), headers)
    content = {"code": _CODES.get(status, "internal error"), "message": text} if version == "v2" else {"error": text}
    return Answer(status, _JSON, msgspec.json.encode(content), headers)


def _wording(version: Version, *, writes: bool = True) -> Any:
    """Return what words the refusals of a version; what writes has data to lose."""

    def word(error: Exception) -> Answer:
        problem, headers = problem_of(error)
        status = problem.status
        if isinstance(error, InvalidInput):
            status = 400
        if version == "v1":
            if isinstance(error, RateExceeded):
                status = 503  # any 4xx is an order to delete
            elif status in (413, 415):
                status = 400  # to keep it would not help
        elif writes and isinstance(error, HostNotServed):
            status = 403  # of 4xx, Telegraf keeps its data after 401 and 403
        return _refusal(version, status, problem.detail, headers)

    return word


def _credentials_v1(authorization: str, query: bytes) -> str:
    try:
        parameters = dict(parse_qsl(query.decode("latin-1"), max_num_fields=100))
    except ValueError:
        parameters = {}
    return bearer_of(authorization, parameters.get("p", ""))


V1: Final = Foreign(_wording("v1"), _credentials_v1)
V2: Final = Foreign(_wording("v2"), header_credentials)
V3: Final = Foreign(_wording("v3"), header_credentials)
PROBES: Final = Foreign(_wording("v2", writes=False), header_credentials)
"""How the routes of each version are declared, and those that clients ask before they write."""
