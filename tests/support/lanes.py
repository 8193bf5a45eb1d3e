"""How much random tests try: a bounded number in every run, and much more on demand with `TIDEWIRE_LONG=1`."""

import os

__all__ = ["LONG", "bounded"]

LONG = os.environ.get("TIDEWIRE_LONG") == "1"


def bounded(normal: int, long: int, variable: str = "") -> int:
    """Return how many steps or examples are tried; an environment variable of this name says exactly how many."""
    return int(os.environ.get(variable, "") or (long if LONG else normal))
