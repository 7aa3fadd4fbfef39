"""Attacks on the code that a payer's phone shows, one function for each cell.

The thief stands at another till of the shop, with an order of his own, and has what the attack
gave him: a picture, digits, an overheard page.
"""

from __future__ import annotations

import re
import threading
from dataclasses import replace

from checkout.comparison.results import Cell
from checkout.comparison.sales.payer_code import CodeReply, send_code
from checkout.comparison.trials import defence
from checkout.comparison.trials.attack_verdict import (
    THIEF,
    cell_of_reply,
    cell_of_run,
    payer_code_loss,
)
from checkout.comparison.trials.attacker import Wiretap, code_request, send
from checkout.comparison.trials.lab import AMOUNT_MINOR, TrialRun
from checkout.demo.payers import payer as find_payer
from devices.phone import CodePhone, ShownCode
from devices.qr.scanner import read

#: What a till charges after it showed its customer 12.80: the most that needs no PIN.
_TOO_MUCH_MINOR = 99_900
_GUESSES = 40


def replayed(run: TrialRun) -> Cell:
    """A code that has paid is scanned once more, for another order."""
    photos: list[ShownCode] = []

    def noted(shown: ShownCode) -> bytes:
        photos.append(shown)
        return shown.picture

    run.pay(scanned=noted)
    return _at_another_till(run, photos[0].digits)


def digits_as_card(run: TrialRun) -> Cell:
    """The nineteen digits, used as a card number."""
    digits = _shown(run).digits
    expiry = find_payer(run.payer).expiry
    request = code_request(run.lab, digits, expiry, AMOUNT_MINOR, pin=None, kind="dynamic")
    return cell_of_reply(run, send(run.lab, request), digits)


def more_than_shown(run: TrialRun) -> Cell:
    """The counter says 12.80 and charges 999.00 by the code, an amount that needs no PIN."""
    run.order = run.lab.order(_TOO_MUCH_MINOR)
    attempt = run.pay()
    run.payer_saw[-1] += ", and only then how much"
    booked = run.lab.booked(run.lab.shop.payments.of_order(run.order.id))
    works = any(sale.amount_minor > AMOUNT_MINOR for sale in booked)
    stop = defence.of_try(run.lab.books, attempt)
    return cell_of_run(run, works=works, stop=stop, loss=payer_code_loss(run.lab, run.payer))


def photographed(run: TrialRun) -> Cell:
    """The screen is photographed over a shoulder; the picture is shown at another till first."""
    picture = _shown(run).picture
    cell = _at_another_till(run, read(picture)[0].text)
    return replace(cell, payer_saw="the code on the own screen, then a receipt for nothing bought")


def overheard(run: TrialRun) -> Cell:
    """The page with the code is read off the Wi-Fi on its way to the phone."""
    wiretap = Wiretap()
    _shown(run, wiretap)
    found = re.search(rb'data-digits="(\d+)"', wiretap.responses[-1].body)
    cell = _at_another_till(run, found.group(1).decode() if found else "")
    return replace(cell, payer_saw="the code, as ever")


def read_out(run: TrialRun) -> Cell:
    """A caller who says that he is the bank has the payer read out the digits."""
    digits = _shown(run).digits
    cell = _at_another_till(run, " ".join(re.findall(".{1,4}", digits)))
    return replace(cell, payer_saw="a caller who asks for the digits under the barcode")


def guessed(run: TrialRun) -> Cell:
    """Digits are guessed by counting up from those of a code that has just been shown."""
    base = int(_shown(run).digits)
    replies: list[CodeReply] = []
    for number in range(1, _GUESSES + 1):
        digits = str(base + number)
        replies.append(send_code(run.lab.testbed.origin, run.order.id, digits))
    found = sum(reply.accepted for reply in replies)
    run.payer_saw.append(f"{len(replies)} guesses, {found} hits")
    run.shop_saw.append(replies[-1].detail)
    return cell_of_run(run, works=found > 0, stop=defence.of_code_reply(replies[-1]))


def shown_twice(run: TrialRun) -> Cell:
    """Payer and thief show the same code at two tills at the same moment."""
    digits = _shown(run).digits
    other = run.other_order(AMOUNT_MINOR)
    replies: list[CodeReply] = []

    def show(at: TrialRun) -> None:
        replies.append(send_code(run.lab.testbed.origin, at.order.id, digits))

    threads = [threading.Thread(target=show, args=(at,)) for at in (run, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    payments = run.lab.shop.payments
    booked = run.lab.booked((*payments.of_order(run.order.id), *payments.of_order(other.order.id)))
    run.payer_saw.append(f"{len(booked)} of two payments")
    last = ([reply for reply in replies if not reply.accepted] or replies)[-1]
    cell = cell_of_run(run, works=len(booked) != 1, stop=defence.of_code_reply(last))
    # Which of the two came later is chance, so the cell names neither.
    holds = f"of two tills {len(booked)}"
    return replace(cell, shop_saw=f"at the later till: {last.detail}", holds=holds)


def _shown(run: TrialRun, network: Wiretap | None = None) -> ShownCode:
    run.lab.new_code(run.payer)
    return CodePhone(run.payer, run.lab.testbed.origin, network=network).show()


def _at_another_till(run: TrialRun, text: str) -> Cell:
    """A cell from sending `text` as a scanned code for the thief's own order."""
    lab, other = run.lab, run.other_order(AMOUNT_MINOR)
    reply = send_code(lab.testbed.origin, other.order.id, text)
    payments = lab.shop.payments.of_order(other.order.id)
    booked = lab.booked(payments)
    run.shop_saw.append(f"at the other till: {reply.detail or payments[-1].state}")
    stop = defence.of_payment(lab.books, payments[-1]) if payments else defence.of_code_reply(reply)
    cell = cell_of_run(run, works=bool(booked), stop=stop, loss=payer_code_loss(lab, run.payer))
    cell = replace(cell, payer_saw=cell.payer_saw or "the code")
    return replace(cell, holds=THIEF) if booked else cell
