"""Asks the party that keeps an account's books: gathers the evidence, has the payment decided.

The decision itself is `decision.decide`, which does no I/O. This module looks the account's state
up, verifies PIN and cryptogram with the issuer's keys, and counts what a payment uses up.
"""

from __future__ import annotations

from datetime import date

import msgspec

from checkout.clearing.authorisation.routing import RoutedRequest
from checkout.clearing.hsm.cryptogram import (
    AtcVerdict,
    ChipProof,
    CryptogramVerdict,
    atc_verdict,
    chip_proof,
)
from checkout.clearing.hsm.decoded_proof import chip_proof_of
from checkout.clearing.hsm.icc_data import write_icc
from checkout.clearing.hsm.keystore import KeyStore
from checkout.clearing.hsm.pin import PinBlockError, PinVerdict, decrypt_pin_block
from checkout.clearing.issuing.account_store import AccountStore
from checkout.clearing.issuing.accounts import AccountState
from checkout.clearing.issuing.decision import Decision, Evidence, decide
from checkout.clearing.issuing.world import World
from checkout.clearing.ledger.postings import Parties
from checkout.clearing.scheme.fees import FeeSplit, fees
from checkout.clearing.scheme.fx import Amounts, RateError
from checkout.clearing.scheme.rules import House
from checkout.clearing.tokens.limited_use_keys import serial_reason
from checkout.clearing.tokens.vault import Vault
from checkout.clearing.wallet_operator import Source, decide_wallet_payment
from checkout.money import Money

_CARD_KEYS_CACHED = 1 << 16


class HolderAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The account holder's decision with all that the books need for it.

    `counted` are the accounts whose limits the payment uses up, each with the amount in its own
    currency; `amounts` the sale in three currencies, None where all three are the same.
    """

    decision: Decision
    account: str
    counted: tuple[tuple[str, int], ...] = ()
    parties: Parties | None = None
    split: FeeSplit | None = None
    house: House = House.FOUR_PARTY
    icc: bytes | None = None
    amounts: Amounts | None = None


class AccountHolders:
    """Every issuer and wallet operator of the world; each has its own books and keys."""

    def __init__(self, world: World, accounts: AccountStore, vault: Vault, keys: KeyStore) -> None:
        self._participants = world.participants
        self._rules = world.rules
        self._rates = world.rates
        self._accounts = accounts
        self._vault = vault
        self._keys = keys
        self._card_keys: dict[tuple[str, str | None], bytes] = {}

    def authorise(self, routed: RoutedRequest) -> HolderAnswer:
        """Decide a purchase or pre-authorisation.

        IccError for a DE55 that can't be read, PinBlockError for a DE52 that holds no PIN.
        """
        on = routed.context.business_date
        state = self._accounts.state(routed.account)
        if state is None:
            return _declined(routed, "14", "no-such-account")
        if routed.is_wallet:
            return self._authorise_at_operator(routed)
        try:
            amounts = self._amounts(routed, state.account.currency)
        except RateError:
            return _declined(routed, "57", "no-exchange-rate")
        billed = _billed(routed, amounts)
        evidence = self._evidence(routed)
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
        return HolderAnswer(
            decision=decision,
            account=routed.account,
            counted=((routed.account, billed.amount_minor),),
            parties=self._parties(routed, billed),
            split=self._split(routed),
            icc=_issuer_authentication(evidence.cryptogram, decision),
            amounts=amounts,
        )

    def identify(self, routed: RoutedRequest) -> HolderAnswer:
        """Only make sure of the payer, by PIN, cryptogram or both; for a balance enquiry."""
        state = self._accounts.state(routed.account)
        if state is None:
            return _declined(routed, "14", "no-such-account")
        evidence = self._evidence(routed)
        cryptogram = evidence.cryptogram
        if evidence.pin is not None and not evidence.pin.verified:
            return _declined(routed, evidence.pin.response_code, "wrong-pin")
        if cryptogram is not None and not cryptogram.valid:
            return _declined(routed, "63", cryptogram.reason)
        if evidence.pin is None and cryptogram is None:
            return _declined(routed, "05", "nothing-proves-the-payer")
        decision = Decision(response_code="00")
        icc = _issuer_authentication(cryptogram, decision)
        return HolderAnswer(decision=decision, account=routed.account, icc=icc)

    def price(self, routed: RoutedRequest) -> HolderAnswer:
        """An approval without any check, for what has been approved elsewhere; RateError."""
        currency = self._state(routed.account).account.currency
        amount = _billed(routed, self._amounts(routed, currency))
        return HolderAnswer(
            decision=Decision(response_code="00"),
            account=routed.account,
            counted=((routed.account, amount.amount_minor),),
            parties=self._parties(routed, amount),
            split=self._split(routed),
        )

    # -- parts ----------------------------------------------------------------------------------

    def _authorise_at_operator(self, routed: RoutedRequest) -> HolderAnswer:
        """The three-party house: the operator decides, and the linked bank where there is one."""
        request, on = routed.request, routed.context.business_date
        evidence = self._evidence(routed)
        state = self._state(routed.account)
        if request.currency != state.account.currency:
            return _declined(routed, "57", "wallet-takes-its-own-currency")
        linked_number = state.account.linked_account
        linked = None if linked_number is None else self._accounts.state(linked_number)
        answer = decide_wallet_payment(
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
        from_bank = answer.source is Source.LINKED_BANK
        counted = [(routed.account, request.amount_minor)]
        if from_bank and linked_number is not None:
            counted.append((linked_number, request.amount_minor))
        billed = Money(amount_minor=request.amount_minor, currency=request.currency)
        return HolderAnswer(
            decision=answer.decision,
            account=routed.account,
            counted=tuple(counted),
            parties=self._parties(routed, billed, linked_number if from_bank else None),
            split=self._split(routed, linked=from_bank),
            house=House.THREE_PARTY,
            icc=_issuer_authentication(evidence.cryptogram, answer.decision),
        )

    def _state(self, account: str) -> AccountState:
        state = self._accounts.state(account)
        assert state is not None
        return state

    def _parties(self, routed: RoutedRequest, billed: Money, linked: str | None = None) -> Parties:
        """The parties to this payment; `linked` is the bank account behind a quick payment."""
        request = routed.request
        acquirer = self._participants.by_institution[request.acquirer]
        bank = None if linked is None else self._participants.holder_of(linked)
        return Parties(
            account=routed.account,
            billing_currency=billed.currency,
            billing_minor=billed.amount_minor,
            holder=routed.holder,
            acquirer=acquirer.id,
            merchant=request.merchant_id,
            currency=request.currency,
            bank=bank.id if bank is not None else None,
            linked_account=linked,
        )

    def _split(self, routed: RoutedRequest, *, linked: bool = False) -> FeeSplit:
        """The payment's fees by the rules of the business date."""
        request = routed.request
        return fees(
            request.amount_minor,
            card_kind=routed.account_range.card_kind,
            mcc=request.mcc,
            on=routed.context.business_date,
            house=House.THREE_PARTY if routed.is_wallet else House.FOUR_PARTY,
            currency=request.currency,
            linked=linked,
            rules=self._rules,
        )

    def _amounts(self, routed: RoutedRequest, billing: str) -> Amounts | None:
        """The sale in three currencies; None where all three are the same."""
        holder = self._participants.by_id[routed.holder]
        if routed.request.currency == billing == holder.currency:
            return None
        on: date = routed.context.business_date
        sale = Money(amount_minor=routed.request.amount_minor, currency=routed.request.currency)
        return self._rates.amounts(
            sale, settlement=holder.currency, billing=billing, participant=holder.id, on=on
        )

    def _evidence(self, routed: RoutedRequest) -> Evidence:
        """What PIN and chip prove; a PIN try and the card's counter are used up by it."""
        pin = self._verify_pin(routed)
        if not routed.card_range.verifiable:
            return Evidence(pin=pin, unverifiable=True)
        if routed.request.icc is None:
            return Evidence(pin=pin, token_cryptogram_valid=routed.token_cryptogram_valid)
        proof = self._chip_proof(routed)
        verdict = proof.verdict
        counter = self._use_counter(routed, verdict)
        return Evidence(
            pin=pin,
            cryptogram=verdict,
            atc=counter,
            cardholder=proof.cardholder,
            token_cryptogram_valid=routed.token_cryptogram_valid,
            limited_key_reason=self._count_key_serial(routed, verdict, counter),
        )

    def _chip_proof(self, routed: RoutedRequest) -> ChipProof:
        """The chip's proof: verified in advance, or else verified now."""

        def verify() -> ChipProof:
            key = self._card_key(routed.card, routed.request.pan_sequence)
            return chip_proof(routed.request, routed.card_range.scheme, key)

        proof = routed.context.proof
        return verify() if proof is None else chip_proof_of(proof, verify)

    def _use_counter(self, routed: RoutedRequest, verdict: CryptogramVerdict) -> AtcVerdict | None:
        """A right cryptogram uses its counter up, whatever becomes of the payment."""
        if not verdict.valid:
            return None
        card = f"{routed.card}/{routed.request.pan_sequence or '000'}"
        counter = atc_verdict(self._accounts.last_counter(card), verdict.atc)
        if counter.fresh:
            self._accounts.record_counter(card, verdict.atc)
        if counter.fresh and verdict.key_serial is not None:
            key = self._vault.use_key(routed.card, verdict.key_serial, routed.context.now)
            return counter if key.valid else AtcVerdict(fresh=False, reason=key.reason)
        return counter

    def _count_key_serial(
        self, routed: RoutedRequest, verdict: CryptogramVerdict, counter: AtcVerdict | None
    ) -> str:
        """What is wrong with the phone's limited-use key, whose uses are counted by its serial."""
        if verdict.key_serial is None or counter is None or not counter.fresh:
            return ""
        key = f"{routed.card}/key/{verdict.key_serial}"
        uses = self._accounts.last_counter(key) or 0
        reason = serial_reason(uses)
        if not reason:
            self._accounts.record_counter(key, uses + 1)
        return reason

    def _card_key(self, card: str, pan_sequence: str | None) -> bytes:
        """The card's key, from a cache that is emptied when it is full."""
        key = self._card_keys.get((card, pan_sequence))
        if key is None:
            if len(self._card_keys) >= _CARD_KEYS_CACHED:
                self._card_keys.clear()
            key = self._keys.card_key(card, pan_sequence)
            self._card_keys[card, pan_sequence] = key
        return key

    def _verify_pin(self, routed: RoutedRequest) -> PinVerdict | None:
        block, pin_key = routed.request.pin_block, routed.context.pin_key
        if block is None:
            return None
        if pin_key is None:
            raise PinBlockError("DE52: no PIN key was exchanged in this session")
        pin = decrypt_pin_block(block, routed.card, pin_key)
        return self._accounts.verify_pin(routed.account, pin)


def _billed(routed: RoutedRequest, amounts: Amounts | None) -> Money:
    """What the payer's account is charged."""
    if amounts is not None:
        return amounts.billing.into
    return Money(amount_minor=routed.request.amount_minor, currency=routed.request.currency)


def _declined(routed: RoutedRequest, code: str, reason: str) -> HolderAnswer:
    return HolderAnswer(
        decision=Decision(response_code=code, reason=reason), account=routed.account
    )


def _issuer_authentication(verdict: CryptogramVerdict | None, decision: Decision) -> bytes | None:
    """Tag 91 for the card, where its cryptogram was right."""
    if verdict is None:
        return None
    answer = verdict.issuer_authentication(decision.response_code)
    return write_icc({0x91: answer}) if answer else None
