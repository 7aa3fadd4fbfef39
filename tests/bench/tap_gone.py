"""How long after a card has left the counter shows "try again", in polling rounds.

The real tap loop and shop run over a PN532 on a pseudo-terminal, with a card that leaves the field
in the middle of its tap. The clock starts when the card is gone and stops when the event that the
counter page shows arrives at a subscriber. One polling round is what the reader takes to look at an
empty field once, its pause included, measured in the same run.
"""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from checkout.config import Config
from checkout.demo.payers import DemoPayers
from checkout.processes.terminal import counter_till
from checkout.shop.shop import Shop
from devices.nfc.emulated import EmulatedCard, load_profile, open_card, personalise
from devices.nfc.emulated.air.iso14443_4 import CardLeft
from devices.nfc.emulated.pn532.pseudo_terminal import Pn532Emulator
from devices.nfc.reader.nfcpy import open_reader
from devices.nfc.reader.reader import POLL_PAUSE_S


class Leaving(EmulatedCard):
    """An emulated card that notes when it left."""

    left_at = 0.0

    def process(self, command: bytes) -> bytes:
        try:
            return super().process(command)
        except CardLeft:
            self.left_at = time.perf_counter()
            raise


def measure(rounds: int) -> dict[str, Any]:
    """Median and worst time to "try again", and the same in polling rounds."""
    with tempfile.TemporaryDirectory() as folder, Pn532Emulator() as emulator:
        home = Path(folder)
        personalise(load_profile("pulled-away"), card_key=bytes(range(16)), home=home)
        reader = open_reader(emulator.path)
        poll_s = _poll(reader)
        reader.close()
        shop = Shop.open(Config(home=home, reader=emulator.path), payers=DemoPayers())
        try:
            waits = _waits(shop, emulator, home, rounds)
        finally:
            shop.close()
    return {
        "polling_round_ms": round(poll_s * 1000, 2),
        "try_again_ms": round(statistics.median(waits) * 1000, 2),
        "try_again_worst_ms": round(max(waits) * 1000, 2),
        "polling_rounds": round(statistics.median(waits) / poll_s, 3),
        "polling_rounds_worst": round(max(waits) / poll_s, 3),
    }


def _poll(reader: Any) -> float:
    looks = []
    for _ in range(20):
        began = time.perf_counter()
        reader.wait_for_card(0.0)
        looks.append(time.perf_counter() - began)
    return statistics.median(looks) + POLL_PAUSE_S


def _waits(shop: Shop, emulator: Pn532Emulator, home: Path, rounds: int) -> list[float]:
    stop = threading.Event()
    till = counter_till(shop)
    thread = threading.Thread(target=till.run, args=(lambda: open_reader(emulator.path), stop))
    subscription = shop.feed.subscribe(None)
    events = iter(subscription)
    shop.orders.create(amount_minor=1280, currency="CNY")
    thread.start()
    waits: list[float] = []
    try:
        for _ in range(rounds):
            card = Leaving(open_card("pulled-away", home)._path)
            _until(events, "ready")
            emulator.present(card)
            _until(events, "retry")
            waits.append(time.perf_counter() - card.left_at)
            emulator.remove()
    finally:
        stop.set()
        thread.join(timeout=10)
        subscription.close()
    return waits


def _until(events: Any, state: str) -> None:
    for event in events:
        if event is not None and event.kind == "reader-state" and event.payload["state"] == state:
            return
