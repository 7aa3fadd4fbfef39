"""The fault matrix: each fault really brought about, by each mode, and the money counted after."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from checkout.comparison.results import Cell, Row
from checkout.comparison.rig import AMOUNT_MINOR, TIMEOUT_S, Mode, Rig, Scene, open_rig
from checkout.comparison.selling import FadingNetwork, LeavingCard
from checkout.comparison.stand import Pages
from checkout.orders import OrderState
from devices.nfc.contract import Card
from devices.phone import Answer, HttpNetwork

_Play = Callable[[Scene], Cell]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One row: how it is brought about by each mode; None where it cannot arise."""

    name: str
    title: str
    what: str
    qr: _Play | None
    nfc: _Play | None


def run_faults(
    pages: Pages,
    *,
    only: tuple[str, ...] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Row, ...]:
    """Play every cell, or those of the rows named in `only`; `progress` hears done and total."""
    chosen = [fault for fault in FAULTS if not only or fault.name in only]
    rows = []
    with open_rig(pages) as rig:
        for done, fault in enumerate(chosen):
            progress(done, len(chosen))
            rows.append(play_fault(rig, fault))
        progress(len(chosen), len(chosen))
    return tuple(rows)


def play_fault(rig: Rig, fault: Fault) -> Row:
    """One row of the matrix."""
    modes: tuple[tuple[Mode, _Play | None], ...] = (("qr", fault.qr), ("nfc", fault.nfc))
    cells = [
        play(Scene(rig=rig, name=fault.name, mode=mode, order=rig.order()))
        for mode, play in modes
        if play is not None
    ]
    return Row(name=fault.name, title=fault.title, what=fault.what, cells=tuple(cells))


# -- between phone, shop and switch ---------------------------------------------------------------


def _phone_offline_qr(scene: Scene) -> Cell:
    scene.pay(network=FadingNetwork(method="GET", times=1))
    scene.pay_again()
    return scene.conclude()


def _phone_offline_nfc(scene: Scene) -> Cell:
    # The phone answers the reader from its own keys; it has no network in this project at all.
    scene.payer = "hce-phone"
    scene.pay()
    return scene.conclude()


def _shop_offline(scene: Scene) -> Cell:
    scene.rig.gate.shut()
    scene.pay()
    scene.rig.gate.open_again()
    scene.pay_again()
    return scene.conclude()


def _slow(scene: Scene) -> Cell:
    def late() -> bool:
        time.sleep(1.5 * TIMEOUT_S)
        return True

    scene.rig.gate.once("answer", "0210", late)
    return _unanswered(scene)


def _answer_lost(scene: Scene) -> Cell:
    scene.rig.gate.once("answer", "0210", lambda: False)
    return _unanswered(scene)


def _request_lost(scene: Scene) -> Cell:
    scene.rig.gate.once("question", "0200", lambda: False)
    return _unanswered(scene)


def _unanswered(scene: Scene) -> Cell:
    """The try that gets no answer, the reversal, and the payer's second try."""
    scene.pay()
    scene.rig.recover()
    scene.pay_again()
    return scene.conclude()


def _late(scene: Scene) -> Cell:
    """The order's quarter of an hour ends while its payment is being authorised."""

    def later() -> bool:
        scene.rig.stand.clock.move_on(901)
        return True

    scene.rig.gate.once("answer", "0210", later)
    scene.pay()
    return scene.conclude()


# -- at the counter -------------------------------------------------------------------------------


def _unplugged_qr(scene: Scene) -> Cell:
    scene.rig.stand.reader.close()
    scene.pay()
    scene.rig.new_reader()
    return scene.conclude()


def _unplugged_nfc(scene: Scene) -> Cell:
    def pulled(card: Card) -> Card:
        return LeavingCard(card, after=3, leave=scene.rig.stand.reader.close)

    scene.pay(wrap=pulled, again=False)
    scene.rig.new_reader()
    scene.pay_again()
    return scene.conclude()


def _pulled_away(scene: Scene) -> Cell:
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


def _page_closed_qr(scene: Scene) -> Cell:
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


def _page_closed_nfc(scene: Scene) -> Cell:
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


def _expired_qr(scene: Scene) -> Cell:
    scene.pay(network=_DawdlingNetwork(scene, 61))
    scene.pay_again()
    return scene.conclude()


def _expired_nfc(scene: Scene) -> Cell:
    def dawdling(card: Card) -> Card:
        def later() -> None:
            scene.rig.stand.clock.move_on(901)

        return LeavingCard(card, after=3, leave=later)

    scene.pay(wrap=dawdling)
    return scene.conclude()


# -- machines -------------------------------------------------------------------------------------


def _disk_full(scene: Scene) -> Cell:
    scene.rig.switch.fill_disk()
    try:
        scene.pay()
    finally:
        scene.rig.switch.empty_disk()
    scene.rig.recover()
    scene.pay_again()
    return scene.conclude()


def _switch_cut_before(scene: Scene) -> Cell:
    return _switch_cut(scene, "question", "0200")


def _switch_cut_after(scene: Scene) -> Cell:
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


def _shop_cut(scene: Scene) -> Cell:
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


def _clock_ahead(scene: Scene) -> Cell:
    """The shop's clock runs ten years ahead of everybody else's, and is put right again."""
    ten_years_s = 3650 * 86_400.0
    scene.rig.stand.clock.move_on(ten_years_s)
    scene.order = scene.rig.order()
    scene.pay()
    scene.rig.recover()
    scene.rig.stand.clock.move_on(-ten_years_s)
    scene.pay_again()
    return scene.conclude()


FAULTS = (
    Fault(
        name="phone-offline",
        title="Phone offline",
        what="The payer's phone has no network, and finds it again.",
        qr=_phone_offline_qr,
        nfc=_phone_offline_nfc,
    ),
    Fault(
        name="shop-offline",
        title="Shop offline",
        what="The line to the switch is down when the payer is ready, and comes back.",
        qr=_shop_offline,
        nfc=_shop_offline,
    ),
    Fault(
        name="switch-slow",
        title="Switch slow",
        what="The answer comes after the shop has given up waiting.",
        qr=_slow,
        nfc=_slow,
    ),
    Fault(
        name="request-lost",
        title="Question lost",
        what="The question never reaches the switch.",
        qr=_request_lost,
        nfc=_request_lost,
    ),
    Fault(
        name="answer-lost",
        title="Answer lost",
        what="The switch has decided; its answer gets lost.",
        qr=_answer_lost,
        nfc=_answer_lost,
    ),
    Fault(
        name="paid-late",
        title="Order runs out meanwhile",
        what="The order's quarter of an hour ends while the switch decides.",
        qr=_late,
        nfc=_late,
    ),
    Fault(
        name="reader-unplugged",
        title="Reader unplugged",
        what="The reader is pulled out during a sale, and put back.",
        qr=_unplugged_qr,
        nfc=_unplugged_nfc,
    ),
    Fault(
        name="card-pulled-away",
        title="Card pulled away",
        what="The card leaves halfway and is presented again.",
        qr=None,
        nfc=_pulled_away,
    ),
    Fault(
        name="page-closed",
        title="Page closed",
        what="The page is closed once the payer has confirmed.",
        qr=_page_closed_qr,
        nfc=_page_closed_nfc,
    ),
    Fault(
        name="code-expired",
        title="Time runs out while paying",
        what="The code's minute, or the order's quarter of an hour, ends before the payer is done.",
        qr=_expired_qr,
        nfc=_expired_nfc,
    ),
    Fault(
        name="disk-full",
        title="Disk full",
        what="The switch cannot write its books; then there is room again.",
        qr=_disk_full,
        nfc=_disk_full,
    ),
    Fault(
        name="power-cut-before",
        title="Power cut at the switch, before it decides",
        what="The switch is killed with the question in its hands, and started again.",
        qr=_switch_cut_before,
        nfc=_switch_cut_before,
    ),
    Fault(
        name="power-cut-after",
        title="Power cut at the switch, after it decided",
        what="The switch is killed with its answer committed and unsent, and started again.",
        qr=_switch_cut_after,
        nfc=_switch_cut_after,
    ),
    Fault(
        name="power-cut-shop",
        title="Power cut at the shop",
        what="The shop is killed while the answer is on its way; another process takes over.",
        qr=_shop_cut,
        nfc=_shop_cut,
    ),
    Fault(
        name="clock-wrong",
        title="Clock wrong",
        what="The shop's clock is ten years ahead, and is put right.",
        qr=_clock_ahead,
        nfc=_clock_ahead,
    ),
)
