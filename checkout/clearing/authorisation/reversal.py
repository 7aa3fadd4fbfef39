"""Reversals: undo a message whatever became of it, once, however often it is asked."""

from __future__ import annotations

from checkout.clearing.authorisation.context import Backend, Outcome, Turn, message_key, refuse
from checkout.clearing.authorisation.original import (
    REINSTATED,
    RETURNS,
    TOP_UP_RETURN,
    History,
    Sale,
)
from checkout.clearing.authorisation.top_up import spent_since
from checkout.clearing.ledger.ledger import Leg, Status, Transfer, reversed_legs
from checkout.clearing.messages import (
    AuthorizationRequest,
    AuthorizationResponse,
    Reversal,
    TransactionType,
)
from checkout.clearing.store.rows import EntryRow, MessageRow

_T = TransactionType
_RELEASING = {_T.VOID, _T.PREAUTHORISATION_VOID}
_COMPLETING = {_T.COMPLETION, _T.COMPLETION_ADVICE}


class Reversing:
    """Answers 0420; the same reversal again gets the same answer and moves nothing."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._history = History(backend)

    def answer(self, reversal: Reversal, turn: Turn) -> Outcome:
        """00 where the original no longer stands, 25 where it never arrived, 12 where it must."""
        request = reversal.request
        original = request.original
        assert original is not None  # fieldmap requires DE90
        key = message_key(
            original.transmitted_at, original.stan, original.acquirer, request.terminal_id
        )
        message = self._backend.store.message_by_key(key)
        if message is None:
            # Should the original still be on its way, it must not move money any more.
            self._backend.store.forestall(f"{key}|{request.forwarder}", turn.at_us)
            return refuse(request, "25", "original-not-here-yet")
        if not self._history.is_own(message, request):
            return refuse(request, "12", "original-of-another-participant")
        if message.response_code != "00":
            return _undone(request, turn, "original-was-declined")
        return self._undo(request, message, turn)

    def _undo(self, request: AuthorizationRequest, message: MessageRow, turn: Turn) -> Outcome:
        entry = self._backend.store.entry(message.seq)
        if entry is None:
            return _undone(request, turn, "original-moved-nothing")
        if message.kind in _RELEASING and entry.kind != TOP_UP_RETURN:
            return self._reinstate(request, entry, turn)
        latest = self._history.latest(entry)
        if latest.id != entry.id and latest.kind != REINSTATED:
            return refuse(request, "12", "original-completed")
        sale = self._history.sale(latest)
        if sale.status in (Status.VOIDED, Status.EXPIRED):
            return _undone(request, turn, "reversed-already")
        if sale.refunded_minor or sale.disputed_minor:
            return refuse(request, "12", "original-refunded-or-disputed")
        if spent_since(self._backend, sale):
            return refuse(request, "12", "top-up-is-spent")
        self._recount(sale)
        if sale.status is not Status.PENDING:
            self._contra(request, sale, turn)
            return _undone(request, turn)
        self._backend.resolve(turn, latest, Status.VOIDED)
        if entry.kind in _COMPLETING and entry.original is not None:
            self._put_again(request, entry.original, turn)  # the money is held as before
        return _undone(request, turn)

    def _contra(self, request: AuthorizationRequest, sale: Sale, turn: Turn) -> None:
        """What has been posted is undone by an entry the other way round."""
        kind = "refund-reversal" if sale.entry.kind in RETURNS else "reversal"
        legs = reversed_legs(sale.transfers, "reversed")
        self._copy(request, sale.entry, legs, kind, turn)

    def _reinstate(self, request: AuthorizationRequest, void: EntryRow, turn: Turn) -> Outcome:
        """The void itself is undone: what it took back stands again, as a new entry."""
        assert void.original is not None
        followers = self._backend.store.followers(void.original)
        if any(one.kind == REINSTATED for one in followers):
            return _undone(request, turn, "reversed-already")
        self._put_again(request, void.original, turn)
        return _undone(request, turn)

    def _put_again(self, request: AuthorizationRequest, entry_id: int, turn: Turn) -> None:
        entry = self._backend.store.entry(entry_id)
        assert entry is not None
        transfers = self._backend.store.transfers(entry.id)
        again = self._copy(request, entry, _again(transfers), REINSTATED, turn)
        sale = self._history.sale(again)
        self._history.count(sale, turn.business_date, entry.billing_minor)

    def _copy(
        self,
        request: AuthorizationRequest,
        entry: EntryRow,
        legs: tuple[Leg, ...],
        kind: str,
        turn: Turn,
    ) -> EntryRow:
        return self._backend.book(
            turn,
            request,
            legs,
            payer=entry.payer,
            holder=entry.holder,
            billing_minor=entry.billing_minor,
            billing_currency=entry.billing_currency,
            house=self._history.sale(entry).house,
            kind=kind,
            original=entry.id,
            expires_us=entry.expires_us,
            amount_minor=entry.amount_minor,
        )

    def _recount(self, sale: Sale) -> None:
        """Limits get back what the original used up, or lose again what a refund gave back."""
        refund = sale.entry.kind in RETURNS
        self._history.count(sale, sale.sold_on, sale.entry.billing_minor * (1 if refund else -1))


def _again(transfers: tuple[Transfer, ...]) -> tuple[Leg, ...]:
    return tuple(
        Leg(
            debit=one.debit,
            credit=one.credit,
            amount_minor=one.amount_minor,
            currency=one.currency,
            purpose=one.purpose,
        )
        for one in transfers
    )


def _undone(request: AuthorizationRequest, turn: Turn, reason: str = "") -> Outcome:
    return Outcome(
        response=AuthorizationResponse(
            response_code="00",
            stan=request.stan,
            rrn=request.rrn,
            settlement_date=turn.business_date,
        ),
        reason=reason,
    )
