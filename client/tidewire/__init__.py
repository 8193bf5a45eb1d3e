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
    from tidewire.errors import InvalidInput as InvalidInput
    from tidewire.errors import LimitExceeded as LimitExceeded
    from tidewire.errors import ServiceRefused as ServiceRefused
    from tidewire.errors import ServiceUnavailable as ServiceUnavailable
    from tidewire.errors import TidewireError as TidewireError
    from tidewire.model.batch import Batch as Batch
    from tidewire.model.cursor import Cursor as Cursor
    from tidewire.model.states import Connected as Connected
    from tidewire.model.states import Ended as Ended
    from tidewire.model.states import Gap as Gap
    from tidewire.model.states import Live as Live
    from tidewire.model.states import Lost as Lost
    from tidewire.model.states import Reset as Reset
    from tidewire.model.states import Skipped as Skipped
    from tidewire.model.states import StreamBatch as StreamBatch
    from tidewire.notebook.widget import watch as watch
    from tidewire.publishing.default_publisher import annotate as annotate
    from tidewire.publishing.default_publisher import flush as flush
    from tidewire.publishing.default_publisher import publish as publish
    from tidewire.publishing.experiment_runs import finish as finish
    from tidewire.publishing.experiment_runs import init as init
    from tidewire.publishing.experiment_runs import log as log
    from tidewire.publishing.frames import publish_frame as publish_frame
    from tidewire.publishing.instruments import LogHandler as LogHandler
    from tidewire.publishing.instruments import counted as counted
    from tidewire.publishing.instruments import timed as timed
    from tidewire.publishing.instruments import track as track
    from tidewire.publishing.publisher import AsyncPublisher as AsyncPublisher
    from tidewire.publishing.publisher import Publisher as Publisher
    from tidewire.subscribing.frames import catalog as catalog
    from tidewire.subscribing.frames import history as history
    from tidewire.subscribing.frames import last as last
    from tidewire.subscribing.subscriber import astream as astream
    from tidewire.subscribing.subscriber import stream as stream

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
    "AsyncPublisher": "publishing.publisher",
    "Batch": "model.batch",
    "Connected": "model.states",
    "Cursor": "model.cursor",
    "Ended": "model.states",
    "Gap": "model.states",
    "InvalidInput": "errors",
    "LimitExceeded": "errors",
    "Live": "model.states",
    "LogHandler": "publishing.instruments",
    "Lost": "model.states",
    "Publisher": "publishing.publisher",
    "Reset": "model.states",
    "ServiceRefused": "errors",
    "ServiceUnavailable": "errors",
    "Skipped": "model.states",
    "StreamBatch": "model.states",
    "TidewireError": "errors",
    "annotate": "publishing.default_publisher",
    "astream": "subscribing.subscriber",
    "catalog": "subscribing.frames",
    "counted": "publishing.instruments",
    "finish": "publishing.experiment_runs",
    "flush": "publishing.default_publisher",
    "history": "subscribing.frames",
    "init": "publishing.experiment_runs",
    "last": "subscribing.frames",
    "log": "publishing.experiment_runs",
    "publish": "publishing.default_publisher",
    "publish_frame": "publishing.frames",
    "stream": "subscribing.subscriber",
    "timed": "publishing.instruments",
    "track": "publishing.instruments",
    "watch": "notebook.widget",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tidewire' has no attribute {name!r}")
    return getattr(import_module(f"tidewire.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
