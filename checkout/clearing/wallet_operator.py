"""The three-party house: one operator between payer and merchant, with a linked bank at most.

Its payment accounts have classes of their own (notice 43/2015): I at most 1,000 in all, II
100,000 and III 200,000 a year, for payments from the balance. They are not the banks' classes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum

from checkout.clearing.hsm.icc_data import CardholderVerification
from checkout.clearing.issuing.accounts import AccountState, AccountStatus
from checkout.clearing.issuing.decision import STATUS_CODES, Decision, Evidence, Usage, decide
from checkout.clearing.messages import AuthorizationRequest, EntryMode, Initiation
from checkout.clearing.scheme.participants import CardKind
from checkout.clearing.scheme.rules import RuleSet


class Source(StrEnum):
    """What pays for a wallet payment."""

    BALANCE = "balance"
    LINKED_BANK = "linked-bank"


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletDecision:
    """The operator's decision, and what pays."""

    decision: Decision
    source: Source

    @property
    def approved(self) -> bool:
        """Whether the money may be held."""
        return self.decision.approved


def decide_wallet_payment(
    state: AccountState,
    request: AuthorizationRequest,
    *,
    usage: Usage,
    evidence: Evidence,
    rules: RuleSet,
    business_date: date,
    linked: AccountState | None = None,
    linked_usage: Usage | None = None,
) -> WalletDecision:
    """Decide a payment at the operator; amounts are the account's own currency.

    An account with a linked bank account draws on that (quick payment): the operator checks payer
    and PIN once, then the bank checks its own account's state, limits and funds. All other accounts
    pay from their balance, within the limits of their class.
    """
    if request.initiation is Initiation.CARD:
        refused = Decision(response_code="57", reason="wallet-has-no-card")
        return WalletDecision(decision=refused, source=Source.BALANCE)
    if state.account.kind is not CardKind.WALLET:
        refused = Decision(response_code="14", reason="not-a-wallet-account")
        return WalletDecision(decision=refused, source=Source.BALANCE)
    if state.account.linked_account is None:
        decision = decide(
            state,
            request,
            usage=usage,
            evidence=evidence,
            rules=rules,
            business_date=business_date,
        )
        return WalletDecision(decision=decision, source=Source.BALANCE)
    if linked is None or linked.account.account != state.account.linked_account:
        refused = Decision(response_code="91", reason="linked-bank-unavailable")
        return WalletDecision(decision=refused, source=Source.LINKED_BANK)
    own = decide(
        _with_funds(state, request.amount_minor),
        request,
        usage=usage,
        evidence=evidence,
        rules=rules,
        business_date=business_date,
    )
    if not own.approved:
        return WalletDecision(decision=own, source=Source.LINKED_BANK)
    at_bank = bank_decision(
        linked,
        request,
        usage=linked_usage or Usage(),
        rules=rules,
        business_date=business_date,
    )
    return WalletDecision(decision=at_bank, source=Source.LINKED_BANK)


def top_up_decision(
    state: AccountState, bank: Decision, *, amount_minor: int, rules: RuleSet
) -> Decision:
    """Whether a balance may be topped up; `bank` is what the bank account's holder has decided.

    The classes limit payments (notice 43/2015), so a balance may not grow beyond what its class can
    still pay: what is left of class I's limit on the whole, or a year's limit of II and III.
    """
    if amount_minor <= 0:
        return Decision(response_code="13", reason="amount-not-positive")
    if state.account.kind is not CardKind.WALLET:
        return Decision(response_code="14", reason="not-a-wallet-account")
    if state.status is not AccountStatus.ACTIVE:
        return Decision(response_code=STATUS_CODES[state.status], reason=f"account-{state.status}")
    graded = state.account.account_class
    if graded is not None and rules.wallet_account and graded not in rules.wallet_account:
        return Decision(response_code="57", reason="class-not-offered")
    limits = rules.wallet_account.get(graded) if graded is not None else None
    if limits is not None:
        spendable = limits.year_minor
        if limits.lifetime_minor is not None:
            spendable = limits.lifetime_minor - state.spent_minor
        if spendable is not None and state.balance_minor + amount_minor > spendable:
            return Decision(response_code="61", reason="over-what-the-class-may-pay-out")
    return bank


def bank_decision(
    linked: AccountState,
    request: AuthorizationRequest,
    *,
    usage: Usage,
    rules: RuleSet,
    business_date: date,
) -> Decision:
    """The linked bank's own checks; it relies on the operator for who the payer is."""
    drawn = replace(
        request,
        entry_mode=EntryMode.ECOMMERCE,
        initiation=Initiation.ONLINE,
        expiry=None,
        icc=None,
    )
    return decide(
        linked,
        drawn,
        usage=usage,
        evidence=Evidence(cardholder=CardholderVerification.ON_DEVICE, mandate=True),
        rules=rules,
        business_date=business_date,
    )


def _with_funds(state: AccountState, amount_minor: int) -> AccountState:
    """The same account as if its balance sufficed: a quick payment doesn't use it."""
    return replace(state, balance_minor=state.held_minor + amount_minor)
