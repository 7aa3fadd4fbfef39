"""The Mastercard application (M/Chip): GENERATE AC with combined signatures, cryptogram version 16.

GET PROCESSING OPTIONS only returns AIP and AFL. The terminal then asks for a cryptogram with the
values of CDOL1 and, once the issuer has answered, for a second one with the values of CDOL2
(EMV Book 2, 6.6; EMV Book 3, "GENERATE APPLICATION CRYPTOGRAM").
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from devices.nfc.emulated.card import ber_tlv, certificates, cryptograms
from devices.nfc.emulated.card.application import Chip, Refused, Status, amount_minor, record

CDOL1 = ber_tlv.dol(
    _9F02=6, _9F03=6, _9F1A=2, _95=5, _5F2A=2, _9A=3, _9C=1, _9F37=4, _9F35=1, _9F45=2, _9F4C=8,
    _9F34=3,
)  # fmt: skip
CDOL2 = ber_tlv.dol(_91=10, _8A=2, _95=5, _9F37=4, _9F4C=8)

AAC, TC, ARQC = 0x00, 0x40, 0x80
_KEY_INDEX = 0x01
_VERSION_16 = 0x10
_OFFLINE_ONLY_TERMINALS = (0x13, 0x16, 0x23, 0x26, 0x33, 0x36)


@dataclass(slots=True, kw_only=True)
class _Transaction:
    """The card's data of the current transaction, from one GENERATE AC to the next."""

    pdol_values: bytes = b""
    cdol1_values: bytes = b""
    cdol2_values: bytes = b""
    terminal: dict[str, bytes] = field(default_factory=dict)
    atc: int = 0
    first: int | None = None
    second: int | None = None
    arqc: bytes = b""


class MChipApplication:
    """One selection of the M/Chip application."""

    def __init__(self, chip: Chip) -> None:
        self.chip = chip
        self._transaction = _Transaction()

    def processing_options(self, values: bytes) -> bytes:
        if self.chip.profile.trouble.blocked != "no":
            raise Refused(Status.CONDITIONS_NOT_SATISFIED)
        self._transaction = _Transaction(pdol_values=values, atc=self.chip.next_atc())
        self.chip.commit()
        aip, afl = self.chip.image.aip, self.chip.image.afl
        if self.chip.profile.gpo_format == 1:
            return ber_tlv.tlv("80", aip + afl)
        return ber_tlv.tlv("77", ber_tlv.encode({"82": aip, "94": afl}))

    def read_record(self, sfi: int, number: int) -> bytes:
        return record(self.chip, sfi, number)

    def generate_cryptogram(self, control: int, values: bytes) -> bytes:
        """The first cryptogram over CDOL1; after an ARQC, and only then, a second over CDOL2."""
        asked, combined = control & 0xC0, control & 0x30 == 0x10
        if asked == 0xC0 or control & 0x2F:
            raise Refused(Status.WRONG_P1_P2)
        current = self._transaction
        if current.first is None:
            _expect_length(values, CDOL1)
            kind = self._first_decision(asked, ber_tlv.dol_values(CDOL1, values))
            current.cdol1_values, current.terminal = values, ber_tlv.dol_values(CDOL1, values)
            current.first = kind
        elif current.first == ARQC and current.second is None:
            _expect_length(values, CDOL2)
            if asked == ARQC:
                raise Refused(Status.CONDITIONS_NOT_SATISFIED)
            kind = self._second_decision(asked, ber_tlv.dol_values(CDOL2, values))
            current.cdol2_values, current.second = values, kind
            later = ber_tlv.dol_values(CDOL2, values)
            current.terminal |= {tag: later[tag] for tag in ("95", "9F37")}
        else:
            raise Refused(Status.CONDITIONS_NOT_SATISFIED)
        return self._answer(kind, combined=combined and kind != AAC)

    def internal_authenticate(self, values: bytes) -> bytes:
        """DDA over the terminal's number, by the default DDOL 9F3704."""
        icc_key = self.chip.image.icc_key
        if icc_key is None or self._transaction.first is not None:
            raise Refused(Status.CONDITIONS_NOT_SATISFIED)
        if len(values) != 4:
            raise Refused(Status.WRONG_LENGTH)
        number = self.chip.random_bytes(8)
        signature = certificates.signed_dynamic_data(
            icc=icc_key, dynamic=b"\x08" + number, terminal=values
        )
        return ber_tlv.tlv("77", ber_tlv.tlv("9F4B", signature))

    def external_authenticate(self, answer: bytes) -> bytes:
        # M/Chip receives the issuer's answer in the second GENERATE AC (tag 91 in CDOL2).
        raise Refused(Status.CONDITIONS_NOT_SATISFIED)

    def _first_decision(self, asked: int, terminal: dict[str, bytes]) -> int:
        if asked != TC:
            return asked
        if self.chip.within_offline_limits(terminal):
            self.chip.memory.offline_minor += amount_minor(terminal["9F02"])
            self.chip.commit()
            return TC
        return AAC if terminal["9F35"][0] in _OFFLINE_ONLY_TERMINALS else ARQC

    def _second_decision(self, asked: int, terminal: dict[str, bytes]) -> int:
        """TC only where the terminal asks for it and the issuer's cryptogram (91) is valid."""
        answer = terminal["91"]
        expected = cryptograms.response_cryptogram(
            self.chip.image.card_key, self._transaction.arqc, answer[8:10]
        )
        if asked != TC or answer[:8] != expected:
            return AAC
        self.chip.memory.offline_minor = 0
        self.chip.commit()
        return TC

    def _answer(self, kind: int, *, combined: bool) -> bytes:
        current, image = self._transaction, self.chip.image
        cvr = bytes(
            (_cvr_kinds(current.first, current.second), 0x40 if combined else 0, 0, 0, 0, 0)
        )
        cryptogram = cryptograms.mastercard_cryptogram(
            image.card_key, current.terminal, aip=image.aip, atc=current.atc, cvr=cvr
        )
        if kind == ARQC:
            current.arqc = cryptogram
        issuer_data = bytes((_KEY_INDEX, _VERSION_16)) + cvr + bytes(2) + b"\xff" * 8
        objects = {"9F27": bytes((kind,)), "9F36": current.atc.to_bytes(2, "big")}
        if not combined or image.icc_key is None:
            objects |= {"9F26": cryptogram, "9F10": issuer_data}
            return ber_tlv.tlv("77", ber_tlv.encode(objects))
        signature = self._combined_signature(objects, issuer_data, kind, cryptogram)
        return ber_tlv.tlv(
            "77", ber_tlv.encode({**objects, "9F4B": signature, "9F10": issuer_data})
        )

    def _combined_signature(
        self, objects: dict[str, bytes], issuer_data: bytes, kind: int, cryptogram: bytes
    ) -> bytes:
        """CDA (EMV Book 2, 6.6.1): the hash covers all values sent both ways, in order."""
        current, icc_key = self._transaction, self.chip.image.icc_key
        assert icc_key is not None
        sent = current.pdol_values + current.cdol1_values + current.cdol2_values
        answered = ber_tlv.encode({**objects, "9F10": issuer_data})
        transaction = hashlib.sha1(sent + answered, usedforsecurity=False).digest()
        number = self.chip.random_bytes(8)
        dynamic = b"\x08" + number + bytes((kind,)) + cryptogram + transaction
        return certificates.signed_dynamic_data(
            icc=icc_key, dynamic=dynamic, terminal=current.terminal["9F37"]
        )


def _cvr_kinds(first: int | None, second: int | None) -> int:
    """Byte 1 of the CVR: the second cryptogram's type in bits 8-7, the first's in bits 6-5.

    Types are coded as in the CID: 00 AAC, 01 TC, 10 ARQC; for the second 10 is "not requested".
    """
    return (0x80 if second is None else second) | (first or 0) >> 2


def _expect_length(values: bytes, dol: bytes) -> None:
    if len(values) != ber_tlv.dol_length(dol):
        raise Refused(Status.WRONG_LENGTH)
