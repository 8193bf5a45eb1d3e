"""Settings: each declared once, read once at the entry; default < ``TIDEWIRE_<FIELD>`` < ``--field``.

The settings of a program are one frozen `msgspec.Struct` whose fields are ``Annotated[type, Option("what it does")]``.
Options, help texts, environment names and the table in the docs all come from that line. A default that two programs
share is written where it is declared first, and `default_of` takes it from there.
"""

from __future__ import annotations

import ipaddress
import math
import os
import re
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeVar
from urllib.parse import unquote

import click
import msgspec

from tidewire.errors import InvalidInput

__all__ = [
    "DASHBOARD_PORT",
    "DEFAULT_LOG_LEVEL",
    "DEFAULT_PREFIX",
    "REDIS_TIMEOUT_S",
    "SERVICE_PORT",
    "ClientSettings",
    "LogLevel",
    "Option",
    "SettingRow",
    "Settings",
    "check_host_name",
    "checked_number",
    "click_options",
    "default_of",
    "is_loopback",
    "load_settings",
    "settings_table",
    "url_fault",
    "with_home",
    "without_password",
]

_Struct = TypeVar("_Struct", bound=msgspec.Struct)
_Command = TypeVar("_Command", bound=Callable[..., Any])
ENVIRONMENT_PREFIX: Final = "TIDEWIRE_"
SERVICE_PORT: Final = 8000
DASHBOARD_PORT: Final = 5006
DEFAULT_LOG_LEVEL: Final = "info"
DEFAULT_PREFIX: Final = "tw"  # of every Redis key
REDIS_TIMEOUT_S: Final = 5.0  # of one command
# Kubernetes sets TIDEWIRE_PORT to this for a service named tidewire, TIDEWIRE_REDIS_PORT for tidewire-redis, and so on.
_SERVICE_LINK: Final = re.compile(r"(?:tcp|udp|sctp)://\S+:\d+")
_EXPECTED: Final = {bool: "expected true or false", int: "expected a whole number", float: "expected a number"}
_HOST_NAME: Final = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
_SECRETS: Final = frozenset(  # in the query of a URL
    {"password", "username", "ssl_password", "sentinel_password", "sentinel_username"}
)


class Option(NamedTuple):
    """The declaration of a setting beside its type and default.

    Attributes:
        help: one sentence; a unit belongs in the field's name.
        minimum: smallest allowed value, or None.
        maximum: largest allowed value, or None.
        path: True for a file or folder; a ``~`` at its start is the home of the user.
        secret: True keeps the value out of ``repr``, logs and problems; no option, since others see command lines.
        name: of the option, if it is not the field's with dashes.
        section: title of the section of the docs that begins with this setting.
    """

    help: str
    minimum: float | None = None
    maximum: float | None = None
    secret: bool = False
    path: bool = False
    name: str = ""
    section: str = ""

    def flag(self, field: str) -> str:
        """Return the option of a field, such as ``--tick-ms``; empty if only the environment sets it."""
        return "" if self.secret else f"--{self.name or field.replace('_', '-')}"


LogLevel = Annotated[Literal["debug", "info", "warning", "error"], Option("lowest severity to log")]


class SettingRow(NamedTuple):
    """One row of the table of settings: section, field, option (empty if none), environment, type, default and help."""

    section: str
    name: str
    option: str
    environment: str
    type: str
    default: str
    help: str


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a program; their repr leaves out secrets."""

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"{type(self).__name__}({shown})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        secret = {name for name, (_, option) in _options(type(self)).items() if option.secret}
        found = []
        for name, value in msgspec.structs.asdict(self).items():
            shown = without_password(value) if isinstance(value, str) else value
            found.append((name, "…" if value and name in secret else shown))
        return found


class ClientSettings(Settings, frozen=True, kw_only=True):
    """Where the SDK publishes to and reads from by default."""

    redis: Annotated[str, Option("Redis to publish to, redis://, rediss://, redis+sentinel:// or redis+cluster://")] = (
        "redis://127.0.0.1:6379"
    )
    url: Annotated[str, Option("Tidewire service to read from, http:// or https://")] = (
        f"http://127.0.0.1:{SERVICE_PORT}"
    )
    token: Annotated[str, Option("bearer token for the service", secret=True)] = ""
    prefix: Annotated[str, Option("first part of every Redis key")] = DEFAULT_PREFIX
    spool: Annotated[str, Option("folder in which publishers keep what cannot be sent; empty for none", path=True)] = ""
    dashboard: Annotated[str, Option("dashboard that a notebook chart links to; empty for none")] = (
        f"http://127.0.0.1:{DASHBOARD_PORT}"
    )


def _options(settings: type[msgspec.Struct]) -> dict[str, tuple[Any, Option]]:
    found = {}
    for name, hint in typing.get_type_hints(settings, include_extras=True).items():
        option = next((meta for meta in getattr(hint, "__metadata__", ()) if isinstance(meta, Option)), None)
        if option is not None:
            found[name] = (hint.__origin__, option)
    return found


def _plain_type(hint: Any) -> Any:
    """Return the type inside ``X | None``."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return next(part for part in typing.get_args(hint) if part is not type(None))
    return hint


def _expected(hint: Any, error: msgspec.ValidationError) -> str:
    if _plain_type(hint) in _EXPECTED:
        return _EXPECTED[_plain_type(hint)]
    if typing.get_origin(_plain_type(hint)) is Literal:
        return f"expected one of {', '.join(map(str, typing.get_args(_plain_type(hint))))}"
    return str(error)


def _converted(source: str, hint: Any, option: Option, given: object) -> object:
    shown = "…" if option.secret else given
    if typing.get_origin(_plain_type(hint)) is tuple and isinstance(given, str):
        given = tuple(part.strip() for part in given.split(",") if part.strip())
    try:
        value = msgspec.convert(given, hint, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidInput(source, shown, _expected(hint, error)) from None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if not math.isfinite(value):  # NaN is within any bounds
            raise InvalidInput(source, shown, _EXPECTED[float])
        if option.minimum is not None and value < option.minimum:
            raise InvalidInput(source, shown, f"must be at least {option.minimum:g}")
        if option.maximum is not None and value > option.maximum:
            raise InvalidInput(source, shown, f"must be at most {option.maximum:g}")
    return with_home(source, value) if option.path and isinstance(value, str) else value


def with_home(source: str, path: str) -> str:
    """Return a path in which a ``~`` at the start is the home of the user, as a shell has it.

    Raises:
        InvalidInput: no such user, or one without a home.
    """
    try:
        return str(Path(path).expanduser()) if path.startswith("~") else path
    except RuntimeError as error:
        raise InvalidInput(source, path, f"{error}; write the path out") from None


def load_settings(
    settings: type[_Struct], given: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
) -> _Struct:
    """Return the settings of a program: from `given`, else the environment, else the default.

    Args:
        settings: the Struct that declares them.
        given: values from the command line or the caller; None values count as not given.
        environ: the environment; the process's own if None. The address of a service of Kubernetes is no port.

    Raises:
        InvalidInput: a value of the wrong type or out of bounds; names the option or the variable.
    """
    environ = os.environ if environ is None else environ
    given = given or {}
    values: dict[str, Any] = {}
    for name, (hint, option) in _options(settings).items():
        variable = ENVIRONMENT_PREFIX + name.upper()
        if given.get(name) is not None:
            values[name] = _converted(option.flag(name) or name, hint, option, given[name])
        elif environ.get(variable, "") != "" and not (hint is int and _SERVICE_LINK.fullmatch(environ[variable])):
            values[name] = _converted(variable, hint, option, environ[variable])
    return settings(**values)


def click_options(settings: type[msgspec.Struct], *names: str) -> Callable[[_Command], _Command]:
    """Return a decorator that adds the options of a settings Struct to a click command (all, or those named).

    Every option's default is None, so that `load_settings` sees which were given.
    """

    def decorate(command: _Command) -> _Command:
        for name, (hint, option) in reversed(_options(settings).items()):
            flag = option.flag(name)
            if not flag or (names and name not in names):
                continue
            plain = _plain_type(hint)
            default = default_of(settings, name)
            text = f"{option.help}  [{ENVIRONMENT_PREFIX}{name.upper()}"
            text += "]" if default in (None, "", ()) else f"; default {_shown_default(default)}]"
            if plain is bool:
                command = click.option(f"{flag}/--no-{flag[2:]}", name, default=None, help=text)(command)
            else:
                kind = plain if plain in (int, float) else str
                command = click.option(flag, name, default=None, type=kind, help=text)(command)
        return command

    return decorate


def default_of(settings: type[msgspec.Struct], name: str) -> Any:
    """Return the default of a field."""
    return next(field.default for field in msgspec.structs.fields(settings) if field.name == name)


def _shown_default(default: object) -> str:
    return ",".join(map(str, default)) if isinstance(default, tuple) else str(default)


def settings_table(settings: type[msgspec.Struct]) -> list[SettingRow]:
    """Return the table of a program's settings, for the docs."""
    rows, section = [], ""
    for name, (hint, option) in _options(settings).items():
        section = option.section or section
        kind = getattr(hint, "__name__", str(hint))
        default = "" if option.secret else _shown_default(default_of(settings, name))
        variable = ENVIRONMENT_PREFIX + name.upper()
        rows.append(SettingRow(section, name, option.flag(name), variable, kind, default, option.help))
    return rows


def checked_number(name: str, value: object, least: float, most: float, unit: str) -> None:
    """Check an argument that is a number with bounds; NaN is in none.

    Raises:
        InvalidInput: another thing, or out of bounds.
    """
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (number and least <= value <= most):  # type: ignore[operator]  # it is a number then
        raise InvalidInput(name, value, f"expected {unit} between {least:.15g} and {most:.15g}")


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach an address or name."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_host_name(option: str, name: str) -> None:
    """Check that the Host of a request can be a name, which is compared without its port.

    Args:
        option: that lists the name.
        name: a host name, or an address; of IPv6 with or without brackets.

    Raises:
        InvalidInput: it cannot, so that it would never be matched.
    """
    if _HOST_NAME.fullmatch(name):
        return
    try:
        ipaddress.IPv6Address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        reason = "expected a name or an address without scheme and port, such as plant.example.org"
        raise InvalidInput(option, name, reason) from None


def url_fault(error: ValueError) -> str:
    """Return why a URL cannot be read, as the standard library says it unless it quotes what may be of a password."""
    quotes = "'" in str(error)
    return "cannot be read; in a password, # is written %23, ? %3F, / %2F and @ %40" if quotes else str(error)


def without_password(url: str) -> str:
    """Return a URL as it may be shown: without user and password, before the host or behind the question mark."""
    scheme, found, rest = url.partition("://")
    if not found:
        return url
    address, mark, query = rest.partition("?")
    fields = [field.partition("=") for field in query.split("&")]
    secret = [unquote(name).lower() in _SECRETS for name, *_ in fields]
    if any(secret):
        query = "&".join(
            f"{name}=…" if hidden else name + sign + value
            for (name, sign, value), hidden in zip(fields, secret, strict=True)
        )
        return f"{scheme}://{address.rpartition('@')[2]}{mark}{query}"
    return f"{scheme}://{rest.rpartition('@')[2]}"  # the last one: a password may hold any character, encoded or not
