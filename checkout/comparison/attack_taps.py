"""Attacks on taps, and those that serve against both, one function a cell."""

from __future__ import annotations

from dataclasses import replace

from checkout.clearing.client import NotSent, SwitchClient
from checkout.clearing.messages import EntryMode, Initiation
from checkout.clearing.participants import demo_participants
from checkout.comparison.attack_judging import is_paid, judged, no_pin_loss, seen
from checkout.comparison.intruder import (
    Asked,
    RelayedCard,
    ask,
    code_question,
    read_card,
    tap_question,
)
from checkout.comparison.results import Cell
from checkout.comparison.rig import AMOUNT_MINOR, Scene
from checkout.comparison.selling import WRONG_PIN
from checkout.demo import DEMO_PIN
from checkout.demo import payer as find_payer
from checkout.orders import ShopError
from devices.nfc.contract import Card

#: A relay over a good mobile network adds this to each command and answer.
_RELAY_S = 0.03
_DEAR_MINOR = 150_000


def replayed_cryptogram(scene: Scene) -> Cell:
    """What one genuine tap gave is sent a second time under new numbers."""
    _, evidence = read_card(scene.rig, scene.payer, AMOUNT_MINOR)
    assert evidence is not None
    first = ask(scene.rig, tap_question(scene.rig, evidence, AMOUNT_MINOR))
    scene.shop_saw.append(f"the genuine tap: {first.response_code}")
    again = ask(scene.rig, tap_question(scene.rig, evidence, AMOUNT_MINOR))
    return judged(scene, again, "0200, DE55: 9F36 seen before")


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
    return judged(scene, ask(scene.rig, request), "0200, DE22 03x with a contactless token")


def raised_amount(scene: Scene) -> Cell:
    """The terminal shows 1.00 to the card and asks the issuer for 100.00."""
    _, evidence = read_card(scene.rig, scene.payer, 100)
    assert evidence is not None
    raised = ask(scene.rig, tap_question(scene.rig, evidence, 10_000))
    return judged(scene, raised, "0200, DE4 against 9F02 under the cryptogram")


def relayed(scene: Scene) -> Cell:
    """The card lies elsewhere; its answers come over a network, each 30 ms late."""
    relays: list[RelayedCard] = []

    def relay(card: Card) -> Card:
        relays.append(RelayedCard(card, added_s=_RELAY_S))
        return relays[0]

    tried = scene.pay(wrap=relay)
    relays[0].close()
    scene.payer_saw = ["nothing: the card is in a pocket"]
    cell = seen(
        scene,
        works=is_paid(tried),
        by="the terminal",
        step="no limit on the card's answering time in this flow",
        loss=no_pin_loss(scene.rig),
    )
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
    return judged(
        scene,
        ask(scene.rig, request),
        "0200, DE22 81x without DE55",
        loss="what online shops sell for number and expiry alone",
    )


def forged_card(scene: Scene) -> Cell:
    """A card whose certificate was tampered with."""
    scene.payer = "tampered-certificate"
    tried = scene.pay()
    return seen(
        scene,
        works=is_paid(tried),
        by=f"card, terminal and issuer: {tried.payer_saw}",
        step="READ RECORD and certificates; 0200, DE55",
    )


def two_cards_one_order(scene: Scene) -> Cell:
    """A second card is tapped for an order that is paid."""
    scene.pay()
    scene.payer = "unionpay-credit"
    scene.pay()
    held = scene.rig.held(scene.rig.shop.payments.of_order(scene.order.id))
    return seen(
        scene, works=len(held) != 1, by="the shop: the order is paid", step="before the 0200"
    )


def stolen_without_pin(scene: Scene) -> Cell:
    """The thief has phone or card and not the PIN."""
    if scene.mode == "qr":
        tried = scene.pay(pin="000000")
        return seen(
            scene, works=is_paid(tried), by="the issuer: wrong PIN", step="0200, DE52", loss=""
        )
    tried = scene.pay(pin=None)
    dear = Scene(rig=scene.rig, name=scene.name, mode="nfc", order=scene.rig.order(_DEAR_MINOR))
    over = dear.pay(pin=None)
    scene.payer_saw.append(f"over the limit: {over.payer_saw}")
    return seen(
        scene,
        works=is_paid(tried),
        by="",
        step="no PIN is asked below the limit",
        loss=no_pin_loss(scene.rig),
    )


def stolen_with_pin(scene: Scene) -> Cell:
    """The thief has the PIN as well; then the loss is reported."""
    scene.payer = "unionpay-class2"
    scene.order = scene.rig.order(_DEAR_MINOR)
    tried = scene.pay()
    account = find_payer(scene.payer).account
    scene.rig.stand.client.operate("set-status", {"account": account, "status": "stolen"})
    later = Scene(
        rig=scene.rig,
        name=scene.name,
        mode=scene.mode,
        order=scene.rig.order(_DEAR_MINOR),
        payer=scene.payer,
    )
    after = later.pay()
    scene.rig.stand.client.operate("set-status", {"account": account, "status": "active"})
    scene.payer_saw.append(f"once it is reported: {after.payer_saw}")
    return seen(
        scene,
        works=is_paid(tried),
        by="",
        step="nothing tells the thief from the owner until the account is blocked",
        loss="the day's limit of the account",
    )


def guessed_pin(scene: Scene) -> Cell:
    """Three wrong PINs, then the right one."""
    scene.payer = "unionpay-class3" if scene.mode == "qr" else "type-b"
    scene.order = scene.rig.order(AMOUNT_MINOR if scene.mode == "qr" else _DEAR_MINOR)
    for _ in range(3):
        scene.pay(pin=WRONG_PIN)
    tried = scene.pay()
    return seen(
        scene,
        works=is_paid(tried),
        by="the issuer: three tries",
        step="0200, DE52: 55, then 75",
    )


def altered_on_the_line(scene: Scene) -> Cell:
    """Somebody on the line changes the amount in the message."""

    def raise_amount(message: bytes) -> bytes:
        plain = f"{scene.order.amount_minor:012d}".encode()
        return message.replace(plain, b"000000999999", 1)

    scene.rig.gate.once("question", "0200", lambda: True, alter=raise_amount)
    tried = scene.pay()
    held = scene.rig.held(scene.rig.shop.payments.of_order(scene.order.id))
    works = any(one.amount_minor != scene.order.amount_minor for one in held)
    return seen(
        scene,
        works=works,
        by=f"the switch: {tried.payment.response_text if tried.payment else tried.refused}",
        step="MAC in DE64 or DE128",
    )


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
        exchange = client.authorize(request, timeout_s=2.0)
        asked = Asked(response_code=exchange.response.response_code, reason="", rrn=request.rrn)
    except (NotSent, ShopError, ValueError) as error:
        asked = Asked(response_code="--", reason=str(error), rrn=request.rrn)
    finally:
        client.close()
    return judged(scene, asked, "0820 key exchange, before any 0200")
