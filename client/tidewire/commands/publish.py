"""The command `publish`: one reading from the shell."""

from __future__ import annotations

import click

from tidewire.commands.options import label_option, parse_labels, target_option
from tidewire.commands.terminal import echo
from tidewire.publishing.publisher import Publisher, publish_url
from tidewire.settings import without_password

__all__ = ["command"]


@click.command("publish", context_settings={"ignore_unknown_options": True})  # -5 is a value
@click.argument("metric")
@click.argument("value", type=float)
@click.option("--unit", default="", help="UCUM unit, such as Cel, % or By/s.")
@click.option("--text", default=None, help="Text of an event, shown as a flag on the charts.")
@label_option
@target_option
def command(
    metric: str, value: float, unit: str, text: str | None, labels: tuple[str, ...], target: str | None
) -> None:
    """Publish one reading: tidewire publish furnace/temperature 921.4 --unit Cel"""  # noqa: D415
    publisher = Publisher(target)
    publisher.publish(metric, value, unit=unit, text=text, labels=parse_labels(labels))
    sent = publisher.flush(5.0)
    stats = publisher.stats
    publisher.close(0.0)
    if not sent or stats.rejected:
        raise click.ClickException(f"not published to {without_password(publish_url(target))}: {stats.last_error}")
    echo(f"{metric} {value:g}{' ' + unit if unit else ''} published")
