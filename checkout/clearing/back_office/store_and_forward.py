"""Store and forward: an issuer that is up again is sent what was approved in its place (0220)."""

from __future__ import annotations

from checkout.clearing.authorisation.backend import Backend
from checkout.clearing.authorisation.context import MessageContext, RequestContext
from checkout.clearing.hsm.icc_data import IccError
from checkout.clearing.iso8583.codec import unpack
from checkout.clearing.iso8583.field_map import question_of
from checkout.clearing.ledger.ledger import Status
from checkout.clearing.messages import AuthorizationRequest
from checkout.clearing.store import schema
from checkout.clearing.store.rows import MessageRow
from checkout.clearing.tokens.token_service import TokenRefusal
from checkout.money import mask_account


class StoreAndForward:
    """Sends each issuer the advices that wait for it, once it is up."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def bring_up(self, participant: str, context: MessageContext) -> dict[str, int]:
        """Mark an issuer as up and send it every advice in order; returns the count by end state.

        The issuer can't decline any more, only report what was wrong: a counter seen before, a
        cryptogram that doesn't fit. An approval that was reversed meanwhile is passed over.
        """
        store = self._backend.store
        self._backend.availability.set_down(participant, down=False)
        counts = {"delivered": 0, "disputed": 0, "reversed": 0}
        for seq, account, message in store.query(
            "SELECT seq, account, message FROM clearing_forwarding "
            "WHERE participant = ? AND state = 'waiting' ORDER BY seq",
            (participant,),
        ):
            request = question_of(unpack(bytes(message)), context.now)
            assert isinstance(request, AuthorizationRequest)
            state = self._send_advice(seq, request, context)
            counts[state] += 1
            row = (seq, participant, account, request.amount_minor, state, b"")
            store.put(schema.PUT_FORWARDING, str(seq), row)
        return counts

    def _send_advice(
        self, entry_id: int, request: AuthorizationRequest, context: MessageContext
    ) -> str:
        """Have the issuer check one approval, and log it; returns the state that it ends in."""
        store = self._backend.store
        entry = store.entry(entry_id)
        if entry is None or store.status(entry) is Status.VOIDED:
            return "reversed"
        response_code, reason = self._issuer_answer(request, context)
        store.add_message(
            MessageRow(
                seq=store.next_seq(),
                at_us=context.at_us,
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

    def _issuer_answer(
        self, request: AuthorizationRequest, context: MessageContext
    ) -> tuple[str, str]:
        """Response code of an advice, and the reason where that is not 00."""
        advised = RequestContext(
            seq=context.seq,
            now=context.now,
            at_us=context.at_us,
            business_date=context.business_date,
            request=request,
        )
        routed = self._backend.routing.route(advised)
        if isinstance(routed, TokenRefusal):
            return routed.response_code, routed.reason
        if request.icc is None:
            return "00", ""
        try:
            decision = self._backend.account_holders.identify(routed).decision
        except IccError as error:
            return "30", str(error)
        return decision.response_code, decision.reason
