"""A payment by code: the order behind the code is claimed, and the payer's bank is asked."""

from __future__ import annotations

from checkout.acceptance.contract import Mode
from checkout.acceptance.qr.authorization import CodeKind, Evidence, authorization
from checkout.clearing.messages import AuthorizationRequest
from checkout.config import Merchant
from checkout.errors import ShopError
from checkout.shop.orders.orders import Orders
from checkout.shop.payments.authorisation import Attempt, Authorisation
from checkout.shop.payments.payers import Payer, Payers
from checkout.shop.payments.payments import Payment, Source
from checkout.shop.payments.pin_entry import PIN
from checkout.trace import Trace


class CodePayments:
    """Takes payments by the shop's codes; safe to call from any thread."""

    def __init__(
        self, orders: Orders, authorisation: Authorisation, payers: Payers, *, merchant: Merchant
    ) -> None:
        self._orders = orders
        self._authorisation = authorisation
        self._payers = payers
        self._merchant = merchant

    def pay(
        self,
        code: str,
        *,
        payer: str,
        pin: str | None = None,
        kind: CodeKind = "dynamic",
        emulated: bool = True,
        trace: Trace | None = None,
    ) -> Payment:
        """Pay the order behind a scanned code from the account of the payer of that name.

        `emulated` is False where a real phone scanned it, which only a page can know. A decline
        comes back as a value; ShopError says why nothing was tried.
        """
        found = self.payer(payer, pin)
        lookup = self._orders.resolve_code(code)
        if lookup.status != "live":
            raise ShopError(f"{lookup.status}-code", f"code: it is {lookup.status}", "code")
        return self.pay_order(
            lookup.order.id,
            found,
            pin=pin,
            kind=kind,
            code=lookup.code,
            emulated=emulated,
            trace=trace,
        )

    def pay_order(
        self,
        order_id: str,
        payer: Payer,
        *,
        pin: str | None,
        kind: CodeKind,
        code: str | None = None,
        emulated: bool = True,
        trace: Trace | None = None,
    ) -> Payment:
        """Pay an order that a payer has confirmed, whichever code led there."""
        source = source_of(payer, emulated=emulated)
        attempt = self._authorisation.begin(order_id, source, trace=trace or Trace(), code=code)
        pin_block = self._authorisation.encrypt_pin(attempt, pin)
        request = self.request(attempt, payer, kind, pin_block)
        return self._authorisation.complete(attempt, request)

    def payer(self, name: str, pin: str | None) -> Payer:
        """Who pays by code under that name; ShopError(unknown-payer, or pin for an odd one)."""
        found = self._payers.named(name)
        if Mode.QR not in found.modes:
            raise ShopError("unknown-payer", f"payer: {name} pays by tap only", "payer")
        if pin is not None and not PIN.fullmatch(pin):
            raise ShopError("pin", "pin: expected six digits", "pin")
        return found

    def request(
        self, attempt: Attempt, payer: Payer, kind: CodeKind, pin_block: bytes | None = None
    ) -> AuthorizationRequest:
        """What the payer's bank is asked for an attempt by code."""
        evidence = Evidence(
            account=payer.account,
            expiry=payer.expiry,
            pan_sequence=payer.pan_sequence,
            code_kind=kind,
            pin_block=pin_block,
        )
        return authorization(
            evidence,
            amount_minor=attempt.order.amount_minor,
            currency=attempt.order.currency,
            numbers=attempt.numbers,
            merchant=self._merchant,
            preauthorise=attempt.order.preauthorise,
        )


def source_of(payer: Payer, *, emulated: bool) -> Source:
    """A payer's account as the source of a payment by code."""
    return Source(
        mode=Mode.QR,
        scheme=payer.scheme,
        account=payer.account,
        payer=payer.name,
        emulated=emulated,
    )
