"""Verifies JSON Web Tokens of an identity provider: algorithms, issuer, audience, expiry; keys from a file or URL."""

from __future__ import annotations

import asyncio
import codecs
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import jwt
import msgspec
import structlog

from tidewire.errors import InvalidInput
from tidewire.subscribing.service_address import client_options
from tidewire_service.auth.scopes import Identity, Scopes
from tidewire_service.errors import Unauthenticated
from tidewire_service.settings import ServiceSettings

__all__ = ["JwtVerifier"]

_ALGORITHMS: Final = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)  # asymmetric only: a key that verifies cannot sign
_MAX_CACHED: Final = 2_048  # verified tokens; checking a signature takes about 50 µs, a cache lookup 2
_MAX_JWKS_BYTES: Final = 256 * 1024
_TIMEOUT_S: Final = 5.0  # for a whole answer, from the connection on
_REFRESH_S: Final = 300.0
_MIN_REFRESH_S: Final = 10.0  # between two fetches, however many tokens with unknown key ids arrive
_LEEWAY_S: Final = 10
# What PyJWT raises for claims of an absurd type or size: a time may be infinite, a list, or a number of 400 digits.
_UNREADABLE: Final = (jwt.PyJWTError, TypeError, ValueError, OverflowError, RecursionError)
_log = structlog.get_logger("tidewire_service")


class JwtVerifier:
    """Verifies tokens with the keys of one provider.

    Keys are read from a file or fetched from a URL: every 5 minutes and when a key is unknown, at most every 10 s, over
    HTTPS, without redirects, at most 256 KiB. A URL inside a token (``jku``, ``x5u``) is never fetched.
    """

    def __init__(self, settings: ServiceSettings, clock_s: Callable[[], float] = time.monotonic) -> None:
        """Prepare; `clock_s` is any monotonic clock, in seconds.

        Raises:
            InvalidInput: settings that no token can meet, or that admit more than was meant; names the option.
        """
        _check(settings)
        self._settings = settings
        self._clock_s = clock_s
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_s = float("-inf")
        self._refresh_lock = asyncio.Lock()
        self._verified: OrderedDict[bytes, Identity] = OrderedDict()

    def verify(self, token: str, now_ms: float) -> Identity | None:
        """Return the identity of a token; None if its key is not known: then call `refresh` and try again.

        Raises:
            Unauthenticated: the token is not valid; the message says why and never quotes the token.
        """
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        cached = self._verified.get(digest)
        if cached is not None and not cached.expired(now_ms):
            self._verified.move_to_end(digest)
            return cached
        try:
            header = jwt.get_unverified_header(token)
        except _UNREADABLE:
            raise _refused("is no JSON Web Token, and no token of this service") from None
        if header.get("alg") not in self._settings.jwt_algorithms:
            raise _refused(f"is not signed with {' or '.join(self._settings.jwt_algorithms)}")
        key = self._keys.get(str(header.get("kid", "")))
        if key is None:
            if self._clock_s() - self._fetched_s < _MIN_REFRESH_S:
                raise _refused("is signed with a key that the provider does not list")
            return None
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=list(self._settings.jwt_algorithms),
                audience=self._settings.jwt_audience,
                issuer=self._settings.jwt_issuer,
                leeway=_LEEWAY_S,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
            identity = self._identity(claims)
        except _UNREADABLE as error:
            raise _refused(f"is refused: {_reason(error)}") from None
        self._verified[digest] = identity
        while len(self._verified) > _MAX_CACHED:
            self._verified.popitem(last=False)
        return identity

    async def refresh(self) -> None:
        """Read the keys, unless they were read less than 10 s ago."""
        async with self._refresh_lock:
            if self._clock_s() - self._fetched_s < _MIN_REFRESH_S:
                return
            self._fetched_s = self._clock_s()
            try:
                text = await self._read()
                keys = jwt.PyJWKSet.from_dict(
                    msgspec.json.decode(text.removeprefix(codecs.BOM_UTF8), type=dict[str, Any])
                )
            except (httpx.HTTPError, OSError, msgspec.MsgspecError, *_UNREADABLE) as error:
                _log.warning("jwks_not_read", jwks=self._settings.jwt_jwks, error=str(error) or type(error).__name__)
                return  # keep the keys that were read last
            self._keys = {str(key.key_id or ""): key for key in keys.keys}
            self._verified.clear()  # their keys may have been withdrawn

    async def watch(self) -> None:
        """Read the keys every five minutes; until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(_REFRESH_S)

    async def _read(self) -> bytes:
        if "://" not in self._settings.jwt_jwks:
            return await asyncio.to_thread(Path(self._settings.jwt_jwks).read_bytes)
        url = self._settings.jwt_jwks
        # through the machine's proxy if it has one: TLS still proves that the answer is from a host in --egress-hosts
        async with (
            asyncio.timeout(_TIMEOUT_S),
            httpx.AsyncClient(timeout=_TIMEOUT_S, **client_options(url)) as http,
            http.stream("GET", url) as answer,
        ):
            if answer.status_code != 200:
                raise ValueError(f"HTTP {answer.status_code}")
            body = b""
            async for piece in answer.aiter_bytes():
                body += piece
                if len(body) > _MAX_JWKS_BYTES:
                    raise ValueError(f"more than {_MAX_JWKS_BYTES} bytes")
            return body

    def _identity(self, claims: dict[str, Any]) -> Identity:
        try:
            scopes = _scopes(claims.get(self._settings.jwt_claim), self._settings.jwt_grants)
        except (msgspec.ValidationError, InvalidInput) as error:
            raise _refused(f"has a claim {self._settings.jwt_claim} that cannot be read: {error}") from None
        subject = str(claims["sub"])
        return Identity(
            id="jwt:" + hashlib.sha256(subject.encode()).hexdigest()[:12],
            name=str(claims.get("name") or subject)[:100].encode(errors="replace").decode(),  # with a lone surrogate
            kind="jwt",
            scopes=scopes,
            expires_ms=float(claims["exp"]) * 1e3,
        )


def _check(settings: ServiceSettings) -> None:
    missing = [name for name in ("issuer", "audience", "jwks") if not getattr(settings, f"jwt_{name}")]
    if missing:
        raise InvalidInput(f"--jwt-{missing[0]}", "", "is missing; issuer, audience and jwks belong together")
    for algorithm in settings.jwt_algorithms:
        if algorithm not in _ALGORITHMS:
            raise InvalidInput("--jwt-algorithms", algorithm, f"expected some of {', '.join(sorted(_ALGORITHMS))}")
    if not settings.jwt_algorithms:
        raise InvalidInput("--jwt-algorithms", "", "is empty")
    for grant in settings.jwt_grants:
        value, equals, words = grant.partition("=")
        unknown = [word for word in words.split() if not _is_word(word)]
        if not (value and equals and words.split()) or unknown:
            reason = "expected VALUE=words, the words publish:PATTERN, subscribe:PATTERN, edit, operate"
            raise InvalidInput("--jwt-grants", grant, reason)
        _scopes(words, ())  # so that a malformed pattern fails at start and not at each request
    if "://" in settings.jwt_jwks:
        parts = urlsplit(settings.jwt_jwks)
        if parts.scheme != "https" or parts.username:
            raise InvalidInput("--jwt-jwks", settings.jwt_jwks, "expected a file or an https:// URL without a password")
        if parts.hostname not in settings.egress_hosts:
            raise InvalidInput(
                "--jwt-jwks", settings.jwt_jwks, f"its host {parts.hostname} is not in --egress-hosts; add it there"
            )


def _is_word(word: str) -> bool:
    name, _, pattern = word.partition(":")
    return word in ("edit", "operate") or (name in ("publish", "subscribe") and bool(pattern))


def _granted(claim: object, grants: tuple[str, ...]) -> str:
    """Return the scope words that the grants map the values of a claim to."""
    values = claim if isinstance(claim, list) else [claim, *str(claim).split()]
    by_value = dict(grant.split("=", 1) for grant in grants)
    return " ".join(by_value.get(value, "") for value in values if isinstance(value, str))


def _scopes(claim: object, grants: tuple[str, ...]) -> Scopes:
    """Return the scopes of a claim: an object like `Scopes`, or words ``publish:<pattern>``, ``subscribe:…``, ``edit``.

    The words are one string or a list; unknown ones, such as roles of other programs, are ignored. If there are grants,
    the values of the claim are only looked up in them and are not scope words themselves: otherwise a user who may
    choose a value (a nickname) could choose a scope.
    """
    if claim is None:
        return Scopes()
    if grants:
        claim = _granted(claim, grants)
    if isinstance(claim, list):  # roles and groups are usually lists
        claim = " ".join(word for word in claim if isinstance(word, str) and not any(map(str.isspace, word)))
    if not isinstance(claim, str):
        return msgspec.convert(claim, Scopes)
    words = claim.split()
    patterns: dict[str, list[str]] = {"publish": [], "subscribe": []}
    for word in words:
        name, _, pattern = word.partition(":")
        if name in patterns and pattern:
            patterns[name].append(pattern)
    return Scopes(
        publish=tuple(patterns["publish"]),
        subscribe=tuple(patterns["subscribe"]),
        edit="edit" in words,
        operate="operate" in words,
    )


def _refused(what: str) -> Unauthenticated:
    return Unauthenticated(f"the token {what}", token_given=True)


def _reason(error: Exception) -> str:
    names = {
        jwt.ExpiredSignatureError: "it has expired",
        jwt.InvalidAudienceError: "it is meant for another audience",
        jwt.InvalidIssuerError: "it is from another issuer",
        jwt.InvalidSignatureError: "its signature is wrong",
        jwt.MissingRequiredClaimError: "it lacks one of exp, iss, aud, sub",
    }
    return next((text for kind, text in names.items() if isinstance(error, kind)), "it is malformed or not valid yet")
