"""Options that several commands share: `--label`, `--url` and `--to`; durations."""

from __future__ import annotations

import click

from tidewire.errors import InvalidInput
from tidewire.model.durations import parse_duration_ms
from tidewire.settings import ClientSettings, click_options

__all__ = ["label_option", "parse_labels", "seconds", "target_option", "url_option"]

label_option = click.option(
    "--label", "labels", multiple=True, metavar="NAME=VALUE", help="A label, such as site=A. Repeatable."
)
url_option = click_options(ClientSettings, "url")
target_option = click.option(
    "--to",
    "target",
    default=None,
    help="redis://, redis+sentinel://, redis+cluster:// or http:// to publish to.  [TIDEWIRE_REDIS or TIDEWIRE_URL]",
)


def parse_labels(given: tuple[str, ...]) -> dict[str, str]:
    """Parse ``name=value`` options into labels.

    Raises:
        click.BadParameter: an option without ``=``, or two values of one label.
    """
    labels: dict[str, str] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals:
            raise click.BadParameter(f"{each!r}: expected name=value", param_hint="--label")
        if labels.setdefault(name, value) != value:
            raise click.BadParameter(f"{name!r} is given as {labels[name]!r} and as {value!r}", param_hint="--label")
    return labels


def seconds(context: click.Context, option: click.Parameter, given: str) -> float:
    """Return an option such as ``15s`` in seconds: the callback of a `click.option`."""
    try:
        return parse_duration_ms(option.name or "", given) / 1e3
    except InvalidInput as error:
        raise click.BadParameter(f"{error.value}: {error.reason}", context, option) from None
