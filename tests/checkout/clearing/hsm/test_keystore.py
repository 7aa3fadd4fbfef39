"""Keys of an installation: private, made once, the same for every process."""

from __future__ import annotations

import json
import pickle
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from checkout.clearing.hsm.card_keys import derive_card_key
from checkout.clearing.hsm.keystore import (
    KeyPurpose,
    KeyStore,
    KeyStoreError,
    KeyUsage,
    unwrap_key,
    wrap_key,
)

ACCOUNT = "9999011000000019"
CONTENTS = [
    "",
    "{}",
    "[]",
    '{"keys": 1}',
    '{"keys": {"range 999901": {"ac": "00"}}}',
    '{"keys": {"zone lane-bank": {"kbpk": "not hex"}}}',
    "\x00\x01",
]


def test_file_and_folder_are_the_owners_alone(tmp_path: Path) -> None:
    keys = KeyStore(tmp_path)
    keys.card_key(ACCOUNT, "001")
    assert stat.S_IMODE(keys.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(keys.path.parent.stat().st_mode) == 0o700
    assert {one.name for one in keys.path.parent.iterdir()} == {
        "issuer-keys.json",
        "issuer-keys.lock",
    }


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_file_that_others_can_read_or_write_is_refused(tmp_path: Path, mode: int) -> None:
    KeyStore(tmp_path).card_key(ACCOUNT, "001")
    path = KeyStore(tmp_path).path
    path.chmod(mode)
    with pytest.raises(KeyStoreError, match="0600"):
        KeyStore(tmp_path).card_key(ACCOUNT, "001")


def test_keys_are_kept_and_differ_by_range_purpose_and_installation(tmp_path: Path) -> None:
    first = KeyStore(tmp_path / "a")
    again, other = KeyStore(tmp_path / "a"), KeyStore(tmp_path / "b")
    found = {
        first.master_key(prefix, purpose)
        for prefix in ("999901", "999903")
        for purpose in KeyPurpose
    }
    assert len(found) == 2 * len(KeyPurpose)
    assert first.master_key("999901") == again.master_key("999901")
    assert first.master_key("999901") != other.master_key("999901")


def test_master_keys_have_odd_parity_and_two_different_halves(tmp_path: Path) -> None:
    key = KeyStore(tmp_path).master_key("999901")
    assert len(key) == 16 and key[:8] != key[8:]
    assert all(byte.bit_count() % 2 for byte in key)


def test_card_key_is_derived_from_its_ranges_master_key(tmp_path: Path) -> None:
    keys = KeyStore(tmp_path)
    expected = derive_card_key(keys.master_key("999901"), ACCOUNT, "001")
    assert keys.card_key(ACCOUNT, "001") == expected
    assert keys.card_key(ACCOUNT, "002") != expected


def test_number_outside_all_ranges_has_no_key(tmp_path: Path) -> None:
    with pytest.raises(KeyStoreError, match="622202"):
        KeyStore(tmp_path).card_key("6222021234567890", "001")


def test_range_added_later_gets_a_key_and_the_others_stay(tmp_path: Path) -> None:
    before = KeyStore(tmp_path, ranges=["999901"]).master_key("999901")
    later = KeyStore(tmp_path, ranges=["999901", "999903"])
    assert later.master_key("999903") != later.master_key("999901") == before


def test_neither_repr_nor_pickle_gives_keys_away(tmp_path: Path) -> None:
    keys = KeyStore(tmp_path)
    secret = keys.card_key(ACCOUNT, "001").hex()
    assert secret not in repr(keys) and secret not in str(keys)
    with pytest.raises(TypeError):
        pickle.dumps(keys)


@pytest.mark.parametrize("content", CONTENTS)
def test_file_that_is_not_ours_is_told_in_one_line(tmp_path: Path, content: str) -> None:
    path = KeyStore(tmp_path).path
    path.parent.mkdir(mode=0o700)
    path.touch(mode=0o600)
    path.write_text(content)
    with pytest.raises(KeyStoreError) as fault:
        KeyStore(tmp_path).card_key(ACCOUNT, "001")
    assert "\n" not in str(fault.value)


def test_processes_that_start_at_once_agree_on_the_keys(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from checkout.clearing.hsm.keystore import KeyStore;"
        "k = KeyStore(Path(sys.argv[1]));"
        "print(k.card_key('9999011000000019', '001').hex(), k.zone_key('lane-bank').hex())"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    answers = {process.communicate(timeout=60)[0] for process in started}
    assert all(process.returncode == 0 for process in started)
    assert len(answers) == 1 and answers != {""}


def test_secrets_and_zone_keys_are_made_once_per_name(tmp_path: Path) -> None:
    keys = KeyStore(tmp_path)
    pepper = keys.secret("pin-pepper")
    assert len(pepper) == 32 and KeyStore(tmp_path).secret("pin-pepper") == pepper
    assert keys.secret("par") != pepper
    assert keys.zone_key("lane-bank") != keys.zone_key("harbour-bank")
    assert set(json.loads(keys.path.read_text())) == {"version", "keys"}


def test_key_block_carries_a_key_for_one_usage_only() -> None:
    protection, key = bytes(range(32)), bytes(range(16))
    block = wrap_key(protection, key, KeyUsage.MAC)
    assert unwrap_key(protection, block, KeyUsage.MAC) == key
    with pytest.raises(KeyStoreError, match="usage"):
        unwrap_key(protection, block, KeyUsage.PIN_ENCRYPTION)


@pytest.mark.parametrize("at", [0, 7, 20, 40, -1])
def test_altered_key_block_is_refused(at: int) -> None:
    block = list(wrap_key(bytes(32), bytes(range(16)), KeyUsage.MAC))
    block[at] = "1" if block[at] != "1" else "2"
    with pytest.raises(KeyStoreError):
        unwrap_key(bytes(32), "".join(block), KeyUsage.MAC)


def test_master_key_travels_to_its_participant_alone(tmp_path: Path) -> None:
    keys = KeyStore(tmp_path)
    block = keys.export_master_key("999901", KeyPurpose.CRYPTOGRAM, "lane-bank")
    opened = unwrap_key(keys.zone_key("lane-bank"), block, KeyUsage.CRYPTOGRAM_MASTER)
    assert opened == keys.master_key("999901")
    with pytest.raises(KeyStoreError):
        unwrap_key(keys.zone_key("harbour-bank"), block, KeyUsage.CRYPTOGRAM_MASTER)
