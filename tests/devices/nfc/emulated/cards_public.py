"""Installs a UnionPay card that the emulator did not personalise as an emulated one."""

from __future__ import annotations

from pathlib import Path

from devices.nfc.emulated import EmulatedCard, install, open_card
from devices.nfc.emulated.card.image import CardImage
from devices.nfc.emulated.profile_files import profile_from
from devices.nfc.emulated.rsa import from_primes
from tests.devices.nfc.emulated.cards_independent import flat
from tests.vectors.emv.cards import PersonalisedCard


def install_card(vector: PersonalisedCard, home: Path) -> EmulatedCard:
    """The card, powered off; its certificates are under `vector.ca_key`."""
    objects = {
        tag: value for record in vector.records.values() for tag, value in flat(record).items()
    }
    fci = flat(vector.fci)
    table = {
        "name": "public-test-card",
        "title": "Public test card",
        "purpose": "A test card from the vectors.",
        "scheme": "unionpay",
        "aid": fci["84"].hex().upper(),
        "label": fci["50"].decode(),
        "pan": objects["5A"].hex(),
        "expiry": objects["5F24"].hex()[:4],
        "pan_sequence": objects["5F34"].hex(),
        "cvms": ["signature", "online-pin"],
    }
    image = CardImage(
        aip=vector.aip,
        afl=vector.afl,
        short_afl=b"",
        records=vector.records,
        pdol=fci["9F38"],
        card_key=vector.card_key,
        icc_key=from_primes(vector.icc_p, vector.icc_q, vector.icc_exponent),
    )
    install(profile_from(table, name="public-test-card"), image, home=home)
    return open_card("public-test-card", home)
