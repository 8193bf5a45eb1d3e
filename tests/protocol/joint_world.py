"""Two partitions, each a world of its own, and clients whose streams join them: the real `JointSubscription`.

Each partition has its own log, lineage, feed and faults, and its own ledger of each client. What joins them is the
socket, the id of an event, which names both, and the flush of a hub, which is one write. An event is given to the
ledger of its partition under the component that is its own; a client that is cut has nothing but the whole id.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent))
import hunt
import msgspec
from abstract_log import Bad
from consumers import KINDS, Client
from verdict import check_ledgers
from world import EVERYTHING, Action, Hub, Operation, Sizes, Socket, World

from tidewire.model.cursor import Cursor
from tidewire.model.sse import Decoder
from tidewire.model.vector_cursor import VectorCursor, position_in
from tidewire_service.hub import hub as hubs
from tidewire_service.hub.joint_subscription import Cork, JointSubscription, PartSubscription
from tidewire_service.hub.subscription import Replay, Subscription, SubscriptionRequest

__all__ = ["JointCase", "JointWorld", "hunt_joint", "made"]

PARTITIONS = 2
LAYOUT = 1


class PartHub(Hub):
    """What a process has of one partition."""

    joint: JointHub

    def fell_back(self, subscription: Subscription) -> None:
        self.joint.fell_back(self, subscription)

    def boot(self) -> None:
        super().boot()
        self.partition.number, self.partition._layout = self.world.number, LAYOUT  # type: ignore[attr-defined]


class PartWorld(World):
    """One partition: the log, what two processes have of it, and the ledgers of the clients."""

    hub_class = PartHub

    def __init__(
        self, number: int, sizes: Sizes, clients: tuple[int, ...], *, labelled: bool, story: list[str]
    ) -> None:
        self.number = number
        super().__init__(sizes, clients=(), labelled=labelled)
        self.time_ms += number
        self.log = _Named(story, f"p{number} ")
        self.conflated = any(KINDS[one].every_ms for one in clients)
        self.clients = [Client(one) for one in clients]
        self.by_number = {client.number: client for client in self.clients}


class _Named(list[str]):
    """The story of a partition, which is told in that of both, too."""

    def __init__(self, story: list[str], name: str) -> None:
        super().__init__()
        self._story, self._name = story, name

    def append(self, line: str) -> None:
        super().append(line)
        self._story.append(self._name + line)


class JointSocket(Socket):
    """A socket that remembers of each event in which lineages it was handed over."""

    def __init__(self, hub: JointHub, cap: int) -> None:
        super().__init__(hub.parts[0], cap)
        self.joint_hub = hub
        self.joint: JointSubscription

    def _put(self, data: bytes) -> None:
        chains = tuple(part.partition.chain for part in self.joint_hub.parts)
        for block in data.split(b"\n\n")[:-1]:
            self.events.append((chains, block + b"\n\n"))  # type: ignore[arg-type]


class _Seat:
    """What the ledger of one partition sees of a client's socket."""

    def __init__(self, socket: JointSocket, subscription: PartSubscription) -> None:
        self.socket, self.subscription = socket, subscription

    @property
    def events(self) -> Any:
        return self.socket.events


class JointClient:
    """A client with nothing but the bytes and the last id, and a ledger in each partition."""

    def __init__(self, number: int, ledgers: Sequence[Client]) -> None:
        self.number, self.kind, self.ledgers = number, KINDS[number], ledgers
        self.last_id = ""
        self.hub: JointHub | None = None
        self.socket: JointSocket | None = None
        self.decoder = Decoder()

    def remember(self, last_id: str) -> None:
        self.last_id = last_id
        vector = VectorCursor.parse(last_id) if last_id else None
        for number, ledger in enumerate(self.ledgers):
            found = None if vector is None else vector.part(number)
            ledger.last_id = "" if found is None else str(_whole(found))


def _whole(cursor: Cursor) -> Cursor:
    return Cursor(cursor.epoch[:5] + "xy", cursor.id)


def _text(text: str | None, number: int) -> str | None:
    """Return the component of a partition as the text of a cursor of one partition; empty if there is none."""
    if not text:
        return text
    found = VectorCursor.parse(text).part(number)
    return "" if found is None else str(_whole(found))


class JointHub:
    """One process: what it has of each partition, and the streams that join them."""

    def __init__(self, world: JointWorld, number: int) -> None:
        self.world, self.number = world, number
        self.parts = [part.hubs[number] for part in world.parts]
        for part in self.parts:
            part.joint = self  # type: ignore[attr-defined]
        self.begin()

    def begin(self) -> None:
        self.cork = Cork()
        self.catching: dict[tuple[int, int], Operation] = {}
        self.sockets: dict[int, JointSocket] = {}

    def fell_back(self, part: PartHub, subscription: Subscription) -> None:
        for client, socket in self.sockets.items():
            if socket.joint is subscription.owner:
                self.catching[client, part.world.number] = Operation(part, subscription.catch_up(), socket)  # type: ignore[attr-defined]

    def connect(self, client: JointClient) -> None:
        socket, kind = JointSocket(self, self.world.sizes.cap), client.kind
        request = SubscriptionRequest(
            patterns=kind.patterns,
            replay=Replay("last") if kind.fresh else EVERYTHING,
            cursor=VectorCursor.parse(client.last_id) if client.last_id else None,
            every_ms=kind.every_ms,
            on_slow=kind.on_slow,
        )
        joint = JointSubscription(LAYOUT, socket, request, self.cork, {})
        socket.joint = joint
        socket.subscription = joint  # type: ignore[assignment]
        client.hub, client.socket, client.decoder = self, socket, Decoder(client.last_id)
        self.sockets[client.number] = socket
        for number, part in enumerate(self.parts):
            own = hubs._resumed(request, number, LAYOUT)
            place = part.fanout.attach(own, joint.sink_of(number), make=joint.join)
            assert isinstance(place, PartSubscription)
            client.ledgers[number].connected(part, _Seat(socket, place))  # type: ignore[arg-type]
            self.catching[client.number, number] = Operation(part, place.run(), socket)

    def cut(self, client: JointClient) -> None:
        socket = self.sockets.pop(client.number, None)
        for number, part in enumerate(self.parts):
            self.catching.pop((client.number, number), None)
            if socket is not None:
                place = next(place for place in socket.joint.parts if place.partition is part.partition)
                part.fanout.detach(place)
        client.hub = client.socket = None
        for ledger in client.ledgers:
            ledger.hub = ledger.socket = None

    def catch_up(self, client: int, number: int) -> None:
        operation = self.catching.get((client, number))
        if operation is None:
            return
        operation.step()
        if operation.done and self.catching.get((client, number)) is operation:
            del self.catching[client, number]

    def flush(self) -> None:
        with self.cork.holding():
            for part in self.parts:
                if part.fanout.dirty:
                    part.fanout.flush()
                    self.cork.flushed()


class JointWorld:
    """Both partitions, two processes, three clients; actions as those of `World`, with a partition where it matters."""

    def __init__(
        self, sizes: Sizes | None = None, clients: tuple[int, ...] = (0, 1, 2), labelled: bool = False
    ) -> None:
        self.sizes = sizes or Sizes()
        self.steps = 0
        self.log: list[str] = []
        self.parts = [
            PartWorld(number, self.sizes, clients, labelled=labelled, story=self.log) for number in range(PARTITIONS)
        ]
        starts = [part.redis.clock() for part in self.parts]
        self.hubs = [JointHub(self, 0), JointHub(self, 1)]
        self.clients = [JointClient(number, [part.by_number[number] for part in self.parts]) for number in clients]
        self.by_number = {client.number: client for client in self.clients}
        beginning = VectorCursor.of(LAYOUT, ((n, Cursor(clock.epoch, 0)) for n, clock in enumerate(starts)))
        for client in self.clients:
            client.remember("" if client.kind.fresh else str(beginning))
            self.hubs[0].connect(client)

    # -- what a client sees

    def receive(self, client: JointClient) -> None:
        if client.socket is None or not client.socket.events:
            return
        chains, block = client.socket.pop()
        for event in client.decoder.feed(block):
            client.remember(client.decoder.last_event_id)
            self.log.append(f"   c{client.number} <- {event.event} {event.own_id} {event.data[:90]}")
            self._consume(client, chains, event)

    def _consume(self, client: JointClient, chains: Any, event: Any) -> None:
        data = msgspec.json.decode(event.data)
        number = self._concerned(event, data)
        if number is not None:
            for name in ("from", "to"):
                if data.get(name):
                    data[name] = _text(data[name], number)
            own_id = _text(event.own_id, number)
            told = event._replace(own_id=own_id, data=msgspec.json.encode(data).decode())
            client.ledgers[number].consume(self.parts[number], chains[number], told)
        vector = VectorCursor.parse(event.own_id) if event.own_id else None
        for other, ledger in enumerate(client.ledgers):
            found = None if vector is None else position_in(vector, other)
            if ledger.beginning and found is not None and event.event != "reset":
                ledger._begun(self.parts[other], _whole(found), chains[other])

    def _concerned(self, event: Any, data: Any) -> int | None:
        match event.event:
            case "hello" | "live" | "stalled":
                return None
            case "reset":
                return int(data["partition"])
            case "gap" | "skipped" if data["from"]:
                return VectorCursor.parse(data["from"]).own.partition
            case "message" if event.own_id:
                return VectorCursor.parse(event.own_id).own.partition
        times: list[float] = data["batches"][0]["time"] if "batches" in data else data["time"]
        return round(times[0] - World.time_ms)

    # -- actions

    def act(self, action: Action) -> None:
        self.steps += 1
        name, *words = action
        if name == "in":  # of one partition
            number, inner = words
            self.parts[number].act(inner)
        else:
            getattr(self, f"do_{name}")(*words)

    def do_flush(self, hub: int) -> None:
        self.log.append(f"hub{hub} flush")
        self.hubs[hub].flush()

    def do_rest(self, hub: int, number: int | None = None) -> None:
        for part in self.hubs[hub].parts if number is None else [self.hubs[hub].parts[number]]:
            for _ in range(100):
                if not part.runnable:
                    break
                part.run()
        self.do_flush(hub)

    def do_sub(self, client: int, number: int) -> None:
        hub = self.by_number[client].hub
        if hub is not None:
            hub.catch_up(client, number)

    def do_recv(self, client: int) -> None:
        self.receive(self.by_number[client])

    def do_go(self, client: int, steps: int = 12) -> None:
        for _ in range(steps):
            for number in range(PARTITIONS):
                self.do_sub(client, number)
            self.do_recv(client)

    def do_cut(self, client: int) -> None:
        one = self.by_number[client]
        if one.hub is not None:
            self.log.append(f"CUT c{client} at {one.last_id}")
            one.hub.cut(one)

    def do_resume(self, client: int, hub: int) -> None:
        one = self.by_number[client]
        if one.hub is None:
            self.log.append(f"RESUME c{client} on hub{hub} from {one.last_id}")
            self.hubs[hub].connect(one)

    def do_killhub(self, hub: int) -> None:
        self.log.append(f"KILL hub{hub}")
        for client in self.clients:
            if client.hub is self.hubs[hub]:
                client.hub.cut(client)
        for part in self.hubs[hub].parts:
            part.boot()
        self.hubs[hub].begin()

    def do_away(self, hub: int, number: int) -> None:
        """Tell the streams of a process that a partition does not answer; that it does not, other actions decide."""
        for socket in self.hubs[hub].sockets.values():
            socket.joint.say_away(number, 0.0)

    def do_present(self, hub: int, number: int) -> None:
        for socket in self.hubs[hub].sockets.values():
            socket.joint.say_back(number)

    # -- the end

    def quiesce(self) -> None:
        self.log.append("--- faults cease")
        for part in self.parts:
            for inner in part.hubs:
                inner.deaf, inner.up = False, True
        for client in self.clients:
            if client.hub is None:
                self.hubs[client.number % 2].connect(client)
        for hub in range(2):
            for number in range(PARTITIONS):
                self.do_present(hub, number)
        for _ in range(8):
            self._come_to_rest()
        for client in self.clients:
            assert client.socket is not None
            if not client.socket.joint.live or client.socket.joint.announce:
                raise Bad(f"L c{client.number} is never said to be live")
        for part in self.parts:
            check_ledgers(part)

    def _come_to_rest(self) -> None:
        for part in self.parts:
            part.redis.now += 4 if part.conflated else 0
            part.redis.clock(part.published)
            for inner in part.hubs:
                part._settle(inner)
        for _ in range(160):
            for client in self.clients:
                self.do_go(client.number, 1)
            for joint_hub in self.hubs:
                for inner in joint_hub.parts:
                    if inner.runnable:
                        inner.run()
                joint_hub.flush()


class JointCase(NamedTuple):
    """A schedule and the world that it is played in."""

    actions: list[Action]
    sizes: Sizes
    clients: tuple[int, ...] = (0, 1, 2)
    labelled: bool = False

    def play(self) -> tuple[str | None, JointWorld]:
        world = JointWorld(self.sizes, self.clients, self.labelled)
        try:
            for action in self.actions:
                world.act(action)
            world.quiesce()
        except Bad as bad:
            return str(bad), world
        return None, world


def _joint(rng: random.Random, action: Action) -> Action:
    """Return an action of one world as one of two partitions."""
    name = action[0]
    if name in {"flush", "recv", "cut", "resume", "killhub"}:
        return action
    if name == "sub":
        return ("sub", action[1], rng.randrange(PARTITIONS))
    if name in {"rest", "go"}:
        return action if name == "go" or rng.random() < 0.5 else (*action, rng.randrange(PARTITIONS))
    return ("in", rng.randrange(PARTITIONS), action)


_AWAY: list[Action] = [(name, h, n) for name in ("away", "present") for h in (0, 1) for n in range(PARTITIONS)]


def made(seed: int) -> JointCase:
    """Return the case of a seed."""
    case = hunt.made(seed)
    rng = random.Random(seed + 1)
    actions = [_joint(rng, action) for action in case.actions]
    for _ in range(rng.randint(0, 3)):
        actions.insert(rng.randrange(len(actions) + 1), rng.choice(_AWAY))
    return JointCase(actions, case.sizes, case.clients, case.labelled)


def hunt_joint(seed: int, seconds: float, schedules: int = sys.maxsize) -> int:
    """Play random schedules; return how many break something, each told with a short schedule that does."""
    started, tried, steps, found = time.monotonic(), 0, 0, 0
    by_cast: Counter[tuple[int, ...]] = Counter()
    while time.monotonic() - started < seconds and found < 3 and tried < schedules:
        case = made(seed + tried)
        bad, world = case.play()
        tried, steps = tried + 1, steps + world.steps
        by_cast[case.clients] += world.steps
        if bad:
            found += 1
            case = hunt.shrink(case, bad[:2])  # type: ignore[assignment,arg-type]
            bad, world = case.play()
            print(f"SEED {seed + tried - 1} {case}\n  {bad}")
            print("\n".join(f"    {line}" for line in world.log), flush=True)
    print(f"seed {seed}: {tried} schedules, {steps} actions, {found} counterexamples", flush=True)
    return found


if __name__ == "__main__":
    sys.exit(
        hunt_joint(int(sys.argv[1]) if len(sys.argv) > 1 else 0, float(sys.argv[2]) if len(sys.argv) > 2 else 30.0)
    )
