"""The EMV vectors as values: this project's own files, and further ones where they are at hand.

A folder `shared/vectors/emv` beside the checkout is read too where it exists; its cards are further
cases of the same tests. Nothing here uses the terminal's kernel or the emulated card.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
FURTHER = FOLDER.parents[3] / "shared" / "vectors" / "emv"


@dataclass(frozen=True)
class PersonalisedCard:
    """What personalisation writes into a UnionPay card, with the keys that it signs with."""

    name: str
    pan: str
    labels: tuple[str, ...]
    ppse: bytes
    fci: bytes
    aip: bytes
    afl: bytes
    records: dict[tuple[int, int], bytes]
    card_key: bytes = field(repr=False)
    icc_p: int = field(repr=False)
    icc_q: int = field(repr=False)
    icc_exponent: int
    ca_key: dict[str, str]  # rid, index, modulus and exponent in hex


@dataclass(frozen=True)
class RecordedTap:
    """A Mastercard tap as a transcript, the CA key of its certificates, and what it ends in."""

    name: str
    text: str
    ca_key: dict[str, str]
    atc: bytes


def unionpay_cards() -> Iterator[PersonalisedCard]:
    """This project's own UnionPay card, then the further one."""
    yield _own_card()
    further = FURTHER / "unionpay-test-card.txt"
    if further.exists():
        yield _further_card(further)


def mastercard_taps() -> Iterator[RecordedTap]:
    """This project's own recording, then the further one."""
    own = FOLDER / "mastercard-cda.apdu"
    yield _tap("own", own, index="E8", atc="0042")
    further = FURTHER / "mastercard-contactless-test-card.apdu"
    if further.exists():
        yield _tap("further", further, index="EF", atc="0035")


def status_recordings() -> Iterator[Path]:
    """Recordings of cards that answer with 61xx and 6Cxx."""
    yield from sorted(FOLDER.glob("visa-status-*.apdu"))
    yield from sorted(FURTHER.glob("status-*.apdu"))


def published_chains() -> list[dict[str, Any]]:
    """The certificate chains of `published-chains.toml`, hex still as text."""
    text = (FOLDER / "published-chains.toml").read_text("utf-8")
    chains: list[dict[str, Any]] = tomllib.loads(text)["chain"]
    return chains


def unhex(text: str) -> bytes:
    """The bytes of hex text in any number of lines."""
    return bytes.fromhex("".join(text.split()))


def value_offset(encoded: bytes, tag: str) -> int:
    """Where the value of the first object with that tag begins, templates searched too.

    Raises LookupError where there is none.
    """
    at = 0
    while at < len(encoded):
        width = 2 if encoded[at] & 0x1F == 0x1F else 1
        name = encoded[at : at + width]
        start = at + width + 1
        length = encoded[start - 1]
        if length == 0x81:
            start, length = start + 1, encoded[start]
        if name == bytes.fromhex(tag):
            return start
        if name[0] & 0x20:
            try:
                return start + value_offset(encoded[start : start + length], tag)
            except LookupError:
                pass
        at = start + length
    raise LookupError(tag)


def flip(encoded: bytes, tag: str, mask: int = 0x01) -> bytes:
    """The same bytes with a bit of the first byte of that tag's value flipped."""
    at = value_offset(encoded, tag)
    return encoded[:at] + bytes((encoded[at] ^ mask,)) + encoded[at + 1 :]


def _own_card() -> PersonalisedCard:
    table = tomllib.loads((FOLDER / "unionpay-card.toml").read_text("utf-8"))
    return PersonalisedCard(
        name="own",
        pan=table["pan"],
        labels=(table["label"],),
        ppse=unhex(table["ppse"]),
        fci=unhex(table["fci"]),
        aip=unhex(table["aip"]),
        afl=unhex(table["afl"]),
        records={
            (int(place[0]), int(place[2])): unhex(body) for place, body in table["records"].items()
        },
        card_key=unhex(table["card_key"]),
        icc_p=int(table["icc_p"], 16),
        icc_q=int(table["icc_q"], 16),
        icc_exponent=table["icc_exponent"],
        ca_key=table["ca_key"],
    )


def _further_card(file: Path) -> PersonalisedCard:
    """A card as lines of a name and a data group in hex, its CA key in a comment."""
    groups: dict[str, bytes] = {}
    modulus = ""
    for line in file.read_text("utf-8").splitlines():
        words = line.split()
        if line.startswith("# CAPK"):
            modulus = words[3]
        elif len(words) == 2 and not line.startswith("#"):
            groups[words[0]] = bytes.fromhex(words[1])
    options = groups["QPBOC_9207"]
    aip, afl = value_offset(options, "82"), value_offset(options, "94")
    return PersonalisedCard(
        name="further",
        pan="6228000100001117",
        labels=("PBOC Credit", "CARD IMAGE 0031"),
        ppse=groups["PPSE_9102"],
        fci=groups["FCI_9103"],
        aip=options[aip : aip + 2],
        afl=options[afl : afl + options[afl - 1]],
        records={
            (int(name[3]), int(name[5])): body
            for name, body in groups.items()
            if name.startswith("SFI")
        },
        card_key=groups["UDK_AC"],
        icc_p=int.from_bytes(groups["RSA_P"], "big"),
        icc_q=int.from_bytes(groups["RSA_Q"], "big"),
        icc_exponent=65537,
        ca_key={"rid": "A000000333", "index": "80", "modulus": modulus, "exponent": "010001"},
    )


def _tap(name: str, file: Path, *, index: str, atc: str) -> RecordedTap:
    text = file.read_text("utf-8")
    modulus = text.split("modulus ")[1].split()[0]
    ca_key = {"rid": "A000000004", "index": index, "modulus": modulus, "exponent": "03"}
    return RecordedTap(name=name, text=text, ca_key=ca_key, atc=bytes.fromhex(atc))
