"""One presentation of a card, from power to its end: selection, commands and their refusals.

States: idle (nothing selected), directory (PPSE selected), selected (application), initiated
(processing options given). EMV Book 1, "Application Selection"; EMV Book 3, "Commands for
Financial Transaction".
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from devices.nfc.emulated.card import ber_tlv
from devices.nfc.emulated.card.application import (
    PPSE,
    Application,
    Chip,
    Refused,
    Status,
    application_fci,
    ppse_fci,
)
from devices.nfc.emulated.card.mchip import MChipApplication
from devices.nfc.emulated.card.unionpay import UnionPayApplication
from devices.nfc.emulated.card.visa import VisaApplication

_APPLICATIONS: dict[str, Callable[[Chip], Application]] = {
    "unionpay": UnionPayApplication,
    "visa": VisaApplication,
    "mastercard": MChipApplication,
}


class State(Enum):
    """The state of the card within one presentation."""

    OFF = "off"
    IDLE = "idle"
    DIRECTORY = "directory"
    SELECTED = "selected"
    INITIATED = "initiated"


class CardSession:
    """The volatile state of one presentation, and its commands.

    `modelled_ms` is the time that a real chip needs for the last command.
    """

    def __init__(self, chip: Chip) -> None:
        self.state = State.IDLE
        self.modelled_ms = 0
        self._chip = chip
        self._profile = chip.profile
        self._application: Application | None = None

    def answer(self, command: bytes) -> bytes:
        """Response data and SW1-SW2; raises OSError where the card's memory can't be written."""
        self.modelled_ms = self._profile.times.other
        try:
            return self._dispatch(command)
        except Refused as refusal:
            return refusal.status.to_bytes(2, "big")

    def _dispatch(self, command: bytes) -> bytes:
        if len(command) < 4:
            raise Refused(Status.WRONG_LENGTH)
        cla, ins, p1, p2 = command[:4]
        if cla not in (0x00, 0x80):
            raise Refused(Status.UNKNOWN_CLASS)
        handler = _HANDLERS.get((cla, ins))
        if handler is None:
            known = any(ins == other for _, other in _HANDLERS)
            raise Refused(Status.UNKNOWN_CLASS if known else Status.UNKNOWN_INSTRUCTION)
        if self._profile.trouble.blocked == "card":
            raise Refused(Status.NOT_SUPPORTED)
        return handler(self, p1, p2, _command_data(command))

    def _select(self, p1: int, p2: int, name: bytes) -> bytes:
        if p1 != 0x04 or p2 not in (0x00, 0x02):
            raise Refused(Status.WRONG_P1_P2)
        aid = bytes.fromhex(self._profile.aid)
        if p2 == 0x00 and name == PPSE:
            self.state, self._application = State.DIRECTORY, None
            self.modelled_ms = self._profile.times.ppse
            return ppse_fci(self._profile) + _OK
        # The one application matches its whole AID and any beginning of it; "next" matches nothing.
        if p2 == 0x02 or not 5 <= len(name) <= 16 or not aid.startswith(name):
            raise Refused(Status.FILE_NOT_FOUND)
        self.modelled_ms = self._profile.times.select
        self.state = State.SELECTED
        self._application = _APPLICATIONS[self._profile.scheme](self._chip)
        blocked = self._profile.trouble.blocked == "application"
        status = Status.BLOCKED_APPLICATION if blocked else Status.OK
        return application_fci(self._chip) + status.to_bytes(2, "big")

    def _processing_options(self, p1: int, p2: int, content: bytes) -> bytes:
        if (p1, p2) != (0, 0):
            raise Refused(Status.WRONG_P1_P2)
        if self.state is not State.SELECTED or self._application is None:
            raise Refused(Status.CONDITIONS_NOT_SATISFIED)
        if len(content) < 2 or content[0] != 0x83:
            raise Refused(Status.WRONG_DATA if content else Status.WRONG_LENGTH)
        wanted = ber_tlv.dol_length(self._chip.image.pdol)
        if content[1] != wanted or len(content) != 2 + wanted:
            raise Refused(Status.WRONG_LENGTH)
        self.modelled_ms = self._profile.times.gpo
        answer = self._application.processing_options(content[2:])
        self.state = State.INITIATED
        return answer + _OK

    def _read_record(self, p1: int, p2: int, content: bytes) -> bytes:
        if p2 & 0x07 != 0x04 or not 1 <= p2 >> 3 <= 30:
            raise Refused(Status.WRONG_P1_P2)
        application = self._initiated()
        self.modelled_ms = self._profile.times.record
        return application.read_record(p2 >> 3, p1) + _OK

    def _generate_cryptogram(self, p1: int, p2: int, values: bytes) -> bytes:
        if p2:
            raise Refused(Status.WRONG_P1_P2)
        application = self._initiated()
        self.modelled_ms = self._profile.times.cryptogram
        return application.generate_cryptogram(p1, values) + _OK

    def _internal_authenticate(self, p1: int, p2: int, values: bytes) -> bytes:
        if (p1, p2) != (0, 0):
            raise Refused(Status.WRONG_P1_P2)
        application = self._initiated()
        self.modelled_ms = self._profile.times.cryptogram
        return application.internal_authenticate(values) + _OK

    def _external_authenticate(self, p1: int, p2: int, answer: bytes) -> bytes:
        if (p1, p2) != (0, 0):
            raise Refused(Status.WRONG_P1_P2)
        return self._initiated().external_authenticate(answer) + _OK

    def _get_data(self, p1: int, p2: int, content: bytes) -> bytes:
        if self.state not in (State.SELECTED, State.INITIATED):
            raise Refused(Status.CONDITIONS_NOT_SATISFIED)
        memory, limits = self._chip.memory, self._profile.offline
        if (p1, p2) == (0x9F, 0x36):
            return ber_tlv.tlv("9F36", memory.atc.to_bytes(2, "big")) + _OK
        if (p1, p2) == (0x9F, 0x5D) and limits is not None:
            left = max(0, limits.cumulative_minor - memory.offline_minor)
            return ber_tlv.tlv("9F5D", ber_tlv.numeric(left, 6)) + _OK
        raise Refused(Status.REFERENCED_NOT_FOUND)

    def _initiated(self) -> Application:
        if self.state is not State.INITIATED or self._application is None:
            raise Refused(Status.CONDITIONS_NOT_SATISFIED)
        return self._application


_OK = Status.OK.to_bytes(2, "big")
_HANDLERS: dict[tuple[int, int], Callable[[CardSession, int, int, bytes], bytes]] = {
    (0x00, 0xA4): CardSession._select,
    (0x80, 0xA8): CardSession._processing_options,
    (0x00, 0xB2): CardSession._read_record,
    (0x80, 0xAE): CardSession._generate_cryptogram,
    (0x00, 0x88): CardSession._internal_authenticate,
    (0x00, 0x82): CardSession._external_authenticate,
    (0x80, 0xCA): CardSession._get_data,
}


def _command_data(command: bytes) -> bytes:
    """The data field of a short command APDU; refuses a wrong Lc."""
    if len(command) <= 5:
        return b""
    count = command[4]
    if count == 0 or len(command) not in (5 + count, 6 + count):
        raise Refused(Status.WRONG_LENGTH)
    return command[5 : 5 + count]
