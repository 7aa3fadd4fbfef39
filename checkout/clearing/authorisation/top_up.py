"""Top-ups of stored balances: from the payer's bank account into the wallet, and back again.

A top-up is posted as soon as it is approved, so that the balance can be spent at once. Its refund
waits for the close of the day like every other. Neither house takes a fee for it.
"""

from __future__ import annotations

from checkout.clearing.authorisation.backend import Backend
from checkout.clearing.authorisation.context import Outcome, RequestContext
from checkout.clearing.authorisation.original import TOP_UP_RETURN, Sale
from checkout.clearing.authorisation.refund_rules import refund_decision
from checkout.clearing.authorisation.routing import RoutedRequest
from checkout.clearing.authorisation.sale_life import Effect, FollowUp, effect
from checkout.clearing.ledger.ledger import Status
from checkout.clearing.ledger.postings import (
    Parties,
    is_top_up,
    payer_account,
    payer_of,
    returned_legs,
    top_up_legs,
)
from checkout.clearing.messages import AuthorizationRequest, TransactionType
from checkout.clearing.scheme.participants import Participant, Role
from checkout.clearing.scheme.rules import House
from checkout.clearing.wallet_operator import bank_decision, top_up_decision


class TopUps:
    """Answers wallet operators, each for its own payers; no other participant may ask."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def answer(self, routed: RoutedRequest) -> Outcome:
        """Draw on the bank account and credit the balance, once the payer is identified."""
        context, request = routed.context, routed.request
        operator = self._operator(request)
        if operator is None:
            return context.refuse("12", "only-an-operator-tops-up")
        if not routed.is_wallet or routed.holder != operator.id:
            return context.refuse("14", "not-an-account-of-this-operator")
        accounts = self._backend.accounts
        wallet = accounts.state(routed.account)
        if wallet is None:
            return context.refuse("14", "no-such-account")
        source = wallet.account.funding_account
        bank = None if source is None else self._backend.participants.holder_of(source)
        linked = None if source is None else accounts.state(source)
        if source is None or bank is None or linked is None:
            return context.refuse("57", "no-bank-account-to-draw-on")
        if request.currency != wallet.account.currency:
            return context.refuse("57", "wallet-takes-its-own-currency")
        availability = self._backend.availability
        if availability.is_down(operator.id) or availability.is_down(bank.id):
            return context.refuse("91", "issuer-down")
        identified = self._backend.account_holders.identify(routed).decision
        if not identified.approved:
            return context.refuse(identified.response_code, identified.reason)
        rules, on = self._backend.world.rules.on(context.business_date), context.business_date
        usage = accounts.usage(source, on)
        drawn = bank_decision(linked, request, usage=usage, rules=rules, business_date=on)
        decision = top_up_decision(wallet, drawn, amount_minor=request.amount_minor, rules=rules)
        if not decision.approved:
            return context.refuse(decision.response_code, decision.reason)
        self._enter(routed, operator, source, bank)
        return context.approve()

    def give_back(self, context: RequestContext, top_up: Sale) -> Outcome:
        """A void or refund of a top-up: from the rest of the balance to the bank account."""
        request = context.request
        operator = self._operator(request)
        if operator is None or operator.id != top_up.entry.holder:
            return context.refuse("12", "only-its-operator-gives-a-top-up-back")
        if effect(top_up.state, FollowUp.REFUND) is Effect.REFUSE:
            return context.refuse("12", f"original-{top_up.state}")
        refusal = _check_kind(context, top_up)
        if refusal is not None:
            return refusal
        decision = refund_decision(
            paid_minor=top_up.entry.amount_minor,
            refunded_minor=top_up.refunded_minor,
            disputed_minor=0,
            refund_minor=request.amount_minor,
            sold_on=top_up.sold_on,
            on=context.business_date,
        )
        if not decision.approved:
            return context.refuse(decision.response_code, decision.reason)
        wallet = self._backend.accounts.state(top_up.entry.payer)
        if wallet is None or wallet.available_minor < request.amount_minor:
            return context.refuse("51", "top-up-is-spent")
        parties = self._parties(
            wallet=top_up.entry.payer,
            source=payer_of(top_up.transfers),
            operator=operator,
            request=request,
        )
        self._backend.enter(
            context,
            returned_legs(top_up_legs(parties)),
            payer=top_up.entry.payer,
            holder=operator.id,
            billing_minor=request.amount_minor,
            billing_currency=request.currency,
            house=House.THREE_PARTY,
            kind=TOP_UP_RETURN,
            original=top_up.entry.id,
        )
        self._backend.accounts.spend(
            payer_of(top_up.transfers), top_up.sold_on, -request.amount_minor, request.initiation
        )
        return context.approve()

    # -- parts ----------------------------------------------------------------------------------

    def _operator(self, request: AuthorizationRequest) -> Participant | None:
        """The wallet operator that asks for itself; None for any other participant."""
        participant = self._backend.participants.by_institution.get(request.acquirer)
        if participant is None or participant.role is not Role.WALLET_OPERATOR:
            return None
        return participant if request.forwarder == request.acquirer else None

    def _enter(
        self, routed: RoutedRequest, operator: Participant, source: str, bank: Participant
    ) -> None:
        context, request = routed.context, routed.request
        parties = self._parties(
            wallet=routed.account, source=source, operator=operator, request=request, bank=bank
        )
        entry = self._backend.enter(
            context,
            top_up_legs(parties),
            payer=routed.account,
            holder=operator.id,
            billing_minor=request.amount_minor,
            billing_currency=request.currency,
            house=House.THREE_PARTY,
        )
        self._backend.resolve(context, entry, Status.POSTED)
        self._backend.accounts.spend(
            source, context.business_date, request.amount_minor, request.initiation
        )

    def _parties(
        self,
        *,
        wallet: str,
        source: str,
        operator: Participant,
        request: AuthorizationRequest,
        bank: Participant | None = None,
    ) -> Parties:
        bank = bank or self._backend.participants.holder_of(source)
        assert bank is not None
        return Parties(
            account=wallet,
            billing_currency=request.currency,
            billing_minor=request.amount_minor,
            holder=operator.id,
            acquirer=operator.id,
            merchant=request.merchant_id,
            currency=request.currency,
            bank=bank.id,
            linked_account=source,
        )


def spent_since(backend: Backend, sale: Sale) -> bool:
    """Whether this is a top-up and the balance no longer has the whole of it."""
    if not is_top_up(sale.transfers) or sale.entry.kind == TOP_UP_RETURN:
        return False
    entry = sale.entry
    balance = backend.store.balance(payer_account(entry.payer, entry.currency))
    return balance.available < entry.amount_minor


def _check_kind(context: RequestContext, top_up: Sale) -> Outcome | None:
    """Refuse a void that is late, partial or second, and anything but a void or a refund."""
    request = context.request
    if request.transaction_type is TransactionType.REFUND:
        return None
    if request.transaction_type is not TransactionType.VOID:
        return context.refuse("12", "a-top-up-is-voided-or-refunded")
    if top_up.sold_on != context.business_date:
        return context.refuse("12", "another-day-needs-a-refund")
    if top_up.refunded_minor:
        return context.refuse("12", "original-refunded")
    if request.amount_minor != top_up.entry.amount_minor:
        return context.refuse("64", "a-void-takes-the-whole")
    return None
