"""The command `tidewire edge`: one process that serves the streams of another service, without a Redis."""

from __future__ import annotations

import gc
import sys
from typing import Any, Final

import click
import msgspec
import structlog

from tidewire.errors import InvalidInput
from tidewire.settings import click_options, without_password
from tidewire_service.edge.app import create_edge
from tidewire_service.edge.settings import SHARED, EdgeSettings, load_edge_settings
from tidewire_service.http_server.server import listening_socket, run
from tidewire_service.launch.serve import check_tls, shown_host
from tidewire_service.operations.telemetry import configure_logging
from tidewire_service.settings import ServiceSettings

__all__ = ["command"]

_FAILED: Final = 1
_log = structlog.get_logger("tidewire_service")


@click.command("edge")
@click_options(EdgeSettings)
@click_options(ServiceSettings, *SHARED)
def command(**given: Any) -> None:
    """Serve the streams of another service to many viewers, without a Redis.

    It has one upstream stream for each distinct selection, and serves streams, catalogue and history as the service
    does. A viewer's token is judged by the upstream. Ends on SIGTERM or Ctrl-C, as `tidewire serve` does.
    """
    try:
        own, settings = load_edge_settings(given)
    except InvalidInput as error:
        raise click.UsageError(str(error)) from None
    check_tls(settings)
    app = create_edge(own, settings)
    try:
        sock = listening_socket(settings.host, settings.port, silence_s=settings.write_timeout_s)
    except OSError as error:
        click.echo(
            f"tidewire edge: cannot listen on {settings.host}:{settings.port} ({error.strerror}); "
            "choose another with --port",
            err=True,
        )
        sys.exit(_FAILED)
    settings = msgspec.structs.replace(settings, port=sock.getsockname()[1])
    configure_logging(settings.log_level, settings.log_format)
    _log.info(
        "edge_started",
        url=f"{'https' if settings.tls_cert else 'http'}://{shown_host(settings.host)}:{settings.port}",
        upstream=without_password(own.upstream),
    )
    run(app, settings, [sock], more_connections=settings.max_streams + own.max_selections)
    _log.info("edge_ended")
    gc.freeze()  # no more collections: the one at exit would visit every object of the libraries
