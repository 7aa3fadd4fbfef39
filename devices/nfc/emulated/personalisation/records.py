"""The files of a card: its records, the signed data in them, and the AFL.

The layout of a UnionPay card follows public test cards: certificates in SFI 2, the signed record
first in SFI 3. A Mastercard card has its signed record in SFI 2, certificates in SFI 3 and 4.
"""

from __future__ import annotations

import hashlib

from devices.nfc.emulated import rsa
from devices.nfc.emulated.card import ber_tlv, certificates, mchip, qvsdc
from devices.nfc.emulated.card.image import CardImage, Records
from devices.nfc.emulated.personalisation.test_ca import Authority
from devices.nfc.emulated.profile import CardProfile

_CERTIFICATE_EXPIRY = "1240"
_AIP = {
    "fdda-01": b"\x3c\x00",
    "fdda-00": b"\x3c\x00",
    "sda": b"\x5c\x00",
    "cda": b"\x19\x80",
    "none": b"\x1c\x00",
}
_UNSIGNED = ("none", "sda")


def build_image(profile: CardProfile, card_key: bytes, authority: Authority) -> CardImage:
    """The files and keys of one card, with a new RSA key pair where it signs."""
    icc_key = rsa.generate(profile.icc_key_bits) if profile.oda not in _UNSIGNED else None
    build = _mastercard_files if profile.scheme == "mastercard" else _quick_files
    records, afl, short_afl = build(profile, authority, icc_key)
    has_limited_use_keys = profile.phone is not None and profile.phone.limited_use_keys > 0
    is_quick = profile.scheme != "mastercard"
    return CardImage(
        aip=_AIP[profile.oda],
        afl=afl,
        short_afl=short_afl,
        records=records,
        pdol=qvsdc.PDOL if is_quick else b"",
        cdol1=b"" if is_quick else mchip.CDOL1,
        cdol2=b"" if is_quick else mchip.CDOL2,
        card_key=b"" if has_limited_use_keys else card_key,
        icc_key=icc_key,
    )


def _quick_files(
    profile: CardProfile, authority: Authority, icc_key: rsa.RsaKey | None
) -> tuple[Records, bytes, bytes]:
    signed = {
        "5A": ber_tlv.compressed_numeric(profile.pan),
        "5F24": _end_of_month(profile.expiry),
        "5F25": bytes.fromhex(profile.effective + "01"),
        "5F28": ber_tlv.numeric(int(profile.country), 2),
        "9F07": b"\xff\xc0",
        "9F08": b"\x00\x30",
    }
    plain = {"5F34": bytes.fromhex(profile.pan_sequence), "5F20": b"DEMO CARDHOLDER"}
    plain |= _token_objects(profile)
    records: Records = {(3, 2): _record(plain)}
    if profile.oda == "none":
        records[3, 1] = _record(signed)
        return records, b"", bytes.fromhex("18010200")
    static = ber_tlv.encode(signed) + _AIP[profile.oda]
    issuer_tags, card_tags = _certificate_records(profile, authority, icc_key, static)
    records |= {(2, 1): _record(issuer_tags), (2, 2): _record(card_tags)}
    records[3, 1] = _record(_after_signing(profile, signed))
    return records, bytes.fromhex("1001020018010201"), b""


def _mastercard_files(
    profile: CardProfile, authority: Authority, icc_key: rsa.RsaKey | None
) -> tuple[Records, bytes, bytes]:
    signed = {
        "57": qvsdc.track2(profile.pan, profile.expiry, profile.service_code),
        "5A": ber_tlv.compressed_numeric(profile.pan),
        "5F20": b"DEMO CARDHOLDER",
        "5F24": _end_of_month(profile.expiry),
        "5F25": bytes.fromhex(profile.effective + "01"),
        "5F28": ber_tlv.numeric(int(profile.country), 2),
        "5F34": bytes.fromhex(profile.pan_sequence),
        "8C": mchip.CDOL1,
        "8D": mchip.CDOL2,
        "8E": _cvm_list(profile),
        "9F07": b"\xff\x00",
        "9F08": b"\x00\x02",
        "9F0D": bytes.fromhex("B450840000"),
        "9F0E": bytes(5),
        "9F0F": bytes.fromhex("B470848000"),
        "9F42": ber_tlv.numeric(int(profile.currency), 2),
        "9F4A": b"\x82",
    }
    signed |= _token_objects(profile)
    if icc_key is None:
        return {(2, 1): _record(signed)}, bytes.fromhex("10010100"), bytes.fromhex("10010100")
    static = ber_tlv.encode(signed) + _AIP[profile.oda]
    issuer_tags, card_tags = _certificate_records(profile, authority, icc_key, static)
    issuer_certificate = {"90": issuer_tags.pop("90")}
    icc_certificate = {"9F46": card_tags.pop("9F46")}
    card_tags.pop("9F4A")
    records: Records = {
        (2, 1): _record(_after_signing(profile, signed)),
        (3, 1): _record(issuer_tags),
        (3, 2): _record(issuer_certificate),
        (4, 1): _record(card_tags),
        (4, 2): _record(icc_certificate),
    }
    afl = bytes.fromhex("100101011801020020010200")
    return records, afl, afl


def _certificate_records(
    profile: CardProfile, authority: Authority, icc_key: rsa.RsaKey | None, static: bytes
) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """The issuer's certificate; and the card's own, or for SDA the signed static data."""
    rid, identifier = profile.aid[:10], profile.pan[:6]
    issuer_key = authority.issuer_key(rid, identifier)
    issuer = certificates.issuer_certificate(
        ca=authority.ca_key(rid),
        issuer=issuer_key,
        identifier=identifier,
        expiry_mmyy=_CERTIFICATE_EXPIRY,
        serial=certificates.serial_number(issuer_key),
    )
    issuer_tags = {"8F": authority.index(rid), "90": issuer.certificate, "9F32": issuer.exponent}
    if issuer.remainder:
        issuer_tags["92"] = issuer.remainder
    if icc_key is None:
        code = hashlib.sha256(profile.pan.encode()).digest()[:2]
        signed = certificates.signed_static_data(issuer=issuer_key, dac=code, static=static)
        return issuer_tags, {"93": signed, "9F4A": b"\x82"}
    icc = certificates.icc_certificate(
        issuer=issuer_key,
        icc=icc_key,
        pan=profile.pan,
        expiry_mmyy=_CERTIFICATE_EXPIRY,
        serial=certificates.serial_number(icc_key),
        static=static,
    )
    certificate = icc.certificate
    if profile.trouble.tamper == "certificate":
        certificate = certificate[:-1] + bytes((certificate[-1] ^ 0x01,))
    card_tags = {"9F46": certificate, "9F47": icc.exponent, "9F4A": b"\x82"}
    if icc.remainder:
        card_tags["9F48"] = icc.remainder
    return issuer_tags, card_tags


def _after_signing(profile: CardProfile, signed: dict[str, bytes]) -> dict[str, bytes]:
    """The data on the card; with trouble "static" the usage control was changed after signing."""
    if profile.trouble.tamper != "static":
        return signed
    return signed | {"9F07": bytes((signed["9F07"][0], signed["9F07"][1] ^ 0x80))}


def _token_objects(profile: CardProfile) -> dict[str, bytes]:
    if profile.phone is None:
        return {}
    return {
        "9F19": bytes.fromhex(profile.phone.token_requestor.zfill(12)),
        "9F24": profile.phone.payment_account_reference.encode("ascii"),
    }


def _cvm_list(profile: CardProfile) -> bytes:
    """Tag 8E without amounts: each method if supported, else the next (Book 3, C3)."""
    codes = {"online-pin": 0x42, "signature": 0x5E, "none": 0x1F, "on-device": 0x01}
    rules = b"".join(bytes((codes[cvm], 0x03)) for cvm in profile.cvms)
    return bytes(8) + rules + b"\x1f\x03"


def _record(objects: dict[str, bytes]) -> bytes:
    return ber_tlv.tlv("70", ber_tlv.encode(objects))


def _end_of_month(yymm: str) -> bytes:
    year, month = 2000 + int(yymm[:2]), int(yymm[2:])
    days = 31 - (month in (4, 6, 9, 11))
    if month == 2:
        days = 29 if year % 4 == 0 else 28
    return bytes.fromhex(f"{yymm}{days:02d}")
