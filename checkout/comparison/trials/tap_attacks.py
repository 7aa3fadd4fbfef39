"""Attacks on taps, and attacks that are the same for every mode; one function for each cell."""

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
    cell_of_attempt,
    cell_of_reply,
    cell_of_run,
    no_pin_loss,
    payer_code_loss,
)
from checkout.comparison.trials.attacker import (
    RelayedCard,
    code_request,
    read_card,
    send,
    send_as,
    tap_request,
)
from checkout.comparison.trials.lab import AMOUNT_MINOR, DEAR_MINOR, TrialRun
from checkout.demo.payers import DEMO_PIN, payer as find_payer
from devices.nfc.contract import Card

#: A relay over a good mobile network adds this to each command and answer.
_RELAY_S = 0.03
#: Payers whose PIN is blocked in the end: one for each mode, since a blocked one can't be reused.
_GUESSED = {"qr": "unionpay-class3", "payer-code": "wallet-quick", "nfc": "type-b"}


def replayed_cryptogram(run: TrialRun) -> Cell:
    """What one genuine tap gave is sent a second time under new numbers."""
    _, evidence = read_card(run.lab, run.payer, AMOUNT_MINOR)
    assert evidence is not None
    first = send(run.lab, tap_request(run.lab, evidence, AMOUNT_MINOR))
    run.shop_saw.append(f"the genuine tap: {first.response_code}")
    second = send(run.lab, tap_request(run.lab, evidence, AMOUNT_MINOR))
    return cell_of_reply(run, second, evidence.pan or "")


def token_elsewhere(run: TrialRun) -> Cell:
    """The payment token of a phone, copied from a tap, used in a code payment with the PIN."""
    _, evidence = read_card(run.lab, "hce-phone", AMOUNT_MINOR)
    assert evidence is not None
    request = code_request(
        run.lab,
        evidence.pan or "",
        evidence.expiry,
        AMOUNT_MINOR,
        pin=DEMO_PIN,
        kind="dynamic",
    )
    return cell_of_reply(run, send(run.lab, request), request.account)


def raised_amount(run: TrialRun) -> Cell:
    """The terminal tells the card 1.00 and asks the issuer for 100.00."""
    _, evidence = read_card(run.lab, run.payer, 100)
    assert evidence is not None
    raised = send(run.lab, tap_request(run.lab, evidence, 10_000))
    return cell_of_reply(run, raised, evidence.pan or "")


def relayed(run: TrialRun) -> Cell:
    """The card lies elsewhere; its answers come over a network, each 30 ms late."""
    relays: list[RelayedCard] = []

    def relay(card: Card) -> Card:
        relays.append(RelayedCard(card, added_s=_RELAY_S))
        return relays[0]

    attempt = run.pay(wrap=relay)
    relays[0].close()
    run.payer_saw = ["nothing: the card is in a pocket"]
    cell = cell_of_attempt(run, attempt, loss=no_pin_loss(run.lab))
    return replace(cell, took_ms=relays[0].took_ms)


def eavesdropped(run: TrialRun) -> Cell:
    """Number and expiry of an overheard tap, used by hand as in an online shop."""
    result, evidence = read_card(run.lab, run.payer, AMOUNT_MINOR)
    assert evidence is not None
    number = result.pan or ""
    overheard = bytes.fromhex(number) in b"".join(
        exchange.response for exchange in result.exchanges
    )
    run.payer_saw.append(
        "its number and expiry are overheard" if overheard else "no number is overheard"
    )
    request = replace(
        tap_request(run.lab, evidence, AMOUNT_MINOR),
        entry_mode=EntryMode.ECOMMERCE,
        initiation=Initiation.ONLINE,
        icc=None,
        track2=None,
    )
    loss = f"{account_loss(run.lab, run.payer)}, at online shops that ask no more"
    return cell_of_reply(run, send(run.lab, request), request.account, loss=loss)


def forged_card(run: TrialRun) -> Cell:
    """A card whose certificate was tampered with."""
    run.payer = "tampered-certificate"
    return cell_of_attempt(run, run.pay())


def two_cards_one_order(run: TrialRun) -> Cell:
    """A second card is tapped for an order that is paid."""
    run.pay()
    run.payer = "unionpay-credit"
    second = run.pay()
    booked = run.lab.booked(run.lab.shop.payments.of_order(run.order.id))
    return cell_of_run(run, works=len(booked) != 1, stop=defence.of_try(run.lab.books, second))


def stolen_without_pin(run: TrialRun) -> Cell:
    """The thief has phone or card and not the PIN."""
    if run.mode == "qr":
        return cell_of_attempt(run, run.pay(pin="000000"))
    shows = run.mode == "payer-code"
    attempt = run.pay() if shows else run.pay(pin=None)
    dear = run.other_order(DEAR_MINOR)
    over = dear.pay(pin="000000" if shows else None)
    run.payer_saw.append(f"over the limit: {over.payer_saw}")
    loss = payer_code_loss(run.lab, run.payer) if shows else no_pin_loss(run.lab)
    return cell_of_attempt(run, attempt, loss=loss)


def stolen_with_pin(run: TrialRun) -> Cell:
    """The thief has the PIN as well; then the loss is reported."""
    run.payer = "unionpay-class2"
    run.order = run.lab.order(DEAR_MINOR)
    attempt = run.pay()
    account = find_payer(run.payer).account
    run.lab.testbed.client.operate("set-status", {"account": account, "status": "stolen"})
    after = run.other_order(DEAR_MINOR).pay()
    run.lab.testbed.client.operate("set-status", {"account": account, "status": "active"})
    run.payer_saw.append(f"once it is reported: {after.payer_saw}")
    return cell_of_attempt(run, attempt, loss=account_loss(run.lab, run.payer))


def guessed_pin(run: TrialRun) -> Cell:
    """Three wrong PINs, then the right one."""
    run.payer = _GUESSED[run.mode]
    run.order = run.lab.order(AMOUNT_MINOR if run.mode == "qr" else DEAR_MINOR)
    for _ in range(3):
        run.pay(pin=WRONG_PIN)
    return cell_of_attempt(run, run.pay())


def altered_on_the_line(run: TrialRun) -> Cell:
    """Somebody on the line changes the amount in the message."""

    def raise_amount(message: bytes) -> bytes:
        plain = f"{run.order.amount_minor:012d}".encode()
        return message.replace(plain, b"000000999999", 1)

    run.lab.proxy.on_next("request", "0200", lambda: True, alter=raise_amount)
    attempt = run.pay()
    booked = run.lab.booked(run.lab.shop.payments.of_order(run.order.id))
    works = any(sale.amount_minor != run.order.amount_minor for sale in booked)
    return cell_of_run(run, works=works, stop=defence.of_try(run.lab.books, attempt))


def wrong_key(run: TrialRun) -> Cell:
    """A terminal without the acquirer's key signs on and sends a request."""
    lab = run.lab
    acquirer = demo_participants().by_id["market-acquirer"]
    client = SwitchClient(
        lambda: lab.proxy.address,
        acquirer,
        lambda: bytes(range(16)) + bytes(range(8)),
        clock=lab.testbed.clock,
    )
    who = find_payer("unionpay-debit")
    request = code_request(lab, who.account, who.expiry, AMOUNT_MINOR, pin=None, kind="dynamic")
    try:
        reply = send_as(lab, client, request)
    finally:
        client.close()
    return cell_of_reply(run, reply, who.account)
