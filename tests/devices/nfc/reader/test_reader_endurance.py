"""Readers that are interrupted, and readers that run for long."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from devices.nfc.emulated.pn532.pseudo_terminal import Pn532Emulator
from devices.nfc.reader.nfcpy import open_reader
from tests.devices.nfc.nfc_cards import EchoCard, open_descriptors

_ROOT = Path(__file__).parents[4]

_TAPS_FOR_EVER = """
import sys
from devices.nfc.reader.nfcpy import open_reader
reader = open_reader(sys.argv[1])
try:
    while True:
        card = reader.wait_for_card(1.0)
        print("tap", flush=True)
        if card is not None:
            card.transceive(bytes(200))
        reader.release()
finally:
    reader.close()
"""


@pytest.mark.parametrize("delay_s", [0.0, 0.3], ids=["between", "within-a-command"])
def test_ctrl_c_leaves_a_reader_that_can_be_opened_at_once(delay_s: float) -> None:
    with Pn532Emulator(checks_line_rate=True) as emulator:
        emulator.present(EchoCard(delay_s=delay_s))
        # A shell starts what it runs in the background with SIGINT ignored; a child inherits that.
        inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
        program = subprocess.Popen(
            [sys.executable, "-c", _TAPS_FOR_EVER, emulator.path],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(_ROOT)},
        )
        signal.signal(signal.SIGINT, inherited)
        assert program.stdout is not None
        assert program.stdout.readline() == "tap\n"
        time.sleep(0.1)
        program.send_signal(signal.SIGINT)
        _, complaint = program.communicate(timeout=20)
        assert complaint.strip().endswith("KeyboardInterrupt")
        reader = open_reader(emulator.path)
        card = reader.wait_for_card(2.0)
        assert card is not None
        assert card.transceive(b"hello") == b"hello\x90\x00"
        reader.close()


def endure(taps: int) -> None:
    """So many taps on one reader, with cards that come, go and are pulled away."""
    before = open_descriptors(), threading.active_count()
    with Pn532Emulator() as emulator:
        reader = open_reader(emulator.path)
        during = None
        for number in range(taps):
            emulator.present(EchoCard("B" if number % 3 == 1 else "A"))
            card = reader.wait_for_card(2.0)
            assert card is not None
            assert card.transceive(bytes(number % 300)) == bytes(number % 300) + b"\x90\x00"
            emulator.remove()
            reader.release()
            if during is None:
                during = open_descriptors(), threading.active_count()
        assert (open_descriptors(), threading.active_count()) == during
        reader.close()
    assert (open_descriptors(), threading.active_count()) == before


def test_many_taps_leave_nothing_behind() -> None:
    endure(40)


@pytest.mark.long
def test_a_thousand_taps_leave_nothing_behind() -> None:
    endure(1_000)


def test_readers_opened_and_closed_again_and_again_leave_nothing_behind() -> None:
    with Pn532Emulator() as emulator:
        open_reader(emulator.path).close()
        before = open_descriptors(), threading.active_count()
        for _ in range(10):
            open_reader(emulator.path).close()
        assert (open_descriptors(), threading.active_count()) == before
