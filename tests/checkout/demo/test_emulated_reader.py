"""The emulated reader of the commands, as another process sees its card."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from checkout.acceptance.nfc.terminal import load
from checkout.demo.emulated_reader import EmulatedReader
from checkout.shop.till import Tap, read_card
from devices.nfc.contract import CardGone
from devices.nfc.emulated import open_card


def test_a_card_on_another_reader_is_taken_once_it_is_free(tmp_path: Path) -> None:
    reader = EmulatedReader(tmp_path)
    terminal = load(tmp_path, clock=lambda: datetime.now(UTC))

    def read(card_within_s: float) -> Tap:
        return read_card(
            terminal, reader, amount_minor=100, currency="CNY", card_within_s=card_within_s
        )

    try:
        reader.place_card("unionpay-debit")
        elsewhere = open_card("unionpay-debit", tmp_path)
        elsewhere.power_on()
        with pytest.raises(CardGone):
            read(0.5)
        threading.Timer(0.5, elsewhere.power_off).start()
        began = time.monotonic()
        assert read(20.0).evidence is not None
        assert time.monotonic() - began >= 0.4
    finally:
        reader.close()
