"""Cards that the kernel did not make: certificates and signatures, whole and altered by a bit."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from devices.nfc.kernel import Outcome, TapResult, Transaction, load_terminal, run_tap
from devices.nfc.kernel.ca_keys import CaKeyRing, parse_ca_keys
from devices.nfc.kernel.oda import (
    CardEvidence,
    OdaResult,
    Verdict,
    authenticate_dynamic,
    authenticate_static,
)
from devices.nfc.kernel.signature_recovery import (
    OdaFailed,
    PublicKey,
    SignedRecord,
    recover_issuer_key,
    verify_dynamic_signature,
)
from devices.nfc.transcript import TranscriptReader
from tests.devices.nfc.kernel.kernel_cards import (
    NOW,
    UNIONPAY,
    VISA,
    ScriptedCard,
    quick_card,
    tap,
    tlv,
    track2,
)
from tests.vectors.emv.cards import (
    PersonalisedCard,
    RecordedTap,
    flip,
    mastercard_taps,
    published_chains,
    status_recordings,
    unhex,
    unionpay_cards,
    value_offset,
)
from tests.vectors.emv.maker import FOLDER, files

CARDS = {card.name: card for card in unionpay_cards()}
TAPS = {tap.name: tap for tap in mastercard_taps()}
CHAINS = {chain["name"]: chain for chain in published_chains()}
every_card = pytest.mark.parametrize("vector", list(CARDS.values()), ids=list(CARDS))
every_tap = pytest.mark.parametrize("vector", list(TAPS.values()), ids=list(TAPS))


def test_the_projects_own_vectors_are_what_their_maker_makes_of_the_stored_keys() -> None:
    for name, content in files().items():
        assert (FOLDER / name).read_text("utf-8") == content, name


# Published chains: no key and no signature of these was made here.


def ring_of(entry: dict[str, Any]) -> CaKeyRing:
    names = ("rid", "index", "modulus", "exponent")
    return parse_ca_keys(json.dumps([{name: entry[name] for name in names}]))


def authenticate(chain: dict[str, Any], card: dict[str, bytes], values: bytes) -> OdaResult:
    evidence = CardEvidence(
        card={int(tag, 16): value for tag, value in card.items()},
        records=(SignedRecord(sfi=1, body=tlv("70", chain["static"])),),
        rid=bytes.fromhex(chain["rid"]),
        pan=chain["pan"],
    )
    if chain["method"] == "SDA":
        return authenticate_static(evidence, ring_of(chain), chain["on"])
    return authenticate_dynamic(evidence, ring_of(chain), chain["on"], terminal_values=values)


def card_of(chain: dict[str, Any]) -> dict[str, bytes]:
    return {"8F": bytes.fromhex(chain["index"])} | {
        tag: unhex(value) for tag, value in chain["card"].items()
    }


@pytest.mark.parametrize("name", ["visa-fdda-version-01", "visa-sda"])
def test_a_published_chain_passes_and_fails_with_any_part_altered(name: str) -> None:
    chain = CHAINS[name]
    card, values = card_of(chain), unhex(chain["terminal_values"])
    assert authenticate(chain, card, values).verdict is Verdict.PASSED
    for tag, value in card.items():
        altered = card | {tag: value[:-1] + bytes((value[-1] ^ 0x01,))}
        assert authenticate(chain, altered, values).verdict is Verdict.FAILED, tag
    for at in range(len(values)):
        other = values[:at] + bytes((values[at] ^ 0x01,)) + values[at + 1 :]
        assert authenticate(chain, card, other).reason == "dynamic-signature-hash"


def test_the_published_mastercard_signature_verifies_and_holds_its_cryptogram() -> None:
    chain = CHAINS["mastercard-cda"]
    card = {int(tag, 16): value for tag, value in card_of(chain).items()}
    issuer = recover_issuer_key(
        card,
        rid=bytes.fromhex(chain["rid"]),
        pan=chain["pan"],
        ca_keys=ring_of(chain),
        today=chain["on"],
    )
    assert len(issuer.modulus) == 112
    key = PublicKey(modulus=unhex(chain["icc_modulus"]), exponent=3, ca_key=issuer.ca_key)
    values = bytes.fromhex(chain["terminal_values"])
    number, rest = verify_dynamic_signature(card[0x9F4B], key=key, terminal_values=values)
    assert number.hex().upper() == chain["dynamic_number"]
    assert rest[:9].hex().upper() == chain["cryptogram_type"] + chain["cryptogram"]
    with pytest.raises(OdaFailed, match="dynamic-signature-hash"):
        verify_dynamic_signature(card[0x9F4B], key=key, terminal_values=bytes(4))


def test_a_whole_visa_tap_of_the_published_card_passes_fdda() -> None:
    chain = CHAINS["visa-fdda-version-01"]
    card = card_of(chain)
    related = bytes.fromhex(chain["terminal_values"])[-7:]
    objects = [tlv("82", "2000"), tlv("57", track2(chain["pan"], "2412")), tlv("9F36", "0001")]
    objects += [tlv("9F26", "11" * 8), tlv("9F10", "06010A03A00000"), tlv("9F6C", related[5:])]
    visa = quick_card(VISA, tlv("77", tlv("94", "08010401"), *objects))
    certificates = [tlv(tag, card[tag]) for tag in ("8F", "90", "9F32", "92")]
    icc = [tlv(tag, card[tag]) for tag in ("9F46", "9F47", "9F48")]
    visa.records = {
        (1, 1): tlv("70", chain["static"]),
        (1, 2): tlv("70", *certificates),
        (1, 3): tlv("70", *icc),
        (1, 4): tlv("70", tlv("9F69", related), tlv("9F4B", card["9F4B"])),
    }
    result = tap(
        visa,
        amount=1800,
        currency="EUR",
        at=datetime(2020, 6, 1, 12, 0),
        number=bytes.fromhex("2C975EAC"),
        ring=ring_of(chain),
    )
    assert (result.oda.method, result.oda.verdict) == ("fDDA", "passed"), result.oda.reason
    assert (result.outcome, result.pan) == (Outcome.ONLINE_REQUEST, chain["pan"])


# A UnionPay card from its personalisation


class SigningCard(ScriptedCard):
    """A personalised card that signs with its own key; `version` is that of its fDDA."""

    def __init__(self, vector: PersonalisedCard, version: int | None, *, cid: int = 0x80) -> None:
        super().__init__(
            directory=vector.ppse,
            applications={UNIONPAY: vector.fci},
            options=self._options,
            records=dict(vector.records),
        )
        self.ring = ring_of(vector.ca_key)
        self.version, self.cid = version, cid
        self.template = tlv("82", vector.aip) + tlv("94", vector.afl)
        self.modulus = vector.icc_p * vector.icc_q
        self.private = pow(vector.icc_exponent, -1, (vector.icc_p - 1) * (vector.icc_q - 1))

    def _options(self, command: bytes) -> bytes:
        values = command[7:-1]
        amount, currency, number = values[4:10], values[23:25], values[29:33]
        related = b"\x01\xca\xfe\xba\xbe\x00\x00"
        covered = number if self.version is None else number + amount + currency + related
        iad = bytes.fromhex("07010103") + bytes((0x80 | self.cid >> 2,)) + bytes(3)
        extra = tlv("9F36", "0021") + tlv("9F26", "22" * 8) + tlv("9F4B", self._sign(covered))
        if self.version is not None:
            extra += tlv("9F69", related)
        return tlv("77", self.template, tlv("9F10", iad), tlv("5F34", "01"), extra)

    def _sign(self, covered: bytes) -> bytes:
        size = (self.modulus.bit_length() + 7) // 8
        body = b"\x05\x01\x03\x02\x00\x21" + b"\xbb" * (size - 22 - 6)
        digest = hashlib.sha1(body + covered, usedforsecurity=False).digest()
        block = int.from_bytes(b"\x6a" + body + digest + b"\xbc", "big")
        return pow(block, self.private, self.modulus).to_bytes(size, "big")


@every_card
def test_the_unionpay_test_card_that_signs_no_amount_proves_nothing_about_it(
    vector: PersonalisedCard,
) -> None:
    card = SigningCard(vector, None)  # the number alone, the shape of an INTERNAL AUTHENTICATE
    result = tap(card, ring=card.ring)
    assert (result.outcome, result.oda.verdict) == (Outcome.OFFLINE_DECLINED, "failed")


@every_card
def test_the_unionpay_test_card_passes_fdda_under_its_ca_key(vector: PersonalisedCard) -> None:
    card = SigningCard(vector, 1)
    result = tap(card, ring=card.ring)
    assert result.outcome is Outcome.ONLINE_REQUEST, result.reason
    assert (result.oda.method, result.oda.verdict) == ("fDDA", "passed")
    assert (result.pan, result.expiry, result.psn) == (vector.pan, "3012", "01")
    assert result.label in vector.labels
    assert result.tvr == bytes(5)


@every_card
def test_the_unionpay_test_card_is_approved_offline_where_both_allow_it(
    vector: PersonalisedCard,
) -> None:
    card = SigningCard(vector, 1, cid=0x40)
    result = tap(card, ring=card.ring, terminal=load_terminal("china").with_limits(floor=5000))
    assert (result.outcome, result.cryptogram) == (Outcome.OFFLINE_APPROVED, "TC")


@every_card
def test_the_unionpay_test_card_expires(vector: PersonalisedCard) -> None:
    card = SigningCard(vector, 1)
    late = datetime(2031, 1, 1, 12, 0)
    result = tap(card, ring=card.ring, at=late)
    assert result.oda.reason == "issuer-certificate-expired"


@every_card
@pytest.mark.parametrize(
    ("place", "tag", "reasons"),
    [
        ((2, 1), "90", {"issuer-certificate-trailer", "issuer-certificate-header"}),
        ((2, 2), "9F46", {"icc-certificate-trailer", "icc-certificate-header"}),
        ((2, 2), "9F48", {"icc-certificate-hash"}),
        ((2, 1), "8F", {"ca-key-missing"}),
        ((3, 1), "5A", {"issuer-certificate-identifier"}),
        ((3, 1), "5F24", {"icc-certificate-hash"}),
        ((3, 1), "5F25", {"icc-certificate-hash"}),
        ((3, 1), "9F08", {"icc-certificate-hash"}),
    ],
)
def test_one_bit_of_a_signed_record_fails_with_its_reason(
    vector: PersonalisedCard, place: tuple[int, int], tag: str, reasons: set[str]
) -> None:
    card = SigningCard(vector, 1)
    card.records[place] = flip(vector.records[place], tag)
    result = tap(card, ring=card.ring)
    assert result.oda.verdict == "failed"
    assert result.oda.reason in reasons
    assert result.tvr[0] & 0x08
    assert result.outcome is not Outcome.OFFLINE_APPROVED


# A Mastercard tap from its recording


def replay(
    vector: RecordedTap, change: Callable[[str], str] = str, on: date | None = None
) -> TapResult:
    reader = TranscriptReader(change(vector.text), "transcript:test")
    conditions = reader.conditions(Transaction.purchase(1, at=NOW), load_terminal("china"))
    if on is not None:
        conditions = replace(conditions, transaction=replace(conditions.transaction, day=on))
    return run_tap(
        reader.wait_for_card(0),
        **conditions.arguments(),
        ca_keys=ring_of(vector.ca_key),
        random_bytes=os.urandom,
        clock=time.perf_counter,
    )


@every_tap
def test_the_mastercard_recording_replays_at_its_own_date_and_cda_passes(
    vector: RecordedTap,
) -> None:
    result = replay(vector)
    assert result.outcome is Outcome.OFFLINE_APPROVED, result.reason
    assert (result.oda.method, result.oda.verdict) == ("CDA", "passed")
    assert (result.cryptogram, result.cvm, result.tvr) == ("TC", "signature", bytes(5))
    assert result.atc == vector.atc
    assert len(result.card[0x9F26]) == 8  # it comes out of the signature
    assert len(result.exchanges) == 7


@every_tap
def test_the_mastercard_recording_fails_on_expiry_today(vector: RecordedTap) -> None:
    result = replay(vector, on=date(2025, 6, 1))
    assert (result.oda.verdict, result.oda.reason) == ("failed", "issuer-certificate-expired")
    assert result.tvr[0] & 0x04


@every_tap
@pytest.mark.parametrize(
    ("tag", "reasons"),
    [
        ("90", {"issuer-certificate-trailer", "issuer-certificate-header"}),
        ("9F46", {"icc-certificate-trailer", "icc-certificate-header"}),
        ("9F48", {"icc-certificate-hash"}),
        ("5F34", {"icc-certificate-hash"}),
        ("9F4B", {"dynamic-signature-trailer", "dynamic-signature-header"}),
        ("9F10", {"transaction-values-hash"}),
    ],
)
def test_one_bit_of_the_mastercard_recording_fails_with_its_reason(
    vector: RecordedTap, tag: str, reasons: set[str]
) -> None:
    def flipped(text: str) -> str:
        lines = text.splitlines()
        (at,) = (n for n, line in enumerate(lines) if line[:1] == "<" and holds(line, tag))
        answer = bytes.fromhex(lines[at][2:])
        lines[at] = f"< {(flip(answer[:-2], tag, 0x02) + answer[-2:]).hex()}"
        return "\n".join(lines)

    result = replay(vector, flipped)
    assert result.oda.verdict == "failed"
    assert result.oda.reason in reasons
    assert result.tvr[0] & 0x04
    assert result.outcome is not Outcome.OFFLINE_APPROVED


def holds(line: str, tag: str) -> bool:
    try:
        return value_offset(bytes.fromhex(line[2:])[:-2], tag) > 0
    except LookupError:
        return False


@pytest.mark.parametrize("file", list(status_recordings()), ids=lambda file: file.stem)
def test_the_cards_that_answer_61_and_6c_replay_to_their_end(file: Path) -> None:
    reader = TranscriptReader.open(file)
    conditions = reader.conditions(Transaction.purchase(100, at=NOW), load_terminal("china"))
    result = run_tap(
        reader.wait_for_card(0),
        **conditions.arguments(),
        ca_keys=CaKeyRing(),
        random_bytes=os.urandom,
        clock=time.perf_counter,
    )
    assert (result.aid, result.label) == (bytes.fromhex("A0000000031010"), "VISA")
    # both recorded commands were sent; the FCI then shows no PDOL, and Book B, 3.3.3.6, has a Visa
    # application without one given up before GET PROCESSING OPTIONS
    assert len(result.exchanges) == len(reader.transcript.exchanges) == 2
    assert "9F66" in result.reason
