"""The switch's log: what was said, with card numbers masked and secrets blanked in the bytes."""

from __future__ import annotations

import re

from checkout.clearing.authorisation.context import Outcome
from checkout.clearing.messages import (
    AuthorizationRequest,
    NetworkMessage,
    Operation,
    PlainAnswer,
    Question,
    Reversal,
)
from checkout.clearing.store.rows import MessageRow
from checkout.money import mask_account

_NUMBER = re.compile(rb"(?<![0-9])[0-9]{13,19}(?![0-9])")


def logged_message(
    seq: int,
    at_us: int,
    peer: str,
    message_type: str,
    question: Question | None,
    key: str | None,
    outcome: Outcome | PlainAnswer,
    message: bytes,
    answer: bytes | None,
    took_us: int = 0,
) -> MessageRow:
    """The log's row of one question and its answer."""
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
        shown = _without_numbers if isinstance(question, Operation) else bytes
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
            request=b"" if question is None else shown(message),
            response=None if answer is None else shown(answer),
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
        request=_blanked(message, request, masked),
        # An answer repeats the number; track 2 and PIN block it never does.
        response=None if answer is None else answer.replace(number, masked.encode("ascii")),
    )


def _blanked(message: bytes, request: AuthorizationRequest, masked: str) -> bytes:
    """The bytes with the card number masked (also in track 2) and the PIN block zeroed.

    Lengths stay, so that the log can be read field by field. The MAC no longer fits, which is as
    well: nothing in the log can be sent again.
    """
    account, asterisks = request.account.encode("ascii"), masked.encode("ascii")
    shown = message.replace(account, asterisks)
    if request.track2 is not None:
        track = request.track2.encode("ascii").replace(account, asterisks)
        hidden = track[: len(account) + 1] + b"0" * (len(track) - len(account) - 1)
        shown = shown.replace(track, hidden)
    if request.pin_block is not None:
        shown = shown.replace(request.pin_block, bytes(len(request.pin_block)))
    return shown


def _without_numbers(message: bytes) -> bytes:
    """The bytes of an operation with whatever may be a card number masked."""
    return _NUMBER.sub(lambda found: mask_account(found[0].decode("ascii")).encode(), message)
