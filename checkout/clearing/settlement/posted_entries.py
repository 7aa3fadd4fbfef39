"""The entries that a close of the day has posted, read from the tables for netting."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from checkout.clearing.authorisation.backend import Backend
from checkout.clearing.authorisation.original import DISPUTED, REPRESENTED, TOP_UP_RETURN
from checkout.clearing.ledger.ledger import LEGS_PER_ENTRY, Transfer, currency_of_account
from checkout.clearing.ledger.postings import TOP_UP_DRAWN, is_top_up, position, split_of
from checkout.clearing.messages import TransactionType
from checkout.clearing.scheme.participants import CardKind
from checkout.clearing.scheme.rules import House
from checkout.clearing.settlement.netting import Movement, SettledPayment, holder_owes
from checkout.clearing.store.rows import (
    SELECT_ENTRY,
    SELECT_TRANSFER,
    EntryRow,
    entry_row,
    transfer_row,
)
from checkout.database import date_of
from checkout.money import Money

_CHUNK = 2000
_MOVEMENTS = {
    TransactionType.REFUND.value: Movement.REFUND,
    "reversal": Movement.REFUND,
    TOP_UP_RETURN: Movement.REFUND,
    REPRESENTED: Movement.REPRESENTMENT,
    **dict.fromkeys(DISPUTED, Movement.CHARGEBACK),
}
#: Entries that belong to no sale, and so are not netted.
_NOT_NETTED = ("opening", "settlement")

Amounts = dict[str, int]


class PostedDay:
    """The entries posted after the close of `before` and with that of `day` (yyyymmdd both).

    Top-ups are posted on their own date, all others on the one that is closed.
    """

    def __init__(self, backend: Backend, before: int, day: int) -> None:
        self._backend = backend
        self._before, self._day = before, day

    def payments(self) -> Iterator[SettledPayment]:
        """Every sale, refund, top-up and dispute step in order, read in chunks."""
        last = 0
        while True:
            entries = self._entries(last)
            if not entries:
                return
            last = entries[-1].id
            by_entry = self._transfers(entries[0].id, last)
            for entry in entries:
                transfers = tuple(by_entry.get(entry.id, ()))
                if transfers and entry.kind not in _NOT_NETTED:
                    yield self._payment(entry, transfers)

    def ended(self) -> dict[str, int]:
        """How many entries were posted and how many expired, by status."""
        return dict(
            self._backend.store.query(
                "SELECT status, count(*) FROM clearing_resolutions "
                "WHERE business_date > ? AND business_date <= ? AND status <> 'voided' "
                "GROUP BY status",
                (self._before, self._day),
            )
        )

    def positions(self) -> Amounts:
        """The totals of the ledger's position accounts; positive is to be received."""
        return self._totals("position/")

    def payouts(self) -> Amounts:
        """What each merchant's account was credited, by the account's name."""
        return {name: -amount for name, amount in self._totals("merchant/").items()}

    def stored(self) -> dict[tuple[str, str], int]:
        """By how much the balances stored at wallet operators changed, by operator and currency."""
        changed: dict[tuple[str, str], int] = {}
        for account_range in self._backend.participants.ranges.values():
            if account_range.card_kind is not CardKind.WALLET:
                continue
            for name, amount in self._totals(f"payer/{account_range.prefix}").items():
                key = (account_range.participant, currency_of_account(name))
                changed[key] = changed.get(key, 0) - amount
        return changed

    def exchanged(self) -> Amounts:
        """What netting moves between currencies; the ledger has it only after settlement.

        A holder abroad pays in its own currency, and the network takes over its debt in the sale's.
        """
        moved: Amounts = {}
        for payment in self.payments():
            if payment.holder_currency is None or payment.holder_amount_minor is None:
                continue
            owed = payment.movement.sign * holder_owes(payment.split)
            abroad = payment.movement.sign * payment.holder_amount_minor
            for name, amount in (
                (position(payment.network, payment.currency), -owed),
                (position(payment.holder, payment.currency), owed),
                (position(payment.network, payment.holder_currency), abroad),
                (position(payment.holder, payment.holder_currency), -abroad),
            ):
                moved[name] = moved.get(name, 0) + amount
        return moved

    def _entries(self, after: int) -> list[EntryRow]:
        rows = self._backend.store.query(
            SELECT_ENTRY + "id IN (SELECT entry FROM clearing_resolutions "  # noqa: S608
            "WHERE status = 'posted' AND business_date > ? AND business_date <= ?) "
            "AND id > ? ORDER BY id LIMIT ?",
            (self._before, self._day, after, _CHUNK),
        )
        return [entry_row(row) for row in rows]

    def _transfers(self, first: int, last: int) -> dict[int, list[Transfer]]:
        rows = self._backend.store.query(
            SELECT_TRANSFER + "t.id BETWEEN ? AND ? ORDER BY t.id",
            (first * LEGS_PER_ENTRY, last * LEGS_PER_ENTRY + LEGS_PER_ENTRY - 1),
        )
        by_entry: dict[int, list[Transfer]] = {}
        for row in rows:
            transfer = transfer_row(row)
            by_entry.setdefault(transfer.entry, []).append(transfer)
        return by_entry

    def _totals(self, prefix: str) -> Amounts:
        """Posted debits less credits by account, for accounts whose name begins with `prefix`."""
        rows = self._backend.store.query(
            "SELECT a.name, sum(m.amount) FROM ("
            "SELECT t.debit AS account, t.amount_minor AS amount, t.entry FROM clearing_transfers t"
            " UNION ALL SELECT t.credit, -t.amount_minor, t.entry FROM clearing_transfers t) m "
            "JOIN clearing_accounts a ON a.id = m.account "
            "JOIN clearing_resolutions r ON r.entry = m.entry "
            "WHERE r.status = 'posted' AND r.business_date > ? AND r.business_date <= ? "
            "AND a.name LIKE ? GROUP BY a.name",
            (self._before, self._day, prefix + "%"),
        )
        return {name: int(amount) for name, amount in rows if amount}

    def _payment(self, entry: EntryRow, transfers: tuple[Transfer, ...]) -> SettledPayment:
        house, tops_up = House(entry.house), is_top_up(transfers)
        movement = _MOVEMENTS.get(entry.kind, Movement.SALE)
        if tops_up:
            movement = Movement.TOP_UP if movement.sign > 0 else Movement.TOP_UP_RETURN
        payment = SettledPayment(
            id=str(entry.id),
            settlement_date=date_of(entry.business_date),
            movement=movement,
            split=split_of(entry.amount_minor, house, transfers),
            currency=entry.currency,
            merchant="" if tops_up else entry.merchant,
            holder=entry.holder,
            network="network",
            acquirer=entry.acquirer if house is House.FOUR_PARTY else None,
            bank=self._linked_bank(transfers),
        )
        holder = self._backend.participants.by_id[entry.holder]
        if house is House.THREE_PARTY or holder.currency == entry.currency:
            return payment
        owed = Money(amount_minor=holder_owes(payment.split), currency=payment.currency)
        rates = self._backend.world.rates
        into = rates.convert(owed, holder.currency, on=payment.settlement_date).into
        return replace(
            payment, holder_currency=holder.currency, holder_amount_minor=into.amount_minor
        )

    def _linked_bank(self, transfers: tuple[Transfer, ...]) -> str | None:
        """The bank behind a quick payment or a top-up, or behind the return of one."""
        for transfer in transfers:
            if transfer.purpose.endswith(("quick payment", TOP_UP_DRAWN)):
                debit, credit = transfer.debit, transfer.credit
                payer = debit if debit.startswith("payer/") else credit
                bank = self._backend.participants.holder_of(payer.split("/")[1])
                return None if bank is None else bank.id
        return None
