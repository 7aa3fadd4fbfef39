"""The switch's log: every message and its answer, with card numbers masked and secrets blanked."""

from __future__ import annotations

import re
from datetime import datetime
from typing import NamedTuple

from checkout.clearing.authorisation.context import Outcome
from checkout.clearing.iso8583.codec import Fields
from checkout.clearing.messages import (
    AuthorizationRequest,
    NetworkMessage,
    Operation,
    PlainAnswer,
    Question,
    Reversal,
)
from checkout.clearing.store.rows import MessageRow
from checkout.clearing.switch.session import Session
from checkout.database import micros
from checkout.money import mask_account

_NUMBER = re.compile(rb"(?<![0-9])[0-9]{13,19}(?![0-9])")


class ReceivedMessage(NamedTuple):
    """A message as it arrived: its bytes, the fields that could be read, and from whom."""

    message: bytes
    fields: Fields
    session: Session
    now: datetime  # the moment of the turn, aware and in UTC


def logged_message(
    received: ReceivedMessage,
    question: Question | None,
    outcome: Outcome | PlainAnswer,
    answer: bytes | None,
    *,
    seq: int,
    at_us: int | None = None,
    key: str | None = None,
    took_us: int = 0,
) -> MessageRow:
    """The log's row of one question and its answer; `key` identifies a request (`message_key`).

    `at_us` is `received.now` in microseconds since the epoch, where the caller has it already.
    """
    message, message_type, peer = received.message, received.fields["t"], received.session.peer
    if at_us is None:
        at_us = micros(received.now)
    if isinstance(outcome, Outcome):
        code, reason = outcome.response.response_code, outcome.reason
        approval_code = outcome.response.approval_code
    else:
        code, reason, approval_code = outcome.response_code, outcome.content, None
    request: AuthorizationRequest | None = None
    kind, stan = "", 0
    if isinstance(question, AuthorizationRequest):
        request, kind = question, question.transaction_type.value
    elif isinstance(question, Reversal):
        request, kind = question.request, "reversal"
    elif isinstance(question, NetworkMessage):
        kind, stan = question.function.name.lower().replace("_", "-"), question.stan
    elif isinstance(question, Operation):
        kind, stan = question.name, question.stan
    if request is None:
        mask = _without_numbers if isinstance(question, Operation) else bytes
        return MessageRow(
            seq=seq,
            at_us=at_us,
            took_us=took_us,
            peer=peer,
            message_type=message_type,
            kind=kind,
            key=key,
            account="",
            amount_minor=0,
            currency="",
            response_code=code,
            reason=reason[:200],
            approval_code=None,
            rrn="",
            stan=stan,
            terminal="",
            merchant="",
            request=b"" if question is None else mask(message),
            response=None if answer is None else mask(answer),
        )
    masked, number = mask_account(request.account), request.account.encode("ascii")
    return MessageRow(
        seq=seq,
        at_us=at_us,
        took_us=took_us,
        peer=peer,
        message_type=message_type,
        kind=kind,
        key=key,
        account=masked,
        amount_minor=request.amount_minor,
        currency=request.currency,
        response_code=code,
        reason=reason[:200],
        approval_code=approval_code,
        rrn=request.rrn,
        stan=request.stan,
        terminal=request.terminal_id,
        merchant=request.merchant_id,
        request=blanked(message, request),
        # An answer echoes the number, but never track 2 or the PIN block.
        response=None if answer is None else answer.replace(number, masked.encode("ascii")),
    )


def blanked(message: bytes, request: AuthorizationRequest) -> bytes:
    """The bytes with the card number masked (also in track 2) and the PIN block zeroed.

    Lengths stay, so that the log can be read field by field. The MAC no longer fits, so nothing in
    the log can be sent again.
    """
    account = request.account.encode("ascii")
    asterisks = mask_account(request.account).encode("ascii")
    blanked = message.replace(account, asterisks)
    if request.track2 is not None:
        track = request.track2.encode("ascii").replace(account, asterisks)
        hidden = track[: len(account) + 1] + b"0" * (len(track) - len(account) - 1)
        blanked = blanked.replace(track, hidden)
    if request.pin_block is not None:
        blanked = blanked.replace(request.pin_block, bytes(len(request.pin_block)))
    return blanked


def _without_numbers(message: bytes) -> bytes:
    """The bytes of an operation with whatever may be a card number masked."""
    return _NUMBER.sub(lambda match: mask_account(match[0].decode("ascii")).encode(), message)
