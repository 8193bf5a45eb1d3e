"""Write the deck's types of messages, client/chart/src/wire/messages.ts: `python docs/message_types.py`."""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from tidewire.livestore import messages

PATH: Final = Path(__file__).parents[1] / "client" / "chart" / "src" / "wire" / "messages.ts"
_HEAD: Final = """\
/**
 * The text messages between the deck and Python, see docs/view-frame.md. Times are Unix ms; `i` is the index of a
 * series.
 *
 * Made from client/tidewire/livestore/messages.py: run `python docs/message_types.py`, do not edit.
 */
"""
_ACKNOWLEDGEMENT: Final = """\
/** That a frame of a view was drawn: plain text, not JSON. */
export type AcknowledgementText = `a${number}:${number}`;
"""
_NAMES: Final[dict[object, str]] = {
    str: "string",
    int: "number",
    float: "number",
    bool: "boolean",
    type(None): "null",
    Any: "unknown",
    msgspec.Raw: "Record<string, unknown> | null",  # only a saved deck, or none
}


def _type(hint: Any) -> str:
    """Return the TypeScript type of an annotation."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint in _NAMES:
        return _NAMES[hint]
    if origin is Annotated:
        return _type(arguments[0])
    if origin is Literal:
        return " | ".join(msgspec.json.encode(value).decode() for value in arguments)
    if origin in (Union, types.UnionType):
        return " | ".join(dict.fromkeys(_type(one) for one in arguments if one is not msgspec.UnsetType))
    if origin is list:
        inner = _type(arguments[0])
        return f"readonly ({inner})[]" if " | " in inner else f"readonly {inner}[]"
    if origin is dict:
        return f"Record<{_type(arguments[0])}, {_type(arguments[1])}>"
    if isinstance(hint, type) and issubclass(hint, (msgspec.Struct, tuple)):
        return hint.__name__
    raise TypeError(f"no TypeScript type is known for {hint!r}")


def _used(hint: Any) -> Iterator[type]:
    """Yield the structs and named tuples that an annotation mentions."""
    if isinstance(hint, type) and issubclass(hint, (msgspec.Struct, tuple)) and get_origin(hint) is None:
        yield hint
    for one in get_args(hint):
        if get_origin(hint) is not Literal:
            yield from _used(one)


def _said(thing: type) -> str:
    first = (inspect.getdoc(thing) or "").partition("\n\n")[0]
    return f"/** {first.replace(chr(10), ' ').replace('``', '`')} */\n"


def _interface(struct: type, *, sent_by_deck: bool) -> str:
    hints = get_type_hints(struct, include_extras=True)
    if issubclass(struct, tuple):
        rows = ", ".join(f"{name}: {_type(hints[name])}" for name in struct._fields)  # type: ignore[attr-defined]  # a named tuple
        return f"{_said(struct)}export type {struct.__name__} = readonly [{rows}];\n"
    config = struct.__struct_config__  # type: ignore[attr-defined]  # a struct
    lines = [] if config.tag is None else [f"  {config.tag_field}: {_type(Literal[config.tag])};\n"]
    for field in msgspec.structs.fields(struct):
        has_default = field.default is not msgspec.NODEFAULT or field.default_factory is not msgspec.NODEFAULT
        mark = "?" if has_default and (sent_by_deck or config.omit_defaults or field.default is msgspec.UNSET) else ""
        lines.append(f"  {field.encode_name}{mark}: {_type(hints[field.name])};\n")
    return f"{_said(struct)}export interface {struct.__name__} {{\n{''.join(lines)}}}\n"


def _reachable(union: Any) -> list[type]:
    """Return the structs of a union, each after those that it holds."""
    found: dict[type, None] = {}

    def visit(struct: type) -> None:
        for hint in get_type_hints(struct, include_extras=True).values():
            for used in _used(hint):
                visit(used)
        found.setdefault(struct)

    for struct in get_args(union):
        visit(struct)
    return list(found)


def _tag(struct: type) -> str:
    return str(struct.__struct_config__.tag)  # type: ignore[attr-defined]  # a struct


def source() -> str:
    """Return messages.ts."""
    from_deck, from_python = _reachable(messages.DeckMessage), _reachable(messages.PythonMessage)
    parts = [_HEAD]
    parts += [_interface(struct, sent_by_deck=True) for struct in from_deck]
    parts += [_interface(struct, sent_by_deck=False) for struct in from_python if struct not in from_deck]
    parts.append('export type Level = AlarmEntry["level"];\n')
    for name in ("ViewerRequest", "DeckMessage", "Answer", "PythonMessage"):
        members = "\n".join(f"  | {struct.__name__}" for struct in get_args(getattr(messages, name)))
        parts.append(f"export type {name} =\n{members};\n")
    parts.append(_ACKNOWLEDGEMENT)
    rows = "".join(f"  {_tag(request)}: {answer.__name__};\n" for request, answer in messages.ANSWERS.items())
    parts.append(f"/** Which message answers which request. */\nexport interface Answers {{\n{rows}}}\n")
    rows = "".join(f'  {_tag(request)}: "{_tag(answer)}",\n' for request, answer in messages.ANSWERS.items())
    checked = 'as const satisfies Record<ViewerRequest["t"], Answer["t"]>'
    parts.append(f"/** The same as values. */\nexport const ANSWER_TAGS = {{\n{rows}}} {checked};\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PATH.write_text(source(), encoding="utf-8")
