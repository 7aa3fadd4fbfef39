"""What follows a sale: void, refund, completion and void of a pre-authorisation, offline advice."""

from __future__ import annotations

from checkout.clearing.authorisation.context import Backend, Outcome, Turn, approve, refuse
from checkout.clearing.authorisation.original import History, Sale
from checkout.clearing.authorisation.purchase import ABSURD_MINOR, Authorising
from checkout.clearing.authorisation.refund_rules import refund_decision
from checkout.clearing.authorisation.top_up import ToppingUp
from checkout.clearing.ledger.ledger import Status
from checkout.clearing.ledger.postings import return_legs, sale_legs, split_of
from checkout.clearing.messages import AuthorizationRequest, TransactionType
from checkout.clearing.scheme.fees import returned
from checkout.clearing.tokens.token_service import TokenRefusal

#: A completion may be this much higher than what was pre-authorised, in percent.
COMPLETION_PERCENT = 115
_T = TransactionType


class Following:
    """Answers requests that speak of an earlier one, which DE90 names."""

    def __init__(self, backend: Backend, authorising: Authorising) -> None:
        self._backend = backend
        self._authorising = authorising
        self._history = History(backend)
        self._topping_up = ToppingUp(backend)

    def answer(self, request: AuthorizationRequest, turn: Turn) -> Outcome:
        """Find the original, check that this may follow it, and book it."""
        if not 0 < request.amount_minor < ABSURD_MINOR:
            return refuse(request, "13", "amount-not-positive-or-absurd")
        if request.original is None:
            return refuse(request, "25", "no-original-named")
        sale = self._history.sale_of(request, request.original)
        if sale is None:
            return refuse(request, "25", "no-such-original")
        if sale.is_backward:
            return refuse(request, "12", "original-is-no-sale")
        if sale.is_top_up:
            return self._topping_up.give_back(request, sale, turn)
        match request.transaction_type:
            case _T.VOID:
                return self._void(request, sale, turn)
            case _T.REFUND:
                return self._refund(request, sale, turn)
            case _T.PREAUTHORISATION_VOID:
                return self._release(request, sale, turn)
            case _:
                return self._complete(request, sale, turn)

    def _void(self, request: AuthorizationRequest, sale: Sale, turn: Turn) -> Outcome:
        """Take the whole of a sale back on its own business date."""
        if sale.is_hold:
            return refuse(request, "12", "a-hold-is-released-not-voided")
        if sale.status is not Status.PENDING:
            return refuse(request, "12", f"original-{sale.status}")
        if sale.sold_on != turn.business_date:
            return refuse(request, "12", "another-day-needs-a-refund")
        if sale.refunded_minor or sale.disputed_minor:
            return refuse(request, "12", "original-refunded")
        if request.amount_minor != sale.entry.amount_minor:
            return refuse(request, "13", "a-void-takes-the-whole")
        return self._take_back(request, sale, turn)

    def _release(self, request: AuthorizationRequest, sale: Sale, turn: Turn) -> Outcome:
        """Give up a pre-authorisation."""
        if not sale.is_hold or sale.status is not Status.PENDING:
            return refuse(request, "12", f"original-{sale.status}")
        return self._take_back(request, sale, turn)

    def _take_back(self, request: AuthorizationRequest, sale: Sale, turn: Turn) -> Outcome:
        entry = sale.entry
        self._backend.resolve(turn, entry, Status.VOIDED)
        self._history.uncount(sale)
        self._backend.book(
            turn,
            request,
            (),
            payer=entry.payer,
            holder=entry.holder,
            billing_minor=entry.billing_minor,
            billing_currency=entry.billing_currency,
            house=sale.house,
            original=entry.id,
        )
        return approve(request, turn)

    def _complete(self, request: AuthorizationRequest, sale: Sale, turn: Turn) -> Outcome:
        """Turn a hold into a sale, of less, of as much or of a little more."""
        if not sale.is_hold or sale.status is not Status.PENDING:
            return refuse(request, "12", f"original-{sale.status}")
        if sale.entry.expires_us is not None and turn.at_us >= sale.entry.expires_us:
            return refuse(request, "12", "hold-expired")
        if request.amount_minor > sale.entry.amount_minor * COMPLETION_PERCENT // 100:
            return refuse(request, "61", "over-115-percent-of-the-hold")
        parties = self._history.parties(sale, request)
        advice = request.transaction_type is _T.COMPLETION_ADVICE
        more = parties.billing_minor - sale.entry.billing_minor
        state = self._backend.accounts.state(parties.account)
        if state is None:
            return refuse(request, "14", "no-such-account")
        if more > state.available_minor and not advice:
            return refuse(request, "51", "insufficient-funds-beyond-the-hold")
        self._backend.resolve(turn, sale.entry, Status.VOIDED)
        self._history.uncount(sale)
        split = self._history.split(sale, request, turn.business_date)
        self._backend.book(
            turn,
            request,
            sale_legs(parties, split),
            payer=sale.entry.payer,
            holder=sale.entry.holder,
            billing_minor=parties.billing_minor,
            billing_currency=parties.billing_currency,
            house=split.house,
            original=sale.entry.id,
        )
        self._history.count(sale, turn.business_date, parties.billing_minor)
        return approve(request, turn)

    def _refund(self, request: AuthorizationRequest, sale: Sale, turn: Turn) -> Outcome:
        """Give all or part of a sale back, on any day, with the same part of its fees."""
        entry = sale.entry
        if sale.is_hold or sale.status not in (Status.PENDING, Status.POSTED):
            return refuse(request, "12", f"original-{sale.status}")
        decision = refund_decision(
            paid_minor=entry.amount_minor,
            refunded_minor=sale.refunded_minor,
            disputed_minor=sale.disputed_minor,
            refund_minor=request.amount_minor,
            sold_on=sale.sold_on,
            on=turn.business_date,
        )
        if not decision.approved:
            return refuse(request, decision.response_code, decision.reason)
        split = returned(
            split_of(entry.amount_minor, sale.house, sale.transfers),
            refunded_before_minor=sale.refunded_minor + sale.disputed_minor,
            refund_minor=request.amount_minor,
        )
        parties = self._history.parties(sale, request)
        self._backend.book(
            turn,
            request,
            return_legs(parties, split),
            payer=entry.payer,
            holder=entry.holder,
            billing_minor=parties.billing_minor,
            billing_currency=parties.billing_currency,
            house=sale.house,
            original=entry.id,
        )
        self._history.count(sale, sale.sold_on, -parties.billing_minor)
        return approve(request, turn)

    def offline(self, request: AuthorizationRequest, turn: Turn) -> Outcome:
        """What the card approved by itself: booked if its certificate is right, funds or not."""
        routed = self._authorising.route(request, turn)
        if isinstance(routed, TokenRefusal):
            return refuse(request, routed.response_code, routed.reason)
        if request.icc is None:
            return refuse(request, "30", "no-certificate")
        authorisation = self._backend.issuers.identify(routed, pin_key=turn.pin_key)
        decision = authorisation.decision
        if not decision.approved:
            return refuse(request, decision.response_code, decision.reason)
        self._authorising.book_advised(routed, turn)
        return approve(request, turn)
