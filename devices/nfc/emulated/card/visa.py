"""The Visa application (qVSDC): cryptogram version 10, under the card key without session key."""

from __future__ import annotations

from collections.abc import Mapping

from devices.nfc.emulated.card import cryptograms
from devices.nfc.emulated.card.qvsdc import CardCryptogram, CryptogramType, QvsdcApplication

_KEY_INDEX = 0x01
_VERSION_10 = 0x0A


class VisaApplication(QvsdcApplication):
    """Its 9F10: 06, key index, version, CVR (03 and three bytes)."""

    #: Current Visa cards sign fDDA so; older ones with 05.
    signed_format = 0x95

    def sign(self, terminal: Mapping[str, bytes], kind: CryptogramType, atc: int) -> CardCryptogram:
        cvr = bytes((0x03, kind.cvr, 0x00, 0x00))
        card_key = self.chip.image.card_key
        cryptogram = cryptograms.visa_cryptogram(
            card_key, terminal, aip=self.chip.image.aip, atc=atc, cvr=cvr
        )
        issuer_data = bytes((0x06, _KEY_INDEX, _VERSION_10)) + cvr
        return CardCryptogram(cryptogram=cryptogram, issuer_data=issuer_data, answer_key=card_key)
