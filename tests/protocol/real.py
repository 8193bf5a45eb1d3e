"""The same world on a real Valkey: the append function, the clock, the directory and the logs are the server's own."""

from __future__ import annotations

from typing import Any, ClassVar

from waiting import HANG_S
from world import Acked, Bad, Redis, World, batch_of

from tidewire.model.batch import DEFAULT_LIMITS, EncodedBatch, encode_batch, make_batch
from tidewire.model.cursor import id_text, parse_id
from tidewire.redislog.calls import (
    AppendCall,
    Appended,
    Entry,
    LastReading,
    LogFunctions,
    Retention,
    parse_append,
    parse_clock,
    parse_entries,
    parse_last_readings,
)
from tidewire.redislog.keys import Keys
from tidewire.redislog.lineage import Clock, Watermark
from tidewire_service.hub.live_frame import parse_frame


class RealRedis(Redis):
    """Commands to a Valkey in place of the model's data; its time is real, so clock steps are left out."""

    valkey: ClassVar[Any]

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.cli = self.valkey.client.execute_command
        self.keys = Keys()
        retention = Retention(batches=world.sizes.log_length, silent_s=0.0)
        self.functions = LogFunctions(self.keys, retention, DEFAULT_LIMITS)
        self.valkey.client.flushall()
        self.valkey.client.function_load(self.functions.source, replace=True)
        self.pubsub = self.valkey.client.pubsub()
        self.minted: list[str] = []
        self.dump: dict[bytes, bytes] | None = None
        self.subscribe()

    def subscribe(self) -> None:
        self.pubsub.close()
        self.pubsub = self.valkey.client.pubsub(ignore_subscribe_messages=True)
        self.pubsub.subscribe(self.keys.live)
        self.pubsub.get_message(timeout=1)

    def older(self, epoch: str, than: str) -> bool:
        return self.minted.index(epoch) < self.minted.index(than)

    def clock(self, watermark: Watermark | None = None) -> Clock:
        clock = parse_clock(self.cli(*self.functions.clock(watermark)))
        for fork in clock.chain:
            if fork.epoch not in self.minted:
                self.minted.append(fork.epoch)
                self.world.losses_at[fork.epoch] = self.world.losses
        return clock

    def append(self, metrics: tuple[str, ...], watermark: Watermark | None) -> Watermark:
        clock = self.clock(watermark)
        world = self.world
        batches: list[EncodedBatch] = []
        for metric in metrics:
            world.batches += 1
            labels = {"b": str(world.batches)} if world.labelled else {}
            batches.append(encode_batch(make_batch(metric, float(world.batches), labels=labels)))
        call = AppendCall(batches)
        answer = parse_append(self.cli(*self.functions.append(call, clock.epoch)), call)
        assert isinstance(answer, Appended)
        first = world.batches - len(metrics) + 1
        for number, (metric, result) in enumerate(zip(metrics, answer.results, strict=True), first):
            if isinstance(result, str):
                raise Bad(f"append refused: {result}")
            if world.names.setdefault((answer.epoch, result), number) != number:
                raise Bad(f"I4 {answer.epoch}.{result} names two batches")
            world.acked.append(Acked(answer.epoch, result, metric, number))
        message = self.pubsub.get_message(timeout=HANG_S)
        assert message is not None, "no live frame"
        for hub in world.hubs:
            hub.arrive(parse_frame(message["data"]))
        world.note(f"append {'+'.join(metrics)} -> {answer.epoch}.{answer.id}")
        return Watermark(answer.id, clock.chain)

    def tails(self) -> dict[str, int]:
        return {metric.decode(): parse_id(last) for metric, last in self.valkey.client.hgetall(self.keys.tail).items()}

    def entries(self, metric: str, after: int, page: int) -> list[Entry]:
        reply = self.cli("XRANGE", self.keys.log(metric), f"({id_text(after)}", "+", "COUNT", page)
        return parse_entries(reply, check=True)[0]

    def last_readings(self, metric: str) -> dict[bytes, LastReading]:
        return parse_last_readings(self.valkey.client.hgetall(self.keys.last(metric)))[0]

    def kept(self) -> set[int]:
        return {batch_of(entry.body) for metric in self.tails() for entry in self.entries(metric, 0, 1_000)}

    # -- faults

    def _dumped(self) -> dict[bytes, bytes]:
        return {key: self.cli("DUMP", key) for key in self.valkey.client.keys("tw:*")}

    def snap(self) -> str:
        self.dump = self._dumped()
        return f"replica synced at {self.clock().id}"

    def failover(self) -> str:
        if self.dump is None:
            return ""
        was = self.clock().id
        self.valkey.client.flushall()
        for key, value in self.dump.items():
            self.cli("RESTORE", key, 0, value)
        self.restart()
        return f"FAILOVER, was {was}"

    def go_back(self) -> str:
        if self.dump is None:
            return ""
        was = self.valkey.client.hmget(self.keys.clock, "ms", "n")
        self.valkey.client.flushall()
        for key, value in self.dump.items():
            self.cli("RESTORE", key, 0, value)
        return f"WENT BACK, was {was}: restored from a copy"

    def lose_directory(self, metric: str) -> str:
        self.cli(*(("HDEL", self.keys.tail, metric) if metric else ("DEL", self.keys.tail)))
        return "DIRECTORY LOST"

    def restart(self) -> str:
        self.run += 1
        self.valkey.restart()
        self.subscribe()
        return "RESTART with data"

    def demote(self) -> str:
        return self.restart()  # tests/faults has a demoted server that lives on

    def flush(self) -> str:
        self.valkey.client.flushall()
        self.dump = None
        self.run += 1
        return "FLUSHALL"

    def lose_clock(self) -> str:
        self.cli("DEL", self.keys.clock)
        self.dump = None
        return "clock key lost, logs remain"

    def trim(self, metric: str) -> str:
        length = self.cli("XLEN", self.keys.log(metric))
        if not length:
            return ""
        self.cli("XTRIM", self.keys.log(metric), "MAXLEN", "=", length - 1)
        return f"TRIM {metric}"

    def delete(self, metric: str, place: int) -> str:
        entries = self.cli("XRANGE", self.keys.log(metric), "-", "+", "COUNT", place + 1)
        if len(entries) <= place:
            return ""
        self.cli("XDEL", self.keys.log(metric), entries[place][0])
        return f"DELETE {metric}"

    def forget(self, metric: str) -> str:
        if metric not in self.tails():
            return ""
        while metric in self.tails():  # until its last id lies before this millisecond
            self.cli(*self.functions.sweep([metric]))
        return f"FORGET {metric}"


class RealWorld(World):
    """The world on a real Valkey."""

    redis_class = RealRedis
