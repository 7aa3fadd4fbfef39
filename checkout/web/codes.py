"""An order's code: its text, the link in it, and pictures of it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from checkout import addresses
from checkout.acceptance.qr import link
from checkout.acceptance.qr.signed_payload import CodeRefused, open_payload
from checkout.config import Config
from checkout.errors import ShopError
from checkout.shop.orders.states import Order, OrderState
from devices.qr.symbol import rendering

if TYPE_CHECKING:
    from checkout.shop.shop import Shop

#: A code is renewed this long before it runs out.
RENEW_BEFORE_S = 15
# Short, so that a laptop that changes networks soon shows its new address.
_ADDRESS_CACHED_S = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One rendered code and its media type."""

    content: bytes
    media_type: str


def base_url(config: Config) -> str:
    """Where phones reach this shop: the public URL, else this machine's LAN address."""
    if config.public_url is not None:
        return config.public_url.rstrip("/")
    host = config.host
    if host in ("0.0.0.0", "::", ""):  # noqa: S104 - compared, not bound
        host = _lan_address(int(time.monotonic() // _ADDRESS_CACHED_S))
    return link.base_url(host, config.port, https=config.https)


def local_url(config: Config) -> str:
    """Where the browser on this machine opens the counter."""
    host = config.host
    anywhere = host in ("0.0.0.0", "::", "")  # noqa: S104 - compared, not bound
    return link.base_url("127.0.0.1" if anywhere else host, config.port, https=config.https)


def with_live_code(shop: Shop, order: Order) -> Order:
    """`order` with a code that stays valid for a while; unchanged when the order is not open."""
    if order.state is not OrderState.OPEN:
        return order
    if order.code_expires_at - shop.orders.clock() > timedelta(seconds=renew_before_s(shop)):
        return order
    try:
        return shop.orders.renew_code(order.id)
    except ShopError:  # paid, cancelled or expired in this very moment
        return shop.orders.get(order.id)


def renew_before_s(shop: Shop) -> float:
    """Seconds before a code's end at which it is renewed, so that the one shown is always valid."""
    return min(RENEW_BEFORE_S, shop.config.code_ttl_s / 2)


def text_of(shop: Shop, order: Order, *, emv: bool) -> str:
    """The text of the order's present code: the EMV payload or the link."""
    return shop.emv_payload(order) if emv else link_to(shop.config, order.code)


def link_to(config: Config, code: str) -> str:
    """The link that a code of this shop opens."""
    return link.build_link(base_url(config), code)


def alt_of(config: Config, order: Order) -> str:
    """The alternative text of the code's picture: how much is paid to whom."""
    return rendering.alt_text(str(order.amount), config.merchant.name)


@lru_cache(maxsize=128)
def picture(text: str, form: str) -> Picture:
    """`text` as a QR symbol, `form` being png or svg."""
    if form == "png":
        return Picture(content=rendering.png(text, module_pixels=12), media_type="image/png")
    return Picture(content=rendering.svg(text).encode(), media_type="image/svg+xml")


@lru_cache(maxsize=2)
def _lan_address(_period: int) -> str:
    return addresses.lan_address()


def code_in_emv(text: str, key: bytes) -> str | None:
    """The code in an EMV payload of this shop's own, None for any other text.

    CodeRefused where it claims to be ours but is damaged, forged or changed.
    """
    try:
        return open_payload(text, key=key).code
    except CodeRefused as refused:
        if refused.kind == "foreign":
            return None
        raise
