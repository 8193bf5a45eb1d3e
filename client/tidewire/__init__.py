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
    from tidewire.batch import Batch as Batch
    from tidewire.cursor import Cursor as Cursor
    from tidewire.dataframe import catalog as catalog
    from tidewire.dataframe import history as history
    from tidewire.dataframe import last as last
    from tidewire.dataframe import publish_frame as publish_frame
    from tidewire.errors import InvalidInput as InvalidInput
    from tidewire.errors import LimitExceeded as LimitExceeded
    from tidewire.errors import ServiceRefused as ServiceRefused
    from tidewire.errors import ServiceUnavailable as ServiceUnavailable
    from tidewire.errors import TidewireError as TidewireError
    from tidewire.instruments import LogHandler as LogHandler
    from tidewire.instruments import counted as counted
    from tidewire.instruments import timed as timed
    from tidewire.instruments import track as track
    from tidewire.process_publisher import annotate as annotate
    from tidewire.process_publisher import flush as flush
    from tidewire.process_publisher import publish as publish
    from tidewire.publisher import AsyncPublisher as AsyncPublisher
    from tidewire.publisher import Publisher as Publisher
    from tidewire.runs import finish as finish
    from tidewire.runs import init as init
    from tidewire.runs import log as log
    from tidewire.states import Connected as Connected
    from tidewire.states import Ended as Ended
    from tidewire.states import Gap as Gap
    from tidewire.states import Live as Live
    from tidewire.states import Lost as Lost
    from tidewire.states import Reset as Reset
    from tidewire.states import Skipped as Skipped
    from tidewire.states import StreamBatch as StreamBatch
    from tidewire.subscriber import astream as astream
    from tidewire.subscriber import stream as stream
    from tidewire.widget import watch as watch

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
    "StreamBatch",
    "TidewireError",
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
_HOMES = {
    "AsyncPublisher": "publisher",
    "Batch": "batch",
    "Connected": "states",
    "Cursor": "cursor",
    "Ended": "states",
    "Gap": "states",
    "InvalidInput": "errors",
    "LimitExceeded": "errors",
    "Live": "states",
    "LogHandler": "instruments",
    "Lost": "states",
    "Publisher": "publisher",
    "Reset": "states",
    "ServiceRefused": "errors",
    "ServiceUnavailable": "errors",
    "Skipped": "states",
    "StreamBatch": "states",
    "TidewireError": "errors",
    "annotate": "process_publisher",
    "astream": "subscriber",
    "catalog": "dataframe",
    "counted": "instruments",
    "finish": "runs",
    "flush": "process_publisher",
    "history": "dataframe",
    "init": "runs",
    "last": "dataframe",
    "log": "runs",
    "publish": "process_publisher",
    "publish_frame": "dataframe",
    "stream": "subscriber",
    "timed": "instruments",
    "track": "instruments",
    "watch": "widget",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tidewire' has no attribute {name!r}")
    return getattr(import_module(f"tidewire.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
