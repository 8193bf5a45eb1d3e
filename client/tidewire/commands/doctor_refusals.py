"""Words a refusal for the command `doctor`: what the service itself says, and what another program says for it."""

from __future__ import annotations

from typing import Final, NamedTuple

from tidewire.subscribing.service_answer import Answer

__all__ = ["Refusal", "refusal"]

_SERVER_CHARS: Final = 40
_OWN: Final = {
    401: "set TIDEWIRE_TOKEN; 'tidewire token create' makes one",
    403: "'tidewire token create' makes a token that may",
    404: "the service is older than this command: upgrade it",
    413: "docs/limits.md has the setting of this bound",
    429: "docs/limits.md has the setting of this bound; it asks for a pause of {pause_s:g} s",
    503: "it asks for a pause of {pause_s:g} s; its log has the cause",
}
_OTHERS: Final = {
    401: "a proxy between asks for a log-in of its own, which no publisher has: docs/proxies.md",
    403: "a proxy between does not let this request through: docs/proxies.md",
    404: "a proxy between passes only some paths: docs/proxies.md",
    413: "a proxy between takes only smaller bodies: docs/proxies.md",
    429: "a proxy between takes only so many requests: docs/proxies.md",
    502: "a proxy between does not reach the service: see whether it runs, and where the proxy looks for it",
}
_ELSE: Final = "check TIDEWIRE_URL, and what is between"


class Refusal(NamedTuple):
    """An answer that is no success, in words.

    Attributes:
        found: the status, who gave it, and why if it is said.
        remedy: what to do.
    """

    found: str
    remedy: str


def refusal(answer: Answer) -> Refusal:
    """Return in words who refused a request and what to do: a proxy's 503 and the service's own are two things."""
    status, pause_s = answer.status, answer.retry_after_s
    if answer.by_service:
        remedy = _OWN.get(status, "its log has the cause").format(pause_s=1 if pause_s is None else pause_s)
        return Refusal(f"HTTP {status} of the service: {answer.detail or answer.facts().get('title', '')}", remedy)
    name = " ".join(answer.headers.get("server", "").split())[:_SERVER_CHARS]
    who = f"another program, {name}," if name else "another program"
    remedy = _OTHERS.get(502 if status in (503, 504) else status, _ELSE)
    said = answer.facts().get("detail")  # a page is not shown, a sentence is
    return Refusal(f"HTTP {status} of {who} in place of the service{f': {said}' if said else ''}", remedy)
