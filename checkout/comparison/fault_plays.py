"""How each fault is brought about, one function a cell."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from urllib.parse import urlsplit

from checkout.comparison.obstacles import FadingNetwork, LeavingCard
from checkout.comparison.results import Cell
from checkout.comparison.rig import AMOUNT_MINOR, TIMEOUT_S, Scene
from checkout.orders import OrderState
from devices.nfc.contract import Card
from devices.phone import Answer, HttpNetwork

# -- between phone, shop and switch ---------------------------------------------------------------


def phone_offline_qr(scene: Scene) -> Cell:
    """The phone finds no page, then its network again."""
    scene.pay(network=FadingNetwork(method="GET", times=1))
    scene.pay_again()
    return scene.conclude()


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
        return LeavingCard(card, after=3, leave=scene.rig.stand.reader.take_away)

    scene.pay(wrap=leaving, again=False)
    scene.pay_again()
    return scene.conclude()


class _ClosedPage:
    """A phone whose browser is closed the moment the form has been sent."""

    def __init__(self) -> None:
        self._inner = HttpNetwork()

    def request(self, method: str, url: str, headers: dict[str, str], body: bytes) -> Answer:
        if method != "POST":
            return self._inner.request(method, url, headers, body)
        parts = urlsplit(url)
        lines = [f"POST {parts.path} HTTP/1.1", f"Host: {parts.netloc}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines += [f"Content-Length: {len(body)}", "", ""]
        with socket.create_connection((parts.hostname or "", parts.port or 80)) as sent:
            sent.sendall("\r\n".join(lines).encode() + body)
        raise OSError("the page was closed")


def page_closed_qr(scene: Scene) -> Cell:
    """The browser is closed once the form is sent."""
    scene.pay(network=_ClosedPage())
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


class _DawdlingNetwork:
    """A payer who looks at the page for too long before confirming."""

    def __init__(self, scene: Scene, seconds: float) -> None:
        self._scene = scene
        self._seconds = seconds
        self._inner = HttpNetwork()

    def request(self, method: str, url: str, headers: dict[str, str], body: bytes) -> Answer:
        if method == "POST":
            self._scene.rig.stand.clock.move_on(self._seconds)
        return self._inner.request(method, url, headers, body)


def expired_qr(scene: Scene) -> Cell:
    """The payer confirms a second after the code's minute."""
    scene.pay(network=_DawdlingNetwork(scene, 61))
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


def shop_cut(scene: Scene) -> Cell:
    """The shop's own process is killed while the answer is on its way to it."""
    rig, home = scene.rig, scene.rig.stand.config.home
    command = [sys.executable, "-m", "checkout", "pay", "--mode", scene.mode, "--json"]
    command += ["--amount", f"{AMOUNT_MINOR / 100:.2f}", "--payer", scene.payer]
    rig.stand.clock.catch_up()
    known = {order.id for order in rig.shop.orders.recent(50)}
    with rig.in_the_way():
        child = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command,
            env=os.environ | {"CHECKOUT_HOME": str(home)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

        def cut() -> bool:
            os.kill(child.pid, signal.SIGKILL)
            return False

        rig.gate.once("answer", "0210", cut)
        child.wait(30)
    fresh = [order for order in rig.shop.orders.recent(50) if order.id not in known]
    if fresh:
        rig.shop.orders.cancel(scene.order.id)
        scene.order = fresh[0]
    scene.payer_saw.append("nothing")
    scene.shop_saw.append(f"killed, order {scene.rig.shop.orders.get(scene.order.id).state}")
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
