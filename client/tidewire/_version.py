"""The one version of the distribution and its three packages."""

__version__ = "0.1.0"
