"""How each fault is brought about, one function a cell."""

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
from checkout.comparison.trials.rig import DEAR_MINOR, TIMEOUT_S, Scene
from checkout.shop.orders.states import OrderState
from devices.nfc.contract import Card
from devices.phone import ShownCode

# -- between phone, shop and switch ---------------------------------------------------------------


def phone_offline_qr(scene: Scene) -> Cell:
    """The phone finds no page, then its network again."""
    scene.pay(network=FadingNetwork(method="GET", times=1))
    scene.pay_again()
    return scene.conclude()


def phone_offline_code(scene: Scene) -> Cell:
    """The phone shows its code and then has no network: below the limit without PIN, and above."""
    scene.pay(network=LastingNetwork(requests=1))
    dear = scene.beside(DEAR_MINOR)
    dear.pay(network=LastingNetwork(requests=1))
    rig = scene.rig
    rig.stand.clock.move_on(rig.stand.config.payer_wait_s + 1)
    rig.shop.sweep()
    dear.shop_saw.append(str(rig.shop.payments.of_order(dear.order.id)[-1].response_text))
    dear.pay_again()
    return scene.conclude().with_other("over the limit", dear.conclude())


def phone_offline_nfc(scene: Scene) -> Cell:
    """A phone taps without any network."""
    # The phone answers the reader from its own keys; it has no network in this project at all.
    scene.payer = "hce-phone"
    scene.pay()
    return scene.conclude()


def shop_offline(scene: Scene) -> Cell:
    """The gate is shut for the first try and open for the second."""
    scene.rig.gate.shut()
    scene.pay()
    scene.rig.gate.open_again()
    scene.pay_again()
    return scene.conclude()


def slow(scene: Scene) -> Cell:
    """The answer is held back until the shop has given up."""

    def late() -> bool:
        time.sleep(1.5 * TIMEOUT_S)
        return True

    scene.rig.gate.once("answer", "0210", late)
    return unanswered(scene)


def answer_lost(scene: Scene) -> Cell:
    """The answer is thrown away."""
    scene.rig.gate.once("answer", "0210", lambda: False)
    return unanswered(scene)


def request_lost(scene: Scene) -> Cell:
    """The question is thrown away."""
    scene.rig.gate.once("question", "0200", lambda: False)
    return unanswered(scene)


def unanswered(scene: Scene) -> Cell:
    """The try that gets no answer, the reversal, and the payer's second try."""
    scene.pay()
    scene.rig.recover()
    scene.pay_again()
    return scene.conclude()


def late(scene: Scene) -> Cell:
    """The order's quarter of an hour ends while its payment is being authorised."""

    def later() -> bool:
        scene.rig.stand.clock.move_on(901)
        return True

    scene.rig.gate.once("answer", "0210", later)
    scene.pay()
    return scene.conclude()


# -- at the counter -------------------------------------------------------------------------------


def unplugged_qr(scene: Scene) -> Cell:
    """The reader goes before the code is paid."""
    scene.rig.stand.reader.close()
    scene.pay()
    scene.rig.new_reader()
    return scene.conclude()


def unplugged_nfc(scene: Scene) -> Cell:
    """The reader goes after three commands."""

    def pulled(card: Card) -> Card:
        return LeavingCard(card, after=3, leave=scene.rig.stand.reader.close)

    scene.pay(wrap=pulled, again=False)
    scene.rig.new_reader()
    scene.pay_again()
    return scene.conclude()


def pulled_away(scene: Scene) -> Cell:
    """The card goes after three commands."""

    def leaving(card: Card) -> Card:
        return LeavingCard(card, after=3, leave=scene.rig.stand.reader.remove_card)

    scene.pay(wrap=leaving, again=False)
    scene.pay_again()
    return scene.conclude()


def taken_away(scene: Scene) -> Cell:
    """The phone is taken away before its code was read."""
    scene.pay(scanned=lambda shown: DARK_SCREEN)
    scene.pay_again()
    return scene.conclude()


def page_closed_code(scene: Scene) -> Cell:
    """Over the limit without PIN: the page is closed once the PIN was sent."""
    scene.order = scene.rig.order(DEAR_MINOR)
    return page_closed_qr(scene)


def page_closed_qr(scene: Scene) -> Cell:
    """The browser is closed once the form is sent."""
    scene.pay(network=ClosedPage())
    scene.payer_saw[-1] = "nothing: the page is closed"
    deadline = time.monotonic() + 5
    while (
        scene.rig.shop.orders.get(scene.order.id).state is not OrderState.PAID
        and time.monotonic() < deadline
    ):
        time.sleep(0.02)
    again = scene.rig.shop.orders.get(scene.order.id)
    scene.shop_saw[-1] = f"paid without the page, order {again.state}"
    return scene.conclude()


def page_closed_nfc(scene: Scene) -> Cell:
    """A tap with no page open."""
    # The terminal settles the order itself; no page of the counter is open here.
    scene.pay()
    return scene.conclude()


def expired_qr(scene: Scene) -> Cell:
    """The payer confirms a second after the code's minute."""
    scene.pay(network=DawdlingNetwork(lambda: scene.rig.stand.clock.move_on(61)))
    scene.pay_again()
    return scene.conclude()


def expired_code(scene: Scene) -> Cell:
    """The code stands on the screen for two minutes before it is scanned."""

    def later(shown: ShownCode) -> bytes:
        scene.rig.stand.clock.move_on(121)
        return shown.picture

    scene.pay(scanned=later)
    scene.pay_again()
    return scene.conclude()


def expired_nfc(scene: Scene) -> Cell:
    """The order's time ends while the card is read."""

    def dawdling(card: Card) -> Card:
        def later() -> None:
            scene.rig.stand.clock.move_on(901)

        return LeavingCard(card, after=3, leave=later)

    scene.pay(wrap=dawdling)
    return scene.conclude()


# -- machines -------------------------------------------------------------------------------------


def disk_full(scene: Scene) -> Cell:
    """The switch may write nothing during the first try."""
    scene.rig.switch.fill_disk()
    try:
        scene.pay()
    finally:
        scene.rig.switch.empty_disk()
    scene.rig.recover()
    scene.pay_again()
    return scene.conclude()


def switch_cut_before(scene: Scene) -> Cell:
    """The switch is killed before it has the question."""
    return _switch_cut(scene, "question", "0200")


def switch_cut_after(scene: Scene) -> Cell:
    """The switch is killed before its answer gets out."""
    return _switch_cut(scene, "answer", "0210")


def _switch_cut(scene: Scene, direction: str, message_type: str) -> Cell:
    rig = scene.rig

    def cut() -> bool:
        rig.switch.kill()
        rig.gate.cut()
        return False

    rig.gate.once("question" if direction == "question" else "answer", message_type, cut)
    scene.pay()
    rig.switch.start()
    rig.recover()
    scene.pay_again()
    return scene.conclude()


def clock_ahead(scene: Scene) -> Cell:
    """The shop's clock runs ten years ahead of everybody else's, and is put right again."""
    ten_years_s = 3650 * 86_400.0
    scene.rig.stand.clock.move_on(ten_years_s)
    scene.order = scene.rig.order()
    scene.pay()
    scene.rig.recover()
    scene.rig.stand.clock.move_on(-ten_years_s)
    scene.pay_again()
    return scene.conclude()


def clock_ahead_code(scene: Scene) -> Cell:
    """The shop's clock jumps between the payer's showing the code and the counter's scanning it."""
    ten_years_s = 3650 * 86_400.0
    clock = scene.rig.stand.clock
    clock.move_on(ten_years_s)
    scene.order = scene.rig.order()
    clock.move_on(-ten_years_s)

    def jumps(shown: ShownCode) -> bytes:
        clock.move_on(ten_years_s)
        return shown.picture

    scene.pay(scanned=jumps)
    scene.rig.recover()
    clock.move_on(-ten_years_s)
    scene.pay_again()
    return scene.conclude()
