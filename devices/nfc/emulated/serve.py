"""Presents an emulated card to another process: on a pseudo-terminal, UDP or a real reader."""

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
    """Present `card` on `path` until `stop` is set; `ready` receives the path for `--reader`.

    `path` is `pty` for a PN532 on a new pseudo-terminal, `udp:HOST:PORT` for nfcpy's simulated air
    (port 0: a free one), or a reader that can act as a card. A card that was pulled away is
    presented again after `returns_after_s` seconds. Raises TransportError with the reason.
    """
    if path == "pty":
        _present(card, _open_pty, stop, ready, returns_after_s)
        return
    parsed = parse_path(path)
    if parsed.kind == "udp":
        _present(card, lambda: _open_udp(parsed.host, parsed.port), stop, ready, returns_after_s)
        return
    if card.technology != "A":
        raise TransportError(
            "unsupported-card", "type B: no reader of nfcpy can act as such a card"
        )
    listener = open_listener(path)
    try:
        ready(path)
        while not stop.is_set():
            _answer_terminal(card, listener, stop)
    finally:
        listener.close()


def _present(
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


def _answer_terminal(card: PresentedCard, listener: Listener, stop: threading.Event) -> None:
    """Wait half a second for a terminal and answer it until its field goes off."""
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
        raise TransportError("no-reader", f"pty: no pseudo-terminal available ({error})") from None


def _open_udp(host: str, port: int) -> UdpEmulator:
    try:
        return UdpEmulator(host, port)
    except OSError as error:
        raise TransportError("busy", f"udp:{host}:{port}: can't listen there ({error})") from None
