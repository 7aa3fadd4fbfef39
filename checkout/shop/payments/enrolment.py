"""Demo accounts for real cards: what the operator may do after one was declined at the reader."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from checkout.acceptance.nfc.authorization import SURROGATE_RANGE
from checkout.clearing.client.client import NoAnswer, NotSent, OperationFailed, SwitchClient
from checkout.clearing.queries import ClearingReader
from checkout.encryption import Seal
from checkout.errors import ShopError
from checkout.money import Money
from checkout.shop.payments.payments import Payment, PaymentRecords, PaymentState
from checkout.shop.payments.stored_requests import open_request

NO_SUCH_CARD = "14"


class Enrolment:
    """Has the switch open the account of a card that was tapped; knows it by its payment."""

    def __init__(
        self,
        kept: PaymentRecords,
        *,
        clearing: Callable[[], SwitchClient],
        seal: Seal,
        books: ClearingReader,
    ) -> None:
        self._kept = kept
        self._clearing = clearing
        self._seal = seal
        self._books = books

    def standing(self, payment: Payment) -> Literal["offered", "enrolled"] | None:
        """Whether the payment's card can be enrolled, or has been; None for any other payment."""
        if not (
            payment.real_card
            and payment.state is PaymentState.DECLINED
            and payment.response_code == NO_SUCH_CARD
        ):
            return None
        account = self._account(payment.id)
        if account is None:
            return None
        return "enrolled" if self._books.is_enrolled(account) else "offered"

    def enrol(self, payment_id: str) -> str:
        """Give the card of a declined tap a demo account; says in a sentence which.

        ShopError: not-enrollable for any other payment, clearing-unavailable.
        """
        payment = self._kept.get(payment_id)
        account = self._account(payment_id) if payment.real_card else None
        if account is None:
            raise ShopError("not-enrollable", "payment: it was not made with a real card")
        try:
            told = self._clearing().operate(
                "enrol", {"account": account, "last_four": payment.pan[-4:]}
            )
        except OperationFailed as error:
            raise ShopError("not-enrollable", str(error)) from None
        except (NotSent, NoAnswer) as error:
            raise ShopError("clearing-unavailable", f"clearing: {error}") from None
        balance = Money(amount_minor=told["balance_minor"], currency=told["currency"])
        return f"{told['title']}: a class {told['account_class']} demo account with {balance}"

    def _account(self, payment_id: str) -> str | None:
        row = self._kept.row(payment_id)
        if row is None or row.sealed_request is None:
            return None
        account = open_request(self._seal, row.sealed_request).account
        return account if account.startswith(SURROGATE_RANGE) else None
