"""Cards across processes and faults: one lock, one counter, and storage before any answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from devices.nfc.contract import TransportError
from devices.nfc.emulated import (
    CardFileError,
    CardInUse,
    card_path,
    ensure_authority,
    in_process,
    load_profile,
    open_card,
    personalise,
)
from tests.devices.nfc.emulated.cards_independent import (
    CARD_KEY,
    Tap,
    gpo_command,
    quick_tap,
    select,
    send,
)

AID = "A000000333010101"
ROOT = Path(__file__).parents[4]
TAPPER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from tests.devices.nfc.emulated.cards_independent import quick_tap
from devices.nfc.emulated import open_card
card = open_card(sys.argv[2], Path(sys.argv[1]), lock_timeout_s=30)
for _ in range(int(sys.argv[4])):
    card.power_on()
    print(int.from_bytes(quick_tap(card, "A000000333010101").objects["9F36"]), flush=True)
    card.power_off()
"""
AUTHORITY = """
import sys
from pathlib import Path
from devices.nfc.emulated import ensure_authority
print(ensure_authority(Path(sys.argv[1])).public_file.read_text())
"""


def start(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True
    )


def test_two_processes_tapping_one_card_count_strictly_upwards(make_card, cards_home):
    name = make_card(power=False).name
    taps = [start(TAPPER, str(cards_home), name, str(ROOT), "8") for _ in range(2)]
    counted = [[int(line) for line in tap.communicate(timeout=60)[0].split()] for tap in taps]
    assert [tap.returncode for tap in taps] == [0, 0]
    assert all(one == sorted(one) for one in counted)
    assert sorted(counted[0] + counted[1]) == list(range(1, 17))
    card = open_card(name, cards_home)
    card.power_on()
    assert int.from_bytes(quick_tap(card, AID).objects["9F36"]) == 17
    card.power_off()


def test_two_processes_starting_at_once_get_one_authority(tmp_path):
    starting = [start(AUTHORITY, str(tmp_path)) for _ in range(2)]
    seen = {process.communicate(timeout=60)[0] for process in starting}
    assert len(seen) == 1
    keys = json.loads(seen.pop())
    assert [key["rid"] for key in keys] == ["A000000003", "A000000004", "A000000333"]
    assert all(set(key) == {"rid", "index", "modulus", "exponent"} for key in keys)


def test_threads_starting_at_once_get_one_authority(tmp_path):
    together = threading.Barrier(4)
    seen: list[tuple[str, ...]] = []

    def begin() -> None:
        together.wait()
        seen.append(tuple(key.modulus for key in ensure_authority(tmp_path).public_keys))

    threads = [threading.Thread(target=begin) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 4
    assert len(set(seen)) == 1
    stored = json.loads((tmp_path / "keys" / "ca-public.json").read_text())
    assert tuple(key["modulus"] for key in stored) == seen[0]


def test_threads_making_one_card_make_it_once(tmp_path):
    profile = load_profile("unionpay-class2")
    ensure_authority(tmp_path)
    made: list[str] = []

    def make() -> None:
        path = personalise(profile, card_key=CARD_KEY, home=tmp_path)
        made.append(json.loads(path.read_text())["image"]["icc_key"]["n"])

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 4
    assert len(set(made)) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="no such modes")
def test_secrets_are_for_their_owner_alone(make_card, cards_home):
    path = card_path(make_card().name, cards_home)
    for secret in (path, cards_home / "keys" / "ca.json"):
        assert secret.stat().st_mode & 0o077 == 0
    assert (cards_home / "keys").stat().st_mode & 0o077 == 0


def test_a_card_on_one_reader_is_not_on_another(make_card, cards_home):
    card = make_card()
    other = open_card(card.name, cards_home, lock_timeout_s=0.0)
    with pytest.raises(CardInUse, match="another reader"):
        other.power_on()
    with pytest.raises(TransportError, match="another reader"):
        in_process(other).wait_for_card(0)
    card.power_off()
    other.power_on()
    other.power_off()


def test_making_a_card_again_changes_nothing(make_card, cards_home):
    card = make_card(power=False)
    before = card_path(card.name, cards_home).read_bytes()
    personalise(card.profile, card_key=CARD_KEY, home=cards_home)
    assert card_path(card.name, cards_home).read_bytes() == before


def test_new_keys_make_the_card_anew_and_it_counts_on(make_card, cards_home):
    card = make_card()
    quick_tap(card, AID)
    card.power_off()
    personalise(card.profile, card_key=bytes(range(16)), home=cards_home)
    card.power_on()
    assert quick_tap(card, AID).objects["9F36"] == b"\x00\x02"


def test_no_cryptogram_leaves_a_card_whose_memory_fails(make_card, monkeypatch):
    card = make_card()
    reader = in_process(card)
    held = reader.wait_for_card(0)
    select(card, AID)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("devices.nfc.emulated.card.card.write_json", full)
    with pytest.raises(TransportError, match="memory failed"):
        held.transceive(gpo_command(Tap().pdol()))


def test_the_counter_is_on_disk_before_the_cryptogram_is_out(make_card, cards_home):
    card = make_card()
    select(card, AID)
    assert send(card, gpo_command(Tap().pdol()))[1] == "9000"
    stored = json.loads(card_path(card.name, cards_home).read_text())
    assert stored["memory"]["atc"] == 1


def test_a_process_that_dies_gives_the_card_back(make_card, cards_home):
    name = make_card(power=False).name
    code = (
        "import sys, os; from pathlib import Path; from devices.nfc.emulated import open_card;"
        "card = open_card(sys.argv[2], Path(sys.argv[1])); card.power_on(); os._exit(9)"
    )
    process = start(code, str(cards_home), name)
    process.communicate(timeout=30)
    assert process.returncode == 9
    card = open_card(name, cards_home, lock_timeout_s=0.0)
    card.power_on()
    card.power_off()


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"format":1}', b'{"format":1,"digest":"x","profile":{}}']
)
def test_a_damaged_file_is_one_line(content, make_card, cards_home):
    card = make_card(power=False)
    card_path(card.name, cards_home).write_bytes(content)
    with pytest.raises(CardFileError) as caught:
        open_card(card.name, cards_home)
    assert "\n" not in str(caught.value)


def test_a_card_never_made_is_told_as_such(tmp_path):
    with pytest.raises(CardFileError, match="personalise it first"):
        open_card("nobody", tmp_path)


def test_an_interrupted_write_leaves_the_old_state(make_card, cards_home, monkeypatch):
    card = make_card()
    quick_tap(card, AID)
    path = card_path(card.name, cards_home)
    before = path.read_bytes()

    def torn(handle: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", torn)
    select(card, AID)
    with pytest.raises(OSError, match="Input/output"):
        card.process(gpo_command(Tap().pdol()))
    assert path.read_bytes() == before
    assert [one for one in path.parent.iterdir() if one.name.startswith(f".{path.name}")] == []


def test_the_key_must_have_sixteen_bytes(cards_home):
    with pytest.raises(ValueError, match="16 bytes"):
        personalise(load_profile("unionpay-debit"), card_key=b"short", home=cards_home)


def test_nothing_secret_shows_in_a_repr(make_card):
    card = make_card("hce-phone")
    shown = repr(card._chip)
    assert CARD_KEY.hex() not in shown
    for key in card._chip.memory.keys:
        assert repr(key.key) not in shown
        assert key.key.hex() not in shown
