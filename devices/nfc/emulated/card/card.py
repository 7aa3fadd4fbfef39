"""An emulated card: its power, its memory on disk, and its behaviour in a field."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

from devices.nfc.emulated.air.iso14443_4 import CardLeft
from devices.nfc.emulated.behaviour import Behaviour, Delay, Pull
from devices.nfc.emulated.card.application import Chip
from devices.nfc.emulated.card.image import image_from
from devices.nfc.emulated.card.memory import LimitedUseKey, memory_from
from devices.nfc.emulated.card.session import CardSession, State
from devices.nfc.emulated.profile import CardProfile
from devices.nfc.emulated.profile_files import profile_from
from devices.nfc.emulated.state_file import (
    FORMAT,
    CardFileError,
    CardInUse,
    CardLock,
    card_path,
    lock_path,
    read_json,
    write_json,
)
from devices.nfc.emulated.toml_reader import ProfileError


class EmulatedCard:
    """One personalised card or phone of a home folder; `open_card` opens it.

    While it has power it holds an exclusive lock on its state file, across processes. Its ATC is on
    disk before a cryptogram leaves it.
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
        self._lock = CardLock(lock_path(path))
        self._session: CardSession | None = None
        self._step = 0
        self._delay_ms = 0
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
        """The answer to select with its length byte, without CRC; empty for type B."""
        return self.profile.air.ats

    @property
    def state(self) -> State:
        return self._session.state if self._session else State.OFF

    @property
    def atc(self) -> int:
        """The application transaction counter as this object last read or wrote it."""
        return self._chip.memory.atc

    @property
    def keys_left(self) -> int:
        """The number of taps for which a phone's limited-use keys suffice at this time."""
        return self._chip.memory.uses_left(self._clock())

    @property
    def step(self) -> int:
        """The number of commands received since power on."""
        return self._step

    @property
    def delay_s(self) -> float:
        """The delay of the last answer in seconds; the transport waits that long."""
        return self._delay_ms / 1000

    @property
    def modelled_ms(self) -> int:
        """The modelled time of the last command in a real chip; nobody waits for it."""
        return self._session.modelled_ms if self._session else 0

    def power_on(self) -> None:
        """The card enters a field. Raises CardInUse when it is on another reader."""
        if self._session is not None:
            return
        if not self._lock.acquire(self._lock_timeout_s):
            raise CardInUse(f"{self.name}: the card is on another reader")
        try:
            self._load()
        except BaseException:
            self._lock.release()
            raise
        self._session = CardSession(self._chip)
        self._step = self._delay_ms = 0
        self._chip.memory.presentations += 1
        if self.behaviour.pull_at and self.behaviour.pull_presentations:
            self._commit()

    def power_off(self) -> None:
        """The card leaves the field and loses its volatile state; safe to call twice."""
        self._session = None
        self._lock.release()
        if self.profile.air.random_uid:
            self._uid = self._make_uid()

    def process(self, command: bytes) -> bytes:
        """Answer a command APDU with response data and SW1-SW2.

        Raises CardLeft when the profile has the card pulled away now, or when it has no power;
        OSError when its memory can't be written (then no cryptogram leaves the card).
        """
        session = self._session
        if session is None:
            raise CardLeft(f"{self.name} is not in a field")
        self._step += 1
        event = self.before_response(self._step)
        pulled = isinstance(event, Pull)
        if pulled and self.behaviour.pull_when == "before":
            raise CardLeft(f"{self.name} left before command {self._step}")
        self._delay_ms = event.ms if isinstance(event, Delay) else 0
        response = session.answer(command)
        if pulled:
            raise CardLeft(f"{self.name} left before its answer to command {self._step}")
        return response

    def before_response(self, n: int) -> Pull | Delay | None:
        """The event between command n of this presentation (from 1) and its answer.

        `process` handles it: it raises CardLeft, or sets `delay_s` for the transport.
        """
        return self.behaviour.before_response(n, self._chip.memory.presentations)

    def replenish(self, keys: Iterable[LimitedUseKey]) -> None:
        """Give a phone new limited-use keys and drop those that are spent or expired.

        The phone may be in a field or not. Raises CardInUse like `power_on`.
        """
        powered = self._session is not None
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
        digest = hashlib.sha256(b"uid " + self.profile.pan.encode()).digest()
        return b"\x04" + digest[: air.uid_length - 1]


def open_card(
    name: str,
    home: Path,
    *,
    clock: Callable[[], float] = time.time,
    random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    lock_timeout_s: float = 5.0,
) -> EmulatedCard:
    """Open the personalised card with this name, powered off.

    Raises CardFileError when it has not been personalised or its file is damaged.
    """
    return EmulatedCard(
        card_path(name, home),
        clock=clock,
        random_bytes=random_bytes,
        lock_timeout_s=lock_timeout_s,
    )
