"""Demo accounts for real cards, which the operator may open after a card was declined."""

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
    """Has the switch open an account for the card of a declined payment."""

    def __init__(
        self,
        payments: PaymentRecords,
        *,
        clearing: Callable[[], SwitchClient],
        seal: Seal,
        books: ClearingReader,
    ) -> None:
        self._payments = payments
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
        """Open a demo account for the card of a declined tap; returns a sentence that names it.

        ShopError(not-enrollable) for any other payment, (clearing-unavailable).
        """
        payment = self._payments.get(payment_id)
        account = self._account(payment_id) if payment.real_card else None
        if account is None:
            raise ShopError("not-enrollable", "payment: it was not made with a real card")
        try:
            opened = self._clearing().operate(
                "enrol", {"account": account, "last_four": payment.pan[-4:]}
            )
        except OperationFailed as error:
            raise ShopError("not-enrollable", str(error)) from None
        except (NotSent, NoAnswer) as error:
            raise ShopError("clearing-unavailable", f"clearing: {error}") from None
        balance = Money(amount_minor=opened["balance_minor"], currency=opened["currency"])
        return f"{opened['title']}: a class {opened['account_class']} demo account with {balance}"

    def _account(self, payment_id: str) -> str | None:
        row = self._payments.row(payment_id)
        if row is None or row.sealed_request is None:
            return None
        account = open_request(self._seal, row.sealed_request).account
        return account if account.startswith(SURROGATE_RANGE) else None
