"""The UnionPay application (qPBOC): cryptogram 01, and 02 for a phone with limited-use keys."""

from __future__ import annotations

from collections.abc import Mapping

from devices.nfc.emulated.card import cryptograms
from devices.nfc.emulated.card.memory import LimitedUseKey
from devices.nfc.emulated.card.qvsdc import CardCryptogram, CryptogramType, QvsdcApplication

_KEY_INDEX = 0x01
_ALGORITHM_TDES = b"\x01"


class UnionPayApplication(QvsdcApplication):
    """Its 9F10: 07, key index, version, CVR (03 and three bytes), algorithm or key serial."""

    _limited: LimitedUseKey | None = None

    def prepare(self) -> None:
        if not self.chip.image.card_key:
            self._limited = self.chip.use_limited_key()

    def sign(self, terminal: Mapping[str, bytes], kind: CryptogramType, atc: int) -> CardCryptogram:
        cvr = bytes((0x03, kind.cvr, 0x00, 0x00))
        key, version, tail = self.chip.image.card_key, 0x01, _ALGORITHM_TDES
        limited = self._limited
        if limited is not None:
            key, version, tail = limited.key, 0x02, b"\x04" + limited.serial.to_bytes(4, "big")
        session_key = cryptograms.unionpay_session_key(key, atc)
        cryptogram = cryptograms.unionpay_cryptogram(
            session_key, terminal, aip=self.chip.image.aip, atc=atc, cvr=cvr
        )
        issuer_data = bytes((0x07, _KEY_INDEX, version)) + cvr + tail
        return CardCryptogram(
            cryptogram=cryptogram, issuer_data=issuer_data, answer_key=session_key
        )
