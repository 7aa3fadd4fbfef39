"""The switch: one message in, its answer out. Checks, routes, finds duplicates, keeps the log.

Whoever calls commits what was decided before any answer leaves. No sockets here.
"""

from __future__ import annotations

import time
from datetime import datetime

from checkout.clearing.authorisation.context import Backend, Outcome, Turn, message_key, refuse
from checkout.clearing.authorisation.follow_up import Following
from checkout.clearing.authorisation.purchase import Authorising
from checkout.clearing.authorisation.reversal import Reversing
from checkout.clearing.back_office.operations import Operations
from checkout.clearing.hsm.icc_data import IccError
from checkout.clearing.hsm.pin import PinBlockError
from checkout.clearing.iso8583.codec import CodecError, Fields, unpack
from checkout.clearing.iso8583.requests import question_of
from checkout.clearing.iso8583.responses import answer_fields, refusal_fields
from checkout.clearing.messages import (
    AuthorizationRequest,
    NetworkMessage,
    Operation,
    PlainAnswer,
    Reversal,
    TransactionType,
)
from checkout.clearing.pipeline.decode_process import DecodedMessage
from checkout.clearing.store.rows import MessageRow
from checkout.clearing.switch.fault_injection import Fault, Faults
from checkout.clearing.switch.message_log import logged_message
from checkout.clearing.switch.network_management import Management
from checkout.clearing.switch.session import Session
from checkout.database import micros

_ADVICES = {
    TransactionType.COMPLETION_ADVICE,
    TransactionType.OFFLINE_ADVICE,
    TransactionType.REFUND,
}
_NOT_REPEATED = {"p", "1", "64", "128"}
_FRESH = {
    TransactionType.PURCHASE,
    TransactionType.PREAUTHORISATION,
    TransactionType.BALANCE,
    TransactionType.TOP_UP,
}


class Garbage(Exception):
    """Bytes that can't even be answered; the connection is to be closed."""


class Switch:
    """Decides messages one after another; used by one thread.

    `delayed` collects answers that an injected fault holds back: milliseconds and bytes. The
    caller empties it after every message.
    """

    def __init__(self, backend: Backend, faults: Faults | None = None) -> None:
        self.delayed: list[tuple[int, bytes]] = []
        self._backend = backend
        self._faults = faults
        authorising = Authorising(backend)
        self._authorising = authorising
        self._following = Following(backend, authorising)
        self._reversing = Reversing(backend)
        self._management = Management(backend)
        self._operations = Operations(backend, authorising)

    def receive(
        self, message: bytes, session: Session, now: datetime, decoded: DecodedMessage | None = None
    ) -> tuple[bytes, ...]:
        """The answers to one message, in order; Garbage where nobody could answer it.

        `decoded` is this message as another process decoded it, with this `now`. LedgerError and
        DatabaseError are faults: the caller rolls the batch back.
        """
        try:
            fields = unpack(message) if decoded is None else decoded.fields
        except CodecError as error:
            return self._refused(message, error.fields, error.response_code, error, session, now)
        if fields["t"] == "0810":
            self._management.key_taken(fields, session)
            return ()
        if not session.accepts(message, fields):
            return self._refused(message, fields, "A0", "MAC is missing or wrong", session, now)
        if fields["t"] == "0830":
            return self._management.cutting_over.heard(message, fields, session, now)
        try:
            question = question_of(fields, now) if decoded is None else decoded.question
        except CodecError as error:
            return self._refused(message, error.fields, error.response_code, error, session, now)
        if isinstance(question, NetworkMessage):
            return self._managed(message, fields, question, session, now)
        refusal = _out_of_order(question, session)
        if refusal is not None:
            return self._refused(message, fields, "12", refusal, session, now)
        if isinstance(question, Operation):
            if session.mac_key is None:
                why = "operations need a MAC"
                return self._refused(message, fields, "A0", why, session, now)
            return self._operated(message, fields, question, session, now)
        return self._answered(message, fields, question, session, now, decoded)

    def announce(self, session: Session, now: datetime) -> tuple[bytes, ...]:
        """What a connection is told when the network's business date has moved on."""
        if session.participant is None:
            return ()
        return (self._management.cutting_over.announcement(session, now),)

    def farewell(self, session: Session, now: datetime) -> bytes | None:
        """What tells a signed-on client that nothing new is taken here; None for others."""
        return self._management.farewell(session, now)

    def _answered(
        self,
        message: bytes,
        fields: Fields,
        question: AuthorizationRequest | Reversal,
        session: Session,
        now: datetime,
        decoded: DecodedMessage | None,
    ) -> tuple[bytes, ...]:
        began = time.perf_counter()
        fault = None if self._faults is None else self._faults.for_question(question)
        if fault is not None and fault.drop == "request":
            return ()
        request = question if isinstance(question, AuthorizationRequest) else question.request
        key = message_key(
            request.transmitted_at, request.stan, request.acquirer, request.terminal_id
        )
        earlier = self._backend.store.message_by_key(key)
        if isinstance(question, AuthorizationRequest) and _said_before(question, earlier):
            assert earlier is not None and earlier.response is not None
            return (session.seal(_said_again(earlier.response, fields)),)
        turn = self._backend.turn(now, session.pin_key, None if decoded is None else decoded.proof)
        if fault is not None and fault.code is not None:
            outcome = refuse(request, fault.code, f"fault: {fault.name}")
        elif isinstance(question, Reversal):
            outcome = self._reversing.answer(question, turn)
        elif earlier is not None:
            outcome = refuse(request, "94", "duplicate")
        elif self._backend.store.is_forestalled(f"{key}|{request.forwarder}"):
            outcome = refuse(request, "68", "reversed-before-it-came")
        else:
            outcome = self._decide(question, turn)
        answer = session.seal(answer_fields(fields, outcome.response))
        row = logged_message(
            turn.seq,
            turn.at_us,
            session.peer,
            fields["t"],
            question,
            None if isinstance(question, Reversal) or earlier is not None else key,
            outcome,
            message,
            answer,
            round((time.perf_counter() - began) * 1_000_000),
        )
        self._backend.store.add_message(row)
        return (answer,) if fault is None else self._spoilt(answer, fault)

    def _spoilt(self, answer: bytes, fault: Fault) -> tuple[bytes, ...]:
        """What an injected fault leaves of an answer; the books are right all the same."""
        if fault.drop == "answer":
            return ()
        if fault.malformed:
            answer = answer[: len(answer) * 2 // 3]
        if fault.mac:
            answer = answer[:-1] + bytes((answer[-1] ^ 1,))
        sent = (answer, answer) if fault.duplicate else (answer,)
        if not fault.delay_ms:
            return sent
        self.delayed += [(fault.delay_ms, one) for one in sent]
        return ()

    def _decide(self, request: AuthorizationRequest, turn: Turn) -> Outcome:
        try:
            if request.transaction_type in _FRESH:
                return self._authorising.answer(request, turn)
            if request.transaction_type is TransactionType.OFFLINE_ADVICE:
                return self._following.offline(request, turn)
            return self._following.answer(request, turn)
        except IccError as error:
            return refuse(request, "30", str(error))
        except PinBlockError as error:
            return refuse(request, "12", str(error))

    def _managed(
        self,
        message: bytes,
        fields: Fields,
        question: NetworkMessage,
        session: Session,
        now: datetime,
    ) -> tuple[bytes, ...]:
        answers = self._management.answer(question, fields, session, now)
        self._log_plain(message, fields, question, answers[0], session, now)
        return answers

    def _operated(
        self,
        message: bytes,
        fields: Fields,
        question: Operation,
        session: Session,
        now: datetime,
    ) -> tuple[bytes, ...]:
        turn = self._backend.turn(now)
        answer = self._operations.answer(question, turn)
        sealed = session.seal(answer_fields(fields, answer))
        self._log_plain(message, fields, question, sealed, session, now, turn.seq)
        return (sealed,)

    def _refused(
        self,
        message: bytes,
        fields: Fields,
        code: str,
        why: object,
        session: Session,
        now: datetime,
    ) -> tuple[bytes, ...]:
        """A message that is no question: answered where type and STAN could be read."""
        refusal = refusal_fields(fields, code)
        if refusal is None:
            raise Garbage(str(why))
        answer = session.seal(refusal)
        outcome = PlainAnswer(response_code=code, stan=int(refusal["11"]), content=str(why))
        row = logged_message(
            self._backend.store.next_seq(),
            micros(now),
            session.peer,
            fields["t"],
            None,
            None,
            outcome,
            message,
            answer,
        )
        self._backend.store.add_message(row)
        return (answer,)

    def _log_plain(
        self,
        message: bytes,
        fields: Fields,
        question: NetworkMessage | Operation,
        answer: bytes,
        session: Session,
        now: datetime,
        seq: int | None = None,
    ) -> None:
        code = unpack(answer).get("39", "")
        row = logged_message(
            self._backend.store.next_seq() if seq is None else seq,
            micros(now),
            session.peer,
            fields["t"],
            question,
            None,
            PlainAnswer(response_code=code, stan=question.stan),
            message,
            answer,
        )
        self._backend.store.add_message(row)


def _out_of_order(
    question: AuthorizationRequest | Reversal | Operation, session: Session
) -> str | None:
    """Why a connection may not say this yet; None where it may."""
    if session.participant is None:
        return "not signed on"
    if isinstance(question, Operation):
        sender = question.participant
    elif isinstance(question, Reversal):
        sender = question.request.forwarder
    else:
        sender = question.forwarder
    if sender != session.participant.institution:
        return "DE33 is not who signed on"
    return None


def _said_before(request: AuthorizationRequest, earlier: MessageRow | None) -> bool:
    """Whether this is an advice again: it gets the answer it had, where that was an answer."""
    return (
        earlier is not None
        and earlier.response is not None
        and request.transaction_type in _ADVICES
        and earlier.kind == request.transaction_type
        and earlier.amount_minor == request.amount_minor
    )


def _said_again(logged: bytes, question: Fields) -> Fields:
    """An answer out of the log, with what it repeats from the question put back in."""
    earlier = unpack(logged, masked=True)
    code = PlainAnswer(response_code=earlier["39"], stan=0)
    again = {name: held for name, held in earlier.items() if name not in _NOT_REPEATED}
    return again | answer_fields(question, code)
