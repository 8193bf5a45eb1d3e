"""The log as an abstract thing: clock, chain, evidence, logs and directory as `tw.lua` has them, and its faults."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from tidewire.model.batch import Batch, series_key
from tidewire.model.cursor import id_from_ms
from tidewire.redislog.calls import Entry, LastReading
from tidewire.redislog.lineage import Clock, Fork, Watermark
from tidewire_service.hub.live_frame import LiveFrame
from tidewire_service.hub.log_page import PageEntry

if TYPE_CHECKING:
    from world import World


class Bad(Exception):
    """An invariant does not hold."""


@dataclass
class Data:
    """What a Redis holds; a replica is a copy of it."""

    epoch: str | None = None
    run: int | None = None
    last: int = 0
    chain: tuple[Fork, ...] = ()
    logs: dict[str, list[tuple[int, int, bytes]]] = field(default_factory=dict)
    tails: dict[str, int] = field(default_factory=dict)
    forgot: int = 0
    born: int = 0  # metrics, and not forgotten
    readings: dict[str, dict[bytes, LastReading]] = field(default_factory=dict)


@dataclass
class Acked:
    epoch: str
    id: int
    metric: str
    batch: int


class Redis:
    """The log's functions as `tw.lua` has them.

    Attributes:
        may_go_back: a clock below what was stated or seen in its epoch is noticed.
    """

    may_go_back = True

    def __init__(self, world: World) -> None:
        self.world = world
        self.now = 1
        self.run = 0
        self.epochs = 0
        self.data = Data()
        self.replica: Data | None = None
        self.demoted: Redis | None = None
        self.stated: dict[str, int] = {}  # epoch → the last id that this process has stated in it

    def older(self, epoch: str, than: str) -> bool:
        return int(epoch[1:5]) < int(than[1:5])

    def _mint(self) -> str:
        self.epochs += 1
        epoch = f"e{self.epochs:04d}xy"  # five characters tell it from any other
        self.world.losses_at[epoch] = self.world.losses
        return epoch

    def clock(self, watermark: Watermark | None = None) -> Clock:
        data = self.data
        if data.epoch is None:
            data.epoch, data.run, data.last, data.tails, data.born = self._mint(), self.run, 0, {}, 0
            data.chain = (Fork(data.epoch, 0, None),)
        elif data.run != self.run:
            data.run = self.run
            self._fork(data, None)
        elif self.went_back(data):
            self._fork(data, data.last)
        if self.directory_lost(data):
            data.forgot, data.born = data.last, len(data.tails)
            self._fork(data, 0)
        assert data.epoch is not None
        self.stated[data.epoch] = data.last
        if watermark is not None:
            self._receive(data, watermark)
        return Clock(data.epoch, data.last, data.chain, float(self.now), data.forgot)

    def _fork(self, data: Data, lost: int | None) -> None:
        data.epoch = self._mint()
        data.chain += (Fork(data.epoch, data.last, lost),)

    def went_back(self, data: Data) -> bool:
        assert data.epoch is not None
        return self.may_go_back and data.last < self.stated.get(data.epoch, 0)

    def directory_lost(self, data: Data) -> bool:
        return len(data.tails) < data.born

    def _receive(self, data: Data, watermark: Watermark) -> None:
        place = {entry.epoch: index for index, entry in enumerate(data.chain)}
        fork: int | None = None
        for entry in reversed(watermark.chain):
            k = place.get(entry.epoch)
            if k is not None:
                later = data.chain[k + 1 :]
                forks = [e.fork for e in later] + ([] if fork is None else [fork])
                if not forks and self.may_go_back:
                    forks = [data.last]
                if not forks or watermark.id <= min(forks):
                    return
                if any(e.lost is not None and e.lost <= min(forks) for e in later):
                    return
                self._fork(data, min(forks))
                return
            fork = entry.fork if fork is None else min(fork, entry.fork)

    def append(self, metrics: tuple[str, ...], watermark: Watermark | None) -> Watermark:
        world = self.world
        self.clock(watermark)
        data = self.data
        assert data.epoch is not None
        before = data.last
        entries = []
        for metric in metrics:
            id_ = id_from_ms(self.now) if id_from_ms(self.now) > data.last else data.last + 1
            if metric not in data.tails:
                data.born += 1
                data.logs.pop(metric, None)
                data.readings.pop(metric, None)
            log = data.logs.setdefault(metric, [])
            if log and log[-1][0] >= id_:
                raise Bad("append refused: an id at or below the top of the log, a log without its clock")
            world.batches += 1
            labels = {"b": str(world.batches)} if world.labelled else {}
            batch = Batch(metric=metric, labels=labels, time=[world.time_ms], value=[float(world.batches)])
            body = msgspec.json.encode(batch)
            data.readings.setdefault(metric, {})[series_key(labels).encode()] = LastReading(id_, 1, body)
            log.append((id_, data.tails.get(metric, data.forgot), body))
            del log[: -world.sizes.log_length]
            data.tails[metric] = data.last = self.stated[data.epoch] = id_
            if world.names.setdefault((data.epoch, id_), world.batches) != world.batches:
                raise Bad(f"I4 {data.epoch}.{id_} names two batches")
            world.acked.append(Acked(data.epoch, id_, metric, world.batches))
            entries.append(PageEntry(id_, metric, body))
        for hub in world.hubs:
            hub.arrive(LiveFrame(data.epoch, before, entries))
        world.note(f"append {'+'.join(metrics)} -> {data.epoch}.{data.last}")
        return Watermark(data.last, data.chain)

    def entries(self, metric: str, after: int, page: int) -> list[Entry]:
        log = self.data.logs.get(metric, []) if metric in self.data.tails else []
        return [Entry(*entry) for entry in log if entry[0] > after][:page]

    def tails(self) -> dict[str, int]:
        return dict(self.data.tails)

    def kept(self) -> set[int]:
        """Return the batches that a reader can still get."""
        return {
            batch_of(body) for metric, log in self.data.logs.items() for _, _, body in log if metric in self.data.tails
        }

    # -- faults; each returns what it did, or "" if there was nothing to do

    def snap(self) -> str:
        self.replica = copy.deepcopy(self.data)
        return f"replica synced at {self.data.last}"

    def failover(self) -> str:
        if self.replica is None:
            return ""
        was = self.data.last
        self.data = copy.deepcopy(self.replica)
        self.run += 1
        self.stated.clear()
        return f"FAILOVER to {self.data.last}, was {was}"

    def go_back(self) -> str:
        if self.replica is None:
            return ""
        was = self.data.last
        self.data = copy.deepcopy(self.replica)
        return f"WENT BACK to {self.data.last}, was {was}: restored from a copy"

    def lose_directory(self, metric: str) -> str:
        lost = [metric] if metric else list(self.data.tails)
        for name in lost:
            self.data.tails.pop(name, None)
        return f"DIRECTORY LOST {lost}"

    def restart(self) -> str:
        self.run += 1
        self.stated.clear()
        return "RESTART with data"

    def demote(self) -> str:
        self.demoted = copy.copy(self)
        self.demoted.data = copy.deepcopy(self.data)
        self.run += 1
        self.stated = {}
        return f"DEMOTED at {self.data.last}, nothing is lost"

    def flush(self) -> str:
        self.data, self.replica = Data(), None
        self.run += 1
        return "FLUSHALL"

    def lose_clock(self) -> str:
        self.data, self.replica = Data(logs=self.data.logs), None
        return "clock key lost, logs remain"

    def trim(self, metric: str) -> str:
        log = self.data.logs.get(metric, [])
        return f"TRIM {metric} {log.pop(0)[0]}" if log else ""

    def delete(self, metric: str, place: int) -> str:
        log = self.data.logs.get(metric, [])
        return f"DELETE {metric} {log.pop(place)[0]}" if place < len(log) else ""

    def forget(self, metric: str) -> str:
        data = self.data
        if metric not in data.tails:
            return ""
        data.forgot = max(data.forgot, data.tails.pop(metric))
        data.born -= 1
        data.logs.pop(metric, None)
        data.readings.pop(metric, None)
        return f"FORGET {metric}"

    def last_readings(self, metric: str) -> dict[bytes, LastReading]:
        return dict(self.data.readings.get(metric, {})) if metric in self.data.tails else {}


def batch_of(body: bytes) -> int:
    return int(msgspec.json.decode(body)["value"][0])
