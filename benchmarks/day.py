"""A day of what a machine sends, at 100 times its speed, with a ledger: `python benchmarks/day.py [--full]`.

Glances, with all its plugins and by its own InfluxDB client, and Debian's node exporter watch this machine for two
minutes, unmodified. Their bodies are sent again, one after the other, until a day has passed: a body of Glances each
2 s and a scrape each 15 s, 100 times as fast, or as fast as one client of each gets answers. Without `--full` it is an
hour, with `--hours 4` so many.

One stream of everything is the ledger: each series must show each of its values once, in order. What is expected of a
body is told by parsers that are not ours.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import httpx
import msgspec
from rig.contenders import tidewire
from rig.processes import LOAD, SERVER, Child, Redis, Usage, free_port
from rig.recordings import Key, Recording, Shown, record_exporter, record_glances
from rig.results import Aim, Section, arguments

from tidewire.model.batch import FINISHED

SPEED, RECORDED_S = 100, 120.0
GLANCES_S, SCRAPE_S = 2.0, 15.0
KEPT_S = 120  # of the log: it is read as it grows
OURS = {"up", "scrape_duration_seconds", "scrape_samples_scraped"}  # what a scrape says of itself
QUIET_S = 5.0


class Event(msgspec.Struct):
    """One event of the stream."""

    metric: str
    value: list[float | None]
    labels: dict[str, str] = {}
    text: list[str | None] | None = None


class Ledger:
    """Holds what each series must show, and compares it with what it shows.

    Attributes:
        seen: readings that came.
        wrong: first sentences on what was not as expected.
        unknown: readings of series of which nothing was expected.
    """

    def __init__(self, *recordings: Recording) -> None:
        self._values: dict[Key, list[Shown]] = {}
        self._at: Counter[Key] = Counter()
        self.seen = 0
        self.wrong: list[str] = []
        self.unknown: Counter[str] = Counter()
        for recording in recordings:
            for key, value in itertools.chain.from_iterable(recording.readings):
                self._values.setdefault(key, []).append(value)

    def take(self, event: Event) -> None:
        """Compare an event with what its series must show next."""
        if event.metric in OURS or event.text == [FINISHED]:
            return
        key = (event.metric, frozenset(event.labels.items()))
        expected = self._values.get(key)
        if expected is None:
            self.unknown[event.metric] += len(event.value)
            return
        texts = event.text or [None] * len(event.value)
        for value, text in zip(event.value, texts, strict=True):
            wanted, shown = expected[self._at[key] % len(expected)], text if value is None else value
            self._at[key] += 1
            self.seen += 1
            if wanted != shown and len(self.wrong) < 20:
                self.wrong.append(f"{event.metric} {event.labels}, reading {self._at[key]}: {shown}, not {wanted}")

    def missing(self, sent: Mapping[Key, int]) -> int:
        """Return how many readings of each series were lost, or came twice, of those that were sent."""
        return sum(abs(count - self._at[key]) for key, count in sent.items())


def sent_readings(recording: Recording, count: int) -> Counter[Key]:
    """Return how many readings of each series the first `count` bodies hold, the recording being repeated."""
    found: Counter[Key] = Counter()
    rounds, rest = divmod(count, len(recording.bodies))
    for number, readings in enumerate(recording.readings):
        times = rounds + (number < rest)
        for key, _ in readings:
            found[key] += times
    return found


async def follow(url: str, ledger: Ledger, live: asyncio.Event) -> None:
    """Hand every event of a stream of everything to the ledger."""
    decode = msgspec.json.Decoder(Event).decode
    async with (
        httpx.AsyncClient(trust_env=False, timeout=None) as http,
        http.stream("GET", f"{url}/v1/stream", params={"metric": "**"}) as answer,
    ):
        rest = b""
        async for piece in answer.aiter_raw():
            *events, rest = (rest + piece).split(b"\n\n")
            for event in events:
                if b"event: " in event:
                    if b"event: live" in event:
                        live.set()
                    elif b"event: gap" in event or b"event: reset" in event:
                        ledger.wrong.append(event.decode())
                    continue
                at = event.find(b"data: ")
                if at >= 0:
                    ledger.take(decode(event[at + 6 :]))


class Target:
    """Serves the recording of an exporter, a body a scrape.

    Attributes:
        bodies: of the recording.
        served: how many scrapes were answered.
        enough: how many are; the target is away from then on.
        done: set then.
    """

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.served = self.enough = 0
        self.done = asyncio.Event()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the scrapes of one connection until there were enough."""
        try:
            while self.served < self.enough:
                await reader.readuntil(b"\r\n\r\n")
                body = self.bodies[self.served % len(self.bodies)]
                self.served += 1
                head = (
                    f"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {len(body)}\r\n\r\n"
                )
                writer.write(head.encode() + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            if self.served >= self.enough:
                self.done.set()
            writer.close()


async def push(url: str, recording: Recording, count: int, every_s: float) -> Counter[int]:
    """Send so many bodies as Glances' client does; return the statuses of the answers."""
    statuses: Counter[int] = Counter()
    started = time.monotonic()
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        for number in range(count):
            await asyncio.sleep(max(0.0, started + number * every_s - time.monotonic()))
            answer = await http.post(
                f"{url}/api/v2/write",
                params={"org": "o", "bucket": "b", "precision": "ns"},
                headers={"Content-Type": "text/plain; charset=utf-8", "Authorization": "Token TOKEN"},
                content=recording.bodies[number % len(recording.bodies)],
            )
            statuses[answer.status_code] += 1
    return statuses


async def settled(ledger: Ledger) -> None:
    """Wait until nothing has come for a while."""
    seen = -1
    while seen != ledger.seen:
        seen = ledger.seen
        await asyncio.sleep(QUIET_S)


async def replay(section: Section, day_s: float) -> None:
    """Record, send the recordings again, and report."""
    target = Target()
    server = await asyncio.start_server(target.answer, "127.0.0.1", 0)
    place = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    glances, exporter = await asyncio.gather(record_glances(RECORDED_S), record_exporter(RECORDED_S, place))
    target.bodies, target.enough = exporter.bodies, round(day_s / SCRAPE_S)
    ledger = Ledger(glances, exporter)
    pushes = round(day_s / GLANCES_S)
    own = str(Path(sys.executable).parent / "tidewire")
    scraping = [own, "scrape", place, "--every", f"{round(SCRAPE_S / SPEED * 1e3)}ms", "--to"]
    with Redis() as redis:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        command = tidewire(port, redis.port, "--retention-age-s", str(KEPT_S), program=own)
        with Child(command, SERVER, name="service") as service:
            service.listening(port)
            live = asyncio.Event()
            following = asyncio.create_task(follow(url, ledger, live))
            await live.wait()
            usage, started = Usage(service.pid), time.monotonic()
            with Child([*scraping, redis.url], LOAD, name="scrape"):
                statuses = await push(url, glances, pushes, GLANCES_S / SPEED)
                await target.done.wait()
                took_s, cores = time.monotonic() - started, usage.cores
                await settled(ledger)
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
    server.close()
    sent = sent_readings(glances, pushes) + sent_readings(exporter, target.served)
    missing, readings = ledger.missing(sent), sum(sent.values())
    section.raw("found", {"statuses": statuses, "wrong": ledger.wrong, "unknown": ledger.unknown, "missing": missing})
    section.text(
        f"{day_s / 3_600:.0f} h: {pushes:,} bodies of Glances with {len(sent_readings(glances, 1)):,} readings each, "
        f"{target.served:,} scrapes of {len(sent_readings(exporter, 1)):,} samples, {len(sent):,} series. "
        f"Recorded for {RECORDED_S:.0f} s: {len(glances.bodies)} and {len(exporter.bodies)} bodies, sent over and over."
    )
    section.table(
        ["", ""],
        [
            ("readings sent", readings),
            ("readings seen, as many as were sent of each series, and in order", ledger.seen),
            ("lost or doubled", missing),
            ("another value than was sent, or a gap that was announced", len(ledger.wrong)),
            ("series that nobody sent", len(ledger.unknown)),
            ("answers", ", ".join(f"{count:,} of {status}" for status, count in sorted(statuses.items()))),
            ("seconds", took_s),
            ("readings/s", readings / took_s),
            ("the service, of one core", cores),
        ],
    )
    right = not (missing or ledger.wrong or ledger.unknown) and set(statuses) == {204}
    section.aims([
        Aim("lost, doubled, changed, refused", "0", f"{missing + len(ledger.wrong)}", right),
        Aim("speed", f"{SPEED} times", f"{day_s / took_s:.0f} times", day_s / took_s >= 0.97 * SPEED),
    ])  # fmt: skip


def main() -> None:
    given = arguments(str(__doc__).splitlines()[0], hours=(0.0, "instead of 24 with --full, and 1 without"))
    section = Section("day", "A day of a machine, at 100 times its speed", given)
    asyncio.run(replay(section, 3_600 * (given.hours or (24 if given.full else 1))))
    section.write()


if __name__ == "__main__":
    main()
