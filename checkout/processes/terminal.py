"""The terminal process: the tap loop over the shop's orders; beside it housekeeping, webhooks."""

from __future__ import annotations

import threading
from collections.abc import Callable

from checkout.acceptance.nfc import terminal as tap
from checkout.acceptance.nfc.tap_loop import TapLoop
from checkout.config import Config
from checkout.database import one_line
from checkout.demo.emulated_reader import choose_reader
from checkout.demo.provisioning import borrowed
from checkout.shop.shop import Shop
from checkout.shop.till import ShopTill, _log
from checkout.shop.webhooks.worker import run_courier

_HOUSEKEEPING_S = 0.5


def run(config: Config, stop: threading.Event, *, ready: Callable[[], None]) -> None:
    """Own the reader until `stop`; housekeeping and webhooks run beside it, a thread each."""
    shop = Shop.open(config)
    keeper = threading.Thread(target=_keep_house, args=(shop, stop), name="housekeeping")
    courier = threading.Thread(
        target=run_courier, args=(config, shop.seal, shop.orders.clock, stop), name="webhooks"
    )
    keeper.start()
    courier.start()
    try:
        terminal = tap.load(config.home, clock=shop.orders.clock)
        service = borrowed(shop.clearing)
        till = ShopTill(shop, terminal)
        loop = TapLoop(lambda: choose_reader(config.reader, config.home, service), till)
        ready()
        loop.run(stop)
    finally:
        stop.set()
        keeper.join(3)
        courier.join(2)
        shop.close()


def _keep_house(shop: Shop, stop: threading.Event) -> None:
    while not stop.wait(_HOUSEKEEPING_S):
        try:
            shop.payments.sweep()
            shop.top_ups.sweep()
            shop.disputed.sweep()
        except Exception as error:  # the shop must be kept whatever one round met
            _log.error("housekeeping failed (%s); it is tried again", one_line(error))
            _log.debug("housekeeping failed", exc_info=True)
