"""An address that can never work is refused where it is given, in one sentence and without its password."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from certificates import make_certificates
from click.testing import CliRunner

from tidewire.commands.cli import main
from tidewire.commands.mqtt import broker_of
from tidewire.errors import InvalidInput
from tidewire.publishing.publisher import Publisher
from tidewire.redislog.log import BlockingRedisLog, RedisLog
from tidewire.redislog.redis_url import Address, Sentinels, parse_redis_url
from tidewire.settings import without_password
from tidewire.subscribing.service_address import service_url
from tidewire_service.launch.exposure import warnings
from tidewire_service.settings import ServiceSettings

NEVER = {  # address: what the refusal says
    "redis://h?ssl_cert_reqs=none": "use rediss://",
    "redis://h?ssl_ca_certs=/etc/ssl/cert.pem": "use rediss://",
    "unix:///tmp/redis.sock?ssl_cert_reqs=none": "use rediss://",
    "redis://h?tls=true": "tls is not an option",
    "redis://h?decode_responses=true": "decode_responses is not an option",
    "redis://h?protocol=3": "protocol is not an option",
    "rediss://h?ssl_verify=no": "ssl_verify is not an option",
    "rediss://h?ssl_cert_reqs=never": "never",
    "rediss://h?ssl_ca_certs=/nowhere.pem": "ssl_ca_certs: '/nowhere.pem' cannot be read",
    "rediss://h?ssl_certfile=/nowhere.pem": "ssl_certfile: '/nowhere.pem' cannot be read",
    "rediss://h?ssl_min_version=5": "version",
    "rediss://h?ssl_ciphers=NONE": "cipher",
    "redis://h/production": "…/3 for the database 3",
    "redis://h/-1": "…/3 for the database 3",
    "redis://h/1/2": "…/3 for the database 3",
    "redis://h/٣": "…/3 for the database 3",
    "redis://h?db=-1": "…/3 for the database 3",
    "redis://h?db=main": "'db'",
    "redis://h?db=1&db=2": "db is given twice",
    "redis://h?socket_timeout=0": "above zero",
    "redis://h?socket_timeout=soon": "'socket_timeout'",
    "redis://h?max_connections=0": "above zero",
    "redis://h:0": "redis://host:port",
    "redis://h:99999": "redis://host:port",
    "redis://h:port": "redis://host:port",
    "redis://a..b": "label",
    "redis://my host": "redis://host:port",
    "redis://[::1": "IPv6",
    "redis://:half#secret@h": "%23",
    "redis://:half?secret@h": "%3F",
    "redis://:half/secret@h": "%2F",
    "redis://:half℀secret@h": "%23",  # its fold has a slash: the standard library quotes the whole of it
    "redis+sentinel://:half℀secret@a,b/tw": "%23",
    "unix://tmp/redis.sock": "three slashes",
    "unix://": "three slashes",
    f"unix:///{'x' * 200}": "at most 10",
    "redis:6379": "redis://host:port",
    "redis://a,b": "redis+sentinel://",
    "redis://a:1,b:2": "redis+cluster://",
    "redis+sentinel://a,b": "/NAME",
    "redis+sentinel://": "/NAME",
    "redis+sentinel:///tw": "/NAME",
    "redis+sentinel://a,,b/tw": "/NAME",
    "redis+sentinel://a,b/tw/x": "…/NAME/3 for the database 3",
    "redis+sentinel://a,b/tw/-1": "…/NAME/3 for the database 3",
    "redis+sentinel://a,b/tw/3/4": "…/NAME/3 for the database 3",
    "redis+sentinel://a,b/tw;FLUSHALL": "/NAME",
    "redis+sentinel://a,b/t%0Aw": "/NAME",
    "redis+sentinel://a,b/tw\r\n": "/NAME",
    "redis+sentinel://a:0/tw": "/NAME",
    "redis+sentinel://a:99999/tw": "/NAME",
    "redis+sentinel://a:٣/tw": "/NAME",
    "redis+sentinel://::1/tw": "/NAME",
    "redis+sentinel://my host/tw": "/NAME",
    "redis+sentinel://a..b/tw": "label",
    "redis+sentinel://a,b,a:26379/tw": "a:26379 is given twice",
    "redis+sentinel://" + ",".join(f"s{n}" for n in range(16)) + "/tw": "at most 15",
    "redis+sentinel://u:secret@a,u:secret@b/tw": "given once, before the first host",
    "redis+sentinel://:half/secret@a,b/tw": "%2F",
    "redis+sentinel://:half?secret@a,b/tw": "%3F",
    "redis+sentinel://:half#secret@a,b/tw": "%23",
    "redis+sentinel://:half@secret@a,b/tw": "%40",
    "redis+sentinel://a/tw?sentinel_password=secret&sentinel_password=secret": "sentinel_password is given twice",
    "redis+sentinel://a/tw?sentinel_username=me": "needs sentinel_password",
    "redis+sentinel://a/tw?master=tw": "master is not an option",
    "redis+sentinel://a/tw?ssl_cert_reqs=none": "use rediss:// (or rediss+sentinel://",
    "rediss+sentinel://a/tw?ssl_ca_certs=/nowhere.pem": "ssl_ca_certs: '/nowhere.pem' cannot be read",
    "redis://h?sentinel_password=secret": "sentinel_password is not an option",
    "sentinel://a/tw": "redis+sentinel://",
    "redis-sentinel://a:secret@h": "redis+sentinel://",
    "rediss-sentinel://a/tw": "redis+sentinel://",
    "redis+cluster://": "redis+cluster://host:port",
    "redis+cluster://:secret@a,,b:2": "redis+cluster://host:port",
    "redis+cluster://:secret@a,b:2/3": "only database is 0",
    "redis+cluster://a/tw": "only database is 0",
    "redis+cluster://a?db=3": "only database is 0",
    "redis+cluster://a,b,a:6379": "a:6379 is given twice",
    "redis+cluster://u:secret@a,u:secret@b": "given once, before the first host",
    "redis+cluster://:half/secret@a,b": "%2F",
    "redis+cluster://" + ",".join(f"n{n}" for n in range(16)): "at most 15",
    "redis+cluster://a?sentinel_password=secret": "sentinel_password is not an option",
    "redis+cluster://a?address_map=b:1": "named:port=reached:port",
    "redis+cluster://a?address_map=b:1=c:1,b:1=d:1": "each named address once",
    "redis+cluster://a?address_map=b:1=c:1&address_map=b:2=c:2": "address_map is given twice",
    "redis+cluster://a?address_map=" + ",".join(f"n{n}=m{n}" for n in range(101)): "at most 100",
    "redis://a?address_map=b:1=c:1": "address_map is not an option",
    "redis+cluster://a?ssl_cert_reqs=none": "is an option of TLS",
    "redis-cluster://:secret@a": "redis+cluster://",
    "valkey://h": "redis://",
    "valkeys://:secret@h": "rediss://",
    "redis-socket:///tmp/redis.sock": "unix:///",
    "redis://h\n": "redis://host:port",
}
FINE = [
    "redis://h", "redis://h/", "redis://h:6380/3", "redis://user:p%23w@h?db=2&socket_timeout=1.5", "redis://[::1]:6379",
    "redis://bücher.example", "redis://h?client_name=plc", "rediss://h?ssl_cert_reqs=none",
    "rediss://h?ssl_cert_reqs=optional&ssl_check_hostname=false&ssl_min_version=771", "unix:///tmp/redis.sock?db=2",
    "unix://user:password@/tmp/redis.sock", "redis://h?password=a@b", "redis+sentinel://a/tw",
    "redis+sentinel://a,b:26380,[::1]:26379/tw/", "redis+sentinel://u:p%23%40w@a,b,c/my.primary-1/3?socket_timeout=2",
    "rediss+sentinel://a/tw?ssl_cert_reqs=none&sentinel_username=u&sentinel_password=p%26w", "redis+sentinel://a/tw?db=3",
    "redis+cluster://a", "redis+cluster://a,b:7001,[::1]/", "redis+cluster://u:p%23%40w@a,b/0?socket_timeout=2",
    "rediss+cluster://a?ssl_cert_reqs=none", "redis+cluster://a?address_map=10.0.0.1:6379=a:7001,[::2]:1=[::1]:2",
]  # fmt: skip


@pytest.mark.parametrize("make", [RedisLog, BlockingRedisLog, Publisher])
@pytest.mark.parametrize("url", NEVER)
async def test_an_address_of_redis_that_can_never_work_is_refused(url: str, make: Callable[[str], Any]) -> None:
    with pytest.raises(InvalidInput) as refused:
        make(url)
    assert NEVER[url] in str(refused.value) or (make is Publisher and "redis://" in str(refused.value))
    assert "secret" not in str(refused.value)
    assert "half" not in str(refused.value)


@pytest.mark.parametrize("url", FINE)
async def test_an_address_that_can_work_is_taken(url: str) -> None:
    await RedisLog(url).close()
    BlockingRedisLog(url).close()


async def test_files_of_an_address_are_read_when_it_is_given(tmp_path: Path) -> None:
    files = make_certificates(tmp_path)
    tls = f"rediss://h?ssl_ca_certs={files.authority}&ssl_certfile={files.certificate}&ssl_keyfile={files.key}"
    await RedisLog(tls).close()
    Path(files.key).write_text("no key")
    with pytest.raises(InvalidInput):
        RedisLog(tls)


def test_an_address_with_sentinels_is_taken_apart() -> None:
    target = parse_redis_url(
        "rediss+sentinel://u:p%23w@a,b:1,[::1]:2/my.tw/3?sentinel_username=s&sentinel_password=x%26y&socket_timeout=2"
    )
    assert target.url == "rediss://u:p%23w@a:26379/3?socket_timeout=2"
    assert target.sentinels == Sentinels(
        (Address("a", 26_379), Address("b", 1), Address("::1", 2)), "my.tw", "s", "x&y"
    )
    assert "x&y" not in repr(target)
    assert "p%23w" not in repr(target)
    assert str(Address("::1", 2)) == "[::1]:2"
    assert parse_redis_url("redis://h").sentinels is None


async def test_a_log_of_sentinels_names_its_channels_by_the_database_of_the_primary() -> None:
    log = RedisLog("redis+sentinel://a/tw/3")
    assert log.keys.live == RedisLog("redis://a/3").keys.live
    await log.close()


@pytest.mark.parametrize("command", ["serve --redis", "publish a 1 --to", "host --to"])
@pytest.mark.parametrize(
    "url",
    [
        "redis://h?ssl_cert_reqs=none", "redis://h/production", "redis://:half#secret@h", "redis+sentinel://:secret@a,b",
        "redis+cluster://:secret@a/3", "sentinel://:secret@a/tw",
    ],
)  # fmt: skip
def test_a_command_says_so_in_one_sentence(url: str, command: str) -> None:
    result = CliRunner().invoke(main, [*command.split(), url])
    assert result.exit_code in {1, 2}
    assert isinstance(result.exception, SystemExit), "no traceback"
    assert len(result.output.strip().splitlines()) <= 4
    assert "secret" not in result.output


@pytest.mark.parametrize("url", ["http://h?x=1", "http://h/#top", "http://a..b", "https://", "http://h:0"])
def test_an_address_of_a_service_that_can_never_work_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput):
        Publisher(url)


@pytest.mark.parametrize("rest", ["half/secret@h", "half#secret@h", "half℀secret@h", "half@[secret]"])
@pytest.mark.parametrize(("read", "scheme"), [(service_url, "https"), (broker_of, "mqtts"), (RedisLog, "rediss")])
def test_no_part_of_a_password_is_in_a_refusal(read: Callable[[str], Any], scheme: str, rest: str) -> None:
    """The standard library quotes what it takes for a host or a port."""
    with pytest.raises(InvalidInput) as refused:
        read(f"{scheme}://user:{rest}")
    assert "half" not in str(refused.value)
    assert "%2F" in str(refused.value) or "expected" in str(refused.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://user:secret@h/1", "redis://h/1"),
        ("redis://h?password=secret", "redis://h?password=…"),
        ("redis://h?db=1&password=secret@1&client_name=a", "redis://h?db=1&password=…&client_name=a"),
        ("redis://h?PASSWORD=secret", "redis://h?PASSWORD=…"),
        ("redis://h?pass%77ord=secret", "redis://h?pass%77ord=…"),
        ("rediss://h?ssl_password=secret&username=me", "rediss://h?ssl_password=…&username=…"),
        ("redis://:half?secret@h", "redis://h"),
        ("redis+sentinel://user:secret@a,b:1/tw/3", "redis+sentinel://a,b:1/tw/3"),
        ("redis+sentinel://a/tw?sentinel_password=secret&db=1", "redis+sentinel://a/tw?sentinel_password=…&db=1"),
        ("redis+sentinel://a/tw?SENTINEL_password=secret", "redis+sentinel://a/tw?SENTINEL_password=…"),
        ("rediss+sentinel://a/tw?sentinel_username=secret", "rediss+sentinel://a/tw?sentinel_username=…"),
        ("redis+sentinel://u:secret@a,u:secret@b/tw", "redis+sentinel://b/tw"),
        ("redis://:half/secret@h", "redis://h"),
    ],
)
def test_an_address_is_shown_without_its_password(url: str, shown: str) -> None:
    assert without_password(url) == shown


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://127.0.0.1:6379", []),
        ("unix:///tmp/redis.sock", []),
        ("redis://h", ["use rediss://", "without a password"]),
        ("redis+sentinel://127.0.0.1,127.0.0.1:1/tw", []),
        ("redis+sentinel://127.0.0.1,h/tw", ["use rediss+sentinel://", "without a password"]),
        ("rediss+sentinel://:secret@a,b/tw", []),
    ],
)
def test_a_redis_on_the_network_is_warned_of(url: str, said: list[str]) -> None:
    found = warnings(ServiceSettings(redis=url))
    assert len(found) == len(said)
    assert all(word in warning for word, warning in zip(said, found, strict=True))
