"""A published UnionPay test card, installed as an emulated one; its file is read where it is."""

from __future__ import annotations

from pathlib import Path

from devices.nfc.emulated import EmulatedCard, install, open_card
from devices.nfc.emulated.card.image import CardImage
from devices.nfc.emulated.profile_files import profile_from
from devices.nfc.emulated.rsa import from_primes
from tests.devices.nfc.emulated.cards_independent import flat, parse

FILE = Path(__file__).resolve().parents[4] / ".." / "shared/vectors/emv/unionpay-test-card.txt"
EXPONENT = 65537


def public_card(home: Path) -> tuple[EmulatedCard, dict[str, str]]:
    """The card, powered off, and the CA key that its certificates are under."""
    groups = _groups()
    records = {(int(n[3]), int(n[5])): groups[n] for n in groups if n.startswith("SFI")}
    personal = {tag: value for record in records.values() for tag, value in flat(record).items()}
    options = dict(parse(groups["QPBOC_9207"]))
    fci = flat(groups["FCI_9103"])
    table = {
        "name": "public-test-card",
        "title": "Public test card",
        "purpose": "A published test card.",
        "scheme": "unionpay",
        "aid": fci["84"].hex().upper(),
        "label": fci["50"].decode(),
        "pan": personal["5A"].hex(),
        "expiry": personal["5F24"].hex()[:4],
        "pan_sequence": personal["5F34"].hex(),
        "cvms": ["signature", "online-pin"],
    }
    image = CardImage(
        aip=options["82"],
        afl=options["94"],
        short_afl=b"",
        records=records,
        pdol=fci["9F38"],
        card_key=groups["UDK_AC"],
        icc_key=from_primes(
            int.from_bytes(groups["RSA_P"]), int.from_bytes(groups["RSA_Q"]), EXPONENT
        ),
    )
    install(profile_from(table, name="public-test-card"), image, home=home)
    return open_card("public-test-card", home), _ca_key()


def _groups() -> dict[str, bytes]:
    lines = (line.split() for line in FILE.read_text().splitlines())
    return {
        words[0].split("_", 1)[0] if words[0].startswith("SFI") else words[0]: bytes.fromhex(
            words[1]
        )
        for words in lines
        if len(words) == 2 and not words[0].startswith("#")
    }


def _ca_key() -> dict[str, str]:
    line = next(line for line in FILE.read_text().splitlines() if line.startswith("# CAPK"))
    modulus = line.split(":")[1].split()[0]
    return {"rid": "A000000333", "index": "80", "modulus": modulus, "exponent": "010001"}
