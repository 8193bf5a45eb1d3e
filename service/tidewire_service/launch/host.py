"""The host publisher: publishes this machine's CPU, load, memory, swap, disk, network and temperature every second."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import click
import psutil

from tidewire.commands.options import label_option, parse_labels, target_option
from tidewire.model.batch import make_batch
from tidewire.publishing.publisher import Publisher, publish_url
from tidewire.settings import without_password

__all__ = ["HostReading", "HostReadings", "command", "next_second", "publish_host"]


class HostReading(NamedTuple):
    """One reading of this machine."""

    metric: str
    value: float
    unit: str
    labels: dict[str, str]


class HostReadings:
    """Reads this machine's counters; a rate is the difference between two calls."""

    def __init__(self) -> None:
        self._before_s = time.monotonic()
        self._disk = self._disk_bytes()
        self._net = self._net_bytes()
        psutil.cpu_percent(percpu=True)  # the first call only starts counting

    @staticmethod
    def _disk_bytes() -> dict[str, int]:
        try:
            counters = psutil.disk_io_counters()
        except NotImplementedError:  # a container without access to its disks
            return {}
        return {} if counters is None else {"read": counters.read_bytes, "write": counters.write_bytes}

    @staticmethod
    def _net_bytes() -> dict[str, int]:
        """Return received and sent bytes of all interfaces but loopback."""
        found = {"rx": 0, "tx": 0}
        for name, counters in psutil.net_io_counters(pernic=True).items():
            if not name.startswith("lo"):
                found["rx"] += counters.bytes_recv
                found["tx"] += counters.bytes_sent
        return found

    def read(self) -> Iterator[HostReading]:
        """Yield the readings of this second, as far as the machine has them."""
        now_s = time.monotonic()
        passed_s = max(now_s - self._before_s, 1e-3)
        self._before_s = now_s
        for core, percent in enumerate(psutil.cpu_percent(percpu=True)):
            yield HostReading("host/cpu", percent, "%", {"core": str(core)})
        yield HostReading("host/load", psutil.getloadavg()[0], "1", {})
        memory, swap = psutil.virtual_memory(), psutil.swap_memory()
        yield HostReading("host/memory", float(memory.total - memory.available), "By", {})
        if swap.total:
            yield HostReading("host/swap", float(swap.used), "By", {})
        disk, net = self._disk_bytes(), self._net_bytes()
        for metric, before, after in (("host/disk", self._disk, disk), ("host/net", self._net, net)):
            for direction, total in after.items():
                rate = max(0, total - before.get(direction, total)) / passed_s
                yield HostReading(metric, rate, "By/s", {"direction": direction})
        self._disk, self._net = disk, net
        yield from self._temperatures()

    @staticmethod
    def _temperatures() -> Iterator[HostReading]:
        sensors: Any = getattr(psutil, "sensors_temperatures", dict)  # not on macOS
        found: dict[str, float] = {}
        for chip, entries in sensors().items():
            for place, entry in enumerate(entries):
                if entry.current is not None:
                    found.setdefault(f"{chip} {entry.label or place}", float(entry.current))
        for sensor, current in found.items():
            yield HostReading("host/temperature", current, "Cel", {"sensor": sensor})


def next_second(published_s: int, now_s: float) -> int:
    """Return the second at which to publish next: the one after the last, or the next full one after a clock jump.

    Args:
        published_s: the second that was published last, Unix epoch; 0 for none.
        now_s: the time, Unix epoch.

    Returns:
        A full second, at most 1.5 s away. If none was published, at least 0.3 s away: a CPU share over a shorter time
        means nothing.
    """
    following = published_s + 1
    if 0 <= following - now_s <= 1.5:
        return following
    return math.floor(now_s + (0 if published_s else 0.3)) + 1


def publish_host(publisher: Publisher, stop: threading.Event, labels: Mapping[str, str] | None = None) -> None:
    """Publish at each full second, with that second as the time, until `stop` is set."""
    readings = HostReadings()
    second = next_second(0, time.time())
    while not stop.wait(max(0.0, second - time.time())):
        for metric, value, unit, own in readings.read():
            batch = make_batch(metric, value, unit=unit, labels={**(labels or {}), **own}, now_ms=second * 1e3)
            publisher.publish_batches([batch], default_time=True)
        second = next_second(second, time.time())


@click.command("host")
@label_option
@target_option
def command(target: str | None, labels: tuple[str, ...]) -> None:
    """Publish this machine's CPU per core, load, memory, swap, disk and network rates and temperature, every second."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with Publisher(target) as publisher:
        click.echo(f"Publishing this machine to {without_password(publish_url(target))}; Ctrl-C ends it.")
        publish_host(publisher, stop, parse_labels(labels))
