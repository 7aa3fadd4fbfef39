"""Faults of the shop's own machine, brought about on the shop in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from functools import wraps

from checkout.comparison.results import Cell
from checkout.comparison.testbed.shop_process import no_room, sell_in_child
from checkout.comparison.trials.rig import AMOUNT_MINOR, Scene

_AMOUNT = f"{AMOUNT_MINOR / 100:.2f}"
#: More orders than a matrix makes; their times do not tell which of them came last.
_ALL = 10_000
_EXITS = {0: "paid", 1: "an error", 3: "declined", 4: "outcome unknown"}


def _in_real_time(play: Callable[[Scene], Cell]) -> Callable[[Scene], Cell]:
    """Nobody tells another process of the time that passes here only; the order is made anew."""

    @wraps(play)
    def played(scene: Scene) -> Cell:
        with scene.rig.stand.clock.real_time():
            scene.order = scene.rig.order()
            return play(scene)

    return played


@_in_real_time
def shop_cut(scene: Scene) -> Cell:
    """The shop's own process is killed while the answer is on its way to it."""
    rig = scene.rig

    def deadly(child: subprocess.Popen[bytes]) -> None:
        def cut() -> bool:
            os.kill(child.pid, signal.SIGKILL)
            return False

        rig.gate.once("answer", "0210", cut)

    with rig.in_the_way():
        _sell(scene, deadly)
    scene.payer_saw.append("nothing")
    scene.shop_saw.append(f"killed, order {rig.shop.orders.get(scene.order.id).state}")
    rig.recover()
    scene.pay_again()
    return scene.conclude()


@_in_real_time
def shop_cut_code(scene: Scene) -> Cell:
    """The process that serves till and phone is killed while the answer is on its way to it."""
    with scene.rig.shop_process() as shop:
        scene.origin, scene.payer = shop.origin, "wallet-quick"

        def cut() -> bool:
            shop.kill()
            return False

        scene.rig.gate.once("answer", "0210", cut)
        scene.pay()
    scene.origin = None
    scene.shop_saw[-1] = f"killed, order {scene.rig.shop.orders.get(scene.order.id).state}"
    scene.rig.recover()
    scene.pay_again()
    return scene.conclude()


@_in_real_time
def disk_full(scene: Scene) -> Cell:
    """No room on the shop's disk before the payer is ready; then from the bank's answer on."""
    rig = scene.rig
    with rig.shop_process() as shop:
        # A payer of its own: this process's clock is moved on by nobody, and a code is good once.
        scene.origin, scene.payer = shop.origin, "wallet-balance"
        shop.fill_disk()
        scene.pay()
        shop.empty_disk()

        def full() -> bool:
            shop.fill_disk()
            return True

        rig.gate.once("answer", "0210", full)
        scene.pay()
        shop.empty_disk()
    scene.origin = None
    rig.recover()
    scene.pay_again()
    return scene.conclude()


@_in_real_time
def disk_full_tap(scene: Scene) -> Cell:
    """The same at a till that sells by tap: full from the start, then from the answer on."""
    rig = scene.rig
    with rig.in_the_way():
        status, said = sell_in_child(
            rig.stand.config, mode="nfc", amount=_AMOUNT, payer=scene.payer, full=True
        )
        scene.payer_saw.append("no card was asked for")
        scene.shop_saw.append(f"{_EXITS.get(status, str(status))}: {said}")

        def filling(child: subprocess.Popen[bytes]) -> None:
            def full() -> bool:
                no_room(child.pid)
                return True

            rig.gate.once("answer", "0210", full)

        status, said = _sell(scene, filling)
    scene.payer_saw.append(_EXITS.get(status, str(status)))
    scene.shop_saw.append(said)
    rig.recover()
    scene.pay_again()
    return scene.conclude()


def _sell(scene: Scene, started: Callable[[subprocess.Popen[bytes]], None]) -> tuple[int, str]:
    """One sale by the command; the scene goes on with its order."""
    rig = scene.rig
    known = {order.id for order in rig.shop.orders.recent(_ALL)}
    outcome = sell_in_child(
        rig.stand.config,
        mode=str(scene.mode),
        amount=_AMOUNT,
        payer=scene.payer,
        started=started,
    )
    fresh = [order for order in rig.shop.orders.recent(_ALL) if order.id not in known]
    if fresh:
        rig.shop.orders.cancel(scene.order.id)
        scene.order = fresh[0]
    return outcome
