"""Offline data authentication: each method, and the reason of each failure."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from devices.nfc.kernel import oda
from devices.nfc.kernel.ca_keys import CaKeyRing, Revocation
from devices.nfc.kernel.oda import (
    CardEvidence,
    Method,
    Verdict,
    authenticate_dynamic,
    authenticate_static,
    explain,
)
from devices.nfc.kernel.signature_recovery import OdaFailed, SignedRecord, static_data
from tests.devices.nfc.kernel.kernel_cards import PAN, TODAY, CardMaker, private_key

UN = bytes.fromhex("01020304")


def maker(ca: int = 1408, issuer: int = 1152, icc: int = 1024, **changes: Any) -> CardMaker:
    return CardMaker(
        ca=private_key(ca), issuer=private_key(issuer), icc=private_key(icc, 65537), **changes
    )


def outcome(
    made: CardMaker,
    *,
    card: dict[int, bytes] | None = None,
    ring: CaKeyRing | None = None,
    today: date = TODAY,
    records: tuple[SignedRecord, ...] | None = None,
) -> str:
    """Passed, or the reason, of an fDDA over the unpredictable number."""
    evidence = CardEvidence(
        card=made.card(terminal_values=UN) if card is None else card,
        records=made.records() if records is None else records,
        rid=made.rid,
        pan=made.pan,
    )
    result = authenticate_dynamic(
        evidence,
        made.ring() if ring is None else ring,
        today,
        terminal_values=UN,
        method=Method.FDDA,
    )
    assert (result.reason is None) == (result.verdict is Verdict.PASSED)
    assert explain(result.reason or "masked") != result.reason
    return result.reason or "passed"


@pytest.mark.parametrize(
    ("ca", "issuer", "icc"),
    [(1024, 1024, 1024), (1408, 1152, 1024), (1408, 1408, 1152), (1984, 1984, 1024)],
)
def test_chains_of_every_length_verify_remainders_included(ca: int, issuer: int, icc: int) -> None:
    made = maker(ca, issuer, icc)
    assert outcome(made) == "passed"
    evidence = CardEvidence(card=made.card(), records=made.records(), rid=made.rid, pan=made.pan)
    static = authenticate_static(evidence, made.ring(), TODAY)
    assert (static.verdict, static.recovered) == (Verdict.PASSED, {0x9F45: b"\xda\xc1"})


def test_the_key_that_vouches_is_named() -> None:
    made = maker()
    evidence = CardEvidence(
        card=made.card(terminal_values=UN), records=made.records(), rid=made.rid, pan=made.pan
    )
    result = authenticate_dynamic(evidence, made.ring(own=True), TODAY, terminal_values=UN)
    assert result.ca_key is not None
    assert result.ca_key.own
    assert result.recovered == {0x9F4C: b"\x00\x07"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"issuer_fields": {"header": b"\x6b"}}, "issuer-certificate-header"),
        ({"issuer_fields": {"trailer": b"\xbd"}}, "issuer-certificate-trailer"),
        ({"issuer_fields": {"format": b"\x04"}}, "issuer-certificate-format"),
        ({"issuer_fields": {"hash": bytes(20)}}, "issuer-certificate-hash"),
        ({"issuer_fields": {"hash_algorithm": b"\x02"}}, "issuer-certificate-hash-algorithm"),
        ({"issuer_fields": {"key_algorithm": b"\x02"}}, "issuer-certificate-key-algorithm"),
        ({"issuer_fields": {"key_length": b"\xff"}}, "issuer-certificate-key-length"),
        ({"issuer_fields": {"key_length": b"\x10"}}, "issuer-certificate-key-length"),
        ({"issuer_fields": {"key_length": b"\xa0"}}, "issuer-certificate-remainder"),
        ({"issuer_fields": {"exponent_length": b"\x03"}}, "issuer-certificate-exponent"),
        ({"issuer_identifier": "999998FF"}, "issuer-certificate-identifier"),
        ({"issuer_identifier": "FFFFFFFF"}, "issuer-certificate-identifier"),
        ({"issuer_expiry": "0525"}, "issuer-certificate-expired"),
        ({"issuer_expiry": "1325"}, "issuer-certificate-date"),
        ({"icc_fields": {"header": b"\x6b"}}, "icc-certificate-header"),
        ({"icc_fields": {"trailer": b"\xbd"}}, "icc-certificate-trailer"),
        ({"icc_fields": {"format": b"\x02"}}, "icc-certificate-format"),
        ({"icc_fields": {"hash": bytes(20)}}, "icc-certificate-hash"),
        ({"icc_fields": {"hash_algorithm": b"\x02"}}, "icc-certificate-hash-algorithm"),
        ({"icc_fields": {"key_algorithm": b"\x02"}}, "icc-certificate-key-algorithm"),
        ({"icc_pan": "9999990000000020"}, "icc-certificate-pan"),
        ({"icc_expiry": "0525"}, "icc-certificate-expired"),
    ],
)
def test_each_wrong_field_of_a_certificate_has_its_reason(
    changes: dict[str, Any], reason: str
) -> None:
    assert outcome(maker(**changes)) == reason


def test_a_certificate_holds_through_the_last_day_of_its_month() -> None:
    assert (
        outcome(maker(issuer_expiry="0625", icc_expiry="0625"), today=date(2025, 6, 30)) == "passed"
    )
    assert (
        outcome(maker(issuer_expiry="0625"), today=date(2025, 7, 1)) == "issuer-certificate-expired"
    )


@pytest.mark.parametrize(
    ("tag", "reason"),
    [
        (0x8F, "ca-key-index-missing"),
        (0x90, "issuer-certificate-missing"),
        (0x92, "issuer-certificate-hash"),
        (0x9F32, "issuer-exponent-missing"),
        (0x9F46, "icc-certificate-missing"),
        (0x9F47, "icc-exponent-missing"),
        (0x9F4A, "icc-certificate-hash"),
        (0x9F4B, "dynamic-signature-missing"),
    ],
)
def test_what_the_card_left_out_is_named(tag: int, reason: str) -> None:
    made = maker(1152, 1152, 1024)
    card = made.card(terminal_values=UN)
    assert outcome(made, card=card) == "passed"
    del card[tag]
    assert outcome(made, card=card) == reason


@pytest.mark.parametrize(
    ("tag", "reason"),
    [
        (0x90, "issuer-certificate-length"),
        (0x9F46, "icc-certificate-length"),
        (0x9F4B, "dynamic-signature-length"),
    ],
)
def test_a_signature_of_another_length_than_its_key_fails(tag: int, reason: str) -> None:
    made = maker()
    card = made.card(terminal_values=UN)
    card[tag] += b"\0"
    assert outcome(made, card=card) == reason


@pytest.mark.parametrize("position", [0, 40, 95])
@pytest.mark.parametrize(
    ("tag", "reasons"),
    [
        (0x90, {"issuer-certificate-trailer", "issuer-certificate-header"}),
        (0x9F46, {"icc-certificate-trailer", "icc-certificate-header"}),
        (0x9F4B, {"dynamic-signature-trailer", "dynamic-signature-header"}),
    ],
)
def test_one_flipped_bit_in_a_signature_fails(tag: int, reasons: set[str], position: int) -> None:
    made = maker()
    card = made.card(terminal_values=UN)
    value = bytearray(card[tag])
    value[position] ^= 0x10
    card[tag] = bytes(value)
    assert outcome(made, card=card) in reasons


def test_one_flipped_bit_in_what_the_issuer_signed_fails_by_its_hash() -> None:
    made = maker()
    body = made.records()[0].body
    for position in range(2, len(body)):
        altered = bytearray(body)
        altered[position] ^= 0x01
        records = (SignedRecord(sfi=1, body=bytes(altered)),)
        assert outcome(made, records=records) == "icc-certificate-hash"
    card = made.card(terminal_values=UN)
    card[0x82] = b"\x7c\x00"
    assert outcome(made, card=card) == "icc-certificate-hash"


def test_a_signature_over_other_terminal_values_fails_by_its_hash() -> None:
    made = maker()
    assert outcome(made, card=made.card(terminal_values=b"\0" * 4)) == "dynamic-signature-hash"


@pytest.mark.parametrize("dynamic", [b"", b"\x01\x07", b"\x09" + bytes(9), b"\x05\x00\x07"])
def test_dynamic_fields_that_do_not_fit_fail(dynamic: bytes) -> None:
    made = maker()
    card = made.card(terminal_values=UN, dynamic=dynamic)
    assert outcome(made, card=card) == "dynamic-signature-contents"


def test_an_unknown_expired_or_overlong_ca_key_fails() -> None:
    made = maker()
    assert outcome(made, ring=CaKeyRing()) == "ca-key-missing"
    assert outcome(made, ring=made.ring(expires=date(2025, 5, 31))) == "ca-key-expired"
    assert outcome(made, ring=made.ring(expires=date(2025, 6, 1))) == "passed"
    assert outcome(made, ring=made.ring(modulus=b"\xff" * 249)) == "ca-key-length"
    other = replace(
        made.ring().find(made.rid, made.index), modulus=private_key(1408, 65537).modulus
    )  # type: ignore[type-var]
    assert outcome(made, ring=CaKeyRing.of([other])) in {  # type: ignore[list-item]
        "issuer-certificate-trailer",
        "issuer-certificate-header",
    }


def test_a_revoked_issuer_certificate_fails() -> None:
    made = maker()
    ring = made.ring()
    revoked = Revocation(rid=made.rid, index=made.index, serial=bytes.fromhex("0000AA"))
    taken_back = CaKeyRing.of(ring.keys.values(), [revoked])
    assert outcome(made, ring=taken_back) == "issuer-certificate-revoked"
    other = replace(revoked, serial=bytes.fromhex("0000AB"))
    assert outcome(made, ring=CaKeyRing.of(ring.keys.values(), [other])) == "passed"


def test_static_data_keep_the_template_above_sfi_10_only() -> None:
    body = bytes.fromhex("7003 5A0112")
    below = static_data([SignedRecord(sfi=10, body=body)], {})
    above = static_data([SignedRecord(sfi=11, body=body)], {})
    assert (below.hex(), above.hex()) == ("5a0112", "70035a0112")


@pytest.mark.parametrize(
    ("records", "card", "reason"),
    [
        ([SignedRecord(sfi=1, body=bytes.fromhex("77035A0112"))], {}, "static-data-template"),
        ([SignedRecord(sfi=1, body=b"")], {}, "static-data-template"),
        ([], {0x9F4A: b"\x82\x5a", 0x82: b"\0\0"}, "static-data-tag-list"),
        ([], {0x9F4A: b"\x82"}, "static-data-tag-list"),
    ],
)
def test_static_data_that_break_the_rules_fail(
    records: list[SignedRecord], card: dict[int, bytes], reason: str
) -> None:
    with pytest.raises(OdaFailed) as caught:
        static_data(records, card)
    assert caught.value.reason == reason


def test_static_signature_of_other_data_fails() -> None:
    made = maker()
    card = made.card()
    card[0x82] = b"\x00\x00"
    evidence = CardEvidence(card=card, records=made.records(), rid=made.rid, pan=PAN)
    result = authenticate_static(evidence, made.ring(), TODAY)
    assert (result.verdict, result.reason) == (Verdict.FAILED, "static-signature-hash")


def test_every_reason_in_the_code_has_a_sentence() -> None:
    folder = Path(oda.__file__).parent
    sources = sorted(folder.glob("*.py"))
    text = "\n".join(source.read_text("utf-8") for source in sources)
    reasons = set(re.findall(r'(?:OdaFailed|not_performed)\("([a-z0-9-]+)"', text))
    reasons |= set(re.findall(r'reason="([a-z0-9-]+)"', text))
    assert len(reasons) > 10
    assert [reason for reason in sorted(reasons) if explain(reason) == reason] == []
