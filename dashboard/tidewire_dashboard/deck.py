"""The deck as Panel sees it: one component that loads the chart module and tells it where its frames are."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Final

import param

import tidewire
from tidewire_dashboard.bokeh_server import VersionedComponent

__all__ = ["ASSETS", "Deck", "bundle_path", "bundle_version"]

ASSETS: Final = "assets"  # what the dashboard serves the module and the fonts under, below its prefix


def bundle_path() -> Path:
    """Return the chart module as it was built."""
    return Path(tidewire.__file__).with_name("static") / "deck.js"


@lru_cache(maxsize=1)
def bundle_version() -> str:
    """Return the hash of the chart module, the part of its URL that lets browsers keep it for ever."""
    return hashlib.sha256(bundle_path().read_bytes()).hexdigest()[:12]


class Deck(VersionedComponent):
    """The chart surface of one viewer. It carries no data: that comes over the frame socket."""

    page = param.String(default="overview", regex="overview|deck", doc="used when the path says neither")
    socket_path = param.String(default="/frames", doc="absolute path of the frame socket")
    ticket = param.String(default="", doc="admits this page to the frame socket")
    theme = param.String(default="auto", regex="auto|dark|light", doc="the theme of the URL wins")
    assets = param.String(default=f"/{ASSETS}", doc="base path of the fonts")
    dashboard_prefix = param.String(default="", doc="'' or '/prefix'")

    _bundle = bundle_path()

    @classmethod
    def module_path(cls) -> str:
        """Return the path of the chart module, which changes with its content."""
        return f"{ASSETS}/{bundle_version()}/deck.js"
