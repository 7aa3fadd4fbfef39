"""Attacks on the shop's codes, one function for each cell."""

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
from checkout.comparison.trials.attack_verdict import (
    cell_of_attempt,
    cell_of_reply,
    cell_of_run,
    code_loss,
    is_paid,
)
from checkout.comparison.trials.attacker import (
    ChangingNetwork,
    Wiretap,
    code_request,
    phishing_page,
    send,
)
from checkout.comparison.trials.defence import Stop
from checkout.comparison.trials.lab import AMOUNT_MINOR, TrialRun
from checkout.demo.payers import payer as find_payer
from checkout.shop.orders.states import OrderState
from devices.phone import Answer, Phone, PhoneResult
from devices.qr.codec.mpm_tlv import with_crc
from devices.qr.symbol.rendering import png


def replayed_form(run: TrialRun) -> Cell:
    """The overheard form is sent again: as it was, and as a new one."""
    wiretap = Wiretap()
    run.pay(network=wiretap)
    url, headers, fields = wiretap.form()
    for submission in (fields["submission"], fields["submission"][::-1]):
        body = "&".join(f"{k}={v}" for k, v in (fields | {"submission": submission}).items())
        answer = Wiretap().request("POST", url, headers, body.encode())
        run.shop_saw.append(f"sent again: HTTP {answer.status}")
    booked = run.lab.booked(run.lab.shop.payments.of_order(run.order.id))
    stop = defence.of_answer("POST", urlsplit(url).path, answer)
    return cell_of_run(run, works=len(booked) > 1, stop=stop)


def number_as_card(run: TrialRun) -> Cell:
    """An account number that was seen in a code payment, used as if a card had been tapped."""
    who = find_payer("unionpay-debit")
    request = code_request(run.lab, who.account, who.expiry, AMOUNT_MINOR, pin=None, kind="dynamic")
    request = replace(
        request, entry_mode=EntryMode.CONTACTLESS_CHIP, initiation=Initiation.CARD, no_pin=True
    )
    return cell_of_reply(run, send(run.lab, request), who.account)


def smaller_amount(run: TrialRun) -> Cell:
    """The payer's phone adds a smaller amount to the form; an EMV code is rewritten with one."""
    attempt = run.pay(network=ChangingNetwork(amount_minor="1", amount="0.01"))
    booked = run.lab.booked(run.lab.shop.payments.of_order(run.order.id))
    by_form = is_paid(attempt) and booked[0].amount_minor != run.order.amount_minor
    key = KeyStore(run.lab.testbed.config.home).secret("matrix-codes")
    payload = dynamic_payload(
        merchant=run.lab.testbed.config.merchant,
        code=run.order.code,
        amount=run.order.amount,
        key=key,
    )
    changed = with_crc(payload[:-8].replace("540512.80", "540500.01"))
    by_code, because = True, ""
    try:
        open_payload(changed, key=key)
    except CodeRefused as refused:
        by_code, because = False, str(refused)
    amounts = ", ".join(money(sale.amount_minor, "CNY") for sale in booked)
    step = f"the form: {amounts} booked; the rewritten EMV code: read and checked"
    stop = Stop(by="the shop", step=step, because=because)
    return cell_of_run(run, works=by_form or by_code, stop=stop)


def overheard_pin(run: TrialRun) -> Cell:
    """PIN and account are read off plain http and used for another order."""
    wiretap = Wiretap()
    run.pay(network=wiretap)
    url, _, fields = wiretap.form()
    plain = url.startswith("http://")
    other = TrialRun(lab=run.lab, name=run.name, mode="qr", order=run.lab.order())
    if not plain:
        return cell_of_run(run, works=False, stop=Stop(by="encryption", step=url.partition(":")[0]))
    attempt = other.pay(pin=fields["pin"])
    return cell_of_attempt(run, attempt, loss=code_loss(run.lab, run.payer))


def swapped_sticker(run: TrialRun) -> Cell:
    """A stranger's code stands where the shop's should; the payer does not read the payee."""
    with (
        run.lab.stranger_shop("Mole Tea House") as stranger,
        run.lab.serve_pages(stranger) as origin,
    ):
        theirs = stranger.orders.create(amount_minor=AMOUNT_MINOR)
        seen = Phone(run.payer).pay(png(build_link(origin, theirs.code)))
        paid = stranger.orders.get(theirs.id).state is OrderState.PAID
    named = "Mole Tea House" in seen.text
    run.payer_saw.append(
        f"paid{', to Mole Tea House as the page says' if named else ''}" if paid else seen.outcome
    )
    stop = defence.of_exchanges(seen.exchanges, seen.outcome)
    cell = cell_of_run(run, works=paid, stop=stop, loss=code_loss(run.lab, run.payer))
    return replace(cell, holds="the stranger" if paid else cell.holds)


def forged_code(run: TrialRun) -> Cell:
    """Codes are guessed; the shop slows the guesser down."""
    answers: list[Answer] = []
    # Served apart, since the shop shuts the guesser out for a minute.
    with run.lab.serve_pages(run.lab.shop) as origin:
        for number in range(40):
            url = build_link(origin, new_code(number.to_bytes(16)))
            answers.append(Wiretap().request("GET", url, {}, b""))
    statuses = [answer.status for answer in answers]
    found = sum(status == 200 for status in statuses)
    slowed = statuses.count(429)
    run.payer_saw.append(f"{len(statuses)} guesses, {found} hits, {slowed} refused unread")
    run.shop_saw.append("unknown code")
    stop = defence.of_answer("GET", urlsplit(url).path, answers[-1])
    return cell_of_run(run, works=found > 0, stop=stop)


def two_with_one_photo(run: TrialRun) -> Cell:
    """Two phones pay the same picture at the same time."""
    run.order = run.lab.with_live_code(run.order)
    picture = png(build_link(run.lab.testbed.origin, run.order.code))
    seen: list[PhoneResult] = []
    both = threading.Barrier(2)

    def pay(payer: str) -> None:
        # Both have the page open before either confirms.
        network = DawdlingNetwork(lambda: both.wait(10))
        seen.append(Phone(payer, network=network).pay(picture))

    threads = [
        threading.Thread(target=pay, args=(payer,))
        for payer in ("unionpay-debit", "wallet-balance")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    late = [result for result in seen if result.outcome != "paid"]
    paid = len(seen) - len(late)
    run.payer_saw.append(f"{paid} of {len(seen)} phones show that they have paid")
    booked = run.lab.booked(run.lab.shop.payments.of_order(run.order.id))
    last = (late or seen)[-1]
    stop = defence.of_exchanges(last.exchanges, last.outcome)
    return cell_of_run(run, works=len(booked) != 1, stop=stop)


def phished(run: TrialRun) -> Cell:
    """A page that looks like the shop's gathers account and PIN; the thief pays with them."""
    forms: list[dict[str, str]] = []
    with phishing_page(forms) as origin:
        Phone(run.payer).pay_at(f"{origin}/p/{run.order.code}")
    run.payer_saw.append("a page that says paid")
    attempt = run.pay(pin=forms[0]["pin"])
    return cell_of_attempt(run, attempt, loss=code_loss(run.lab, run.payer))
