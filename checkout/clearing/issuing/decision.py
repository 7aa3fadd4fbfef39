"""The account holder's decision on one payment: approve, or decline with a code and a reason."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import lru_cache

import msgspec

from checkout.clearing.hsm.cryptogram import AtcVerdict, CryptogramVerdict
from checkout.clearing.hsm.icc_data import CardholderVerification
from checkout.clearing.hsm.pin import PinVerdict
from checkout.clearing.issuing.accounts import Account, AccountState, AccountStatus
from checkout.clearing.messages import AuthorizationRequest, EntryMode, Initiation
from checkout.clearing.scheme.entry_mode_rules import Proof, needed_proofs
from checkout.clearing.scheme.participants import CardKind
from checkout.clearing.scheme.rules import RuleSet

#: The response code of an account that may not be used.
STATUS_CODES = {
    AccountStatus.BLOCKED: "62",
    AccountStatus.LOST: "41",
    AccountStatus.STOLEN: "43",
    AccountStatus.CLOSED: "14",
}
_CODES = (Initiation.STATIC_CODE, Initiation.DYNAMIC_CODE, Initiation.PAYER_CODE)
_CHIP_MODES = (EntryMode.CONTACTLESS_CHIP, EntryMode.CONTACT_CHIP)
# Byte 1 of the TVR: SDA failed, card on the exception file, DDA failed, CDA failed.
_TVR_DISTRUST = 0x40 | 0x10 | 0x08 | 0x04


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """DE39, and the reason in a few fixed words for the log and the traces."""

    response_code: str
    reason: str = ""

    @property
    def approved(self) -> bool:
        """Whether the money may be held."""
        return self.response_code == "00"


_APPROVED = Decision(response_code="00")
_APPROVED_UNVERIFIED = Decision(response_code="00", reason="cryptogram-unverifiable")


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What the account has paid before, in minor units of its own currency.

    The day is the business date, the year its calendar year. Payments by code have totals of their
    own; refunds are deducted. `day_count` counts payments.
    """

    day_minor: int = 0
    year_minor: int = 0
    static_code_day_minor: int = 0
    dynamic_code_day_minor: int = 0
    day_count: int = 0


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """The proofs that came with a request; None where there was nothing to check.

    `limited_key_reason` is why a phone's limited-use key is refused, empty where it isn't.
    `unverifiable` is a real card's cryptogram, whose key nobody here has. `mandate` is a wallet
    operator's right to draw on the bank account that its payer has linked.
    """

    pin: PinVerdict | None = None
    cryptogram: CryptogramVerdict | None = None
    atc: AtcVerdict | None = None
    cardholder: CardholderVerification = CardholderVerification.NONE
    token_cryptogram_valid: bool | None = None
    limited_key_reason: str = ""
    unverifiable: bool = False
    mandate: bool = False

    @property
    def pin_verified(self) -> bool:
        """Whether the request had a PIN and it was right."""
        return self.pin is not None and self.pin.verified


def decide(
    state: AccountState,
    request: AuthorizationRequest,
    *,
    usage: Usage,
    evidence: Evidence,
    rules: RuleSet,
    business_date: date,
    billing_amount_minor: int | None = None,
) -> Decision:
    """Decide a purchase or pre-authorisation as the account's issuer or wallet operator.

    `billing_amount_minor` is the amount in the account's currency where the request's is another.
    Checks run in a fixed order, and the first that fails decides: account, expiry, PIN, cryptogram,
    what the account may do, limits, funds.
    """
    amount_minor = request.amount_minor if billing_amount_minor is None else billing_amount_minor
    if amount_minor <= 0:
        return Decision(response_code="13", reason="amount-not-positive")
    failed = (
        _account_check(state, request, business_date)
        or _evidence_check(request, evidence)
        or _permission_check(state, request, evidence, rules)
        or _limit_check(state, request, usage, evidence, rules, amount_minor)
    )
    if failed is not None:
        return failed
    if amount_minor > state.available_minor:
        return Decision(response_code="51", reason="insufficient-funds")
    return _APPROVED_UNVERIFIED if evidence.unverifiable else _APPROVED


def deposit_decision(state: AccountState, *, amount_minor: int, rules: RuleSet) -> Decision:
    """Whether money may come into a bank account; the balance of class III is limited.

    Refunds are no deposits: an account always gets back what it has paid.
    """
    if amount_minor <= 0:
        return Decision(response_code="13", reason="amount-not-positive")
    if state.status is not AccountStatus.ACTIVE:
        return Decision(response_code=STATUS_CODES[state.status], reason=f"account-{state.status}")
    graded = None if state.account.kind is CardKind.WALLET else state.account.account_class
    if graded is not None and graded not in rules.bank_account:
        return Decision(response_code="57", reason="class-not-offered")
    limit = None if graded is None else rules.bank_account[graded].balance_minor
    if limit is not None and state.balance_minor + amount_minor > limit:
        return Decision(response_code="61", reason="over-balance-limit")
    return Decision(response_code="00")


@lru_cache(maxsize=4096)
def expired(expiry: str, business_date: date) -> bool:
    """Whether the last day of an expiry (YYMM) has passed; True for text that is not YYMM."""
    if len(expiry) != 4 or not expiry.isdigit() or not 1 <= int(expiry[2:]) <= 12:
        return True
    return (2000 + int(expiry[:2]), int(expiry[2:])) < (business_date.year, business_date.month)


def _account_check(
    state: AccountState, request: AuthorizationRequest, business_date: date
) -> Decision | None:
    if state.status is not AccountStatus.ACTIVE:
        return Decision(response_code=STATUS_CODES[state.status], reason=f"account-{state.status}")
    if expired(state.account.expiry, business_date):
        return Decision(response_code="54", reason="expired")
    if request.expiry is not None and expired(request.expiry, business_date):
        return Decision(response_code="54", reason="expired")
    return None


def _evidence_check(request: AuthorizationRequest, evidence: Evidence) -> Decision | None:
    if evidence.pin is not None and not evidence.pin.verified:
        wrong = evidence.pin.response_code == "55"
        reason = "wrong-pin" if wrong else "pin-tries-exceeded"
        return Decision(response_code=evidence.pin.response_code, reason=reason)
    cryptogram = evidence.cryptogram
    if cryptogram is None:
        if request.entry_mode in _CHIP_MODES and not evidence.unverifiable:
            return Decision(response_code="05", reason="cryptogram-missing")
        if evidence.token_cryptogram_valid is False:
            return Decision(response_code="63", reason="token-cryptogram-mismatch")
        return None
    if not cryptogram.valid:
        return Decision(response_code="63", reason=cryptogram.reason)
    if evidence.atc is not None and not evidence.atc.fresh:
        return Decision(response_code="63", reason=f"atc-{evidence.atc.reason}")
    if evidence.limited_key_reason:
        return Decision(response_code="05", reason=evidence.limited_key_reason)
    if cryptogram.kind == "AAC":
        return Decision(response_code="05", reason="card-declined")
    if cryptogram.tvr[0] & _TVR_DISTRUST:
        return Decision(response_code="05", reason="offline-authentication-failed")
    return None


def _permission_check(
    state: AccountState, request: AuthorizationRequest, evidence: Evidence, rules: RuleSet
) -> Decision | None:
    account = state.account
    wallet = account.kind is CardKind.WALLET
    if account.account_class is not None and rules.bank_account and not wallet:
        offered = rules.bank_account
        if account.account_class not in offered:
            return Decision(response_code="57", reason="class-not-offered")
    if request.initiation in _CODES and not wallet and not rules.network_takes_codes:
        return Decision(response_code="57", reason="codes-not-taken-yet")
    return entry_check(account, request, evidence, rules)


def entry_check(
    account: Account, request: AuthorizationRequest, evidence: Evidence, rules: RuleSet
) -> Decision | None:
    """Decline unless the request has a proof that its entry mode (DE22) needs."""
    needed = needed_proofs(rules.entry, request, account=account.account, kind=account.kind)
    if needed is None or evidence.mandate:
        return None
    if not needed:
        return Decision(response_code="57", reason="entry-mode-not-permitted")
    seen = evidence.cryptogram is not None and evidence.cryptogram.valid
    given = {
        Proof.NONE: True,
        Proof.PIN: evidence.pin_verified,
        Proof.CRYPTOGRAM: seen or bool(evidence.token_cryptogram_valid),
        Proof.EXPIRY: request.expiry is not None and request.expiry == account.expiry,
    }
    if not any(given[proof] for proof in needed):
        return Decision(response_code="57", reason="number-alone-proves-nothing")
    return None


def _limit_check(
    state: AccountState,
    request: AuthorizationRequest,
    usage: Usage,
    evidence: Evidence,
    rules: RuleSet,
    amount_minor: int,
) -> Decision | None:
    account = state.account
    fen = _in_fen(request, account.currency, amount_minor)
    # No cryptogram covers tag 9F34, so only a payment token may claim a check by the phone.
    on_device = evidence.cardholder is CardholderVerification.ON_DEVICE
    by_phone = on_device and request.account != account.account
    signed = evidence.cardholder is CardholderVerification.SIGNATURE
    verified = (
        evidence.pin_verified
        or by_phone
        or bool(evidence.token_cryptogram_valid)
        or (signed and account.kind is CardKind.CREDIT)  # a debit card needs its PIN
    )
    if not verified and fen is not None and fen > rules.quickpass_no_pin_minor:
        return Decision(response_code="61", reason="over-no-pin-limit")
    over = _code_limit(state, request, usage, rules, amount_minor)
    if over is not None:
        return over
    own = account.transaction_limit_minor
    if own is not None and amount_minor > own:
        return Decision(response_code="61", reason="over-transaction-limit")
    if account.day_count_limit is not None and usage.day_count >= account.day_count_limit:
        return Decision(response_code="65", reason="over-day-count")
    graded = rules.wallet_account if account.kind is CardKind.WALLET else rules.bank_account
    limits = graded.get(account.account_class) if account.account_class is not None else None
    if limits is None or account.linked_account is not None:
        return None  # a quick payment is not a payment from the operator's account
    for before, limit, reason in (
        (usage.day_minor, limits.day_minor, "over-day-limit"),
        (usage.year_minor, limits.year_minor, "over-year-limit"),
        (state.spent_minor, limits.lifetime_minor, "over-lifetime-limit"),
    ):
        if limit is not None and before + amount_minor > limit:
            return Decision(response_code="61", reason=reason)
    return None


def _code_limit(
    state: AccountState,
    request: AuthorizationRequest,
    usage: Usage,
    rules: RuleSet,
    amount_minor: int,
) -> Decision | None:
    account = state.account
    if account.currency != "CNY" or request.initiation not in _CODES:
        return None
    if request.initiation is Initiation.STATIC_CODE:
        before, limit = usage.static_code_day_minor, rules.static_code_day_minor
        reason = "over-static-code-limit"
    else:
        before, reason = usage.dynamic_code_day_minor, "over-dynamic-code-limit"
        limit = rules.dynamic_code_day_minor.get(account.barcode_level)
        if account.barcode_level == "A" and rules.dynamic_code_day_minor:
            limit = account.barcode_contract_minor
    if limit is not None and before + amount_minor > limit:
        return Decision(response_code="61", reason=reason)
    return None


def _in_fen(request: AuthorizationRequest, currency: str, amount_minor: int) -> int | None:
    """The amount in renminbi, None where neither currency is; the no-PIN limit is China's."""
    if request.currency == "CNY":
        return request.amount_minor
    return amount_minor if currency == "CNY" else None
