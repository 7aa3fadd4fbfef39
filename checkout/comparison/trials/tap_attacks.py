"""Attacks on taps, and those that serve against both, one function a cell."""

from __future__ import annotations

from dataclasses import replace

from checkout.clearing.client.client import SwitchClient
from checkout.clearing.messages import EntryMode, Initiation
from checkout.clearing.scheme.participants import demo_participants
from checkout.comparison.results import Cell
from checkout.comparison.sales.shop_code_and_tap import WRONG_PIN
from checkout.comparison.trials import defence
from checkout.comparison.trials.attack_verdict import (
    account_loss,
    judged,
    no_pin_loss,
    payer_code_loss,
    seen,
    tried_cell,
)
from checkout.comparison.trials.attacker import (
    RelayedCard,
    ask,
    ask_as,
    code_question,
    read_card,
    tap_question,
)
from checkout.comparison.trials.rig import AMOUNT_MINOR, DEAR_MINOR, Scene
from checkout.demo.payers import DEMO_PIN, payer as find_payer
from devices.nfc.contract import Card

#: A relay over a good mobile network adds this to each command and answer.
_RELAY_S = 0.03
#: Whose PIN is blocked in the end; one for each mode, since none can be used again.
_GUESSED = {"qr": "unionpay-class3", "payer-code": "wallet-quick", "nfc": "type-b"}


def replayed_cryptogram(scene: Scene) -> Cell:
    """What one genuine tap gave is sent a second time under new numbers."""
    _, evidence = read_card(scene.rig, scene.payer, AMOUNT_MINOR)
    assert evidence is not None
    first = ask(scene.rig, tap_question(scene.rig, evidence, AMOUNT_MINOR))
    scene.shop_saw.append(f"the genuine tap: {first.response_code}")
    again = ask(scene.rig, tap_question(scene.rig, evidence, AMOUNT_MINOR))
    return judged(scene, again, evidence.pan or "")


def token_elsewhere(scene: Scene) -> Cell:
    """The payment token of a phone, copied from a tap, used in a code payment with the PIN."""
    _, evidence = read_card(scene.rig, "hce-phone", AMOUNT_MINOR)
    assert evidence is not None
    request = code_question(
        scene.rig,
        evidence.pan or "",
        evidence.expiry,
        AMOUNT_MINOR,
        pin=DEMO_PIN,
        kind="dynamic",
    )
    return judged(scene, ask(scene.rig, request), request.account)


def raised_amount(scene: Scene) -> Cell:
    """The terminal shows 1.00 to the card and asks the issuer for 100.00."""
    _, evidence = read_card(scene.rig, scene.payer, 100)
    assert evidence is not None
    raised = ask(scene.rig, tap_question(scene.rig, evidence, 10_000))
    return judged(scene, raised, evidence.pan or "")


def relayed(scene: Scene) -> Cell:
    """The card lies elsewhere; its answers come over a network, each 30 ms late."""
    relays: list[RelayedCard] = []

    def relay(card: Card) -> Card:
        relays.append(RelayedCard(card, added_s=_RELAY_S))
        return relays[0]

    tried = scene.pay(wrap=relay)
    relays[0].close()
    scene.payer_saw = ["nothing: the card is in a pocket"]
    cell = tried_cell(scene, tried, loss=no_pin_loss(scene.rig))
    return replace(cell, took_ms=relays[0].took_ms)


def eavesdropped(scene: Scene) -> Cell:
    """Number and expiry of an overheard tap, used by hand as in an online shop."""
    result, evidence = read_card(scene.rig, scene.payer, AMOUNT_MINOR)
    assert evidence is not None
    number = result.pan or ""
    heard = bytes.fromhex(number) in b"".join(one.response for one in result.exchanges)
    scene.payer_saw.append("its number and expiry are heard" if heard else "no number is heard")
    request = replace(
        tap_question(scene.rig, evidence, AMOUNT_MINOR),
        entry_mode=EntryMode.ECOMMERCE,
        initiation=Initiation.ONLINE,
        icc=None,
        track2=None,
    )
    loss = f"{account_loss(scene.rig, scene.payer)}, at online shops that ask no more"
    return judged(scene, ask(scene.rig, request), request.account, loss=loss)


def forged_card(scene: Scene) -> Cell:
    """A card whose certificate was tampered with."""
    scene.payer = "tampered-certificate"
    return tried_cell(scene, scene.pay())


def two_cards_one_order(scene: Scene) -> Cell:
    """A second card is tapped for an order that is paid."""
    scene.pay()
    scene.payer = "unionpay-credit"
    second = scene.pay()
    held = scene.rig.held(scene.rig.shop.payments.of_order(scene.order.id))
    return seen(scene, works=len(held) != 1, stop=defence.of_try(scene.rig.books, second))


def stolen_without_pin(scene: Scene) -> Cell:
    """The thief has phone or card and not the PIN."""
    if scene.mode == "qr":
        return tried_cell(scene, scene.pay(pin="000000"))
    shows = scene.mode == "payer-code"
    tried = scene.pay() if shows else scene.pay(pin=None)
    dear = scene.beside(DEAR_MINOR)
    over = dear.pay(pin="000000" if shows else None)
    scene.payer_saw.append(f"over the limit: {over.payer_saw}")
    loss = payer_code_loss(scene.rig, scene.payer) if shows else no_pin_loss(scene.rig)
    return tried_cell(scene, tried, loss=loss)


def stolen_with_pin(scene: Scene) -> Cell:
    """The thief has the PIN as well; then the loss is reported."""
    scene.payer = "unionpay-class2"
    scene.order = scene.rig.order(DEAR_MINOR)
    tried = scene.pay()
    account = find_payer(scene.payer).account
    scene.rig.stand.client.operate("set-status", {"account": account, "status": "stolen"})
    after = scene.beside(DEAR_MINOR).pay()
    scene.rig.stand.client.operate("set-status", {"account": account, "status": "active"})
    scene.payer_saw.append(f"once it is reported: {after.payer_saw}")
    return tried_cell(scene, tried, loss=account_loss(scene.rig, scene.payer))


def guessed_pin(scene: Scene) -> Cell:
    """Three wrong PINs, then the right one."""
    scene.payer = _GUESSED[scene.mode]
    scene.order = scene.rig.order(AMOUNT_MINOR if scene.mode == "qr" else DEAR_MINOR)
    for _ in range(3):
        scene.pay(pin=WRONG_PIN)
    return tried_cell(scene, scene.pay())


def altered_on_the_line(scene: Scene) -> Cell:
    """Somebody on the line changes the amount in the message."""

    def raise_amount(message: bytes) -> bytes:
        plain = f"{scene.order.amount_minor:012d}".encode()
        return message.replace(plain, b"000000999999", 1)

    scene.rig.gate.once("question", "0200", lambda: True, alter=raise_amount)
    tried = scene.pay()
    held = scene.rig.held(scene.rig.shop.payments.of_order(scene.order.id))
    works = any(one.amount_minor != scene.order.amount_minor for one in held)
    return seen(scene, works=works, stop=defence.of_try(scene.rig.books, tried))


def wrong_key(scene: Scene) -> Cell:
    """A terminal that has not the acquirer's key signs on and asks."""
    rig = scene.rig
    acquirer = demo_participants().by_id["market-acquirer"]
    client = SwitchClient(
        lambda: rig.gate.address,
        acquirer,
        lambda: bytes(range(16)) + bytes(range(8)),
        clock=rig.stand.clock,
    )
    who = find_payer("unionpay-debit")
    request = code_question(rig, who.account, who.expiry, AMOUNT_MINOR, pin=None, kind="dynamic")
    try:
        asked = ask_as(rig, client, request)
    finally:
        client.close()
    return judged(scene, asked, who.account)
