"""The command `tidewire serve`: one service process, or several on one port."""

from __future__ import annotations

import gc
import socket
import ssl
import sys
from typing import Any, Final

import click
import msgspec
import structlog

from tidewire.errors import InvalidInput
from tidewire.settings import click_options, load_settings, without_password
from tidewire_service.app import create_app
from tidewire_service.http_server.server import listening_socket, run
from tidewire_service.launch.exposure import warnings
from tidewire_service.launch.workers import Workers, inherited_socket, worker_number
from tidewire_service.operations.telemetry import configure_logging
from tidewire_service.settings import ServiceSettings

__all__ = ["check_tls", "command", "shown_host"]

_FAILED: Final = 1
_log = structlog.get_logger("tidewire_service")


@click.command("serve")
@click_options(ServiceSettings)
def command(**given: Any) -> None:
    """Run the HTTP service: streams, readings, history, catalogue.

    Ends on SIGTERM or Ctrl-C, after it has told all streams when to reconnect.
    """
    try:
        settings = load_settings(ServiceSettings, given)
    except InvalidInput as error:
        raise click.UsageError(str(error)) from None
    check_tls(settings)
    worker_socket = inherited_socket()
    if worker_socket is not None:
        configure_logging(settings.log_level, settings.log_format)
        if not run(create_app(settings, worker=worker_number()), settings, [worker_socket]):
            sys.exit(_FAILED)
        return
    try:
        sockets: list[socket.socket] = []
        port = settings.port
        for _ in range(settings.workers):
            shared, silence_s = settings.workers > 1, settings.write_timeout_s
            sockets.append(listening_socket(settings.host, port, shared=shared, silence_s=silence_s))
            port = sockets[0].getsockname()[1]
    except OSError as error:
        click.echo(
            f"tidewire serve: cannot listen on {settings.host}:{settings.port} ({error.strerror}); "
            "choose another with --port",
            err=True,
        )
        sys.exit(_FAILED)
    settings = msgspec.structs.replace(settings, port=port)
    configure_logging(settings.log_level, settings.log_format)
    app = create_app(settings)  # here once, so that a failing import is reported once and no worker is started
    _log.info(
        "service_started",
        url=f"{'https' if settings.tls_cert else 'http'}://{shown_host(settings.host)}:{port}",
        redis=without_password(settings.redis),
        workers=settings.workers,
    )
    for warning in warnings(settings):
        _log.warning("service_exposed", warning=warning)
    well = True
    if settings.workers == 1:
        well = run(app, settings, sockets)
    else:
        Workers(sockets, settings).run()
    _log.info("service_ended")
    if not well:
        sys.exit(_FAILED)
    gc.freeze()  # no more collections: the one at exit would visit every object of the libraries


def check_tls(settings: ServiceSettings) -> None:
    """Check the certificate and its key before anything listens.

    Raises:
        UsageError: the files cannot be read, or do not belong together.
    """
    if not settings.tls_cert:
        return
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(settings.tls_cert, settings.tls_key)
    except OSError as error:  # ssl.SSLError is one
        raise click.UsageError(
            f"--tls-cert {settings.tls_cert!r}: cannot be read with its key ({error.strerror or error}); "
            "expected two PEM files that belong together"
        ) from None


def shown_host(host: str) -> str:
    """Return a host as it stands in a URL."""
    return f"[{host}]" if ":" in host else host
