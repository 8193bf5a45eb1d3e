"""The Panel component of the deck: loads the chart module and passes it the address of the frame socket."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Final

import param

import tidewire
from tidewire_dashboard.bokeh_server import VersionedComponent

__all__ = ["ASSETS", "Deck", "bundle_path", "bundle_version"]

ASSETS: Final = "assets"  # path of the module and the fonts, below the dashboard's prefix


def bundle_path() -> Path:
    """Return the file of the built chart module."""
    return Path(tidewire.__file__).with_name("static") / "deck.js"


@lru_cache(maxsize=1)
def bundle_version() -> str:
    """Return the hash of the chart module; as a part of its URL it lets browsers cache the module for ever."""
    return hashlib.sha256(bundle_path().read_bytes()).hexdigest()[:12]


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
        """Return the path of the chart module, which contains its hash."""
        return f"{ASSETS}/{bundle_version()}/deck.js"
