"""Purchases, pre-authorisations, offline advices and balance enquiries: routed and decided."""

from __future__ import annotations

from dataclasses import replace

from checkout.clearing.authorisation.account_holder import Authorisation, Routed, is_wallet
from checkout.clearing.authorisation.context import HOLD_US, Backend, Outcome, Turn, refuse
from checkout.clearing.authorisation.issuer_availability import Forwarding
from checkout.clearing.authorisation.stand_in import stand_in_decision, stand_in_rules
from checkout.clearing.authorisation.top_up import ToppingUp
from checkout.clearing.hsm.icc_data import IccError
from checkout.clearing.issuing.decision import Evidence, entry_check
from checkout.clearing.ledger.postings import hold_legs, sale_legs
from checkout.clearing.messages import (
    AuthorizationRequest,
    AuthorizationResponse,
    TransactionType,
)
from checkout.clearing.scheme.fx import Amounts
from checkout.clearing.scheme.participants import CardKind, Role
from checkout.clearing.tokens.token_service import TokenRefusal, detokenise, verify_token_cryptogram
from checkout.money import mask_account

#: An amount from here on is absurd in any currency of the table.
ABSURD_MINOR = 10**11


class Authorising:
    """Answers questions that ask for money, or how much there is."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._forwarding = Forwarding(backend)
        self._topping_up = ToppingUp(backend)

    def answer(self, request: AuthorizationRequest, turn: Turn) -> Outcome:
        """Route, decide, hold; IccError and PinBlockError where DE55 or DE52 can't be read."""
        if not 0 < request.amount_minor < ABSURD_MINOR and (
            request.transaction_type is not TransactionType.BALANCE
        ):
            return refuse(request, "13", "amount-not-positive-or-absurd")
        acquirer = self._backend.participants.by_institution.get(request.acquirer)
        tops_up = request.transaction_type is TransactionType.TOP_UP
        if acquirer is None or (acquirer.role is not Role.ACQUIRER and not tops_up):
            return refuse(request, "12", "acquirer-unknown")
        routed = self.route(request, turn)
        if isinstance(routed, TokenRefusal):
            return refuse(request, routed.response_code, routed.reason)
        if tops_up:
            return self._topping_up.answer(routed, turn)
        if self._forwarding.is_down(routed.account_range.participant):
            return self._stand_in(routed, turn)
        if is_wallet(routed.account_range) and self._linked_bank_is_down(routed.account):
            return refuse(request, "91", "linked-bank-down")
        if request.transaction_type is TransactionType.BALANCE:
            return self._balance(routed, turn)
        authorisation = self._backend.issuers.authorize(
            routed, pin_key=turn.pin_key, on=turn.business_date, proof=turn.proof
        )
        return self._conclude(routed, authorisation, turn)

    def _linked_bank_is_down(self, wallet: str) -> bool:
        """Whether the bank that pays in this wallet's place doesn't answer."""
        account = self._backend.accounts.account(wallet)
        if account is None or account.linked_account is None:
            return False
        bank = self._backend.participants.holder_of(account.linked_account)
        return bank is not None and self._forwarding.is_down(bank.id)

    def hear_advice(self, request: AuthorizationRequest, turn: Turn) -> tuple[str, str]:
        """An issuer hears what was approved in its place: 00, or what is wrong with it and why."""
        routed = self.route(request, turn)
        if isinstance(routed, TokenRefusal):
            return routed.response_code, routed.reason
        if request.icc is None:
            return "00", ""
        try:
            decision = self._backend.issuers.identify(routed, pin_key=None).decision
        except IccError as error:
            return "30", str(error)
        return decision.response_code, decision.reason

    def route(self, request: AuthorizationRequest, turn: Turn) -> Routed | TokenRefusal:
        """Find the account and its range, through the token service where DE2 is a token."""
        participants = self._backend.participants
        card_range = participants.range_of(request.account)
        if card_range is None:
            return TokenRefusal(response_code="14", reason="no-such-range")
        if card_range.card_kind is not CardKind.TOKEN:
            return Routed(
                request=request,
                card=request.account,
                account=request.account,
                card_range=card_range,
                account_range=card_range,
            )
        token = self._backend.vault.find(request.account)
        found = detokenise(token, request, on=turn.business_date)
        if isinstance(found, TokenRefusal):
            return found
        account_range = participants.range_of(found.account)
        if account_range is None:
            return TokenRefusal(response_code="14", reason="token-of-nobody")
        return Routed(
            request=request,
            card=request.account,
            account=found.account,
            card_range=card_range,
            account_range=account_range,
            token_cryptogram_valid=self._token_cryptogram(request),
            detokenised=found,
        )

    def _token_cryptogram(self, request: AuthorizationRequest) -> bool | None:
        """Whether DE63's cryptogram fits and its counter is new; None where none was needed."""
        if request.icc is not None or request.token_cryptogram is None:
            return None
        key = self._backend.keys.card_key(request.account, request.pan_sequence)
        verdict = verify_token_cryptogram(key, request)
        card = f"{request.account}/online"
        last = self._backend.accounts.last_counter(card)
        if not verdict.valid or (last is not None and verdict.atc <= last):
            return False
        self._backend.accounts.see_counter(card, verdict.atc)
        return True

    def _conclude(self, routed: Routed, authorisation: Authorisation, turn: Turn) -> Outcome:
        request, decision = routed.request, authorisation.decision
        approved = decision.approved
        if approved:
            self._hold(routed, authorisation, turn)
        response = AuthorizationResponse(
            response_code=decision.response_code,
            stan=request.stan,
            rrn=request.rrn,
            approval_code=turn.approval_code if approved else None,
            settlement_date=turn.business_date,
            icc=authorisation.icc,
            account_reference=(
                routed.detokenised.reference if routed.detokenised is not None else None
            ),
            masked_account=(
                mask_account(routed.account) if routed.account != routed.card else None
            ),
        )
        if approved and authorisation.amounts is not None:
            response = _with_amounts(response, authorisation.amounts)
        return Outcome(response=response, reason=decision.reason)

    def _stand_in(self, routed: Routed, turn: Turn) -> Outcome:
        """The issuer doesn't answer: the network approves by its rules, or says 91."""
        request, holder = routed.request, routed.account_range.participant
        rule = stand_in_rules().get(holder)
        known = self._backend.accounts.account(routed.account)
        if known is None:
            return refuse(request, "91", "issuer-down")
        rules, on = self._backend.world.rules.on(turn.business_date), turn.business_date
        checked = Evidence(token_cryptogram_valid=routed.token_cryptogram_valid)
        if entry_check(known, request, checked, rules) is not None:
            return refuse(request, "91", "issuer-down, the payer can't be proved")
        before = self._forwarding.stood_in(routed.account)
        decision = stand_in_decision(rule, request, before, on=on)
        if not decision.approved:
            return refuse(request, decision.response_code, decision.reason)
        self.book_advised(routed, turn)
        self._forwarding.keep(holder, routed.account, request, turn.seq)
        response = AuthorizationResponse(
            response_code="00",
            stan=request.stan,
            rrn=request.rrn,
            approval_code=turn.approval_code,
            settlement_date=turn.business_date,
        )
        return Outcome(response=response, reason=decision.reason)

    def book_advised(self, routed: Routed, turn: Turn) -> None:
        """Book what was approved elsewhere, without asking whether the money is there."""
        self._hold(routed, self._backend.issuers.price(routed, turn.business_date), turn)

    def _hold(self, routed: Routed, authorisation: Authorisation, turn: Turn) -> None:
        """Hold the money and count it against the account's limits."""
        request, parties, split = routed.request, authorisation.parties, authorisation.split
        assert parties is not None and split is not None
        preauthorised = request.transaction_type is TransactionType.PREAUTHORISATION
        legs = hold_legs(parties) if preauthorised else sale_legs(parties, split)
        self._backend.book(
            turn,
            request,
            legs,
            payer=routed.account,
            holder=parties.holder,
            billing_minor=parties.billing_minor,
            billing_currency=parties.billing_currency,
            house=authorisation.house,
            expires_us=turn.at_us + HOLD_US if preauthorised else None,
        )
        for account, amount in authorisation.counted:
            self._backend.accounts.spend(account, turn.business_date, amount, request.initiation)

    def _balance(self, routed: Routed, turn: Turn) -> Outcome:
        """How much there is, for whom has proved to be the account's payer."""
        request = routed.request
        probe = replace(routed, request=replace(request, amount_minor=1))
        authorisation = self._backend.issuers.identify(probe, pin_key=turn.pin_key)
        state = self._backend.accounts.state(routed.account)
        if not authorisation.decision.approved or state is None:
            decision = authorisation.decision
            return refuse(request, decision.response_code, decision.reason)
        return Outcome(
            response=AuthorizationResponse(
                response_code="00",
                stan=request.stan,
                rrn=request.rrn,
                settlement_date=turn.business_date,
                balance_minor=state.available_minor,
                icc=authorisation.icc,
            )
        )


def _with_amounts(response: AuthorizationResponse, amounts: Amounts) -> AuthorizationResponse:
    """Say what is billed and settled, where that is in another currency than the sale."""
    sale, billing, settlement = amounts.transaction, amounts.billing, amounts.settlement
    if billing.into.currency != sale.currency:
        response = replace(
            response,
            billing_amount_minor=billing.into.amount_minor,
            billing_currency=billing.into.currency,
            billing_rate=billing.rate_field(),
        )
    if settlement.into.currency != sale.currency:
        response = replace(
            response,
            settlement_amount_minor=settlement.into.amount_minor,
            settlement_currency=settlement.into.currency,
            settlement_rate=settlement.rate_field(),
        )
    return response
