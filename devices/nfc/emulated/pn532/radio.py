"""The PN532's radio: exchanges frames with the emulated field, and lists and selects cards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from devices.nfc.emulated.air.field import Collision, Field
from devices.nfc.emulated.air.iso14443_3 import State, Technology, TypeATarget
from devices.nfc.reader.iso_dep import (
    FrameError,
    FrameTimeout,
    IsoDepInitiator,
    ProtocolError,
    parse_atqb,
    parse_ats,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedTarget:
    """A card that InListPassiveTarget found, as the chip's target 1 or 2."""

    technology: Technology
    found: bytes
    """The data that InListPassiveTarget returns, without the target number."""

    uid: bytes
    blocks: IsoDepInitiator | None = None


class Pn532Radio:
    """Exchanges frames and lists cards; it waits as long as a real radio waits for a card.

    `type_b_cid` is the CID that the firmware gives a type B card, 0 for none.
    """

    def __init__(self, field: Field, wait: Callable[[float], None], *, type_b_cid: int) -> None:
        self._field = field
        self._wait = wait
        self._type_b_cid = type_b_cid

    def send(self, frame: bytes, timeout_s: float, technology: Technology) -> bytes:
        """Exchange one frame. Raises FrameTimeout or FrameError like a reader's air."""
        try:
            answer = self._field.exchange(frame, technology)
        except Collision as error:
            raise FrameError("collision") from error
        if answer is None or answer.after_s > timeout_s:
            self._wait(timeout_s)
            raise FrameTimeout
        if answer.after_s:
            self._wait(answer.after_s)
        return answer.frame

    def list_a(self, wanted: int, initiator: bytes, *, activate: bool) -> list[ListedTarget]:
        """Up to `wanted` type A cards, or the one with the given UID (with its cascade tags).

        A single card stays selected; with `activate` it is also activated by RATS.
        """
        first = self._select_a(b"\x26", initiator)
        if first is None:
            return []
        if wanted == 2:
            self._request(b"\x50\x00")
            second = self._select_a(b"\x26", b"")
            if second is not None:
                self._request(b"\x50\x00")
                return [first, second]
            repeated = self._select_a(b"\x52", b"")
            if repeated is None:
                return []
        return [self._with_ats(first) if activate else first]

    def _select_a(self, wake: bytes, initiator: bytes) -> ListedTarget | None:
        atqa = self._request(wake)
        if atqa is None:
            return None
        uid = b""
        asked = [initiator[i : i + 4] for i in range(0, len(initiator), 4)]
        for level, select in enumerate((0x93, 0x95, 0x97)):
            if level < len(asked):
                part = asked[level]
                part += bytes([part[0] ^ part[1] ^ part[2] ^ part[3]])
            else:
                part = self._anticollision(select, level)
            sak = self._request(bytes([select, 0x70]) + part) if part else None
            if not sak:
                return None
            if not sak[0] & 0x04:
                uid += part[:4]
                found = atqa[::-1] + sak + bytes([len(uid)]) + uid
                return ListedTarget(technology="A", found=found, uid=uid)
            uid += part[1:4]
        return None

    def _anticollision(self, select: int, level: int) -> bytes:
        try:
            answer = self._field.exchange(bytes([select, 0x20]), "A")
            return answer.frame if answer else b""
        except Collision:  # the chip follows one branch bit by bit and finds one card
            for target in self._field.targets:
                if isinstance(target, TypeATarget) and target.state is State.READY:
                    return target.levels[level]
            return b""

    def _with_ats(self, listed: ListedTarget) -> ListedTarget:
        if not listed.found[2] & 0x20:
            return listed
        ats = self._request(b"\xe0\x50")
        if ats is None:
            return listed
        try:
            activation = parse_ats(ats)
        except ProtocolError:
            return listed
        blocks = IsoDepInitiator(lambda f, t: self.send(f, t, "A"), activation)
        return ListedTarget(technology="A", found=listed.found + ats, uid=listed.uid, blocks=blocks)

    def list_b(self, initiator: bytes) -> list[ListedTarget]:
        """The type B card of the given application family, activated by ATTRIB."""
        atqb = self._request(b"\x05" + initiator[:1] + b"\x00", "B")
        if atqb is None or len(atqb) < 12:
            return []
        attrib = b"\x1d" + atqb[1:5] + bytes([0x00, 0x05, atqb[10] & 0x0F, self._type_b_cid])
        answer = self._request(attrib, "B")
        if answer is None:
            return []
        blocks = IsoDepInitiator(self._numbered, parse_atqb(atqb))
        found = atqb + bytes([len(answer)]) + answer
        return [ListedTarget(technology="B", found=found, uid=atqb[1:5], blocks=blocks)]

    def _numbered(self, frame: bytes, timeout_s: float) -> bytes:
        """Exchange one block with a type B card, with the CID that the firmware gave it."""
        if not self._type_b_cid:
            return self.send(frame, timeout_s, "B")
        cid = bytes([self._type_b_cid])
        answer = self.send(bytes([frame[0] | 0x08]) + cid + frame[1:], timeout_s, "B")
        return bytes([answer[0] & ~0x08]) + answer[2:]

    def _request(self, frame: bytes, technology: Technology = "A") -> bytes | None:
        try:
            return self.send(frame, 0.0053, technology)
        except (FrameTimeout, FrameError):
            return None
