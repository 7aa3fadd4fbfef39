"""The terminal's kernels over real drivers: every profile, torn and unplugged at every command."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from devices.nfc.emulated import EmulatedCard, load_profile, open_card, personalise, profile_names
from devices.nfc.emulated.air.iso14443_4 import CardLeft
from devices.nfc.kernel import Outcome, TapResult, Transaction, load_terminal, run_tap
from devices.nfc.kernel.ca_keys import CaKeyRing, parse_ca_keys
from tests.conformance.conformance_rigs import InProcessRig, PtyRig, UsbRig, make_rig

PROFILES = profile_names()
READERS = ("pty", "acr122u", "rc-s380")
EACH_ONCE = {("pty", "mastercard-abroad"), ("acr122u", "unionpay-debit"), ("rc-s380", "hce-phone")}
TORN = ("unionpay-debit", "mastercard-abroad", "hce-phone")
NOW = datetime.now().replace(microsecond=0)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cards")
    for name in PROFILES:
        personalise(load_profile(name), card_key=bytes(range(16)), home=folder)
    return folder


def on_readers(names: tuple[str, ...], always: Callable[[str, str], bool]) -> Any:
    """Every profile on every reader; the less important pairs only in the long run."""
    return pytest.mark.parametrize(
        ("reader_rig", "name"),
        [
            pytest.param(reader, name, marks=() if always(reader, name) else pytest.mark.long)
            for reader in READERS
            for name in names
        ],
        indirect=["reader_rig"],
    )


@pytest.fixture
def reader_rig(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    rig = make_rig(request.param, tmp_path, monkeypatch)
    yield rig
    rig.close()


class Meddled:
    """An emulated card with a hand on it: `meddle` sees each command's number before and after."""

    def __init__(self, card: EmulatedCard, meddle: Any) -> None:
        self._card = card
        self._meddle = meddle
        self._step = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._card, name)

    def power_on(self) -> None:
        self._step = 0
        self._card.power_on()

    def process(self, command: bytes) -> bytes:
        self._step += 1
        self._meddle(self._step, False)
        response = self._card.process(command)
        self._meddle(self._step, True)
        return response


@cache
def ring(home: Path) -> CaKeyRing:
    return parse_ca_keys((home / "keys" / "ca-public.json").read_text("utf-8"), own=True)


def tap(rig: Any, home: Path, card: Any) -> TapResult:
    """Put the card on the reader, tap it, take it away."""
    rig.put(card)
    try:
        found = rig.reader.wait_for_card(5.0)
        assert found is not None
        return run_tap(
            found,
            transaction=Transaction.purchase(1280, "CNY", at=NOW),
            terminal=load_terminal("china"),
            ca_keys=ring(home),
            random_bytes=os.urandom,
            clock=time.perf_counter,
        )
    finally:
        rig.reader.release()
        rig.remove()


@cache
def in_process(name: str, home: Path) -> TapResult:
    rig = InProcessRig()
    result = tap(rig, home, open_card(name, home))
    rig.close()
    return result


@on_readers(PROFILES, lambda reader, name: reader == "pty" or name in ("unionpay-debit", "type-b"))
def test_every_profile_ends_as_it_does_without_air(
    reader_rig: PtyRig | UsbRig, name: str, home: Path
) -> None:
    expected = in_process(name, home)
    result = tap(reader_rig, home, open_card(name, home))
    assert result.outcome is expected.outcome
    for field in ("method", "verdict", "reason"):
        assert getattr(result.oda, field) == getattr(expected.oda, field)
    assert [each.name for each in result.exchanges] == [each.name for each in expected.exchanges]


@pytest.mark.parametrize("received", [False, True], ids=["command-lost", "answer-lost"])
@on_readers(TORN, lambda reader, name: (reader, name) in EACH_ONCE)
def test_torn_at_any_command_ends_in_try_again_and_the_next_tap_works(
    reader_rig: PtyRig | UsbRig, name: str, received: bool, home: Path
) -> None:
    expected = in_process(name, home)
    for at in range(1, len(expected.exchanges) + 1):

        def leave(step: int, after: bool, at: int = at) -> None:
            if (step, after) == (at, received):
                raise CardLeft

        torn = tap(reader_rig, home, Meddled(open_card(name, home), leave))
        assert torn.outcome is Outcome.TRY_AGAIN, at
        assert len(torn.exchanges) == at
        again = tap(reader_rig, home, _fresh(name, home))
        assert again.outcome is expected.outcome, at


@on_readers(TORN, lambda reader, name: (reader, name) in EACH_ONCE)
def test_unplugged_at_any_command_is_named_and_the_next_tap_works(
    reader_rig: PtyRig | UsbRig, name: str, home: Path
) -> None:
    expected = in_process(name, home)
    for at in range(1, len(expected.exchanges) + 1):

        def unplug(step: int, after: bool, at: int = at) -> None:
            if step == at and not after:
                reader_rig.unplug()

        torn = tap(reader_rig, home, Meddled(open_card(name, home), unplug))
        assert torn.outcome is Outcome.COMMUNICATION_ERROR, at
        assert "unplugged" in torn.reason
        reader_rig.plug()
        again = tap(reader_rig, home, _fresh(name, home))
        assert again.outcome is expected.outcome, at


def _fresh(name: str, home: Path) -> EmulatedCard:
    """The card again; a phone with new keys, since every torn tap may have spent one."""
    if load_profile(name).kind == "phone":
        personalise(load_profile(name), card_key=bytes(range(16)), home=home)
    return open_card(name, home)
