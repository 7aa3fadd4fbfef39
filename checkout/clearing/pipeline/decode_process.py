"""The process that reads a busy switch's messages and checks their cryptograms ahead of it.

Both are functions of the message and the issuers' keys alone, so that nothing depends on them: what
comes too late or not at all the switch works out itself. Started by `ahead.py`.
"""

from __future__ import annotations

import pickle
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields as fields_of_class
from datetime import datetime
from operator import attrgetter
from pathlib import Path
from typing import Any

from checkout.clearing.hsm.cryptogram import ChipProof, CryptogramVerdict, chip_proof
from checkout.clearing.hsm.icc_data import CardholderVerification, IccError
from checkout.clearing.hsm.keystore import KeyStore, KeyStoreError
from checkout.clearing.iso8583.codec import CodecError, Fields, unpack
from checkout.clearing.iso8583.requests import question_of
from checkout.clearing.messages import AuthorizationRequest, EntryMode, Initiation, TransactionType
from checkout.clearing.scheme.participants import Scheme
from checkout.clearing.store.worker_process import hear, run_companion, tell
from checkout.values import build

#: Messages whose reading is told in one piece.
PIECE = 4
#: Scheme of the range that a prefix names, for ranges whose cryptograms can be verified.
Schemes = Mapping[str, Scheme]
#: Fields, a question's values and those of its proof, plain enough to be passed on quickly.
Read = tuple[Fields, list[Any], tuple[Any, ...] | None]

_QUESTION = tuple(one.name for one in fields_of_class(AuthorizationRequest))
_ENUMERATED: Mapping[str, Mapping[str, Any]] = {
    "transaction_type": {one.value: one for one in TransactionType},
    "entry_mode": {one.value: one for one in EntryMode},
    "initiation": {one.value: one for one in Initiation},
}
_values = attrgetter(*_QUESTION)
_PLACES = tuple((_QUESTION.index(name), members) for name, members in _ENUMERATED.items())
_VERDICT = tuple(one.name for one in fields_of_class(CryptogramVerdict) if one.name != "answer")
_verdict_values = attrgetter(*_VERDICT)
_CARDHOLDERS = {one.value: one for one in CardholderVerification}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadAhead:
    """A message as it was read ahead: its fields, its question, and its proof as plain values."""

    fields: Fields
    question: AuthorizationRequest
    proof: tuple[Any, ...] | None


def read(message: bytes, now: datetime, schemes: Schemes, keys: KeyStore) -> Read | None:
    """What a message says, and proves where it has DE55; None for any that is out of the ordinary.

    `now` is the moment of the turn, aware and in UTC: it gives DE7 its year.
    """
    try:
        fields = unpack(message)
        question = question_of(fields, now)
        if not isinstance(question, AuthorizationRequest) or question.original is not None:
            return None
        proof = None
        scheme = schemes.get(question.account[:8]) or schemes.get(question.account[:6])
        if question.icc is not None and scheme is not None:
            key = keys.card_key(question.account, question.pan_sequence)
            proof = _plain_proof(chip_proof(question, scheme, key))
    except (CodecError, IccError, KeyStoreError):
        return None
    values = list(_values(question))
    for place, _ in _PLACES:  # members of an enumeration are slow to pass on
        values[place] = values[place].value
    return fields, values, proof


def read_ahead(read: Read) -> ReadAhead:
    """The other way round, at the switch."""
    fields, values, proof = read
    for place, members in _PLACES:
        values[place] = members[values[place]]
    return ReadAhead(fields=fields, question=build(AuthorizationRequest, values), proof=proof)


def proof_of(values: tuple[Any, ...], again: Callable[[], ChipProof]) -> ChipProof:
    """A proof that was worked out ahead; `again` works it out for what was not foreseen.

    Keys stay where they are: of the answers to the card only the one to an approval came along.
    """
    approved = values[-2]

    def answer(response_code: str) -> bytes:
        if response_code == "00":
            return bytes(approved)
        return again().verdict.issuer_authentication(response_code)

    verdict = build(CryptogramVerdict, (*values[:-2], answer))
    return ChipProof(verdict=verdict, cardholder=_CARDHOLDERS[values[-1]])


def _plain_proof(proof: ChipProof) -> tuple[Any, ...]:
    verdict = proof.verdict
    approved = verdict.issuer_authentication("00")
    return (*_verdict_values(verdict), approved, proof.cardholder.value)


def serve(line: socket.socket) -> None:
    """Answer the messages of each request in pieces, in their order."""
    schemes: Schemes = pickle.loads(hear(line))  # noqa: S301 - the parent's own
    keys = KeyStore(Path(sys.argv[1]))
    tell(line, b"")
    while True:
        now, messages = pickle.loads(hear(line))  # noqa: S301 - the parent's own
        for at in range(0, len(messages), PIECE):
            some = [read(one, now, schemes, keys) for one in messages[at : at + PIECE]]
            tell(line, pickle.dumps(some, pickle.HIGHEST_PROTOCOL))


if __name__ == "__main__":
    run_companion(serve)
