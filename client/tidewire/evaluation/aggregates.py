"""Lays out aggregations: which series are grouped, and what the groups are called; pure."""

from __future__ import annotations

import numpy as np

from tidewire.evaluation.frame import Frame
from tidewire.evaluation.operations import Groups, aggregated, chosen
from tidewire.evaluation.vectors import Columns, Scalar, Vector, bare, key_of, numbered, only_unit, sorting
from tidewire.model.formulas.functions import AGGREGATORS
from tidewire.model.formulas.result_units import unit_by_rule
from tidewire.model.formulas.tree import Aggregate

__all__ = ["aggregate"]


def aggregate(node: Aggregate, vector: Vector, parameter: Scalar | None) -> Vector:
    """Return an aggregation laid out.

    Args:
        node: the aggregation.
        vector: what it is of.
        parameter: its number, None if it takes none.
    """
    order = np.array(sorted(range(len(vector.labels)), key=lambda at: sorting(vector.labels[at])), dtype=np.int64)
    ordered = [vector.labels[at] for at in order.tolist()]
    kept = [
        {label: text for label, text in labels.items() if (label in node.labels) is not node.without}
        for labels in ordered
    ]
    if node.without:
        kept = [bare(each) for each in kept]
    of, count = numbered([key_of(each) for each in kept])
    groups = Groups(of, count)
    units = [vector.units[at] for at in order.tolist()]
    if node.name in ("topk", "bottomk") and parameter is not None:
        wanted, largest = parameter, node.name == "topk"

        def run_chosen(frame: Frame) -> Columns:
            found = vector.run(frame)
            value, here = found.value[order], found.here[order]
            return Columns(value, chosen(value, here, groups, wanted(frame), largest=largest))

        return Vector(ordered, units, run_chosen)
    rule = AGGREGATORS[node.name].unit
    labels = [kept[int(at)] for at in groups.order[groups.starts].tolist()]
    joined = [unit_by_rule(rule, only_unit([units[at] for at in members.tolist()])) for members in groups.members()]

    def run(frame: Frame) -> Columns:
        found = vector.run(frame)
        number = None if parameter is None else parameter(frame)
        return Columns(*aggregated(node.name, found.value[order], found.here[order], groups, number))

    return Vector(labels, joined, run)
