"""The command line: a group that imports a command's module when the command is called."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any, Final, NamedTuple

import click

from tidewire._version import __version__
from tidewire.commands.terminal import adapt_output, echo, plain_lines
from tidewire.errors import MissingExtra, TidewireError

__all__ = ["main"]


class _Entry(NamedTuple):
    """One command: the module whose `command` runs it, its line in ``--help``, and the extra it needs."""

    module: str
    summary: str
    extra: str = ""


# Modules are named, not imported: `--help` loads none of them, and the client imports neither service nor dashboard.
_COMMANDS: Final = {
    "catalog": _Entry("tidewire.commands.catalog", "List series with their last readings."),
    "dashboard": _Entry("tidewire_dashboard.command", "Run the dashboard on a service.", "dashboard"),
    "doctor": _Entry("tidewire.commands.doctor", "Check what is reachable and how to fix what is not."),
    "edge": _Entry("tidewire_service.launch.edge", "Serve the streams of another service to many viewers.", "service"),
    "export": _Entry("tidewire.commands.export", "Write the readings of a span to a file."),
    "host": _Entry("tidewire_service.launch.host", "Publish this machine's CPU, memory, disk and network.", "service"),
    "mqtt": _Entry("tidewire.commands.mqtt", "Publish what devices send to an MQTT broker.", "mqtt"),
    "publish": _Entry("tidewire.commands.publish", "Publish one reading."),
    "replay": _Entry("tidewire.commands.replay", "Publish a recorded file as if it were live."),
    "scrape": _Entry("tidewire.commands.scrape", "Publish what programs expose to Prometheus.", "scrape"),
    "serve": _Entry("tidewire_service.launch.serve", "Run the HTTP service on a Redis.", "service"),
    "statsd": _Entry("tidewire.commands.statsd", "Publish what programs send to StatsD."),
    "tail": _Entry("tidewire.commands.tail", "Show readings live in the terminal."),
    "token": _Entry("tidewire_service.launch.token", "Create, share, list and revoke tokens.", "service"),
    "up": _Entry("tidewire_service.launch.up", "Run Redis, service, dashboard and a host publisher.", "service"),
}


class _Commands(click.Group):
    """Loads a command when it is called, and prints a `TidewireError` or an error of the system as one sentence."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = _COMMANDS.get(cmd_name)
        if entry is None:
            return None
        try:
            command: click.Command = import_module(entry.module).command
        except MissingExtra as error:
            raise click.ClickException(str(error)) from error
        except ImportError as error:
            if not entry.extra:
                raise
            raise click.ClickException(f"{MissingExtra(f'tidewire {cmd_name}', entry.extra)} ({error})") from error
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, _COMMANDS[name].summary) for name in self.list_commands(ctx)])

    def invoke(self, ctx: click.Context) -> Any:
        adapt_output()
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            error.message = plain_lines(error.message)  # type: ignore[misc]  # show() prints it
            raise
        except BrokenPipeError:
            raise  # whoever read the output has seen enough; click ends without a word
        except TidewireError as error:
            said = str(error)
        except OSError as error:  # a folder, file or port of this machine
            said = f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error)
        echo(f"tidewire: {said}", err=True)
        sys.exit(1)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tidewire")
def main() -> None:
    """Live metrics: what was published is what you see, live, and you are told when it is not."""
