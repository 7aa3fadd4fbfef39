"""Cut-over: how participants learn that the network's business date has moved on (DE70 201, 202).

The network alone moves the date, at 23:00 in Shanghai or when a date is closed before that. Its
answers carry the new date in DE15 from then on. It sends 201 to every participant that is signed
on, and 202 after the answer to that. A participant that was away sends 201 itself once it is back.
"""

from __future__ import annotations

from datetime import date, datetime

from checkout.clearing.authorisation.backend import Backend
from checkout.clearing.iso8583.field_map import fields_of
from checkout.clearing.messages import NetworkFunction, NetworkMessage, PlainAnswer
from checkout.clearing.switch.message_log import ReceivedMessage, logged_message
from checkout.clearing.switch.session import Session
from checkout.database import day_number

_F = NetworkFunction
#: Stored by participant: the date it has cut over to (yyyymmdd).
REACHED = "cut-over/"


class CutOver:
    """Announces the network's date to participants, and answers their 201 and 202."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._stan = 0

    def start(self, session: Session, now: datetime) -> None:
        """Give a participant that signs on for the first time the network's date."""
        if self._reached(session) is None:
            self._reach(session, self._backend.business_date(now))

    def answer_code(self, function: NetworkFunction, session: Session, now: datetime) -> str:
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
        """The 201 that announces the date that holds from now on."""
        return self._send(_F.CUT_OVER_START, session, self._backend.business_date(now), now)

    def take_answer(self, received: ReceivedMessage) -> tuple[bytes, ...]:
        """Take a participant's 0830; returns the 202 where it answers a 201, else nothing."""
        session, fields = received.session, received.fields
        announced = session.announced.pop(int(fields.get("11", "0")), None)
        if announced is None:
            return ()
        message, sent = announced
        code = fields.get("39", "")
        self._backend.store.add_message(
            logged_message(
                ReceivedMessage(sent, {"t": "0820"}, session, received.now),
                message,
                PlainAnswer(response_code=code, stan=message.stan),
                received.message,
                seq=self._backend.store.next_seq(),
            )
        )
        if code != "00" or message.function is not _F.CUT_OVER_START:
            return ()
        assert message.settlement_date is not None
        self._reach(session, message.settlement_date)
        return (self._send(_F.CUT_OVER_END, session, message.settlement_date, received.now),)

    # -- parts ----------------------------------------------------------------------------------

    def _send(self, function: NetworkFunction, session: Session, on: date, now: datetime) -> bytes:
        """Make up a message, and remember it until its answer comes."""
        assert session.participant is not None
        self._stan = self._stan % 999_999 + 1
        message = NetworkMessage(
            function=function,
            stan=self._stan,
            transmitted_at=now,
            participant=session.participant.institution,
            settlement_date=on,
        )
        sent = session.seal(fields_of(message))
        session.announced[message.stan] = (message, sent)
        return sent

    def _reached(self, session: Session) -> int | None:
        assert session.participant is not None
        return self._backend.store.number(REACHED + session.participant.id)

    def _reach(self, session: Session, on: date) -> None:
        assert session.participant is not None
        reached = self._reached(session)
        if reached is None or reached < day_number(on):
            self._backend.store.put_number(REACHED + session.participant.id, day_number(on))
