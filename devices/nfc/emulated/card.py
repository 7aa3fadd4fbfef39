"""An emulated card: power, selection, and the refusals of a real one.

States: off, idle (powered, nothing selected), directory (PPSE selected), selected (application),
initiated (processing options given). A tap ends with the power; only the memory survives it.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Iterable
from enum import Enum
from pathlib import Path
from typing import Any, Literal

from devices.nfc.emulated import ber
from devices.nfc.emulated.application import (
    PPSE,
    Application,
    Chip,
    Refused,
    Status,
    application_fci,
    ppse_fci,
)
from devices.nfc.emulated.behaviour import Behaviour, Delay, Pull
from devices.nfc.emulated.image import image_from
from devices.nfc.emulated.iso14443_4 import CardLeft
from devices.nfc.emulated.mastercard import MChipApplication
from devices.nfc.emulated.memory import LimitedUseKey, memory_from
from devices.nfc.emulated.personalisation import FORMAT, card_path, lock_path
from devices.nfc.emulated.profiles import CardProfile, profile_from
from devices.nfc.emulated.storage import CardFileError, CardInUse, FileLock, read_json, write_json
from devices.nfc.emulated.tables import ProfileError
from devices.nfc.emulated.unionpay import UnionPayApplication
from devices.nfc.emulated.visa import VisaApplication

_APPLICATIONS: dict[str, Callable[[Chip], Application]] = {
    "unionpay": UnionPayApplication,
    "visa": VisaApplication,
    "mastercard": MChipApplication,
}


class State(Enum):
    """Where the card stands within one presentation."""

    OFF = "off"
    IDLE = "idle"
    DIRECTORY = "directory"
    SELECTED = "selected"
    INITIATED = "initiated"


class EmulatedCard:
    """One card or phone, personalised in a home folder; get it from open_card.

    While it is powered it holds an exclusive lock on its state file, across processes. Its ATC is
    on disk before a cryptogram leaves it.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], float] = time.time,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
        lock_timeout_s: float = 5.0,
    ) -> None:
        self._path = path
        self._clock = clock
        self._random_bytes = random_bytes
        self._lock_timeout_s = lock_timeout_s
        self._lock = FileLock(lock_path(path))
        self._state = State.OFF
        self._application: Application | None = None
        self._step = 0
        self._delay_ms = 0
        self._modelled_ms = 0
        self._load()
        self.behaviour: Behaviour = self.profile.behaviour
        self._uid = self._make_uid()

    @property
    def name(self) -> str:
        return self.profile.name

    @property
    def technology(self) -> Literal["A", "B"]:
        return self.profile.air.technology

    @property
    def uid(self) -> bytes:
        """4, 7 or 10 bytes for type A, the 4-byte PUPI for type B."""
        return self._uid

    @property
    def sak(self) -> int:
        return self.profile.air.sak

    @property
    def ats(self) -> bytes:
        """The answer to select, its own length first, without CRC; empty for type B."""
        return self.profile.air.ats

    @property
    def state(self) -> State:
        return self._state

    @property
    def atc(self) -> int:
        """The application transaction counter as this object last knew it."""
        return self._chip.memory.atc

    @property
    def keys_left(self) -> int:
        """How many taps a phone's limited-use keys are still good for now."""
        return self._chip.memory.uses_left(self._clock())

    @property
    def step(self) -> int:
        """The number of commands received since the card was powered."""
        return self._step

    @property
    def delay_s(self) -> float:
        """How long a slow chip lets its last answer wait, in seconds; a transport waits as long."""
        return self._delay_ms / 1000

    @property
    def modelled_ms(self) -> int:
        """What a real chip would have worked on the last command; nobody waits for it."""
        return self._modelled_ms

    def power_on(self) -> None:
        """The card enters a field. Raises CardInUse when another process holds it."""
        if self._state is not State.OFF:
            return
        if not self._lock.acquire(self._lock_timeout_s):
            raise CardInUse(f"{self.name}: the card is on another reader")
        try:
            self._load()
        except BaseException:
            self._lock.release()
            raise
        self._state, self._application, self._step = State.IDLE, None, 0
        self._delay_ms = self._modelled_ms = 0
        self._chip.memory.presentations += 1
        if self.behaviour.pull_at and self.behaviour.pull_presentations:
            self._commit()

    def power_off(self) -> None:
        """The card leaves the field and forgets all but its memory; safe to call twice."""
        self._state, self._application = State.OFF, None
        self._lock.release()
        if self.profile.air.random_uid:
            self._uid = self._make_uid()

    def process(self, command: bytes) -> bytes:
        """Answer a command APDU with response data and SW1-SW2.

        Raises CardLeft when the profile says that the card is pulled away now, or when it has no
        power; OSError when its memory can't be written (no cryptogram is given out then).
        """
        if self._state is State.OFF:
            raise CardLeft(f"{self.name} is not in a field")
        self._step += 1
        fate = self.before_response(self._step)
        pulled = isinstance(fate, Pull)
        if pulled and self.behaviour.pull_when == "before":
            raise CardLeft(f"{self.name} left before command {self._step}")
        self._delay_ms = fate.ms if isinstance(fate, Delay) else 0
        try:
            response = self._dispatch(command)
        except Refused as refusal:
            response = refusal.status.to_bytes(2, "big")
        if pulled:
            raise CardLeft(f"{self.name} left before its answer to command {self._step}")
        return response

    def before_response(self, n: int) -> Pull | Delay | None:
        """What befalls the card between command n of this presentation (from 1) and its answer.

        process() acts on it already: it raises CardLeft, or sets delay_s for the transport.
        """
        return self.behaviour.before_response(n, self._chip.memory.presentations)

    def replenish(self, keys: Iterable[LimitedUseKey]) -> None:
        """Hand a phone new limited-use keys; those that are spent or expired are dropped.

        Works with the card in a field or out of it. Raises CardInUse like power_on.
        """
        powered = self._state is not State.OFF
        if not powered and not self._lock.acquire(self._lock_timeout_s):
            raise CardInUse(f"{self.name}: the card is on another reader")
        try:
            if not powered:
                self._load()
            self._chip.memory.take_keys(keys, self._clock())
            self._commit()
        finally:
            if not powered:
                self._lock.release()

    def _dispatch(self, command: bytes) -> bytes:
        self._modelled_ms = self.profile.times.other
        if len(command) < 4:
            raise Refused(Status.WRONG_LENGTH)
        cla, ins, p1, p2 = command[:4]
        if cla not in (0x00, 0x80):
            raise Refused(Status.UNKNOWN_CLASS)
        handler = _HANDLERS.get((cla, ins))
        if handler is None:
            known = any(ins == other for _, other in _HANDLERS)
            raise Refused(Status.UNKNOWN_CLASS if known else Status.UNKNOWN_INSTRUCTION)
        if self.profile.trouble.blocked == "card":
            raise Refused(Status.NOT_SUPPORTED)
        return handler(self, p1, p2, _command_data(command))

    def _select(self, p1: int, p2: int, name: bytes) -> bytes:
        if p1 != 0x04 or p2 not in (0x00, 0x02):
            raise Refused(Status.WRONG_P1_P2)
        aid = bytes.fromhex(self.profile.aid)
        if p2 == 0x00 and name == PPSE:
            self._state, self._application = State.DIRECTORY, None
            self._modelled_ms = self.profile.times.ppse
            return ppse_fci(self.profile) + _OK
        # One application answers to its whole name and to any beginning of it; "next" finds none.
        if p2 == 0x02 or not 5 <= len(name) <= 16 or not aid.startswith(name):
            raise Refused(Status.FILE_NOT_FOUND)
        self._modelled_ms = self.profile.times.select
        self._state = State.SELECTED
        self._application = _APPLICATIONS[self.profile.scheme](self._chip)
        blocked = self.profile.trouble.blocked == "application"
        status = Status.BLOCKED_APPLICATION if blocked else Status.OK
        return application_fci(self._chip) + status.to_bytes(2, "big")

    def _processing_options(self, p1: int, p2: int, content: bytes) -> bytes:
        if (p1, p2) != (0, 0):
            raise Refused(Status.WRONG_P1_P2)
        if self._state is not State.SELECTED or self._application is None:
            raise Refused(Status.CONDITIONS_NOT_SATISFIED)
        if len(content) < 2 or content[0] != 0x83:
            raise Refused(Status.WRONG_DATA if content else Status.WRONG_LENGTH)
        wanted = ber.dol_length(self._chip.image.pdol)
        if content[1] != wanted or len(content) != 2 + wanted:
            raise Refused(Status.WRONG_LENGTH)
        self._modelled_ms = self.profile.times.gpo
        answer = self._application.processing_options(content[2:])
        self._state = State.INITIATED
        return answer + _OK

    def _read_record(self, p1: int, p2: int, content: bytes) -> bytes:
        if p2 & 0x07 != 0x04 or not 1 <= p2 >> 3 <= 30:
            raise Refused(Status.WRONG_P1_P2)
        application = self._initiated()
        self._modelled_ms = self.profile.times.record
        return application.read_record(p2 >> 3, p1) + _OK

    def _generate_cryptogram(self, p1: int, p2: int, values: bytes) -> bytes:
        if p2:
            raise Refused(Status.WRONG_P1_P2)
        application = self._initiated()
        self._modelled_ms = self.profile.times.cryptogram
        return application.generate_cryptogram(p1, values) + _OK

    def _internal_authenticate(self, p1: int, p2: int, values: bytes) -> bytes:
        if (p1, p2) != (0, 0):
            raise Refused(Status.WRONG_P1_P2)
        application = self._initiated()
        self._modelled_ms = self.profile.times.cryptogram
        return application.internal_authenticate(values) + _OK

    def _external_authenticate(self, p1: int, p2: int, answer: bytes) -> bytes:
        if (p1, p2) != (0, 0):
            raise Refused(Status.WRONG_P1_P2)
        return self._initiated().external_authenticate(answer) + _OK

    def _get_data(self, p1: int, p2: int, content: bytes) -> bytes:
        if self._state not in (State.SELECTED, State.INITIATED):
            raise Refused(Status.CONDITIONS_NOT_SATISFIED)
        memory, limits = self._chip.memory, self.profile.offline
        if (p1, p2) == (0x9F, 0x36):
            return ber.tlv("9F36", memory.atc.to_bytes(2, "big")) + _OK
        if (p1, p2) == (0x9F, 0x5D) and limits is not None:
            left = max(0, limits.cumulative_minor - memory.offline_minor)
            return ber.tlv("9F5D", ber.numeric(left, 6)) + _OK
        raise Refused(Status.REFERENCED_NOT_FOUND)

    def _initiated(self) -> Application:
        if self._state is not State.INITIATED or self._application is None:
            raise Refused(Status.CONDITIONS_NOT_SATISFIED)
        return self._application

    def _load(self) -> None:
        content = read_json(self._path)
        if content.get("format") != FORMAT:
            raise CardFileError(f"{self._path}: not a card's state file of this version")
        try:
            if content["digest"] != getattr(self, "_digest", None):
                self.profile: CardProfile = profile_from(content["profile"], name=self._path.stem)
                self._image = image_from(content["image"])
                self._digest: str = content["digest"]
            memory = memory_from(content["memory"])
        except (KeyError, TypeError, ValueError, ProfileError) as error:
            raise CardFileError(f"{self._path}: damaged card state ({error!r})") from error
        self._content: dict[str, Any] = content
        self._chip = Chip(
            profile=self.profile,
            image=self._image,
            memory=memory,
            commit=self._commit,
            now=self._clock,
            random_bytes=self._random_bytes,
        )

    def _commit(self) -> None:
        self._content["memory"] = self._chip.memory.as_json()
        write_json(self._path, self._content)

    def _make_uid(self) -> bytes:
        air = self.profile.air
        if air.random_uid:
            return b"\x08" + self._random_bytes(3)
        if air.uid:
            return air.uid
        made = hashlib.sha256(b"uid " + self.profile.pan.encode()).digest()
        return b"\x04" + made[: air.uid_length - 1]


def open_card(
    name: str,
    home: Path,
    *,
    clock: Callable[[], float] = time.time,
    random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    lock_timeout_s: float = 5.0,
) -> EmulatedCard:
    """The personalised card with this name, powered off.

    Raises CardFileError when it has not been personalised or its file is damaged.
    """
    return EmulatedCard(
        card_path(name, home),
        clock=clock,
        random_bytes=random_bytes,
        lock_timeout_s=lock_timeout_s,
    )


_OK = Status.OK.to_bytes(2, "big")
_HANDLERS: dict[tuple[int, int], Callable[[EmulatedCard, int, int, bytes], bytes]] = {
    (0x00, 0xA4): EmulatedCard._select,
    (0x80, 0xA8): EmulatedCard._processing_options,
    (0x00, 0xB2): EmulatedCard._read_record,
    (0x80, 0xAE): EmulatedCard._generate_cryptogram,
    (0x00, 0x88): EmulatedCard._internal_authenticate,
    (0x00, 0x82): EmulatedCard._external_authenticate,
    (0x80, 0xCA): EmulatedCard._get_data,
}


def _command_data(command: bytes) -> bytes:
    """The data field of a short command APDU; refuses one whose Lc does not fit."""
    if len(command) <= 5:
        return b""
    count = command[4]
    if count == 0 or len(command) not in (5 + count, 6 + count):
        raise Refused(Status.WRONG_LENGTH)
    return command[5 : 5 + count]
