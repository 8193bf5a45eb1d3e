"""The error tree of the dashboard; every other error it raises is one of the SDK's (`tidewire.errors`).

tidewire.TidewireError
└── SaveConflict               somebody saved a newer version meanwhile; nothing was written
"""

from __future__ import annotations

from tidewire.errors import TidewireError

__all__ = ["SaveConflict"]


class SaveConflict(TidewireError):
    """A deck or the thresholds changed on the service after they were read; nothing was written.

    Attributes:
        etag: version that the service has now; empty if it was deleted.
    """

    def __init__(self, etag: str) -> None:
        self.etag = etag
        super().__init__("somebody saved a newer version meanwhile; read it, then save again")
