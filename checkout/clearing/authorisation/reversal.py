"""Reversals: undo a message once, whatever became of it and however often that is asked."""

from __future__ import annotations

from checkout.clearing.authorisation.backend import Backend
from checkout.clearing.authorisation.context import (
    Outcome,
    RequestContext,
    forestalled_key,
    message_key,
)
from checkout.clearing.authorisation.original import (
    REINSTATED,
    RETURNS,
    TOP_UP_RETURN,
    OriginalSales,
    Sale,
)
from checkout.clearing.authorisation.sale_life import (
    ENDED,
    Effect,
    FollowUp,
    SaleState,
    effect,
)
from checkout.clearing.authorisation.top_up import spent_since
from checkout.clearing.ledger.ledger import Leg, Status, Transfer, reversed_legs
from checkout.clearing.messages import (
    AuthorizationResponse,
    TransactionType,
)
from checkout.clearing.store.rows import EntryRow, MessageRow

_T = TransactionType
_RELEASING = {_T.VOID, _T.PREAUTHORISATION_VOID}
_COMPLETING = {_T.COMPLETION, _T.COMPLETION_ADVICE}


class Reversals:
    """Answers 0420; a repeated reversal gets the same answer and moves nothing."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._sales = OriginalSales(backend)

    def answer(self, context: RequestContext) -> Outcome:
        """00 where the original no longer stands, 25 where it never arrived, 12 where it stays.

        A reversal that names another card, merchant or currency than its original is answered 25,
        one of another amount 64.
        """
        request = context.request
        original = request.original
        assert original is not None  # a reversal without DE90 is refused as it is decoded
        key = message_key(
            original.transmitted_at, original.stan, original.acquirer, request.terminal_id
        )
        message = self._backend.store.message_by_key(key)
        if message is None:
            # The original may still be on its way. It is then refused when it arrives.
            self._backend.store.forestall(forestalled_key(key, request), context.at_us)
            return context.refuse("25", "original-not-here-yet")
        if not self._sales.is_own(message, request):
            return context.refuse("12", "original-of-another-participant")
        if differing := self._sales.difference(message, request, original):
            return context.refuse("25", f"original-differs-in-{differing}")
        if message.kind != request.transaction_type:
            return context.refuse("25", "original-differs-in-DE3")
        if message.amount_minor != request.amount_minor:
            return context.refuse("64", "a-reversal-takes-the-whole")
        if message.response_code != "00":
            return _undone(context, "original-was-declined")
        return self._undo(context, message)

    def _undo(self, context: RequestContext, message: MessageRow) -> Outcome:
        entry = self._backend.store.entry(message.seq)
        if entry is None:
            return _undone(context, "original-moved-nothing")
        if message.kind in _RELEASING and entry.kind != TOP_UP_RETURN:
            return self._reinstate(context, entry)
        latest = self._sales.latest(entry)
        sale = self._sales.sale(latest)
        done = effect(sale.state, FollowUp.REVERSAL)
        is_completed = self._sales.sale(entry).is_hold and not sale.is_hold
        if done is Effect.REFUSE or (is_completed and sale.state not in ENDED):
            return context.refuse("12", f"original-{sale.state}")
        if done is Effect.NOTHING:
            return self._note_reversed(context, sale)
        if spent_since(self._backend, sale):
            return context.refuse("12", "top-up-is-spent")
        self._recount(sale)
        if sale.state is SaleState.POSTED:
            self._enter_contra(context, sale)
            return _undone(context)
        self._backend.resolve(context, latest, Status.VOIDED)
        if entry.kind in _COMPLETING and entry.original is not None:
            self._enter_anew(context, entry.original)  # the money is held as before
        return _undone(context)

    def _note_reversed(self, context: RequestContext, sale: Sale) -> Outcome:
        """Note that a sale which was taken back is reversed too: nothing may reinstate it now."""
        if sale.state in (SaleState.VOIDED, SaleState.RELEASED):
            self._copy(context, sale.entry, (), "reversal")
        return _undone(context, f"{sale.state}-already")

    def _enter_contra(self, context: RequestContext, sale: Sale) -> None:
        """Undo what has been posted by an entry in the other direction."""
        kind = "refund-reversal" if sale.entry.kind in RETURNS else "reversal"
        legs = reversed_legs(sale.transfers, "reversed")
        self._copy(context, sale.entry, legs, kind)

    def _reinstate(self, context: RequestContext, void: EntryRow) -> Outcome:
        """Undo a void: enter the sale that it took back anew."""
        assert void.original is not None
        taken_back = self._backend.store.entry(void.original)
        assert taken_back is not None
        state = self._sales.sale(taken_back).state
        if effect(state, FollowUp.VOID_REVERSAL) is not Effect.TAKE:
            return _undone(context, f"sale-{state}")
        self._enter_anew(context, taken_back.id)
        return _undone(context)

    def _enter_anew(self, context: RequestContext, entry_id: int) -> None:
        entry = self._backend.store.entry(entry_id)
        assert entry is not None
        if entry.expires_us is not None and context.at_us >= entry.expires_us:
            return  # a hold that has run out meanwhile stays so
        transfers = self._backend.store.transfers(entry.id)
        copy = self._copy(context, entry, _legs_of(transfers), REINSTATED)
        sale = self._sales.sale(copy)
        self._sales.count(sale, context.business_date, entry.billing_minor)

    def _copy(
        self, context: RequestContext, entry: EntryRow, legs: tuple[Leg, ...], kind: str
    ) -> EntryRow:
        return self._backend.enter(
            context,
            legs,
            payer=entry.payer,
            holder=entry.holder,
            billing_minor=entry.billing_minor,
            billing_currency=entry.billing_currency,
            house=self._sales.sale(entry).house,
            kind=kind,
            original=entry.id,
            expires_us=entry.expires_us,
            amount_minor=entry.amount_minor,
        )

    def _recount(self, sale: Sale) -> None:
        """Restore to the payer's limits what a sale used, or take away what a refund restored."""
        refund = sale.entry.kind in RETURNS
        self._sales.count(sale, sale.sold_on, sale.entry.billing_minor * (1 if refund else -1))


def _legs_of(transfers: tuple[Transfer, ...]) -> tuple[Leg, ...]:
    return tuple(
        Leg(
            debit=transfer.debit,
            credit=transfer.credit,
            amount_minor=transfer.amount_minor,
            currency=transfer.currency,
            purpose=transfer.purpose,
        )
        for transfer in transfers
    )


def _undone(context: RequestContext, reason: str = "") -> Outcome:
    return Outcome(
        response=AuthorizationResponse(
            response_code="00",
            stan=context.request.stan,
            rrn=context.request.rrn,
            settlement_date=context.business_date,
        ),
        reason=reason,
    )
