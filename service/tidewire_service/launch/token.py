"""The commands `tidewire token create`, `share`, `list` and `revoke`, which work on the service's Redis."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import urlencode

import click
import msgspec
from rich.table import Table
from rich.text import Text

from tidewire.commands.terminal import echo, plain, print_table
from tidewire.errors import InvalidInput
from tidewire.model.durations import parse_duration_ms
from tidewire.redislog.log import RedisLog
from tidewire.settings import ClientSettings, Option, Settings, click_options, default_of, load_settings
from tidewire.subscribing.service_address import dashboard_url
from tidewire_service.auth.scopes import Scopes
from tidewire_service.auth.tokens import TokenRow, TokenStore

__all__ = ["TokenSettings", "command"]

_T = TypeVar("_T")
_NEVER: Final = "never"


class TokenSettings(Settings, frozen=True, kw_only=True):
    """The Redis that holds the tokens."""

    redis: Annotated[str, Option("Redis of the service")] = default_of(ClientSettings, "redis")
    prefix: Annotated[str, Option("first part of every Redis key")] = default_of(ClientSettings, "prefix")


def _with_store(given: dict[str, Any], work: Callable[[TokenStore], Awaitable[_T]]) -> _T:
    try:
        settings = load_settings(TokenSettings, given)
    except InvalidInput as error:
        raise click.UsageError(str(error)) from None

    async def run() -> _T:
        log = RedisLog(settings.redis, prefix=settings.prefix)
        try:
            return await work(TokenStore(log))
        finally:
            await log.close()

    return asyncio.run(run())


@click.group("token")
def command() -> None:
    """Create, share, list and revoke the tokens that `tidewire serve --auth` requires."""


@command.command("create")
@click.option("--name", required=True, help="Name of its owner, such as press-7.")
@click.option("--publish", multiple=True, metavar="PATTERN", help="May publish these metrics; may be repeated.")
@click.option("--subscribe", multiple=True, metavar="PATTERN", help="May see these metrics; may be repeated.")
@click.option("--edit", is_flag=True, help="May change decks and thresholds.")
@click.option("--operate", is_flag=True, help="May read /metrics.")
@click.option("--expires", default="90d", show_default=True, help="After 30d, 12h …, or never.")
@click_options(TokenSettings)
def create_command(
    name: str,
    publish: tuple[str, ...],
    subscribe: tuple[str, ...],
    edit: bool,
    operate: bool,
    expires: str,
    **given: Any,
) -> None:
    """Create a token and print it, once: only its hash is stored."""
    scopes = Scopes(publish=publish, subscribe=subscribe, edit=edit, operate=operate)
    lifetime_s = None if expires == _NEVER else parse_duration_ms("--expires", expires) / 1e3
    id_, token = _with_store(given, lambda store: store.create(name, scopes, lifetime_s))
    echo(f"{id_} ({name}) is valid{'' if lifetime_s is None else f' for {expires}'}.", err=True)
    click.echo("It is not shown again; give it as TIDEWIRE_TOKEN or `Authorization: Bearer …`:", err=True)
    click.echo(token)


@command.command("share")
@click.option("--subscribe", multiple=True, metavar="PATTERN", required=True, help="What the link shows; may repeat.")
@click.option("--page", default="/", show_default=True, help="Page of the dashboard, such as '/d/plant?w=5m'.")
@click.option("--dashboard", default=None, help="Where viewers find it  [TIDEWIRE_DASHBOARD]")
@click.option("--expires", default="1d", show_default=True, help="After 7d, 12h …, or never.")
@click.option("--name", default="share link", show_default=True, help="Name of its owner.")
@click_options(TokenSettings)
def share_command(
    subscribe: tuple[str, ...], page: str, dashboard: str | None, expires: str, name: str, **given: Any
) -> None:
    """Print a read-only link to one page, for anyone who has it. The link contains a token of its own.

    The token is behind the #, which browsers never send, so no server or proxy logs it. Revoke it by its id.
    """
    if not page.startswith("/"):
        raise click.UsageError(f"--page {page!r}: expected a path of the dashboard, such as /d/plant")
    where = dashboard_url(dashboard or load_settings(ClientSettings).dashboard)
    lifetime_s = None if expires == _NEVER else parse_duration_ms("--expires", expires) / 1e3
    scopes = Scopes(subscribe=subscribe)
    id_, token = _with_store(given, lambda store: store.create(name, scopes, lifetime_s))
    echo(f"{id_} ({name}): anyone with this link sees {' '.join(subscribe)}, for {expires}:", err=True)
    click.echo(f"{where}/login#{urlencode({'token': token, 'next': page})}")


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@click_options(TokenSettings)
def list_command(as_json: bool, **given: Any) -> None:
    """List all tokens: owner, scopes, expiry and last use."""
    rows = _with_store(given, lambda store: store.rows())
    if as_json:
        for row in rows:
            echo(msgspec.json.encode(_shown(row)).decode())
        return
    table = Table(box=None, header_style="bold")
    for title in ("id", "name", "publish", "subscribe", "may", "expires", "last used"):
        table.add_column(title)
    for row in rows:
        scopes = row.token.scopes
        may = " ".join(name for name in ("edit", "operate") if getattr(scopes, name))
        expired = row.token.expires_ms is not None and row.token.expires_ms <= time.time() * 1e3
        ends = _when(row.token.expires_ms, _NEVER) + (" (expired)" if expired else "")
        cells = (row.id, row.token.name, " ".join(scopes.publish), " ".join(scopes.subscribe), may, ends)
        table.add_row(*(Text(plain(cell)) for cell in (*cells, _when(row.used_ms, "not yet"))))
    print_table(table)


@command.command("revoke")
@click.argument("token_id")
@click_options(TokenSettings)
def revoke_command(token_id: str, **given: Any) -> None:
    """Revoke a token by its id; streams opened with it end within 5 s."""
    if not _with_store(given, lambda store: store.revoke(token_id)):
        raise click.ClickException(f"there is no token {token_id!r}; `tidewire token list` shows their ids")
    click.echo(f"{token_id} is revoked")


def _shown(row: TokenRow) -> dict[str, Any]:
    scopes = msgspec.structs.asdict(row.token.scopes)
    facts = {"created_ms": row.token.created_ms, "expires_ms": row.token.expires_ms, "used_ms": row.used_ms}
    return {"id": row.id, "name": row.token.name, **scopes, **facts}


def _when(time_ms: float | None, absent: str) -> str:
    if time_ms is None:
        return absent
    return datetime.fromtimestamp(time_ms / 1e3, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
