"""Software time of a whole tap, compared with the bare exchange of the same APDUs.

For each card and transport, rounds of two taps: one through the terminal's kernel with offline data
authentication on, and one that only sends the commands of the first again. Both talk to the same
emulated card over the same transport; activation is outside the clock in both. The ratio is what
the kernel costs. Then taps are torn, and timed until the counter shows "try again" (`tap_gone.py`).
`--json` prints one object. No card, air or payer time is modelled here.

    python tests/bench/tap.py --rounds 200 --json
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from datetime import datetime
from pathlib import Path
from typing import Any

warnings.filterwarnings("ignore", message=".*TripleDES.*")

from checkout.comparison.quantile import quantile  # noqa: E402
from devices.nfc.contract import Card, Reader  # noqa: E402
from devices.nfc.emulated import in_process, load_profile, open_card, personalise  # noqa: E402
from devices.nfc.kernel import (  # noqa: E402
    CaKeyRing,
    Outcome,
    TerminalData,
    Transaction,
    load_terminal,
    parse_ca_keys,
    run_tap,
)
from devices.nfc.kernel.oda import Verdict  # noqa: E402

CARDS = ("unionpay-debit", "visa-abroad", "mastercard-abroad")
TRANSPORTS = ("in-process", "pty", "udp")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--transport", choices=TRANSPORTS, action="append")
    parser.add_argument("--torn", type=int, default=20, help="taps that are torn; 0 for none")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", nargs=3, metavar=("CARD", "TRANSPORT", "HOME"), help="internal")
    arguments = parser.parse_args()
    if arguments.serve:
        return serve(*arguments.serve)
    results = [
        measure(card, transport, arguments.rounds)
        for transport in arguments.transport or TRANSPORTS
        for card in CARDS
    ]
    gone: dict[str, Any] = {}
    if arguments.torn:
        from tap_gone import measure as measure_gone

        gone = measure_gone(arguments.torn)
    if arguments.json:
        aims = {"ratio_median": 1.5, "ratio_p99": 2.0, "polling_rounds": 2.0}
        report = {"rounds": arguments.rounds, "aims": aims, "taps": results, "try_again": gone}
        print(json.dumps(report))
        return 0
    print(f"{'card':20}{'transport':12}{'tap ms':>9}{'bare ms':>9}{'median':>8}{'p99':>8}")
    for row in results:
        print(
            f"{row['card']:20}{row['transport']:12}{row['tap_ms']:9.2f}{row['bare_ms']:9.2f}"
            f"{row['ratio_median']:8.2f}{row['ratio_p99']:8.2f}"
        )
    if gone:
        print(
            f"try again after {gone['try_again_ms']} ms: {gone['polling_rounds']} polling rounds "
            f"of {gone['polling_round_ms']} ms (worst {gone['polling_rounds_worst']})"
        )
    return 0


def measure(name: str, transport: str, rounds: int) -> dict[str, Any]:
    """Median and 99th percentile of both kinds of tap, and their ratios."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        personalise(load_profile(name), card_key=bytes(range(16)), home=home)
        ring = parse_ca_keys((home / "keys" / "ca-public.json").read_text("utf-8"), own=True)
        reader, process = _reader(name, transport, home)
        try:
            taps, bares, apdus = _rounds(reader, load_terminal("china"), ring, rounds)
        finally:
            reader.close()
            if process is not None:
                process.terminate()
                process.wait(timeout=10)
    tap, bare = statistics.median(taps), statistics.median(bares)
    return {
        "card": name,
        "transport": transport,
        "apdus": apdus,
        "tap_ms": round(tap, 3),
        "bare_ms": round(bare, 3),
        "ratio_median": round(tap / bare, 3),
        "ratio_p99": round(quantile(taps, 0.99) / quantile(bares, 0.99), 3),
    }


def _rounds(
    reader: Reader, terminal: TerminalData, ring: CaKeyRing, rounds: int
) -> tuple[list[float], list[float], int]:
    taps: list[float] = []
    bares: list[float] = []
    commands: list[bytes] = []
    for number in range(rounds + 5):
        transaction = Transaction.purchase(1280, at=datetime.now())
        card = _present(reader)
        began = time.perf_counter()
        result = run_tap(
            card,
            transaction=transaction,
            terminal=terminal,
            ca_keys=ring,
            random_bytes=os.urandom,
            clock=time.perf_counter,
        )
        taken = time.perf_counter() - began
        reader.release()
        if result.outcome is not Outcome.ONLINE_REQUEST or result.oda.verdict is not Verdict.PASSED:
            raise SystemExit(f"the tap ended in {result.outcome}: {result.reason}")
        commands = [exchange.command for exchange in result.exchanges]
        card = _present(reader)
        began = time.perf_counter()
        for command in commands:
            card.transceive(command)
        bare = time.perf_counter() - began
        reader.release()
        if number >= 5:  # the first ones warm caches on both sides
            taps.append(taken * 1000)
            bares.append(bare * 1000)
    return taps, bares, len(commands)


def _present(reader: Reader) -> Card:
    card = reader.wait_for_card(10.0)
    if card is None:
        raise SystemExit("no card came")
    return card


def _reader(name: str, transport: str, home: Path) -> tuple[Reader, subprocess.Popen[str] | None]:
    if transport == "in-process":
        return in_process(open_card(name, home)), None
    from devices.nfc.reader.nfcpy import open_reader

    process = subprocess.Popen(
        [sys.executable, __file__, "--serve", name, transport, str(home)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
    )
    assert process.stdout is not None
    return open_reader(process.stdout.readline().strip()), process


def serve(name: str, transport: str, home: str) -> int:
    """Be the other process: hold the card on a pseudo-terminal or on nfcpy's simulated air."""
    from devices.nfc.emulated.air.udp import UdpEmulator
    from devices.nfc.emulated.pn532.pseudo_terminal import Pn532Emulator

    emulator = Pn532Emulator() if transport == "pty" else UdpEmulator("localhost", 0)
    with emulator:
        print(emulator.path, flush=True)
        emulator.present(open_card(name, Path(home)))
        while True:
            time.sleep(3600)


if __name__ == "__main__":
    sys.exit(main())
