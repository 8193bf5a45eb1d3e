"""Colours of series: by their names, in order of first appearance; no two the same within a metric."""

from __future__ import annotations

import io
import re
from itertools import permutations
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tidewire.livestore.colours import COLOURS, STYLES, ColourRegister
from tidewire.livestore.live_view import LiveView
from tidewire.livestore.messages import directory_message
from tidewire.livestore.store import Store
from tidewire.livestore.view_frame import unpack_frame
from tidewire.model.batch import Batch, series_key
from tidewire.notebook.snapshot import snapshot_png
from tidewire.notebook.snapshot_canvas import LINE_COLOURS, dashed, dashes_of
from tidewire.notebook.still_charts import charts_of

NOW_MS = 1_790_000_000_000.0
TOKENS = Path(__file__).parents[2] / "client" / "chart" / "src" / "base" / "tokens.ts"


def chosen(*names: tuple[str, dict[str, str]]) -> dict[tuple[str, str], int]:
    """Return the style of each series that appears, in this order."""
    register = ColourRegister()
    return {(m, series_key(labels)): register.choose(m, labels, series_key(labels)) for m, labels in names}


def sites(metric: str, names: str) -> list[tuple[str, dict[str, str]]]:
    return [(metric, {"site": name}) for name in names]


def test_a_name_alone_decides_while_nobody_else_wants_its_colour() -> None:
    alone = {
        metric: chosen((metric, {}))[metric, "{}"] for metric in ("a", "b/c", "furnace/temperature", "температура")
    }
    assert all(style < 6 for style in alone.values())
    assert len(set(alone.values())) > 1
    together = chosen(*((metric, {}) for metric in alone))
    assert {metric: style for (metric, _), style in together.items()} == alone


def test_a_label_set_has_one_colour_in_all_metrics() -> None:
    runs = [{"run": str(n)} for n in range(9)]
    names = [("train/loss", one) for one in runs] + [("eval/accuracy", one) for one in reversed(runs)]
    styles = chosen(*names)
    assert len({style for (metric, _), style in styles.items() if metric == "train/loss"}) == len(runs)
    for labels in runs:
        assert styles["train/loss", series_key(labels)] == styles["eval/accuracy", series_key(labels)]


def test_label_sets_that_never_met_differ_when_they_do() -> None:
    for first, second in permutations("ABCDEF", 2):
        styles = chosen(*sites("a", first), *sites("b", second), *sites("b", first))
        assert styles["b", series_key({"site": first})] != styles["b", series_key({"site": second})]
        assert styles["b", series_key({"site": first})] == styles["a", series_key({"site": first})]


def test_what_appears_later_recolours_nothing() -> None:
    before = chosen(*sites("a", "DEF"), ("a", {}))
    after = chosen(*sites("a", "DEF"), ("a", {}), *sites("a", "ABC0123456789"))
    assert {name: after[name] for name in before} == before


def test_the_first_six_colours_are_used_up_first_then_the_others_then_dashes() -> None:
    styles = list(chosen(*(("m", {"n": str(n)}) for n in range(60))).values())
    assert sorted(styles[:6]) == list(range(6))
    assert sorted(styles[6:12]) == list(range(6, 12))
    assert styles[12:48] == list(range(12, 48))
    assert all(0 <= style < STYLES for style in styles[48:])


names = st.tuples(
    st.sampled_from(["a", "b", "c", "annotations"]),
    st.dictionaries(st.sampled_from(["run", "site"]), st.sampled_from("0123456789"), max_size=2),
)


@given(st.lists(names, unique_by=lambda one: (one[0], series_key(one[1])), max_size=80))
def test_no_two_series_of_a_metric_share_a_style(order: list[tuple[str, dict[str, str]]]) -> None:
    styles = chosen(*order)
    for metric in "abc":
        own = [style for (name, _), style in styles.items() if name == metric]
        assert len(set(own)) == min(len(own), STYLES) or len(own) > STYLES
        assert len(set(own[:STYLES])) == len(own[:STYLES])
    half = order[: len(order) // 2]
    assert chosen(*half) == {name: styles[name] for name in chosen(*half)}


def test_everybody_is_told_the_same_of_a_series_for_its_life() -> None:
    store = Store()
    for n, unit in enumerate(("Cel", "Cel", "K")):
        store.append(Batch(metric="m", labels={"site": "AB"[n % 2]}, unit=unit, time=[NOW_MS + n], value=[1.0]), n + 1)
    told = directory_message(store.series, full=True).series
    assert [entry.colour for entry in told] == [one.colour for one in store.series]
    assert len({entry.colour for entry in told}) == 2


def test_a_still_has_the_colours_of_the_live_chart() -> None:
    light = TOKENS.read_text().partition("export const LIGHT")[2]
    assert tuple(re.findall(r"#\w{6}", light.partition("series: [")[2].partition("]\n")[0])[:COLOURS]) == LINE_COLOURS
    store = Store()
    for site in "CAB":
        for at in range(60):
            batch = Batch(metric="m", labels={"site": site}, time=[NOW_MS - 60e3 + at * 1e3], value=[ord(site) * 10.0])
            store.append(batch, int(NOW_MS - 60e3 + at * 1e3) << 32)
    view = LiveView(store, None, 60_000.0, 800)
    view.tick(1, NOW_MS)
    image = Image.open(
        io.BytesIO(snapshot_png("", charts_of(unpack_frame(view.frame(0, None)), store.series)))
    ).convert("RGB")
    pixels = np.asarray(image).astype(int)
    rows = {}
    for one in store.series:
        colour = np.array([int(LINE_COLOURS[one.colour][at : at + 2], 16) for at in (1, 3, 5)])
        near = np.abs(pixels - colour).max(axis=2) < 12
        rows[one.labels["site"]] = float(np.flatnonzero(near[80:, 300:].sum(axis=1) > 100).mean())
    assert rows["A"] > rows["B"] > rows["C"], "each line in its colour, at its value"


def test_a_still_dashes_what_has_the_colour_of_another() -> None:
    assert dashes_of([13]) == [()]
    assert dashes_of([1, 13, 25, 37, 2]) == [(), (6, 3), (2, 3), (9, 3, 2, 3), ()]
    parts = dashed([(0, 0), (4, 0), (10, 0), (10, 10)], (6, 3))
    assert parts == [[(0, 0), (4, 0), (6, 0)], [(9, 0), (10, 0), (10, 5)], [(10, 8), (10, 10)]]
