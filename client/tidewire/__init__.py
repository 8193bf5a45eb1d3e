"""Tidewire: live metrics from where they are measured to where they are looked at.

What was published is what you see, live, and you are told when it is not.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tidewire._version import __version__

if TYPE_CHECKING:
    from tidewire.batch import Batch as Batch
    from tidewire.cursor import Cursor as Cursor
    from tidewire.dataframe import catalog as catalog
    from tidewire.dataframe import history as history
    from tidewire.dataframe import last as last
    from tidewire.dataframe import publish_frame as publish_frame
    from tidewire.errors import TidewireError as TidewireError
    from tidewire.process_publisher import annotate as annotate
    from tidewire.process_publisher import publish as publish
    from tidewire.publisher import AsyncPublisher as AsyncPublisher
    from tidewire.publisher import Publisher as Publisher
    from tidewire.states import StreamBatch as StreamBatch
    from tidewire.subscriber import astream as astream
    from tidewire.subscriber import stream as stream
    from tidewire.widget import watch as watch

__all__ = [
    "AsyncPublisher",
    "Batch",
    "Cursor",
    "Publisher",
    "StreamBatch",
    "TidewireError",
    "__version__",
    "annotate",
    "astream",
    "catalog",
    "history",
    "last",
    "publish",
    "publish_frame",
    "stream",
    "watch",
]

# Where each name is defined; loaded at first use, so that `import tidewire` costs a producer nothing it does not need.
_HOMES = {
    "AsyncPublisher": "publisher",
    "Batch": "batch",
    "Cursor": "cursor",
    "Publisher": "publisher",
    "StreamBatch": "states",
    "TidewireError": "errors",
    "annotate": "process_publisher",
    "astream": "subscriber",
    "catalog": "dataframe",
    "history": "dataframe",
    "last": "dataframe",
    "publish": "process_publisher",
    "publish_frame": "dataframe",
    "stream": "subscriber",
    "watch": "widget",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tidewire' has no attribute {name!r}")
    return getattr(import_module(f"tidewire.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
