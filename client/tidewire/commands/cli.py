"""The command line: a group whose heavy commands are found by entry point, so that the client imports none of them."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

import click

from tidewire._version import __version__
from tidewire.errors import MissingExtra, TidewireError

__all__ = ["main"]

_GROUP: Final = "tidewire.commands"
_OWN: Final = {
    "publish": ("tidewire.commands.data", "publish_command", "Publish one reading."),
    "tail": ("tidewire.commands.data", "tail_command", "Show readings live in the terminal."),
    "catalog": ("tidewire.commands.data", "catalog_command", "List series with their last readings."),
    "export": ("tidewire.commands.export", "export_command", "Write readings of a span to CSV, Parquet or NDJSON."),
    "replay": ("tidewire.commands.replay", "replay_command", "Publish a recorded file as if it were live."),
    "doctor": ("tidewire.commands.doctor", "doctor_command", "Check what is reachable and say how to mend it."),
}
# What `--help` says of the commands that live in an extra, without importing it.
_HEAVY: Final = {
    "up": ("service", "Run everything: Redis, service, dashboard and a host publisher."),
    "serve": ("service", "Run the HTTP service on a Redis."),
    "token": ("service", "Create, list and revoke tokens."),
    "host": ("service", "Publish this machine's CPU, memory, disk and network."),
    "dashboard": ("dashboard", "Run the dashboard on a service."),
}


class _Commands(click.Group):
    """Loads a command when it is called, and prints an error of ours as one sentence."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*_OWN, *_HEAVY})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _OWN:
            module, attribute, _ = _OWN[cmd_name]
            return _loaded(EntryPoint(cmd_name, f"{module}:{attribute}", _GROUP))
        if cmd_name not in _HEAVY:
            return None
        found = next(iter(entry_points(group=_GROUP, name=cmd_name)), None)
        try:
            if found is not None:
                return _loaded(found)
        except ImportError as error:
            if isinstance(error, MissingExtra):
                raise click.ClickException(str(error)) from error
            missing = MissingExtra(f"tidewire {cmd_name}", _HEAVY[cmd_name][0])
            raise click.ClickException(f"{missing} ({error})") from error
        raise click.ClickException(str(MissingExtra(f"tidewire {cmd_name}", _HEAVY[cmd_name][0])))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        helps = {name: entry[2] for name, entry in _OWN.items()} | {name: entry[1] for name, entry in _HEAVY.items()}
        with formatter.section("Commands"):
            formatter.write_dl([(name, helps[name]) for name in self.list_commands(ctx)])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except TidewireError as error:
            click.echo(f"tidewire: {error}", err=True)
            sys.exit(1)


def _loaded(entry: EntryPoint) -> click.Command:
    command: click.Command = entry.load()
    return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tidewire")
def main() -> None:
    """Live metrics: what was published is what you see, live, and you are told when it is not."""
