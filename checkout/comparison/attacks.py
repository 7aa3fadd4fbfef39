"""The attack matrix: each attack really attempted against the running software."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from checkout.comparison import attack_codes as codes
from checkout.comparison import attack_taps as taps
from checkout.comparison import attack_webhooks as webhooks
from checkout.comparison.results import Cell, Row
from checkout.comparison.rig import Mode, Rig, Scene, open_rig
from checkout.comparison.stand import Pages

_Play = Callable[[Scene], Cell]


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


ATTACKS = (
    Attack(
        name="replay",
        title="Replayed",
        what="What one payment sent is sent again: the form of a code, the cryptogram of a tap.",
        qr=codes.replayed_form,
        nfc=taps.replayed_cryptogram,
    ),
    Attack(
        name="other-domain",
        title="Number used in another domain",
        what="An account number from a code used as a card; a tap's payment token in a code.",
        qr=codes.number_as_card,
        nfc=taps.token_elsewhere,
    ),
    Attack(
        name="amount",
        title="Tampered amount",
        what="The payer pays less than the order; the terminal takes more than the card was shown.",
        qr=codes.smaller_amount,
        nfc=taps.raised_amount,
    ),
    Attack(
        name="relay",
        title="Relayed tap",
        what="The card is in its owner's pocket elsewhere and answers through a network.",
        qr=None,
        nfc=taps.relayed,
    ),
    Attack(
        name="eavesdropped",
        title="Eavesdropped",
        what="Somebody listens to Wi-Fi or to the air and uses what was heard.",
        qr=codes.overheard_pin,
        nfc=taps.eavesdropped,
    ),
    Attack(
        name="sticker",
        title="Sticker swapped",
        what="A stranger's code is pasted over the shop's.",
        qr=codes.swapped_sticker,
        nfc=None,
    ),
    Attack(
        name="forged",
        title="Forged",
        what="A code that the shop never made is guessed; a card is made with a false certificate.",
        qr=codes.forged_code,
        nfc=taps.forged_card,
    ),
    Attack(
        name="paid-by-two",
        title="Paid by two",
        what="A code is photographed and paid by two phones at once; two cards for one order.",
        qr=codes.two_with_one_photo,
        nfc=taps.two_cards_one_order,
    ),
    Attack(
        name="phished",
        title="Phished payer page",
        what="A page that only looks like the shop's asks for account and PIN.",
        qr=codes.phished,
        nfc=None,
    ),
    Attack(
        name="stolen",
        title="Stolen, without PIN",
        what="Phone or card in a thief's hands; the PIN is not known.",
        qr=taps.stolen_without_pin,
        nfc=taps.stolen_without_pin,
    ),
    Attack(
        name="stolen-with-pin",
        title="Stolen, with PIN",
        what="Phone or card in a thief's hands, and the PIN on a slip of paper with it.",
        qr=taps.stolen_with_pin,
        nfc=taps.stolen_with_pin,
    ),
    Attack(
        name="brute-force",
        title="PIN guessed",
        what="PINs are tried one after the other.",
        qr=taps.guessed_pin,
        nfc=taps.guessed_pin,
    ),
    Attack(
        name="altered",
        title="Message altered on the line",
        what="Somebody between shop and switch raises the amount.",
        qr=taps.altered_on_the_line,
        nfc=taps.altered_on_the_line,
    ),
    Attack(
        name="webhook",
        title="Replayed webhook",
        what="What told the merchant's system of one sale is sent again to be given goods again.",
        qr=webhooks.replayed_webhook,
        nfc=webhooks.replayed_webhook,
    ),
    Attack(
        name="wrong-key",
        title="Terminal with a wrong key",
        what="A terminal that no acquirer has given a key wants to sell.",
        qr=None,
        nfc=taps.wrong_key,
    ),
)
