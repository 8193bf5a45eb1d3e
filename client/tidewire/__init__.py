"""Tidewire: live metrics from where they are measured to where they are looked at.

What was published is what you see, live, and you are told when it is not.

    import tidewire

    tidewire.publish("furnace/temperature", 921.4, unit="Cel", labels={"site": "A"})  # returns at once
    tidewire.log({"loss": 0.31, "val": {"loss": 0.4}}, step=7, prefix="train")
    for batch in tidewire.stream("furnace/**"):  # live, over any number of reconnects
        print(batch.metric, batch.time, batch.value)
    tidewire.history("furnace/*", "-15m")  # a DataFrame
    tidewire.watch("furnace/**", window="5m")  # a live chart in a notebook

Where: ``TIDEWIRE_REDIS`` or ``TIDEWIRE_URL`` to publish to, ``TIDEWIRE_URL`` to read from; what `tidewire up` starts if
neither is set. `tidewire doctor` in a shell tells what is missing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tidewire._version import __version__

if TYPE_CHECKING:
    from tidewire.errors import InvalidInput, LimitExceeded, ServiceRefused, ServiceUnavailable, TidewireError
    from tidewire.model.batch import Batch
    from tidewire.model.cursor import Cursor
    from tidewire.model.states import Connected, Ended, Gap, Live, Lost, Reset, Skipped, Stalled, StreamBatch
    from tidewire.model.vector_cursor import VectorCursor
    from tidewire.notebook.widget import watch
    from tidewire.publishing.default_publisher import annotate, flush, publish
    from tidewire.publishing.experiment_runs import finish, init, log
    from tidewire.publishing.frames import publish_frame
    from tidewire.publishing.instruments import LogHandler, counted, timed, track
    from tidewire.publishing.publisher import AsyncPublisher, Publisher
    from tidewire.subscribing.frames import catalog, history, last
    from tidewire.subscribing.subscriber import astream, stream

__all__ = [
    "AsyncPublisher",
    "Batch",
    "Connected",
    "Cursor",
    "Ended",
    "Gap",
    "InvalidInput",
    "LimitExceeded",
    "Live",
    "LogHandler",
    "Lost",
    "Publisher",
    "Reset",
    "ServiceRefused",
    "ServiceUnavailable",
    "Skipped",
    "Stalled",
    "StreamBatch",
    "TidewireError",
    "VectorCursor",
    "__version__",
    "annotate",
    "astream",
    "catalog",
    "counted",
    "finish",
    "flush",
    "history",
    "init",
    "last",
    "log",
    "publish",
    "publish_frame",
    "stream",
    "timed",
    "track",
    "watch",
]

# Where each name is defined; loaded at first use, so that `import tidewire` costs a producer nothing it does not need.
_NAMES = {
    "errors": ("InvalidInput", "LimitExceeded", "ServiceRefused", "ServiceUnavailable", "TidewireError"),
    "model.batch": ("Batch",),
    "model.cursor": ("Cursor",),
    "model.states": ("Connected", "Ended", "Gap", "Live", "Lost", "Reset", "Skipped", "Stalled", "StreamBatch"),
    "model.vector_cursor": ("VectorCursor",),
    "notebook.widget": ("watch",),
    "publishing.default_publisher": ("annotate", "flush", "publish"),
    "publishing.experiment_runs": ("finish", "init", "log"),
    "publishing.frames": ("publish_frame",),
    "publishing.instruments": ("LogHandler", "counted", "timed", "track"),
    "publishing.publisher": ("AsyncPublisher", "Publisher"),
    "subscribing.frames": ("catalog", "history", "last"),
    "subscribing.subscriber": ("astream", "stream"),
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tidewire' has no attribute {name!r}")
    return getattr(import_module(f"tidewire.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
