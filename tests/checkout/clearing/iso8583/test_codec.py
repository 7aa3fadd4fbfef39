"""Messages survive the way to bytes and back; the error for any other bytes names the field."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings, strategies as st

from checkout.clearing.iso8583 import private_fields as private
from checkout.clearing.iso8583.codec import (
    MAX_MESSAGE,
    CodecError,
    answer_type,
    frame,
    pack,
    unpack,
)
from checkout.clearing.iso8583.dump import describe
from checkout.clearing.iso8583.field_map import (
    answer_fields,
    fields_of,
    question_of,
    refusal_fields,
    response_of,
)
from checkout.clearing.iso8583.mac import mac_field, pack_with_mac, verify
from checkout.clearing.messages import (
    AuthorizationRequest,
    AuthorizationResponse,
    EntryMode,
    Initiation,
    Question,
    Reversal,
    TransactionType,
)
from checkout.clearing.switch.samples import CODE, TAP, WHEN, answer_to, originals, questions
from checkout.clearing.switch.specification import specification

KEY = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
_DIGITS = "0123456789"
_TEXT = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=40)


def _digits(low: int, high: int) -> st.SearchStrategy[str]:
    return st.text(_DIGITS, min_size=low, max_size=high)


_CODES = (Initiation.STATIC_CODE, Initiation.DYNAMIC_CODE, Initiation.PAYER_CODE)
REQUESTS = st.builds(
    AuthorizationRequest,
    transaction_type=st.sampled_from(
        [TransactionType.PURCHASE, TransactionType.VOID, TransactionType.OFFLINE_ADVICE]
    ),
    account=_digits(12, 19),
    amount_minor=st.integers(0, 10**12 - 1),
    currency=st.sampled_from(["CNY", "JPY", "KWD", "USD"]),
    stan=st.integers(1, 999_999),
    rrn=_digits(12, 12),
    transmitted_at=st.datetimes(datetime(2025, 10, 1), datetime(2026, 8, 1)).map(
        lambda at: at.replace(microsecond=0, tzinfo=UTC)
    ),
    entry_mode=st.sampled_from(EntryMode),
    initiation=st.sampled_from(Initiation),
    acquirer=_digits(8, 11),
    forwarder=_digits(8, 11),
    terminal_id=st.text("ABC019", min_size=8, max_size=8),
    merchant_id=st.text("ABC019", min_size=15, max_size=15),
    merchant_name=_TEXT.map(str.rstrip),
    mcc=_digits(4, 4),
    country=_digits(3, 3),
    expiry=st.none() | _digits(4, 4),
    pan_sequence=st.none() | _digits(3, 3),
    condition=st.just("00"),
    track2=st.none() | st.text("0123456789=D", min_size=1, max_size=37),
    approval_code=st.none() | st.text("ABC019", min_size=6, max_size=6),
    pin_block=st.none() | st.binary(min_size=8, max_size=8),
    icc=st.none() | st.binary(min_size=1, max_size=255),
    no_pin=st.booleans(),
    token_requestor=st.none() | st.just("99900000001"),
    token_cryptogram=st.none() | st.binary(min_size=1, max_size=20),
    original=st.none() | st.just(originals()),
).filter(lambda made: (made.initiation in _CODES) is (made.entry_mode is EntryMode.BARCODE))
RESPONSES = st.builds(
    AuthorizationResponse,
    response_code=st.sampled_from(["00", "51", "A0"]),
    stan=st.just(42),
    rrn=st.just(TAP.rrn),
    approval_code=st.none() | st.text("ABC019", min_size=6, max_size=6),
    settlement_date=st.none() | st.dates(date(2026, 1, 1), date(2026, 8, 1)),
    icc=st.none() | st.binary(min_size=1, max_size=100),
    balance_minor=st.none() | st.integers(-(10**12) + 1, 10**12 - 1),
    account_reference=st.none() | st.just("P" * 29),
    masked_account=st.none() | st.just("999901******0019"),
)


@given(REQUESTS)
@settings(max_examples=300, deadline=None)
def test_request_survives_the_wire(request: AuthorizationRequest) -> None:
    assert question_of(unpack(pack(fields_of(request))), WHEN) == request


@given(RESPONSES)
@settings(max_examples=200, deadline=None)
def test_response_survives_the_wire(response: AuthorizationResponse) -> None:
    fields = answer_fields(unpack(pack(fields_of(TAP))), response)
    assert response_of(unpack(pack(fields)), WHEN) == response


@pytest.mark.parametrize(("title", "question"), list(questions()))
def test_every_sample_survives_the_wire_and_has_an_answer(title: str, question: Question) -> None:
    fields = fields_of(question)
    assert question_of(unpack(pack(fields)), WHEN) == question, title
    answer = answer_to(question)
    assert answer["t"] == answer_type(fields["t"]) and answer["11"] == fields["11"]
    assert unpack(pack(answer))["39"] == "00"


def test_purchase_is_laid_out_as_specified() -> None:
    message = pack(fields_of(CODE))
    assert message[:4] == b"0200"
    present = (2, 3, 4, 7, 11, 12, 13, 18, 19, 22, 25, 32, 33, 37, 41, 42, 43, 49, 52, 60)
    assert int.from_bytes(message[4:12]) == sum(1 << (64 - bit) for bit in present)
    assert message[12:14] == b"16" and message[14:30] == CODE.account.encode()
    assert frame(message)[:2] == len(message).to_bytes(2)
    assert b"\x8f\x1e\x2d\x3c\x4b\x5a\x69\x78" in message  # DE52 is binary


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda m: m[:3], "t"),
        (lambda m: b"02x0" + m[4:], "t"),
        (lambda m: m[:-1], "60"),
        (lambda m: m + b"0", "60"),
        (lambda m: m[:4] + bytes((m[4] | 0x80,)) + m[5:12], "1"),
        (lambda m: m[:4] + bytes((m[4] | 0x01,)) + m[5:], "8"),
        (lambda m: m[:12] + b"1_" + m[14:], "2"),
        (lambda m: m[:12] + b"+9" + m[14:], "32"),  # all that follows is shifted
        (lambda m: m[:12] + b"20" + m[14:], "2"),
        (lambda m: m[:14] + b"9999O11000000019" + m[30:], "2"),
        (lambda m: m[:14] + "９９".encode() + m[20:], "2"),
    ],
)
def test_what_is_no_message_is_told_by_field(change: object, field: str) -> None:
    message = pack(fields_of(replace(CODE, no_pin=False)))
    assert callable(change)
    with pytest.raises(CodecError) as caught:
        unpack(change(message))
    assert caught.value.field == field


@given(st.binary(max_size=300))
@settings(max_examples=500, deadline=None)
def test_arbitrary_bytes_raise_nothing_but_codec_error(message: bytes) -> None:
    with pytest.raises(CodecError):
        question_of(unpack(message), WHEN)


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_damaged_messages_raise_nothing_but_codec_error(data: st.DataObject) -> None:
    message = bytearray(pack(fields_of(TAP)))
    for _ in range(data.draw(st.integers(1, 4))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(message)))
    try:
        question_of(unpack(bytes(message[:cut] if data.draw(st.booleans()) else message)), WHEN)
    except CodecError as error:
        assert error.field and "\n" not in str(error)


@pytest.mark.parametrize("missing", ["2", "3", "4", "7", "11", "22", "32", "41", "49"])
def test_missing_field_is_named(missing: str) -> None:
    fields = fields_of(TAP)
    del fields[missing]
    with pytest.raises(CodecError, match=f"DE{missing} .*missing"):
        question_of(fields, WHEN)


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("22", "992", "30"),
        ("49", "999", "30"),
        ("7", "1332000000", "30"),
        ("7", "0230120000", "30"),
        ("3", "990000", "12"),
        ("60", "12", "30"),
        ("60", "000006000090000000", "30"),
        ("60", "000006000000000900", "30"),
        ("63", "TK9", "30"),
        ("63", "TK011ABC00000001", "30"),
        ("2", "99990110", "30"),
        ("90", "0200" + "000042" + "1399000000" + "0" * 22, "30"),
    ],
)
def test_field_that_makes_no_sense_is_refused(field: str, value: str, code: str) -> None:
    with pytest.raises(CodecError) as caught:
        question_of(fields_of(TAP) | {field: value}, WHEN)
    assert caught.value.response_code == code


def test_unknown_type_is_refused_with_12_and_answers_are_not_answered() -> None:
    with pytest.raises(CodecError) as caught:
        question_of({"t": "0300", "11": "000001"}, WHEN)
    assert caught.value.response_code == "12"
    assert refusal_fields({"t": "0300", "11": "000001"}, "12") == {
        "t": "0310",
        "11": "000001",
        "39": "12",
    }
    assert refusal_fields({"t": "0210", "11": "000001"}, "12") is None
    assert refusal_fields({"t": "0200"}, "30") is None


def test_year_is_the_one_nearest_to_now() -> None:
    new_year = datetime(2026, 1, 1, 0, 0, 5, tzinfo=UTC)
    sent = replace(CODE, transmitted_at=new_year - timedelta(seconds=30))
    read = question_of(fields_of(sent), new_year)
    assert isinstance(read, AuthorizationRequest)
    assert read.transmitted_at.year == 2025
    leap = datetime(2028, 2, 29, 12, tzinfo=UTC)
    assert private.read_instant("0229120000", leap) == leap


def test_too_long_a_message_is_not_framed() -> None:
    with pytest.raises(CodecError):
        frame(bytes(MAX_MESSAGE + 1))


def test_reversal_names_its_original_and_carries_no_secrets() -> None:
    fields = fields_of(Reversal(request=replace(TAP, original=originals()), reason="4001"))
    assert fields["90"] == "0200" + "000042" + "0302040506" + "00090020001" * 2
    assert "52" not in fields and "55" not in fields
    with pytest.raises(CodecError, match="original"):
        fields_of(Reversal(request=TAP))


def test_mac_covers_every_byte() -> None:
    message = pack_with_mac(fields_of(TAP), KEY)
    fields = unpack(message)
    assert mac_field(fields_of(TAP)) == "64" and verify(message, fields, KEY)
    for at in range(4, len(message), 17):
        damaged = message[:at] + bytes((message[at] ^ 1,)) + message[at + 1 :]
        assert not verify(damaged, fields, KEY)
    assert not verify(pack(fields_of(TAP)), fields_of(TAP), KEY)


def test_mac_of_a_long_message_is_field_128() -> None:
    fields = fields_of(Reversal(request=replace(TAP, original=originals())))
    message = pack_with_mac(fields, KEY)
    assert mac_field(fields) == "128" and unpack(message)["128"]
    assert verify(message, unpack(message), KEY)


def test_dump_shows_every_field_but_no_number_and_no_secret() -> None:
    shown = str(
        describe(pack(fields_of(replace(TAP, pin_block=bytes.fromhex("8F1E2D3C4B5A6978")))))
    )
    assert "9999011000000019" not in shown and "8F1E2D3C4B5A6978" not in shown
    assert "999901******0019" in shown and "9F26 application cryptogram" in shown
    assert "201222" not in shown  # nothing of track 2 behind the number
    assert "error" in describe(b"0200")


def test_specification_is_made_from_the_tables() -> None:
    text = specification()
    for number in ("| 2 |", "| 55 |", "| 128 |"):
        assert number in text
    for title, _ in questions():
        assert title in text
    assert "9999011000000019" not in text.replace("39393939", "")
