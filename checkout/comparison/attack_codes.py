"""Attacks on codes, one function a cell."""

from __future__ import annotations

import threading
from dataclasses import replace

from checkout.acceptance.qr.codes import CodeRefused, dynamic_payload, open_payload
from checkout.acceptance.qr.link import build_link, new_code
from checkout.acceptance.qr.mpm_tlv import with_crc
from checkout.acceptance.qr.rendering import png
from checkout.clearing.keystore import KeyStore
from checkout.clearing.messages import EntryMode, Initiation
from checkout.comparison.attack_judging import code_loss, is_paid, judged, seen
from checkout.comparison.intruder import (
    ChangingNetwork,
    Ears,
    ask,
    code_question,
    lying_page,
)
from checkout.comparison.results import Cell
from checkout.comparison.rig import AMOUNT_MINOR, Scene
from checkout.demo import payer as find_payer
from checkout.orders import OrderState
from devices.phone import Phone


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
    return seen(scene, works=len(held) > 1, by="the shop: a code works once", step="POST /p/CODE")


def number_as_card(scene: Scene) -> Cell:
    """An account number that was seen in a code payment, used as if a card had been tapped."""
    who = find_payer("unionpay-debit")
    request = code_question(
        scene.rig, who.account, who.expiry, AMOUNT_MINOR, pin=None, kind="dynamic"
    )
    request = replace(
        request, entry_mode=EntryMode.CONTACTLESS_CHIP, initiation=Initiation.CARD, no_pin=True
    )
    return judged(scene, ask(scene.rig, request), "0200, DE22 07x without DE55")


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
    try:
        open_payload(changed, key=key)
        by_code = True
    except CodeRefused as refused:
        by_code = False
        scene.payer_saw.append(f"of the rewritten EMV code: {refused}")
    return seen(
        scene,
        works=by_form or by_code,
        by="the shop: the amount is the order's; an EMV code is signed",
        step="POST /p/CODE; EMV object 54",
    )


def overheard_pin(scene: Scene) -> Cell:
    """PIN and account are read off plain http and used for another order."""
    ears = Ears()
    scene.pay(network=ears)
    url, _, fields = ears.form()
    plain = url.startswith("http://")
    other = Scene(rig=scene.rig, name=scene.name, mode="qr", order=scene.rig.order())
    tried = other.pay(pin=fields["pin"]) if plain else None
    works = tried is not None and is_paid(tried)
    return seen(
        scene,
        works=works,
        by="encryption: nothing could be read",
        step="POST /p/CODE over http; --https ends it",
        loss=code_loss(scene.rig),
    )


def swapped_sticker(scene: Scene) -> Cell:
    """A stranger's code stands where the shop's should; the payer does not read the payee."""
    with (
        scene.rig.stranger_shop("Mole Tea House") as stranger,
        scene.rig.pages.serve(stranger) as origin,
    ):
        theirs = stranger.orders.create(amount_minor=AMOUNT_MINOR)
        told = Phone(scene.payer).pay(png(build_link(origin, theirs.code)))
        paid = stranger.orders.get(theirs.id).state is OrderState.PAID
    named = "Mole Tea House" in told.text
    scene.payer_saw.append(
        f"paid{', to Mole Tea House as the page says' if named else ''}" if paid else told.outcome
    )
    cell = seen(
        scene,
        works=paid,
        by="",
        step="the page names the payee; a payer who reads it stops here",
        loss="what the payer types, up to the day's limit of codes",
    )
    return replace(cell, holds="the stranger" if paid else cell.holds)


def forged_code(scene: Scene) -> Cell:
    """Codes are guessed; the shop slows the guesser down."""
    statuses: list[int] = []
    # Served apart, since the shop shuts the guesser out for a minute.
    with scene.rig.pages.serve(scene.rig.shop) as origin:
        for number in range(40):
            url = build_link(origin, new_code(number.to_bytes(16)))
            statuses.append(Ears().request("GET", url, {}, b"").status)
    found = sum(status == 200 for status in statuses)
    slowed = statuses.count(429)
    scene.payer_saw.append(f"{len(statuses)} guesses, {found} hits, {slowed} refused unread")
    scene.shop_saw.append("unknown code")
    return seen(
        scene,
        works=found > 0,
        by="the shop: 60 random bits a code, and a pause",
        step="GET /p/CODE",
    )


def two_with_one_photo(scene: Scene) -> Cell:
    """Two phones pay the same picture at the same time."""
    scene.order = scene.rig.live(scene.order)
    picture = png(build_link(scene.rig.stand.origin, scene.order.code))
    outcomes: list[str] = []

    def pay(payer: str) -> None:
        outcomes.append(Phone(payer).pay(picture).outcome)

    threads = [
        threading.Thread(target=pay, args=(payer,))
        for payer in ("unionpay-debit", "wallet-balance")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    paid = outcomes.count("paid")
    scene.payer_saw.append(f"{paid} of {len(outcomes)} phones is told that it has paid")
    held = scene.rig.held(scene.rig.shop.payments.of_order(scene.order.id))
    return seen(
        scene,
        works=len(held) != 1,
        by="the shop: the first to arrive takes the order",
        step="POST /p/CODE",
    )


def phished(scene: Scene) -> Cell:
    """A page that looks like the shop's gathers account and PIN; the thief pays with them."""
    caught: list[dict[str, str]] = []
    with lying_page(caught) as origin:
        Phone(scene.payer).open(f"{origin}/p/{scene.order.code}")
    scene.payer_saw.append("a page that says paid")
    tried = scene.pay(pin=caught[0]["pin"]) if caught else None
    works = tried is not None and is_paid(tried)
    cell = seen(
        scene,
        works=works,
        by="",
        step="the address is not the shop's; a payer who reads it stops here",
        loss=code_loss(scene.rig),
    )
    return replace(cell, holds="the shop that the thief bought from" if works else cell.holds)
