"""The fast way of reading and writing messages agrees with pyiso8583 on everything."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from checkout.clearing.iso8583 import compiled_codec
from checkout.clearing.iso8583.codec import (
    CodecError,
    Fields,
    pack,
    pack_plainly,
    unpack,
    unpack_plainly,
)
from checkout.clearing.iso8583.field_map import fields_of
from checkout.clearing.iso8583.fields import BY_NUMBER, FieldSpec, Form, Length
from checkout.clearing.messages import Question
from checkout.clearing.switch.samples import TAP, answer_to, questions

_ALPHABETS = {
    Form.NUMERIC: "0123456789",
    Form.ALPHANUMERIC: "09AZaz ",
    Form.TEXT: " ~A0-",
    Form.TRACK2: "019=D",
}


def _value(spec: FieldSpec) -> st.SearchStrategy[str]:
    low = spec.size if spec.length is Length.FIXED else 0
    high = min(spec.size, 60) if spec.length is not Length.FIXED else spec.size
    if spec.form is Form.BINARY:
        return st.binary(min_size=low, max_size=high).map(lambda held: held.hex().upper())
    return st.text(_ALPHABETS[spec.form], min_size=low, max_size=high)


@st.composite
def _messages(draw: st.DrawFn) -> Fields:
    chosen = draw(st.sets(st.sampled_from(sorted(BY_NUMBER)), max_size=12))
    fields = {"t": draw(st.text("0123456789", min_size=4, max_size=4))}
    return fields | {number: draw(_value(BY_NUMBER[number])) for number in chosen}


def _read(way: object, message: bytes) -> object:
    assert callable(way)
    try:
        return way(message)
    except CodecError as error:
        return error.field, error.position, error.fields, str(error)


def _written(way: object, fields: Fields) -> object:
    assert callable(way)
    try:
        return way(fields)
    except CodecError as error:
        return error.field, str(error)


@given(_messages())
@settings(max_examples=400, deadline=None)
def test_right_messages_are_written_and_read_alike(fields: Fields) -> None:
    message = compiled_codec.write(fields)
    assert message is not None and message == pack_plainly(fields)
    found = unpack_plainly(message)
    if len(message) >= 20:
        assert compiled_codec.read(message) == found
        assert list(compiled_codec.read(message) or ()) == list(found)
    assert unpack(message) == found


@given(_messages(), st.data())
@settings(max_examples=600, deadline=None)
def test_damaged_messages_are_refused_alike(fields: Fields, data: st.DataObject) -> None:
    message = bytearray(pack_plainly(fields))
    for _ in range(data.draw(st.integers(1, 3))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(message[: data.draw(st.integers(0, len(message)))])
    for one in (bytes(message), damaged, bytes(message) + b"0"):
        assert _read(unpack, one) == _read(unpack_plainly, one)


@given(_messages(), st.data())
@settings(max_examples=400, deadline=None)
def test_fields_that_do_not_fit_are_refused_alike(fields: Fields, data: st.DataObject) -> None:
    number = data.draw(st.sampled_from([*sorted(BY_NUMBER), "t", "7x", "200", "p", "1"]))
    fields[number] = data.draw(st.text(st.characters(codec="utf-8"), max_size=30))
    assert _written(pack, dict(fields)) == _written(pack_plainly, dict(fields))


@pytest.mark.parametrize(("title", "question"), list(questions()))
def test_every_sample_takes_the_fast_way(title: str, question: Question) -> None:
    for fields in (fields_of(question), answer_to(question)):
        message = compiled_codec.write(fields)
        assert message is not None, title
        assert compiled_codec.read(message) == unpack_plainly(message)


def test_strange_bitmaps_do_not_fill_the_memory() -> None:
    tail = bytes(16)
    for n in range(2000):
        compiled_codec.read(b"0200" + (n << 40).to_bytes(8) + tail)
    assert len(compiled_codec._reading) <= compiled_codec._MAX_PLANS


@pytest.mark.long
@given(st.binary(max_size=120))
@settings(max_examples=100_000, deadline=None)
def test_any_bytes_are_read_alike(noise: bytes) -> None:
    message = pack(fields_of(TAP))
    for one in (noise, message[: len(noise)] + noise, message[:60] + noise + message[60:]):
        assert _read(unpack, one) == _read(unpack_plainly, one)


@pytest.mark.parametrize(
    "spec", [one for one in BY_NUMBER.values() if one.length is not Length.FIXED], ids=str
)
def test_field_one_longer_than_its_table_entry_is_refused_alike(spec: FieldSpec) -> None:
    digits = 2 if spec.length is Length.LL else 3
    if spec.size + 1 >= 10**digits:
        return  # its length can't even be written
    width = 128 if spec.number > 64 else 64
    bitmap = (1 << (width - spec.number)) | ((1 << 127) if width == 128 else 0)
    head = b"0200" + bitmap.to_bytes(width // 8)
    for size, refused in ((spec.size, False), (spec.size + 1, True)):
        message = head + f"{size:0{digits}d}".encode() + b"0" * size
        assert _read(unpack, message) == _read(unpack_plainly, message)
        assert (compiled_codec.read(message) is None) == refused
    filled = "0" * ((spec.size + 1) * (2 if spec.form is Form.BINARY else 1))
    fields = {"t": "0200", str(spec.number): filled}
    assert compiled_codec.write(fields) is None
    assert _written(pack, dict(fields)) == _written(pack_plainly, dict(fields))
