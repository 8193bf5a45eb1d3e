"""The feeder: a process that publishes numbered events at a rate, to the log, to plain Pub/Sub or to nchan.

Commands on standard input, one JSON object per line; the answer is one line. Events go round robin over the metrics,
so each metric ends at the same sequence. What is due within one millisecond travels together.

To Tidewire it calls the log's own append function, packed by hand: a redis-py call costs more than the append.
Each of up to four publishers has one call in flight.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO

import hiredis

from tidewire.model.batch import DEFAULT_LIMITS
from tidewire.redislog.calls import AppendCall, LogFunctions, Retention
from tidewire.redislog.partitioned_log import BlockingPartitionedLog

BASE = 1_000_000_000
MAX_PART = 500
PUBLISHERS = 4  # connections; a metric always takes the same, so its order holds
NCHAN_PART = 400
KEPT = 2_000_000  # batches per metric: nothing is trimmed within a run
Publish = Callable[[list[tuple[int, int]]], None]


def body(metric: int, readings: int = 1) -> str:
    """Return the template of an event: about 120 bytes; to be filled with time and sequence (of the last reading)."""
    times = "".join(f"{number}.5," for number in range(1_700_000_000_001, 1_700_000_000_000 + readings))
    values = "".join(f"{number}.25," for number in range(1, readings))
    return (
        f'{{"metric":"bench/{metric}","labels":{{"line":"4","site":"north"}},"unit":"Cel",'
        f'"time":[{times}%.3f],"value":[{values}%d]}}'
    )


def resp(*words: str | bytes) -> bytes:
    parts = [word.encode() if isinstance(word, str) else word for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


def bulk(text: str) -> str:
    """Return a bulk string that is to be filled; all times have one length, and all sequences."""
    size = len(text.replace("%.3f", f"{time.time() * 1e3:.3f}").replace("%d", str(BASE)))
    return f"${size}\r\n{text}\r\n"


class Connection:
    """A raw connection to Redis: commands in, as many replies out."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._parser = hiredis.Reader()

    def write(self, data: bytes) -> None:
        self._socket.sendall(data)

    def read(self, replies: int) -> list[Any]:
        found: list[Any] = []
        while len(found) < replies:
            reply = self._parser.gets()
            if reply is False:
                received = self._socket.recv(1 << 18)
                if not received:
                    raise ConnectionError("Redis closed the connection")
                self._parser.feed(received)
            else:
                if isinstance(reply, hiredis.ReplyError):
                    raise reply
                found.append(reply)
        return found


def taken(reply: Sequence[bytes]) -> bool:
    """Tell whether an append stored all its batches: the fourth word of its answer names those it refused."""
    return reply[0] == b"ok" and not reply[3]


def to_tidewire(redis_port: int, metrics: int, readings: int = 1) -> Publish:
    log = BlockingPartitionedLog(f"redis://127.0.0.1:{redis_port}")
    log.forget_layout()  # ask for it
    layout, prefixes, fixed = log.layout, [], 0
    for number, part in enumerate(log.parts):
        part.append([])  # loads the functions
        epoch = part.clock().epoch
        functions = LogFunctions(part.keys, Retention(batches=KEPT), DEFAULT_LIMITS, layout.statement(number))
        words = [
            word if isinstance(word, bytes) else str(word).encode() for word in functions.append(AppendCall(()), epoch)
        ]
        fixed = len(words)
        prefixes.append(b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words))
    log.close()
    labels = '{"line":"4","site":"north"}'
    one = [
        bulk(f"bench/{metric}")
        + bulk(body(metric, readings))
        + bulk(labels)
        + bulk("%.3f" if readings == 1 else f"{readings} %.3f\n{body(metric)}")
        for metric in range(metrics)
    ]
    columns = 3 if readings == 1 else 5  # time and sequence of the batch, time of its last reading, and that reading
    lane_of = [
        layout.partition_of(f"bench/{metric}") if layout.id else metric % PUBLISHERS for metric in range(metrics)
    ]
    publishers = [Connection(redis_port) for _ in range(layout.partitions if layout.id else min(PUBLISHERS, metrics))]

    def publish(events: list[tuple[int, int]]) -> None:
        for first in range(0, len(events), MAX_PART * len(publishers)):
            now = time.time() * 1e3
            lanes: list[list[str]] = [[] for _ in publishers]
            for metric, sequence in events[first : first + MAX_PART * len(publishers)]:
                lanes[lane_of[metric]].append(one[metric] % (now, sequence, now, now, sequence)[:columns])
            busy = [number for number, lane in enumerate(lanes) if lane]
            for number in busy:
                head = b"*%d\r\n" % (fixed + 4 * len(lanes[number])) + prefixes[number % len(prefixes)]
                publishers[number].write(head + "".join(lanes[number]).encode())
            for number in busy:
                reply = publishers[number].read(1)[0]
                if not taken(reply):
                    raise RuntimeError(f"append answered {reply!r}")

    return publish


def to_pubsub(redis_port: int, metrics: int) -> Publish:
    one = [bulk("PUBLISH") + bulk(f"bench/{metric}") + bulk(body(metric)) for metric in range(metrics)]
    connection = Connection(redis_port)

    def publish(events: list[tuple[int, int]]) -> None:
        now = time.time() * 1e3
        text = "".join(["*3\r\n" + one[metric] % (now, sequence) for metric, sequence in events])
        connection.write(text.encode())
        connection.read(len(events))

    return publish


def to_nchan(port: int, metrics: int) -> Publish:
    """Publish by pipelined POSTs over four kept connections; a metric always takes the same, so its order holds."""
    one = []
    for metric in range(metrics):
        text = body(metric)
        size = len(text % (time.time() * 1e3, BASE))
        head = f"POST /pub?id=bench/{metric} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        one.append(f"{head}Content-Length: {size}\r\n\r\n{text}")
    connections = [socket.create_connection(("127.0.0.1", port)) for _ in range(min(4, metrics))]
    answers = [connection.makefile("rb") for connection in connections]
    for connection in connections:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def publish(events: list[tuple[int, int]]) -> None:
        for first in range(0, len(events), NCHAN_PART):
            part = events[first : first + NCHAN_PART]
            now = time.time() * 1e3
            lanes: list[list[str]] = [[] for _ in connections]
            for metric, sequence in part:
                lanes[metric % len(connections)].append(one[metric] % (now, sequence))
            for connection, lane in zip(connections, lanes, strict=True):
                connection.sendall("".join(lane).encode())
            for answer, lane in zip(answers, lanes, strict=True):
                for _ in lane:
                    _read_answer(answer)

    return publish


def _read_answer(answer: BinaryIO) -> None:
    status, size = answer.readline(), 0
    if status.split()[1] not in {b"201", b"202"}:
        raise RuntimeError(f"nchan answered {status!r}")
    while (line := answer.readline()) != b"\r\n":
        if line[:15].lower() == b"content-length:":
            size = int(line[15:])
    answer.read(size)


def run(publish: Publish, rate: float, seconds: float, metrics: int, sequence: int) -> dict[str, float]:
    """Publish at a rate; return what was sent, the last sequence of each metric, and how long it took."""
    total = max(1, round(rate * seconds / metrics)) * metrics
    slot_s = max(1e-3, 1 / rate)
    started = time.monotonic()
    sent, slowest_s = 0, 0.0
    while sent < total:
        now = time.monotonic() - started
        due = min(total, int(now * rate) + 1)
        if due > sent:
            publish([(number % metrics, BASE + sequence + 1 + number // metrics) for number in range(sent, due)])
            slowest_s = max(slowest_s, time.monotonic() - started - now)
            sent = due
        else:
            time.sleep(max(0.0, min(slot_s, (sent + 1e-6) / rate - now)))
    return {
        "sent": sent, "sequence": sequence + total // metrics, "seconds": time.monotonic() - started,
        "slowest_ms": slowest_s * 1e3,
    }  # fmt: skip


def main() -> None:
    kind, port, metrics = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    if kind == "tidewire":
        publish = to_tidewire(port, metrics, int(sys.argv[4]))
    else:
        publish = {"pubsub": to_pubsub, "nchan": to_nchan}[kind](port, metrics)
    print("{}", flush=True)
    for line in sys.stdin:
        given = json.loads(line)
        print(json.dumps(run(publish, given["rate"], given["seconds"], metrics, given["sequence"])), flush=True)


if __name__ == "__main__":
    main()
