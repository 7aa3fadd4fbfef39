"""The published test cards: their certificates and signatures, whole and with one bit flipped."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime

import pytest

from devices.nfc.kernel import Outcome, TapResult, Transaction, load_terminal, run_tap
from devices.nfc.kernel.ca_keys import CaKeyRing, parse_ca_keys
from devices.nfc.transcript.transcript import TranscriptReader
from tests.devices.nfc.kernel.kernel_cards import (
    NOW,
    UNIONPAY,
    VECTORS,
    ScriptedCard,
    tap,
    tlv,
    vector_unionpay,
)

pytestmark = pytest.mark.skipif(not VECTORS.is_dir(), reason="no vectors beside the checkout")
MASTERCARD_FILE = VECTORS / "mastercard-contactless-test-card.apdu"


class PublicUnionPayCard(ScriptedCard):
    """The published personalisation on a card that signs with its published key."""

    def __init__(self, version: int | None, *, cid: int = 0x80) -> None:
        groups, self.ring = vector_unionpay()
        super().__init__(
            directory=groups["PPSE_9102"],
            applications={UNIONPAY: groups["FCI_9103"]},
            options=self._options,
            records={
                (int(name[3]), int(name[5])): body
                for name, body in groups.items()
                if name.startswith("SFI")
            },
        )
        self.version, self.cid = version, cid
        self.template = groups["QPBOC_9207"]
        p, q = (int.from_bytes(groups[f"RSA_{name}"], "big") for name in "PQ")
        self.modulus, self.private = p * q, pow(65537, -1, (p - 1) * (q - 1))

    def _options(self, command: bytes) -> bytes:
        values = command[7:-1]
        amount, currency, number = values[4:10], values[23:25], values[29:33]
        related = b"\x01\xca\xfe\xba\xbe\x00\x00"
        covered = number if self.version is None else number + amount + currency + related
        iad = bytes.fromhex("07010103") + bytes((0x80 | self.cid >> 2,)) + bytes(3)
        extra = tlv("9F36", "0021") + tlv("9F26", "22" * 8) + tlv("9F4B", self._sign(covered))
        if self.version is not None:
            extra += tlv("9F69", related)
        return tlv("77", self.template[:14], tlv("9F10", iad), tlv("5F34", "01"), extra)

    def _sign(self, covered: bytes) -> bytes:
        body = b"\x05\x01\x03\x02\x00\x21" + b"\xbb" * (96 - 22 - 6)
        digest = hashlib.sha1(body + covered, usedforsecurity=False).digest()
        block = int.from_bytes(b"\x6a" + body + digest + b"\xbc", "big")
        return pow(block, self.private, self.modulus).to_bytes(96, "big")


@pytest.mark.parametrize("version", [None, 1])
def test_the_unionpay_test_card_passes_fdda_under_its_ca_key(version: int | None) -> None:
    card = PublicUnionPayCard(version)
    result = tap(card, ring=card.ring)
    assert result.outcome is Outcome.ONLINE_REQUEST, result.reason
    assert (result.oda.method, result.oda.verdict) == ("fDDA", "passed")
    assert (result.pan, result.expiry, result.psn) == ("6228000100001117", "3012", "01")
    assert result.label == "PBOC Credit" or result.label == "CARD IMAGE 0031"
    assert result.tvr == bytes(5)


def test_the_unionpay_test_card_is_approved_offline_where_both_allow_it() -> None:
    card = PublicUnionPayCard(1, cid=0x40)
    result = tap(card, ring=card.ring, terminal=load_terminal("china").with_limits(floor=5000))
    assert (result.outcome, result.cryptogram) == (Outcome.OFFLINE_APPROVED, "TC")


def test_the_unionpay_test_card_expires() -> None:
    card = PublicUnionPayCard(1)
    late = datetime(2031, 1, 1, 12, 0)
    result = tap(card, ring=card.ring, at=late)
    assert result.oda.reason == "issuer-certificate-expired"


def _flipped(record: bytes, byte: int) -> bytes:
    altered = bytearray(record)
    altered[byte] ^= 0x04
    return bytes(altered)


@pytest.mark.parametrize(
    ("place", "tag", "reasons"),
    [
        ((2, 1), "9081", {"issuer-certificate-trailer", "issuer-certificate-header"}),
        ((2, 2), "9F4681", {"icc-certificate-trailer", "icc-certificate-header"}),
        ((2, 2), "9F480A", {"icc-certificate-hash"}),
        ((2, 1), "8F01", {"ca-key-missing"}),
        ((3, 1), "5A08", {"issuer-certificate-identifier"}),
        ((3, 1), "5F2403", {"icc-certificate-hash"}),
        ((3, 1), "5F2503", {"icc-certificate-hash"}),
        ((3, 1), "9F0802", {"icc-certificate-hash"}),
    ],
)
def test_one_bit_of_a_signed_record_fails_with_its_reason(
    place: tuple[int, int], tag: str, reasons: set[str]
) -> None:
    card = PublicUnionPayCard(1)
    record = card.records[place]
    assert isinstance(record, bytes)
    at = record.index(bytes.fromhex(tag)) + len(tag) // 2 + (1 if tag.endswith("81") else 0)
    card.records[place] = _flipped(record, at)
    result = tap(card, ring=card.ring)
    assert result.oda.verdict == "failed"
    assert result.oda.reason in reasons
    assert result.tvr[0] & 0x08
    assert result.outcome is not Outcome.OFFLINE_APPROVED


def mastercard_ring() -> CaKeyRing:
    modulus = MASTERCARD_FILE.read_text().split("modulus ")[1].split()[0]
    entry = {"rid": "A000000004", "index": "EF", "modulus": modulus, "exponent": "03"}
    return parse_ca_keys(json.dumps([entry]))


def replay(change: Callable[[str], str] = str, on: date | None = None) -> TapResult:
    reader = TranscriptReader(change(MASTERCARD_FILE.read_text()), "transcript:test")
    conditions = reader.conditions(Transaction.purchase(1, at=NOW), load_terminal("china"))
    if on is not None:
        conditions = replace(conditions, transaction=replace(conditions.transaction, day=on))
    return run_tap(
        reader.wait_for_card(0),
        **conditions.arguments(),
        ca_keys=mastercard_ring(),
        random_bytes=os.urandom,
        clock=time.perf_counter,
    )


def test_the_mastercard_recording_replays_at_its_own_date_and_cda_passes() -> None:
    result = replay()
    assert result.outcome is Outcome.OFFLINE_APPROVED, result.reason
    assert (result.oda.method, result.oda.verdict) == ("CDA", "passed")
    assert (result.cryptogram, result.cvm, result.tvr) == ("TC", "signature", bytes(5))
    assert result.atc == b"\x00\x35"
    assert len(result.card[0x9F26]) == 8  # it comes out of the signature
    assert len(result.exchanges) == 7


def test_the_mastercard_recording_fails_on_expiry_today() -> None:
    result = replay(on=date(2025, 6, 1))
    assert (result.oda.verdict, result.oda.reason) == ("failed", "issuer-certificate-expired")
    assert result.tvr[0] & 0x04


@pytest.mark.parametrize(
    ("found", "reasons"),
    [
        ("9081F87AF7C3", {"issuer-certificate-trailer", "issuer-certificate-header"}),
        ("9F4681903826", {"icc-certificate-trailer", "icc-certificate-header"}),
        ("9F482A8F9498", {"icc-certificate-hash"}),
        ("5F3401018C21", {"icc-certificate-hash"}),
        ("9F4B8190124C", {"dynamic-signature-trailer", "dynamic-signature-header"}),
        ("9F1012011090", {"transaction-values-hash"}),
    ],
)
def test_one_bit_of_the_mastercard_recording_fails_with_its_reason(
    found: str, reasons: set[str]
) -> None:
    def flip(text: str) -> str:
        assert text.count(found) == 1
        last = int(found[-1], 16) ^ 1
        if found == "5F3401018C21":  # the sequence number, not a length
            return text.replace(found, "5F3401038C21")
        return text.replace(found, f"{found[:-1]}{last:X}")

    result = replay(flip)
    assert result.oda.verdict == "failed"
    assert result.oda.reason in reasons
    assert result.tvr[0] & 0x04
    assert result.outcome is not Outcome.OFFLINE_APPROVED


@pytest.mark.parametrize("name", ["status-61", "status-6c"])
def test_the_cards_that_answer_61_and_6c_replay_to_their_end(name: str) -> None:
    reader = TranscriptReader.open(VECTORS / f"{name}.apdu")
    conditions = reader.conditions(Transaction.purchase(100, at=NOW), load_terminal("china"))
    result = run_tap(
        reader.wait_for_card(0),
        **conditions.arguments(),
        ca_keys=CaKeyRing(),
        random_bytes=os.urandom,
        clock=time.perf_counter,
    )
    assert (result.aid, result.label) == (bytes.fromhex("A0000000031010"), "VISA")
    assert "the transcript ends after command 2" in result.reason
