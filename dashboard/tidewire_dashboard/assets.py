"""The addresses of the chart's modules and of the fonts; each changes with what it is the address of."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from pathlib import Path
from typing import Final

import tidewire

__all__ = ["ASSETS", "MODULES", "bundle_path", "bundle_version", "first_modules", "module_folder"]

ASSETS: Final = "assets"  # path of the modules and the fonts, below the dashboard's prefix
MODULES: Final = r"deck(?:-[a-z-]+)?\.js"  # the chart's first module, and those that a page loads when it needs them


def bundle_path() -> Path:
    """Return the file of the chart's first module; the others are beside it."""
    return Path(tidewire.__file__).with_name("static") / "deck.js"


@lru_cache(maxsize=1)
def bundle_version() -> str:
    """Return the hash of the chart's modules; as a part of their URLs it lets browsers cache them for ever."""
    modules = sorted(path for path in bundle_path().parent.iterdir() if re.fullmatch(MODULES, path.name))
    return hashlib.sha256(b"".join(path.read_bytes() for path in modules)).hexdigest()[:12]


def module_folder() -> str:
    """Return the path of the folder of the modules, below the dashboard's prefix."""
    return f"{ASSETS}/{bundle_version()}"


def first_modules(page: str) -> list[str]:
    """Return the paths of the modules that a page starts with, so that the browser fetches them at once."""
    names = ("deck.js", "deck-charts.js" if page == "deck" else "deck-overview.js")
    return [f"{module_folder()}/{name}" for name in names]
