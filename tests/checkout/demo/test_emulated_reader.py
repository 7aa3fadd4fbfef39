"""The emulated reader of the commands, as another process sees its card."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from checkout.demo.emulated_reader import EmulatedReader, next_card
from devices.nfc.contract import CardGone
from devices.nfc.emulated import open_card


def test_a_card_on_another_reader_is_taken_once_it_is_free(tmp_path: Path) -> None:
    reader = EmulatedReader(tmp_path)
    try:
        reader.lay("unionpay-debit")
        elsewhere = open_card("unionpay-debit", tmp_path)
        elsewhere.power_on()
        with pytest.raises(CardGone):
            next_card(reader, 0.5)
        threading.Timer(0.5, elsewhere.power_off).start()
        began = time.monotonic()
        assert next_card(reader, 20.0).description.technology == "A"
        assert time.monotonic() - began >= 0.4
    finally:
        reader.close()
