"""Reads what programs expose to Prometheus: its text format and OpenMetrics; pure. Needs `prometheus_client`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from prometheus_client.openmetrics.parser import text_string_to_metric_families as _openmetrics
from prometheus_client.parser import text_string_to_metric_families as _text_format

from tidewire.errors import InvalidInput
from tidewire.model.foreign_names import readable_value

__all__ = ["ExposedSample", "read_exposition"]

_LINE_BYTES: Final = 64 * 1024  # the parser's time grows with the square of the labels of a line: 1 s for 60,000
# A line that declares a counter, as the parser reads it. It adds `_total` to the names of counters, and to no others.
_COUNTER: Final = re.compile(
    r"""^([^\S\n]*#[^\s"]*[^\S\n]+TYPE[^\S\n]+(?:"(?:[^"\\\n]|\\[^\n])*"|[^\s"]+)[^\S\n]+)counter(?=[^\S\n]*$)""",
    re.MULTILINE,
)
_OF_PARTS: Final = frozenset({"histogram", "gaugehistogram", "summary"})
# The last word of a name, by https://prometheus.io/docs/practices/naming/, as UCUM spells it
_UCUM: Final = {
    "seconds": "s", "milliseconds": "ms", "microseconds": "us", "nanoseconds": "ns", "bytes": "By", "bits": "bit",
    "celsius": "Cel", "kelvin": "K", "fahrenheit": "[degF]", "ratio": "1", "percent": "%", "volts": "V",
    "amperes": "A", "amps": "A", "watts": "W", "joules": "J", "hertz": "Hz", "meters": "m", "grams": "g",
    "pascals": "Pa", "lux": "lx", "rpm": "/min",
}  # fmt: skip


class ExposedSample(NamedTuple):
    """One sample.

    Attributes:
        metric: its name, as it was written.
        labels: its own, readable.
        value: NaN and infinities too.
        time_ms: Unix ms, if it has a time of its own; else None, and it is of now.
        unit: UCUM, from what OpenMetrics declares or from the last word of the name; empty if unknown.
        bucket: it counts one bucket of a histogram.
    """

    metric: str
    labels: dict[str, str]
    value: float
    time_ms: float | None
    unit: str
    bucket: bool


def read_exposition(body: bytes, *, openmetrics: bool = False) -> Iterator[ExposedSample]:
    """Yield the samples of a body, in its order.

    Args:
        body: UTF-8; a mark of its order before it, as Windows programs write, is left out.
        openmetrics: it is OpenMetrics 1.0, not the text format 0.0.4.

    Raises:
        InvalidInput: the body, or what comes next of it, cannot be read.
    """
    if any(len(line) > _LINE_BYTES for line in body.split(b"\n")):
        raise InvalidInput("body", body[:60], f"has a line of more than {_LINE_BYTES} bytes")
    try:
        text = body.decode("utf-8-sig")
        given = text if openmetrics else _COUNTER.sub(r"\1gauge", text)
        for family in (_openmetrics if openmetrics else _text_format)(given):
            for sample in family.samples:
                name = sample.name
                labels = {label: readable_value(value) for label, value in sample.labels.items()}
                bucket = family.type in _OF_PARTS and name.endswith("_bucket")
                unit = _unit(name, family.type, family.unit)
                yield ExposedSample(name, labels, float(sample.value), _time_ms(sample.timestamp), unit, bucket)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        what = "OpenMetrics" if openmetrics else "Prometheus' text format"
        raise InvalidInput("body", body[:60], f"is not in {what}: {str(error)[:200]}") from None


def _time_ms(given: Any) -> float | None:
    if given is None:
        return None
    time_ms = float(given) * 1e3
    if not math.isfinite(time_ms):
        raise ValueError(f"the time {given} is no number")
    return time_ms


def _unit(name: str, kind: str, declared: str) -> str:
    if name.endswith("_created"):
        return "s"
    if kind in _OF_PARTS:
        if name.endswith(("_bucket", "_count")):
            return ""
        name = name.removesuffix("_sum")
    return _UCUM.get(declared or name.removesuffix("_total").rpartition("_")[2], "")
