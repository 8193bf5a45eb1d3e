"""The command `publish`: one reading from the shell."""

from __future__ import annotations

from typing import Any

import click
from click.core import ParameterSource

from tidewire.commands.options import label_option, parse_labels, target_option
from tidewire.commands.terminal import echo
from tidewire.errors import InvalidInput
from tidewire.model.csv_rows import parse_number
from tidewire.model.numbers import as_given
from tidewire.publishing.publisher import Publisher, publish_url
from tidewire.settings import without_password

__all__ = ["command"]


class _Value(click.ParamType[float | None]):
    """A number as all doors for texts take it."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | None:
        """Return the number of a text; None if it is none, such as nan."""
        try:
            return parse_number("value", value)
        except InvalidInput as error:
            if str(value).startswith("--"):
                raise click.NoSuchOption(str(value), ctx=ctx) from error
            self.fail(f"{error.value}: {error.reason}", param, ctx)


class _Publish(click.Command):
    """Takes -5 for a value; what else begins with a dash is an option, unless ``--`` came before it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        escaped = "--" in args
        rest = super().parse_args(ctx, args)
        metric = ctx.params.get("metric")
        if isinstance(metric, str) and metric.startswith("-") and not escaped:
            raise click.NoSuchOption(metric, ctx=ctx)
        return rest


@click.command("publish", cls=_Publish, context_settings={"ignore_unknown_options": True})
@click.argument("metric")
@click.argument("value", type=_Value(), required=False)
@click.option("--unit", default="", help="UCUM unit, such as Cel, % or By/s.")
@click.option("--text", default=None, help="Text of the reading: an event, or without VALUE a state.")
@label_option
@target_option
def command(
    metric: str, value: float | None, unit: str, text: str | None, labels: tuple[str, ...], target: str | None
) -> None:
    """Publish one reading: tidewire publish furnace/temperature 921.4 --unit Cel

    A state has no value: tidewire publish oven/mode --text HEATING
    """  # noqa: D415
    missing = click.get_current_context().get_parameter_source("value") is ParameterSource.DEFAULT
    if missing and text is None:
        raise click.UsageError("Missing argument 'VALUE', or --text for a state.")
    publisher = Publisher(target)
    publisher.publish(metric, value, unit=unit, text=text, labels=parse_labels(labels))
    sent = publisher.flush(5.0)
    stats = publisher.stats
    publisher.close(0.0)
    if not sent or stats.rejected:
        raise click.ClickException(f"not published to {without_password(publish_url(target))}: {stats.last_error}")
    shown = (text or "\N{EN DASH}") if value is None else as_given(value)
    echo(f"{metric} {shown}{' ' + unit if unit else ''} published")
