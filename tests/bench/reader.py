"""What the reader layer costs compared with nfcpy's tag layer, and how soon it notices a card.

All on one emulated PN532 in another process, driven by nfcpy's pn532 driver through a
pseudo-terminal. Rounds of one command each way are interleaved: ours, nfcpy's. Times until a card
is found, and until a card that left is reported, are in units of one polling round (both
technologies once, and the pause), measured in the same run. `--json` prints one object.

    python tests/bench/reader.py --rounds 300 --json
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import nfc
import nfc.clf
import nfc.clf.pn532
import nfc.clf.transport
import nfc.tag

from devices.nfc.contract import CardGone
from devices.nfc.emulated.pn532.pseudo_terminal import Pn532Emulator
from devices.nfc.reader.nfcpy import open_reader
from devices.nfc.reader.reader import POLL_PAUSE_S, AirReader

COMMAND = bytes.fromhex("80CA9F3600") + bytes(25)
RESPONSE_BYTES = 120


class Plain:
    """A card that answers at once, with the waiting time that most cards have (38.7 ms)."""

    technology = "A"
    uid = bytes.fromhex("04112233445566")
    sak = 0x20
    ats = bytes.fromhex("0578807102")
    delay_s = 0.0

    def power_on(self) -> None: ...

    def power_off(self) -> None: ...

    def process(self, command: bytes) -> bytes:
        return bytes(RESPONSE_BYTES) + b"\x90\x00"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        return serve()
    measured = {"exchange": exchange(arguments.rounds), "notice": notice(arguments.rounds // 10)}
    if arguments.json:
        print(json.dumps({"rounds": arguments.rounds, **measured}))
        return 0
    for kind, figures in measured.items():
        for name, value in figures.items():
            print(f"{kind:10}{name:36}{value:10.3f}")
    return 0


def exchange(rounds: int) -> dict[str, float]:
    """Milliseconds for one APDU, ours and nfcpy's, medians, and their ratio."""
    ours: list[float] = []
    theirs: list[float] = []
    with Served() as our_path, Served() as their_path:
        reader = open_reader(our_path)
        card = reader.wait_for_card(5.0)
        assert card is not None
        clf = nfc.ContactlessFrontend()
        clf.device = nfc.clf.pn532.init(nfc.clf.transport.TTY(their_path.removeprefix("pn532:")))
        tag = nfc.tag.activate(clf, clf.sense(nfc.clf.RemoteTarget("106A")))
        for number in range(rounds + 10):
            for times, send in ((ours, card.transceive), (theirs, tag.transceive)):
                began = time.perf_counter()
                send(COMMAND)
                if number >= 10:
                    times.append((time.perf_counter() - began) * 1000)
        clf.close()
        reader.close()
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    return {
        "ours_ms": statistics.median(ours),
        "nfcpy_ms": statistics.median(theirs),
        "ratio_median": statistics.median(ratios),
    }


def notice(rounds: int) -> dict[str, float]:
    """How soon a card is found and a torn one reported, in polling rounds."""
    found: list[float] = []
    lost: list[float] = []
    with Pn532Emulator() as emulator:
        reader = open_reader(emulator.path)
        one_round = polling_round(reader)
        for _ in range(max(5, rounds)):
            laid: list[float] = []

            def lay(laid: list[float] = laid) -> None:
                laid.append(time.perf_counter())
                emulator.present(Plain())  # type: ignore[arg-type]

            timer = threading.Timer(random.uniform(0.1, 0.1 + one_round), lay)
            timer.start()
            card = reader.wait_for_card(5.0)
            assert card is not None
            found.append((time.perf_counter() - laid[0]) / one_round)
            card.transceive(COMMAND)
            emulator.remove()
            began = time.perf_counter()
            try:
                card.transceive(COMMAND)
            except CardGone:
                lost.append((time.perf_counter() - began) / one_round)
            reader.release()
        reader.close()
    return {
        "polling_round_ms": one_round * 1000,
        "found_after_rounds_median": statistics.median(found),
        "found_after_rounds_worst": max(found),
        "torn_after_rounds_median": statistics.median(lost),
        "torn_after_rounds_worst": max(lost),
    }


def polling_round(reader: AirReader) -> float:
    """Seconds of one round without a card, pause included."""
    times = []
    for _ in range(15):
        began = time.perf_counter()
        reader.wait_for_card(0)
        times.append(time.perf_counter() - began)
    return statistics.median(times) + POLL_PAUSE_S


class Served:
    """A PN532 with the plain card in another process, for a with statement."""

    def __enter__(self) -> str:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        )
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def __exit__(self, *_: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=10)


def serve() -> int:
    """Be the other process until standard input ends."""
    with Pn532Emulator() as emulator:
        emulator.present(Plain())  # type: ignore[arg-type]
        print(emulator.path, flush=True)
        sys.stdin.read()
    return 0


if __name__ == "__main__":
    sys.exit(main())
