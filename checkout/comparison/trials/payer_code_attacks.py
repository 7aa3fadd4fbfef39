"""Attacks on the code that a payer's phone shows, one function a cell.

The thief stands at another till of the shop, with an order of his own, and has what the attack
gave him: a picture, digits, an overheard page.
"""

from __future__ import annotations

import re
import threading
from dataclasses import replace

from checkout.comparison.results import Cell
from checkout.comparison.sales.payer_code import Taken, take_code
from checkout.comparison.trials import defence
from checkout.comparison.trials.attack_verdict import THIEF, judged, payer_code_loss, seen
from checkout.comparison.trials.attacker import Ears, ask, code_question
from checkout.comparison.trials.rig import AMOUNT_MINOR, Scene
from checkout.demo.payers import payer as find_payer
from devices.phone import CodePhone, ShownCode
from devices.qr.scanner import read

#: What a till takes that told its customer 12.80: as much as goes without a PIN.
_TOO_MUCH_MINOR = 99_900
_GUESSES = 40


def replayed(scene: Scene) -> Cell:
    """A code that has paid is scanned once more, for another order."""
    kept: list[ShownCode] = []

    def noted(shown: ShownCode) -> bytes:
        kept.append(shown)
        return shown.picture

    scene.pay(scanned=noted)
    return _at_another_till(scene, kept[0].digits)


def digits_as_card(scene: Scene) -> Cell:
    """The nineteen digits, used as a card number."""
    digits = _shown(scene).digits
    expiry = find_payer(scene.payer).expiry
    request = code_question(scene.rig, digits, expiry, AMOUNT_MINOR, pin=None, kind="dynamic")
    return judged(scene, ask(scene.rig, request), digits)


def more_than_told(scene: Scene) -> Cell:
    """The counter says 12.80 and scans the code for 999.00; no PIN is asked for so much."""
    scene.order = scene.rig.order(_TOO_MUCH_MINOR)
    tried = scene.pay()
    scene.payer_saw[-1] += ", and only then how much"
    held = scene.rig.held(scene.rig.shop.payments.of_order(scene.order.id))
    works = any(one.amount_minor > AMOUNT_MINOR for one in held)
    stop = defence.of_try(scene.rig.books, tried)
    return seen(scene, works=works, stop=stop, loss=payer_code_loss(scene.rig, scene.payer))


def photographed(scene: Scene) -> Cell:
    """The screen is photographed over a shoulder; the picture is shown at another till first."""
    picture = _shown(scene).picture
    cell = _at_another_till(scene, read(picture)[0].text)
    return replace(cell, payer_saw="the code on the own screen, then a receipt for nothing bought")


def overheard(scene: Scene) -> Cell:
    """The page with the code is read off the Wi-Fi on its way to the phone."""
    ears = Ears()
    _shown(scene, ears)
    heard = re.search(rb'data-digits="(\d+)"', ears.said[-1].body)
    cell = _at_another_till(scene, heard.group(1).decode() if heard else "")
    return replace(cell, payer_saw="the code, as ever")


def read_out(scene: Scene) -> Cell:
    """A caller who says that he is the bank has the payer read out the digits."""
    digits = _shown(scene).digits
    cell = _at_another_till(scene, " ".join(re.findall(".{1,4}", digits)))
    return replace(cell, payer_saw="a caller who asks for the digits under the barcode")


def guessed(scene: Scene) -> Cell:
    """Digits are guessed, and those of a code that has just been used are counted up."""
    base = int(_shown(scene).digits)
    taken: list[Taken] = []
    for number in range(1, _GUESSES + 1):
        digits = str(base + number)
        taken.append(take_code(scene.rig.stand.origin, scene.order.id, digits))
    found = sum(one.done for one in taken)
    scene.payer_saw.append(f"{len(taken)} guesses, {found} hits")
    scene.shop_saw.append(taken[-1].detail)
    return seen(scene, works=found > 0, stop=defence.of_taken(taken[-1]))


def shown_twice(scene: Scene) -> Cell:
    """Payer and thief show the same code at two tills at the same moment."""
    digits = _shown(scene).digits
    other = scene.beside(AMOUNT_MINOR)
    taken: list[Taken] = []

    def show(at: Scene) -> None:
        taken.append(take_code(scene.rig.stand.origin, at.order.id, digits))

    threads = [threading.Thread(target=show, args=(at,)) for at in (scene, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    payments = scene.rig.shop.payments
    held = scene.rig.held((*payments.of_order(scene.order.id), *payments.of_order(other.order.id)))
    scene.payer_saw.append(f"{len(held)} of two payments")
    last = ([one for one in taken if not one.done] or taken)[-1]
    cell = seen(scene, works=len(held) != 1, stop=defence.of_taken(last))
    # Which of the two it was is chance; of the other, everything is known.
    holds = f"of two tills {len(held)}"
    return replace(cell, shop_saw=f"at the later till: {last.detail}", holds=holds)


def _shown(scene: Scene, network: Ears | None = None) -> ShownCode:
    scene.rig.new_code(scene.payer)
    return CodePhone(scene.payer, scene.rig.stand.origin, network=network).show()


def _at_another_till(scene: Scene, text: str) -> Cell:
    """What the thief's own order comes to with what he has."""
    rig, other = scene.rig, scene.beside(AMOUNT_MINOR)
    taken = take_code(rig.stand.origin, other.order.id, text)
    payments = rig.shop.payments.of_order(other.order.id)
    held = rig.held(payments)
    scene.shop_saw.append(f"at the other till: {taken.detail or payments[-1].state}")
    stop = defence.of_payment(rig.books, payments[-1]) if payments else defence.of_taken(taken)
    cell = seen(scene, works=bool(held), stop=stop, loss=payer_code_loss(rig, scene.payer))
    cell = replace(cell, payer_saw=cell.payer_saw or "the code", took_ms=cell.took_ms)
    return replace(cell, holds=THIEF) if held else cell
