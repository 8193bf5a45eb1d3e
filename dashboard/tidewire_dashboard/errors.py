"""The error tree of the dashboard; all other errors that it raises are in `tidewire.errors`.

tidewire.TidewireError
└── SaveConflict               a newer version was saved in the meantime; nothing was written
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
        super().__init__("a newer version was saved in the meantime; read it, then save again")
