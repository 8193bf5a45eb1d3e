"""Tokens: their text, and the store in Redis that keeps a hash, a name, scopes, an expiry and the last use."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from typing import Any, Final, NamedTuple

import msgspec

from tidewire.errors import InvalidInput, LimitExceeded
from tidewire.redislog.log import RedisLog
from tidewire_service.auth.scopes import Identity, Scopes

__all__ = ["Token", "TokenRow", "TokenStore", "hashed", "identity_of", "parse_token", "proves"]

_TEXT: Final = re.compile(r"tw_([0-9a-f]{12})_([A-Za-z0-9_-]{43})", re.ASCII)
_MAX_TOKENS: Final = 10_000  # every process keeps all of them in memory, about 0.5 KB each
_MAX_NAME: Final = 100


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """One token as it is kept; the secret itself is kept nowhere.

    Attributes:
        hash: SHA-256 of the secret in hex. The secret has 256 random bits, so that a slow hash would gain nothing.
        name: whose it is, as a person gave it.
        scopes: what it may do.
        created_ms: Unix ms.
        expires_ms: Unix ms; None for never.
    """

    hash: str
    name: str
    scopes: Scopes
    created_ms: float
    expires_ms: float | None = None


class TokenRow(NamedTuple):
    """A token of the store: its id, what is kept of it, and its last use in Unix ms, None for never."""

    id: str
    token: Token
    used_ms: float | None


def parse_token(text: str) -> tuple[str, str] | None:
    """Return the id and the secret of a token's text, or None if it is none of ours."""
    found = _TEXT.fullmatch(text)
    return (found[1], found[2]) if found else None


def hashed(secret: str) -> str:
    """Return what is kept of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def identity_of(id_: str, token: Token) -> Identity:
    """Return who somebody with this token is."""
    return Identity(id=id_, name=token.name, kind="token", scopes=token.scopes, expires_ms=token.expires_ms)


def proves(secret: str, token: Token | None) -> bool:
    """Tell whether a secret is a token's; takes as long for a token that does not exist."""
    return hmac.compare_digest(hashed(secret), token.hash if token is not None else "0" * 64) and token is not None


class TokenStore:
    """The tokens in Redis: a hash id → token, a hash id → last use, and a version that changes with each change.

    Args:
        log: whose Redis and keys to use.
        most: tokens at a time; those that are over make room.

    Raises (every method): LogUnavailable: Redis does not answer.
    """

    def __init__(self, log: RedisLog, most: int = _MAX_TOKENS) -> None:
        self._log = log
        self._most = most
        keys = log.keys
        self._tokens, self._used, self._version = keys.tokens, keys.tokens_used, keys.tokens_version

    async def create(self, name: str, scopes: Scopes, lifetime_s: float | None) -> tuple[str, str]:
        """Make a token; return its id and its text, which is shown nowhere again.

        Args:
            name: whose it is; 1 to 100 printable characters.
            scopes: what it may do; at least one thing.
            lifetime_s: after which it is worthless; None for never.

        Raises:
            InvalidInput: the name, or no scope at all.
            LimitExceeded: as many tokens are there as may be, and none of them is over.
        """
        if not (0 < len(name) <= _MAX_NAME and name.isprintable()):
            raise InvalidInput("name", name, f"expected 1 to {_MAX_NAME} printable characters")
        if scopes == Scopes():
            raise InvalidInput("scopes", "", "are missing; give at least one of --publish, --subscribe, --operate")
        now_ms = time.time() * 1e3
        [count] = await self._log.run(("HLEN", self._tokens))
        if count >= self._most:
            count -= await self._forget_expired(now_ms)
        if count >= self._most:
            raise LimitExceeded("tokens", self._most, count + 1, "revoke some that are not used any more")
        id_, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        expires_ms = None if lifetime_s is None else now_ms + lifetime_s * 1e3
        token = Token(hash=hashed(secret), name=name, scopes=scopes, created_ms=now_ms, expires_ms=expires_ms)
        await self._log.run(("HSET", self._tokens, id_, msgspec.json.encode(token)), self._changed())
        return id_, f"tw_{id_}_{secret}"

    async def rows(self) -> list[TokenRow]:
        """Return all tokens, the oldest first; what a foreign hand wrote there is left out."""
        tokens, used = await self._log.run(("HGETALL", self._tokens), ("HGETALL", self._used))
        used = _pairs(used)
        found = []
        for id_, token in _tokens(tokens).items():
            used_ms = used.get(id_.encode())
            found.append(TokenRow(id_, token, None if used_ms is None else float(used_ms)))
        return sorted(found, key=lambda row: row.token.created_ms)

    async def _forget_expired(self, now_ms: float) -> int:
        over = [id_ for id_, token in (await self.tokens()).items() if token.expires_ms and token.expires_ms <= now_ms]
        if over:
            await self._log.run(("HDEL", self._tokens, *over), ("HDEL", self._used, *over), self._changed())
        return len(over)

    async def revoke(self, id_: str) -> bool:
        """Make a token worthless; return whether there was one. Streams opened with it end within 5 s."""
        removed, *_ = await self._log.run(("HDEL", self._tokens, id_), ("HDEL", self._used, id_), self._changed())
        return bool(removed)

    def _changed(self) -> tuple[Any, ...]:
        return ("SET", self._version, secrets.token_hex(8))  # no counter: it would repeat after a flush

    async def version(self) -> bytes:
        """Return what changes with every change of the tokens; empty if there never was a token."""
        [found] = await self._log.run(("GET", self._version))
        return found or b""

    async def tokens(self) -> dict[str, Token]:
        """Return all tokens by id."""
        [found] = await self._log.run(("HGETALL", self._tokens))
        return _tokens(found)

    async def note_used(self, used_ms: dict[str, float]) -> None:
        """Keep when tokens were used last, Unix ms by id."""
        fields: list[str] = []
        for id_, at_ms in used_ms.items():
            fields += [id_, f"{at_ms:.0f}"]
        if fields:
            await self._log.run(("HSET", self._used, *fields))


def _pairs(reply: Any) -> dict[bytes, bytes]:
    if isinstance(reply, dict):
        return reply
    return dict(zip(reply[::2], reply[1::2], strict=True))


def _tokens(reply: Any) -> dict[str, Token]:
    found = {}
    for id_, text in _pairs(reply).items():
        try:
            found[id_.decode()] = msgspec.json.decode(text, type=Token)
        except (msgspec.MsgspecError, UnicodeDecodeError, InvalidInput):
            continue  # of a foreign hand: nobody's token
    return found
