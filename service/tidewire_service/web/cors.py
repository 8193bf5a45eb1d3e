"""What pages of other origins may do."""

from __future__ import annotations

from litestar.config.cors import CORSConfig

from tidewire_service.settings import ServiceSettings

__all__ = ["cors_config"]


def cors_config(settings: ServiceSettings) -> CORSConfig | None:
    """Return the CORS rules for pages of the allowed origins; None if there are none."""
    if not settings.allowed_origins:
        return None
    return CORSConfig(
        allow_origins=list(settings.allowed_origins),
        allow_methods=["GET", "HEAD", "POST", "PUT", "DELETE"],
        allow_headers=["*"],  # polyfills, tracers and caches add their own; none of them changes what an origin may do
        expose_headers=[
            "Retry-After",
            "Tidewire-Cursor",
            "Tidewire-Done",
            "Tidewire-Missing",
            "Tidewire-Request",
            "Link",
            "ETag",
        ],
        max_age=600,
    )
