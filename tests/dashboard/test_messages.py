"""The text messages between a deck and Python: what is encoded is decoded, what is no message is refused."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tidewire.errors import InvalidInput
from tidewire.livestore import messages
from tidewire.livestore.messages import Acknowledgement, decode_message, parse_acknowledgement
from tidewire.model.threshold import Threshold

ROOT = Path(__file__).parents[2]
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
st.register_type_strategy(
    Threshold, st.builds(Threshold, metric=st.text(min_size=1), warn_above=NUMBERS, for_s=st.floats(0, 86_400))
)
st.register_type_strategy(
    messages.RunLineWanted,
    st.builds(messages.RunLineWanted, i=st.integers(0, 2**31), version=st.integers(0, 2**53)),
)
st.register_type_strategy(msgspec.UnsetType, st.just(msgspec.UNSET))
st.register_type_strategy(msgspec.Raw, st.just(msgspec.Raw(b'{"charts":[]}')))
st.register_type_strategy(float, NUMBERS)
st.register_type_strategy(int, st.integers(-(2**63), 2**64 - 1))


def bounded(hint: Any) -> st.SearchStrategy[Any]:
    """Return values of a field, within the bounds that msgspec checks when it decodes."""
    metas = [one for one in get_args(hint) if isinstance(one, msgspec.Meta)]
    if not metas:
        return st.just({"a": 1}) if hint == dict[str, Any] else st.from_type(hint)
    (meta,), inner = metas, get_args(hint)[0]
    if meta.pattern is not None:
        return st.from_regex(meta.pattern, fullmatch=True)
    if inner is str:
        return st.text(min_size=meta.min_length or 0, max_size=meta.max_length)
    if inner in (int, float):
        low = meta.ge if meta.ge is not None else (0 if meta.gt is None else meta.gt + 1)
        return (st.integers if inner is int else st.floats)(low, meta.le if meta.le is not None else 2**31)
    if get_origin(inner) is dict:
        return st.dictionaries(st.text(), st.text(), max_size=meta.max_length)
    (element,) = get_args(inner)
    return st.lists(bounded(element), min_size=meta.min_length or 0, max_size=min(meta.max_length or 9, 9))


def built(struct: type[msgspec.Struct]) -> st.SearchStrategy[msgspec.Struct]:
    return st.builds(struct, **{field.name: flat(field.type) for field in msgspec.structs.fields(struct)})


def flat(hint: Any) -> st.SearchStrategy[Any]:
    if get_origin(hint) in (Union, UnionType):
        return st.one_of(*map(flat, get_args(hint)))
    return bounded(hint)


@pytest.mark.parametrize("struct", get_args(messages.DeckMessage), ids=lambda struct: struct.__name__)
@settings(max_examples=20, deadline=None)  # of each of the 30 structs
@given(data=st.data())
def test_a_message_of_the_deck_is_decoded_as_it_was_encoded(struct: type[msgspec.Struct], data: st.DataObject) -> None:
    message = data.draw(built(struct))
    formula = getattr(message, "formula", None)
    assume(not isinstance(message, messages.WindowRequest) or message.series or formula is not None)
    assume(not getattr(message, "summary", None) or formula is not None)
    assert decode_message(msgspec.json.encode(message)) == message
    assert msgspec.convert(msgspec.to_builtins(message), messages.DeckMessage) == message


@pytest.mark.parametrize("struct", get_args(messages.PythonMessage), ids=lambda struct: struct.__name__)
@settings(max_examples=20, deadline=None)  # of each of the 30 structs
@given(data=st.data())
def test_a_message_of_python_is_decoded_as_it_was_encoded(struct: type[msgspec.Struct], data: st.DataObject) -> None:
    message = data.draw(built(struct))
    assert isinstance(message, get_args(messages.PythonMessage))
    text = messages.encode_message(message)
    assert json.loads(text)["t"] == struct.__struct_config__.tag
    assert messages.encode_message(msgspec.json.decode(text, type=messages.PythonMessage)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        '{"t":"unknown"}',
        '{"t":"view","view":64,"series":null,"window_ms":1,"buckets":9}',
        '{"t":"view","view":0,"series":null,"window_ms":0,"buckets":9}',
        '{"t":"view","view":0,"series":null,"window_ms":4e10,"buckets":9}',
        '{"t":"view","view":0,"series":null,"window_ms":1,"buckets":2001}',
        '{"t":"view","view":0,"series":[-1],"window_ms":1,"buckets":9}',
        '{"t":"view","view":0,"series":null,"window_ms":1,"buckets":9,"fps":11}',
        '{"t":"statistics","id":1,"series":[],"start_ms":0,"end_ms":1}',
        '{"t":"export","id":1,"series":[0],"start_ms":0,"end_ms":1,"kind":"exe"}',
        '{"t":"read_deck","slug":""}',
        '{"t":"status"}',
        '{"t":"save_deck","slug":"a","deck":{},"over":"é"}',
        '{"t":"save_deck","slug":"a","deck":{},"over":"a\\n"}',
        '{"t":"save_deck","slug":"a","deck":{},"over":"\\r\\nX: y"}',
    ],
)
def test_what_is_no_message_of_the_deck_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="message"):
        decode_message(text)


@given(view=st.integers(0, 1), seq=st.integers(0, 2**32 - 1))
def test_an_acknowledgement_names_its_view_and_frame(view: int, seq: int) -> None:
    assert parse_acknowledgement(f"a{view}:{seq}") == Acknowledgement(view, seq)


@pytest.mark.parametrize("text", ["a", "a0", "a0:", "a:1", "a0:-1", "ax:1", "b0:1", "a0:1.5"])
def test_what_is_no_acknowledgement_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="a<view>:<seq>"):
        parse_acknowledgement(text)


def test_every_request_has_an_answer() -> None:
    assert set(messages.ANSWERS) == set(get_args(messages.ViewerRequest))
    assert set(messages.ANSWERS.values()) == set(get_args(messages.Answer))


def test_the_decks_types_are_those_of_the_structs() -> None:
    spec = importlib.util.spec_from_file_location("message_types", ROOT / "docs" / "message_types.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PATH.read_text(encoding="utf-8") == module.source(), "run: python docs/message_types.py"
