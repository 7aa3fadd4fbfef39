"""Disputes as the back office moves them: chargeback, representment, the network's final word."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import date
from typing import Any

from checkout.clearing.authorisation.backend import Backend
from checkout.clearing.authorisation.context import MessageContext
from checkout.clearing.authorisation.original import REPRESENTED, OriginalSales, Sale
from checkout.clearing.ledger.ledger import Status, transfers_of
from checkout.clearing.ledger.postings import Parties, payer_of, return_legs, sale_legs, split_of
from checkout.clearing.scheme.fees import returned
from checkout.clearing.settlement.disputes import (
    Dispute,
    DisputeError,
    DisputeReason,
    DisputeState,
    DisputeStep,
    charge_back,
    decide_finally,
    lapse,
    represent,
)
from checkout.clearing.settlement.netting import Movement
from checkout.clearing.store import schema
from checkout.clearing.store.rows import SELECT_ENTRY, EntryRow, entry_row
from checkout.database import day_number

_NO_SALES = ("refund", "void", "settlement", "opening", "top-up", "top-up-return")


class DisputeDesk:
    """Takes disputes through their steps; one at a time for each sale."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._sales = OriginalSales(backend)

    def charge_back(
        self, rrn: str, reason: DisputeReason, amount_minor: int | None, context: MessageContext
    ) -> Dispute:
        """The issuer takes a sale's money back, all that is left of it unless told otherwise.

        DisputeError where there is no such sale, or it can't be disputed (any more).
        """
        sale = self._sale(rrn)
        known = self._dispute(sale.entry.id)
        if known is not None:
            raise DisputeError(f"payment: its dispute is {known.state}")
        left = sale.entry.amount_minor - sale.refunded_minor
        step = charge_back(
            str(sale.entry.id),
            paid_minor=sale.entry.amount_minor,
            refunded_minor=sale.refunded_minor,
            amount_minor=left if amount_minor is None else amount_minor,
            reason=reason,
            sold_on=sale.sold_on,
            on=context.business_date,
        )
        return self._take(sale, step, "chargeback", context)

    def represent(self, rrn: str, context: MessageContext) -> Dispute:
        """The acquirer answers a chargeback with evidence."""
        sale, dispute = self._disputed(rrn)
        return self._take(sale, represent(dispute, on=context.business_date), REPRESENTED, context)

    def decide(self, rrn: str, *, for_payer: bool, context: MessageContext) -> Dispute:
        """The network's final word on a represented dispute."""
        sale, dispute = self._disputed(rrn)
        step = decide_finally(dispute, for_payer=for_payer, on=context.business_date)
        return self._take(sale, step, "final-chargeback", context)

    def lapse(self, rrn: str, context: MessageContext) -> Dispute:
        """What silence means once an answer is overdue; nothing before."""
        sale, dispute = self._disputed(rrn)
        return self._take(sale, lapse(dispute, on=context.business_date), "", context)

    # -- parts ----------------------------------------------------------------------------------

    def _sale(self, rrn: str) -> Sale:
        rows = self._backend.store.query(SELECT_ENTRY + "rrn = ? ORDER BY id", (rrn,))
        for row in rows:
            entry = entry_row(row)
            if entry.kind in _NO_SALES:
                continue
            sale = self._sales.sale(self._sales.latest(entry))
            if not sale.is_hold and sale.status in (Status.PENDING, Status.POSTED):
                return sale
        raise DisputeError(f"payment: no sale with the RRN {rrn}")

    def _disputed(self, rrn: str) -> tuple[Sale, Dispute]:
        sale = self._sale(rrn)
        dispute = self._dispute(sale.entry.id)
        if dispute is None:
            raise DisputeError("payment: it is not disputed")
        return sale, dispute

    def _dispute(self, entry_id: int) -> Dispute | None:
        rows = self._backend.store.query(
            "SELECT details FROM clearing_disputes WHERE entry = ?", (entry_id,)
        )
        return _read(rows[0][0]) if rows else None

    def _take(self, sale: Sale, step: DisputeStep, kind: str, context: MessageContext) -> Dispute:
        if step.movement is not None:
            self._move(sale, step, kind, context)
        dispute = step.dispute
        details: dict[str, Any] = asdict(dispute)
        details["answer_by"] = dispute.answer_by.isoformat() if dispute.answer_by else None
        row = (sale.entry.id, dispute.state.value, json.dumps(details))
        self._backend.store.put(schema.PUT_DISPUTE, str(sale.entry.id), row)
        return dispute

    def _move(self, sale: Sale, step: DisputeStep, kind: str, context: MessageContext) -> None:
        """Book one step: back to the payer, or to the merchant again, with the fees' part."""
        entry, amount = sale.entry, step.dispute.amount_minor
        split = returned(
            split_of(entry.amount_minor, sale.house, sale.transfers),
            refunded_before_minor=sale.refunded_minor,
            refund_minor=amount,
        )
        billed = (2 * entry.billing_minor * amount + entry.amount_minor) // (2 * entry.amount_minor)
        account = payer_of(sale.transfers)
        bank = self._backend.participants.holder_of(account) if sale.linked else None
        parties = Parties(
            account=account,
            billing_currency=entry.billing_currency,
            billing_minor=billed,
            holder=entry.holder,
            acquirer=entry.acquirer,
            merchant=entry.merchant,
            currency=entry.currency,
            bank=None if bank is None else bank.id,
            linked_account=account if sale.linked else None,
        )
        back = step.movement is Movement.CHARGEBACK
        legs = return_legs(parties, split) if back else sale_legs(parties, split)
        moved = EntryRow(
            id=context.seq,
            kind=kind,
            house=entry.house,
            status=Status.PENDING,
            business_date=day_number(context.business_date),
            at_us=context.at_us,
            expires_us=None,
            original=entry.id,
            payer=entry.payer,
            amount_minor=amount,
            currency=entry.currency,
            billing_minor=billed,
            billing_currency=entry.billing_currency,
            acquirer=entry.acquirer,
            holder=entry.holder,
            merchant=entry.merchant,
            mcc=entry.mcc,
            rrn=entry.rrn,
            initiation=entry.initiation,
        )
        self._backend.store.enter(moved, transfers_of(context.seq, legs))


def _read(details: str) -> Dispute:
    held = json.loads(details)
    due = held["answer_by"]
    return Dispute(
        payment_id=held["payment_id"],
        amount_minor=held["amount_minor"],
        reason=DisputeReason(held["reason"]),
        state=DisputeState(held["state"]),
        answer_by=None if due is None else date.fromisoformat(due),
    )
