"""Which field of an answer carries what: responses as fields and back."""

from __future__ import annotations

from datetime import date, datetime
from functools import lru_cache

from checkout.clearing.iso8583 import private_fields as private
from checkout.clearing.iso8583.codec import CodecError, Fields, answer_type
from checkout.clearing.iso8583.private_fields import LayoutError
from checkout.clearing.iso8583.requests import OPERATION_PARTS, put_parts
from checkout.clearing.messages import AuthorizationResponse, PlainAnswer
from checkout.money import AmountError, currency_of, numeric_code

#: What an answer repeats from its question.
_ECHOED = ("2", "3", "4", "7", "11", "12", "13", "25", "32", "33", "37", "41", "42", "49", "70")


def answer_fields(question: Fields, response: AuthorizationResponse | PlainAnswer) -> Fields:
    """The fields of the answer to a question given as fields."""
    fields = {number: question[number] for number in _ECHOED if number in question}
    fields["t"] = answer_type(question["t"]) or question["t"]
    fields["39"] = response.response_code
    if isinstance(response, PlainAnswer):
        _put_plain(fields, response)
    else:
        _put_response(fields, response)
    return fields


def refusal_fields(question: Fields, response_code: str) -> Fields | None:
    """The answer to a message read only in part; None where it can't be answered at all."""
    message_type = answer_type(question.get("t", ""))
    if message_type is None or "11" not in question:
        return None
    fields = {number: question[number] for number in _ECHOED if number in question}
    fields["t"] = message_type
    fields["39"] = response_code
    return fields


def response_of(fields: Fields, now: datetime) -> AuthorizationResponse:
    """The response that an answer's fields carry; CodecError where it is none.

    `now` is aware; it gives the settlement date its year.
    """
    try:
        usages = private.read_usages(fields.get("63", ""))
        return AuthorizationResponse(
            response_code=fields["39"],
            stan=int(fields["11"]),
            rrn=fields.get("37", ""),
            approval_code=fields.get("38"),
            settlement_date=_settlement_date(fields.get("15"), now),
            icc=bytes.fromhex(fields["55"]) if "55" in fields else None,
            balance_minor=private.read_balance(fields["54"]) if "54" in fields else None,
            billing_amount_minor=int(fields["6"]) if "6" in fields else None,
            billing_currency=currency_of(fields["51"]) if "51" in fields else None,
            billing_rate=fields.get("10"),
            settlement_amount_minor=int(fields["5"]) if "5" in fields else None,
            settlement_currency=currency_of(fields["50"]) if "50" in fields else None,
            settlement_rate=fields.get("9"),
            account_reference=fields.get("56"),
            masked_account=usages.get("MA"),
        )
    except KeyError as error:
        raise CodecError(error.args[0], "missing in the answer", fields=fields) from None
    except (LayoutError, AmountError) as error:
        raise CodecError("63", str(error), fields=fields) from None


def plain_answer_of(fields: Fields) -> PlainAnswer:
    """The answer to a network message or an operation; CodecError where DE39 is missing."""
    if "39" not in fields or "11" not in fields:
        raise CodecError("39", "missing in the answer", fields=fields)
    return PlainAnswer(
        response_code=fields["39"],
        stan=int(fields["11"]),
        content="".join(fields.get(part, "") for part in OPERATION_PARTS),
    )


def _put_plain(fields: Fields, answer: PlainAnswer) -> None:
    if answer.content:
        put_parts(fields, answer.content)
    if answer.settlement_date is not None:
        fields["15"] = f"{answer.settlement_date:%m%d}"
    if answer.session_key is not None:
        fields["53"] = answer.session_key.value.ljust(16, "0")
    if answer.key_block is not None:
        fields["48"] = private.usage("NK", answer.key_block)


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
        fields["63"] = private.usage("MA", response.masked_account)


@lru_cache(maxsize=16)
def _month_day(on: date) -> str:
    """DE15 of a date; a day's answers all carry the same one."""
    return f"{on:%m%d}"


def _settlement_date(text: str | None, now: datetime) -> date | None:
    """DE15; CodecError where it is no date."""
    if text is None:
        return None
    try:
        return private.read_date(text, now)
    except LayoutError as error:
        raise CodecError("15", str(error)) from None
