"""The host publisher: this machine's real CPU, load, memory, swap, disk, network and temperature, every second."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import click
import psutil

from tidewire.publisher import Publisher

__all__ = ["HostReading", "HostReadings", "command"]

EVERY_S: Final = 1.0


class HostReading(NamedTuple):
    """One reading of this machine."""

    metric: str
    value: float
    unit: str
    labels: dict[str, str]


class HostReadings:
    """Takes readings; rates are differences between two calls."""

    def __init__(self) -> None:
        self._before_s = time.monotonic()
        self._disk = self._disk_bytes()
        self._net = self._net_bytes()
        psutil.cpu_percent(percpu=True)  # the first call only starts the count

    @staticmethod
    def _disk_bytes() -> dict[str, int]:
        counters = psutil.disk_io_counters()
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

    def take(self) -> Iterator[HostReading]:
        """Yield this second's readings; what the machine does not have is left out."""
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
        sensors: Any = getattr(psutil, "sensors_temperatures", dict)
        for chip, entries in sensors().items():
            for place, entry in enumerate(entries):
                if entry.current is not None:
                    sensor = f"{chip} {entry.label or place}"
                    yield HostReading("host/temperature", float(entry.current), "Cel", {"sensor": sensor})


def publish_host(publisher: Publisher, stop: threading.Event) -> None:
    """Publish at each full second until told to stop."""
    readings = HostReadings()
    while not stop.wait(EVERY_S - time.time() % EVERY_S):
        now_ms = time.time() * 1e3
        for metric, value, unit, labels in readings.take():
            publisher.publish(metric, value, unit=unit, labels=labels, time=now_ms)


@click.command("host", short_help="Publish this machine's CPU, memory, disk and network.")
@click.option(
    "--to", "target", default=None, help="redis:// or http:// to publish to  [TIDEWIRE_REDIS or TIDEWIRE_URL]"
)
def command(target: str | None) -> None:
    """Publish this machine's CPU per core, load, memory, swap, disk and network rates and temperature, every second."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with Publisher(target) as publisher:
        publish_host(publisher, stop)
