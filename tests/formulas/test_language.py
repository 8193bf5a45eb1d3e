"""What people type, and what nobody should: the grammar's bounds, its errors, names and patterns."""

from __future__ import annotations

import math
import time
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tidewire.errors import InvalidFormula
from tidewire.model.formulas.canonical import canonical_text
from tidewire.model.formulas.functions import AGGREGATORS, FUNCTIONS
from tidewire.model.formulas.lexer import is_bare_name
from tidewire.model.formulas.matchers import Matcher
from tidewire.model.formulas.parser import parse_formula
from tidewire.model.formulas.reads import LOOK_BACK_MS, labels_of, reads
from tidewire.model.formulas.star_labels import star_labels
from tidewire.model.formulas.tree import Selector, walk
from tidewire.model.formulas.types import check_purpose
from tidewire.model.pattern import compile_pattern

PIECES = [
    "a", "plant/*/power", "**", "*", "/", "-", "+", "^", "%", "(", ")", "{", "}", "[", "]", "5m", "1e999",
    "0x" + "f" * 64,
    ".5", "9" * 400, "sum", "by", "rate", "topk", "on", "group_left", "offset", "bool", "and", "or", "unless", "=~",
    "!=",
    '"a.*"', "'\\u0041'", "`", "#", "\n", ",", "==", ">", "炉", "\u0301", "\u200b", "\ud800", "\U0001f600", "@",
    ":", " ",
    "NaN", "inf", "label_replace(", "ema(x, 5s)", "1h30m", "ms", "\x00", "\u2028", "\N{MULTIPLICATION SIGN}",
]  # fmt: skip


def error_of(text: str) -> InvalidFormula | None:
    try:
        parse_formula(text)
    except InvalidFormula as error:
        return error
    return None


def is_placed(error: InvalidFormula, text: str) -> bool:
    return 0 <= error.position <= error.end <= len(text) and bool(error.message)


def refused(text: str) -> InvalidFormula:
    with pytest.raises(InvalidFormula) as caught:
        check_purpose(parse_formula(text), "chart")
    return caught.value


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=60).map("".join) | st.text(max_size=200))
@example("\ud800")
@example("x" * 5_000)
@example("9" * 400 + "y")
@example("3000y")
@example("'" + "\\" * 4_000)
def test_any_text_is_a_tree_or_an_error_with_its_place(text: str) -> None:
    error = error_of(text)
    if error is not None:
        assert is_placed(error, text)
        return
    node = parse_formula(text)
    canonical = canonical_text(node)
    assert parse_formula(canonical) == node
    assert canonical_text(parse_formula(canonical)) == canonical


@pytest.mark.parametrize(
    "text",
    [
        "(" * 4_000, "-" * 4_090 + "x", "+".join("x" * 1_000), "2^" * 2_000 + "2", "abs(" * 1_000, "{" * 4_000,
        "a" + "/a" * 2_000, "*/" * 2_000, "**/" * 1_300, "a{" + "b='c'," * 600 + "}", "#" * 4_096, '"' + "\\\\" * 2_000,
        "9" * 4_096, "1" + "h1" * 2_000, "sum by (" + "a," * 2_000 + ")(x)", 'x{a=~"' + "(" * 240 + '"}',
        'x{a=~"' + "a*" * 120 + '"}', "e\u0301" * 1_300, "a - " * 1_000 + "a", "rate(" * 800, "x[5m" * 1_000,
        "\n" * 4_096,
    ],
    ids=lambda text: text[:12],
)  # fmt: skip
def test_hostile_formulas_take_no_time(text: str) -> None:
    started = time.process_time()
    error = error_of(text)
    assert error is None or is_placed(error, text)
    assert time.process_time() - started < 1  # of the processor; it is some milliseconds


def test_reading_takes_time_in_proportion_to_the_length() -> None:
    def seconds(count: int) -> float:
        text = " + ".join([f"sum(rate(plant/*/metric_{'x' * 20}[5m]))"] * count)
        best = math.inf
        for _ in range(7):
            started = time.process_time()
            for _ in range(20):
                parse_formula(text)
            best = min(best, time.process_time() - started)
        return best

    assert seconds(48) < 4 * 8 * seconds(6)  # 8 times the text


@pytest.mark.parametrize(
    ("text", "kind", "marked", "remedy"),
    [
        ("rate(a/b", "syntax", "", "or an operator"),
        ("rats(x)", "unknown_function", "rats", "did you mean rate?"),
        ("Rate(x)", "unknown_function", "Rate", "did you mean rate?"),
        ("a/sum(b)", "unknown_function", "a/sum", "to calculate, write spaces: a / sum(…)"),
        ("x \N{MULTIPLICATION SIGN} 2", "character", "\N{MULTIPLICATION SIGN}", "write *"),
        ("x \N{MINUS SIGN} 2", "character", "\N{MINUS SIGN}", "write -"),
        ("x{a=\N{LEFT DOUBLE QUOTATION MARK}b", "character", "\N{LEFT DOUBLE QUOTATION MARK}", 'write "'),
        ("a**2", "pattern", "**", "a power is '^'"),
        ("rate(sum(x))", "type", "sum(x)", "rate first, then sum"),
        ("1 > 2", "type", ">", "> bool"),
        ("x[5m]", "type", "x[5m]", "avg_over_time(x[5m])"),
        ("x offset -5m", "duration", "-", "90s, 5m, 1h30m"),
        ("x{b}", "syntax", "}", ""),
        ("x{b=1}", "syntax", "1", 'b="…"'),
        ("histogram_quantile(0.9, x)", "unsupported", "histogram_quantile", "quantile_over_time"),
        ("topk(x)", "arguments", "topk(x)", "topk(k, v)"),
        ("ema(x)", "arguments", "ema(x)", "ema(x[r], half_life)"),
        ('x{a=~"(a+)+"}', "regex", '"(a+)+"', "a group takes '?' only"),
        ("3d/printer + x", "name", "3d/printer", '{"3d/printer"}'),
    ],
)
def test_a_mistake_is_marked_and_says_what_to_write(text: str, kind: str, marked: str, remedy: str) -> None:
    error = refused(text)
    assert (error.kind, text[error.position : error.end]) == (kind, marked)
    assert remedy in error.remedy
    assert str(error).startswith(f"formula, character {error.position + 1}: ")


def test_positions_are_code_points() -> None:
    assert refused("{'\U0001f600'} + \N{MULTIPLICATION SIGN} x").position == 8


def test_every_function_reads_as_it_is_listed() -> None:
    examples = {"range": "x[5m]", "vector": "x", "scalar": "1", "number": "30s", "text": '"a"'}
    for function in FUNCTIONS.values():
        arguments = ", ".join(examples[parameter.kind] for parameter in function.parameters)
        text = f"{function.name}({arguments})".replace("baseline(x[5m], 30s, 30s)", "baseline(x[5m], 1d, 7)")
        check_purpose(parse_formula(text), "chart")
        assert function.meaning
    for aggregator in AGGREGATORS.values():
        check_purpose(parse_formula(f"{aggregator.name}({'1, ' if aggregator.parameter else ''}x)"), "chart")


NAMES = st.text(st.sampled_from("ab/-.: 3*{炉_"), min_size=1, max_size=12)


@settings(max_examples=300, deadline=None)
@given(NAMES)
def test_a_quoted_name_is_that_metric_and_a_bare_one_too(name: str) -> None:
    quoted = '{"' + name + '"}'
    error = error_of(quoted)
    if error is not None:
        assert error.kind in ("name", "pattern")
        return
    node = parse_formula(quoted)
    assert isinstance(node, Selector)
    if is_bare_name(name):
        assert parse_formula(name) == node


# -- patterns, and what a formula reads


LEVELS = st.sampled_from(["*", "**", "a", "b", "a*", "*b", "a*b*", "ab", "aab"])


@settings(max_examples=500, deadline=None)
@given(
    st.lists(LEVELS, min_size=1, max_size=6).map("/".join),
    st.lists(st.sampled_from(["a", "b", "ab", "aab", "ba"]), min_size=1, max_size=7).map("/".join),
)
def test_stars_stand_for_what_makes_the_name(pattern: str, metric: str) -> None:
    found = star_labels(pattern, metric)
    assert (found is not None) == compile_pattern(pattern).matches(metric)
    if found is None:
        return
    stars = 0
    levels = []
    for level in pattern.split("/"):
        if "*" in level:
            stars += 1
            taken = found.get(f"*{stars}", "")
            assert level == "**" or compile_pattern(level).matches(taken)
            levels += [taken] if taken else []
        else:
            levels.append(level)
    assert "/".join(levels) == metric
    assert "" not in found.values()


@pytest.mark.parametrize(
    ("pattern", "metric", "found"),
    [
        ("plant/*/power", "plant/A/power", {"*1": "A"}),
        ("**/power", "power", {}),
        ("**/x/**", "a/x/b/x/c", {"*1": "a", "*2": "b/x/c"}),
        ("a/**", "a", {}),
        ("*/**/*", "a/b", {"*1": "a", "*3": "b"}),
        ("plant/*", "plant/a/b", None),
    ],
)
def test_stars_take_as_few_levels_as_they_can(pattern: str, metric: str, found: dict[str, str] | None) -> None:
    assert star_labels(pattern, metric) == found


@pytest.mark.parametrize(
    ("text", "before_s", "window_s"),
    [
        ("x", 7_200, 0),
        ("x offset 1h", 10_800, 3_600),
        ("avg_over_time(x[5m])", 300, 300),
        ("rate(x[5m])", 7_500, 300),
        ("rate(x)", 7_200, 0),
        ("ema(x, 30s)", 300, 0),
        ("baseline(x[5m], 1d, 7)", 7 * 86_400 + 300, 7 * 86_400 + 300),
        ("baseline(x[5m])", 7 * 86_400 + 300, 7 * 86_400 + 300),
    ],
)
def test_how_far_back_a_formula_reads(text: str, before_s: float, window_s: float) -> None:
    (read,) = reads(parse_formula(text))
    assert (read.before_ms / 1e3, read.window_ms / 1e3) == (before_s, window_s)


def test_the_series_that_a_formula_reads() -> None:
    node = parse_formula('rate(a[1m]) / on (*1) plant/*/flow{site=~"A|B"} + a + rate(a[1m])')
    found = reads(node)
    assert [read.selector.name for read in found] == ["a", "plant/*/flow", "a"]
    assert found[0].before_ms == 60_000 + LOOK_BACK_MS
    flow = found[1].selector
    assert labels_of(flow, "plant/P/flow", {"site": "A", "x": ""}) == {
        "__name__": "plant/P/flow", "*1": "P", "site": "A",
    }  # fmt: skip
    assert labels_of(flow, "plant/P/flow", {"site": "C"}) is None
    assert labels_of(flow, "plant/flow", {"site": "A"}) is None
    assert sum(isinstance(each, Selector) for each in walk(node)) == 4


# -- expressions


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from(["a", "b", ".", "a*", "(a|b)", "(?:ab)?", "[ab]+", "|", r"\d", "^", "$", "[^a]", "[]a]"]),
        max_size=6,
    ),
    st.text("ab1|]", max_size=8),
)
def test_an_expression_is_read_or_refused(parts: list[str], value: str) -> None:
    expression = "".join(parts)
    error = error_of(f"x{{a=~`{expression}`}}")
    if error is not None:
        assert error.kind in ("regex", "selector")
        return
    assert Matcher("a", "=~", expression).holds(value) is not Matcher("a", "!~", expression).holds(value)


def test_an_expression_never_takes_long() -> None:
    worst = Matcher("a", "=~", "[a]*[a]*b?c?d?e?f")
    started = time.process_time()
    assert not worst.holds("a" * 2_000)
    assert time.process_time() - started < 5  # of the processor; it is some 10 ms


@pytest.mark.parametrize("name", ["EN DASH", "DIVISION SIGN", "LESS-THAN OR EQUAL TO", "RIGHT SINGLE QUOTATION MARK"])
def test_a_sign_of_a_word_processor_is_named(name: str) -> None:
    error = refused(f"x {unicodedata.lookup(name)} y")
    assert error.message.startswith(name)
    assert error.remedy.startswith("write ")
