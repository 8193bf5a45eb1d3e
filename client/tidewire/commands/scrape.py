"""The command `scrape`: publishes what programs expose to Prometheus."""

from __future__ import annotations

import random
import signal
import ssl
import threading
import time
from pathlib import Path
from typing import Final

import click

from tidewire.commands.options import label_option, parse_labels, seconds, target_option
from tidewire.commands.scrape_target import Fetching, Target, targets_of
from tidewire.commands.terminal import echo
from tidewire.errors import TidewireError
from tidewire.publishing.publisher import Publisher, publish_url
from tidewire.settings import without_password

__all__ = ["Scraper", "command"]

_MOST_TARGETS: Final = 256  # each has a thread
_JITTER_S: Final = 1.0  # at most, and at most a tenth of the interval
_TOLD_EACH_S: Final = 5.0
_END_S: Final = 2.0  # for requests that are on their way at the end


class Scraper:
    """Scrapes one target at its times, publishes what it brought and whether it was up, and says when that changes.

    Args:
        target: to scrape.
        publisher: takes readings.
        every_s: seconds from one scrape to the next.
        first_s: seconds until the first one.
    """

    def __init__(self, target: Target, publisher: Publisher, every_s: float, first_s: float) -> None:
        self._target = target
        self._publisher = publisher
        self._every_s = every_s
        self._first_s = first_s
        self._up: bool | None = None
        self._left_out = ""

    def run(self, stop: threading.Event) -> None:
        """Scrape until `stop` is set; a scrape that takes longer than the interval leaves out those it missed."""
        due_s = time.monotonic() + self._first_s
        while not stop.wait(max(0.0, due_s - time.monotonic())):
            self.once()
            due_s += self._every_s * (1 + max(0.0, time.monotonic() - due_s) // self._every_s)
        self._target.close()

    def once(self) -> None:
        """Scrape once."""
        began_s = time.monotonic()
        try:
            scrape = self._target.scrape()
        except TidewireError as error:
            self._tell(up=False, said=str(error))
        else:
            self._publisher.publish_batches(scrape.batches, default_time=True)
            self._publisher.publish_batches(scrape.timed)
            self._tell(up=True, said=f"{scrape.samples - scrape.left_out} series")
            if scrape.why and scrape.why != self._left_out:
                echo(f"{self._target.instance}: {scrape.left_out} samples are left out, such as {scrape.why}", err=True)
            self._left_out = scrape.why
        took_s = time.monotonic() - began_s
        self._publisher.publish("scrape_duration_seconds", took_s, unit="s", labels=self._target.labels)

    def _tell(self, *, up: bool, said: str) -> None:
        changed = self._up is not up
        self._up = up
        text = said[:200] if changed and not up else None
        self._publisher.publish("up", int(up), labels=self._target.labels, text=text)
        if changed:
            echo(f"{self._target.instance} is {'up' if up else 'down'}: {said}", err=not up)


def _headers(context: click.Context, option: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    headers = {}
    for each in given:
        name, colon, value = each.partition(":")
        if not colon or not each.isascii() or not each.isprintable() or not name or " " in name:
            raise click.BadParameter("expected 'Name: value'", context, option)  # without it: it may be a secret
        headers[name] = value.strip()
    return headers


def _verification(ca: Path | None, insecure: bool) -> ssl.SSLContext | bool | None:
    if insecure:
        return False
    try:
        return None if ca is None else ssl.create_default_context(cafile=ca)
    except OSError as error:
        raise click.BadParameter(f"{ca}: {error.strerror or error}", param_hint="--ca") from None


@click.command("scrape")
@click.argument("targets", nargs=-1, required=True, metavar="URL...")
@click.option("--every", "every_s", default="15s", callback=seconds, help="From one scrape to the next.  [15s]")
@click.option("--timeout", "timeout_s", default="10s", callback=seconds, help="For one answer.  [10s]")
@click.option("--bearer-file", type=click.Path(dir_okay=False, path_type=Path), help="Holds a token for the targets.")
@click.option(
    "--header",
    "headers",
    multiple=True,
    callback=_headers,
    metavar="'NAME: VALUE'",
    help="Sent to the targets; others of this machine see it. Repeatable.",
)
@click.option("--ca", type=click.Path(dir_okay=False, path_type=Path), help="Authorities of the targets' certificates.")
@click.option("--insecure", is_flag=True, help="Do not check the targets' certificates.")
@click.option("--max-bytes", default=16 << 20, type=click.IntRange(min=1024), help="Of one answer.  [16 MiB]")
@click.option("--max-samples", default=50_000, type=click.IntRange(min=1), help="Of one answer.  [50,000]")
@click.option("--buckets", is_flag=True, help="Publish the buckets of histograms, too.")
@label_option
@target_option
def command(
    targets: tuple[str, ...],
    every_s: float,
    timeout_s: float,
    bearer_file: Path | None,
    headers: dict[str, str],
    ca: Path | None,
    insecure: bool,
    max_bytes: int,
    max_samples: int,
    buckets: bool,
    labels: tuple[str, ...],
    target: str | None,
) -> None:
    """Publish what programs expose to Prometheus: tidewire scrape nas:9100 http://127.0.0.1:8000/metrics

    Names and labels stay as they are, with the label instance. The metric up is 1, or 0 while a target is down.
    """  # noqa: D415
    if len(targets) > _MOST_TARGETS:
        raise click.UsageError(f"{len(targets)} targets; one process takes {_MOST_TARGETS}")
    verify = _verification(ca, insecure)
    fetching = Fetching(min(timeout_s, every_s), max_bytes, max_samples, headers, bearer_file, verify, buckets)
    found = targets_of(targets, parse_labels(labels), fetching)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with Publisher(target) as publisher:
        echo(f"Publishing {len(found)} targets to {without_password(publish_url(target))}; Ctrl-C ends it.")
        threads = []
        for place, each in enumerate(found):  # spread over the interval, also against those of other processes
            first_s = place / len(found) * every_s + random.uniform(0, min(_JITTER_S, every_s / 10))  # noqa: S311
            scraper = Scraper(each, publisher, every_s, first_s)
            threads.append(threading.Thread(target=scraper.run, args=(stop,), name=each.instance, daemon=True))
        for thread in threads:
            thread.start()
        _tell_refusals(publisher, stop)
        ends_s = time.monotonic() + _END_S
        for thread in threads:
            thread.join(max(0.0, ends_s - time.monotonic()))


def _tell_refusals(publisher: Publisher, stop: threading.Event) -> None:
    """Say what was not published, until `stop` is set."""
    told = 0
    while True:
        ended = stop.wait(_TOLD_EACH_S)
        stats = publisher.stats
        if stats.rejected + stats.dropped > told:
            told = stats.rejected + stats.dropped
            echo(f"{told} readings were not published so far: {stats.last_error}", err=True)
        if ended:
            return
