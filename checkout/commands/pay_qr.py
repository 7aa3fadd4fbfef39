"""The code of `checkout pay --mode qr`: a picture, a phone that reads it, and its HTTP."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from werkzeug.serving import WSGIRequestHandler, make_server

from checkout import create_app
from checkout.acceptance.qr.link import base_url, build_link, short_path
from checkout.demo.payers import Payer
from checkout.errors import ShopError
from checkout.shop.orders.states import Order
from checkout.shop.payments.pay_by_code import Payment
from checkout.shop.shop import Shop
from checkout.web.attempts import Attempts
from devices.phone.phone import Exchange, Phone, PhoneError, PhoneResult
from devices.qr.symbol.rendering import png


def pay_by_code(shop: Shop, order: Order, who: Payer, pin: str) -> Payment:
    """Show the order's code as a picture to an emulated phone, which pays over HTTP."""
    with payer_pages(shop) as origin:
        picture = png(build_link(origin, order.code))
        try:
            seen = Phone(who.name, pin=pin).pay(picture)
        except PhoneError as error:
            raise ShopError("phone", f"phone: {error}") from None
    attempts = shop.payments.of_order(order.id)
    if not attempts:
        raise ShopError("phone", f"phone: {seen.text or seen.outcome}")
    payment = attempts[-1]
    shop.payments.records.retell(
        payment.id, told_by_phone(seen, payment, len(picture)), modelled_ms=seen.modelled_ms
    )
    return shop.payments.get(payment.id)


@contextmanager
def payer_pages(shop: Shop) -> Iterator[str]:
    """The shop's pages on a free loopback port for as long as one sale lasts; yields the origin."""
    app = create_app(shop=shop)
    # These pages live for one sale, on this machine: guesses at others' codes are not held
    # against it, nor its own against those.
    app.extensions["checkout.guesses"] = Attempts(limit=20, window_s=60)
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, name="pages", daemon=True)
    thread.start()
    try:
        yield base_url("127.0.0.1", server.server_port)
    finally:
        server.shutdown()
        thread.join(5)
        server.server_close()


def told_by_phone(seen: PhoneResult, payment: Payment, picture_bytes: int) -> list[dict[str, Any]]:
    """The phone's steps and the shop's on the phone's clock, numbered anew."""
    steps: list[dict[str, Any]] = []

    def add(at_ms: float, source: str, target: str, what: str, **more: Any) -> None:
        plain = {"bytes_sent": 0, "bytes_received": 0, "took_ms": 0.0, "nature": "measured"}
        steps.append(
            {"n": 0, "at_ms": round(at_ms, 3), "from": source, "to": target, "what": what}
            | plain
            | more
        )

    add(0.0, "counter", "phone", "picture of the code", bytes_sent=picture_bytes)
    last = seen.exchanges[-1] if seen.outcome == "paid" else None
    for each in seen.exchanges:
        target = "shop" if each.bytes_sent else "payer" if each.modelled else "phone"
        add(
            each.at_ms,
            "payer" if each.modelled else "phone",
            "phone" if each.modelled else target,
            each.what,
            bytes_sent=each.bytes_sent,
            bytes_received=each.bytes_received,
            took_ms=round(each.took_ms, 3),
            nature="modelled" if each.modelled else "measured",
            **({"certain": "payer"} if each is last else {}),
            **({"detail": _http(each)} if each.method else {}),
        )
        if each.what.startswith("POST"):
            # The shop's clock began within this request; its steps lie inside it.
            slack = max(0.0, each.took_ms - (payment.total_ms - payment.modelled_ms)) / 2
            for step in payment.steps:
                steps.append(step | {"at_ms": round(each.at_ms + slack + step["at_ms"], 3)})
    return [step | {"n": number} for number, step in enumerate(steps, 1)]


def _http(exchange: Exchange) -> dict[str, Any]:
    return {
        "request": f"{exchange.method} {short_path(exchange.path)}",
        "status": exchange.status,
    }


class _Quiet(WSGIRequestHandler):
    """Standard output and error belong to the command."""

    def log(self, type: str, message: str, *args: Any) -> None:
        """Say nothing."""
