"""What follows a sale: void, refund, completion, void of a pre-authorisation, offline advice."""

from __future__ import annotations

from checkout.clearing.authorisation.backend import Backend
from checkout.clearing.authorisation.context import Outcome, RequestContext
from checkout.clearing.authorisation.original import OriginalSales, Sale
from checkout.clearing.authorisation.purchase import ABSURD_MINOR, PurchaseAuthorisation
from checkout.clearing.authorisation.refund_rules import refund_decision
from checkout.clearing.authorisation.sale_life import Effect, FollowUp, effect
from checkout.clearing.authorisation.top_up import TopUps
from checkout.clearing.ledger.ledger import Status
from checkout.clearing.ledger.postings import return_legs, sale_legs, split_of
from checkout.clearing.messages import TransactionType
from checkout.clearing.scheme.fees import returned
from checkout.clearing.tokens.token_service import TokenRefusal

#: A completion may be this much higher than what was pre-authorised, in percent.
COMPLETION_PERCENT = 115
_T = TransactionType
_FOLLOW_UPS = {
    _T.VOID: FollowUp.VOID,
    _T.REFUND: FollowUp.REFUND,
    _T.PREAUTHORISATION_VOID: FollowUp.RELEASE,
    _T.COMPLETION: FollowUp.COMPLETION,
    _T.COMPLETION_ADVICE: FollowUp.COMPLETION,
}


class FollowUps:
    """Answers requests about an earlier one, which DE90 names."""

    def __init__(self, backend: Backend, purchases: PurchaseAuthorisation) -> None:
        self._backend = backend
        self._purchases = purchases
        self._sales = OriginalSales(backend)
        self._top_ups = TopUps(backend)

    def answer(self, context: RequestContext) -> Outcome:
        """Find the original, check that this may follow it, and enter it."""
        request = context.request
        if not 0 < request.amount_minor < ABSURD_MINOR:
            return context.refuse("13", "amount-not-positive-or-absurd")
        if request.original is None:
            return context.refuse("25", "no-original-named")
        sale = self._sales.named_by(request, request.original)
        if sale is None:
            return context.refuse("25", "no-such-original")
        if sale.is_backward:
            return context.refuse("12", "original-is-no-sale")
        if sale.is_top_up:
            return self._top_ups.give_back(context, sale)
        kind = _FOLLOW_UPS[request.transaction_type]
        if effect(sale.state, kind) is Effect.REFUSE:
            return context.refuse("12", f"original-{sale.state}")
        match kind:
            case FollowUp.VOID:
                return self._void(context, sale)
            case FollowUp.REFUND:
                return self._refund(context, sale)
            case FollowUp.RELEASE:
                return self._take_back(context, sale)
            case _:
                return self._complete(context, sale)

    def _void(self, context: RequestContext, sale: Sale) -> Outcome:
        """Take the whole of a sale back on its own business date."""
        if sale.sold_on != context.business_date:
            return context.refuse("12", "another-day-needs-a-refund")
        return self._take_back(context, sale)

    def _take_back(self, context: RequestContext, sale: Sale) -> Outcome:
        """End the whole of a sale or hold; part of one is refused."""
        entry = sale.entry
        if context.request.amount_minor != entry.amount_minor:
            return context.refuse("64", "a-void-takes-the-whole")
        self._backend.resolve(context, entry, Status.VOIDED)
        self._sales.uncount(sale)
        self._backend.enter(
            context,
            (),
            payer=entry.payer,
            holder=entry.holder,
            billing_minor=entry.billing_minor,
            billing_currency=entry.billing_currency,
            house=sale.house,
            original=entry.id,
        )
        return context.approve()

    def _complete(self, context: RequestContext, sale: Sale) -> Outcome:
        """Turn a hold into a sale, of up to 115 percent of its amount."""
        request = context.request
        if sale.entry.expires_us is not None and context.at_us >= sale.entry.expires_us:
            return context.refuse("12", "hold-expired")
        if request.amount_minor > sale.entry.amount_minor * COMPLETION_PERCENT // 100:
            return context.refuse("61", "over-115-percent-of-the-hold")
        parties = self._sales.parties(sale, request)
        advice = request.transaction_type is _T.COMPLETION_ADVICE
        more = parties.billing_minor - sale.entry.billing_minor
        state = self._backend.accounts.state(parties.account)
        if state is None:
            return context.refuse("14", "no-such-account")
        if more > state.available_minor and not advice:
            return context.refuse("51", "insufficient-funds-beyond-the-hold")
        self._backend.resolve(context, sale.entry, Status.VOIDED)
        self._sales.uncount(sale)
        split = self._sales.split(sale, request, context.business_date)
        self._backend.enter(
            context,
            sale_legs(parties, split),
            payer=sale.entry.payer,
            holder=sale.entry.holder,
            billing_minor=parties.billing_minor,
            billing_currency=parties.billing_currency,
            house=split.house,
            original=sale.entry.id,
        )
        self._sales.count(sale, context.business_date, parties.billing_minor)
        return context.approve()

    def _refund(self, context: RequestContext, sale: Sale) -> Outcome:
        """Give all or part of a sale back, on any day, with the same part of its fees."""
        request = context.request
        entry = sale.entry
        decision = refund_decision(
            paid_minor=entry.amount_minor,
            refunded_minor=sale.refunded_minor,
            disputed_minor=sale.claimed_minor,
            refund_minor=request.amount_minor,
            sold_on=sale.sold_on,
            on=context.business_date,
        )
        if not decision.approved:
            return context.refuse(decision.response_code, decision.reason)
        split = returned(
            split_of(entry.amount_minor, sale.house, sale.transfers),
            refunded_before_minor=sale.refunded_minor + sale.disputed_minor,
            refund_minor=request.amount_minor,
        )
        parties = self._sales.parties(sale, request)
        self._backend.enter(
            context,
            return_legs(parties, split),
            payer=entry.payer,
            holder=entry.holder,
            billing_minor=parties.billing_minor,
            billing_currency=parties.billing_currency,
            house=sale.house,
            original=entry.id,
        )
        self._sales.count(sale, sale.sold_on, -parties.billing_minor)
        return context.approve()

    def offline_advice(self, context: RequestContext) -> Outcome:
        """Enter what the card approved by itself if its certificate (TC) is right, funds or not."""
        request = context.request
        routed = self._backend.routing.route(context)
        if isinstance(routed, TokenRefusal):
            return context.refuse(routed.response_code, routed.reason)
        if request.icc is None:
            return context.refuse("30", "no-certificate")
        decision = self._backend.account_holders.identify(routed).decision
        if not decision.approved:
            return context.refuse(decision.response_code, decision.reason)
        self._purchases.enter_approved_elsewhere(routed)
        return context.approve()
