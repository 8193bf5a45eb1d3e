"""The layout of a log: where its partitions lie in a Cluster, in which one a metric lies, and what is refused."""

from __future__ import annotations

from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from tidewire.errors import InvalidInput
from tidewire.model.layout import HOME, PARTITIONS, SINGLE, Layout, layout_of, parse_layout
from tidewire.redislog.keys import Keys

_SLOTS = 16_384
metrics = st.text(min_size=1, max_size=40)


def slots(layout: Layout) -> list[int]:
    return [key_slot(Keys(partition=tag).clock.encode()) for tag in layout.tags]


def test_the_tags_are_part_of_the_data_and_stay() -> None:
    assert layout_of(8).tags == ("0cz", "1gd", "2eb", "3mi", "4xa", "5pj", "6c", "7ys")
    assert layout_of(4).tags == ("0cz", "2eb", "4xa", "6c")
    assert layout_of(2).tags == ("0cz", "4xa")
    assert layout_of(1) == SINGLE
    assert SINGLE.tags == (HOME,) == ("0",)
    assert slots(layout_of(8)) == [1_025, 3_082, 5_118, 7_180, 9_234, 11_232, 13_302, 15_360]


@pytest.mark.parametrize("partitions", [2, 4, 8])
@pytest.mark.parametrize("primaries", [1, 2, 4, 8])
def test_primaries_that_share_the_slots_evenly_share_the_partitions_evenly(partitions: int, primaries: int) -> None:
    held = [0] * primaries
    for slot in slots(layout_of(partitions)):
        held[slot * primaries // _SLOTS] += 1
    assert max(held) - min(held) <= 1
    assert max(held) == max(1, partitions // primaries)


@given(metric=metrics, partitions=st.sampled_from(PARTITIONS))
def test_a_metric_lies_where_its_checksum_says(metric: str, partitions: int) -> None:
    assert layout_of(partitions).partition_of(metric) == crc32(metric.encode()) % partitions


def test_a_metric_lies_for_ever_where_it_lies_today() -> None:
    """Were it found elsewhere tomorrow, its past would be gone."""
    names = ["furnace/temperature", "a", "zug/ß"]
    assert [layout_of(8).partition_of(name) for name in names] == [2, 3, 4]


@given(names=st.lists(metrics, max_size=30), partitions=st.sampled_from(PARTITIONS))
def test_a_split_has_each_place_once_in_order(names: list[str], partitions: int) -> None:
    layout = layout_of(partitions)
    places = layout.split(names)
    assert sorted(place for own in places.values() for place in own) == list(range(len(names)))
    for number, own in places.items():
        assert own == sorted(own)
        assert {layout.partition_of(names[place]) for place in own} == {number}


def test_what_a_selection_can_touch() -> None:
    layout = layout_of(4)
    assert list(layout.touched(None)) == [0, 1, 2, 3]
    assert list(layout.touched(["a", "b", "a"])) == sorted({layout.partition_of("a"), layout.partition_of("b")})


@pytest.mark.parametrize("partitions", PARTITIONS)
def test_a_layout_survives_its_text(partitions: int) -> None:
    layout = layout_of(partitions)
    assert parse_layout(layout.encode()) == layout
    assert bool(layout.encode()) == (partitions > 1), "a log of one says nothing about itself"


def test_a_caller_states_what_it_takes_the_partition_for() -> None:
    stated = [layout_of(count).statement(number) for count in PARTITIONS for number in range(count)]
    assert stated[0] == ""
    assert len(set(stated)) == len(stated), "no two are taken for one another"


@pytest.mark.parametrize("partitions", [0, 3, 16, -1, 2.5, "4"])
def test_a_number_of_partitions_that_cannot_be_is_refused(partitions: int) -> None:
    with pytest.raises(InvalidInput, match="expected 1, 2, 4 or 8"):
        layout_of(partitions)


@pytest.mark.parametrize(
    "text",
    [
        b"x",
        b"[]",
        b'{"id":1}',
        b'{"id":1,"partitions":2,"tags":["0cz","4xa"],"hash":"md5"}',
        b'{"id":0,"partitions":2,"tags":["0cz","4xa"],"hash":"crc32"}',
        b'{"id":1,"partitions":2,"tags":["0cz"],"hash":"crc32"}',
        b'{"id":1,"partitions":2,"tags":["0cz","0cz","4xa"],"hash":"crc32"}',
        b'{"id":1,"partitions":2,"tags":["0cz","}x"],"hash":"crc32"}',
        b'{"id":1,"partitions":2,"tags":["0cz",""],"hash":"crc32"}',
        b'{"id":1,"partitions":3,"tags":["a","b","c"],"hash":"crc32"}',
        b'{"id":1,"partitions":1,"tags":["0"],"hash":"crc32"}',
    ],
)
def test_a_layout_that_is_none_of_this_version_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidInput, match="layout"):
        parse_layout(text)
