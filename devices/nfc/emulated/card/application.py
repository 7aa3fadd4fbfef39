"""What all card applications share: the chip, refusals, and the answers to SELECT."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from devices.nfc.emulated.card import ber_tlv
from devices.nfc.emulated.card.image import CardImage
from devices.nfc.emulated.card.memory import ATC_LIMIT, LimitedUseKey, Memory
from devices.nfc.emulated.profile import CardProfile

PPSE = b"2PAY.SYS.DDF01"


class Status(IntEnum):
    """Status words SW1-SW2 that the cards answer with (ISO/IEC 7816-4; EMV Book 1, 3)."""

    OK = 0x9000
    BLOCKED_APPLICATION = 0x6283
    ISSUER_AUTHENTICATION_FAILED = 0x6300
    WRONG_LENGTH = 0x6700
    USE_ANOTHER_INTERFACE = 0x6984
    CONDITIONS_NOT_SATISFIED = 0x6985
    SEE_PHONE = 0x6986
    WRONG_DATA = 0x6A80
    NOT_SUPPORTED = 0x6A81
    FILE_NOT_FOUND = 0x6A82
    RECORD_NOT_FOUND = 0x6A83
    WRONG_P1_P2 = 0x6A86
    REFERENCED_NOT_FOUND = 0x6A88
    UNKNOWN_INSTRUCTION = 0x6D00
    UNKNOWN_CLASS = 0x6E00


class Refused(Exception):
    """The card answers a command with a status word and no data."""

    def __init__(self, status: Status) -> None:
        super().__init__(f"{status:04X}")
        self.status = status


@dataclass(slots=True, kw_only=True)
class Chip:
    """The chip that an application runs on: files, memory, random bytes and, on a phone, the time.

    `commit` makes the memory durable; it is called before a cryptogram leaves the card.
    """

    profile: CardProfile
    image: CardImage
    memory: Memory
    commit: Callable[[], None]
    now: Callable[[], float]
    random_bytes: Callable[[int], bytes]

    def next_atc(self) -> int:
        """Count one transaction in memory; refuses when the counter is at its end."""
        if self.memory.atc >= ATC_LIMIT:
            raise Refused(Status.CONDITIONS_NOT_SATISFIED)
        self.memory.atc += 1
        return self.memory.atc

    def within_offline_limits(self, terminal: Mapping[str, bytes]) -> bool:
        """Whether the profile lets the card approve the terminal's 9F02 and 5F2A offline."""
        limits = self.profile.offline
        amount = amount_minor(terminal["9F02"])
        return (
            limits is not None
            and terminal["5F2A"] == ber_tlv.numeric(int(self.profile.currency), 2)
            and 0 < amount <= limits.single_minor
            and self.memory.offline_minor + amount <= limits.cumulative_minor
        )

    def use_limited_key(self) -> LimitedUseKey:
        """Spend one use of the oldest usable key; refuses when there is none."""
        for place, key in enumerate(self.memory.keys):
            if key.usable(self.now()):
                left = LimitedUseKey(
                    serial=key.serial,
                    key=key.key,
                    expires_at=key.expires_at,
                    uses=key.uses - 1,
                )
                self.memory.keys[place : place + 1] = [left] if left.uses else []
                return key
        raise Refused(Status.CONDITIONS_NOT_SATISFIED)


class Application(Protocol):
    """A payment application after its selection; every SELECT creates a new one.

    Each method returns response data, or raises Refused with the status word.
    """

    def processing_options(self, values: bytes) -> bytes:
        """GET PROCESSING OPTIONS with the PDOL values, whose length was checked."""

    def read_record(self, sfi: int, number: int) -> bytes:
        """READ RECORD: the whole record, template 70 included."""

    def generate_cryptogram(self, control: int, values: bytes) -> bytes:
        """GENERATE AC with reference control parameter P1 and CDOL values."""

    def internal_authenticate(self, values: bytes) -> bytes:
        """INTERNAL AUTHENTICATE with the values of the DDOL."""

    def external_authenticate(self, answer: bytes) -> bytes:
        """EXTERNAL AUTHENTICATE with issuer authentication data (tag 91)."""


def amount_minor(amount: bytes) -> int:
    """The amount in 9F02, in minor units; refuses bytes that are not decimal digits."""
    digits = amount.hex()
    if not digits.isdecimal():
        raise Refused(Status.WRONG_DATA)
    return int(digits)


def record(chip: Chip, sfi: int, number: int) -> bytes:
    """The record as personalised; refuses an unknown file or number."""
    found = chip.image.records.get((sfi, number))
    if found is None:
        known = any(sfi == file for file, _ in chip.image.records)
        raise Refused(Status.RECORD_NOT_FOUND if known else Status.FILE_NOT_FOUND)
    return found


def ppse_fci(profile: CardProfile) -> bytes:
    """The FCI of 2PAY.SYS.DDF01 with this card's one directory entry (EMV Book B, "PPSE")."""
    entry = ber_tlv.template(
        "61",
        ber_tlv.tlv("4F", bytes.fromhex(profile.aid)),
        ber_tlv.tlv("50", profile.label.encode("ascii")),
        ber_tlv.tlv("87", bytes((profile.priority,))),
    )
    proprietary = ber_tlv.template("A5", ber_tlv.template("BF0C", entry))
    return ber_tlv.template("6F", ber_tlv.tlv("84", PPSE), proprietary)


def application_fci(chip: Chip) -> bytes:
    """The FCI of the payment application (EMV Book 1, "SELECT Response Message to ADF")."""
    profile = chip.profile
    objects = {"50": profile.label.encode("ascii"), "87": bytes((profile.priority,))}
    if chip.image.pdol:
        objects["9F38"] = chip.image.pdol
    objects |= {"5F2D": profile.language.encode("ascii"), "9F11": b"\x01"}
    objects["9F12"] = profile.title.encode("ascii", "replace")[:16]
    discretionary = ber_tlv.template("BF0C", ber_tlv.tlv("9F4D", bytes((0x0B, 0x0A))))
    proprietary = ber_tlv.tlv("A5", ber_tlv.encode(objects) + discretionary)
    return ber_tlv.template("6F", ber_tlv.tlv("84", bytes.fromhex(profile.aid)), proprietary)
