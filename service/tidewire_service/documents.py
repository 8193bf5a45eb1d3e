"""Stores small JSON objects by name in a Redis hash; a write names the version that it replaces.

The version of a document is a digest of its content, so saving the same content twice is no conflict. What another
program wrote in place of a document has a version too, so that it can be replaced and deleted, and hides no other.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from time import time
from typing import Any, Final, NamedTuple, cast

import msgspec
import redis.exceptions

from tidewire.errors import InvalidInput, LimitExceeded, LogUnavailable
from tidewire.redislog.log import RedisLog
from tidewire_service.errors import DocumentConflict, DocumentSpoilt
from tidewire_service.turns import Turns

__all__ = ["ABSENT", "ANY", "Document", "Documents"]

ANY: Final = "*"  # replace any version
ABSENT: Final = ""  # write only if there is no such document
_INLINE_BYTES: Final = 16 * 1024
_TRIES: Final = 20  # since other documents of the same hash may be written meanwhile


class Document(NamedTuple):
    """One document.

    Attributes:
        version: a digest of the body.
        updated_ms: when it was written, Unix ms by the service's clock.
        body: a JSON object; empty if another program has overwritten it.
    """

    version: str
    updated_ms: float
    body: bytes

    @property
    def spoilt(self) -> bool:
        """Whether another program has overwritten it."""
        return not self.body


class _Stored(msgspec.Struct):
    updated_ms: float
    body: msgspec.Raw


class Documents:
    """The documents of one hash.

    Args:
        log: whose Redis holds them.
        key: of the hash.
        most: largest number of documents.
        described: how an error describes a document; ``{name}`` stands for its name.
        check: raises `InvalidInput` or msgspec's error for a body that is no such document.

    Raises (every method): LogUnavailable: Redis does not answer.
    """

    def __init__(self, log: RedisLog, key: str, *, most: int, described: str, check: Callable[[bytes], object]) -> None:
        self._log = log
        self._key = key
        self._most = most
        self._described = described
        self._check = check

    async def all(self) -> dict[str, Document]:
        """Return every document by name, also those that were overwritten."""
        with self._log.beside():
            found = await cast("Awaitable[dict[bytes, bytes]]", self._log.redis.hgetall(self._key))
        documents, turns = {}, Turns()
        for name, value in sorted(found.items()):  # of 64 KiB each takes 0.1 ms: decoded, and its digest
            documents[name.decode(errors="replace")] = self._document(value)
            await turns.take()
        return documents

    async def get(self, name: str) -> Document | None:
        """Return a document, or None.

        Raises:
            DocumentSpoilt: another program has overwritten it.
        """
        with self._log.beside():
            value = await cast("Awaitable[bytes | None]", self._log.redis.hget(self._key, name))
        document = None if value is None else await self._read(value)
        if document is not None and document.spoilt:
            raise DocumentSpoilt(self._described.format(name=name), document.version)
        return document

    async def put(self, name: str, body: bytes, *, over: str = ANY) -> Document:
        """Write a document in place of the version `over` (or `ANY`, or `ABSENT`), and return it.

        Raises:
            DocumentConflict: the stored version is not `over`.
            LimitExceeded: there are `most` documents already.
        """
        document = Document(_version(body), round(time() * 1e3), body)
        stored = msgspec.json.encode(_Stored(document.updated_ms, msgspec.Raw(body)))

        def write(present: Document | None, count: int, pipe: Any) -> None:
            if present is None and count >= self._most:
                raise LimitExceeded("documents", self._most, count + 1, "delete one that is not needed any more")
            if present is None or present.version != document.version:
                pipe.hset(self._key, name, stored)

        await self._change(name, over, write)
        return document

    async def delete(self, name: str, *, over: str = ANY) -> bool:
        """Delete a document; False if there was none.

        Raises:
            DocumentConflict: the stored version is not `over`.
        """
        there = False

        def write(present: Document | None, _count: int, pipe: Any) -> None:
            nonlocal there
            there = present is not None
            pipe.hdel(self._key, name)

        await self._change(name, over, write)
        return there

    async def _change(self, name: str, over: str, write: Callable[[Document | None, int, Any], None]) -> None:
        for _ in range(_TRIES):
            with self._log.beside():
                if await self._changed_once(name, over, write):
                    return
        raise LogUnavailable(f"other writers were faster {_TRIES} times; try again in a moment")

    async def _changed_once(self, name: str, over: str, write: Callable[[Document | None, int, Any], None]) -> bool:
        """Try a change once; return False if the hash was changed meanwhile."""
        pipe: Any  # redis-py's types have no transactions
        async with self._log.redis.pipeline(transaction=True) as pipe:
            await pipe.watch(self._key)
            value = await pipe.hget(self._key, name)
            count = await pipe.hlen(self._key)
            present = None if value is None else await self._read(value)
            if over not in (ANY, ABSENT if present is None else present.version):
                raise DocumentConflict(self._described.format(name=name), None if present is None else present.version)
            pipe.multi()
            write(present, count, pipe)
            try:
                await pipe.execute()
            except redis.exceptions.WatchError:
                return False
            return True

    async def _read(self, stored: bytes) -> Document:
        """Return a document; a large one is read in a thread, since the check of 1,000 thresholds takes up to 0.1 s."""
        if len(stored) <= _INLINE_BYTES:
            return self._document(stored)
        return await asyncio.to_thread(self._document, stored)

    def _document(self, stored: bytes) -> Document:
        try:
            found = msgspec.json.decode(stored, type=_Stored)
            body = bytes(found.body)
            self._check(body)
        except (msgspec.MsgspecError, InvalidInput, UnicodeDecodeError, RecursionError):
            return Document(_version(stored), 0.0, b"")
        return Document(_version(body), found.updated_ms, body)


def _version(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:20]
