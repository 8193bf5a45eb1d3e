"""The language by its vectors, `vectors.json`: formulas with what must come out.

Where each comes from stands in its ``origin``: ``prometheus``, out of promtool's `test rules` over the same series;
``pandas``; and ``definition``, worked out by hand from docs/formulas.md. None was written by what it tests.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tidewire.errors import InvalidFormula
from tidewire.evaluation.evaluate import Result, evaluate
from tidewire.evaluation.reading_table import SeriesReadings
from tidewire.model.formulas.canonical import canonical_text
from tidewire.model.formulas.parser import parse_formula
from tidewire.model.formulas.types import check_purpose

DOCUMENT = json.loads(Path(__file__).with_name("vectors.json").read_text())
WORDS = {"NaN": math.nan, "+Inf": math.inf, "-Inf": -math.inf}


def formula(vector: dict[str, Any]) -> str:
    if "formula" in vector:
        return vector["formula"]
    before, times, after = vector["repeat"]
    return before * times + after


def readings(given: Any) -> list[SeriesReadings]:
    """Return series; one with `copies` stands for so many, told apart by the label i."""
    found = []
    for one in DOCUMENT["series_sets"][given] if isinstance(given, str) else given:
        for copy in range(one.get("copies", 1)):
            labels = {**one["labels"], **({"i": str(copy)} if "copies" in one else {})}
            value = np.array([math.nan if number is None else number for number in one["value"]], dtype=np.float64)
            found.append(SeriesReadings(one["name"], labels, one["unit"], np.array(one["time_ms"], float), value))
    return found


def times_ms(given: Any) -> list[float]:
    return [given["start"] + i * given["step"] for i in range(given["count"])] if isinstance(given, dict) else given


def run(vector: dict[str, Any]) -> Result | None:
    node = parse_formula(formula(vector))
    if "purpose" in vector:
        check_purpose(node, vector["purpose"])
    text = canonical_text(node)
    assert parse_formula(text) == node
    assert canonical_text(parse_formula(text)) == text
    assert text == vector["expect"].get("canonical", text)
    if set(vector["expect"]) == {"canonical"}:
        return None
    options = {"step_ms": vector.get("step_ms", 0.0), "edge": vector.get("edge", "at")}
    return evaluate(node, readings(vector.get("series", [])), times_ms(vector["times_ms"]), **options)


def same(found: float | None, wanted: float | str | None) -> bool:
    if found is None or wanted is None:
        return found is wanted
    number = WORDS[wanted] if isinstance(wanted, str) else wanted
    return found == pytest.approx(number, rel=1e-9, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("vector", DOCUMENT["vectors"], ids=lambda vector: vector["id"])
def test_a_formula_is_what_its_vector_says(vector: dict[str, Any]) -> None:
    expect = vector["expect"]
    if "error" in expect:
        with pytest.raises(InvalidFormula) as caught:
            run(vector)
        assert (caught.value.kind, caught.value.position) == (expect["error"]["kind"], expect["error"]["position"])
        assert caught.value.position <= caught.value.end <= len(formula(vector))
        assert caught.value.message
        return
    result = run(vector)
    if result is None:
        return
    assert result.kind == expect["type"]
    series = [{"labels": {}, "value": expect["value"]}] if result.kind == "scalar" else expect["series"]
    wanted = sorted(series, key=lambda one: sorted(one["labels"].items()))
    assert [one.labels for one in result.series] == [one["labels"] for one in wanted]
    for found, one in zip(result.series, wanted, strict=True):
        values = [float(value) if here else None for value, here in zip(found.value, found.here, strict=True)]
        assert len(values) == len(one["value"])
        assert all(map(same, values, one["value"])), (values, one["value"])
        assert found.unit == one.get("unit", found.unit)
    if "warnings" in expect:
        assert bool(result.warnings) is expect["warnings"]


def test_the_vectors_are_all_there() -> None:
    origins = [vector["origin"] for vector in DOCUMENT["vectors"]]
    assert {origin: origins.count(origin) for origin in origins} == {
        "prometheus": 221, "pandas": 20, "definition": 381,
    }  # fmt: skip
