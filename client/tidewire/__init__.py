"""Tidewire: live metrics from where they are measured to where they are looked at."""

from tidewire._version import __version__

__all__ = ["__version__"]
