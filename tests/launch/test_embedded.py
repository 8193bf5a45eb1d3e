"""The bundled server: how it runs, and that it ends with whoever started it."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest
import redis
from ports import own_port
from servers import Valkey
from waiting import HANG_S, Eventually

from tidewire_service.errors import DataDirectoryInUse, EmbeddedServerFailed
from tidewire_service.launch.embedded import EmbeddedServer, server_binary


def test_it_listens_on_loopback_only_keeps_a_file_and_never_evicts(valkey: Valkey) -> None:
    config = {name: valkey.client.config_get(name)[name] for name in ("bind", "appendonly", "appendfsync", "save")}
    assert config == {"bind": "127.0.0.1", "appendonly": "yes", "appendfsync": "everysec", "save": ""}
    assert valkey.client.config_get("maxmemory")["maxmemory"] == str(1 << 30)
    assert valkey.client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
    limits = valkey.client.config_get("client-output-buffer-limit")["client-output-buffer-limit"].split()
    assert limits[limits.index("pubsub") + 1] == str(256 << 20)


def test_what_was_written_is_there_after_a_restart_and_after_a_kill(valkey: Valkey) -> None:
    valkey.client.set("a", "1")
    valkey.restart()
    assert valkey.client.get("a") == b"1"
    valkey.client.set("b", "2")
    valkey.kill()
    valkey.start()
    assert valkey.client.get("b") == b"2"


def test_a_paused_server_answers_nothing_until_it_is_resumed(valkey: Valkey) -> None:
    valkey.pause()
    hurried = redis.Redis(port=valkey.port, socket_timeout=0.2, retry=None)
    with pytest.raises(redis.TimeoutError):
        hurried.ping()
    valkey.resume()
    assert valkey.client.ping()
    hurried.close()


def test_a_data_directory_belongs_to_one_server(valkey: Valkey) -> None:
    with pytest.raises(DataDirectoryInUse, match="--data-dir"):
        EmbeddedServer(valkey.directory, own_port()).start()
    assert valkey.client.ping()


def test_a_server_that_cannot_start_says_why(valkey: Valkey, tmp_path: Path) -> None:
    with pytest.raises(EmbeddedServerFailed, match="Address already in use"):
        EmbeddedServer(tmp_path / "other", valkey.port).start()


def test_one_that_was_started_off_the_main_thread_outlives_the_thread_and_stops(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path, own_port())
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()
    client = redis.Redis(port=server.port)
    assert client.ping()
    client.close()
    pid = server.pid
    assert pid is not None
    server.stop()
    assert not _alive(pid)


_STARTS = """
import sys, threading, time
from pathlib import Path
from tidewire_service.launch.embedded import EmbeddedServer, free_port
server = EmbeddedServer(Path(sys.argv[1]), free_port())
if sys.argv[2] == "main":
    server.start()
else:
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()
print(server.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.fault
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("thread", ["main", "another"])
async def test_it_ends_with_the_process_that_started_it(
    number: int, thread: str, tmp_path: Path, eventually: Eventually
) -> None:
    command = [sys.executable, "-c", _STARTS, str(tmp_path / "data"), thread]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        if sys.platform == "linux":
            assert Path(f"/proc/{pid}/exe").readlink() == server_binary()
        parent.send_signal(number)
        parent.wait(HANG_S)
    await eventually(lambda: not _alive(pid))


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
