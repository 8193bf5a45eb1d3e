"""What `tidewire doctor` says of a log of several partitions, on a real server."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from servers import Valkey

from tidewire.commands.doctor import Finding, _ready, _redis
from tidewire.model.batch import encode_batch, make_batch
from tidewire.model.cursor import Cursor
from tidewire.model.layout import Layout, layout_of
from tidewire.model.vector_cursor import VectorCursor
from tidewire.redislog.log import BlockingRedisLog
from tidewire.subscribing.service_answer import Answer


@pytest.fixture
def layout(valkey: Valkey) -> Layout:
    """A log of two partitions with a metric in each."""
    home = BlockingRedisLog(valkey.url, partition=None)
    layout = home.read_layout(layout_of(2))
    home.close()
    for number in range(layout.partitions):
        metric = next(name for name in "abcdefgh" if layout.partition_of(name) == number)
        part = BlockingRedisLog(valkey.url, layout=layout, partition=number)
        part.append([encode_batch(make_batch(metric, 1.0))])
        part.close()
    return layout


def _said(findings: Iterable[Finding], what: str) -> list[tuple[str, str]]:
    return [(finding.level, finding.found) for finding in findings if finding.what == what]


def test_it_names_the_layout_and_where_each_partition_is_in_which_epoch(valkey: Valkey, layout: Layout) -> None:
    epochs: set[str] = set()
    findings = list(_redis(valkey.url, "tw", epochs))
    address = valkey.url.partition("//")[2].partition("/")[0]
    [(level, found)] = _said(findings, "layout")
    assert (level, found) == (
        "ok",
        f"2 partitions, layout 1 ({' '.join(layout.tags)}); saved documents are at {address}",
    )
    for number, tag in enumerate(layout.tags):
        [(level, found)] = _said(findings, f"partition {number}")
        epoch = valkey.client.hget(f"tw:{{{tag}}}:clock", "epoch").decode()
        assert (level, found) == ("ok", f"at {address}, epoch {epoch}, 1 in its chain")
        assert epoch in epochs
    assert _said(findings, "log") == []
    assert [finding for finding in findings if finding.level == "wrong"] == []


def test_a_log_of_one_partition_has_no_layout_to_speak_of(valkey: Valkey) -> None:
    log = BlockingRedisLog(valkey.url)
    log.append([encode_batch(make_batch("a", 1.0))])
    log.close()
    findings = list(_redis(valkey.url, "tw", set()))
    assert _said(findings, "layout") == []
    [(level, found)] = _said(findings, "log")
    assert level == "ok"
    assert found.startswith("epoch ")


def test_what_is_wrong_with_one_partition_is_said_of_it_and_the_others_are_well(valkey: Valkey, layout: Layout) -> None:
    key = f"tw:{{{layout.tags[1]}}}:clock"
    valkey.client.hset(key, "layout", "2 1 2")  # of another layout than the one that is written
    findings = list(_redis(valkey.url, "tw", set()))
    [(level, found)] = _said(findings, "partition 1")
    assert level == "wrong"
    assert found.startswith(f"at {valkey.url.partition('//')[2].partition('/')[0]}: ")
    assert "is split into other partitions" in found
    assert _said(findings, "partition 0")[0][0] == "ok"
    valkey.client.delete(key)
    valkey.client.set(key, "spoilt")
    findings = list(_redis(valkey.url, "tw", set()))
    assert any(found.startswith(f"{key} is a string, expected a hash") for _, found in _said(findings, "keys"))
    assert _said(findings, "partition 0")[0][0] == "ok"


def test_a_service_on_the_same_log_is_known_by_the_first_characters_of_an_epoch() -> None:
    position = str(VectorCursor.of(1, [(0, Cursor("abcde", 5)), (1, Cursor("fghij", 7))]))
    answer = Answer(200, {}, f'{{"ready":true,"reason":"","position":"{position}"}}'.encode())
    assert list(_ready(answer, {"abcdefg", "other12"})) == []
    [finding] = _ready(answer, {"other12"})
    assert finding.found.startswith("the service reads another Redis")
