"""An earlier sale as it stands now: its state, what was refunded, and the parties to it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from checkout.clearing.authorisation.backend import Backend
from checkout.clearing.authorisation.context import message_key
from checkout.clearing.authorisation.sale_life import SaleState
from checkout.clearing.ledger.ledger import Status, Transfer
from checkout.clearing.ledger.postings import Parties, is_top_up, payer_of
from checkout.clearing.messages import (
    AuthorizationRequest,
    Initiation,
    OriginalElements,
    TransactionType,
)
from checkout.clearing.scheme.fees import FeeSplit, fees
from checkout.clearing.scheme.participants import CardKind
from checkout.clearing.scheme.rules import House
from checkout.clearing.store.rows import EntryRow, MessageRow
from checkout.database import date_of
from checkout.money import mask_account, share_of

DISPUTED = ("chargeback", "final-chargeback")
REPRESENTED = "representment"
#: Kinds of the entry that each step of a dispute makes, with the state that the sale is in then.
#: A step that moves no money makes an entry without transfers.
DISPUTE_STATES = {
    "chargeback": SaleState.CHARGED_BACK,
    REPRESENTED: SaleState.REPRESENTED,
    "final-chargeback": SaleState.FINAL_FOR_PAYER,
    "final-for-payer": SaleState.FINAL_FOR_PAYER,
    "final-for-merchant": SaleState.FINAL_FOR_MERCHANT,
}
#: Kind of entry that gives a top-up back, in whole or in part.
TOP_UP_RETURN = "top-up-return"
_BACKWARD = (
    TransactionType.REFUND,
    TransactionType.VOID,
    TransactionType.PREAUTHORISATION_VOID,
    TOP_UP_RETURN,
)
#: Kinds of entry that give money back; their reversal takes it again.
RETURNS = (TransactionType.REFUND, TOP_UP_RETURN)
_COMPLETIONS = (TransactionType.COMPLETION, TransactionType.COMPLETION_ADVICE)
_ENDINGS: dict[str, SaleState] = {
    TransactionType.VOID: SaleState.VOIDED,
    TransactionType.PREAUTHORISATION_VOID: SaleState.RELEASED,
    TransactionType.COMPLETION: SaleState.REPLACED,
    TransactionType.COMPLETION_ADVICE: SaleState.REPLACED,
}
#: Kinds of entry that undo a posted sale or refund.
CONTRA = ("reversal", "refund-reversal")
#: Kind of the entry by which the reversal of a void enters the sale anew.
REINSTATED = "reinstated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sale:
    """A sale or hold with what followed it; amounts in minor units of its currency."""

    entry: EntryRow
    transfers: tuple[Transfer, ...]
    refunded_minor: int
    refunded_billing_minor: int
    disputed_minor: int  # what the payer has got by a dispute
    claimed_minor: int  # what the payer has got, or may still get, by a dispute
    state: SaleState

    @property
    def sold_on(self) -> date:
        """Its business date."""
        return date_of(self.entry.business_date)

    @property
    def is_hold(self) -> bool:
        """Whether it only holds the money."""
        return _is_hold(self.transfers)

    @property
    def is_backward(self) -> bool:
        """Whether it is not a sale but itself gives something back."""
        return self.entry.kind in _BACKWARD

    @property
    def is_top_up(self) -> bool:
        """Whether it is not a sale but brought money into a wallet."""
        return is_top_up(self.transfers)

    @property
    def house(self) -> House:
        """The house that it went through."""
        return House(self.entry.house)

    @property
    def linked(self) -> bool:
        """Whether a linked bank account paid."""
        return any(
            transfer.purpose in ("quick payment", "quick hold") for transfer in self.transfers
        )


class OriginalSales:
    """Finds the sales that later messages name, and works out what those come to."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def named_by(self, request: AuthorizationRequest, original: OriginalElements) -> Sale | None:
        """The approved original that `request` names; None where there is none of this acquirer.

        A sale that was completed, or voided and reinstated, is found as its latest entry.
        """
        key = message_key(
            original.transmitted_at, original.stan, original.acquirer, request.terminal_id
        )
        message = self._backend.store.message_by_key(key)
        if message is None or not self.is_own(message, request):
            return None
        entry = self._backend.store.entry(message.seq)
        if entry is None or self.difference(message, request, original):
            return None
        return self.sale(self.latest(entry))

    def is_own(self, message: MessageRow, request: AuthorizationRequest) -> bool:
        """Whether the forwarder of `request` sent that message: nobody may undo another's."""
        sender = self._backend.participants.by_institution.get(request.forwarder)
        return sender is not None and sender.id == message.peer

    def difference(
        self, message: MessageRow, request: AuthorizationRequest, original: OriginalElements
    ) -> str:
        """The field in which `request` contradicts the message that it names; empty where none.

        The amount is not compared: how much may follow depends on what follows.
        """
        if message.message_type != original.message_type:
            return "DE90"
        if request.acquirer != original.acquirer:
            return "DE32"
        if message.merchant != request.merchant_id:
            return "DE42"
        if message.currency != request.currency:
            return "DE49"
        if message.account != mask_account(request.account):
            return "DE2"
        entry = self._backend.store.entry(message.seq)
        if entry is None or request.account == entry.payer:
            return ""
        token = self._backend.vault.find(request.account)
        return "" if token is not None and token.account == entry.payer else "DE2"

    def sale(self, entry: EntryRow) -> Sale:
        """An entry with what followed it."""
        store = self._backend.store
        refunded = billed = disputed = claimed = 0
        dispute: SaleState | None = None
        followers = store.followers(entry.id)
        for follower in followers:
            if store.status(follower) is Status.VOIDED:
                continue
            if follower.kind in RETURNS and not self._undone(follower):
                refunded += follower.amount_minor
                billed += follower.billing_minor
            dispute = DISPUTE_STATES.get(follower.kind, dispute)
            if follower.kind in DISPUTED:
                disputed += follower.amount_minor
                claimed = follower.amount_minor
            elif follower.kind == REPRESENTED:
                disputed -= follower.amount_minor
            elif follower.kind == SaleState.FINAL_FOR_MERCHANT:
                claimed = 0
        state = self._ended_or_replaced(entry, followers) or dispute
        transfers = store.transfers(entry.id)
        if state is None and refunded:
            whole = refunded >= entry.amount_minor
            state = SaleState.REFUNDED if whole else SaleState.PARTLY_REFUNDED
        if state is None and store.status(entry) is Status.POSTED:
            state = SaleState.POSTED
        return Sale(
            entry=entry,
            transfers=transfers,
            refunded_minor=refunded,
            refunded_billing_minor=billed,
            disputed_minor=disputed,
            claimed_minor=claimed,
            state=state or (SaleState.HELD if _is_hold(transfers) else SaleState.SOLD),
        )

    def _ended_or_replaced(
        self, entry: EntryRow, followers: tuple[EntryRow, ...]
    ) -> SaleState | None:
        """The state of an entry that no longer stands; None for one that does.

        What ended an entry is the message that its resolution names: the void or the completion
        that follows it, else a reversal.
        """
        if any(follower.kind in CONTRA for follower in followers):
            return SaleState.REVERSED
        if any(follower.kind == REINSTATED for follower in followers):
            return SaleState.REPLACED
        resolution = self._backend.store.resolution(entry.id)
        if resolution is None or resolution.status is Status.POSTED:
            return None
        if resolution.status is Status.EXPIRED:
            return SaleState.EXPIRED
        for follower in followers:
            if follower.id == resolution.cause and follower.kind in _ENDINGS:
                return _ENDINGS[follower.kind]
        return SaleState.REVERSED

    def _undone(self, refund: EntryRow) -> bool:
        return any(entry.kind in CONTRA for entry in self._backend.store.followers(refund.id))

    def parties(self, sale: Sale, request: AuthorizationRequest) -> Parties:
        """The parties to a request that follows `sale`, with its amount as it is billed."""
        account = payer_of(sale.transfers)
        linked = account if sale.linked else None
        entry = sale.entry
        bank = None if linked is None else self._backend.participants.holder_of(linked)
        return Parties(
            account=account,
            billing_currency=entry.billing_currency,
            billing_minor=self._billed(sale, request),
            holder=entry.holder,
            acquirer=entry.acquirer,
            merchant=entry.merchant,
            currency=entry.currency,
            bank=None if bank is None else bank.id,
            linked_account=linked,
        )

    def split(self, sale: Sale, request: AuthorizationRequest, on: date) -> FeeSplit:
        """The fees of a completion, by the rules of its own business date."""
        account_range = self._backend.participants.range_of(payer_of(sale.transfers))
        return fees(
            request.amount_minor,
            card_kind=CardKind.DEBIT if account_range is None else account_range.card_kind,
            mcc=request.mcc,
            on=on,
            house=sale.house,
            currency=request.currency,
            linked=sale.linked,
            rules=self._backend.world.rules,
        )

    def count(self, sale: Sale, on: date, billing_minor: int) -> None:
        """Count an amount into the payer's limits, or take it back where it is negative."""
        initiation = Initiation(sale.entry.initiation)
        paid_from = payer_of(sale.transfers)
        for account in {paid_from} if sale.is_top_up else {sale.entry.payer, paid_from}:
            if self._backend.accounts.account(account) is not None:
                self._backend.accounts.spend(account, on, billing_minor, initiation)

    def uncount(self, sale: Sale) -> None:
        """Take the sale's amount off the limits of its day."""
        self.count(sale, sale.sold_on, -sale.entry.billing_minor)

    def latest(self, entry: EntryRow) -> EntryRow:
        """The entry that is the sale now, after its completions and reinstatements.

        It may itself have been voided or reversed; what came before it then stands no longer
        either, for the reversal of a completion reinstates the hold by a new entry.
        """
        for follower in reversed(self._backend.store.followers(entry.id)):
            if follower.kind in _COMPLETIONS or follower.kind == REINSTATED:
                return self.latest(follower)
        return entry

    def _billed(self, sale: Sale, request: AuthorizationRequest) -> int:
        """The amount in the payer's currency; all refunds together come to what was billed."""
        entry = sale.entry
        if entry.billing_currency == entry.currency:
            return request.amount_minor
        if request.transaction_type is TransactionType.REFUND:
            refunded = sale.refunded_minor + request.amount_minor
            billed = share_of(entry.billing_minor, refunded, entry.amount_minor)
            return max(billed - sale.refunded_billing_minor, 0)
        return share_of(entry.billing_minor, request.amount_minor, entry.amount_minor)


def _is_hold(transfers: tuple[Transfer, ...]) -> bool:
    return any(transfer.purpose in ("hold", "quick hold") for transfer in transfers)
