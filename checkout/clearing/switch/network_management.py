"""Network management: signing on and off, echo, cut-over, and the exchange of session keys."""

from __future__ import annotations

from datetime import datetime

from checkout.clearing.authorisation.backend import Backend
from checkout.clearing.hsm.keystore import KeyUsage, wrap_key
from checkout.clearing.iso8583.codec import Fields
from checkout.clearing.iso8583.field_map import answer_fields, fields_of
from checkout.clearing.messages import (
    NetworkFunction,
    NetworkMessage,
    PlainAnswer,
    SessionKey,
)
from checkout.clearing.switch.cut_over import CutOver
from checkout.clearing.switch.message_log import ReceivedMessage
from checkout.clearing.switch.session import Session

_F = NetworkFunction
_USAGE = {SessionKey.PIN: KeyUsage.PIN_ENCRYPTION, SessionKey.MAC: KeyUsage.MAC}


class NetworkManagement:
    """Answers 0820, and sends session keys in 0800."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._stan = 0
        self.cut_over = CutOver(backend)

    def answer(self, received: ReceivedMessage, message: NetworkMessage) -> tuple[bytes, ...]:
        """The 0830, and after a key-reset request the 0800 with the new key."""
        session, now = received.session, received.now
        code = self._code(message, session, now)
        plain = PlainAnswer(
            response_code=code,
            stan=message.stan,
            session_key=message.session_key,
            settlement_date=self._backend.business_date(now),
        )
        sealed = session.seal(answer_fields(received.fields, plain))
        if code == "00" and message.function is _F.SIGN_OFF:
            session.sign_off()
        if code != "00" or message.function is not _F.KEY_RESET:
            return (sealed,)
        assert message.session_key is not None
        return (sealed, self._offer(message.session_key, session, now))

    def sign_off(self, session: Session, now: datetime) -> bytes | None:
        """The 0820 by which the switch signs off; None for a client that never signed on."""
        if session.participant is None:
            return None
        return session.seal(
            fields_of(
                NetworkMessage(
                    function=_F.SIGN_OFF,
                    stan=self._next_stan(),
                    transmitted_at=now,
                    participant=session.participant.institution,
                )
            )
        )

    def take_key_answer(self, fields: Fields, session: Session) -> None:
        """Take an 0810: the receiver has the key of this STAN, or has refused it."""
        stan = int(fields.get("11", "0"))
        if stan in session.offered and fields.get("39") == "00":
            session.use_offered_key(stan)

    def _code(self, message: NetworkMessage, session: Session, now: datetime) -> str:
        if message.key_block is not None:
            return "12"  # only the switch sends keys
        if message.function is _F.SIGN_ON:
            participant = self._backend.participants.by_institution.get(message.participant)
            if participant not in self._backend.participants.signing_on():
                return "12"
            if session.participant is not None and session.participant is not participant:
                return "12"
            session.participant = participant
            self.cut_over.start(session, now)
            return "00"
        if session.participant is None or message.participant != session.participant.institution:
            return "12"
        if message.function is _F.KEY_RESET and message.session_key is None:
            return "30"
        if message.function in (_F.CUT_OVER_START, _F.CUT_OVER_END):
            return self.cut_over.answer_code(message.function, session, now)
        return "00"

    def _offer(self, kind: SessionKey, session: Session, now: datetime) -> bytes:
        assert session.participant is not None
        stan = self._next_stan()
        key = session.offer(stan, kind, self._backend.random_bytes)
        zone_key = self._backend.keys.zone_key(session.participant.id)
        return session.seal(
            fields_of(
                NetworkMessage(
                    function=_F.KEY_RESET,
                    stan=stan,
                    transmitted_at=now,
                    participant=session.participant.institution,
                    session_key=kind,
                    key_block=wrap_key(zone_key, key, _USAGE[kind]),
                )
            )
        )

    def _next_stan(self) -> int:
        self._stan = self._stan % 999_999 + 1
        return self._stan
