"""Store and forward: what was approved in an issuer's place waits until the issuer hears of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from checkout.clearing.authorisation.stand_in import StoodIn
from checkout.clearing.iso8583.codec import pack, unpack
from checkout.clearing.iso8583.requests import fields_of, question_of
from checkout.clearing.ledger.ledger import Status
from checkout.clearing.messages import AuthorizationRequest
from checkout.clearing.store import schema
from checkout.clearing.store.rows import MessageRow
from checkout.money import mask_account

if TYPE_CHECKING:
    from checkout.clearing.authorisation.context import Backend, Turn
    from checkout.clearing.authorisation.purchase import Authorising

_DOWN = "issuer-down/"


class Forwarding:
    """Knows which issuers don't answer, and what they have yet to be told."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def is_down(self, participant: str) -> bool:
        """Whether an issuer doesn't answer; remembered over restarts."""
        return self._backend.store.number(_DOWN + participant) == 1

    def take_down(self, participant: str) -> None:
        """From now on this issuer doesn't answer."""
        self._backend.store.put_number(_DOWN + participant, 1)

    def stood_in(self, account: str) -> StoodIn:
        """What waits for the issuer to hear about one account."""
        self._backend.store.commit()  # an outage is no time to be fast: count what this turn did
        count, amount = self._backend.store.query(
            "SELECT count(*), coalesce(sum(amount_minor), 0) FROM clearing_forwarding "
            "WHERE account = ? AND state = 'waiting'",
            (account,),
        )[0]
        return StoodIn(count=count, amount_minor=int(amount))

    def keep(self, participant: str, account: str, request: AuthorizationRequest, seq: int) -> None:
        """Keep a request for an issuer; it carries no PIN, which stand-in doesn't take."""
        message = pack(fields_of(replace(request, pin_block=None)))
        row = (seq, participant, account, request.amount_minor, "waiting", message)
        self._backend.store.put(schema.PUT_FORWARDING, str(seq), row)

    def bring_up(self, participant: str, authorising: Authorising, turn: Turn) -> dict[str, int]:
        """The issuer answers again: tell it everything in order; returns how it took it.

        It can't decline any more, only say what was wrong: a counter seen before, a cryptogram
        that doesn't fit. What was reversed in the meantime is passed over.
        """
        store = self._backend.store
        store.put_number(_DOWN + participant, 0)
        told = {"delivered": 0, "disputed": 0, "reversed": 0}
        for seq, account, message in store.query(
            "SELECT seq, account, message FROM clearing_forwarding "
            "WHERE participant = ? AND state = 'waiting' ORDER BY seq",
            (participant,),
        ):
            request = question_of(unpack(bytes(message)), turn.now)
            assert isinstance(request, AuthorizationRequest)
            state = self._tell(seq, request, authorising, turn)
            told[state] += 1
            row = (seq, participant, account, request.amount_minor, state, b"")
            store.put(schema.PUT_FORWARDING, str(seq), row)
        return told

    # -- parts ----------------------------------------------------------------------------------

    def _tell(
        self, seq: int, request: AuthorizationRequest, authorising: Authorising, turn: Turn
    ) -> str:
        entry = self._backend.store.entry(seq)
        if entry is None or self._backend.store.status(entry) is Status.VOIDED:
            return "reversed"
        response_code, reason = authorising.hear_advice(request, turn)
        number = self._backend.store.next_seq()
        self._backend.store.add_message(
            MessageRow(
                seq=number,
                at_us=turn.at_us,
                took_us=0,
                peer=entry.holder,
                message_type="0220",
                kind="stand-in-advice",
                key=None,
                account=mask_account(request.account),
                amount_minor=request.amount_minor,
                currency=request.currency,
                response_code=response_code,
                reason=reason,
                approval_code=None,
                rrn=request.rrn,
                stan=request.stan,
                terminal=request.terminal_id,
                merchant=request.merchant_id,
                request=b"",
                response=None,
            )
        )
        return "delivered" if response_code == "00" else "disputed"
