"""How each fault is brought about, one function for each cell."""

from __future__ import annotations

import time

from checkout.comparison.results import Cell
from checkout.comparison.sales.payer_code import DARK_SCREEN
from checkout.comparison.testbed.faulty_devices import (
    ClosedPage,
    DawdlingNetwork,
    FadingNetwork,
    LastingNetwork,
    LeavingCard,
)
from checkout.comparison.testbed.proxy import Direction
from checkout.comparison.trials.lab import DEAR_MINOR, TIMEOUT_S, TrialRun
from checkout.shop.orders.states import OrderState
from devices.nfc.contract import Card
from devices.phone import ShownCode

# -- between phone, shop and switch ---------------------------------------------------------------


def phone_offline_qr(run: TrialRun) -> Cell:
    """The phone finds no page, then its network again."""
    run.pay(network=FadingNetwork(method="GET", times=1))
    run.pay_if_open()
    return run.conclude()


def phone_offline_code(run: TrialRun) -> Cell:
    """The phone shows its code and then has no network: below the limit without PIN, and above."""
    run.pay(network=LastingNetwork(requests=1))
    dear = run.other_order(DEAR_MINOR)
    dear.pay(network=LastingNetwork(requests=1))
    lab = run.lab
    lab.testbed.clock.advance(lab.testbed.config.payer_wait_s + 1)
    lab.shop.sweep()
    dear.shop_saw.append(str(lab.shop.payments.of_order(dear.order.id)[-1].response_text))
    dear.pay_if_open()
    return run.conclude().with_other("over the limit", dear.conclude())


def phone_offline_nfc(run: TrialRun) -> Cell:
    """A phone taps without any network."""
    # The phone answers the reader from its own keys; it has no network in this project at all.
    run.payer = "hce-phone"
    run.pay()
    return run.conclude()


def shop_offline(run: TrialRun) -> Cell:
    """The line is blocked for the first attempt and open for the second."""
    run.lab.proxy.block()
    run.pay()
    run.lab.proxy.unblock()
    run.pay_if_open()
    return run.conclude()


def slow(run: TrialRun) -> Cell:
    """The response is held back until the shop has given up."""

    def late() -> bool:
        time.sleep(1.5 * TIMEOUT_S)
        return True

    run.lab.proxy.on_next("response", "0210", late)
    return unanswered(run)


def answer_lost(run: TrialRun) -> Cell:
    """The response is thrown away."""
    run.lab.proxy.on_next("response", "0210", lambda: False)
    return unanswered(run)


def request_lost(run: TrialRun) -> Cell:
    """The request is thrown away."""
    run.lab.proxy.on_next("request", "0200", lambda: False)
    return unanswered(run)


def unanswered(run: TrialRun) -> Cell:
    """An attempt without a response, its reversal, and the payer's second attempt."""
    run.pay()
    run.lab.recover()
    run.pay_if_open()
    return run.conclude()


def late(run: TrialRun) -> Cell:
    """The order's quarter of an hour ends while its payment is being authorised."""

    def later() -> bool:
        run.lab.testbed.clock.advance(901)
        return True

    run.lab.proxy.on_next("response", "0210", later)
    run.pay()
    return run.conclude()


# -- at the counter -------------------------------------------------------------------------------


def unplugged_qr(run: TrialRun) -> Cell:
    """The reader goes before the code is paid."""
    run.lab.testbed.reader.close()
    run.pay()
    run.lab.new_reader()
    return run.conclude()


def unplugged_nfc(run: TrialRun) -> Cell:
    """The reader goes after three commands."""

    def pulled(card: Card) -> Card:
        return LeavingCard(card, after=3, leave=run.lab.testbed.reader.close)

    run.pay(wrap=pulled, retry=False)
    run.lab.new_reader()
    run.pay_if_open()
    return run.conclude()


def pulled_away(run: TrialRun) -> Cell:
    """The card goes after three commands."""

    def leaving(card: Card) -> Card:
        return LeavingCard(card, after=3, leave=run.lab.testbed.reader.remove_card)

    run.pay(wrap=leaving, retry=False)
    run.pay_if_open()
    return run.conclude()


def taken_away(run: TrialRun) -> Cell:
    """The phone is taken away before its code was read."""
    run.pay(scanned=lambda shown: DARK_SCREEN)
    run.pay_if_open()
    return run.conclude()


def page_closed_code(run: TrialRun) -> Cell:
    """Over the limit without PIN: the page is closed once the PIN was sent."""
    run.order = run.lab.order(DEAR_MINOR)
    return page_closed_qr(run)


def page_closed_qr(run: TrialRun) -> Cell:
    """The browser is closed once the form is sent."""
    run.pay(network=ClosedPage())
    run.payer_saw[-1] = "nothing: the page is closed"
    deadline = time.monotonic() + 5
    while (
        run.lab.shop.orders.get(run.order.id).state is not OrderState.PAID
        and time.monotonic() < deadline
    ):
        time.sleep(0.02)
    order = run.lab.shop.orders.get(run.order.id)
    run.shop_saw[-1] = f"paid without the page, order {order.state}"
    return run.conclude()


def page_closed_nfc(run: TrialRun) -> Cell:
    """A tap with no page open."""
    # The terminal settles the order itself; no page of the counter is open here.
    run.pay()
    return run.conclude()


def expired_qr(run: TrialRun) -> Cell:
    """The payer confirms a second after the code's minute."""
    run.pay(network=DawdlingNetwork(lambda: run.lab.testbed.clock.advance(61)))
    run.pay_if_open()
    return run.conclude()


def expired_code(run: TrialRun) -> Cell:
    """The code stands on the screen for two minutes before it is scanned."""

    def later(shown: ShownCode) -> bytes:
        run.lab.testbed.clock.advance(121)
        return shown.picture

    run.pay(scanned=later)
    run.pay_if_open()
    return run.conclude()


def expired_nfc(run: TrialRun) -> Cell:
    """The order's time ends while the card is read."""

    def dawdling(card: Card) -> Card:
        def later() -> None:
            run.lab.testbed.clock.advance(901)

        return LeavingCard(card, after=3, leave=later)

    run.pay(wrap=dawdling)
    return run.conclude()


# -- machines -------------------------------------------------------------------------------------


def disk_full(run: TrialRun) -> Cell:
    """The switch can write nothing during the first attempt."""
    run.lab.switch.fill_disk()
    try:
        run.pay()
    finally:
        run.lab.switch.empty_disk()
    run.lab.recover()
    run.pay_if_open()
    return run.conclude()


def switch_cut_before(run: TrialRun) -> Cell:
    """The switch is killed before it has the request."""
    return _switch_cut(run, "request", "0200")


def switch_cut_after(run: TrialRun) -> Cell:
    """The switch is killed before its response gets out."""
    return _switch_cut(run, "response", "0210")


def _switch_cut(run: TrialRun, direction: Direction, message_type: str) -> Cell:
    lab = run.lab

    def cut() -> bool:
        lab.switch.kill()
        lab.proxy.cut()
        return False

    lab.proxy.on_next(direction, message_type, cut)
    run.pay()
    lab.switch.start()
    lab.recover()
    run.pay_if_open()
    return run.conclude()


def clock_ahead(run: TrialRun) -> Cell:
    """The shop's clock runs ten years ahead of all others, and is put right again."""
    ten_years_s = 3650 * 86_400.0
    run.lab.testbed.clock.advance(ten_years_s)
    run.order = run.lab.order()
    run.pay()
    run.lab.recover()
    run.lab.testbed.clock.advance(-ten_years_s)
    run.pay_if_open()
    return run.conclude()


def clock_ahead_code(run: TrialRun) -> Cell:
    """The shop's clock jumps after the payer showed the code and before the counter scans it."""
    ten_years_s = 3650 * 86_400.0
    clock = run.lab.testbed.clock
    clock.advance(ten_years_s)
    run.order = run.lab.order()
    clock.advance(-ten_years_s)

    def jumps(shown: ShownCode) -> bytes:
        clock.advance(ten_years_s)
        return shown.picture

    run.pay(scanned=jumps)
    run.lab.recover()
    clock.advance(-ten_years_s)
    run.pay_if_open()
    return run.conclude()
