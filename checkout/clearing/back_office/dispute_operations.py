"""The steps of a dispute: chargeback, representment, the network's final decision."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from checkout.clearing.authorisation.backend import Backend
from checkout.clearing.authorisation.context import MessageContext
from checkout.clearing.authorisation.original import REPRESENTED, OriginalSales, Sale
from checkout.clearing.authorisation.sale_life import ENDED, Effect, FollowUp, effect
from checkout.clearing.ledger.ledger import Leg, Status, transfers_of
from checkout.clearing.ledger.postings import Parties, payer_of, return_legs, sale_legs, split_of
from checkout.clearing.messages import TransactionType
from checkout.clearing.scheme.fees import returned
from checkout.clearing.settlement.disputes import (
    Dispute,
    DisputeError,
    DisputeReason,
    DisputeStep,
    charge_back,
    decide_finally,
    dispute_as_json,
    dispute_from_json,
    lapse,
    represent,
)
from checkout.clearing.settlement.netting import Movement
from checkout.clearing.store import schema
from checkout.clearing.store.rows import SELECT_ENTRY, EntryRow, entry_row
from checkout.database import date_of, day_number
from checkout.money import share_of

#: Kinds of entry that a dispute may name; a hold stands for its completion.
_DISPUTABLE = (
    TransactionType.PURCHASE,
    TransactionType.PREAUTHORISATION,
    TransactionType.COMPLETION,
    TransactionType.COMPLETION_ADVICE,
    TransactionType.OFFLINE_ADVICE,
)


class DisputeOperations:
    """Takes a dispute over a sale one step on; a sale has one dispute.

    The sale is named by its `rrn`. Two acquirers may use the same one, so `acquirer`, `merchant`
    and `date` narrow it down where it does not name one standing sale.

    Every method raises DisputeError where there is no such sale, or the step doesn't follow.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._sales = OriginalSales(backend)

    def charge_back(self, arguments: Mapping[str, Any], context: MessageContext) -> dict[str, Any]:
        """The issuer takes a sale's money back: `amount_minor`, by default all that is left."""
        reason = DisputeReason(arguments.get("reason", DisputeReason.FRAUD))
        amount_minor = arguments.get("amount_minor")
        sale = self._sale(arguments)
        _expect(sale, FollowUp.CHARGEBACK)
        left = sale.entry.amount_minor - sale.refunded_minor
        step = charge_back(
            str(sale.entry.id),
            paid_minor=sale.entry.amount_minor,
            refunded_minor=sale.refunded_minor,
            amount_minor=left if amount_minor is None else int(amount_minor),
            reason=reason,
            sold_on=sale.sold_on,
            on=context.business_date,
        )
        return self._take(sale, step, "chargeback", context)

    def represent(self, arguments: Mapping[str, Any], context: MessageContext) -> dict[str, Any]:
        """The acquirer answers a chargeback with evidence."""
        sale, dispute = self._disputed(arguments)
        _expect(sale, FollowUp.REPRESENTMENT)
        return self._take(sale, represent(dispute, on=context.business_date), REPRESENTED, context)

    def decide(self, arguments: Mapping[str, Any], context: MessageContext) -> dict[str, Any]:
        """The network decides a represented dispute for good, `for_payer` or for the merchant."""
        for_payer = arguments["for_payer"] is True
        sale, dispute = self._disputed(arguments)
        _expect(sale, FollowUp.DECISION)
        step = decide_finally(dispute, for_payer=for_payer, on=context.business_date)
        return self._take(sale, step, "final-chargeback", context)

    def lapse(self, arguments: Mapping[str, Any], context: MessageContext) -> dict[str, Any]:
        """Decide against the side whose answer is overdue; changes nothing before that."""
        sale, dispute = self._disputed(arguments)
        return self._take(sale, lapse(dispute, on=context.business_date), "", context)

    # -- parts ----------------------------------------------------------------------------------

    def _sale(self, arguments: Mapping[str, Any]) -> Sale:
        """The one sale that RRN, and acquirer, merchant and date where they are given, name."""
        rrn, store = str(arguments["rrn"]), self._backend.store
        named = {
            entry.id: entry
            for entry in map(entry_row, store.query(SELECT_ENTRY + "rrn = ? ORDER BY id", (rrn,)))
            if entry.kind in _DISPUTABLE and self._is_named(entry, arguments)
        }
        latest = {entry.id: entry for entry in map(self._sales.latest, named.values())}
        sales = [self._sales.sale(entry) for entry in latest.values()]
        standing = [sale for sale in sales if sale.state not in ENDED]
        if len(standing) == 1:
            return standing[0]
        if standing:
            raise DisputeError(
                f"rrn: {len(standing)} sales have {rrn}; expected acquirer, merchant or date too"
            )
        ended = f", it is {sales[-1].state}" if sales else ""
        raise DisputeError(f"payment: no sale with the RRN {rrn} stands{ended}")

    def _is_named(self, entry: EntryRow, arguments: Mapping[str, Any]) -> bool:
        """Whether an entry is of the acquirer (DE32), merchant (DE42) and date that are given."""
        acquirer = self._backend.participants.by_id.get(entry.acquirer)
        institution = "" if acquirer is None else acquirer.institution
        return (
            arguments.get("acquirer", institution) in (institution, entry.acquirer)
            and arguments.get("merchant", entry.merchant) == entry.merchant
            and arguments.get("date", date_of(entry.business_date).isoformat())
            == date_of(entry.business_date).isoformat()
        )

    def _disputed(self, arguments: Mapping[str, Any]) -> tuple[Sale, Dispute]:
        sale = self._sale(arguments)
        dispute = self._dispute(sale.entry.id)
        if dispute is None:
            raise DisputeError("payment: it is not disputed")
        return sale, dispute

    def _dispute(self, entry_id: int) -> Dispute | None:
        rows = self._backend.store.query(
            "SELECT details FROM clearing_disputes WHERE entry = ?", (entry_id,)
        )
        return dispute_from_json(json.loads(rows[0][0])) if rows else None

    def _take(
        self, sale: Sale, step: DisputeStep, kind: str, context: MessageContext
    ) -> dict[str, Any]:
        """Store a step, with the entry that moves its money; returns the dispute for the answer."""
        before = self._dispute(sale.entry.id)
        if step.movement is not None:
            self._move(sale, step, kind, context)
        elif before is None or before.state is not step.dispute.state:
            self._enter(sale, step, step.dispute.state.value, (), context)
        details = dispute_as_json(step.dispute)
        row = (sale.entry.id, step.dispute.state.value, json.dumps(details))
        self._backend.store.put(schema.PUT_DISPUTE, str(sale.entry.id), row)
        return {name: details[name] for name in ("state", "amount_minor", "reason", "answer_by")}

    def _move(self, sale: Sale, step: DisputeStep, kind: str, context: MessageContext) -> None:
        """Enter a step: back to the payer, or to the merchant again, with its fees."""
        entry, amount = sale.entry, step.dispute.amount_minor
        split = returned(
            split_of(entry.amount_minor, sale.house, sale.transfers),
            refunded_before_minor=sale.refunded_minor,
            refund_minor=amount,
        )
        billed = share_of(entry.billing_minor, amount, entry.amount_minor)
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
        self._enter(sale, step, kind, legs, context, billed)

    def _enter(
        self,
        sale: Sale,
        step: DisputeStep,
        kind: str,
        legs: tuple[Leg, ...],
        context: MessageContext,
        billed: int = 0,
    ) -> None:
        entry = sale.entry
        entered = EntryRow(
            id=context.seq,
            kind=kind,
            house=entry.house,
            status=Status.PENDING if legs else Status.POSTED,
            business_date=day_number(context.business_date),
            at_us=context.at_us,
            expires_us=None,
            original=entry.id,
            payer=entry.payer,
            amount_minor=step.dispute.amount_minor,
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
        self._backend.store.enter(entered, transfers_of(context.seq, legs))


def _expect(sale: Sale, step: FollowUp) -> None:
    """DisputeError where the sale's state doesn't take this step."""
    if effect(sale.state, step) is not Effect.TAKE:
        subject = "its dispute" if sale.claimed_minor else "it"
        raise DisputeError(f"payment: {subject} is {sale.state}, no {step} can follow")
