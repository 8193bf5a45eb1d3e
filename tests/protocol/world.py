"""A world in which the real hub and subscription code runs over an abstract log, one step of anything at a time.

One Redis (clock, lineage, per-metric logs that are trimmed, directory, a replica snapshot, Pub/Sub queues), two hubs
made of the real `Fanout` and `ContinuityTracker`, three clients that decode real SSE bytes (two share one selection),
sockets of `cap` events that park what does not fit. Every request of the core (each clock read, the directory, each
metric of a page, each sync, wait and drain) is answered in a step of its own, so that a schedule, a plain list of
actions, decides every race. After a schedule the faults cease, everything runs to quiescence, and the ledgers are
compared.

Invariants: I1 no silent loss (retained: delivered; not retained: announced), I2 nothing that was not published, I3 ids
rise unless announced, I4 an id names one batch, I5 no duplicate unless announced, L everything quiesces, Q
announcements are true.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from abstract_log import Acked, Bad, Redis, batch_of
from consumers import KINDS, METRICS, Client
from verdict import check_ledgers

from tidewire.model.cursor import Cursor
from tidewire.redislog.calls import Entry
from tidewire.redislog.lineage import Clock, Fork, Watermark
from tidewire_service.hub import fanout as fanouts
from tidewire_service.hub import page_reading as page_readings
from tidewire_service.hub import subscription as subscriptions
from tidewire_service.hub.continuity import ContinuityTracker
from tidewire_service.hub.effects import Drain, ReadClock, ReadEntries, ReadLast, ReadTails, SyncClock, Turn, Wait
from tidewire_service.hub.event_ring import EventRing
from tidewire_service.hub.fanout import Fanout
from tidewire_service.hub.live_frame import LiveFrame
from tidewire_service.hub.partition import Partition
from tidewire_service.hub.subscription import Replay, Subscription, SubscriptionRequest

__all__ = [
    "METRICS",
    "Acked",
    "Action",
    "Bad",
    "Client",
    "Entry",
    "Fork",
    "Operation",
    "Redis",
    "Sizes",
    "World",
    "batch_of",
    "play",
]

EVERYTHING = Replay("span", 1e15)
Action = tuple[Any, ...]


@dataclass(frozen=True)
class Sizes:
    """How small the world is: everything that bounds something."""

    log_length: int = 3
    cap: int = 2
    page: int = 1
    ring: int = 2
    fill_page: int = 500
    part: int = 4_096  # metrics or batches between two turns


def shared_by(request: ReadEntries) -> ReadEntries:
    """Return what two subscriptions must have in common to share one read, as `LogReads.shared` does."""
    return request


class Reading:
    """Reads that belong together, one a step, and the clock at their end: all at the server at which they begin."""

    def __init__(self, hub: Hub) -> None:
        self.demoted, hub.lags = hub.lags, False
        self.found: list[Any] = []
        self.clock: Clock | None = None


def answering_clock(world: World, reading: Reading, watermark: Watermark | None) -> Clock | None:
    """Return the clock that ends a read; None: a demoted server answers READONLY, and all is read again."""
    return None if reading.demoted else world.redis.clock(watermark)


class Operation:
    """A generator of the core whose requests are answered one step at a time."""

    def __init__(self, hub: Hub, effects: Any, sink: Socket | None = None) -> None:
        self.hub, self.effects, self.sink = hub, effects, sink
        self.done = False
        self.request: Any = None
        self.reading: Reading | None = None
        self.sync: list[Clock] | None = None
        self._send(None)

    def _send(self, answer: Any) -> None:
        try:
            self.request = self.effects.send(answer)
        except StopIteration:
            self.done = True
        self.reading, self.sync = None, None

    def step(self) -> None:
        redis, request = self.hub.world.redis, self.request
        match request:
            case ReadClock(watermark):
                self._send(redis.clock(watermark))
            case ReadTails():
                self._read(1, lambda data, _: data.tails())
            case ReadEntries(positions, page):
                self._read(len(positions), lambda data, number: data.entries(*positions[number], page))
            case ReadLast(metrics):
                self._read(len(metrics), lambda data, number: data.last_readings(metrics[number]))
            case SyncClock():
                if self.sync is None:
                    self.sync = []
                    self.hub.syncs.append(self.sync)
                elif self.sync:
                    self._send(self.sync[0])
            case Wait() | Turn():
                self._send(None)
            case Drain():
                assert self.sink is not None
                if self.sink.parked is None:
                    self.sink.subscription.written()
                    self._send(None)
            case _:
                raise TypeError(request)

    def _read(self, count: int, read: Callable[[Any, int], Any]) -> None:
        """Make the next of `count` reads, or read the clock that ends them and answer with all of it."""
        world, key = self.hub.world, None
        if isinstance(self.request, ReadEntries) and self.sink is not None:
            key = shared_by(self.request)
        if self.reading is None:
            self.reading = self.hub.reading.setdefault(key, Reading(self.hub)) if key else Reading(self.hub)
        reading = self.reading
        if len(reading.found) < count:
            redis = world.redis
            reading.found.append(read(redis.demoted if reading.demoted else redis, len(reading.found)))
            return
        if reading.clock is None:
            if key and self.hub.reading.get(key) is reading:
                del self.hub.reading[key]
            reading.clock = answering_clock(world, reading, self.hub.partition.watermark)
        if reading.clock is None:
            world.note(f"hub{self.hub.number} read at a demoted server")
            self.reading = None
            return
        found = reading.found[0] if isinstance(self.request, ReadTails) else reading.found
        self._send((found, reading.clock))


class Socket:
    """A socket that holds `cap` events; what comes beyond is parked and flows in when there is room."""

    def __init__(self, hub: Hub, cap: int) -> None:
        self.hub, self.cap = hub, cap
        self.events: deque[tuple[tuple[Fork, ...], bytes]] = deque()
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
            self.events.append((self.hub.partition.chain, block + b"\n\n"))

    def pop(self) -> tuple[tuple[Fork, ...], bytes]:
        event = self.events.popleft()
        if self.parked is not None and len(self.events) < self.cap:
            data, self.parked = self.parked, None
            self._put(data)
        return event


class Hub:
    """One process: the real fan-out, its queue of live frames, and one running operation of the tracker."""

    def __init__(self, world: World, number: int) -> None:
        self.world, self.number = world, number
        self.boot()

    def boot(self) -> None:
        self.queue: deque[LiveFrame] = deque()
        self.up, self.deaf = True, False
        self.syncs: list[list[Clock]] = []
        self.reading: dict[ReadEntries, Reading] = {}
        self.lags = False  # the connection of the next read still leads to the demoted server
        self.catching: dict[int, Operation] = {}
        self.sockets: dict[int, Socket] = {}
        sizes = self.world.sizes
        self.partition = Partition(EventRing(0, max_batches=sizes.ring))
        self.fanout = self.world.fanout_class(
            self.partition,
            log_time_ms=lambda: float(self.world.redis.now),
            fell_back=self.fell_back,
            log_page=sizes.page,
        )
        self.tracker = ContinuityTracker(self.partition, self.fanout, fill_page=sizes.fill_page)
        self.operation: Operation | None = Operation(self, self.tracker.start())
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
        return self.operation is not None or bool(self.queue) or bool(self.syncs)

    def run(self) -> None:
        if self.operation is None:
            if self.syncs:
                self.answering, self.syncs = self.syncs, []
                self.operation = Operation(self, self.tracker.sync())
            elif self.queue:
                self.answering = []
                self.operation = Operation(self, self.tracker.on_frame(self.queue.popleft()))
            else:
                return
        else:
            self.operation.step()
        self._finish()

    def _finish(self) -> None:
        if self.operation is not None and self.operation.done:
            self.operation = None
            clock = self.partition.clock
            assert clock is not None
            self.fanout.close_intervals()
            for sync in self.answering:
                sync.append(clock)
            self.answering = []

    def check(self) -> None:
        if self.operation is None:
            self.answering = []
            self.operation = Operation(self, self.tracker.check())
            self._finish()

    def connect(self, client: Client) -> None:
        socket, kind = Socket(self, self.world.sizes.cap), client.kind
        resume = Cursor.parse(client.last_id) if client.last_id else None
        request = SubscriptionRequest(
            patterns=kind.patterns,
            replay=Replay("last") if kind.fresh else self.world.replay,
            cursor=resume,
            every_ms=kind.every_ms,
            on_slow=kind.on_slow,
        )
        socket.subscription = self.fanout.attach(request, socket)
        self.sockets[client.number] = socket
        self.catching[client.number] = Operation(self, socket.subscription.run(), socket)
        client.connected(self, socket)

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


class World:
    redis_class: type[Redis] = Redis
    hub_class: type[Hub] = Hub
    time_ms = 1.7e12  # of every reading

    def __init__(
        self,
        sizes: Sizes | None = None,
        fanout_class: type[Fanout] = Fanout,
        replay: str = "",
        clients: tuple[int, ...] = (0, 1, 2),
        labelled: bool = False,
    ) -> None:
        self.replay = Replay(replay) if replay else EVERYTHING
        self.sizes = sizes or Sizes()
        part = self.sizes.part
        subscriptions._ENCODED = page_readings.LOOKED_AT = fanouts._ENTERS_AT_ONCE = part
        self.fanout_class = fanout_class
        self.conflated = any(KINDS[number].every_ms for number in clients)
        self.labelled = labelled
        self.losses = 0
        self.losses_at: dict[str, int] = {}
        self.acked: list[Acked] = []
        self.names: dict[tuple[str, int], int] = {}
        self.batches = self.steps = 0
        self.log: list[str] = []
        self.forgot: dict[str, int] = {}
        self.hubs: list[Hub] = []
        self.redis = self.redis_class(self)
        start = self.redis.clock()
        self.published: Watermark | None = None
        self.hubs = [self.hub_class(self, 0), self.hub_class(self, 1)]
        self.clients = [Client(number) for number in clients]
        self.by_number = {client.number: client for client in self.clients}
        for client in self.clients:
            client.last_id = "" if client.kind.fresh else f"{start.epoch}.0-0"
            self.hubs[0].connect(client)

    def note(self, line: str) -> None:
        self.log.append(line)

    # -- what a client sees

    def receive(self, client: Client) -> None:
        if client.socket is None or not client.socket.events:
            return
        chain, block = client.socket.pop()
        for event in client.decoder.feed(block):
            client.last_id = client.decoder.last_event_id
            self.note(f"   c{client.number} <- {event.event} {event.own_id} {event.data[:90]}")
            client.consume(self, chain, event)

    # -- actions

    def act(self, action: Action) -> None:
        self.steps += 1
        getattr(self, f"do_{action[0]}")(*action[1:])

    def do_append(self, *metrics: str) -> None:
        known = self.redis.tails()
        self.published = self.redis.append(metrics, self.published)
        for metric in (m for m in metrics if m not in known and m in self.forgot):
            for client in self.clients:
                at = Cursor.parse(client.last_id).id if client.last_id else self.forgot[metric]
                if client.hub is None and at < self.forgot[metric]:
                    client.owed[metric] = self.redis.tails()[metric], at

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

    def do_rest(self, number: int) -> None:
        """Let a hub do all it has to do, and flush."""
        hub = self.hubs[number]
        for _ in range(100):
            if not hub.runnable:
                break
            hub.run()
        self.do_flush(number)

    def do_go(self, number: int, steps: int = 12) -> None:
        """Let a subscription go on for some steps, and its client take what comes."""
        client = self.by_number[number]
        for _ in range(steps):
            if client.hub is not None:
                client.hub.catch_up(number)
            self.receive(client)

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
            self._lose()
            self.note(done)
            self._disconnect()

    def do_restart(self) -> None:
        self.note(self.redis.restart())
        self._disconnect()

    def do_demote(self) -> None:
        """Fail over and lose nothing; the server of before lives on and hears nothing more."""
        self.note(self.redis.demote())
        self._disconnect()

    def do_lag(self, hub: int) -> None:
        self.hubs[hub].lags = self.redis.demoted is not None

    def do_flushall(self) -> None:
        self._lose()
        self.note(self.redis.flush())

    def do_goback(self) -> None:
        if done := self.redis.go_back():
            self._lose()
            self.note(done)

    def do_nodirectory(self, metric: str) -> None:
        if self.redis.tails().keys() & ({metric} if metric else self.redis.tails().keys()):
            self._lose()
            self.note(self.redis.lose_directory(metric))

    def do_noclock(self) -> None:
        self._lose()
        self.note(self.redis.lose_clock())

    def do_trim(self, metric: str) -> None:
        if done := self.redis.trim(metric):
            self.note(done)

    def do_delete(self, metric: str, place: int) -> None:
        if done := self.redis.delete(metric, place):
            self.note(done)

    def do_forget(self, metric: str) -> None:
        tail = self.redis.tails().get(metric, 0)
        if done := self.redis.forget(metric):
            self.forgot[metric] = tail
            self.losses += 1
            self.note(done)
            for client in self.clients:
                client.owed.pop(metric, None)
                if client.hub is None and client.last_id and (at := Cursor.parse(client.last_id).id) < tail:
                    client.owed[metric] = 0, at

    def _lose(self) -> None:
        self.losses += 1
        for client in self.clients:
            client.owed.clear()

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
        check_ledgers(self)

    def _settle(self, hub: Hub) -> None:
        for _ in range(2):  # the second check fills what the first one found
            for _ in range(400):
                if not hub.runnable:
                    break
                hub.run()
            else:
                raise Bad("L a hub never settles")
            hub.check()


def play(
    actions: list[Action],
    sizes: Sizes | None = None,
    fanout_class: type[Fanout] = Fanout,
    clients: tuple[int, ...] = (0, 1, 2),
    world_class: type[World] = World,
    labelled: bool = False,
) -> tuple[str | None, World]:
    """Run a schedule to quiescence; return the invariant that broke, or None, and the world."""
    world = world_class(sizes, fanout_class, clients=clients, labelled=labelled)
    try:
        for action in actions:
            world.act(action)
        world.quiesce()
    except Bad as bad:
        return str(bad), world
    return None, world
