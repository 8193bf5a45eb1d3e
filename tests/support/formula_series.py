"""Series for tests of formulas."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tidewire.evaluation.reading_table import SeriesReadings

__all__ = ["T0", "series_of"]

T0 = 1_764_000_000_000.0


def series_of(
    metric: str, seconds: Sequence[float], values: Sequence[float], unit: str = "", **labels: str
) -> SeriesReadings:
    """Return a series whose times are seconds after `T0`."""
    return SeriesReadings(metric, labels, unit, T0 + np.asarray(seconds, float) * 1e3, np.asarray(values, float))
