"""Cards for the kernel's tests: scripted ones, and a maker of certificates with one wrong field."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa

from devices.nfc.contract import CardDescription, CardGone
from devices.nfc.kernel import TapResult, Transaction, load_terminal, run_tap
from devices.nfc.kernel.ca_keys import CaKey, CaKeyRing
from devices.nfc.kernel.signature_recovery import SignedRecord

UNIONPAY = bytes.fromhex("A000000333010101")
VISA = bytes.fromhex("A0000000031010")
MASTERCARD = bytes.fromhex("A0000000041010")
PAN = "9999990000000012"
TODAY = date(2025, 6, 1)
NOW = datetime(2025, 6, 1, 10, 30)
QUICK_DOL = "9F6604 9F0206 9F0306 9F1A02 9505 5F2A02 9A03 9C01 9F3704"


def tlv(tag: str, *values: bytes | str) -> bytes:
    """One object; values are bytes or hex, put end to end."""
    body = b"".join(v if isinstance(v, bytes) else bytes.fromhex(v) for v in values)
    length = len(body)
    header = bytes((length,)) if length < 128 else bytes((0x81, length))
    if length > 255:
        header = b"\x82" + length.to_bytes(2, "big")
    return bytes.fromhex(tag) + header + body


def entry(
    aid: bytes, *, priority: int | None = 1, kernel: str | None = None, label: str = "CARD"
) -> bytes:
    """A directory entry of the PPSE."""
    parts = [tlv("4F", aid), tlv("50", label.encode())]
    if priority is not None:
        parts.append(tlv("87", bytes((priority,))))
    if kernel is not None:
        parts.append(tlv("9F2A", kernel))
    return tlv("61", *parts)


def ppse(*entries: bytes) -> bytes:
    """The directory's FCI."""
    return tlv("6F", tlv("84", b"2PAY.SYS.DDF01"), tlv("A5", tlv("BF0C", *entries)))


def fci(aid: bytes, *, pdol: str | None = QUICK_DOL, label: str = "CARD") -> bytes:
    """An application's FCI."""
    parts = [tlv("50", label.encode())]
    if pdol is not None:
        parts.append(tlv("9F38", pdol))
    return tlv("6F", tlv("84", aid), tlv("A5", *parts))


def track2(pan: str = PAN, expiry: str = "3012") -> bytes:
    digits = f"{pan}D{expiry}2010000000000"
    return bytes.fromhex(digits + "F" * (len(digits) % 2))


def quick_answer(
    *,
    cid: str | None = "80",
    iad: str = "07010103A00000",
    ctq: str | None = None,
    more: bytes = b"",
) -> bytes:
    """A GPO answer with cryptogram, as qPBOC and qVSDC give it."""
    parts = [tlv("82", "2000"), tlv("57", track2()), tlv("9F36", "0007"), tlv("9F26", "11" * 8)]
    parts += [tlv("9F10", iad), tlv("5F34", "01")]
    if cid is not None:
        parts.append(tlv("9F27", cid))
    if ctq is not None:
        parts.append(tlv("9F6C", ctq))
    return tlv("77", *parts, more)


Answer = bytes | int | Callable[[bytes], bytes]


@dataclass
class ScriptedCard:
    """A card that answers by command; an int is a status word, bytes a body with 9000.

    `leaves_at` is the number of the command (from 1) that gets no answer.
    """

    directory: Answer = 0x6A82
    applications: dict[bytes, Answer] = field(default_factory=dict)
    options: Answer = 0x6985
    records: dict[tuple[int, int], Answer] = field(default_factory=dict)
    cryptogram: Answer = 0x6D00
    authenticate: Answer = 0x6D00
    leaves_at: int | None = None
    commands: list[bytes] = field(default_factory=list)
    description = CardDescription(technology="A", uid=b"\x01\x02\x03\x04")

    def transceive(self, command: bytes) -> bytes:
        self.commands.append(command)
        if self.leaves_at == len(self.commands):
            raise CardGone
        answer = self._answer(command)
        if callable(answer):
            answer = answer(command)
        if isinstance(answer, int):
            return answer.to_bytes(2, "big")
        return answer + b"\x90\x00"

    def _answer(self, command: bytes) -> Answer:
        ins = command[1]
        if ins == 0xA4:
            name = command[5 : 5 + command[4]]
            return (
                self.directory if name.startswith(b"2PAY") else self.applications.get(name, 0x6A82)
            )
        if ins == 0xB2:
            return self.records.get((command[3] >> 3, command[2]), 0x6A83)
        return {0xA8: self.options, 0xAE: self.cryptogram, 0x88: self.authenticate}.get(ins, 0x6D00)


def quick_card(aid: bytes = UNIONPAY, answer: Answer | None = None, **changes: Any) -> ScriptedCard:
    """A card with one application that decides at GPO."""
    card = ScriptedCard(
        directory=ppse(entry(aid)),
        applications={aid: fci(aid)},
        options=quick_answer() if answer is None else answer,
    )
    for name, value in changes.items():
        setattr(card, name, value)
    return card


def tap(
    card: Any,
    *,
    amount: int = 1280,
    currency: str = "CNY",
    terminal: Any = None,
    at: datetime = NOW,
    ring: CaKeyRing | None = None,
    number: bytes | None = None,
    kind: int = 0x00,
    other_minor: int = 0,
    **changes: Any,
) -> TapResult:
    """Run a card through the kernel with the terminal for China."""
    transaction = Transaction.purchase(amount, currency, at=at)
    transaction = replace(transaction, kind=kind, other_minor=other_minor)
    if number is not None:
        transaction = replace(transaction, unpredictable_number=number)
    return run_tap(
        card,
        transaction=transaction,
        terminal=terminal or load_terminal("china"),
        ca_keys=ring or CaKeyRing(),
        random_bytes=os.urandom,
        clock=time.perf_counter,
        **changes,
    )


@cache
def key_pair(bits: int, exponent: int = 3) -> rsa.RSAPrivateNumbers:
    """One key pair a size for the whole run."""
    return rsa.generate_private_key(public_exponent=exponent, key_size=bits).private_numbers()


def private_key(bits: int, exponent: int = 3) -> TestKey:
    numbers = key_pair(bits, exponent)
    return TestKey(n=numbers.public_numbers.n, d=numbers.d, e=exponent)


@dataclass(frozen=True)
class TestKey:
    """An RSA key in numbers."""

    __test__ = False
    n: int
    d: int
    e: int

    @property
    def size(self) -> int:
        return (self.n.bit_length() + 7) // 8

    @property
    def modulus(self) -> bytes:
        return self.n.to_bytes(self.size, "big")

    @property
    def exponent(self) -> bytes:
        return b"\x03" if self.e == 3 else b"\x01\x00\x01"

    def sign(self, body: bytes) -> bytes:
        assert len(body) == self.size
        return pow(int.from_bytes(body, "big"), self.d, self.n).to_bytes(self.size, "big")


@dataclass
class CardMaker:
    """Makes a card's certificates and signatures; fields change one thing at a time."""

    ca: TestKey
    issuer: TestKey
    icc: TestKey
    rid: bytes = UNIONPAY[:5]
    index: int = 0xF1
    pan: str = PAN
    issuer_identifier: str = "999999FF"
    issuer_expiry: str = "1230"
    issuer_serial: str = "0000AA"
    icc_expiry: str = "1230"
    icc_pan: str | None = None
    issuer_fields: dict[str, bytes] = field(default_factory=dict)
    icc_fields: dict[str, bytes] = field(default_factory=dict)
    aip: bytes = b"\x7d\x00"

    def ring(self, **changes: Any) -> CaKeyRing:
        key = CaKey(rid=self.rid, index=self.index, modulus=self.ca.modulus, exponent=self.ca.e)
        return CaKeyRing.of([replace(key, **changes)])

    def record(self) -> bytes:
        """The signed record's body without its template."""
        pan = self.pan + "F" * (len(self.pan) % 2)
        return tlv("5A", pan) + tlv("5F24", "301231") + tlv("5F28", "0156")

    @property
    def signed(self) -> bytes:
        return self.record() + self.aip

    def records(self) -> tuple[SignedRecord, ...]:
        return (SignedRecord(sfi=1, body=tlv("70", self.record())),)

    def card(
        self, *, terminal_values: bytes = b"", dynamic: bytes = b"\x02\x00\x07"
    ) -> dict[int, bytes]:
        """Everything the terminal reads, fDDA signature included."""
        issuer, icc = self._issuer(), self._icc()
        card = {0x8F: bytes((self.index,)), 0x9F32: self.issuer.exponent, 0x9F47: self.icc.exponent}
        card |= {0x90: issuer[0], 0x9F46: icc[0], 0x9F4A: b"\x82", 0x82: self.aip}
        card |= {0x5A: bytes.fromhex(self.pan), 0x5F24: bytes.fromhex("301231")}
        card |= {tag: rest for tag, (_, rest) in ((0x92, issuer), (0x9F48, icc)) if rest}
        card[0x93] = self.static_signature()
        card[0x9F4B] = self.dynamic_signature(dynamic, terminal_values)
        return card

    def _issuer(self) -> tuple[bytes, bytes]:
        head = {
            "header": b"\x6a",
            "format": b"\x02",
            "identifier": bytes.fromhex(self.issuer_identifier),
            "expiry": bytes.fromhex(self.issuer_expiry),
            "serial": bytes.fromhex(self.issuer_serial),
        }
        return _certify(self.ca, head, self.issuer, 36, b"", self.issuer_fields)

    def _icc(self) -> tuple[bytes, bytes]:
        head = {
            "header": b"\x6a",
            "format": b"\x04",
            "pan": bytes.fromhex((self.icc_pan or self.pan).ljust(20, "F")),
            "expiry": bytes.fromhex(self.icc_expiry),
            "serial": b"\x00\x00\x01",
        }
        return _certify(self.issuer, head, self.icc, 42, self.signed, self.icc_fields)

    def static_signature(self) -> bytes:
        body = b"\x03\x01\xda\xc1"
        body += b"\xbb" * (self.issuer.size - 22 - len(body))
        digest = hashlib.sha1(body + self.signed, usedforsecurity=False).digest()
        return self.issuer.sign(b"\x6a" + body + digest + b"\xbc")

    def dynamic_signature(
        self, dynamic: bytes, terminal_values: bytes, data_format: int = 0x05
    ) -> bytes:
        body = bytes((data_format, 0x01)) + bytes((len(dynamic),)) + dynamic
        body += b"\xbb" * (self.icc.size - 22 - len(body))
        digest = hashlib.sha1(body + terminal_values, usedforsecurity=False).digest()
        return self.icc.sign(b"\x6a" + body + digest + b"\xbc")


def _certify(
    signer: TestKey,
    head: dict[str, bytes],
    key: TestKey,
    overhead: int,
    static: bytes,
    changes: Mapping[str, bytes],
) -> tuple[bytes, bytes]:
    room = signer.size - overhead
    parts = head | {
        "hash_algorithm": b"\x01",
        "key_algorithm": b"\x01",
        "key_length": bytes((key.size,)),
        "exponent_length": bytes((len(key.exponent),)),
        "modulus": key.modulus[:room].ljust(room, b"\xbb"),
    }
    rest = key.modulus[room:]
    before = {name: changes[name] for name in changes if name in parts}
    parts |= before
    covered = b"".join(value for name, value in parts.items() if name != "header")
    digest = hashlib.sha1(covered + rest + key.exponent + static, usedforsecurity=False).digest()
    body = b"".join(parts.values()) + changes.get("hash", digest) + changes.get("trailer", b"\xbc")
    return signer.sign(body), rest
