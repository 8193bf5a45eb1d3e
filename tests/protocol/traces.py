"""The shortest schedule that needs each rule of docs/protocol.md, found by the hunt with the rule switched off."""

from __future__ import annotations

from typing import NamedTuple

from world import Action, Sizes


class Trace(NamedTuple):
    """A schedule, the sizes it needs, and the rule whose absence it shows."""

    row: int
    rule: str
    says: str
    sizes: Sizes
    actions: list[Action]


TRACES = [
    Trace(
        1,
        "pp",
        "a lost frame is found by the previous id that the next frame carries",
        Sizes(2, 2, 2, 0, 500),
        [("append", "X"), ("drop", 1, 0), ("cut", 1), ("append", "Z")],
    ),
    Trace(
        2,
        "check",
        "a lost last frame is found by the clock",
        Sizes(3, 3, 1, 3, 2),
        [("break", 0), ("append", "X")],
    ),
    Trace(
        3,
        "barrier",
        "a page never reaches past a position fixed before its reads",
        Sizes(2, 3, 1, 1, 500),
        [("append", "X"), ("hub", 0), ("append", "X"), ("flush", 0), ("append", "Y"), ("sub", 1)],
    ),
    Trace(
        4,
        "dirafter",
        "the metrics of a page are those known when its barrier was fixed, or later",
        Sizes(2, 2, 2, 3, 1),
        [
            ("append", "Z"),
            ("killhub", 1),
            ("cut", 2),
            ("resume", 2, 1),
            ("append", "Y", "X", "Y"),
            ("sub", 2),
            ("drop", 1, 0),
            ("append", "Y", "X", "Y"),
            ("sub", 2),
        ],
    ),
    Trace(
        5,
        "pagemin",
        "a page reaches as far as its shortest full list",
        Sizes(4, 3, 1, 1, 500),
        [("append", "Z"), ("append", "Z"), ("append", "Y")],
    ),
    Trace(
        6,
        "ptest",
        "the first entry after a cursor shows what was trimmed before it",
        Sizes(2, 2, 2, 0, 2),
        [("append", "X"), ("append", "X", "Z"), ("append", "X")],
    ),
    Trace(
        7,
        "ptest_bounded",
        "the first entry is tested even if it lies beyond the barrier",
        Sizes(3, 1, 2, 3, 1),
        [
            ("append", "X"),
            ("hub", 0),
            ("flush", 0),
            ("append", "X"),
            ("append", "X"),
            ("append", "Z"),
            ("sub", 1),
            ("trim", "X"),
        ],
    ),
    Trace(
        8,
        "emptytest",
        "a log trimmed to nothing is a gap up to its tail",
        Sizes(1, 2, 1, 2, 500),
        [("append", "X", "Z"), ("trim", "X"), ("append", "Y")],
    ),
    Trace(
        9,
        "tailsmax",
        "tails only rise, and never fall behind the position",
        Sizes(2, 2, 2, 0, 2),
        [("check", 0), ("append", "Y"), ("append", "Y", "X", "Y"), ("hub", 0), ("check", 0)],
    ),
    Trace(
        10,
        "filt",
        "a subscription never gets an id at or below its cursor",
        Sizes(2, 2, 1, 2, 500),
        [
            ("append", "Y"),
            ("hub", 0),
            ("flush", 0),
            ("sub", 0),
            ("recv", 0),
            ("sub", 0),
            ("recv", 0),
            ("cut", 0),
            ("resume", 0, 1),
            ("sub", 0),
        ],
    ),
    Trace(
        11,
        "atomicjoin",
        "complete and live are one step",
        Sizes(1, 2, 1, 2, 500),
        [("sub", 1), ("append", "X", "Z")],
    ),
    Trace(
        12,
        "holdcur",
        "the cursor stays at what the socket has",
        Sizes(2, 1, 2, 3, 1),
        [("sub", 0), ("append", "X", "Z")],
    ),
    Trace(
        13,
        "hello",
        "hello carries the cursor that resumes",
        Sizes(1, 1, 1, 0, 2),
        [("append", "Y"), ("killhub", 0), ("killhub", 1), ("resume", 1, 1), ("sub", 1), ("recv", 1), ("killhub", 1)],
    ),
    Trace(
        16,
        "chain",
        "each server process mints an epoch",
        Sizes(3, 3, 1, 3, 2),
        [("snap",), ("append", "X", "Z"), ("failover",), ("append", "Z")],
    ),
    Trace(
        17,
        "cut",
        "a fork cuts position, ring and cursors back",
        Sizes(1, 2, 1, 1, 500),
        [("snap",), ("append", "Y"), ("hub", 0), ("failover",), ("append", "Z")],
    ),
    Trace(
        18,
        "recheck",
        "a page is delivered only if the lineage still stands after its reads",
        Sizes(3, 2, 2, 2, 2),
        [
            ("append", "Y", "X", "Y"),
            ("flushall",),
            ("append", "X"),
            ("hub", 0),
            ("flush", 0),
            ("sub", 0),
            ("sub", 0),
            ("sub", 0),
            ("sub", 0),
            ("sub", 0),
        ],
    ),
    Trace(
        19,
        "seen",
        "writes that a caller saw acknowledged and a failover lost are announced",
        Sizes(1, 2, 1, 2, 500),
        [("snap",), ("append", "Y", "X", "Y"), ("failover",)],
    ),
    Trace(
        20,
        "lineage",
        "evidence carries the caller's whole chain",
        Sizes(1, 3, 2, 2, 1),
        [("snap",), ("failover",), ("append", "Z"), ("failover",)],
    ),
    Trace(
        22,
        "askclock",
        "a frame of another epoch is settled by the clock",
        Sizes(4, 1, 2, 3, 1),
        [("flushall",), ("append", "Z"), ("break", 0), ("resub", 0), ("append", "Y")],
    ),
    Trace(
        23,
        "onewriter",
        "only the pump changes the position",
        Sizes(1, 3, 1, 3, 1),
        [("append", "Z"), ("sub", 2), ("snap",), ("failover",)],
    ),
    Trace(
        25,
        "gapatomic",
        "a gap and the position move in one step",
        Sizes(2, 2, 2, 0, 2),
        [("sub", 0), ("append", "Y"), ("append", "Y", "X", "Y"), ("check", 0), ("sub", 0), ("hub", 0), ("check", 0)],
    ),
    Trace(
        26,
        "orphan",
        "a log without its place in the directory is nobody's",
        Sizes(1, 2, 1, 2, 500),
        [("append", "Y"), ("noclock",), ("append", "Y")],
    ),
]
