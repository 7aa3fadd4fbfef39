"""Purchases, pre-authorisations and balance enquiries: routed, decided, entered in the books."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from checkout.clearing.authorisation.account_holder import HolderAnswer
from checkout.clearing.authorisation.backend import Backend
from checkout.clearing.authorisation.context import Outcome, RequestContext
from checkout.clearing.authorisation.routing import RoutedRequest
from checkout.clearing.authorisation.stand_in import stand_in_decision, stand_in_rules
from checkout.clearing.authorisation.top_up import TopUps
from checkout.clearing.issuing.decision import Evidence, entry_check
from checkout.clearing.ledger.postings import hold_legs, sale_legs
from checkout.clearing.messages import AuthorizationResponse, TransactionType
from checkout.clearing.scheme.fx import Amounts, Conversion
from checkout.clearing.scheme.participants import Role
from checkout.clearing.tokens.token_service import TokenRefusal
from checkout.money import mask_account

#: An amount from here on is absurd in any currency of the table.
ABSURD_MINOR = 10**11
#: A pre-authorisation holds the payer's money for this long.
HOLD_DAYS = 30
_HOLD_US = HOLD_DAYS * 86_400_000_000


class PurchaseAuthorisation:
    """Answers requests that ask for money, or how much there is."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._top_ups = TopUps(backend)

    def answer(self, context: RequestContext) -> Outcome:
        """Route, decide, hold; IccError and PinBlockError where DE55 or DE52 can't be read."""
        request = context.request
        kind = request.transaction_type
        if not 0 < request.amount_minor < ABSURD_MINOR and kind is not TransactionType.BALANCE:
            return context.refuse("13", "amount-not-positive-or-absurd")
        acquirer = self._backend.participants.by_institution.get(request.acquirer)
        if acquirer is None or (
            acquirer.role is not Role.ACQUIRER and kind is not TransactionType.TOP_UP
        ):
            return context.refuse("12", "acquirer-unknown")
        routed = self._backend.routing.route(context)
        if isinstance(routed, TokenRefusal):
            return context.refuse(routed.response_code, routed.reason)
        if kind is TransactionType.TOP_UP:
            return self._top_ups.answer(routed)
        if self._backend.availability.is_down(routed.holder):
            return self._stand_in(routed)
        if routed.is_wallet and self._is_linked_bank_down(routed.account):
            return context.refuse("91", "linked-bank-down")
        if kind is TransactionType.BALANCE:
            return self._balance(routed)
        return self._conclude(routed, self._backend.account_holders.authorise(routed))

    def enter_approved_elsewhere(self, routed: RoutedRequest) -> None:
        """Enter what the card or the network approved, whether the money is there or not."""
        self._enter(routed, self._backend.account_holders.price(routed))

    # -- parts ----------------------------------------------------------------------------------

    def _is_linked_bank_down(self, wallet: str) -> bool:
        """Whether the bank that pays in this wallet's place doesn't answer."""
        account = self._backend.accounts.account(wallet)
        if account is None or account.linked_account is None:
            return False
        bank = self._backend.participants.holder_of(account.linked_account)
        return bank is not None and self._backend.availability.is_down(bank.id)

    def _conclude(self, routed: RoutedRequest, answer: HolderAnswer) -> Outcome:
        """Enter an approval; the account holder's answer as the response."""
        context, decision = routed.context, answer.decision
        approved = decision.approved
        if approved:
            self._enter(routed, answer)
        detokenised = routed.detokenised
        billing, settlement = _conversions(answer.amounts if approved else None)
        response = AuthorizationResponse(
            response_code=decision.response_code,
            stan=context.request.stan,
            rrn=context.request.rrn,
            approval_code=context.approval_code if approved else None,
            settlement_date=context.business_date,
            icc=answer.icc,
            billing_amount_minor=None if billing is None else billing.into.amount_minor,
            billing_currency=None if billing is None else billing.into.currency,
            billing_rate=None if billing is None else billing.rate_field(),
            settlement_amount_minor=None if settlement is None else settlement.into.amount_minor,
            settlement_currency=None if settlement is None else settlement.into.currency,
            settlement_rate=None if settlement is None else settlement.rate_field(),
            account_reference=None if detokenised is None else detokenised.reference,
            masked_account=mask_account(routed.account) if routed.account != routed.card else None,
        )
        return Outcome(response=response, reason=decision.reason)

    def _stand_in(self, routed: RoutedRequest) -> Outcome:
        """The issuer doesn't answer: the network approves by its rules, or answers 91."""
        context, request = routed.context, routed.request
        availability, on = self._backend.availability, routed.context.business_date
        account = self._backend.accounts.account(routed.account)
        if account is None:
            return context.refuse("91", "issuer-down")
        evidence = Evidence(token_cryptogram_valid=routed.token_cryptogram_valid)
        if entry_check(account, request, evidence, self._backend.world.rules.on(on)) is not None:
            return context.refuse("91", "issuer-down, the payer can't be proved")
        decision = stand_in_decision(
            stand_in_rules().get(routed.holder),
            request,
            availability.stand_in_usage(routed.account),
            on=on,
        )
        if not decision.approved:
            return context.refuse(decision.response_code, decision.reason)
        self.enter_approved_elsewhere(routed)
        availability.store_approval(routed.holder, routed.account, request, context.seq)
        return Outcome(response=context.approve().response, reason=decision.reason)

    def _enter(self, routed: RoutedRequest, answer: HolderAnswer) -> None:
        """Hold the money and count it against the account's limits."""
        context, parties, split = routed.context, answer.parties, answer.split
        assert parties is not None and split is not None
        preauthorised = context.request.transaction_type is TransactionType.PREAUTHORISATION
        self._backend.enter(
            context,
            hold_legs(parties) if preauthorised else sale_legs(parties, split),
            payer=routed.account,
            holder=parties.holder,
            billing_minor=parties.billing_minor,
            billing_currency=parties.billing_currency,
            house=answer.house,
            expires_us=context.at_us + _HOLD_US if preauthorised else None,
        )
        for account, amount_minor in answer.counted:
            self._backend.accounts.spend(
                account, context.business_date, amount_minor, context.request.initiation
            )

    def _balance(self, routed: RoutedRequest) -> Outcome:
        """How much there is, for a payer who has proved to be the account's."""
        context = routed.context
        answer = self._backend.account_holders.identify(_of_one_minor_unit(routed))
        state = self._backend.accounts.state(routed.account)
        if not answer.decision.approved or state is None:
            return context.refuse(answer.decision.response_code, answer.decision.reason)
        return Outcome(
            response=AuthorizationResponse(
                response_code="00",
                stan=context.request.stan,
                rrn=context.request.rrn,
                settlement_date=context.business_date,
                balance_minor=state.available_minor,
                icc=answer.icc,
            )
        )


def _conversions(amounts: Amounts | None) -> tuple[Conversion | None, Conversion | None]:
    """Billing and settlement, each where it is in another currency than the sale."""
    if amounts is None:
        return None, None
    sale = amounts.transaction.currency
    billing, settlement = amounts.billing, amounts.settlement
    return (
        billing if billing.into.currency != sale else None,
        settlement if settlement.into.currency != sale else None,
    )


def _of_one_minor_unit(routed: RoutedRequest) -> RoutedRequest:
    """A balance enquiry as a request for one minor unit, without the proof verified in advance."""
    request = replace(routed.request, amount_minor=1)
    return msgspec.structs.replace(routed, context=routed.context.with_request(request))
