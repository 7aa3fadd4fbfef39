"""An emulated card put where another process can tap it: a pseudo-terminal, UDP, a real reader."""

from __future__ import annotations

import threading
from collections.abc import Callable

from devices.nfc.contract import TransportError
from devices.nfc.emulated.iso14443_4 import PresentedCard
from devices.nfc.emulated.pn532 import Pn532Emulator
from devices.nfc.emulated.udp import UdpEmulator
from devices.nfc.reader_path import parse_path


def serve_card(
    card: PresentedCard,
    path: str,
    stop: threading.Event,
    *,
    ready: Callable[[str], None] = lambda path: None,
    returns_after_s: float = 1.0,
) -> None:
    """Hold `card` on `path` until `stop` is set; `ready` is told what a terminal's --reader takes.

    `path` is `pty` for a PN532 on a new pseudo-terminal, `udp:HOST:PORT` for nfcpy's simulated air
    (port 0: a free one), or a reader that can act as a card. A card that was pulled away comes
    back after `returns_after_s` seconds. Raises TransportError with the reason.
    """
    if path == "pty":
        _hold(card, _open_pty, stop, ready, returns_after_s)
        return
    parsed = parse_path(path)
    if parsed.kind == "udp":
        _hold(card, lambda: _open_udp(parsed.host, parsed.port), stop, ready, returns_after_s)
        return
    from devices.nfc.nfcpy_reader import listen_as_card

    listen_as_card(card, path, stop, ready=ready)


def _hold(
    card: PresentedCard,
    open_emulator: Callable[[], Pn532Emulator | UdpEmulator],
    stop: threading.Event,
    ready: Callable[[str], None],
    returns_after_s: float,
) -> None:
    with open_emulator() as emulator:
        emulator.present(card)
        ready(emulator.path)
        while not stop.wait(0.1):
            if emulator.cards:
                continue
            if not stop.wait(returns_after_s) and not emulator.cards:
                emulator.present(card)


def _open_pty() -> Pn532Emulator:
    try:
        return Pn532Emulator()
    except OSError as error:
        raise TransportError("no-reader", f"pty: no pseudo-terminal to be had ({error})") from None


def _open_udp(host: str, port: int) -> UdpEmulator:
    try:
        return UdpEmulator(host, port)
    except OSError as error:
        raise TransportError("busy", f"udp:{host}:{port}: can't listen there ({error})") from None
