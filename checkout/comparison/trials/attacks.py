"""The attack matrix: each attack really attempted against the running software."""

from __future__ import annotations

from collections.abc import Callable

from checkout.comparison.results import Row
from checkout.comparison.testbed.testbed import ServePages
from checkout.comparison.trials import (
    code_attacks as codes,
    payer_code_attacks as payer_codes,
    tap_attacks as taps,
    webhook_attacks as webhooks,
)
from checkout.comparison.trials.trial import Trial, run_trials


def run_attacks(
    serve_pages: ServePages,
    *,
    only: tuple[str, ...] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Row, ...]:
    """Try every attack, or those named in `only`; `progress` gets how many are done, and of all."""
    return run_trials(ATTACKS, serve_pages, only=only, progress=progress)


ATTACKS = (
    Trial(
        name="replay",
        title="Replayed",
        what="What one payment sent is sent again: a code's form, a payer's code, a cryptogram.",
        qr=codes.replayed_form,
        nfc=taps.replayed_cryptogram,
        code=payer_codes.replayed,
    ),
    Trial(
        name="other-domain",
        title="Number used in another domain",
        what="An account number, or a payer's code, as a card; a tap's payment token in a code.",
        qr=codes.number_as_card,
        nfc=taps.token_elsewhere,
        code=payer_codes.digits_as_card,
    ),
    Trial(
        name="amount",
        title="Tampered amount",
        what="The payer pays less than the order; the counter charges more than it showed.",
        qr=codes.smaller_amount,
        nfc=taps.raised_amount,
        code=payer_codes.more_than_shown,
        remedy="an amount that the payer confirms before, as with the shop's code or above the "
        "limit without PIN",
    ),
    Trial(
        name="relay",
        title="Relayed or photographed",
        what="The card answers through a network from its owner's pocket; the payer's code is "
        "photographed over a shoulder and shown at another till.",
        qr=None,
        nfc=taps.relayed,
        code=payer_codes.photographed,
        absent={"qr": "the shop's code is no secret: whoever is sent it pays this shop's order"},
        remedy="for a tap a limit on the card's answering time (relay resistance); for a code a "
        "screen turned away, and its minute",
    ),
    Trial(
        name="eavesdropped",
        title="Eavesdropped",
        what="Somebody listens to Wi-Fi or to the air and uses what was overheard.",
        qr=codes.overheard_pin,
        nfc=taps.eavesdropped,
        code=payer_codes.overheard,
        remedy="https (--https); payment tokens, whose number alone buys nothing",
    ),
    Trial(
        name="sticker",
        title="Sticker swapped",
        what="A stranger's code is pasted over the shop's.",
        qr=codes.swapped_sticker,
        nfc=None,
        absent={
            "payer-code": "the counter scans: nothing of the shop's hangs where a payer looks",
            "nfc": "the reader is a device with keys: a print pasted over it takes no money",
        },
        remedy="the page names the payee: a payer who reads it stops there",
    ),
    Trial(
        name="forged",
        title="Forged",
        what="A code that nobody made is guessed; a card is made with a false certificate.",
        qr=codes.forged_code,
        nfc=taps.forged_card,
        code=payer_codes.guessed,
    ),
    Trial(
        name="paid-by-two",
        title="Two at once",
        what="Two phones pay one photographed code at once; one payer's code is shown at two "
        "tills; two cards are tapped for one order.",
        qr=codes.two_with_one_photo,
        nfc=taps.two_cards_one_order,
        code=payer_codes.shown_twice,
    ),
    Trial(
        name="phished",
        title="Phished",
        what="A page that only looks like the shop's asks for account and PIN; a caller has the "
        "digits of the payer's code read out.",
        qr=codes.phished,
        nfc=None,
        code=payer_codes.read_out,
        absent={"nfc": "a tap has nothing to type or to read out"},
        remedy="the page's address; a code is for a counter only",
    ),
    Trial(
        name="stolen",
        title="Stolen, without PIN",
        what="Phone or card in a thief's hands; the PIN is not known.",
        qr=taps.stolen_without_pin,
        nfc=taps.stolen_without_pin,
        code=taps.stolen_without_pin,
        remedy="the phone's own lock; a report to the bank",
    ),
    Trial(
        name="stolen-with-pin",
        title="Stolen, with PIN",
        what="Phone or card in a thief's hands, and the PIN on a slip of paper with it.",
        qr=taps.stolen_with_pin,
        nfc=taps.stolen_with_pin,
        code=taps.stolen_with_pin,
        remedy="a report to the bank: from then on it is refused",
    ),
    Trial(
        name="brute-force",
        title="PIN guessed",
        what="PINs are tried one after the other.",
        qr=taps.guessed_pin,
        nfc=taps.guessed_pin,
        code=taps.guessed_pin,
    ),
    Trial(
        name="altered",
        title="Message altered on the line",
        what="Somebody between shop and switch raises the amount.",
        qr=taps.altered_on_the_line,
        nfc=taps.altered_on_the_line,
        code=taps.altered_on_the_line,
    ),
    Trial(
        name="webhook",
        title="Replayed webhook",
        what="The webhook of one sale is sent again, to get the goods a second time.",
        qr=webhooks.replayed_webhook,
        nfc=webhooks.replayed_webhook,
        code=webhooks.replayed_webhook,
    ),
    Trial(
        name="wrong-key",
        title="Terminal with a wrong key",
        what="A terminal that no acquirer has given a key wants to sell.",
        qr=None,
        nfc=taps.wrong_key,
        absent={
            "qr": "the shop's line is the same: see the tap",
            "payer-code": "the shop's line is the same: see the tap",
        },
    ),
)
