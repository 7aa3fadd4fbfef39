"""Which field carries what: requests and responses as fields, and back.

`fields_of` and `question_of` are the two directions of a request, `answer_fields` and `response_of`
or `plain_answer_of` those of its response. `messages.py` has the values, `codec.py` the bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from functools import lru_cache
from typing import TypeVar

from checkout.clearing.iso8583 import private_fields as private
from checkout.clearing.iso8583.codec import CodecError, Fields, answer_type
from checkout.clearing.iso8583.fields import REPEATS, REQUIRED
from checkout.clearing.iso8583.private_fields import LayoutError, Usage
from checkout.clearing.messages import (
    AuthorizationRequest,
    AuthorizationResponse,
    EntryMode,
    Initiation,
    NetworkFunction,
    NetworkMessage,
    Operation,
    PlainAnswer,
    Question,
    Reversal,
    SessionKey,
    TransactionType,
)
from checkout.clearing.scheme.business_date import BUSINESS_ZONE
from checkout.money import AmountError, currency_of, numeric_code

_Read = TypeVar("_Read")
_T = TransactionType
#: What is to happen -> message type, first two digits of DE3, DE25 where the type decides it.
SHAPES: dict[TransactionType, tuple[str, str, str | None]] = {
    _T.PURCHASE: ("0200", "00", None),
    _T.COMPLETION: ("0200", "00", "06"),
    _T.VOID: ("0200", "20", None),
    _T.BALANCE: ("0200", "30", None),
    _T.TOP_UP: ("0200", "21", None),
    _T.PREAUTHORISATION: ("0100", "03", "06"),
    _T.PREAUTHORISATION_VOID: ("0100", "20", "06"),
    _T.COMPLETION_ADVICE: ("0220", "00", "06"),
    _T.REFUND: ("0220", "20", None),
    _T.OFFLINE_ADVICE: ("0220", "00", None),
}
_TYPES: dict[tuple[str, str, bool], TransactionType] = {
    (mti, code, condition == "06"): kind for kind, (mti, code, condition) in SHAPES.items()
}
_ENTRY_MODES = {mode.value: mode for mode in EntryMode}

#: The initiation that DE22 implies where DE60 is left out.
_USUAL_INITIATION = {
    EntryMode.MANUAL: Initiation.CARD,
    EntryMode.BARCODE: Initiation.PAYER_CODE,
    EntryMode.CONTACT_CHIP: Initiation.CARD,
    EntryMode.CONTACTLESS_CHIP: Initiation.CARD,
    EntryMode.ECOMMERCE: Initiation.ONLINE,
    EntryMode.CONTACTLESS_MAGSTRIPE: Initiation.CARD,
}
_CODES = (Initiation.STATIC_CODE, Initiation.DYNAMIC_CODE, Initiation.PAYER_CODE)
#: Fields that a response repeats from its request.
_ECHOED = ("2", "3", "4", "7", "11", "12", "13", "25", "32", "33", "37", "41", "42", "49", "70")
_OPERATION_PARTS = ("120", "121", "122", "123")
_PART = 999


def fields_of(value: Question) -> Fields:
    """The fields of a request, "t" its message type; CodecError for what no field can carry."""
    match value:
        case AuthorizationRequest():
            return _request_fields(value)
        case Reversal():
            return _reversal_fields(value)
        case NetworkMessage():
            return _network_fields(value)
        case Operation():
            return _operation_fields(value)


def question_of(fields: Fields, now: datetime) -> Question:
    """The request that fields carry; CodecError where one is missing or makes no sense.

    `now` is aware and in UTC; it gives DE7 its year.
    """
    message_type = REPEATS.get(fields["t"], fields["t"])
    required = REQUIRED.get(message_type)
    if required is None:
        raise CodecError("t", f"no such request: {message_type}", fields=fields, response_code="12")
    for number in required:
        if number not in fields:
            raise CodecError(number, f"missing in a {message_type}", fields=fields)
    try:
        if message_type in ("0100", "0200", "0220"):
            return _request(fields, message_type, now)
        if message_type == "0420":
            return _reversal(fields, now)
        if message_type == "0600":
            return _operation(fields, now)
        return _network(fields, now)
    except LayoutError as error:
        raise CodecError("60", str(error), fields=fields) from None
    except AmountError as error:
        raise CodecError("49", str(error), fields=fields) from None


def answer_fields(question: Fields, response: AuthorizationResponse | PlainAnswer) -> Fields:
    """The fields of the response to a request given as fields."""
    fields = _echo(question, answer_type(question["t"]) or question["t"], response.response_code)
    if isinstance(response, PlainAnswer):
        _put_plain_answer(fields, response)
    else:
        _put_response(fields, response)
    return fields


def refusal_fields(question: Fields, response_code: str) -> Fields | None:
    """The response to a message read only in part; None where it can't be answered at all."""
    message_type = answer_type(question.get("t", ""))
    if message_type is None or "11" not in question:
        return None
    return _echo(question, message_type, response_code)


def response_of(fields: Fields, now: datetime) -> AuthorizationResponse:
    """The response that fields carry; CodecError where they carry none.

    `now` is aware; it gives the settlement date its year.
    """
    settlement_date = _optional(fields, "15", private.read_date, now)
    try:
        usages = private.read_usages(fields.get("63", ""))
        return AuthorizationResponse(
            response_code=fields["39"],
            stan=int(fields["11"]),
            rrn=fields.get("37", ""),
            approval_code=fields.get("38"),
            settlement_date=settlement_date,
            icc=_octets(fields.get("55")),
            balance_minor=private.read_balance(fields["54"]) if "54" in fields else None,
            billing_amount_minor=int(fields["6"]) if "6" in fields else None,
            billing_currency=currency_of(fields["51"]) if "51" in fields else None,
            billing_rate=fields.get("10"),
            settlement_amount_minor=int(fields["5"]) if "5" in fields else None,
            settlement_currency=currency_of(fields["50"]) if "50" in fields else None,
            settlement_rate=fields.get("9"),
            account_reference=fields.get("56"),
            masked_account=usages.get(Usage.MASKED_ACCOUNT),
        )
    except KeyError as error:
        raise CodecError(error.args[0], "missing in the answer", fields=fields) from None
    except (LayoutError, AmountError) as error:
        raise CodecError("63", str(error), fields=fields) from None


def plain_answer_of(fields: Fields) -> PlainAnswer:
    """The response to a network message or an operation; CodecError where DE39 is missing."""
    if "39" not in fields or "11" not in fields:
        raise CodecError("39", "missing in the answer", fields=fields)
    return PlainAnswer(
        response_code=fields["39"],
        stan=int(fields["11"]),
        content=_joined_parts(fields),
    )


# -- requests to fields ---------------------------------------------------------------------------


def _request_fields(request: AuthorizationRequest, reason: str = private.NO_REASON) -> Fields:
    message_type, code, condition = SHAPES[request.transaction_type]
    local = request.transmitted_at.astimezone(BUSINESS_ZONE)
    currency = numeric_code(request.currency)
    fields: Fields = {
        "t": message_type,
        "2": request.account,
        "3": code + "0000",
        "4": f"{request.amount_minor:012d}",
        "7": f"{request.transmitted_at:%m%d%H%M%S}",
        "11": f"{request.stan:06d}",
        "12": f"{local:%H%M%S}",
        "13": f"{local:%m%d}",
        "18": request.mcc,
        "19": request.country,
        "22": request.entry_mode.value + ("1" if request.pin_block else "2"),
        "25": condition or request.condition,
        "32": request.acquirer,
        "33": request.forwarder,
        "37": f"{request.rrn:0>12}",
        "41": f"{request.terminal_id:<8}",
        "42": f"{request.merchant_id:<15}",
        "43": f"{request.merchant_name[:40]:<40}",
        "49": currency,
        "60": private.conditions(
            initiation=request.initiation, no_pin=request.no_pin, reason=reason
        ),
    }
    if request.entry_mode is EntryMode.BARCODE:
        fields["22"] = "030"
    _put_optional(fields, request)
    return fields


def _put_optional(fields: Fields, request: AuthorizationRequest) -> None:
    texts = (
        ("14", request.expiry),
        ("23", request.pan_sequence),
        ("35", request.track2),
        ("38", request.approval_code),
    )
    for number, text in texts:
        if text is not None:
            fields[number] = text
    if request.pin_block is not None:
        fields["52"] = request.pin_block.hex().upper()
    if request.icc is not None:
        fields["55"] = request.icc.hex().upper()
    if request.token_requestor is not None or request.token_cryptogram is not None:
        fields["63"] = private.payment_token(request.token_requestor, request.token_cryptogram)
    if request.original is not None:
        fields["90"] = private.original_elements(request.original)


def _reversal_fields(reversal: Reversal) -> Fields:
    if reversal.request.original is None:
        raise CodecError("90", "a reversal must name its original")
    fields = _request_fields(reversal.request, reversal.reason)
    fields["t"] = "0420"
    for number in ("52", "55"):  # PIN and chip were checked with the original
        fields.pop(number, None)
    return fields


def _network_fields(message: NetworkMessage) -> Fields:
    fields: Fields = {
        "t": "0820" if message.key_block is None else "0800",
        "7": f"{message.transmitted_at:%m%d%H%M%S}",
        "11": f"{message.stan:06d}",
        "33": message.participant,
        "70": message.function.value,
    }
    _put_session(fields, message)
    return fields


def _operation_fields(operation: Operation) -> Fields:
    fields: Fields = {
        "t": "0600",
        "7": f"{operation.transmitted_at:%m%d%H%M%S}",
        "11": f"{operation.stan:06d}",
        "33": operation.participant,
        "48": private.usage(Usage.OPERATION, operation.name),
    }
    _put_parts(fields, operation.arguments)
    return fields


# -- fields to requests ---------------------------------------------------------------------------


def _request(fields: Fields, message_type: str, now: datetime) -> AuthorizationRequest:
    kind = _transaction_type(message_type, fields)
    if kind is None:
        raise CodecError(
            "3", f"no {fields['3'][:2]} in a {message_type}", fields=fields, response_code="12"
        )
    return _request_of_kind(fields, kind, now)


def _reversal(fields: Fields, now: datetime) -> Reversal:
    original = private.read_original_elements(fields["90"], now)
    kind = _transaction_type(original.message_type, fields)
    if kind is None:
        raise CodecError("90", f"no original {original.message_type} of this kind", fields=fields)
    reason = fields.get("60", private.TIME_OUT)[:4]
    return Reversal(request=_request_of_kind(fields, kind, now), reason=reason)


def _transaction_type(message_type: str, fields: Fields) -> TransactionType | None:
    """The kind of a request; DE25 counts only where message type and DE3 leave two kinds open."""
    code, condition = fields["3"][:2], fields["25"] == "06"
    return _TYPES.get((message_type, code, condition)) or _TYPES.get(
        (message_type, code, not condition)
    )


def _request_of_kind(fields: Fields, kind: TransactionType, now: datetime) -> AuthorizationRequest:
    entry_mode = _ENTRY_MODES.get(fields["22"][:2])
    if entry_mode is None:
        raise CodecError("22", f"no entry mode {fields['22'][:2]}", fields=fields)
    if len(fields["2"]) < 12:
        raise CodecError("2", "expected 12 to 19 digits", fields=fields)
    initiation, no_pin = (
        private.read_conditions(fields["60"])
        if "60" in fields
        else (_USUAL_INITIATION[entry_mode], False)
    )
    if (initiation in _CODES) is not (entry_mode is EntryMode.BARCODE):
        # The limits for codes go by DE60 and the proofs by DE22: they have to mean the same.
        raise CodecError("60", "expected a code in 60.11 for DE22 03x alone", fields=fields)
    requestor, cryptogram = (
        private.read_payment_token(fields["63"]) if "63" in fields else (None, None)
    )
    return AuthorizationRequest(
        transaction_type=kind,
        account=fields["2"],
        amount_minor=int(fields["4"]),
        currency=currency_of(fields["49"]),
        stan=int(fields["11"]),
        rrn=fields["37"],
        transmitted_at=_instant(fields, now),
        entry_mode=entry_mode,
        initiation=initiation,
        acquirer=fields["32"],
        forwarder=fields["33"],
        terminal_id=fields["41"].rstrip(),
        merchant_id=fields["42"].rstrip(),
        merchant_name=fields.get("43", "").rstrip(),
        mcc=fields["18"],
        country=fields["19"],
        expiry=fields.get("14"),
        pan_sequence=fields.get("23"),
        condition=fields["25"],
        track2=fields.get("35"),
        approval_code=fields.get("38"),
        pin_block=_octets(fields.get("52")),
        icc=_octets(fields.get("55")),
        no_pin=no_pin,
        token_requestor=requestor,
        token_cryptogram=cryptogram,
        original=(private.read_original_elements(fields["90"], now) if "90" in fields else None),
    )


def _network(fields: Fields, now: datetime) -> NetworkMessage:
    try:
        function = NetworkFunction(fields["70"])
        session_key = SessionKey(fields["53"][:1]) if "53" in fields else None
    except ValueError as error:
        raise CodecError("70", str(error), fields=fields) from None
    return NetworkMessage(
        function=function,
        stan=int(fields["11"]),
        transmitted_at=_instant(fields, now),
        participant=fields["33"],
        session_key=session_key,
        key_block=private.read_usages(fields.get("48", "")).get(Usage.KEY_BLOCK),
        settlement_date=_optional(fields, "15", private.read_date, now),
    )


def _operation(fields: Fields, now: datetime) -> Operation:
    name = private.read_usages(fields["48"]).get(Usage.OPERATION)
    if name is None:
        raise CodecError("48", "expected OP with the operation's name", fields=fields)
    return Operation(
        name=name,
        arguments=_joined_parts(fields),
        stan=int(fields["11"]),
        transmitted_at=_instant(fields, now),
        participant=fields["33"],
    )


@lru_cache(maxsize=64)
def _read_instant(text: str, today: date) -> datetime:
    """Many messages carry the same second; the year needs no more of `now` than its date."""
    return private.read_instant(text, datetime.combine(today, time(12), UTC))


def _instant(fields: Fields, now: datetime) -> datetime:
    try:
        return _read_instant(fields["7"], now.date())
    except LayoutError as error:
        raise CodecError("7", str(error), fields=fields) from None


def _optional(
    fields: Fields, number: str, read: Callable[[str, datetime], _Read], now: datetime
) -> _Read | None:
    """What `read` makes of a field, None where it is left out; CodecError names the field."""
    if number not in fields:
        return None
    try:
        return read(fields[number], now)
    except LayoutError as error:
        raise CodecError(number, str(error), fields=fields) from None


def _octets(text: str | None) -> bytes | None:
    return None if text is None else bytes.fromhex(text)


# -- responses to fields --------------------------------------------------------------------------


def _echo(question: Fields, message_type: str, response_code: str) -> Fields:
    fields = {number: question[number] for number in _ECHOED if number in question}
    fields["t"] = message_type
    fields["39"] = response_code
    return fields


def _put_plain_answer(fields: Fields, answer: PlainAnswer) -> None:
    if answer.content:
        _put_parts(fields, answer.content)
    _put_session(fields, answer)


def _put_response(fields: Fields, response: AuthorizationResponse) -> None:
    if response.settlement_date is not None:
        fields["15"] = _month_day(response.settlement_date)
    if response.approval_code is not None:
        fields["38"] = response.approval_code
    if response.balance_minor is not None:
        fields["54"] = private.balance(fields.get("49", "156"), response.balance_minor)
    if response.icc is not None:
        fields["55"] = response.icc.hex().upper()
    if response.billing_amount_minor is not None and response.billing_currency is not None:
        fields["6"] = f"{response.billing_amount_minor:012d}"
        fields["51"] = numeric_code(response.billing_currency)
    if response.settlement_amount_minor is not None and response.settlement_currency is not None:
        fields["5"] = f"{response.settlement_amount_minor:012d}"
        fields["50"] = numeric_code(response.settlement_currency)
    if response.billing_rate is not None:
        fields["10"] = response.billing_rate
    if response.settlement_rate is not None:
        fields["9"] = response.settlement_rate
        fields["16"] = fields.get("15", "0000")
    if response.account_reference is not None:
        fields["56"] = response.account_reference
    if response.masked_account is not None:
        fields["63"] = private.usage(Usage.MASKED_ACCOUNT, response.masked_account)


# -- what requests and responses have in common ---------------------------------------------------


def _put_session(fields: Fields, message: NetworkMessage | PlainAnswer) -> None:
    """A session's new key and the network's date, either way."""
    if message.settlement_date is not None:
        fields["15"] = _month_day(message.settlement_date)
    if message.session_key is not None:
        fields["53"] = message.session_key.value.ljust(16, "0")
    if message.key_block is not None:
        fields["48"] = private.usage(Usage.KEY_BLOCK, message.key_block)


def _put_parts(fields: Fields, content: str) -> None:
    """Spread JSON over DE120 to DE123; CodecError where it is longer than the four hold."""
    escaped = content if content.isascii() else json.dumps(json.loads(content))
    if len(escaped) > _PART * len(_OPERATION_PARTS):
        raise CodecError("120", f"expected at most {_PART * len(_OPERATION_PARTS)} characters")
    for part, at in zip(_OPERATION_PARTS, range(0, len(escaped), _PART), strict=False):
        fields[part] = escaped[at : at + _PART]


def _joined_parts(fields: Fields) -> str:
    return "".join(fields.get(part, "") for part in _OPERATION_PARTS)


@lru_cache(maxsize=16)
def _month_day(on: date) -> str:
    """DE15 of a date; all responses of a day carry the same one."""
    return f"{on:%m%d}"
