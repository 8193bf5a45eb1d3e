"""The error tree of the SDK: each error is named for the fact, and carries the facts as attributes.

TidewireError
├── InvalidInput (ValueError)      a name, label, unit, time, value or body that can never work
│   ├── InvalidPattern
│   ├── InvalidCursor
│   └── InvalidFormula
├── LimitExceeded                  a stated limit was passed: split or shorten, then try again
├── LogUnavailable                 Redis did not answer in time, or refused for now: try again after a pause
│   ├── LogFull                    Redis is at its memory limit and refuses appends
│   └── LayoutMismatch             the log is split into other partitions than this process takes it for
├── PublishConflict                an idempotency key came again with another body
├── ServiceUnavailable             the service failed, or asked for a pause
│   └── ServiceUnreachable         no answer came: no connection, or it was cut or silent for too long
├── ServiceRefused                 the service said no for good (a 4xx problem)
└── MissingExtra (ImportError)     an optional part of the distribution is not installed
"""

from __future__ import annotations

__all__ = [
    "InvalidCursor",
    "InvalidFormula",
    "InvalidInput",
    "InvalidPattern",
    "LayoutMismatch",
    "LimitExceeded",
    "LogFull",
    "LogUnavailable",
    "MissingExtra",
    "PublishConflict",
    "ServiceRefused",
    "ServiceUnavailable",
    "ServiceUnreachable",
    "TidewireError",
]

_SHOWN_CHARS = 80


def shown(value: object) -> str:
    """Return a short form of a value for an error message: one line of at most 80 characters."""
    try:
        text = " ".join(repr(value).split())
    except RecursionError:  # JSON that was read at a lower depth of calls
        text = f"a {type(value).__name__} that is nested too deeply"
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 1] + "…"


class TidewireError(Exception):
    """The root of every error raised by Tidewire."""


class InvalidInput(TidewireError, ValueError):
    """Something given can never work as it is.

    Attributes:
        field: the field that is wrong, for example ``metric`` or ``time[3]``.
        value: a short form of what was given.
        reason: what is wrong, what was expected, and what to do.
    """

    def __init__(self, field: str, value: object, reason: str) -> None:
        self.field = field
        self.value = shown(value)
        self.reason = reason
        super().__init__(f"{field} {self.value}: {reason}")

    def at(self, place: str) -> InvalidInput:
        """Return this error with a place before the field's name, such as a line of a file."""
        error = InvalidInput(f"{place}: {self.field}", "", self.reason)
        error.value = self.value
        error.args = (f"{error.field} {error.value}: {error.reason}",)
        return error


class InvalidPattern(InvalidInput):
    """A pattern that selects metrics cannot be read."""


class InvalidCursor(InvalidInput):
    """A cursor cannot be read; it was not made by Tidewire, or was cut."""


class InvalidFormula(InvalidInput):
    """A formula cannot be read, or cannot be evaluated over the series that it selects.

    Attributes:
        kind: ``length``, ``depth``, ``nodes``, ``character``, ``string``, ``number``, ``duration``, ``name``,
            ``pattern``, ``label``, ``selector``, ``regex``, ``syntax``, ``unknown_function``, ``unsupported``,
            ``arguments``, ``type`` or ``condition``; of an evaluation ``match``, ``duplicate``, ``series``, ``points``
            or ``cost``.
        position: the first character that is wrong, counted in code points from 0.
        end: the character behind the last one that is wrong.
        message: what is wrong there.
        remedy: what to write or do, ``""`` if nobody can tell.
        instead: what may be meant in the place of what is wrong, ``""`` if nobody can tell.
    """

    def __init__(
        self, kind: str, position: int, end: int, message: str, remedy: str = "", *, instead: str = ""
    ) -> None:
        self.instead = instead
        self.kind = kind
        self.position = position
        self.end = end
        self.message = message
        self.remedy = remedy
        super().__init__("formula", "", message + (f"; {remedy}" if remedy else ""))
        self.args = (f"formula, character {position + 1}: {self.reason}",)

    def marked(self, text: str) -> InvalidFormula:
        """Return this error with the line of the formula below it, in which the place is marked.

        Args:
            text: the whole formula, of one line or several.
        """
        error = InvalidFormula(self.kind, self.position, self.end, self.message, self.remedy, instead=self.instead)
        begin = text.rfind("\n", 0, self.position) + 1
        line = text[begin:].partition("\n")[0].replace("\t", " ")
        at = self.position - begin
        marks = "^" * max(1, min(self.end, begin + len(line)) - self.position)
        error.args = (f"{error.args[0]}\n  {line}\n  {' ' * at}{marks}",)
        return error


class LimitExceeded(TidewireError):
    """A stated limit was passed.

    Attributes:
        limit: the name of the setting.
        allowed: its value.
        got: what was given, in the same unit.
    """

    def __init__(self, limit: str, allowed: float, got: float, remedy: str) -> None:
        self.limit = limit
        self.allowed = allowed
        self.got = got
        self.remedy = remedy
        super().__init__(f"{limit}: {got:.15g} is more than the {allowed:.15g} allowed; {remedy}")


class LogUnavailable(TidewireError):
    """Redis did not answer in time, closed the connection, or refused for now; trying again can help.

    Attributes:
        retry_after_s: a pause after which it makes sense to try again, in seconds.
        stored: of an append that takes several calls, the results of those that were stored, in the order of the
            batches and as `Appended` has them; None for a batch that was not, and nothing behind the last that was.
    """

    stored: tuple[int | str | None, ...] = ()

    def __init__(self, reason: str, retry_after_s: float = 1.0) -> None:
        self.reason = reason
        self.retry_after_s = retry_after_s
        super().__init__(reason)


class LogFull(LogUnavailable):
    """Redis is at its memory limit and refuses appends until memory is freed."""


class LayoutMismatch(LogUnavailable):
    """The log is split into other partitions than this process takes it for: read its layout again."""


class PublishConflict(TidewireError):
    """An idempotency key was used before with another body; nothing was stored."""


class ServiceUnavailable(TidewireError):
    """The service failed, or asked for a pause.

    Attributes:
        retry_after_s: a pause after which it makes sense to try again, in seconds; 0 if none was asked for.
        request_id: the request's id in the service's log, ``""`` if it gave none.
    """

    def __init__(self, reason: str, retry_after_s: float = 1.0, request_id: str = "") -> None:
        self.reason = reason
        self.retry_after_s = retry_after_s
        self.request_id = request_id
        super().__init__(reason)


class ServiceUnreachable(ServiceUnavailable):
    """No answer came: no connection, or it was cut or silent for too long.

    Attributes:
        why: what the network said.
    """

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(f"the service does not answer ({why})", 0.0)


class ServiceRefused(TidewireError):
    """The service said no for good.

    Attributes:
        status: the HTTP status.
        detail: the problem's detail, as the service gave it.
        rejected: rows that were refused, where the service names them.
        request_id: the request's id in the service's log, ``""`` if it gave none.
    """

    def __init__(
        self, status: int, detail: str, rejected: tuple[dict[str, object], ...] = (), request_id: str = ""
    ) -> None:
        self.status = status
        self.detail = detail
        self.rejected = rejected
        self.request_id = request_id
        super().__init__(f"HTTP {status}: {detail}")


class MissingExtra(TidewireError, ImportError):
    """An optional part of the distribution is not installed.

    Attributes:
        extra: the extra to install.
    """

    def __init__(self, what: str, extra: str) -> None:
        self.extra = extra
        super().__init__(f"{what} needs the extra '{extra}': pip install 'tidewire[{extra}]'")
