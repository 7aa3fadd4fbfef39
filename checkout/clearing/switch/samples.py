"""One example of every message, for the specification and for tests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime

from checkout.clearing.hsm.icc_data import write_icc
from checkout.clearing.iso8583.codec import Fields
from checkout.clearing.iso8583.field_map import answer_fields, fields_of
from checkout.clearing.messages import (
    AuthorizationRequest,
    AuthorizationResponse,
    EntryMode,
    Initiation,
    NetworkFunction,
    NetworkMessage,
    Operation,
    OriginalElements,
    PlainAnswer,
    Question,
    Reversal,
    SessionKey,
    TransactionType,
)

_T = TransactionType
WHEN = datetime(2026, 3, 2, 4, 5, 6, tzinfo=UTC)
_ICC = write_icc(
    {
        0x9F26: bytes.fromhex("0A1B2C3D4E5F6071"),
        0x9F27: b"\x80",
        0x9F10: bytes.fromhex("07010103A00000"),
        0x9F37: bytes.fromhex("01020304"),
        0x9F36: b"\x00\x2a",
        0x95: bytes(5),
        0x9A: bytes.fromhex("260302"),
        0x9C: b"\x00",
        0x9F02: bytes.fromhex("000000001280"),
        0x5F2A: bytes.fromhex("0156"),
        0x82: b"\x7c\x00",
        0x9F1A: bytes.fromhex("0156"),
        0x9F03: bytes(6),
        0x9F33: bytes.fromhex("E0E1C8"),
        0x9F34: bytes.fromhex("1F0302"),
    }
)
TAP = AuthorizationRequest(
    transaction_type=_T.PURCHASE,
    account="9999011000000019",
    amount_minor=1280,
    currency="CNY",
    stan=42,
    rrn="606112000042",
    transmitted_at=WHEN,
    entry_mode=EntryMode.CONTACTLESS_CHIP,
    initiation=Initiation.CARD,
    acquirer="90020001",
    forwarder="90020001",
    terminal_id="10000001",
    merchant_id="999156058120001",
    merchant_name="Lane Tea House",
    mcc="5812",
    country="156",
    expiry="3012",
    pan_sequence="001",
    track2="9999011000000019D30122200000000",
    icc=_ICC,
    no_pin=True,
)
CODE = replace(
    TAP,
    entry_mode=EntryMode.BARCODE,
    initiation=Initiation.DYNAMIC_CODE,
    expiry=None,
    pan_sequence=None,
    track2=None,
    icc=None,
    no_pin=False,
    pin_block=bytes.fromhex("8F1E2D3C4B5A6978"),
)
TOP_UP = replace(
    CODE,
    transaction_type=_T.TOP_UP,
    account="9999801000000013",
    entry_mode=EntryMode.ECOMMERCE,
    initiation=Initiation.ONLINE,
    acquirer="90030001",
    forwarder="90030001",
    merchant_id="LANE-WALLET",
    merchant_name="Lane Wallet",
    mcc="6540",
)
_APPROVED = AuthorizationResponse(
    response_code="00",
    stan=42,
    rrn=TAP.rrn,
    approval_code="000042",
    settlement_date=date(2026, 3, 2),
)


def originals(message_type: str = "0200") -> OriginalElements:
    """DE90 that names the sample purchase."""
    return OriginalElements(
        message_type=message_type,
        stan=TAP.stan,
        transmitted_at=WHEN,
        acquirer=TAP.acquirer,
        forwarder=TAP.forwarder,
    )


def questions() -> Iterator[tuple[str, Question]]:
    """Every kind of question by its title."""
    yield "purchase by tap", TAP
    yield "purchase by code, with PIN", CODE
    later = replace(CODE, stan=43, pin_block=None, original=originals())
    yield "void", replace(later, transaction_type=_T.VOID)
    yield "refund", replace(later, transaction_type=_T.REFUND, amount_minor=500)
    yield "balance enquiry", replace(CODE, transaction_type=_T.BALANCE, amount_minor=0)
    yield "pre-authorisation", replace(TAP, transaction_type=_T.PREAUTHORISATION, condition="06")
    yield "top-up of a stored balance, by its operator", TOP_UP
    completing = replace(later, condition="06", original=originals("0100"))
    yield "completion", replace(completing, transaction_type=_T.COMPLETION, amount_minor=1100)
    yield "completion as advice", replace(completing, transaction_type=_T.COMPLETION_ADVICE)
    yield (
        "void of a pre-authorisation",
        replace(completing, transaction_type=_T.PREAUTHORISATION_VOID),
    )
    yield "advice of an offline approval", replace(TAP, transaction_type=_T.OFFLINE_ADVICE)
    yield (
        "reversal",
        Reversal(request=replace(TAP, icc=None, original=originals()), reason="4021"),
    )
    yield from _management()


def answer_to(question: Question) -> Fields:
    """The fields of an approving answer."""
    if isinstance(question, NetworkMessage):
        plain = PlainAnswer(
            response_code="00", stan=question.stan, session_key=question.session_key
        )
        return answer_fields(fields_of(question), plain)
    if isinstance(question, Operation):
        result = PlainAnswer(response_code="00", stan=question.stan, content='{"in_flight": 0}')
        return answer_fields(fields_of(question), result)
    request = question.request if isinstance(question, Reversal) else question
    answer = replace(_APPROVED, stan=request.stan, rrn=request.rrn)
    if request.icc is not None:
        answer = replace(answer, icc=write_icc({0x91: bytes.fromhex("11223344556677883030")}))
    if request.transaction_type is _T.BALANCE:
        answer = replace(answer, approval_code=None, balance_minor=20_000_00)
    return answer_fields(fields_of(question), answer)


def _management() -> Iterator[tuple[str, Question]]:
    plain = NetworkMessage(
        function=NetworkFunction.SIGN_ON, stan=1, transmitted_at=WHEN, participant="90020001"
    )
    yield "sign-on", plain
    yield "echo", replace(plain, function=NetworkFunction.ECHO, stan=2)
    announced = replace(plain, stan=3, settlement_date=date(2026, 3, 3))
    yield (
        "cut-over begins, from the switch",
        replace(announced, function=NetworkFunction.CUT_OVER_START),
    )
    ends = replace(announced, function=NetworkFunction.CUT_OVER_END, stan=4)
    yield "cut-over ends, from the switch", ends
    key_reset = replace(
        plain, function=NetworkFunction.KEY_RESET, stan=5, session_key=SessionKey.MAC
    )
    yield "key-reset request", key_reset
    block = "D0112M3TC00E0000" + "0123456789ABCDEF" * 6
    yield "key reset, from the switch", replace(key_reset, stan=6, key_block=block)
    yield (
        "back-office operation",
        Operation(name="idle", arguments="{}", stan=7, transmitted_at=WHEN, participant="90020001"),
    )
