"""Asks the party that keeps an account's books: gathers the evidence, has it decided.

The decision itself is `decision.decide`, which is pure; this room looks up the account's state,
verifies PIN and cryptogram with the issuer's keys and counts what has to be counted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from checkout.clearing.hsm.cryptogram import (
    AtcVerdict,
    ChipProof,
    CryptogramVerdict,
    atc_verdict,
    chip_proof,
)
from checkout.clearing.hsm.decoded_proof import DecodedProof, chip_proof_of
from checkout.clearing.hsm.icc_data import write_icc
from checkout.clearing.hsm.keystore import KeyStore
from checkout.clearing.hsm.pin import PinBlockError, PinVerdict, decrypt_pin_block
from checkout.clearing.issuing.account_store import AccountStore
from checkout.clearing.issuing.accounts import AccountState
from checkout.clearing.issuing.decision import Decision, Evidence, decide
from checkout.clearing.ledger.postings import Parties
from checkout.clearing.messages import AuthorizationRequest
from checkout.clearing.scheme.fees import FeeSplit, fees
from checkout.clearing.scheme.fx import Amounts, RateError, RateTable
from checkout.clearing.scheme.participants import AccountRange, CardKind, Participants
from checkout.clearing.scheme.rules import House, Rules
from checkout.clearing.tokens.limited_use_keys import KeyVerdict, serial_reason
from checkout.clearing.tokens.token_service import Detokenised
from checkout.clearing.wallet_operator import Source, decide_wallet_payment
from checkout.money import Money
from checkout.values import quick

_CARD_KEYS_KEPT = 1 << 16


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Routed:
    """A request with the account behind it: `card` is what DE2 named, `account` what it stands for.

    `card_range` is the range of `card`, whose issuer's keys made its cryptogram.
    """

    request: AuthorizationRequest
    card: str
    account: str
    card_range: AccountRange
    account_range: AccountRange
    token_cryptogram_valid: bool | None = None
    detokenised: Detokenised | None = None


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Authorisation:
    """The account holder's answer with all that the books need for it.

    `counted` are the accounts whose limits the payment uses up, with the amount in their currency.
    """

    decision: Decision
    account: str
    counted: tuple[tuple[str, int], ...] = ()
    parties: Parties | None = None
    split: FeeSplit | None = None
    house: House = House.FOUR_PARTY
    icc: bytes | None = None
    amounts: Amounts | None = None


class Issuers:
    """Every issuer of the world behind one door; each has its own books and keys."""

    def __init__(
        self,
        *,
        accounts: AccountStore,
        keys: KeyStore,
        participants: Participants,
        rules: Rules,
        rates: RateTable,
        use_limited_key: Callable[[str, int], KeyVerdict],
    ) -> None:
        self._accounts = accounts
        self._keys = keys
        self._participants = participants
        self._rules = rules
        self._rates = rates
        self._use_limited_key = use_limited_key
        self._card_keys: dict[tuple[str, str | None], bytes] = {}

    def authorize(
        self, routed: Routed, *, pin_key: bytes | None, on: date, proof: DecodedProof | None = None
    ) -> Authorisation:
        """Decide a purchase or pre-authorisation on the business date `on`.

        `proof` is what the chip proves where it has been verified already.
        IccError for a DE55 that can't be read, PinBlockError for a DE52 that holds no PIN.
        """
        state = self._accounts.state(routed.account)
        if state is None:
            return _declined(routed, "14", "no-such-account")
        if is_wallet(routed.account_range):
            return self._at_operator(routed, pin_key, on, proof)
        try:
            amounts = self._amounts(routed, state.account.currency, on)
        except RateError:
            return _declined(routed, "57", "no-exchange-rate")
        billed = _billed(routed, amounts)
        evidence = self._evidence(routed, pin_key, proof)
        if evidence.pin is not None:
            state = self._state(routed.account)  # its tries have changed
        decision = decide(
            state,
            routed.request,
            usage=self._accounts.usage(routed.account, on),
            evidence=evidence,
            rules=self._rules.on(on),
            business_date=on,
            billing_amount_minor=billed.amount_minor,
        )
        return Authorisation(
            decision=decision,
            account=routed.account,
            counted=((routed.account, billed.amount_minor),),
            parties=self.parties(routed, billed),
            split=self.split(routed, on),
            icc=_issuer_authentication(evidence.cryptogram, decision),
            amounts=amounts,
        )

    def identify(self, routed: Routed, *, pin_key: bytes | None) -> Authorisation:
        """Only make sure of the payer, by PIN, cryptogram or both; for a balance enquiry."""
        state = self._accounts.state(routed.account)
        if state is None:
            return _declined(routed, "14", "no-such-account")
        evidence = self._evidence(routed, pin_key)
        cryptogram = evidence.cryptogram
        if evidence.pin is not None and not evidence.pin.verified:
            return _declined(routed, evidence.pin.response_code, "wrong-pin")
        if cryptogram is not None and not cryptogram.valid:
            return _declined(routed, "63", cryptogram.reason)
        if evidence.pin is None and cryptogram is None:
            return _declined(routed, "05", "nothing-proves-the-payer")
        decision = Decision(response_code="00")
        icc = _issuer_authentication(cryptogram, decision)
        return Authorisation(decision=decision, account=routed.account, icc=icc)

    def price(self, routed: Routed, on: date) -> Authorisation:
        """An approval without any check, for what has been approved elsewhere; RateError."""
        currency = self._state(routed.account).account.currency
        amount = _billed(routed, self._amounts(routed, currency, on))
        return Authorisation(
            decision=Decision(response_code="00"),
            account=routed.account,
            counted=((routed.account, amount.amount_minor),),
            parties=self.parties(routed, amount),
            split=self.split(routed, on),
        )

    def _at_operator(
        self, routed: Routed, pin_key: bytes | None, on: date, proof: DecodedProof | None
    ) -> Authorisation:
        """The three-party house: the operator decides, and the linked bank where there is one."""
        request = routed.request
        evidence = self._evidence(routed, pin_key, proof)
        state = self._state(routed.account)
        if request.currency != state.account.currency:
            return _declined(routed, "57", "wallet-takes-its-own-currency")
        linked_number = state.account.linked_account
        linked = None if linked_number is None else self._accounts.state(linked_number)
        decided = decide_wallet_payment(
            state,
            request,
            usage=self._accounts.usage(routed.account, on),
            evidence=evidence,
            rules=self._rules.on(on),
            business_date=on,
            linked=linked,
            linked_usage=(
                None if linked_number is None else self._accounts.usage(linked_number, on)
            ),
        )
        quick = decided.source is Source.LINKED_BANK
        counted = [(routed.account, request.amount_minor)]
        if quick and linked_number is not None:
            counted.append((linked_number, request.amount_minor))
        billed = Money(amount_minor=request.amount_minor, currency=request.currency)
        return Authorisation(
            decision=decided.decision,
            account=routed.account,
            counted=tuple(counted),
            parties=self.parties(routed, billed, linked_number if quick else None),
            split=self.split(routed, on, linked=quick),
            house=House.THREE_PARTY,
            icc=_issuer_authentication(evidence.cryptogram, decided.decision),
        )

    def _state(self, account: str) -> AccountState:
        state = self._accounts.state(account)
        assert state is not None
        return state

    def parties(self, routed: Routed, billed: Money, linked: str | None = None) -> Parties:
        """Who stands around this payment; `linked` is the bank account behind a quick payment."""
        request = routed.request
        acquirer = self._participants.by_institution[request.acquirer]
        bank = None if linked is None else self._participants.holder_of(linked)
        return Parties(
            account=routed.account,
            billing_currency=billed.currency,
            billing_minor=billed.amount_minor,
            holder=routed.account_range.participant,
            acquirer=acquirer.id,
            merchant=request.merchant_id,
            currency=request.currency,
            bank=bank.id if bank is not None else None,
            linked_account=linked,
        )

    def split(self, routed: Routed, on: date, *, linked: bool = False) -> FeeSplit:
        """The payment's fees by the rules of the business date."""
        request = routed.request
        return fees(
            request.amount_minor,
            card_kind=routed.account_range.card_kind,
            mcc=request.mcc,
            on=on,
            house=House.THREE_PARTY if is_wallet(routed.account_range) else House.FOUR_PARTY,
            currency=request.currency,
            linked=linked,
            rules=self._rules,
        )

    def _amounts(self, routed: Routed, billing: str, on: date) -> Amounts | None:
        """The sale in three currencies; None where all three are the same."""
        holder = self._participants.by_id[routed.account_range.participant]
        if routed.request.currency == billing == holder.currency:
            return None
        sale = Money(amount_minor=routed.request.amount_minor, currency=routed.request.currency)
        return self._rates.amounts(
            sale, settlement=holder.currency, billing=billing, participant=holder.id, on=on
        )

    def _evidence(
        self, routed: Routed, pin_key: bytes | None, known: DecodedProof | None = None
    ) -> Evidence:
        request = routed.request
        pin = self._pin(routed, pin_key)
        if not routed.card_range.verifiable:
            return Evidence(pin=pin, unverifiable=True)
        if request.icc is None:
            return Evidence(pin=pin, token_cryptogram_valid=routed.token_cryptogram_valid)
        proof = self._proof(routed, known)
        verdict = proof.verdict
        counter = self._counter(routed, verdict)
        return Evidence(
            pin=pin,
            cryptogram=verdict,
            atc=counter,
            cardholder=proof.cardholder,
            token_cryptogram_valid=routed.token_cryptogram_valid,
            limited_key_reason=self._limited_key(routed, verdict, counter),
        )

    def _proof(self, routed: Routed, known: DecodedProof | None) -> ChipProof:
        """What the chip proves: as it was verified ahead, or verified now."""

        def verify() -> ChipProof:
            key = self._card_key(routed.card, routed.request.pan_sequence)
            return chip_proof(routed.request, routed.card_range.scheme, key)

        return verify() if known is None else chip_proof_of(known, verify)

    def _limited_key(
        self, routed: Routed, verdict: CryptogramVerdict, counter: AtcVerdict | None
    ) -> str:
        """What is wrong with the phone's limited-use key, whose uses are counted by its serial."""
        if verdict.key_serial is None or counter is None or not counter.fresh:
            return ""
        key = f"{routed.card}/key/{verdict.key_serial}"
        uses = self._accounts.last_counter(key) or 0
        reason = serial_reason(uses)
        if not reason:
            self._accounts.see_counter(key, uses + 1)
        return reason

    def _card_key(self, card: str, pan_sequence: str | None) -> bytes:
        """The card's key, from a shelf that is emptied when it is full."""
        found = self._card_keys.get((card, pan_sequence))
        if found is None:
            if len(self._card_keys) >= _CARD_KEYS_KEPT:
                self._card_keys.clear()
            found = self._keys.card_key(card, pan_sequence)
            self._card_keys[card, pan_sequence] = found
        return found

    def _counter(self, routed: Routed, verdict: CryptogramVerdict) -> AtcVerdict | None:
        """A counter is used up by a right cryptogram, whatever becomes of the payment."""
        if not verdict.valid:
            return None
        card = f"{routed.card}/{routed.request.pan_sequence or '000'}"
        fresh = atc_verdict(self._accounts.last_counter(card), verdict.atc)
        if fresh.fresh:
            self._accounts.see_counter(card, verdict.atc)
        if fresh.fresh and verdict.key_serial is not None:
            key = self._use_limited_key(routed.card, verdict.key_serial)
            return fresh if key.valid else AtcVerdict(fresh=False, reason=key.reason)
        return fresh

    def _pin(self, routed: Routed, pin_key: bytes | None) -> PinVerdict | None:
        block = routed.request.pin_block
        if block is None:
            return None
        if pin_key is None:
            raise PinBlockError("DE52: no PIN key was exchanged in this session")
        pin = decrypt_pin_block(block, routed.card, pin_key)
        return self._accounts.verify_pin(routed.account, pin)


def _billed(routed: Routed, amounts: Amounts | None) -> Money:
    """What the payer's account is charged."""
    if amounts is not None:
        return amounts.billing.into
    return Money(amount_minor=routed.request.amount_minor, currency=routed.request.currency)


def _declined(routed: Routed, code: str, reason: str) -> Authorisation:
    return Authorisation(
        decision=Decision(response_code=code, reason=reason), account=routed.account
    )


def _issuer_authentication(verdict: CryptogramVerdict | None, decision: Decision) -> bytes | None:
    """Tag 91 for the card, where its cryptogram was right."""
    if verdict is None:
        return None
    answer = verdict.issuer_authentication(decision.response_code)
    return write_icc({0x91: answer}) if answer else None


def is_wallet(account_range: AccountRange) -> bool:
    """Whether the three-party house keeps accounts of this range."""
    return account_range.card_kind is CardKind.WALLET
