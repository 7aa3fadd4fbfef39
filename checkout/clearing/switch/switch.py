"""The switch: one message in, its answers out. Checks, routes, finds duplicates, keeps the log.

No sockets and no commit here: the caller commits what was decided before any answer leaves.
"""

from __future__ import annotations

import time
from datetime import datetime

from checkout.clearing.authorisation.backend import Backend
from checkout.clearing.authorisation.context import (
    Outcome,
    RequestContext,
    forestalled_key,
    message_key,
)
from checkout.clearing.authorisation.follow_up import FollowUps
from checkout.clearing.authorisation.purchase import PurchaseAuthorisation
from checkout.clearing.authorisation.reversal import Reversals
from checkout.clearing.back_office.operations import Operations
from checkout.clearing.hsm.icc_data import IccError
from checkout.clearing.hsm.pin import PinBlockError
from checkout.clearing.iso8583.codec import CodecError, Fields, unpack
from checkout.clearing.iso8583.field_map import answer_fields, question_of, refusal_fields
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
from checkout.clearing.switch.message_log import ReceivedMessage, blanked, logged_message
from checkout.clearing.switch.network_management import NetworkManagement
from checkout.clearing.switch.session import Session

_ADVICES = {
    TransactionType.COMPLETION_ADVICE,
    TransactionType.OFFLINE_ADVICE,
    TransactionType.REFUND,
}
_PURCHASES = {
    TransactionType.PURCHASE,
    TransactionType.PREAUTHORISATION,
    TransactionType.BALANCE,
    TransactionType.TOP_UP,
}
#: Bitmaps and MACs, which every message has of its own.
_OWN_FIELDS = {"p", "1", "64", "128"}


class UnanswerableMessage(Exception):
    """Bytes without a type or a trace number; their connection is to be closed."""


class Switch:
    """Decides messages one after another; used by one thread.

    `delayed` collects answers that an injected fault holds back: milliseconds and bytes. The
    caller empties it after every message.
    """

    def __init__(self, backend: Backend, faults: Faults | None = None) -> None:
        self.delayed: list[tuple[int, bytes]] = []
        self._backend = backend
        self._faults = faults
        self._purchases = PurchaseAuthorisation(backend)
        self._follow_ups = FollowUps(backend, self._purchases)
        self._reversals = Reversals(backend)
        self._management = NetworkManagement(backend)
        self._operations = Operations(backend)

    def receive(
        self,
        message: bytes,
        session: Session,
        now: datetime,
        decoded: DecodedMessage | None = None,
    ) -> tuple[bytes, ...]:
        """The answers to one message, in order; UnanswerableMessage where there can be none.

        `decoded` is this message as another process decoded it, with this `now`. LedgerError and
        DatabaseError are faults: the caller rolls the batch back.
        """
        self._backend.expire_holds(now)
        try:
            fields = unpack(message) if decoded is None else decoded.fields
        except CodecError as error:
            received = ReceivedMessage(message, error.fields, session, now)
            return self._refuse(received, error.response_code, str(error))
        received = ReceivedMessage(message, fields, session, now)
        if fields["t"] == "0810":
            self._management.take_key_answer(fields, session)
            return ()
        if not session.accepts(message, fields):
            return self._refuse(received, "A0", "MAC is missing or wrong")
        if fields["t"] == "0830":
            return self._management.cut_over.take_answer(received)
        try:
            question = question_of(fields, now) if decoded is None else decoded.question
        except CodecError as error:
            received = ReceivedMessage(message, error.fields, session, now)
            return self._refuse(received, error.response_code, str(error))
        if isinstance(question, NetworkMessage):
            return self._manage(received, question)
        refusal = _out_of_order(question, session)
        if refusal is not None:
            return self._refuse(received, "12", refusal)
        if isinstance(question, Operation):
            if session.mac_key is None:
                return self._refuse(received, "A0", "operations need a MAC")
            return self._operate(received, question)
        return self._answer(received, question, decoded)

    def announce(self, session: Session, now: datetime) -> tuple[bytes, ...]:
        """The messages that announce a new business date to a connection."""
        if session.participant is None:
            return ()
        return (self._management.cut_over.announcement(session, now),)

    def sign_off(self, session: Session, now: datetime) -> bytes | None:
        """The message by which the switch signs off; None for a client that never signed on."""
        return self._management.sign_off(session, now)

    # -- payments and what follows them -----------------------------------------------------------

    def _answer(
        self,
        received: ReceivedMessage,
        question: AuthorizationRequest | Reversal,
        decoded: DecodedMessage | None,
    ) -> tuple[bytes, ...]:
        began = time.perf_counter()
        session = received.session
        fault = None if self._faults is None else self._faults.for_question(question)
        if fault is not None and fault.drop == "request":
            return ()
        request = question.request if isinstance(question, Reversal) else question
        key = message_key(
            request.transmitted_at, request.stan, request.acquirer, request.terminal_id
        )
        earlier = self._backend.store.message_by_key(key)
        if isinstance(question, AuthorizationRequest) and _is_repeated_advice(
            received, question, earlier
        ):
            assert earlier is not None and earlier.response is not None
            return (session.seal(_repeated_answer(earlier.response, received.fields)),)
        context = self._backend.request_context(
            request,
            received.now,
            pin_key=session.pin_key,
            proof=None if decoded is None else decoded.proof,
        )
        is_first = earlier is None
        if fault is not None and fault.code is not None:
            outcome = context.refuse(fault.code, f"fault: {fault.name}")
        elif isinstance(question, Reversal):
            outcome = self._reversals.answer(context)
        else:
            outcome = self._decide_once(context, key, is_first=is_first)
        answer = session.seal(answer_fields(received.fields, outcome.response))
        self._backend.store.add_message(
            logged_message(
                received,
                question,
                outcome,
                answer,
                seq=context.seq,
                at_us=context.at_us,
                key=key if is_first and isinstance(question, AuthorizationRequest) else None,
                took_us=round((time.perf_counter() - began) * 1_000_000),
            )
        )
        return (answer,) if fault is None else self._inject(fault, answer)

    def _decide_once(self, context: RequestContext, key: str, *, is_first: bool) -> Outcome:
        """Decide a request, unless it came before or was reversed before it came."""
        kind = context.request.transaction_type
        if not is_first:
            return context.refuse("94", "duplicate")
        if self._backend.store.is_forestalled(forestalled_key(key, context.request)):
            return context.refuse("68", "reversed-before-it-came")
        try:
            if kind in _PURCHASES:
                return self._purchases.answer(context)
            if kind is TransactionType.OFFLINE_ADVICE:
                return self._follow_ups.offline_advice(context)
            return self._follow_ups.answer(context)
        except IccError as error:
            return context.refuse("30", str(error))
        except PinBlockError as error:
            return context.refuse("12", str(error))

    def _inject(self, fault: Fault, answer: bytes) -> tuple[bytes, ...]:
        """What an injected fault leaves of an answer; the books are right all the same."""
        if fault.drop == "answer":
            return ()
        if fault.malformed:
            answer = answer[: len(answer) * 2 // 3]
        if fault.mac:
            answer = answer[:-1] + bytes((answer[-1] ^ 1,))
        answers = (answer, answer) if fault.duplicate else (answer,)
        if not fault.delay_ms:
            return answers
        self.delayed += [(fault.delay_ms, each) for each in answers]
        return ()

    # -- everything else --------------------------------------------------------------------------

    def _manage(self, received: ReceivedMessage, question: NetworkMessage) -> tuple[bytes, ...]:
        answers = self._management.answer(received, question)
        seq = self._backend.store.next_seq()
        self._log(received, question, _plain_answer(answers[0], question.stan), answers[0], seq)
        return answers

    def _operate(self, received: ReceivedMessage, question: Operation) -> tuple[bytes, ...]:
        context = self._backend.context(received.now)
        result = self._operations.answer(question, context)
        answer = received.session.seal(answer_fields(received.fields, result))
        self._log(received, question, _plain_answer(answer, question.stan), answer, context.seq)
        return (answer,)

    def _refuse(self, received: ReceivedMessage, code: str, reason: str) -> tuple[bytes, ...]:
        """Refuse a message that asks nothing, where its type and STAN could be read."""
        refusal = refusal_fields(received.fields, code)
        if refusal is None:
            raise UnanswerableMessage(reason)
        answer = received.session.seal(refusal)
        outcome = PlainAnswer(response_code=code, stan=int(refusal["11"]), content=reason)
        self._log(received, None, outcome, answer, self._backend.store.next_seq())
        return (answer,)

    def _log(
        self,
        received: ReceivedMessage,
        question: NetworkMessage | Operation | None,
        outcome: PlainAnswer,
        answer: bytes,
        seq: int,
    ) -> None:
        self._backend.store.add_message(
            logged_message(received, question, outcome, answer, seq=seq)
        )


def _out_of_order(
    question: AuthorizationRequest | Reversal | Operation, session: Session
) -> str | None:
    """Why a connection may not send this yet; None where it may."""
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


def _is_repeated_advice(
    received: ReceivedMessage, request: AuthorizationRequest, earlier: MessageRow | None
) -> bool:
    """Whether an advice repeats the earlier one field by field; it then gets that one's answer."""
    if earlier is None or earlier.response is None or request.transaction_type not in _ADVICES:
        return False
    repeated = unpack(blanked(received.message, request), masked=True)
    return _content(repeated) == _content(unpack(earlier.request, masked=True))


def _content(fields: Fields) -> Fields:
    """What a repetition has in common with the first: everything but its type and its MAC."""
    return {name: value for name, value in fields.items() if name not in _OWN_FIELDS | {"t"}}


def _repeated_answer(logged: bytes, question: Fields) -> Fields:
    """An answer out of the log; the log masks what it echoes, so that comes from the question."""
    earlier = unpack(logged, masked=True)
    code = PlainAnswer(response_code=earlier["39"], stan=0)
    answer = {name: value for name, value in earlier.items() if name not in _OWN_FIELDS}
    return answer | answer_fields(question, code)


def _plain_answer(answer: bytes, stan: int) -> PlainAnswer:
    """What the log keeps of the answer to a network message or an operation: its code."""
    return PlainAnswer(response_code=unpack(answer).get("39", ""), stan=stan)
