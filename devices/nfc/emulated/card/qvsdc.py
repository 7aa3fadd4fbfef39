"""The flow of qPBOC and qVSDC: the card answers GET PROCESSING OPTIONS with a cryptogram.

The steps and the bits of TTQ (9F66) and CTQ (9F6C) follow EMV Book C-3 and, for UnionPay, the
published qPBOC part of JR/T 0025, which uses the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from devices.nfc.emulated.card import ber_tlv, certificates, cryptograms
from devices.nfc.emulated.card.application import Chip, Refused, Status, amount_minor, record
from devices.nfc.emulated.profile import Phone

PDOL = ber_tlv.dol(_9F66=4, _9F02=6, _9F03=6, _9F1A=2, _95=5, _5F2A=2, _9A=3, _9C=1, _9F37=4)
_LONGEST_RESPONSE = 256
_LONGEST_SIGNATURE = 128
_REFUND = 0x20


class CryptogramType(Enum):
    """The types of cryptogram, each with its CID and its bits in byte 2 of the CVR."""

    AAC = (0x00, 0x80)
    TC = (0x40, 0x90)
    ARQC = (0x80, 0xA0)

    @property
    def cid(self) -> int:
        return self.value[0]

    @property
    def cvr(self) -> int:
        return self.value[1]


@dataclass(frozen=True, slots=True)
class Qualifiers:
    """Terminal transaction qualifiers, tag 9F66 (EMV Book C-3, TTQ)."""

    raw: bytes

    @property
    def emv_mode_supported(self) -> bool:
        return bool(self.raw[0] & 0x20)

    @property
    def contact_supported(self) -> bool:
        return bool(self.raw[0] & 0x10)

    @property
    def offline_only(self) -> bool:
        return bool(self.raw[0] & 0x08)

    @property
    def online_pin_supported(self) -> bool:
        return bool(self.raw[0] & 0x04)

    @property
    def signature_supported(self) -> bool:
        return bool(self.raw[0] & 0x02)

    @property
    def online_authentication(self) -> bool:
        return bool(self.raw[0] & 0x01)

    @property
    def online_required(self) -> bool:
        return bool(self.raw[1] & 0x80)

    @property
    def cvm_required(self) -> bool:
        return bool(self.raw[1] & 0x40)

    @property
    def on_device_supported(self) -> bool:
        return bool(self.raw[2] & 0x40)

    @property
    def signature_version_01(self) -> bool:
        return bool(self.raw[3] & 0x80)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The card's decision: the type of cryptogram, and the verification bits of the CTQ."""

    kind: CryptogramType
    verification: int = 0x0000


@dataclass(frozen=True, slots=True, kw_only=True)
class CardCryptogram:
    """A cryptogram, its issuer application data, and the key that checks the issuer's answer."""

    cryptogram: bytes
    issuer_data: bytes
    answer_key: bytes = field(repr=False)


class QvsdcApplication:
    """The common flow; a scheme implements `sign` with its own issuer application data."""

    #: Signed data format of 9F4B (EMV Book 2, table 15).
    signed_format = 0x05

    def __init__(self, chip: Chip) -> None:
        self.chip = chip
        self._last_record_extra = b""
        self._answer_key = b""

    def prepare(self) -> None:
        """Refuse a transaction that the card can't sign, before the ATC counts it."""

    def sign(self, terminal: Mapping[str, bytes], kind: CryptogramType, atc: int) -> CardCryptogram:
        """Compute the scheme's cryptogram over this transaction."""
        raise NotImplementedError

    def processing_options(self, values: bytes) -> bytes:
        chip, trouble = self.chip, self.chip.profile.trouble
        if trouble.blocked != "no":
            raise Refused(Status.CONDITIONS_NOT_SATISFIED)
        if trouble.replay != "no" and chip.memory.recorded:
            return chip.memory.recorded
        terminal = ber_tlv.dol_values(chip.image.pdol, values)
        qualifiers = Qualifiers(terminal["9F66"])
        if not qualifiers.emv_mode_supported:
            raise Refused(Status.CONDITIONS_NOT_SATISFIED)
        decision = self._decide(terminal, qualifiers)
        return self._answer(terminal, qualifiers, decision)

    def read_record(self, sfi: int, number: int) -> bytes:
        found = record(self.chip, sfi, number)
        if self._last_record_extra and (sfi, number) == _last_of(self.chip.image.afl):
            body = found[2:] if found[1] < 0x80 else found[3:]
            return ber_tlv.tlv("70", body + self._last_record_extra)
        return found

    def generate_cryptogram(self, control: int, values: bytes) -> bytes:
        raise Refused(Status.CONDITIONS_NOT_SATISFIED)

    def internal_authenticate(self, values: bytes) -> bytes:
        raise Refused(Status.CONDITIONS_NOT_SATISFIED)

    def external_authenticate(self, answer: bytes) -> bytes:
        """Check the issuer's answer to this tap's ARQC, once; if valid, reset the offline sum."""
        memory = self.chip.memory
        if not memory.unconfirmed or not self._answer_key:
            raise Refused(Status.CONDITIONS_NOT_SATISFIED)
        if not 10 <= len(answer) <= 16:
            raise Refused(Status.WRONG_LENGTH)
        expected = cryptograms.response_cryptogram(
            self._answer_key, memory.unconfirmed, answer[8:10]
        )
        memory.unconfirmed = b""
        if answer[:8] != expected:
            self.chip.commit()
            raise Refused(Status.ISSUER_AUTHENTICATION_FAILED)
        memory.offline_minor = 0
        self.chip.commit()
        return b""

    def _decide(self, terminal: Mapping[str, bytes], qualifiers: Qualifiers) -> Decision:
        if terminal["9C"][0] == _REFUND:
            return Decision(kind=CryptogramType.AAC)
        verification, online = self._verification(qualifiers)
        if verification is None:
            if qualifiers.contact_supported:
                raise Refused(Status.USE_ANOTHER_INTERFACE)
            return Decision(kind=CryptogramType.AAC)
        online = online or qualifiers.online_required
        if not online and self.chip.within_offline_limits(terminal):
            return Decision(kind=CryptogramType.TC, verification=verification)
        kind = CryptogramType.AAC if qualifiers.offline_only else CryptogramType.ARQC
        return Decision(kind=kind, verification=verification)

    def _verification(self, qualifiers: Qualifiers) -> tuple[int | None, bool]:
        """The CTQ's verification bits (None without a common method), and whether to go online.

        A phone whose holder has already confirmed sets its bit also where it was not asked.
        """
        cvms = self.chip.profile.cvms
        if self.chip.profile.phone is not None and "on-device" in cvms:
            return self._confirmed_on_device(self.chip.profile.phone, qualifiers), False
        if not qualifiers.cvm_required:
            return 0x0000, False
        for cvm in cvms:
            if cvm == "online-pin" and qualifiers.online_pin_supported:
                return 0x8000, True
            if cvm == "signature" and qualifiers.signature_supported:
                return 0x4000, False
            if cvm == "none":
                return 0x0000, False
        return None, False

    def _confirmed_on_device(self, phone: Phone, qualifiers: Qualifiers) -> int:
        """The CTQ of a phone; refuses where its holder must first confirm, for the next tap."""
        memory = self.chip.memory
        if phone.confirms == "before" or memory.holder_confirmed:
            memory.holder_confirmed = False
            return 0x0080
        if not qualifiers.cvm_required:
            return 0x0000
        memory.holder_confirmed = True
        self.chip.commit()
        raise Refused(Status.SEE_PHONE)

    def _answer(
        self, terminal: Mapping[str, bytes], qualifiers: Qualifiers, decision: Decision
    ) -> bytes:
        chip, profile = self.chip, self.chip.profile
        self.prepare()
        atc = chip.next_atc()
        signed = self.sign(terminal, decision.kind, atc)
        self._answer_key = signed.answer_key
        if decision.kind is CryptogramType.TC:
            chip.memory.offline_minor += amount_minor(terminal["9F02"])
        chip.memory.unconfirmed = signed.cryptogram if decision.kind is CryptogramType.ARQC else b""
        chip.commit()
        authenticate = bool(chip.image.afl) and (
            decision.kind is CryptogramType.TC
            or (
                decision.kind is CryptogramType.ARQC
                and (profile.online_oda == "always" or qualifiers.online_authentication)
            )
        )
        ctq = decision.verification | self._fixed_qualifiers()
        objects: dict[str, bytes] = {"82": chip.image.aip}
        afl = chip.image.afl if authenticate else chip.image.short_afl
        if afl and decision.kind is not CryptogramType.AAC:
            objects["94"] = afl
        objects |= {
            "9F36": atc.to_bytes(2, "big"),
            "57": track2(profile.pan, profile.expiry, profile.service_code),
            "9F10": signed.issuer_data,
            "9F26": signed.cryptogram,
            "9F27": bytes((decision.kind.cid,)),
            "5F34": bytes.fromhex(profile.pan_sequence),
            "9F6C": ctq.to_bytes(2, "big"),
        }
        if profile.phone:
            objects["9F6E"] = profile.phone.form_factor
        signs = authenticate and chip.image.icc_key is not None
        extra = self._dynamic_signature(terminal, qualifiers, atc, ctq) if signs else {}
        response = self._fit(objects, extra)
        if profile.trouble.replay == "first":
            chip.memory.recorded = response
            chip.commit()
        return response

    def _fit(self, objects: dict[str, bytes], extra: dict[str, bytes]) -> bytes:
        """Template 77 with the signature, or without it where the last record carries it.

        The last record carries the signature of a key over 1024 bits, and any signature with which
        the answer would be longer than a short response.
        """
        response = ber_tlv.tlv("77", ber_tlv.encode(objects | extra))
        self._last_record_extra = b""
        if extra and (len(extra["9F4B"]) > _LONGEST_SIGNATURE or len(response) > _LONGEST_RESPONSE):
            self._last_record_extra = ber_tlv.encode(extra)
            response = ber_tlv.tlv("77", ber_tlv.encode(objects))
        return response

    def _fixed_qualifiers(self) -> int:
        """The issuer's CTQ bits: go online if authentication fails, or if the card has expired."""
        profile = self.chip.profile
        oda = 0x2000 if profile.on_oda_failure == "online" else 0
        return oda | (0x0800 if profile.on_expiry == "online" else 0)

    def _dynamic_signature(
        self, terminal: Mapping[str, bytes], qualifiers: Qualifiers, atc: int, ctq: int
    ) -> dict[str, bytes]:
        """fDDA: version 01 also covers amount, currency and 9F69; version 00 only the number.

        Version 01 is for terminals that support it (TTQ byte 4 bit 8).
        """
        icc_key = self.chip.image.icc_key
        assert icc_key is not None
        dynamic = b"\x02" + atc.to_bytes(2, "big")
        covered, objects = terminal["9F37"], {}
        if self.chip.profile.oda == "fdda-01" and qualifiers.signature_version_01:
            related = b"\x01" + self.chip.random_bytes(4) + ctq.to_bytes(2, "big")
            objects["9F69"] = related
            covered += terminal["9F02"] + terminal["5F2A"] + related
        objects["9F4B"] = certificates.signed_dynamic_data(
            icc=icc_key, dynamic=dynamic, terminal=covered, data_format=self.signed_format
        )
        return objects


def track2(pan: str, expiry: str, service_code: str) -> bytes:
    """Track 2 equivalent data (tag 57): number, D, expiry YYMM, service code, discretionary."""
    return ber_tlv.compressed_numeric(f"{pan}D{expiry}{service_code}0000000000"[:37])


def _last_of(afl: bytes) -> tuple[int, int]:
    return (afl[-4] >> 3, afl[-2]) if afl else (0, 0)
