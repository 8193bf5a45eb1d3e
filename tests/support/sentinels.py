"""A primary, its replicas and three Sentinels, all of the bundled binary: for what happens when the primary changes."""

from __future__ import annotations

import signal
from pathlib import Path

import redis
from redis_servers import Build, Server, Several, until

__all__ = ["DOWN_S", "Sentinels"]

DOWN_S = 5.0  # that a primary is silent before a Sentinel takes it for dead; a busy machine is silent for a second


class Sentinels(Several):
    """A primary with replicas, watched by three Sentinels, of which two must agree.

    Attributes:
        name: of the primary, as the Sentinels know it.
        servers: with data; which of them is the primary changes.
        sentinels: who watch.
        url: of the whole, with the passwords.

    Args:
        password: of the servers with data; "" for none.
        sentinel_password: of the Sentinels; "" for none.
        build: which program all are.
    """

    def __init__(
        self,
        directory: Path,
        *,
        replicas: int = 1,
        sentinels: int = 3,
        password: str = "",
        sentinel_password: str = "",
        build: Build | None = None,
    ) -> None:
        build = build or Build()
        self.name = "tw"
        data = ["--save", "", "--repl-diskless-sync-delay", "0", "--repl-timeout", "5"]
        if password:
            data += ["--requirepass", password, "--masterauth", password]
        self.servers = [Server(directory, *data, password=password, build=build) for _ in range(1 + replicas)]
        self.sentinels = []
        for number in range(sentinels):
            config = directory / f"sentinel-{number}.conf"  # each rewrites its own
            config.write_text(
                f"sentinel monitor {self.name} 127.0.0.1 {self.servers[0].port} {sentinels // 2 + 1}\n"
                f"sentinel down-after-milliseconds {self.name} {DOWN_S * 1e3:.0f}\n"
                f"sentinel failover-timeout {self.name} 5000\n"
                + (f"sentinel auth-pass {self.name} {password}\n" if password else "")
                + (f"requirepass {sentinel_password}\n" if sentinel_password else "")
            )
            self.sentinels.append(Server(directory, str(config), "--sentinel", password=sentinel_password, build=build))
        nodes = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        self.url = f"{build.scheme}+sentinel://{f':{password}@' if password else ''}{nodes}/{self.name}"
        options = [build.options, f"sentinel_password={sentinel_password}" if sentinel_password else ""]
        self.url += f"?{'&'.join(filter(None, options))}" if any(options) else ""

    def start(self) -> None:
        """Start all, and wait until they know each other."""
        primary, *replicas = self.servers
        primary.start()
        for replica in replicas:
            replica.start("--replicaof", f"127.0.0.1 {primary.port}")
        for sentinel in self.sentinels:
            sentinel.start()
        self.mend()

    def close(self) -> None:
        for server in (*self.sentinels, *self.servers):
            server.end()

    def said(self, sentinel: Server) -> tuple[str, int]:
        """Return where the primary is, as one Sentinel has it."""
        host, port = sentinel.client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.name)
        return host.decode(), int(port)

    @property
    def primary(self) -> Server:
        """The server that every Sentinel that runs takes for the primary; waits until they agree and it agrees."""

        def agreed() -> Server | None:
            ports = {self.said(sentinel)[1] for sentinel in self.sentinels if sentinel.running}
            found = [server for server in self.servers if {server.port} == ports]
            return found[0] if found and found[0].client.role()[0] == b"master" else None

        found: Server = until(agreed, "the Sentinels agree")
        return found

    @property
    def replicas(self) -> list[Server]:
        primary = self.primary
        return [server for server in self.servers if server is not primary]

    def fail_over(self, *how: str) -> None:
        """Ask a Sentinel for a failover, as an operator does, until it has done it.

        Args:
            how: ``COORDINATED``: the old primary hands over, and loses nothing.
        """
        asked = self.sentinels[0]
        before = self.said(asked)

        def done() -> bool:
            if self.said(asked) != before:
                return True
            if "failover_in_progress" not in self._master(asked)["flags"]:  # nor if the others did not elect it
                try:
                    asked.client.execute_command("SENTINEL", "FAILOVER", self.name, *how)
                except redis.ResponseError as error:
                    if "NOGOODSLAVE" not in str(error) and "INPROG" not in str(error):
                        raise
            return False

        until(done, "a Sentinel fails over")

    def mend(self) -> None:
        """Start what is down, resume what is stopped; wait until all follow one primary and every Sentinel knows it."""
        for server in (*self.sentinels, *self.servers):
            if server.running:
                server.signal(signal.SIGCONT)
            else:
                server.start()
        in_order = ("up", ("master", len(self.servers) - 1, len(self.sentinels) - 1))
        seen: set[object] = set()

        def is_in_order() -> bool:
            primary = self.primary
            seen.clear()
            for server in self.servers:
                if server is not primary:
                    link = server.client.info("replication")
                    if link["role"] == "master":  # a Sentinel tells it too, ten seconds later
                        server.client.execute_command("REPLICAOF", "127.0.0.1", primary.port)
                    seen.add(
                        link.get("master_link_status") if link.get("master_port") == primary.port else link["role"]
                    )
            for sentinel in self.sentinels:
                facts = self._master(sentinel)
                seen.add((facts["flags"], int(facts["num-slaves"]), int(facts["num-other-sentinels"])))
            return seen == set(in_order)

        until(is_in_order, f"all is in order: {in_order}", lambda: seen)

    def _master(self, sentinel: Server) -> dict[str, str]:
        facts = sentinel.client.execute_command("SENTINEL", "MASTER", self.name)
        return {name.decode(): value.decode() for name, value in zip(facts[::2], facts[1::2], strict=True)}
