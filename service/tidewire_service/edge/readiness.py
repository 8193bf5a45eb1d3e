"""Whether an edge can do its work."""

from __future__ import annotations

from tidewire.model.answers import ReadinessJson
from tidewire_service.edge.upstream import Upstream

__all__ = ["EdgeReadiness"]


class EdgeReadiness:
    """Looks at the upstream.

    Attributes:
        draining: the process is about to end and should get no new requests.
    """

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self.draining = False

    def check(self) -> ReadinessJson:
        """Return the readiness now: not ready once the upstream has not answered for 3 s."""
        upstream = self._upstream
        reason = ""
        if self.draining:
            reason = "the edge is about to end"
        elif not upstream.reachable:
            reason = f"the service at {upstream.shown} does not answer ({upstream.trouble})"
        return ReadinessJson(not reason, reason, None, "", None)
