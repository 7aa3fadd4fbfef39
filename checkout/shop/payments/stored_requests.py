"""Requests stored for later: encrypted for the database, and turned into what follows them."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, fields, replace
from datetime import datetime
from typing import Any

from checkout.acceptance.contract import Numbers
from checkout.clearing.messages import (
    AuthorizationRequest,
    EntryMode,
    Initiation,
    OriginalElements,
    TransactionType,
)
from checkout.encryption import Seal

_MESSAGE_TYPES = {
    TransactionType.PURCHASE: "0200",
    TransactionType.PREAUTHORISATION: "0100",
    TransactionType.COMPLETION: "0200",
    TransactionType.OFFLINE_ADVICE: "0220",
}
_BINARY = ("pin_block", "icc", "token_cryptogram")


def seal_request(seal: Seal, request: AuthorizationRequest) -> bytes:
    """The request encrypted, without its PIN block: no later message may carry one."""
    plain: dict[str, Any] = asdict(replace(request, pin_block=None))
    for name in _BINARY:
        if plain[name] is not None:
            plain[name] = base64.b64encode(plain[name]).decode("ascii")
    plain["transmitted_at"] = request.transmitted_at.isoformat()
    if request.original is not None:
        plain["original"]["transmitted_at"] = request.original.transmitted_at.isoformat()
    return seal.close(json.dumps(plain).encode())


def open_request(seal: Seal, sealed: bytes) -> AuthorizationRequest:
    """The request that `seal_request` encrypted; InvalidToken where another home did."""
    plain: dict[str, Any] = json.loads(seal.open(sealed))
    for name in _BINARY:
        if plain[name] is not None:
            plain[name] = base64.b64decode(plain[name])
    plain["transmitted_at"] = datetime.fromisoformat(plain["transmitted_at"])
    if plain["original"] is not None:
        sent = datetime.fromisoformat(plain["original"]["transmitted_at"])
        plain["original"] = OriginalElements(**(plain["original"] | {"transmitted_at": sent}))
    plain["transaction_type"] = TransactionType(plain["transaction_type"])
    plain["entry_mode"] = EntryMode(plain["entry_mode"])
    plain["initiation"] = Initiation(plain["initiation"])
    known = {field.name for field in fields(AuthorizationRequest)}
    return AuthorizationRequest(**{name: plain[name] for name in plain if name in known})


def follow_up(
    original: AuthorizationRequest,
    what: TransactionType,
    amount_minor: int,
    numbers: Numbers,
    approval_code: str | None,
) -> AuthorizationRequest:
    """The refund, void or completion of `original`: DE90 names it, no cryptogram is repeated."""
    return replace(
        original,
        transaction_type=what,
        amount_minor=amount_minor,
        stan=numbers.stan,
        rrn=numbers.rrn,
        transmitted_at=numbers.transmitted_at,
        condition="06" if what is TransactionType.COMPLETION else original.condition,
        approval_code=approval_code,
        icc=None,
        token_cryptogram=None,
        track2=None,
        original=OriginalElements(
            message_type=_MESSAGE_TYPES.get(original.transaction_type, "0200"),
            stan=original.stan,
            transmitted_at=original.transmitted_at,
            acquirer=original.acquirer,
            forwarder=original.forwarder,
        ),
    )
