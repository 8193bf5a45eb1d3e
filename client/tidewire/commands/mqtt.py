"""The command `mqtt`: publishes what devices send to an MQTT broker.

A message is acknowledged once its readings are stored, or lie in the spool: what is lost on the way is sent again by
the broker, which keeps the session while this command is away.
"""

from __future__ import annotations

import hashlib
import json
import platform
import signal
import socket
import ssl
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any, Final, NamedTuple
from urllib.parse import unquote, urlsplit

import click

from tidewire.commands.mqtt_payload import JsonPath, PayloadReader
from tidewire.commands.options import label_option, parse_labels, target_option
from tidewire.commands.terminal import echo
from tidewire.errors import InvalidInput, LimitExceeded, MissingExtra
from tidewire.model.batch import checked_labels, checked_unit
from tidewire.publishing.publisher import Publisher, publish_url
from tidewire.settings import url_fault, without_password

__all__ = ["Broker", "Subscriber", "broker_of", "command", "session_name"]

_PORTS: Final = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
_TOGETHER: Final = 2_000  # messages that are published and acknowledged together
_GATHER_S: Final = 0.05
_LOOK_S: Final = 0.5  # a flush ends the publisher's pause between two attempts, so not more often
_SHOWN_ERRORS: Final = 5
_LAST_S: Final = 3.0
_SAY_S: Final = 60.0
_KEEPALIVE_S: Final = 30
_RECONNECT_S: Final = (1, 30)
_MOST_ARRIVED: Final = 200_000  # messages in memory; the broker holds back what is to be acknowledged, but not QoS 0
_MOST_QOS: Final = 1  # paho answers QoS 2 on arrival, before anything is stored: a broker sends it as QoS 1 instead
_SHORT_S: Final = 10.0
_SHORT_ONES: Final = 3
_MACHINE_ID: Final = Path("/etc/machine-id")
_KNOWN: Final = 10_000  # messages that were published last; a packet id comes again after 65,535


class Broker(NamedTuple):
    """Where a broker is and who asks."""

    host: str
    port: int
    tls: bool
    transport: str
    path: str
    user: str
    password: str


def broker_of(url: str) -> Broker:
    """Parse ``mqtt://user:password@host:port``; also ``mqtts``, ``ws`` and ``wss``.

    Raises:
        InvalidInput: it is not of that form.
    """
    shown_url = without_password(url)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InvalidInput("url", shown_url, url_fault(error)) from None
    if parts.scheme not in _PORTS or not parts.hostname:
        raise InvalidInput("url", shown_url, f"expected {', '.join(f'{each}://' for each in _PORTS)} and a host")
    try:
        parts.hostname.encode("idna")  # the client's thread would end with it
        named = url.isprintable() and " " not in parts.hostname
    except UnicodeError:
        named = False
    if not named:
        raise InvalidInput("url", shown_url, "its host is no name and no address")
    web = parts.scheme.startswith("ws")
    if parts.query or parts.fragment or (parts.path.strip("/") and not web):
        raise InvalidInput("url", shown_url, "name topics as arguments of their own")
    return Broker(
        parts.hostname,
        port or _PORTS[parts.scheme],
        parts.scheme in ("mqtts", "wss"),
        "websockets" if web else "tcp",
        parts.path or "/mqtt",
        unquote(parts.username or ""),
        unquote(parts.password or ""),
    )


def session_name(broker: Broker, topics: tuple[str, ...], given: Sequence[object], machine: str) -> str:
    """Return the name of the session of a command: that of two differs, that of one is the same after a restart.

    Args:
        broker: whose password may change.
        topics: filters.
        given: whatever else makes the command another one.
        machine: name of the one it runs on.
    """
    whole = json.dumps((broker._replace(password=""), topics, given, machine))
    return "tidewire-" + hashlib.sha256(whole.encode()).hexdigest()[:12]  # 23 characters are what every broker takes


def _machine() -> str:
    """Return the name of this machine, with the number that its system was installed with, if there is one."""
    try:
        number = _MACHINE_ID.read_text().strip()
    except (OSError, UnicodeDecodeError):
        number = ""
    return f"{platform.node()} {number}"


def _why_not(fault: BaseException | None, host: str, at: str) -> str:
    """Return why a connection could not be made."""
    match fault:
        case socket.gaierror():
            return f"the name {host} cannot be resolved ({fault.strerror})"
        case ConnectionRefusedError():
            return f"nothing listens on {at}"
        case ssl.SSLCertVerificationError():
            return f"the certificate of {host} is not trusted ({fault.verify_message}); --ca names its authorities"
        case ssl.SSLError():
            return f"TLS with {at} failed ({fault.reason or fault}); is this its port for TLS?"
        case TimeoutError():
            return f"{at} does not answer"
        case OSError():
            return f"{at}: {fault.strerror or fault}"
        case _:
            return f"{at} cannot be reached"


class _Message(NamedTuple):
    connection: int
    mid: int
    qos: int
    topic: str
    payload: bytes
    retained: bool
    again: bool
    arrived_ms: float


class Subscriber:
    """Receives the messages of some topics, and acknowledges those that were taken.

    Args:
        broker: to connect to.
        topics: filters, with ``+`` and ``#``.
        client_id: names the session; another client with it would take it over.
        qos: 0 loses what is sent while this command is away, 1 does not.
        ca: authorities of a broker with a certificate of its own, a PEM file; empty for the system's.

    Why it has no connection is said at once, and the same at most once a minute.

    Attributes:
        refused: why the broker will not have us; empty while it may.
        lost: messages of QoS 0 that did not fit into memory.

    Raises:
        MissingExtra: paho-mqtt is not installed.
        OSError: the authorities cannot be read.
    """

    def __init__(self, broker: Broker, topics: tuple[str, ...], *, client_id: str, qos: int = 1, ca: str = "") -> None:
        try:
            from paho.mqtt import client as paho  # noqa: PLC0415 - an extra
            from paho.mqtt.enums import CallbackAPIVersion  # noqa: PLC0415
        except ImportError as error:
            raise MissingExtra("tidewire mqtt", "mqtt") from error
        self.refused = ""
        self.lost = 0
        self._broker = broker
        self._topics = [(topic, min(qos, _MOST_QOS)) for topic in topics]
        self._arrived: SimpleQueue[_Message] = SimpleQueue()
        self._connections = 0
        self._name = client_id
        self._at = f"[{broker.host}]:{broker.port}" if ":" in broker.host else f"{broker.host}:{broker.port}"
        self._answered = False  # by the broker, over the connection that there is
        self._connected_s = float("-inf")
        self._short = 0  # connections in a row that were lost soon after they were made
        self._said_s: dict[str, float] = {}
        self._says_connected = False
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=False,
            transport="websockets" if broker.transport == "websockets" else "tcp",
            manual_ack=True,
        )
        if broker.user:
            self._client.username_pw_set(broker.user, broker.password or None)
        if broker.tls:
            self._client.tls_set(ca_certs=ca or None)
        if broker.transport == "websockets":
            self._client.ws_set_options(path=broker.path)
        plain_reconnect = self._client.reconnect

        def reconnect() -> Any:
            try:
                return plain_reconnect()
            except OSError:  # also that of a certificate, which is a ValueError, too
                raise
            except (ValueError, IndexError) as error:  # of headers of WebSocket: it would end the client's thread
                raise ConnectionError("gave an answer that cannot be read") from error

        self._client.reconnect = reconnect  # type: ignore[method-assign]
        self._client.reconnect_delay_set(*_RECONNECT_S)
        self._client.on_connect = self._on_connect
        self._client.on_connect_fail = self._on_connect_fail
        self._client.on_disconnect = self._on_disconnect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message

    def start(self) -> None:
        """Connect, and connect again whenever the connection is lost."""
        self._client.connect_async(self._broker.host, self._broker.port, keepalive=_KEEPALIVE_S)
        self._client.loop_start()

    def stop(self) -> None:
        """Disconnect; the broker keeps the session and what is not acknowledged."""
        self._client.disconnect()
        self._client.loop_stop()

    def messages(self, wait_s: float) -> list[_Message]:
        """Return what has arrived, after waiting for the first and a little for others; empty if nothing came."""
        try:
            found = [self._arrived.get(timeout=wait_s)]
        except Empty:
            return []
        until_s = time.monotonic() + _GATHER_S
        while len(found) < _TOGETHER:
            try:
                found.append(self._arrived.get(timeout=max(0.0, until_s - time.monotonic())))
            except Empty:
                break
        return found

    def acknowledge(self, message: _Message) -> None:
        """Acknowledge a message; not if its connection is gone: the broker sends it again over the new one."""
        if message.qos and message.connection == self._connections:
            self._client.ack(message.mid, message.qos)

    # -- called by the client's thread

    def _say_fault(self, text: str) -> None:
        """Say why there is no connection, the same at most once a minute: it is tried again and again."""
        now_s = time.monotonic()
        if now_s - self._said_s.get(text, float("-inf")) >= _SAY_S:
            self._said_s[text] = now_s
            self._says_connected = False
            echo(f"mqtt: {text}", err=True)

    def _on_connect(self, client: Any, _data: Any, flags: Any, reason: Any, _properties: Any) -> None:
        self._answered = True
        if reason.is_failure:
            # no user, no right to: waiting does not help; a server that is busy is tried again
            if reason.getName() in ("Bad user name or password", "Not authorized", "Client identifier not valid"):
                self.refused = str(reason)
            self._say_fault(f"the broker refused the connection: {reason}")
            return
        self._connections += 1
        self._connected_s = time.monotonic()
        if self._connections == 1 or not flags.session_present:  # else it would send what is retained once more
            client.subscribe(self._topics)
        if not self._says_connected:
            self._says_connected = True
            echo(f"mqtt: connected to {self._at}", err=True)

    def _on_connect_fail(self, _client: Any, _data: Any) -> None:
        fault = sys.exception()  # the client calls this while it handles it
        self._say_fault(f"cannot connect: {_why_not(fault, self._broker.host, self._at)}; trying again")

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        answered, self._answered = self._answered, False
        if not reason.is_failure:
            return
        if not answered:
            self._say_fault(
                f"{self._at} did not answer as a broker does ({reason}): is this its port, with or without TLS? "
                "Trying again"
            )
            return
        self._say_fault(f"connection lost ({reason}); connecting again")
        self._short = self._short + 1 if time.monotonic() - self._connected_s < _SHORT_S else 0
        if self._short >= _SHORT_ONES:  # before version 5 a broker does not say why it ends a connection
            self._say_fault(
                f"connection lost within seconds again and again: another client that is named {self._name!r}, too, "
                "would take over the session each time; if there is one, give it another --client-id"
            )

    def _on_subscribe(self, _client: Any, _data: Any, _mid: int, reasons: Any, _properties: Any) -> None:
        refused = [topic for (topic, _), reason in zip(self._topics, reasons, strict=False) if reason.is_failure]
        if refused:
            self.refused = f"the broker does not let this user subscribe to {', '.join(refused)}"

    def _on_message(self, _client: Any, _data: Any, message: Any) -> None:
        arrived_ms = time.time() * 1e3
        try:
            topic = message.topic
        except UnicodeDecodeError:  # an error here would end the client's thread
            topic = ""
        if message.qos == 0 and self._arrived.qsize() >= _MOST_ARRIVED:
            self.lost += 1
            return
        self._arrived.put(
            _Message(
                self._connections, message.mid, message.qos, topic, message.payload, message.retain,
                message.dup, arrived_ms,
            )
        )  # fmt: skip


class _Bridge:
    """Publishes messages, and acknowledges them once they are safe.

    Attributes:
        readings: published.
        unreadable: messages of which nothing could be published.
    """

    def __init__(
        self, subscriber: Subscriber, publisher: Publisher, reader: PayloadReader, unit: str, labels: dict[str, str]
    ) -> None:
        self.readings = self.unreadable = 0
        self._said_lost, self._said_s = 0, float("-inf")
        self._said_left_out = 0
        self._subscriber = subscriber
        self._publisher = publisher
        self._reader = reader
        self._unit = unit
        self._labels = labels
        # What was published last: if its acknowledgement is lost with the connection, it comes again with its packet
        # id, marked as a repeat, and is only acknowledged.
        self._known: dict[tuple[int, str, int], None] = {}

    def run(self, ended: threading.Event) -> None:
        """Serve until the event is set, or the broker refuses."""
        while not ended.is_set() and not self._subscriber.refused:
            messages = self._subscriber.messages(0.2)
            for message in messages:
                key = message.mid, message.topic, hash(message.payload)
                if not (message.again and key in self._known):
                    self._publish(message)
                if message.qos:
                    self._known.pop(key, None)
                    self._known[key] = None
            while len(self._known) > _KNOWN:
                del self._known[next(iter(self._known))]
            if messages and self._safe(ended):
                for message in messages:
                    self._subscriber.acknowledge(message)
            self._say_what_is_lost()

    def _say_what_is_lost(self) -> None:
        """Say what the service refused or the publisher gave up, once a minute while it becomes more."""
        stats = self._publisher.stats
        lost = stats.rejected + stats.dropped
        if lost > self._said_lost and time.monotonic() - self._said_s > _SAY_S:
            self._said_lost, self._said_s = lost, time.monotonic()
            echo(f"mqtt: {lost} readings could not be stored so far: {stats.last_error}", err=True)

    def _publish(self, message: _Message) -> None:
        left_out = self._reader.left_out
        try:
            for one in self._reader.read(message.topic, message.payload, message.arrived_ms):
                text = one.text
                if message.retained and one.time_ms is None:
                    text = f"{text}, retained" if text else "retained"  # nobody knows since when
                at_ms = message.arrived_ms if one.time_ms is None else one.time_ms
                self._publisher.publish(
                    one.metric, one.value, unit=self._unit, labels=self._labels, time=at_ms, text=text
                )
                self.readings += 1
        except (InvalidInput, LimitExceeded) as error:
            self.unreadable += 1
            if self.unreadable <= _SHOWN_ERRORS:
                more = "; others are only counted" if self.unreadable == _SHOWN_ERRORS else ""
                echo(f"mqtt: {message.topic}: {error}{more}", err=True)
        if self._reader.left_out > left_out and self._said_left_out < _SHOWN_ERRORS:
            self._said_left_out += 1
            more = "; others are only counted" if self._said_left_out == _SHOWN_ERRORS else ""
            echo(f"mqtt: {message.topic}: left out {self._reader.why_left_out}{more}", err=True)

    def _safe(self, ended: threading.Event) -> bool:
        """Wait until everything published is stored, or lies on disk; False if it is not some seconds after the end."""
        until_s = 0.0
        while not self._publisher.flush(_LOOK_S):
            stats = self._publisher.stats
            if stats.spooled and not stats.queued:
                return True
            if ended.is_set():
                until_s = until_s or time.monotonic() + _LAST_S
                if time.monotonic() > until_s:
                    return False
        return True


@click.command("mqtt")
@click.argument("url")
@click.argument("topics", nargs=-1, required=True)
@click.option("--json", "value", metavar="PATH", help="Where the value is in a JSON payload, such as $.t.")
@click.option("--time", "at", metavar="PATH", help="Where its time is: s or ms since 1970, or RFC 3339.")
@click.option("--unit", default="", help="UCUM unit of all readings, such as Cel.")
@click.option(
    "--qos",
    type=click.IntRange(0, 2),
    default=1,
    show_default=True,
    help="0 loses what comes meanwhile; 2 is taken as 1.",
)
@click.option("--client-id", default="", help="Names the session.  [made of command and machine]")
@click.option("--ca", type=click.Path(exists=True, dir_okay=False), help="Authorities of the broker, PEM.")
@label_option
@target_option
def command(
    url: str,
    topics: tuple[str, ...],
    value: str | None,
    at: str | None,
    unit: str,
    qos: int,
    client_id: str,
    ca: str | None,
    labels: tuple[str, ...],
    target: str | None,
) -> None:
    """Publish what devices send to an MQTT broker: tidewire mqtt mqtts://broker 'plant/+/temperature' --unit Cel.

    The levels of a topic are those of the metric. A payload is a number, a word such as ON, or JSON, of which each leaf
    is a metric a level below. The broker keeps what comes while this command is away, and TIDEWIRE_SPOOL=<folder> keeps
    what cannot be stored.
    """
    broker = broker_of(url)
    reader = PayloadReader(JsonPath(value) if value else None, JsonPath(at) if at else None)
    given, unit = checked_labels(parse_labels(labels)), checked_unit(unit)
    where = without_password(publish_url(target))
    made_of = value, at, unit, min(qos, _MOST_QOS), sorted(given.items()), where
    name = client_id or session_name(broker, topics, made_of, _machine())
    try:
        subscriber = Subscriber(broker, topics, client_id=name, qos=qos, ca=ca or "")
    except OSError as error:
        raise click.BadParameter(f"{ca}: {error.strerror or error}", param_hint="--ca") from None
    publisher = Publisher(target)
    if qos > _MOST_QOS:
        echo("mqtt: subscribing with QoS 1: each message is stored at least once, also those sent with QoS 2", err=True)
    bridge, ended = _Bridge(subscriber, publisher, reader, unit, given), threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        ended.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    subscriber.start()
    try:
        bridge.run(ended)
    finally:
        subscriber.stop()
        publisher.close()
    stats = publisher.stats
    counts = (
        (reader.left_out, "values left out"), (reader.rounded, "integers rounded, beyond 2^53"),
        (subscriber.lost, "messages lost (use --qos 1)"),
        (stats.rejected, f"readings refused ({stats.last_error})"), (stats.dropped, "readings given up"),
    )  # fmt: skip
    others = "".join(f", {count} {what}" for count, what in counts if count)
    echo(
        f"mqtt: {bridge.readings} readings published to {where}, {bridge.unreadable} messages unreadable{others}",
        err=True,
    )
    if subscriber.refused:
        raise click.ClickException(subscriber.refused)
    if stats.rejected or stats.dropped:
        raise click.ClickException("not all that came could be stored")
