"""Network management: signing on and off, echo, cut-over, and the exchange of session keys."""

from __future__ import annotations

from datetime import datetime

from checkout.clearing.authorisation.context import Backend
from checkout.clearing.hsm.keystore import KeyUsage, wrap_key
from checkout.clearing.iso8583.codec import Fields
from checkout.clearing.iso8583.requests import fields_of
from checkout.clearing.iso8583.responses import answer_fields
from checkout.clearing.messages import (
    NetworkFunction,
    NetworkMessage,
    PlainAnswer,
    SessionKey,
)
from checkout.clearing.switch.cut_over import CuttingOver
from checkout.clearing.switch.session import Session

_F = NetworkFunction
_USAGE = {SessionKey.PIN: KeyUsage.PIN_ENCRYPTION, SessionKey.MAC: KeyUsage.MAC}


class Management:
    """Answers 0820, hands session keys out in 0800, and tells of `cutting_over`."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._stan = 0
        self.cutting_over = CuttingOver(backend)

    def answer(
        self, message: NetworkMessage, fields: Fields, session: Session, now: datetime
    ) -> tuple[bytes, ...]:
        """The 0830, and after a key-reset request the 0800 with the new key."""
        code = self._code(message, session, now)
        plain = PlainAnswer(
            response_code=code,
            stan=message.stan,
            session_key=message.session_key,
            settlement_date=self._backend.business_date(now),
        )
        sealed = session.seal(answer_fields(fields, plain))
        if code == "00" and message.function is _F.SIGN_OFF:
            session.sign_off()
        if code != "00" or message.function is not _F.KEY_RESET:
            return (sealed,)
        assert message.session_key is not None
        return (sealed, self._offer(message.session_key, session, now))

    def farewell(self, session: Session, now: datetime) -> bytes | None:
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

    def key_taken(self, fields: Fields, session: Session) -> None:
        """0810: the receiver has the key that was sent under this STAN, or says why not."""
        stan = int(fields.get("11", "0"))
        if stan in session.offered and fields.get("39") == "00":
            session.take(stan)

    def _code(self, message: NetworkMessage, session: Session, now: datetime) -> str:
        if message.key_block is not None:
            return "12"  # keys come from the switch
        if message.function is _F.SIGN_ON:
            found = self._backend.participants.by_institution.get(message.participant)
            if found is None or found not in self._backend.participants.signing_on():
                return "12"
            if session.participant is not None and session.participant is not found:
                return "12"
            session.participant = found
            self.cutting_over.signed_on(session, now)
            return "00"
        if session.participant is None or (message.participant != session.participant.institution):
            return "12"
        if message.function is _F.KEY_RESET and message.session_key is None:
            return "30"
        if message.function in (_F.CUT_OVER_START, _F.CUT_OVER_END):
            return self.cutting_over.asked(message.function, session, now)
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
