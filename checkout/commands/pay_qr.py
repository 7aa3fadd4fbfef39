"""`checkout pay --mode qr`: an emulated phone reads the order's code and pays over HTTP."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from werkzeug.serving import WSGIRequestHandler, make_server

from checkout import create_app
from checkout.acceptance.qr.link import base_url, build_link
from checkout.demo.phone_steps import scan_steps
from checkout.errors import ShopError
from checkout.shop.orders.states import Order
from checkout.shop.payments.payers import Payer
from checkout.shop.payments.payments import Payment
from checkout.shop.shop import Shop
from checkout.web.context import RateLimits
from devices.phone import Phone, PhoneError
from devices.qr.symbol.rendering import png


def pay_order_by_code(shop: Shop, order: Order, who: Payer, pin: str) -> Payment:
    """Show the order's code as a picture to an emulated phone, which pays over HTTP."""
    with payer_pages(shop) as origin:
        picture = png(build_link(origin, order.code))
        try:
            result = Phone(who.name, pin=pin).pay(picture)
        except PhoneError as error:
            raise ShopError("phone", f"phone: {error}") from None
    attempts = shop.payments.of_order(order.id)
    if not attempts:
        raise ShopError("phone", f"phone: {result.text or result.outcome}")
    payment = attempts[-1]
    shop.payments.replace_steps(
        payment.id, scan_steps(result, payment, len(picture)), modelled_ms=result.modelled_ms
    )
    return shop.payments.get(payment.id)


@contextmanager
def payer_pages(shop: Shop) -> Iterator[str]:
    """The shop's pages on a free loopback port for as long as one sale lasts; yields the origin."""
    # These pages live for one sale, on this machine: failures at the shop's other pages do not
    # count here, nor failures here there.
    app = create_app(shop=shop, rate_limits=RateLimits.own())
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, name="pages", daemon=True)
    thread.start()
    try:
        yield base_url("127.0.0.1", server.server_port)
    finally:
        server.shutdown()
        thread.join(5)
        server.server_close()


class _Quiet(WSGIRequestHandler):
    """Standard output and error belong to the command."""

    def log(self, type: str, message: str, *args: Any) -> None:
        """Print nothing."""
