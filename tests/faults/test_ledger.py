"""The checker itself: each broken promise is found, and what was announced is none."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tidewire.model.cursor import Cursor, id_from_ms
from tidewire.model.sse import ServerEvent
from tidewire.redislog.lineage import Clock, Fork

from .ledger import Book, Broken, SubscriberLedger, check

EPOCH = "aaaaaaa"
CLOCK = Clock(EPOCH, id_from_ms(100), (Fork(EPOCH, 0, None),), 0.0)


def _cursor(ms: int, epoch: str = EPOCH) -> str:
    return str(Cursor(epoch, id_from_ms(ms)))


def _told(ledger: SubscriberLedger, event: str, id_: str | None = None, **data: object) -> None:
    ledger.record(ServerEvent(event, json.dumps(data), "", id_))


def _saw(ledger: SubscriberLedger, number: int, ms: int | None = None) -> None:
    ledger.record(ServerEvent("message", f"body {number}", "", _cursor(ms or 10 * number)))


def _begun(published: int = 4) -> tuple[Book, SubscriberLedger]:
    book, ledger = Book(), SubscriberLedger("one", ["m"])
    ledger.note("connected")
    _told(ledger, "hello", _cursor(1), cursor=_cursor(1), resumed=False)
    for number in range(1, published + 1):
        body = b"body %d" % number
        book.tried("m", [body])
        book.acknowledged([body], EPOCH, [id_from_ms(10 * number)])
    return book, ledger


def _deliver(*numbers: int) -> Callable[[SubscriberLedger], None]:
    def deed(ledger: SubscriberLedger) -> None:
        for number in numbers:
            _saw(ledger, number)

    return deed


def test_a_whole_stream_keeps_every_promise() -> None:
    book, ledger = _begun()
    _deliver(1, 2, 3, 4)(ledger)
    check(book, [ledger], CLOCK, {b"body 1": [Cursor(EPOCH, id_from_ms(10))]})


@pytest.mark.parametrize(
    ("invariant", "deed"),
    [
        ("I1", _deliver(1, 2, 4)),
        ("I2", lambda ledger: _saw(ledger, 9, 95)),
        ("I3", _deliver(1, 3, 2, 4)),
        ("I4", lambda ledger: _saw(ledger, 2, 10)),
        ("I5", lambda ledger: [_saw(ledger, 1), _saw(ledger, 1, 15)]),
        ("I5", lambda ledger: _told(ledger, "gap", kind="lost", **{"from": _cursor(1), "to": _cursor(2)})),
        (
            "I1",
            lambda ledger: [ledger.note("connected", "x"), _told(ledger, "hello", cursor=_cursor(1), resumed=False)],
        ),
    ],
)
def test_each_broken_promise_is_found(invariant: str, deed: Callable[[SubscriberLedger], object]) -> None:
    book, ledger = _begun()
    deed(ledger)
    with pytest.raises(Broken, match=invariant):
        check(book, [ledger], CLOCK)


def test_an_announced_gap_is_no_loss_but_only_of_what_it_names() -> None:
    book, ledger = _begun()
    _saw(ledger, 1)
    _told(ledger, "gap", kind="trimmed", metric="m", **{"from": _cursor(10), "to": _cursor(30)})
    _saw(ledger, 4)
    check(book, [ledger], CLOCK)
    book, ledger = _begun()
    _told(ledger, "gap", kind="trimmed", metric="another", **{"from": _cursor(1), "to": _cursor(40)})
    with pytest.raises(Broken, match="I1 4 of 4"):
        check(book, [ledger], CLOCK)


def test_a_lost_log_must_be_announced_by_a_reset() -> None:
    new = Clock("bbbbbbb", id_from_ms(200), (Fork("bbbbbbb", 0, None),), 0.0)
    book, ledger = _begun()
    _saw(ledger, 1)
    with pytest.raises(Broken, match="I1 3 of 4"):
        check(book, [ledger], new)
    _told(ledger, "reset", _cursor(150, "bbbbbbb"), epoch="bbbbbbb")
    check(book, [ledger], new)


def test_a_loss_is_owed_to_whom_it_befell_and_not_to_a_stream_that_began_after_it() -> None:
    fork = id_from_ms(25)  # the batches at 30 and 40 are gone
    chain = (Fork(EPOCH, 0, None), Fork("bbbbbbb", fork, None), Fork("ccccccc", fork, fork))
    clock = Clock("ccccccc", id_from_ms(300), chain, 0.0)
    book, ledger = _begun()
    _deliver(1, 2)(ledger)
    with pytest.raises(Broken, match="I1 2 of 4"):
        check(book, [ledger], clock)
    gap = {"kind": "lost", "from": _cursor(25), "to": _cursor(40)}
    _told(ledger, "gap", _cursor(25, "ccccccc"), **gap)
    check(book, [ledger], clock)
    for began in (_cursor(25, "bbbbbbb"), _cursor(50, "ccccccc")):
        later = SubscriberLedger("two", ["m"])
        later.note("connected")
        _told(later, "hello", began, cursor=began, resumed=False)
        check(book, [later], clock)


def test_a_double_append_is_found_in_the_log() -> None:
    book, ledger = _begun(1)
    _saw(ledger, 1)
    with pytest.raises(Broken, match="stored 2 times"):
        check(book, [ledger], CLOCK, {b"body 1": [Cursor(EPOCH, id_from_ms(10)), Cursor(EPOCH, id_from_ms(11))]})


def test_a_reset_before_a_snapshot_may_empty_the_id_and_the_first_id_after_it_is_the_start() -> None:
    new = Clock("bbbbbbb", id_from_ms(200), (Fork("bbbbbbb", 0, None),), 0.0)
    book, ledger = _begun()
    _told(ledger, "reset", "", epoch="bbbbbbb")
    _told(ledger, "live", _cursor(150, "bbbbbbb"), cursor=_cursor(150, "bbbbbbb"))
    check(book, [ledger], new)
    book.tried("m", [b"body 5"])
    book.acknowledged([b"body 5"], "bbbbbbb", [id_from_ms(160)])
    with pytest.raises(Broken, match="I1 1 of 5"):
        check(book, [ledger], new)
