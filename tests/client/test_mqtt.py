"""`tidewire mqtt` with a real broker: what devices publish is stored, each message once, whatever is restarted."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from certificates import Certificates, make_certificates
from dripping import dripping
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from ports import own_port
from servers import Valkey
from waiting import HANG_S, Eventually, generous

from tidewire.commands.mqtt import broker_of, session_name
from tidewire.commands.mqtt_payload import DeviceReading, JsonPath, PayloadReader
from tidewire.errors import InvalidInput
from tidewire.model.batch import decode_batch

NOW_MS = 1_796_000_000_000.0


class Broker:
    """Debian's mosquitto, with its sessions on disk."""

    def __init__(self, directory: Path, *, users: str = "", tls: Certificates | None = None) -> None:
        self.port = own_port()
        self._tls = tls
        self._config = directory / "mosquitto.conf"
        lines = [
            f"listener {self.port} 127.0.0.1", "persistence true", f"persistence_location {directory}/",
            "autosave_interval 1", "autosave_on_changes true", "max_queued_messages 0", "max_inflight_messages 200",
            f"password_file {users}\nallow_anonymous false" if users else "allow_anonymous true",
            "log_type all", *([f"certfile {tls.certificate}", f"keyfile {tls.key}"] if tls else []),
            *(["user root"] if os.getuid() == 0 else []),
        ]  # fmt: skip
        self._config.write_text("\n".join(lines) + "\n")
        self.log = directory / "mosquitto.log"
        self._log = self.log.open("wb")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        path = os.environ["PATH"] + ":/usr/sbin"
        program = shutil.which("mosquitto", path=path)
        assert program, "mosquitto is not installed"
        self.process = subprocess.Popen([program, "-c", str(self._config)], stdout=self._log, stderr=self._log)
        deadline = time.monotonic() + HANG_S
        while True:
            with contextlib.suppress(OSError):
                device = self.device("probe")
                device.disconnect()
                return
            assert time.monotonic() < deadline, "mosquitto does not listen"
            time.sleep(0.02)

    def end(self, number: int = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait()
            self.process = None

    def device(self, name: str) -> paho.Client:
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=name)
        if self._tls is not None:
            client.tls_set(self._tls.authority)
        client.connect("127.0.0.1", self.port)
        client.loop_start()
        return client

    def close(self) -> None:
        self.end()
        self._log.close()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    (tmp_path / "broker").mkdir()
    broker = Broker(tmp_path / "broker")
    broker.start()
    yield broker
    broker.close()


class Bridge:
    """The command, in a process of its own."""

    def __init__(self, url: str, *arguments: str, target: str, folder: Path, spool: bool = False) -> None:
        environment = {**os.environ, "TIDEWIRE_SPOOL": str(folder / "spool") if spool else ""}
        self.said = folder / "said"
        with self.said.open("ab") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tidewire", "mqtt", url, *arguments, "--to", target],
                stderr=file,
                env=environment,
            )

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(HANG_S)

    @property
    def words(self) -> str:
        return self.said.read_text()


@pytest.fixture
def bridge(broker: Broker, valkey: Valkey, tmp_path: Path) -> Iterator[Any]:
    running: list[Bridge] = []

    def start(*arguments: str, **more: Any) -> Bridge:
        more = {"target": valkey.url, "folder": tmp_path, **more}
        one = Bridge(f"mqtt://127.0.0.1:{broker.port}", *arguments, **more)
        running.append(one)
        return one

    yield start
    for one in running:
        one.process.kill()
        one.process.wait()


def stored(valkey: Valkey) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for key in valkey.client.keys("tw:{0}:log:*"):
        for _, fields in valkey.client.xrange(key):
            batch = decode_batch(fields[b"d"])
            found.setdefault(batch.metric, []).append(batch)
    return found


def values(valkey: Valkey) -> dict[str, list[Any]]:
    return {metric: [value for batch in batches for value in batch.value] for metric, batches in stored(valkey).items()}


def publish(device: paho.Client, topic: str, payload: Any, **more: Any) -> None:
    device.publish(topic, payload, qos=1, **more).wait_for_publish(HANG_S)


@pytest.mark.mosquitto
async def test_topics_and_payloads_become_readings(
    broker: Broker, bridge: Any, valkey: Valkey, eventually: Eventually
) -> None:
    device = broker.device("device")
    publish(device, "plant/9/temperature", "18.5", retain=True)
    one = bridge("plant/+/temperature", "zigbee/#", "--unit", "Cel", "--label", "site=A")
    await eventually(lambda: "plant/9/temperature" in values(valkey))
    publish(device, "plant/3/temperature", "21.5")
    publish(device, "plant/3/humidity", "50")  # not asked for
    publish(device, "zigbee/door", json.dumps({"state": "ON", "battery": 97, "cover": {"position": 5}, "mode": "heat"}))
    await eventually(lambda: len(values(valkey)) >= 6)
    assert values(valkey) == {
        "plant/9/temperature": [18.5], "plant/3/temperature": [21.5], "zigbee/door/state": [1],
        "zigbee/door/battery": [97], "zigbee/door/cover/position": [5], "zigbee/door/mode": [None],
    }  # fmt: skip
    batches = {metric: batches[0] for metric, batches in stored(valkey).items()}
    assert {(batch.unit, str(batch.labels)) for batch in batches.values()} == {("Cel", "{'site': 'A'}")}
    assert batches["plant/9/temperature"].text == ["retained"], "nobody knows since when"
    assert batches["plant/3/temperature"].text is None
    assert (batches["zigbee/door/state"].text, batches["zigbee/door/mode"].text) == (["ON"], ["heat"])
    assert one.end() == 0
    assert "6 readings published" in one.words
    device.loop_stop()


@pytest.mark.mosquitto
async def test_what_comes_while_the_command_is_away_is_stored_when_it_is_back(
    broker: Broker, bridge: Any, valkey: Valkey, eventually: Eventually
) -> None:
    one = bridge("plant/#")
    await eventually(lambda: "connected" in one.words)
    device = broker.device("device")
    publish(device, "plant/a", "1")
    await eventually(lambda: values(valkey) == {"plant/a": [1]})
    assert one.end() == 0
    for number in range(2, 6):
        publish(device, "plant/a", str(number))
    one = bridge("plant/#")
    await eventually(lambda: values(valkey) == {"plant/a": [1, 2, 3, 4, 5]})
    assert one.end(signal.SIGINT) == 0
    device.loop_stop()


@pytest.mark.mosquitto
@pytest.mark.parametrize("spool", [False, True])
async def test_each_message_is_stored_once_whatever_is_restarted(
    broker: Broker, bridge: Any, valkey: Valkey, eventually: Eventually, spool: bool
) -> None:
    """The ledger: numbered messages, while broker and Redis are killed and started again in turn."""
    one = bridge("ledger/#", spool=spool)
    await eventually(lambda: "connected" in one.words)
    device = broker.device("device")
    device.reconnect_delay_set(1, 1)
    taken: set[int] = set()
    device.on_publish = lambda _client, _data, mid, *_: taken.add(mid)
    sent = [device.publish("ledger/a", str(number), qos=1) for number in range(300)]
    valkey.pause()
    sent += [device.publish("ledger/a", str(number), qos=1) for number in range(300, 600)]
    valkey.resume()
    await eventually(lambda: len(taken) == len(sent))
    broker.end()
    sent += [device.publish("ledger/a", str(number), qos=1) for number in range(600, 900)]
    broker.start()
    await eventually(lambda: len(taken) == len(sent))
    valkey.restart()
    sent += [device.publish("ledger/a", str(number), qos=1) for number in range(900, 1_200)]
    await eventually(lambda: len(set(values(valkey).get("ledger/a", ()))) == 1_200)
    assert sorted(values(valkey)["ledger/a"]) == list(range(1_200)), "each once"
    assert one.end() == 0
    device.loop_stop()


@pytest.mark.mosquitto
async def test_messages_lie_in_the_spool_while_redis_is_away(
    broker: Broker, bridge: Any, valkey: Valkey, eventually: Eventually, tmp_path: Path
) -> None:
    one = bridge("plant/#", spool=True)
    await eventually(lambda: "connected" in one.words)
    valkey.stop()
    device = broker.device("device")
    for number in range(500):  # more than the broker lets be unacknowledged
        publish(device, "plant/a", str(number))
    spool = tmp_path / "spool"
    await eventually(lambda: sum(file.stat().st_size for file in spool.rglob("*") if file.is_file()) > 30_000)
    one.end(signal.SIGKILL)
    valkey.start()
    one = bridge("plant/#", spool=True)
    await eventually(lambda: set(values(valkey).get("plant/a", ())) == set(range(500)))
    assert one.end() == 0
    device.loop_stop()


@pytest.mark.mosquitto
async def test_what_is_published_with_qos_2_is_stored_though_the_command_is_killed_before(
    broker: Broker, bridge: Any, valkey: Valkey, eventually: Eventually
) -> None:
    """The client acknowledges QoS 2 on arrival, before anything is stored: so it is QoS 1 that is asked for."""
    one = bridge("plant/#", "--qos", "2", "--client-id", "two")
    await eventually(lambda: "connected" in one.words)
    valkey.stop()
    device = broker.device("device")
    for number in range(50):
        device.publish("plant/a", str(number), qos=2).wait_for_publish(HANG_S)
    await eventually(lambda: broker.log.read_text().count("Sending PUBLISH to two ") >= 50)
    one.end(signal.SIGKILL)
    valkey.start()
    one = bridge("plant/#", "--qos", "2", "--client-id", "two")
    await eventually(lambda: sorted(values(valkey).get("plant/a", ())) == list(range(50)))
    for number in range(50, 300):  # more than may be in flight: none of them is held for good
        device.publish("plant/a", str(number), qos=2)
    await eventually(lambda: sorted(values(valkey)["plant/a"]) == list(range(300)))
    assert one.end() == 0
    assert "QoS 1" in one.words
    device.loop_stop()


@pytest.mark.mosquitto
async def test_two_commands_on_the_same_topics_have_sessions_of_their_own(
    broker: Broker, bridge: Any, valkey: Valkey, eventually: Eventually
) -> None:
    both = [bridge("plant/#", "--json", f"$.{leaf}", "--label", f"leaf={leaf}") for leaf in "tu"]
    await eventually(lambda: broker.log.read_text().count("Sending SUBACK to tidewire-") >= 2)
    device = broker.device("device")
    for number in range(20):
        publish(device, "plant/a", json.dumps({"t": number, "u": number + 100}))
    await eventually(lambda: sorted(values(valkey).get("plant/a", ())) == [*range(20), *range(100, 120)])
    assert "connection lost" not in both[0].words
    assert [one.end() for one in both] == [0, 0]
    device.loop_stop()


@pytest.mark.mosquitto
async def test_two_commands_with_one_session_are_told_why_they_lose_it(
    broker: Broker, bridge: Any, eventually: Eventually, tmp_path: Path
) -> None:
    for folder in (folders := [tmp_path / "a", tmp_path / "b"]):
        folder.mkdir()
    both = [bridge("plant/#", "--client-id", "one", folder=folder) for folder in folders]
    for one in both:
        await eventually(lambda one=one: "another client that is named 'one'" in one.words)
    before = broker.log.read_text().count(" as one ")
    await eventually(lambda: broker.log.read_text().count(" as one ") > before + 4)
    for one in both:
        assert one.end() == 0
        assert one.words.count("another client") == one.words.count("mqtt: connection lost (") == 1, "in a minute"
        assert one.words.count("mqtt: connected") <= 3, "once, and after each line about its loss"


def test_a_session_has_the_name_of_its_command() -> None:
    broker = broker_of("mqtt://me:secret@h")
    own = session_name(broker, ("a", "b"), ["$.t", "Cel"], "m1")
    assert len(own) <= 23, "what every broker takes"
    assert own == session_name(broker, ("a", "b"), ["$.t", "Cel"], "m1")
    assert own == session_name(broker_of("mqtt://me:changed@h"), ("a", "b"), ["$.t", "Cel"], "m1")
    others = [
        session_name(broker_of(url), ("a", "b"), ["$.t", "Cel"], "m1")
        for url in ("mqtt://me:secret@g", "mqtt://me:secret@h:1884", "mqtt://you:secret@h", "ws://me:secret@h")
    ]
    others += [
        session_name(broker, ("a",), ["$.t", "Cel"], "m1"), session_name(broker, ("a\nb",), ["$.t", "Cel"], "m1"),
        session_name(broker, ("a", "b"), ["$.t", ""], "m1"), session_name(broker, ("a", "b"), ["$.t", "Cel"], "m2"),
    ]  # fmt: skip
    assert len({own, *others}) == 1 + len(others)


@pytest.mark.mosquitto
async def test_what_a_command_is_given_names_its_session(
    broker: Broker, bridge: Any, valkey: Valkey, eventually: Eventually
) -> None:
    given: list[list[str]] = [
        [], [], ["--json", "$.t"], ["--time", "$.at"], ["--unit", "Cel"], ["--label", "a=b"], ["--qos", "0"], [],
    ]  # fmt: skip
    names: list[str] = []

    def connected() -> list[str]:
        return re.findall(r" as (tidewire-\w+) ", broker.log.read_text())

    for number, each in enumerate(given):
        other = {"target": "redis://127.0.0.1:1"} if number == len(given) - 1 else {}
        one = bridge("plant/#", *each, **other)
        await eventually(lambda number=number: len(connected()) > number)
        names.append(connected()[-1])
        one.end()
    assert names[0] == names[1], "the same command has its session again"
    assert len(set(names)) == len(given) - 1, names


@pytest.mark.mosquitto
async def test_a_value_and_its_time_by_path(
    broker: Broker, bridge: Any, valkey: Valkey, eventually: Eventually
) -> None:
    device = broker.device("device")
    at_ms = round(time.time() * 1e3) - 60_000
    publish(device, "s/1", json.dumps({"t": [{"v": 7}], "at": at_ms / 1e3, "x": 5}), retain=True)
    one = bridge("s/#", "--json", "$.t[0].v", "--time", "$.at")
    await eventually(lambda: values(valkey) == {"s/1": [7]})
    [batch] = stored(valkey)["s/1"]
    assert batch.time == [pytest.approx(at_ms, abs=1)]
    assert batch.text is None, "its age is known"
    for payload in ("x", "{", json.dumps({"x": 1}), b"\xff", json.dumps({"t": [{"v": "on fire" * 99}], "at": at_ms})):
        publish(device, "s/2", payload)
    publish(device, "s/3", json.dumps({"t": [{"v": 8}], "at": at_ms}))
    await eventually(lambda: "s/3" in values(valkey))
    assert values(valkey) == {"s/1": [7], "s/3": [8]}
    assert one.end() == 0
    assert "5 messages unreadable" in one.words
    assert one.words.count("s/2: ") == 5
    device.loop_stop()


@pytest.mark.mosquitto
async def test_a_broker_that_refuses_ends_the_command_with_its_reason(
    tmp_path: Path, valkey: Valkey, eventually: Eventually
) -> None:
    (tmp_path / "closed").mkdir()
    (tmp_path / "users").write_text("")
    broker = Broker(tmp_path / "closed", users=str(tmp_path / "users"))
    try:
        with contextlib.suppress(OSError):
            broker.start()
        one = Bridge(f"mqtt://me:secret@127.0.0.1:{broker.port}", "a", target=valkey.url, folder=tmp_path)
        assert one.process.wait(HANG_S) == 1
        assert "ot authori" in one.words or "Bad user name" in one.words
        assert "secret" not in one.words
    finally:
        broker.close()


@pytest.mark.mosquitto
async def test_a_value_that_is_left_out_and_one_that_is_rounded_are_said(
    broker: Broker, bridge: Any, valkey: Valkey, eventually: Eventually
) -> None:
    one = bridge("s/#")
    await eventually(lambda: "connected" in one.words)
    device = broker.device("device")
    for _ in range(6):
        publish(device, "s/1", '{"a":1e400,"n":9007199254740993,"t":NaN}')
    publish(device, "s/end", "1")
    await eventually(lambda: "s/end" in values(valkey))
    assert values(valkey) == {"s/1/n": [2**53] * 6, "s/1/t": [None] * 6, "s/end": [1]}
    assert one.end() == 0
    assert one.words.count("s/1: left out s/1/a: payload '1e400': is no number that float64 can hold") == 5
    assert "6 values left out, 6 integers rounded" in one.words
    device.loop_stop()


@pytest.mark.mosquitto
async def test_why_it_cannot_connect_is_said_once_and_it_goes_on_trying(
    broker: Broker, bridge: Any, valkey: Valkey, eventually: Eventually
) -> None:
    broker.end()
    one = bridge("plant/#")
    await eventually(lambda: f"nothing listens on 127.0.0.1:{broker.port}" in one.words)
    broker.start()
    await eventually(lambda: "connected" in one.words)
    device = broker.device("device")
    publish(device, "plant/a", "1")
    await eventually(lambda: values(valkey) == {"plant/a": [1]})
    assert one.end() == 0
    assert one.words.count("nothing listens") == 1, "1, 2, 4 … s apart, at most once a minute"
    device.loop_stop()


@pytest.mark.mosquitto
async def test_a_broker_that_comes_and_goes_is_told_of_to_the_end(
    broker: Broker, bridge: Any, eventually: Eventually
) -> None:
    one = bridge("plant/#")
    for number in range(1, 4):
        await eventually(lambda number=number: broker.log.read_text().count(" as tidewire-") >= number)
        await eventually(lambda: one.words.rpartition("mqtt: ")[2].startswith("connected"))
        broker.end()
        if number < 3:
            broker.start()
    await eventually(lambda: not one.words.splitlines()[-1].startswith("mqtt: connected"))
    one.end()


@pytest.mark.mosquitto
async def test_a_certificate_that_is_not_trusted_is_said(
    tmp_path: Path, valkey: Valkey, eventually: Eventually
) -> None:
    (tmp_path / "tls").mkdir()
    certificates = make_certificates(tmp_path)
    broker = Broker(tmp_path / "tls", tls=certificates)
    broker.start()
    running: list[Bridge] = []

    def start(url: str, *arguments: str) -> Bridge:
        (folder := tmp_path / str(len(running))).mkdir()
        running.append(Bridge(url, "a", *arguments, target=valkey.url, folder=folder))
        return running[-1]

    try:
        alone = start(f"mqtts://127.0.0.1:{broker.port}")
        plain = start(f"mqtt://127.0.0.1:{broker.port}")
        named = start(f"mqtts://127.0.0.1:{broker.port}", "--ca", certificates.authority)
        await eventually(lambda: "connected" in named.words)
        await eventually(lambda: "certificate of 127.0.0.1 is not trusted" in alone.words)
        assert "--ca" in alone.words
        await eventually(lambda: "did not answer as a broker does" in plain.words)
    finally:
        for one in running:
            one.process.kill()
            one.process.wait()
        broker.close()


async def test_a_name_that_is_none_and_a_server_that_says_nothing_are_told_of(
    tmp_path: Path, eventually: Eventually
) -> None:
    silent = socket.create_server(("127.0.0.1", 0))
    at = f"127.0.0.1:{silent.getsockname()[1]}"
    running: list[Bridge] = []
    head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nSec-WebSocket-Accept:x\r\n"
    with dripping(b"SSH-2.0-OpenSSH_9.2\r\n") as other, dripping(head) as tight:
        expected = {
            "mqtt://no-such-host.invalid": "the name no-such-host.invalid cannot be resolved",
            f"ws://{at}": f"{at} does not answer",
            f"mqtts://{at}": f"{at} does not answer",
            f"mqtts://127.0.0.1:{other}": "TLS",
            f"ws://127.0.0.1:{tight}": "gave an answer that cannot be read",
        }
        try:
            for number, url in enumerate(expected):
                (folder := tmp_path / str(number)).mkdir()
                running.append(Bridge(url, "a", target="redis://127.0.0.1:1", folder=folder))
            for one, said in zip(running, expected.values(), strict=True):
                await eventually(lambda one=one, said=said: said in one.words)
        finally:
            for one in running:
                one.process.kill()
                one.process.wait()
            silent.close()
    assert [one.words.count("mqtt: cannot connect: ") for one in running] == [1, 1, 1, 1, 1]


def test_a_file_of_authorities_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("none")
    one = Bridge("mqtts://127.0.0.1:1", "a", "--ca", str(tmp_path / "ca.pem"), target="redis://h", folder=tmp_path)
    assert one.process.wait(HANG_S) == 2
    assert "--ca" in one.words
    assert "Traceback" not in one.words


@pytest.mark.mosquitto
async def test_what_redis_refuses_is_said(
    broker: Broker, tmp_path: Path, eventually: Eventually, start_service: Any
) -> None:
    service = await start_service(max_series=1, max_metrics=1)
    one = Bridge(f"mqtt://127.0.0.1:{broker.port}", "many/#", target=service.url, folder=tmp_path)
    try:
        await eventually(lambda: "connected" in one.words)
        device = broker.device("device")
        for number in range(3):
            publish(device, f"many/{number}", "1")
        await eventually(lambda: "readings could not be stored so far: " in one.words)
        one.process.send_signal(signal.SIGTERM)
        await eventually(lambda: one.process.poll() is not None)
        assert one.process.returncode == 1
        assert "readings refused (" in one.words
        device.loop_stop()
    finally:
        one.process.kill()
        one.process.wait()


def test_one_bad_value_of_an_object_leaves_the_others() -> None:
    reader = PayloadReader()
    payload = json.dumps({"t": 21.5, "about": "x" * 300, "in": {"*": 1, "n" * 300: 2}, "on": True})
    found = {reading.metric: reading.value for reading in reader.read("a", payload.encode(), NOW_MS)}
    assert found == {"a/t": 21.5, "a/in/_": 1, "a/on": 1}
    assert reader.left_out == 2
    reader.read("a", json.dumps(list(range(300))).encode(), NOW_MS)
    assert reader.left_out == 3, "and whatever is behind the 256th"


@pytest.mark.parametrize(
    ("payload", "expected", "left_out"),
    [
        (b'{"temp":NaN,"hum":45}', {"a/temp": None, "a/hum": 45.0}, ""),
        (b'{"temp":-Infinity,"hum":[45,Infinity]}', {"a/temp": None, "a/hum/0": 45.0, "a/hum/1": None}, ""),
        (b'{"a":1e400,"b":1}', {"a/b": 1.0}, "a/a: payload '1e400': is no number that float64 can hold"),
        (b'{"a":-1e400,"n":NaN,"b":1}', {"a/b": 1.0, "a/n": None}, "a/a: payload '-1e400': "),
        (b'{"a":"1e400","b":1}', {"a/b": 1.0}, "a/a: payload '1e400': is no number that float64 can hold"),
        (b'{"a":%s,"b":1}' % (b"9" * 5_000), {"a/b": 1.0}, "a/a: payload '999"),
        (b'{"a":"\\ud800","n":NaN,"b":1}', {"a/b": 1.0, "a/n": None}, "a/a: "),
        (b'{"\\ud800":1,"n":NaN}', {"a/_": 1.0, "a/n": None}, ""),
        (b'\xef\xbb\xbf{"b":1}', {"a/b": 1.0}, ""),
    ],
)  # fmt: skip
def test_a_number_that_is_none_leaves_the_others(
    payload: bytes, expected: dict[str, float | None], left_out: str
) -> None:
    reader = PayloadReader()
    assert {one.metric: one.value for one in reader.read("a", payload, NOW_MS)} == expected
    assert reader.left_out == bool(left_out)
    assert reader.why_left_out.startswith(left_out)


def test_integers_that_are_rounded_are_counted() -> None:
    reader = PayloadReader()
    for payload in (
        b"9007199254740993",
        b'{"a":9007199254740993,"b":"-9007199254740993","c":9007199254740994,"d":1.1}',
    ):
        reader.read("a", payload, NOW_MS)
    assert reader.rounded == 3


def test_a_time_that_is_no_number_is_refused_in_words() -> None:
    with pytest.raises(InvalidInput, match=r"time '?NaN'?: is no time"):
        PayloadReader(None, JsonPath("$.t")).read("a", b'{"t":NaN,"a":1}', NOW_MS)


def test_a_hostile_message_costs_little_and_ends_nothing() -> None:
    reader = PayloadReader(None, JsonPath("$.ts"))
    with pytest.raises(InvalidInput):
        reader.read("a", b'{"v":1,"ts":' + b"1" * 400 + b"}", NOW_MS)
    long = b'{"' + b"k" * 100_000 + b'":[' + b",".join([b"1"] * 50_000) + b'],"t":1}'
    started = time.thread_time()
    assert [one.metric for one in PayloadReader().read("a", long, NOW_MS)] == ["a/t"]
    assert len(PayloadReader().read("a", b"[" + b",".join([b"NaN"] * 200_000) + b"]", NOW_MS)) == 256
    assert len(PayloadReader().read("a", b"[" + b",".join([b"1"] * 400_000) + b"]", NOW_MS)) == 256
    with pytest.raises(InvalidInput, match="1e400"):
        PayloadReader().read("a", b"[" + b",".join([b"1e400"] * 100_000) + b"]", NOW_MS)
    assert time.thread_time() - started < generous(0.3)
    with pytest.raises(InvalidInput, match="at most"):
        PayloadReader().read("a", b" " * (2 << 20), NOW_MS)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"21.5", [("a", 21.5, None)]),
        (b" -3e2\n", [("a", -300.0, None)]),
        (b"nan", [("a", None, None)]),
        (b"true", [("a", 1.0, "true")]),
        (b"OFF", [("a", 0.0, "OFF")]),
        (b"heat", [("a", None, "heat")]),
        (b'{"t":1,"none":null,"in":{"x/y":"2"}}', [("a/t", 1.0, None), ("a/in/x_y", 2.0, None)]),
        (b'{"on":true}', [("a/on", 1.0, None)]),
        (b"[1,[2]]", [("a/0", 1.0, None), ("a/1/0", 2.0, None)]),
        (b'"5"', [("a", 5.0, None)]),
        (b"9007199254740993", [("a", 9007199254740992.0, None)]),
        (b"\xef\xbb\xbf21.5", [("a", 21.5, None)]),
        (b"\xef\xbb\xbf ON", [("a", 1.0, "ON")]),
    ],
)  # fmt: skip
def test_a_payload_is_read(payload: bytes, expected: list[tuple[str, float | None, str | None]]) -> None:
    found = PayloadReader().read("/a/", payload, NOW_MS)
    assert found == [DeviceReading(metric, value, text, None) for metric, value, text in expected]


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"  ", b"\xff", b"{", b"null", b"{}", b"[]", b"x" * 300, b'{"a":null}', b"[" * 9_000,
        b"1e400", b"-1e400", b'"1e400"', b'{"a":1e400}', b"\xef\xbb\xbf", b"[NaN" + b"[" * 9_000, b'{"a":NaN,}',
    ],
)  # fmt: skip
def test_what_is_no_reading_is_refused(payload: bytes) -> None:
    with pytest.raises(InvalidInput):
        PayloadReader().read("a", payload, NOW_MS)


@pytest.mark.parametrize("topic", ["", "/", "//", "\x01" * 9, "a" * 300])
def test_a_topic_without_a_name_is_refused(topic: str) -> None:
    if topic == "\x01" * 9:
        assert PayloadReader().read(topic, b"1", NOW_MS)[0].metric == "_" * 9
        return
    with pytest.raises(InvalidInput):
        PayloadReader().read(topic, b"1", NOW_MS)


@given(st.text(max_size=20), st.binary(max_size=60) | st.text(max_size=30).map(str.encode))
def test_any_message_is_readings_or_a_refusal(topic: str, payload: bytes) -> None:
    try:
        found = PayloadReader(None, None).read(topic, payload, NOW_MS)
    except InvalidInput as error:
        assert str(error)  # noqa: PT017 - either outcome is right
        return
    assert 0 < len(found) <= 256


@pytest.mark.parametrize("path", ["", "t", "$t", "$.", "$..t", "$.a[", "$[x]", "$.*", "$[-1]", "$" + ".a" * 17])
def test_a_path_that_is_none_is_refused(path: str) -> None:
    with pytest.raises(InvalidInput, match="expected a path"):
        JsonPath(path)


def test_a_path_finds_what_it_names() -> None:
    content = {"a": [{"b c": 1}], "d": 2}
    for path, found in (("$", content), ("$.d", 2), ("$.a[0]['b c']", 1)):
        assert JsonPath(path).of(content) == found
    for path in ("$.x", "$.d.x", "$.a[1]", "$.a.b", "$[0]"):
        with pytest.raises(InvalidInput):
            JsonPath(path).of(content)


def test_an_address_is_checked() -> None:
    assert broker_of("mqtt://h")[:5] == ("h", 1883, False, "tcp", "/mqtt")
    assert broker_of("mqtts://u:p%40@h:1")[:7] == ("h", 1, True, "tcp", "/mqtt", "u", "p@")
    assert broker_of("wss://h/x")[:5] == ("h", 443, True, "websockets", "/x")
    for url in (
        "h",
        "http://h",
        "mqtt://",
        "mqtt://h:x",
        "mqtt://h/topic",
        "mqtt://h:99999",
        "mqtt://a..b",
        f"mqtt://{'a' * 64}",
        "mqtt://a b",
    ):
        with pytest.raises(InvalidInput):
            broker_of(url)
