"""Parses what is pushed to a Pushgateway: the labels in its path, and samples in Prometheus' text format; pure."""

from __future__ import annotations

import base64
import binascii
from typing import Final, NamedTuple
from urllib.parse import unquote

from tidewire.errors import InvalidInput, LimitExceeded
from tidewire.model.batch import IngestLimits, checked_labels, checked_name, checked_value, series_key
from tidewire.model.exposition import read_exposition

__all__ = ["Sample", "Samples", "group_labels", "read_samples"]

_BASE64: Final = "@base64"
_JOB_AND_SLASH: Final = 3  # parts of a path that ends with a slash after the job


class Sample(NamedTuple):
    """One sample: the metric and labels of its series, checked, and its value; None for what is not finite."""

    metric: str
    labels: dict[str, str]
    value: float | None


class Samples(NamedTuple):
    """The samples of a body, and how many were left out: the buckets of histograms, whose count and sum stay."""

    found: list[Sample]
    left_out: int


def group_labels(path: str) -> dict[str, str]:
    """Return the labels that a path names: ``/metrics/job/<job>/<label>/<value>…``.

    Args:
        path: percent-encoded; a slash after the job alone means nothing. After ``@base64`` at the end of a
            label, the value is URL-safe base64, ``=`` if empty.

    Raises:
        InvalidInput: no job, half a pair, base64 that is none, or bytes that are not UTF-8.
    """
    try:
        parts = [unquote(part, errors="strict") for part in path.split("/")[2:]]
    except UnicodeDecodeError:
        raise InvalidInput("path", path, "is not percent-encoded UTF-8") from None
    if len(parts) == _JOB_AND_SLASH and not parts[-1]:
        parts.pop()
    if len(parts) % 2:
        raise InvalidInput("path", path, "expected /metrics/job/<job> and pairs of label and value")
    labels: dict[str, str] = {}
    for given, text in zip(parts[::2], parts[1::2], strict=True):
        name = given.removesuffix(_BASE64)
        if name in labels:
            raise InvalidInput("path", name, "is given twice")
        labels[name] = text if name == given else _decoded(text)
    if not labels.get("job"):
        raise InvalidInput("path", path, "the job is empty")
    return {name: value for name, value in checked_labels(labels).items() if value}


def _decoded(text: str) -> str:
    bare = text.rstrip("=")
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise InvalidInput("path", text, "is not URL-safe base64 of UTF-8") from None


def read_samples(body: bytes, group: dict[str, str], limits: IngestLimits, most: int, most_bytes: int) -> Samples:
    """Parse a body as a whole: a group is replaced by all of it or by nothing.

    Args:
        body: text format 0.0.4, UTF-8.
        group: the labels of the path, which win over those of the body.
        limits: of labels.
        most: largest number of samples.
        most_bytes: of their series keys: the labels of the path come with each of them.

    Raises:
        InvalidInput: a line cannot be parsed, or has a time of its own, which a Pushgateway does not take either; a
            name or label cannot be stored, or a series comes twice.
        LimitExceeded: too many samples or labels, or too long ones.
    """
    found: list[Sample] = []
    seen: set[tuple[str, str]] = set()
    left_out = size = 0
    for name, own, value, time_ms, _, bucket in read_exposition(body):
        if time_ms is not None:
            raise InvalidInput("body", name, "has a timestamp; a push is of now: leave it out")
        if bucket:
            left_out += 1
            continue
        labels = checked_labels({**own, **group}, limits)
        key = (checked_name(name), series_key(labels))
        if key in seen:
            raise InvalidInput("body", name, f"comes twice with the labels {key[1]}")
        seen.add(key)
        size += len(key[1])
        if size > most_bytes:
            remedy = "push to more groups, or with fewer labels"
            raise LimitExceeded("max_decompressed_bytes", most_bytes, size, remedy)
        found.append(Sample(name, labels, checked_value(value)))
        if len(found) > most:
            raise LimitExceeded("max_rows", most, len(found), "push fewer samples at a time")
    return Samples(found, left_out)
