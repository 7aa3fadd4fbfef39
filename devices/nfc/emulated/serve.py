"""An emulated card put where another process can tap it: a pseudo-terminal, UDP, a real reader."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from devices.nfc.contract import TransportError
from devices.nfc.emulated.air.iso14443_3 import limits_from_ats
from devices.nfc.emulated.air.iso14443_4 import CardLeft, IsoDepTarget, PresentedCard
from devices.nfc.emulated.air.udp import UdpEmulator
from devices.nfc.emulated.pn532.pseudo_terminal import Pn532Emulator
from devices.nfc.reader.nfcpy import Listener, open_listener
from devices.nfc.reader.path import parse_path


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
    if card.technology != "A":
        raise TransportError("unsupported-card", "type B: no reader that nfcpy drives can pose so")
    listener = open_listener(path)
    try:
        ready(path)
        while not stop.is_set():
            _pose(card, listener, stop)
    finally:
        listener.close()


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


def _pose(card: PresentedCard, listener: Listener, stop: threading.Event) -> None:
    """Wait half a second for a terminal; answer it until its field goes off."""
    frame = listener.wait_for_terminal(card.uid, card.sak, card.ats, 0.5)
    if frame is None:
        return
    card.power_on()
    try:
        blocks = IsoDepTarget(card, limits_from_ats(card.ats, fsdi=8, cid=0))
        while frame is not None and not stop.is_set() and not blocks.deselected:
            answer = blocks.on_frame(frame)
            if answer is not None and answer.after_s:
                time.sleep(answer.after_s)
            frame = listener.answer(None if answer is None else answer.frame, 5.0)
    except CardLeft:
        return
    finally:
        card.power_off()


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
