"""Cut-over: how participants hear that the network's business date has moved on (DE70 201, 202).

The network moves it, at 23:00 in Shanghai or when a date is closed before that, and it alone: what
it answers from then on carries the new date in DE15. It says so with 201 to everyone signed on, and
with 202 once that was heard. A participant that was away asks with 201 itself, when it is back.
"""

from __future__ import annotations

from datetime import date, datetime

from checkout.clearing.authorisation.context import Backend
from checkout.clearing.iso8583.codec import Fields
from checkout.clearing.iso8583.requests import fields_of
from checkout.clearing.messages import NetworkFunction, NetworkMessage, PlainAnswer
from checkout.clearing.switch.message_log import logged_message
from checkout.clearing.switch.session import Session
from checkout.database import day_number, micros

_F = NetworkFunction
#: Remembered by participant: the date it has cut over to (yyyymmdd).
REACHED = "cut-over/"


class CuttingOver:
    """Tells participants of the network's date, and answers what they ask about it."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._stan = 0

    def signed_on(self, session: Session, now: datetime) -> None:
        """Whoever comes for the first time begins with the network's date."""
        if self._reached(session) is None:
            self._reach(session, self._backend.business_date(now))

    def asked(self, function: NetworkFunction, session: Session, now: datetime) -> str:
        """DE39 for a participant's own 201 or 202: 12 where it is not due.

        201 is due while the network has moved on and the participant has not, 202 after a 201.
        """
        if function is _F.CUT_OVER_START:
            current, reached = self._backend.business_date(now), self._reached(session)
            if reached is not None and reached >= day_number(current):
                return "12"
            self._reach(session, current)
            session.cutting_over = True
            return "00"
        if not session.cutting_over:
            return "12"
        session.cutting_over = False
        return "00"

    def announcement(self, session: Session, now: datetime) -> bytes:
        """The 201 that tells a connection of the date that holds from now on."""
        return self._say(_F.CUT_OVER_START, session, self._backend.business_date(now), now)

    def heard(
        self, message: bytes, fields: Fields, session: Session, now: datetime
    ) -> tuple[bytes, ...]:
        """A participant's 0830: after that to 201 comes the 202; others answer nothing."""
        said = session.announced.pop(int(fields.get("11", "0")), None)
        if said is None:
            return ()
        told, sent = said
        code = fields.get("39", "")
        self._backend.store.add_message(
            logged_message(
                self._backend.store.next_seq(),
                micros(now),
                session.peer,
                "0820",
                told,
                None,
                PlainAnswer(response_code=code, stan=told.stan),
                sent,
                message,
            )
        )
        if code != "00" or told.function is not _F.CUT_OVER_START:
            return ()
        assert told.settlement_date is not None
        self._reach(session, told.settlement_date)
        return (self._say(_F.CUT_OVER_END, session, told.settlement_date, now),)

    # -- parts ----------------------------------------------------------------------------------

    def _say(self, function: NetworkFunction, session: Session, on: date, now: datetime) -> bytes:
        assert session.participant is not None
        self._stan = self._stan % 999_999 + 1
        told = NetworkMessage(
            function=function,
            stan=self._stan,
            transmitted_at=now,
            participant=session.participant.institution,
            settlement_date=on,
        )
        sent = session.seal(fields_of(told))
        session.announced[told.stan] = (told, sent)
        return sent

    def _reached(self, session: Session) -> int | None:
        assert session.participant is not None
        return self._backend.store.number(REACHED + session.participant.id)

    def _reach(self, session: Session, on: date) -> None:
        assert session.participant is not None
        reached = self._reached(session)
        if reached is None or reached < day_number(on):
            self._backend.store.put_number(REACHED + session.participant.id, day_number(on))
