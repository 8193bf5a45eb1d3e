"""A Cluster of the bundled server on loopback: failovers, and hash slots that move while others write."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import redis
from ports import own_port
from redis_servers import Build, Server, Several, until

__all__ = ["NODE_TIMEOUT_S", "Cluster"]

_SLOTS = 16_384
NODE_TIMEOUT_S = 4.0  # that a node is silent before the others take it for dead; a busy machine is silent for a second


class Cluster(Several):
    """Primaries that share the hash slots evenly, and replicas of each.

    Attributes:
        servers: the primaries first, as long as nothing failed over.
        url: of all, with the password.

    Args:
        directory: for what they write.
        primaries: how many.
        replicas: of each.
        password: of all; "" for none.
        full_coverage: with a shard away, nothing is served.
        build: which program all are.
        options: more words of the configuration of each.
    """

    def __init__(
        self,
        directory: Path,
        *,
        primaries: int = 3,
        replicas: int = 1,
        password: str = "",
        full_coverage: bool = False,
        build: Build | None = None,
        options: Sequence[str] = (),
    ) -> None:
        build = build or Build()
        self._primaries = primaries
        self._buses: dict[int, int] = {}
        self.servers: list[Server] = []
        for _ in range(primaries * (1 + replicas)):
            bus = own_port()
            words = ["--cluster-enabled", "yes", "--cluster-port", str(bus), "--cluster-config-file", "nodes.conf"]
            words += ["--cluster-node-timeout", f"{NODE_TIMEOUT_S * 1e3:.0f}", "--save", ""]
            words += ["--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"]
            words += ["--cluster-require-full-coverage", "yes" if full_coverage else "no"]
            words += ["--requirepass", password, "--masterauth", password] if password else []
            server = Server(directory, *words, *options, password=password, build=build)
            self.servers.append(server)
            self._buses[server.port] = bus
        nodes = ",".join(f"127.0.0.1:{server.port}" for server in self.servers)
        options = f"?{build.options}" if build.options else ""
        self.url = f"{build.scheme}+cluster://{f':{password}@' if password else ''}{nodes}{options}"

    def start(self) -> None:
        """Start all, share the slots, and wait until every node agrees."""
        for server in self.servers:
            server.start()
        heads = self.servers[: self._primaries]
        share = -(-_SLOTS // self._primaries)
        for place, head in enumerate(heads):
            last = min(_SLOTS, (place + 1) * share) - 1
            head.client.execute_command("CLUSTER", "ADDSLOTSRANGE", place * share, last)
            head.client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", place + 1)
        first = heads[0]
        for server in self.servers[1:]:
            server.client.execute_command("CLUSTER", "MEET", "127.0.0.1", first.port, self._buses[first.port])
        until(lambda: all(len(self._nodes(server)) == len(self.servers) for server in self.servers), "all have met")
        for place, replica in enumerate(self.servers[self._primaries :]):
            primary = self.id(heads[place % self._primaries])
            until(partial(replica.client.execute_command, "CLUSTER", "REPLICATE", primary), "it replicates")
        self.mend()

    def close(self) -> None:
        for server in self.servers:
            server.end()

    # -- what is where

    def _nodes(self, server: Server) -> list[str]:
        text = server.client.execute_command("CLUSTER", "NODES")
        return (text if isinstance(text, str) else text.decode()).strip().split("\n") if text else []

    def id(self, server: Server) -> str:
        return str(server.client.execute_command("CLUSTER", "MYID").decode())

    def _view(self, seen_by: Server) -> tuple[tuple[int, int, int, tuple[int, ...]], ...]:
        """Return who has which slots, and who follows, as one node says: that of a replica spreads by gossip."""
        reply = seen_by.client.execute_command("CLUSTER", "SLOTS")
        return tuple(
            sorted(
                (first, last, primary[1], tuple(sorted(node[1] for node in replicas)))
                for first, last, primary, *replicas in reply
            )
        )

    def _slots(self, seen_by: Server) -> list[tuple[int, int, int]]:
        reply = seen_by.client.execute_command("CLUSTER", "SLOTS")
        return [(first, last, primary[1]) for first, last, primary, *_ in reply]

    @property
    def running(self) -> list[Server]:
        return [server for server in self.servers if server.running]

    def primary_of(self, slot: int, seen_by: Server | None = None) -> Server:
        """Return who has a slot, as one node says; by default once all that run say the same."""
        if seen_by is not None:
            port = next(port for first, last, port in self._slots(seen_by) if first <= slot <= last)
            return next(server for server in self.servers if server.port == port)

        def agreed() -> Server | None:
            found = {self.primary_of(slot, seen_by=server) for server in self.running}
            return found.pop() if len(found) == 1 else None

        server: Server = until(agreed, "the nodes agree")
        return server

    def replica_of(self, primary: Server) -> Server:
        """Return a replica that is in step."""

        def found() -> Server | None:
            for server in self.running:
                link = server.client.info("replication")
                follows = link["role"] == "slave" and link["master_port"] == primary.port
                if follows and link["master_link_status"] == "up":
                    return server
            return None

        server: Server = until(found, "a replica is in step")
        return server

    # -- changes

    def fail_over(self, primary: Server, *how: str) -> Server:
        """Promote a replica as an operator does: by default the primary hands over, with ``FORCE`` it is not asked."""
        replica = self.replica_of(primary)
        begin = partial(replica.client.execute_command, "CLUSTER", "FAILOVER", *how)
        until(begin, "the failover begins")  # a primary that was stopped counts as failed for a moment
        until(lambda: replica.client.role()[0] == b"master", "the replica is promoted")
        return replica

    def move_slot(self, slot: int, to: Server, *, batch: int = 50, between: Callable[[], None] = lambda: None) -> int:
        """Move one slot key by key, as `redis-cli --cluster reshard` does; return how many keys it had."""
        source = self.primary_of(slot)
        ids = self.id(source), self.id(to)
        to.client.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
        source.client.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])
        moved = 0
        while keys := source.client.execute_command("CLUSTER", "GETKEYSINSLOT", slot, batch):
            source.client.execute_command("MIGRATE", "127.0.0.1", to.port, "", 0, 5_000, "KEYS", *keys)
            moved += len(keys)
            between()
        for server in (to, source, *self.running):
            with contextlib.suppress(redis.ResponseError):  # a replica takes its primary's word
                server.client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[1])
        return moved

    def move_slot_at_once(self, slot: int, to: Server) -> None:
        """Move one slot in one step, which Valkey can since version 9."""
        source = self.primary_of(slot)
        source.client.execute_command("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", self.id(to))
        until(lambda: all(self.primary_of(slot, seen_by=server) is to for server in (source, to)), "the slot has moved")

    def mend(self) -> None:
        """Start what is down, resume what is stopped; wait until all agree and every replica is in step."""
        for server in self.servers:
            if server.running:
                server.resume()
            else:
                server.start()

        def in_order() -> bool:
            for server in self.servers:
                info = server.client.execute_command("CLUSTER", "INFO")
                if b"cluster_state:ok" not in info:
                    return False
                link = server.client.info("replication")
                if link["role"] == "slave" and link["master_link_status"] != "up":
                    return False
            views = {self._view(server) for server in self.servers}
            followers = {port for _, _, _, replicas in views.copy().pop() for port in replicas}
            return len(views) == 1 and len(followers) == len(self.servers) - self._primaries

        until(in_order, "the Cluster is in order")
