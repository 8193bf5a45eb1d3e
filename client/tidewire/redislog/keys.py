"""Names every key and channel in Redis; no other module builds one."""

from __future__ import annotations

import re
from typing import Final

from tidewire.errors import InvalidInput
from tidewire.model.layout import HOME
from tidewire.settings import DEFAULT_PREFIX

__all__ = ["Keys"]


# The inbox subscribes to a pattern that begins with it: with a star in it, it would take the messages of others.
_PREFIX: Final = re.compile(r"[^*?\[\]^\\{}\s]+")


class Keys:
    """The keys and channels of one prefix and one partition.

    Args:
        prefix: first part of every name, without braces.
        partition: the hash tag of a partition; ``"0"``, where everything else is, too, unless the log has several.
        database: of the server. Pub/Sub knows no database, so the channels of any but 0 name it.

    Attributes:
        base: what every key of the partition starts with, ``tw:{0}:``; the Lua functions build on it.
        clock: hash: epoch, run, ms, n, chain, forgot.
        tail: hash metric → last id; the directory.
        live: the one Pub/Sub channel of the partition.
        layout: into which partitions the log is split; missing: into one.
        decks: hash slug → saved deck; thresholds: hash with the one list of thresholds.
        lease: which process appends what arrives on the inbox channel, and sweeps.
        inbox: stream of the durable inbox.
        inbox_channels: what to PSUBSCRIBE to for ``PUBLISH tw:in:<metric>``; on database 1 ``tw:1:in:<metric>``.
        inbox_marker: channel on which a new lease holder marks its start; matches `inbox_channels`, names no metric.
        inbox_dead: stream of what could not be read, MAXLEN 1,000.
        inbox_group: the consumer group of the inbox.
        tokens: hash id → token, its secret as a hash.
        tokens_used: hash id → last use, Unix ms.
        tokens_version: changes with each change of the tokens.
    """

    def __init__(self, prefix: str = DEFAULT_PREFIX, partition: str = HOME, database: int = 0) -> None:
        if not (_PREFIX.fullmatch(prefix) and prefix.isprintable()):
            why = "expected printable characters without blanks, braces (of the partition) and *?[]^\\ (of patterns)"
            raise InvalidInput("prefix", prefix, why)
        self.prefix = prefix
        self.base = f"{prefix}:{{{partition}}}:"
        self.clock = f"{self.base}clock"
        self.tail = f"{self.base}tail"
        self.live = f"{self.base}live" if database == 0 else f"{self.base}live:{database}"
        self.layout = f"{self.base}layout"
        self.decks = f"{self.base}decks"
        self.thresholds = f"{self.base}thresholds"
        self.lease = f"{self.base}lease"
        self.inbox = f"{prefix}:in"
        self.inbox_channels = f"{prefix}:in:*" if database == 0 else f"{prefix}:{database}:in:*"
        self.inbox_marker = self.inbox_channels
        self.inbox_dead = f"{prefix}:in:dead"
        self.inbox_group = "tw"
        self.tokens = f"{self.base}tokens"
        self.tokens_used = f"{self.base}tokens:used"
        self.tokens_version = f"{self.base}tokens:version"

    def log(self, metric: str) -> str:
        """Return the stream that holds the retained batches of a metric."""
        return f"{self.base}log:{metric}"

    def last(self, metric: str) -> str:
        """Return the hash series → id and last reading of a metric."""
        return f"{self.base}last:{metric}"

    def ticket(self, hashed: str) -> str:
        """Return the key of a stream ticket, by the hash of its text."""
        return f"{self.base}ticket:{hashed}"

    def group(self, hashed: str) -> str:
        """Return the key that holds the series of a pushed group, by the hash of its labels."""
        return f"{self.base}group:{hashed}"

    def inbox_metric(self, channel: str) -> str:
        """Return the metric that an inbox channel names."""
        return channel.removeprefix(self.inbox_channels[:-1])
