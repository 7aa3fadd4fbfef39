"""The attack matrix: each attack really attempted against the running software."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from checkout.acceptance.qr.codes import CodeRefused, dynamic_payload, open_payload
from checkout.acceptance.qr.link import build_link, new_code
from checkout.acceptance.qr.mpm_tlv import with_crc
from checkout.acceptance.qr.rendering import png
from checkout.clearing.client import NotSent, SwitchClient
from checkout.clearing.keystore import KeyStore
from checkout.clearing.messages import EntryMode, Initiation
from checkout.clearing.participants import demo_participants
from checkout.clearing.rules import rules_of_china
from checkout.comparison.intruder import (
    Asked,
    ChangingNetwork,
    Ears,
    RelayedCard,
    ask,
    code_question,
    lying_page,
    read_card,
    tap_question,
)
from checkout.comparison.results import Cell, Row
from checkout.comparison.rig import AMOUNT_MINOR, Mode, Rig, Scene, open_rig
from checkout.comparison.selling import WRONG_PIN, Tried
from checkout.comparison.stand import Pages
from checkout.comparison.wording import money
from checkout.demo import DEMO_PIN
from checkout.demo import payer as find_payer
from checkout.orders import OrderState, ShopError
from checkout.payment_records import PaymentState
from devices.nfc.contract import Card
from devices.phone import Phone

_Play = Callable[[Scene], Cell]

#: A relay over a good mobile network adds this to each command and answer.
_RELAY_S = 0.03
_DEAR_MINOR = 150_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One row: how it is attempted by each mode; None where it cannot be."""

    name: str
    title: str
    what: str
    qr: _Play | None
    nfc: _Play | None


def run_attacks(
    pages: Pages,
    *,
    only: tuple[str, ...] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Row, ...]:
    """Attempt every cell, or those of the rows named in `only`; `progress` hears done and total."""
    chosen = [attack for attack in ATTACKS if not only or attack.name in only]
    rows = []
    with open_rig(pages) as rig:
        for done, attack in enumerate(chosen):
            progress(done, len(chosen))
            rows.append(play_attack(rig, attack))
        progress(len(chosen), len(chosen))
    return tuple(rows)


def play_attack(rig: Rig, attack: Attack) -> Row:
    """One row of the matrix."""
    modes: tuple[tuple[Mode, _Play | None], ...] = (("qr", attack.qr), ("nfc", attack.nfc))
    cells = [
        play(Scene(rig=rig, name=attack.name, mode=mode, order=rig.order()))
        for mode, play in modes
        if play is not None
    ]
    return Row(name=attack.name, title=attack.title, what=attack.what, cells=tuple(cells))


# -- what an attack came to -----------------------------------------------------------------------


def _judged(scene: Scene, asked: Asked, step: str, loss: str = "") -> Cell:
    """A cell from the switch's answer to the attacker's own question."""
    words = f"the attacker's question answered {asked.response_code}"
    scene.shop_saw.append(words)
    cell = scene.conclude("works" if asked.approved else "declined")
    return replace(
        cell,
        step=step,
        stopped_by="nobody" if asked.approved else f"{_who(asked)}: {asked.reason}",
        loss=loss if asked.approved else "nothing",
        shop_saw=words,
        payer_saw=cell.payer_saw or "nothing",
        holds="the attacker, who sold to themselves" if asked.approved else "the payer",
    )


def _seen(scene: Scene, *, works: bool, by: str, step: str, loss: str = "") -> Cell:
    """A cell from what was seen at the counter."""
    cell = scene.conclude("works" if works else "declined")
    return replace(
        cell, step=step, stopped_by="nobody" if works else by, loss=loss if works else "nothing"
    )


def _who(asked: Asked) -> str:
    if asked.response_code in ("--", "A0", "30", "94", "12"):
        return "the switch"
    return "the token service" if asked.reason.startswith("token-") else "the issuer"


def _no_pin_loss(rig: Rig) -> str:
    limit = rules_of_china().on(rig.stand.clock().date()).quickpass_no_pin_minor
    return f"{money(limit, 'CNY')} a tap until the card is blocked"


def _code_loss(rig: Rig) -> str:
    limit = rules_of_china().on(rig.stand.clock().date()).dynamic_code_day_minor.get("B")
    return "" if limit is None else f"{money(limit, 'CNY')} a day at verification level B"


def _paid(tried: Tried) -> bool:
    return tried.payment is not None and tried.payment.state is PaymentState.APPROVED


# -- codes ----------------------------------------------------------------------------------------


def _replayed_form(scene: Scene) -> Cell:
    """The overheard form is sent again: as it was, and as a new one."""
    ears = Ears()
    scene.pay(network=ears)
    url, headers, fields = ears.form()
    for submission in (fields["submission"], fields["submission"][::-1]):
        body = "&".join(f"{k}={v}" for k, v in (fields | {"submission": submission}).items())
        answer = Ears().request("POST", url, headers, body.encode())
        scene.shop_saw.append(f"sent again: HTTP {answer.status}")
    held = scene.rig.held(scene.rig.shop.payments.of_order(scene.order.id))
    return _seen(scene, works=len(held) > 1, by="the shop: a code works once", step="POST /p/CODE")


def _number_as_card(scene: Scene) -> Cell:
    """An account number that was seen in a code payment, used as if a card had been tapped."""
    who = find_payer("unionpay-debit")
    request = code_question(
        scene.rig, who.account, who.expiry, AMOUNT_MINOR, pin=None, kind="dynamic"
    )
    request = replace(
        request, entry_mode=EntryMode.CONTACTLESS_CHIP, initiation=Initiation.CARD, no_pin=True
    )
    return _judged(scene, ask(scene.rig, request), "0200, DE22 07x without DE55")


def _smaller_amount(scene: Scene) -> Cell:
    """The payer's phone adds a smaller amount to the form; an EMV code is rewritten with one."""
    tried = scene.pay(network=ChangingNetwork(amount_minor="1", amount="0.01"))
    held = scene.rig.held(scene.rig.shop.payments.of_order(scene.order.id))
    by_form = _paid(tried) and held[0].amount_minor != scene.order.amount_minor
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
    return _seen(
        scene,
        works=by_form or by_code,
        by="the shop: the amount is the order's; an EMV code is signed",
        step="POST /p/CODE; EMV object 54",
    )


def _overheard_pin(scene: Scene) -> Cell:
    """PIN and account are read off plain http and used for another order."""
    ears = Ears()
    scene.pay(network=ears)
    url, _, fields = ears.form()
    plain = url.startswith("http://")
    other = Scene(rig=scene.rig, name=scene.name, mode="qr", order=scene.rig.order())
    tried = other.pay(pin=fields["pin"]) if plain else None
    works = tried is not None and _paid(tried)
    return _seen(
        scene,
        works=works,
        by="encryption: nothing could be read",
        step="POST /p/CODE over http; --https ends it",
        loss=_code_loss(scene.rig),
    )


def _swapped_sticker(scene: Scene) -> Cell:
    """A stranger's code stands where the shop's should; the payer does not read the payee."""
    with (
        scene.rig.stranger_shop("Mole Tea House") as stranger,
        scene.rig.pages.serve(stranger) as origin,
    ):
        theirs = stranger.orders.create(amount_minor=AMOUNT_MINOR)
        seen = Phone(scene.payer).pay(png(build_link(origin, theirs.code)))
        paid = stranger.orders.get(theirs.id).state is OrderState.PAID
    named = "Mole Tea House" in seen.text
    scene.payer_saw.append(
        f"paid{', to Mole Tea House as the page says' if named else ''}" if paid else seen.outcome
    )
    cell = _seen(
        scene,
        works=paid,
        by="",
        step="the page names the payee; a payer who reads it stops here",
        loss="what the payer types, up to the day's limit of codes",
    )
    return replace(cell, holds="the stranger" if paid else cell.holds)


def _forged_code(scene: Scene) -> Cell:
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
    return _seen(
        scene,
        works=found > 0,
        by="the shop: 60 random bits a code, and a pause",
        step="GET /p/CODE",
    )


def _two_with_one_photo(scene: Scene) -> Cell:
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
    return _seen(
        scene,
        works=len(held) != 1,
        by="the shop: the first to arrive takes the order",
        step="POST /p/CODE",
    )


def _phished(scene: Scene) -> Cell:
    """A page that looks like the shop's gathers account and PIN; the thief pays with them."""
    caught: list[dict[str, str]] = []
    with lying_page(caught) as origin:
        Phone(scene.payer).open(f"{origin}/p/{scene.order.code}")
    scene.payer_saw.append("a page that says paid")
    tried = scene.pay(pin=caught[0]["pin"]) if caught else None
    works = tried is not None and _paid(tried)
    cell = _seen(
        scene,
        works=works,
        by="",
        step="the address is not the shop's; a payer who reads it stops here",
        loss=_code_loss(scene.rig),
    )
    return replace(cell, holds="the shop that the thief bought from" if works else cell.holds)


# -- taps -----------------------------------------------------------------------------------------


def _replayed_cryptogram(scene: Scene) -> Cell:
    """What one genuine tap gave is sent a second time under new numbers."""
    _, evidence = read_card(scene.rig, scene.payer, AMOUNT_MINOR)
    assert evidence is not None
    first = ask(scene.rig, tap_question(scene.rig, evidence, AMOUNT_MINOR))
    scene.shop_saw.append(f"the genuine tap: {first.response_code}")
    again = ask(scene.rig, tap_question(scene.rig, evidence, AMOUNT_MINOR))
    return _judged(scene, again, "0200, DE55: 9F36 seen before")


def _token_elsewhere(scene: Scene) -> Cell:
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
    return _judged(scene, ask(scene.rig, request), "0200, DE22 03x with a contactless token")


def _raised_amount(scene: Scene) -> Cell:
    """The terminal shows 1.00 to the card and asks the issuer for 100.00."""
    _, evidence = read_card(scene.rig, scene.payer, 100)
    assert evidence is not None
    raised = ask(scene.rig, tap_question(scene.rig, evidence, 10_000))
    return _judged(scene, raised, "0200, DE4 against 9F02 under the cryptogram")


def _relayed(scene: Scene) -> Cell:
    """The card lies elsewhere; its answers come over a network, each 30 ms late."""
    relays: list[RelayedCard] = []

    def relay(card: Card) -> Card:
        relays.append(RelayedCard(card, added_s=_RELAY_S))
        return relays[0]

    tried = scene.pay(wrap=relay)
    relays[0].close()
    scene.payer_saw = ["nothing: the card is in a pocket"]
    cell = _seen(
        scene,
        works=_paid(tried),
        by="the terminal",
        step="no limit on the card's answering time in this flow",
        loss=_no_pin_loss(scene.rig),
    )
    return replace(cell, took_ms=relays[0].took_ms)


def _eavesdropped(scene: Scene) -> Cell:
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
    return _judged(
        scene,
        ask(scene.rig, request),
        "0200, DE22 81x without DE55",
        loss="what online shops sell for number and expiry alone",
    )


def _forged_card(scene: Scene) -> Cell:
    """A card whose certificate was tampered with."""
    scene.payer = "tampered-certificate"
    tried = scene.pay()
    return _seen(
        scene,
        works=_paid(tried),
        by=f"card, terminal and issuer: {tried.payer_saw}",
        step="READ RECORD and certificates; 0200, DE55",
    )


def _two_cards_one_order(scene: Scene) -> Cell:
    """A second card is tapped for an order that is paid."""
    scene.pay()
    scene.payer = "unionpay-credit"
    scene.pay()
    held = scene.rig.held(scene.rig.shop.payments.of_order(scene.order.id))
    return _seen(
        scene, works=len(held) != 1, by="the shop: the order is paid", step="before the 0200"
    )


# -- both -----------------------------------------------------------------------------------------


def _stolen_without_pin(scene: Scene) -> Cell:
    """The thief has phone or card and not the PIN."""
    if scene.mode == "qr":
        tried = scene.pay(pin="000000")
        return _seen(
            scene, works=_paid(tried), by="the issuer: wrong PIN", step="0200, DE52", loss=""
        )
    tried = scene.pay(pin=None)
    dear = Scene(rig=scene.rig, name=scene.name, mode="nfc", order=scene.rig.order(_DEAR_MINOR))
    over = dear.pay(pin=None)
    scene.payer_saw.append(f"over the limit: {over.payer_saw}")
    return _seen(
        scene,
        works=_paid(tried),
        by="",
        step="no PIN is asked below the limit",
        loss=_no_pin_loss(scene.rig),
    )


def _stolen_with_pin(scene: Scene) -> Cell:
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
    return _seen(
        scene,
        works=_paid(tried),
        by="",
        step="nothing tells the thief from the owner until the account is blocked",
        loss="the day's limit of the account",
    )


def _guessed_pin(scene: Scene) -> Cell:
    """Three wrong PINs, then the right one."""
    scene.payer = "unionpay-class3" if scene.mode == "qr" else "type-b"
    scene.order = scene.rig.order(AMOUNT_MINOR if scene.mode == "qr" else _DEAR_MINOR)
    for _ in range(3):
        scene.pay(pin=WRONG_PIN)
    tried = scene.pay()
    return _seen(
        scene,
        works=_paid(tried),
        by="the issuer: three tries",
        step="0200, DE52: 55, then 75",
    )


def _altered_on_the_line(scene: Scene) -> Cell:
    """Somebody on the line changes the amount in the message."""

    def raise_amount(message: bytes) -> bytes:
        plain = f"{scene.order.amount_minor:012d}".encode()
        return message.replace(plain, b"000000999999", 1)

    scene.rig.gate.once("question", "0200", lambda: True, alter=raise_amount)
    tried = scene.pay()
    held = scene.rig.held(scene.rig.shop.payments.of_order(scene.order.id))
    works = any(one.amount_minor != scene.order.amount_minor for one in held)
    return _seen(
        scene,
        works=works,
        by=f"the switch: {tried.payment.response_text if tried.payment else tried.refused}",
        step="MAC in DE64 or DE128",
    )


def _wrong_key(scene: Scene) -> Cell:
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
    return _judged(scene, asked, "0820 key exchange, before any 0200")


ATTACKS = (
    Attack(
        name="replay",
        title="Replayed",
        what="What one payment sent is sent again: the form of a code, the cryptogram of a tap.",
        qr=_replayed_form,
        nfc=_replayed_cryptogram,
    ),
    Attack(
        name="other-domain",
        title="Number used in another domain",
        what="An account number from a code used as a card; a tap's payment token in a code.",
        qr=_number_as_card,
        nfc=_token_elsewhere,
    ),
    Attack(
        name="amount",
        title="Tampered amount",
        what="The payer pays less than the order; the terminal takes more than the card was shown.",
        qr=_smaller_amount,
        nfc=_raised_amount,
    ),
    Attack(
        name="relay",
        title="Relayed tap",
        what="The card is in its owner's pocket elsewhere and answers through a network.",
        qr=None,
        nfc=_relayed,
    ),
    Attack(
        name="eavesdropped",
        title="Eavesdropped",
        what="Somebody listens to Wi-Fi or to the air and uses what was heard.",
        qr=_overheard_pin,
        nfc=_eavesdropped,
    ),
    Attack(
        name="sticker",
        title="Sticker swapped",
        what="A stranger's code is pasted over the shop's.",
        qr=_swapped_sticker,
        nfc=None,
    ),
    Attack(
        name="forged",
        title="Forged",
        what="A code that the shop never made is guessed; a card is made with a false certificate.",
        qr=_forged_code,
        nfc=_forged_card,
    ),
    Attack(
        name="paid-by-two",
        title="Paid by two",
        what="A code is photographed and paid by two phones at once; two cards for one order.",
        qr=_two_with_one_photo,
        nfc=_two_cards_one_order,
    ),
    Attack(
        name="phished",
        title="Phished payer page",
        what="A page that only looks like the shop's asks for account and PIN.",
        qr=_phished,
        nfc=None,
    ),
    Attack(
        name="stolen",
        title="Stolen, without PIN",
        what="Phone or card in a thief's hands; the PIN is not known.",
        qr=_stolen_without_pin,
        nfc=_stolen_without_pin,
    ),
    Attack(
        name="stolen-with-pin",
        title="Stolen, with PIN",
        what="Phone or card in a thief's hands, and the PIN on a slip of paper with it.",
        qr=_stolen_with_pin,
        nfc=_stolen_with_pin,
    ),
    Attack(
        name="brute-force",
        title="PIN guessed",
        what="PINs are tried one after the other.",
        qr=_guessed_pin,
        nfc=_guessed_pin,
    ),
    Attack(
        name="altered",
        title="Message altered on the line",
        what="Somebody between shop and switch raises the amount.",
        qr=_altered_on_the_line,
        nfc=_altered_on_the_line,
    ),
    Attack(
        name="wrong-key",
        title="Terminal with a wrong key",
        what="A terminal that no acquirer has given a key wants to sell.",
        qr=None,
        nfc=_wrong_key,
    ),
)
