"""What the pages show of an order as a code: its link, its EMV payload, the pictures of both."""

from __future__ import annotations

import ipaddress
import time
from dataclasses import dataclass
from functools import lru_cache

from checkout.acceptance.qr import addresses, emv_mpm, link, rendering
from checkout.config import Config
from checkout.money import numeric_code
from checkout.orders import Order

#: The globally unique identifier of this shop's own template; no real wallet knows it.
GUID = "LANE.CHECKOUT.DEMO"

# A laptop that changes networks gets the right address in its next code.
_ADDRESS_KEPT_S = 15


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
        host = _lan_address(int(time.monotonic() // _ADDRESS_KEPT_S))
    return link.base_url(host, config.port, https=config.https)


def local_url(config: Config) -> str:
    """Where the browser on this machine opens the counter."""
    host = config.host
    anywhere = host in ("0.0.0.0", "::", "")  # noqa: S104 - compared, not bound
    return link.base_url("127.0.0.1" if anywhere else host, config.port, https=config.https)


def link_of(config: Config, order: Order) -> str:
    """The link that the order's present code opens."""
    return link.build_link(base_url(config), order.code)


def alt_of(config: Config, order: Order) -> str:
    """The words for whoever cannot see the code: how much, to whom."""
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


def is_reachable_from_lan(url: str) -> bool:
    """Whether a phone can be expected to reach `url`: its host is not this machine alone."""
    host = link.parse_link(url).origin.partition("://")[2].rpartition(":")[0].strip("[]")
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"


def emv_of(config: Config, order: Order) -> str:
    """The order's present code as an EMV merchant-presented payload."""
    merchant = config.merchant
    return emv_mpm.build(
        emv_mpm.MerchantPresented(
            accounts=(
                emv_mpm.Template(
                    id="26",
                    guid=GUID,
                    objects=(("01", merchant.merchant_id), ("02", order.code)),
                ),
            ),
            dynamic=True,
            mcc=merchant.mcc,
            currency=numeric_code(order.currency),
            amount=order.amount.decimal(),
            country=merchant.country_alpha,
            name=merchant.name[:25],
            city=merchant.city[:15],
            additional=emv_mpm.AdditionalContent(reference_label=order.code),
        )
    )


def code_in_emv(text: str) -> str | None:
    """The code in an EMV payload of this shop's own; None for any other text."""
    reading = emv_mpm.parse(text)
    if not reading.accepted() or reading.value("26-00") != GUID:
        return None
    return reading.value("26-02")
