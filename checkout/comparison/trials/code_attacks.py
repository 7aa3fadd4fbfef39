"""Attacks on codes, one function a cell."""

from __future__ import annotations

import threading
from dataclasses import replace
from urllib.parse import urlsplit

from checkout.acceptance.qr.link import build_link, new_code
from checkout.acceptance.qr.signed_payload import CodeRefused, dynamic_payload, open_payload
from checkout.clearing.hsm.keystore import KeyStore
from checkout.clearing.messages import EntryMode, Initiation
from checkout.comparison.report.formatting import money
from checkout.comparison.results import Cell
from checkout.comparison.testbed.faulty_devices import DawdlingNetwork
from checkout.comparison.trials import defence
from checkout.comparison.trials.attack_verdict import code_loss, is_paid, judged, seen, tried_cell
from checkout.comparison.trials.attacker import (
    ChangingNetwork,
    Ears,
    ask,
    code_question,
    lying_page,
)
from checkout.comparison.trials.defence import Stop
from checkout.comparison.trials.rig import AMOUNT_MINOR, Scene
from checkout.demo.payers import payer as find_payer
from checkout.shop.orders.states import OrderState
from devices.phone import Answer, Phone, PhoneResult
from devices.qr.codec.mpm_tlv import with_crc
from devices.qr.symbol.rendering import png


def replayed_form(scene: Scene) -> Cell:
    """The overheard form is sent again: as it was, and as a new one."""
    ears = Ears()
    scene.pay(network=ears)
    url, headers, fields = ears.form()
    for submission in (fields["submission"], fields["submission"][::-1]):
        body = "&".join(f"{k}={v}" for k, v in (fields | {"submission": submission}).items())
        answer = Ears().request("POST", url, headers, body.encode())
        scene.shop_saw.append(f"sent again: HTTP {answer.status}")
    held = scene.rig.held(scene.rig.shop.payments.of_order(scene.order.id))
    stop = defence.of_answer("POST", urlsplit(url).path, answer)
    return seen(scene, works=len(held) > 1, stop=stop)


def number_as_card(scene: Scene) -> Cell:
    """An account number that was seen in a code payment, used as if a card had been tapped."""
    who = find_payer("unionpay-debit")
    request = code_question(
        scene.rig, who.account, who.expiry, AMOUNT_MINOR, pin=None, kind="dynamic"
    )
    request = replace(
        request, entry_mode=EntryMode.CONTACTLESS_CHIP, initiation=Initiation.CARD, no_pin=True
    )
    return judged(scene, ask(scene.rig, request), who.account)


def smaller_amount(scene: Scene) -> Cell:
    """The payer's phone adds a smaller amount to the form; an EMV code is rewritten with one."""
    tried = scene.pay(network=ChangingNetwork(amount_minor="1", amount="0.01"))
    held = scene.rig.held(scene.rig.shop.payments.of_order(scene.order.id))
    by_form = is_paid(tried) and held[0].amount_minor != scene.order.amount_minor
    key = KeyStore(scene.rig.stand.config.home).secret("matrix-codes")
    payload = dynamic_payload(
        merchant=scene.rig.stand.config.merchant,
        code=scene.order.code,
        amount=scene.order.amount,
        key=key,
    )
    changed = with_crc(payload[:-8].replace("540512.80", "540500.01"))
    by_code, because = True, ""
    try:
        open_payload(changed, key=key)
    except CodeRefused as refused:
        by_code, because = False, str(refused)
    taken = ", ".join(money(one.amount_minor, "CNY") for one in held)
    step = f"the form: {taken} booked; the rewritten EMV code: read and checked"
    stop = Stop(by="the shop", step=step, because=because)
    return seen(scene, works=by_form or by_code, stop=stop)


def overheard_pin(scene: Scene) -> Cell:
    """PIN and account are read off plain http and used for another order."""
    ears = Ears()
    scene.pay(network=ears)
    url, _, fields = ears.form()
    plain = url.startswith("http://")
    other = Scene(rig=scene.rig, name=scene.name, mode="qr", order=scene.rig.order())
    if not plain:
        return seen(scene, works=False, stop=Stop(by="encryption", step=url.partition(":")[0]))
    tried = other.pay(pin=fields["pin"])
    return tried_cell(scene, tried, loss=code_loss(scene.rig, scene.payer))


def swapped_sticker(scene: Scene) -> Cell:
    """A stranger's code stands where the shop's should; the payer does not read the payee."""
    with (
        scene.rig.stranger_shop("Mole Tea House") as stranger,
        scene.rig.serve_pages(stranger) as origin,
    ):
        theirs = stranger.orders.create(amount_minor=AMOUNT_MINOR)
        told = Phone(scene.payer).pay(png(build_link(origin, theirs.code)))
        paid = stranger.orders.get(theirs.id).state is OrderState.PAID
    named = "Mole Tea House" in told.text
    scene.payer_saw.append(
        f"paid{', to Mole Tea House as the page says' if named else ''}" if paid else told.outcome
    )
    stop = defence.of_exchanges(told.exchanges, told.outcome)
    cell = seen(scene, works=paid, stop=stop, loss=code_loss(scene.rig, scene.payer))
    return replace(cell, holds="the stranger" if paid else cell.holds)


def forged_code(scene: Scene) -> Cell:
    """Codes are guessed; the shop slows the guesser down."""
    answers: list[Answer] = []
    # Served apart, since the shop shuts the guesser out for a minute.
    with scene.rig.serve_pages(scene.rig.shop) as origin:
        for number in range(40):
            url = build_link(origin, new_code(number.to_bytes(16)))
            answers.append(Ears().request("GET", url, {}, b""))
    statuses = [answer.status for answer in answers]
    found = sum(status == 200 for status in statuses)
    slowed = statuses.count(429)
    scene.payer_saw.append(f"{len(statuses)} guesses, {found} hits, {slowed} refused unread")
    scene.shop_saw.append("unknown code")
    stop = defence.of_answer("GET", urlsplit(url).path, answers[-1])
    return seen(scene, works=found > 0, stop=stop)


def two_with_one_photo(scene: Scene) -> Cell:
    """Two phones pay the same picture at the same time."""
    scene.order = scene.rig.live(scene.order)
    picture = png(build_link(scene.rig.stand.origin, scene.order.code))
    told: list[PhoneResult] = []
    both = threading.Barrier(2)

    def pay(payer: str) -> None:
        # Both have the page open before either confirms.
        network = DawdlingNetwork(lambda: both.wait(10))
        told.append(Phone(payer, network=network).pay(picture))

    threads = [
        threading.Thread(target=pay, args=(payer,))
        for payer in ("unionpay-debit", "wallet-balance")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    late = [one for one in told if one.outcome != "paid"]
    paid = len(told) - len(late)
    scene.payer_saw.append(f"{paid} of {len(told)} phones is told that it has paid")
    held = scene.rig.held(scene.rig.shop.payments.of_order(scene.order.id))
    last = (late or told)[-1]
    stop = defence.of_exchanges(last.exchanges, last.outcome)
    return seen(scene, works=len(held) != 1, stop=stop)


def phished(scene: Scene) -> Cell:
    """A page that looks like the shop's gathers account and PIN; the thief pays with them."""
    caught: list[dict[str, str]] = []
    with lying_page(caught) as origin:
        Phone(scene.payer).pay_at(f"{origin}/p/{scene.order.code}")
    scene.payer_saw.append("a page that says paid")
    tried = scene.pay(pin=caught[0]["pin"])
    return tried_cell(scene, tried, loss=code_loss(scene.rig, scene.payer))
