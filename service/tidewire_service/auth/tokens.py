"""Tokens: their text, and their store in Redis, which holds the hash, name, scopes, expiry and last use of each."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from typing import Any, Final, NamedTuple

import msgspec

from tidewire.errors import InvalidInput, LimitExceeded
from tidewire.redislog.calls import pairs
from tidewire.redislog.log import RedisLog
from tidewire_service.auth.scopes import Identity, Scopes

__all__ = ["Token", "TokenRow", "TokenStore", "hashed", "identity_of", "parse_token", "secret_matches"]

_TEXT: Final = re.compile(r"tw_([0-9a-f]{12})_([A-Za-z0-9_-]{43})", re.ASCII)
_MAX_TOKENS: Final = 10_000  # every process holds a copy of all, about 0.5 KB each
_MAX_NAME: Final = 100
_USED_MS: Final = re.compile(rb"\d{1,14}")


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """One token as it is stored; the secret itself is not stored.

    Attributes:
        hash: SHA-256 of the secret in hex. The secret has 256 random bits, so a slow hash would gain nothing.
        name: of its owner, as a person gave it.
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
    """A token of the store: its id, its record, and its last use in Unix ms, None for never."""

    id: str
    token: Token
    used_ms: float | None


def parse_token(text: str) -> tuple[str, str] | None:
    """Split the text of a token into id and secret; return None for any other text."""
    found = _TEXT.fullmatch(text)
    return (found[1], found[2]) if found else None


def hashed(secret: str) -> str:
    """Return the hash that is stored of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def identity_of(id_: str, token: Token) -> Identity:
    """Return the identity of a request with this token."""
    return Identity(id=id_, name=token.name, kind="token", scopes=token.scopes, expires_ms=token.expires_ms)


def secret_matches(secret: str, token: Token | None) -> bool:
    """Tell whether a secret belongs to a token, in constant time; takes as long if there is no such token."""
    return hmac.compare_digest(hashed(secret), token.hash if token is not None else "0" * 64) and token is not None


class TokenStore:
    """The tokens in Redis: a hash id → token, a hash id → last use, and a version that changes with each change.

    Args:
        log: whose Redis and keys are used.
        max_tokens: largest number of tokens; expired ones are deleted to make room.

    Raises (every method): LogUnavailable: Redis does not answer.
    """

    def __init__(self, log: RedisLog, max_tokens: int = _MAX_TOKENS) -> None:
        self._log = log
        self._max_tokens = max_tokens
        keys = log.keys
        self._tokens, self._used, self._version = keys.tokens, keys.tokens_used, keys.tokens_version

    async def create(self, name: str, scopes: Scopes, lifetime_s: float | None) -> tuple[str, str]:
        """Create a token; return its id and its text, which cannot be shown again.

        Args:
            name: of its owner; 1 to 100 printable characters.
            scopes: what it may do; at least one.
            lifetime_s: after which it expires; None for never.

        Raises:
            InvalidInput: the name is not valid, or there is no scope.
            LimitExceeded: there are `max_tokens` tokens, and none of them has expired.
        """
        if not (0 < len(name) <= _MAX_NAME and name.isprintable()):
            raise InvalidInput("name", name, f"expected 1 to {_MAX_NAME} printable characters")
        if scopes == Scopes():
            raise InvalidInput("scopes", "", "are missing; give at least one of --publish, --subscribe, --operate")
        now_ms = time.time() * 1e3
        [count] = await self._log.run(("HLEN", self._tokens))
        if count >= self._max_tokens:
            count -= await self._delete_expired(now_ms)
        if count >= self._max_tokens:
            raise LimitExceeded("tokens", self._max_tokens, count + 1, "revoke some that are not used any more")
        id_, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        expires_ms = None if lifetime_s is None else now_ms + lifetime_s * 1e3
        token = Token(hash=hashed(secret), name=name, scopes=scopes, created_ms=now_ms, expires_ms=expires_ms)
        await self._log.run(("HSET", self._tokens, id_, msgspec.json.encode(token)), self._set_version())
        return id_, f"tw_{id_}_{secret}"

    async def rows(self) -> list[TokenRow]:
        """Return all tokens, oldest first; entries that another program wrote are left out."""
        tokens, used = await self._log.run(("HGETALL", self._tokens), ("HGETALL", self._used))
        used = pairs(used)
        found = []
        for id_, token in _tokens(tokens).items():
            used_ms = used.get(id_.encode(), b"")  # a whole number; another program may have written anything
            found.append(TokenRow(id_, token, float(used_ms) if _USED_MS.fullmatch(used_ms) else None))
        return sorted(found, key=lambda row: row.token.created_ms)

    async def _delete_expired(self, now_ms: float) -> int:
        ids = [id_ for id_, token in (await self.tokens()).items() if token.expires_ms and token.expires_ms <= now_ms]
        if ids:
            await self._log.run(("HDEL", self._tokens, *ids), ("HDEL", self._used, *ids), self._set_version())
        return len(ids)

    async def revoke(self, id_: str) -> bool:
        """Delete a token; return whether there was one. Streams opened with it end within 5 s."""
        removed, *_ = await self._log.run(("HDEL", self._tokens, id_), ("HDEL", self._used, id_), self._set_version())
        return bool(removed)

    def _set_version(self) -> tuple[Any, ...]:
        return ("SET", self._version, secrets.token_hex(8))  # random, since a counter would repeat after a flush

    async def version(self) -> bytes:
        """Return a value that changes whenever the tokens change; empty if there never was a token."""
        [found] = await self._log.run(("GET", self._version))
        return found or b""

    async def tokens(self) -> dict[str, Token]:
        """Return all tokens by id."""
        [found] = await self._log.run(("HGETALL", self._tokens))
        return _tokens(found)

    async def set_last_used(self, used_ms: dict[str, float]) -> None:
        """Store when tokens were last used, Unix ms by id."""
        fields: list[str] = []
        for id_, at_ms in used_ms.items():
            fields += [id_, f"{at_ms:.0f}"]
        if fields:
            await self._log.run(("HSET", self._used, *fields))


def _tokens(reply: Any) -> dict[str, Token]:
    found = {}
    for id_, text in pairs(reply).items():
        try:
            found[id_.decode()] = msgspec.json.decode(text, type=Token)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, InvalidInput):
            continue  # written by another program: not a token
    return found
