"""The clients of the world: what each kind asks for, and what it makes of the events it decodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from abstract_log import Acked, Bad

from tidewire.model.cursor import Cursor
from tidewire.model.sse import Decoder
from tidewire.redislog.lineage import Fork
from tidewire_service.hub.subscription import OnSlow

if TYPE_CHECKING:
    from world import Hub, Socket, World

METRICS = ("X", "Y", "Z")


class Kind(NamedTuple):
    """What a client asks for.

    Attributes:
        patterns: as in the query.
        want: the metrics that they select.
        every_ms: 0 for raw batches.
        on_slow: what it gets when its socket was full.
        fresh: it starts without a cursor, with the last reading of each series.
    """

    patterns: tuple[str, ...]
    want: tuple[str, ...]
    every_ms: int = 0
    on_slow: OnSlow = OnSlow.CATCHUP
    fresh: bool = False


KINDS = {
    0: Kind(("X", "Y"), ("X", "Y")),
    1: Kind(("**",), METRICS),
    2: Kind(("X", "Y"), ("X", "Y")),
    3: Kind(("**",), METRICS, every_ms=2),
    4: Kind(("X", "Y"), ("X", "Y"), every_ms=3),
    5: Kind(("**",), METRICS, on_slow=OnSlow.CONFLATE),
    6: Kind(("X", "Y"), ("X", "Y"), fresh=True),
    7: Kind(("**",), METRICS, every_ms=2, fresh=True),
}


class Client:
    """A subscriber with nothing but the bytes and the last id.

    Attributes:
        last_id: as `EventSource` keeps it; all that survives a cut.
        seen: batches that came as data, by number.
        snapshot: batches that came as the last reading of a series since it last started anew.
        sums: metric → how many readings conflated events summed up, and their sum.
        announced: gap (metric, after, upto), lost (epoch, from), reset (epoch), skipped (metric, after, upto).
        anew: how often it began anew, without an id.
        starts: ids at which a fresh stream began to be continuous, each with the lineage.
        beginning: a fresh stream that has no id yet.
        owed: metric → id of its new birth, 0 if it has none, and the cursor that this client, away, had below what was
            forgotten of it.
        high: the last id.
        again: after a reset everything may come again.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.kind = KINDS[number]
        self.last_id = ""
        self.seen: set[int] = set()
        self.snapshot: set[int] = set()
        self.sums: dict[str, tuple[int, int]] = {}
        self.announced: list[tuple[Any, ...]] = []
        self.anew = 0
        self.starts: list[tuple[int, tuple[Fork, ...]]] = []
        self.beginning = self.kind.fresh
        self.owed: dict[str, tuple[int, int]] = {}
        self.high = 0
        self.again = False
        self.hub: Hub | None = None
        self.socket: Socket | None = None
        self.decoder = Decoder()

    def __str__(self) -> str:
        return f"c{self.number}"

    def connected(self, hub: Hub, socket: Socket) -> None:
        """Begin a session; without a last id it begins anew."""
        self.hub, self.socket, self.decoder = hub, socket, Decoder(self.last_id)
        # a hub that has not heard of the new birth cannot tell of it before the cursor has passed; nor can a ring that
        # was filled without what was forgotten meanwhile: only the log says what a metric's past was
        floor = hub.partition.ring_floor
        self.owed = {
            m: (born, at) for m, (born, at) in self.owed.items() if born <= hub.partition.flushed and at < floor
        }
        if not self.last_id:
            self.anew += 1
            self.beginning = True
            self.snapshot.clear()

    def consume(self, world: World, chain: tuple[Fork, ...], event: Any) -> None:
        """Consume one decoded event that was handed out while the hub was in a lineage."""
        epoch = chain[-1].epoch
        data = msgspec.json.decode(event.data)
        match event.event:
            case "message" if event.own_id is None:
                self._consume_reading(world, data)
            case "message" if "every_ms" in data:
                self._consume_interval(world, Cursor.parse(event.own_id), data["batches"])
            case "message":
                self._consume_batch(world, Cursor.parse(event.own_id), data)
            case "gap" if data["kind"] == "trimmed":
                first, last = Cursor.parse(data["from"]).id, Cursor.parse(data["to"]).id
                self.announced.append(("gap", data["metric"], first, last))
            case "gap":
                first, last = Cursor.parse(data["from"]).id, Cursor.parse(data["to"]).id
                if last < first:
                    raise Bad(f"Q4 {self} got a loss that ends before it begins: {data}")
                self.announced.append(("lost", epoch, first))
                self.high = Cursor.parse(event.own_id).id
            case "reset":
                self._consume_reset(epoch, event.own_id)
            case "skipped":
                if data["metric"] is None or data["count"] < 1 or self.kind.on_slow is not OnSlow.CONFLATE:
                    raise Bad(f"Q5 {self} was told of something skipped: {data}")
                first, last = Cursor.parse(data["from"]).id, Cursor.parse(data["to"]).id
                self.announced.append(("skipped", data["metric"], first - 1, last))
        if self.beginning and event.own_id and event.event != "reset":
            self._begun(world, Cursor.parse(event.own_id), chain)

    def _consume_reset(self, epoch: str, own_id: str | None) -> None:
        self.announced.append(("reset", epoch))
        self.high, self.again = Cursor.parse(own_id).id if own_id else 0, True
        if self.kind.fresh:
            self.beginning = True
            self.snapshot.clear()

    def _consume_batch(self, world: World, cursor: Cursor, data: dict[str, Any]) -> None:
        batch = int(data["value"][0])
        self._rises(cursor)
        self._new(batch)
        if data["metric"] not in self.kind.want or world.names.get(tuple(cursor)) != batch:
            raise Bad(f"I2/I4 {self} got {cursor} as batch {batch}, it names {world.names.get(tuple(cursor))}")
        self.seen.add(batch)

    def _consume_interval(self, world: World, cursor: Cursor, batches: list[dict[str, Any]]) -> None:
        before = self.high
        self._rises(cursor)
        if tuple(cursor) not in world.names:
            raise Bad(f"I2 {self} got {cursor}, which names no batch")
        for batch in batches:
            metric, count = batch["metric"], batch["count"][0]
            if metric not in self.kind.want:
                raise Bad(f"I2 {self} got {metric}")
            known = self.sums.get(metric, (0, 0))
            self.sums[metric] = known[0] + count, known[1] + round(batch["mean"][0] * count)
            if world.labelled:  # each batch is a series of its own: the interval says which it holds
                number = int(batch["value"][0])
                id_ = world.acked[number - 1].id
                if count != 1 or not before < id_ <= cursor.id:
                    raise Bad(f"I3 {self} got batch {number} with id {id_} {count} times in ({before}, {cursor.id}]")
                self._new(number)
                self.seen.add(number)

    def _consume_reading(self, world: World, data: dict[str, Any]) -> None:
        batch = int(data["value"][0])
        if not self.beginning or data["metric"] not in self.kind.want or not 0 < batch <= world.batches:
            raise Bad(f"I2 {self} got batch {batch} as a last reading")
        if batch in self.snapshot:
            raise Bad(f"I5 {self} got batch {batch} twice as a last reading")
        self.snapshot.add(batch)

    def _rises(self, cursor: Cursor) -> None:
        if cursor.id <= self.high:
            raise Bad(f"I3 {self} got {cursor} after {self.high}")
        self.high = cursor.id

    def _new(self, batch: int) -> None:
        if (batch in self.seen and not self.again) or (self.beginning and batch in self.snapshot):
            raise Bad(f"I5 {self} got batch {batch} twice")

    def _begun(self, world: World, cursor: Cursor, chain: tuple[Fork, ...]) -> None:
        """From this id on the stream is continuous; the last reading of each series up to it must be here."""
        self.beginning = False
        self.starts.append((cursor.id, chain))
        if world.losses_at.get(cursor.epoch) != world.losses:
            return  # what was lost since this epoch began is announced by a `lost` or another reset
        newest: dict[int | str, Acked] = {}
        for acked in world.acked:
            if acked.metric in self.kind.want:
                newest[acked.batch if world.labelled else acked.metric] = acked
        for acked in newest.values():  # what is newer than the cursor follows it
            if (
                acked.epoch == cursor.epoch
                and acked.id <= cursor.id
                and acked.batch not in self.snapshot | self.seen
                and not self.told_of(acked)
            ):
                raise Bad(f"I1 {self} began at {cursor} without {acked}, the last of its series")

    def told_of(self, acked: Acked) -> bool:
        """Tell whether a gap or something skipped was announced that holds a batch."""
        return any(
            a[0] in {"gap", "skipped"} and a[1] in {acked.metric, None} and a[2] < acked.id <= a[3]
            for a in self.announced
        )
