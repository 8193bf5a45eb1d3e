"""What the field of a formula offers while it is written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewire.model.formulas.completion import complete
from tidewire.model.formulas.parser import parse_formula

SERIES = [
    ("http/requests_total", {"site": "A", "code": "200"}),
    ("http/requests_total", {"site": "B", "code": "500"}),
    ("http/duration", {"site": "A"}),
    ("plant/rate", {}),
    ("plant 7/rate", {"line": 'say "hi"'}),
]


def shown(text: str) -> list[str]:
    """Return what is offered at the end of a text, or where it has a bar."""
    at = text.find("|") if "|" in text else len(text)
    return [one.shown for one in complete(text.replace("|", ""), at, SERIES).items]


@pytest.mark.parametrize(
    ("text", "offered"),
    [
        ("rat", ["rate(x[r])", "plant/rate", "plant 7/rate", "http/duration"]),
        ("http/re", ["http/requests_total"]),
        ("requ", ["http/requests_total"]),
        ("rate(http/d|)", ["http/duration"]),
        ("http/requests_total{", ["code", "site"]),
        ("http/duration{", ["site"]),
        ('http/requests_total{site="A", c|}', ["code"]),
        ('http/requests_total{code="', ["200", "500"]),
        ('http/requests_total{code=~"5', ["500"]),
        ("sum by (", ["code", "line", "site"]),
        ("sum by (site, c|) (http/requests_total)", ["code"]),
        ('{"plant', ["plant/rate", "plant 7/rate"]),
        ("nothing here", []),
        ("", ["plant/rate", "plant 7/rate", "http/duration", "http/requests_total"]),
    ],
)
def test_what_may_stand_there_is_offered(text: str, offered: list[str]) -> None:
    assert shown(text) == offered


@pytest.mark.parametrize(
    ("text", "chosen", "formula", "cursor"),
    [
        ("su", 0, "sum()", 4),
        ("rate(7/r|)", 0, 'rate({"plant 7/rate"})', 21),
        ("http/duration{si|}", 0, 'http/duration{site=""}', 20),
        ('{"plant 7/rate", line="|"}', 0, '{"plant 7/rate", line="say \\"hi\\""}', 33),
    ],
)
def test_a_choice_replaces_the_word_and_what_it_makes_can_be_read(
    text: str, chosen: int, formula: str, cursor: int
) -> None:
    at = text.find("|") if "|" in text else len(text)
    text = text.replace("|", "")
    found = complete(text, at, SERIES)
    item = found.items[chosen]
    made = text[: found.start] + item.text + text[at:]
    assert made == formula
    assert found.start + len(item.text) - item.back == cursor
    if formula != "sum()":
        parse_formula(made)


@given(st.text(max_size=80), st.integers(0, 80))
def test_any_text_is_taken(text: str, position: int) -> None:
    found = complete(text, min(position, len(text)), SERIES)
    assert 0 <= found.start <= len(text)
    assert len(found.items) <= 12
