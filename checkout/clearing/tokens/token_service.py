"""The token service provider: payment tokens, where each works, and the account behind it.

A payment token is requested, verified, active, perhaps suspended and active again, and deleted.
EMV Payment Tokenisation Specification, Technical Framework.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum

from checkout.clearing.hsm import tdes
from checkout.clearing.hsm.card_keys import common_session_key
from checkout.clearing.issuing.accounts import AccountState, AccountStatus
from checkout.clearing.issuing.decision import expired
from checkout.clearing.messages import AuthorizationRequest, EntryMode, Initiation
from checkout.clearing.scheme.participants import TokenRequestor
from checkout.money import numeric_code

VERIFICATION_TRIES = 3
TOKEN_PREFIX = "999970"  # noqa: S105 - an account range, no secret
_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class TokenState(StrEnum):
    """Where a payment token is in its life; deleted is final."""

    REQUESTED = "requested"
    VERIFIED = "verified"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    DELETED = "deleted"


class TokenDomain(StrEnum):
    """The one place where a payment token works."""

    CONTACTLESS = "contactless"
    CODE = "code"
    ONLINE = "online"
    MERCHANT = "merchant"  # online, at one merchant


class Verification(StrEnum):
    """How the issuer made sure that the payer asks (identification and verification)."""

    NONE = "none"
    CARD_DETAILS = "card-details"
    ONE_TIME_CODE = "one-time-code"
    BANK_APP = "bank-app"


class TokenAction(StrEnum):
    """What may be done to a payment token after its verification."""

    ACTIVATE = "activate"
    SUSPEND = "suspend"
    RESUME = "resume"
    DELETE = "delete"


#: Assurance level (two digits, 00 none to 99) that a way of verifying earns; the demo's own scale.
ASSURANCE = {
    Verification.NONE: "00",
    Verification.CARD_DETAILS: "10",
    Verification.ONE_TIME_CODE: "40",
    Verification.BANK_APP: "70",
}
_STEPS: dict[tuple[TokenAction, TokenState], TokenState] = {
    (TokenAction.ACTIVATE, TokenState.VERIFIED): TokenState.ACTIVE,
    (TokenAction.SUSPEND, TokenState.ACTIVE): TokenState.SUSPENDED,
    (TokenAction.RESUME, TokenState.SUSPENDED): TokenState.ACTIVE,
    **{
        (TokenAction.DELETE, state): TokenState.DELETED
        for state in TokenState
        if state is not TokenState.DELETED
    },
}


class TokenError(ValueError):
    """A step that a payment token can't take in its state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentToken:
    """One payment token and what it stands for; numbers are kept out of `repr`.

    `reference` is the payment account reference (PAR) of the account behind, the same for all of
    its tokens; `assurance` says how surely the payer was verified.
    """

    number: str = field(repr=False)
    account: str = field(repr=False)
    requestor_id: str
    domain: TokenDomain
    expiry: str  # YYMM
    reference: str
    state: TokenState = TokenState.REQUESTED
    assurance: str = "00"
    merchant: str | None = None
    verification_tries_left: int = VERIFICATION_TRIES


@dataclass(frozen=True, slots=True, kw_only=True)
class Detokenised:
    """What the network passes to the issuer: the account, and all about the payment token."""

    account: str = field(repr=False)
    payment_token: str = field(repr=False)
    expiry: str
    requestor_id: str
    assurance: str
    domain: TokenDomain
    reference: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRefusal:
    """Why the network or the token service refuses; `response_code` is DE39."""

    response_code: str
    reason: str


def request_token(
    number: str,
    *,
    holder: AccountState,
    requestor: TokenRequestor,
    domain: TokenDomain,
    expiry: str,
    reference: str,
    on: date,
    merchant: str | None = None,
) -> PaymentToken | TokenRefusal:
    """A requestor asks for a payment token of an account; the issuer has yet to verify the payer.

    `number` is an unused one from `token_number`, `reference` from `payment_account_reference`.
    """
    if domain.value not in requestor.domains:
        return TokenRefusal(response_code="57", reason="requestor-not-allowed-domain")
    if (domain is TokenDomain.MERCHANT) != (merchant is not None):
        return TokenRefusal(response_code="30", reason="merchant-and-domain-disagree")
    if holder.status is not AccountStatus.ACTIVE:
        return TokenRefusal(response_code="62", reason=f"account-{holder.status}")
    if expired(holder.account.expiry, on):
        return TokenRefusal(response_code="54", reason="expired")
    return PaymentToken(
        number=number,
        account=holder.account.account,
        requestor_id=requestor.id,
        domain=domain,
        expiry=expiry,
        reference=reference,
        merchant=merchant,
    )


def verify(token: PaymentToken, method: Verification, *, passed: bool) -> PaymentToken:
    """The outcome of identification and verification; the third failure deletes the token."""
    if token.state is not TokenState.REQUESTED:
        raise TokenError(f"payment token: verified only when requested, is {token.state}")
    if passed:
        return replace(token, state=TokenState.VERIFIED, assurance=ASSURANCE[method])
    left = token.verification_tries_left - 1
    state = token.state if left else TokenState.DELETED
    return replace(token, verification_tries_left=left, state=state)


def advance(token: PaymentToken, action: TokenAction) -> PaymentToken:
    """Activate, suspend, resume or delete; TokenError where its state forbids that."""
    after = _STEPS.get((action, token.state))
    if after is None:
        raise TokenError(f"payment token: can't {action} when {token.state}")
    return replace(token, state=after)


def detokenise(
    token: PaymentToken | None, request: AuthorizationRequest, *, on: date
) -> Detokenised | TokenRefusal:
    """Find the account behind a payment token, if it is used where it may be.

    `token` is the payment token of the request's account number, None if there is none. A stolen
    token number is worth nothing elsewhere: its domain is checked before the issuer is asked.
    """
    if token is None or token.state is TokenState.DELETED:
        return TokenRefusal(response_code="14", reason="token-unknown")
    if token.state is not TokenState.ACTIVE:
        return TokenRefusal(response_code="62", reason=f"token-{token.state}")
    if expired(token.expiry, on):
        return TokenRefusal(response_code="54", reason="token-expired")
    if request.token_requestor is not None and request.token_requestor != token.requestor_id:
        return TokenRefusal(response_code="57", reason="token-requestor-differs")
    if not _within_domain(token, request):
        return TokenRefusal(response_code="57", reason="token-outside-domain")
    return Detokenised(
        account=token.account,
        payment_token=token.number,
        expiry=token.expiry,
        requestor_id=token.requestor_id,
        assurance=token.assurance,
        domain=token.domain,
        reference=token.reference,
    )


def token_number(serial: int, *, prefix: str = TOKEN_PREFIX) -> str:
    """The payment token number (16 digits, with check digit) of a serial below 10**9."""
    body = f"{prefix}{serial:0{15 - len(prefix)}}"
    if len(body) != 15:
        raise TokenError(f"payment token: serial {serial} does not fit {15 - len(prefix)} digits")
    digits = [int(digit) for digit in reversed(body)]
    doubled = sum(digit * 2 - 9 if digit > 4 else digit * 2 for digit in digits[::2])
    return body + str(-(doubled + sum(digits[1::2])) % 10)


def payment_account_reference(account: str, secret: bytes) -> str:
    """29 characters that stand for an account without giving its number away (DE56).

    Four characters of the issuing controller, then 25 of a keyed hash, so that nobody can find the
    account by trying numbers. EMVCo, Payment Account Reference.
    """
    number = int.from_bytes(hmac.digest(secret, account.encode("ascii"), "sha256"))
    letters = ""
    for _ in range(25):
        number, at = divmod(number, len(_LETTERS))
        letters += _LETTERS[at]
    return "9999" + letters


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCryptogramVerdict:
    """Whether an online payment's cryptogram fits; `reason` is empty or `cryptogram-mismatch`."""

    valid: bool
    reason: str
    atc: int


def token_cryptogram(token_key: bytes, request: AuthorizationRequest, atc: int, un: bytes) -> bytes:
    """14 bytes of DE63 for an online payment: ATC (2), unpredictable number (4), MAC (8).

    The MAC (ISO/IEC 9797-1, algorithm 3, padding 2) under the session key of this ATC covers the
    payment token, amount, currency, merchant, ATC and number, so it pays one merchant once.
    """
    session = common_session_key(token_key, atc.to_bytes(2) + bytes(6))
    signed = f"{request.account}{request.amount_minor:012}{numeric_code(request.currency)}"
    body = f"{signed}{request.merchant_id:<15}".encode("ascii") + atc.to_bytes(2) + un
    mac = tdes.mac_algorithm_3(session, tdes.pad_method_2(body))
    return atc.to_bytes(2) + un + mac


def verify_token_cryptogram(
    token_key: bytes, request: AuthorizationRequest
) -> TokenCryptogramVerdict:
    """Check DE63's cryptogram of an online payment; a missing or short one is not valid."""
    cryptogram = request.token_cryptogram or b""
    if len(cryptogram) != 14:
        return TokenCryptogramVerdict(valid=False, reason="cryptogram-missing", atc=0)
    atc = int.from_bytes(cryptogram[:2])
    fits = hmac.compare_digest(
        cryptogram, token_cryptogram(token_key, request, atc, cryptogram[2:6])
    )
    return TokenCryptogramVerdict(valid=fits, reason="" if fits else "cryptogram-mismatch", atc=atc)


def _within_domain(token: PaymentToken, request: AuthorizationRequest) -> bool:
    online = (
        request.entry_mode is EntryMode.ECOMMERCE
        and request.initiation is Initiation.ONLINE
        and request.token_cryptogram is not None
    )
    match token.domain:
        case TokenDomain.CONTACTLESS:
            return (
                request.entry_mode is EntryMode.CONTACTLESS_CHIP
                and request.initiation is Initiation.CARD
                and request.icc is not None
            )
        case TokenDomain.CODE:
            return request.entry_mode is EntryMode.BARCODE and request.initiation in (
                Initiation.STATIC_CODE,
                Initiation.DYNAMIC_CODE,
                Initiation.PAYER_CODE,
            )
        case TokenDomain.ONLINE:
            return online
        case TokenDomain.MERCHANT:
            return online and request.merchant_id.strip() == (token.merchant or "").strip()
