"""Saved decks and thresholds are everybody's: what a narrow token finds of them, and that it cannot replace them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewire.model.pattern import compile_pattern
from tidewire_service.auth.scopes import Scopes

from .conftest import bearer

DECK = {"tidewire": "deck", "version": 1, "name": "secret/plan", "address": "?w=5m&c=secret/plan"}
LIMITS = [{"metric": metric, "warn_above": 1.0} for metric in ("secret/plan", "secret/**", "plant/a", "plant/*", "**")]


async def test_a_narrow_token_finds_no_deck_and_only_the_thresholds_that_mean_something_to_it(
    guarded: Any, token: Any
) -> None:
    http, full = guarded.http, bearer(await token(subscribe=("**",), edit=True))
    assert (await http.put("/v1/decks/plan", json=DECK, headers=full)).status_code == 200
    assert (await http.put("/v1/thresholds", json={"thresholds": LIMITS}, headers=full)).status_code == 200
    narrow = bearer(await token(subscribe=("plant/**",), edit=True))
    assert (await http.get("/v1/decks", headers=narrow)).json() == {"decks": []}
    hidden = await http.get("/v1/decks/plan", headers=narrow)
    unknown = await http.get("/v1/decks/nope", headers=narrow)
    assert hidden.status_code == unknown.status_code == 404
    assert hidden.text.replace("plan", "nope") == unknown.text
    seen = (await http.get("/v1/thresholds", headers=narrow)).json()["thresholds"]
    assert [threshold["metric"] for threshold in seen] == ["plant/a", "plant/*", "**"]
    for method, path, body in (
        ("PUT", "/v1/decks/mine", DECK), ("PUT", "/v1/decks/plan", DECK), ("DELETE", "/v1/decks/plan", None),
        ("PUT", "/v1/thresholds", {"thresholds": []}),
    ):  # fmt: skip
        refused = await http.request(method, path, json=body, headers=narrow)
        assert refused.status_code == 403
        assert "--subscribe '**'" in refused.json()["detail"]
    assert [deck["slug"] for deck in (await http.get("/v1/decks", headers=full)).json()["decks"]] == ["plan"]
    assert len((await http.get("/v1/thresholds", headers=full)).json()["thresholds"]) == len(LIMITS)


@pytest.mark.parametrize(
    ("scope", "pattern", "meets"),
    [
        ("plant/**", "plant", True), ("plant/**", "**/temperature", True), ("a/*/c", "a/b/*", True),
        ("a/b*", "a/*c", True), ("a/b*", "a/c*", False), ("a/*", "a/b/c", False), ("**/x/**", "a/b", False),
        ("**/x/**", "a/**", True), ("a", "a", True), ("a", "b", False),
    ],
)  # fmt: skip
def test_two_patterns_meet_where_a_metric_could_match_both(scope: str, pattern: str, meets: bool) -> None:
    assert Scopes(subscribe=(scope,)).may_see_some(pattern) is meets


_LEVELS = st.lists(st.sampled_from(["a", "b", "ab", "*", "a*", "*b", "**"]), min_size=1, max_size=4).map("/".join)
_METRICS = st.lists(st.sampled_from(["a", "b", "ab", "aab"]), min_size=1, max_size=4).map("/".join)


@given(_LEVELS, _LEVELS, _METRICS)
def test_what_both_match_makes_them_meet(scope: str, pattern: str, metric: str) -> None:
    if compile_pattern(scope).matches(metric) and compile_pattern(pattern).matches(metric):
        assert Scopes(subscribe=(scope,)).may_see_some(pattern)
