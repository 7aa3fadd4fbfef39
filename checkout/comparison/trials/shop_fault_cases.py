"""Faults of the shop's own machine, brought about on the shop in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from functools import wraps

from checkout.comparison.results import Cell
from checkout.comparison.testbed.full_disk import fill_disk
from checkout.comparison.testbed.shop_process import sell_in_child
from checkout.comparison.trials.lab import AMOUNT_MINOR, TrialRun

_AMOUNT = f"{AMOUNT_MINOR / 100:.2f}"
#: More orders than a matrix makes. Their times do not show which came last: clocks differ.
_ALL = 10_000
_EXITS = {0: "paid", 1: "an error", 3: "declined", 4: "outcome unknown"}


def _in_real_time(case: Callable[[TrialRun], Cell]) -> Callable[[TrialRun], Cell]:
    """Run the case by the real clock, which another process has too, with a new order."""

    @wraps(case)
    def played(run: TrialRun) -> Cell:
        with run.lab.testbed.clock.real_time():
            run.order = run.lab.order()
            return case(run)

    return played


@_in_real_time
def shop_cut(run: TrialRun) -> Cell:
    """The shop's own process is killed while the response is on its way to it."""
    lab = run.lab

    def deadly(child: subprocess.Popen[bytes]) -> None:
        def cut() -> bool:
            os.kill(child.pid, signal.SIGKILL)
            return False

        lab.proxy.on_next("response", "0210", cut)

    with lab.behind_proxy():
        _sell(run, deadly)
    run.payer_saw.append("nothing")
    run.shop_saw.append(f"killed, order {lab.shop.orders.get(run.order.id).state}")
    lab.recover()
    run.pay_if_open()
    return run.conclude()


@_in_real_time
def shop_cut_code(run: TrialRun) -> Cell:
    """The process that serves till and phone is killed while the response is on its way to it."""
    with run.lab.shop_process() as shop:
        run.origin, run.payer = shop.origin, "wallet-quick"

        def cut() -> bool:
            shop.kill()
            return False

        run.lab.proxy.on_next("response", "0210", cut)
        run.pay()
    run.origin = None
    run.shop_saw[-1] = f"killed, order {run.lab.shop.orders.get(run.order.id).state}"
    run.lab.recover()
    run.pay_if_open()
    return run.conclude()


@_in_real_time
def disk_full(run: TrialRun) -> Cell:
    """The shop's disk is full before the payer is ready; then from the bank's response on."""
    lab = run.lab
    with lab.shop_process() as shop:
        # A payer of its own: the clock cannot be advanced here, and each code is good once.
        run.origin, run.payer = shop.origin, "wallet-balance"
        shop.fill_disk()
        run.pay()
        shop.empty_disk()

        def full() -> bool:
            shop.fill_disk()
            return True

        lab.proxy.on_next("response", "0210", full)
        run.pay()
        shop.empty_disk()
    run.origin = None
    lab.recover()
    run.pay_if_open()
    return run.conclude()


@_in_real_time
def disk_full_tap(run: TrialRun) -> Cell:
    """The same at a till that sells by tap: full from the start, then from the response on."""
    lab = run.lab
    with lab.behind_proxy():
        status, output = sell_in_child(
            lab.testbed.config, mode="nfc", amount=_AMOUNT, payer=run.payer, full=True
        )
        run.payer_saw.append("no card was asked for")
        run.shop_saw.append(f"{_EXITS.get(status, str(status))}: {output}")

        def filling(child: subprocess.Popen[bytes]) -> None:
            def full() -> bool:
                fill_disk(child.pid)
                return True

            lab.proxy.on_next("response", "0210", full)

        status, output = _sell(run, filling)
    run.payer_saw.append(_EXITS.get(status, str(status)))
    run.shop_saw.append(output)
    lab.recover()
    run.pay_if_open()
    return run.conclude()


def _sell(run: TrialRun, started: Callable[[subprocess.Popen[bytes]], None]) -> tuple[int, str]:
    """One sale by the command; the run goes on with the order of that sale."""
    lab = run.lab
    known = {order.id for order in lab.shop.orders.recent(_ALL)}
    outcome = sell_in_child(
        lab.testbed.config,
        mode=str(run.mode),
        amount=_AMOUNT,
        payer=run.payer,
        started=started,
    )
    fresh = [order for order in lab.shop.orders.recent(_ALL) if order.id not in known]
    if fresh:
        lab.shop.orders.cancel(run.order.id)
        run.order = fresh[0]
    return outcome
