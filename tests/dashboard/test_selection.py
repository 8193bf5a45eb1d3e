"""A selection of label sets, as the address of a deck has it, is of those that are meant and of few others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewire.livestore.selection import selection_of

CASES = json.loads((Path(__file__).parents[1] / "chart" / "vectors" / "selections.json").read_text())["cases"]
LABELS = st.dictionaries(st.sampled_from(["az", "host", "a=b", "é,|!"]), st.sampled_from("xyz|,=!%é &#+/"), max_size=3)


def holds(text: str, labels: dict[str, str]) -> bool:
    """Tell whether each term of a selection holds."""
    terms = [term.split("=") for term in text.split(",") if term]
    return all(labels.get(unquote(name), "") in map(unquote, values.split("|")) for name, values in terms)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["what"])
def test_a_selection_is_written_with_the_labels_that_tell_most(case: dict[str, Any]) -> None:
    assert selection_of(case["meant"], case["others"]) == (case["text"], case["more"])


@given(meant=st.lists(LABELS, min_size=1, max_size=5), others=st.lists(LABELS, max_size=6))
def test_a_selection_holds_for_all_that_are_meant_and_says_for_how_many_others(
    meant: list[dict[str, str]], others: list[dict[str, str]]
) -> None:
    text, more = selection_of(meant, others)
    assert all(holds(text, labels) for labels in meant)
    assert sum(holds(text, labels) for labels in others) == more
    assert not set(text) & set(' &#+"<>'), "it stands in an address as it is"
