"""A world in which the real hub and subscription code runs over an abstract log, one step of anything at a time.

One Redis (clock, lineage, per-metric logs that are trimmed, directory, a replica snapshot, Pub/Sub queues), two hubs
made of the real `Fanout` and `Pump`, three clients that decode real SSE bytes (two of them share one selection),
sockets of `cap` events that park what does not fit. Every request of the core (each clock read, the directory, each
metric of a page, each look, wait and drain) is answered in a step of its own, so that a schedule, a plain list of
actions, decides every race. After a schedule the faults cease, everything runs to quiescence, and the ledgers are
compared.

Invariants: I1 no silent loss (retained: delivered; not retained: announced), I2 nothing that was not published, I3 ids
rise unless announced, I4 an id names one batch, I5 no duplicate unless announced, L everything quiesces, Q
announcements are true.
"""

from __future__ import annotations

import copy
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tidewire.batch import Batch
from tidewire.cursor import Cursor, id_from_ms, id_ms
from tidewire.lineage import Clock, Fork, Seen
from tidewire.log_calls import Entry, LastReading
from tidewire.sse import Decoder
from tidewire_service.fanout import Fanout
from tidewire_service.log_page import PageEntry
from tidewire_service.pump import LiveFrame
from tidewire_service.ring import Ring
from tidewire_service.steps import Drain, Look, ReadClock, ReadEntries, ReadLast, ReadTails, Wait
from tidewire_service.subscription import Replay, Subscription

METRICS = ("X", "Y", "Z")
PATTERNS = {0: ("X", "Y"), 1: ("**",), 2: ("X", "Y"), 3: ("**",), 4: ("X", "Y")}
WANT = {0: ("X", "Y"), 1: METRICS, 2: ("X", "Y"), 3: METRICS, 4: ("X", "Y")}
EVERY_MS = {3: 2, 4: 3}  # clients of conflated streams
EVERYTHING = Replay("span", 1e15)
Action = tuple[Any, ...]


class Bad(Exception):
    """An invariant does not hold."""


@dataclass(frozen=True)
class Sizes:
    """How small the world is: everything that bounds something."""

    log_length: int = 3
    cap: int = 2
    page: int = 1
    ring: int = 2
    fill_page: int = 500


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


@dataclass
class Acked:
    epoch: str
    id: int
    metric: str
    batch: int


class Redis:
    """The log's functions as `tw.lua` has them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.now = 1
        self.run = 0
        self.epochs = 0
        self.data = Data()
        self.replica: Data | None = None

    def older(self, epoch: str, than: str) -> bool:
        return int(epoch[1:]) < int(than[1:])

    def _mint(self) -> str:
        self.epochs += 1
        return f"e{self.epochs:06d}"

    def clock(self, seen: Seen | None = None) -> Clock:
        data = self.data
        if data.epoch is None:
            data.epoch, data.run, data.last, data.tails = self._mint(), self.run, 0, {}
            data.chain = (Fork(data.epoch, 0, None),)
        elif data.run != self.run:
            data.epoch, data.run = self._mint(), self.run
            data.chain += (Fork(data.epoch, data.last, None),)
        if seen is not None:
            self._hear(data, seen)
        return Clock(data.epoch, data.last, data.chain, float(self.now))

    def _hear(self, data: Data, seen: Seen) -> None:
        place = {entry.epoch: index for index, entry in enumerate(data.chain)}
        fork: int | None = None
        for entry in reversed(seen.chain):
            k = place.get(entry.epoch)
            if k is not None:
                later = data.chain[k + 1 :]
                forks = [e.fork for e in later] + ([] if fork is None else [fork])
                if not forks or seen.id <= min(forks):
                    return
                if any(e.lost is not None and e.lost <= min(forks) for e in later):
                    return
                data.epoch = self._mint()
                data.chain += (Fork(data.epoch, data.last, min(forks)),)
                return
            fork = entry.fork if fork is None else min(fork, entry.fork)

    def append(self, metrics: tuple[str, ...], seen: Seen | None) -> Seen:
        world = self.world
        self.clock(seen)
        data = self.data
        assert data.epoch is not None
        before = data.last
        entries = []
        for metric in metrics:
            id_ = id_from_ms(self.now) if id_from_ms(self.now) > data.last else data.last + 1
            if metric not in data.tails:
                data.logs.pop(metric, None)
            log = data.logs.setdefault(metric, [])
            if log and log[-1][0] >= id_:
                raise Bad("append refused: an id at or below the top of the log, a log without its clock")
            world.batches += 1
            batch = Batch(metric=metric, time=[1.7e12], value=[float(world.batches)])
            body = msgspec.json.encode(batch)
            log.append((id_, data.tails.get(metric, data.forgot), body))
            del log[: -world.sizes.log_length]
            data.tails[metric] = data.last = id_
            if world.names.setdefault((data.epoch, id_), world.batches) != world.batches:
                raise Bad(f"I4 {data.epoch}.{id_} names two batches")
            world.acked.append(Acked(data.epoch, id_, metric, world.batches))
            entries.append(PageEntry(id_, metric, body))
        for hub in world.hubs:
            hub.arrive(LiveFrame(data.epoch, before, entries))
        world.note(f"append {'+'.join(metrics)} -> {data.epoch}.{data.last}")
        return Seen(data.last, data.chain)

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
        return f"FAILOVER to {self.data.last}, was {was}"

    def restart(self) -> str:
        self.run += 1
        return "RESTART with data"

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

    def forget(self, metric: str) -> str:
        data = self.data
        if metric not in data.tails:
            return ""
        data.forgot = max(data.forgot, data.tails.pop(metric))
        data.logs.pop(metric, None)
        return f"FORGET {metric}"

    def last(self, metric: str) -> dict[bytes, LastReading]:
        log = self.data.logs.get(metric, [])
        return {b"{}": LastReading(log[-1][0], 1, log[-1][2])} if metric in self.data.tails and log else {}


class Operation:
    """A generator of the core whose requests are answered one step at a time."""

    def __init__(self, hub: Hub, steps: Any, sink: Socket | None = None) -> None:
        self.hub, self.steps, self.sink = hub, steps, sink
        self.done = False
        self.request: Any = None
        self.lists: list[list[Entry]] = []
        self.look: list[Clock] | None = None
        self._send(None)

    def _send(self, answer: Any) -> None:
        try:
            self.request = self.steps.send(answer)
        except StopIteration:
            self.done = True
        self.lists, self.look = [], None

    def step(self) -> None:
        redis, request = self.hub.world.redis, self.request
        match request:
            case ReadClock(seen):
                self._send(redis.clock(seen))
            case ReadTails():
                self._send(redis.tails())
            case ReadEntries(positions, page):
                if len(self.lists) < len(positions):
                    metric, after = positions[len(self.lists)]
                    self.lists.append(redis.entries(metric, after, page))
                if len(self.lists) == len(positions):
                    self._send(self.lists)
            case ReadLast(metrics):
                self._send([redis.last(metric) for metric in metrics])
            case Look():
                if self.look is None:
                    self.look = []
                    self.hub.looks.append(self.look)
                elif self.look:
                    self._send(self.look[0])
            case Wait():
                self._send(None)
            case Drain():
                assert self.sink is not None
                if self.sink.parked is None:
                    self.sink.subscription.written()
                    self._send(None)
            case _:
                raise TypeError(request)


class Socket:
    """A socket that holds `cap` events; what comes beyond is parked and flows in when there is room."""

    def __init__(self, hub: Hub, cap: int) -> None:
        self.hub, self.cap = hub, cap
        self.events: deque[tuple[str, bytes]] = deque()
        self.parked: bytes | None = None
        self.subscription: Subscription

    def write(self, data: bytes) -> bool:
        if self.parked is not None:
            raise Bad("written while bytes are parked")
        if len(self.events) >= self.cap:
            self.parked = data
            return False
        self._put(data)
        return True

    def _put(self, data: bytes) -> None:
        for block in data.split(b"\n\n")[:-1]:
            self.events.append((self.hub.fanout.pump.epoch, block + b"\n\n"))

    def pop(self) -> tuple[str, bytes]:
        event = self.events.popleft()
        if self.parked is not None and len(self.events) < self.cap:
            data, self.parked = self.parked, None
            self._put(data)
        return event


class Hub:
    """One process: the real fan-out, its queue of live frames, and one running operation of the pump."""

    def __init__(self, world: World, number: int) -> None:
        self.world, self.number = world, number
        self.boot()

    def boot(self) -> None:
        self.queue: deque[LiveFrame] = deque()
        self.up, self.deaf = True, False
        self.looks: list[list[Clock]] = []
        self.catching: dict[int, Operation] = {}
        self.sockets: dict[int, Socket] = {}
        sizes = self.world.sizes
        self.fanout = self.world.fanout_class(
            Ring(0, max_batches=sizes.ring),
            log_time_ms=lambda: float(self.world.redis.now),
            fell_back=self.fell_back,
            fill_page=sizes.fill_page,
            log_page=sizes.page,
        )
        self.operation: Operation | None = Operation(self, self.fanout.pump.start())
        while not self.operation.done:
            self.operation.step()
        self.operation = None

    def fell_back(self, subscription: Subscription) -> None:
        for client, socket in self.sockets.items():
            if socket.subscription is subscription:
                self.catching[client] = Operation(self, subscription.catch_up(), socket)

    def arrive(self, frame: LiveFrame) -> None:
        if self.up and not self.deaf:
            self.queue.append(frame)

    @property
    def runnable(self) -> bool:
        return self.operation is not None or bool(self.queue) or bool(self.looks)

    def run(self) -> None:
        if self.operation is None:
            pump = self.fanout.pump
            if self.looks:
                self.answering, self.looks = self.looks, []
                self.operation = Operation(self, pump.look())
            elif self.queue:
                self.answering = []
                self.operation = Operation(self, pump.on_frame(self.queue.popleft()))
            else:
                return
        else:
            self.operation.step()
        self._finish()

    def _finish(self) -> None:
        if self.operation is not None and self.operation.done:
            self.operation = None
            clock = self.fanout.pump.clock
            assert clock is not None
            pump = self.fanout.pump
            watermark_ms = float(id_ms(pump.position))
            if clock.epoch == pump.epoch and clock.id <= pump.position:
                watermark_ms = max(watermark_ms, clock.now_ms)
            self.fanout.close_intervals(watermark_ms)
            for look in self.answering:
                look.append(clock)
            self.answering = []

    def check(self) -> None:
        if self.operation is None:
            self.answering = []
            self.operation = Operation(self, self.fanout.pump.check())
            self._finish()

    def connect(self, client: Client) -> None:
        socket = Socket(self, self.world.sizes.cap)
        resume = Cursor.parse(client.last_id) if client.last_id else None
        every_ms = EVERY_MS.get(client.number, 0)
        socket.subscription = self.fanout.attach(
            PATTERNS[client.number], {}, socket, self.world.replay, resume, every_ms=every_ms
        )
        self.sockets[client.number] = socket
        self.catching[client.number] = Operation(self, socket.subscription.run(), socket)
        client.hub, client.socket = self, socket
        client.decoder = Decoder(client.last_id)

    def cut(self, client: Client) -> None:
        socket = self.sockets.pop(client.number, None)
        self.catching.pop(client.number, None)
        if socket is not None:
            self.fanout.detach(socket.subscription)
        client.hub = client.socket = None

    def catch_up(self, client: int) -> None:
        operation = self.catching.get(client)
        if operation is None:
            return
        operation.step()
        if operation.done and self.catching.get(client) is operation:
            del self.catching[client]


class Client:
    """A subscriber with nothing but the bytes and the last id."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.last_id = ""
        self.seen: set[int] = set()
        self.sums: dict[str, tuple[int, int]] = {}
        self.announced: list[tuple[Any, ...]] = []
        self.high = 0
        self.again = False
        self.hub: Hub | None = None
        self.socket: Socket | None = None
        self.decoder = Decoder()


class World:
    redis_class: type[Redis] = Redis

    def __init__(
        self,
        sizes: Sizes | None = None,
        fanout_class: type[Fanout] = Fanout,
        replay: str = "",
        clients: tuple[int, ...] = (0, 1, 2),
    ) -> None:
        self.replay = Replay(replay) if replay else EVERYTHING
        self.sizes = sizes or Sizes()
        self.fanout_class = fanout_class
        self.conflated = any(number in EVERY_MS for number in clients)
        self.acked: list[Acked] = []
        self.names: dict[tuple[str, int], int] = {}
        self.batches = self.steps = 0
        self.log: list[str] = []
        self.forgot: dict[str, int] = {}
        self.hubs: list[Hub] = []
        self.redis = self.redis_class(self)
        start = self.redis.clock()
        self.published: Seen | None = None
        self.hubs = [Hub(self, 0), Hub(self, 1)]
        self.clients = [Client(number) for number in clients]
        self.by_number = {client.number: client for client in self.clients}
        for client in self.clients:
            client.last_id = f"{start.epoch}.0-0"
            self.hubs[0].connect(client)

    def note(self, line: str) -> None:
        self.log.append(line)

    # -- what a client sees

    def receive(self, client: Client) -> None:
        if client.socket is None or not client.socket.events:
            return
        epoch, block = client.socket.pop()
        for event in client.decoder.feed(block):
            client.last_id = client.decoder.last_event_id
            self.note(f"   c{client.number} <- {event.event} {event.own_id} {event.data[:90]}")
            self._take(client, epoch, event)

    def _take(self, client: Client, epoch: str, event: Any) -> None:
        data = msgspec.json.decode(event.data)
        if event.event == "message" and "every_ms" in data:
            self._take_interval(client, Cursor.parse(event.own_id), data["batches"])
        elif event.event == "message":
            cursor = Cursor.parse(event.own_id)
            batch = int(data["value"][0])
            if cursor.id <= client.high:
                raise Bad(f"I3 c{client.number} got {cursor} after {client.high}")
            if batch in client.seen and not client.again:
                raise Bad(f"I5 c{client.number} got batch {batch} twice")
            if data["metric"] not in WANT[client.number] or self.names.get(tuple(cursor)) != batch:
                raise Bad(
                    f"I2/I4 c{client.number} got {cursor} as batch {batch}, it names {self.names.get(tuple(cursor))}"
                )
            client.high = cursor.id
            client.seen.add(batch)
        elif event.event == "gap" and data["kind"] == "trimmed":
            first, last = Cursor.parse(data["from"]).id, Cursor.parse(data["to"]).id
            client.announced.append(("gap", data["metric"], first, last))
        elif event.event == "gap":
            client.announced.append(("lost", epoch, Cursor.parse(data["from"]).id))
            client.high = Cursor.parse(event.own_id).id
        elif event.event == "reset":
            client.announced.append(("reset", epoch))
            client.high, client.again = Cursor.parse(event.own_id).id, True

    def _take_interval(self, client: Client, cursor: Cursor, batches: list[dict[str, Any]]) -> None:
        if cursor.id <= client.high:
            raise Bad(f"I3 c{client.number} got {cursor} after {client.high}")
        if tuple(cursor) not in self.names:
            raise Bad(f"I2 c{client.number} got {cursor}, which names no batch")
        client.high = cursor.id
        for batch in batches:
            metric, count = batch["metric"], batch["count"][0]
            if metric not in WANT[client.number]:
                raise Bad(f"I2 c{client.number} got {metric}")
            known = client.sums.get(metric, (0, 0))
            client.sums[metric] = known[0] + count, known[1] + round(batch["mean"][0] * count)

    # -- actions

    def act(self, action: Action) -> None:
        self.steps += 1
        getattr(self, f"do_{action[0]}")(*action[1:])

    def do_append(self, *metrics: str) -> None:
        self.published = self.redis.append(metrics, self.published)

    def do_hub(self, number: int) -> None:
        if self.hubs[number].runnable:
            self.note(f"hub{number} step")
            self.hubs[number].run()

    def do_check(self, number: int) -> None:
        self.note(f"hub{number} check")
        self.hubs[number].check()

    def do_flush(self, number: int) -> None:
        if self.hubs[number].fanout.dirty:
            self.note(f"hub{number} flush")
            self.hubs[number].fanout.flush()

    def do_sub(self, number: int) -> None:
        client = self.by_number[number]
        if client.hub is not None:
            client.hub.catch_up(number)

    def do_recv(self, number: int) -> None:
        self.receive(self.by_number[number])

    def do_cut(self, number: int) -> None:
        client = self.by_number[number]
        if client.hub is not None:
            self.note(f"CUT c{number} at {client.last_id}")
            client.hub.cut(client)

    def do_resume(self, number: int, hub: int) -> None:
        client = self.by_number[number]
        if client.hub is None:
            self.note(f"RESUME c{number} on hub{hub} from {client.last_id}")
            self.hubs[hub].connect(client)

    def do_drop(self, hub: int, number: int) -> None:
        queue = self.hubs[hub].queue
        if queue:
            frame = queue[number % len(queue)]
            queue.remove(frame)
            self.note(f"LOSE frame {frame.entries[-1].id} to hub{hub}")

    def do_break(self, hub: int) -> None:
        self.hubs[hub].up = False
        self.hubs[hub].queue.clear()
        self.note(f"BREAK Pub/Sub of hub{hub}")

    def do_resub(self, hub: int) -> None:
        self.hubs[hub].up = True

    def do_deaf(self, hub: int) -> None:
        self.hubs[hub].deaf ^= True
        self.note(f"DEAF hub{hub} = {self.hubs[hub].deaf}")

    def do_killhub(self, hub: int) -> None:
        self.note(f"KILL hub{hub}")
        for client in self.clients:
            if client.hub is self.hubs[hub]:
                client.hub.cut(client)
        self.hubs[hub].boot()

    def do_tick(self) -> None:
        self.redis.now += 1

    def do_back(self) -> None:
        self.redis.now = max(1, self.redis.now - 2)
        self.note(f"CLOCK BACK to {self.redis.now}")

    def do_snap(self) -> None:
        self.note(self.redis.snap())

    def do_failover(self) -> None:
        if done := self.redis.failover():
            self.note(done)
            self._disconnect()

    def do_restart(self) -> None:
        self.note(self.redis.restart())
        self._disconnect()

    def do_flushall(self) -> None:
        self.note(self.redis.flush())

    def do_noclock(self) -> None:
        self.note(self.redis.lose_clock())

    def do_trim(self, metric: str) -> None:
        if done := self.redis.trim(metric):
            self.note(done)

    def do_forget(self, metric: str) -> None:
        tail = self.redis.tails().get(metric, 0)
        if done := self.redis.forget(metric):
            self.forgot[metric] = tail
            self.note(done)

    def _disconnect(self) -> None:
        for hub in self.hubs:
            hub.queue.clear()
            hub.up = True

    # -- the end

    def quiesce(self) -> None:
        self.note("--- faults cease")
        for hub in self.hubs:
            hub.deaf, hub.up = False, True
        for client in self.clients:
            if client.hub is None:
                self.hubs[client.number % 2].connect(client)
        for _ in range(8):
            self.redis.now += 4 if self.conflated else 0  # every interval ends some time
            self.redis.clock(self.published)
            for hub in self.hubs:
                self._settle(hub)
            for _ in range(160):
                for client in self.clients:
                    self.receive(client)
                    if client.hub is not None:
                        client.hub.catch_up(client.number)
                for hub in self.hubs:
                    if hub.runnable:
                        hub.run()
                    if hub.fanout.dirty:
                        hub.fanout.flush()
        self._judge()

    def _settle(self, hub: Hub) -> None:
        for _ in range(2):  # the second check fills what the first one found
            for _ in range(400):
                if not hub.runnable:
                    break
                hub.run()
            else:
                raise Bad("L a hub never settles")
            hub.check()

    def _judge(self) -> None:
        for client in self.clients:
            assert client.socket is not None
            if client.socket.events or not client.socket.subscription.live:
                raise Bad(f"L c{client.number} never goes live (cursor {client.socket.subscription.cursor})")
        kept = self.redis.kept()
        flushes = sum(line.startswith(("FLUSHALL", "clock key")) for line in self.log)
        failovers = sum(line.startswith("FAILOVER") for line in self.log)
        for client in self.clients:
            self._judge_announcements(client, flushes, failovers)
            if client.number in EVERY_MS:
                self._judge_sums(client)
                continue
            for acked in self.acked:
                self._judge_batch(client, acked, kept)

    def _judge_sums(self, client: Client) -> None:
        """Every reading lies in exactly one interval; only for schedules in which nothing is lost on purpose."""
        expected: dict[str, tuple[int, int]] = {}
        for acked in self.acked:
            if acked.metric in WANT[client.number]:
                known = expected.get(acked.metric, (0, 0))
                expected[acked.metric] = known[0] + 1, known[1] + acked.batch
        if client.sums != expected:
            raise Bad(f"I1/I5 c{client.number} summed up {client.sums}, published was {expected}")

    def _judge_announcements(self, client: Client, flushes: int, failovers: int) -> None:
        said = client.announced
        if sum(a[0] == "reset" for a in said) > flushes + failovers:
            raise Bad(f"Q1 c{client.number} got more resets than the log was lost: {said}")
        if any(a[0] == "lost" for a in said) and not flushes + failovers:
            raise Bad(f"Q2 c{client.number} got a lost without any lost write: {said}")
        for a in said:
            false = a[0] == "gap" and not any(x.metric == a[1] and a[2] < x.id <= a[3] for x in self.acked)
            if false and not self.forgot:  # a reborn metric may announce a gap that was none: never silence
                raise Bad(f"Q3 c{client.number} got an empty gap {a}")

    def _judge_batch(self, client: Client, acked: Acked, kept: set[int]) -> None:
        if acked.metric not in WANT[client.number] or acked.batch in client.seen:
            return
        gap = any(a[0] == "gap" and a[1] == acked.metric and a[2] < acked.id <= a[3] for a in client.announced)
        if acked.batch in kept and not (self.redis.run and gap):
            raise Bad(f"I1 c{client.number} never got {acked}, still in the log")
        if acked.id <= self.forgot.get(acked.metric, -1):
            return  # forgotten after a silence longer than any retention: nobody can ask for it any more
        if gap or any(a[0] == "reset" and self.redis.older(acked.epoch, a[1]) for a in client.announced):
            return
        if any(a[0] == "lost" and acked.id > a[2] and self.redis.older(acked.epoch, a[1]) for a in client.announced):
            return
        raise Bad(f"I1 c{client.number} silently lost {acked}")


def batch_of(body: bytes) -> int:
    return int(msgspec.json.decode(body)["value"][0])


def play(
    actions: list[Action],
    sizes: Sizes | None = None,
    fanout_class: type[Fanout] = Fanout,
    clients: tuple[int, ...] = (0, 1, 2),
    world_class: type[World] = World,
) -> tuple[str | None, World]:
    """Run a schedule to quiescence; return the invariant that broke, or None, and the world."""
    world = world_class(sizes, fanout_class, clients=clients)
    try:
        for action in actions:
            world.act(action)
        world.quiesce()
    except Bad as bad:
        return str(bad), world
    return None, world
