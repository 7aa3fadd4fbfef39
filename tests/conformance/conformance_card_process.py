"""A card in a process of its own: lines of JSON on standard input put it on and take it off."""

from __future__ import annotations

import json
import sys

from devices.nfc.emulated.air.udp import UdpEmulator
from tests.conformance.conformance_cards import CardSpec, SuiteCard


def main() -> None:
    with UdpEmulator("localhost", 0) as emulator:
        print(emulator.path, flush=True)
        for line in sys.stdin:
            emulator.remove()
            if line.strip() != "remove":
                emulator.present(SuiteCard(CardSpec(**json.loads(line))))
            print("done", flush=True)


if __name__ == "__main__":
    main()
