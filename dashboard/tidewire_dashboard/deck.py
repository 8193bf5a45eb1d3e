"""The Panel component of the deck: loads the chart's first module and passes it the address of the frame socket."""

from __future__ import annotations

import param

from tidewire_dashboard.assets import ASSETS, bundle_path, module_folder
from tidewire_dashboard.bokeh_server import VersionedComponent

__all__ = ["Deck"]


class Deck(VersionedComponent):
    """The deck of one viewer. It carries no readings: those come over the frame socket."""

    page = param.String(default="overview", regex="overview|deck", doc="page to show if the path names none")
    socket_path = param.String(default="/frames", doc="absolute path of the frame socket")
    ticket = param.String(default="", doc="the frame socket accepts this page by it")
    viewer = param.String(default="", doc="whose token the page was opened with; empty without a log-in")
    theme = param.String(default="auto", regex="auto|dark|light", doc="used if the URL has no theme")
    assets = param.String(default=f"/{ASSETS}", doc="base path of the fonts")
    dashboard_prefix = param.String(default="", doc="'' or '/prefix'")

    _bundle = bundle_path()

    @classmethod
    def module_path(cls) -> str:
        """Return the path of the module that Panel loads, which contains the hash of all."""
        return f"{module_folder()}/deck-panel.js"
