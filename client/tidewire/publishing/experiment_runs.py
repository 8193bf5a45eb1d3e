"""Experiment runs: publishes dicts of numbers per step, for scripts written for an experiment tracker.

``import tidewire as wandb``, and such a script publishes here: `init`, `log` and `finish` take what they took there.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Final, NamedTuple

from tidewire.errors import InvalidInput
from tidewire.model.batch import (
    FINISHED,
    Batch,
    checked_labels,
    checked_name,
    checked_value,
    make_batch,
    series_key,
)
from tidewire.publishing.default_publisher import default_publisher
from tidewire.publishing.publisher import AnyPublisher

__all__ = ["NO_NUMBER", "ExperimentRun", "finish", "init", "log", "number_of"]

logger = logging.getLogger("tidewire")
_begun: list[ExperimentRun] = []  # the last is the one that `log` is about
_MOST_ENDED: Final = 10_000  # series of a run that are said to have ended


class _Logged(NamedTuple):
    """The newest reading of a series: where it was published, when by this machine's clock, and what."""

    publisher: AnyPublisher
    time_ms: float
    metric: str
    value: float | None
    labels: Mapping[str, str]
    step: float | None

    def repeated(self) -> Batch:
        """Return the reading once more, with the text that ends its series."""
        return make_batch(
            self.metric, self.value, labels=self.labels, step=self.step, text=FINISHED, now_ms=self.time_ms
        )


class _LoggedSeries:
    """The newest reading of each series that a run logged, at most 10,000; others fall silent at its end."""

    def __init__(self) -> None:
        self._newest: dict[tuple[str, str], _Logged] = {}

    def note(
        self,
        publisher: AnyPublisher,
        readings: Mapping[str, float | None],
        labels: Mapping[str, str] | None,
        step: float | None,
    ) -> None:
        """Note readings that were just published."""
        now_ms, labels = time.time() * 1e3, labels or {}
        for metric, value in readings.items():
            key = metric, series_key(labels)
            if key in self._newest or len(self._newest) < _MOST_ENDED:
                self._newest[key] = _Logged(publisher, now_ms, metric, value, labels, step)

    def end(self) -> None:
        """Say that all of them have ended: their newest readings come once more, at their times; a number each."""
        newest, self._newest = self._newest, {}
        for logged in newest.values():
            batch = logged.repeated()
            if batch.value[0] is not None:
                logged.publisher.publish_batches([batch], default_time=True)


class ExperimentRun:
    """One run of a script; made by `init`. As a context manager it is finished at the end of its block.

    Attributes:
        project: put before each name.
        name: of the run.
        labels: of all its series: ``{"run": name}``.
        config: what it was begun with.
    """

    def __init__(self, project: str, name: str, config: Mapping[str, Any]) -> None:
        self.project, self.name, self.config = project, name, dict(config)
        self.labels = checked_labels({"run": name})
        self._logged = _LoggedSeries()

    def __repr__(self) -> str:
        return f"ExperimentRun({self.name!r}, project={self.project!r})"

    def log(self, values: Mapping[str, Any], step: float | None = None) -> None:
        """Publish the numbers of a dict for this run; as `tidewire.log`."""
        _log(values, step, self.project, self.labels, None, self._logged)

    def finish(self, timeout_s: float = 5.0) -> bool:
        """Say that the series of this run have ended, and send what is buffered; `log` is no longer about this run.

        They are FINISHED on a dashboard, and not stale, until something is published to them again.

        Returns:
            False if the time was too short.
        """
        if self in _begun:
            _begun.remove(self)
        self._logged.end()
        return default_publisher().flush(timeout_s)

    def __enter__(self) -> ExperimentRun:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if kind is not None:
            self._logged = _LoggedSeries()  # one that broke off has not finished
        self.finish()


def init(project: str = "", *, name: str = "", config: Any = None, **others: Any) -> ExperimentRun:
    """Begin a run: from now on `log` puts the project before each name, and the label ``run``. Nothing else needs it.

    The numbers and texts of the configuration are published once, as ``<project>/config/<name>``: the settings of the
    run where runs are compared.

    Args:
        project: the first level of the names; none if empty.
        name: of the run; the time if empty.
        config: a dict, or an object with attributes such as that of argparse.
        others: what trackers take besides; left out, with a warning.

    Raises:
        InvalidInput: a project, name or configuration that can never work.
    """
    if project:
        checked_name(project)
    if config is not None and not isinstance(config, Mapping) and not hasattr(config, "__dict__"):
        raise InvalidInput("config", config, "expected a dict, or an object with attributes")
    given: Mapping[str, Any] = {} if config is None else config if isinstance(config, Mapping) else vars(config)
    run = ExperimentRun(project, name or time.strftime("%Y%m%d-%H%M%S"), given)
    if others:
        logger.warning("init() has no use for %s; left out", ", ".join(sorted(others)))
    numbers = {key: value for key, value in given.items() if number_of(value) is not NO_NUMBER}
    if numbers:
        run.log({"config": numbers})
    for key, value in given.items():
        if isinstance(value, str) and value:
            _publish_setting(f"{project}/config/{key}".lstrip("/"), value, run.labels)
    _begun.append(run)
    return run


def _publish_setting(name: str, text: str, labels: Mapping[str, str]) -> None:
    try:
        default_publisher().publish(checked_name(name), text=text, labels=labels)
    except InvalidInput as error:
        _leave_out(name, error.reason)


def finish() -> bool:
    """End the run that `init` began last, or what `log` published without one; False if 5 s were too short to send it.

    Its series are FINISHED on a dashboard, and not stale, until something is published to them again.
    """
    if _begun:
        return _begun[-1].finish()
    _logged.end()
    return default_publisher().flush()


def log(
    values: Mapping[str, Any],
    step: float | None = None,
    *,
    prefix: str | None = None,
    labels: Mapping[str, str] | None = None,
    publisher: AnyPublisher | None = None,
) -> None:
    """Publish the numbers of a dict, as experiment trackers do: ``log({"loss": 0.31, "val": {"loss": 0.4}}, step=7)``.

    A dict in it is a level of the names (``val/loss``). What is no number (a text, a picture, a list) is left out, and
    what has a name that no metric may have (``lr[0]``); the first time of each name a warning says so.

    Args:
        values: names to numbers, None, NumPy scalars, tensors of one element, or such dicts.
        step: the x of people who count steps.
        prefix: put before each name, such as ``train``; that of `init` if None.
        labels: of all series; those of `init` if None.
        publisher: where to publish; the default publisher if None.

    Raises:
        InvalidInput: a prefix, label or step that can never work, or no name that can; nothing is published.
    """
    run = _begun[-1] if _begun else None
    if run is not None:
        prefix, labels = run.project if prefix is None else prefix, run.labels if labels is None else labels
    _log(values, step, prefix, labels, publisher, _logged if run is None else run._logged)


def _log(
    values: Mapping[str, Any],
    step: float | None,
    prefix: str | None,
    labels: Mapping[str, str] | None,
    publisher: AnyPublisher | None,
    logged: _LoggedSeries,
) -> None:
    if not isinstance(values, Mapping):
        raise InvalidInput("values", values, "expected a dict, such as {'loss': 0.31}")
    if prefix:
        checked_name(prefix.rstrip("/"))
    readings: dict[str, float | None] = {}
    bad: InvalidInput | None = None
    for name, number in _numbers(values, f"{prefix.rstrip('/')}/" if prefix else ""):
        try:
            checked_value(number)
            if readings.setdefault(checked_name(name), number) is not number:
                raise InvalidInput("values", name, "comes a second time with another value")
        except InvalidInput as error:
            bad = error
            _leave_out(name, error.reason)
    if readings:
        publisher = publisher or default_publisher()
        publisher.publish(readings, labels=labels, step=step)
        logged.note(publisher, readings, labels, step)
    elif bad is not None:
        raise bad


_logged = _LoggedSeries()  # without a run
_left_out: set[str] = set()
_MOST_LEFT_OUT: Final = 10_000  # names that are said; some hold the number of a step
_SHOWN_CHARS: Final = 300
_MOST_LEVELS: Final = 128  # of a dict; no name has more


def _leave_out(name: str, reason: str) -> None:
    name = name if len(name) <= _SHOWN_CHARS else f"{name[:_SHOWN_CHARS]}…"
    if name not in _left_out and len(_left_out) < _MOST_LEFT_OUT:
        _left_out.add(name)
        logger.warning("%s %s; it is not published", name if name.isprintable() else repr(name), reason)


def _numbers(values: Mapping[str, Any], prefix: str, level: int = 1) -> Iterator[tuple[str, float | None]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and level < _MOST_LEVELS:
            yield from _numbers(value, f"{prefix}{name}/", level + 1)
            continue
        number = number_of(value)
        if number is not NO_NUMBER:
            yield f"{prefix}{name}", number
        else:
            _leave_out(f"{prefix}{name}", f"is {type(value).__name__} and no number")


NO_NUMBER: Final[Any] = object()


def number_of(value: Any) -> Any:
    """Return a value as a number or None, `NO_NUMBER` if it is another thing."""
    if value is None or isinstance(value, (int, float)):
        return value
    if isinstance(value, (str, bytes)) or not hasattr(value, "__float__"):
        return NO_NUMBER
    try:
        return float(value)  # NumPy scalars, tensors of one element, Decimal
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return NO_NUMBER
