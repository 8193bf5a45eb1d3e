"""The alert rules for Prometheus: each name, label and value in them is one that a running service shows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

from tidewire_service.limit_counters import LIMIT_NAMES

RULES = yaml.safe_load((Path(__file__).parents[2] / "docs" / "alerts.yml").read_text(encoding="utf-8"))
MATCHER = re.compile(r"(\w+)\{([^}]*)\}")
WORDS = {"sum", "by", "rate", "increase", "or", "histogram_quantile", "instance", "limit", "le"}


def _rules() -> list[dict[str, Any]]:
    [group] = RULES["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


async def test_every_metric_and_label_of_the_alerts_is_shown_by_a_service(service: Any) -> None:
    await service.http.get("/v1/catalog")
    await service.http.get("/metrics")
    shown: dict[str, dict[str, set[str]]] = {}
    for family in text_string_to_metric_families((await service.http.get("/metrics")).text):
        for sample in family.samples:
            labels = shown.setdefault(sample.name, {})
            for name, value in sample.labels.items():
                labels.setdefault(name, set()).add(value)
    for rule in _rules():
        expression = re.sub(r"\[\w+\]", "", rule["expr"])
        for name, matchers in MATCHER.findall(expression):
            for label, operator, value in re.findall(r'(\w+)(=~|!~|=|!=)"([^"]*)"', matchers):
                if name == "up":
                    continue
                assert label in shown[name], (rule["alert"], label)
                if operator == "=":
                    assert value in shown[name][label], (rule["alert"], value)
        names = set(re.findall(r"[a-z_]\w+", re.sub(r"\{[^}]*\}", "", expression))) - WORDS
        assert names, rule["alert"]
        assert names <= {*shown, "up"}, rule["alert"]  # Prometheus's own word on each target
    assert shown["tidewire_limits_reached_total"]["limit"] == set(LIMIT_NAMES)


def test_every_alert_says_how_bad_what_and_what_to_do() -> None:
    assert len({rule["alert"] for rule in _rules()}) == len(_rules()) > 10
    for rule in _rules():
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert set(rule["annotations"]) == {"summary", "action"}
        assert re.search(r"[.?]$", rule["annotations"]["action"])
