"""An emulated card: its power, its memory on disk, and what happens to it in a field."""

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
from devices.nfc.emulated.card.session import Presentation, State
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
        self._lock = CardLock(lock_path(path))
        self._presentation: Presentation | None = None
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
        """The answer to select, its own length first, without CRC; empty for type B."""
        return self.profile.air.ats

    @property
    def state(self) -> State:
        return self._presentation.state if self._presentation else State.OFF

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
        return self._presentation.modelled_ms if self._presentation else 0

    def power_on(self) -> None:
        """The card enters a field. Raises CardInUse when another process holds it."""
        if self._presentation is not None:
            return
        if not self._lock.acquire(self._lock_timeout_s):
            raise CardInUse(f"{self.name}: the card is on another reader")
        try:
            self._load()
        except BaseException:
            self._lock.release()
            raise
        self._presentation = Presentation(self._chip)
        self._step = self._delay_ms = 0
        self._chip.memory.presentations += 1
        if self.behaviour.pull_at and self.behaviour.pull_presentations:
            self._commit()

    def power_off(self) -> None:
        """The card leaves the field and forgets all but its memory; safe to call twice."""
        self._presentation = None
        self._lock.release()
        if self.profile.air.random_uid:
            self._uid = self._make_uid()

    def process(self, command: bytes) -> bytes:
        """Answer a command APDU with response data and SW1-SW2.

        Raises CardLeft when the profile says that the card is pulled away now, or when it has no
        power; OSError when its memory can't be written (no cryptogram is given out then).
        """
        presentation = self._presentation
        if presentation is None:
            raise CardLeft(f"{self.name} is not in a field")
        self._step += 1
        fate = self.before_response(self._step)
        pulled = isinstance(fate, Pull)
        if pulled and self.behaviour.pull_when == "before":
            raise CardLeft(f"{self.name} left before command {self._step}")
        self._delay_ms = fate.ms if isinstance(fate, Delay) else 0
        response = presentation.answer(command)
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
        powered = self._presentation is not None
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
