"""Saved decks and thresholds are everybody's: what a narrow token finds of them, and that it cannot replace them."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from loop_meter import HELD_S, measured
from servers import Valkey
from waiting import generous

from tidewire.model.pattern import compile_pattern
from tidewire.redislog.keys import Keys
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


_LEVELS = st.lists(st.sampled_from(["a", "b", "ab", "*", "a*", "*b", "a*b", "*a*", "**"]), min_size=1, max_size=4).map(
    "/".join
)
_METRICS = st.lists(st.sampled_from(["a", "b", "ab", "aab"]), min_size=1, max_size=4).map("/".join)


def meant(left: tuple[str, ...], right: tuple[str, ...], star: str = "**") -> bool:
    """Whether two patterns meet, slow and obvious: of levels, or, with the star `*`, of the characters of a level."""
    if left[:1] == (star,):
        return meant(left[1:], right, star) or (bool(right) and meant(left, right[1:], star))
    if right[:1] == (star,):
        return meant(right, left, star)
    if not left or not right:
        return left == right
    heads = left[0] == right[0] if star == "*" else meant(tuple(left[0]), tuple(right[0]), "*")
    return heads and meant(left[1:], right[1:], star)


async def test_thresholds_are_narrowed_without_holding_the_event_loop(guarded: Any, token: Any) -> None:
    http, full = guarded.http, bearer(await token(subscribe=("**",), edit=True))
    limits = [{"metric": f"**/{'*a/' * 40}{n}b/**", "warn_above": 1.0} for n in range(60)]
    assert (await http.put("/v1/thresholds", json={"thresholds": limits}, headers=full)).status_code == 200
    narrow = bearer(await token(subscribe=tuple(f"{'a*/' * 80}{n}" for n in range(20))))
    held_s, answers = await measured(lambda: http.get("/v1/thresholds", headers=narrow))
    assert [answer.json() for answer in answers] == [{"thresholds": []}] * len(answers)
    assert held_s < HELD_S


async def test_narrowing_thresholds_that_takes_too_long_is_refused_with_a_remedy(
    start_service: Any, token: Any
) -> None:
    service = await start_service(auth=True, max_matching_s=0.05)
    http, full = service.http, bearer(await token(subscribe=("**",), edit=True))
    limits = [{"metric": f"**/{'*a/' * 40}{n}b/**", "warn_above": 1.0} for n in range(60)]
    assert (await http.put("/v1/thresholds", json={"thresholds": limits}, headers=full)).status_code == 200
    narrow = bearer(await token(subscribe=tuple(f"{'a*/' * 80}{n}" for n in range(20))))
    refused = await http.get("/v1/thresholds", headers=narrow)
    assert refused.status_code == 413
    assert "max_matching_s" in refused.text
    assert "fewer thresholds" in refused.text
    assert (await http.get("/v1/thresholds", headers=full)).status_code == 200


async def test_the_largest_list_of_decks_is_read_without_holding_the_event_loop(
    guarded: Any, token: Any, valkey: Valkey
) -> None:
    http, full = guarded.http, bearer(await token(subscribe=("**",), edit=True))
    deck = {"name": "large", "numbers": list(range(11_000))}
    assert (await http.put("/v1/decks/d0", json=deck, headers=full)).status_code == 200
    [(_, kept)] = valkey.cli("HGETALL", Keys().decks).items()
    for n in range(1, 500):  # as if each had been saved, which takes 30 ms
        valkey.cli("HSET", Keys().decks, f"d{n}", kept)
    held_s, answers = await measured(lambda: http.get("/v1/decks", headers=full))
    assert [len(listed.json()["decks"]) for listed in answers] == [500] * len(answers)
    assert held_s < HELD_S


@given(_LEVELS, _LEVELS)
@example("*a*b/**", "a*/**/b")
def test_two_patterns_meet_as_their_meaning_says(scope: str, pattern: str) -> None:
    expected = meant(tuple(scope.split("/")), tuple(pattern.split("/")))
    assert Scopes(subscribe=(scope,)).may_see_some(pattern) is expected


@pytest.mark.parametrize(
    ("scope", "pattern"),
    [("*a" * 127, "b*" + "a*" * 126), ("*a" * 127, "a" * 255), ("**/" + "*a/" * 40 + "b/**", "a*/" * 84 + "a")],
)
def test_no_pattern_makes_the_check_of_a_scope_slow(scope: str, pattern: str) -> None:
    scopes = Scopes(subscribe=(scope,))
    took_s = []
    for _ in range(20):
        began = time.thread_time()
        scopes.may_see_some(pattern)
        took_s.append(time.thread_time() - began)
    assert min(took_s) < generous(0.01), "a check takes less than 10 ms; a search that goes back takes hours"


@given(_LEVELS, _LEVELS, _METRICS)
def test_what_both_match_makes_them_meet(scope: str, pattern: str, metric: str) -> None:
    if compile_pattern(scope).matches(metric) and compile_pattern(pattern).matches(metric):
        assert Scopes(subscribe=(scope,)).may_see_some(pattern)
